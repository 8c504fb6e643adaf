"""A PostgreSQL server of our own for one test session: a new cluster in a temporary folder, stopped by its own pid.

It listens on a Unix socket and on a loopback port with TLS. What is in it is nobody's, so nothing is synced to disk.
"""

import datetime as dt
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TLS_NAME = "database.board.example"
"""The name on the server's certificate. It is nowhere in DNS: PGHOSTADDR says where it is."""

PASSWORD = "SECRET-of-the-role"
HOW = "install PostgreSQL's server: apt-get install postgresql (or set PATH to a folder that has initdb and postgres)"

_HBA = """\
local   all admin,pets,writer                  trust
hostssl all all        127.0.0.1/32            scram-sha-256
host    all insecure   127.0.0.1/32            scram-sha-256
"""
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "ssl": "on",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
    "temp_file_limit": "1GB",
}


@dataclass(frozen=True)
class Cluster:
    """A server that runs. ``admin`` is a connection of a superuser that commits by itself."""

    folder: Path
    port: int
    pid: int
    admin: "psycopg.Connection[Any]"

    @property
    def socket(self) -> dict[str, str]:
        """How the role ``pets``, which may only read, gets in by the socket."""
        return {"host": str(self.folder), "port": str(self.port), "user": "pets", "dbname": "records"}

    @property
    def network(self) -> dict[str, str]:
        """The same over TCP, under the name that the certificate has."""
        files = {"passfile": str(self.folder / "passfile"), "sslrootcert": str(self.folder / "ca.pem")}
        return {**self.socket, "host": TLS_NAME, **files}

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.admin.execute(statement)  # type: ignore[arg-type]


def programs() -> Path:
    """The folder that has ``initdb`` and ``postgres``."""
    found = [Path(path).resolve().parent for name in ("initdb", "postgres") if (path := shutil.which(name))]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    for folder in found:
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    pytest.fail(f"no PostgreSQL server on this machine: {HOW}", pytrace=False)


def owner() -> dict[str, Any]:
    """As whom the server runs: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            who = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise AssertionError("root cannot run PostgreSQL, and there is no user to run it as")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, start its server, and take both away at the end."""
    bin_, who = programs(), owner()
    folder = Path(tempfile.mkdtemp(prefix="pets-pg-", dir="/tmp"))  # a socket's path has at most 107 bytes
    server = None
    try:
        folder.chmod(0o755)
        _certificates(folder)
        if who:
            for path in (folder, *folder.iterdir()):
                os.chown(path, who["user"], who["group"])
        data, port = folder / "data", _free_port()
        make = ["initdb", "-D", data, "-U", "admin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run([bin_ / make[0], *make[1:]], cwd=folder, capture_output=True, text=True, **who)
        assert made.returncode == 0, made.stderr
        (data / "pg_hba.conf").write_text(_HBA)
        settings = _SETTINGS | {
            "port": str(port),
            "unix_socket_directories": str(folder),
            "ssl_cert_file": str(folder / "server.pem"),
            "ssl_key_file": str(folder / "server-key.pem"),
        }
        with (data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        with (folder / "log").open("wb") as log:
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            server = subprocess.Popen([bin_ / "postgres", "-D", data], cwd=folder, **pipes, **who)
        admin = _connect(folder, port, server)
        admin.execute("CREATE DATABASE records")
        admin.close()
        with psycopg.connect(host=str(folder), port=port, user="admin", dbname="records", autocommit=True) as admin:
            for role in ("pets", "writer", "insecure"):
                admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            admin.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pets")
            yield Cluster(folder, port, server.pid, admin)
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # fast: sessions are ended
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _connect(folder: Path, port: int, server: "subprocess.Popen[bytes]") -> "psycopg.Connection[Any]":
    deadline = time.monotonic() + 30
    while True:
        try:
            return psycopg.connect(host=str(folder), port=port, user="admin", dbname="postgres", autocommit=True)
        except psycopg.OperationalError:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _certificates(folder: Path) -> None:
    """A CA, the server's certificate of it, another CA that has nothing to do with it, and a password file."""
    for ca in ("other-ca", "ca"):
        key, name = ec.generate_private_key(ec.SECP256R1()), _name(ca)
        root = _signed(name, name, key.public_key(), key, x509.BasicConstraints(ca=True, path_length=None))
        (folder / f"{ca}.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    own = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(TLS_NAME)])
    certificate = _signed(_name(TLS_NAME), name, own.public_key(), key, names)
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server-key.pem").write_bytes(own.private_bytes(*plain))
    (folder / "server-key.pem").chmod(0o600)
    (folder / "passfile").write_text(f"*:*:*:*:{PASSWORD}\n")
    (folder / "passfile").chmod(0o600)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _signed(subject: x509.Name, issuer: x509.Name, public: Any, key: Any, extension: Any) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    building = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), now, now + dt.timedelta(1))
    return building.add_extension(extension, critical=False).sign(key, hashes.SHA256())
