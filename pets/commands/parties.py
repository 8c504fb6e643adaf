"""For operators: set up a party, serve it, freeze its records."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from pets.commands.say import DONE, err, out
from pets.ids import SpecDigest
from pets.party.config import read_client
from pets.party.identity import Authority, init_client, init_party
from pets.party.main import serve_party
from pets.remote import network

app = typer.Typer(help="Set up and run a party's server.", no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", help="The party's party.toml.")]


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for keys, certificate, configuration and state.")],
    name: Annotated[str, typer.Option(help="Name of the party in specifications and directories.")],
    san: Annotated[str, typer.Option(help="Its identity: a URI such as spiffe://board.example/pets.")],
    organisation: Annotated[str, typer.Option(help="The organisation, in words.")],
    listen: Annotated[str, typer.Option(help="Address that its server listens on.")] = "127.0.0.1:7443",
    no_server: Annotated[bool, typer.Option("--no-server", help="A result party: it only calls.")] = False,
    authority: Annotated[Path | None, typer.Option("--ca", help="Folder of the consortium's CA (made if new).")] = None,
) -> int:
    """Make a party's folder. Without ``--ca`` it holds a certificate request for the consortium's CA to sign."""
    now = dt.datetime.now(dt.UTC)
    ca = None
    if authority is not None:
        if (authority / "ca.pem").is_file():
            ca = Authority.load(authority)
        else:
            ca = Authority.create("pets consortium", now=now)
            ca.save(authority)
    if no_server:
        made = init_client(folder, name, san, organisation=organisation, now=now, authority=ca)
    else:
        made = init_party(folder, name, san, organisation=organisation, now=now, listen=listen, authority=ca)
    for file in made:
        out.print(f"  {file}")
    out.print("next: fill in policy.toml, and add the other parties to directory.toml" if not no_server else
              "next: add the parties' servers to directory.toml")
    return DONE


@app.command("serve")
def serve(config: Config = Path("party.toml")) -> int:
    """Run the party's server until it is told to stop (SIGTERM or Ctrl-C). Its console is for its own people only."""
    serve_party(config, console=lambda line: err.print(f"{dt.datetime.now():%H:%M:%S} {line}", markup=False))
    return DONE


@app.command("snapshot")
def snapshot(
    digest: Annotated[str, typer.Argument(help="Digest of the specification.")], config: Config = Path("party.toml")
) -> int:
    """Validate and freeze this party's records for a specification. What is wrong is said on the server's console."""
    client = read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC))
    server = network(client).server(client.name)
    found = [one.digest for one in server.pending() if one.digest.startswith(digest.lower())]
    for entry in server.snapshot(found[0] if len(found) == 1 else SpecDigest(digest)):
        out.print(f"{entry.dataset}: frozen as {entry.commitment} at {entry.taken}")
    return DONE
