"""What a run will move and how many rounds it takes, from the card's formulas. Known before anyone approves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Final

from pets.ids import PartyId
from pets.spec import handover, operations, repeated, rowwise
from pets.spec import program as programs
from pets.spec.cards import Card, load_cards
from pets.spec.handover import Cards, joined
from pets.spec.ir import Execute, HelperJoin, Match, Open, Plan, Pool, Protect
from pets.spec.program import Program
from pets.spec.repeated import BESIDE, HOLDERS, many
from pets.spec.term import OWN, OWN_COLUMNS, parse_term
from pets.spec.ways import WAYS


@dataclass(frozen=True, slots=True)
class Traffic:
    """One message of the plan: ``columns`` arrays of ``size`` bytes in all, sent in ``round``, or from then on.

    ``term``: what it is made of; "" for a message of an operation, whose words are shares.
    """

    label: str
    round: int
    sender: PartyId
    receiver: PartyId
    columns: int
    size: int
    term: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where parties stand to each other. Units: microseconds a round trip, picoseconds a byte on the way."""

    name: str
    round_trip: int
    byte: int


ONE_MACHINE: Final = Setting("all servers on one machine of two cores", 1_000, 0)
BETWEEN_SITES: Final = Setting("servers 20 ms apart, 1 Gbit/s", 21_000, 8_000)
SETTINGS: Final = (ONE_MACHINE, BETWEEN_SITES)

START: Final = 90
"""Milliseconds from the client's call to the first message, and from the last one to the table."""

WORK: Final = 2_600
"""Picoseconds of computing, reading and copying that go with each byte that is sent, all parties together on two cores.

What a party computes is linear in what it sends, whatever the protocol: ``benchmarks/forecast.py`` measures how well
that holds.
"""


DRAW: Final = 2_000
"""Nanoseconds for the noise of one released number, all parties' parts of it together on two cores."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Messages in the order of the card, their bytes (frame headers apart) and rounds, hello included.

    ``drawn``: numbers that are released with noise.
    """

    messages: tuple[Traffic, ...]
    size: int
    rounds: int
    drawn: int = 0

    def milliseconds(self, setting: Setting = ONE_MACHINE) -> int:
        """How long a run takes on warm servers, from the client's call to the table: within a factor of two."""
        drawing = self.drawn * DRAW // 10**6
        return START + drawing + self.rounds * setting.round_trip // 1_000 + self.size * (WORK + setting.byte) // 10**9

    @property
    def times(self) -> tuple[tuple[str, int], ...]:
        """Milliseconds of a run in each setting, by its name."""
        return tuple((setting.name, self.milliseconds(setting)) for setting in SETTINGS)


def parties_of(plan: Plan) -> dict[str, PartyId]:
    """Which party plays which role of the card of the join, or of the intersection."""
    if (match := plan.match) is not None:
        return dict(match.roles) | {"result": opening_of(plan).to}
    if plan.program is not None:
        return dict(plan.program.roles) | {"result": opening_of(plan).to}
    if (pool := plan.pool) is not None:
        return dict(pool.roles) | {"result": opening_of(plan).to}
    join, to = join_of(plan), opening_of(plan).to
    if not join.shared:
        parties = {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": to}
        return parties | {repeated.role_of(BESIDE, number): each.role for number, each in enumerate(join.beside)}
    holders = {
        repeated.role_of(role, number): party
        for role, read in zip(HOLDERS, plan.reads, strict=True)
        for number, party in enumerate(read.parties)
    }
    return holders | {"first": join.role_a, "second": join.helper, "third": join.role_b, "result": to}


def join_card(plan: Plan) -> Card:
    """The card of the join, with as many parties of each role as the plan has; or of the intersection, or of a sum.

    Of an intersection with the message that hands the outcome to the asker's own people, if there is one.
    """
    if (match := plan.match) is not None:
        return _match_card(match)
    if plan.program is not None:
        return load_cards()[plan.program.card]
    if (pool := plan.pool) is not None:
        return repeated.with_so_many(load_cards()[pool.card], pool_counts(pool))
    return repeated.with_so_many(load_cards()[plan.join.card], repeated.counts_of(plan))


def join_numbers(plan: Plan) -> dict[str, int]:
    """All parameters of that card."""
    if (match := plan.match) is not None:
        return _match_numbers(match)
    if plan.program is not None:
        return join_card(plan).names(dict(plan.program.public))
    if (pool := plan.pool) is not None:
        return load_cards()[pool.card].names(dict(pool.public))
    join, public = plan.join, dict(plan.join.public)
    if join.shared:
        for role, read in zip(HOLDERS, plan.reads, strict=True):
            public |= repeated.numbers_of(role, [{OWN: rows} for _, rows in read.holders or ()])
    brought = zip(plan.reads[2:], join.beside, strict=True)
    public |= repeated.numbers_of(BESIDE, [{OWN: read.max_rows, OWN_COLUMNS: each.travels} for read, each in brought])
    return join_card(plan).names(public)


def pool_counts(pool: Pool) -> dict[str, int]:
    """How many parties play each role of the card of a sum that many may."""
    roles = [role for role, _ in pool.roles]
    return {name: sum(role.rstrip("0123456789") == name for role in roles) for name in many(load_cards()[pool.card])}


def _match_card(match: Match) -> Card:
    cards = load_cards()
    card = cards[match.card]
    if not match.handed_by:
        return card
    handed, asker = cards[match.handed_by], WAYS[match.card].asker
    more = tuple(
        replace(
            message,
            number=message.number + max(each.number for each in card.messages),
            round=message.round + max(each.round for each in card.messages),
            sender=asker,
            term=message.term.replace("asker", asker),
            meaning=parse_term(message.term.replace("asker", asker)),
        )
        for message in handed.messages
    )
    roles = {**card.roles, "result": handed.roles["result"]}
    return replace(card, roles=roles, messages=(*card.messages, *more))


def _match_numbers(match: Match) -> dict[str, int]:
    cards = load_cards()
    names = cards[match.card].names(dict(match.public))
    if not match.handed_by:
        return names
    return handover.numbers(
        names, cards[match.handed_by].names({"rows": handed_rows(match), "words": handed_words(match)})
    )


def handed_rows(match: Match) -> int:
    """Rows of the outcome as it is handed to the asker's people: the declared persons, groups, or one number."""
    if match.outcome == "sum":
        return match.parameter("g")
    return match.parameter(WAYS[match.card].sizes[0]) if match.outcome == "intersection" else 1


def handed_words(match: Match) -> int:
    """Words of a row: an identifier and what comes with a person; of a group two and its sums; or one number."""
    if match.outcome == "sum":
        return 2 + match.parameter("v")
    brought = WAYS[match.card].columns
    return match.id_words + (match.parameter(brought) if brought else 0) if match.outcome == "intersection" else 1


def join_of(plan: Plan) -> HelperJoin:
    return plan.join


def opening_of(plan: Plan) -> Open:
    return next(step for step in plan.steps if isinstance(step, Open))


def forecast(plan: Plan, cards: Mapping[str, Card]) -> Forecast:
    """Forecast the traffic of ``plan`` under the cards of its join and of what protects the release."""
    if plan.match is not None:
        return _of_match(plan, plan.match, cards)
    if plan.program is not None:
        return _of_execution(plan, plan.program, cards)
    if plan.pool is not None:
        return _of_pool(plan, plan.pool, cards)
    join, safe, parties = plan.join, plan.protection, parties_of(plan)
    card, names = join_card(plan), join_numbers(plan)
    size = sum(formula.evaluate(names) for formula in (card.cost.bytes, *card.cost.bytes_of.values()))
    rounds = card.cost.rounds.evaluate(names) + card.cost.hello_rounds.evaluate(names)
    if card.program is not None and card.program.apart:
        steps = list(programs.steps(card.program, cards[card.program.card], names))
        rounds += len(steps)
        size += sum(8 * sent.count for step in steps for sent in step)
    ring = (*ring_of(plan), parties["result"])
    if isinstance(safe, Protect):
        card, names, more, turns = _taken_over(card, names, safe, cards)
        size, rounds = size + more, rounds + turns
    own = listed(card, names, parties)
    turn = 0 if join.rows is None else last_before_rows(card)
    on_rows, on_sums = list(steps_on_rows(plan)), list(steps_of_control(plan))
    rounds += len(on_rows) + (1 if on_rows else 0) + len(on_sums)  # and one in which a gets the part that it lacks
    computed = (*_computed(on_rows, ring, turn), *_computed(on_sums, ring, max(m.round for m in own)))
    size += sum(message.size for message in computed)
    drawn = 0 if isinstance(safe, Protect) else join.parameter("r") * join.parameter("g")
    return Forecast((*own, *computed), size, rounds, drawn)


def _of_match(plan: Plan, match: Match, cards: Mapping[str, Card]) -> Forecast:
    own, names = cards[match.card], join_numbers(plan)
    size, rounds = (
        own.cost.bytes.evaluate(names),
        own.cost.rounds.evaluate(names) + own.cost.hello_rounds.evaluate(names),
    )
    if match.handed_by:
        handed = cards[match.handed_by]
        size += handed.cost.bytes.evaluate(names)
        rounds += handed.cost.rounds.evaluate(names)
    if own.program is not None and own.program.apart:
        steps = list(programs.steps(own.program, cards[own.program.card], names))
        rounds += len(steps)
        size += sum(8 * sent.count for step in steps for sent in step)
    return Forecast(listed(join_card(plan), names, parties_of(plan)), size, rounds, int(bool(match.epsilon)))


def _of_execution(plan: Plan, step: Execute, cards: Mapping[str, Card]) -> Forecast:
    """Of a program the most that it may send: streams have a budget, and no list of messages."""
    card, names = cards[step.card], join_numbers(plan)
    size = card.cost.bytes.evaluate(names)
    rounds = card.cost.rounds.evaluate(names) + card.cost.hello_rounds.evaluate(names)
    return Forecast(flows(plan), size, rounds)


def flows(plan: Plan) -> tuple[Traffic, ...]:
    """What the streams of a program's card let each party send: one line for each two, with all bytes of it."""
    card, names, parties = join_card(plan), join_numbers(plan), parties_of(plan)
    members = [party for role, party in parties.items() if role != "result"]
    return tuple(
        Traffic(
            stream.label,
            place,
            sender,
            receiver,
            stream.frames.evaluate(names),
            stream.bytes.evaluate(names),
            "",
        )
        for place, stream in enumerate(card.streams, 1)
        for sender in members
        for receiver in ([parties[stream.to]] if stream.to else [other for other in members if other != sender])
    )


def _of_pool(plan: Plan, pool: Pool, cards: Mapping[str, Card]) -> Forecast:
    """A run as if every holder uploaded: the time in which uploads are taken is not in it."""
    safe, parties = plan.protection, parties_of(plan)
    card, names = join_card(plan), join_numbers(plan)
    size = card.cost.bytes.evaluate(names)
    rounds = card.cost.rounds.evaluate(names) + card.cost.hello_rounds.evaluate(names)
    if not isinstance(safe, Protect):
        cells = prod(len(each.levels) for read in plan.reads for each in read.dimensions)
        return Forecast(listed(card, names, parties), size, rounds, len(pool.computing) * cells * len(safe.columns))
    card, names, more, turns = _taken_over(card, names, safe, cards)
    size, rounds = size + more, rounds + turns
    own = listed(card, names, parties)
    on_sums = list(steps_of_control(plan))
    computed = tuple(_computed(on_sums, (*ring_of(plan), parties["result"]), max(m.round for m in own)))
    return Forecast((*own, *computed), size + sum(m.size for m in computed), rounds + len(on_sums))


def _taken_over(
    card: Card, names: Mapping[str, int], safe: Protect, cards: Mapping[str, Card]
) -> tuple[Card, dict[str, int], int, int]:
    """The card that disclosure control takes over, with it; the numbers of both; its bytes and rounds on top."""
    control = cards[safe.card]
    numbers = control.names(dict(safe.public))
    rounds = control.cost.rounds.evaluate(numbers) - 1  # shares are taken over in the place of the last round
    return joined(card, control), handover.numbers(names, numbers), control.cost.bytes.evaluate(numbers), rounds


def ring_of(plan: Plan) -> tuple[PartyId, PartyId, PartyId]:
    """The three that compute on shares, in the order of their parts: the two that hold those of a join come first."""
    safe = plan.protection
    return safe.parties if isinstance(safe, Protect) else (plan.join.role_a, plan.join.helper, plan.join.role_b)


def last_before_rows(card: Card) -> int:
    """The round after which the three may compute on rows: that before the message which ends it."""
    return min(message.round for message in card.messages if message.columns.text == "v_c") - 1


def steps_on_rows(plan: Plan) -> Iterator[tuple[operations.Sent, ...]]:
    """What the three send each other while they compute on rows; nothing if the plan has no such condition."""
    cards, join = load_cards(), plan.join
    if join.rows is not None:
        card = cards[join.rows.card]
        listed = cards[join.card].names(dict(join.public))["n_list_a"]
        for name, public in rowwise.program(join, listed):
            yield from operations.steps(card.operations, name, card.names(public), Cards())


def steps_of_control(plan: Plan) -> Iterator[tuple[operations.Sent, ...]]:
    """What the three send each other, and the result party, under disclosure control; nothing if there is none."""
    safe = plan.protection
    if isinstance(safe, Protect):
        card = load_cards()[safe.card]
        names = card.names(dict(safe.public))
        yield from operations.steps(card.operations, operation_of(card).name, names, Cards())


def listed(card: Card, names: Mapping[str, int], parties: Mapping[str, PartyId]) -> tuple[Traffic, ...]:
    """The messages of a card, and of its program, under its numbers."""
    own = tuple(
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
    if (program := card.program) is None:
        return own
    before = sum(message.round <= program.after for message in own)
    return (*own[:before], *_of_program(card, program, names, parties), *own[before:])


def _of_program(
    card: Card, program: Program, names: Mapping[str, int], parties: Mapping[str, PartyId]
) -> Iterator[Traffic]:
    """What the program of a card sends, all messages of one label between two parties together."""
    for sent, times in programs.messages(program, load_cards()[program.card], names):
        sender, receiver = (parties[program.parties[number]] for number in (sent.sender, sent.receiver))
        yield Traffic(sent.label, program.after + 1, sender, receiver, times, 8 * sent.count, "")


def _computed(
    steps: Sequence[Sequence[operations.Sent]], parties: tuple[PartyId, ...], before: int
) -> Iterator[Traffic]:
    """The messages of operations, those of one label between two parties together."""
    found: dict[tuple[str, PartyId, PartyId], tuple[int, int, int]] = {}
    for number, step in enumerate(steps, before + 1):
        for sent in step:
            way = (sent.label, parties[sent.sender], parties[sent.receiver])
            first, columns, size = found.get(way, (number, 0, 0))
            found[way] = (first, columns + 1, size + 8 * sent.count)
    for (label, sender, receiver), (first, columns, size) in found.items():
        yield Traffic(label, first, sender, receiver, columns, size, "")


def operation_of(card: Card) -> operations.Operation:
    """The operation that a run of this card performs: its last one, which the others are for."""
    return card.operations[-1]


def used_cards(plan: Plan) -> tuple[str, ...]:
    """The cards that a plan rests on: of its steps, and those whose operations they use."""
    if (match := plan.match) is not None:
        program = load_cards()[match.card].program
        return tuple(filter(None, (match.card, "" if program is None else program.card, match.handed_by)))
    if plan.program is not None:
        return (plan.program.card,)
    if plan.pool is not None:
        return _used((plan.pool.card, plan.protection.card))
    rows = plan.join.rows
    return _used((plan.join.card, *(() if rows is None else (rows.card,)), plan.protection.card))


def _used(named: tuple[str, ...]) -> tuple[str, ...]:
    """These cards, and those whose operations they use."""
    cards = load_cards()
    used = (
        part.card
        for card in named
        for each in cards[card].operations
        for part in each.parts
        if isinstance(part, operations.Use)
    )
    of_programs = (program.card for card in named if (program := cards[card].program) is not None)
    return tuple(dict.fromkeys((*named, *filter(None, used), *of_programs)))
