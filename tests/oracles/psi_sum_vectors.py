"""Write the vectors of psi_sum and psi_sum_shares: ``python -m tests.oracles.psi_sum_vectors``; look at the difference.

``ok_*`` hold the inputs, what each side draws, all messages but ciphertexts, and of these what is under them: the slots
of values, the digest of the slots of each covered sum, and of the flooding. ``step_scheme`` is the scheme alone, by
tests/oracles/bfv.py: a key, a ciphertext, a mask, a cover and flooding, by digest, and what comes out. ``bad_messages``
are changes of the run of ok_small, who refuses them, and the code. A change of any byte is a change of the protocol:
raise the version of the cards.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.kernels import prf, slots
from pets.protocols import psi_sum
from pets.protocols.base import Array
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import bfv
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Key, Transcript, play
from tests.oracles.psi_sum import CARD, SECOND, SHARES, Case, binding, entropy, family, roles
from tests.oracles.psi_sum_terms import Reading

SOURCE = "this implementation; messages by the terms of the card over Python's integers, results by dictionaries"
SMALL = Case(
    {b"9434765919": 0, b"9434765870": 1, b"1": 1},
    {b"9876543210": (1, 2), b"9434765919": (-3, 2**41), b"1": (40, -50)},
    g=2,
    v=2,
    m_a=3,
    n_b=4,
    primes=2,
    noise_a=((1, -1), (2, -2), (3, -3)),
    noise_b=((-7, 7), (0, 2**40)),
)
CASES: dict[str, tuple[Case, int]] = {
    "small": (SMALL, 1),
    "withheld": (
        Case(
            {b"a": 0, "Zoë".encode(): 1, b"x" * 40: 1},
            {"Zoë".encode(): (5,), b"x" * 40: (6,), b"a": (7,)},
            g=3,
            v=1,
            m_a=2,
            n_b=3,
            primes=1,
            width=(40, 40),
            control=psi_sum.Control(minimum=2, base=5, empty=True),
            noise_a=((0, 0, 0),) * 2,
            noise_b=((0, 0, 0),),
        ),
        2,
    ),
    "nobody": (Case({}, {}, 1, 1, 0, 0, 1, noise_a=((0,),) * 2, noise_b=((0,),)), 3),
    "no_columns": (Case({b"1": 0}, {b"1": ()}, 1, 0, 1, 1, 0, noise_a=((0,),)), 4),
}


def sha(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def run(case: Case, seed: int, shares: bool, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(case, seed, shares=shares), seed=seed, alter=alter)


def ok(case: Case, seed: int, shares: bool) -> dict[str, Any]:
    card = SHARES if shares else CARD
    ran, reading, messages = run(case, seed, shares), Reading(case, seed, card), dict[str, Any]()
    names = card.names(case.public())
    for message in card.messages:
        for column in range(message.columns.evaluate(names)):
            array = ran.array(message.label, column)
            assert np.ascontiguousarray(array).tobytes() == reading.sent(message.label, column), message.label
            if message.label in ("K", "Y", "S"):
                continue
            listed = array.tolist() if array.ndim == 1 else [row.tobytes().hex() for row in array]
            messages.setdefault(message.label, []).append(listed)
    assert ran.outputs["result" if shares else "a"] == case.oracle(shares=shares)
    under = {
        label: [
            [sha(cipher[SECOND]) for cipher in ran.array(label, column).reshape(-1, slots.CIPHER)]
            for column in range(names["residues"])
        ]
        for label in ("Y", "S")
    }
    flooding = [
        [sha(cipher[: slots.CIPHER // 2]) for cipher in ran.array("S", column).reshape(-1, slots.CIPHER)]
        for column in range(names["residues"])
    ]
    tied, result = binding(seed), case.oracle(shares=shares)
    told: dict[str, Any] = {
        "digest": tied.digest.hex(),
        "run_id": tied.run_id.hex(),
        "public": case.public(),
        "a": {
            "ids": [each.hex() for each in case.people_a],
            "groups": [*case.people_a.values()],
            "entropy": _drawn(seed, "a"),
        },
        "b": {
            "ids": [each.hex() for each in case.people_b],
            "values": [list(each) for each in case.people_b.values()],
            "entropy": _drawn(seed, "b"),
            "noise": [list(each) for each in case.noise_b],
        },
        "control": None
        if case.control is None
        else {"minimum": case.control.minimum, "base": case.control.base, "empty": case.control.empty},
        "messages": messages,
        "slots": under,
        "flooding": flooding,
        "result": {
            "shown": list(result.shown),
            "counts": list(result.counts),
            "sums": [list(each) for each in result.sums],
        },
    }
    if shares:
        told["a"]["noise"] = [list(each) for each in case.noise_a]
        told["zero"] = [
            psi_sum._zero(family(seed), column, slots.PLAIN[column % case.primes], case.g).tolist()
            for column in range(names["residues"])
        ]
    return told


def _drawn(seed: int, role: str) -> str:
    return entropy(seed, role).expose("write it into a vector").hex()


def words(label: str, count: int) -> Array:
    """Words of AES-128 in counter mode, the key the first bytes of a hash of the label."""
    return prf.words(key_of(label), count)


def key_of(label: str) -> Secret[bytes]:
    return Secret(hashlib.sha256(label.encode()).digest()[:16])


def step() -> dict[str, Any]:
    """The scheme on one ciphertext, whose secret, errors and uniform polynomial come from labelled streams."""
    plain, ring = slots.PLAIN[0], slots.RING
    owner = bfv.Owner(0)
    owner.secret = (words("secret", ring) % np.uint64(3)).astype(object) - 1
    error = (words("error", ring) % np.uint64(43)).astype(object) - 21
    second = bfv.composed(
        np.stack([(words(f"uniform {k}", ring) % np.uint64(p)).astype(object) for k, p in enumerate(slots.PRIMES)])
    )
    held = words("slots", ring) % np.uint64(plain)
    held[0] = 1
    scaled = np.array([(2 * bfv.Q * int(m) + plain) // (2 * plain) for m in bfv.encode(held, plain) % plain], object)
    cipher = bfv.cipher_of(scaled + error - bfv.times(second, owner.secret), second)
    mask = (words("mask", ring) % np.uint64(2)).astype(np.uint8)
    mask[0] = 1
    summer = bfv.Textbook(0, zero=False)
    summer.block(0, cipher[None], mask[None])
    stream = prf.Stream(key_of("cover"))
    cover = slots.cover(stream, plain, 1)
    (made,) = summer.sums(0, np.empty(0), iter([cover]))
    drowned = slots.drown(made, prf.Stream(key_of("flooding")))
    opened = owner.decrypt(0, drowned)
    assert np.array_equal(opened, (held * mask + cover) % np.uint64(plain)) and opened[0] == 0
    return {
        "plain": plain,
        "primes": list(map(str, (*slots.PRIMES, slots.SPECIAL))),
        "roots": [str(bfv.root_of(each)) for each in (*slots.PRIMES, slots.SPECIAL, *slots.PLAIN)],
        "polynomial_of_the_mask": sha((bfv.encode(mask, plain) % plain).astype(np.uint64)),
        "ciphertext": sha(cipher),
        "its_slots": sha(held),
        "masked_and_covered": sha(made),
        "drowned": sha(drowned),
        "opened": sha(opened),
        "first_opened": opened[:4].tolist(),
        "sum_of_slots": slots.summed(opened, plain),
        "sum_of_cover": slots.summed(cover, plain),
    }


def changed(label: str, change: str) -> Any:
    """What alters column 0 of one message."""

    def alter(key: Key, array: Array) -> Array:
        if key[2:] != (label, 0):
            return array
        out = array.copy()
        match change:
            case "identity":
                out[1] = 0
            case "repeat":
                out[1] = out[0]
            case "swap":
                out[[0, 1]] = out[[1, 0]]
            case "largest word":
                out[1] = 2**64 - 1
            case "hides nothing":
                size = slots.PUBLIC_KEY if label == "K" else slots.CIPHER
                out[size // 2 : size] = 0
            case "one in slot 0":
                out[slots.CIPHER // 2] = 1
            case "other run":
                out = run(SMALL, 9, False).array(label)
        return out

    return alter


BAD = [
    *((label, change) for label in ("D1", "D3") for change in ("identity", "repeat", "other run")),
    *(("D2", change) for change in ("repeat", "swap", "other run")),
    *((label, change) for label in ("K", "Y", "S") for change in ("largest word", "hides nothing")),
    ("S", "one in slot 0"),
    ("R", "largest word"),
]


def bad(label: str, change: str) -> dict[str, Any]:
    sender = next(message.sender for message in CARD.messages if message.label == label)
    at = "b" if sender == "a" else "a"
    try:
        run(SMALL, 1, False, changed(label, change))
    except PetsError as error:
        seen_at = "a" if error.code == "peer.other-set" else at
        return {"step": label, "change": change, "at": seen_at, "code": error.code, "text": error.text}
    return {"step": label, "change": change, "at": at, "code": "", "text": ""}


def files() -> dict[Path, dict[str, Any]]:
    made: dict[Path, dict[str, Any]] = {}
    what = (
        "a run: inputs, what each side draws, all messages but ciphertexts; of the slots under these (uint64, 8192 "
        "each) and of the flooding (of the first polynomial, prime by prime) SHA-256"
    )
    for card in (CARD, SHARES):
        listed: dict[str, tuple[str, list[dict[str, Any]]]] = {
            f"ok_{name}": (what, [ok(case, seed, card is SHARES)]) for name, (case, seed) in CASES.items()
        }
        if card is CARD:
            listed["step_scheme"] = (
                "the scheme on one ciphertext, without the encryption of nothing. Streams are AES-128 in counter mode, "
                "keys the first 16 bytes of SHA-256 of the labels secret (word % 3 - 1), error (word % 43 - 21), "
                "uniform 0, 1, 2 (word % prime), slots (word % plain; slot 0 is 1), mask (word % 2; slot 0 is 1), "
                "cover, flooding; ciphertexts are rows of the card, SHA-256 of their words",
                [step()],
            )
            listed["bad_messages"] = (
                "the run of ok_small with column 0 of one message changed: row or word 1 is the identity, row 0, or "
                "the largest word; rows 0 and 1 change places; the second polynomial of the first ciphertext or "
                "key is 0; slot 0 of the first sum is 1; the message of another run",
                [bad(label, change) for label, change in BAD],
            )
        for name, (parameters, entries) in listed.items():
            header = {
                "card": card.id,
                "version": card.version,
                "source": SOURCE,
                "generator": "tests/oracles/psi_sum_vectors.py",
                "licence": LICENCE,
                "parameters": parameters,
                "entries": len(entries),
                "valid": 0 if name.startswith("bad_") else len(entries),
            }
            made[cards_folder() / card.id / "vectors" / f"{name}.json"] = {"header": header, "entries": entries}
    return made


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
