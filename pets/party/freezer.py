"""Freeze a party's datasets for specifications: validate, write the snapshot, remember what was committed to."""

import datetime as dt
import threading
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pets.errors import SourceError
from pets.ids import PartyId
from pets.party import snapshot, sources
from pets.party.database import PostgresSource
from pets.party.files import FileSource, Source
from pets.party.log import Log
from pets.party.play import Entropy
from pets.party.runs import Console
from pets.party.state import State, StoredSnapshot
from pets.plan.review import Review, Reviewed
from pets.spec.ir import Plan, Read
from pets.spec.model import Dataset
from pets.spec.periods import renewed
from pets.spec.query import AnyOf, Predicate


@dataclass(frozen=True, slots=True)
class Freezer:
    """The datasets that a party holds, and the snapshots of them in its ``folder``."""

    party: PartyId
    datasets: Mapping[str, Source]
    folder: Path
    state: State
    log: Log
    entropy: Entropy
    console: Console
    shared: sources.Shared | None = None
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def freeze_all(
        self, reviewed: Review | Reviewed, *, again: bool, only: Collection[str] | None = None
    ) -> dict[str, StoredSnapshot]:
        """The snapshots of all datasets that this party brings to a specification, or of those in ``only``.

        The latest there is, unless the refresh rule of the dataset asks for a new one: each run, or once the period of
        the latest is over. ``again``: of all that are not frozen, because this party's own people ask.
        What is taken for one run alone is not kept until that run is counted: see ``drop``.
        Raises: SourceError; rows and counts are in its ``local``, for this party's own console.
        """
        datasets = reviewed.spec.datasets
        own = [d.part(self.party) for d in datasets if self.party in d.parties and (only is None or d.name in only)]
        frozen: dict[str, StoredSnapshot] = {}
        with ExitStack() as undo:
            undo.callback(self.drop, frozen)
            for dataset in own:
                frozen[dataset.name] = self._freeze(reviewed, dataset, again=again)
            undo.pop_all()
        return frozen

    def drop(self, frozen: Mapping[str, StoredSnapshot]) -> None:
        """Delete again what was taken for one run alone, which is over; what is kept, because it was counted, stays.

        Otherwise who may start a run could fill the disk, with starts at one party alone. No other run reads such a
        snapshot. The row goes first: a crash leaves a file that no row names, for ``clear``.
        """
        for stored in frozen.values():
            if stored.kept or not self.state.drop_snapshot(stored):
                continue
            try:
                (self.folder / stored.file).unlink(missing_ok=True)
            except OSError as error:
                self.console(f"{stored.file} is needed no more and cannot be deleted: {error.strerror}")
            self.log.append(
                "snapshot.dropped", digest=stored.digest, dataset=stored.dataset, commitment=stored.commitment
            )

    def clear(self) -> None:
        """At start: delete what a crash has left of runs that were never counted, and files that no row names."""
        self.drop({stored.file: stored for stored in self.state.snapshots()})
        try:
            snapshot.clear(self.folder, {stored.file for stored in self.state.snapshots()})
        except OSError as error:
            self.console(f"snapshots that nobody needs cannot be deleted: {error.strerror}")

    def versions(self, frozen: Mapping[str, StoredSnapshot]) -> dict[str, str]:
        """Of each dataset that was frozen, a digest that changes with its records, where one is known."""
        return {name: stored.version for name, stored in frozen.items() if stored.version}

    def _freeze(self, reviewed: Review | Reviewed, dataset: Dataset, *, again: bool) -> StoredSnapshot:
        """The snapshot of a dataset for a specification: the one there is, or a new one where the rule allows it.

        One at a time: two first runs that start at once share what the first of them freezes.
        """
        with self._one_at_a_time:
            return self._freeze_one(reviewed, dataset, again=again)

    def _freeze_one(self, reviewed: Review | Reviewed, dataset: Dataset, *, again: bool) -> StoredSnapshot:
        spec, digest = reviewed.spec, reviewed.digest
        known = self.state.snapshot(digest, dataset.name)
        if known is not None and (dataset.refresh == "frozen" or not (again or self._is_old(known, dataset))):
            return known
        if dataset.name not in self.datasets:
            raise SourceError("source.none", dataset=dataset.name, party=self.party)
        salt = self.entropy(32)
        source, exact = self.datasets[dataset.name], spec.release.differential_privacy is None
        before = _version(source) if exact else ""
        try:
            taken = snapshot.take(
                source,
                dataset,
                spec.linking,
                self.folder,
                salt=salt,
                now=self.state.clock(),
                where=asked_of(reviewed.plan, dataset.name),
                exact=exact,
                shared=self.shared,
            )
        except SourceError as error:
            self.log.append("snapshot.refused", digest=digest, dataset=dataset.name, code=error.code)
            raise
        for line in taken.report.lines():
            self.console(f"{dataset.name}: {line}")
        if not exact:
            version = ""
        elif isinstance(source, PostgresSource):
            version = taken.version or taken.sha256
        else:
            version = before if before == (after := _version(source)) else f"{before}+{after}"
        stored = StoredSnapshot(
            digest=digest,
            dataset=dataset.name,
            taken=taken.taken.astimezone(dt.UTC).isoformat(timespec="microseconds"),
            file=taken.file.name,
            sha256=taken.sha256,
            commitment=taken.commitment,
            schema=taken.schema_digest,
            salt=salt,
            width=taken.width,
            version=version,
            kept=again or dataset.refresh != "each run",
        )
        self.state.add_snapshot(stored)
        self.log.append("snapshot.taken", digest=digest, dataset=dataset.name, commitment=taken.commitment)
        return stored

    def _is_old(self, known: StoredSnapshot, dataset: Dataset) -> bool:
        taken = dt.datetime.fromisoformat(known.taken).astimezone(dt.UTC).date()
        return renewed(dataset.refresh, taken, self.state.today())

    def loaded(self, stored: StoredSnapshot) -> sources.Snapshot:
        """The snapshot as ``sources.read`` takes it."""
        return sources.Snapshot(
            dataset=stored.dataset,
            file=self.folder / stored.file,
            sha256=stored.sha256,
            commitment=stored.commitment,
            schema_digest=stored.schema,
            taken=dt.datetime.fromisoformat(stored.taken),
            width=stored.width,
            report=sources.Report(0, 0, 0, {}, {}),
        )


def asked_of(plan: Plan | None, dataset: str) -> Predicate | None:
    """Which rows of a dataset a plan asks for: true where any of its steps reads a row, None where one reads all."""
    steps = () if plan is None else plan.steps
    asked = list(dict.fromkeys(step.where for step in steps if isinstance(step, Read) and step.dataset == dataset))
    if not asked or None in asked:
        return None
    several = tuple(where for where in asked if where is not None)
    return several[0] if len(several) == 1 else AnyOf(several)


def _version(source: Source) -> str:
    """A digest of the file that records come from, for the differencing guard; "" for a frame in memory or no file.

    Releases with noise need none: only what is exact can be told apart from what was exact before. A database computes
    its own, in the transaction that the rows are read in; where it may not, no two snapshots count as of one version.
    """
    if not isinstance(source, FileSource):
        return ""
    try:
        return sources.sha256_file(source.path)
    except OSError:
        return ""
