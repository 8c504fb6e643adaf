"""How the corpus is read: what the checker says of a file, as the text that is golden.

``python tests/check/corpus.py`` writes the golden files anew; look at the difference before you commit it.
"""

from pathlib import Path

from pets.check import flow
from pets.check.labels import Verdict
from pets.errors import SpecError
from pets.spec.cards import load_cards
from pets.spec.parse import parse_toml
from pets.spec.sql import bind

HERE = Path(__file__).parent
FAIL = sorted((HERE / "should_fail").glob("*.toml"))
WARN = sorted((HERE / "should_warn").glob("*.toml"))
PASS = sorted((HERE / "should_pass").glob("*.toml"))


def verdict(file: Path) -> Verdict:
    spec = parse_toml(file.read_text(), file=file.name)
    return flow.judge(spec, bind(spec), load_cards())


def told(file: Path) -> str:
    """Every finding with its severity, or the refusal of what cannot even be read."""
    try:
        findings = verdict(file).findings
    except SpecError as error:
        return f"error {error.text}\n  {error.hint}\n"
    return "\n".join(f"{finding.severity} {finding.text}" for finding in findings)


if __name__ == "__main__":
    for each in (*FAIL, *WARN):
        each.with_suffix(".message").write_text(told(each))
    for each in PASS:
        each.with_suffix(".matrix").write_text(verdict(each).matrix.text)
