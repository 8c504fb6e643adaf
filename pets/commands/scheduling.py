"""For analysts: what runs by itself, and when."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pets.commands.running import Client, Directory
from pets.commands.say import DONE, complain, err, out, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pets.schedule import Scheduled


def register(app: typer.Typer) -> None:
    app.command("schedule", short_help="List what runs by a schedule, or start what is due.")(schedule)


def schedule(
    specs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SPEC]...", help="Specifications; every .spec.toml beside --directory if left out."),
    ] = None,
    directory: Directory = Path("directory.toml"),
    run: Annotated[bool, typer.Option("--run", help="Start everything that is due.")] = False,
    to: Annotated[Path, typer.Option("--out", help="Folder of the tables; evidence goes beside them.")] = Path(
        "results"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
    client: Client = None,
) -> int:
    """List what has a schedule: when it ran last, when it is due, what it has left. --run starts what is due.

    For cron or a timer: with --run it prints what it did, and exit code 0 also means that nothing was due. It is 2 if
    something was due and was refused.
    """
    from pets.remote import connect
    from pets.schedule import found_beside, look

    paths = tuple(specs) if specs else found_beside(directory)
    network = connect(directory, client=client)
    if run:
        from pets.schedule import run_due

        code = DONE
        for ended in run_due(network, paths, to, tell=lambda one: err.print(f"running {one.path}", markup=False)):
            if ended.error is not None:
                err.print(f"{ended.scheduled.path}:", markup=False)
                code = max(code, complain(ended.error))
            else:
                out.print(f"{ended.file}: the table of {ended.scheduled.path}", markup=False)
        return code
    listed = look(network, paths)
    if as_json:
        write(json.dumps([one.to_json() for one in listed], indent=2))
    else:
        _show(listed)
    return DONE


def _show(listed: "Sequence[Scheduled]") -> None:
    from rich.table import Table
    from rich.text import Text

    if not listed:
        out.print("no specification: name some, or put them beside directory.toml")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("specification", "runs", "last", "due", "left", "budget for", "today"):
        table.add_column(column, justify="right" if column in ("left", "budget for") else "left", overflow="fold")
    for one in listed:
        runs = one.spec.validity.schedule if one.spec is not None else None
        due = "never" if one.due is None else one.due.isoformat()
        room = "any number" if one.affordable is None and one.left is not None else _number(one.affordable)
        table.add_row(
            *map(Text, (one.name, runs or "-", one.last.isoformat() if one.last else "-", due if one.left else "-")),
            *map(Text, (_number(one.left), room)),
            Text("runs" if one.refused is None else "not due" if one.quiet else "refused"),
            style="dim" if one.quiet else None,
        )
    out.print(table, soft_wrap=False)
    for one in listed:
        if one.refused is not None:
            out.print(f"{one.name}: {one.refused.text.removeprefix(f'{one.refused.code}: ')}", markup=False)
            if one.refused.hint:
                out.print(f"  {one.refused.hint}", markup=False)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
