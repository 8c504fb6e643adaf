"""The result party's part in sums over one table of many holders, and the same again from what it was sent.

What each computing party sends is kept as bytes, message after message, because its receipt has digests of these. The
role of the protocol is played over them once more whenever the sums are asked for, so a table that is computed again
from a folder of evidence goes through the same checks as the first one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError
from pets.ids import PartyId
from pets.party import contribute, gate, prepare
from pets.plan.cost import parties_of
from pets.protocols import checked_sum, codec, control, secure_sum, secure_sum_held, secure_sum_shamir
from pets.protocols.base import Array, Hear, Receive, Role
from pets.protocols.checked_inputs import PROTOCOL
from pets.spec.ir import Plan, Protect

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Totals:
    """What was opened, and whose numbers are in it.

    ``sums``: noised sums (v, g) int64; under disclosure control as ``opening.opened`` has it. ``noises``: how many
    computing parties' noise is in each sum; ``holders``: who counts, in the order of the plan.
    """

    sums: I64
    holders: tuple[PartyId, ...]
    noises: int


def take(plan: Plan, roles: Mapping[str, PartyId]) -> Role[dict[PartyId, U8]]:
    """Play the result party of a plan and keep what it is sent: by computing party, all bytes of its messages.

    Of who is lost on the way nothing is kept, where the protocol does without.
    """
    role, kept = _result(plan), dict[PartyId, list[bytes]]()
    lost: set[PartyId] = set()
    answer: Array | None = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration:
            break
        if not isinstance(act, Receive):
            raise InternalError("internal.bug", where="a result party that sends")
        answer = yield act
        if answer is None:
            lost.add(roles[act.from_])
        else:
            kept.setdefault(roles[act.from_], []).append(answer.tobytes())
    return {party: np.frombuffer(b"".join(each), np.uint8) for party, each in kept.items() if party not in lost}


def messages_of(plan: Plan) -> dict[PartyId, tuple[gate.Expected, ...]]:
    """The messages that each computing party sends the result party, in the order in which they come."""
    found: dict[PartyId, tuple[gate.Expected, ...]] = {}
    for expected in gate.project_plan(plan, parties_of(plan), gate.RESULT):
        if not expected.sending:
            found[expected.peer] = (*found.get(expected.peer, ()), expected)
    return found


def may_lose(plan: Plan) -> bool:
    """Whether sums can be opened without some computing parties."""
    return contribute.pool_of(plan).card == secure_sum_shamir.PROTOCOL


def validated(plan: Plan) -> bool:
    """Whether what holders hand in is proved to be within its bounds."""
    return contribute.pool_of(plan).card == PROTOCOL


def size_of(plan: Plan, party: PartyId) -> int:
    """Bytes that a computing party sends the result party."""
    return sum(expected.size for expected in messages_of(plan)[party])


def again(plan: Plan, sent: Mapping[PartyId, U8 | npt.NDArray[np.uint64]]) -> Totals:
    """What the bytes of ``take`` open to.

    Raises: PeerError peer.bad-length if somebody's bytes have another length than the plan's messages; whatever the
            result party's role raises of what it is sent.
    """
    roles, waiting = parties_of(plan), dict[tuple[PartyId, str, int], Array]()
    for party, expected in messages_of(plan).items():
        if party not in sent:
            continue
        body, start = memoryview(sent[party].tobytes()), 0
        if len(body) != (size := sum(each.size for each in expected)):
            raise PeerError("peer.bad-length", peer=party, message="its final shares", got=len(body), expected=size)
        for each in expected:
            part, start = body[start : start + each.size], start + each.size
            kind, width = each.element.kind, each.element.width
            array = codec.decode(part, kind=kind, width=width, count=each.count, label=each.label)
            waiting[party, each.label, each.slot.column] = array
    role = _result(plan)
    answer: Array | None = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            found: Totals = end.value
            return found
        if not isinstance(act, Receive):
            raise InternalError("internal.bug", where="a result party that sends")
        answer = waiting.get((roles[act.from_], act.label, act.column))
        if answer is None and not isinstance(act, Hear):
            raise PeerError("peer.bad-length", peer=roles[act.from_], message=act.label, got=0, expected=1)


def _result(plan: Plan) -> Role[Totals]:
    """The role of the result party under the card of the sums, and of what takes them over."""
    pool, safe, shape = contribute.pool_of(plan), plan.protection, contribute.shape_of(plan)
    if isinstance(shape, secure_sum_held.Shape):
        if not isinstance(safe, Protect):
            raise InternalError("internal.bug", where="sums for disclosure control that it does not take over")
        held = yield from secure_sum_held.result(shape)
        parts = yield from control.result(prepare.control_shape(safe), secure_sum_held.PARTIES)
        shown, enough = control.open_shown(prepare.control_shape(safe), *parts)
        return Totals(np.concatenate([shown, enough.astype(np.int64)]), contribute.named(plan, held), 0)
    if isinstance(shape, checked_sum.Shape):
        proved = yield from checked_sum.result(shape)
        # All that counts is proved to be from 0 to the greatest: other sums are those of who computed otherwise.
        if not all(-pool.noise <= each <= proved.took_part * shape.greatest + pool.noise for each in proved.total):
            raise PeerError("peer.check", label="F")
        # Each holder has handed in its numbers less the least that they may be.
        taken_off = np.repeat(np.array(contribute.least_of(plan), object), contribute.cells_of(plan))
        whole = np.array(proved.total, object) + proved.took_part * taken_off
        sums = whole.astype(np.int64).reshape(len(pool.moments), -1)
        return Totals(sums, contribute.named(plan, proved.present), shape.computing)
    if isinstance(shape, secure_sum_shamir.Shape):
        points = yield from secure_sum_shamir.result(shape)
        total, present = secure_sum_shamir.signed(points.total), points.present
        noises = int(np.count_nonzero(points.noised))
    else:
        summed = yield from secure_sum.result(shape)
        total, present, noises = summed.total.view(np.int64), summed.present, shape.computing
    sums = contribute.layout_of(plan).unpacked(total)
    return Totals(
        np.stack([sums[str(number)] for number in range(len(pool.moments))]), contribute.named(plan, present), noises
    )
