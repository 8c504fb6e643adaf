"""A whole deployment that is killed with SIGKILL at a step of a run, again and again.

Run as a script: ``release_child.py FOLDER PARTY EVERY FIRST``. It counts the durable steps of one run at ``PARTY``,
each time that one of its boundaries is passed, and then kills a deployment of its own at every ``EVERY``-th of them
from ``FIRST`` on. Prints a JSON list: the folder of each, its boundary, and whether it was killed there. Before a
message that opens a table is handed over, a marker is on disk in that folder.
"""

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from pets.ids import PartyId
from pets.party.state import Boundary
from pets.transport.memory import Passing
from tests.party.killing import tell
from tests.party.world import FINAL, World

RELEASED = "released"


def play(folder: Path, party: PartyId, stop: int) -> list[str]:
    """One run of a deployment on disk, killed at step ``stop`` of ``party``; the steps, if it is not."""
    world = World(folder, durable=True)
    world.ready()
    passed: list[str] = []

    def at(who: PartyId, boundary: Boundary) -> None:
        if who == party:
            passed.append(boundary.value)
            if len(passed) - 1 == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    def mark(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message in FINAL:
            descriptor = os.open(folder / f"{RELEASED}-{passing.head.slot.message}", os.O_CREAT | os.O_WRONLY, 0o600)
            os.fsync(descriptor)
            os.close(descriptor)
        return (passing.data,)

    world.hooks.at = at
    world.hooks.taps.append(mark)
    world.run()
    world.settle()
    return passed


if __name__ == "__main__":
    tell(play, *sys.argv[1:])
