"""For authors and approvers: check a specification, explain it, print the schemas."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pets.commands.own import find, own_server
from pets.commands.say import DONE, REFUSED, WRONG, complain, err, out, write
from pets.errors import ConfigError, SpecError

if TYPE_CHECKING:
    from pets.plan.review import Review

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A specification: a .spec.toml file.")]


def register(app: typer.Typer) -> None:
    app.command("check", short_help="Check a specification; exit code 0 accepted, 2 refused.")(check)
    app.command("explain", short_help="Explain who learns what, in plain words or as a page.")(explain)
    app.command("schema", short_help="Print the JSON Schema of specifications or cards.")(schema)


def check(
    spec: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: accepted, digest, findings, matrix.")] = False,
) -> int:
    """Check a specification as every party's server does, but for the parties' own policies.

    Exit code 0: accepted; 2: refused; 1: usage, or the file cannot be read.
    """
    from pets.check.disclosure import render, to_json
    from pets.plan.review import review
    from pets.spec.parse import read_spec

    try:
        found = review(read_spec(spec))
    except SpecError as error:
        if not as_json or (code := _code(error)) == WRONG:
            return complain(error)
        write(_json(_refused(error)))
        return code
    write(_json(to_json(found)) if as_json else render(found, width=out.width if out.is_terminal else None))
    return DONE if found.accepted else REFUSED


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


def schema(
    what: Annotated[str, typer.Argument(help="spec or card")] = "spec",
) -> int:
    """Print the JSON Schema of specifications or of protocol cards."""
    if what == "spec":
        from pets.spec.schema import json_schema
    elif what == "card":
        from pets.spec.cards import json_schema
    else:
        raise typer.BadParameter("say spec or card")
    write(_json(json_schema()))
    return DONE


def _of_file(spec: Path) -> "Review":
    from pets.plan.review import review
    from pets.spec.parse import read_spec

    return review(read_spec(spec))


def _of_server(digest: str, config: Path) -> "Review":
    from pets.plan.review import review
    from pets.spec.parse import parse_toml

    server, _ = own_server(config)
    found = find(server, digest)
    files = dict(server.evidence(found.digest).files)
    return review(parse_toml(files["spec.toml"].decode(), file="specification"))


def _code(error: SpecError) -> int:
    return WRONG if error.code in ("spec.unreadable", "spec.toml") else REFUSED


def _json(body: object) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True)


def _refused(error: SpecError) -> dict[str, object]:
    """The shape of ``check --json`` for a text that is no specification: it has no digest and no matrix."""
    from pets.check.labels import Matrix
    from pets.plan.review import finding_of

    first = finding_of(error)
    findings = [
        {"rule": f.rule, "severity": f.severity, "path": f.path, "message": f.message, "hint": f.hint} for f in (first,)
    ]
    others = error.fields.get("others", ())
    for line in others if isinstance(others, tuple | list) else ():
        path, _, message = str(line).partition(": ")
        findings.append({"rule": error.code, "severity": "error", "path": path, "message": message, "hint": ""})
    return {"accepted": False, "digest": None, "findings": findings, "matrix": Matrix().to_json()}
