"""What an intersection tells a holder that did not ask: a list of its own persons, in a file of its own server."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FOLDER: Final = "results"
"""Beside the snapshots, in a server's state folder."""


def write(folder: Path, name: str, column: str, ids: Sequence[str]) -> Path:
    """Write identifiers under the name of their column, readable by the server's own account alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / name
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow([column])
        rows.writerows([each] for each in ids)
    return file


def read(file: Path) -> list[str]:
    """The identifiers of such a file."""
    with file.open(encoding="utf-8", newline="") as opened:
        return [row[0] for row in csv.reader(opened)][1:]
