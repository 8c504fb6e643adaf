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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError
from pets.kernels import prf, summing
from pets.protocols import contributions
from pets.protocols.base import Array, Binding, Hear, Role, Send, receive
from pets.protocols.contributions import MARK_BYTES, Agreement, Present, agree, label_of
from pets.protocols.inbox import INPUT, Address, Ring, SealedWords, Seeds, Words, sealed_part
from pets.protocols.upload import role_of
from pets.secret import Secret

PROTOCOL: Final = "secure_sum"

SERVER: Final = "server"
LAST: Final = "last"
RESULT: Final = "result"

SEED_BYTES: Final = 32
"""Of what a stream's key is derived from, as from the secret of two parties: bound to run, specification and names."""

STREAM: Final = "u"
"""Label of the streams that vectors are split by."""

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


# -- input parties ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """A vector in parts: the mark of this upload, a seed for each ``server``, the words for ``last``."""

    mark: bytes
    seeds: Sequence[Secret[bytes]]
    words: U64

    def __repr__(self) -> str:
        return "Split(***)"


def split(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Split:
    """Split the vector of input party ``number``.

    Shapes:  values (words,) uint64: modulo 2^64, so an int64 seen as uint64. ``drawn``: fresh for each upload; seeds
             that served two vectors would give their difference away to ``last``.
    """
    if values.dtype != np.uint64 or values.shape != (shape.words,):
        raise InternalError("internal.bug", where="a vector of another length than declared")
    mark, each = drawn_for(shape.seeded, drawn)
    rest = values.copy()
    summing.sub_streams((stream_key(seed, tied, number, at) for at, seed in enumerate(each)), rest)
    return Split(mark, each, rest)


def drawn_for(seeded: int, drawn: prf.Stream) -> tuple[bytes, list[Secret[bytes]]]:
    """What an input party draws: the mark of its upload, and so many seeds."""
    said = drawn.words((MARK_BYTES + SEED_BYTES * seeded) // 8).astype("<u8", copy=False).tobytes()
    starts = range(MARK_BYTES, len(said), SEED_BYTES)
    return said[:MARK_BYTES], [Secret(said[start : start + SEED_BYTES]) for start in starts]


def stream_key(seed: Secret[bytes], tied: Binding, holder: int, server: int) -> Secret[bytes]:
    """The key of the stream that a seed stands for, in this run, from this input party to this server."""
    names = {"party_p": role_of(INPUT, holder), "party_q": role_of(SERVER, server)}
    family = prf.KeyFamily(seed, run_id=tied.run_id, digest=tied.digest, protocol=PROTOCOL, **names)
    return family.key(STREAM, 0)


def input_party(shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream) -> Role[None]:
    """Play input party ``number``: send each computing party its part. It gets nothing and may leave then.

    Sizes:   out Us of 48 bytes to each server; Um of 16 bytes and Uw of ``words`` words to last.
    Learned: nothing: no message comes in.
    Trust:   sends what it wants: what is added is the vector that its parts add up to, whatever it is.
    """
    parts = split(shape, number, values, tied, drawn)
    for at, seed in enumerate(parts.seeds):
        yield Send(
            role_of(SERVER, at), label_of("Us", number, at), _head(parts.mark + seed.expose("send it to its server"))
        )
    yield Send(LAST, label_of("Um", number), _head(parts.mark))
    yield Send(LAST, label_of("Uw", number), parts.words)


def address(shape: Shape, tied: Binding, number: int, server: int) -> Address:
    """What the part of an input party for a computing party is bound to; ``last`` is behind all servers."""
    last = server == shape.seeded
    return Address(
        protocol=PROTOCOL,
        tied=tied,
        holder=role_of(INPUT, number),
        reader=shape.servers[server],
        words=shape.words,
        head=MARK_BYTES + (0 if last else SEED_BYTES),
        body=shape.words if last else 0,
    )


def sealed_parts(
    shape: Shape, number: int, values: U64, tied: Binding, drawn: prf.Stream, publics: Sequence[bytes]
) -> list[bytes]:
    """The upload of input party ``number`` as bytes, a part for each computing party, sealed to its key of the run.

    ``publics``: the keys, 32 bytes each, ``last`` at the end. What the parts are is what ``input_party`` sends.
    """
    parts = split(shape, number, values, tied, drawn)
    made = []
    for at, public in enumerate(publics):
        to = address(shape, tied, number, at)
        last = at == shape.seeded
        head = parts.mark if last else parts.mark + parts.seeds[at].expose("seal it to its server")
        key = Secret(drawn.words(2).tobytes()) if last else None
        made.append(sealed_part(to, public, Secret(head), parts.words if last else None, key))
    return made


# -- what computing parties keep of uploads ---------------------------------------------------------------------------


def seeds(shape: Shape, server: int, tied: Binding) -> Seeds:
    """What a server keeps of uploads: none so far."""
    return Seeds(shape.holders, shape.words, lambda number, seed: stream_key(seed, tied, number, server), Ring())


def words(shape: Shape, again: Callable[[int], U64 | SealedWords]) -> Words:
    """What ``last`` keeps of uploads: none so far. ``again``: ``inbox.Words``."""
    return Words(shape.holders, shape.words, again, Ring())


def heard_seeds(shape: Shape, server: int, tied: Binding) -> Role[Seeds]:
    """What a server hears from input parties who are there; who is not by the deadline is left out."""
    found = seeds(shape, server, tied)
    for number in range(shape.holders):
        part = yield Hear(role_of(INPUT, number), label_of("Us", number, server))
        if part is not None:
            found.keep(number, Secret(part.tobytes()))
    return found


def heard_words(shape: Shape) -> Role[Words]:
    """What ``last`` hears from input parties who are there. It keeps the words of each until it is known who counts."""
    kept: dict[int, Array] = {}
    found = words(shape, kept.__getitem__)
    marks: list[Array | None] = []
    for number in range(shape.holders):
        marks.append((yield Hear(role_of(INPUT, number), label_of("Um", number))))
    for number, mark in enumerate(marks):
        own = yield Hear(role_of(INPUT, number), label_of("Uw", number))
        if mark is not None and own is not None:
            kept[number] = own
            found.keep(number, Secret(mark.tobytes()), own)
    return found


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
    present = yield from agree(me, _others(shape, number), uploads.marks, tied, shape.agreement, minimum=shape.minimum)
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
    others = _others(shape, shape.seeded)
    present = yield from agree(LAST, others, uploads.marks, tied, shape.agreement, minimum=shape.minimum)
    total = uploads.total(present)
    total += _checked(shape, noise)
    for family in with_servers:
        prf.sub_words(family.key("zero", 0), total)
    yield Send(RESULT, "Tl", contributions.packed(present))
    yield Send(RESULT, "Fl", total)
    return present


def _others(shape: Shape, me: int) -> Mapping[str, tuple[str, str]]:
    """By other computing role, what follows L and C in a message there and in one back: s1x2, sl1, ls1."""
    last_ = shape.seeded
    found: dict[str, tuple[str, str]] = {}
    for other, role in enumerate(shape.servers):
        if other == me:
            continue
        if me == last_:
            found[role] = (label_of("b", other), label_of("a", other))
        elif other == last_:
            found[role] = (label_of("a", me), label_of("b", me))
        else:
            found[role] = (label_of("s", me, other), label_of("s", other, me))
    return found


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


def _head(said: bytes) -> U8:
    return np.frombuffer(said, np.uint8).reshape(1, -1)
