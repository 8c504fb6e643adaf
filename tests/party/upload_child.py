"""A whole deployment of holders that is killed with SIGKILL at a durable step of one of them, again and again.

Run as a script: ``upload_child.py FOLDER PARTY EVERY FIRST``, as ``release_child.py``. Before a part of an upload of
``PARTY`` is handed over, a marker is on disk in the folder of that deployment.
"""

import os
import signal
import sys
from pathlib import Path

from pets.errors import PetsError
from pets.ids import PartyId
from pets.party import contribute
from pets.party.state import Boundary
from tests.party.killing import tell
from tests.party.pool_world import PoolWorld, parts, toml_of

LEFT = "left"


def play(folder: Path, party: PartyId, stop: int) -> list[str]:
    """One run of a deployment on disk, killed at step ``stop`` of ``party``; the steps, if it is not."""
    contribute.MINUTE_S = 2.0  # type: ignore[misc]
    world = PoolWorld(folder, toml_of(3, 2, minimum=3), parts(3, rows=8), durable=True)
    world.prepared()
    passed: list[str] = []

    def at(who: PartyId, boundary: Boundary) -> None:
        if who == party:
            passed.append(boundary.value)
            if len(passed) - 1 == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    def mark(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        if sender == party:
            descriptor = os.open(folder / f"{LEFT}-{to}", os.O_CREAT | os.O_WRONLY, 0o600)
            os.fsync(descriptor)
            os.close(descriptor)
        return part

    world.hooks.at, world.hooks.upload = at, mark
    try:
        world.run(world.toml)
    except PetsError as error:  # of a run that was to be killed and was not, a test hears so
        passed.append(error.code)
    world.settle()
    return passed


if __name__ == "__main__":
    tell(play, *sys.argv[1:])
