"""Where a holder's own records lie: a file, a data frame in memory, or a database. Nothing is opened here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pets.party.database import PostgresSource


@dataclass(frozen=True, slots=True)
class FileSource:
    """A CSV or Parquet file. ``columns`` gives the file's name of a column where the specification has another."""

    path: Path
    format: Literal["csv", "parquet"] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def kind(self) -> Literal["csv", "parquet"] | None:
        """The format that is stated, or that the name ends in; None if neither says."""
        if self.format is not None:
            return self.format
        return {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}.get(self.path.suffix.lower())  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, repr=False)
class FrameSource:
    """A data frame in memory: pandas, or anything that speaks the Arrow stream interface (polars, pyarrow)."""

    frame: Any
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return "data frame"

    def __repr__(self) -> str:
        return f"FrameSource({type(self.frame).__name__})"


Source = FileSource | FrameSource | PostgresSource


def is_pattern(path: Path) -> bool:
    """True if DuckDB could take the path for more than one file."""
    return any(mark in str(path) for mark in "*?[")
