"""Programs for MPyC, for those who write them and those who read them: list, show, try."""

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from pets.commands.say import DONE, out, write
from pets.errors import SpecError

app = typer.Typer(help="Programs for MPyC: read them, try your own on made-up data.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="PROGRAM", help="A program that comes along, or a file of your own.")]


@app.command("list", short_help="List the programs that come along.")
def list_() -> int:
    """List the programs that come along, with what each tells."""
    from pets.spec.mpyc_program import BUILT_IN, built_in

    for name in BUILT_IN:
        program = built_in(name)
        out.print(f"{name:<16} {program.written.title}")
        out.print(f"{'':<16} {program.written.functionality}")
    return DONE


@app.command("show", short_help="Print a program, and the digest that approvals name.")
def show(source: Source) -> int:
    """Print a program and the SHA-256 of its text. One's own is checked: is all of it within the language?"""
    from pets.programs import source_of

    checked = source_of(source)
    write(checked.text)
    out.print(f"SHA-256 {checked.sha256}")
    return DONE


@app.command("try", short_help="Run a program on made-up data, all parties on this computer.")
def try_(
    source: Source,
    data: Annotated[
        Path, typer.Argument(metavar="DATA", exists=True, dir_okay=False, help="Made-up numbers: a TOML file.")
    ],
) -> int:
    """Run a program on made-up data: the report that approvers would read, its digest and budget, and what comes out.

    DATA has a table [inputs.PARTY] for each party, with a list of whole numbers for each input; [parameters]; of your
    own program [outputs], with how many numbers each has; and receivers, a list, if not everybody receives.
    """
    from pets.programs import run_program

    given = _data(data)
    result = run_program(
        source if not Path(source).is_file() else Path(source),
        inputs=given["inputs"],
        outputs={name: tuple(v) if isinstance(v, list) else v for name, v in given.get("outputs", {}).items()} or None,
        parameters=given.get("parameters"),
        receivers=given.get("receivers"),
    )
    write(result.report())
    out.print("What a specification says of it:")
    write(result.budget)
    for name, values in result.outputs.items():
        out.print(f"{name:<16} {', '.join(map(_shown, values))}")
    return DONE


def _data(file: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError("spec.toml", file=file.name, problem=str(error)) from None
    known = {"inputs", "outputs", "parameters", "receivers"}
    if wrong := sorted(set(given) - known):
        advice = f"write {', '.join(sorted(known))}"
        raise SpecError("spec.field", path=f"{file.name}: {wrong[0]}", problem="is nothing that is read", advice=advice)
    inputs = given.get("inputs")
    if not isinstance(inputs, dict) or not all(isinstance(each, dict) for each in inputs.values()):
        advice = "write [inputs.a] and under it value = [3, 8], for each party"
        raise SpecError("spec.field", path=f"{file.name}: inputs", problem="has no numbers by party", advice=advice)
    return given


def _shown(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.10g}"
