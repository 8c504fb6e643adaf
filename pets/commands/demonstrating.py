"""``pets demo``: the whole way on one host, with made-up or with your own records."""

from pathlib import Path
from typing import Annotated

import typer

from pets.demo.show import DEFAULT_PEOPLE, show


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    health: Annotated[Path | None, typer.Option("--health", help="CSV or Parquet of the first dataset.")] = None,
    council: Annotated[Path | None, typer.Option("--council", help="CSV or Parquet of the second dataset.")] = None,
    spec: Annotated[Path | None, typer.Option("--spec", help="Your specification.")] = None,
    people: Annotated[int, typer.Option(help="People in each organisation's made-up records.")] = DEFAULT_PEOPLE,
    overlap: Annotated[float, typer.Option(help="Share of them that is in both.")] = 0.6,
    seed: Annotated[int, typer.Option(help="Seed of the made-up records.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("out/demo"),
) -> int:
    """Two organisations, a helper, an approved joint query: from records to receipts in a minute."""
    return show(health=health, council=council, spec=spec, people=people, overlap=overlap, seed=seed, out=out)
