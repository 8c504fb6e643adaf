"""Parties that a specification says the same of: what a report tells of all of them at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pets.check import each_holder
from pets.check.blocks import MANY
from pets.check.checked import FEW
from pets.spec.model import Party, Spec

Field = tuple[str, str, int]
"""A field, its value in words, and how many of its values are left out."""


def alike(spec: Spec) -> tuple[tuple[Party, ...], ...]:
    """Holders that take the same part, if they are more than a few; every other party by itself. In their order."""
    parts: dict[tuple[object, ...], list[Party]] = {}
    several = {party for dataset in spec.datasets if dataset.several for party in dataset.parties}
    for number, party in enumerate(spec.parties):
        held = tuple(dataset.name for dataset in spec.datasets if party.name in dataset.parties)
        alone = party.name not in several or party.name in spec.release.to
        key = (number,) if alone else (held, party.roles, party.country, party.acts_as)
        parts.setdefault(key, []).append(party)
    found: list[tuple[Party, ...]] = []
    for group in parts.values():
        found += [tuple(group)] if len(group) > FEW else [(each,) for each in group]
    return tuple(found)


def parties_as_fields(spec: Spec) -> Iterator[tuple[str, Any]]:
    """The fields of all parties by path; of those that are alike, each field once."""
    place = {party.name: number for number, party in enumerate(spec.parties)}
    for group in alike(spec):
        path = f"party[{place[group[0].name]}]"
        if len(group) > 1:
            path = f"party[{_named([party.name for party in group])}]"
        yield from _once(path, [party.model_dump(mode="json", exclude_none=True) for party in group])


def legal_as_fields(spec: Spec) -> Iterator[tuple[str, Any]]:
    """The legal grounds by path; of parties that state the same, once."""
    groups: dict[str, list[str]] = {}
    for name, legal in spec.legal.items():
        groups.setdefault(repr(legal), []).append(name)
    if len(groups) > MANY and each_holder.very_many(spec):
        every = each_holder.holders(spec)
        yield from each_holder.as_fields(spec, every, f"{every[0]} ... {every[-1]}")
        groups = {name: [name] for name in spec.legal if name not in every}
    for names in groups.values():
        told = spec.legal[names[0]].model_dump(mode="json", exclude_none=True)
        if len(names) > FEW:
            yield from _once(f"legal[{_named(names)}]", [told])
        else:
            yield from ((f"legal.{name}", told) for name in names)


def holders_as_fields(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dataset with its holders in one line, if they are more than a few: each with its greatest number of rows."""
    holders = dataset.get("holders") or {}
    if len(holders) <= FEW:
        return dataset
    return {**dataset, "holders": _first([f"{name} = {rows}" for name, rows in holders.items()])}


def _first(values: Sequence[str]) -> str:
    """All of some dozens; of more the first ones, and where the others are."""
    more = len(values) - MANY
    rest = f" and {more:,} more (under {each_holder.SECTION})" if more > 0 else ""
    return ", ".join(values[:MANY] if more > 0 else values) + rest


def _named(names: Sequence[str]) -> str:
    return f"{names[0]} ... {names[-1]}, {len(names)} alike"


def _once(path: str, values: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each field of some that have the same ones: one value if all have it, else a list of all."""
    for name in values[0]:
        found = [value.get(name) for value in values]
        if name == "name":  # all of them, however many: whose approval is asked
            yield f"{path}.{name}", _first([*map(str, found)])
            continue
        if len(found) > MANY and name in ("organisation", "san"):  # which the table of all holders has
            found = [_first([*map(str, found)])] if any(each != found[0] for each in found) else found[:1]
        yield f"{path}.{name}", found[0] if all(each == found[0] for each in found) else found


def cut(values: Sequence[object]) -> tuple[str, int]:
    """A list in words, the first ones of a long one, and how many are left out."""
    more = max(0, len(values) - MANY)
    rest = f" and {more:,} more (in the specification)" if more else ""
    return ", ".join(map(str, values[:MANY])) + rest, more
