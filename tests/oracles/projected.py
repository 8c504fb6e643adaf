"""What a run sent, held against what gate and forecast say of its plan alone."""

from collections.abc import Mapping
from typing import Any

from pets.ids import PartyId
from pets.party import gate
from pets.plan.cost import forecast
from pets.spec.cards import load_cards
from pets.spec.ir import Open, Plan
from tests.oracles.play import Transcript


def roles_of(plan: Plan) -> Mapping[str, PartyId]:
    """Who plays which role of a plan of two tables; the result party by its endpoint."""
    join = plan.join
    to = next(step for step in plan.steps if isinstance(step, Open)).to
    return {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": PartyId(f"{to}:result")}


def as_planned(plan: Plan, transcript: Transcript) -> None:
    """Operation by operation and byte by byte: receiver, label, column and count of all that each role sent."""
    found = forecast(plan, load_cards())
    assert sum(message.size for message in found.messages) == found.size == transcript.bytes()
    parties: Any = roles_of(plan)
    for role in ("a", "b", "helper"):
        projected = [
            (each.role, each.label, each.slot.column, each.count)
            for each in gate.project_plan(plan, parties, role)
            if each.sending
        ]
        assert projected == [(to, label, at, len(a)) for (own, to, label, at), a in transcript.sent if own == role]
