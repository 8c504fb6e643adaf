"""For output checkers: what released tables tell together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pets.commands.say import DONE, out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pets.audit import Withheld

FIRST = 20
"""Cells that are listed where there is no --all, those with the closest bounds first."""


def register(app: typer.Typer) -> None:
    app.command("audit", short_help="Audit withheld cells: what follows from tables together?")(audit)


def audit(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders of evidence (spec.toml, result.csv), one a table."),
    ],
    known: Annotated[
        list[Path] | None,
        typer.Option("--known", metavar="CSV", help="True totals of the first table that recipients know; repeat it."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every withheld cell, not only the closest.")] = False,
) -> int:
    """Work out how closely each withheld cell follows from tables of the same records; exit code 2 if one is too close.

    The tables are believed: verify each with pets verify first. Give all tables of the same records that recipients
    have, earlier ones too; what is not given is not known to the audit.
    """
    from pets import audit as audits
    from pets.released import read, read_totals

    tables = [read(folder) for folder in folders]
    found = audits.audit(tables, [read_totals(path, tables[0]) for path in known or ()])
    for table in tables:
        mine = [each for each in found.withheld if each.table == table.name]
        close = sum(each.close for each in mine)
        told = f"{table.name}: {len(mine)} numbers withheld, {close} too close"
        out.print(told, style="bold red" if close else None, markup=False)
    if found.withheld:
        _list(found.withheld, every=every)
    for group in found.implied:
        told = f"in {', '.join(group.inside)}" + (f" and not in {', '.join(group.outside)}" if group.outside else "")
        told += "" if group.outside else ", without a value"
        out.print(f"{', '.join(group.cell) or 'all'}, {told}: {group.high} or fewer", style="red", markup=False)
    if found.groups is None:
        out.print("the tables divide people into too many groups together to look at those that none of them shows")
    found.require()
    out.print("[bold green]no withheld number follows more closely than its disclosure control says[/]")
    return DONE


def _list(withheld: "Sequence[Withheld]", *, every: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    ranked = sorted(withheld, key=lambda each: (not each.close, _room(each)))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("table", "cell", "column", "follows", "allowed", ""):
        table.add_column(column, overflow="fold")
    for each in ranked if every else ranked[:FIRST]:
        follows = f"{each.low} or more" if each.high is None else f"{each.low} to {each.high}"
        allowed = f"{each.allowed[0]} to {each.allowed[1]}"
        cell = ", ".join(each.cell) or "all"
        row = (each.table, cell, each.statistic, follows, allowed, "too close" if each.close else "")
        table.add_row(*map(Text, row), style="red" if each.close else None)
    out.print(table, soft_wrap=False)
    if not every and len(ranked) > FIRST:
        out.print(f"and {len(ranked) - FIRST} more; --all lists them")


def _room(each: "Withheld") -> float:
    """How much a cell is bounded to, as a number to sort by."""
    return float("inf") if each.high is None else each.high - each.low
