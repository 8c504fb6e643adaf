import datetime as dt
from pathlib import Path

import pytest

from pets.approve.envelope import keygen
from pets.errors import ConfigError, LinkError
from pets.ids import PartyId
from pets.party.config import (
    STATE_FILE,
    DirectoryParty,
    PartyConfig,
    directory_toml,
    own_policy,
    read_config,
    read_directory,
)
from pets.party.database import PostgresSource
from pets.party.files import FileSource
from pets.party.folder import init_party
from pets.party.identity import Authority, make_credentials
from pets.party.main import SNAPSHOTS, alone, databases_of, state_of
from pets.party.state import State

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
BOARD, COUNCIL = "spiffe://consortium.example/board", "spiffe://consortium.example/council"
AUTHORITY = Authority.create("consortium", now=NOW)
ANN = keygen().text
AGAIN = f'[[party.approver]]\nname = "Ann"\nkey = "{keygen().text}"\norganisation = "The Board"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A party's folder, ready to serve."""
    made = tmp_path / "board"
    init_party(made, "board", BOARD, organisation="The Board", now=NOW, authority=AUTHORITY)
    policy = (made / "policy.toml").read_text()
    ann = f'[{{ name = "Ann", role = "guardian", key = "{ANN}", organisation = "The Board" }}]'
    (made / "policy.toml").write_text(policy.replace("approvers = []", f"approvers = {ann}"))
    with (made / "directory.toml").open("a") as file:
        file.write(f'[[party.approver]]\nname = "Ann"\nkey = "{ANN}"\norganisation = "The Board"\n')
        council = DirectoryParty(
            name="council",
            organisation='The "Council"',
            san=COUNCIL,
            endpoint="council.example:7443",
            signing_key=keygen().text,
        )
        file.write(directory_toml([council]))
        file.write('[[party]]\nname = "analyst"\norganisation = "University"\nsan = "spiffe://uni.example/analyst"\n')
    return made


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(folder / "party.toml", now=NOW)
    return str(caught.value)


def test_what_init_made_can_be_served_once_approvers_are_in(folder: Path) -> None:
    edit(folder, "party.toml", "# [datasets.attendances]", '[datasets.attendances]\nfile = "data/a.csv"')
    config: PartyConfig = read_config(folder / "party.toml", now=NOW)
    assert (config.name, config.san, config.organisation) == ("board", BOARD, "The Board")
    assert config.state == folder / "state"
    assert config.datasets["attendances"] == FileSource(folder / "data" / "a.csv")
    assert config.directory.by_name[PartyId("council")].organisation == 'The "Council"'
    assert set(config.directory.addresses()) == {"board", "council"}
    assert list(config.directory.approver_keys(PartyId("board"))) == ["Ann"]
    assert config.directory.signing_keys()["board"] == config.signing_key.public


def test_an_empty_policy_does_not_serve(folder: Path) -> None:
    edit(folder, "policy.toml", ANN, "")
    assert "config.policy" in refused(folder)


@pytest.mark.parametrize("file", ["tls/key.pem", "keys/signing.pem", "state", "tls"])
def test_a_key_or_folder_that_others_can_get_at_is_refused(folder: Path, file: str) -> None:
    path = folder / file
    path.chmod(path.stat().st_mode | 0o050 if path.is_dir() else 0o640)
    assert "others than its owner" in refused(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("party.toml", 'name = "board"', 'name = "Board"', "party.toml: name"),
        ("party.toml", 'name = "board"', 'name = "nobody"', "does not list nobody"),
        ("party.toml", "run_s = 600", "run_s = 600.0", "limits.run_s"),
        ("party.toml", "run_s = 600", "run_h = 1", "limits.run_h"),
        ("party.toml", "127.0.0.1:7443", "127.0.0.1", "listen"),
        ("party.toml", 'policy = "policy.toml"', 'policy = "missing.toml"', "missing.toml"),
        ("party.toml", "[limits]", "[limits", "TOML"),
        ("directory.toml", COUNCIL, BOARD, "two parties have one san"),
        ("directory.toml", 'name = "council"', 'name = "board"', "two parties have one name"),
        ("directory.toml", COUNCIL, "https://council.example", "party.1.san"),
        pytest.param(
            "directory.toml",
            "[[party.approver]]",
            f"{AGAIN}[[party.approver]]",
            "two approvers have one name",
            id="twice",
        ),
        pytest.param("directory.toml", ANN, "ed25519:AAAA", "party.0.approver.0.key", id="short key"),
        ("directory.toml", BOARD, BOARD + "2", "does not carry the name"),
        ("policy.toml", 'party = "board"', 'party = "council"', "is not board"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, file: str, old: str, new: str, said: str) -> None:
    read_config(folder / "party.toml", now=NOW)
    edit(folder, file, old, new)
    assert said in refused(folder)


DATABASE = """
[databases.records]
host = "db.board.example"
port = 5433
dbname = "warehouse"
user = "pets"
passfile = "keys/pgpass"
sslrootcert = "tls/ca.pem"
timeout_s = 60
[datasets.attendances]
database = "records"
schema = "ae"
table = "Attendances"
columns = { nhs_number = "NHS_NO" }
[datasets.other]
file = "data/a.csv"
"""


@pytest.fixture
def with_database(folder: Path) -> Path:
    passfile = folder / "keys" / "pgpass"
    passfile.write_text("*:*:*:pets:CANARY\n")
    passfile.chmod(0o600)
    with (folder / "party.toml").open("a") as file:
        file.write(DATABASE)
    return folder


def test_a_dataset_may_be_a_table_of_a_database(with_database: Path) -> None:
    config = read_config(with_database / "party.toml", now=NOW)
    found = config.datasets["attendances"]
    assert isinstance(found, PostgresSource) and isinstance(config.datasets["other"], FileSource)
    assert (found.schema, found.table, found.columns) == ("ae", "Attendances", {"nhs_number": "NHS_NO"})
    assert (found.database.name, found.database.timeout_s) == ("records", 60)
    assert found.database.keywords() == {
        "host": "db.board.example",
        "port": "5433",
        "dbname": "warehouse",
        "user": "pets",
        "passfile": str(with_database / "keys" / "pgpass"),
        "sslrootcert": str(with_database / "tls" / "ca.pem"),
        "sslmode": "verify-full",
        "gssencmode": "disable",
        "client_encoding": "UTF8",
        "application_name": "pets",
    }
    assert "CANARY" not in repr(config)


def test_all_that_libpq_knows_by_itself_may_be_left_out(with_database: Path) -> None:
    edit(with_database, "party.toml", DATABASE, "[databases.records]\n" + DATABASE[DATABASE.index("[datasets") :])
    found = read_config(with_database / "party.toml", now=NOW).datasets["attendances"]
    assert isinstance(found, PostgresSource) and found.database.parameters == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('user = "pets"', 'user = "pets"\npassword = "CANARY"', "a password does not belong in this file"),
        ('host = "db.board.example"', 'host = "postgresql://pets:CANARY@db/x"', "databases.records.host"),
        ('host = "db.board.example"', 'host = "one.example,two.example"', "databases.records.host"),
        ('dbname = "warehouse"', 'dbname = "host=elsewhere password=CANARY"', "databases.records.dbname"),
        ("port = 5433", "port = 0", "databases.records.port"),
        ("timeout_s = 60", 'sslmode = "require"', "databases.records.sslmode"),
        ("timeout_s = 60", 'options = "-c default_transaction_read_only=off"', "databases.records.options"),
        (
            'database = "records"',
            'database = "record"',
            "attendances.database: there is no [databases.record]",
        ),
        ('schema = "ae"', 'file = "a.csv"', "either a file, or a database and a table"),
        ('table = "Attendances"', "", "has a database and a table"),
        ('database = "records"', "", "has a database and a table"),
        ('file = "data/a.csv"', "", "either a file, or a database and a table"),
        ('file = "data/a.csv"', 'format = "csv"', "format stands beside a file"),
        ('"tls/ca.pem"\ntimeout', '"tls/gone.pem"\ntimeout', "tls/gone.pem: No such file or directory"),
        ('"keys/pgpass"', '"keys/gone"', "keys/gone: No such file or directory"),
    ],
)
def test_what_is_wrong_with_a_database_is_named_and_no_password_shown(
    with_database: Path, old: str, new: str, said: str
) -> None:
    edit(with_database, "party.toml", old, new)
    error = refused(with_database)
    assert said in error and "CANARY" not in error


@pytest.mark.parametrize("what", ["passfile", "sslkey"])
def test_a_password_file_or_key_that_others_can_read_is_refused(with_database: Path, what: str) -> None:
    edit(with_database, "party.toml", "passfile", what)
    read_config(with_database / "party.toml", now=NOW)
    (with_database / "keys" / "pgpass").chmod(0o640)
    assert "others than its owner" in refused(with_database)


def test_what_init_writes_of_databases_can_be_read(folder: Path) -> None:
    text = (folder / "party.toml").read_text()
    example = text[text.index("# [databases.records]") : text.index("[limits]")]
    (folder / "keys" / "pgpass").touch(mode=0o600)
    (folder / "tls" / "database-ca.pem").touch()
    edit(folder, "party.toml", example, example.replace("# ", "").replace("#\n", "\n"))
    found = read_config(folder / "party.toml", now=NOW).datasets["admissions"]
    assert isinstance(found, PostgresSource) and found.label == "inpatients.admissions"


def test_a_server_says_what_is_wrong_with_its_databases_and_starts(with_database: Path) -> None:
    edit(with_database, "party.toml", "db.board.example", str(with_database))
    (line,) = databases_of(read_config(with_database / "party.toml", now=NOW))
    assert line.startswith("database records: ") and "No such file" in line


def test_a_directory_that_has_another_signing_key_for_this_party_is_refused(folder: Path) -> None:
    config = read_config(folder / "party.toml", now=NOW)
    edit(folder, "directory.toml", config.signing_key.text, keygen().text)
    assert "signs with another key" in refused(folder)


def test_a_caller_is_the_party_of_its_name_only_under_that_partys_ca(folder: Path) -> None:
    other = Authority.create("another consortium", now=NOW)
    (folder / "council-ca.pem").write_bytes(other.certificate)
    edit(folder, "directory.toml", f'san = "{COUNCIL}"', f'san = "{COUNCIL}"\nca = "council-ca.pem"')
    directory = read_directory(folder / "directory.toml", ca=folder / "tls" / "ca.pem")
    under = {
        name: {
            "c": make_credentials(AUTHORITY, "x", name, now=NOW).certificate,
            "o": make_credentials(other, "x", name, now=NOW).certificate,
        }
        for name in (BOARD, COUNCIL)
    }
    assert directory.identify(BOARD, under[BOARD]["c"]) == "board"
    assert directory.identify(COUNCIL, under[COUNCIL]["o"]) == "council"
    for san, certificate in (
        (BOARD, under[BOARD]["o"]),
        (COUNCIL, under[COUNCIL]["c"]),
        ("spiffe://consortium.example/nobody", under[BOARD]["c"]),
        (BOARD, b"noise"),
    ):
        for _ in range(2):  # the second time from memory
            with pytest.raises(LinkError) as caught:
                directory.identify(san, certificate)
            assert caught.value.code == "link.stranger"
    assert directory.addresses()[PartyId("council")].ca == other.certificate
    assert directory.cas() == (other.certificate,)


def test_an_approver_s_copy_of_the_policy_is_read_where_party_toml_says_and_may_be_missing(folder: Path) -> None:
    file = folder / "policy.toml"
    with file.open("a") as policy:
        policy.write('\n[lint]\nLL-15 = "warning"\n')
    found = own_policy(folder / "party.toml")
    assert found is not None and found.lint == {"LL-15": "warning"}
    file.write_text(file.read_text().replace("LL-15", "LL-55"))
    with pytest.raises(ConfigError, match="LL-55 is no legal rule"):
        own_policy(folder / "party.toml")
    with pytest.raises(ConfigError, match="LL-55 is no legal rule"):
        read_config(folder / "party.toml", now=NOW)
    file.unlink()
    assert own_policy(folder / "party.toml") is None


def test_a_state_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(ConfigError, match=r"config\.in-use"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("damage", ["gone", "empty", "a link to nothing"])
def test_a_state_file_that_is_gone_is_not_made_anew_beside_its_snapshots(tmp_path: Path, damage: str) -> None:
    """A new one would have nothing spent."""
    file = tmp_path / STATE_FILE
    (tmp_path / SNAPSHOTS).mkdir()
    assert state_of(tmp_path) == file, "the first start"
    State(file).close()
    (tmp_path / SNAPSHOTS / "frozen.parquet").touch()
    assert state_of(tmp_path) == file
    file.unlink()
    if damage == "empty":
        file.touch()
    elif damage == "a link to nothing":
        file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"config\.state: state file party\.sqlite: it is gone"):
        state_of(tmp_path)
