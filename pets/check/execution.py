"""The report on a program for MPyC: its text, whose numbers go in, who gets what, and where the protection ends.

The counterparts of minute.py, learned.py and computed.py for programs; report.py puts them in their places. What a
program computes is what its text says, and that is shown whole, with its lines numbered.
"""

from collections.abc import Iterator
from typing import Final

from pets.check import executed, programmed
from pets.check.blocks import Block, Code, Flow, Grid, Pairs, Picture, Points, Section, Text, grouped, listed, plural
from pets.check.blocks import size as bytes_of
from pets.check.checked import Checked, full_name
from pets.check.coalitions import bare
from pets.check.computed import settled
from pets.check.declared import Declared, Named
from pets.check.labels import Coalition, Item, Mark
from pets.ids import PartyId
from pets.spec.cards import EVERYONE
from pets.spec.joins import PROGRAM
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_terms import SECURITY
from pets.spec.predicate import columns_of, worded
from pets.spec.programmed import Programmed

_UNPROTECTED: Final = (
    "The question, the numbers of rows, the times of messages. False records. Whatever the outputs tell of a single "
    "person: they are exact. See “What could still go wrong”."
)


def of(review: Checked) -> Programmed:
    """The program. Only of a review that has one."""
    assert review.program is not None
    return review.program


# -- in one minute ----------------------------------------------------------------------------------------------------


def computed(review: Checked) -> str:
    """What is computed, in a sentence or two: in the words of its declaration, or that there are none."""
    program = of(review)
    rows = "".join(
        f" Of {name} only rows go in where {worded(where)}." for name, where in program.wheres if where is not None
    )
    names = listed(f"{each.name} ({plural(each.count, 'number')})" for each in program.terms.outputs)
    if program.declared is None:
        return f"What the author's own program releases: {names}. Nobody declares what it tells: read its text.{rows}"
    what = program.declared.written.functionality
    return f"{program.declared.written.title}: {what[:1].upper()}{what[1:]} It releases {names}.{rows}"


def minute(review: Checked) -> Iterator[tuple[str, str]]:
    """The questions of the box whose answers are of programs, in their order; the others come after these."""
    spec, program = review.spec, of(review)
    terms = program.terms
    yield "What is computed?", computed(review)
    brings: dict[tuple[PartyId, ...], list[str]] = {}
    for each, ref in program.brought:
        brings.setdefault(each.holders, []).append(f"{plural(each.rows, 'number')} of {ref}")
    said = " ".join(f"{listed(who)}, each: {listed(what)}." for who, what in brings.items())
    yield "Who brings what?", f"{said} No record leaves its holder in readable form."
    to = full_name(spec, spec.result_party)
    yield "Who gets what?", f"{to}: what the program releases, exactly. Nobody else gets a result."
    few = "One of them alone" if terms.threshold == 1 else f"Up to {terms.threshold} of them together"
    yield (
        "What do those who compute see?",
        f"{few}: random numbers. Any {terms.threshold + 1} of them together could work out every number that anybody "
        "brings.",
    )
    yield (
        "Who could cheat?",
        "A party whose software departs from the protocol can spoil what comes out, and could learn more: the "
        "protocol does not withstand that. Shares of results that do not fit together are noticed.",
    )
    yield "What is not protected?", _UNPROTECTED


def price(review: Checked) -> str:
    """What it costs in privacy: nothing bounds it but the text."""
    return (
        "No noise and no minimum bound what the outputs tell about one person. Whether they tell too much is for "
        "whoever reads the program to say."
    )


# -- who learns what --------------------------------------------------------------------------------------------------


def told(review: Checked, column: Coalition) -> tuple[str, ...]:
    """The matrix column of one party in sentences, strongest marks first."""
    matrix, spec, party = review.verdict.matrix, review.spec, column.parties[0]
    marks = {(row.kind, row.value): row.cells[column.label] for row in matrix.rows}
    own = [d.name for d in spec.datasets if party in d.parties]
    out = [f"Keeps its own records of {listed(own)} and sees them, as before."] if own else []
    if outputs := [v for (kind, v), mark in marks.items() if kind == "released" and mark is Mark.PROGRAM]:
        out.append(f"Gets what the program releases, exactly: {listed(outputs)}.")
    if inside := [v for (kind, v), mark in marks.items() if kind == "column" and mark is Mark.PROGRAM]:
        out.append(f"Learns of {listed(inside)} what these numbers tell; read the program.")
    if any(kind == "size" for kind, _ in marks):
        out.append("Knows how many rows of each dataset go in.")
    if held := [v for (kind, v), mark in marks.items() if kind in ("column", "released") and mark is Mark.HELD]:
        out.append(f"Holds, and cannot read: shares of {listed(held)}.")
    if never := [v for (kind, v), mark in marks.items() if kind == "column" and mark is Mark.NEVER]:
        out.append(f"Never has, in any form: {listed(never)}.")
    return tuple(out)


def declared(review: Checked) -> Declared | None:
    """Hold what is computed against what is declared, item by item."""
    spec, matrix, card = review.spec, review.verdict.matrix, review.cards.get(PROGRAM)
    if review.program is None or not matrix.columns or card is None:
        return None
    about = executed.about(spec, review.program)
    facts, allowed = executed.facts(about, card), executed.declared(about, spec)
    inside = [column for column in matrix.columns if not column.beyond_model]
    known = {
        each.label: executed.knowledge(about, card, allowed, frozenset(each.parties)) | _rebuilt(about, each)
        for each in inside
    }
    items, seen = [], set()
    for fact in facts:
        if fact.item in seen:
            continue
        seen.add(fact.item)
        sized = fact.item.kind == "size"
        who = (EVERYONE,) if sized else tuple(fact.learner)
        found = executed.knowledge(about, card, allowed, fact.learner).get(fact.item, Mark.NEVER)
        places = ["release.to, computation"] if not sized else []
        for place, entry in enumerate(spec.security.leakage):
            if sized and entry.item == "row_count" and any(f.item == fact.item for f in allowed):
                places.append(f"security.leakage[{place}]")
        items.append(
            Named(
                who,
                "row_count" if sized else "released",
                "how many rows of each dataset go in, exactly" if sized else fact.item.value,
                "protocol" if sized else "release",
                fact.grade.mark,
                found,
                tuple(places),
            )
        )
    return Declared(tuple(items), len(inside) * len(matrix.rows), tuple(bare(matrix, known)))


def _rebuilt(about: executed.About, column: Coalition) -> dict[Item, Mark]:
    """What follows for who brings everything itself: nothing but what it makes of its own records."""
    if any(each.holder not in column.parties for each in about.brought):
        return {}
    return dict.fromkeys(about.released, Mark.PROGRAM)


def limits(review: Checked) -> Section:
    """Where the protection ends."""
    spec, terms = review.spec, of(review).terms
    points = (
        "The question itself. Everyone named here can read this specification, and the program.",
        "How many rows go in, and when and how much is sent. The network sees that too. No record can be read off it.",
        "What the outputs tell. They are exact; an output may be one holder's number, or one person's.",
        "Numbers that outgrow the program's own types. One that is k bits too long is hidden up to "
        f"2^(k - {SECURITY}) in the place of 2^-{SECURITY}; nobody can see that it is.",
        "A whole number that the program divides by and that is 0: all who compute see that it is, and the run ends.",
        "Changed software. A party that departs from the protocol can spoil what comes out, and could learn more.",
        "Truth of the records. A party that brings wrong or made-up rows is not noticed.",
        "Repetition. Two runs over rows that differ in one person tell about that person. Runs are counted, and each "
        "server holds a run against those before it.",
        "Errors in the program, and in the wiring: it is our design and has not been reviewed independently.",
    )
    many = terms.threshold + 1
    lines = (f"Any {many} of {listed(terms.parties)}: every number that anybody brings.",)
    blocks: tuple[Block, ...] = (
        Points("What is not protected", points, "warn"),
        Points("What working together would reveal", lines, "bad"),
    )
    assert spec.release.to
    return Section("limits", "What could still go wrong", "Where does the protection end?", blocks, within=True)


# -- safe settings, safe outputs --------------------------------------------------------------------------------------


def settings(review: Checked) -> Section:
    """How it is computed, and what may be sent to whom."""
    spec, forecast, program = review.spec, review.forecast, of(review)
    card = review.cards.get(PROGRAM)
    blocks: list[Block] = []
    if review.plan is not None and forecast is not None:
        flows: dict[tuple[PartyId, PartyId], int] = {}
        for message in forecast.messages:
            if message.sender != message.receiver:
                way = (message.sender, message.receiver)
                flows[way] = flows.get(way, 0) + message.size
        who = [*program.terms.parties]
        who += [spec.result_party] if spec.result_party not in who else []
        boxes = tuple((_box(place, party, program), party, _does(review, party)) for place, party in enumerate(who))
        if len(who) <= _DRAWN:
            drawn = tuple(Flow(sender, receiver, total, "shares") for (sender, receiver), total in flows.items())
            blocks.append(
                Picture("Who sends what to whom in one run, at most. Records stay where they are.", boxes, drawn)
            )
    blocks.append(settled(spec, () if card is None else (card,), {}, forecast))
    if forecast is not None:
        rows = tuple(
            (m.label, m.sender, _receiver(review, m.sender, m.receiver, m.label), _INSIDE[m.label], bytes_of(m.size))
            for m in forecast.messages
        )
        caption = "All that may be sent in a run. A server sends no more than that, and takes no more than that."
        head = ("Stream", "From", "To", "What is inside", "At most")
        blocks.append(Grid(caption, head, rows, numbers=frozenset({4})))
    blocks.extend(programmed.sent(program.terms, program.rounds).blocks)
    return Section("settings", "Safe settings", "How is it computed, and what is sent to whom?", tuple(blocks))


_DRAWN: Final = 3
"""Parties of which a picture of everybody and everybody is still clear."""

_INSIDE: Final = {
    "P1": "shares: random numbers to as many as may work together",
    "P2": "a fresh share of each number that is released",
}


def _box(place: int, party: PartyId, program: Programmed) -> str:
    return ("a", "b", "helper")[place] if place < _DRAWN and party in program.terms.parties else "result"


def _does(review: Checked, party: PartyId) -> str:
    brings = any(party in each.holders for each in of(review).terms.inputs)
    what = "keeps its records" if brings else "brings no records"
    return f"{what}, gets the outputs" if party == review.spec.result_party else what


def _receiver(review: Checked, sender: str, receiver: str, label: str) -> str:
    """The result party's people are told apart from its server."""
    return f"{receiver}'s people" if label == "P2" else receiver


def outputs(review: Checked) -> Section:
    """The program, word by word, and what it releases."""
    program = of(review)
    terms, declaration = program.terms, program.declared
    pairs = [
        ("program", program.name if declaration is None else f"{declaration.id} {declaration.written.version}"),
        ("source, SHA-256", grouped(terms.source)),
        ("terms, SHA-256", grouped(terms_digest(terms))),
        *((name, programmed.number(value)) for name, value in terms.parameters.items()),
        ("numbers", f"of {terms.bits} bits or more"),
    ]
    says = {} if declaration is None else {each.name: each.says for each in declaration.written.input}
    releases = {} if declaration is None else {each.name: each.says for each in declaration.written.output}
    return Section(
        "outputs",
        "Safe outputs",
        "What is released, and how is it protected?",
        (
            Text(computed(review)),
            Pairs(tuple(pairs)),
            Code("The program, line by line. This text runs, and no other.", numbered(program.source.text), exact=True),
            *programmed.brought(terms, says).blocks,
            *programmed.learned(terms, releases).blocks,
        ),
    )


def numbered(text: str) -> str:
    """A text with its lines numbered, as findings and errors name them."""
    lines = text.rstrip("\n").split("\n")
    width = len(str(len(lines)))
    return "\n".join(f"{number:>{width}}  {line}".rstrip() for number, line in enumerate(lines, 1))


def use(review: Checked, dataset: str, name: str) -> str:
    """What a column is used for, in a few words."""
    program = of(review)
    if dataset not in program.tables:
        return "nothing"
    inputs = [each for each, ref in program.columns if (ref.dataset, ref.column) == (dataset, name)]
    uses = [f"go in as {each}" for each in inputs]
    if name == review.spec.dataset(dataset).key:
        uses.append("put rows in order, at their holder")
    where = program.where(dataset)
    if where is not None and name in columns_of(where):
        uses.append("choose rows, at its holder")
    return listed(uses)
