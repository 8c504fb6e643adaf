"""How the corpus is read: what the checker says of a file, as the text that is golden. README.md has the layout.

``python -m tests.check.corpus`` writes the golden files anew; look at the difference before you commit it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pets.approve.envelope import keygen
from pets.approve.policy import judge_policy, parse_policy
from pets.check import flow
from pets.check.labels import Finding, Verdict
from pets.errors import SpecError
from pets.plan.lower import lower
from pets.plan.review import finding_of
from pets.spec.cards import load_cards
from pets.spec.parse import parse_toml
from pets.spec.sql import bind

HERE: Final = Path(__file__).parent
FAIL: Final = sorted((HERE / "should_fail").glob("*.toml"))
WARN: Final = sorted((HERE / "should_warn").glob("*.toml"))
PASS: Final = sorted((HERE / "should_pass").glob("*.toml"))
POLICY: Final = sorted((HERE / "policy").glob("*.policy.toml"))
MANIFEST: Final[tuple[Mapping[str, Any], ...]] = tuple(json.loads((HERE / "manifest.json").read_text())["files"])

APPROVER: Final = f"""
[approval]
k = 1
approvers = [{{ name = "Ann", role = "asset owner", key = "{keygen().text}", organisation = "Any" }}]
"""
"""What a fragment of a policy needs to be one: somebody who may approve."""


def verdict(file: Path) -> Verdict:
    spec = parse_toml(file.read_text(), file=file.name)
    return flow.judge(spec, bind(spec), load_cards())


def findings(text: str) -> tuple[Finding, ...]:
    """All that is said of a specification: by the format, by the language, by the rules, or when its plan is made."""
    try:
        spec = parse_toml(text)
        query = bind(spec)
    except SpecError as error:
        return (finding_of(error),)
    said = flow.judge(spec, query, load_cards())
    if said.accepted:
        try:
            lower(spec, query)
        except SpecError as error:
            return (finding_of(error), *said.findings)
    return said.findings


def by_policy(policy: str, text: str) -> tuple[Finding, ...]:
    """All that a party's policy says of a specification, or why there is none to hold against it."""
    try:
        spec = parse_toml(text)
        query = bind(spec)
    except SpecError as error:
        return (finding_of(error),)
    return judge_policy(parse_policy(_whole(policy)), spec, query)


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
    for each in (*FAIL, *WARN):
        each.with_suffix(".message").write_text(told(each))
    for each in PASS:
        each.with_suffix(".matrix").write_text(verdict(each).matrix.text)
    for each in POLICY:
        (HERE / entry(each)["golden"]).write_text(told_by_policy(each))
