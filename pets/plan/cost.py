"""What a run will move and how many rounds it takes, from the card's formulas. Known before anyone approves."""

from dataclasses import dataclass

from pets.ids import PartyId
from pets.spec.cards import Card
from pets.spec.ir import HelperJoin, Open, Plan


@dataclass(frozen=True, slots=True)
class Traffic:
    """One message of the plan: ``columns`` arrays of ``size`` bytes in all, sent in ``round``."""

    label: str
    round: int
    sender: PartyId
    receiver: PartyId
    columns: int
    size: int
    term: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """Messages in the order of the card, their bytes (frame headers apart) and rounds, hello included."""

    messages: tuple[Traffic, ...]
    size: int
    rounds: int


def parties_of(plan: Plan) -> dict[str, PartyId]:
    """Which party plays which role of the join card."""
    join = join_of(plan)
    return {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": opening_of(plan).to}


def join_of(plan: Plan) -> HelperJoin:
    return next(step for step in plan.steps if isinstance(step, HelperJoin))


def opening_of(plan: Plan) -> Open:
    return next(step for step in plan.steps if isinstance(step, Open))


def forecast(plan: Plan, card: Card) -> Forecast:
    """Forecast the traffic of ``plan`` under its join card."""
    join, parties = join_of(plan), parties_of(plan)
    names = card.names(dict(join.public))
    messages = tuple(
        Traffic(
            m.label,
            m.round,
            parties[m.sender],
            parties[m.receiver],
            m.columns.evaluate(names),
            m.columns.evaluate(names) * m.count.evaluate(names) * m.element_under(names).width,
            m.term,
        )
        for m in card.messages
    )
    rounds = card.cost.rounds.evaluate(names) + card.cost.hello_rounds.evaluate(names)
    return Forecast(messages, card.cost.bytes.evaluate(names), rounds)
