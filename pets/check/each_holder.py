"""Of very many holders: what all say alike, told once, and a row for each with what is its own.

Of a few holders a report writes everything out. Of hundreds nobody would find the one that differs, nor oneself: so
sections tell of all of them together, and the last one has a table, folded, in which each holder has its row.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pets.check.blocks import MANY, Grid, Section, Text, plural
from pets.check.checked import FEW, several
from pets.check.labels import Finding
from pets.spec.model import Legal, Spec

SECTION: Final = "Every holder"
"""The title of the section that has the table."""

_TOLD: Final = 3
"""Values of one field that are told with those who have them; of more their number."""


def very_many(spec: Spec) -> bool:
    """True if holders have a section of their own, with a row for each."""
    return len(holders(spec)) > MANY


def holders(spec: Spec) -> tuple[str, ...]:
    """Parties that bring parts of tables of several, in the order of the specification."""
    several_ = [dataset for dataset in spec.datasets if dataset.several]
    return tuple(party.name for party in spec.parties if any(party.name in d.parties for d in several_))


def stated(legal: Legal) -> dict[str, str]:
    """What a party states of its legal ground, by key: ``dpia.id`` for one within another."""
    return dict(_flat(legal.model_dump(mode="json", exclude_none=True), ""))


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        yield path, ", ".join(map(str, value))
    else:
        yield path, "yes" if value is True else "no" if value is False else str(value)


def section(spec: Spec) -> tuple[Section, ...]:
    """The table of all holders; nothing if they are not very many."""
    if not very_many(spec):
        return ()
    names = holders(spec)
    own = {name: stated(spec.legal[name]) for name in names}
    first = own[names[0]]
    differ = tuple(
        key for key in dict.fromkeys(key for each in own.values() for key in each)
        if any(each.get(key) != first.get(key) for each in own.values())
    )  # fmt: skip
    parties = {party.name: party for party in spec.parties}
    rows = tuple(
        (
            name,
            parties[name].organisation,
            parties[name].san,
            ", ".join(f"{d.rows_of(name):,} of {d.name}" for d in spec.datasets if name in d.parties),
            "; ".join(f"{key}: {own[name].get(key, 'not stated')}" for key in differ) or "nothing",
        )
        for name in names
    )
    told = "What is its own of the legal ground; all else is alike" if differ else "Own of the legal ground"
    head = ("Name", "Organisation", "Server's identity", "Greatest number of rows", told)
    caption = f"All {len(names):,} holders, in the order of the specification"
    more = Text(
        "Everything else that the specification says of holders it says of all of them. Whoever approves for one of "
        "them finds here what is said of that one alone."
    )
    grid = Grid(caption, head, rows, code=frozenset({2}), folded=True)
    return (Section("holders", SECTION, "What is said of one holder alone?", (more, grid)),)


def together(values: Mapping[str, str]) -> str:
    """One field of very many parties: its value if all have the same, else who has which, or how many there are."""
    counts = Counter(values.values())
    if len(counts) == 1:
        return next(iter(counts))
    if len(counts) > _TOLD:
        first = list(counts)[: _TOLD - 1]
        return f"{len(counts):,} different ones: {'; '.join(first)}; and so on (under {SECTION})"
    who = {value: [party for party, each in values.items() if each == value] for value in counts}
    return "; ".join(f"{value} ({several(parties)})" for value, parties in who.items())


def as_fields(spec: Spec, parties: Sequence[str], named: str) -> Iterator[tuple[str, Any]]:
    """The legal grounds of very many parties by path: each field once, with how many values it has."""
    own = {party: stated(spec.legal[party]) for party in parties}
    for key in dict.fromkeys(key for each in own.values() for key in each):
        yield f"legal[{named}].{key}", together({party: each.get(key, "not stated") for party, each in own.items()})


def few(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings as a reader is told them: of a rule that says something of very many parties the first ones."""
    found = tuple(findings)
    counts, seen = Counter(each.rule for each in found), Counter[str]()
    told = []
    for each in found:
        seen[each.rule] += 1
        if counts[each.rule] <= MANY or seen[each.rule] < FEW:
            told.append(each)
        elif seen[each.rule] == FEW:
            more = plural(counts[each.rule] - FEW, "more finding")
            told.append(replace(each, message=f"{each.message}; and {more} of this rule, at other places"))
    return tuple(told)
