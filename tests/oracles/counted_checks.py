"""What checks of transfers show, in all small runs of a card where a party may cheat: a part of the slow twin.

A check shows a fold of the noises by points that no other message has, plus entries that serve for nothing else. Who
can add up what is shown, so that these entries cancel, has something of the noises: it is taken to know the vector that
they make. Whether a party that cheats is caught is no question of views, and not asked here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from pets.spec.cards import Message
from pets.spec.term import Call
from tests.oracles.counted import SIZE, Counted


@dataclass(frozen=True)
class Fold:
    """Something of the noises that a key gives, by points that no other message has."""

    key: str
    label: str


@dataclass
class CountedChecks(Counted):
    """A party of a card with checks, and all that it sees in all small runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shown = [each for message in self.seen if (each := self._shown(message.label)) is not None]
        bare = [left for left in _sums(shown) if all(isinstance(each, Fold) for each in left)]
        self.held |= {each.key for left in bare for each in left if isinstance(each, Fold)}

    def _shown(self, label: str) -> frozenset[object] | None:
        """What a check shows: a fold, plus what hides it, if there are entries for that."""
        messages = {each.label: each for each in self.card.messages}
        match messages[label].meaning:
            case str(other):
                return self._shown(other)
            case Call("shown", (str(key), _, str(of))):
                return frozenset({Fold(key, label)} | ({("fold", of)} if self._hides(messages[of])[0] else set()))
            case Call("weighed", (str(key), str(given))):
                leaves = messages[given].meaning
                assert isinstance(leaves, Call)
                of = str(leaves.args[2])
                return frozenset({Fold(key, label)} | ({("weighed", of)} if self._hides(messages[of])[1] else set()))
        return None

    def _hides(self, message: Message) -> tuple[bool, bool]:
        """Whether entries of a message serve for nothing but to hide a fold of it, and what is weighed."""
        names = self.card.names({"n_r": SIZE, "n_s": SIZE, "p": 0, "both": 0})
        count = message.count.evaluate(names)
        if message.term.startswith("asked"):
            return count >= names["transfers"] + 256, False
        left = count // 128 - 256
        return left - (256 if left >= 256 else 0) >= 2, left >= 256


def _sums(shown: list[frozenset[object]]) -> Iterator[frozenset[object]]:
    """All sums of some: what is in two of them cancels."""
    for count in range(1, len(shown) + 1):
        for chosen in combinations(shown, count):
            left: frozenset[object] = frozenset()
            for each in chosen:
                left ^= each
            yield left
