"""From two files to a specification of their intersection: what ``pets psi try`` runs on one host.

Whoever tries it has both files, so sizes, levels and ranges are read off them, purpose and legal ground say that it is
a trial, and one person plays both holders. Two servers run it as they would apart.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pets.draft import Given, draft_psi
from pets.errors import ConfigError
from pets.ids import PartyId
from pets.party.files import FileSource, FrameSource
from pets.party.order import persons_of
from pets.spec.model import Linkage, Spec
from pets.spec.parse import spec_of
from pets.spec.write import to_toml

ASKER: Final = PartyId("asker")
OTHER: Final = PartyId("other")
NORMALISE: Final = ("strip-spaces", "nfc")

_WORDS: Final = {ASKER: "who asks, on this host", OTHER: "the other holder, on this host"}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_ON: Final = "name the person id: --on COLUMN, or --on A=B where the second file calls it B"
_TRIAL: Final = "a trial on one host"


@dataclass(frozen=True, slots=True)
class Trial:
    """A specification, and where its two datasets lie: the one who asks first. ``rows`` of each, ``persons`` too."""

    spec: Spec
    toml: str
    sources: Mapping[str, FileSource]
    rows: tuple[int, int]
    persons: tuple[int, int]


def trial(
    asks: Path,
    other: Path,
    *,
    psi: str,
    on: str | None = None,
    where: str | None = None,
    columns: Sequence[str] = (),
) -> Trial:
    """Write the specification of an intersection of two files. Spaces in identifiers do not count.

    ``on``: the column with the person id, "A=B" where the second file has another name for it; found if only one name
            is common. Columns whose name SQL would not take are called by its letters and digits, joined by _.
    Raises: ConfigError config.files, which says what is wrong with a file; SpecError for a condition that is none.
    """
    if asks.samefile(other):
        raise _files(other, "it is given twice", "name the file of each of the two holders")
    names = _names_of(asks, other)
    tables = [_read(asks), _read(other)]
    keys = _keys((asks, other), tables, on)
    tables = [_with_text(table, path, key) for table, path, key in zip(tables, (asks, other), keys, strict=True)]
    safe = [_safe(table.column_names) for table in tables]
    sources = {
        name: FileSource(path, None, {new: old for old, new in called.items() if old != new})
        for name, path, called in zip(names, (asks, other), safe, strict=True)
    }
    given = [
        Given(party, name, FrameSource(table.rename_columns([called[old] for old in table.column_names])))
        for party, name, table, called in zip((ASKER, OTHER), names, tables, safe, strict=True)
    ]
    linked = {name: called[key] for name, called, key in zip(names, safe, keys, strict=True)}
    draft = draft_psi(
        psi, parties=[ASKER, OTHER], given=given, asks=names[0], where=where, columns=columns, on=linked
    ).spec
    linkage = draft.linking.model_copy(update={"normalise": NORMALISE})
    counted = [persons_of(sources[dataset.name], dataset, linkage) for dataset in draft.datasets]
    spec = spec_of(_filled(draft, linkage, [most for _, most in counted]))
    return Trial(
        spec,
        to_toml(spec),
        sources,
        (tables[0].num_rows, tables[1].num_rows),
        (counted[0][0], counted[1][0]),
    )


def _filled(draft: Spec, linkage: Linkage, most: Sequence[int]) -> dict[str, Any]:
    """The draft with what a server asks for beside: purpose and ground of a trial, persons' rows as they are linked."""
    body = draft.model_dump(mode="python", by_alias=True, exclude_defaults=True, exclude_none=True)
    asks, other = (dataset.name for dataset in draft.datasets)
    body["title"] = f"{_TRIAL.capitalize()}: {draft.computation.psi} of {asks} and {other}"
    body["purpose"] |= {
        "statement": f"{_TRIAL.capitalize()}, by one person who has both files.",
        "dpv": ["dpv:ImprovePublicServices"],
        "public_benefit": f"None: {_TRIAL}.",
    }
    body["legal"] = {
        name: {
            "controller": "whoever runs the trial",
            "law": "legal-gb:law-GDPR",
            "jurisdiction": "loc:GB",
            "article6": "eu-gdpr:A6-1-e-public-interest",
            "dpia": {"id": f"none: {_TRIAL}", "outcome": "eu-gdpr:DPIAOutcomeRisksMitigated"},
            "retention": "as long as whoever runs the trial keeps it",
            "notice": f"none: {_TRIAL}",
        }
        for name in (ASKER, OTHER)
    }
    for party in body["party"]:
        party["organisation"] = _WORDS[party["name"]]
    for dataset, rows in zip(body["dataset"], most, strict=True):
        dataset["max_rows_per_person"] = max(1, rows)
    body["linkage"]["normalise"] = linkage.normalise
    return body


def _names_of(*files: Path) -> list[str]:
    """Names of the datasets, after their files."""
    names = [re.sub(r"\W+", "_", file.stem, flags=re.ASCII).strip("_").lower()[:60] for file in files]
    names = [name if _NAME.fullmatch(name) else f"file_{name}".rstrip("_") for name in names]
    return names if names[0] != names[1] else [names[0], f"{names[1]}_2"]


def _safe(columns: Sequence[str]) -> dict[str, str]:
    """For each column a name that a specification can have: its own, where it can."""
    found: dict[str, str] = {}
    for column in columns:
        name = column if _NAME.fullmatch(column) else re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")[:60]
        name = name if _NAME.fullmatch(name) else f"column_{name}".rstrip("_")
        while name.casefold() in {each.casefold() for each in found.values()}:
            name += "_2"
        found[column] = name
    return found


def _keys(files: Sequence[Path], tables: Sequence[Any], on: str | None) -> list[str]:
    """The column of each file that has the person id."""
    known = [list(table.column_names) for table in tables]
    if on is None:
        common = [name for name in known[0] if name in known[1]]
        if len(common) != 1:
            first, second = (", ".join(names) for names in known)
            problem = f"its columns are {second}; those of {files[0].name} are {first}; in common: {len(common)}"
            raise _files(files[1], problem, _ON)
        return [common[0], common[0]]
    first, sign, second = on.partition("=")
    wanted = [first.strip(), second.strip() if sign else first.strip()]
    keys = []
    for file, names, name in zip(files, known, wanted, strict=True):
        found = [each for each in names if each == name] or [each for each in names if each.lower() == name.lower()]
        if len(found) != 1:
            raise _files(file, f"it has no column {name or '(without a name)'}; it has {', '.join(names)}", _ON)
        keys.append(found[0])
    return keys


def _read(file: Path, *text: str) -> Any:
    """A file as a table, for reading levels and ranges off; columns in ``text`` as they are written."""
    kind = FileSource(file).kind
    try:
        if kind == "parquet":
            return pq.read_table(file)
        if kind == "csv":
            options = pa_csv.ConvertOptions(
                column_types=dict.fromkeys(text, pa.string()),
                null_values=[""],
                true_values=[],
                false_values=[],
                strings_can_be_null=True,
            )
            table = pa_csv.read_csv(file, convert_options=options)
            if len(set(table.column_names)) == table.num_columns:
                return table
            raise _files(file, "two of its columns have one name", "rename one of them")
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        if file.is_file() and not file.stat().st_size:
            raise _files(file, "it is empty: there is no header row", "give a file with a header row") from None
        what = "no Parquet file" if kind == "parquet" else "not comma-separated UTF-8 text with a header row"
        said = getattr(error, "strerror", None)
        raise _files(
            file, said.lower() if said else f"it is {what}", "give a CSV file in UTF-8, or a Parquet file"
        ) from None
    raise _files(file, "its name ends neither in .csv nor in .parquet", "give a CSV or Parquet file")


def _with_text(table: Any, file: Path, key: str) -> Any:
    """The same with the person id as it is written: 007 is not 7."""
    return _read(file, key) if FileSource(file).kind == "csv" else table


def _files(file: Path, problem: str, advice: str) -> ConfigError:
    return ConfigError("config.files", file=file.name, problem=problem, advice=advice)
