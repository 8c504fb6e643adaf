"""How the corpus is read: what the checker says of a file, as the text that is golden. README.md has the layout.

``python -m tests.check.corpus`` writes the golden files anew; look at the difference before you commit it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pets.approve.envelope import keygen
from pets.approve.judgement import judge_policy
from pets.approve.policy import parse_policy
from pets.check import flow, pairs, pools
from pets.check.labels import Finding, Verdict
from pets.errors import SpecError
from pets.plan import match, pooling
from pets.plan.lower import lower
from pets.plan.review import finding_of
from pets.spec.cards import load_cards
from pets.spec.model import Spec
from pets.spec.pairing import Pairing, is_pairing, pairing_of
from pets.spec.parse import parse_toml
from pets.spec.pooled import Pooled, Statement
from pets.spec.sql import bind

HERE: Final = Path(__file__).parent
PASS: Final = sorted((HERE / "should_pass").glob("*.toml"))
"""Queries that pass. All files, of intersections too, are those below."""

PARTS: Final = ("", "intersections", "pools")
"""Folders with a manifest and the four folders of files."""


def _files(folder: str) -> list[Path]:
    return [file for part in PARTS for file in sorted((HERE / part / folder).glob("*.toml"))]


FAIL: Final = _files("should_fail")
WARN: Final = _files("should_warn")
PASSING: Final = _files("should_pass")
POLICY: Final = _files("policy")


def listed(part: str) -> Iterator[Mapping[str, Any]]:
    """A manifest, with paths below this folder."""
    for each in json.loads((HERE / part / "manifest.json").read_text())["files"]:
        yield each | {key: (Path(part) / each[key]).as_posix() for key in ("file", "spec", "golden") if key in each}


MANIFEST: Final = tuple(each for part in PARTS for each in listed(part))

APPROVER: Final = f"""
[approval]
k = 1
approvers = [{{ name = "Ann", role = "asset owner", key = "{keygen().text}", organisation = "Any" }}]
"""
"""What a fragment of a policy needs to be one: somebody who may approve."""


def asked_of(spec: Spec) -> Statement | Pairing:
    """What a specification asks for. Raises: SpecError if that is not clear."""
    return pairing_of(spec) if is_pairing(spec) else bind(spec)


def judged(spec: Spec, asked: Statement | Pairing) -> Verdict:
    """What the first checker says, of a query, of an intersection, or of sums over one table."""
    if isinstance(asked, Pairing):
        return pairs.judge(spec, asked, load_cards())
    if isinstance(asked, Pooled):
        return pools.judge(spec, asked, load_cards())
    return flow.judge(spec, asked, load_cards())


def lowered(spec: Spec, asked: Statement | Pairing) -> None:
    """Make the plan. Raises: SpecError if there is none."""
    if isinstance(asked, Pairing):
        match.lower(spec, asked)
    elif isinstance(asked, Pooled):
        pooling.lower(spec, asked)
    else:
        lower(spec, asked)


def verdict(file: Path) -> Verdict:
    spec = parse_toml(file.read_text(), file=file.name)
    return judged(spec, asked_of(spec))


def findings(text: str) -> tuple[Finding, ...]:
    """All that is said of a specification: by the format, by the language, by the rules, or when its plan is made."""
    try:
        spec = parse_toml(text)
        asked = asked_of(spec)
    except SpecError as error:
        return (finding_of(error),)
    said = judged(spec, asked)
    if said.accepted and said.matrix.columns:  # none, if a rule was taken out and nobody can say who plays which role
        try:
            lowered(spec, asked)
        except SpecError as error:
            return (finding_of(error), *said.findings)
    return said.findings


def by_policy(policy: str, text: str) -> tuple[Finding, ...]:
    """All that a party's policy says of a specification, or why there is none to hold against it."""
    try:
        spec = parse_toml(text)
        asked = asked_of(spec)
    except SpecError as error:
        return (finding_of(error),)
    return judge_policy(parse_policy(_whole(policy)), spec, asked)


def told(file: Path) -> str:
    """The golden text of a specification: the id of the first finding, then every finding with its severity."""
    return golden(findings(file.read_text()))


def told_by_policy(file: Path) -> str:
    return golden(by_policy(file.read_text(), spec_of(file).read_text()))


def golden(said: tuple[Finding, ...]) -> str:
    if not said:
        return "accepted\n"
    return f"{said[0].rule}\n" + "\n".join(f"{finding.severity} {finding.text}" for finding in said)


def entry(file: Path) -> Mapping[str, Any]:
    """What the manifest says of a file."""
    name = file.relative_to(HERE).as_posix()
    return next(each for each in MANIFEST if each["file"] == name)


def spec_of(file: Path) -> Path:
    """The specification that a file of the corpus is, or that a policy is held against."""
    return HERE / entry(file).get("spec", entry(file)["file"])


def matrix_of(each: Mapping[str, Any]) -> Path:
    """The golden matrix of a file: of what passes, and of what is warned of and has one worked out by hand."""
    return (HERE / each["file"]).with_suffix(".matrix")


def fixed(text: str, fix: list[Mapping[str, str]], *, without: int | None = None) -> str:
    """A specification after its smallest change, or after all parts of it but one."""
    for place, part in enumerate(fix):
        assert text.count(part["old"]) == 1, part["old"]
        if place != without:
            text = text.replace(part["old"], part["new"])
    return text


def _whole(policy: str) -> str:
    head, mark, rest = policy.partition("[limits]")
    return head + APPROVER + mark + rest


if __name__ == "__main__":
    for file in (*FAIL, *WARN):
        file.with_suffix(".message").write_text(told(file))
    for each in MANIFEST:
        if "matrix" in each or each["file"].split("/")[-2] == "should_pass":
            matrix_of(each).write_text(verdict(HERE / each["file"]).matrix.text)
    for file in POLICY:
        (HERE / entry(file)["golden"]).write_text(told_by_policy(file))
