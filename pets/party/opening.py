"""The result party's part of a run: who sends it final shares, how many words, and what they add up to.

Nothing is opened before all final shares are in; each alone is random.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pets.ids import PartyId
from pets.party import execution, pairing, prepare
from pets.plan.cost import handed_rows, handed_words
from pets.protocols import control, helper_join, shared_join
from pets.protocols.base import Role
from pets.spec.ir import Plan, Protect
from pets.spec.programmed import words_of
from pets.spec.ways import WAYS

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def senders(plan: Plan) -> tuple[PartyId, ...]:
    """Who sends final shares, in the order in which they are received."""
    if (match := plan.match) is not None:
        way = WAYS[match.card]
        return tuple(match.party(role) for role in (way.roles if way.opens else (way.asker,)))
    if plan.program is not None:
        return plan.program.terms.parties
    join, safe = plan.join, plan.protection
    return safe.parties if isinstance(safe, Protect) else (join.role_a, join.helper)


def words(plan: Plan) -> int:
    """Words of each final share."""
    if (match := plan.match) is not None:
        return handed_rows(match) * handed_words(match)
    if plan.program is not None:
        return words_of(plan.program.terms)
    join, safe = plan.join, plan.protection
    if isinstance(safe, Protect):
        return (len(safe.shown) + len(safe.rows) + len(safe.sets)) * safe.parameter("g") * safe.parameter("h")
    return join.parameter("v") * join.parameter("g")


def receive(plan: Plan, roles: Mapping[str, PartyId]) -> Role[dict[PartyId, U64]]:
    """Play the result party of a plan. ``roles``: which party plays which role.

    Returns: the final shares by party, each flat: (words,) uint64.
    """
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


def opened(plan: Plan, shares: Mapping[PartyId, U64]) -> I64:
    """What final shares add up to.

    Returns: noised sums (v, g) int64; under disclosure control (o + q, h * g): what is shown, and below that for each
             set of counts 1 where it is enough, 0 where not. Of an intersection (rows, words): what was handed over.
             Of a program whole numbers of any size, (n,) object: output after output.
    """
    if (match := plan.match) is not None:
        parts = [shares[party] for party in senders(plan)]
        whole = pairing.opened(plan, match, parts)
        return whole.reshape(handed_rows(match), handed_words(match)).view(np.int64)
    if plan.program is not None:
        found = np.empty(sum(each.count for each in plan.program.terms.outputs), object)
        found[:] = execution.opened(plan.program, [shares[party] for party in senders(plan)])
        return found
    join, safe = plan.join, plan.protection
    parts = [shares[party] for party in senders(plan)]
    if isinstance(safe, Protect):
        shown, enough = control.open_shown(prepare.control_shape(safe), *parts)
        return np.concatenate([shown, enough.astype(np.int64)])
    v, g = join.parameter("v"), join.parameter("g")
    return helper_join.open_shares(parts[0].reshape(v, g), parts[1].reshape(v, g))
