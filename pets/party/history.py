"""The history of releases: what each run of this party's records was about, kept for the differencing guard.

No data: which rows, which cells, which statistics, and a digest that changes with the records. One entry a run, on disk
before the first message that depends on records leaves. It stays, unless this server knows that the run ended while
others still needed something from it: what may have been released counts as released. There is one history for all.
"""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Final

from pets.approve.policy import Policy
from pets.check.differencing import TOLD, Suspicion, judge
from pets.check.releases import Entry, Release, release_of, release_of_pairing, release_of_program
from pets.errors import ApprovalError, LeakError
from pets.ids import RunHandle, SpecDigest
from pets.party.state import Boundary, State
from pets.spec.model import Spec
from pets.spec.pairing import Pairing
from pets.spec.pooled import Statement
from pets.spec.programmed import Programmed

_Known = tuple[tuple[int, int], tuple[Entry, ...]]
"""How many entries there were and the place of the last one, and what they say."""

_NOTHING: Final[_Known] = ((0, 0), ())


class History:
    """The releases in a party's state file."""

    def __init__(self, state: State) -> None:
        self._state: Final = state
        self._known: _Known = _NOTHING

    def remember(self, handle: RunHandle, entry: Entry) -> None:
        """Keep what a run is about. On disk when it returns."""
        day = entry.day or self._state.clock().date()
        versions = json.dumps(dict(entry.versions), sort_keys=True)
        row = (handle, entry.digest, entry.release.model_dump_json(), versions, day.isoformat())
        self._state.at(Boundary.BEFORE_RELEASE_NOTED)
        with self._state.transaction() as db:
            db.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?)", row)
        self._state.at(Boundary.AFTER_RELEASE_NOTED)

    def forget(self, handle: RunHandle) -> None:
        """Take out a run that ended while no result could come about without this party."""
        with self._state.transaction() as db:
            db.execute("DELETE FROM history WHERE handle = ?", (handle,))
            self._known = _NOTHING  # the next entry may take the place of this one, and the mark would be the same

    def entries(self) -> tuple[Entry, ...]:
        """All of it, in order; runs that say the same are one."""
        with self._state.reading() as db:
            mark = db.execute("SELECT count(*), coalesce(max(rowid), 0) FROM history").fetchone()
            if mark != self._known[0]:
                rows = db.execute("SELECT digest, release, versions, day FROM history ORDER BY rowid").fetchall()
                entries = [
                    Entry(
                        digest, Release.model_validate_json(release), json.loads(versions), dt.date.fromisoformat(day)
                    )
                    for digest, release, versions, day in dict.fromkeys(rows)
                ]
                self._known = (mark, tuple(entries))
            return self._known[1]


@dataclass(frozen=True, slots=True)
class Guard:
    """The differencing guard of a party, over its history."""

    policy: Policy
    history: History

    @property
    def refuses(self) -> bool:
        return self.policy.differencing.on_suspicion == "refuse"

    def holds(self, asked: Statement | Pairing | Programmed | None, spec: Spec) -> bool:
        """True if this party brings a table of what is asked: others have nobody to protect here, and no history."""
        return asked is not None and any(self.policy.party in spec.dataset(name).parties for name in asked.tables)

    def suspicions(self, asked: Entry, spec: Spec) -> tuple[Suspicion, ...]:
        """What a release could be combined with, by the history of today."""
        return judge(self.history.entries(), asked, self.policy.terms(spec))

    def require(self, asked: Entry, spec: Spec, overruled: tuple[str, ...]) -> None:
        """Hold that nothing stands against a run, or that this party's approvers have overruled it by name.

        Raises: LeakError ``leak.differencing`` where the policy refuses, else ApprovalError ``approval.differencing``;
                neither tells the caller anything of earlier releases.
        """
        for suspicion in self.suspicions(asked, spec):
            told = TOLD[suspicion.rule]
            if self.refuses:
                raise LeakError("leak.differencing", problem=told, advice=suspicion.advice)
            if suspicion.id not in overruled:
                raise ApprovalError(
                    "approval.differencing", party=self.policy.party, problem=told, suspicion=suspicion.id
                )


def about(spec: Spec, asked: Statement | Pairing | Programmed) -> Release:
    """What a release is about, of a query, an intersection or a program."""
    if isinstance(asked, Programmed):
        return release_of_program(spec, asked)
    return release_of_pairing(spec, asked) if isinstance(asked, Pairing) else release_of(spec, asked)


def asked_of(spec: Spec, asked: Statement | Pairing | Programmed, digest: SpecDigest) -> Entry:
    """A specification as it is before a run of it starts: which version of the records it will read is not known."""
    return Entry(digest, about(spec, asked), {})
