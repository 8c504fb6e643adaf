"""Pairs of specifications and what the comparison says of them, as the text that is golden.

A pair is a file of ``tests/check/diff``: the changes that make the new specification of ``base.toml``, as old and new
text between lines of four dashes and lines of four equals signs; beside it lies the golden text. The digests in it
are left out, so that a default of the format may change.

``python -m tests.check.pairs`` writes the golden files anew; look at the difference before you commit it.
"""

from pathlib import Path

from pets.check.diff import Difference, compare
from pets.spec.model import Spec
from pets.spec.parse import parse_toml

HERE = Path(__file__).parent / "diff"
BASE = (HERE / "base.toml").read_text()
PAIRS = sorted(HERE.glob("*.change"))


def changed(text: str, changes: str) -> str:
    """The text with every change made; one that does not fit exactly once is the pair's slip."""
    for change in changes.split("----\n")[1:]:
        old, new = change.split("====\n")
        assert text.count(old.removesuffix("\n")) == 1, old
        text = text.replace(old.removesuffix("\n"), new.removesuffix("\n"))
    return text


def pair(file: Path) -> tuple[Spec, Spec]:
    return parse_toml(BASE, file="base.toml"), parse_toml(changed(BASE, file.read_text()), file=file.name)


def told(found: Difference) -> str:
    return "".join(line for line in found.text.splitlines(True) if not line.startswith(("old ", "new ")))


if __name__ == "__main__":
    for each in PAIRS:
        each.with_suffix(".told").write_text(told(compare(*pair(each))))
