"""secure_sum_held: add up the vectors of many input parties on shares that disclosure control takes over.

Each input party hands ``first`` a seed and ``second`` words, the rest of its vector. After the deadline these two agree
on whose uploads count, and tell the result party; each then has a share of the sums, which does not leave as it is: the
three go on with ``control.protect``. ``third`` gets nothing of any upload and has no part in this: it begins with
``control.protect``. protocols/secure_sum_held/card.toml has the messages, protocols/secure_sum_held/README.md the
argument.

A vector has the cells of each moment, moment after moment, and one word is one number: what follows compares words.

Source: folklore; with seeds, Corrigan-Gibbs, Boneh, NSDI 2017, section 6; protocols.md 8.1 and 4.4.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError
from pets.kernels import prf, summing
from pets.protocols import contributions
from pets.protocols.base import Binding, Role, Send, receive
from pets.protocols.contributions import Agreement, Present, agree, label_of
from pets.protocols.inbox import Ring, SealedWords, Seeds, Words
from pets.protocols.parts import Delivery, Parts, heads_of
from pets.protocols.upload import FIRST, SECOND

PROTOCOL: Final = "secure_sum_held"

THIRD: Final = "third"
RESULT: Final = "result"

PARTIES: Final = (FIRST, SECOND, THIRD)
"""The computing roles as parties 0, 1 and 2 of ``control.protect``."""

_OTHERS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    FIRST: {SECOND: ("a", "b")},
    SECOND: {FIRST: ("b", "a")},
}
"""By role, the other one, and what follows L and C in a message there and in one back."""

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Public parameters. ``moments``: columns, of ``cells`` words each; ``minimum``: input parties without whom there
    is no sum.

    Two input parties are the least. Disclosure control holds persons against its minimum, not input parties: where
    the result party is an input party, or shares what it knows with some, ``minimum`` is to be larger by as many.
    """

    holders: int
    cells: int
    moments: int
    minimum: int
    agreement: Agreement = Agreement.COMMON

    def __post_init__(self) -> None:
        if not (2 <= self.minimum <= self.holders and self.cells >= 1 and self.moments >= 1):
            raise InternalError("internal.bug", where="the shape of a sum")

    @property
    def words(self) -> int:
        """Words of a vector."""
        return self.moments * self.cells

    @property
    def servers(self) -> tuple[str, ...]:
        """The roles that get a part of each upload, ``second`` at the end."""
        return FIRST, SECOND

    @property
    def delivery(self) -> Delivery:
        return Delivery(protocol=PROTOCOL, readers=self.servers, seeded=1, words=self.words, columns=self.moments)


# -- input parties ----------------------------------------------------------------------------------------------------


def split(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Parts:
    """Split the vector of input party ``number``.

    Shapes:  values (words,) uint64: modulo 2^64, so an int64 seen as uint64. ``drawn``: fresh for each upload.
    """
    if values.dtype != np.uint64 or values.shape != (shape.words,):
        raise InternalError("internal.bug", where="a vector of another length than declared")
    mark, seeds = shape.delivery.drawn(drawn)
    rest = values.copy()
    keys = shape.delivery.keys(seeds[0], tied, number, 0)
    for key, column in zip(keys, np.split(rest, shape.moments), strict=True):
        summing.sub_streams([key], column)
    return Parts(mark, seeds, [rest])


def input_party(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Role[None]:
    """Play input party ``number``: send ``first`` and ``second`` a part each. It gets nothing and may leave then.

    Sizes:   out Us of 48 bytes to first; Um of 16 bytes and Uw, ``moments`` columns of ``cells`` words, to second.
    Learned: nothing: no message comes in.
    Trust:   sends what it wants: what is added is the vector that its parts add up to, whatever it is.
    """
    parts = split(shape, number, values, tied, drawn)
    seed, mark = heads_of(parts)
    yield Send(FIRST, label_of("Us", number), seed)
    yield Send(SECOND, label_of("Um", number), mark)
    for column, words_ in enumerate(np.split(parts.given[0], shape.moments)):
        yield Send(SECOND, label_of("Uw", number), words_, column)


def sealed_parts(
    shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream, publics: Sequence[bytes]
) -> list[bytes]:
    """The upload of input party ``number`` as bytes, a part for ``first`` and one for ``second``, sealed to their keys.

    ``publics``: their two keys of the run, 32 bytes each. What the parts are is what ``input_party`` sends.
    """
    return shape.delivery.sealed(tied, number, split(shape, number, values, tied, drawn), drawn, publics)


# -- what computing parties keep of uploads ---------------------------------------------------------------------------


def seeds(shape: Shape, tied: Binding) -> Seeds:
    """What ``first`` keeps of uploads: none so far."""
    return shape.delivery.seeds(shape.holders, 0, tied, Ring())


def words(shape: Shape, again: Callable[[int], U64 | SealedWords]) -> Words:
    """What ``second`` keeps of uploads: none so far. ``again``: ``inbox.Words``."""
    return Words(shape.holders, shape.words, again, Ring())


def heard_seeds(shape: Shape, tied: Binding) -> Role[Seeds]:
    """What ``first`` hears from input parties who are there; who is not by the deadline is left out."""
    return (yield from shape.delivery.heard_seeds(seeds(shape, tied), partial(label_of, "Us")))


def heard_words(shape: Shape) -> Role[Words]:
    """What ``second`` hears likewise."""
    again: dict[int, U64] = {}
    kept, marks, given = words(shape, again.__getitem__), partial(label_of, "Um"), partial(label_of, "Uw")
    return (yield from shape.delivery.heard_words(kept, again, marks, given))


# -- computing parties ------------------------------------------------------------------------------------------------


def first(shape: Shape, uploads: Seeds, tied: Binding) -> Role[tuple[Present, U64]]:
    """Play ``first``: agree with ``second`` on whose uploads count, say so, and take its share of the sums.

    Shapes:  who counts (holders,) bool; the share (moments, cells) uint64, as ``control.protect`` takes it.
    Sizes:   L, C to second and from it; Ta of a bit a holder to result.
    Learned: of whom second has uploads.
    Trust:   semi-honest. It takes one sum in a run, of a set that second has confirmed.
    Raises:  PeerError peer.lists, RunError run.contributors: then nothing may be computed on any upload.
    """
    return (yield from _computing(FIRST, "Ta", shape, uploads, tied))


def second(shape: Shape, uploads: Words, tied: Binding) -> Role[tuple[Present, U64]]:
    """Play ``second``: as ``first``, with Tb."""
    return (yield from _computing(SECOND, "Tb", shape, uploads, tied))


def _computing(me: str, label: str, shape: Shape, uploads: Seeds | Words, tied: Binding) -> Role[tuple[Present, U64]]:
    present = yield from agree(me, _OTHERS[me], uploads.marks, tied, shape.agreement, minimum=shape.minimum)
    yield Send(RESULT, label, contributions.packed(present))
    return present, uploads.total(present).reshape(shape.moments, shape.cells)


# -- the result party -------------------------------------------------------------------------------------------------


def result(shape: Shape) -> Role[Present]:
    """Play the result party: hear who took part. What disclosure control opens comes after.

    Raises:  PeerError peer.lists if first and second say that others took part.
    """
    told = yield from receive(FIRST, "Ta")
    if (yield from receive(SECOND, "Tb")).tobytes() != told.tobytes():
        raise PeerError("peer.lists", label="T", problem="first and second say that others took part")
    return contributions.unpacked(told, shape.holders)
