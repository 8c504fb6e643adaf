"""HPKE in mode base, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, by hand: RFC 9180, sections 4 to 5.2."""

import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEM, _SUITE = b"KEM" + (0x20).to_bytes(2, "big"), b"HPKE" + bytes.fromhex("002000010001")


def _extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:size]


def keys(private: bytes, enc: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce of who has the private key."""
    own = X25519PrivateKey.from_private_bytes(private)
    shared = own.exchange(X25519PublicKey.from_public_bytes(enc))
    context = enc + own.public_key().public_bytes_raw()
    secret = _expand(_KEM, _extract(_KEM, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    schedule = b"\x00" + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
    prk = _extract(_SUITE, secret, b"secret", b"")
    return _expand(_SUITE, prk, b"key", schedule, 16), _expand(_SUITE, prk, b"base_nonce", schedule, 12)


def opened(private: bytes, sealed: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """The first message of a context, behind its encapsulated key."""
    key, nonce = keys(private, sealed[:32], info)
    return AESGCM(key).decrypt(nonce, sealed[32:], aad)
