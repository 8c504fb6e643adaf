"""Who learns what: the matrix in sentences and marks, what is declared of it, and where the protection ends.

Everything that is told of a party is read off its column of the matrix; what working together would reveal, off the
cards.
"""

from collections.abc import Iterable
from typing import Final

from pets.check import execution, intersected, uploaded
from pets.check.blocks import Block, Grid, Line, Marks, Points, Section, Text, about, listed, plural
from pets.check.checked import (
    Checked,
    alike,
    cards_of,
    full_name,
    helper_width,
    join_of,
    many_holders,
    place_of,
    protect_of,
    roles_of,
)
from pets.check.declared import Declared, Named
from pets.check.labels import Coalition, Mark, Row
from pets.ids import PartyId
from pets.spec.cards import EVERYONE
from pets.spec.ir import HelperJoin
from pets.spec.joins import protocol_of
from pets.spec.pooled import Pooled
from pets.spec.repeated import BESIDE, HOLDERS, role_of

# -- who learns what --------------------------------------------------------------------------------------------------

_HEADINGS: Final = {
    "tags": "Person ids as codes",
    "membership": "Matching",
    "count": "Matching",
    "size": "Sizes",
    "exact sum": "Exact sums: never put together",
    "noised sum": "Sums with noise",
    "protected sum": "Sums under disclosure control",
    "released": "The released table",
}


def matrix(review: Checked) -> Section:
    matrix, spec = review.verdict.matrix, review.spec
    groups: dict[str, list[Line]] = {}
    for row in matrix.rows:
        heading, name, holder = _HEADINGS.get(row.kind, ""), row.value, ""
        if row.kind == "released" and review.program is not None:
            heading = "What the program releases"
        if row.kind in ("column", "tags"):
            dataset, column_name, holder = place_of(spec, row)
            name = column_name if row.kind == "column" else f"{dataset}.{column_name}"
            if row.kind == "tags" and spec.dataset(dataset).several:
                name += f" of {holder}"
            heading = heading or f"Columns of {dataset} ({holder})"
        elif row.kind == "released":
            holder = spec.result_party
        elif row.kind == "exact sum" and review.plan is not None and review.plan.pool is not None:
            holder = next((p for p in review.plan.pool.holders if row.value.endswith(f" of {p}")), "")
        told = row.kind != "released"
        own = frozenset(c.label for c in matrix.columns if holder in c.parties and not (told and c.beyond_model))
        groups.setdefault(heading, []).append(Line(name, row, own))
    sentences = tuple(
        Points(f"{full_name(spec, column.parties[0])}{alike(review, column.parties[0])}", _told(review, column))
        for column in matrix.columns
        if len(column.parties) == 1 and not _again(review, column.parties[0])
    )
    return Section(
        "matrix",
        "Who learns what",
        "What does each party see, alone or together with others?",
        (
            *sentences,
            *_stand_in(review),
            Marks(matrix, tuple((heading, tuple(lines)) for heading, lines in groups.items())),
            Text(_checkers(review)),
        ),
        within=True,
    )


def _stand_in(review: Checked) -> tuple[Text, ...]:
    """Of tables of many holders: who stands for whom in the table of marks."""
    if not many_holders(review):
        return ()
    told = (
        "Those who hold a table are alike. So of each table the marks show one of whom others learn, and one of them."
    )
    return (Text(f"{told} Of several together they show the most that the protocol withstands."),)


def _again(review: Checked, party: str) -> bool:
    """True for the second who stands for all holders of a table, unless it gets the result: the same is told of it."""
    if review.plan is None or not many_holders(review) or party == review.spec.result_party:
        return False
    return any(party in read.parties[1:] for read in review.plan.reads)


def _checkers(review: Checked) -> str:
    """Who vouches for the table."""
    if len(review.checkers) > 1:
        if review.program is not None:
            return (
                "Two checkers, written separately, agree on this table. One reads it off the specification and the "
                "card. The other works out how many shares of one number each coalition sees. Neither reads the "
                "program."
            )
        of = "specification" if review.pairing is not None else "query"
        return (
            f"Two checkers, written separately, agree on this table. One reads it off the {of} and the card. "
            "The other works out from the messages of the plan what can be concluded from them."
        )
    return "One checker made this table. The second is asked about a plan, and what is refused has none."


def leakage(found: Declared) -> Section:
    """Declared, computed, covered: item by item."""
    rows = tuple(_item(each) for each in found.items)
    whole = (
        f"All {found.cells:,} marks within the model follow from own records, the release and the items above. "
        "Nothing is told that is not declared."
    )
    blocks: list[Block] = [
        Text("The protocol's card says what each party learns. The specification must declare at least as much."),
        Grid(
            "Each item that somebody learns: what is computed from the cards, what is declared, and whether that "
            "covers it.",
            ("Item", "Who", "What is learned", "Computed", "Declared", "Covered"),
            rows,
        ),
        Points("", (whole,), "good") if found.whole else Points("Not covered", _open(found), "bad"),
    ]
    return Section(
        "leakage",
        "What is declared",
        "Does the specification own up to all that anyone learns?",
        tuple(blocks),
        within=True,
    )


_SHORT: Final = {
    Mark.VISIBLE: "V: each record",
    Mark.PROGRAM: "P: as outputs tell",
    Mark.MATCHED: "M: of persons in both",
    Mark.AGGREGATE: "A: in exact sums",
    Mark.SIZE: "S: a size",
    Mark.NOISED: "N: with noise",
    Mark.HELD: "H: nothing",
    Mark.NEVER: "-: nothing",
}


def _item(each: Named) -> tuple[str, ...]:
    who = "everyone" if each.who == (EVERYONE,) else listed(each.who)
    answer = "yes" if each.covered and each.whose != "nobody" else "not needed" if each.covered else "NO"
    said = f"{_SHORT[each.declared]}{f', {each.terms}' if each.terms else ''}"
    declared = f"{said}, in {', '.join(each.places)}" if each.places else "nowhere"
    return (each.item.replace("_", " "), who, each.words, _SHORT[each.computed], declared, answer)


def _open(found: Declared) -> tuple[str, ...]:
    items = [f"{listed(each.who)} learns {each.words}." for each in found.items if not each.covered]
    many = len(found.bare)
    rest = [f"{plural(many, 'mark')} of the table above {'is' if many == 1 else 'are'} not declared."] if many else []
    return (*items, *rest)


def _told(review: Checked, column: Coalition) -> tuple[str, ...]:
    """The matrix column of one party in sentences, strongest marks first."""
    if review.pairing is not None:
        return intersected.told(review, column)
    if review.program is not None:
        return execution.told(review, column)
    matrix, spec, join = review.verdict.matrix, review.spec, join_of(review)
    party, label = column.parties[0], column.label
    by: dict[Mark, list[Row]] = {mark: [row for row in matrix.rows if row.cells[label] is mark] for mark in Mark}
    out = []
    own = [d.name for d in spec.datasets if party in d.parties]
    if own:
        out.append(f"Keeps its own records of {listed(own)} and sees them, as before.")
    strange = [r.value for r in by[Mark.VISIBLE] if r.kind == "column" and place_of(spec, r)[2] != party]
    if strange:
        out.append(f"Sees the values of {listed(strange)}.")
    tables = [row.value for row in by[Mark.NOISED] if row.kind == "released"]
    if tables:
        out.append(f"Gets the table, with noise in every number: {listed(tables)}.")
    if plain := [row.value for row in by[Mark.AGGREGATE] if row.kind == "released"]:
        out.append(f"Gets the table, without small groups: {listed(plain)}.")
    if any(row.kind == "count" for row in by[Mark.NOISED]) and join is not None:
        out.append(f"Learns how many rows match, give or take {about(helper_width(join))} (95 times in 100).")
    if any(row.kind == "size" for row in by[Mark.SIZE]):
        out.append("Knows the declared greatest number of rows of each table. Never the true number of another's.")
    held = by[Mark.HELD]
    kinds = []
    if tags := [row for row in held if row.kind == "tags"]:
        if join is not None and join.shared:
            kinds.append(f"shares of {listed(_names(review, tags))}")
        else:
            kinds.append(f"codes for {listed(row.value.removesuffix(' as tags') for row in tags)}")
    if values := _names(review, (row for row in held if row.kind == "column")):
        kinds.append(f"masked values of {listed(values)}")
    if any(row.kind == "membership" for row in held):
        kinds.append("masked positions of matches")
    if any(row.kind == "exact sum" for row in held):
        kinds.append("one share of each sum")
    if kinds:
        out.append(f"Holds, and cannot read: {listed(kinds)}.")
    if never := _names(review, (row for row in by[Mark.NEVER] if row.kind == "column")):
        of = " of others" if many_holders(review) and own else ""
        out.append(f"Never has, in any form{of}: {listed(never)}.")
    return tuple(out)


def _names(review: Checked, rows: Iterable[Row]) -> list[str]:
    """Columns by name; a column of a table of many holders once, whosever part."""
    if not many_holders(review):
        return [row.value for row in rows]
    places = (place_of(review.spec, row) for row in rows)
    return list(dict.fromkeys(f"{dataset}.{name}" for dataset, name, _ in places))


def limits(review: Checked) -> Section:
    if review.pairing is not None:
        return intersected.limits(review)
    if review.program is not None:
        return execution.limits(review)
    if isinstance(review.query, Pooled):
        return uploaded.limits(review)
    spec, join = review.spec, join_of(review)
    card = review.cards[protocol_of(spec)]
    not_protected = [
        "The question itself. Everyone named here can read this specification.",
        "The declared sizes, and when and how much is sent. The network sees that too. No record can be read off it.",
        "Truth of the records. A party that brings wrong or made-up rows is not noticed by the protocol.",
        "What is true of a whole group. " + _group(review),
        "Availability. Any party can refuse or stop a run. Nothing is released then.",
    ]
    if card.adversary.behaviour == "semi-honest":
        not_protected.insert(
            3,
            "Sabotage. A party whose software departs from the protocol can spoil the result and is not always caught.",
        )
    if "not independently reviewed" in card.status:
        not_protected.append(
            "Errors in the protocol's own proof: it is our design and has not been reviewed independently."
        )
    blocks: list[Block] = [Points("What is not protected", tuple(not_protected), "warn")]
    if join is not None:
        blocks.append(Points("What working together would reveal", _collusion(review, join), "bad"))
    return Section("limits", "What could still go wrong", "Where does the protection end?", tuple(blocks), within=True)


def _group(review: Checked) -> str:
    """How far a person in a group is hidden."""
    if protect_of(review) is None:
        return "Noise hides one person in it, not the group."
    return (
        "A group that is large enough is shown. Someone who knows all but one person in it may learn about the last "
        "one. Two exact tables of nearly the same persons can tell about those few; servers look for such pairs."
    )


def _sentences(parts: Iterable[str]) -> str:
    """Parts of cards' sentences as sentences, the first of them after a colon."""
    first, *rest = parts
    return " ".join(f"{part}." for part in (first, *(part[:1].upper() + part[1:] for part in rest)))


def _collusion(review: Checked, join: HelperJoin) -> tuple[str, ...]:
    roles: dict[str, PartyId] = roles_of(review, join)
    reads = review.plan.reads if review.plan else ()
    further = [role_of(BESIDE, number) for number in range(len(join.beside))]
    tables = dict(zip(("a", "b", *further), (read.dataset for read in reads), strict=False))
    for role, read in zip(HOLDERS, reads, strict=False):
        tables |= {role_of(role, number): read.dataset for number in range(len(read.parties))}
    out: dict[str, list[str]] = {}
    order: dict[str, int] = {party.name: place for place, party in enumerate(review.spec.parties)}
    for card in cards_of(review):
        for entry in card.learns:
            parties = sorted({roles[role] for role in entry.who if role in roles}, key=lambda party: order[party])
            if entry.beyond_model and len(parties) > 1:
                out.setdefault(listed(parties), []).append(entry.sentence.format_map(tables))
    lines = [f"{who}: {_sentences(dict.fromkeys(what))}" for who, what in out.items()]
    if join.shared:
        lines.insert(0, "All holders: both tables, as holders who show each other their records always can.")
        return tuple(lines)
    holders = (join.role_a, join.role_b, *(each.role for each in join.beside))
    both = listed(sorted(holders, key=lambda party: order[party]))
    told = "both tables, as two holders who show each other their records always can."
    if join.beside:
        told = "all tables, or any two of them theirs, as holders who show each other their records always can."
    lines.insert(0, f"{both}: {told}")
    return tuple(lines)
