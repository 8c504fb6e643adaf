"""Who a party is on the network: a certificate of the consortium's CA that carries the party's URI name.

The name (SAN URI, ``spiffe://...``) is the identity. Beside it a certificate carries the DNS name that is derived from
the URI (``pets.transport.calls.server_name``), because that is what a TLS dialler can insist on. Private keys are EC
P-256 (TLS) and Ed25519 (receipts), in files of mode 0600 in folders of mode 0700; looser ones are refused.
"""

import datetime as dt
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pets.errors import ConfigError
from pets.secret import Secret
from pets.transport.calls import server_name
from pets.transport.grpc import Credentials

CA_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 398
SAN: Final = re.compile(r"spiffe://[a-z0-9.-]{1,253}(/[A-Za-z0-9._-]+)+")


# -- files ------------------------------------------------------------------------------------------------------------


def private_folder(folder: Path) -> Path:
    """Make ``folder`` for its owner alone, or refuse it if others can enter it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_mode(folder)
    return folder


def check_mode(path: Path) -> Path:
    """Refuse a key file or folder that others than its owner can read, write or enter."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError("config.file", file=str(path), problem=error.strerror or "cannot be read") from None
    if mode & 0o077:
        raise ConfigError("config.permissions", file=path.name, mode=f"{mode & 0o777:04o}")
    return path


def check_san(san: str) -> str:
    """A party's name on the network, if it is one. Raises: ConfigError config.san."""
    if not SAN.fullmatch(san):
        raise ConfigError("config.san", san=san)
    return san


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read; an existing one is never replaced."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise ConfigError("config.exists", file=str(path)) from None
    path.chmod(0o600)
    path.write_bytes(data)


def _read(path: Path, limit: int = 1 << 20) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise ConfigError("config.file", file=str(path), problem=error.strerror or "cannot be read") from None


# -- the consortium's CA ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of a consortium, or of a demo."""

    certificate: bytes
    key: Secret[bytes]

    @classmethod
    def create(cls, name: str, *, now: dt.datetime, days: int = CA_DAYS) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        certificate = (
            _builder(subject, subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate.public_bytes(serialization.Encoding.PEM), Secret(_pem(key)))

    @classmethod
    def load(cls, folder: Path) -> "Authority":
        return cls(_read(folder / "ca.pem"), Secret(_read(check_mode(folder / "ca-key.pem"))))

    def save(self, folder: Path) -> None:
        """Keep ``ca.pem`` and ``ca-key.pem`` in a private folder."""
        private_folder(folder)
        write_private(folder / "ca-key.pem", self.key.expose("write the key of the CA"))
        (folder / "ca.pem").write_bytes(self.certificate)

    def issue(self, request: bytes, san: str, *, now: dt.datetime, days: int = CERTIFICATE_DAYS) -> bytes:
        """Sign a request for the party named ``san``: its names are set here, whatever the request asks for."""
        check_san(san)
        try:
            asked = x509.load_pem_x509_csr(request)
        except ValueError:
            raise ConfigError("config.request", problem="it is not one in PEM") from None
        if not asked.is_signature_valid:
            raise ConfigError("config.request", problem="its signature is not valid")
        own = x509.load_pem_x509_certificate(self.certificate)
        key = serialization.load_pem_private_key(self.key.expose("sign a certificate"), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError("config.certificate", what="the key of the CA", problem="is of another kind")
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(san), x509.DNSName(server_name(san))]
        certificate = (
            _builder(asked.subject, own.subject, asked.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(asked.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), critical=False)  # type: ignore[arg-type]
            .sign(key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: object, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# -- one party's own --------------------------------------------------------------------------------------------------


def make_request(name: str) -> tuple[Secret[bytes], bytes]:
    """A fresh TLS key and the request to give to the CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(name)).sign(key, hashes.SHA256())
    return Secret(_pem(key)), request.public_bytes(serialization.Encoding.PEM)


def make_credentials(authority: Authority, name: str, san: str, *, now: dt.datetime) -> Credentials:
    """Credentials of a caller in one step: for demos, tests and clients."""
    key, request = make_request(name)
    return Credentials(authority.issue(request, san, now=now), key, authority.certificate)


def load_credentials(certificate: Path, key: Path, ca: Path, *, san: str, now: dt.datetime) -> Credentials:
    """Read a party's TLS files and check that they fit each other and the party's name, so that a slip shows here.

    Raises: ConfigError config.permissions, config.file, config.certificate.
    """
    found = Credentials(_read(certificate), Secret(_read(check_mode(key))), _read(ca))
    problem = _misfit(found, san, now)
    if problem:
        raise ConfigError("config.certificate", what=certificate.name, problem=problem)
    return found


def _misfit(found: Credentials, san: str, now: dt.datetime) -> str | None:
    try:
        own = x509.load_pem_x509_certificate(found.certificate)
        key = serialization.load_pem_private_key(found.key.expose("check that key and certificate fit"), None)
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "it or its key cannot be read, or it names nobody"
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if own.public_key().public_bytes(*spki) != key.public_key().public_bytes(*spki):
        return "the key belongs to another certificate"
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [san]:
        return f"it does not carry the name {san} alone"
    if server_name(san) not in names.get_values_for_type(x509.DNSName):
        return f"it lacks the DNS name {server_name(san)}"
    if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
        return "it is not valid today"
    if not issued_by(found.certificate, found.ca):
        return "it was not issued by the CA beside it"
    return None


def issued_by(certificate: bytes, ca: bytes) -> bool:
    """Whether one of the certificates in ``ca`` signed ``certificate`` itself."""
    try:
        own = x509.load_pem_x509_certificate(certificate)
        authorities: Sequence[x509.Certificate] = x509.load_pem_x509_certificates(ca)
    except ValueError:
        return False
    for authority in authorities:
        try:
            own.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def check_listen(listen: str) -> str:
    """``host:port`` with a literal address or a host name, or ``[ipv6]:port``."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError('write the address to listen on as "host:port"')
    if host.startswith("["):
        ipaddress.IPv6Address(host.strip("[]"))
    return listen
