"""For authors and approvers: check a specification, explain it, compare two, print the schemas."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pets.commands.own import find, own_server, reviewed_at
from pets.commands.say import DONE, REFUSED, WRONG, complain, err, out, write
from pets.errors import ConfigError, SpecError

if TYPE_CHECKING:
    from pets.approve.policy import Policy
    from pets.plan.review import Review

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A specification: a .spec.toml file.")]


def register(app: typer.Typer) -> None:
    app.command("check", short_help="Check a specification; exit code 0 accepted, 2 refused.")(check)
    app.command("lint", short_help="Hold the legal part against the legal rules.")(lint)
    app.command("explain", short_help="Explain who learns what, in plain words or as a page.")(explain)
    app.command("diff", short_help="Compare two specifications: does the new one tell more?")(diff)
    app.command("schema", short_help="Print the JSON Schema of specifications, cards or reports.")(schema)


def check(
    spec: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: accepted, digest, findings, matrix.")] = False,
) -> int:
    """Check a specification as every party's server does, but for the parties' own policies.

    Prints the report without its list of fields; of a refused one the reasons. `pets explain` has all of it.
    Exit code 0: accepted; 2: refused; 1: usage, or the file cannot be read.
    """
    from pets.check.disclosure import render
    from pets.check.document import to_json
    from pets.plan.review import review
    from pets.spec.parse import read_spec

    try:
        found = review(read_spec(spec))
    except SpecError as error:
        if not as_json or (code := _code(error)) == WRONG:
            return complain(error)
        write(_json(_refused(error)))
        return code
    write(_json(to_json(found)) if as_json else render(found, width=out.width if out.is_terminal else None, brief=True))
    return DONE if found.accepted else REFUSED


def lint(
    spec: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: accepted, digest, policy, findings.")] = False,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A policy.toml: show the findings as its party lowers them.")
    ] = None,
) -> int:
    """Hold the legal part of a specification against the legal rules alone; pets check does that too, and all else.

    Exit code 0: nothing refuses; 2: refused; 1: usage, or a file cannot be read.
    """
    from pets.check import lawful, legal
    from pets.spec.canonical import spec_digest
    from pets.spec.parse import read_spec

    try:
        text = read_spec(spec)
    except SpecError as error:
        if not as_json or (code := _code(error)) == WRONG:
            return complain(error)
        write(_json(_refused(error)))
        return code
    found, party = legal.findings(text), None
    if policy is not None:
        own = _policy(policy)
        found, party = legal.lowered(found, own.lint, party=own.party), own.party
    refused = any(each.severity == "error" for each in found)
    if as_json:
        told = [each.to_json() for each in found]
        write(_json({"accepted": not refused, "digest": spec_digest(text), "policy": party, "findings": told}))
    else:
        width = min(out.width, lawful.WIDTH) if out.is_terminal else lawful.WIDTH
        write(
            "\n".join(filter(None, (lawful.table(found, width=width), lawful.summary(found, party=party, width=width))))
        )
    return REFUSED if refused else DONE


def explain(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A .spec.toml file; with --config, a digest.")],
    page: Annotated[Path | None, typer.Option("--html", help="Write the one-page report to this file.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Your party.toml: explain what your own server holds.")
    ] = None,
) -> int:
    """Explain who learns what, in plain words; --html writes the page that approvers read.

    With --config it explains a specification that is pending at your own server, by its digest.
    """
    from pets.check.disclosure import render
    from pets.check.page import html

    found = _of_file(Path(spec)) if config is None else _of_server(spec, config)
    if page is None:
        write(render(found, width=out.width if out.is_terminal else None))
    else:
        try:
            page.write_text(html(found), encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                "config.output", file=page.name, problem=(error.strerror or "cannot be written").lower()
            ) from None
        out.print(f"wrote {page}", markup=False)
    if not found.accepted:
        err.print("[bold red]refused[/]: the report says why")
    return DONE if found.accepted else REFUSED


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The specification that was approved.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The one that is to run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: relation, digests, reasons.")] = False,
) -> int:
    """Compare two specifications: is NEW equal to OLD, narrower, wider, or neither, and why.

    Approvals of OLD cover NEW if it is equal or narrower; every server decides that by itself.

    Exit code 0: equal or narrower; 2: wider or incomparable; 1: usage, or a file that holds no specification.
    """
    from pets.check.diff import compare
    from pets.spec.parse import read_spec

    try:
        found = compare(read_spec(old), read_spec(new))
    except SpecError as error:
        complain(error)
        return WRONG
    write(_json(found.to_json()) if as_json else found.text)
    return DONE if found.within else REFUSED


def schema(
    what: Annotated[str, typer.Argument(help="spec, card or report")] = "spec",
) -> int:
    """Print the JSON Schema of specifications, of protocol cards, or of what check --json prints."""
    if what == "spec":
        from pets.spec.schema import json_schema
    elif what == "card":
        from pets.spec.card_file import json_schema
    elif what == "report":
        from pets.check.document import json_schema
    else:
        raise typer.BadParameter("say spec, card or report")
    write(_json(json_schema()))
    return DONE


def _policy(file: Path) -> "Policy":
    from pets.approve.policy import parse_policy

    try:
        return parse_policy(file.read_text(encoding="utf-8"), file=file.name)
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "is not UTF-8"
        raise ConfigError("config.file", file=file.name, problem=problem.lower()) from None


def _of_file(spec: Path) -> "Review":
    from pets.plan.review import review
    from pets.spec.parse import read_spec

    return review(read_spec(spec))


def _of_server(digest: str, config: Path) -> "Review":
    """The review of a specification at the reader's own server, with what its history holds against it."""
    from dataclasses import replace

    from pets.check.labels import Finding

    server, _ = own_server(config)
    standing = find(server, digest)
    found = reviewed_at(server, standing.digest, config)
    held = tuple(
        Finding(
            "differencing.suspicion",
            "note" if one.overruled else "warning",
            "computation.sql",
            one.problem + (", which was overruled" if one.overruled else ""),
            f"an approver overrules it by name: pets approve --overrule {one.id}",
        )
        for one in standing.suspicions
    )
    return replace(found, verdict=replace(found.verdict, findings=(*found.verdict.findings, *held)))


def _code(error: SpecError) -> int:
    return WRONG if error.code in ("spec.unreadable", "spec.toml") else REFUSED


def _json(body: object) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True)


def _refused(error: SpecError) -> dict[str, object]:
    """The shape of ``check --json`` for a text that is no specification: it has no digest and no matrix."""
    from pets.check.labels import Matrix
    from pets.plan.review import finding_of

    findings = [finding_of(error).to_json()]
    others = error.fields.get("others", ())
    for line in others if isinstance(others, tuple | list) else ():
        path, _, message = str(line).partition(": ")
        findings.append({"rule": error.code, "severity": "error", "path": path, "message": message, "hint": ""})
    return {"accepted": False, "digest": None, "findings": findings, "matrix": Matrix().to_json()}
