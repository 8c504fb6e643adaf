"""For authors and approvers: check a specification, explain it, print the schemas."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pets.check.disclosure import render, to_json
from pets.check.labels import Matrix, Verdict
from pets.check.page import html
from pets.commands.say import DONE, REFUSED, WRONG, complain, err, out, write
from pets.errors import SpecError
from pets.plan.review import Review, finding_of, review
from pets.spec.cards import json_schema as card_schema
from pets.spec.parse import read_spec
from pets.spec.schema import json_schema as spec_schema

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A specification: a .spec.toml file.")]

_UNREADABLE = ("spec.unreadable", "spec.toml")


def register(app: typer.Typer) -> None:
    app.command("check")(check)
    app.command("explain")(explain)
    app.command("schema")(schema)


def check(
    spec: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: accepted, digest, findings, matrix.")] = False,
) -> int:
    """Check a specification as every party's server does, but for the parties' own policies.

    Exit code 0: accepted; 2: refused; 1: the file cannot be read.
    """
    try:
        found = review(read_spec(spec))
    except SpecError as error:
        if error.code in _UNREADABLE:
            return complain(error)
        if as_json:
            write(json.dumps(_refused(error), indent=2, ensure_ascii=False, sort_keys=True))
            return REFUSED
        complain(error)
        return REFUSED
    if as_json:
        write(json.dumps(_as_json(found), indent=2, ensure_ascii=False, sort_keys=True))
    else:
        write(render(found))
    return DONE if found.accepted else REFUSED


def explain(
    spec: SpecFile,
    page: Annotated[Path | None, typer.Option("--html", help="Write the one-page report to this file.")] = None,
) -> int:
    """Explain who learns what, in plain words; ``--html`` writes the page that approvers read."""
    try:
        found = review(read_spec(spec))
    except SpecError as error:
        return WRONG if complain(error) == WRONG else REFUSED
    if page is None:
        write(render(found))
    else:
        page.write_text(html(found), encoding="utf-8")
        out.print(f"wrote {page}")
    if not found.accepted:
        err.print("[bold red]refused[/]: the report says why")
    return DONE if found.accepted else REFUSED


def schema(
    what: Annotated[str, typer.Argument(help="spec or card")] = "spec",
) -> int:
    """Print the JSON Schema of specifications or of protocol cards."""
    if what not in ("spec", "card"):
        raise typer.BadParameter("say spec or card")
    write(json.dumps(spec_schema() if what == "spec" else card_schema(), indent=2, sort_keys=True))
    return DONE


def _as_json(found: Review) -> dict[str, object]:
    report = to_json(found)
    findings = [
        {"rule": f.rule, "severity": f.severity, "path": f.path, "message": f.message, "hint": f.hint}
        for f in found.verdict.findings
    ]
    return {
        **report,
        "accepted": found.accepted,
        "digest": found.digest,
        "findings": findings,
        "matrix": found.verdict.matrix.to_json(),
    }


def _refused(error: SpecError) -> dict[str, object]:
    """The same shape for a text that is no specification: it has no digest."""
    verdict = Verdict((finding_of(error),), Matrix())
    others = [str(line) for line in error.fields.get("others", ())]  # type: ignore[attr-defined]
    findings = [
        {"rule": f.rule, "severity": f.severity, "path": f.path, "message": f.message, "hint": f.hint}
        for f in verdict.findings
    ]
    findings += [
        {"rule": error.code, "severity": "error", "path": "", "message": line, "hint": ""} for line in others
    ]
    return {"accepted": False, "digest": None, "findings": findings, "matrix": Matrix().to_json()}
