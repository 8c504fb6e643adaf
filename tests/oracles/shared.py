"""Share columns among three parties and play an operation at each: values, rounds and messages of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pets.kernels.shares import Zeros, unplanes
from pets.protocols.base import Role, Send
from pets.protocols.rep3.sharing import PARTIES, Bits, Context, Words
from pets.secret import Secret
from pets.spec.operations import Sent
from tests.oracles.play import Key, Transcript, play

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Run = Callable[..., Role[Any]]

KEYS = [Secret(bytes([number + 1] * 16)) for number in range(3)]


@dataclass
class Played:
    """What three parties returned and sent. ``rounds``: how many messages had to wait for each other, at the most."""

    transcript: Transcript
    outputs: list[Any]
    positions: list[int]
    rounds: int

    @property
    def value(self) -> U64:
        """What the shares add up to, also of a list of columns; common components must be equal."""
        return _value([[output] if isinstance(output, Words | Bits) else output for output in self.outputs])

    @property
    def signed(self) -> I64:
        return self.value.view(np.int64)

    def sent_by(self, party: int) -> list[Sent]:
        return [
            Sent(label, PARTIES.index(sender), PARTIES.index(receiver), array.size)
            for (sender, receiver, label, _), array in self.transcript.sent
            if sender == PARTIES[party]
        ]


def _value(parties: list[list[Any]]) -> U64:
    whole = []
    for components in zip(*parties, strict=True):
        for party in range(3):
            assert np.array_equal(components[party].next, components[(party + 1) % 3].own)
        own = [each.own for each in components]
        if isinstance(components[0], Bits):
            whole.append(unplanes(own[0] ^ own[1] ^ own[2], components[0].rows))
        else:
            whole.append(own[0] + own[1] + own[2])
    return np.concatenate(whole)


def split(rng: np.random.Generator, values: U64) -> list[U64]:
    first, second = (rng.integers(0, 2**64, values.size, np.uint64) for _ in range(2))
    return [first, second, values - first - second]


def run(
    act: Run,
    *columns: Any,
    seed: int = 0,
    alter: Callable[[Key, Any], Any] = lambda key, array: array,
    parts: list[list[U64]] | None = None,
) -> Played:
    """Play ``act`` at three parties on columns of whole numbers, negative ones too; ``parts``: on these components."""
    rng = np.random.default_rng(seed)
    parts = [split(rng, _words(column)) for column in columns] if parts is None else parts
    contexts = [Context(party, Zeros(KEYS[party], KEYS[(party + 1) % 3])) for party in range(3)]
    depths: dict[Key, int] = {}
    roles = {}
    for party, name in enumerate(PARTIES):
        own = [Words(each[party], each[(party + 1) % 3]) for each in parts]
        roles[name] = _counted(act(contexts[party], *own), name, depths)
    transcript = play(roles, seed=seed, alter=alter)
    outputs = [transcript.outputs[name] for name in PARTIES]
    return Played(transcript, outputs, [c.zeros.position for c in contexts], max(depths.values(), default=0))


def _words(column: Any) -> U64:
    array = np.asarray(column)
    return array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)


def _counted(role: Role[Any], name: str, depths: dict[Key, int]) -> Role[Any]:
    """The role, with the depth of every message noted: one more than the deepest that its sender had by then."""
    depth, answer = 0, None
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(act, Send):
            depths[name, act.to, act.label, act.column] = depth + 1
        answer = yield act
        if not isinstance(act, Send):
            depth = max(depth, depths[act.from_, name, act.label, act.column])
