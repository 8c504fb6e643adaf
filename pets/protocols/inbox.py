"""What input parties leave at a computing party: uploads as bytes, bound to a run and sealed, and what is kept of them.

A part of an upload says in clear which run, specification and holder it is for, and is sealed to one computing party's
key of the run for just that: whoever carries it learns sizes, and can put it to no other use. A computing party opens
it when it arrives, adds it to a sum, and needs it again only if the holder does not count.

Source: protocols.md 8.1; RFC 9180; docs/adr/0040-secure-sum.md.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from typing import BinaryIO, Final, Protocol

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError
from pets.kernels import mersenne, sealed, summing
from pets.protocols.base import Binding
from pets.protocols.contributions import MARK_BYTES, Present, prefixed
from pets.protocols.upload import role_of
from pets.secret import Secret

INPUT: Final = "input"

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]


# -- parts as bytes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What one part of an upload is bound to. ``words``: of the vectors that are summed; ``head``: bytes of a head."""

    protocol: str
    tied: Binding
    holder: str
    reader: str
    words: int
    head: int
    body: int
    """Words that this reader is sent: 0, or ``words``."""

    @property
    def info(self) -> bytes:
        """What HPKE is told that the head is for."""
        said = (b"pets/1 upload", self.protocol.encode(), self.tied.digest, self.tied.run_id)
        names = (self.holder.encode(), self.reader.encode())
        numbers = tuple(number.to_bytes(8, "big") for number in (self.words, self.head, self.body))
        return b"".join(map(prefixed, (*said, *names, *numbers)))

    @property
    def size(self) -> int:
        """Bytes of this part."""
        holder = len(self.holder.encode())
        return _FIXED + holder + self.sealed_head + (sealed.sealed_words_bytes(self.body) if self.body else 0)

    def statement(self, part: bytes) -> bytes:
        """What whoever carries a part for its holder shows the holder's signature over: all of it but sealed words.

        The key of these is in the sealed head, so nobody but the holder and the reader can put others in their place.
        """
        return b"pets/1 signed upload" + prefixed(self.info) + part[: len(self.plain) + self.sealed_head]

    @property
    def sealed_head(self) -> int:
        """Bytes of the sealed head: with words behind it, the key of these is in it too."""
        return self.head + (sealed.KEY_BYTES if self.body else 0) + sealed.HEAD_EXTRA

    @property
    def plain(self) -> bytes:
        """What precedes the sealed head: run, specification, length of the vectors, who it is from."""
        holder = self.holder.encode()
        return self.tied.run_id + self.tied.digest + self.words.to_bytes(8, "big") + bytes([len(holder)]) + holder


_FIXED: Final = 32 + 32 + 8 + 1


def sealed_part(to: Address, public: bytes, head: Secret[bytes], words: U64 | None, key: Secret[bytes] | None) -> bytes:
    """One part of an upload, sealed to its reader: anybody may carry it.

    ``public``: the reader's key of this run. ``key``: 16 fresh bytes for the words, if there are any.
    Units:   ``to.size`` bytes.
    """
    if len(head.expose("length")) != to.head or (0 if words is None else words.size) != to.body:
        raise ValueError("a part has the sizes of its address")
    if words is None or key is None:
        return to.plain + sealed.seal_head(public, to.info, head)
    both = Secret(head.expose("beside the key of the words") + key.expose("beside the head"))
    return to.plain + sealed.seal_head(public, to.info, both) + sealed.seal_words(key, words)


class SealedWords:
    """The words of a part, still sealed: opened only into a sum, a chunk at a time."""

    def __init__(self, holder: str, key: Secret[bytes], part: BinaryIO, at: int) -> None:
        self._holder, self._key, self._part, self._at = holder, key, part, at

    def add_to(self, total: U64, arithmetic: "Arithmetic") -> None:
        """Add them.

        Raises: PeerError peer.upload-sealed if they do not open: ``total`` is as before then; SpoiltError if it is not.
        """
        self._part.seek(self._at)
        try:
            sealed.add_opened(self._key, self._part, total, add=arithmetic.add, sub=arithmetic.sub)
        except ValueError as error:
            raise PeerError("peer.upload-sealed", peer=self._holder) from error

    def take_off(self, total: U64, arithmetic: "Arithmetic") -> None:
        """Take off what has been added. Raises: PeerError peer.upload-sealed if they do not open."""
        self._part.seek(self._at)
        try:
            sealed.sub_opened(self._key, self._part, total, sub=arithmetic.sub)
        except ValueError as error:
            raise PeerError("peer.upload-sealed", peer=self._holder) from error

    def close(self) -> None:
        """Close what they are read from: for whoever had it opened for them (``Inbox.again``)."""
        self._part.close()

    def __repr__(self) -> str:
        return "SealedWords(***)"


class Inbox:
    """Parts of uploads at one computing party of one run, opened as they arrive: each holder once, in time, and whole.

    ``keep(number, head, words)`` takes what is in a part: all of it, or it raises and has kept nothing.
    """

    def __init__(
        self,
        holders: Sequence[str],
        to: Callable[[str], Address],
        private: Secret[bytes],
        keep: Callable[[int, Secret[bytes], SealedWords | None], None],
        *,
        deadline: int,
    ) -> None:
        self._holders: Final = {name: number for number, name in enumerate(holders)}
        self._to: Final = to
        self._private: Final = private
        self._keep: Final = keep
        self._deadline: Final = deadline
        self._seen: Final[set[str]] = set()

    def add(self, peer: str, part: bytes | BinaryIO, *, now: int) -> None:
        """Take a part that carriage has shown to be from ``peer``: by its certificate, or by its signature.

        ``part``: bytes, or a file that has been stored: it is read a chunk at a time, and must not change meanwhile.
        ``now``: when it arrived, in the same count as the deadline, which is the first moment that is too late.
        Raises:  PeerError peer.upload-late, peer.upload-holder, peer.upload-run, peer.bad-length, peer.repeated,
                 peer.upload-sealed, and what ``keep`` raises; nothing of the part is kept then, and the holder may send
                 another.
        """
        if now >= self._deadline:
            raise PeerError("peer.upload-late", peer=peer)
        if peer not in self._holders:
            raise PeerError("peer.upload-holder", peer=peer)
        file = BytesIO(part) if isinstance(part, bytes) else part
        to = self._checked(peer, file)
        if peer in self._seen:
            raise PeerError("peer.repeated", peer=peer, message="its upload")
        self._keep(self._holders[peer], *self._opened(to, file))
        self._seen.add(peer)

    def again(self, peer: str, part: bytes | BinaryIO) -> SealedWords:
        """The words of a part that has been taken, and has been stored since. Whoever is done with them closes them."""
        file = BytesIO(part) if isinstance(part, bytes) else part
        words = self._opened(self._checked(peer, file), file)[1]
        if words is None:
            raise PeerError("peer.upload-sealed", peer=peer)
        return words

    def _checked(self, peer: str, part: BinaryIO) -> Address:
        to = self._to(peer)
        expected, size = to.plain, part.seek(0, SEEK_END)
        part.seek(0)
        said = part.read(len(expected))
        if len(said) == len(expected) and said[:64] != expected[:64]:
            raise PeerError("peer.upload-run", peer=peer)
        if size != to.size or said[64:72] != expected[64:72]:
            raise PeerError("peer.bad-length", peer=peer, message="an upload", got=size, expected=to.size)
        if said != expected:
            raise PeerError("peer.upload-holder", peer=peer)
        return to

    def _opened(self, to: Address, part: BinaryIO) -> tuple[Secret[bytes], SealedWords | None]:
        at = part.seek(len(to.plain))
        try:
            head = sealed.open_head(self._private, to.info, part.read(to.sealed_head))
        except ValueError as error:
            raise PeerError("peer.upload-sealed", peer=to.holder) from error
        if not to.body:
            return head, None
        both = head.expose("the head, then the key of the words")
        return Secret(both[: to.head]), SealedWords(to.holder, Secret(both[to.head :]), part, at + to.sealed_head)


# -- what is kept -----------------------------------------------------------------------------------------------------


class Arithmetic(Protocol):
    """What vectors are added in."""

    def add(self, total: U64, values: U64) -> None: ...
    def sub(self, total: U64, values: U64) -> None: ...
    def add_streams(self, keys: Iterable[Secret[bytes]], total: U64) -> None: ...
    def sub_streams(self, keys: Iterable[Secret[bytes]], total: U64) -> None: ...


class Ring:
    """Words modulo 2^64."""

    def add(self, total: U64, values: U64) -> None:
        total += values

    def sub(self, total: U64, values: U64) -> None:
        total -= values

    def add_streams(self, keys: Iterable[Secret[bytes]], total: U64) -> None:
        summing.add_streams(keys, total)

    def sub_streams(self, keys: Iterable[Secret[bytes]], total: U64) -> None:
        summing.sub_streams(keys, total)


class Field:
    """Elements modulo 2^61 - 1. Raises: ValueError at a word that is none."""

    def add(self, total: U64, values: U64) -> None:
        if (place := mersenne.add_checked(total, values)) is not None:
            raise NoElementError(place)

    def sub(self, total: U64, values: U64) -> None:
        mersenne.sub(total, values)

    def add_streams(self, keys: Iterable[Secret[bytes]], total: U64) -> None:
        mersenne.add_streams(keys, total)

    def sub_streams(self, keys: Iterable[Secret[bytes]], total: U64) -> None:
        for key in keys:
            mersenne.sub(total, mersenne.elements(key, total.size))


class NoElementError(Exception):
    """A word that is no element of the field: its place."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place: Final = place


class Seeds:
    """Uploads at a computing party that gets seeds: a mark and the keys of streams each, and one sum of all streams.

    ``keys_of(number, seed)``: the keys of the streams that a seed stands for, one for each of ``columns`` of one
    length. Streams are added some hundred at a time.
    """

    def __init__(
        self,
        holders: int,
        words: int,
        keys_of: Callable[[int, Secret[bytes]], Sequence[Secret[bytes]]],
        arithmetic: Arithmetic,
        columns: int = 1,
    ) -> None:
        self._keys_of, self._arithmetic = keys_of, arithmetic
        self._sum: U64 = np.zeros(words, np.uint64)
        self._columns: list[U64] = np.split(self._sum, columns)
        self._keys: dict[int, Sequence[Secret[bytes]]] = {}
        self._waiting: list[Sequence[Secret[bytes]]] = []
        self.marks: U8 = np.zeros((holders, MARK_BYTES), np.uint8)

    def keep(self, number: int, head: Secret[bytes], words: SealedWords | None = None) -> None:
        """Take the head of a part: the mark, then the seed.

        Raises: PeerError peer.repeated, peer.upload-seed; nothing is kept then.
        """
        both = head.expose("mark and seed")
        mark, seed = _marked(self.marks, number, both[:MARK_BYTES]), both[MARK_BYTES:]
        if not any(seed):
            raise PeerError("peer.upload-seed", peer=role_of(INPUT, number))
        self._keys[number] = self._keys_of(number, Secret(seed))
        self.marks[number] = mark
        self._waiting.append(self._keys[number])
        if len(self._waiting) == summing.BATCH:
            self._add_waiting()

    def take_off(self, number: int) -> None:
        """Undo ``keep``, before parties have said of whom they have uploads."""
        keys = self._keys.pop(number)
        if any(each is keys for each in self._waiting):
            self._waiting = [each for each in self._waiting if each is not keys]
        else:
            for key, total in zip(keys, self._columns, strict=True):
                self._arithmetic.sub_streams([key], total)
        self.marks[number] = 0

    def total(self, present: Present) -> U64:
        """The sum of the shares of those who count: (words,) uint64. What has been added of others is taken off."""
        self._add_waiting()
        left_out = [number for number in self._keys if not present[number]]
        keys = [self._keys.pop(number) for number in left_out]
        for column, total in enumerate(self._columns):
            self._arithmetic.sub_streams([own[column] for own in keys], total)
        self.marks[left_out] = 0
        return self._sum.copy()

    def _add_waiting(self) -> None:
        for column, total in enumerate(self._columns):
            self._arithmetic.add_streams([own[column] for own in self._waiting], total)
        self._waiting.clear()


class Words:
    """Uploads at a computing party that gets words: marks, and one sum of all of them, whatever the number of holders.

    ``again``: gives the words of a holder once more, from where uploads are stored, if another computing party lacks
    its upload and it does not count. They are closed before the next are asked for.
    """

    def __init__(
        self, holders: int, words: int, again: Callable[[int], U64 | SealedWords], arithmetic: Arithmetic
    ) -> None:
        self._again, self._arithmetic = again, arithmetic
        self._sum: U64 = np.zeros(words, np.uint64)
        self.marks: U8 = np.zeros((holders, MARK_BYTES), np.uint8)

    def keep(self, number: int, head: Secret[bytes], words: U64 | SealedWords | None) -> None:
        """Take a part: the mark, and the words, which are added and not kept.

        Raises: PeerError peer.upload-sealed, peer.upload-range, peer.repeated; nothing is added then.
        """
        mark = _marked(self.marks, number, head.expose("mark"))
        try:
            if isinstance(words, SealedWords):
                words.add_to(self._sum, self._arithmetic)
            elif words is not None and words.shape == self._sum.shape:
                self._arithmetic.add(self._sum, words)
            else:
                raise InternalError("internal.bug", where="a part without its words")
        except NoElementError as error:
            raise PeerError("peer.upload-range", peer=role_of(INPUT, number), place=error.place) from error
        self.marks[number] = mark

    def take_off(self, number: int) -> None:
        """Undo ``keep``, with the words read once more.

        Raises: PeerError peer.upload-sealed if they do not open any more; the sum may be spoilt then.
        """
        words = self._again(number)
        if isinstance(words, SealedWords):
            with closing(words):  # as many as do not count would be open at once
                words.take_off(self._sum, self._arithmetic)
        else:
            self._arithmetic.sub(self._sum, words)
        self.marks[number] = 0

    def total(self, present: Present) -> U64:
        """The sum of the shares of those who count: (words,) uint64. What has been added of others is taken off."""
        for number in np.flatnonzero(np.any(self.marks != 0, axis=1) & ~present):
            self.take_off(int(number))
        return self._sum.copy()


def _marked(marks: U8, number: int, mark: bytes) -> U8:
    """The mark of a holder that has none yet."""
    if not any(mark) or np.any(marks[number]):
        raise PeerError("peer.repeated", peer=role_of(INPUT, number), message="its upload, or one without a mark")
    return np.frombuffer(mark, np.uint8)
