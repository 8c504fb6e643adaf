"""The corpus of specifications that ask for a program: how it is read. ``python -m tests.check.programs_corpus`` writes
the golden files anew; look at the difference before you commit it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pets.check import programs
from pets.check.labels import Finding
from pets.errors import SpecError
from pets.plan.review import finding_of
from pets.spec.cards import load_cards
from pets.spec.parse import parse_toml
from pets.spec.programmed import programmed_of
from tests.check.corpus import golden

HERE: Final = Path(__file__).parent / "programs"
FILES: Final[tuple[Mapping[str, Any], ...]] = tuple(json.loads((HERE / "manifest.json").read_text())["files"])
REFUSED: Final = tuple(each for each in FILES if each["expect"] == "refused")
WARNED: Final = tuple(each for each in FILES if each["expect"] == "warned")


def text_of(each: Mapping[str, Any]) -> str:
    return (HERE / each["file"]).read_text()


def findings(text: str) -> tuple[Finding, ...]:
    """All that the format, the language or the rules say of a specification."""
    try:
        spec = parse_toml(text)
        asked = programmed_of(spec)
    except SpecError as error:
        return (finding_of(error),)
    return programs.judge(spec, asked, load_cards()).findings


def matrix(text: str) -> str:
    spec = parse_toml(text)
    return programs.judge(spec, programmed_of(spec), load_cards()).matrix.text


if __name__ == "__main__":
    for each in FILES:
        (HERE / each["golden"]).write_text(golden(findings(text_of(each))))
        if "matrix" in each:
            (HERE / each["matrix"]).write_text(matrix(text_of(each)))
