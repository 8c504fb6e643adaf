"""How an organisation's own people reach their own server: by its party.toml, with its certificate."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pets.errors import ConfigError, RunError
from pets.ids import SpecDigest

if TYPE_CHECKING:
    from pets.network import Server
    from pets.party.config import ClientConfig
    from pets.plan.review import Review
    from pets.secret import Secret
    from pets.transport.calls import Standing

Config = Annotated[
    Path, typer.Option("--config", help="Your organisation's party.toml; directory.toml lies beside it.")
]
Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="Digest of the specification, or how it begins.")]

SHORTEST: Final = 6
"""Digits that a person has to write of a digest."""


def own_server(config: Path) -> "tuple[Server, ClientConfig]":
    """The server that ``config`` belongs to, and who its people are."""
    from pets.party.config import read_client
    from pets.remote import network

    client = read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC))
    return network(client).server(client.name), client


def find(server: "Server", digest: str) -> "Standing":
    """The one specification at a server whose digest begins so. Raises: RunError if there is none or more than one."""
    asked = digest.strip().lower().removeprefix("sha256:")
    found = [one for one in server.pending() if one.digest.startswith(asked)]
    if len(asked) < SHORTEST:
        raise RunError("run.digest", digest=digest, problem=f"it is shorter than {SHORTEST} digits")
    if not found:
        raise RunError("run.no-spec", digest=SpecDigest(digest))
    if len(found) > 1:
        raise RunError("run.two-specs", digest=digest, count=len(found))
    return found[0]


def reviewed_at(server: "Server", digest: "SpecDigest", config: Path) -> "Review":
    """The check of a specification that a server holds, as its policy beside ``config`` lowers legal rules.

    Without a copy of the policy nothing is lowered.
    """
    from pets.party.config import own_policy
    from pets.plan.review import review
    from pets.spec.parse import parse_toml

    files = dict(server.evidence(digest).files)
    found = review(parse_toml(files["spec.toml"].decode(), file="specification"))
    policy = own_policy(config)
    return found if policy is None else found.lowered(policy.lint, party=policy.party)


def name_of(client: "ClientConfig", public: bytes, key: Path) -> str:
    """Whose key this is, by directory.toml. Raises: ConfigError config.no-approver if it is nobody's there."""
    for name, known in client.directory.approver_keys(client.name).items():
        if known == public:
            return name
    raise ConfigError("config.no-approver", file=key.name, party=client.name)


def ask_passphrase(wanted: bool, *, confirm: bool = False) -> "Secret[bytes] | None":
    """The passphrase of a key file, typed by the person, or None if the file has none."""
    from pets.secret import Secret

    if not wanted:
        return None
    text: str = typer.prompt("passphrase", hide_input=True, confirmation_prompt=confirm)
    if not text:
        raise typer.BadParameter("the passphrase is empty")
    return Secret(text.encode())
