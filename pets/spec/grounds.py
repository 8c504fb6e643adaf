"""Legal grounds that many parties share, written once: what ``ground`` says in the TOML that people write.

    [ground.practices]
    law = "legal-gb:law-GDPR"
    ...
    [legal]
    practice-001 = { ground = "practices", controller = "The first practice" }

Everything in the ground holds for each party that names it. A key is in the one place or in the other: nothing takes
the place of anything, so what differs between parties is what stands beside their names. The canonical form has
neither: each party has all that it states, so the two ways to write it are one specification with one digest.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pets.errors import SpecError

GROUNDS: Final = "ground"
"""The table of grounds by name, and the key by which a party names one of them."""

Path = tuple[str | int, ...]
Told = tuple[Path, str, str]
"""A problem: where, what, and what to do."""


def expanded(data: dict[str, Any], most: int) -> dict[str, Any]:
    """What TOML gave, with each party's ground written out; unchanged if no ground is written.

    ``most``: bytes. One long ground of very many parties is refused before it is written out.
    Raises:   SpecError spec.field with the first problem; spec.too-large.
    """
    grounds, legal = data.get(GROUNDS), data.get("legal")
    if grounds is None and not any(GROUNDS in own for own in _tables(legal)):
        return data
    if (problem := next(_problems(grounds, legal), None)) is not None:
        (*path, last), said, advice = problem
        raise SpecError("spec.field", path=".".join(map(str, (*path, last))), problem=said, advice=advice)
    if not grounds or not isinstance(legal, dict):  # an empty table: what legal lacks is told of the format
        return {key: value for key, value in data.items() if key != GROUNDS}
    sizes = {name: len(json.dumps(ground, default=str)) for name, ground in grounds.items()}
    if sum(sizes[own[GROUNDS]] for own in _tables(legal) if GROUNDS in own) > most:
        raise SpecError("spec.too-large", file="legal with all grounds written out", limit=most)
    whole = {
        party: {**grounds[own[GROUNDS]], **{key: value for key, value in own.items() if key != GROUNDS}}
        if isinstance(own, dict) and GROUNDS in own
        else own
        for party, own in legal.items()
    }
    return {**{key: value for key, value in data.items() if key != GROUNDS}, "legal": whole}


def written(told: Iterable[Told], data: Mapping[str, Any]) -> list[Told]:
    """Problems of a specification whose grounds are written out, at the place where people wrote what is wrong."""
    found: dict[tuple[Path, str], Told] = {}
    for path, said, advice in told:
        at = _place(path, data)
        found.setdefault((at, said), (at, said, advice))
    return list(found.values())


def _place(path: Path, data: Mapping[str, Any]) -> Path:
    match path:
        case ("legal", str(party), key, *more):
            own = data["legal"].get(party)
            if isinstance(own, dict) and GROUNDS in own and key not in own and key in data[GROUNDS][own[GROUNDS]]:
                return (GROUNDS, own[GROUNDS], key, *more)
    return path


def _tables(legal: object) -> Iterator[dict[str, Any]]:
    values = legal.values() if isinstance(legal, dict) else ()
    return (own for own in values if isinstance(own, dict))


def _problems(grounds: object, legal: object) -> Iterator[Told]:
    if grounds is None:
        grounds = {}
    if not isinstance(grounds, dict) or not all(isinstance(ground, dict) for ground in grounds.values()):
        yield (GROUNDS,), "must be tables with names", f"write [{GROUNDS}.practices], and what holds for all under it"
        return
    for name, ground in grounds.items():
        if GROUNDS in ground:
            yield (GROUNDS, name, GROUNDS), "is in a ground, which rests on no other", "write out what it says"
    named = set()
    for party, own in legal.items() if isinstance(legal, dict) else ():
        if not isinstance(own, dict) or GROUNDS not in own:
            continue
        path, name = ("legal", party), own[GROUNDS]
        if not isinstance(name, str) or name not in grounds:
            yield (*path, GROUNDS), "is not the name of a ground", f"write the name of a table [{GROUNDS}.NAME]"
            continue
        named.add(name)
        for key in own:
            if key in grounds[name]:
                yield (*path, key), f"is said by ground.{name} as well", "take it out of one of the two"
    for name in grounds:
        if name not in named:
            yield (GROUNDS, name), "is named by no party", "take it out, or name it under legal"


def shared(legal: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What all of several parties state alike, in the order of the first: what may stand in one ground for them."""
    first, *others = legal.values()
    return {key: value for key, value in first.items() if all(own.get(key, _NOTHING) == value for own in others)}


_NOTHING: Final = object()


def folded(legal: Mapping[str, Mapping[str, Any]], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ground that all of several parties share, and what each states beside it. The ground is empty if none is."""
    common = shared(legal)
    own = {
        party: {GROUNDS: name, **{key: value for key, value in stated.items() if key not in common}}
        for party, stated in legal.items()
    }
    return (common, own) if common else ({}, dict(legal))
