"""A vector of an input party in parts, one for each computing party: a seed for some of them, words for the others.

All sums of many input parties hand in vectors like this; how the words are made of vector and streams is each one's
own. A seed stands for one stream a column, which its reader adds up and never sends; the words are all that is long.

Source: Corrigan-Gibbs, Boneh, NSDI 2017, section 6 (seeds for shares); protocols.md 8.1; docs/adr/0040-secure-sum.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.kernels import prf
from pets.protocols.base import Array, Binding, Hear, Role
from pets.protocols.contributions import MARK_BYTES, label_of
from pets.protocols.inbox import INPUT, Address, Arithmetic, Seeds, Words, sealed_part
from pets.protocols.upload import role_of
from pets.secret import Secret

SEED_BYTES: Final = 32
"""Of what a stream's key is derived from, as from the secret of two parties: bound to run, specification and names."""

STREAM: Final = "u"
"""Label of the streams that vectors are split by."""

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """A vector in parts: the mark of this upload, a seed for each who gets one, words (words,) for each other one."""

    mark: bytes
    seeds: Sequence[Secret[bytes]]
    given: Sequence[U64]

    def __repr__(self) -> str:
        return "Parts(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Who gets which part. ``readers``: the computing roles, those with seeds first; ``seeded``: how many these are.

    ``words``: of a vector, all its columns end to end, which are of one length; each has a stream of its own.
    """

    protocol: str
    readers: tuple[str, ...]
    seeded: int
    words: int
    columns: int = 1

    # -- at an input party ---------------------------------------------------------------------------------------------

    def drawn(self, drawn: prf.Stream) -> tuple[bytes, list[Secret[bytes]]]:
        """What an input party draws for an upload: its mark, and the seeds."""
        said = drawn.words((MARK_BYTES + SEED_BYTES * self.seeded) // 8).astype("<u8", copy=False).tobytes()
        starts = range(MARK_BYTES, len(said), SEED_BYTES)
        return said[:MARK_BYTES], [Secret(said[start : start + SEED_BYTES]) for start in starts]

    def keys(self, seed: Secret[bytes], tied: Binding, holder: int, at: int) -> list[Secret[bytes]]:
        """The keys of the streams that a seed stands for, a column each: in this run, from this input party to this
        reader."""
        names = {"party_p": role_of(INPUT, holder), "party_q": self.readers[at]}
        family = prf.KeyFamily(seed, run_id=tied.run_id, digest=tied.digest, protocol=self.protocol, **names)
        return [family.key(STREAM, column) for column in range(self.columns)]

    def address(self, tied: Binding, number: int, at: int) -> Address:
        """What the part of input party ``number`` for a reader is bound to."""
        seeded = at < self.seeded
        return Address(
            protocol=self.protocol,
            tied=tied,
            holder=role_of(INPUT, number),
            reader=self.readers[at],
            words=self.words,
            head=MARK_BYTES + (SEED_BYTES if seeded else 0),
            body=0 if seeded else self.words,
        )

    def sealed(
        self, tied: Binding, number: int, parts: Parts, drawn: prf.Stream, publics: Sequence[bytes]
    ) -> list[bytes]:
        """The upload of an input party as bytes, a part for each reader, sealed to its key of the run.

        ``publics``: the keys, 32 bytes each, in the order of readers. What is inside is what the roles send.
        """
        made = []
        for at, public in enumerate(publics):
            to = self.address(tied, number, at)
            if at < self.seeded:
                head = Secret(parts.mark + parts.seeds[at].expose("seal it to its computing party"))
                made.append(sealed_part(to, public, head, None, None))
            else:
                key = Secret(drawn.words(2).tobytes())
                made.append(sealed_part(to, public, Secret(parts.mark), parts.given[at - self.seeded], key))
        return made

    # -- at a computing party ------------------------------------------------------------------------------------------

    def seeds(self, holders: int, at: int, tied: Binding, arithmetic: Arithmetic) -> Seeds:
        """What a computing party with seeds keeps of uploads: none so far."""
        return Seeds(
            holders, self.words, lambda number, seed: self.keys(seed, tied, number, at), arithmetic, self.columns
        )

    def heard_seeds(self, kept: Seeds, label: Callable[[int], str]) -> Role[Seeds]:
        """What such a one hears from input parties who are there; who is not by the deadline is left out."""
        for number in range(len(kept.marks)):
            part = yield Hear(role_of(INPUT, number), label(number))
            if part is not None:
                kept.keep(number, Secret(part.tobytes()))
        return kept

    def heard_words(
        self, kept: Words, again: dict[int, U64], marks: Callable[[int], str], words: Callable[[int], str]
    ) -> Role[Words]:
        """What one with words hears likewise. It keeps them in ``again`` until it is known who counts."""
        holders = range(len(kept.marks))
        heads: dict[int, Array] = {}
        for number in holders:
            head = yield Hear(role_of(INPUT, number), marks(number))
            if head is not None:
                heads[number] = head
        for number in holders:
            columns: list[Array] = []
            for column in range(self.columns):
                vector = yield Hear(role_of(INPUT, number), words(number), column)
                if vector is not None:
                    columns.append(vector)
            if number in heads and len(columns) == self.columns:
                again[number] = columns[0] if self.columns == 1 else np.concatenate(columns)
                kept.keep(number, Secret(heads[number].tobytes()), again[number])
        return kept


def heads_of(parts: Parts) -> list[U8]:
    """What is sent each reader beside words, in their order: mark and seed, or the mark. Shapes: (1, bytes) each."""
    seeded = [_head(parts.mark + seed.expose("send it to its computing party")) for seed in parts.seeds]
    return seeded + [_head(parts.mark) for _ in parts.given]


def between(servers: Sequence[str], me: int) -> Mapping[str, tuple[str, str]]:
    """By other computing role, what follows a label in a message there and in one back.

    ``servers``: a role of many, then one that is not: s1x2 among the former, a1 from one to the latter, b1 back.
    """
    last = len(servers) - 1
    found: dict[str, tuple[str, str]] = {}
    for other, role in enumerate(servers):
        if other == me:
            continue
        if me == last:
            found[role] = (label_of("b", other), label_of("a", other))
        elif other == last:
            found[role] = (label_of("a", me), label_of("b", me))
        else:
            found[role] = (label_of("s", me, other), label_of("s", other, me))
    return found


def _head(said: bytes) -> U8:
    return np.frombuffer(said, np.uint8).reshape(1, -1)
