"""For approvers: make a key, see what is pending, sign, revoke."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pets.approve import approvals
from pets.approve.envelope import SigningKey, keygen
from pets.client import Network
from pets.commands.say import DONE, out
from pets.errors import ApprovalError, RunError
from pets.ids import PartyId, SpecDigest
from pets.party.config import read_client
from pets.plan.review import review
from pets.remote import network
from pets.secret import Secret
from pets.spec.parse import parse_toml
from pets.transport.calls import Standing

Config = Annotated[Path, typer.Option("--config", help="Your organisation's party.toml.")]
Key = Annotated[Path, typer.Option("--key", help="Your private key file.")]
Who = Annotated[str, typer.Option("--name", help="Your name, as policy.toml has it.")]
What = Annotated[str, typer.Argument(metavar="DIGEST", help="Digest of the specification, or its first digits.")]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="The key file has a passphrase; ask for it.")]


def register(app: typer.Typer) -> None:
    app.command("keygen")(make_key)
    app.command("pending")(pending)
    app.command("approve")(approve)
    app.command("revoke")(revoke)


def make_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Protect the file with a passphrase.")] = False,
) -> int:
    """Make an Ed25519 key pair: the private key into FILE, the public key on the screen."""
    key = keygen()
    key.save(file, _ask(passphrase, confirm=True))
    out.print(f"private key: {file} (readable by you alone; nobody else needs it)")
    out.print(f"public key:  {key.text}")
    out.print("give the public key to those who keep policy.toml and directory.toml")
    return DONE


def pending(config: Config = Path("party.toml")) -> int:
    """List the specifications that your organisation's server holds, newest first."""
    net, party = _own(config)
    table = Table("digest", "title", "state", "approvals", "received", box=None, pad_edge=False)
    for one in net.server(party).pending():
        table.add_row(one.digest[:16], one.title, one.state, f"{one.have} of {one.need}", one.received)
    out.print(table if table.row_count else "nothing is pending")
    return DONE


def approve(
    digest: What,
    key: Key,
    name: Who,
    config: Config = Path("party.toml"),
    runs: Annotated[int | None, typer.Option("--runs", help="At most so many runs (default: as specified).")] = None,
    until: Annotated[dt.datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day.")] = None,
    passphrase: Passphrase = False,
) -> int:
    """Sign a specification for your organisation, after reading its report (``pets explain``)."""
    net, party = _own(config)
    found = _find(net, party, digest)
    files = dict(net.server(party).evidence(found.digest).files)
    reviewed = review(parse_toml(files["spec.toml"].decode(), file="specification")).require()
    if reviewed.digest != found.digest:
        raise RunError("run.other-spec", peer=party)
    validity = reviewed.spec.validity
    envelope = approvals.approve(
        digest=reviewed.digest,
        plan_digest=reviewed.plan_digest,
        party=party,
        approver=name,
        key=SigningKey.load(key, _ask(passphrase)),
        not_before=validity.not_before,
        not_after=until.date() if until else validity.not_after,
        max_runs=runs if runs is not None else validity.max_runs,
    )
    _say(net.server(party).approve(envelope))
    return DONE


def revoke(
    digest: What,
    key: Key,
    name: Who,
    config: Config = Path("party.toml"),
    reason: Annotated[str, typer.Option("--reason", help="Why; it is signed and kept.")] = "",
    passphrase: Passphrase = False,
) -> int:
    """Withdraw a specification at your organisation for good; runs under way end before their next message."""
    net, party = _own(config)
    found = _find(net, party, digest)
    signing = SigningKey.load(key, _ask(passphrase))
    envelope = approvals.revoke(digest=found.digest, party=party, approver=name, key=signing, reason=reason)
    _say(net.server(party).revoke(envelope))
    return DONE


def _own(config: Path) -> tuple[Network, PartyId]:
    """The network as this organisation's own people reach it: with the certificate of their server."""
    client = read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC))
    return network(client), client.name


def _find(net: Network, party: PartyId, digest: str) -> Standing:
    """The one specification whose digest starts so."""
    found = [one for one in net.server(party).pending() if one.digest.startswith(digest.lower())]
    if len(found) != 1 or len(digest) < 8:
        raise RunError("run.no-spec", digest=SpecDigest(digest))
    return found[0]


def _say(standing: Standing) -> None:
    out.print(f"{standing.title}: {standing.state}, {standing.have} of {standing.need} approvals")


def _ask(wanted: bool, *, confirm: bool = False) -> Secret[bytes] | None:
    if not wanted:
        return None
    text: str = typer.prompt("passphrase", hide_input=True, confirmation_prompt=confirm)
    if not text:
        raise ApprovalError("approval.statement", problem="the passphrase is empty")
    return Secret(text.encode())
