"""How a column of a source becomes a column of a snapshot: SQL over one raw column, and the faults it can have.

Everything is decided here, before any run: identifiers are normalised and checked, levels become codes, measures become
whole numbers of their last place inside the declared range. A fault is a condition on one row; ``snapshot.py`` counts
the rows that meet it. Statements hold no value of a record and no text of the author but quoted names and levels, which
are joined as a table.

Numbers are read exactly, as decimals: a float stands for the shortest decimal that gives it back, so that a CSV file
and a Parquet file of the same records give the same snapshot. Rounding to the declared places is half away from zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pets.errors import SourceError
from pets.party.relation import Found
from pets.party.sources import MAX_ID_BYTES, Kind, quoted
from pets.spec.model import Column

_NUMBER: Final = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?"
_LANES: Final = (
    (r"[+-]?([0-9]{1,9}([.][0-9]{0,9})?|[.][0-9]{1,9})", "DECIMAL(18, 9)"),
    (r"[+-]?[0-9]{1,14}([.][0-9]{0,4})?", "DECIMAL(18, 4)"),
    (_NUMBER, "DECIMAL(38, 18)"),
)
"""Texts that a type reads exactly, quickest first. The last one rounds to 18 places, and takes twenty times as long."""
_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?"
_SPACES: Final = r"[\s\p{Z}]"
_SPACES_AND_DASHES: Final = r"[\s\p{Z}\p{Pd}]"


@dataclass(frozen=True, slots=True)
class Fault:
    """``when`` is true on a bad row. ``what`` is the problem on the holder's console: "wrong check digit"."""

    code: str
    column: str
    what: str
    when: str


@dataclass(frozen=True, slots=True)
class Fit:
    """One column, in steps that each see the one before as ``{x}``: ``raw`` (the source), ``text``, ``value``.

    ``stored``: names and SQL of what is kept, over ``value``. ``levels``: to be joined by text, codes being places.
    ``clipped``: true where a value was moved into its range.
    """

    column: str
    raw: str
    value: str
    stored: tuple[tuple[str, str], ...]
    faults: tuple[Fault, ...]
    levels: tuple[str, ...] = ()
    clipped: str | None = None
    text: str = "{x}"


def alias(column: str, part: str) -> str:
    """Quoted name of a step's value of a column; no column of a specification can be called so."""
    return quoted(f"#{part}_{column}")


def fit(name: str, column: Column, found: Found, *, steps: Sequence[str], dataset: str, label: str) -> Fit:
    """Choose the SQL that brings one column to its declared type.

    Raises: SourceError source.type or source.id if the type of the source's column can never fit.
    """
    raw, kind, source_name = found
    if column.role == "person id":
        if kind in ("other", "boolean", "date", "timestamp"):
            local = f"{label}, column {source_name}: its type is no text and no number"
            raise SourceError("source.id", dataset=dataset, column=name, local=(local,))
        identifier = _nhs_number if column.scheme == "nhs-number" else _text_id
        return identifier(name, raw, kind, steps)
    if column.type in ("integer", "decimal"):
        text, value = _number(kind, column.places, whole=column.type == "integer")
    else:
        text, value = "{x}", _date(kind) if column.type == "date" else _text(kind)
    if kind == "other" or value is None:
        local = f"{label}, column {source_name}: its type in the source cannot be read as {column.type}"
        raise SourceError("source.type", dataset=dataset, column=name, local=(local,))
    if column.role == "measure":
        return _measure(name, column, raw, text, value)
    if column.type in ("category", "text"):
        return _words(name, column, raw, value)
    return _filter_only(name, column, raw, text, value)


# -- from raw to value, which is NULL where the raw one says no such thing --------------------------------------------


def _text(kind: Kind) -> str:
    if kind == "float":  # 1.0 is the level "1": a data frame turns whole numbers into floats where one is missing
        whole = "isfinite({x}) AND {x} = trunc({x}) AND abs({x}) < 1e15"
        return f"CASE WHEN {whole} THEN {{x}}::BIGINT::VARCHAR ELSE {{x}}::VARCHAR END"
    # A plain try(decode(x)) makes x itself NULL where it fails (DuckDB 1.4): the fault would look like a missing value.
    return "try(left(decode({x} || 'a'::BLOB), -1))" if kind == "blob" else "{x}::VARCHAR"


def _number(kind: Kind, places: int, *, whole: bool) -> tuple[str, str | None]:
    """The steps ``text`` and ``value`` of a number, rounded to its places; NULL if it has to be whole and is not."""
    if kind == "integer":
        return "{x}", "TRY_CAST({x} AS BIGINT)"
    if kind == "boolean":
        return "{x}", "{x}::BIGINT"
    if kind == "decimal":
        fits = "TRY_CAST({x} AS DECIMAL(38, 18)) IS NOT NULL" + (" AND {x} = trunc({x})" if whole else "")
        return "{x}", f"CASE WHEN {fits} THEN round({{x}}, {places})::DECIMAL(38, {places}) END"
    texts = {"text": "trim({x})", "float": "{x}::VARCHAR", "numeral": "{x}"}
    if kind not in texts:
        return "{x}", None
    lanes = (f"WHEN regexp_full_match({{x}}, '{form}') THEN {_read(as_, places, whole)}" for form, as_ in _LANES)
    return texts[kind], f"CASE {' '.join(lanes)} END"


def _read(as_: str, places: int, whole: bool) -> str:
    read = f"TRY_CAST({{x}} AS {as_})"
    rounded = f"round({read}, {places})::DECIMAL(38, {places})"
    return f"CASE WHEN {read} = trunc({read}) THEN {rounded} END" if whole else rounded


def _date(kind: Kind) -> str | None:
    if kind == "text":
        return f"CASE WHEN regexp_full_match(trim({{x}}), '{_DATE}') THEN TRY_CAST(left(trim({{x}}), 10) AS DATE) END"
    return "CASE WHEN isfinite({x}) THEN {x}::DATE END" if kind in ("date", "timestamp") else None


# -- identifiers ------------------------------------------------------------------------------------------------------


def _nhs_number(name: str, raw: str, kind: Kind, steps: Sequence[str]) -> Fit:
    """Ten digits, kept as a number; with the step check-digit, the last one must fit the other nine (modulus 11)."""
    it = alias(name, "value")
    if kind in ("text", "blob"):
        # A cast alone would accept signs, exponents and underscores: what is read must be what is written out again.
        text = _text(kind)
        if "strip-spaces" in steps:
            stripped = f"regexp_replace({text}, '{_SPACES_AND_DASHES}', '', 'g')"
            text = f"CASE WHEN strlen({text}) = 10 THEN {text} ELSE {stripped} END"
        same = "lpad(TRY_CAST({x} AS UBIGINT)::VARCHAR, 10, '0') = {x}"
        value = f"CASE WHEN strlen({{x}}) = 10 AND {same} THEN {{x}}::BIGINT END"
    else:  # a number has lost its leading zeros
        text, number = _number(kind, 0, whole=True)
        value = f"CASE WHEN {number} BETWEEN 0 AND 9999999999 THEN ({number})::BIGINT END"
    weighed = " + ".join(f"({it} // {10 ** (9 - i)}) % 10 * {10 - i}" for i in range(10))
    faults = [Fault("source.id", name, "not ten digits", f"{it} IS NULL")]
    if "check-digit" in steps:
        faults.append(Fault("source.id", name, "wrong check digit", f"({weighed}) % 11 <> 0"))
    return Fit(name, raw, value, (("id", it),), tuple(faults), text=text)


def _text_id(name: str, raw: str, kind: Kind, steps: Sequence[str]) -> Fit:
    """1 to 64 bytes of UTF-8, none of them zero. Steps run in one order, however listed: spaces, case, NFC."""
    value = _text(kind)
    if "strip-spaces" in steps:
        value = f"regexp_replace({value}, '{_SPACES}', '', 'g')"
    if "upper-case" in steps:
        value = f"upper({value})"
    if "nfc" in steps:
        value = f"nfc_normalize({value})"
    it = alias(name, "value")
    faults = (
        Fault("source.id", name, "not UTF-8", f"{it} IS NULL"),
        Fault("source.id", name, "empty", f"strlen({it}) = 0"),
        Fault("source.id", name, f"longer than {MAX_ID_BYTES} bytes", f"strlen({it}) > {MAX_ID_BYTES}"),
        Fault("source.id", name, "a NUL byte", f"contains({it}, chr(0))"),
    )
    return Fit(name, raw, value, (("id", it),), faults)


# -- dimensions, filters, measures ------------------------------------------------------------------------------------


def _words(name: str, column: Column, raw: str, value: str) -> Fit:
    it, code = alias(name, "value"), alias(name, "code")
    not_read = Fault("source.type", name, "not UTF-8", f"{alias(name, 'raw')} IS NOT NULL AND {it} IS NULL")
    stored = [("c_" + name, it)]
    faults = [not_read]
    if column.levels:
        faults.append(Fault("source.level", name, "no declared level", f"{it} IS NOT NULL AND {code} IS NULL"))
    if column.role == "dimension":
        width = "USMALLINT" if len(column.levels) < 2**16 else "UINTEGER"
        stored.append(("d_" + name, f"coalesce({code}, {len(column.levels)})::{width}"))
    return Fit(name, raw, value, tuple(stored), tuple(faults), levels=column.levels)


def _filter_only(name: str, column: Column, raw: str, text: str, value: str) -> Fit:
    it = alias(name, "value")
    if column.type == "integer":
        it = f"TRY_CAST({it} AS BIGINT)"
    elif column.type == "decimal":
        it = f"TRY_CAST({it} AS DECIMAL({18 + column.places}, {column.places}))"
    what = {"integer": "no whole number", "decimal": "no number"}.get(str(column.type), "no date like 2026-12-31")
    fault = Fault("source.type", name, what, f"{alias(name, 'raw')} IS NOT NULL AND {it} IS NULL")
    return Fit(name, raw, value, (("c_" + name, it),), (fault,), text=text)


def _measure(name: str, column: Column, raw: str, text: str, value: str) -> Fit:
    places = column.places
    low, high = (_decimal(bound, places) for bound in column.scaled_range)
    it, source = alias(name, "value"), alias(name, "raw")
    outside = f"({it} < {low} OR {it} > {high})"
    # As wide as the declared bounds: what fits into 18 digits is multiplied in one word.
    digits = max(places + 1, *(len(str(abs(bound))) for bound in column.scaled_range))
    kept = f"greatest(least({it}, {high}), {low})::DECIMAL({digits}, {places})"
    scaled = f"({kept} * {10**places}::DECIMAL({places + 1}, 0))::BIGINT"
    what = "no whole number" if column.type == "integer" else "no number"
    faults = [Fault("source.type", name, what, f"{source} IS NOT NULL AND {it} IS NULL")]
    if not column.clamp:
        faults.append(Fault("source.range", name, f"outside {column.min} to {column.max}", outside))
    if column.required:
        faults.append(Fault("source.null", name, "missing", f"{source} IS NULL"))
    stored = f"CASE WHEN {it} IS NOT NULL THEN {scaled} END"  # least and greatest would skip a NULL
    clipped = outside if column.clamp else None
    return Fit(name, raw, value, (("m_" + name, stored),), tuple(faults), clipped=clipped, text=text)


def _decimal(scaled: int, places: int) -> str:
    """A declared bound as a literal: digits of our own model, never the author's text."""
    if not places:
        return str(scaled)
    sign, size = "-" if scaled < 0 else "", abs(scaled)
    return f"{sign}{size // 10**places}.{size % 10**places:0{places}d}"
