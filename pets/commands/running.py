"""For analysts: submit, run, stop, verify."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from pets.commands.say import DONE, err, out
from pets.errors import ApprovalError, ReceiptError
from pets.ids import RunHandle
from pets.outputs import is_free

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A specification: a .spec.toml file.")]
Directory = Annotated[
    Path, typer.Option("--directory", help="directory.toml; client.toml or party.toml lies beside it, or --client.")
]
Client = Annotated[Path | None, typer.Option("--client", help="client.toml, if it is not beside the directory.")]

_HANDLE: Final = re.compile(r"[0-9a-f]{32}")


def register(app: typer.Typer) -> None:
    app.command("submit", short_help="Submit a specification to all its parties.")(submit)
    app.command("run", short_help="Run an approved specification once.")(run)
    app.command("stop", short_help="Stop a run at every party.")(stop)
    app.command("verify", short_help="Check a run offline, from its receipts to its table.")(verify)


def submit(spec: SpecFile, directory: Directory = Path("directory.toml"), client: Client = None) -> int:
    """Submit a specification to every party that computes; each checks it, and its approvers find it pending."""
    from pets.remote import connect

    digest = connect(directory, client=client).submit(spec)
    out.print(f"submitted {digest}")
    out.print(f"next: at each party, pets explain {digest[:16]} --config party.toml, then pets approve {digest[:16]}")
    return DONE


def run(
    spec: SpecFile,
    directory: Directory = Path("directory.toml"),
    to: Annotated[Path, typer.Option("--out", help="Where the table goes; the evidence goes beside it.")] = Path(
        "result.csv"
    ),
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the table into this PNG file.")] = None,
    client: Client = None,
) -> int:
    """Run an approved specification once; the table goes to --out, the evidence into a folder beside it."""
    from pets.commands.progress import RunBars, expected_steps, holders
    from pets.network import read
    from pets.remote import connect
    from pets.result import evidence_folder

    for path in (to, evidence_folder(to), *([plot] if plot else [])):
        is_free(path)
    _, found = read(spec)
    net = connect(directory, client=client)
    handle = RunHandle(os.urandom(16).hex())
    err.print(f"run {handle} (to end it: pets stop {handle})")
    with RunBars(expected_steps(found.settled()), holders(found.settled())) as bars:
        result = net.run(spec, progress=bars, handle=handle)
    folder = result.save(to)
    if result.covering:
        out.print("ran under the approvals of an older specification that covers it (covering/spec.toml)")
    if plot is not None:
        result.plot(plot)
    out.print(f"{to}: {len(result.to_pandas())} cells in {result.seconds:.2f} s", markup=False)
    if result.participation is not None:
        out.print(result.participation.note(), markup=False)
    out.print(f"check it offline: pets verify {folder / 'receipts'}/{next(iter(result.receipts))}.json", markup=False)
    return DONE


def stop(
    handle: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's handle, as pets run and the servers print it.")
    ],
    directory: Directory = Path("directory.toml"),
    client: Client = None,
) -> int:
    """Stop a run at every party; nothing is opened after that. Any party of the specification may."""
    from pets.remote import connect

    if not _HANDLE.fullmatch(handle):
        raise typer.BadParameter("RUN: a run's handle has 32 digits of 0-9 and a-f, as pets run prints it")
    connect(directory, client=client).stop(RunHandle(handle))
    out.print(f"stopped {handle}", markup=False)
    return DONE


def verify(
    receipt: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A receipt, or the folder of evidence.")],
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Your own directory.toml, whose keys you trust.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every line, also of each of very many holders.")] = False,
) -> int:
    """Check a run offline: signatures, approvals, commitments, spend, shares, and the table computed again."""
    from pets.party.evidence import verify_evidence
    from pets.result import counted, evidence_keys, recompute

    folder = receipt if receipt.is_dir() else receipt.parent.parent
    if not receipt.is_dir():
        _is_receipt(receipt)
    keys = evidence_keys(directory if directory is not None else folder / "directory.toml")
    toml = _text(folder / "spec.toml")
    lines = verify_evidence(folder, keys=keys, recompute=recompute(toml), counted=counted(toml))
    for line in lines if every else _folded(lines, toml):
        out.print("[green]ok[/] ", end="")
        out.print(line, markup=False)
    if directory is None:
        out.print("keys are those of the folder itself; use --directory with your own to know whose they are")
    out.print("[bold green]verified[/]")
    return DONE


def _folded(lines: Sequence[str], toml: str) -> Iterator[str]:
    """Lines of ``verify_evidence``, with one for all of very many holders."""
    from pets.check.each_holder import holders, very_many
    from pets.spec.parse import parse_toml

    spec = parse_toml(toml, file="spec.toml")
    names = frozenset(holders(spec)) if very_many(spec) else frozenset()
    of_holders = [line for line in lines if line.partition(": ")[0] in names]
    for line in lines:
        if line.partition(": ")[0] not in names:
            yield line
        elif line is of_holders[0]:
            count = len({each.partition(": ")[0] for each in of_holders})
            yield f"{count:,} holders: each one's receipt, approvals, frozen part and charge (--all shows them)"


def _is_receipt(path: Path) -> None:
    from pets.approve.envelope import claimed

    try:
        claimed(path.read_bytes())
    except OSError as error:
        problem = (error.strerror or "it cannot be read").lower()
        raise ReceiptError("receipt.unreadable", file=path.name, problem=problem) from None
    except ApprovalError:
        raise ReceiptError("receipt.none", file=path.name, problem="it is no signed statement") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ReceiptError("receipt.unreadable", file=path.name, problem="it is not there or not UTF-8") from None
