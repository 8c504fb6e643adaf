"""checked_sum: the sum of the vectors of many input parties, each proved to be within its bounds before it is added.

As ``secure_sum``, with another split: ``checked_inputs`` makes and verifies uploads. After the deadline computing
parties agree on whose uploads count, and verify these. One that is not valid is left out, as long as enough others are
left, or ends the run, as the specification says; its sender is named. Then each sends the result party a share of the
sum, with its noise and a share of zero. All of that is modulo the prime of the circuit, so sums are of whole numbers,
exact as long as they and the noise stay below half of it.

A party sends one share in a run, of a set that all have confirmed: whose uploads are there, and then whose are valid.
protocols/checked_sum/card.toml has the messages, protocols/checked_sum/README.md the argument.

Source: draft-irtf-cfrg-vdaf-20, section 7.2; protocols.md 8.1 and 0.9; docs/adr/0041-checked-inputs.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import prf, prime, xof
from pets.kernels.jit import U64Array
from pets.protocols import checked_inputs, contributions
from pets.protocols.base import Array, Binding, Role, Send, receive
from pets.protocols.checked_inputs import (
    KEY_BYTES,
    LAST,
    PROTOCOL,
    SERVER,
    Uploads,
    heard,
    measurement_of,
    seed_of,
    split,
    verified,
    verify_key,
)
from pets.protocols.contributions import Agreement, Present, agree, label_of
from pets.protocols.inbox import INPUT, Address, sealed_part
from pets.protocols.parts import between
from pets.protocols.upload import role_of
from pets.secret import Secret, same

RESULT: Final = "result"


class Unproved(StrEnum):
    """What is done where an upload is not valid."""

    LEAVE_OUT = "leave out"
    """Its sender does not count."""
    END = "end the run"


_ZERO: Final = 0x100
"""What the XOF is used for besides the draft's purposes: shares of zero."""


@dataclass(frozen=True, kw_only=True)
class Shape(checked_inputs.Shape):
    """Public parameters. ``minimum``: input parties without whom there is no sum, as for ``secure_sum.Shape``."""

    minimum: int
    agreement: Agreement = Agreement.COMMON
    unproved: Unproved = Unproved.LEAVE_OUT

    def __post_init__(self) -> None:
        checked_inputs.Shape.__post_init__(self)
        if not 2 <= self.minimum <= self.holders:
            raise InternalError("internal.bug", where="the shape of a sum")

    @property
    def servers(self) -> tuple[str, ...]:
        """The computing roles as the card has them, ``last`` at the end."""
        return (*(role_of(SERVER, number) for number in range(self.seeded)), LAST)


# -- input parties -----------------------------------------------------------------------------------------------------


def input_party(shape: Shape, number: int, values: U64Array, tied: Binding, drawn: prf.Stream) -> Role[None]:
    """Play input party ``number``: send each computing party its part. It gets nothing and may leave then.

    Shapes:  values (outputs,) uint64. ``drawn``: fresh for each upload.
    Sizes:   out Us, ``server_head`` bytes, to each server; Um, ``last_head`` bytes, and Uw, ``words`` words, to last.
    Learned: nothing: no message comes in.
    Trust:   whatever it sends: if all computing parties follow the protocol, only a valid vector is added up.
    Raises:  ValueError if the vector is not within its bounds.
    """
    parts = split(shape, number, measurement_of(shape.circuit, values), tied, drawn)
    for at, head in enumerate(parts.servers):
        yield Send(role_of(SERVER, at), label_of("Us", number, at), head)
    yield Send(LAST, label_of("Um", number), parts.last)
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
        head=shape.last_head if last else shape.server_head,
        body=shape.words if last else 0,
    )


def sealed_parts(
    shape: Shape, number: int, values: U64Array, tied: Binding, drawn: prf.Stream, publics: Sequence[bytes]
) -> list[bytes]:
    """The upload of input party ``number`` as bytes, a part for each computing party, sealed to its key of the run.

    ``publics``: the keys, 32 bytes each, ``last`` at the end. What the parts are is what ``input_party`` sends.
    Raises:  ValueError if the vector is not within its bounds.
    """
    parts = split(shape, number, measurement_of(shape.circuit, values), tied, drawn)
    made = []
    for at, (public, head) in enumerate(zip(publics, (*parts.servers, parts.last), strict=True)):
        to, said = address(shape, tied, number, at), Secret(head.tobytes())
        last = at == shape.seeded
        key = Secret(drawn.words(2).tobytes()) if last else None
        made.append(sealed_part(to, public, said, parts.words if last else None, key))
    return made


# -- what computing parties keep of uploads ----------------------------------------------------------------------------


def uploads(shape: Shape, server: int) -> Uploads:
    """What a computing party keeps of uploads, in the order of ``servers``: none so far. ``take`` is for an inbox."""
    return Uploads(shape, (server + 1) % shape.computing)


def heard_uploads(shape: Shape, server: int) -> Role[Uploads]:
    """The same from input parties who are there; who is not by the deadline is left out."""
    return (yield from heard(shape, (server + 1) % shape.computing))


# -- computing parties -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """Whose vectors are in the sum, and whose uploads were there and not valid. Shapes: (holders,) bool."""

    present: Present
    unproved: Present


def final_share(
    shape: checked_inputs.Shape,
    total: U64Array,
    noise: U64Array | None,
    tied: Binding,
    *,
    plus: Sequence[prf.KeyFamily] = (),
    minus: Sequence[prf.KeyFamily] = (),
) -> U64Array:
    """A computing party's share of the sum as it leaves: with its noise, and its part of zero.

    Shapes:  total (outputs) elements; noise (outputs,) uint64, signed modulo 2^64, or none; result (output_words,)
             uint64: elements of the field, word by word.
    """
    field, out = shape.circuit.prime, total
    if noise is not None:
        if noise.dtype != np.uint64 or noise.shape != (shape.circuit.outputs,):
            raise InternalError("internal.bug", where="noise of another length than declared")
        out = prime.added(out, field.signed(noise.view(np.int64)))
    for family in plus:
        out = prime.added(out, _zero(shape, tied, family))
    for family in minus:
        out = prime.subtracted(out, _zero(shape, tied, family))
    return out.reshape(-1)


def server(
    shape: Shape, number: int, uploads: Uploads, tied: Binding, with_last: prf.KeyFamily, noise: U64Array
) -> Role[Counted]:
    """Play computing party ``number`` of those with seeds: agree on whose uploads count, verify them, send a share.

    Shapes:  noise (outputs,) uint64, signed modulo 2^64: this party's own, drawn before, of full strength.
    Sizes:   Kb in; L, C, V and W to each other computing party and from it; Ts and Fs to result.
    Learned: of whom the others have uploads, and whose are valid.
    Trust:   semi-honest computing parties for validity; for privacy, one that follows the protocol.
    Raises:  PeerError peer.lists, peer.share-encoding, peer.proof with who is at fault, if an upload that is not valid
             ends the run or too few are left without it, or peer.check if the key to verify by is not that of last and
             the first server; RunError run.contributors, run.test-point. Then no share is sent.
    """
    key = Secret((yield from receive(LAST, label_of("Kb", number))).tobytes())
    if number == 0 and not same(key, verify_key(with_last)):
        raise PeerError("peer.check", label=label_of("Kb", number))
    total, counted = yield from _checked(shape, number, uploads, tied, key)
    yield Send(RESULT, label_of("Ts", number), contributions.packed(counted.present))
    yield Send(RESULT, label_of("Fs", number), final_share(shape, total, noise, tied, plus=[with_last]))
    return counted


def last(
    shape: Shape, uploads: Uploads, tied: Binding, with_servers: Sequence[prf.KeyFamily], noise: U64Array
) -> Role[Counted]:
    """Play the computing party that has the words: as ``server``; it hands out the key that uploads are verified by."""
    key = verify_key(with_servers[0])
    for number in range(shape.seeded):
        data = np.frombuffer(key.expose("hand it to a computing party"), np.uint8).reshape(1, KEY_BYTES)
        yield Send(role_of(SERVER, number), label_of("Kb", number), data)
    total, counted = yield from _checked(shape, shape.seeded, uploads, tied, key)
    yield Send(RESULT, "Tl", contributions.packed(counted.present))
    yield Send(RESULT, "Fl", final_share(shape, total, noise, tied, minus=with_servers))
    return counted


def _checked(
    shape: Shape, me: int, uploads: Uploads, tied: Binding, key: Secret[bytes]
) -> Role[tuple[U64Array, Counted]]:
    """This party's share of the sum, and of whom.

    Raises: PeerError peer.proof if an upload that is not valid ends the run, or leaves fewer than ``minimum``.
    """
    others = between(shape.servers, me)
    present = yield from agree(shape.servers[me], others, uploads.marks, tied, shape.agreement, minimum=shape.minimum)
    found = yield from verified(uploads, present, tied, key)
    unproved = present & ~found.valid
    enough = np.count_nonzero(found.valid) >= shape.minimum
    if unproved.any() and (shape.unproved is Unproved.END or not enough):
        who = ", ".join(role_of(INPUT, number) for number in np.flatnonzero(unproved).tolist())
        raise PeerError("peer.proof", peer=who)
    return found.outputs, Counted(found.valid, unproved)


# -- the result party --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summed:
    """What the result party gets: noised sums, whole numbers that noise may have made negative; whose vectors are in
    them."""

    total: tuple[int, ...]
    present: Present

    @property
    def took_part(self) -> int:
        return int(np.count_nonzero(self.present))


def opened(shape: checked_inputs.Shape, shares: Sequence[U64Array]) -> tuple[int, ...]:
    """Add up the final shares of all computing parties, in the order of ``roles``.

    Raises:  PeerError peer.share-encoding if a share has a word that no element has.
    """
    field = shape.circuit.prime
    total = field.zeros(shape.circuit.outputs)
    for role, share in zip(shape.roles, shares, strict=True):
        if not prime.encodes(field, share.reshape(1, -1), shape.circuit.outputs).all():
            raise PeerError("peer.share-encoding", peer=role, what="its final share")
        total = prime.added(total, np.ascontiguousarray(field.shaped(share)))
    return tuple(n - field.modulus if n > field.modulus // 2 else n for n in field.integers(total))


def result(shape: Shape) -> Role[Summed]:
    """Play the result party: open the sums, once all final shares are there.

    Learned: the noised sums, and who took part.
    Raises:  PeerError peer.lists if two computing parties say that others took part, peer.share-encoding.
    """
    told, shares = list[Array](), list[Array]()
    for label, found in (("Ts", told), ("Fs", shares)):
        for number in range(shape.seeded):
            found.append((yield from receive(role_of(SERVER, number), label_of(label, number))))
    for label, found in (("Tl", told), ("Fl", shares)):
        found.append((yield from receive(LAST, label)))
    if any(other.tobytes() != told[0].tobytes() for other in told):
        raise PeerError("peer.lists", label="T", problem="final shares are of different input parties")
    total = opened(shape, [shares[-1], *shares[:-1]])
    return Summed(total, contributions.unpacked(told[0], shape.holders))


def _zero(shape: checked_inputs.Shape, tied: Binding, family: prf.KeyFamily) -> U64Array:
    seed = np.frombuffer(seed_of(family, "zero"), np.uint8).reshape(1, KEY_BYTES)
    run = np.frombuffer(tied.run_id, np.uint8).reshape(1, -1)
    tags = xof.tags(shape.circuit.algorithm, _ZERO, run)
    drawn: U64Array = xof.expand(shape.circuit.prime, seed, tags, run[:, :0], shape.circuit.outputs)[0]
    return drawn
