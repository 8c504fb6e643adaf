"""What tests of intersections of two organisations share: runs, lists, gates, changed messages, files of vectors."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.ids import PartyId
from pets.party import gate
from pets.plan.cost import listed
from pets.protocols.base import Array, Binding, Role
from pets.secret import Secret
from pets.spec.cards import Card, cards_folder
from tests.oracles import ristretto
from tests.oracles.gated import OPENING, gated
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Key, Transcript, play

CHANGES = {
    "identity": bytes(32),
    "a 256th bit": (2**255 + 4).to_bytes(32, "little"),
    "not below p": (2**255 - 19 + 2).to_bytes(32, "little"),
    "odd": (1).to_bytes(32, "little"),
    "no square": bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
    "negative xy": bytes.fromhex("3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e"),
    "y is 0": bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
}
"""What encodes no element, by its name in vectors."""

TAGS: dict[str, Callable[[Array], Array]] = {
    "repeated": lambda array: array[[0, 0, *range(2, len(array))]],
    "swapped": lambda array: array[[1, 0, *range(2, len(array))]],
    "all zero": np.zeros_like,
    "reversed": lambda array: array[::-1].copy(),
}
"""What makes of a sorted list one that is not."""


def people(*numbers: int) -> list[bytes]:
    return [b"%010d" % number for number in numbers]


def rows_of(ids: list[bytes], width: int) -> np.ndarray:
    return np.array([list(one.ljust(width, b"\0")) for one in ids], np.uint8).reshape(len(ids), width)


def binding(seed: int) -> Binding:
    digest, run_id = (hashlib.sha256(f"{name} {seed}".encode()).digest() for name in ("specification", "run"))
    return Binding(digest=digest, run_id=run_id)


def drawn(seed: int, role: str, size: int) -> Secret[bytes]:
    """What a role is given for a run: any bytes, the same in all tests."""
    return Secret(hashlib.shake_256(f"{seed} {role}".encode()).digest(size))


def hashed(entry: bytes, tag: bytes) -> ristretto.Element:
    """RFC 9380, 5.3.1 (one block of SHA-512), and RFC 9496, 4.3.4."""
    ending = tag + bytes([len(tag)])
    first = hashlib.sha512(bytes(128) + entry + b"\0\x40\0" + ending).digest()
    return ristretto.from_uniform(hashlib.sha512(first + b"\1" + ending).digest())


def parties(card: Card) -> dict[str, PartyId]:
    return {role: PartyId(role) for role in card.roles}


def gate_of(card: Card, role: str, public: Mapping[str, int]) -> gate.Gate:
    return gate.Gate(gate.project(card, public, parties(card), role), opening=OPENING)


def behind_gates(card: Card, public: Mapping[str, int], roles: Mapping[str, Role[Any]]) -> dict[str, Role[Any]]:
    """These roles, each behind its gate."""
    return {name: gated(role, gate_of(card, name, public)) for name, role in roles.items()}


def sent_as_forecast(card: Card, public: Mapping[str, int], roles: Mapping[str, Role[Any]], seed: int) -> Any:
    """Play behind gates; what leaves is what gates let in, what is forecast, and as many bytes. Returns outputs."""
    names = card.names(public)
    done = play(behind_gates(card, public, roles), seed=seed)
    outgoing = {
        (name, str(sent.to), sent.label, sent.column, sent.size)
        for name, (_, left) in done.outputs.items()
        for sent in left
    }
    incoming = {
        (str(e.peer), name, e.label, e.slot.column, e.size)
        for name in card.roles
        for e in gate_of(card, name, public).incoming
    }
    forecast = {(str(m.sender), str(m.receiver), m.label, m.size) for m in listed(card, names, parties(card)) if m.size}
    assert outgoing == incoming and {(*each[:3], each[4]) for each in outgoing} == forecast
    assert sum(size for *_, size in outgoing) == card.cost.bytes.evaluate(names) == done.bytes()
    return {name: output for name, (output, _) in done.outputs.items()}


# -- messages that are changed ----------------------------------------------------------------------------------------


def with_row(place: int, row: bytes) -> Callable[[Array], Array]:
    def alter(array: Array) -> Array:
        out = array.copy()
        out[place] = np.frombuffer(row, np.uint8)
        return out

    return alter


def flipped(bit: int) -> Callable[[Array], Array]:
    """One bit of a message, at a place of it that any number names."""

    def alter(array: Array) -> Array:
        out = array.copy()
        raw = out.reshape(-1).view(np.uint8)
        raw[bit // 8 % raw.size] ^= 1 << bit % 8
        return out

    return alter


def changed(label: str, change: str, *, place: int, other: Callable[[], Transcript]) -> Callable[[Key, Array], Array]:
    """What alters one message: the row at ``place`` becomes the bytes of a change, or it is altered otherwise."""

    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        out = array.copy()
        if change == "repeat":
            out[place] = out[0]
        elif change == "swap":
            out[[0, 1]] = out[[1, 0]]
        elif change == "flip":
            out ^= out.dtype.type(1)
        elif change == "other run":
            out = other().array(label, key[3])
        else:
            out[place] = np.frombuffer(CHANGES[change], np.uint8)
        return out

    return alter


# -- vectors ----------------------------------------------------------------------------------------------------------


def refused(
    card: Card, label: str, change: str, last: tuple[str, ...], run: Callable[[], Transcript]
) -> dict[str, Any]:
    """What becomes of a run whose message is changed: who ends it, with which code and text.

    ``last``: codes of whoever gets the result of the first role, whichever message was changed.
    """
    code, text = "", ""
    try:
        run()
    except PetsError as error:
        code, text = error.code, error.text
    at = {message.label: message.receiver for message in card.messages}[label]
    return {
        "step": label,
        "change": change,
        "at": next(iter(card.roles)) if code in last else at,
        "code": code,
        "text": text,
    }


def in_files(
    card: Card, source: str, generator: str, parts: Mapping[str, tuple[str, Sequence[dict[str, Any]]]]
) -> dict[Path, dict[str, Any]]:
    """Vectors by their file: for each name what its parameters say, and its entries."""
    made: dict[Path, dict[str, Any]] = {}
    for name, (parameters, entries) in parts.items():
        header = {
            "card": card.id,
            "version": card.version,
            "source": source,
            "generator": generator,
            "licence": LICENCE,
            "parameters": parameters,
            "entries": len(entries),
            "valid": 0 if name.startswith("bad_") else len(entries),
        }
        made[cards_folder() / card.id / "vectors" / f"{name}.json"] = {"header": header, "entries": list(entries)}
    return made


def write(made: Mapping[Path, dict[str, Any]]) -> None:
    for path, content in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")
