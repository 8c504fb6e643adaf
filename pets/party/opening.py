"""The result party's part of a run: who sends it final shares, how many words, and what they add up to.

Nothing is opened before all final shares are in; each alone is random.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pets.errors import PeerError
from pets.ids import PartyId
from pets.party import execution, pairing, prepare, totals
from pets.plan.cost import handed_rows, handed_words
from pets.protocols import control, helper_join, shared_join
from pets.protocols.base import Role
from pets.spec.ir import Plan, Protect
from pets.spec.programmed import words_of
from pets.spec.ways import WAYS

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

Share = npt.NDArray[np.uint64] | npt.NDArray[np.uint8]
"""What a party sent the result party: a flat final share, or the bytes of all its messages (``totals.take``)."""


def senders(plan: Plan) -> tuple[PartyId, ...]:
    """Who sends final shares, in the order in which they are received."""
    if (match := plan.match) is not None:
        way = WAYS[match.card]
        return tuple(match.party(role) for role in (way.roles if way.opens else (way.asker,)))
    if plan.program is not None:
        return plan.program.terms.parties
    if plan.pool is not None:
        return tuple(totals.messages_of(plan))
    join, safe = plan.join, plan.protection
    return safe.parties if isinstance(safe, Protect) else (join.role_a, join.helper)


def words(plan: Plan) -> int:
    """Words of each final share. Of sums over one table ``size_of`` says how much is sent."""
    if (match := plan.match) is not None:
        return handed_rows(match) * handed_words(match)
    if plan.program is not None:
        return words_of(plan.program.terms)
    join, safe = plan.join, plan.protection
    if isinstance(safe, Protect):
        return (len(safe.shown) + len(safe.rows) + len(safe.sets)) * safe.parameter("g") * safe.parameter("h")
    return join.parameter("v") * join.parameter("g")


def size_of(plan: Plan, party: PartyId) -> int:
    """Bytes that a party sends the result party."""
    return 8 * words(plan) if plan.pool is None else totals.size_of(plan, party)


def to_bytes(share: Share) -> bytes:
    """What a party sent, as its file and the digests of its receipt have it."""
    return share.tobytes() if share.dtype == np.uint8 else share.astype("<u8").tobytes()


def of_bytes(plan: Plan, party: PartyId, body: bytes) -> Share:
    """The same back. Raises: PeerError peer.bad-length."""
    if len(body) != (size := size_of(plan, party)):
        raise PeerError("peer.bad-length", peer=party, message="its final share", got=len(body), expected=size)
    if plan.pool is not None:
        return np.frombuffer(body, np.uint8)
    return np.frombuffer(body, "<u8").astype(np.uint64)


def receive(plan: Plan, roles: Mapping[str, PartyId]) -> "Role[Mapping[PartyId, Share]]":
    """Play the result party of a plan. ``roles``: which party plays which role.

    Returns: the final shares by party, each flat: (words,) uint64; of sums over one table the bytes of all messages.
    """
    if plan.pool is not None:
        return (yield from totals.take(plan, roles))
    if plan.match is not None:
        return (yield from pairing.receive_outcome(plan, plan.match, roles))
    if plan.program is not None:
        return (yield from execution.receive_released(plan.program))
    join, safe = plan.join, plan.protection
    if isinstance(safe, Protect):
        names = tuple(next(role for role, party in roles.items() if party == each) for each in safe.parties)
        parts = yield from control.result(prepare.control_shape(safe), (names[0], names[1], names[2]))
        return dict(zip(safe.parties, parts, strict=True))
    shape = prepare.shape_of(plan)
    if isinstance(shape, shared_join.Shape):
        of_a, of_helper = yield from shared_join.result(shape)
    else:
        of_a, of_helper = yield from helper_join.result(shape)
    return {join.role_a: of_a.reshape(-1), join.helper: of_helper.reshape(-1)}


def opened(plan: Plan, shares: Mapping[PartyId, Share]) -> I64:
    """What final shares add up to.

    Returns: noised sums (v, g) int64; under disclosure control (o + q, h * g): what is shown, and below that for each
             set of counts 1 where it is enough, 0 where not. Of an intersection (rows, words): what was handed over.
             Of a program whole numbers of any size, (n,) object: output after output.
    """
    if plan.pool is not None:
        return totals.again(plan, shares).sums
    if (match := plan.match) is not None:
        parts = [shares[party].view(np.uint64) for party in senders(plan)]
        whole = pairing.opened(plan, match, parts)
        return whole.reshape(handed_rows(match), handed_words(match)).view(np.int64)
    if plan.program is not None:
        found = np.empty(sum(each.count for each in plan.program.terms.outputs), object)
        found[:] = execution.opened(plan.program, [shares[party].view(np.uint64) for party in senders(plan)])
        return found
    join, safe = plan.join, plan.protection
    parts = [shares[party].view(np.uint64) for party in senders(plan)]
    if isinstance(safe, Protect):
        shown, enough = control.open_shown(prepare.control_shape(safe), *parts)
        return np.concatenate([shown, enough.astype(np.int64)])
    v, g = join.parameter("v"), join.parameter("g")
    return helper_join.open_shares(parts[0].reshape(v, g), parts[1].reshape(v, g))
