"""What a protocol role is: a generator that yields acts and returns its output.

A role has no socket, clock, log or entropy of its own. Whoever drives it performs the acts: the in-memory network of
tests and notebooks, or a party's session over gRPC. Sub-protocols compose with ``yield from``.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, repr=False)
class Send:
    """Send column ``column`` of message ``label`` of the card to role ``to``. The array must not be changed after."""

    to: str
    label: str
    array: Array
    column: int = 0

    def __repr__(self) -> str:
        return f"Send({self.to}, {self.label}.{self.column}, {self.array.dtype}{list(self.array.shape)})"


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for column ``column`` of message ``label`` from role ``from_``; dtype and shape are the card's."""

    from_: str
    label: str
    column: int = 0


@dataclass(frozen=True, slots=True)
class Hear(Receive):
    """The same, but the answer is None if the sender is lost, or had sent nothing by the deadline of the run.

    A driver that does not know it waits, as for any other message; what it decides is decided once.
    """


Act = Send | Receive


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What ties messages to one run: the digest of its specification and its run id, 32 raw bytes each."""

    digest: bytes
    run_id: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != 32 or len(self.run_id) != 32:
            raise ValueError("run id and specification digest have 32 bytes")


T = TypeVar("T")
Role = Generator[Act, Array | None, T]
"""A role: ``reply = yield Receive(...)`` gives the array; ``yield Send(...)`` gives None."""


def marked(role: Role[T], mark: str) -> Role[T]:
    """``role`` with ``mark`` before each of its labels: one sub-protocol of several that use the same labels."""
    answer: Array | None = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            made: T = end.value
            return made
        answer = yield replace(act, label=mark + act.label)


def receive(from_: str, label: str, column: int = 0) -> Role[Array]:
    """Receive one column of one message; always an array."""
    array = yield Receive(from_, label, column)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"the driver gave no array for {label}")
    return array


def receive_columns(from_: str, label: str, columns: int) -> Role[list[Array]]:
    """Receive all columns of one message, in order."""
    arrays = []
    for column in range(columns):
        arrays.append((yield from receive(from_, label, column)))
    return arrays
