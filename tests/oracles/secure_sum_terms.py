"""What the terms of secure_sum's card come to, word by word: a slow second reading of docs/rules/terms.md.

Takes nothing of ``pets/kernels`` or ``pets/protocols``: keys come from HMAC, streams from AES block by block.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pets.spec.cards import Card
from pets.spec.term import Call, Term
from tests.oracles.hiding import Seen
from tests.oracles.secure_sum import Case
from tests.oracles.terms import At, Meaningless, Reading, Tags, aes

RUN_ID, DIGEST = b"\1" * 32, b"\2" * 32


def drawn(seed: int, who: str, size: int) -> bytes:
    """What a party draws for a run: the stream of 16 bytes of its own."""
    counters = b"".join(block.to_bytes(16, "big") for block in range(size // 16 + 1))
    return aes(random.Random(f"{seed} {who}").randbytes(16), counters)[:size]


@dataclass
class Run:
    """Everything that a run starts from. All input parties are there."""

    case: Case
    seed: int
    names: dict[str, int]
    _kept: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def servers(self) -> list[str]:
        return [f"server{at + 1}" for at in range(len(self.case.noise) - 1)]

    def upload(self, holder: str) -> tuple[bytes, list[bytes]]:
        """The mark and the seeds that an input party draws."""
        words = drawn(self.seed, holder, 16 + 32 * len(self.servers))
        return words[:16], [words[at : at + 32] for at in range(16, len(words), 32)]

    def secret(self, key: str) -> tuple[bytes, str, str]:
        """What two parties have in common, and who they are."""
        if key[:1] == "k":
            holder, server = key[1:].split("x")
            return self.upload(f"input{holder}")[1][int(server) - 1], f"input{holder}", f"server{server}"
        if key[:1] == "z":
            one, other = f"server{key[1:]}", "last"
            return random.Random(f"{self.seed} {[one, other]}").randbytes(32), one, other
        raise Meaningless(f"{key} is no key")

    def stream(self, key: str, label: str, column: int, count: int) -> np.ndarray:
        """AES in counter mode under a key that HKDF-SHA256 gives, by hand (protocols.md 0.5)."""
        secret, one, other = self.secret(key)
        prk = hmac.digest(RUN_ID, secret, "sha256")
        said = [b"pets/1", DIGEST, RUN_ID, b"secure_sum", one.encode(), other.encode(), f"{label}.{column}".encode()]
        info = b"".join(len(part).to_bytes(4, "big") + part for part in said)
        own = hmac.digest(prk, info + b"\x01", "sha256")[:16]
        counters = b"".join(block.to_bytes(16, "big") for block in range(count // 2 + 1))
        return np.frombuffer(aes(own, counters), "<u8").astype(np.uint64)[:count]

    @cached_property
    def marks(self) -> list[bytes]:
        return [self.upload(f"input{number + 1}")[0] for number in range(len(self.case.values))]

    @cached_property
    def confirmed(self) -> bytes:
        """Of all lists, which are equal here, by the names of the computing parties in their order."""
        text = b"pets/1 contributors" + RUN_ID + DIGEST
        for role in sorted([*self.servers, "last"]):
            for part in (role.encode(), b"".join(self.marks)):
                text += len(part).to_bytes(4, "big") + part
        return hashlib.sha256(text).digest()


@dataclass
class SumReading(Reading):
    """The card of secure_sum read over one run."""

    run: Run

    def of_formula(self, text: str) -> list[At]:
        return {"1": [At()], "v": [At(summed=0)]}[text]

    def shared(self, name: str, at: At) -> Any:
        at.index("summed")
        return next(each for each in self.card.shared if each.name == name)

    def value(self, term: Term, at: At, size: int) -> Any:
        run, case = self.run, self.run.case
        match term:
            case Call("values", (str(role), "summed")) if role in self._inputs:
                at.index("summed")
                return _words(case.values[self._inputs.index(role)])
            case Call("noise", (str(role), "summed")) if role in (parties := [*run.servers, "last"]):
                at.index("summed")
                return _words(case.noise[parties.index(role)])
            case Call("handed", (str(key),)):
                secret, holder, _ = run.secret(key)
                return Tags((run.upload(holder)[0] + secret,)) if holder in self._inputs else _none(term)
            case Call("marked", (str(role),)) if role in self._inputs:
                return Tags((run.upload(role)[0],))
            case Call("heard", ("input",)):
                return Tags(tuple(run.marks))
            case Call("confirmed", ("input",)):
                return Tags((run.confirmed,))
            case Call("present", ("input",)):
                bits = sum(1 << number for number in range(len(case.values)))
                return Tags((bits.to_bytes(run.names["bits"], "little"),))
            case Call("mask" | "zero" | "share") | str():
                return super().value(term, at, size)
            case Call():
                return _none(term)
        return super().value(term, at, size)

    @property
    def _inputs(self) -> list[str]:
        return [f"input{number + 1}" for number in range(len(self.run.case.values))]


@dataclass
class SumSeen(Seen, SumReading):
    """The same by a coalition (tests/oracles/hiding.py)."""


def _none(term: Term) -> Any:
    raise Meaningless(f"{term} says nothing")


def _words(values: list[int]) -> np.ndarray:
    return np.array([value % 2**64 for value in values], np.uint64)


def read(card: Card, run: Run) -> dict[tuple[str, int], bytes]:
    """Every message of a card as its terms say, by label and column."""
    reading = SumReading(card, run)
    return {(each.label, column): sent for each in card.messages for column, sent in enumerate(reading.sent(each))}
