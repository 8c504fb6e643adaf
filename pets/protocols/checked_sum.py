"""checked_sum: the sum of what input parties hand in, each proved to be within its bounds before it is added.

``checked_inputs`` verifies uploads; here are the roles around it: computing parties send the result party a share of
the sum each, with their noise and a share of zero, and it opens the sum. All of that is modulo the prime of the
circuit, so sums are of whole numbers, exact as long as they and the noise stay below half of it.

Source: draft-irtf-cfrg-vdaf-20, section 7.2; protocols.md 8.1 and 0.9; docs/adr/0041-checked-inputs.md.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import prf, prime, xof
from pets.kernels.jit import U64Array
from pets.protocols.base import Binding, Role, Send, receive
from pets.protocols.checked_inputs import (
    KEY_BYTES,
    LAST,
    SERVER,
    Shape,
    heard,
    seed_of,
    verified,
    verify_key,
)
from pets.protocols.contributions import label_of
from pets.protocols.upload import role_of
from pets.secret import Secret

RESULT: Final = "result"

_ZERO: Final = 0x100
"""What the XOF is used for besides the draft's purposes: shares of zero."""


# -- computing parties -------------------------------------------------------------------------------------------------


def final_share(
    shape: Shape,
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


def computing_party(
    shape: Shape, party: int, tied: Binding, families: Sequence[prf.KeyFamily], noise: U64Array | None
) -> Role[None]:
    """Play a computing party where all input parties are there: ``last`` (0) or a server (from 1).

    ``families``: of ``last`` with each server, in order; a server has one, with ``last``. The verification key is of
    ``last`` and server 1; ``last`` passes it on to other servers (Kb), before they look at any upload.
    Sizes:   in, uploads; V both ways; out F, ``output_words`` words to result.
    """
    if party < 2:
        key = verify_key(families[0])
        if party == 0:
            for other in range(1, shape.seeded):
                data = np.frombuffer(key.expose("pass on to a computing party"), np.uint8).reshape(1, KEY_BYTES)
                yield Send(role_of(SERVER, other), label_of("Kb", other), data)
    else:
        key = Secret((yield from receive(LAST, label_of("Kb", party - 1))).tobytes())
    uploads = yield from heard(shape, party)
    total = yield from verified(uploads, np.ones(shape.holders, np.bool_), tied, key)
    if party == 0:
        yield Send(RESULT, "Fl", final_share(shape, total, noise, tied, minus=families))
    else:
        yield Send(RESULT, label_of("Fs", party - 1), final_share(shape, total, noise, tied, plus=families))


# -- the result party --------------------------------------------------------------------------------------------------


def opened(shape: Shape, shares: Sequence[U64Array]) -> list[int]:
    """Add up the final shares of all computing parties: the sums, whole numbers that noise may have made negative.

    Raises:  PeerError peer.share-encoding if a share has a word that no element has.
    """
    field = shape.circuit.prime
    total = field.zeros(shape.circuit.outputs)
    for role, share in zip(shape.roles, shares, strict=True):
        if not prime.encodes(field, share.reshape(1, -1), shape.circuit.outputs).all():
            raise PeerError("peer.share-encoding", peer=role, what="its final share")
        total = prime.added(total, np.ascontiguousarray(field.shaped(share)))
    return [n - field.modulus if n > field.modulus // 2 else n for n in field.integers(total)]


def result(shape: Shape) -> Role[list[int]]:
    """Play the result party: open the sums, once all final shares are there."""
    shares = [(yield from receive(LAST, "Fl"))]
    for number in range(shape.seeded):
        shares.append((yield from receive(role_of(SERVER, number), label_of("Fs", number))))
    return opened(shape, shares)


def _zero(shape: Shape, tied: Binding, family: prf.KeyFamily) -> U64Array:
    seed = np.frombuffer(seed_of(family, "zero"), np.uint8).reshape(1, KEY_BYTES)
    run = np.frombuffer(tied.run_id, np.uint8).reshape(1, -1)
    tags = xof.tags(shape.circuit.algorithm, _ZERO, run)
    drawn: U64Array = xof.expand(shape.circuit.prime, seed, tags, run[:, :0], shape.circuit.outputs)[0]
    return drawn
