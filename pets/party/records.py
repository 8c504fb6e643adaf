"""A party's state file, opened to look at it: nothing is written, and a server that runs is not held up."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, Self

from pets.errors import ConfigError
from pets.party.state import BUSY_MS, MIGRATIONS


class Records(Protocol):
    """What can be read from: a ``State``, or a ``Reader`` of one."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]: ...


class Reader:
    """A state file that another process may be serving from.

    Raises: ConfigError config.state if there is none, if it is damaged, or if another version of this software wrote
            it: changing it over is for the server that owns it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=BUSY_MS / 1000,
                isolation_level=None,
                check_same_thread=False,
            )
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:
            advice = "start the server once: it makes the file, and its own account can read it"
            raise ConfigError("config.state", file=path.name, problem="it cannot be opened", advice=advice) from None
        except sqlite3.Error:
            advice = "keep the file, restore a copy and hold its log against receipts (pets party log)"
            raise ConfigError("config.state", file=path.name, problem="it is damaged", advice=advice) from None
        if version != len(MIGRATIONS):
            self._db.close()
            problem = f"it is of {'an earlier' if version < len(MIGRATIONS) else 'a later'} version"
            advice = "look at it with the version of the server that serves it, or start this version once"
            raise ConfigError("config.state", file=path.name, problem=problem, advice=advice)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, while no other thread uses it."""
        with self._lock:
            yield self._db

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
