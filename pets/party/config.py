"""A party's own files: ``party.toml`` (this server) and ``directory.toml`` (whom it knows), read and checked at once.

The directory is this party's alone: nobody can send it an entry. It says which certificate name is which party, where
that party listens, under which CA, with which key it signs receipts and who approves for it. What is not in it does not
exist. The policy (``policy.toml``) is read by ``approve/policy.py``; a server refuses the unsafe one.
"""

import datetime as dt
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from pets.approve.envelope import SigningKey, public_bytes
from pets.approve.policy import KeyText, Policy, parse_policy, refuse_unsafe
from pets.approve.policy import Limits as PolicyLimits
from pets.errors import ConfigError, LinkError
from pets.ids import PartyId
from pets.party.database import Postgres, PostgresSource, Tls
from pets.party.files import FileSource
from pets.party.identity import check_listen, check_mode, issued_by, load_credentials, private_folder
from pets.spec.model import Model, Name, PartyName, San, Text, frozen
from pets.spec.write import tables
from pets.transport.grpc import Address, Credentials

MAX_FILE: Final = 1 << 20

_KNOWN_PEMS: Final = 1024

STATE_FILE: Final = "party.sqlite"
"""In a party's state folder: what it must not forget."""

M = TypeVar("M", bound=BaseModel)


RelativePath = Annotated[str, Field(min_length=1, max_length=4096)]
Listen = Annotated[str, AfterValidator(check_listen)]


class DirectoryApprover(Model):
    """A person whose approval counts for a party, as the others know it."""

    name: Text
    key: KeyText
    organisation: Text


class DirectoryParty(Model):
    """A party of the directory. Without ``endpoint`` it has no server: it only calls."""

    name: PartyName
    organisation: Text
    san: San
    endpoint: Listen | None = None
    ca: RelativePath | None = None
    signing_key: KeyText | None = None
    approver: tuple[DirectoryApprover, ...] = ()

    @model_validator(mode="after")
    def _one_key_a_name(self) -> Self:
        if len({one.name for one in self.approver}) != len(self.approver):
            raise ValueError("two approvers have one name")
        return self


class _DirectoryFile(Model):
    party: tuple[DirectoryParty, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Directory:
    """Whom this party knows. ``roots``: PEM text of the CA of each party that has its own."""

    parties: tuple[DirectoryParty, ...]
    roots: Mapping[PartyId, bytes] = field(default_factory=dict)
    ca: bytes | None = None
    """The consortium's CA, for all parties without their own."""

    @cached_property
    def by_name(self) -> Mapping[PartyId, DirectoryParty]:
        return {PartyId(one.name): one for one in self.parties}

    @cached_property
    def _by_san(self) -> Mapping[str, PartyId]:
        return {one.san: PartyId(one.name) for one in self.parties}

    @cached_property
    def _seen(self) -> dict[tuple[PartyId, bytes], bool]:
        return {}

    def identify(self, san: str, certificate: bytes) -> PartyId:
        """The party that a caller's certificate names; its CA must be the one this directory has for that party.

        Raises: LinkError link.stranger, the same for an unknown name and a foreign CA.
        """
        party = self._by_san.get(san)
        root = self.ca if party is None else self.roots.get(party, self.ca)
        if party is None or root is None:
            raise LinkError("link.stranger")
        if (party, certificate) not in self._seen:
            if len(self._seen) >= _KNOWN_PEMS:
                self._seen.clear()
            self._seen[party, certificate] = issued_by(certificate, root)
        if not self._seen[party, certificate]:
            raise LinkError("link.stranger")
        return party

    def addresses(self) -> Mapping[PartyId, Address]:
        """Where to dial each party that has a server."""
        return {
            PartyId(one.name): Address(one.endpoint, one.san, self.roots.get(PartyId(one.name)))
            for one in self.parties
            if one.endpoint is not None
        }

    def cas(self) -> tuple[bytes, ...]:
        """All CAs whose certificates may open a connection; who is behind one is decided by ``identify``."""
        return tuple(dict.fromkeys(self.roots.values()))

    def approver_keys(self, party: PartyId) -> Mapping[str, bytes]:
        """Public keys of a party's approvers by name."""
        found = self.by_name.get(party)
        return {one.name: public_bytes(one.key) for one in found.approver} if found else {}

    def signing_keys(self) -> Mapping[str, bytes]:
        """Public keys that sign receipts, by party name."""
        return self._signing

    @cached_property
    def _signing(self) -> Mapping[str, bytes]:
        return {one.name: public_bytes(one.signing_key) for one in self.parties if one.signing_key}


class _Dataset(Model):
    """A file, or a table of a database."""

    file: RelativePath | None = None
    format: Literal["csv", "parquet"] | None = None
    database: Name | None = None
    db_schema: Annotated[Text, Field(alias="schema")] = "public"
    table: Text | None = None
    columns: dict[Name, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        stated = self.model_fields_set
        of_file, of_database = {"file", "format"} & stated, {"database", "db_schema", "table"} & stated
        if bool(of_file) == bool(of_database):
            raise ValueError("a dataset has either a file, or a database and a table")
        if of_file and self.file is None:
            raise ValueError("format stands beside a file")
        if of_database and (self.database is None or self.table is None):
            raise ValueError("a dataset in a database has a database and a table")
        return self


class _Database(Model):
    """Where a PostgreSQL database is; what is left out, libpq finds. A password stands in a file of its own."""

    service: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,63}$")] | None = None
    host: Annotated[str, Field(pattern=r"^(/[^,\x00-\x20]{1,100}|[A-Za-z0-9_.:-]{1,253})$")] | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    dbname: Annotated[str, Field(pattern=r"^[^=\x00-\x1f]{1,63}$")] | None = None
    user: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,63}$")] | None = None
    passfile: RelativePath | None = None
    sslmode: Tls | None = None
    sslrootcert: RelativePath | None = None
    sslcert: RelativePath | None = None
    sslkey: RelativePath | None = None
    timeout_s: Annotated[int, Field(ge=1, le=86_400)] = 3600

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, body: Any) -> Any:
        if isinstance(body, Mapping) and "password" in body:
            raise ValueError("a password does not belong in this file: put it into a passfile, as libpq reads it")
        return body

    def reached(self, name: str, base: Path) -> Postgres:
        """The database, its files found beside party.toml. Raises: ConfigError config.file or config.permissions."""
        said = {k: str(v) for k, v in self.model_dump(exclude_none=True, exclude={"timeout_s"}).items()}
        for file in ("passfile", "sslkey", "sslcert", "sslrootcert"):
            if file in said and (file, said[file]) != ("sslrootcert", "system"):
                path = base / said[file]
                if file in ("passfile", "sslkey"):
                    check_mode(path)
                elif not path.is_file():
                    raise ConfigError("config.file", file=str(path), problem="No such file or directory")
                said[file] = str(path.absolute())
        return Postgres(name, said, self.timeout_s)


class Limits(Model):
    """Deadlines of this server, in seconds, and how much it does at a time."""

    run_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    """From the start of a run to its end."""
    step_s: Annotated[int, Field(ge=1, le=86_400)] = 120
    """Longest wait for one message of a peer."""
    runs: Annotated[int, Field(ge=1, le=64)] = 2
    """Runs at one time, without those that take uploads."""
    uploads: Annotated[int, Field(ge=1, le=1024)] = 64
    """Runs at one time of sums over one table of many holders: most of their time they wait for uploads."""


class _PartyFile(Model):
    name: PartyName
    listen: Listen
    state: RelativePath = "state"
    certificate: RelativePath
    key: RelativePath
    ca: RelativePath
    signing_key: RelativePath
    directory: RelativePath = "directory.toml"
    policy: RelativePath = "policy.toml"
    databases: dict[Name, _Database] = Field(default_factory=dict)
    datasets: dict[Name, _Dataset] = Field(default_factory=dict)
    limits: Limits = Field(default_factory=Limits)


@dataclass(frozen=True)
class PartyConfig:
    """Everything that ``party.toml`` says, with the files it names read and checked."""

    name: PartyId
    organisation: str
    san: str
    listen: str
    state: Path
    credentials: Credentials
    signing_key: SigningKey
    directory: Directory
    policy: Policy
    datasets: Mapping[str, FileSource | PostgresSource]
    limits: Limits


def read_config(path: Path, *, now: dt.datetime) -> PartyConfig:
    """Read ``party.toml`` and all files that it names; paths in it are relative to it.

    Raises: ConfigError: config.toml with the path of what is wrong, config.permissions for a key or folder that others
            can read, config.certificate, config.directory, config.policy, config.file.
    """
    file = _load(path, _PartyFile)
    base = path.parent
    directory = read_directory(base / file.directory, ca=base / file.ca)
    me = directory.by_name.get(PartyId(file.name))
    if me is None:
        raise ConfigError("config.directory", file=file.directory, problem=f"it does not list {file.name} itself")
    credentials = load_credentials(base / file.certificate, base / file.key, base / file.ca, san=me.san, now=now)
    signing = SigningKey.load(base / file.signing_key)
    if me.signing_key is not None and public_bytes(me.signing_key) != signing.public:
        raise ConfigError("config.directory", file=file.directory, problem=f"{file.name} signs with another key")
    policy = refuse_unsafe(parse_policy(_text(base / file.policy), file=Path(file.policy).name))
    if policy.party != file.name:
        raise ConfigError("config.policy", file=file.policy, path="party", problem=f"is not {file.name}")
    check_mode((base / file.key).parent)
    return PartyConfig(
        name=PartyId(file.name),
        organisation=me.organisation,
        san=me.san,
        listen=file.listen,
        state=private_folder(base / file.state),
        credentials=credentials,
        signing_key=signing,
        directory=directory,
        policy=policy,
        datasets=_sources(path, file),
        limits=file.limits,
    )


def _sources(path: Path, file: _PartyFile) -> dict[str, FileSource | PostgresSource]:
    """Where each dataset lies. Raises: ConfigError config.toml for a database that is not there."""
    databases = {name: one.reached(name, path.parent) for name, one in file.databases.items()}
    found: dict[str, FileSource | PostgresSource] = {}
    for name, one in file.datasets.items():
        if one.file is not None:
            found[name] = FileSource(path.parent / one.file, one.format, dict(one.columns))
        elif one.database not in databases:
            problem = f"there is no [databases.{one.database}]"
            raise ConfigError("config.toml", file=path.name, path=f"datasets.{name}.database", problem=problem)
        else:
            found[name] = PostgresSource(databases[one.database], str(one.table), one.db_schema, dict(one.columns))
    return found


class _ClientFile(Model):
    name: PartyName
    certificate: RelativePath
    key: RelativePath
    ca: RelativePath
    signing_key: RelativePath


@dataclass(frozen=True)
class ClientConfig:
    """Who a client is: its certificate, the key that signs its submissions, and whom it knows."""

    name: PartyId
    credentials: Credentials
    signing_key: SigningKey
    directory: Directory
    directory_text: str


def read_client(path: Path, *, directory: Path, now: dt.datetime) -> ClientConfig:
    """Read a client's own file: ``client.toml``, or the ``party.toml`` of a party that has a server too.

    Raises: ConfigError, as ``read_config`` does.
    """
    body = _parsed(path)
    own = {name: value for name, value in body.items() if name in _ClientFile.model_fields}
    file = validated(path, _ClientFile, own)
    base = path.parent
    known = read_directory(directory, ca=base / file.ca)
    me = known.by_name.get(PartyId(file.name))
    if me is None:
        raise ConfigError("config.directory", file=directory.name, problem=f"it does not list {file.name} itself")
    credentials = load_credentials(base / file.certificate, base / file.key, base / file.ca, san=me.san, now=now)
    signing = SigningKey.load(base / file.signing_key)
    return ClientConfig(PartyId(file.name), credentials, signing, known, _text(directory))


def own_policy(path: Path) -> Policy | None:
    """The policy that a ``party.toml`` names, if it lies there: an approver's own machine may have no copy of it.

    Raises: ConfigError config.policy with the path of what is wrong in it.
    """
    name = _parsed(path).get("policy", "policy.toml")
    file = path.parent / str(name)
    return parse_policy(_text(file), file=file.name) if file.is_file() else None


@dataclass(frozen=True)
class Books:
    """Where a party's ledger and log lie, and what they are held against."""

    party: PartyId
    state: Path
    signing_key: Path
    limits: PolicyLimits
    datasets: tuple[str, ...]


def own_books(path: Path) -> Books:
    """What ``party.toml`` and the policy that it names say of ledger and log; no key and no certificate is opened.

    Raises: ConfigError config.toml, config.file, or config.policy with the path of what is wrong.
    """
    file = _load(path, _PartyFile)
    policy = parse_policy(_text(path.parent / file.policy), file=Path(file.policy).name)
    state, key = path.parent / file.state / STATE_FILE, path.parent / file.signing_key
    return Books(PartyId(file.name), state, key, policy.limits, tuple(sorted(file.datasets)))


def read_directory(path: Path, *, ca: Path | None = None) -> Directory:
    """Read ``directory.toml``; ``ca`` is the consortium's, for parties without their own."""
    file = _load(path, _DirectoryFile)
    for what in ("name", "san"):
        values = [getattr(one, what) for one in file.party]
        if len(set(values)) != len(values):
            raise ConfigError("config.directory", file=path.name, problem=f"two parties have one {what}")
    roots = {PartyId(one.name): _text(path.parent / one.ca).encode() for one in file.party if one.ca}
    return Directory(file.party, roots, _text(ca).encode() if ca else None)


def parties_of(text: str) -> Directory:
    """Whom the text of a directory file names, with their keys and without CAs: nobody for an empty one.

    Raises: ConfigError.
    """
    if not text:
        return Directory(())
    path = Path("directory.toml")
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config.toml", file=path.name, path="TOML", problem=str(error)) from None
    return Directory(validated(path, _DirectoryFile, body).party)


def directory_toml(parties: Iterable[DirectoryParty]) -> str:
    """The text of a directory file; paths of CAs are as they are given."""
    return tables({"party": [one.model_dump(exclude_defaults=True) for one in parties]})


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError("config.file", file=path.name, problem="is larger than 1 MiB")
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError("config.file", file=path.name, problem="is not UTF-8") from None
    except OSError as error:
        raise ConfigError("config.file", file=str(path), problem=error.strerror or "cannot be read") from None


def _load(path: Path, model: type[M]) -> M:
    return validated(path, model, _parsed(path))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config.toml", file=path.name, path="TOML", problem=str(error)) from None


def validated(path: Path, model: type[M], body: Mapping[str, Any]) -> M:
    """What a file says, as its model. Raises: ConfigError config.toml with the path of what is wrong in it."""
    try:
        return model.model_validate(frozen(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigError("config.toml", file=path.name, path=where, problem=first["msg"]) from None
