"""Ed25519 keys, and DSSE envelopes over in-toto statements: signed bytes, and who signed them.

``sign`` makes an envelope, ``verify`` returns what was signed and by whom, or raises. What a statement *means* is not
known here: approvals.py and party/receipts.py read it, and only from a ``Signed``.

Four rules close what DSSE leaves open (dsse#40, dsse#55): the payload type is fixed; every signature is checked and one
bad one refuses the envelope; all known keys are tried, whatever the key id says, and a wrong key id is refused; a
signer is the bytes of a public key, so one key under two ids is refused and never counted twice. The bytes that were
received are verified, and then parsed; nothing signed is ever written out again to be checked.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Generic, Literal, NoReturn, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature  # type: ignore[attr-defined]

from pets.errors import ApprovalError, ConfigError
from pets.secret import Secret
from pets.spec.canonical import canonical
from pets.spec.model import Model, Text

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"

MAX_ENVELOPE: Final = 2**22
"""Bytes of an envelope that are looked at: a receipt may list some thousand messages, an approval has ten fields."""

MAX_SIGNATURES: Final = 64
_PREFIX: Final = "ed25519:"
_KEY_FILE: Final = 16_384


def public_text(public: bytes) -> str:
    """The public key as policy.toml and directory.toml write it: ``ed25519:`` and base64."""
    return _PREFIX + base64.b64encode(public).decode()


def public_bytes(text: str) -> bytes:
    """The 32 bytes of a public key in its text form; exactly one text is accepted for each key.

    Raises: ConfigError ``config.key``.
    """
    if not text.startswith(_PREFIX):
        raise ConfigError("config.key", what="the public key", problem=f'it does not start with "{_PREFIX}"')
    try:
        public = _unbase64(text.removeprefix(_PREFIX))
    except ValueError:
        raise ConfigError("config.key", what="the public key", problem="it is not base64") from None
    if len(public) != 32:
        raise ConfigError("config.key", what="the public key", problem="it has not 32 bytes")
    return public


@lru_cache(maxsize=4096)
def key_id(public: bytes) -> str:
    """The key id that ``sign`` writes: SHA-256 of the public key in hex. It chooses no key; it must be right."""
    return sha256(public).hexdigest()


class SigningKey:
    """An Ed25519 key pair. The private half stays inside a ``Secret``."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private: Final = Secret(private)
        self.public: Final = private.public_key().public_bytes_raw()

    @property
    def text(self) -> str:
        """The public half in its text form."""
        return public_text(self.public)

    def __repr__(self) -> str:
        return f"SigningKey({self.text})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("signing keys do not pickle")

    def sign(self, message: bytes) -> bytes:
        """Sign bytes: 64 bytes, RFC 8032."""
        return self._private.expose("sign").sign(message)

    def pem(self, passphrase: Secret[bytes] | None = None) -> bytes:
        """The private key as PKCS 8 PEM, encrypted if a passphrase is given. Whoever has it can sign."""
        cover: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            cover = serialization.BestAvailableEncryption(passphrase.expose("encrypt a key file"))
        return self._private.expose("write a key file").private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cover
        )

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: Secret[bytes] | None = None, *, what: str = "the key file") -> Self:
        """Read a private key. Raises ConfigError ``config.key``, also for a wrong or missing passphrase."""
        given = passphrase.expose("decrypt a key file") if passphrase is not None else None
        try:
            private = serialization.load_pem_private_key(pem, given)
        except TypeError:
            problem = "it needs a passphrase" if given is None else "it has no passphrase"
            raise ConfigError("config.key", what=what, problem=problem) from None
        except ValueError:
            problem = "it cannot be decrypted or read"
            raise ConfigError("config.key", what=what, problem=problem) from None
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError("config.key", what=what, problem="it is of another kind")
        return cls(private)

    def save(self, path: Path, passphrase: Secret[bytes] | None = None) -> None:
        """Write the private key to a new file that only its owner can read. An existing file is never replaced."""
        try:
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(self.pem(passphrase))
        except FileExistsError:
            advice = "choose another name, or move the old key away"
            raise ConfigError("config.key-file", file=path.name, problem="it is there already", advice=advice) from None
        except OSError as error:
            advice = "check the folder"
            problem = error.strerror or "it cannot be written"
            raise ConfigError("config.key-file", file=path.name, problem=problem, advice=advice) from None

    @classmethod
    def load(cls, path: Path, passphrase: Secret[bytes] | None = None) -> Self:
        """Read a private key file. A file that others can read is refused: its key may be known to them."""
        try:
            if path.stat().st_mode & 0o077:
                problem, advice = "others than its owner can read it", f"chmod 600 {path.name}, or make a new key"
                raise ConfigError("config.key-file", file=path.name, problem=problem, advice=advice)
            with path.open("rb") as file:
                pem = file.read(_KEY_FILE)
        except OSError as error:
            problem = error.strerror or "it cannot be read"
            raise ConfigError("config.key-file", file=path.name, problem=problem, advice="check the path") from None
        return cls.from_pem(pem, passphrase, what=path.name)


def keygen() -> SigningKey:
    """Make a fresh signing key, from the operating system's randomness (through ``cryptography``)."""
    return SigningKey(Ed25519PrivateKey.generate())


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement whose envelope verified: made by ``verify`` only.

    ``signers``: the public keys that signed, each once. ``payload``: the bytes that they signed.
    """

    statement: Mapping[str, Any]
    signers: tuple[bytes, ...]
    payload: bytes

    @property
    def kind(self) -> str:
        """The predicate type: what sort of statement this is."""
        return str(self.statement.get("predicateType", ""))


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
P = TypeVar("P", bound=Model)


class _Sha256(Model):
    sha256: Digest


class _Subject(Model):
    name: Text
    digest: _Sha256


class _Statement(Model, Generic[P]):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject, ...] = Field(min_length=1, max_length=8)
    kind: str = Field(alias="predicateType")
    predicate: P


@lru_cache(maxsize=16)  # pydantic keeps such a class only as long as somebody uses it, and making one takes a while
def _statement_of(predicate: type[P]) -> type[_Statement[P]]:
    return _Statement[predicate]  # type: ignore[valid-type]


def read(signed: Signed, kind: str, predicate: type[P]) -> tuple[dict[str, str], P]:
    """The digests that a verified statement of one kind is about, by name, and its predicate, both strictly.

    Raises: ApprovalError ``approval.statement`` that names the path of what does not fit.
    """
    if signed.kind != kind:
        raise ApprovalError("approval.statement", problem=f"it is no statement of type {kind}")
    try:
        body = _statement_of(predicate).model_validate_json(signed.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "statement"
        raise ApprovalError("approval.statement", problem=f"{path}: {first['msg'].lower()}") from None
    subject = {each.name: each.digest.sha256 for each in body.subject}
    if len(subject) != len(body.subject):
        raise ApprovalError("approval.statement", problem="subject: a name is given twice")
    return subject, body.predicate


def claimed(envelope: bytes) -> Mapping[str, Any]:
    """What an envelope's statement says, unverified: only to find what to verify it against.

    Raises: ApprovalError ``approval.envelope`` or ``approval.statement``.
    """
    parsed, _ = _parse(envelope)
    return _strict_json(parsed.payload, "approval.statement")


def statement(kind: str, subject: Mapping[str, str], predicate: Mapping[str, object]) -> dict[str, object]:
    """An in-toto statement: ``predicate`` of type ``kind`` about things named by their SHA-256."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subject.items()],
        "predicateType": kind,
        "predicate": dict(predicate),
    }


def sign(statement: Mapping[str, object], key: SigningKey, *more: SigningKey) -> bytes:
    """Put a statement into an envelope, signed with each key. Returns the JSON of the envelope."""
    envelope = Envelope(canonical(dict(statement)), PAYLOAD_TYPE, {})
    for each in (key, *more):
        identity = key_id(each.public)
        envelope.signatures[identity] = Signature(identity, each.sign(envelope.pae()).hex())
    return canonical(envelope.to_dict())


def verify(envelope: bytes, keys: Mapping[str, bytes]) -> Signed:
    """Check every signature of an envelope, and return what was signed and the keys that signed it.

    ``keys``: public keys by the name of their holder; two names may share a key, which is still one signer.
    Raises:   ApprovalError: ``approval.envelope``, ``.payload-type``, ``.stripped``, ``.duplicate-signature``,
              ``.one-key-two-ids``, ``.unknown-key``, ``.forged``, ``.statement``.
    """
    parsed, hints = _parse(envelope)
    pae: bytes = parsed.pae()
    known = {key_id(public): public for public in keys.values()}
    signers: dict[bytes, str] = {}
    for hint, signature in hints:
        public = _signer(pae, signature, known, hint)
        if public is None:
            raise ApprovalError("approval.forged" if hint in known else "approval.unknown-key")
        if public in signers:
            same = signers[public] == hint
            raise ApprovalError("approval.duplicate-signature" if same else "approval.one-key-two-ids")
        signers[public] = hint
    if any(hint != key_id(public) for public, hint in signers.items()):
        raise ApprovalError("approval.envelope", problem="a key id is not that of the key that signed")
    body = _strict_json(parsed.payload, "approval.statement")
    if body.get("_type") != STATEMENT_TYPE:
        raise ApprovalError("approval.statement", problem="it is no in-toto statement")
    return Signed(body, tuple(signers), parsed.payload)


def _signer(pae: bytes, signature: bytes, known: Mapping[str, bytes], hint: str) -> bytes | None:
    """The known key that made the signature. All are tried, as a key id is not authenticated, that of ``hint`` first:
    of hundreds of parties it is nearly always the one."""
    first: tuple[bytes, ...] = (known[hint],) if hint in known else ()
    for public in (*first, *known.values()):
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, pae)
        except (InvalidSignature, ValueError):
            continue
        return public
    return None


def _parse(envelope: bytes) -> tuple[Envelope, list[tuple[str, bytes]]]:
    """Read the JSON of an envelope strictly: nothing more, nothing less, one encoding."""
    if len(envelope) > MAX_ENVELOPE:
        raise ApprovalError("approval.envelope", problem=f"it has more than {MAX_ENVELOPE} bytes")
    body = _strict_json(envelope, "approval.envelope")
    if set(body) != {"payload", "payloadType", "signatures"}:
        raise ApprovalError("approval.envelope", problem="it has not exactly payload, payloadType and signatures")
    if body["payloadType"] != PAYLOAD_TYPE:
        raise ApprovalError("approval.payload-type", got=str(body["payloadType"])[:100])
    entries = body["signatures"]
    if not isinstance(entries, list) or len(entries) > MAX_SIGNATURES:
        raise ApprovalError("approval.envelope", problem=f"signatures is no list of at most {MAX_SIGNATURES}")
    if not entries:
        raise ApprovalError("approval.stripped")
    signatures = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"keyid", "sig"} or not isinstance(entry["keyid"], str):
            raise ApprovalError("approval.envelope", problem="a signature has not exactly keyid and sig")
        signatures.append((entry["keyid"], _field(entry["sig"], "sig")))
    return Envelope(_field(body["payload"], "payload"), PAYLOAD_TYPE, {}), signatures


def _field(value: object, name: str) -> bytes:
    try:
        if isinstance(value, str):
            return _unbase64(value)
    except ValueError:
        pass
    raise ApprovalError("approval.envelope", problem=f"{name} is not base64")


def _unbase64(text: str) -> bytes:
    """Standard base64 with padding, and the one encoding of its bytes only."""
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64") from None
    if base64.b64encode(value).decode() != text:
        raise ValueError("not base64")
    return value


def _strict_json(data: bytes, code: str) -> dict[str, Any]:
    """A JSON object without repeated keys and without floats."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a key is given twice")
        return dict(pairs)

    def no_float(_: str) -> NoReturn:
        raise ValueError("a number is not whole")

    try:
        body = json.loads(data.decode(), object_pairs_hook=once, parse_float=no_float, parse_constant=no_float)
    except UnicodeDecodeError:
        raise ApprovalError(code, problem="it is not UTF-8") from None
    except json.JSONDecodeError:
        raise ApprovalError(code, problem="it is not JSON") from None
    except RecursionError:
        raise ApprovalError(code, problem="it is nested too deeply") from None
    except ValueError as error:
        raise ApprovalError(code, problem=str(error)[:100]) from None
    if not isinstance(body, dict):
        raise ApprovalError(code, problem="it is no JSON object")
    return body
