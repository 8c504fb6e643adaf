"""Write a first specification from a query and the tables at hand: what a researcher starts from.

Levels, ranges and sizes are read off the tables. That is for prototypes with tables that the researcher may see; a real
specification declares them without looking, because what is declared is seen by everyone.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from pets.errors import ConfigError, SpecError
from pets.ids import PartyId
from pets.network import Draft
from pets.party.database import PostgresSource
from pets.party.files import FileSource, FrameSource, Source
from pets.party.relation import whole
from pets.spec.joins import MODE_A, MODE_B, STAR
from pets.spec.model import DESIGN, Spec
from pets.spec.parse import parse_toml, spec_of
from pets.spec.pools import CHECKED, SHAMIR
from pets.spec.sql import bind
from pets.spec.sql.joint import MOST
from pets.spec.ways import WAYS
from pets.spec.write import to_toml

ANALYST: Final = "analyst"
MAX_LEVELS: Final = 1000
"""Values of a column of text up to which they are its levels, without being grouped by."""

MAX_GROUPED: Final = 10_000
"""Levels of a column that is grouped by."""

MAX_PLACES: Final = 4
PERSON_IDS: Final = frozenset({"id", "person_id", "nhs_number", "chi", "pid"})
"""What a column of person ids is called, where nothing else says which one it is."""

NAME_OF_COLUMN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Given:
    """A table that a party of the network brings."""

    party: PartyId
    name: str
    source: Source


def draft(
    sql: str,
    *,
    parties: Sequence[PartyId],
    given: Sequence[Given],
    epsilon: str | int = "1",
    rho: str | None = None,
    control: Mapping[str, Any] | None = None,
    on: str | Mapping[str, str] | None = None,
    title: str | None = None,
    rows_per_person: int | Mapping[str, int] | None = None,
    columns: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    weights: Mapping[str, int] | None = None,
    helper_epsilon: str | None = "0.5",
    helper_delta: str = "2^-40",
    max_runs: int = 100,
    protocol: str | None = None,
    min_contributors: int | None = None,
    upload_minutes: int = 60,
    holders_per_person: int | None = None,
) -> Draft:
    """Write a specification of ``sql``: of tables that are joined, or of one table that several parties have parts of.

    ``epsilon``:         of discrete Laplace noise. ``rho``: of discrete Gaussian noise; ``epsilon`` says nothing then.
    ``control``:         disclosure control of an exact table instead of noise: {"preset": "ons-10"}, or any other
                         fields of [release.disclosure_control]. ``epsilon``, ``rho``, ``weights`` say nothing then.
    ``helper_epsilon``:  of the helper's noisy count of matches; None for a helper that learns declared sizes only, as
                         it does where more than two tables are joined.
    ``on``:              the person id: a column that all tables have, or table to column; found if only one is common.
    ``rows_per_person``: the most rows that count of one person, for all tables or by table; the greatest number that
                         occurs if it is left out. More rows are truncated.
    ``columns``:         declarations that replace what is read off, by table and column.
    ``weights``:         shares of epsilon by noised column (``draft.check()`` names them).
    ``protocol``, ``min_contributors``, ``upload_minutes``: of one table of several parties: how it is added up, how
                         many of them are the least (all, if it is left out), and how long uploads are taken. Parties
                         without tables compute.
    ``holders_per_person``: of such a table, at how many parties one person is at most; at all, if it is left out.
    No party can check it, so the policy of every party has to allow it (``trust_max_holders_per_person``).
    Raises:              ConfigError config.local that says what is missing.
    """
    used = [table for table in given if re.search(rf"\b{re.escape(table.name)}\b", sql, re.IGNORECASE)]
    if len(used) > 1 and len({table.name for table in used}) == 1:
        asked = {
            "sql": sql.strip() + "\n",
            "min_contributors": len(used) if min_contributors is None else min_contributors,
            "upload_minutes": upload_minutes,
        }
        computing = [party for party in parties if party not in {table.party for table in used}]
        body = _pooled(used, computing, sql, on, rows_per_person, holders_per_person, columns)
        return _written(
            body
            | {
                "title": title or _title(sql),
                "computation": asked,
                "release": {"to": [ANALYST], **_protected(epsilon, weights, control, rho)},
                "validity": _year(max_runs),
            },
            protocol,
            noised=control is None,
        )
    if not 2 <= len(used) <= MOST:
        names = ", ".join(table.name for table in given)
        problem = (
            f"the query names {len(used)} of the tables {names}; it takes two, as in FROM one JOIN other USING (id), "
            f"or up to {MOST}"
        )
        raise ConfigError("config.local", problem=problem)
    frames = {table.name: frame_of(table.source) for table in used}
    keys = _keys(used, frames, on)
    counted = helper_epsilon if len(used) == 2 else None
    helpers = [party for party in parties if party not in {table.party for table in used}]
    if not helpers:
        raise ConfigError("config.local", problem='there is no helper: add a party without tables, "helper": {}')

    def declare(names: str | None) -> list[dict[str, Any]]:
        """Columns that ``names`` mentions; all of them where it is None."""
        own = columns or {}
        return [
            _dataset(t, frames[t.name], keys[t.name], sql, names, rows_per_person, own.get(t.name, {}), control is None)
            for t in used
        ]

    body = {
        "pets": 1,
        "title": title or _title(sql),
        "purpose": {
            "statement": DESIGN,
            "dpv": [DESIGN],
            "public_benefit": DESIGN,
            "author": f"{ANALYST}@local.invalid",
        },
        "party": [
            *(party_of(table.party, ["input", "computing"]) for table in used),
            party_of(helpers[0], ["computing"]),
            party_of(PartyId(ANALYST), ["result"]),
        ],
        "dataset": declare(sql),
        "legal": {table.party: legal_of() for table in used},
        "linkage": {"on": keys, "normalise": ["nfc"], "version": "1"},
        "computation": {"sql": sql.strip() + "\n"},
        "release": {"to": [ANALYST], **_protected(epsilon, weights, control, rho)},
        "security": {
            "adversary": "semi-honest",
            "corrupt": 1,
            "protocol": STAR if len(used) > 2 else MODE_B if counted is None else MODE_A,
            "leakage": [
                *(() if counted is None else (_match_count(helpers[0], counted, helper_delta),)),
                _row_count([table.name for table in used]),
            ],
        },
        "validity": _year(max_runs),
    }
    spec = spec_of(body)
    if _names_unknown(spec):
        spec = spec_of({**body, "dataset": declare(None)})
    toml = to_toml(spec)
    return Draft(parse_toml(toml, file="draft"), toml)


def _pooled(
    used: Sequence[Given],
    computing: Sequence[PartyId],
    sql: str,
    on: str | Mapping[str, str] | None,
    rows_per_person: int | Mapping[str, int] | None,
    holders_per_person: int | None,
    columns: Mapping[str, Mapping[str, Mapping[str, Any]]] | None,
) -> dict[str, Any]:
    """The parts of a specification that say what each of several parties has of one table."""
    if len(computing) < 2:
        problem = f"{len(computing)} parties are without tables; sums over one table take two or more, who compute"
        raise ConfigError("config.local", problem=problem)
    frames = {table.party: frame_of(table.source) for table in used}
    first = used[0]
    whole_ = pd.concat(list(frames.values()), ignore_index=True)
    key = on if isinstance(on, str) else dict(on or {}).get(first.name) or _key_of(first.name, whole_)
    per_holder = [int(counts.max()) for frame in frames.values() if len(counts := frame[key].value_counts())]
    most = {first.name: max(per_holder, default=1)} if rows_per_person is None else rows_per_person
    own = (columns or {}).get(first.name, {})
    declared = _dataset(first, whole_, key, sql, sql, most, own, True)
    del declared["party"], declared["max_rows"]
    declared |= {
        "truncate": rows_per_person is not None,
        "holders": {party: max(1, len(frame)) for party, frame in frames.items()},
    }
    if holders_per_person is not None:
        declared["max_holders_per_person"] = holders_per_person
    return {
        "party": [
            *(party_of(table.party, ["input"]) for table in used),
            *(party_of(party, ["computing"]) for party in computing),
            party_of(PartyId(ANALYST), ["result"]),
        ],
        "dataset": [declared],
        "legal": {table.party: legal_of() for table in used},
        "linkage": {"on": {first.name: key}, "normalise": ["nfc"], "version": "1"},
    }


def _key_of(table: str, frame: pd.DataFrame) -> str:
    """The person id, if a column says so by its name."""
    found = [str(name) for name in frame.columns if str(name).lower() in PERSON_IDS]
    if len(found) != 1:
        problem = f"{table}: name the person id with on=; its columns are {', '.join(map(str, frame.columns))}"
        raise ConfigError("config.local", problem=problem)
    return found[0]


def _written(body: Mapping[str, Any], protocol: str | None, *, noised: bool) -> Draft:
    """A draft of sums over one table, from its parts."""
    computing = sum("computing" in party["roles"] for party in body["party"])
    of = [table["name"] for table in body["dataset"]]
    corrupt = computing - 1 if noised and protocol != SHAMIR else (computing - 1) // 2
    spec = spec_of(
        {
            "pets": 1,
            "purpose": {
                "statement": DESIGN,
                "dpv": [DESIGN],
                "public_benefit": DESIGN,
                "author": f"{ANALYST}@local.invalid",
            },
            **body,
            "security": {
                "adversary": "semi-honest",
                "corrupt": corrupt,
                **({} if protocol is None else {"protocol": protocol}),
                "leakage": [
                    _row_count(of),
                    *([{"learner": "everyone", "item": "input_validity", "of": of}] if protocol == CHECKED else ()),
                ],
            },
        }
    )
    toml = to_toml(spec)
    return Draft(parse_toml(toml, file="draft"), toml)


def _year(max_runs: int) -> dict[str, Any]:
    today = dt.datetime.now(dt.UTC).date()
    return {"not_before": today, "not_after": today + dt.timedelta(days=364), "max_runs": max_runs}


def draft_psi(
    psi: str,
    *,
    parties: Sequence[PartyId],
    given: Sequence[Given],
    asks: str | None = None,
    where: str | None = None,
    columns: Sequence[str] = (),
    by: Sequence[str] = (),
    max_group: int | None = None,
    control: Mapping[str, Any] | None = None,
    at_least: int | None = None,
    min_result: int | None = None,
    both: bool = False,
    protocol: str | None = None,
    adversary: str = "semi-honest",
    epsilon: str | int | None = None,
    helper_epsilon: str = "0.5",
    helper_delta: str = "2^-40",
    on: str | Mapping[str, str] | None = None,
    title: str | None = None,
    max_runs: int = 1,
) -> Draft:
    """Write a specification of a private set intersection of two tables.

    ``psi``:        "intersection" (which persons are in both), "cardinality" (how many), "threshold" (whether so many),
                    "sum" (of columns of the other table over them, by group).
    ``asks``:       the table whose holder asks and gets the outcome; the first one if it is left out.
    ``where``:      conditions as SQL writes them after WHERE, each on columns of one of the tables.
    ``columns``:    columns of the other table: of an intersection what comes with each person, of a sum what is added.
    ``by``, ``max_group``: of a sum, grouping columns of the asker's table, and the most persons of a group.
    ``control``:    of a sum, disclosure control: {"min_count": 10}. ``epsilon``: of a sum or a number, noise instead.
    ``both``:       of an intersection, the other holder learns which of its persons are in both, too.
    ``at_least``, ``min_result``: of a threshold, so many; nothing but that is told of fewer.
    ``helper_epsilon``, ``helper_delta``: of the helper's noisy count of matches.
    ``adversary``:  "malicious" for a protocol that withstands a party that departs from it; for an intersection alone.
    A party without tables becomes the helper of a protocol that has one.
    """
    frames = {table.name: frame_of(table.source) for table in given}
    first = given[0].name if given and asks is None else asks
    used = sorted((t for t in given), key=lambda table: table.name != first)
    if len(used) != 2 or used[0].name != first or used[0].party == used[1].party:
        told = ", ".join(f"{table.name} of {table.party}" for table in given) or "none"
        raise ConfigError("config.local", problem=f"an intersection is of two tables of two parties; here are {told}")
    keys = _keys(used, frames, on)
    helpers = [party for party in parties if party not in {table.party for table in used}][:1]
    named = {used[1].name: " ".join(columns), used[0].name: " ".join(by)}
    declared = []
    for table in used:
        names = f"{where or ''} {named[table.name]}"
        grouped = f"SELECT 1 FROM x GROUP BY {', '.join(by)}" if by and table is used[0] else ""
        own = _dataset(table, frames[table.name], keys[table.name], grouped, names, None, {}, False)
        declared.append({**own, "truncate": False})
    asked = {
        "psi": psi,
        "asks": first,
        "where": where,
        "columns": tuple(f"{used[1].name}.{name}" for name in columns) or None,
        "by": tuple(f"{first}.{name}" for name in by) or None,
        "max_group": max_group,
        "at_least": at_least,
        "min_result": min_result,
    }
    to = [used[0].party, *([used[1].party] if both else [])]
    can = [way for name, way in WAYS.items() if psi in way.outcomes and protocol in (None, name)]
    with_helper = bool(helpers) and any(way.helper and (way.malicious or adversary != "malicious") for way in can)
    spec = spec_of(
        {
            "pets": 1,
            "title": title or f"Draft: {psi} of {used[0].name} and {used[1].name}",
            "purpose": {
                "statement": DESIGN,
                "dpv": [DESIGN],
                "public_benefit": DESIGN,
                "author": f"{used[0].party}@local.invalid",
            },
            "party": [
                *(party_of(t.party, ["input", "computing", *(["result"] if t.party in to else [])]) for t in used),
                *(party_of(party, ["computing"]) for party in helpers if with_helper),
            ],
            "dataset": declared,
            "legal": {table.party: legal_of() for table in used},
            "linkage": {"on": keys, "normalise": ["nfc"], "version": "1"},
            "computation": {name: value for name, value in asked.items() if value is not None},
            "release": {
                "to": to,
                **({} if epsilon is None and control is None else _protected(epsilon or "1", None, control)),
            },
            "security": {
                "adversary": adversary,
                "corrupt": 1,
                **({"protocol": protocol} if protocol is not None else {}),
                "leakage": [
                    *(_match_count(party, helper_epsilon, helper_delta) for party in helpers if with_helper),
                    *([{"learner": used[0].party, "item": "match_count", "as": "exact"}] if psi == "sum" else ()),
                    _row_count([table.name for table in used]),
                ],
            },
            "validity": _year(max_runs),
        }
    )
    toml = to_toml(spec)
    return Draft(parse_toml(toml, file="draft"), toml)


def _row_count(tables: list[str]) -> dict[str, Any]:
    return {"learner": "everyone", "item": "row_count", "of": tables, "as": "declared maximum"}


def _match_count(helper: PartyId, epsilon: str, delta: str) -> dict[str, Any]:
    return {"learner": helper, "item": "match_count", "noised": {"epsilon": epsilon, "delta": delta}}


def _protected(
    epsilon: str | int,
    weights: Mapping[str, int] | None,
    control: Mapping[str, Any] | None,
    rho: str | None = None,
) -> dict[str, Any]:
    """What protects the table: disclosure control if it is asked for, else noise."""
    if control is not None:
        return {"disclosure_control": dict(control)}
    epsilon = str(epsilon) if type(epsilon) is int else epsilon
    return {
        "differential_privacy": {
            **({"epsilon": epsilon} if rho is None else {"mechanism": "discrete gaussian", "rho": rho}),
            "neighbours": "one person's rows added or removed",
            "weights": dict(weights or {}),
        }
    }


def _names_unknown(spec: Spec) -> bool:
    """True if the query names a column that is not declared: with all declared, the refusal says which is meant."""
    try:
        bind(spec)
    except SpecError as error:
        return error.code == "sql.column"
    return False


def frame_of(source: Source) -> pd.DataFrame:
    """The records of a source. Raises: ConfigError config.local if they cannot be read."""
    if isinstance(source, FrameSource):
        frame = source.frame
        return frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()
    if isinstance(source, PostgresSource):
        read: pd.DataFrame = whole(source).to_pandas()
        return read
    if not isinstance(source, FileSource):
        raise ConfigError("config.local", problem="a table is a data frame or the name of a file")
    try:
        if source.kind == "parquet":
            return pd.read_parquet(source.path)
        return pd.read_csv(source.path, dtype_backend="numpy_nullable")
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or f"it is no {source.kind} file that can be read"
        raise ConfigError("config.local", problem=f"{source.path}: {str(said).lower()}") from None


def _keys(used: Sequence[Given], frames: Mapping[str, pd.DataFrame], on: Any) -> dict[str, str]:
    if isinstance(on, Mapping):
        return {table.name: str(on[table.name]) for table in used}
    if on is not None:
        return {table.name: str(on) for table in used}
    common = sorted(set.intersection(*(set(map(str, frames[table.name].columns)) for table in used)))
    if len(common) != 1:
        found, those = ", ".join(common) or "none", "both" if len(used) == 2 else "all"
        raise ConfigError("config.local", problem=f"columns of {those} tables: {found}; name the person id with on=")
    return {table.name: common[0] for table in used}


def party_of(name: PartyId, roles: list[str]) -> dict[str, Any]:
    """A party of a network in memory."""
    return {"name": name, "organisation": str(name), "roles": roles, "san": f"spiffe://local.invalid/{name}"}


def legal_of() -> dict[str, Any]:
    """A legal ground with placeholders alone."""
    fields = ("controller", "law", "jurisdiction", "article6", "retention", "notice")
    return {**dict.fromkeys(fields, DESIGN), "dpia": {"id": DESIGN, "outcome": DESIGN}}


def _title(sql: str) -> str:
    return "Draft: " + " ".join(sql.split())[:120]


def _dataset(
    table: Given,
    frame: pd.DataFrame,
    key: str,
    sql: str,
    names: str | None,
    rows_per_person: int | Mapping[str, int] | None,
    given: Mapping[str, Mapping[str, Any]],
    noised: bool,
) -> dict[str, Any]:
    """One table. Rows are drawn where they may be too many; in exact tables only if somebody says how many count.

    Of an exact table that is made again, with other rows drawn, the difference is about the few who have many.
    """
    if key not in frame.columns:
        raise ConfigError("config.local", problem=f"{table.name} has no column {key}")
    most = rows_per_person.get(table.name) if isinstance(rows_per_person, Mapping) else rows_per_person
    if most is None:
        counts = frame[key].value_counts()
        most = int(counts.max()) if len(counts) else 1
    grouped = _grouping(sql)
    declared: dict[str, Any] = {key: {"role": "person id", "scheme": "text"}}
    for name in map(str, frame.columns):
        if name == key or not (names is None or re.search(rf"\b{re.escape(name)}\b", names, re.IGNORECASE)):
            continue
        if names is None and not NAME_OF_COLUMN.fullmatch(name):
            continue
        in_group = re.search(rf"\b{re.escape(name)}\b", grouped, re.IGNORECASE) is not None
        declared[name] = (
            dict(given[name]) if name in given else column_of(frame[name], table.name, name, in_group=in_group)
        )
    return {
        "name": table.name,
        "party": table.party,
        "max_rows_per_person": most,
        "max_rows": max(1, len(frame)),
        "truncate": noised or rows_per_person is not None,
        "columns": declared,
    }


def _grouping(sql: str) -> str:
    """The text that names grouping columns: GROUP BY, and what SELECT lists outside of statistics and of CASE."""
    plain = re.sub(r"\bcase\b.*?\bend\b", "", sql, flags=re.IGNORECASE | re.DOTALL)
    whole = re.split(r"\bhaving\b", plain, maxsplit=1, flags=re.IGNORECASE)[0]
    before, after = (*re.split(r"\bgroup\s+by\b", whole, maxsplit=1, flags=re.IGNORECASE), "")[:2]
    listed = re.split(r"\bfrom\b", before, maxsplit=1, flags=re.IGNORECASE)[0]
    bare = re.sub(r"\([^()]*\)", "", listed)
    return re.sub(r"\bas\s+\w+", "", bare, flags=re.IGNORECASE) + " " + after


def column_of(values: pd.Series, table: str, name: str, *, in_group: bool = False) -> dict[str, Any]:
    """A column as it is declared: a measure with its range, a dimension with its levels, or what only chooses rows."""
    present = values.dropna()
    if len(present) and all(isinstance(value, Decimal) for value in present):
        values = values.astype(float)
        present = values.dropna()
    if not in_group and pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        if np.iscomplexobj(present) or not np.all(np.isfinite(present.to_numpy(dtype=float))):
            raise ConfigError("config.local", problem=f"{table}.{name} has values that are no finite numbers")
        return _measure(present, bool(values.isna().any()))
    if pd.api.types.is_datetime64_any_dtype(values) or (len(present) and isinstance(present.iloc[0], dt.date)):
        return {"role": "filter only", "type": "date"}
    # Of one type, equal values have one text; among objects, True and 1 are equal and have not.
    several = present if present.dtype == object else present.unique()
    levels = {_text(value) for value in several}
    if len(levels) > (MAX_GROUPED if in_group else MAX_LEVELS):
        if in_group:
            raise ConfigError("config.local", problem=f"{table}.{name} has {len(levels)} levels to group by")
        return {"role": "filter only", "type": "text"}
    return {"role": "dimension", "type": "category", "levels": sorted(levels) or ["(none)"]}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _measure(present: pd.Series, nulls: bool) -> dict[str, Any]:
    common = {"clamp": True, "required": not nulls}
    numbers = present.to_numpy(dtype=float)
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    if numbers.size == 0 or np.all(numbers == np.round(numbers)):
        return {"role": "measure", "type": "integer", "min": int(low), "max": int(high), **common}
    places = next(
        (p for p in range(1, MAX_PLACES) if np.allclose(numbers, np.round(numbers, p), rtol=0, atol=1e-12)), MAX_PLACES
    )
    scale = 10**places
    bounds = {"min": np.floor(low * scale) / scale, "max": np.ceil(high * scale) / scale}
    texts = {name: f"{value:.{places}f}" for name, value in bounds.items()}
    return {"role": "measure", "type": "decimal", "places": places, **texts, **common}
