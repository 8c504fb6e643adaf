"""For two organisations that compare whom they know: a trial on one host, a server for each, one line to ask."""

import datetime as dt
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pets.commands.own import Config
from pets.commands.say import DONE, REFUSED, WRONG, err, out
from pets.errors import LinkError, RunError, SourceError, SpecError
from pets.ids import PartyId, RunHandle
from pets.outputs import is_free

if TYPE_CHECKING:
    from pets.demo.deploy import Deployment, Process
    from pets.demo.trial import Trial
    from pets.network import Network
    from pets.party.files import FileSource
    from pets.plan.review import Reviewed
    from pets.result import Result
    from pets.spec.model import Dataset, Spec

app = typer.Typer(help="Which persons two files have in common, or how many.", no_args_is_help=True)

EVERY_S: Final = 1.0
"""How often a server is asked whether it is there by now, and whether approvals are."""

SpecOption = Annotated[Path, typer.Option("--spec", metavar="SPEC", help="The specification: a .spec.toml file.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Your records: CSV or Parquet.")]


@app.command("try", short_help="Try it with two files on this computer.")
def try_(
    asks: Annotated[Path, typer.Argument(metavar="ASKS", exists=True, dir_okay=False, help="The file of who asks.")],
    other: Annotated[Path, typer.Argument(metavar="OTHER", exists=True, dir_okay=False, help="The other holder's.")],
    on: Annotated[
        str | None, typer.Option("--on", metavar="COLUMN", help="The person id; A=B where OTHER calls it B.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="How many are in both, and not who.")] = False,
    where: Annotated[
        str | None, typer.Option("--where", help="Which rows count: \"housing.tenure = 'rent' AND hospital.stay > 2\".")
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", metavar="NAMES", help="Columns of OTHER to come along: stay,ward.")
    ] = "",
    to: Annotated[Path | None, typer.Option("--out", help="Where the rows go (default: both.csv).")] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep specification, report and both parties' folders here.")
    ] = None,
) -> int:
    """Try it with two files on this computer: two real servers, approvals made on the spot, the rows of ASKS in both.

    The files are CSV or Parquet, comma-separated, with a header row. Datasets are called after their files.
    """
    from pets.demo.trial import trial
    from pets.plan.review import review

    if count and columns:
        raise typer.BadParameter("--columns: with --count nothing comes along")
    target = to if to is not None or count else Path("both.csv")
    _free(target, keep)
    named = tuple(filter(None, (name.strip() for name in columns.split(","))))
    tried = trial(asks, other, psi="cardinality" if count else "intersection", on=on, where=where, columns=named)
    reviewed = review(tried.spec).require()
    _say_question(tried, (asks, other))
    with _folder(keep) as folder:
        _keep(tried, keep)
        result = _played(tried, reviewed, folder)
        _say_result(result, tried.sources, target)
    (asker, own), (holder, theirs) = ((dataset.party, dataset.name) for dataset in tried.spec.datasets)
    out.print(f"learned    {asker}: that, and of {theirs} nothing else but its declared greatest number of rows")
    out.print(f"           {holder}: of {own} its declared greatest number of rows, and nothing else")
    return DONE


@app.command("serve", short_help="Serve your file for an intersection that another party asks for.")
def serve(file: File, spec: SpecOption, config: Config = Path("party.toml")) -> int:
    """Run your party's server with FILE as your dataset of SPEC, until it is told to stop (SIGTERM or Ctrl-C).

    It is the server of `pets party serve`: the same configuration, policy and approvals. Its console is for its own
    people only.
    """
    from pets.party.main import serve_party
    from pets.spec.canonical import spec_digest

    asked = _pairing_spec(spec)
    party = _party_of(config)
    dataset = _dataset_of(asked, party)
    source = _source(file, config, dataset)

    def console(line: str) -> None:
        err.print(f"{dt.datetime.now():%H:%M:%S} {line}", markup=False)

    console(f"{dataset.name} of {party} is {file}; specification {spec_digest(asked)[:16]}")
    serve_party(config, console=console, datasets={dataset.name: source})
    return DONE


@app.command("ask", short_help="Ask, as who gets the outcome; your rows come back in your order.")
def ask(
    file: File,
    spec: SpecOption,
    config: Config = Path("party.toml"),
    to: Annotated[Path, typer.Option("--out", help="Where the rows go; the evidence goes beside it.")] = Path(
        "both.csv"
    ),
    wait: Annotated[
        int, typer.Option("--wait", min=0, metavar="SECONDS", help="For the other server, and for approvals.")
    ] = 60,
) -> int:
    """Ask who is in both: starts your own server with FILE, waits for the other one, runs, and ends your server.

    The rows of FILE that are in both come out as they are, in the order of FILE. Exit code 2: refused, or approvals
    are missing; it says whose.
    """
    from pets.demo.deploy import launch, listens
    from pets.network import read

    _free(to)
    text, found = read(spec)
    asked = _pairing_spec(spec)
    reviewed = found.settled()
    me = _party_of(config)
    dataset = _dataset_of(asked, me)
    if reviewed.spec.result_party != me or dataset.name != asked.computation.asks:
        raise typer.BadParameter(
            f"--config: {me} does not ask here, {asked.result_party} does; serve your file: pets psi serve"
        )
    source = _source(file, config, dataset)
    words = ["psi", "serve", str(file), "--config", str(config), "--spec", str(spec)]
    process = launch(me, words)
    try:
        with err.status("starting your server") if err.is_terminal else _nothing():
            if not listens(process):
                return WRONG  # it has said why
        return _asked(process, reviewed, text, config, {dataset.name: source}, to, wait)
    finally:
        process.stop()


# -- a trial ----------------------------------------------------------------------------------------------------------


def _played(tried: "Trial", reviewed: "Reviewed", folder: Path) -> "Result":
    """Set both parties up, start their servers, submit, sign for both, freeze, run."""
    from pets.commands.progress import RunBars, bar, expected_steps
    from pets.demo.deploy import deploy, servers, sign
    from pets.party.warm import prepare_vectors
    from pets.remote import connect

    deployment = deploy(folder, tried.spec, tried.sources)
    with bar("preparing the kernels (two minutes, once)"):
        prepare_vectors()
    with servers(deployment) as running:
        told = (f"{party} at {deployment.endpoints[party]}, process {one.child.pid}" for party, one in running.items())
        out.print(f"servers    {'; '.join(told)}", markup=False)
        net = connect(deployment.directory)
        net.submit(tried.toml)
        signed = [party for party, _, _ in sign(deployment, reviewed)]
        out.print(f"approvals  signed here for {' and '.join(signed)}, by keys made on the spot:", markup=False)
        out.print("           where it is real, people of each organisation read the report first")
        for party in signed:
            _frozen(deployment, party, reviewed)
        with RunBars(expected_steps(reviewed)) as bars:
            result = net.run(tried.toml, progress=bars)
    sent = sum(each.size for each in result.review.settled().forecast.messages if each.sender != each.receiver)
    out.print(f"run        {result.seconds:.2f} s, {sent:,} bytes between the two servers", markup=False)
    return result


def _frozen(deployment: "Deployment", party: PartyId, reviewed: "Reviewed") -> None:
    """Freeze a party's records; what is wrong with them stands on its console, whose reader is at this one, too."""
    from pets.demo.deploy import server_of

    log = deployment.folder / party / "console.log"
    seen = log.stat().st_size
    try:
        server_of(deployment, party).snapshot(reviewed.digest)
    except SourceError:
        with log.open("rb") as opened:
            opened.seek(seen)
            for line in opened.read().decode(errors="replace").splitlines():
                err.print(f"  {party}: {line}", markup=False)
        raise


def _say_question(tried: "Trial", files: tuple[Path, Path]) -> None:
    from pets.check.blocks import plural

    for dataset, file, rows, persons in zip(tried.spec.datasets, files, tried.rows, tried.persons, strict=True):
        said = f"{dataset.name}: {plural(rows, 'row')} of {plural(persons, 'person')}, by {dataset.key} ({file.name})"
        out.print(f"{dataset.party:<10} {said}", markup=False)
    asks, other = (dataset.name for dataset in tried.spec.datasets)
    many = tried.spec.computation.psi == "cardinality"
    words = f"{'how many' if many else 'which'} persons of {asks} are in {other}, too"
    condition = f", where {tried.spec.computation.where}" if tried.spec.computation.where else ""
    brought = ", ".join(name.partition(".")[2] for name in tried.spec.computation.columns or ())
    out.print(f"question   {words}{f', with {brought}' if brought else ''}{condition}", markup=False)


def _keep(tried: "Trial", keep: Path | None) -> None:
    from pets.check.page import html
    from pets.plan.review import review

    if keep is not None:
        (keep / "trial.spec.toml").write_text(tried.toml, encoding="utf-8")
        (keep / "report.html").write_text(html(review(tried.spec)), encoding="utf-8")
        out.print(f"kept       {keep / 'trial.spec.toml'}, {keep / 'report.html'}", markup=False)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the parties' folders go; without ``keep`` they are gone afterwards."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep / "parties"
        return
    with tempfile.TemporaryDirectory(prefix="pets-psi-") as folder:
        yield Path(folder) / "parties"


# -- with another organisation ----------------------------------------------------------------------------------------


def _asked(
    process: "Process",
    reviewed: "Reviewed",
    text: str,
    config: Path,
    sources: "Mapping[str, FileSource]",
    to: Path,
    wait: int,
) -> int:
    """Everything between the start of one's own server and its end."""
    from pets.commands.progress import RunBars, expected_steps
    from pets.remote import connect

    until = time.monotonic() + wait
    net = connect(config.parent / "directory.toml", client=config)
    _await_servers(net, [party for party in reviewed.spec.servers if party != process.party], until, wait)
    if _unknown(net, reviewed):
        net.submit(text)
        out.print(f"submitted {reviewed.digest}", markup=False)
    if not _await_approvals(net, reviewed, process.party, config, until):
        return REFUSED
    net.server(process.party).snapshot(reviewed.digest)
    handle = RunHandle(os.urandom(16).hex())
    err.print(f"run {handle} (to end it: pets stop {handle})", markup=False)
    with RunBars(expected_steps(reviewed)) as bars:
        result = net.run(text, progress=bars, handle=handle)
    if result.covering:
        out.print("ran under the approvals of an older specification that covers it (covering/spec.toml)")
    _say_result(result, sources, to)
    return DONE


def _await_servers(net: "Network", parties: Sequence[PartyId], until: float, wait: int) -> None:
    """Wait until the others' servers answer. Raises: LinkError link.unreachable if one does not in time."""
    for party in parties:
        told = False
        while True:
            try:
                net.server(party).describe()
                break
            except LinkError as error:
                if error.code not in ("link.unreachable", "link.busy", "link.deadline") or time.monotonic() > until:
                    raise
            if not told:
                err.print(f"waiting for the server of {party}, {wait} s at most (Ctrl-C ends it)", markup=False)
                told = True
            time.sleep(EVERY_S)


def _unknown(net: "Network", reviewed: "Reviewed") -> bool:
    """True if some server has not been given the specification yet."""
    for party in reviewed.spec.servers:
        try:
            net.server(party).evidence(reviewed.digest)
        except RunError as error:
            if error.code != "run.no-spec":
                raise
            return True
    return False


def _await_approvals(net: "Network", reviewed: "Reviewed", me: PartyId, config: Path, until: float) -> bool:
    """Wait until nobody's approvals are missing, or no longer; say whose are, and how they are given."""
    told: dict[PartyId, str] = {}
    while True:
        missing = _missing(net, reviewed)
        if not missing:
            return True
        if missing != told:
            _say_missing(missing, reviewed, me, config)
            told = missing
            left = until - time.monotonic()
            if left > 0:
                err.print(f"your server runs here and takes them; waiting {left:.0f} s (Ctrl-C ends it)", markup=False)
        if time.monotonic() > until:
            err.print("[bold red]refused[/] approvals are missing; ask again when they are given")
            return False
        time.sleep(EVERY_S)


_WAITING: Final = ("pending", "roles", "held")
"""How a specification stands that its approvers can still let run; all else is for the run to refuse, with its code."""


def _missing(net: "Network", reviewed: "Reviewed") -> dict[PartyId, str]:
    """The parties whose approvers have to sign yet, and how it stands there."""
    found = {}
    for party in reviewed.spec.servers:
        files = dict(net.server(party).evidence(reviewed.digest).files)
        state = files.get("standing.txt", b"").decode()
        if state in _WAITING:
            found[party] = state
    return found


def _say_missing(missing: "Mapping[PartyId, str]", reviewed: "Reviewed", me: PartyId, config: Path) -> None:
    digest = reviewed.digest[:16]
    out.print("approvals are missing:")
    for party, state in missing.items():
        how = "a suspicion is open, see pets pending" if state == "held" else "its approvers have not signed"
        out.print(f"  {party:<12} {how}", markup=False)
        if party == me:
            out.print(f"    they read  pets explain {digest} --config {config}", markup=False)
            out.print(f"    they sign  pets approve {digest} --key THEIR-KEY.pem --config {config}", markup=False)
        else:
            out.print(f"    they read and sign {digest} at their own server: pets explain, pets approve", markup=False)


# -- both -------------------------------------------------------------------------------------------------------------


def _say_result(result: "Result", sources: "Mapping[str, FileSource]", to: Path | None) -> None:
    """Write rows or number, and the evidence beside; say what came out."""
    from rich.markup import escape

    from pets.check.blocks import plural

    match = result.plan.match
    assert match is not None
    asks, other = (read.dataset for read in result.plan.reads)
    folder = result.save(to) if to is not None else None
    if match.outcome == "intersection" and to is not None:
        rows, persons, lost = _write(result, sources[asks], to)
        of = f" of {plural(persons, 'person')}" if persons != rows else ""
        told = f"[bold]{plural(rows, 'row')}{of}[/] of {asks} in {other}, too: {escape(str(to))}"
        out.print(told if rows else _nobody(asks, other, escape(str(to))))
        if lost:
            err.print(
                f"[bold]{lost:,} persons[/] of the outcome are not in the file as it is now: the run took the records "
                "that were frozen for this specification"
            )
    else:
        frame = result.to_pandas()
        said = "not told" if frame.isna().iloc[0, 0] else str(frame.iloc[0, 0])
        if match.outcome == "cardinality" and frame.shape[1] == 1 and said != "not told":
            out.print(f"[bold]{plural(int(said), 'person')}[/] of {asks} in {other}, too")
        else:
            out.print(f"[bold]{match.outcome}: {said}[/]")
        out.print(result.note(), markup=False)
    if folder is not None:
        out.print(f"check it offline: pets verify {folder}", markup=False)


def _nobody(asks: str, other: str, name: str) -> str:
    return f"[bold]nobody[/] of {asks} is in {other}; {name} has a header only. Are ids written alike in both files?"


def _write(result: "Result", source: "FileSource", to: Path) -> tuple[int, int, int]:
    """Write the rows of the asker's file in its order. Returns: rows, persons, and persons without a row."""
    from pets.party.order import in_order
    from pets.spec.pairing import pairing_of

    spec, frame = result.review.spec, result.to_pandas()
    pairing = pairing_of(spec)
    dataset = spec.dataset(pairing.asks)
    found = in_order(source, dataset, spec.linking, frame, where=pairing.where_asks)
    found.write(to)
    return found.table.num_rows, found.persons, len(frame) - found.persons


def _free(to: Path | None, keep: Path | None = None) -> None:
    """Before a run: its outcome and its evidence will have a place."""
    from pets.result import evidence_folder

    for path in filter(None, (to, None if to is None else evidence_folder(to), keep)):
        is_free(path)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _pairing_spec(file: Path) -> "Spec":
    from pets.spec.pairing import is_pairing
    from pets.spec.parse import read_spec

    spec = read_spec(file)
    if not is_pairing(spec):
        raise SpecError(
            "spec.field",
            path="computation.psi",
            problem="the specification asks for a query and not for an intersection",
            advice="use pets party serve and pets run",
        )
    return spec


def _party_of(config: Path) -> PartyId:
    from pets.party.config import read_client

    return read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC)).name


def _dataset_of(spec: "Spec", party: PartyId) -> "Dataset":
    """The dataset that a party holds. Raises: RunError run.not-yours if it holds none."""
    for dataset in spec.datasets:
        if party in dataset.parties:
            return dataset
    raise RunError("run.not-yours", party=party)


def _source(file: Path, config: Path, dataset: "Dataset") -> "FileSource":
    """A file as a dataset, under the names of columns that party.toml has for it; its columns have been found.

    Raises: SourceError source.unreadable, source.column.
    """
    from pets.party.config import read_config
    from pets.party.files import FileSource
    from pets.party.relation import files_of, relation
    from pets.party.sources import engine

    known = read_config(config, now=dt.datetime.now(dt.UTC)).datasets.get(dataset.name)
    source = FileSource(file.absolute(), None, {} if known is None else known.columns)
    with engine(*files_of(source)) as connection, relation(connection, dataset, source):
        return source
