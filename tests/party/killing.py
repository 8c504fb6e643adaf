"""Deployments in processes of their own, which are killed with SIGKILL at a durable step: what such scripts share."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from pets.ids import PartyId
from pets.party.warm import prepare_kernels

Play = Callable[[Path, PartyId, int], list[str]]
"""One run of a deployment on disk, killed at a step of a party; the steps, if it is not."""


def killed(play: Play, folder: Path, party: PartyId, stop: int) -> bool:
    """Play in a process of its own. True if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            play(folder, party, stop)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def counted(play: Play, root: Path, party: PartyId) -> list[str]:
    """The steps of a run that nobody stops, counted in a process that ends before others are made."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.write(writer, json.dumps(play(root / "whole", party, -1)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        steps: list[str] = json.loads(said.read())
    os.waitpid(child, 0)
    return steps


def tell(play: Play, folder: str, party: str, every: str, first: str) -> None:
    """Kill a deployment at every so many steps from the first on; print the folder, the step, and whether it was."""
    root, who = Path(folder), PartyId(party)
    prepare_kernels()  # before the first fork, and so once
    steps = counted(play, root, who)
    told = []
    for stop in range(int(first), len(steps), int(every)):
        place = root / f"stop{stop}"
        told.append([place.name, steps[stop], killed(play, place, who, stop)])
    print(json.dumps(told))
