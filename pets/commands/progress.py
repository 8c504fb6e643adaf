"""Progress of a run in the terminal: a bar for each party, moved by its messages."""

import threading
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pets.commands.say import err
from pets.ids import PartyId
from pets.transport.calls import Event


class RunBars:
    """A callable for ``Network.run(progress=...)``; shows nothing where the output is no terminal."""

    def __init__(self, expected: dict[PartyId, int] | None = None) -> None:
        self._expected = expected or {}
        self._bars = Progress(
            TextColumn("{task.fields[party]:<12}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._tasks: dict[PartyId, TaskID] = {}
        self._lock = threading.Lock()

    def __call__(self, party: PartyId, event: Event) -> None:
        with self._lock:
            if party not in self._tasks:
                total = self._expected.get(party)
                self._tasks[party] = self._bars.add_task("waiting", party=party, total=total)
            if event.kind == "step":
                self._bars.update(self._tasks[party], advance=1, description=event.name)
            elif event.kind == "end":
                self._bars.update(self._tasks[party], description=event.code or "done")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
