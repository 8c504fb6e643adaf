"""Uploads of many input parties at several computing parties: what ties them to a run, and whose count.

An input party makes one upload a run, a part for each computing party, and may be gone when it is read. All parts bear
one *mark*, 16 random bytes: two uploads under one name differ in it, so that parts of two are never taken for one. Each
computing party lists the marks that it has by the deadline, whole lists go from each to each, then digests of all lists
that a party has seen: only when these are equal everywhere does anything that depends on values leave a party, once.

Source: protocols.md 8.1 (A3) and 0.10, with the order of lists and digests turned round: docs/adr/0040-secure-sum.md.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import PeerError, RunError
from pets.kernels import sealed
from pets.protocols.base import Binding, Role, Send, receive
from pets.secret import Secret

MARK_BYTES: Final = 16
DIGEST_BYTES: Final = 32

LISTS: Final = "L"
CONFIRMS: Final = "C"
"""Labels of lists of marks, and of digests of all lists."""

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Present = npt.NDArray[np.bool_]
"""By number of the input party: whether it counts."""


class Agreement(StrEnum):
    """What is done where computing parties have uploads of different input parties."""

    EQUAL = "equal"
    """The run ends."""
    COMMON = "common"
    """Those count whose upload every computing party has."""


def label_of(label: str, *numbers: int) -> str:
    """What a message of one of many is called, and of one of many to one of many: Uw3, Us3x1. Numbers are from 0."""
    return label + "x".join(str(number + 1) for number in numbers)


# -- whose uploads count ----------------------------------------------------------------------------------------------


def agree(
    me: str,
    others: Mapping[str, tuple[str, str]],
    marks: U8,
    tied: Binding,
    agreement: Agreement,
    *,
    minimum: int,
) -> Role[Present]:
    """Agree with the other computing parties on whose uploads count, before anything of these is sent.

    ``others``: by role, in the order of the card, what follows a label in what goes there, and in what comes from
    there. ``marks`` (holders, 16) uint8: what this party has, zeros for who is missing.
    Learned: of whom the others have an upload; nothing of what is in it.
    Raises:  PeerError peer.lists if others have seen other lists than this party, or if EQUAL is asked for and lists
             are not; RunError run.contributors if fewer than ``minimum`` count.
    """
    for other, (there, _) in others.items():
        yield Send(other, LISTS + there, marks)
    lists = {me: marks}
    for other, (_, back) in others.items():
        lists[other] = yield from receive(other, LISTS + back)
    own = confirmation(tied, lists)
    for other, (there, _) in others.items():
        yield Send(other, CONFIRMS + there, own)
    for other, (_, back) in others.items():
        theirs = yield from receive(other, CONFIRMS + back)
        if theirs.tobytes() != own.tobytes():
            raise PeerError("peer.lists", label=CONFIRMS + back, problem="they have seen other lists than we have")
    return counted(lists, agreement, minimum=minimum)


def confirmation(tied: Binding, lists: Mapping[str, U8]) -> U8:
    """A digest of all lists of a run, by role: (1, 32) uint8. Roles are taken in the order of their names."""
    found = hashlib.sha256(b"pets/1 contributors" + tied.run_id + tied.digest)
    for role in sorted(lists):
        found.update(_prefixed(role.encode()) + _prefixed(lists[role].tobytes()))
    return np.frombuffer(found.digest(), np.uint8).reshape(1, DIGEST_BYTES)


def counted(lists: Mapping[str, U8], agreement: Agreement, *, minimum: int) -> Present:
    """Whose uploads count, from the lists of all computing parties: (holders,) bool."""
    first, *rest = lists.values()
    same = np.all([np.all(first == other, axis=1) for other in rest], axis=0) if rest else np.ones(len(first), bool)
    if agreement is Agreement.EQUAL and not np.all(same):
        raise PeerError("peer.lists", label=LISTS, problem="computing parties have uploads of different input parties")
    found: Present = same & np.any(first != 0, axis=1)
    if (took := int(np.count_nonzero(found))) < minimum:
        raise RunError("run.contributors", took=took, minimum=minimum)
    return found


def packed(present: Present) -> U8:
    """Who counts, a bit each, the first in the lowest bit: (1, ceil(holders / 8)) uint8."""
    return np.packbits(present, bitorder="little").reshape(1, -1)


def unpacked(bits: U8, holders: int) -> Present:
    """The same back; PeerError peer.lists for bits beyond the last holder."""
    found: Present = np.unpackbits(bits.ravel(), bitorder="little").astype(bool)
    if np.any(found[holders:]):
        raise PeerError("peer.lists", label="T", problem="it names parties that there are not")
    return found[:holders]


# -- uploads as bytes, for input parties that are gone ----------------------------------------------------------------


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
        return b"".join(map(_prefixed, (*said, *names, *numbers)))

    @property
    def size(self) -> int:
        """Bytes of this part."""
        holder = len(self.holder.encode())
        return _FIXED + holder + self.sealed_head + (sealed.sealed_words_bytes(self.body) if self.body else 0)

    def statement(self, part: bytes | memoryview) -> bytes:
        """What whoever carries a part for its holder shows the holder's signature over: all of it but sealed words.

        The key of these is in the sealed head, so nobody but the holder and the reader can put others in their place.
        """
        return b"pets/1 signed upload" + _prefixed(self.info) + bytes(part[: len(self.plain) + self.sealed_head])

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

    def __init__(self, holder: str, key: Secret[bytes], body: memoryview) -> None:
        self._holder, self._key, self._body = holder, key, body

    def add_to(self, total: U64) -> None:
        """Add them. Raises: PeerError peer.upload-sealed if they do not open; ``total`` is as before then."""
        self._opened(sealed.add_opened, total)

    def take_off(self, total: U64) -> None:
        """Take off what has been added. Raises: PeerError peer.upload-sealed if they do not open."""
        self._opened(sealed.sub_opened, total)

    def _opened(self, into: Callable[[Secret[bytes], memoryview, U64], None], total: U64) -> None:
        try:
            into(self._key, self._body, total)
        except ValueError as error:
            raise PeerError("peer.upload-sealed", peer=self._holder) from error

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

    def add(self, peer: str, part: bytes | memoryview, *, now: int) -> None:
        """Take a part that carriage has shown to be from ``peer``: by its certificate, or by its signature.

        ``now``: when it arrived, in the same count as the deadline, which is the first moment that is too late.
        Raises:  PeerError peer.upload-late, peer.upload-holder, peer.upload-run, peer.bad-length, peer.repeated or
                 peer.upload-sealed; nothing of the part is kept then, and the holder may send another.
        """
        if now >= self._deadline:
            raise PeerError("peer.upload-late", peer=peer)
        if peer not in self._holders:
            raise PeerError("peer.upload-holder", peer=peer)
        to = self._checked(peer, part)
        if peer in self._seen:
            raise PeerError("peer.repeated", peer=peer, message="its upload")
        self._keep(self._holders[peer], *self._opened(to, part))
        self._seen.add(peer)

    def again(self, peer: str, part: bytes | memoryview) -> SealedWords:
        """The words of a part that has been taken, and has been stored since."""
        words = self._opened(self._checked(peer, part), part)[1]
        if words is None:
            raise PeerError("peer.upload-sealed", peer=peer)
        return words

    def _checked(self, peer: str, part: bytes | memoryview) -> Address:
        to = self._to(peer)
        expected = to.plain
        said = bytes(part[: len(expected)])
        if len(said) == len(expected) and said[:64] != expected[:64]:
            raise PeerError("peer.upload-run", peer=peer)
        if len(part) != to.size or said[64:72] != expected[64:72]:
            raise PeerError("peer.bad-length", peer=peer, message="an upload", got=len(part), expected=to.size)
        if said != expected:
            raise PeerError("peer.upload-holder", peer=peer)
        return to

    def _opened(self, to: Address, part: bytes | memoryview) -> tuple[Secret[bytes], SealedWords | None]:
        at = len(to.plain)
        stop = at + to.sealed_head
        try:
            head = sealed.open_head(self._private, to.info, bytes(part[at:stop]))
        except ValueError as error:
            raise PeerError("peer.upload-sealed", peer=to.holder) from error
        if not to.body:
            return head, None
        both = head.expose("the head, then the key of the words")
        return Secret(both[: to.head]), SealedWords(to.holder, Secret(both[to.head :]), memoryview(part)[stop:])


def _prefixed(item: bytes) -> bytes:
    return len(item).to_bytes(4, "big") + item
