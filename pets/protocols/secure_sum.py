"""secure_sum: add up the vectors of many input parties, who upload once and may leave.

Each input party splits its vector into one vector of words and streams of seeds. Computing parties ``server1``, ... get
a seed each, the computing party ``last`` gets the words: any of these without one of the others is uniform. After the
deadline they agree on whose uploads count, add up what they have of these, and send the result party a sum each, with
their noise and a share of zero. protocols/secure_sum/card.toml has the messages, protocols/secure_sum/README.md the
argument.

Who takes uploads ahead of the run opens them with ``inbox.Inbox`` into ``Seeds`` or ``Words``, which a role
then begins with; ``heard_seeds`` and ``heard_words`` fill these from input parties who are there.

Source: folklore; with seeds, Corrigan-Gibbs, Boneh, NSDI 2017, section 6; protocols.md 8.1; ADR 0040 (docs/adr).
"""

from collections.abc import Callable, Sequence
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
from pets.protocols.parts import Delivery, Parts, between, heads_of
from pets.protocols.upload import role_of

PROTOCOL: Final = "secure_sum"

SERVER: Final = "server"
LAST: Final = "last"
RESULT: Final = "result"

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Public parameters. ``words``: of each vector; ``minimum``: input parties without whom there is no sum.

    Two input parties are the least: the sum of one is its vector. Where the result party is an input party, or shares
    what it knows with some, it takes their vectors off the sum: ``minimum`` is to be larger by as many.
    """

    holders: int
    computing: int
    words: int
    minimum: int
    agreement: Agreement = Agreement.COMMON

    def __post_init__(self) -> None:
        if not (2 <= self.minimum <= self.holders and self.computing >= 2 and self.words >= 1):
            raise InternalError("internal.bug", where="the shape of a sum")

    @property
    def seeded(self) -> int:
        """Computing parties that get a seed: all but ``last``."""
        return self.computing - 1

    @property
    def servers(self) -> tuple[str, ...]:
        """The computing roles, ``last`` at the end."""
        return (*(role_of(SERVER, number) for number in range(self.seeded)), LAST)

    @property
    def delivery(self) -> Delivery:
        return Delivery(protocol=PROTOCOL, readers=self.servers, seeded=self.seeded, words=self.words)


# -- input parties ----------------------------------------------------------------------------------------------------


def split(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Parts:
    """Split the vector of input party ``number``.

    Shapes:  values (words,) uint64: modulo 2^64, so an int64 seen as uint64. ``drawn``: fresh for each upload; seeds
             that served two vectors would give their difference away to ``last``.
    """
    if values.dtype != np.uint64 or values.shape != (shape.words,):
        raise InternalError("internal.bug", where="a vector of another length than declared")
    mark, each = shape.delivery.drawn(drawn)
    rest = values.copy()
    summing.sub_streams((shape.delivery.keys(seed, tied, number, at)[0] for at, seed in enumerate(each)), rest)
    return Parts(mark, each, [rest])


def input_party(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Role[None]:
    """Play input party ``number``: send each computing party its part. It gets nothing and may leave then.

    Sizes:   out Us of 48 bytes to each server; Um of 16 bytes and Uw of ``words`` words to last.
    Learned: nothing: no message comes in.
    Trust:   sends what it wants: what is added is the vector that its parts add up to, whatever it is.
    """
    parts = split(shape, number, values, tied, drawn)
    *heads, mark = heads_of(parts)
    for at, head in enumerate(heads):
        yield Send(role_of(SERVER, at), label_of("Us", number, at), head)
    yield Send(LAST, label_of("Um", number), mark)
    yield Send(LAST, label_of("Uw", number), parts.given[0])


def sealed_parts(
    shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream, publics: Sequence[bytes]
) -> list[bytes]:
    """The upload of input party ``number`` as bytes, a part for each computing party, sealed to its key of the run.

    ``publics``: the keys, 32 bytes each, ``last`` at the end. What the parts are is what ``input_party`` sends.
    """
    return shape.delivery.sealed(tied, number, split(shape, number, values, tied, drawn), drawn, publics)


# -- what computing parties keep of uploads ---------------------------------------------------------------------------


def seeds(shape: Shape, server: int, tied: Binding) -> Seeds:
    """What a server keeps of uploads: none so far."""
    return shape.delivery.seeds(shape.holders, server, tied, Ring())


def words(shape: Shape, again: Callable[[int], U64 | SealedWords]) -> Words:
    """What ``last`` keeps of uploads: none so far. ``again``: ``inbox.Words``."""
    return Words(shape.holders, shape.words, again, Ring())


def heard_seeds(shape: Shape, server: int, tied: Binding) -> Role[Seeds]:
    """What a server hears from input parties who are there; who is not by the deadline is left out."""
    kept = seeds(shape, server, tied)
    return (yield from shape.delivery.heard_seeds(kept, lambda number: label_of("Us", number, server)))


def heard_words(shape: Shape) -> Role[Words]:
    """What ``last`` hears from input parties who are there. It keeps the words of each until it is known who counts."""
    again: dict[int, U64] = {}
    kept, marks, given = words(shape, again.__getitem__), partial(label_of, "Um"), partial(label_of, "Uw")
    return (yield from shape.delivery.heard_words(kept, again, marks, given))


# -- computing parties ------------------------------------------------------------------------------------------------


def server(
    shape: Shape, number: int, uploads: Seeds, tied: Binding, with_last: prf.KeyFamily, noise: U64
) -> Role[Present]:
    """Play computing party ``number`` of those with seeds: agree on whose uploads count, send the sum of their shares.

    Shapes:  noise (words,) uint64, signed modulo 2^64: this party's own, drawn before, of full strength.
    Sizes:   L, C to each other computing party and from it; Fs of ``words`` words, Ts of a bit a holder to result.
    Learned: of whom the others have uploads; it returns who counts.
    Trust:   semi-honest. It sends one sum in a run, of a set that all others have confirmed.
    Raises:  PeerError peer.lists, RunError run.contributors: then no sum is sent.
    """
    me = role_of(SERVER, number)
    present = yield from agree(
        me, between(shape.servers, number), uploads.marks, tied, shape.agreement, minimum=shape.minimum
    )
    total = uploads.total(present)
    total += _checked(shape, noise)
    prf.add_words(with_last.key("zero", 0), total)
    yield Send(RESULT, label_of("Ts", number), contributions.packed(present))
    yield Send(RESULT, label_of("Fs", number), total)
    return present


def last(
    shape: Shape, uploads: Words, tied: Binding, with_servers: Sequence[prf.KeyFamily], noise: U64
) -> Role[Present]:
    """Play the computing party that has the words: as ``server``, with a share of zero that is that of all servers."""
    others = between(shape.servers, shape.seeded)
    present = yield from agree(LAST, others, uploads.marks, tied, shape.agreement, minimum=shape.minimum)
    total = uploads.total(present)
    total += _checked(shape, noise)
    for family in with_servers:
        prf.sub_words(family.key("zero", 0), total)
    yield Send(RESULT, "Tl", contributions.packed(present))
    yield Send(RESULT, "Fl", total)
    return present


def _checked(shape: Shape, noise: U64) -> U64:
    if noise.dtype != np.uint64 or noise.shape != (shape.words,):
        raise InternalError("internal.bug", where="noise of another length than declared")
    return noise


# -- the result party -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summed:
    """What the result party gets: the noised sum (words,) uint64 modulo 2^64, and whose vectors are in it."""

    total: U64
    present: Present

    @property
    def took_part(self) -> int:
        return int(np.count_nonzero(self.present))


def result(shape: Shape) -> Role[Summed]:
    """Play the result party: add up what all computing parties send, once all of it is there.

    Learned: the noised sum, and who took part.
    Raises:  PeerError peer.lists if two computing parties say that others took part.
    """
    told, parts = [], []
    for number in range(shape.seeded):
        told.append((yield from receive(role_of(SERVER, number), label_of("Ts", number))))
    for number in range(shape.seeded):
        parts.append((yield from receive(role_of(SERVER, number), label_of("Fs", number))))
    told.append((yield from receive(LAST, "Tl")))
    parts.append((yield from receive(LAST, "Fl")))
    if any(other.tobytes() != told[0].tobytes() for other in told):
        raise PeerError("peer.lists", label="T", problem="final shares are of different input parties")
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return Summed(total, contributions.unpacked(told[0], shape.holders))
