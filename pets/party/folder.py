"""A new party's folder: keys, certificate or request, and the files that its people fill in."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pets.approve.envelope import keygen
from pets.errors import ConfigError
from pets.ids import NAME
from pets.party.config import DirectoryParty, directory_toml, validated
from pets.party.identity import Authority, check_san, make_request, private_folder, write_private
from pets.spec.write import toml_value

TLS_KEY: Final = "tls/key.pem"
TLS_CERTIFICATE: Final = "tls/certificate.pem"
TLS_REQUEST: Final = "tls/request.pem"
TLS_CA: Final = "tls/ca.pem"
SIGNING_KEY: Final = "keys/signing.pem"


def init_party(
    folder: Path,
    name: str,
    san: str,
    *,
    organisation: str,
    now: dt.datetime,
    listen: str = "127.0.0.1:7443",
    authority: Authority | None = None,
) -> tuple[Path, ...]:
    """Make a party's folder: keys, certificate or request, ``party.toml``, ``policy.toml``, ``directory.toml``.

    With an ``authority`` (a demo, or the consortium's own machine) the certificate is issued at once; otherwise the
    request is for the CA, and its answer and the CA's certificate go where party.toml names them. policy.toml approves
    nothing until approvers and limits are written into it. Returns the files made; nothing is ever replaced.
    Raises: ConfigError config.name, config.san or config.toml for what no specification could have, before anything is
            made.
    """
    files = {
        "party.toml": _PARTY.format(name=toml_value(name), listen=toml_value(listen)),
        "policy.toml": _POLICY.format(name=toml_value(name)),
    }
    me = {"name": name, "organisation": organisation, "san": san, "endpoint": listen}
    made = _make(folder, me, files, now=now, authority=authority)
    private_folder(folder / "state")
    return made


def init_client(
    folder: Path, name: str, san: str, *, organisation: str, now: dt.datetime, authority: Authority | None = None
) -> tuple[Path, ...]:
    """Make the folder of a party without a server, such as a result party: its keys, certificate and ``client.toml``.

    Returns the files made; nothing is ever replaced. Raises: as ``init_party``.
    """
    files = {"client.toml": _CLIENT.format(name=toml_value(name))}
    me = {"name": name, "organisation": organisation, "san": san}
    return _make(folder, me, files, now=now, authority=authority)


def _make(
    folder: Path, me: Mapping[str, str], files: Mapping[str, str], *, now: dt.datetime, authority: Authority | None
) -> tuple[Path, ...]:
    """Keys, request or certificate, ``files``, and a directory that lists the party itself."""
    check_san(me["san"])
    if not NAME.fullmatch(me["name"]):
        raise ConfigError("config.name", name=me["name"])
    signing = keygen()
    entry = validated(Path("directory.toml"), DirectoryParty, {**me, "signing_key": signing.text})
    for inner in (folder, folder / "tls", folder / "keys"):
        private_folder(inner)
    key, request = make_request(entry.name)
    made = {TLS_REQUEST: request, **{file: text.encode() for file, text in files.items()}}
    made["directory.toml"] = directory_toml([entry]).encode()
    if authority is not None:
        made[TLS_CERTIFICATE] = authority.issue(request, entry.san, now=now)
        made[TLS_CA] = authority.certificate
    write_private(folder / TLS_KEY, key.expose("write the key file"))
    signing.save(folder / SIGNING_KEY)
    for file, data in made.items():
        write_private(folder / file, data)
    return tuple(folder / file for file in (TLS_KEY, SIGNING_KEY, *made))


_CLIENT: Final = """\
# Who this client is. Paths are relative to this file; keys are readable by their owner alone.
name = {name}
certificate = "tls/certificate.pem"
key = "tls/key.pem"
ca = "tls/ca.pem"
signing_key = "keys/signing.pem"
"""


_PARTY: Final = """\
# This party's server. Paths are relative to this file; keys are readable by their owner alone.
name = {name}
listen = {listen}
state = "state"
certificate = "tls/certificate.pem"
key = "tls/key.pem"
ca = "tls/ca.pem"
signing_key = "keys/signing.pem"
directory = "directory.toml"
policy = "policy.toml"

# Where the records of a dataset are: a file, ...
# [datasets.attendances]
# file = "data/attendances.parquet"
# columns = {{ nhs_number = "NHS_NO" }}

# ... or a table or view of a PostgreSQL database. A password is never in this file: passfile has lines of
# host:port:database:user:password, and is readable by its owner alone.
# [databases.records]
# host = "db.example"
# dbname = "warehouse"
# user = "pets"
# passfile = "keys/pgpass"
# sslrootcert = "tls/database-ca.pem"
#
# [datasets.admissions]
# database = "records"
# schema = "inpatients"
# table = "admissions"

[limits]
run_s = 600
"""

_POLICY: Final = """\
# What this party allows, whatever a specification asks for. Empty means no: fill in the approvers and the limits.
party = {name}

[approval]
k = 1
# role, name, key (pets keygen) and organisation of each approver
approvers = []

[limits]
max_epsilon_per_run = "1"
max_epsilon_per_dataset = "10"
max_delta = "2^-30"
period = "year"
recipients = []
purposes = []
protocols = []
adversaries = []
"""
