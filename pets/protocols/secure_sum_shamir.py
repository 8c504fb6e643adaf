"""secure_sum_shamir: the same sum, on shares that survive computing parties that are lost.

Each input party hides its vector in polynomials of degree t over the field of 2^61 - 1 elements, one a word, and
uploads a point of them to each of m computing parties: ``seeded1``, ... ``seeded<t>`` get a seed of theirs, ``given1``,
... the words. t points are uniform together; any t + 1 give the vector. So do sums of points give the sum.

After the deadline computing parties agree on whose uploads count. Any t + 1 points open the sum, and so two halves of
the computing parties that have lost sight of each other could open two sums of different sets, whose difference is the
vectors of a few. Therefore a party sends its point only if ``quorum`` of all, more than (m + t) / 2, have seen the same
lists: any two groups of so many have more than t parties in common, and so one that says the same to all, whatever the
t others tell each group. protocols.md 8.2 has no such rule.

Noise of a computing party is a vector like any other, dealt to all: it is in the sum even if the party is lost after.
protocols/secure_sum_shamir/card.toml has the messages, protocols/secure_sum_shamir/README.md the argument.

Source: Shamir, CACM 1979; Ben-Or, Goldwasser, Wigderson, STOC 1988 (sums of shares); protocols.md 8.2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError, RunError
from pets.kernels import mersenne, prf
from pets.kernels.mersenne import P
from pets.protocols import contributions
from pets.protocols.base import Array, Binding, Hear, Role, Send
from pets.protocols.contributions import CONFIRMS, LISTS, MARK_BYTES, Agreement, Present, label_of
from pets.protocols.inbox import Field, SealedWords, Seeds, Words
from pets.protocols.parts import Delivery, Parts, heads_of
from pets.protocols.secure_sum import RESULT
from pets.protocols.upload import role_of
from pets.secret import Secret

PROTOCOL: Final = "secure_sum_shamir"

SEEDED: Final = "seeded"
GIVEN: Final = "given"

NOISE: Final = "N"

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Public parameters. ``degree``: t, computing parties that may put together what they have; ``computing``: m.

    ``quorum``: computing parties that have to have seen the same lists, more than (m + t) / 2. The others may be
    lost before that: none of three, one of four or five.
    """

    holders: int
    computing: int
    degree: int
    words: int
    minimum: int
    quorum: int
    agreement: Agreement = Agreement.COMMON

    def __post_init__(self) -> None:
        fine = 2 <= self.minimum <= self.holders and self.words >= 1 and self.degree >= 1
        if (
            not fine
            or self.computing < 2 * self.degree + 1
            or not self.computing + self.degree < 2 * self.quorum <= 2 * self.computing
        ):
            raise InternalError("internal.bug", where="the shape of a sum")

    @property
    def servers(self) -> tuple[str, ...]:
        """The computing roles, those with seeds first."""
        given = range(self.computing - self.degree)
        return (*(role_of(SEEDED, at) for at in range(self.degree)), *(role_of(GIVEN, at) for at in given))

    @property
    def delivery(self) -> Delivery:
        return Delivery(protocol=PROTOCOL, readers=self.servers, seeded=self.degree, words=self.words)

    @property
    def points(self) -> tuple[int, ...]:
        """Where each of them has its point of a polynomial: 1, 2, ..."""
        return tuple(range(1, self.computing + 1))


def least_quorum(computing: int, degree: int) -> int:
    """The least number of computing parties of which any two groups have more than ``degree`` in common."""
    return (computing + degree) // 2 + 1


def field_of(values: npt.NDArray[np.int64]) -> U64:
    """Numbers with a sign as elements. Raises: InternalError if one is not below 2^60 in size."""
    elements = mersenne.of_signed(values)
    if elements is None:
        raise InternalError("internal.bug", where="a number that is no element of the field")
    return elements


def signed(elements: U64) -> npt.NDArray[np.int64]:
    """Elements as numbers with a sign: (n,) int64, below 2^60 in size."""
    numbers = elements.astype(np.int64)
    return np.where(numbers > P // 2, numbers - np.int64(P), numbers)


# -- input parties ----------------------------------------------------------------------------------------------------


def split(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Parts:
    """Split the vector of input party ``number``.

    Shapes:  values (words,) uint64, elements. ``drawn``: fresh for each upload.
    """
    _checked(shape, values)
    mark, seeds = shape.delivery.drawn(drawn)
    keys = [shape.delivery.keys(seed, tied, number, at)[0] for at, seed in enumerate(seeds)]
    known = [values, *(mersenne.elements(key, shape.words) for key in keys)]
    at_known = (0, *shape.points[: shape.degree])
    rest = shape.points[shape.degree :]
    return Parts(mark, seeds, [mersenne.interpolated(mersenne.weights(at_known, point), known) for point in rest])


def input_party(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Role[None]:
    """Play input party ``number``: send each computing party its part. It gets nothing and may leave then.

    Sizes:   out Us of 48 bytes to each seeded; Um of 16 bytes and Uw of ``words`` words to each given.
    Learned: nothing: no message comes in.
    Trust:   sends what it wants. Points that lie on no polynomial of degree t spoil the sum, which shows if the result
             party has more than t + 1.
    """
    parts = split(shape, number, values, tied, drawn)
    heads, t = heads_of(parts), shape.degree
    for at, head in enumerate(heads[:t]):
        yield Send(role_of(SEEDED, at), label_of("Us", number, at), head)
    for at, head in enumerate(heads[t:]):
        yield Send(role_of(GIVEN, at), label_of("Um", number, at), head)
    for at, words in enumerate(parts.given):
        yield Send(role_of(GIVEN, at), label_of("Uw", number, at), words)


def sealed_parts(
    shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream, publics: Sequence[bytes]
) -> list[bytes]:
    """The upload of input party ``number`` as bytes, a part for each computing party, sealed to its key of the run."""
    return shape.delivery.sealed(tied, number, split(shape, number, values, tied, drawn), drawn, publics)


# -- what computing parties have of uploads ---------------------------------------------------------------------------


def seeds(shape: Shape, at: int, tied: Binding) -> Seeds:
    """What a computing party with seeds keeps of uploads: none so far."""
    return shape.delivery.seeds(shape.holders, at, tied, Field())


def words(shape: Shape, again: Callable[[int], U64 | SealedWords]) -> Words:
    """What another one keeps of uploads: none so far."""
    return Words(shape.holders, shape.words, again, Field())


def heard(shape: Shape, at: int, tied: Binding) -> Role[Seeds | Words]:
    """What computing party ``at`` hears from input parties who are there; who is not by the deadline is left out."""
    if at < shape.degree:
        kept = seeds(shape, at, tied)
        return (yield from shape.delivery.heard_seeds(kept, lambda number: label_of("Us", number, at)))
    again: dict[int, U64] = {}
    given = at - shape.degree
    return (
        yield from shape.delivery.heard_words(
            words(shape, again.__getitem__),
            again,
            lambda number: label_of("Um", number, given),
            lambda number: label_of("Uw", number, given),
        )
    )


# -- computing parties ------------------------------------------------------------------------------------------------


def computing(
    shape: Shape, at: int, uploads: Seeds | Words, tied: Binding, noise: U64, drawn: prf.Stream
) -> Role[Present]:
    """Play computing party ``at``: deal noise, agree with a quorum on whose uploads count, send one point.

    Shapes:  noise (words,) uint64, elements: this party's own, of full strength. ``drawn``: for its polynomials.
    Sizes:   N of ``words`` words, L, C to each other computing party and from it; T and F to result.
    Learned: of whom the others have uploads; it returns who counts: input parties, then computing parties' noise.
    Trust:   semi-honest, ``degree`` of them together; so many that show others different lists open no second sum. It
             sends one point in a run.
    Raises:  PeerError peer.lists, RunError run.contributors or run.quorum: then it sends no point.
    """
    others = _others(shape, at)
    own, dealt = deal(shape, at, noise, drawn)
    for other, (there, _) in others.items():
        yield Send(other, NOISE + there, dealt[other])
    noises: dict[int, U64] = {at: own}
    for other, (_, back) in others.items():
        vector = yield Hear(other, NOISE + back)
        if vector is not None:
            noises[shape.servers.index(other)] = _elements(vector, other)
    marks = np.concatenate([uploads.marks, _flags(shape, noises)])
    present = yield from _agree(shape, at, marks, tied)
    total = uploads.total(present[: shape.holders])
    for number in np.flatnonzero(present[shape.holders :]):
        mersenne.add(total, noises[int(number)])
    own_label = _label(shape, at)
    yield Send(RESULT, "T" + own_label, contributions.packed(present))
    yield Send(RESULT, "F" + own_label, total)
    return present


def deal(shape: Shape, at: int, values: U64, drawn: prf.Stream) -> tuple[U64, Mapping[str, U64]]:
    """A computing party's own point of a vector of its own, and everybody else's by role."""
    _checked(shape, values)
    keys = [Secret(drawn.words(2).tobytes()) for _ in range(shape.degree)]
    known = [values, *(mersenne.elements(key, shape.words) for key in keys)]
    at_known = (0, *shape.points[: shape.degree])
    dealt = {
        role: mersenne.interpolated(mersenne.weights(at_known, point), known)
        for role, point in zip(shape.servers, shape.points, strict=True)
    }
    return dealt.pop(shape.servers[at]), dealt


def _agree(shape: Shape, at: int, marks: U8, tied: Binding) -> Role[Present]:
    """Whose uploads count, if at least the quorum have seen the same lists of the same parties."""
    others = _others(shape, at)
    for other, (there, _) in others.items():
        yield Send(other, LISTS + there, marks)
    lists = {shape.servers[at]: marks}
    for other, (_, back) in others.items():
        theirs = yield Hear(other, LISTS + back)
        if theirs is not None:
            lists[other] = theirs
    own = contributions.confirmation(tied, lists)
    for other, (there, _) in others.items():
        yield Send(other, CONFIRMS + there, own)
    alike = 1
    for other, (_, back) in others.items():
        said = yield Hear(other, CONFIRMS + back)
        alike += said is not None and said.tobytes() == own.tobytes()
    if alike < shape.quorum:
        raise RunError("run.quorum", got=alike, needed=shape.quorum)
    of_inputs = {role: each[: shape.holders] for role, each in lists.items()}
    found = contributions.counted(of_inputs, shape.agreement, minimum=shape.minimum)
    of_noise = np.all([np.any(each[shape.holders :] != 0, axis=1) for each in lists.values()], axis=0)
    if np.count_nonzero(of_noise) <= shape.degree:
        problem = "noise of too few computing parties: those who may put together what they have could know all of it"
        raise PeerError("peer.lists", label=NOISE, problem=problem)
    present: Present = np.concatenate([found, of_noise])
    return present


def _flags(shape: Shape, noises: Mapping[int, U64]) -> U8:
    """In the place of a mark for each computing party's noise: ones where it is there."""
    found = np.zeros((shape.computing, MARK_BYTES), np.uint8)
    found[list(noises)] = 1
    return found


def _others(shape: Shape, me: int) -> Mapping[str, tuple[str, str]]:
    """By other computing role, what follows N, L and C in a message there and in one back.

    "a": among those with seeds; "b": from these to the others, "c": back; "d": among the others.
    """
    t, found = shape.degree, dict[str, tuple[str, str]]()
    for other, role in enumerate(shape.servers):
        if other == me:
            continue
        mine, theirs = me - t * (me >= t), other - t * (other >= t)
        there, back = {
            (True, True): ("a", "a"),
            (True, False): ("b", "c"),
            (False, True): ("c", "b"),
            (False, False): ("d", "d"),
        }[me < t, other < t]
        found[role] = (label_of(there, mine, theirs), label_of(back, theirs, mine))
    return found


def _label(shape: Shape, at: int) -> str:
    """What follows T and F in what a computing party sends the result party."""
    return label_of("s", at) if at < shape.degree else label_of("g", at - shape.degree)


def _elements(vector: Array, sender: str) -> U64:
    if (place := mersenne.outside(vector)) is not None:
        raise PeerError("peer.upload-range", peer=sender, place=place)
    return vector


def _checked(shape: Shape, values: U64) -> None:
    if values.dtype != np.uint64 or values.shape != (shape.words,) or mersenne.outside(values) is not None:
        raise InternalError("internal.bug", where="a vector of another length than declared, or of no elements")


# -- the result party -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summed:
    """What the result party gets: the noised sum (words,) uint64, elements; whose vectors, and whose noise, are in it.

    ``checked``: points beyond the t + 1 that a sum takes, which had to lie on the same polynomial.
    """

    total: U64
    present: Present
    noised: Present
    checked: int

    @property
    def took_part(self) -> int:
        return int(np.count_nonzero(self.present))


def result(shape: Shape) -> Role[Summed]:
    """Play the result party: from the points of all computing parties that answer, t + 1 at least, the sum.

    Learned: the noised sum, and who took part.
    Raises:  RunError run.quorum if too few answer; PeerError peer.lists if two say that others took part,
             peer.polynomial if a point lies elsewhere than the others say.
    """
    told: dict[int, Array] = {}
    points: dict[int, U64] = {}
    t = shape.degree
    for group in (range(t), range(t, shape.computing)):
        for label, kept in (("T", told), ("F", points)):
            for at in group:
                said = yield Hear(shape.servers[at], label + _label(shape, at))
                if said is not None:
                    kept[at] = said
    parts = {at: _elements(vector, shape.servers[at]) for at, vector in points.items() if at in told}
    if len(parts) <= t:
        raise RunError("run.quorum", got=len(parts), needed=t + 1)
    if len({told[at].tobytes() for at in parts}) > 1:
        raise PeerError("peer.lists", label="T", problem="final shares are of different input parties")
    present = contributions.unpacked(told[next(iter(parts))], shape.holders + shape.computing)
    total = opened({shape.points[at]: vector for at, vector in parts.items()}, t)
    return Summed(total, present[: shape.holders], present[shape.holders :], len(parts) - t - 1)


def opened(points: Mapping[int, U64], degree: int) -> U64:
    """What polynomials of this degree are at 0, from their values at points: more than ``degree`` of them.

    Raises: RunError run.points if a point is 0, or equal to another, modulo p; PeerError peer.polynomial if the values
            lie on no polynomials of this degree.
    """
    try:
        at = mersenne.checked_points(tuple(points))
    except ValueError as error:
        raise RunError("run.points", problem=str(error)) from error
    if len(at) <= degree:
        raise RunError("run.quorum", got=len(at), needed=degree + 1)
    first = at[: degree + 1]
    known = [points[point] for point in first]
    for point in at[degree + 1 :]:
        if not np.array_equal(mersenne.interpolated(mersenne.weights(first, point), known), points[point]):
            raise PeerError("peer.polynomial", got=len(at), degree=degree)
    return mersenne.interpolated(mersenne.weights(first, 0), known)
