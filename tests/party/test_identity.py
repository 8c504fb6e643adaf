import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from pets.errors import ConfigError
from pets.party import identity
from pets.party.identity import Authority, issued_by, load_credentials, make_credentials, make_request
from pets.transport.calls import server_name

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SAN = "spiffe://consortium.example/board"
AUTHORITY = Authority.create("consortium", now=NOW)


def files(folder: Path, **change: bytes) -> tuple[Path, Path, Path]:
    made = make_credentials(AUTHORITY, "board", SAN, now=NOW)
    texts = {"certificate": made.certificate, "key": made.key.expose("test"), "ca": made.ca} | change
    for name, data in texts.items():
        identity.write_private(folder / name, data)
    return folder / "certificate", folder / "key", folder / "ca"


def problem(paths: tuple[Path, Path, Path], *, san: str = SAN, now: dt.datetime = NOW) -> str:
    with pytest.raises(ConfigError) as caught:
        load_credentials(*paths, san=san, now=now)
    return caught.value.code + " " + str(caught.value.fields.get("problem", ""))


def test_a_certificate_carries_the_uri_and_the_name_derived_from_it() -> None:
    own = x509.load_pem_x509_certificate(make_credentials(AUTHORITY, "board", SAN, now=NOW).certificate)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [SAN]
    assert names.get_values_for_type(x509.DNSName) == [server_name(SAN)]
    assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_derived_name_is_a_fixed_function_of_the_uri() -> None:
    assert server_name("spiffe://test.example/a") == "71224e19a015eeae386c53f3b61f2c2d.san.pets"
    assert server_name(SAN) != server_name(SAN + "/")


def test_names_come_from_the_ca_and_not_from_the_request() -> None:
    _, request = make_request("spiffe://consortium.example/council")
    own = x509.load_pem_x509_certificate(AUTHORITY.issue(request, SAN, now=NOW))
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [SAN]


def test_fitting_files_are_taken(tmp_path: Path) -> None:
    found = load_credentials(*files(tmp_path), san=SAN, now=NOW)
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    paths = files(tmp_path)
    paths[1].chmod(mode)
    assert problem(paths).startswith("config.permissions")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    assert "another certificate" in problem(files(tmp_path, key=make_request("x")[0].expose("test")))


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    assert "does not carry" in problem(files(tmp_path), san=SAN + "2")


def test_a_certificate_of_another_ca_is_refused(tmp_path: Path) -> None:
    other = Authority.create("consortium", now=NOW)
    assert "not issued" in problem(files(tmp_path, ca=other.certificate))
    assert not issued_by(AUTHORITY.certificate, other.certificate)


@pytest.mark.parametrize("days", [-1, 399])
def test_a_certificate_out_of_its_dates_is_refused(tmp_path: Path, days: int) -> None:
    assert "not valid today" in problem(files(tmp_path), now=NOW + dt.timedelta(days=days))


@pytest.mark.parametrize("what", ["certificate", "key"])
def test_noise_is_refused(tmp_path: Path, what: str) -> None:
    assert "cannot be read" in problem(files(tmp_path, **{what: b"noise"}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    certificate, key, ca = files(tmp_path)
    key.unlink()
    assert problem((certificate, key, ca)).startswith("config.file")


def test_an_authority_survives_its_folder_and_refuses_a_loose_one(tmp_path: Path) -> None:
    AUTHORITY.save(tmp_path / "ca")
    again = Authority.load(tmp_path / "ca")
    assert issued_by(make_credentials(again, "board", SAN, now=NOW).certificate, AUTHORITY.certificate)
    (tmp_path / "ca" / "ca-key.pem").chmod(0o644)
    with pytest.raises(ConfigError):
        Authority.load(tmp_path / "ca")
