"""Envelopes: what verifies, and every way in which one does not."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pets.approve.envelope import (
    PAYLOAD_TYPE,
    SigningKey,
    key_id,
    keygen,
    public_bytes,
    public_text,
    sign,
    statement,
    verify,
)
from pets.errors import ApprovalError, ConfigError
from pets.secret import Secret
from tests.approve.consortium import ANN, BOB, STRANGER

STATEMENT = statement("urn:example:1", {"specification": "00" * 32}, {"text": "ä", "number": 7})
KEYS = {"Ann": ANN.public, "Bob": BOB.public}


def edited(envelope: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    body = json.loads(envelope)
    change(body)
    return json.dumps(body).encode()


def refused(envelope: bytes) -> str:
    with pytest.raises(ApprovalError) as caught:
        verify(envelope, KEYS)
    assert caught.value.text and caught.value.hint
    return caught.value.code


def flipped(text: str, bit: int) -> str:
    data = bytearray(base64.b64decode(text))
    data[bit // 8] ^= 1 << bit % 8
    return base64.b64encode(data).decode()


def test_what_was_signed_comes_back_with_its_signers() -> None:
    envelope = sign(STATEMENT, ANN, BOB)
    signed = verify(envelope, KEYS)
    assert set(signed.signers) == {ANN.public, BOB.public} and len(signed.signers) == 2
    assert dict(signed.statement) == STATEMENT and signed.kind == "urn:example:1"


def test_the_signature_is_over_the_pre_authentication_encoding_of_dsse() -> None:
    body = json.loads(sign(STATEMENT, ANN))
    payload = base64.b64decode(body["payload"])
    kind = PAYLOAD_TYPE.encode()
    pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    assert ANN.sign(pae) == base64.b64decode(body["signatures"][0]["sig"])


@pytest.mark.parametrize("bit", range(0, 512, 37))
def test_a_flipped_bit_of_the_signature_is_forged(bit: int) -> None:
    def change(body: dict[str, Any]) -> None:
        body["signatures"][0]["sig"] = flipped(body["signatures"][0]["sig"], bit)

    assert refused(edited(sign(STATEMENT, ANN), change)) == "approval.forged"


@pytest.mark.parametrize("bit", range(0, 1200, 71))
def test_a_flipped_bit_of_the_payload_is_forged(bit: int) -> None:
    def change(body: dict[str, Any]) -> None:
        body["payload"] = flipped(body["payload"], bit)

    assert refused(edited(sign(STATEMENT, ANN), change)) == "approval.forged"


def test_one_bad_signature_among_good_ones_refuses_the_envelope() -> None:
    def change(body: dict[str, Any]) -> None:
        body["signatures"][1]["sig"] = flipped(body["signatures"][1]["sig"], 5)

    assert refused(edited(sign(STATEMENT, ANN, BOB), change)) == "approval.forged"


def test_a_duplicated_signature_is_refused() -> None:
    envelope = edited(sign(STATEMENT, ANN), lambda body: body["signatures"].append(body["signatures"][0]))
    assert refused(envelope) == "approval.duplicate-signature"


def test_one_key_under_two_key_ids_is_refused() -> None:
    def change(body: dict[str, Any]) -> None:
        body["signatures"].append({**body["signatures"][0], "keyid": key_id(BOB.public)})

    assert refused(edited(sign(STATEMENT, ANN), change)) == "approval.one-key-two-ids"


def test_two_names_for_one_key_are_still_one_signer() -> None:
    assert verify(sign(STATEMENT, ANN), {"Ann": ANN.public, "Anna": ANN.public}).signers == (ANN.public,)


@pytest.mark.parametrize("keyid", ["anything", key_id(BOB.public)], ids=["anything", "of another"])
def test_a_wrong_key_id_is_refused_though_the_signature_is_good(keyid: str) -> None:
    envelope = edited(sign(STATEMENT, ANN), lambda body: body["signatures"][0].update(keyid=keyid))
    assert refused(envelope) == "approval.envelope"


def test_an_unknown_key_is_refused_even_beside_a_known_one() -> None:
    assert refused(sign(STATEMENT, STRANGER)) == "approval.unknown-key"
    assert refused(sign(STATEMENT, ANN, STRANGER)) == "approval.unknown-key"


def test_another_payload_type_is_refused_before_any_signature_counts() -> None:
    envelope = edited(sign(STATEMENT, ANN), lambda body: body.update(payloadType="application/json"))
    assert refused(envelope) == "approval.payload-type"


def test_a_stripped_signature_is_refused() -> None:
    assert refused(edited(sign(STATEMENT, ANN), lambda body: body["signatures"].clear())) == "approval.stripped"


def _unpadded(body: dict[str, Any]) -> None:
    body["signatures"][0]["sig"] = body["signatures"][0]["sig"].rstrip("=")


def _trailing_bits(body: dict[str, Any]) -> None:
    sig = body["signatures"][0]["sig"]
    assert sig.endswith("==")
    body["signatures"][0]["sig"] = sig[:-3] + chr(ord(sig[-3]) + 1) + "=="


MALFORMED: dict[str, Callable[[dict[str, Any]], object]] = {
    "extra key": lambda body: body.update(extra=1),
    "missing key": lambda body: body.pop("payload"),
    "signatures is no list": lambda body: body.update(signatures={}),
    "signature is no object": lambda body: body.update(signatures=["x"]),
    "extra in signature": lambda body: body["signatures"][0].update(cert="x"),
    "key id is no text": lambda body: body["signatures"][0].update(keyid=3),
    "payload is a number": lambda body: body.update(payload=3),
    "payload is not base64": lambda body: body.update(payload="*"),
    "too many signatures": lambda body: body.update(signatures=body["signatures"] * 65),
    "no padding": _unpadded,
    "other encoding of the same bytes": _trailing_bits,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_envelope_is_refused(name: str) -> None:
    def change(body: dict[str, Any]) -> None:
        MALFORMED[name](body)

    assert refused(edited(sign(STATEMENT, ANN), change)) == "approval.envelope"


@pytest.mark.parametrize(
    "envelope",
    [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b'{"payload":"","payload":""}', b'{"a":1.5}', b'{"a":NaN}'],
    ids=["empty", "list", "no UTF-8", "cut", "deep", "key twice", "float", "NaN"],
)
def test_bytes_that_are_no_envelope_are_refused(envelope: bytes) -> None:
    assert refused(envelope) == "approval.envelope"


def test_an_oversized_envelope_is_refused_unread() -> None:
    assert refused(b" " * (2**22 + 1)) == "approval.envelope"


@pytest.mark.parametrize("payload", [b"[]", b'{"_type":"other"}', b'{"a":1,"a":2}', b'{"a":0.5}', b"\xff"])
def test_a_signed_payload_that_is_no_statement_is_refused(payload: bytes) -> None:
    pae = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_id(ANN.public), "sig": base64.b64encode(ANN.sign(pae)).decode()}],
    }
    assert refused(json.dumps(envelope).encode()) == "approval.statement"


def test_a_public_key_has_one_text() -> None:
    assert public_bytes(ANN.text) == ANN.public and public_text(ANN.public) == ANN.text
    for text in (ANN.text[:-1], ANN.text.upper(), ANN.text + " ", "ed25519:AAAA", ANN.text[8:], "ed25519:ä"):
        with pytest.raises(ConfigError) as caught:
            public_bytes(text)
        assert caught.value.code == "config.key"


def test_a_key_file_is_private_is_never_replaced_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "ann.pem"
    ANN.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == ANN.public
    with pytest.raises(ConfigError) as caught:
        BOB.save(path)
    assert caught.value.code == "config.key-file"
    assert SigningKey.load(path).public == ANN.public


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ann.pem"
    ANN.save(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        SigningKey.load(path)
    assert "chmod 600" in caught.value.hint


def test_a_passphrase_is_needed_and_must_be_right(tmp_path: Path) -> None:
    path = tmp_path / "ann.pem"
    ANN.save(path, Secret(b"correct horse"))
    assert SigningKey.load(path, Secret(b"correct horse")).public == ANN.public
    for wrong in (None, Secret(b"battery")):
        with pytest.raises(ConfigError) as caught:
            SigningKey.load(path, wrong)
        assert caught.value.code == "config.key"
        assert "horse" not in caught.value.text + caught.value.hint


def test_a_file_that_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.touch(mode=0o600)
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    for wrong in (path, tmp_path / "none.pem"):
        with pytest.raises(ConfigError):
            SigningKey.load(wrong)


def test_a_signing_key_shows_its_public_half_only() -> None:
    key = keygen()
    assert repr(key) == f"SigningKey({key.text})"
    with pytest.raises(TypeError):
        key.__reduce__()
