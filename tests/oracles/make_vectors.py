"""Write the test vectors of protocols/: ``python -m tests.oracles.make_vectors``; look at the difference, then commit.

``ok_*`` hold the inputs, the digests of every message and the sums of a run; ``step_*`` the intermediate values of a
small one; ``bad_*`` what is changed, the role that notices, and the code it says. Keys come from the seeds in the file
as in ``families`` of tests/oracles/helper_join.py. A change of any byte is a change of the protocol: raise the card's
version and "pets/1", and say so in CHANGELOG.md.
"""

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.kernels import dummy, noise, permute, prf
from pets.protocols import helper_join as hj
from pets.protocols.base import Array
from pets.secret import Secret
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import helper_join as oracle
from tests.oracles.gated import gate_of, gated
from tests.oracles.play import Transcript, play

GENERATOR = "tests/oracles/make_vectors.py"
SOURCE = "this implementation; the join was also played by the plaintext twin in tests/oracles/helper_join.py"
LICENCE = "Apache-2.0"

JOIN = "helper_join_a"
RELEASE = "release"


def folder(card: str) -> Path:
    return cards_folder() / card / "vectors"


# -- cases ------------------------------------------------------------------------------------------------------------

SMALL = oracle.Case(
    g=2,
    k=2,
    ids_a=[b"9434765919", b"9434765919", b"9434765870", b"9876543210"],
    cell=[0, 1, 1, 0],
    x=[[5, -3, 7, 2]],
    ids_b=[b"9434765919", b"9876543210", b"1234567881"],
    y=[[1, 1, 1], [10, -20, 30]],
    summed=[(0, None), (1, 0)],
    n_a=5,
    n_b=4,
    fixed=True,
)
TEXT_IDS = oracle.Case(
    g=1,
    k=1,
    ids_a=[b"a", "Zoë".encode(), b"x" * 64],
    cell=[0, 0, 0],
    x=[],
    ids_b=["Zoë".encode(), b"x" * 63],
    y=[[1, 1]],
    summed=[(0, None)],
    n_a=3,
    n_b=2,
    fixed=False,
)
NOBODY = oracle.Case(2, 1, [], [], [], [], [[]], [(0, None)], 1, 1, True)
CASES: Mapping[str, tuple[oracle.Case, int]] = {"small": (SMALL, 1), "text_ids": (TEXT_IDS, 2), "nobody": (NOBODY, 3)}


def run(case: oracle.Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    noise_words = noise_of(case, seed)
    parts = oracle.roles(case, seed, noise_words=noise_words)
    return play({name: gated(role, gate_of(name, case.public())) for name, role in parts.items()}, alter=alter)


def noise_of(case: oracle.Case, seed: int) -> Array:
    """What the three add: small numbers of no law, by seed."""
    shape = (3, len(case.summed), case.g)
    flat = [(seed * 1009 + 31 * i) % 23 - 11 for i in range(int(np.prod(shape)))]
    return np.array(flat, np.int64).reshape(shape).view(np.uint64)


def case_json(case: oracle.Case, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "g": case.g,
        "k": case.k,
        "n_a": case.n_a,
        "n_b": case.n_b,
        "fixed_ids": case.fixed,
        "ids_a": [one.hex() for one in case.ids_a],
        "cell": case.cell,
        "x": case.x,
        "ids_b": [one.hex() for one in case.ids_b],
        "y": case.y,
        "summed": [list(pair) for pair in case.summed],
    }


def case_of(data: Mapping[str, Any]) -> tuple[oracle.Case, int]:
    """The case of a vector. KeyError on a missing field, ValueError on one too many."""
    known = {"seed", "g", "k", "n_a", "n_b", "fixed_ids", "ids_a", "cell", "x", "ids_b", "y", "summed"}
    if set(data) != known:
        raise ValueError(f"fields {sorted(set(data) ^ known)}")
    case = oracle.Case(
        g=data["g"],
        k=data["k"],
        ids_a=[bytes.fromhex(one) for one in data["ids_a"]],
        cell=data["cell"],
        x=data["x"],
        ids_b=[bytes.fromhex(one) for one in data["ids_b"]],
        y=data["y"],
        summed=[(of_b, of_a) for of_b, of_a in data["summed"]],
        n_a=data["n_a"],
        n_b=data["n_b"],
        fixed=data["fixed_ids"],
    )
    return case, data["seed"]


# -- helper_join_a ----------------------------------------------------------------------------------------------------


def digests(transcript: Transcript) -> list[dict[str, Any]]:
    """SHA-256 of every message of a run, in the order of the card."""
    order = {message.label: message.number for message in load_cards()[JOIN].messages}
    sent = sorted(transcript.sent, key=lambda item: (order[item[0][2]], item[0][3]))
    return [
        {
            "label": key[2],
            "column": key[3],
            "bytes": array.nbytes,
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        }
        for key, array in sent
    ]


def sums_of(transcript: Transcript) -> list[list[int]]:
    return hj.open_shares(*transcript.outputs["result"][0]).tolist()  # type: ignore[no-any-return]


def ok(case: oracle.Case, seed: int) -> dict[str, Any]:
    ran = run(case, seed)
    total = noise_of(case, seed).view(np.int64).sum(axis=0)
    assert np.array_equal(np.array(sums_of(ran)).reshape(total.shape), case.oracle() + total)
    return {
        "input": case_json(case, seed),
        "noise": noise_of(case, seed).view(np.int64).tolist(),
        "messages": digests(ran),
        "sums": sums_of(ran),
    }


def hexed(array: Array) -> str:
    return np.ascontiguousarray(array).tobytes().hex()


def step_keys(seed: int) -> dict[str, Any]:
    """Every key of a run: by pair and label, column 0 where a label has columns; v has that of the one product."""
    keys = oracle.families(seed)
    labels = {
        "ab": [("tag", None), ("idhash", None), ("q", None), ("rho2", None), ("D", None)]
        + [(label, 0) for label in ("u", "w", "r2", "noise")],
        "ac": [("r1", 0), ("zero", 0)],
        "bc": [("rho", None), ("r", 0), ("v", 1)],
    }
    return {
        pair: {
            label if column is None else f"{label}.{column}": keys[f"{pair}@{pair[0]}"]
            .key(label, column)
            .expose("vector")
            .hex()
            for label, column in of_pair
        }
        for pair, of_pair in labels.items()
    }


def step_local(case: oracle.Case, seed: int) -> dict[str, Any]:
    """What the roles compute and never send: permutations, dummies, ends of cells."""
    keys, shape = oracle.families(seed), case.shape()
    low, high = (int(word) for word in prf.words(keys["ab@a"].key("D"), 2))
    sizes = [1 + case.cell.count(c) for c in range(case.g)]
    sizes[0] += shape.w + case.n_a - len(case.cell)
    return {
        "s": shape.s,
        "t": shape.t,
        "n_list_a": shape.n_list_a,
        "n_list_b": shape.n_list_b,
        "dummies": dummy.draw_dummies(shape.dummies, low | high << 64),
        "ends": [int(end) - 1 for end in np.cumsum(sizes)],
        "q": hexed(permute.permutation(keys["ab@a"].key("q"), shape.n_list_a)),
        "rho2": hexed(permute.permutation(keys["ab@a"].key("rho2"), shape.n_list_a)),
        "rho": hashlib.sha256(permute.permutation(keys["bc@b"].key("rho"), shape.n).tobytes()).hexdigest(),
    }


def step_messages(case: oracle.Case, seed: int) -> dict[str, str]:
    """The first 16 elements of every message."""
    return {f"{key[2]}.{key[3]}": hexed(array[:16]) for key, array in sorted(run(case, seed).sent)}


def step(case: oracle.Case, seed: int) -> dict[str, Any]:
    return {
        "input": case_json(case, seed),
        "keys": step_keys(seed),
        "local": step_local(case, seed),
        "messages": step_messages(case, seed),
    }


CHANGES = {
    "repeat": "element 1 becomes element 0",
    "swap": "elements 0 and 1 change places",
    "zero": "all elements become 0",
    "short": "the last element is missing",
    "long": "the last element comes twice",
    "range": "the last element becomes its greatest value",
}


def change(name: str, array: Array) -> Array:
    out = array.copy()
    if name == "repeat":
        out[1] = out[0]
    elif name == "swap":
        out[[0, 1]] = out[[1, 0]]
    elif name == "zero":
        out[:] = 0
    elif name == "short":
        return out[:-1].copy()
    elif name == "long":
        return np.concatenate([out, out[-1:]])
    elif name == "range":
        out[-1] = np.iinfo(out.dtype).max
    else:
        raise ValueError(f"no change {name}")
    return out


BAD = (
    *(("M1", name) for name in ("repeat", "zero", "short", "long")),
    *(("M2", name) for name in ("repeat", "swap", "zero", "short", "long")),
    *(("M4", name) for name in ("repeat", "zero", "range", "short", "long")),
    *(("M8", name) for name in ("repeat", "zero", "range", "short", "long")),
    *(
        (label, name)
        for label in ("M3", "Me", "Mw", "Mf", "M5", "M6", "Mn", "M7a", "M7c")
        for name in ("short", "long")
    ),
)


def bad(case: oracle.Case, seed: int, label: str, name: str) -> dict[str, str]:
    """Who receives the changed message, and what it says."""
    receiver = next(message.receiver for message in load_cards()[JOIN].messages if message.label == label)
    try:
        run(case, seed, lambda key, array: change(name, array) if key[2:] == (label, 0) else array)
    except PetsError as error:
        return {"step": label, "change": name, "at": receiver, "code": error.code}
    return {"step": label, "change": name, "at": receiver, "code": ""}


# -- release ----------------------------------------------------------------------------------------------------------

GAMMAS = ("1", "1/2", "3/7", "1/100", "1/4096")


def half(gamma: str, seed: int, count: int) -> list[int]:
    stream = prf.Stream(Secret(hashlib.sha256(b"vector %d" % seed).digest()[:16]))
    return noise.half_noise(Fraction(gamma), count, stream).tolist()  # type: ignore[no-any-return]


TABLES = (("1/2", "1/1099511627776", 1, 53), ("1", "1/1099511627776", 5, 138), ("1/10", "1/1099511627776", 1, 248))
DRAWS = (0, 1, 2**64, 2**127 - 1, 2**127, 2**128 - 2**64, 2**128 - 1)


def table(epsilon: str, delta: str, k: int, s: int) -> dict[str, Any]:
    made = dummy.dummy_table(Fraction(epsilon), Fraction(delta), k, s)
    return {
        "epsilon": epsilon,
        "delta": delta,
        "k": k,
        "s": s,
        "digest": made.digest,
        "draws": [[f"{draw:032x}", dummy.draw_dummies(made, draw)] for draw in DRAWS],
    }


# -- files ------------------------------------------------------------------------------------------------------------


def files() -> dict[Path, dict[str, Any]]:
    """Every vector file and its content, header first."""
    made: dict[Path, dict[str, Any]] = {}

    def add(card: str, name: str, parameters: str, entries: list[Any], valid: int) -> None:
        header = {
            "card": card,
            "version": load_cards()[card].version,
            "source": SOURCE,
            "generator": GENERATOR,
            "licence": LICENCE,
            "parameters": parameters,
            "entries": len(entries),
            "valid": valid,
        }
        made[folder(card) / f"{name}.json"] = {"header": header, "entries": entries}

    privacy = f"helper's count: epsilon {oracle.EPSILON}, delta 2^-40; run id, keys and noise from the seed"
    for name, (case, seed) in CASES.items():
        add(JOIN, f"ok_{name}", privacy, [ok(case, seed)], 1)
    add(JOIN, "step_small", privacy, [step(*CASES["small"])], 1)
    add(
        JOIN,
        "bad_messages",
        "the run of ok_small with column 0 of one message changed; "
        + "; ".join(f"{name}: {what}" for name, what in CHANGES.items()),
        [bad(*CASES["small"], label, name) for label, name in BAD],
        0,
    )
    noises = [{"gamma": gamma, "seed": seed, "values": half(gamma, seed, 12)} for gamma in GAMMAS for seed in (1, 2)]
    add(RELEASE, "ok_half_noise", "NB(1/2) - NB(1/2) of the words of a stream, p = exp(-gamma)", noises, len(noises))
    add(
        RELEASE,
        "ok_dummies",
        "D of a 128-bit draw under protocols.md 1.10",
        [table(*each) for each in TABLES],
        len(TABLES),
    )
    refused = [{"gamma": gamma, "error": "ValueError"} for gamma in ("0", "-1", "1/1048577", "1/4503599627370497")]
    add(RELEASE, "bad_gamma", "ratios that the sampler refuses", refused, 0)
    return made


def text_of(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
