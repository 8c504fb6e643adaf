"""What the terms of shared_join's card come to, word by word: a slow second reading of docs/rules/terms.md.

As ``tests/oracles/terms.py`` it takes the plain inputs of a run, the secrets that pairs share and the card, and nothing
of ``pets/kernels`` or ``pets/protocols``; what the card's program leaves with the three is given.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pets.protocols.base import Role
from pets.spec.cards import Card, load_cards
from pets.spec.term import Call, Product, Sum, Term, arguments
from tests.oracles import shared_join as oracle
from tests.oracles.hiding import Seen
from tests.oracles.play import words
from tests.oracles.shared_join import Case, Row
from tests.oracles.terms import At, Meaningless, Reading, Value, _words, aes

COMPUTING = ("first", "second", "third")
Entry = tuple[str, int, Row | None, int]
"""Of a list: holder, cell, the row that is there, and the number of the cell that ends here, or 0."""


@dataclass
class Run:
    """Everything that a run starts from. ``noise`` (3, v, cells); ``parts``: what the program left, by family."""

    case: Case
    seed: int
    noise: np.ndarray
    names: dict[str, int]
    parts: dict[tuple[str, int], np.ndarray]
    _kept: dict[Any, Any] = field(default_factory=dict)

    # -- keys and streams --------------------------------------------------------------------------------------------

    @cached_property
    def holders(self) -> dict[str, tuple[str, str]]:
        """Who has each family of keys."""
        return {key.name: key.holders for key in oracle.card(self.case).keys}  # type: ignore[misc]

    def stream(self, family: str, label: str, column: int, count: int) -> np.ndarray:
        """AES in counter mode under a key that HKDF-SHA256 gives, by hand (protocols.md 0.5)."""
        if family not in self.holders:
            raise Meaningless(f"{family} is no family of keys")
        at = (family, label, column)
        if at not in self._kept or self._kept[at].size < count:
            one, other = sorted(self.holders[family])
            secret = random.Random(f"{self.seed} {[one, other]}").randbytes(32)
            prk = hmac.digest(b"\1" * 32, secret, "sha256")
            said = [b"pets/1", b"\2" * 32, b"\1" * 32, b"shared_join"]
            said += [text.encode() for text in (one, other, f"{label}.{column}")]
            info = b"".join(len(part).to_bytes(4, "big") + part for part in said)
            counters = b"".join(block.to_bytes(16, "big") for block in range(count // 2 + 1))
            key = hmac.digest(prk, info + b"\x01", "sha256")[:16]
            self._kept[at] = np.frombuffer(aes(key, counters), "<u8").astype(np.uint64)
        return self._kept[at][:count].copy()  # type: ignore[no-any-return]

    # -- lists -------------------------------------------------------------------------------------------------------

    @cached_property
    def lists(self) -> dict[str, list[Entry]]:
        """What each holder sends, entry by entry: a left list cell by cell with what ends each, then nobody's."""
        found: dict[str, list[Entry]] = {}
        for number, (rows, most) in enumerate(zip(self.case.left, self.case.most_left, strict=True)):
            role, own = f"left{number + 1}", list[Entry]()
            for cell in range(self.case.cells):
                own += [(role, cell, row, 0) for row in rows if row[1] == cell]
                own.append((role, cell, None, number * self.case.cells + cell + 1))
            found[role] = own + [(role, 0, None, 0)] * (most - len(rows))
        for number, (rows, most) in enumerate(zip(self.case.right, self.case.most_right, strict=True)):
            role = f"right{number + 1}"
            of_rows: list[Entry] = [(role, row[1], row, 0) for row in rows]
            found[role] = of_rows + [(role, 0, None, 0)] * (most - len(rows))
        return found

    def of(self, side: str) -> list[Entry]:
        """The lists of all who play a role, end to end."""
        return [entry for role, own in self.lists.items() if role.startswith(side) for entry in own]

    def firsts(self, side: str) -> list[bool]:
        """Of these entries, which are the first row of their person in their cell."""
        seen, found = set[tuple[bytes, int]](), []
        for _, cell, row, _ in self.of(side):
            found.append(row is not None and (row[0], cell) not in seen)
            seen |= set() if row is None else {(row[0], cell)}
        return found

    @cached_property
    def persons(self) -> bool:
        return self.names["k_d"] == 1

    def number(self, role: str, entry: Entry, kinds: set[str]) -> int:
        """The number that a list says of an entry: above the bits of its place the cell, the table, the person."""
        _, cell, row, _ = entry
        place, of_cell, of_id = (self.names[name] for name in ("n", "k_c", "k_i"))
        above = (place - 1).bit_length()
        if row is None:
            return 1 << above + of_cell + 1 + of_id if "keys" in kinds else 0
        found = (cell << above) if self.persons and "groups" in kinds else 0
        if "keys" in kinds:
            found |= role.startswith("left") << above + of_cell
            found |= self.identifier(row[0]) << above + of_cell + 1
        return found

    def identifier(self, one: bytes) -> int:
        if self.case.fixed:
            return int(one)
        digest = hashlib.blake2b(one, key=oracle.HASHED_BY, digest_size=13).digest()
        return int.from_bytes(digest, "little") % 2 ** self.names["k_i"]


@dataclass
class SharedReading(Reading):
    """The card read over one run. In a shared value all lists of a side are one, end to end."""

    run: Run
    _whole: bool = False

    # -- columns -----------------------------------------------------------------------------------------------------

    def of_formula(self, text: str) -> list[At]:
        case = self.run.case
        summed = [At(gathered=s.gathered, factor=s.factor, summed=n) for n, s in enumerate(case.summed)]
        return {
            "words": [At(word=number) for number in range(self.run.names["words"])],
            "ends": [At(end=0)],
            "x": [At(factor=number) for number in range(case.x)],
            "v_g": [At(gathered=number) for number in range(case.v_g)],
            "r": summed,
            "v": summed,
        }[text]

    def opened(self, name: str, at: At) -> tuple[np.ndarray, np.ndarray]:
        shared = self.shared(name, at)
        self._whole = True
        try:
            value = self.words(shared.value, at, 0)
        finally:
            self._whole = False
        return value, sum((self.words(term, at, value.size) for term in shared.shares.values()), np.zeros_like(value))

    # -- terms -------------------------------------------------------------------------------------------------------

    def value(self, term: Term, at: At, size: int) -> Value:
        run, case = self.run, self.run.case
        match term:
            case Sum(parts) if any(isinstance(part, Call) and part.head == "numbers" for _, part in parts):
                return self._taken_off(term, at, size)
            case Sum() | Product() | Call("mask" | "zero" | "prefix" | "share" | "part"):
                return super().value(term, at, size)
            case Call("diff", (inner,)):
                whole = self.words(inner, at, case.cells)
                return whole - np.concatenate([np.zeros(1, np.uint64), whole[:-1]])
            case str() if any(term == message.label for message in self.card.messages):
                return self.message(term, at)
            case Call("noise", (str(role), "summed")) if role in COMPUTING:
                return run.noise[COMPUTING.index(role), at.index("summed")]
            case Call("numbers", (str(index), *lists)):
                return self._numbers(index, lists, at)
            case Call("values", (str(role), str(index))) if role in run.lists:
                return self._values(role, at.index(index), whole=self._whole)
            case Call("gather", (Call("values", (str(role), str(index))), "match")) if self._whole:
                return self._met(role, at, at.index(index))
            case Call("sum_cells", (inner,)) if self._whole:
                listed, totals = self.words(inner, at, 0).tolist(), [0] * case.cells
                if len(listed) != len(run.of("left")):
                    raise Meaningless("no word for each entry of the left lists")
                for (_, cell, _, _), word in zip(run.of("left"), listed, strict=True):
                    totals[cell] += word
                return _words(totals)
        raise Meaningless(f"{term} says nothing")

    def _taken_off(self, term: Sum, at: At, size: int) -> np.ndarray:
        """A mask is taken off numbers bit by bit where they are keys; an end is a word as any other."""
        if "word" not in arguments(term, "index"):
            return super().value(term, at, size)  # type: ignore[return-value]
        if any(sign != (1 if isinstance(part, Call) and part.head == "numbers" else -1) for sign, part in term.parts):
            raise Meaningless("bits are taken off numbers, and nothing else of them")
        total = self.words(term.parts[0][1], at, size)
        for _, part in term.parts[1:]:
            if (one := self.words(part, at, size)).size != total.size:
                raise Meaningless("two sizes in one sum")
            total = total ^ one
        return total

    def _numbers(self, index: str, lists: list[Term], at: At) -> np.ndarray:
        said = [(each.head, each.args[0]) for each in lists if isinstance(each, Call)]
        roles, kinds = {role for _, role in said}, {head for head, _ in said}
        if len(said) != len(lists) or len(roles) != 1 or not kinds <= {"keys", "groups"} or len(kinds) != len(said):
            raise Meaningless("no list")
        (role,) = roles
        if not isinstance(role, str) or role not in self.run.lists:
            raise Meaningless(f"{role} has no list")
        entries = self.run.lists[role]
        if index == "end":
            at.index(index)
            if "keys" in kinds or not role.startswith("left"):
                raise Meaningless("nothing ends there")
            return _words([end for *_, end in entries])
        if index != "word":
            raise Meaningless(f"numbers by {index}")
        shift = 64 * at.index(index)
        return _words([self.run.number(role, entry, kinds) >> shift for entry in entries])

    def _values(self, role: str, column: int, *, whole: bool) -> np.ndarray:
        entries = self.run.of("left" if role.startswith("left") else "right") if whole else self.run.lists[role]
        if column >= (self.run.case.x if role.startswith("left") else self.run.case.v_g):
            raise Meaningless(f"{role} has no such column")
        return _words([row[2][column] if row is not None and own == role else 0 for own, _, row, _ in entries])

    def _met(self, role: str, at: At, column: int) -> np.ndarray:
        """For each entry of the left lists what one right holder has of its person; of persons, their first rows."""
        run, case = self.run, self.run.case
        if not role.startswith("right"):
            raise Meaningless("only right tables are read")
        once = column in case.once
        of_person: dict[bytes, int] = {}
        for (own, _, row, _), first in zip(run.of("right"), run.firsts("right"), strict=True):
            if row is not None and own == role and (first or not once):
                of_person[row[0]] = of_person.get(row[0], 0) + row[2][column]
        alone = case.summed[at.index("summed")].once
        entries = zip(run.of("left"), run.firsts("left"), strict=True)
        return _words(
            [
                0 if row is None or (alone and not first) else of_person.get(row[0], 0)
                for (_, _, row, _), first in entries
            ]
        )


@dataclass
class SharedSeen(Seen, SharedReading):
    """The same by a coalition (tests/oracles/hiding.py)."""


# -- runs -------------------------------------------------------------------------------------------------------------


def recording(parts: dict[tuple[str, int], np.ndarray], joined: Any, cells: int) -> Any:
    """``joined``, which notes the parts of what it makes, by family and summed column: at both holders the same."""
    program = load_cards()["shared_join"].program
    assert program is not None

    def noted(shape: Any, ctx: Any, uploads: Any) -> Role[Any]:
        made = yield from joined(shape, ctx, uploads)
        for component, array in ((ctx.me, made.own), ((ctx.me + 1) % 3, made.next)):
            for column, own in enumerate(array.reshape(-1, cells)):
                before = parts.setdefault((program.keys[component], column), own.copy())
                assert np.array_equal(before, own), "two holders of a part have two"
        return made

    return noted


def noise_of(case: Case, seed: int) -> np.ndarray:
    """Any words for noise: (3, v, cells)."""
    return words(seed, 3, len(case.summed), case.cells)


def read(card: Card, run: Run) -> dict[tuple[str, int], bytes]:
    """Every message of a card as its terms say, by label and column."""
    reading = SharedReading(card, run)
    return {(each.label, column): sent for each in card.messages for column, sent in enumerate(reading.sent(each))}
