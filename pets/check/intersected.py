"""The report on an intersection: what is found out, who learns it, how, and where the protection ends.

The counterparts of minute.py, learned.py and computed.py for two sets of persons; report.py puts them in their places.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from pets.check import budget, matched
from pets.check.blocks import (
    Block,
    Code,
    Flow,
    Grid,
    Picture,
    Points,
    Section,
    Text,
    about,
    listed,
    odds,
    plural,
    size,
)
from pets.check.checked import HELPER_TAIL, Checked, full_name
from pets.check.checked import Message as Planned
from pets.check.coalitions import bare, within_model
from pets.check.computed import settled
from pets.check.declared import Declared, Named
from pets.check.labels import Coalition, Fact, Mark, strongest, weakest
from pets.check.withstood import withstood
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card, Message
from pets.spec.ir import Match
from pets.spec.model import Spec
from pets.spec.pairing import Pairing
from pets.spec.predicate import columns_of, worded
from pets.spec.term import calls
from pets.spec.ways import WAYS, Way, way_of

_UNPROTECTED: Final = (
    "The question, the declared sizes, the times of messages. Whether persons on a list are real: who makes persons up "
    "learns whether they are there. See “What could still go wrong”."
)


_THAT: Final = {
    "intersection": "that list",
    "cardinality": "that number",
    "threshold": "that answer",
    "sum": "that table",
}
_UNREVIEWED: Final = ("not independently reviewed", "no proof of the whole")
_SHARES: Final = "masked shares of what the three compute together: random numbers to the receiver"


def sets_of(review: Checked) -> tuple[Pairing, str, str]:
    """What is asked, and who holds the asker's dataset and the other one."""
    assert review.pairing is not None
    asks, other = (review.spec.dataset(name).party for name in review.pairing.tables)
    return review.pairing, asks, other


# -- in one minute ----------------------------------------------------------------------------------------------------


def computed(review: Checked) -> str:
    """What is found out, in a sentence or two."""
    pairing, _, _ = sets_of(review)
    rows = "".join(
        f" Of {name} only rows count where {worded(where)}."
        for name in pairing.tables
        if (where := pairing.where(name)) is not None
    )
    asks, other = pairing.tables
    match pairing.outcome:
        case "intersection":
            brought = f" With each comes {listed(map(str, pairing.columns))}." if pairing.columns else ""
            return f"Which persons of {asks} are in {other}, too: a list of single persons.{brought}{rows}"
        case "cardinality":
            least = f" If there are fewer than {pairing.min_result:,}, only that is told." if pairing.min_result else ""
            noised = review.spec.release.differential_privacy is not None
            number = "one number with noise" if noised else "one exact number"
            return f"How many persons of {asks} are in {other}, too: {number}.{least}{rows}"
        case "sum":
            what = f"the sums of {listed(map(str, pairing.columns))}" if pairing.columns else "nothing else"
            groups = f" for every {listed(ref.column for ref in pairing.by)}" if pairing.by else ""
            return f"Of persons of {asks} who are in {other}, too,{groups}: how many there are, and {what}.{rows}"
        case _:
            return f"Whether at least {pairing.at_least:,} persons of {asks} are in {other}, too: yes or no.{rows}"


def minute(review: Checked) -> Iterator[tuple[str, str]]:
    """The questions of the box whose answers are of intersections, in their order; the others come after these."""
    spec, (pairing, _, _) = review.spec, sets_of(review)
    yield "What is computed?", computed(review)
    brings = " ".join(
        f"{full_name(spec, table.party)}: person ids of {table.name}, of up to {table.max_rows:,} persons."
        for table in (spec.dataset(name) for name in pairing.tables)
    )
    yield "Who brings what?", f"{brings} No record leaves its holder in readable form."
    yield "Who gets what?", _gets(review)
    helper = _helper(review)
    if helper is not None:
        yield "What does the helper see?", f"{full_name(spec, helper)}: {_helper_sees(review)}"
    yield "Who could cheat?", _cheats(review)
    yield "What is not protected?", _UNPROTECTED


def price(review: Checked) -> str:
    """What it costs in privacy: there is no noise that would bound it."""
    loss = budget.total((budget.release_loss(review.spec), budget.helper_loss(review.spec)))
    if review.spec.release.differential_privacy is not None and review.spec.computation.psi == "sum":
        return (
            "The noise hides the values of a person: it changes the odds of any guess about them by a factor of "
            f"{odds(loss.epsilon)} at most (epsilon {budget.exact(loss.epsilon)}). It does not hide who is in both: "
            "how many persons of a group are is told exactly."
        )
    if review.spec.release.differential_privacy is not None:
        return (
            f"One run can change the odds of any guess about one person by a factor of {odds(loss.epsilon)} at most "
            f"(epsilon {budget.exact(loss.epsilon)}, delta {budget.exact(loss.delta)})."
        )
    more = f" The helper's count alone costs epsilon {budget.exact(loss.epsilon)} a run." if loss.epsilon else ""
    return _exact(review) + more


def _exact(review: Checked) -> str:
    if review.spec.computation.psi == "sum":
        return "The table has no noise: small groups are withheld instead."
    if review.spec.computation.psi == "intersection":
        return "It is exact and about single persons: each of them is known to the recipient as being in both."
    return "It is exact, with no noise: who knows all but one of the persons may learn whether that one is in both."


def _gets(review: Checked) -> str:
    spec, (pairing, asks, other) = review.spec, sets_of(review)
    what = _THAT[pairing.outcome]
    out = [f"{full_name(spec, spec.result_party)}: {what}{_how(review)}."]
    if pairing.outcome == "sum":
        out.append("Its server learns how many persons of each group are in both, exactly, also of small groups.")
    if pairing.both:
        out.append(f"{full_name(spec, other)}: which of its own persons are on it.")
    if pairing.outcome == "intersection" and not pairing.both:
        out.append(f"{full_name(spec, other)} does not learn who is on it, nor how many are.")
    elif not pairing.both:
        told = {asks, other} - set(spec.release.to)
        out.append(f"{listed(sorted(told))} learns no number." if told else "")
    out.append("All know the declared sizes.")
    return " ".join(filter(None, out))


def _how(review: Checked) -> str:
    """What protects sums, in a few words."""
    match = None if review.plan is None else review.plan.match
    if match is None or match.outcome != "sum":
        return ""
    if match.min_count:
        return f", without groups of fewer than {match.min_count} persons"
    return ", with noise in every sum"


def _helper(review: Checked) -> PartyId | None:
    way = WAYS.get(way_of(review.spec))
    match = None if review.plan is None else review.plan.match
    return match.party(way.helper) if way is not None and way.helper and match is not None else None


def _helper_sees(review: Checked) -> str:
    sees = "codes for person ids, and cannot read them."
    rows = {row.kind: row for row in review.verdict.matrix.rows}
    helper = _helper(review)
    match = None if review.plan is None else review.plan.match
    if match is not None and "count" in rows and rows["count"].cells[str(helper)] is Mark.NOISED:
        width = about(Fraction(-(-HELPER_TAIL / match.helper_epsilon // 1)))
        return f"{sees} It learns how many match, give or take {width}."
    return f"{sees} It does not learn how many match."


def _cheats(review: Checked) -> str:
    spec, (_, asks, other) = review.spec, sets_of(review)
    beyond = [c for c in review.verdict.matrix.columns if c.beyond_model]
    pairs = [f"{' with '.join(c.parties)}" for c in beyond if set(c.parties) != {asks, other}]
    told = f"Together {asks} and {other} know both sets."
    if pairs:
        told += f" {listed(pairs)} could find out who is in both sets."
    if spec.security.adversary == "malicious":
        return (
            "No party can read more of the other's set than the outcome tells, or make the outcome wrong unseen, "
            f"whatever its software does; it can bring persons that it made up. {told}"
        )
    return (
        f"No party that keeps to the protocol can read the other's set. {told} A party whose software is changed "
        "could learn more: the protocol does not withstand that."
    )


# -- who learns what --------------------------------------------------------------------------------------------------


def told(review: Checked, column: Coalition) -> tuple[str, ...]:
    """The matrix column of one party in sentences, strongest marks first."""
    matrix, spec = review.verdict.matrix, review.spec
    party, label = column.parties[0], column.label
    rows = {(row.kind, row.value): row.cells[label] for row in matrix.rows}
    own = [d.name for d in spec.datasets if party in d.parties]
    out = [f"Keeps its own records of {listed(own)} and sees them, as before."] if own else []
    pairing, _, _ = sets_of(review)
    brought, keys = [str(ref) for ref in pairing.columns], {f"{d.name}.{d.key}" for d in spec.datasets}
    met = [
        v
        for (kind, v), mark in rows.items()
        if kind == "column" and mark is Mark.MATCHED and v not in (*brought, *keys)
    ]
    if any(kind == "membership" and mark is Mark.VISIBLE for (kind, _), mark in rows.items()):
        out.append("Learns which persons are in both datasets, and nothing of any other person.")
        if any(rows["column", each] is Mark.MATCHED for each in brought):
            out.append(f"Sees {listed(brought)} of each of them.")
        if met:
            out.append(f"Knows of each of them that {listed(met)} meets the condition; not the value.")
    counted = next((mark for (kind, _), mark in rows.items() if kind == "count"), Mark.NEVER)
    if counted is Mark.SIZE and not any(kind == "membership" and m is Mark.VISIBLE for (kind, _), m in rows.items()):
        out.append("Learns how many persons are in both datasets, exactly, and not which.")
    sums = [v for (kind, v), mark in rows.items() if kind.endswith(" sum") and mark.rank > Mark.HELD.rank]
    if sums:
        how = "with noise" if ("noised sum", sums[0]) in rows else "of groups of enough persons"
        out.append(f"Gets {listed(sums)}, {how}.")
    if counted is Mark.NOISED:
        out.append("Learns how many persons are in both datasets, with noise, and not which.")
    elif not sums and any(kind == "released" and mark is Mark.SIZE for (kind, _), mark in rows.items()):
        out.append("Learns whether enough persons are in both datasets; neither who nor how many.")
    elif counted in (Mark.NEVER, Mark.HELD):
        out.append("Learns neither who is in both datasets nor how many are.")
    out.append("Knows the declared greatest number of persons of each dataset. Never the true number of another's.")
    codes = [v for (kind, v), mark in rows.items() if kind == "tags" and mark is Mark.HELD]
    if codes:
        out.append(f"Holds, and cannot read: codes for {listed(v.removesuffix(' as tags') for v in codes)}.")
    if never := [v for (kind, v), mark in rows.items() if kind == "column" and mark is Mark.NEVER]:
        out.append(f"Never has, in any form: {listed(never)}.")
    return tuple(out)


def declared(review: Checked) -> Declared | None:
    """Hold what is computed against what is declared, item by item; None if it is not clear who plays which role."""
    spec, pairing, matrix = review.spec, review.pairing, review.verdict.matrix
    card = review.cards.get(way_of(spec))
    if pairing is None or not matrix.columns or card is None:
        return None
    about = matched.about(spec, pairing)
    allowed = matched.declared(about, spec)
    items = [_named(about, card, allowed, spec, who, facts) for who, facts in _by_learner(about, card)]
    inside = [column for column in matrix.columns if not column.beyond_model]
    known = {each.label: matched.knowledge(about, card, allowed, frozenset(each.parties)) for each in inside}
    return Declared(tuple(items), len(inside) * len(matrix.rows), tuple(bare(matrix, known)))


def _by_learner(about: matched.About, card: Card) -> Iterator[tuple[tuple[str, ...], list[Fact]]]:
    """The facts of the card: sizes of everyone together, and what each learns by itself."""
    facts = matched.facts(about, card)
    sizes = [fact for fact in facts if fact.item.kind == "size"]
    if sizes:
        yield (EVERYONE,), sizes
    for fact in facts:
        if fact.item.kind != "size" and within_model(about, (card,), fact.learner):
            yield tuple(party for party in about.parties if party in fact.learner), [fact]


def _named(
    about: matched.About, card: Card, allowed: tuple[Fact, ...], spec: Spec, who: tuple[str, ...], facts: list[Fact]
) -> Named:
    places = []
    for place, entry in enumerate(spec.security.leakage):
        if (entry.item == "row_count") == (facts[0].item.kind == "size") and entry.learner in who:
            places.append(f"security.leakage[{place}]")
    if facts[0].item.kind != "size" and set(who) <= set(spec.release.to):
        places.insert(0, "release.to, computation")
    known = {fact: matched.knowledge(about, card, allowed, fact.learner).get(fact.item, Mark.NEVER) for fact in facts}
    return Named(
        who,
        "row_count" if facts[0].item.kind == "size" else facts[0].item.kind,
        "the declared greatest number of persons of each dataset, never the true number"
        if facts[0].item.kind == "size"
        else facts[0].item.value,
        "protocol" if facts[0].item.kind == "size" else "release",
        strongest(fact.grade.mark for fact in facts),
        weakest(known.values()),
        tuple(places),
    )


def limits(review: Checked) -> Section:
    """Where the protection ends."""
    spec, (pairing, asks, other) = review.spec, sets_of(review)
    card = review.cards.get(way_of(spec))
    points = [
        "The question itself. Everyone named here can read this specification.",
        "The declared sizes, and when and how much is sent. The network sees that too. No person can be read off it.",
        f"Made-up persons. {asks} may list any {spec.dataset(pairing.asks).max_rows:,} ids. The protocol cannot see "
        "whether they are ids of its own persons.",
        "Repetition. Two runs with lists that differ in one person tell about that person. Runs are counted, and each "
        "server holds a run against those before it.",
        "Availability. Any party can refuse or stop a run. The other may then have nothing.",
    ]
    if card is not None and card.adversary.behaviour == "semi-honest":
        points.insert(
            3,
            "Changed software. A party whose software departs from the protocol can spoil the outcome, and could learn "
            "more than it should. A protocol against malicious parties withstands that.",
        )
    if card is not None and card.adversary.behaviour == "malicious":
        points.insert(
            3,
            "False sets. Protection from malicious parties means that neither can read the other's set or change the "
            "outcome unseen. It does not mean that a set is true: each may bring persons that it made up, and "
            f"{asks} more of them than declared (“Safe settings” says how many).",
        )
    if pairing.outcome == "intersection":
        points.append(f"What {spec.result_party} does with the list. It knows these persons by their ids from then on.")
    if card is not None and any(said in card.status for said in _UNREVIEWED):
        points.append("Errors in the protocol's own proof: parts of it are our design and not reviewed independently.")
    blocks: list[Block] = [Points("What is not protected", tuple(points), "warn")]
    lines = [f"{asks} and {other}: both datasets, as holders who show each other their records always can."]
    way = WAYS.get(way_of(spec))
    tables = {} if way is None else dict(zip((way.asker, way.other), pairing.tables, strict=True))
    roles = {} if review.plan is None or review.plan.match is None else dict(review.plan.match.roles)
    for entry in card.learns if card is not None else ():
        parties = [roles[role] for role in entry.who if role in roles]
        if entry.beyond_model and len(parties) > 1:
            lines.append(f"{listed(parties)}: {entry.sentence.format_map(tables)}.")
    blocks.append(Points("What working together would reveal", tuple(lines), "bad"))
    return Section("limits", "What could still go wrong", "Where does the protection end?", tuple(blocks), within=True)


# -- safe settings, safe outputs --------------------------------------------------------------------------------------


def settings(review: Checked) -> Section:
    """How it is found out, and what is sent to whom."""
    spec, forecast = review.spec, review.forecast
    card, way = review.cards.get(way_of(spec)), WAYS.get(way_of(spec))
    match = None if review.plan is None else review.plan.match
    blocks: list[Block] = []
    if match is not None and way is not None and forecast is not None:
        blocks.append(_picture(review, match, way))
    roles = {} if match is None else dict(match.roles)
    blocks.append(settled(spec, () if card is None else (card,), roles, forecast))
    if match is not None and card is not None:
        pairing, asks, other = sets_of(review)
        blocks.extend(withstood(card, match, asks, other, both=pairing.both))
    if match is not None and forecast is not None:
        cards = [review.cards[name] for name in (match.card, match.handed_by) if name]
        inside = {message.label: _inside(message) for each in cards for message in each.messages}
        blocks.append(
            Grid(
                "Every message of a run. A server sends nothing else, and takes nothing else.",
                ("Message", "Round", "From", "To", "What is inside", "Size"),
                tuple(
                    (m.label, str(m.round), m.sender, _receiver(m, spec), inside.get(m.label, _SHARES), size(m.size))
                    for m in forecast.messages
                    if m.size
                ),
                numbers=frozenset({5}),
            )
        )
    return Section("settings", "Safe settings", "How is it computed, and what is sent to whom?", tuple(blocks))


def _receiver(message: Planned, spec: Spec) -> str:
    """The result party's people are told apart from its server where one sends to the other."""
    return (
        f"{message.receiver}'s people" if message.sender == message.receiver == spec.result_party else message.receiver
    )


_HEADS: Final = {
    "outcome": "the outcome, and rows of nothing up to the declared number",
    "told": "which of the receiver's own codes were found",
    "public": "a public key of the sender",
    "under": "numbers encrypted under the sender's own key",
    "covered": "encrypted sums under masks of the sender: random numbers to who has the key",
    "sealed": "what comes with persons, each under a key that only who has that person can make",
    "written": "a table of person ids under a vector of random numbers that the receiver does not have",
}
"""What is inside a message, by the head of its term."""


def _inside(message: Message) -> str:
    """What a message holds, in words: from its term where that says it, else from what its card says it carries."""
    for call in calls(message.meaning):
        if call.head == "opened":
            return "masked sums, opened: random numbers to all but who masked them"
        if call.head in _HEADS:
            return _HEADS[call.head]
    if "sums" in message.carries:
        return "one of three shares of the outcome: random alone"
    if any(item.endswith(".values") for item in message.carries):
        return "masked values: random numbers to the receiver"
    if any(item.endswith(".key") for item in message.carries):
        return "codes in place of person ids, under a key that the receiver does not have"
    if "match" in message.carries:
        return "which of the receiver's own codes were found"
    return "random numbers: keys and masks"


def _picture(review: Checked, match: Match, way: Way) -> Picture:
    """Two boxes, or three; what goes from a server to its own people is no arrow between parties."""
    spec, forecast = review.spec, review.forecast
    assert forecast is not None
    places = {way.asker: "a", way.other: "b", way.helper: "helper"}
    gets = {outcome: what.replace("that", "gets the") for outcome, what in _THAT.items()}
    boxes = []
    for role, party in match.roles:
        what = "brings no records" if role == way.helper else "keeps its records"
        if party in spec.release.to:
            what += f", {gets[match.outcome]}"
        boxes.append((places[role], party, what))
    if spec.result_party not in dict(match.roles).values():
        boxes.append(("result", spec.result_party, gets[match.outcome]))
    flows: dict[tuple[PartyId, PartyId], int] = {}
    for message in forecast.messages:
        if message.sender != message.receiver and message.size:
            way_ = (message.sender, message.receiver)
            flows[way_] = flows.get(way_, 0) + message.size
    return Picture(
        "Who sends what to whom in one run. Records stay where they are.",
        tuple(boxes),
        tuple(Flow(sender, receiver, total, "codes for ids") for (sender, receiver), total in flows.items()),
    )


def outputs(review: Checked) -> Section:
    """What is released, and what that means."""
    spec, (pairing, _, _) = review.spec, sets_of(review)
    asked = spec.computation.model_dump(exclude_none=True)
    match = None if review.plan is None else review.plan.match
    text = "\n".join(f"{name} = {_toml(value)}" for name, value in asked.items())
    blocks: list[Block] = [Code("The computation, as signed", text), Text(computed(review))]
    if pairing.outcome == "intersection":
        rows = [(spec.dataset(pairing.asks).key, f"the id, as {pairing.asks} has it")]
        rows += [(ref.column, f"as {pairing.other} has it") for ref in pairing.columns]
        blocks.append(
            Grid("Columns of the list. One row for each person in both.", ("Column", "What it is"), tuple(rows))
        )
        most = min(spec.dataset(name).max_rows for name in pairing.tables)
        points = [
            f"At most {plural(most, 'person')} in all.",
            "It is personal data: purpose, legal ground and notices above have to cover it.",
            "There is no noise and no minimum: a list of one person is a list of that person.",
        ]
        blocks.append(Points("What the recipient gets", tuple(points), "warn"))
    elif pairing.outcome == "sum":
        points = [
            "How many persons of each group are in both: exact"
            + (", where there are enough." if match is not None and match.min_count else ", however few."),
            "The recipient's own server knows these numbers of all groups, also of those that are withheld.",
        ]
        if match is not None and match.noised:
            noise = [
                (
                    f"sum({pairing.other}.{name})",
                    budget.exact(epsilon),
                    about(Fraction(sensitivity)),
                    f"± {about(HELPER_TAIL * sensitivity / epsilon)}",
                )
                for name, (sensitivity, epsilon) in zip(match.columns, match.noised, strict=True)
            ]
            head = ("Sum", "Share of epsilon", "One person moves it by at most", "Noise")
            told = "Noise of the other holder, in units of the last place; 95 of 100 sums lie within the last column."
            blocks.append(Grid(told, head, tuple(noise), numbers=frozenset({1, 2, 3})))
        blocks.append(Points("What the recipient gets", tuple(points), "warn"))
    elif not pairing.min_result and pairing.outcome == "cardinality" and spec.release.differential_privacy is None:
        blocks.append(
            Points(
                "What the recipient gets",
                (
                    "An exact number, however small: 0 and 1 are told like any other.",
                    "Where that is too much, a protocol with a helper can hold it back below a least number, and a "
                    "query with COUNT(DISTINCT id) can add noise.",
                ),
                "warn",
            )
        )
    return Section("outputs", "Safe outputs", "What is released, and how is it protected?", tuple(blocks))


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def use(review: Checked, dataset: str, name: str) -> str:
    """What a column is used for, in a few words."""
    pairing, _, _ = sets_of(review)
    if dataset not in pairing.tables:
        return "nothing"
    uses = ["find the same person"] if name == review.spec.dataset(dataset).key else []
    if any((ref.dataset, ref.column) == (dataset, name) for ref in pairing.columns):
        uses.append("add up" if pairing.outcome == "sum" else "come with each person in both")
    if any((ref.dataset, ref.column) == (dataset, name) for ref in pairing.by):
        uses.append("form groups")
    where = pairing.where(dataset)
    if where is not None and name in columns_of(where):
        uses.append("choose rows, at its holder")
    return listed(uses) or "nothing"
