"""Write the vectors of secure_sum and its kin: ``python -m tests.oracles.secure_sum_vectors``; look at the difference.

``ok_*`` hold vectors, what each party draws, all messages and the sum. ``step_*`` are single steps: how a vector is
split, what stands for a stream, the digest of lists, an upload as bytes. ``bad_*`` are uploads and messages that are
refused, where, and the code. A change of any byte is a change of the protocol: raise the version of the card.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.kernels import prf
from pets.protocols import contributions
from pets.protocols import secure_sum as ss
from pets.protocols import secure_sum_held as held
from pets.protocols import secure_sum_shamir as sh
from pets.protocols.base import Binding
from pets.protocols.inbox import Inbox
from pets.secret import Secret
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import secure_sum as additive
from tests.oracles import secure_sum_held as of_held
from tests.oracles import secure_sum_shamir as shamir
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Array, Key, play
from tests.oracles.secure_sum import TIED

SOURCE = "this implementation; messages by the terms of the card over Python's integers, sums by integers"
ADDITIVE: dict[str, additive.Case] = {
    "two": additive.Case([[7, -8], [2**63 - 1, 1]], [[1, 0], [0, -1]]),
    "missing": additive.Case(
        [[5, -1, 7], [2, 2, 2], [100, 0, -50]], [[1, 0, 0], [0, -1, 0], [0, 0, 3]], missing=frozenset({(1, 0), (1, 2)})
    ),
}
SHAMIR: dict[str, shamir.Case] = {
    "three": shamir.Case([[7, -8], [2**58, 1]], [[1, 0], [0, -1], [0, 0]], 1),
    "five": shamir.Case([[5], [-2], [100]], [[1], [2], [3], [4], [5]], 2),
}
HELD: dict[str, of_held.Case] = {
    "two": of_held.Case([[1, 0, 7, -8], [2, 1, 2**40, 1]], 2),
    "missing": of_held.Case([[1, 5], [2, 2], [4, -7]], 1, missing=frozenset({(1, 1)})),
}
PRIVATE = [bytes([at + 1]) * 32 for at in range(3)]


def entropy(seed: int, who: str) -> str:
    """What a party draws from."""
    return random.Random(f"{seed} {who}").randbytes(16).hex()


def of_array(array: Array) -> list[Any]:
    return array.tolist() if array.ndim == 1 else [row.tobytes().hex() for row in array]


def ok(card: str, name: str) -> dict[str, Any]:
    """One run: what goes in, all messages, what comes out."""
    if card == ss.PROTOCOL:
        case, roles, drawing = ADDITIVE[name], additive.roles(ADDITIVE[name]), ()
    else:
        case, roles, drawing = SHAMIR[name], shamir.roles(SHAMIR[name]), SHAMIR[name].shape.servers  # type: ignore
    inputs = [f"input{n + 1}" for n in range(len(case.values))]
    done = play(roles, seed=1, lost=inputs)
    found = done.outputs["result"]
    between = [[role, "last"] for role in case.shape.servers[:-1]] if card == ss.PROTOCOL else []
    return {
        "digest": TIED.digest.hex(),
        "run_id": TIED.run_id.hex(),
        "public": case.public(),
        "minimum": case.minimum,
        "missing": sorted(map(list, case.missing)),
        "values": case.values,
        "noise": case.noise,
        "entropy": {who: entropy(1, who) for who in (*inputs, *drawing)},
        "secrets": {"+".join(pair): random.Random(f"1 {pair}").randbytes(32).hex() for pair in between},
        "messages": {key[2]: of_array(array) for key, array in sorted(done.sent, key=lambda each: each[0][2])},
        "total": found.total.tolist(),
        "present": found.present.tolist(),
    }


def ok_held(name: str) -> dict[str, Any]:
    """One run up to where disclosure control takes over: what goes in, all messages, and the shares that there are."""
    case, inputs = HELD[name], [f"input{n + 1}" for n in range(len(HELD[name].values))]
    done = play(of_held.roles(case), seed=1, lost=inputs)
    labels = {message.label for message in case.card().messages}
    sent = [(key, array) for key, array in done.sent if key[2] in labels]
    return {
        "digest": TIED.digest.hex(),
        "run_id": TIED.run_id.hex(),
        "public": case.public(),
        "minimum": case.minimum,
        "missing": sorted(map(list, case.missing)),
        "values": case.values,
        "entropy": {who: entropy(1, who) for who in inputs},
        "messages": {
            f"{key[2]}.{key[3]}": of_array(array) for key, array in sorted(sent, key=lambda each: each[0][2:])
        },
        "shares": {role: done.outputs[role][1].tolist() for role in ("first", "second")},
        "present": done.outputs["result"][0].tolist(),
    }


def step_split() -> list[dict[str, Any]]:
    """A vector in parts, the key of a stream, a digest of lists, and an upload that opens."""
    case = ADDITIVE["two"]
    parts = ss.split(case.shape, 1, additive.words_of(case.values[1]), TIED, additive.stream(1, "input2"))
    key = case.shape.delivery.keys(parts.seeds[0], TIED, 1, 0)[0]
    marks = np.frombuffer(bytes(range(64)), np.uint8).reshape(4, 16)
    said = contributions.confirmation(TIED, {"server1": marks, "last": marks[::-1].copy()})
    made = {
        "holder": 1,
        "mark": parts.mark.hex(),
        "seeds": [seed.expose("vector").hex() for seed in parts.seeds],
        "words": parts.given[0].tolist(),
        "stream_key": key.expose("vector").hex(),
        "stream": prf.words(key, 4).tolist(),
    }
    lists = {
        "server1": marks.tobytes().hex(),
        "last": marks[::-1].tobytes().hex(),
        "confirmation": said.tobytes().hex(),
    }
    return [made, lists]


def step_points() -> list[dict[str, Any]]:
    """A vector on polynomials: what each computing party has of it, and what any three of them open."""
    case = SHAMIR["five"]
    parts = sh.split(case.shape, 0, sh.field_of(np.array(case.values[0])), TIED, additive.stream(1, "input1"))
    streams = [
        sh.mersenne.elements(case.shape.delivery.keys(seed, TIED, 0, at)[0], 1).tolist()
        for at, seed in enumerate(parts.seeds)
    ]
    points = [*streams, *(each.tolist() for each in parts.given)]
    return [{"value": case.values[0], "degree": 2, "points": dict(zip(map(str, range(1, 6)), points, strict=True))}]


def uploads() -> list[dict[str, Any]]:
    """Uploads of one holder to three computing parties, made once: they open, or are refused with a code."""
    shape = ss.Shape(holders=3, computing=3, words=3, minimum=2)
    publics = [prf.public_key(Secret(key)) for key in PRIVATE]
    other = Binding(digest=TIED.digest, run_id=b"\7" * 32)

    def made(tied: Binding, of: ss.Shape) -> list[bytes]:
        values = np.arange(1, of.words + 1, dtype=np.uint64)
        return ss.sealed_parts(of, 0, values, tied, additive.stream(1, "input1"), publics)

    good, replayed, short = made(TIED, shape), made(other, shape), made(TIED, replace(shape, words=2))
    entries = []
    for at in range(3):
        flipped = bytes([*good[at][:-1], good[at][-1] ^ 1])
        for change, peer, now, part in (
            ("none", "input1", 1, good[at]),
            ("late", "input1", 9, good[at]),
            ("of another run", "input1", 1, replayed[at]),
            ("of another length", "input1", 1, short[at]),
            ("from another holder", "input2", 1, good[at]),
            ("from no holder", "input9", 1, good[at]),
            ("one bit", "input1", 1, flipped),
            ("to another party", "input1", 1, good[(at + 1) % 2] if at < 2 else good[0]),
        ):
            entries.append(
                {"at": shape.servers[at], "change": change, "peer": peer, "now": now, "upload": part.hex()}
                | {"private": PRIVATE[at].hex(), "code": judged(shape, at, peer, part, now)}
            )
    return entries


def judged(shape: ss.Shape, at: int, peer: str, part: bytes, now: int) -> str:
    """The code with which an inbox refuses a part, or "" if it takes it."""
    kept = ss.words(shape, lambda number: np.zeros(3, np.uint64)) if at == 2 else ss.seeds(shape, at, TIED)
    names = ["input1", "input2", "input3"]
    to = {name: shape.delivery.address(TIED, number, at) for number, name in enumerate(names)}
    try:
        Inbox(names, to.__getitem__, Secret(PRIVATE[at]), kept.keep, deadline=9).add(peer, part, now=now)
    except PetsError as error:
        return error.code
    return ""


def bad(card: str) -> list[dict[str, Any]]:
    """One bit of one message of the first run is changed: who refuses, and the code."""
    entries = []
    name = next(iter({ss.PROTOCOL: ADDITIVE, sh.PROTOCOL: SHAMIR, held.PROTOCOL: HELD}[card]))
    labels = sorted(ok(card, name)["messages"]) if card != held.PROTOCOL else ["Ca", "Cb", "La", "Lb", "Ta", "Tb"]
    for label in labels:
        if label[0] in "LCTF" or (label[0] in "UN" and card == sh.PROTOCOL):
            entries.append({"run": name, "message": label, "bit": 7, "code": changed(card, name, label)})
    return [each for each in entries if each["code"]]


def changed(card: str, name: str, label: str) -> str:
    """The first refusal of a run in which the highest bit of the first byte or word of a message is another."""

    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        other = array.copy()
        other.reshape(-1)[0] ^= 2 ** (8 * other.itemsize - 1)
        return other

    if card == held.PROTOCOL:
        roles = of_held.roles(HELD[name])
    else:
        roles = additive.roles(ADDITIVE[name]) if card == ss.PROTOCOL else shamir.roles(SHAMIR[name])
    try:
        play(roles, seed=1, alter=alter)
    except PetsError as error:
        return error.code
    return ""


def header(card: str, entries: list[dict[str, Any]], parameters: str, *, valid: int) -> dict[str, Any]:
    return {
        "header": {
            "card": card,
            "version": load_cards()[card].version,
            "source": SOURCE,
            "generator": "tests/oracles/secure_sum_vectors.py",
            "licence": LICENCE,
            "parameters": parameters,
            "entries": len(entries),
            "valid": valid,
        },
        "entries": entries,
    }


def files() -> dict[Path, dict[str, Any]]:
    """Every file but that of uploads, whose ephemeral keys are drawn by the operating system."""
    found = {}
    for card, cases, steps in (
        (ss.PROTOCOL, ADDITIVE, {"step_split": step_split()[:1], "step_confirmation": step_split()[1:]}),
        (sh.PROTOCOL, SHAMIR, {"step_points": step_points()}),
    ):
        folder = cards_folder() / card / "vectors"
        for name in cases:
            made = [ok(card, name)]
            found[folder / f"ok_{name}.json"] = header(card, made, "one whole run", valid=1)
        for name, entries in steps.items():
            found[folder / f"{name}.json"] = header(card, entries, "single steps of a run", valid=len(entries))
        wrong = bad(card)
        found[folder / "bad_messages.json"] = header(card, wrong, "one bit of a message changed", valid=0)
    folder = cards_folder() / held.PROTOCOL / "vectors"
    for name in HELD:
        made = [ok_held(name)]
        found[folder / f"ok_{name}.json"] = header(held.PROTOCOL, made, "one run, up to the shares", valid=1)
    wrong = bad(held.PROTOCOL)
    found[folder / "bad_messages.json"] = header(held.PROTOCOL, wrong, "one bit of a message changed", valid=0)
    return found


TAKEN, REFUSED = (cards_folder() / ss.PROTOCOL / "vectors" / f"{name}_uploads.json" for name in ("ok", "bad"))


def main() -> None:
    entries = uploads()
    taken, refused = ([each for each in entries if bool(each["code"]) is wrong] for wrong in (False, True))
    made = {
        TAKEN: header(ss.PROTOCOL, taken, "uploads as bytes", valid=len(taken)),
        REFUSED: header(ss.PROTOCOL, refused, "uploads as bytes", valid=0),
    }
    for path, content in (files() | made).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
