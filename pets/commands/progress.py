"""Progress in the terminal: a bar for a piece of work, a bar for each party of a run; nothing if it is no terminal."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pets.commands.say import err
from pets.ids import PartyId

if TYPE_CHECKING:
    from pets.plan.review import Reviewed
    from pets.transport.calls import Event

Tell = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""


@contextmanager
def bar(text: str) -> Iterator[Tell]:
    """A bar for one piece of work; it only pulses until its share is told."""
    columns = TextColumn("{task.description:<44}"), BarColumn(bar_width=24), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(text, total=None)
        yield lambda share: bars.update(task, total=1.0, completed=share)


def expected_steps(reviewed: "Reviewed") -> dict[PartyId, int]:
    """How many steps each party will report: its own rows, the hello, and every array that it sends or receives.

    Holders who upload report what nobody waits for: they have one bar together (``holders``).
    """
    from pets.party import gate
    from pets.party.cast import roles_of

    uploading = holders(reviewed)
    roles = {role: party for role, party in roles_of(reviewed).items() if party not in uploading or role == "result"}
    own = {party for read in reviewed.plan.reads for party in read.parties}
    before = {role: 2 if party in own else 1 for role, party in roles.items() if role != "result"}
    return {roles[role]: extra + len(gate.project_plan(reviewed.plan, roles, role)) for role, extra in before.items()}


def holders(reviewed: "Reviewed") -> tuple[PartyId, ...]:
    """Who uploads a part of a table of many holders."""
    return () if reviewed.plan.pool is None else reviewed.plan.pool.holders


class RunBars:
    """A callable for ``Network.run(progress=...)``: a bar for each party, moved by its steps.

    ``uploading``: holders who have one bar together, moved by each that has handed in its part.
    """

    def __init__(self, expected: dict[PartyId, int], uploading: Sequence[PartyId] = ()) -> None:
        self._expected = expected
        self._uploading = frozenset(uploading)
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

    def __call__(self, party: PartyId, event: "Event") -> None:
        with self._lock:
            if party in self._uploading:
                self._uploaded(event)
                return
            if party not in self._tasks:
                total = self._expected.get(party)
                self._tasks[party] = self._bars.add_task("waiting", party=party, total=total)
            if event.kind == "step":
                self._bars.update(self._tasks[party], advance=1, description=event.name)
            elif event.kind == "end":
                self._bars.update(self._tasks[party], description=event.code or "done")

    def _uploaded(self, event: "Event") -> None:
        together = PartyId("holders")
        if together not in self._tasks:
            self._tasks[together] = self._bars.add_task("upload", party=together, total=len(self._uploading))
        if event.kind == "end" and not event.code:
            self._bars.update(self._tasks[together], advance=1)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
