"""What a run sent, held against what gate and forecast say of its plan alone."""

from collections.abc import Mapping
from typing import Any

from pets.ids import PartyId
from pets.party import gate
from pets.plan.cost import forecast, parties_of
from pets.spec.cards import load_cards
from pets.spec.ir import Plan
from tests.oracles.play import Transcript


def roles_of(plan: Plan) -> Mapping[str, PartyId]:
    """Who plays which role of a plan; the result party by its endpoint."""
    parties = parties_of(plan)
    return parties | {"result": PartyId(f"{parties['result']}:result")}


def as_planned(plan: Plan, transcript: Transcript) -> None:
    """Operation by operation and byte by byte: receiver, label, column and count of all that each role sent."""
    found = forecast(plan, load_cards())
    assert sum(message.size for message in found.messages) == found.size == transcript.bytes()
    parties: Any = roles_of(plan)
    for role in (role for role in parties if role != gate.RESULT):
        projected = [
            (each.role, each.label, each.slot.column, each.count)
            for each in gate.project_plan(plan, parties, role)
            if each.sending
        ]
        assert projected == [(to, label, at, len(a)) for (own, to, label, at), a in transcript.sent if own == role]
