"""The demonstration: two organisations and a helper on one host, the whole way for real.

Three party servers run as processes of their own with mutual TLS; the records are files that only their holder's server
reads. One person plays everybody here, so the approvers' keys are made on the spot, and what a holder's server says on
its own console is shown too; nothing else is different.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from pets.approve.envelope import claimed
from pets.check.blocks import size
from pets.check.disclosure import WIDTH, render
from pets.check.page import html
from pets.commands import tables
from pets.commands.progress import RunBars, bar, expected_steps
from pets.demo.data import demo_folder
from pets.demo.deploy import Deployment, deploy, server_of, sign, starting, wait_ready
from pets.demo.people import make_people
from pets.errors import ConfigError, SourceError, SpecError
from pets.ids import WITHHELD, PartyId, SpecDigest
from pets.noise_law import LEVEL
from pets.party.warm import STEPS, prepare_kernels
from pets.plan.review import Review, review
from pets.remote import connect
from pets.result import Result
from pets.spec.control import effective
from pets.spec.model import Spec
from pets.spec.parse import read_spec

SPEC: Final = "ae_by_tenure.spec.toml"
EXACT: Final = "exact.spec.toml"
MAX_TABLE_ROWS: Final = 40
MARK: Final = "made-by-pets-demo"
"""A file that says that a folder is ours to clear."""

console: Final = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Records:
    """The files of the two datasets: one's own, or where made-up ones go."""

    files: tuple[Path, Path]
    made_up: bool


def show(
    *,
    health: Path | None,
    council: Path | None,
    spec: Path | None,
    exact: bool,
    people: int,
    overlap: float,
    seed: int,
    out: Path,
) -> int:
    """Run the demonstration and leave table, chart, report and evidence in ``out``. Returns the exit code.

    Without a specification it is the demonstration's own, which is released with noise or, if ``exact``, without.

    With files of one's own, ``health`` is the first dataset of ``spec`` and ``council`` the second.
    Raises: what refuses; what a holder's server said to its own people has then been shown.
    """
    began = time.perf_counter()
    spec_file = spec if spec is not None else demo_folder() / (EXACT if exact else SPEC)
    found = _accepted(read_spec(spec_file))
    _fresh(out)
    made = out / "records"
    own = (health, council) if health is not None and council is not None else None
    records = Records(own or (made / "health.csv", made / "council.csv"), own is None)
    with bar("preparing the kernels (a minute, once)") as tell:
        done = iter(range(1, STEPS + 1))
        prepare_kernels(lambda _: tell(next(done) / STEPS))

    def make_records() -> None:
        if records.made_up:
            with bar(f"making up records of {people:,} people each") as tell:
                make_people(made, people=people, overlap=overlap, seed=seed, progress=lambda _, share: tell(share))

    with _parties(found.spec, records, out, meanwhile=make_records) as deployment:
        _say_records(found.spec, records)
        _play(deployment, found, spec_file, out)
    console.print(f"[dim]the whole demonstration took {time.perf_counter() - began:.1f} s[/]")
    return 0


def _accepted(spec: Spec) -> Review:
    found = review(spec)
    if not found.accepted:
        console.print(escape(render(found, width=_width())), soft_wrap=True)
    found.require()
    if len(spec.datasets) != 2:
        raise SpecError(
            "spec.field", path="dataset", problem="the demonstration brings two", advice="declare two datasets"
        )
    return found


def _fresh(out: Path) -> None:
    """An empty folder. The remains of an earlier demonstration are cleared; a folder of anything else is refused."""
    mark = out / MARK
    try:
        if out.exists() and not mark.is_file() and any(out.iterdir()):
            raise ConfigError("config.output", file=out.name, problem="there are other files in this folder")
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        problem = (error.strerror or "cannot be written to").lower()
        raise ConfigError("config.output", file=out.name, problem=problem) from None
    for folder in ("parties", "result.evidence", "records"):
        shutil.rmtree(out / folder, ignore_errors=True)


@contextmanager
def _parties(spec: Spec, records: Records, out: Path, *, meanwhile: Callable[[], None]) -> Iterator[Deployment]:
    """All party servers, running; while they start, ``meanwhile`` is done."""
    files = {dataset.name: file for dataset, file in zip(spec.datasets, records.files, strict=True)}
    deployment = deploy(out / "parties", spec, files)
    with starting(deployment) as running:
        meanwhile()
        with bar(f"starting {len(running)} party servers") as tell:
            for number, process in enumerate(running.values(), 1):
                wait_ready(process, deployment)
                tell(number / len(running))
        _heading("Party servers: one process each, with keys, certificate and state of its own")
        for party, process in running.items():
            who = escape(spec.party(party).organisation)
            _line(f"  {party:<10} {deployment.endpoints[party]:<16} process {process.child.pid:<8} {who}")
        yield deployment


def _play(deployment: Deployment, found: Review, spec_file: Path, out: Path) -> None:
    reviewed = found.require()
    net = connect(deployment.directory)
    digest = net.submit(spec_file)
    (out / "report.html").write_text(html(found), encoding="utf-8")
    _heading("Disclosure report: what every server worked out for itself, and its approvers read")
    _line(escape(render(found, width=_width())))
    _line(f"as a page: {escape(str(out / 'report.html'))}")
    _approve(deployment, found, digest)
    _freeze(deployment, reviewed.spec, digest)
    with RunBars(expected_steps(reviewed)) as bars:
        result = net.run(spec_file, progress=bars)
    folder = result.save(out / "result.csv")
    result.plot(out / "result.png")
    _show_table(result, out)
    _show_price(result)
    _show_receipts(result, folder)


# -- steps ------------------------------------------------------------------------------------------------------------


def _say_records(spec: Spec, records: Records) -> None:
    _heading(f"Records{' (made up)' if records.made_up else ''}: each file is read by its holder's server alone")
    for dataset, file in zip(spec.datasets, records.files, strict=True):
        _line(f"  {dataset.party:<10} {dataset.name:<14} {escape(str(file))} ({size(file.stat().st_size)})")


def _approve(deployment: Deployment, found: Review, digest: SpecDigest) -> None:
    """Each party's approver signs with its own key, and hands the approval to its own server."""
    _heading(f"Approvals of {digest[:16]}...")
    for party, person, standing in sign(deployment, found.require()):
        _line(f"  {party:<10} signed by the {escape(person)}: {standing.state} ({standing.have} of {standing.need})")


def _freeze(deployment: Deployment, spec: Spec, digest: SpecDigest) -> None:
    """Each holder validates and freezes its records; what it finds is for its own console, which is this one."""
    _heading("Snapshots: what each holder's server tells its own people")
    for party in dict.fromkeys(PartyId(d.party) for d in spec.datasets):
        log = deployment.folder / party / "console.log"
        seen = log.stat().st_size
        try:
            with bar(f"{party} validates and freezes its records"):
                entries = server_of(deployment, party).snapshot(digest)
        except SourceError:
            _tail(log, seen)
            raise
        _tail(log, seen)
        for entry in entries:
            _line(f"  {party:<10} {entry.dataset} frozen, commitment {entry.commitment[:16]}...")


def _tail(log: Path, start: int) -> None:
    with log.open("rb") as opened:
        opened.seek(start)
        for line in opened.read().decode(errors="replace").splitlines():
            _line(f"  [dim]{escape(line)}[/]")


# -- what is shown ----------------------------------------------------------------------------------------------------


def _show_table(result: Result, out: Path) -> None:
    _heading(f"Result: {escape(result.review.spec.title)}")
    for table in tables.released(result, console.width, most=MAX_TABLE_ROWS):
        console.print(table)
    cells = len(result.to_pandas())
    if cells > MAX_TABLE_ROWS:
        console.print(f"[dim]... and {cells - MAX_TABLE_ROWS} more cells in result.csv[/]")
    console.print(f"[dim]{_note(result)}[/]")
    _line(f"\n  table  {escape(str(out / 'result.csv'))}")
    _line(f"  chart  {escape(str(out / 'result.png'))}")


def _note(result: Result) -> str:
    """What stands under the table: what is open of its numbers, or kept back."""
    control = effective(result.review.spec)
    if control is None:
        return (
            f"Every number carries noise (differential privacy, {result.loss} a run). ± and \\[ to ] hold "
            f"{LEVEL:.0%} of what the noise alone does; '{tables.UNDETERMINED}' is what it leaves open."
        )
    few = f"fewer than {control.min_count} people" + " or nobody" * (control.zeros == "hidden")
    rounded = " ± and [ to ]: what rounding leaves open." * (control.round_to > 1)
    return escape(f"Exact, no noise. '{WITHHELD}': {few}, and no server has seen how many.{rounded}")


def _show_price(result: Result) -> None:
    forecast = result.review.settled().forecast
    _heading("Time and bytes by step; a party's seconds include its waiting")
    console.print(tables.price(result))
    console.print(f"  opened {result.seconds:.2f} s after the start, in {forecast.rounds} rounds")


def _show_receipts(result: Result, folder: Path) -> None:
    _heading("Receipts: signed by each server over plan, approvals, commitments, spend and all it sent")
    for party, receipt in result.receipts.items():
        sent = claimed(receipt)["predicate"]["sent"]
        what = f"{len(sent):>3} arrays sent, {size(sum(int(one['bytes']) for one in sent)):>8}"
        _line(f"  {party:<10} {what}   {escape(str(folder / 'receipts' / (party + '.json')))}")
    first = next(iter(result.receipts))
    _line("\nTo check everything offline, from the signatures down to the table:")
    _line(f"  [bold]pets verify {escape(str(folder / 'receipts' / (first + '.json')))}[/]\n")


def _heading(text: str) -> None:
    console.print(f"\n[bold]{text}[/]", soft_wrap=True)


def _line(text: str) -> None:
    """Print a line whole: what is copied from a terminal must not be broken by us."""
    console.print(text, soft_wrap=True)


def _width() -> int:
    return console.width if console.is_terminal else WIDTH
