"""Several commits, one flush: what was committed is on disk before anybody is told so, and commits share the wait.

SQLite in WAL mode appends each commit to a file of its own beside the database. Flushing that file for each commit, one
after another, is what a server with many runs waits for: some milliseconds each. Here whoever has committed waits for a
flush that began after its commit; one of those who wait does it, for all of them.

SQLite itself flushes the file before it moves pages of it into the database (``synchronous = NORMAL``), so nothing that
was flushed is ever overwritten by what was not.

A flush that failed is never tried again: a kernel may forget what it could not write, and say of the next flush that
all is well. From then on nothing is said to be on disk, until the server is started anew and reads what is there.
"""

import os
import threading
from pathlib import Path
from typing import Final


class Flusher:
    """Flushes the write-ahead file of a database. Safe for threads."""

    def __init__(self, database: Path) -> None:
        true = database.resolve()  # where the file of a link is: SQLite puts its own beside that one
        self._path: Final = true.with_name(f"{true.name}-wal")
        self._changed = threading.Condition()
        self._file: int | None = None
        self._committed = self._flushed = 0
        self._flushing = False
        self._failed: OSError | None = None

    def committed(self) -> int:
        """A commit was made. Returns: its number. Called in the order of commits."""
        with self._changed:
            self._committed += 1
            return self._committed

    def flush(self, number: int) -> None:
        """Return once the commit of this number, and so all before it, are on disk. Raises: OSError."""
        with self._changed:
            self._changed.wait_for(lambda: self._flushed >= number or not self._flushing)
            if self._flushed >= number:
                return
            if self._failed is not None:
                raise OSError("an earlier flush of the database failed") from self._failed
            self._flushing, until = True, self._committed
        try:
            os.fsync(self._opened())
        except BaseException as error:
            with self._changed:
                self._flushing = False
                self._failed = error if isinstance(error, OSError) else None
                self._changed.notify_all()
            raise
        with self._changed:
            self._flushing, self._flushed = False, until
            self._changed.notify_all()

    def close(self) -> None:
        """Close the file."""
        with self._changed:
            self._changed.wait_for(lambda: not self._flushing)
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        """The file, which stays the same as long as the database is open; its name is flushed once, too."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self._file
