"""A refusal on the wire: code and fields travel, text and hint come from ``errors.CODES`` at the other end.

So a caller meets the same typed error as if it had been raised beside it, and a server can tell it nothing that is not
in the table. Fields are text and whole numbers, bounded; what does not fit is left out by the sender and refused by the
reader.
"""

import json
from typing import Final

from pets.errors import CODES, PeerError, PetsError

KEY: Final = "pets-error-bin"
"""Metadata key; the suffix lets values be bytes."""

MAX_BYTES: Final = 4096
MAX_FIELD: Final = 1000

_TAKEN: Final = frozenset({"self", "code", "local"})
"""Names of what an error is made of beside its fields: a peer that says one of them must not reach a constructor."""


def pack(error: PetsError) -> bytes:
    """The code and the fields of ``error``; fields that are neither text nor whole numbers go as their text."""
    fields: dict[str, str | int] = {}
    for name, value in error.fields.items():
        fields[name] = value if type(value) is int and abs(value) < 2**53 else _clean(str(value))
    while len(data := json.dumps({"code": error.code, "fields": fields}).encode()) > MAX_BYTES:
        del fields[max(fields, key=lambda name: len(str(fields[name])))]
    return data


def unpack(data: bytes, *, at: str) -> PetsError:
    """The error that ``at`` raised, with the field ``at``; PeerError peer.answer if the bytes are none."""
    try:
        if len(data) > MAX_BYTES:
            raise ValueError
        read = json.loads(data)
        code, fields = read["code"], read["fields"]
        if not isinstance(code, str) or not isinstance(fields, dict):
            raise ValueError
        if not all(type(value) in (str, int) for value in fields.values()) or fields.keys() & _TAKEN:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        return PeerError("peer.answer", peer=at, problem="a refusal that cannot be read")
    if code not in CODES:
        return PeerError("peer.refused", peer=at, reason=_clean(code), advice="compare the versions of both sides")
    cleaned = {_clean(name): _clean(value) if isinstance(value, str) else value for name, value in fields.items()}
    if code == "peer.aborted":  # who ended the run and why is passed on: it must be there, and be no text of a peer's
        cleaned["peer"] = cleaned["peer"] if isinstance(cleaned.get("peer"), str) else at
        cleaned["reason"] = cleaned["reason"] if cleaned.get("reason") in CODES else "internal.bug"
    return _class_of(code)(code, **{**cleaned, "at": at})


def _class_of(code: str) -> type[PetsError]:
    known: list[type[PetsError]] = list(PetsError.__subclasses__())
    for kind in known:
        known.extend(kind.__subclasses__())
        if kind.prefixes and code.startswith(kind.prefixes):
            return kind
    return PetsError


def _clean(text: str) -> str:
    """Printable and short: what a peer writes ends up on terminals and in logs."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_FIELD])
