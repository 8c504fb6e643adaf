"""Every claim of docs/PROMISE.md names tests, and every named test exists and is run by ``make test``."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "PROMISE.md").read_text()
PROMISED = PAGE.split("## What is promised\n")[1].split("\n## ")[0]

NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def claims() -> list[str]:
    return re.split(r"^- \*\*", PROMISED, flags=re.MULTILINE)[1:]


def test_every_claim_names_its_tests() -> None:
    assert len(claims()) >= 20
    for claim in claims():
        assert NODE.search(claim.partition("Tests:")[2]), claim.splitlines()[0]


def test_every_named_test_is_collected_by_make_test() -> None:
    named = {f"{file}::{name}" for file, name in NODE.findall(PAGE)}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not long", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, *sorted({node.partition("::")[0] for node in named})],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    collected = {line.partition("[")[0] for line in found.stdout.splitlines()}
    assert not sorted(named - collected), found.stderr[-500:]


def test_nothing_that_a_page_names_as_a_test_is_misspelt() -> None:
    assert set(re.findall(r"`(tests/[^`]*::[^`]*)`", PAGE)) == {f"{file}::{name}" for file, name in NODE.findall(PAGE)}


def test_the_limits_are_on_the_page() -> None:
    limits = PAGE.split("## What is not promised\n")[1]
    for word in (
        "semi-honest",
        "Side channels",
        "substitute its input",
        "helper with a holder",
        "reviewed independently",
    ):
        assert word in limits, word
