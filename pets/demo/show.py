"""The demonstration: two organisations and a helper on one host, the whole way for real.

Three party servers run as processes of their own with mutual TLS; the records are files that only their holder's server
reads. One person plays everybody here, so the approvers' keys are made on the spot; nothing else is different.
"""

import datetime as dt
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pets.approve import approvals
from pets.check.disclosure import render
from pets.check.page import html
from pets.client import Network
from pets.commands.progress import RunBars
from pets.demo.data import demo_folder
from pets.demo.deploy import Deployment, deploy, servers
from pets.demo.people import make_people
from pets.errors import SourceError, SpecError
from pets.ids import PartyId, SpecDigest
from pets.party import gate
from pets.party.config import read_client
from pets.party.session import roles_of
from pets.party.warm import prepare_kernels
from pets.plan.cost import join_of
from pets.plan.review import Reviewed, review
from pets.remote import connect, network
from pets.result import Result
from pets.spec.cards import load_cards
from pets.spec.model import Spec
from pets.spec.parse import read_spec

DEFAULT_PEOPLE: Final = 100_000
SPEC: Final = "ae_by_tenure.spec.toml"
MAX_TABLE_ROWS: Final = 40

console: Final = Console(highlight=False)


def show(
    *,
    health: Path | None,
    council: Path | None,
    spec: Path | None,
    people: int = DEFAULT_PEOPLE,
    overlap: float = 0.6,
    seed: int = 1,
    out: Path,
) -> int:
    """Run the demonstration and leave table, chart, report and evidence in ``out``. Returns the exit code.

    With files of your own, ``health`` is the first dataset of ``spec`` and ``council`` the second.
    """
    began = time.perf_counter()
    _fresh(out)
    with _steps() as step:
        step("kernels", "preparing the kernels (once per machine: a minute)", lambda: prepare_kernels())
        files = (health, council)
        if health is None or council is None:
            made = step("records", f"making up records of {people:,} people each", _maker(out, people, overlap, seed))
            files = (health or made.health, council or made.council)
    spec_file = spec if spec is not None else demo_folder() / SPEC
    written = read_spec(spec_file)
    reviewed = _reviewed(written)
    if len(written.datasets) != 2:
        raise SpecError("spec.field", path="dataset", problem="the demonstration brings two", advice="declare two datasets")
    _say_records(written, files)
    datasets = {d.name: Path(str(file)) for d, file in zip(written.datasets, files, strict=True)}
    deployment = deploy(out / "parties", written, datasets)
    with _waiting("starting three party servers"), servers(deployment) as running:
        console.print(_title("Servers"))
        for party, process in running.items():
            what = escape(written.party(party).organisation)
            console.print(f"  {party:<10} {deployment.endpoints[party]:<18} process {process.child.pid:<8} {what}")
        return _play(deployment, reviewed, spec_file, out, began)


def _play(deployment: Deployment, reviewed: Reviewed, spec_file: Path, out: Path, began: float) -> int:
    net = connect(deployment.directory)
    digest = net.submit(spec_file)
    report = review(reviewed.spec)
    (out / "report.html").write_text(html(report), encoding="utf-8")
    console.print(_title("Disclosure report: what every party's server computed, and its approvers read"))
    console.print(escape(render(report)))
    console.print(f"as a page: {out / 'report.html'}\n")
    _approve(deployment, reviewed, digest)
    _freeze(deployment, reviewed, digest)
    with RunBars(_expected(reviewed)) as bars:
        result = net.run(spec_file, progress=bars)
    folder = result.save(out / "result.csv")
    result.plot(out / "result.png")
    _show_table(result)
    _show_cost(result)
    _show_receipts(result, folder, out)
    console.print(f"[dim]the whole demonstration took {time.perf_counter() - began:.1f} s[/]")
    return 0


# -- steps ------------------------------------------------------------------------------------------------------------


def _fresh(out: Path) -> None:
    """An empty folder; the remains of an earlier demonstration are cleared, anything else is left alone."""
    if out.exists():
        for name in ("parties", "result.evidence", "records"):
            shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def _reviewed(spec: Spec) -> Reviewed:
    found = review(spec)
    if not found.accepted:
        console.print(escape(render(found)))
    return found.require()


def _maker(out: Path, people: int, overlap: float, seed: int) -> Callable[[], Any]:
    folder = out / "records"
    folder.mkdir()
    return lambda: make_people(folder, people=people, overlap=overlap, seed=seed)


def _say_records(spec: Spec, files: tuple[Path | None, ...]) -> None:
    console.print(_title("Records (each stays with its holder)"))
    for dataset, file in zip(spec.datasets, files, strict=True):
        size = Path(str(file)).stat().st_size / 1e6 if Path(str(file)).is_file() else 0
        console.print(f"  {dataset.party:<10} {dataset.name:<14} {file}  ({size:.1f} MB)")


def _approve(deployment: Deployment, reviewed: Reviewed, digest: SpecDigest) -> None:
    """Each party's approver signs with its own key, and hands the approval to its own server."""
    console.print(_title("Approvals"))
    validity = reviewed.spec.validity
    for party, people in deployment.approvers.items():
        person, key = next(iter(people.items()))
        envelope = approvals.approve(
            digest=digest,
            plan_digest=reviewed.plan_digest,
            party=party,
            approver=person,
            key=key,
            not_before=validity.not_before,
            not_after=validity.not_after,
            max_runs=validity.max_runs,
        )
        standing = _own(deployment, party).server(party).approve(envelope)
        console.print(f"  {party:<10} signed by the {person}: {standing.state} ({standing.have} of {standing.need})")


def _freeze(deployment: Deployment, reviewed: Reviewed, digest: SpecDigest) -> None:
    """Each holder validates and freezes its records; what it finds is for its own console, which is this one."""
    console.print(_title("Snapshots"))
    for party in dict.fromkeys(d.party for d in reviewed.spec.datasets):
        log = deployment.folder / party / "console.log"
        seen = log.stat().st_size
        try:
            with _waiting(f"{party} validates its records"):
                entries = _own(deployment, PartyId(party)).server(PartyId(party)).snapshot(digest)
        except SourceError:
            _tail(log, seen)
            raise
        _tail(log, seen)
        for entry in entries:
            console.print(f"  {party:<10} {entry.dataset} frozen; commitment {entry.commitment[:24]}...")


def _tail(log: Path, start: int) -> None:
    with log.open("rb") as opened:
        opened.seek(start)
        for line in opened.read().decode(errors="replace").splitlines():
            console.print(f"    [dim]{escape(line)}[/]")


def _own(deployment: Deployment, party: PartyId) -> Network:
    """The network as a party's own people reach it."""
    config = deployment.config(party)
    return network(read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC)))


def _expected(reviewed: Reviewed) -> dict[PartyId, int]:
    """How many arrays each party sends and receives: the length of its bar."""
    join, roles = join_of(reviewed.plan), roles_of(reviewed)
    card = load_cards()[join.card]
    return {
        roles[role]: len(gate.project(card, dict(join.public), roles, role)) for role in ("a", "b", "helper")
    }


# -- what is shown ----------------------------------------------------------------------------------------------------


def _show_table(result: Result) -> None:
    frame = result.to_pandas()
    console.print(_title(f"Result: {escape(result.review.spec.title)}"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in result.grouping:
        table.add_column(escape(name))
    for name in result.statistics:
        table.add_column(escape(name), justify="right")
        table.add_column("noise, 95 %", justify="left", style="dim")
    for _, row in frame.head(MAX_TABLE_ROWS).iterrows():
        cells = [escape(str(row[name])) for name in result.grouping]
        for name in result.statistics:
            cells += [_number(row[name]), f"{_number(row[f'{name}_low'])} to {_number(row[f'{name}_high'])}"]
        table.add_row(*cells)
    console.print(table)
    if len(frame) > MAX_TABLE_ROWS:
        console.print(f"[dim]... and {len(frame) - MAX_TABLE_ROWS} more cells in result.csv[/]")
    console.print(f"[dim]{escape(result.note())}[/]")


def _number(value: float) -> str:
    if value != value:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:,.2f}"


def _show_cost(result: Result) -> None:
    """Seconds and bytes by message, as its receiver saw them; a step's time includes the wait for what it needs."""
    console.print(_title("Time and bytes by step"))
    card = load_cards()[join_of(result.plan).card]
    table = Table("message", "round", "from", "to", "bytes", "carries", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[4].justify = "right"
    forecast = result.review.require().forecast
    for message, traffic in zip(card.messages, forecast.messages, strict=True):
        if traffic.size:
            row = (message.label, str(message.round), traffic.sender, traffic.receiver, f"{traffic.size:,}")
            table.add_row(*row, escape(message.term))
    console.print(table)
    by_party = result.cost.groupby("party")["seconds"].sum()
    spent = ", ".join(f"{party} {seconds:.2f} s" for party, seconds in by_party.items())
    console.print(f"  {forecast.size / 1e6:.1f} MB in {forecast.rounds} rounds, opened after {result.seconds:.2f} s ({spent})")


def _show_receipts(result: Result, folder: Path, out: Path) -> None:
    console.print(_title("Receipts"))
    for party in result.receipts:
        console.print(f"  {party:<10} {folder / 'receipts' / (party + '.json')}")
    first = next(iter(result.receipts))
    console.print(f"\n  table   {out / 'result.csv'}\n  chart   {out / 'result.png'}\n  report  {out / 'report.html'}")
    console.print("\nCheck everything offline, signatures to table:")
    console.print(f"  [bold]pets verify {folder / 'receipts' / (first + '.json')}[/]\n")


def _title(text: str) -> str:
    return f"\n[bold]{text}[/]"


@contextmanager
def _waiting(text: str) -> Iterator[None]:
    with console.status(text):
        yield


@contextmanager
def _steps() -> Iterator[Callable[[str, str, Callable[[], Any]], Any]]:
    """Bars for what is done before the servers start."""
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(), console=console, transient=True
    )

    def step(name: str, text: str, act: Callable[[], Any]) -> Any:
        task = bars.add_task(text, total=None)
        try:
            return act()
        finally:
            bars.update(task, total=1, completed=1)

    with bars:
        yield step
