"""A PostgreSQL database as party.toml names it: where it is, and how much its network is trusted. No password is here.

The connection itself is made in ``postgres.py``. Whatever is not said here is for libpq to find: a service file, its
environment, a password file. What libpq finds cannot take away TLS: without a host that is stated to be this machine,
a connection over a network has a verified certificate or is not made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Literal

Tls = Literal["verify-full", "verify-ca"]

LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


@dataclass(frozen=True, slots=True)
class Postgres:
    """How to reach a database. ``parameters``: libpq's own keywords; ``timeout_s`` bounds each statement."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 3600

    def keywords(self) -> dict[str, str]:
        """What libpq is told, with TLS decided: nothing of its environment or of a service file goes over this."""
        said = dict(self.parameters)
        if is_local(said.get("host", "")):
            # Empty, not absent: an address from the environment would lead elsewhere, and without TLS.
            said |= {"hostaddr": "", "sslmode": "prefer"}
        else:
            said.setdefault("sslmode", "verify-full")
        # Kerberos may say who we are; it may not replace TLS.
        return said | {"gssencmode": "disable", "client_encoding": "UTF8", "application_name": "pets"}


def is_local(host: str) -> bool:
    """True if a stated host is a folder of Unix sockets or this machine itself. Several hosts, or none, are not."""
    if host.startswith("/"):
        return "," not in host
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class PostgresSource:
    """A table, view, materialised view or foreign table. ``columns`` gives its name of a column where it has another.

    ``schema`` and ``table`` are names as the database stores them, capitals and all.
    """

    database: Postgres
    table: str
    schema: str = "public"
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.table}"
