"""What the terms of a card come to, word by word modulo 2^64: a slow second reading of docs/rules/terms.md.

Takes the plain inputs of a run, the secrets that pairs share and the card, and nothing of ``pets/kernels`` or
``pets/protocols``: keys come from HMAC, streams and tags from single AES blocks, orders, places and sums from lists.
A term that has no meaning (an index where there is none, two sizes in one sum, a tag key as a mask) is ``Meaningless``.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pets.spec.cards import Card, Message, Shared
from pets.spec.term import Call, Product, Sum, Term
from tests.oracles import helper_join as oracle
from tests.oracles import okvs

ROW, DUMMY, FILLER, SENTINEL, PADDING = 1, 2, {"a": 3, "b": 4}, 5, {"a": 6, "b": 7}
"""First bytes of the blocks of tags (protocols.md 0.7)."""


class Meaningless(Exception):
    """A term that says nothing."""


@dataclass(frozen=True)
class At:
    """What the indices stand for in one column; None where there is no such index."""

    gathered: int | None = None
    factor: int | None = None
    product: int | None = None
    summed: int | None = None
    check: int | None = None
    word: int | None = None
    end: int | None = None

    def index(self, name: str) -> int:
        if (found := getattr(self, name, None)) is None:
            raise Meaningless(f"no {name} here")
        return int(found)


@dataclass(frozen=True)
class Places:
    """Places in a list of ``below`` entries."""

    at: np.ndarray
    below: int


@dataclass(frozen=True)
class Blocks:
    """Entries of a list before they are tags: (cell, block of 16 bytes), in order."""

    entries: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True)
class Tags:
    rows: tuple[bytes, ...]


Value = np.ndarray | Places | Tags
"""Words (uint64), places or tags."""


def aes(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(data)


@dataclass
class Run:
    """Everything that a run starts from. ``noise`` (3, v, g) and ``local`` (v, g) are uint64."""

    case: oracle.Case
    seed: int
    noise: np.ndarray
    local: np.ndarray
    names: dict[str, int]
    protocol: str = oracle.hj.PROTOCOL
    ones: frozenset[int] = frozenset()
    """Columns of b that do not travel in mode B."""
    parts: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    """What a program left with the holders of a family, by family and summed column: given, not worked out here."""
    _kept: dict[Any, Any] = field(default_factory=dict)

    # -- keys, streams, orders ---------------------------------------------------------------------------------------

    def key(self, family: str, label: str, column: int | None = None) -> bytes:
        """HKDF-SHA256, one block, by hand (protocols.md 0.5)."""
        pair = family.removeprefix("s_")
        if pair not in oracle.PAIRS:
            raise Meaningless(f"{family} is no family of keys")
        run = hashlib.sha256(f"run {self.seed}".encode()).digest()
        prk = hmac.digest(run, hashlib.sha256(f"{self.seed} {pair}".encode()).digest(), "sha256")
        full = label if column is None else f"{label}.{column}"
        name = self.protocol.encode()
        parts = [b"pets/1", bytes(32), run, name, *(n.encode() for n in oracle.PAIRS[pair]), full.encode()]
        info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(prk, info + b"\x01", "sha256")[:16]

    def stream(self, family: str, label: str, column: int | None, count: int) -> np.ndarray:
        """The first ``count`` words of AES in counter mode: two words a block, least byte first."""
        at = (family, label, column)
        if at not in self._kept or self._kept[at].size < count:
            counters = b"".join(i.to_bytes(16, "big") for i in range(count // 2 + 1))
            self._kept[at] = np.frombuffer(aes(self.key(*at), counters), "<u8").astype(np.uint64)
        return self._kept[at][:count].copy()  # type: ignore[no-any-return]

    def order(self, family: str, label: str, size: int) -> np.ndarray:
        """Rao and Sandelius: entry i of a list goes to place ``order[i]``."""
        at = ("order", family, label, size)
        if at not in self._kept:
            skipped = (size + 7) // 8
            data = self.stream(family, label, None, skipped + size + 64).tobytes()
            halves = iter(np.frombuffer(data[8 * skipped :], "<u4").tolist())
            buckets: list[list[int]] = [[] for _ in range(256)]
            for i in range(size):
                buckets[data[i]].append(i)
            for entries in buckets:
                for last in range(len(entries) - 1, 0, -1):
                    low = -1
                    while low < 2**32 % (last + 1):
                        other, low = divmod((last + 1) * next(halves), 2**32)
                    entries[last], entries[other] = entries[other], entries[last]
            self._kept[at] = np.array([i for entries in buckets for i in entries], np.int64)
        return self._kept[at]  # type: ignore[no-any-return]

    # -- lists -------------------------------------------------------------------------------------------------------

    def number_of_dummies(self, family: str) -> int:
        """D: discrete Laplace around s, cut to 0..2s, from one draw of 128 bits (protocols.md 1.10)."""
        if "s" not in self.names:
            return 0  # mode B has no slots for them
        low, high = self.stream(family, "D", None, 2).tolist()
        s = self.names["s"]
        with localcontext(prec=90):
            reached = _law_of_dummies(self.case.k, s)
            draw = Decimal(low | high << 64) / 2**128 * reached[-1]
            return next(d for d, below in enumerate(reached) if below > draw)

    def block(self, one: bytes, occurrence: int) -> bytes:
        hashed = not self.case.fixed
        key = self.key("s_ab", "idhash") if hashed else b""
        short = hashlib.blake2b(one, key=key, digest_size=13).digest() if hashed else one.ljust(13, b"\0")
        return bytes([ROW]) + occurrence.to_bytes(2, "big") + short

    def keys(self, role: str) -> Blocks:
        if role == "a":
            return Blocks(tuple((self.case.cell[row], self.block(self.case.ids_a[row], n)) for row, n in self._rows))
        if role == "b":
            each = range(1, self.case.k + 1)
            return Blocks(tuple((0, self.block(one, n)) for n in each for one in self.case.ids_b))
        raise Meaningless(f"{role} brings no keys")

    def dummies(self, family: str) -> Blocks:
        return Blocks(tuple((0, _indexed(DUMMY, i)) for i in range(self.number_of_dummies(family))))

    def fillers(self, role: str, dummies: int) -> Blocks:
        """What fills up the slots beside so many dummies, then the declared size; for a the end of each cell too."""
        missing = {"a": self.case.n_a - len(self._rows), "b": self.case.k * (self.case.n_b - len(self.case.ids_b))}
        if role not in missing:
            raise Meaningless(f"{role} has no list")
        out = [(0, _indexed(FILLER[role], i)) for i in range(self.names["w"] - dummies)]
        out += [(0, _indexed(PADDING[role], i)) for i in range(missing[role])]
        if role == "a":
            out += [(cell, _indexed(SENTINEL, cell)) for cell in range(self.case.g)]
        return Blocks(tuple(out))

    def tags(self, lists: Sequence[Blocks]) -> Tags:
        """One list of all, cell by cell, each block encrypted and cut."""
        together = sorted((entry for one in lists for entry in one.entries), key=lambda entry: entry[0])
        data = aes(self.key("s_ab", "tag"), b"".join(block for _, block in together))
        return Tags(tuple(data[i : i + self.names["t"]] for i in range(0, len(data), 16)))

    def checks(self, key: str, role: str) -> np.ndarray:
        """The first 8 bytes of another encryption of each entry of a role's persons."""
        if key != "check":
            raise Meaningless(f"{key} makes no words of check")
        data = aes(self.key("s_ab", key), b"".join(block for _, block in self.keys(role).entries))
        return np.frombuffer(data, "<u8")[::2].astype(np.uint64)

    def table(self, entries: Blocks, words: np.ndarray) -> np.ndarray:
        """A table of the card's size from which the tag of each entry reads its word; 0 in slots that none needs."""
        rows = self.tags([entries]).rows
        if len(rows) != words.size or self.names.get("t") != 16:
            raise Meaningless("one word for each entry, and whole tags")
        table = okvs.write(rows, words.tolist(), self.names["third"])
        assert table is not None
        return _words(table)

    @cached_property
    def _rows(self) -> list[tuple[int, int]]:
        """(row, occurrence) of role a's rows, of which a person has at most k."""
        return [(row, n) for row, n in enumerate(self.case.occurrences()) if n <= self.case.k]

    @cached_property
    def cells(self) -> list[int]:
        """Cell of each entry of role a's list, in group order."""
        own = [self.case.cell[row] for row, _ in self._rows]
        slots = self.names["w"] + self.case.n_a - len(own)
        return sorted(own + [0] * slots + list(range(self.case.g)))

    def ends(self) -> Places:
        last = [max(i for i, each in enumerate(self.cells) if each == cell) for cell in range(self.case.g)]
        return Places(np.array(last, np.int64), len(self.cells))

    @cached_property
    def _sorted_b(self) -> list[int]:
        """Role b's list in the order of its tags."""
        dummies = self.dummies("s_ab")
        rows = self.tags([self.keys("b"), dummies, self.fillers("b", len(dummies.entries))]).rows
        return sorted(range(len(rows)), key=rows.__getitem__)

    def values(self, role: str, column: int) -> np.ndarray:
        """A column in the order of its role's list; b's has a zero more for each entry of a's list."""
        try:
            if role == "a":
                groups: list[list[int]] = [[] for _ in range(self.case.g)]
                for row, _ in self._rows:
                    groups[self.case.cell[row]].append(self.case.x[column][row])
                size = [self.cells.count(cell) for cell in range(self.case.g)]
                return _words([v for own, n in zip(groups, size, strict=True) for v in own + [0] * (n - len(own))])
            if role == "b":
                of_list = self.case.y[column] * self.case.k + [0] * len(self._sorted_b)
                return _words([of_list[i] for i in self._sorted_b] + [0] * self.names["n_list_a"])
        except IndexError:
            raise Meaningless(f"{role} has no such column") from None
        raise Meaningless(f"{role} brings no values")


@lru_cache
def _law_of_dummies(k: int, s: int) -> list[Decimal]:
    """Weights exp(-epsilon |d - s| / k) of d = 0 .. 2 s, added up."""
    step = Decimal(oracle.EPSILON.numerator) / (oracle.EPSILON.denominator * k)
    return list(accumulate((-step * abs(d - s)).exp() for d in range(2 * s + 1)))


def _indexed(kind: int, index: int) -> bytes:
    return bytes([kind, 0, 0]) + index.to_bytes(13, "big")


def _words(values: Sequence[Any]) -> np.ndarray:
    whole = all(isinstance(value, int) for value in values)
    return np.array([value % 2**64 for value in values], np.uint64 if whole else object)


@dataclass
class Reading:
    """A card read over one run."""

    card: Card
    run: Run
    _known: dict[tuple[str, At], Value] = field(default_factory=dict)

    # -- columns -----------------------------------------------------------------------------------------------------

    def columns(self, message: Message) -> list[At]:
        """What the indices stand for in each column of a message, in order."""
        return self.of_formula(message.columns.text)

    def of_formula(self, text: str) -> list[At]:
        case = self.run.case
        products = [(of_b, of_a) for of_b, of_a in case.summed if of_a is not None]
        numbers = iter(range(len(products)))
        found = {
            "1": [At()],
            "v_g": [At(gathered=i) for i in range(len(case.y))],
            "x": [At(factor=i) for i in range(len(case.x))],
            "z": [At(gathered=i) for i in sorted({of_b for of_b, _ in products})],
            "p": [At(of_b, of_a, number) for number, (of_b, of_a) in enumerate(products)],
            "v_t": [At(gathered=i) for i in range(len(case.y)) if i not in self.run.ones],
            "checks": [At(check=0)],
            "v": [
                At(of_b, of_a, None if of_a is None else next(numbers), summed)
                for summed, (of_b, of_a) in enumerate(case.summed)
            ],
        }
        found |= {"r": found["v"], "v_m": found["v"], "v_c": [], "v_k": []}  # noise, nothing on rows
        return found[text]

    def message(self, label: str, at: At) -> Value:
        """The column of a message that ``at`` speaks of."""
        message = next(m for m in self.card.messages if m.label == label)
        wanted = at.index(message.index) if message.index else None
        for own in self.columns(message):
            if not message.index or getattr(own, message.index) == wanted:
                if (label, own) not in self._known:
                    self._known[label, own] = self.value(message.meaning, own, self.size(message))
                return self._known[label, own]
        raise Meaningless(f"{label} has no such column")

    def size(self, message: Message) -> int:
        return message.count.evaluate(self.run.names)

    def sent(self, message: Message) -> Iterator[bytes]:
        """What each column of a message is as bytes."""
        for at in self.columns(message):
            value = self.value(message.meaning, at, self.size(message))
            yield as_bytes(value)

    # -- shared ------------------------------------------------------------------------------------------------------

    def shared(self, name: str, at: At) -> Shared:
        kind = "plain" if at.factor is None else "product"
        found = [each for each in self.card.shared if each.name == name and each.when in (kind, "joined", "always")]
        if at.summed is None or len(found) != 1:
            raise Meaningless(f"{name} is not shared in this column")
        return found[0]

    def opened(self, name: str, at: At) -> tuple[np.ndarray, np.ndarray]:
        """A shared value, and the sum of its shares."""
        shared = self.shared(name, at)
        value = self.words(shared.value, at, 0)
        total = np.zeros_like(value)
        for term in shared.shares.values():
            total = _added(total, self.words(term, at, value.size))
        return value, total

    def mask(self, key: str, label: str, column: int, size: int) -> np.ndarray:
        return self.run.stream(key, label, column, size)

    # -- terms -------------------------------------------------------------------------------------------------------

    def words(self, term: Term, at: At, size: int) -> np.ndarray:
        value = self.value(term, at, size)
        if not isinstance(value, np.ndarray):
            raise Meaningless("words are expected")
        return value

    def places(self, term: Term, at: At) -> Places:
        value = self.value(term, at, 0)
        if not isinstance(value, Places):
            raise Meaningless("places are expected")
        return value

    def value(self, term: Term, at: At, size: int) -> Value:
        """What a term comes to. ``size``: how many words of a mask are meant, where nothing else says so."""
        run = self.run
        match term:
            case Sum(parts):
                signed = [(sign, self.words(part, at, size)) for sign, part in parts]
                total = np.zeros_like(signed[0][1])
                for sign, words in signed:
                    total = _added(total, words, sign)
                return total
            case Product(factors):
                whole = self.words(factors[0], at, size)
                for factor in factors[1:]:
                    whole = _same_size(whole, other := self.words(factor, at, size)) * other
                return whole
            case "match":
                return self.match()
            case str() if any(term == m.label for m in self.card.messages):
                return self.message(term, at)
            case str() if any(term == each.name for each in self.card.shared):
                return self.value(self.shared(term, at).value, at, size)
            case Call("values", (str(role), str(index))):
                return run.values(role, at.index(index))
            case Call("local", ("a", "summed")):
                return run.local[at.index("summed")]
            case Call("noise", (str(role), "summed")) if role in ("a", "b", "helper"):
                return run.noise[("a", "b", "helper").index(role), at.index("summed")]
            case Call("mask", (str(key), str(label), str(index))):
                return self.mask(key, label, at.index(index), size)
            case Call("zero", (str(key), str(index))):
                return self.mask(key, "zero", at.index(index), size)
            case Call("checks", (str(key), str(role))):
                return run.checks(key, role)
            case Call("table", ("tag", Call("keys", (str(role),)), inner)):
                return run.table(run.keys(role), self.of_persons(inner, role, at))
            case Call("part", (str(key), str(name), "summed")):
                program = self.card.program
                if program is None or program.makes != name or (key, at.index("summed")) not in run.parts:
                    raise Meaningless(f"nothing leaves {key} a part of {name}")
                return run.parts[key, at.index("summed")].copy()
            case Call("share", (str(role), str(name))):
                shares = self.shared(name, at).shares
                if role not in shares:
                    raise Meaningless(f"{role} has no share of {name}")
                return self.value(shares[role], at, size)
            case Call("permute", (Call("perm", (str(key), str(label))), inner)):
                return self.permuted(key, label, self.value(inner, at, size))
            case Call("order", (Call("perm", (str(key), str(label))), inner)):
                words = self.words(inner, at, size)
                return words[run.order(key, label, words.size)]
            case Call("gather", (inner, places)):
                read = self.places(places, at)
                words = self.words(inner, at, read.below)
                if words.size != read.below:
                    raise Meaningless("places in another list")
                return words[read.at]
            case Call("prefix", (inner,)):
                return _words(list(accumulate(self.words(inner, at, size).tolist())))
            case Call("sum_cells", (inner,)):
                return self.sum_cells(self.words(inner, at, len(run.cells)))
            case Call("diff", (inner,)):
                words = self.words(inner, at, run.case.g).tolist()
                return _words([word - before for word, before in zip(words, [0, *words[:-1]], strict=True)])
            case Call("ends", (Call("groups", ("a",)),)):
                return run.ends()
            case Call("tags", ("tag", *lists)):
                return self.tags(lists)
            case Call("sort", (inner,)):
                value = self.value(inner, at, size)
                if isinstance(value, Tags):
                    return Tags(tuple(sorted(value.rows)))
        raise Meaningless(f"{term} says nothing")

    def of_persons(self, term: Term, role: str, at: At) -> np.ndarray:
        """A column of a role's table, person by person for each occurrence, before its list is sorted."""
        match term:
            case Call("values", ("b", str(index))) if role == "b":
                if at.index(index) >= len(self.run.case.y):
                    raise Meaningless("b has no such column")
                return _words(self.run.case.y[at.index(index)] * self.run.case.k)
            case Call("checks", (str(key), str(other))) if other == role:
                return self.run.checks(key, role)
        raise Meaningless(f"{term} has no word for each person of {role}")

    def tags(self, lists: Sequence[Term]) -> Tags:
        found: list[Blocks | str] = []
        for one in lists:
            match one:
                case Call("keys", (str(role),)):
                    found.append(self.run.keys(role))
                case Call("dummies", (str(key),)):
                    found.append(self.run.dummies(key))
                case Call("fillers", (str(role),)):
                    found.append(role)
                case _:
                    raise Meaningless(f"{one} is no list")
        dummies = sum(block[0] == DUMMY for one in found if isinstance(one, Blocks) for _, block in one.entries)
        return self.run.tags([self.run.fillers(one, dummies) if isinstance(one, str) else one for one in found])

    def permuted(self, key: str, label: str, value: Value) -> Value:
        """Entry i goes to place ``order[i]``; places go with the entries that lie there."""
        if isinstance(value, Places):
            return Places(self.run.order(key, label, value.below)[value.at], value.below)
        size = len(value.rows) if isinstance(value, Tags) else value.size
        order = self.run.order(key, label, size).tolist()
        back = sorted(range(size), key=order.__getitem__)
        return Tags(tuple(value.rows[i] for i in back)) if isinstance(value, Tags) else value[back]

    def match(self) -> Places:
        """For each tag that a sends its place among those that b sends, or the slot of its own behind them."""
        if self.card.program is None:
            of_a, of_b = (self.message(label, At()) for label in ("M1", "M2"))
        else:  # nobody has both lists, and what is equal is equal all the same
            of_a, listed = self.message("T", At()), self.run.tags([self.run.keys("b"), self.run.fillers("b", 0)])
            of_b = Tags(tuple(sorted(listed.rows)))
        if not isinstance(of_a, Tags) or not isinstance(of_b, Tags):
            raise Meaningless("no tags")
        place = {tag: i for i, tag in enumerate(of_b.rows)}
        found = [place.get(tag, len(of_b.rows) + i) for i, tag in enumerate(of_a.rows)]
        return Places(np.array(found, np.int64), len(of_a.rows) + len(of_b.rows))

    def sum_cells(self, words: np.ndarray) -> np.ndarray:
        """Sums of what lies in role a's list, as sent, by cell."""
        cells = self.run.cells
        if words.size != len(cells):
            raise Meaningless("no word for each entry of role a's list")
        listed, totals = words.tolist(), [0] * self.run.case.g
        for cell, place in zip(cells, self.run.order("s_ab", "q", len(cells)).tolist(), strict=True):
            totals[cell] += listed[place]
        return _words(totals)


def as_bytes(value: Value) -> bytes:
    """What is on the wire: words and places least byte first, tags one after another."""
    if isinstance(value, Tags):
        return b"".join(value.rows)
    return value.at.astype("<u4").tobytes() if isinstance(value, Places) else value.astype("<u8").tobytes()


def _same_size(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    if left.size != right.size:
        raise Meaningless("two sizes in one sum or product")
    return left


def _added(total: np.ndarray, part: np.ndarray, sign: int = 1) -> np.ndarray:
    return _same_size(total, part) + part if sign > 0 else _same_size(total, part) - part
