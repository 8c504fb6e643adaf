import datetime as dt
import stat
import tomllib
from pathlib import Path

import pytest

from pets.errors import ConfigError
from pets.party.folder import init_client, init_party
from pets.party.identity import Authority

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SAN = "spiffe://consortium.example/board"
AUTHORITY = Authority.create("consortium", now=NOW)


@pytest.mark.parametrize("authority", [None, AUTHORITY])
def test_init_makes_private_files_and_never_replaces_one(tmp_path: Path, authority: Authority | None) -> None:
    folder = tmp_path / "board"
    made = init_party(folder, "board", SAN, organisation="The Board", now=NOW, authority=authority)
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for inner in (folder, folder / "tls", folder / "keys", folder / "state"):
        assert stat.S_IMODE(inner.stat().st_mode) == 0o700, inner
    assert (folder / "tls" / "certificate.pem").exists() == (authority is not None)
    key = (folder / "tls" / "key.pem").read_bytes()
    with pytest.raises(ConfigError):
        init_party(folder, "board", SAN, organisation="The Board", now=NOW, authority=authority)
    assert (folder / "tls" / "key.pem").read_bytes() == key


def test_init_refuses_a_folder_that_others_can_enter(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir(mode=0o755)
    with pytest.raises(ConfigError) as caught:
        init_party(folder, "board", SAN, organisation="The Board", now=NOW)
    assert caught.value.code == "config.permissions"
    assert list(folder.iterdir()) == []


def test_a_name_or_uri_that_no_specification_could_have_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name, san, code in (
        ('The "Board"', SAN, "config.name"),
        ("board", "https://consortium.example/board", "config.san"),
    ):
        with pytest.raises(ConfigError) as caught:
            init_party(tmp_path / "board", name, san, organisation="The Board", now=NOW)
        assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_party_without_a_server_gets_what_a_client_needs(tmp_path: Path) -> None:
    init_client(tmp_path / "stats", "stats", SAN, organisation='The "Office"', now=NOW, authority=AUTHORITY)
    client = tomllib.loads((tmp_path / "stats" / "client.toml").read_text())
    assert client["name"] == "stats"
    assert all((tmp_path / "stats" / client[what]).is_file() for what in ("certificate", "key", "ca", "signing_key"))
    (me,) = tomllib.loads((tmp_path / "stats" / "directory.toml").read_text())["party"]
    assert (me["organisation"], "endpoint" in me) == ('The "Office"', False)
