"""Freeze and validate one dataset: all that can be wrong with records is found here, before any run.

A snapshot is a Parquet file in the party's own state folder, sorted by identifier: ``id``, a dense number ``person``,
``d_<dimension>`` (place of the level, the last for NULL), ``m_<measure>`` (whole number of the last place, inside the
declared range), ``c_<column>`` for WHERE. Runs read this file and never the source again, so records that change
between approval and run cannot change what was committed to.

The commitment binds the file without telling anyone about it: peers and receipts hold a salted hash. Row numbers and
counts of what is wrong go to the holder's console (``SourceError.local``); everybody else sees one code.
"""

import datetime as dt
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Collection, Sized
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pets.errors import SourceError
from pets.party.files import FrameSource, Source, is_pattern
from pets.party.fit import Fault, Fit, alias, fit
from pets.party.relation import Relation, files_of, relation
from pets.party.sources import MEMORY, SMALL, Report, Shared, Snapshot, engine, quoted, sha256_file, translated
from pets.spec.canonical import canonical
from pets.spec.model import Dataset, Linkage
from pets.spec.query import Predicate

SALT_BYTES: Final = 32
SHOWN: Final = 5
"""How many bad rows the console names."""

_MASK: Final = 62  # faults that one word of flags holds

_OURS: Final = re.compile(r"\.[0-9a-f]{16}\.parquet|\.scratch-.+|[^.].*-[0-9a-f]{16}\.parquet", re.DOTALL)
"""Names of what ``take`` makes in its folder: drafts, places for its engine, snapshots."""


def schema_digest(dataset: Dataset, linkage: Linkage) -> str:
    """SHA-256 over what validation depends on: equal digests may share a snapshot."""
    return hashlib.sha256(_joined(canonical(dataset), canonical(linkage))).hexdigest()


def commitment(*, salt: bytes, dataset: str, schema: str, sha256: str) -> str:
    """Bind a file's bytes, its dataset and its schema under a salt that its holder keeps."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    parts = _joined(salt, dataset.encode(), bytes.fromhex(schema), bytes.fromhex(sha256))
    return hashlib.sha256(b"pets/1 snapshot" + parts).hexdigest()


def _joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def take(
    source: Source,
    dataset: Dataset,
    linkage: Linkage,
    folder: Path,
    *,
    salt: bytes,
    now: dt.datetime,
    where: Predicate | None = None,
    exact: bool = False,
    memory: str = MEMORY,
    shared: Shared | None = None,
) -> Snapshot:
    """Validate a source against its declaration and write it, sorted, to ``folder`` (mode 0600).

    ``where``: what the specification asks of the rows; a database leaves out what it can tell is not asked for. A run
    applies it all the same.
    ``exact``: ask the source for its version too, for releases without noise.
    ``shared``: the engine for small frames, where parties share one; ``folder`` is below its own.

    Dropped: rows without an identifier; they are counted in the report.
    Learned: nothing leaves here but ``commitment``; the same records under another salt have another one.
    Raises:  SourceError, its ``local`` naming every fault with the first rows and the count; nothing is kept then.
    """
    schema = schema_digest(dataset, linkage)
    if is_pattern(folder):
        local = f"{folder.name}: the path of the state folder has one of the characters * ? ["
        raise SourceError("source.unwritable", dataset=dataset.name, local=(local,))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".{secrets.token_hex(8)}.parquet"
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        scratch = Path(tempfile.mkdtemp(prefix=".scratch-", dir=folder))
    except OSError as error:
        local = f"{folder.name}: {error.strerror}"
        raise SourceError("source.unwritable", dataset=dataset.name, local=(local,)) from None
    try:
        with (
            shared.cursor()
            if shared is not None and _small(source)
            else engine(
                *files_of(source), draft, scratch=scratch, memory=memory, threads=1 if _small(source) else None
            ) as connection,
            relation(connection, dataset, source, where) as found,
        ):
            report, width = Taking(connection, found, dataset, linkage).write(draft)
            version = found.version() if exact else ""
        sha256 = sha256_file(draft)
        committed = commitment(salt=salt, dataset=dataset.name, schema=schema, sha256=sha256)
        file = folder / f"{dataset.name}-{committed[:16]}.parquet"
        _settle(draft, file)
    except OSError as error:
        local = f"{folder.name}: {error.strerror}"
        raise SourceError("source.unwritable", dataset=dataset.name, local=(local,)) from None
    finally:
        draft.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
    return Snapshot(dataset.name, file, sha256, committed, schema, now, width, report, version)


def clear(folder: Path, named: Collection[str]) -> None:
    """Delete what a crash has left in a folder in which nothing is being taken: all that is not ``named``.

    Files of other names than ``take`` gives are left alone. Raises: OSError
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if not _OURS.fullmatch(path.name) or path.name in named:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _small(source: Source) -> bool:
    """True of a small frame, for which one thread is enough; a stream has no length."""
    frame = source.frame if isinstance(source, FrameSource) else None
    return isinstance(frame, Sized) and len(frame) <= SMALL


def _settle(draft: Path, file: Path) -> None:
    """Give a finished file its name so that a crash leaves the whole of it or nothing."""
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(file)
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Taking:
    """One snapshot in the making: stage what was read, refuse or report, sort, write.

    ``rows`` alone is for ``order.py``, which finds the rows of a file again by their identifiers.
    """

    def __init__(self, connection: Any, found: Relation, dataset: Dataset, linkage: Linkage) -> None:
        self.connection = connection
        self.dataset = dataset
        self.relation = found
        self.fits: tuple[Fit, ...] = tuple(
            fit(
                name,
                column,
                self.relation.columns[name],
                steps=linkage.normalise,
                dataset=dataset.name,
                label=self.relation.label,
            )
            for name, column in dataset.columns.items()
        )
        self.faults: tuple[Fault, ...] = tuple(fault for one in self.fits for fault in one.faults)
        self.fixed = dataset.columns[dataset.key].scheme == "nhs-number"
        for one in self.fits:
            if one.levels:
                codes = pa.array(range(len(one.levels)), pa.uint32())
                connection.register(_levels(one), pa.table({"level": pa.array(one.levels, pa.string()), "code": codes}))

    def write(self, draft: Path) -> tuple[Report, int]:
        with translated(self.dataset.name, self.relation.label, self.relation.why):
            self._stage()
            self._refuse()
            clipped, missing, without = self._counts()
            width = self._width()
            self._sort()
            rows, people = self._bounds()
            self._copy(draft, width)
        return Report(rows, people, without, clipped, missing, self.relation.asked), width

    @property
    def key_raw(self) -> str:
        return alias(self.dataset.key, "raw")

    def rows(self, *, numbered: bool) -> str:
        """Every row of the source with each column's raw, text, value and, for levels, code; maybe its number."""
        raw = [f"{quoted(one.raw)} AS {alias(one.column, 'raw')}" for one in self.fits]
        if numbered:
            raw.append(f'{self.relation.number} AS "#row"')
        inner = f"SELECT {', '.join(raw)} FROM {self.relation.sql}"
        for before, after, step in (("raw", "text", "text"), ("text", "value", "value")):
            made = (
                f"{getattr(one, step).replace('{x}', alias(one.column, before))} AS {alias(one.column, after)}"
                for one in self.fits
            )
            inner = f"SELECT *, {', '.join(made)} FROM ({inner})"
        joins = "".join(
            f" LEFT JOIN {quoted(_levels(one))} AS {quoted('#of_' + one.column)}"
            f" ON {alias(one.column, 'value')} = {quoted('#of_' + one.column)}.level"
            for one in self.fits
            if one.levels
        )
        codes = "".join(
            f", {quoted('#of_' + one.column)}.code AS {alias(one.column, 'code')}" for one in self.fits if one.levels
        )
        return f'SELECT "#all".*{codes} FROM ({inner}) AS "#all"{joins}'

    def _stage(self) -> None:
        """Read the source once: what will be stored, and flags of what is wrong. A row without an id has no faults."""
        kept = [f"{sql} AS {quoted(name)}" for one in self.fits for name, sql in one.stored]
        kept.append(f'{self.key_raw} IS NULL AS "#without"')
        for start in range(0, len(self.faults), _MASK):
            flags = " + ".join(
                f"coalesce(({fault.when})::BIGINT, 0) * {1 << i}"
                for i, fault in enumerate(self.faults[start : start + _MASK])
            )
            kept.append(f'CASE WHEN {self.key_raw} IS NULL THEN 0 ELSE {flags} END AS "#bad{start // _MASK}"')
        kept += [
            f"coalesce({one.clipped}, false) AS {alias(one.column, 'clipped')}" for one in self.fits if one.clipped
        ]
        self.relation.prepare(False)
        self._run(f"CREATE TEMP TABLE staged AS SELECT {', '.join(kept)} FROM ({self.rows(numbered=False)})")

    def _refuse(self) -> None:
        if not self.faults:
            return
        words = range((len(self.faults) + _MASK - 1) // _MASK)
        flags = ", ".join(f'coalesce(bit_or("#bad{i}"), 0)' for i in words)
        found = self._one(f"SELECT {flags} FROM staged")
        bad = [f for i, f in enumerate(self.faults) if found[i // _MASK] >> (i % _MASK) & 1]
        if bad:
            raise SourceError(bad[0].code, dataset=self.dataset.name, column=bad[0].column, local=self._lines(bad))

    def _lines(self, bad: list[Fault]) -> tuple[str, ...]:
        """Of each fault how many rows have it, and which are the first; the source is read once more for all."""
        asked = [f'count(*) FILTER ({fault.when}), min("#row", {SHOWN}) FILTER ({fault.when})' for fault in bad]
        self.relation.prepare(True)
        found = self._one(
            f"SELECT {', '.join(asked)} FROM ({self.rows(numbered=True)}) WHERE {self.key_raw} IS NOT NULL"
        )
        return tuple(map(self._line, bad, found[::2], found[1::2]))

    def _line(self, fault: Fault, count: int, rows: list[int] | None) -> str:
        source_name = self.relation.columns[fault.column][2]
        where = "1 row" if count == 1 else f"{count:,} rows"
        some = ": " + ", ".join(map(self.relation.told, rows)) + (", ..." if count > SHOWN else "") if rows else ""
        return f"{self.relation.label}, column {source_name}: {fault.what} in {where}{some}"

    def _counts(self) -> tuple[dict[str, int], dict[str, int], int]:
        clipped = [one.column for one in self.fits if one.clipped]
        missing = {one.column: name for one in self.fits for name, _ in one.stored if name != "id"}
        asked = ['count(*) FILTER ("#without")']
        asked += [f'count(*) FILTER (NOT "#without" AND {alias(c, "clipped")})' for c in clipped]
        asked += [f'count(*) FILTER (NOT "#without" AND {_null(name, self.dataset)})' for name in missing.values()]
        found = self._one(f"SELECT {', '.join(asked)} FROM staged")
        after = 1 + len(clipped)
        return (
            {c: n for c, n in zip(clipped, found[1:after], strict=True) if n},
            {c: n for c, n in zip(missing, found[after:], strict=True) if n},
            found[0],
        )

    def _width(self) -> int:
        if self.fixed:
            return 10
        return int(self._one('SELECT coalesce(max(strlen(id)), 1) FROM staged WHERE NOT "#without"')[0])

    def _sort(self) -> None:
        """By id, then by all the rest, so that one set of records gives one file in whatever order it came."""
        names = [quoted(name) for one in self.fits for name, _ in one.stored if name != "id"]
        listed = ", ".join(["id", *names])
        self._run(f'CREATE TEMP TABLE sorted AS SELECT {listed} FROM staged WHERE NOT "#without" ORDER BY {listed}')
        self._run("DROP TABLE staged")

    def _bounds(self) -> tuple[int, int]:
        rows, people, most = self._one(
            "SELECT coalesce(sum(n), 0)::BIGINT, count(*), coalesce(max(n), 0) FROM "
            "(SELECT count(*) AS n FROM sorted GROUP BY id)"
        )
        declared = self.dataset
        label = self.relation.label
        if rows > declared.max_rows:
            local = f"{label}: {rows:,} rows with an identifier, declared are at most {declared.max_rows:,}"
            raise SourceError("source.max-rows", dataset=declared.name, local=(local,))
        if most > declared.max_rows_per_person and not declared.truncate:
            self._too_many(label, declared.max_rows_per_person)
        return int(rows), int(people)

    def _too_many(self, label: str, allowed: int) -> None:
        count = self._one(f"SELECT count(*) FROM (SELECT 1 FROM sorted GROUP BY id HAVING count(*) > {allowed})")[0]
        rows = (
            f'SELECT min("#row") AS first FROM ({self.rows(numbered=True)}) WHERE {self.key_raw} IS NOT NULL '
            f"GROUP BY {alias(self.dataset.key, 'value')} HAVING count(*) > {allowed} ORDER BY first LIMIT {SHOWN}"
        )
        self.relation.prepare(True)
        first = ", ".join(self.relation.told(row[0]) for row in self._run(rows).fetchall() if row[0] is not None)
        source_name = self.relation.columns[self.dataset.key][2]
        people = "1 person has" if count == 1 else f"{count:,} people have"
        local = f"{label}, column {source_name}: {people} more than {allowed} rows"
        local += f", beginning at row {first}" if first else ""
        raise SourceError("source.rows-per-person", dataset=self.dataset.name, column=self.dataset.key, local=(local,))

    def _copy(self, draft: Path, width: int) -> None:
        """Number the people and write. Both windows stream over the sorted table in its order."""
        names = [quoted(name) for one in self.fits for name, _ in one.stored if name != "id"]
        key = "id" if self.fixed else f"encode(id) || repeat('\\x00'::BLOB, {width} - strlen(id)) AS id"
        listed = ", ".join([key, '(sum("#new") OVER (ROWS UNBOUNDED PRECEDING) - 1)::UINTEGER AS person', *names])
        people = 'SELECT *, (id IS DISTINCT FROM lag(id) OVER ())::UTINYINT AS "#new" FROM sorted'
        target = str(draft).replace("'", "''")  # COPY takes the name of its file as a literal only
        self.connection.execute(
            f"COPY (SELECT {listed} FROM ({people})) TO '{target}' "
            "(FORMAT parquet, COMPRESSION uncompressed, USE_TMP_FILE false)"
        )

    def _run(self, sql: str) -> Any:
        """Execute; the source's parameters go wherever its table expression stands."""
        parameters = self.relation.parameters if self.relation.sql in sql and "?" in self.relation.sql else ()
        return self.connection.execute(sql, list(parameters))

    def _one(self, sql: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._run(sql).fetchone()
        return row


def _levels(one: Fit) -> str:
    return "#levels_" + one.column


def _null(stored: str, dataset: Dataset) -> str:
    if stored.startswith("d_"):
        return f"{quoted(stored)} = {len(dataset.columns[stored[2:]].levels)}"
    return f"{quoted(stored)} IS NULL"
