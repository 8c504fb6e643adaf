"""secure_sum_held in the clear, its roles with everything they start from made from a seed, and its terms read.

The roles go on with disclosure control, as they do in a run: what the result party gets is what that shows.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pets.protocols import control
from pets.protocols import secure_sum_held as held
from pets.protocols.base import Role
from pets.protocols.contributions import Agreement
from pets.protocols.control import Count, Shown
from pets.protocols.upload import role_of
from pets.spec.cards import Card, load_cards
from pets.spec.handover import joined
from pets.spec.repeated import with_so_many
from pets.spec.term import Call, Term
from tests.oracles.hiding import Seen
from tests.oracles.secure_sum import TIED, losing, stream, without, words_of
from tests.oracles.secure_sum_terms import DIGEST, RUN_ID, drawn
from tests.oracles.terms import At, Meaningless, Reading, Tags, aes

PAIRS = {"s_12": ("first", "second"), "s_13": ("first", "third"), "s_23": ("second", "third")}


@dataclass
class Case:
    """``values`` (holders, moments * cells), the first moment a count; ``missing``: (holder, 0 or 1: first or second).

    ``least``: disclosure control shows a cell if its first moment is at least that.
    """

    values: list[list[int]]
    cells: int
    minimum: int = 2
    least: int = 1
    agreement: Agreement = Agreement.COMMON
    missing: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    @property
    def shape(self) -> held.Shape:
        sizes = {"holders": len(self.values), "cells": self.cells, "moments": len(self.values[0]) // self.cells}
        return held.Shape(**sizes, minimum=self.minimum, agreement=self.agreement)

    @property
    def control(self) -> control.Shape:
        """Every moment is shown, exact, where the first one is enough."""
        moments = self.shape.moments
        shown = tuple(Shown(moment, 0, False) for moment in range(moments))
        return control.Shape(
            self.cells, 1, moments, (Count(((0, 1),), False),), ((0,),), shown, self.least, 1, upwards=True
        )

    def present(self) -> list[bool]:
        lost = {holder for holder, _ in self.missing}
        return [number not in lost for number in range(len(self.values))]

    def sums(self) -> np.ndarray:
        """Of those present, by moment and cell: (moments, cells) uint64."""
        rows = [row for row, there in zip(self.values, self.present(), strict=True) if there]
        return words_of([sum(column) for column in zip(*rows, strict=True)]).reshape(-1, self.cells)

    def oracle(self) -> tuple[list[list[int]], list[bool]]:
        """What is shown of each moment, 0 where the first is too small, and where it is."""
        sums = self.sums().view(np.int64)
        enough = [int(n) >= self.least for n in sums[0]]
        return [[int(n) if fine else 0 for n, fine in zip(row, enough, strict=True)] for row in sums], enough

    def public(self) -> dict[str, int]:
        return {"h_i": len(self.values), "g": self.cells, "v": self.shape.moments}

    def of_control(self) -> dict[str, int]:
        """The public numbers of what takes over."""
        none = dict.fromkeys(("e", "c", "s_d", "u_d", "t_d", "b_k", "b_y", "b_n", "l_n"), 0)
        moments = self.shape.moments
        return none | {"g": self.cells, "h": 1, "v": moments, "f": 1, "q": 1, "m": 1, "o": moments, "d": 1}

    def card(self, *, whole: bool = False) -> Card:
        """The card of a run; ``whole``: with the messages that disclosure control lists."""
        cards = load_cards()
        own = with_so_many(cards[held.PROTOCOL], {"input": len(self.values)})
        return joined(own, cards[control.PROTOCOL]) if whole else own


def family(seed: int, pair: str) -> Any:
    one, other = PAIRS[pair]
    secret = held.prf.Secret(random.Random(f"{seed} {pair}").randbytes(32))
    return held.prf.KeyFamily(
        secret, run_id=TIED.run_id, digest=TIED.digest, protocol=held.PROTOCOL, party_p=one, party_q=other
    )


def roles(case: Case, seed: int = 1, code: Any = held) -> dict[str, Role[Any]]:
    """All roles of a case, to the end of disclosure control."""
    shape = case.shape
    found: dict[str, Role[Any]] = {}
    for number, values in enumerate(case.values):
        me = role_of("input", number)
        own = code.input_party(shape, number, words_of(values), TIED, stream(seed, me))
        found[me] = losing(own, {shape.servers[at] for holder, at in case.missing if holder == number})
    for at, name in enumerate(shape.servers):
        absent = {role_of("input", holder) for holder, there in case.missing if there == at}
        found[name] = without(_holding(case, at, seed, code), absent)
    found["third"] = _protect(case, 2, seed, None)
    found["result"] = _result(case, code)
    return found


def _holding(case: Case, at: int, seed: int, code: Any) -> Role[Any]:
    if at == 0:
        uploads = yield from code.heard_seeds(case.shape, TIED)
        present, share = yield from code.first(case.shape, uploads, TIED)
    else:
        uploads = yield from code.heard_words(case.shape)
        present, share = yield from code.second(case.shape, uploads, TIED)
    yield from _protect(case, at, seed, share)
    return present, share


def _protect(case: Case, me: int, seed: int, share: np.ndarray | None) -> Role[None]:
    before, after = (("s_13", "s_12"), ("s_12", "s_23"), ("s_23", "s_13"))[me]
    families = family(seed, before), family(seed, after)
    ctx = control.context(me, *families, held.PARTIES)
    yield from control.protect(case.control, ctx, share, *families)


def _result(case: Case, code: Any) -> Role[Any]:
    present = yield from code.result(case.shape)
    shown = yield from control.result(case.control, held.PARTIES)
    return present, shown


def random_case(seed: int, *, holders: int = 8, cells: int = 9) -> Case:
    """Any number of holders, cells and moments; somebody missing; never fewer than asked for."""
    rng = random.Random(seed)
    n, g, v = rng.randint(2, holders), rng.randint(1, cells), rng.randint(1, 4)
    values = [
        [rng.randrange(6) for _ in range(g)] + [rng.randrange(-(2**40), 2**40) for _ in range(g * (v - 1))]
        for _ in range(n)
    ]
    gone = rng.sample(range(n), rng.randint(0, n - 2))
    missing = frozenset((holder, at) for holder in gone for at in rng.sample(range(2), rng.randint(1, 2)))
    return Case(values, g, rng.randint(2, n - len(gone)), rng.randint(1, 12), Agreement.COMMON, missing)


# -- messages by terms ------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """Everything that a run starts from. All input parties are there."""

    case: Case
    seed: int
    names: dict[str, int]

    def upload(self, holder: str) -> tuple[bytes, bytes]:
        """The mark and the seed that an input party draws."""
        said = drawn(self.seed, holder, 48)
        return said[:16], said[16:]

    def secret(self, key: str) -> tuple[bytes, str, str]:
        if key in PAIRS:
            return (random.Random(f"{self.seed} {key}").randbytes(32), *PAIRS[key])
        if key[:1] == "k" and key[1:].isdigit():
            return self.upload(f"input{key[1:]}")[1], f"input{key[1:]}", "first"
        raise Meaningless(f"{key} is no key")

    def stream(self, key: str, label: str, column: int, count: int) -> np.ndarray:
        secret, one, other = self.secret(key)
        prk = hmac.digest(RUN_ID, secret, "sha256")
        said = [b"pets/1", DIGEST, RUN_ID, b"secure_sum_held", one.encode(), other.encode()]
        info = b"".join(len(part).to_bytes(4, "big") + part for part in (*said, f"{label}.{column}".encode()))
        own = hmac.digest(prk, info + b"\x01", "sha256")[:16]
        counters = b"".join(block.to_bytes(16, "big") for block in range(count // 2 + 1))
        return np.frombuffer(aes(own, counters), "<u8").astype(np.uint64)[:count]

    @cached_property
    def marks(self) -> list[bytes]:
        return [self.upload(f"input{number + 1}")[0] for number in range(len(self.case.values))]

    @cached_property
    def confirmed(self) -> bytes:
        text = b"pets/1 contributors" + RUN_ID + DIGEST
        for role in ("first", "second"):
            for part in (role.encode(), b"".join(self.marks)):
                text += len(part).to_bytes(4, "big") + part
        return hashlib.sha256(text).digest()


@dataclass
class HeldReading(Reading):
    """The card, with what disclosure control lists, read over one run."""

    run: Run

    def of_formula(self, text: str) -> list[At]:
        return {"1": [At()], "v": [At(summed=at) for at in range(self.run.case.shape.moments)]}[text]

    def shared(self, name: str, at: At) -> Any:
        at.index("summed")
        return next(each for each in self.card.shared if each.name == name)

    def value(self, term: Term, at: At, size: int) -> Any:
        run, case = self.run, self.run.case
        inputs = [f"input{number + 1}" for number in range(len(case.values))]
        match term:
            case Call("values", (str(role), "summed")) if role in inputs:
                start = at.index("summed") * case.cells
                return words_of(case.values[inputs.index(role)][start : start + case.cells])
            case Call("handed", (str(key),)):
                secret, holder, _ = run.secret(key)
                if holder not in inputs:
                    raise Meaningless(f"nobody hands {key} over")
                return Tags((run.upload(holder)[0] + secret,))
            case Call("marked", (str(role),)) if role in inputs:
                return Tags((run.upload(role)[0],))
            case Call("heard", ("input",)):
                return Tags(tuple(run.marks))
            case Call("confirmed", ("input",)):
                return Tags((run.confirmed,))
            case Call("present", ("input",)):
                return Tags(((2 ** len(inputs) - 1).to_bytes(run.names["bits"], "little"),))
            case Call("mask" | "zero" | "share") | str():
                return super().value(term, at, size)
            case Call():
                raise Meaningless(f"{term} says nothing")
        return super().value(term, at, size)


@dataclass
class HeldSeen(Seen, HeldReading):
    """The same by a coalition (tests/oracles/hiding.py)."""


def read(card: Card, run: Run) -> dict[tuple[str, int], bytes]:
    """Every message that the card lists as its terms say, by label and column."""
    reading = HeldReading(card, run)
    return {(each.label, column): sent for each in card.messages for column, sent in enumerate(reading.sent(each))}
