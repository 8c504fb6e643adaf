"""``pets demo``: the whole way on one host, with made-up or with your own records."""

from pathlib import Path
from typing import Annotated

import typer

FOLDER = Path("out/demo")


def register(app: typer.Typer) -> None:
    app.command("demo", short_help="See the whole way, with made-up or your own records.")(demo)


def demo(
    health: Annotated[
        Path | None,
        typer.Option(
            "--health", exists=True, dir_okay=False, help="CSV or Parquet of the specification's first dataset."
        ),
    ] = None,
    council: Annotated[
        Path | None,
        typer.Option("--council", exists=True, dir_okay=False, help="CSV or Parquet of its second dataset."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", exists=True, dir_okay=False, help="Your specification (default: the demo's)."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="An exact table, with small groups withheld, in the place of noise.")
    ] = False,
    people: Annotated[
        int, typer.Option(min=1, max=400_000, help="People in each organisation's made-up records.")
    ] = 100_000,
    overlap: Annotated[float, typer.Option(min=0, max=1, help="Share of them that is in both.")] = 0.6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the made-up records.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = FOLDER,
) -> int:
    """Two organisations, a helper, an approved joint query: from records to receipts in a minute."""
    if (health is None) != (council is None):
        raise typer.BadParameter("give both --health and --council, or neither")
    if exact and spec is not None:
        raise typer.BadParameter("give --exact or --spec: a specification says itself how it is released")
    from pets.demo.show import show

    return show(
        health=health, council=council, spec=spec, exact=exact, people=people, overlap=overlap, seed=seed, out=out
    )
