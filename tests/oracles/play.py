"""Play all roles of a protocol in one thread: acts are performed directly, in an order that a test chooses."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pets.protocols.base import Array, Hear, Receive, Role, Send

Key = tuple[str, str, str, int]
"""(sender, receiver, label, column)"""


@dataclass
class Transcript:
    """Everything that was sent, in order, and what each role returned."""

    sent: list[tuple[Key, Array]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def array(self, label: str, column: int = 0) -> Array:
        return next(array for key, array in self.sent if key[2:] == (label, column))

    def shape_of_traffic(self) -> list[tuple[Key, str, tuple[int, ...]]]:
        return sorted((key, str(array.dtype), array.shape) for key, array in self.sent)

    def bytes(self) -> int:
        return sum(array.nbytes for _, array in self.sent)


def play(
    roles: Mapping[str, Role[Any]],
    *,
    seed: int = 0,
    alter: Callable[[Key, Array], Array] = lambda key, array: array,
    lost: Collection[str] = (),
) -> Transcript:
    """Run ``roles`` until all have returned; ``seed`` chooses which role moves next whenever several can.

    A message that nobody receives, or a role that waits for ever, is a failure of the test. Of roles in ``lost``, that
    return early or are not there at all, nothing more is heard, and nothing needs to be received.
    """
    chooser = random.Random(seed)
    transcript = Transcript()
    waiting: dict[Key, Array] = {}
    pending: dict[str, Receive | None] = dict.fromkeys(roles)
    live = dict(roles)
    while live:
        gone = set(lost) - set(live)
        movable = [name for name in live if _can_move(name, pending[name], waiting, gone)]
        assert movable, f"nobody can move: {pending}"
        name = chooser.choice(movable)
        wish = pending[name]
        answer = waiting.pop((wish.from_, name, wish.label, wish.column), None) if wish else None
        pending[name] = None
        try:
            act = live[name].send(answer)
        except StopIteration as end:
            transcript.outputs[name] = end.value
            del live[name]
            continue
        if isinstance(act, Send):
            key = (name, act.to, act.label, act.column)
            assert key not in waiting and all(key != k for k, _ in transcript.sent), f"{key} sent twice"
            array = alter(key, act.array)
            transcript.sent.append((key, array.copy()))
            frozen = array.view()
            frozen.flags.writeable = False
            waiting[key] = frozen
        else:
            pending[name] = act
    never = [key for key in waiting if not {key[0], key[1]} & set(lost)]
    assert not never, f"never received: {never}"
    return transcript


def _can_move(name: str, wish: Receive | None, waiting: Mapping[Key, Array], gone: Collection[str]) -> bool:
    if wish is None or (wish.from_, name, wish.label, wish.column) in waiting:
        return True
    return isinstance(wish, Hear) and wish.from_ in gone


def watched(role: Role[Any], look: Callable[[Send | Receive], object]) -> Role[Any]:
    """A role, each of whose acts is looked at before it is performed."""
    answer = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            return end.value
        look(act)
        answer = yield act


def words(seed: int, *shape: int) -> Array:
    """Reproducible words for tests."""
    return np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)
