"""A program on made-up data: every party's process on this machine, in step, so that rounds can be counted.

Frames are handed over when no process can go on without one, all at once: each such turn is a round. What a program
sends depends on public numbers alone (party/mpyc_facade.py), so what is counted here is what a run on records takes: it
is where a specification's budget comes from.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pets.errors import PetsError, RunError
from pets.ids import PartyId
from pets.party.mpyc_process import (
    DONE,
    FRAME,
    IDLE,
    KEY_BYTES,
    MEMORY,
    OUTPUT,
    Orders,
    ProgramProcess,
    Record,
    read_numbers,
    subsets,
)
from pets.spec.mpyc_terms import Budget, Terms

SPARE = 16
"""A budget has one part in so many to spare: MPyC draws again, once in 2^40 or so, what came out as zero."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a program did: its outputs by party and name; ``sent``: frames and bytes, by sender and receiver."""

    outputs: Mapping[PartyId, Mapping[str, tuple[int, ...]]]
    rounds: int
    sent: Mapping[tuple[PartyId, PartyId], tuple[int, int]]

    @property
    def budget(self) -> Budget:
        """What a specification gives each server for each other one."""
        frames, size = (max(each[at] for each in self.sent.values()) for at in (0, 1))
        return Budget(frames + frames // SPARE + 1, size + size // SPARE + 1)

    @property
    def total_bytes(self) -> int:
        """Bytes of payload over all links."""
        return sum(size for _, size in self.sent.values())


def play(
    terms: Terms,
    source: str,
    own: Mapping[PartyId, Mapping[str, Sequence[int]]],
    *,
    deadline_s: float,
    memory: int = MEMORY,
) -> Played:
    """Run a program with all its parties on this machine. ``own``: by party and input, made-up numbers.

    Raises: RunError run.program with what the program says of its end, or PeerError peer.program.
    """
    every = {each: secrets.token_bytes(KEY_BYTES) for each in subsets(len(terms.parties), terms.threshold)}
    with ExitStack() as stack:
        processes = []
        for me, party in enumerate(terms.parties):
            keys = {subset: key for subset, key in every.items() if me in subset}
            orders = Orders(me, terms, source, keys, own.get(party, {}), design=True)
            processes.append(stack.enter_context(ProgramProcess(orders, deadline_s=deadline_s, memory=memory)))
        return _Steps(terms, processes).played()


class _Steps:
    """All processes, in step: what each was given, and what it has said until it waits."""

    def __init__(self, terms: Terms, processes: Sequence[ProgramProcess]) -> None:
        self._terms, self._processes = terms, processes
        self._given = [0] * len(processes)
        self._waits = [False] * len(processes)
        """Whether it has said that it waits, and was given nothing since: it says so once."""
        self._done = [False] * len(processes)
        self._told: list[dict[str, list[int]]] = [{} for _ in processes]

    def played(self) -> Played:
        rounds = 0
        waiting = self._until_all_wait()
        while not all(self._done):
            if not waiting:
                raise RunError("run.program", problem="waits for frames that nobody sends")
            rounds += 1
            for sender, record in waiting:
                self._given[record.peer] += 1
                self._waits[record.peer] = False
                self._processes[record.peer].put_frame(sender, record.number, record.body)
            waiting = self._until_all_wait()
        parties = self._terms.parties
        return Played(
            {name: self._processes[at].outputs(self._told[at]) for at, name in enumerate(parties)},
            rounds,
            {
                (name, parties[peer]): (frames, size)
                for at, name in enumerate(parties)
                for peer, (frames, size) in self._processes[at].sent.items()
            },
        )

    def _until_all_wait(self) -> list[tuple[int, Record]]:
        """What every process sends until it has taken in all that it was given, and waits or is done."""
        return [(at, record) for at in range(len(self._processes)) for record in self._until_waiting(at)]

    def _until_waiting(self, at: int) -> list[Record]:
        frames: list[Record] = []
        while not self._done[at] and not self._waits[at]:
            record = self._processes[at].records.get()
            if isinstance(record, PetsError):
                raise record
            if record.kind == FRAME:
                frames.append(record)
            elif record.kind == OUTPUT:
                name, values = read_numbers(record.body)
                self._told[at][name] = values
            elif record.kind == DONE:
                self._done[at] = True
            elif record.kind == IDLE:
                self._waits[at] = record.number == self._given[at]
        return frames
