"""Write a first specification of a program for MPyC from the tables at hand, with the budget that it needs.

Frames, bytes and rounds are counted by running the program once on made-up numbers in the declared ranges: what a
program sends follows from public numbers alone. Ranges are read off the tables, as in draft.py: for prototypes.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pets.draft import ANALYST, Given, column_of, frame_of, legal_of, party_of
from pets.errors import ConfigError
from pets.ids import PartyId
from pets.network import Draft
from pets.programs import ProgramResult, known_of, run_program, source_of
from pets.spec.model import DESIGN
from pets.spec.parse import parse_toml, spec_of
from pets.spec.programmed import BITS
from pets.spec.write import to_toml


def draft_program(
    program: str | Path,
    *,
    parties: Sequence[PartyId],
    given: Sequence[Given],
    inputs: Mapping[str, str],
    on: str,
    parameters: Mapping[str, int | Iterable[int]] | None = None,
    outputs: Mapping[str, int | tuple[int, int]] | None = None,
    rows: Mapping[str, int] | None = None,
    bits: int | None = None,
    where: str | None = None,
    to: str | None = None,
    title: str | None = None,
    max_runs: int = 1,
) -> Draft:
    """Write a specification of a program between all parties of a network.

    ``program``:    the name of one that comes with pets, a file's name, or the text itself.
    ``inputs``:     by input, "table.column": of all parties that have a table of this name.
    ``on``:         the column whose values put rows in order; each has one row.
    ``parameters``, ``outputs``, ``bits``: as ``pets.run_program`` has them.
    ``rows``:       of a program of one's own, how many numbers each holder brings; those of the smallest table if it
                    is left out. ``where``: conditions as SQL writes them after WHERE, each on one table.
    ``to``:         the party that gets what is released; the one who asks if it is left out.
    Raises: ConfigError config.local; SpecError spec.program where the text says what it may not.
    """
    values = {name: v if isinstance(v, int) else tuple(v) for name, v in (parameters or {}).items()}
    tables = {written.partition(".")[0]: _held(written, given) for written in inputs.values()}
    frames = {each.party: frame_of(each.source) for held in tables.values() for each in held}
    by_table = {name: {each.party: frame_of(each.source) for each in held} for name, held in tables.items()}
    declared = [_dataset(name, own, inputs, on, where) for name, own in by_table.items()]
    source = source_of(program)
    own_program = known_of(program) is None
    taken = _taken(program, len(parties), inputs, by_table, rows, values)
    counted = _counted(program, parties, inputs, by_table, declared, taken, values, outputs, bits)
    asked: dict[str, Any] = {
        **({"source": source.text} if own_program else {"program": str(program)}),
        "sha256": source.sha256,
        "inputs": dict(inputs),
        "parameters": values or None,
        "rows": dict(rows) if rows and own_program else None,
        "outputs": _outputs(outputs) if own_program else None,
        "bits": bits if own_program else None,
        "where": where,
        "budget": {
            "frames": counted.played.budget.frames,
            "bytes": counted.played.budget.bytes,
            "rounds": counted.rounds,
        },
    }
    today = dt.datetime.now(dt.UTC).date()
    people = [
        party_of(party, [*(["input"] if party in frames else []), "computing", *(["result"] if party == to else [])])
        for party in parties
    ]
    if to is None:
        people.append(party_of(PartyId(ANALYST), ["result"]))
    spec = spec_of(
        {
            "pets": 1,
            "title": title or f"Draft: {program if not own_program else 'a program'} of {', '.join(inputs.values())}",
            "purpose": {
                "statement": DESIGN,
                "dpv": [DESIGN],
                "public_benefit": DESIGN,
                "author": f"{to or ANALYST}@local.invalid",
            },
            "party": people,
            "dataset": declared,
            "legal": {party: legal_of() for party in frames},
            "linkage": {"on": on, "normalise": [], "version": "1"},
            "computation": {name: value for name, value in asked.items() if value is not None},
            "release": {"to": [to or ANALYST]},
            "security": {
                "adversary": "semi-honest",
                "corrupt": (len(parties) - 1) // 2,
                "leakage": [{"learner": "everyone", "item": "row_count", "of": [*tables], "as": "exact"}],
            },
            "validity": {"not_before": today, "not_after": today + dt.timedelta(days=364), "max_runs": max_runs},
        }
    )
    toml = to_toml(spec)
    return Draft(parse_toml(toml, file="draft"), toml)


def _held(written: str, given: Sequence[Given]) -> list[Given]:
    name = written.partition(".")[0]
    held = [each for each in given if each.name == name]
    if not held:
        known = ", ".join(sorted({each.name for each in given})) or "none"
        raise ConfigError("config.local", problem=f"no party has a table {name}; the tables are {known}")
    return held


def _dataset(
    name: str, frames: Mapping[PartyId, pd.DataFrame], inputs: Mapping[str, str], on: str, where: str | None
) -> dict[str, Any]:
    """One table of all its holders: its id, the columns that go in, and those that a condition looks at."""
    whole = pd.concat([*frames.values()], ignore_index=True)
    told = {column for table, _, column in (each.partition(".") for each in inputs.values()) if table == name}
    if missing := sorted(({on} | told) - set(map(str, whole.columns))):
        raise ConfigError("config.local", problem=f"{name} has no column {missing[0]}")
    columns: dict[str, Any] = {on: {"role": "person id", "scheme": "text"}}
    for column in map(str, whole.columns):
        looked = where is not None and re.search(rf"\b{re.escape(column)}\b", where) is not None
        if column != on and (column in told or looked):
            columns[column] = column_of(whole[column], name, column)
    return {
        "name": name,
        "holders": {party: max(1, len(frame)) for party, frame in frames.items()},
        "max_rows_per_person": max(1, *(int(frame[on].value_counts().max() or 1) for frame in frames.values())),
        "columns": columns,
    }


def _taken(
    program: str | Path,
    parties: int,
    inputs: Mapping[str, str],
    frames: Mapping[str, Mapping[PartyId, pd.DataFrame]],
    rows: Mapping[str, int] | None,
    values: Mapping[str, int | tuple[int, ...]],
) -> dict[str, int]:
    """How many numbers each holder brings of an input: as its declaration says, as is said here, or all rows."""
    if (declared := known_of(program)) is not None:
        return declared.rows_of(values, parties)
    least = {name: min(map(len, frames[written.partition(".")[0]].values())) for name, written in inputs.items()}
    return {**least, **(rows or {})}


def _counted(
    program: str | Path,
    parties: Sequence[PartyId],
    inputs: Mapping[str, str],
    frames: Mapping[str, Mapping[PartyId, pd.DataFrame]],
    declared: Sequence[Mapping[str, Any]],
    taken: Mapping[str, int],
    values: Mapping[str, int | tuple[int, ...]],
    outputs: Mapping[str, int | tuple[int, int]] | None,
    bits: int | None,
) -> ProgramResult:
    """One run on made-up numbers: the least of each range."""
    ranges: dict[str, tuple[int, int]] = {}
    made: dict[str, dict[str, list[int]]] = {str(party): {} for party in parties}
    for name, written in inputs.items():
        table, _, column = written.partition(".")
        own = next(each for each in declared if each["name"] == table)["columns"][column]
        if own["role"] != "measure":
            raise ConfigError("config.local", problem=f"{written} has no numbers in a range")
        scale = 10 ** own.get("places", 0)
        low, high = (round(float(own[end]) * scale) for end in ("min", "max"))
        ranges[name] = (low, high)
        for party in frames[table]:
            made[party][name] = [low] * taken[name]
    return run_program(
        program,
        inputs=made,
        outputs=outputs,
        parameters=values,
        ranges=ranges,
        bits=BITS if bits is None else bits,
    )


def _outputs(outputs: Mapping[str, int | tuple[int, int]] | None) -> dict[str, dict[str, int]]:
    said = {name: each if isinstance(each, tuple) else (each, 0) for name, each in (outputs or {}).items()}
    return {name: {"count": count, "fraction": fraction} for name, (count, fraction) in said.items()}
