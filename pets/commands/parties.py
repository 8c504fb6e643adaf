"""For operators: set up a party, serve it, freeze its records, hold its log against receipts."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pets.commands.own import Config, Digest, find, own_server
from pets.commands.say import DONE, err, out

if TYPE_CHECKING:
    from pets.party.identity import Authority

app = typer.Typer(help="Set up and run a party's server.", no_args_is_help=True)

San = Annotated[str, typer.Option("--san", help="Its identity: a URI such as spiffe://board.example/pets.")]


@app.command("init", short_help="Make a party's folder: keys, certificate, configuration.")
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for keys, certificate, configuration and state.")],
    name: Annotated[str, typer.Option(help="Name of the party in specifications and directories.")],
    san: San,
    organisation: Annotated[str, typer.Option(help="The organisation, in words.")],
    listen: Annotated[str, typer.Option(help="Address that its server listens on.")] = "127.0.0.1:7443",
    no_server: Annotated[bool, typer.Option("--no-server", help="A result party: it only calls.")] = False,
    authority: Annotated[Path | None, typer.Option("--ca", help="Folder of the consortium's CA (made if new).")] = None,
) -> int:
    """Make a party's folder. Without --ca it holds a certificate request for the consortium's CA to sign."""
    from pets.party.folder import TLS_CA, TLS_CERTIFICATE, TLS_REQUEST, init_client, init_party

    now = dt.datetime.now(dt.UTC)
    ca = None if authority is None else _authority(authority, now)
    if no_server:
        made = init_client(folder, name, san, organisation=organisation, now=now, authority=ca)
    else:
        made = init_party(folder, name, san, organisation=organisation, now=now, listen=listen, authority=ca)
    for file in made:
        out.print(f"  {file}", markup=False)
    out.print("next:")
    if ca is None:
        out.print(
            f"  have {folder / TLS_REQUEST} signed (pets party certify) and put the certificate and the CA's",
            markup=False,
        )
        out.print(f"  own into {folder / TLS_CERTIFICATE} and {folder / TLS_CA}", markup=False)
    out.print(f"  send {folder / 'directory.toml'} to the other parties, and add their entries to it", markup=False)
    if not no_server:
        out.print(
            f"  name your tables in {folder / 'party.toml'}, approvers and limits in {folder / 'policy.toml'}",
            markup=False,
        )
        out.print(f"  start it: pets party serve --config {folder / 'party.toml'}", markup=False)
    return DONE


@app.command("certify", short_help="Sign a party's request with the consortium's CA.")
def certify(
    request: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="tls/request.pem of a party.")],
    san: San,
    authority: Annotated[Path, typer.Option("--ca", help="Folder of the consortium's CA (made if new).")],
    to: Annotated[Path, typer.Option("--out", help="Where the certificate goes.")] = Path("certificate.pem"),
) -> int:
    """For who keeps the consortium's CA: sign a party's request, after making sure who asks."""
    now = dt.datetime.now(dt.UTC)
    to.write_bytes(_authority(authority, now).issue(request.read_bytes(), san, now=now))
    out.print(f"{to}: certificate of {san}; send it with {authority / 'ca.pem'}", markup=False)
    return DONE


@app.command("serve", short_help="Run the party's server until it is told to stop.")
def serve(config: Config = Path("party.toml")) -> int:
    """Run the party's server until it is told to stop (SIGTERM or Ctrl-C). Its console is for its own people only."""
    from pets.party.main import serve_party

    serve_party(config, console=lambda line: err.print(f"{dt.datetime.now():%H:%M:%S} {line}", markup=False))
    return DONE


@app.command("snapshot", short_help="Validate and freeze this party's records.")
def snapshot(digest: Digest, config: Config = Path("party.toml")) -> int:
    """Validate and freeze this party's records for a specification. What is wrong is said on the server's console."""
    server, client = own_server(config)
    found = find(server, digest)
    taken = server.snapshot(found.digest)
    for entry in taken:
        out.print(f"{entry.dataset}: frozen as {entry.commitment} at {entry.taken}", markup=False)
    if not taken:
        out.print(f"{client.name} brings no records to it", markup=False)
    return DONE


@app.command("log", short_help="Hold the log against receipts that others have.")
def log(
    receipts: Annotated[
        list[Path],
        typer.Argument(metavar="RECEIPT", help="Receipts of this party, or folders of evidence that have them."),
    ],
    config: Config = Path("party.toml"),
) -> int:
    """Hold this party's log against its receipts that others have; exit code 2 if it was changed, or its end is gone.

    For a state file that was restored, before it is served from. It reads the file beside party.toml, beside a server
    that runs, too, and changes nothing; run it on the server's machine, as its account. Receipts say nothing of what
    came after them: ask everyone who receives tables for the newest.
    """
    from pets.party.heads import compare

    held = compare(config, receipts)
    out.print(f"{held.party}: the log is a whole chain of {held.head.seq} entries", markup=False)
    out.print(f"its head is {held.head.hash.hex()}", markup=False)
    for each in held.found:
        out.print("[green]ok[/] " if each.problem is None else "[red]gone[/] ", end="")
        out.print(each.told(), markup=False)
    if held.others:
        out.print(f"receipts of other parties, passed over: {held.others}", markup=False)
    last = held.require()
    out.print(f"of what came after entry {last} these receipts say nothing", markup=False)
    out.print("[bold green]the log contains every head that these receipts name[/]")
    return DONE


def _authority(folder: Path, now: dt.datetime) -> "Authority":
    """The CA of a folder; a folder without one gets a new one."""
    from pets.party.identity import Authority

    if (folder / "ca.pem").is_file():
        return Authority.load(folder)
    made = Authority.create("pets consortium", now=now)
    made.save(folder)
    out.print(f"  {folder / 'ca.pem'}: a new CA; keep {folder / 'ca-key.pem'} away from all parties", markup=False)
    return made
