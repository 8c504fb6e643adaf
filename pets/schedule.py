"""Standing approvals: specifications with a schedule, run by the result party without new signatures.

What was signed once runs once in each period of its schedule (spec/periods.py), as long as the specification is equal
or covered, the approvals are valid and the budget lasts. Every party decides that alone when the run starts, by its own
clock; what is asked here before is only when, and what would stand against it. A run that was left out is not made up
for. Unattended, nothing is asked of rows that were asked before: some table has to have been renewed since.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pets.errors import BudgetError, ConfigError, PetsError, RunError
from pets.gathering import failing
from pets.ids import PartyId, SpecDigest
from pets.network import Network, read
from pets.outputs import is_free
from pets.party import outlook
from pets.result import Result, evidence_folder
from pets.spec.ir import Pool
from pets.spec.model import Spec
from pets.spec.periods import renewed

SUFFIX: Final = ".spec.toml"

_QUIET: Final = frozenset(
    {
        "budget.not-due",
        "budget.runs",
        "run.no-schedule",
        "budget.same-rows",
        "approval.spec-expired",
        "approval.spec-not-yet-valid",
    }
)
"""Why nothing is due, so that nobody has to be called."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A specification and what its parties say of its next run.

    ``left``, ``affordable``: the fewest of any party; ``due``: the latest day of any, None if there will be none.
    ``refused``: why it would not run today.
    """

    path: Path
    spec: Spec | None
    last: dt.date | None = None
    due: dt.date | None = None
    left: int | None = None
    affordable: int | None = None
    refused: PetsError | None = None

    @property
    def quiet(self) -> bool:
        """True if it is not started because nothing is due, and not because something is wrong."""
        return self.refused is not None and self.refused.code in _QUIET

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(SUFFIX).removesuffix(".toml")

    def to_json(self) -> dict[str, object]:
        """The same for machines."""
        return {
            "specification": str(self.path),
            "schedule": self.spec.validity.schedule if self.spec is not None else None,
            "last": self.last and self.last.isoformat(),
            "due": self.due and self.due.isoformat(),
            "left": self.left,
            "affordable": self.affordable,
            "refused": self.refused and {"code": self.refused.code, "text": self.refused.text},
        }


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a run that was due: the table's file, or what refused or ended it."""

    scheduled: Scheduled
    file: Path | None
    error: PetsError | None = None


def found_beside(directory: Path) -> tuple[Path, ...]:
    """The specifications beside a directory file, by name."""
    return tuple(sorted(directory.parent.glob(f"*{SUFFIX}")))


def look(network: Network, paths: Iterable[Path]) -> tuple[Scheduled, ...]:
    """Ask every party of each specification when it would run next. Nothing is started."""
    return tuple(_look(network, path) for path in paths)


def run_due(
    network: Network,
    paths: Sequence[Path],
    out: Path,
    *,
    tell: Callable[[Scheduled], None] = lambda scheduled: None,
) -> Iterator[Ended]:
    """Start everything that is due, one after the other, and save tables and evidence in the folder ``out``.

    ``tell`` is called before each run. What is not due is left out; what is refused or ends early is told, and the
    others run all the same. The name of a table is that of its specification and the day, as the parties have it.
    """
    for path in paths:
        scheduled = _look(network, path)
        if scheduled.quiet:
            continue
        if scheduled.refused is not None:
            yield Ended(scheduled, None, scheduled.refused)
            continue
        tell(scheduled)
        assert scheduled.due is not None
        to = out / f"{scheduled.name}-{scheduled.due.isoformat()}.csv"
        try:
            result = _run(network, path, to)
        except PetsError as error:
            if error.code != "budget.not-due":  # another one of us was faster
                yield Ended(scheduled, None, error)
            continue
        try:
            result.save(to)
        except OSError as failed:
            problem = f"its run is over, and it could not be written: {(failed.strerror or 'unknown').lower()}"
            yield Ended(scheduled, None, ConfigError("config.output", file=to.name, problem=problem))
            continue
        yield Ended(scheduled, to)


def _run(network: Network, path: Path, to: Path) -> Result:
    for each in (to, evidence_folder(to)):
        is_free(each)
    return network.run(path)


def _look(network: Network, path: Path) -> Scheduled:
    spec = None
    try:
        _, found = read(path)
        reviewed = found.settled()
        spec = reviewed.spec
        if spec.validity.schedule is None:
            raise RunError("run.no-schedule", file=path.name)
        if network.analyst.party != spec.result_party:  # parties would not say
            raise RunError("run.other-result", file=path.name, result=spec.result_party, party=network.analyst.party)
        pool = reviewed.plan.pool
        asked = spec.servers if pool is None else spec.computing
        said = [_ask(network, party, reviewed.digest) for party in asked]
        if pool is not None:
            said.append(_of_holders(network, pool, reviewed.digest, said[0].outlook))
    except PetsError as error:
        return Scheduled(path, spec, refused=error)
    outlooks = [each.outlook for each in said]
    last = max((each.last for each in outlooks if each.last is not None), default=None)
    days = [each.due for each in outlooks]
    due = None if None in days else max(day for day in days if day is not None)
    return Scheduled(
        path,
        spec,
        last=last,
        due=due,
        left=min(each.left for each in outlooks),
        affordable=min((each.affordable for each in outlooks if each.affordable is not None), default=None),
        refused=_first(each.refused for each in said) or _same_rows(spec, last, outlooks[0].today),
    )


def _ask(network: Network, party: PartyId, digest: SpecDigest) -> outlook.Said:
    files = network.server(party).evidence(digest).files
    return outlook.read(dict(files), party=party)


def _of_holders(network: Network, pool: Pool, digest: SpecDigest, computing: outlook.Outlook) -> outlook.Said:
    """What as many holders as have to take part say together; one more that refuses, or is away, is left out.

    ``computing``: what a computing party says, where holders add nothing to it.
    """
    said: dict[PartyId, outlook.Said] = {}

    def ask(party: PartyId) -> None:
        said[party] = _ask(network, party, digest)

    errors = [*failing(ask, pool.holders).values(), *(each.refused for each in said.values() if each.refused)]
    ready = [said[party].outlook for party in pool.holders if party in said and said[party].refused is None]
    if len(ready) < pool.minimum:
        return outlook.Said(computing, _first(errors))
    rooms = sorted((each.affordable for each in ready if each.affordable is not None), reverse=True)
    unlimited = len(ready) - len(rooms)
    affordable = None if unlimited >= pool.minimum else rooms[pool.minimum - unlimited - 1]
    left = sorted((each.left for each in ready), reverse=True)[pool.minimum - 1]
    return outlook.Said(computing.model_copy(update={"affordable": affordable, "left": left}), None)


def _first(refusals: Iterable[PetsError | None]) -> PetsError | None:
    """The one that a person should see: a fault comes before a wait."""
    found = [each for each in refusals if each is not None]
    return min(found, key=lambda each: each.code in _QUIET, default=None)


def _same_rows(spec: Spec, last: dt.date | None, today: dt.date) -> PetsError | None:
    """Refuse to ask the same rows again: the noise of two releases on them averages out."""
    if last is None or any(renewed(table.refresh, last, today) for table in spec.datasets):
        return None
    rules = ", ".join(f"{table.name} ({table.refresh})" for table in spec.datasets)
    return BudgetError("budget.same-rows", last=last.isoformat(), tables=rules)
