"""For approvers: make a key, see what is pending, sign, revoke."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pets.commands.own import Config, Digest, ask_passphrase, find, name_of, own_server, reviewed_at
from pets.commands.say import DONE, WRONG, err, out
from pets.errors import ApprovalError, RunError

_WIDTHS: Final = {"digest": 16, "state": 8}

if TYPE_CHECKING:
    from pets.plan.review import Reviewed
    from pets.transport.calls import Standing

Key = Annotated[Path, typer.Option("--key", help="Your private key file, from pets keygen.")]
Who = Annotated[
    str | None,
    typer.Option("--name", help="Your name as policy.toml has it (default: as directory.toml has your key)."),
]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="The key file has a passphrase; ask for it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again before signing.")]


def register(app: typer.Typer) -> None:
    app.command("keygen", short_help="Make an approver's key pair.")(make_key)
    app.command("pending", short_help="List the specifications at your own server.")(pending)
    app.command("approve", short_help="Sign a specification for your organisation.")(approve)
    app.command("revoke", short_help="Withdraw a specification at your organisation.")(revoke)


def make_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Protect the file with a passphrase.")] = False,
) -> int:
    """Make an Ed25519 key pair: the private key into FILE, the public key on the screen."""
    from pets.approve.envelope import keygen

    key = keygen()
    key.save(file, ask_passphrase(passphrase, confirm=True))
    out.print(f"private key: {file} (readable by you alone; nobody else needs it)", markup=False)
    out.print(f"public key:  {key.text}")
    out.print("give the public key to those who keep policy.toml and directory.toml; they write")
    out.print(
        f'  policy.toml     {{ name = "...", role = "...", key = "{key.text}", organisation = "..." }}', markup=False
    )
    out.print(
        f"  directory.toml  under [[party]]: [[party.approver]]\n"
        f'                  name = "..."\n                  key = "{key.text}"\n                  organisation = "..."',
        markup=False,
    )
    return DONE


def pending(config: Config = Path("party.toml")) -> int:
    """List the specifications that your organisation's server holds, newest first."""
    from rich.table import Table
    from rich.text import Text

    server, _ = own_server(config)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("digest", "state", "approvals", "received"):
        table.add_column(column, no_wrap=True, min_width=_WIDTHS.get(column))
    table.add_column("title", overflow="fold")
    listed = server.pending()
    for one in listed:
        received = one.received.replace("T", " ")[:16]
        table.add_row(*map(Text, (one.digest[:16], one.state, f"{one.have} of {one.need}", received, one.title)))
    out.print(table if table.row_count else "nothing is pending", soft_wrap=False, markup=False)
    for one in listed:
        _suspicions(one)
    return DONE


def approve(
    digest: Digest,
    key: Key,
    name: Who = None,
    config: Config = Path("party.toml"),
    runs: Annotated[
        int | None, typer.Option("--runs", min=1, help="At most so many runs (default: as specified).")
    ] = None,
    until: Annotated[
        dt.datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last day (default: as specified)."),
    ] = None,
    overrule: Annotated[
        list[str] | None,
        typer.Option("--overrule", metavar="NAME", help="A suspicion of pets pending that you overrule; repeat it."),
    ] = None,
    passphrase: Passphrase = False,
    yes: Yes = False,
) -> int:
    """Sign a specification for your organisation, after reading its report: pets explain DIGEST --config party.toml."""
    from pets.approve import approvals
    from pets.approve.envelope import SigningKey

    server, client = own_server(config)
    found = find(server, digest)
    reviewed = reviewed_at(server, found.digest, config).require()
    if reviewed.digest != found.digest:
        raise RunError("run.other-spec", peer=client.name)
    signing = SigningKey.load(key, ask_passphrase(passphrase))
    who = name or name_of(client, signing.public, key)
    validity = reviewed.spec.validity
    last = until.date() if until else validity.not_after
    most = runs if runs is not None else validity.max_runs
    if most > validity.max_runs:
        raise typer.BadParameter(f"--runs: the specification allows {validity.max_runs}; you can sign for fewer only")
    if not validity.not_before <= last <= validity.not_after:
        days = f"from {validity.not_before} to {validity.not_after}"
        raise typer.BadParameter(f"--until: the specification runs {days}; name a day of these")
    if found.state == "revoked":
        raise ApprovalError("approval.withdrawn", digest=found.digest, party=client.name)
    names = _overruled(found, overrule or [])
    _show(reviewed)
    _suspicions(found)
    for suspicion in names:
        out.print(f"you overrule {suspicion}", markup=False)
    out.print(
        f"you sign as {who} of {client.name}: up to {most} runs, from {validity.not_before} to {last}", markup=False
    )
    out.print("it covers what your server finds equal or narrower, within these runs and days (pets diff)")
    if not _sure(yes):
        return WRONG
    envelope = approvals.approve(
        digest=reviewed.digest,
        plan_digest=reviewed.plan_digest,
        party=client.name,
        approver=who,
        key=signing,
        not_before=validity.not_before,
        not_after=last,
        max_runs=most,
        overrules=names,
    )
    _say(server.approve(envelope))
    return DONE


def revoke(
    digest: Digest,
    key: Key,
    name: Who = None,
    config: Config = Path("party.toml"),
    reason: Annotated[str, typer.Option("--reason", help="Why; it is signed and kept.")] = "",
    passphrase: Passphrase = False,
    yes: Yes = False,
) -> int:
    """Withdraw a specification at your organisation for good; runs under way end before their next message."""
    from pets.approve import approvals
    from pets.approve.envelope import SigningKey

    server, client = own_server(config)
    found = find(server, digest)
    signing = SigningKey.load(key, ask_passphrase(passphrase))
    who = name or name_of(client, signing.public, key)
    out.print(f"{found.title}\ndigest {found.digest}", markup=False)
    out.print(f"you withdraw it as {who} of {client.name}, for good", markup=False)
    if not _sure(yes):
        return WRONG
    envelope = approvals.revoke(digest=found.digest, party=client.name, approver=who, key=signing, reason=reason)
    _say(server.revoke(envelope))
    return DONE


def _show(reviewed: "Reviewed") -> None:
    """What the signature is over, in a few lines; the report has all of it."""
    from pets.check.budget import exact

    spec, verdict = reviewed.spec, reviewed.verdict
    out.print(f"{spec.title}\ndigest {reviewed.digest}", markup=False)
    out.print(f"result to {', '.join(spec.release.to)}: {spec.purpose.statement}", markup=False)
    for dataset, loss in verdict.losses.items():
        told = f"epsilon {exact(loss.epsilon)}, delta {exact(loss.delta)}" + (
            f", rho {exact(loss.rho)}" if loss.rho else ""
        )
        out.print(f"each run costs {dataset} {told}", markup=False)
    for finding in verdict.findings:
        out.print(f"{finding.grade}: {finding.path}: {finding.message}", markup=False)


def _suspicions(standing: "Standing") -> None:
    """What the differencing guard holds against a specification, each under the name that overrules it."""
    for one in standing.suspicions:
        said = "overruled" if one.overruled else "open"
        out.print(f"{standing.digest[:16]}: suspicion {one.id} ({said}): {one.problem}", markup=False)


def _overruled(standing: "Standing", names: list[str]) -> list[str]:
    """The names, if each is a suspicion that there is: nobody overrules what they cannot have read."""
    for name in names:
        if name not in {one.id for one in standing.suspicions}:
            raise ApprovalError("approval.no-suspicion", suspicion=name)
    return names


def _sure(yes: bool) -> bool:
    if yes or typer.confirm("sign?", default=False):
        return True
    err.print("nothing was signed")
    return False


def _say(standing: "Standing") -> None:
    out.print(f"{standing.title}: {standing.state}, {standing.have} of {standing.need} approvals", markup=False)
