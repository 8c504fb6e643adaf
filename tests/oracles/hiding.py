"""Whether masks hide: the words that a coalition sees, as linear forms in the mask words that it does not know.

A card is read (``terms.Reading``) with every mask word of a key that the coalition lacks left unknown. For the inputs
and orders of a run each word that it receives is then a number plus a combination of unknown words. A linear map
between powers of Z/2^64 reaches everything exactly if it does so modulo 2 (Nakayama), so coefficients are bits: if
those of all words received are independent, the words are uniform; each dependence is counted as a combination in which
all masks cancel, which the coalition knows bare. Unknown words that are multiplied with each other hide nothing here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pets.spec.cards import Card
from tests.oracles.terms import Reading, Run


@dataclass
class Unknowns:
    """Numbers for unknown words, and those that are multiplied with one another: they are taken to be known."""

    numbers: dict[tuple[str, str, int, int], int] = field(default_factory=dict)
    multiplied: int = 0


@dataclass(frozen=True)
class Form:
    """A word: its value, and one bit for each unknown word whose coefficient is odd."""

    value: int
    bits: int
    of: Unknowns

    def __add__(self, other: Any) -> "Form":
        if isinstance(other, Form):
            return Form(self.value + other.value, self.bits ^ other.bits, self.of)
        return Form(self.value + int(other), self.bits, self.of)

    def __mul__(self, other: Any) -> "Form":
        if not isinstance(other, Form):
            return Form(self.value * int(other), self.bits if int(other) % 2 else 0, self.of)
        if self.bits and other.bits:
            self.of.multiplied |= self.bits | other.bits
            return Form(self.value * other.value, 0, self.of)
        return self * other.value if self.bits else other * self.value

    def __sub__(self, other: Any) -> "Form":
        return self + -1 * other if isinstance(other, Form) else self + -int(other)

    def __rsub__(self, other: Any) -> "Form":
        return -1 * self + int(other)

    def __mod__(self, _: int) -> "Form":
        return self

    def __xor__(self, other: Any) -> "Form":
        """Bit by bit: modulo 2 the same as a sum. Whoever uses it masks the word with words of no other sum."""
        if isinstance(other, Form):
            return Form(self.value ^ other.value, self.bits ^ other.bits, self.of)
        return Form(self.value ^ int(other), self.bits, self.of)

    __radd__ = __add__
    __rmul__ = __mul__
    __rxor__ = __xor__


@dataclass
class Seen(Reading):
    """A card read by those who hold ``keys``.

    Mistakes for tests to plant: ``told``, a label whose masks everyone knows; ``once``, one that gives the same words
    for all columns.
    """

    keys: Collection[str] = ()
    told: str = ""
    once: str = ""
    unknown: Unknowns = field(default_factory=Unknowns)

    def mask(self, key: str, label: str, column: int, size: int) -> np.ndarray:
        column = 0 if label == self.once else column
        words = super().mask(key, label, column, size)
        if key in self.keys or label == self.told:
            return words
        numbers = self.unknown.numbers
        bits = [1 << numbers.setdefault((key, label, column, i), len(numbers)) for i in range(size)]
        return np.array([Form(v, b, self.unknown) for v, b in zip(words.tolist(), bits, strict=True)], object)


def received(
    card: Card, run: Run, coalition: Collection[str], reader: type[Seen] = Seen, **planted: Any
) -> Mapping[tuple[str, int], list[int]]:
    """What a coalition is sent by others, word by word as bits of unknown words, by message and column."""
    keys = {key.name for key in card.keys if set(key.holders) & set(coalition)}
    seen = reader(card, run, keys=keys, **planted)
    found = {}
    for message in card.messages:
        if message.element == "word" and message.receiver in coalition and message.sender not in coalition:
            for column, at in enumerate(seen.columns(message)):
                words = seen.words(message.meaning, at, seen.size(message)).tolist()
                found[message.label, column] = [w.bits if isinstance(w, Form) else 0 for w in words]
    hides = ~seen.unknown.multiplied
    return {place: [bits & hides for bits in words] for place, words in found.items()}


def bare(words: Mapping[tuple[str, int], list[int]]) -> int:
    """How many independent combinations of words have no unknown word in them."""
    pivots: dict[int, int] = {}
    found = 0
    for bits in (bits for column in words.values() for bits in column):
        while bits and (lead := bits.bit_length()) in pivots:
            bits ^= pivots[lead]
        if bits:
            pivots[lead] = bits
        else:
            found += 1
    return found
