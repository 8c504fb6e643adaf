"""Every claim of docs/PROMISE.md names tests, and every named test exists and is run by ``make test``."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "PROMISE.md").read_text()
PROMISED = PAGE.split("## What is promised\n")[1].split("\n## ")[0]

QUICK = "not long"
"""What ``make test`` runs, as pytest is told."""

NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def claims() -> list[str]:
    return re.split(r"^- \*\*", PROMISED, flags=re.MULTILINE)[1:]


def test_every_claim_names_its_tests() -> None:
    assert len(claims()) >= 20
    for claim in claims():
        assert NODE.search(claim.partition("Tests:")[2]), claim.splitlines()[0]


def test_every_named_test_is_collected_by_make_test(request: pytest.FixtureRequest) -> None:
    """Those that are about to run here, if they are; else pytest is asked for the files that are named."""
    named = {f"{file}::{name}" for file, name in NODE.findall(PAGE)}
    here = {item.nodeid.partition("[")[0] for item in request.session.items}
    if request.config.option.markexpr == QUICK and named <= here:
        return
    assert not sorted(named - collected_from(sorted({node.partition("::")[0] for node in named})))


def collected_from(files: list[str]) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", QUICK, "-p", "no:cacheprovider"]
    found = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    return {line.partition("[")[0] for line in found.stdout.splitlines()}


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
