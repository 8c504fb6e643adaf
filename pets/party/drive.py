"""Drive one role: perform its acts through the gate, over a link, until it returns."""

import time
from collections.abc import Callable
from typing import TypeVar

from pets.party.gate import Gate
from pets.protocols.base import Array, Hear, Role, Send
from pets.transport.link import Link

T = TypeVar("T")

Tick = Callable[[str, int, float], None]
"""Called after each act with the message label, its bytes and the seconds since the previous act."""


def _silent(label: str, size: int, seconds: float) -> None:
    return None


def let_in(gate: Gate, link: Link) -> None:
    """Let peers send what the gate will let pass, and nothing else. Only the first call does anything."""
    if gate.let_in:
        return
    gate.let_in = True
    for expected in gate.incoming:
        link.expect(expected.peer, expected.slot, expected.size)
    link.open()


def drive(
    role: Role[T],
    gate: Gate,
    link: Link,
    *,
    deadline_s: float | Callable[[int], float],
    check: Callable[[], None] = lambda: None,
    tick: Tick = _silent,
) -> T:
    """Run ``role`` to its end and return its output.

    ``deadline_s``: the longest wait for one message, or what says so, by its round, when the waiting begins.
    ``check`` is called before every act and raises to stop the run (stop button, revocation, expiry).
    Raises:  whatever the role, the gate, the link or ``check`` raise; the role is closed in every case.
    """
    wait_s: Callable[[int], float] = deadline_s if callable(deadline_s) else lambda turn: deadline_s
    turn = 0
    let_in(gate, link)
    answer: Array | None = None
    last = time.perf_counter()
    try:
        while True:
            try:
                act = role.send(answer)
            except StopIteration as end:
                link.flush(wait_s(turn))
                return end.value  # type: ignore[no-any-return]
            check()
            if isinstance(act, Send):
                expected, body = gate.pass_out(act)
                link.send(expected.peer, expected.slot, body)
                answer = None
            else:
                expected = gate.pass_in(act)
                turn = expected.round
                wait = link.hear if isinstance(act, Hear) else link.receive
                found = wait(expected.peer, expected.slot, wait_s(turn))
                answer = None if found is None else gate.read(expected, found)
            now = time.perf_counter()
            tick(act.label, expected.size, now - last)
            last = now
    finally:
        role.close()
