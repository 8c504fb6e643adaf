"""Reach real party servers from a client: its certificate, the parties' directory, a key that signs submissions."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pets.errors import ConfigError
from pets.ids import PartyId
from pets.network import Analyst, Network
from pets.party.config import ClientConfig, read_client
from pets.plan.review import Reviewed
from pets.transport.grpc import Dialler, ResultLink
from pets.transport.link import Link
from pets.transport.remote import Remote

CLIENT_FILE = "client.toml"

AWAY_S: Final = 300.0
"""How long a party may be out of this client's reach while uploads are taken, before the run is given up here."""

SPARED_AWAY_S: Final = 30.0
"""The same, where the sums can be opened without some of the parties: without this one, that is."""


def connect(directory: str | Path, *, client: str | Path | None = None, deadline_s: float = 600.0) -> Network:
    """Connect to the servers of a directory file.

    ``client``: the file that names this client's certificate, keys and CA: ``client.toml`` or ``party.toml``; the one
                beside the directory if it is left out.
    """
    directory = Path(directory)
    config = read_client(_client_file(directory, client), directory=directory, now=dt.datetime.now(dt.UTC))
    return network(config, deadline_s=deadline_s)


def network(config: ClientConfig, *, deadline_s: float = 600.0) -> Network:
    """The network of a client's configuration."""
    dialler = Dialler(config.credentials, config.directory.addresses())

    def link(run_id: bytes, senders: Sequence[PartyId], reviewed: Reviewed) -> Link:
        if reviewed.plan.pool is None:
            return ResultLink(config.name, run_id, senders, dialler, deadline_s)
        from pets.party import contribute, totals

        open_s, spared = contribute.upload_s(reviewed.plan), totals.may_lose(reviewed.plan)
        away_s = SPARED_AWAY_S if spared else AWAY_S
        return ResultLink(config.name, run_id, senders, dialler, deadline_s + open_s, away_s=away_s)

    servers = {party: Remote(dialler, party) for party in config.directory.addresses()}
    analyst = Analyst(config.name, config.signing_key)
    return Network(servers, analyst, link, directory_toml=config.directory_text, deadline_s=deadline_s)


def _client_file(directory: Path, given: str | Path | None) -> Path:
    if given is not None:
        return Path(given)
    for name in (CLIENT_FILE, "party.toml"):
        if (directory.parent / name).is_file():
            return directory.parent / name
    raise ConfigError("config.file", file=str(directory.parent / CLIENT_FILE), problem="is not there, nor a party.toml")
