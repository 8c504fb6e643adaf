"""For data protection officers and operators: what datasets have lost."""

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pets.commands.own import Config
from pets.commands.say import DONE, out, write
from pets.outputs import is_free

if TYPE_CHECKING:
    from pets.spend import Spend


def register(app: typer.Typer) -> None:
    app.command("ledger", short_help="Show what each dataset has spent of its privacy budget.")(ledger)


def ledger(
    config: Config = Path("party.toml"),
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="List the charges from that day on, too (2027-01-31).")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", help="Draw spending over time into this file: .svg, .png or .pdf.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: accounts and charges.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: accounts, or with --since charges.")] = False,
) -> int:
    """Show what each dataset of this party has spent in this period, what is reserved and what remains, exactly.

    It reads the state file beside party.toml and changes nothing; run it on the server's machine, as its account.
    """
    from pets.spend import ledger as read

    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    found = read(config, since=_day(since))
    if chart is not None:
        is_free(chart)
        if chart.suffix not in (".svg", ".png", ".pdf"):
            raise typer.BadParameter("--chart: a file that ends in .svg, .png or .pdf")
        found.plot(chart)
    if as_json:
        write(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    elif as_csv:
        write(_csv(found.rows() if since is None else found.entries()))
    else:
        _show(found)
    return DONE


def _day(text: str | None) -> dt.date | None:
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("--since: write a day as 2027-01-31") from None


def _csv(rows: "Iterable[dict[str, object]]") -> str:
    text = io.StringIO()
    listed = list(rows)
    writer = csv.DictWriter(text, list(listed[0]) if listed else [], lineterminator="\n")
    if listed:
        writer.writeheader()
        writer.writerows(listed)
    return text.getvalue()


def _show(found: "Spend") -> None:
    from pets.check.budget import exact

    day, period = found.today.isoformat(), found.limits.period
    returns = found.limits.returns(found.today)
    again = f"all of it returns on {returns.isoformat()}" if returns is not None else "nothing of it returns"
    when = "for all time" if period == "none" else f"in this {period}"
    out.print(f"{found.party}, {when}, on {day} (UTC); {again}", markup=False)
    rows = [{name: value for name, value in row.items() if name != "returns"} for row in found.rows()]
    _table(rows, right=("cap", "settled", "reserved", "remaining", "runs"))
    for line in found.told():
        out.print(line, markup=False)
    if found.since is None:
        return
    out.print(f"\ncharges from {found.since.isoformat()} on", markup=False)
    rows = []
    for charge in found.charges:
        losses = {name: exact(getattr(charge.loss, name)) for name in ("epsilon", "delta", "rho")}
        rows.append(
            {
                "day": charge.day.isoformat(),
                "dataset": charge.account.dataset,
                **losses,
                "state": "settled" if charge.settled else "reserved",
                "run": charge.run[:8],
                "specification": found.titles.get(charge.run, ""),
            }
        )
    _table(rows, right=("epsilon", "delta", "rho"))


def _table(rows: "list[dict[str, object]]", *, right: tuple[str, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        out.print("  none")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    out.print(table, soft_wrap=False)
