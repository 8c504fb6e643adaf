"""What an analyst gets back from a run: the table, its picture, its price, and the evidence.

The same object comes from real servers and from a network in memory. ``save`` writes the table and a folder of evidence
that ``pets verify`` checks offline, down to computing the table again from the final shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pets import derive, figures, logistic_counts, matches
from pets.errors import ReceiptError
from pets.ids import WITHHELD, PartyId
from pets.logistic import Model, model
from pets.noise_law import LEVEL
from pets.participation import Participation, said_in
from pets.party import opening, totals
from pets.party.config import read_directory
from pets.party.evidence import PartyKeys
from pets.plan.review import Review, review
from pets.spec.canonical import canonical
from pets.spec.control import effective
from pets.spec.ir import Plan
from pets.spec.parse import parse_toml
from pets.spec.query import LOGISTIC, Statistic
from pets.statistics import Counts
from pets.statistics import counts as released_counts

if TYPE_CHECKING:
    import pandas as pd

TABLE = "result.csv"
EVIDENCE = "evidence"

_DIRECTION = {True: "sent", False: "received"}


@dataclass(frozen=True, slots=True)
class StepCost:
    """One step of a run as its client saw it. ``party`` is who reported it; bytes are of message bodies."""

    party: str
    step: str
    seconds: float
    size: int


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """A released table with its evidence.

    ``shares``: the final shares, flat uint64 each, by the party that sent them; ``receipts`` and ``approvals`` are
    signed envelopes. ``transcript`` is there only after ``local_network(...).run(spec, record=True)``.
    """

    review: Review
    toml: str
    directory_toml: str
    shares: Mapping[PartyId, opening.Share]
    receipts: Mapping[PartyId, bytes]
    approvals: tuple[bytes, ...]
    steps: tuple[StepCost, ...]
    seconds: float
    transcript: tuple[Any, ...] = ()
    told: Mapping[PartyId, tuple[str, ...]] = field(default_factory=dict)
    """After a run in ``local_network`` of an intersection that tells both: the persons of the other holder in both.

    Its own server keeps that list, in a real network, and this result has no part of it.
    """
    away: Mapping[PartyId, str] = field(default_factory=dict)
    """Of sums over one table of many holders: by holder the code of why it did not take part, as far as one is known.
    """
    covering: str = ""
    """Text of the older specification whose approvals let this one run; empty if it had its own."""
    _frame: "list[pd.DataFrame]" = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return self.review.settled().plan

    @property
    def opened(self) -> npt.NDArray[np.int64]:
        """What the final shares add up to: noised sums, or what disclosure control lets pass (party/opening.py)."""
        return opening.opened(self.plan, self.shares)

    @property
    def participation(self) -> Participation | None:
        """Who took part in sums over one table of many holders; None of anything else."""
        if (pool := self.plan.pool) is None:
            return None
        counted = totals.again(self.plan, self.shares).holders
        said = said_in(self.receipts.values())
        return Participation(pool.holders, counted, self.away, pool.minimum, totals.validated(self.plan), said)

    def to_pandas(self) -> "pd.DataFrame":
        """The table: grouping columns, and for each statistic its value and the bounds ``_low`` and ``_high``."""
        if not self._frame:
            self._frame.append(derive.table(self.plan, self.opened))
        return self._frame[0].copy()

    @property
    def withheld(self) -> "pd.DataFrame":
        """Which numbers of the table disclosure control withholds: True or False for each row and statistic."""
        return derive.withheld(self.plan, self.opened)

    @property
    def outputs(self) -> Mapping[str, tuple[Fraction, ...]]:
        """Of a program: what it released, by name, exactly. Empty for anything else."""
        return {} if self.plan.program is None else figures.numbers(self.plan.program, self.opened.tolist())

    @property
    def grouping(self) -> tuple[str, ...]:
        if self.plan.program is not None:
            return (figures.OUTPUT, figures.PLACE)
        if self.plan.match is not None:
            return tuple(self.to_pandas().columns) if self.plan.match.outcome == "intersection" else ()
        return tuple(o.name for o in derive.derive_step(self.plan).outputs if o.dimension is not None)

    @property
    def statistics(self) -> tuple[str, ...]:
        if self.plan.program is not None:
            return (figures.VALUE,)
        if self.plan.match is not None:
            return () if self.plan.match.outcome == "intersection" else tuple(self.to_pandas().columns)
        return tuple(o.name for o in derive.derive_step(self.plan).outputs if o.dimension is None)

    def counts(self, name: str | None = None) -> Counts:
        """A column of counts, for chi-square, odds ratio, relative risk and survival; ``name`` if there are several."""
        return released_counts(self.plan, self.to_pandas(), name)

    def logistic(self, name: str | None = None) -> Model:
        """A logistic regression: a table of its terms, odds ratios, ``explain``; ``name`` if there are several."""
        if self.plan.pool is not None and logistic_counts.is_model(derive.derive_step(self.plan)):
            return logistic_counts.model(self.plan, self.review.spec, self.opened, name)
        return model(self.plan, self.review.spec, derive.table(self.plan, self.opened), self.opened.tolist(), name)

    def _models(self) -> tuple[list[Model], tuple[str, ...]]:
        """The logistic regressions of the table, and what else it has."""
        if self.plan.match is not None or self.plan.program is not None:
            return [], self.statistics
        outputs = [o for o in derive.derive_step(self.plan).outputs if o.dimension is None]
        names = [o.name.removesuffix("_step") for o in outputs if o.statistic == Statistic.LOGISTIC_STEP.value]
        others = tuple(o.name for o in outputs if o.statistic not in {each.value for each in LOGISTIC})
        return [self.logistic(name) for name in names], others

    @property
    def disclosure(self) -> str:
        """The disclosure report as text."""
        from pets.check.disclosure import render

        return render(self.review)

    @property
    def cost(self) -> "pd.DataFrame":
        """Seconds and bytes by party and step. A message is there twice: ``sent`` by one, ``received`` by another.

        The result party's own steps are not listed: what it receives is what others send.
        """
        import pandas as pd

        forecast = self.review.settled().forecast
        senders: dict[str, set[str]] = {}
        for message in forecast.messages:
            senders.setdefault(message.label, set()).add(message.sender)
        rows = [
            (s.party, s.step, _DIRECTION[s.party in senders[s.step]] if s.step in senders else "own", s.seconds, s.size)
            for s in self.steps
        ]
        frame = pd.DataFrame(rows, columns=["party", "step", "direction", "seconds", "bytes"])
        return frame.groupby(["party", "step", "direction"], sort=False, as_index=False).sum()

    @property
    def epsilon(self) -> str:
        """Epsilon of the release, as written; "none" without noise, or of noise that is stated in rho."""
        privacy = self.review.spec.release.differential_privacy
        return "none" if privacy is None or privacy.gaussian else privacy.stated

    @property
    def loss(self) -> str:
        """What the release costs, as written: "epsilon 1", "rho 0.1"; "none" without noise."""
        privacy = self.review.spec.release.differential_privacy
        return "none" if privacy is None else privacy.cost

    def note(self) -> str:
        """One line under a table or picture: what the bounds mean, or what is withheld."""
        if (match := self.plan.match) is not None:
            return matches.note(self.plan, match)
        if self.plan.program is not None:
            return figures.note(self.plan.program)
        told = "" if (participation := self.participation) is None else f" {participation.note()}"
        control = effective(self.review.spec)
        if control is None:
            return (
                f"Values carry noise (differential privacy, {self.loss} a run). Lines and the columns _low "
                f"and _high: {LEVEL:.0%} range of that noise alone.{told}"
            )
        said = (
            f"Exact numbers, no noise. Withheld: numbers about fewer than {control.min_count} persons, and those from "
            "which such a number would follow."
        )
        if control.on_contributions:
            said += " Sums are also withheld of which few persons have most."
        if control.round_to > 1:
            rounded = f" Counts are rounded to {control.round_to}"
            said += f"{rounded}; lines and the columns _low and _high: what that leaves open."
        return said + told

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the table; write it to ``path`` as PNG (or by its ending) if given. Returns the matplotlib figure."""
        if (match := self.plan.match) is not None:
            return matches.plot(self.plan, match, self.to_pandas(), self.review.spec.title, path)
        if self.plan.program is not None:
            return figures.plot(self.plan.program, self.to_pandas(), self.review.spec.title, path)
        from pets.chart import chart  # matplotlib takes a second to load, and makes files when it is first loaded
        from pets.forest import forest

        fitted, others = self._models()
        if fitted and not others:
            figure = forest(
                [each.panel for each in fitted],
                title=self.review.spec.title,
                note=" ".join(model.note() for model in fitted),
            )
        else:
            figure = chart(
                self.to_pandas(),
                title=self.review.spec.title,
                note=self.note() + " Models have pictures of their own: logistic(...).plot()." * bool(fitted),
                grouping=self.grouping,
                statistics=others,
                withheld=self.withheld,
            )
        if path is not None:
            figure.savefig(path)
        return figure

    def to_csv(self) -> bytes:
        """The table as CSV, UTF-8, LF line ends: what ``pets verify`` computes again."""
        return table_csv(self.plan, self.opened)

    def save(self, out: str | Path) -> Path:
        """Write the table to ``out`` and the evidence into a folder beside it. Returns the folder of the evidence."""
        out = Path(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(self.to_csv())
        folder = evidence_folder(out)
        for name in ("approvals", "receipts", "shares"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "spec.toml").write_text(self.toml, encoding="utf-8")
        (folder / "directory.toml").write_text(self.directory_toml, encoding="utf-8")
        (folder / "plan.json").write_bytes(canonical(self.plan))
        (folder / TABLE).write_bytes(self.to_csv())
        if self.covering:
            (folder / "covering").mkdir()
            (folder / "covering" / "spec.toml").write_text(self.covering, encoding="utf-8")
        for number, envelope in enumerate(self.approvals, 1):
            (folder / "approvals" / f"{number:02d}.json").write_bytes(envelope)
        for party, receipt in self.receipts.items():
            (folder / "receipts" / f"{party}.json").write_bytes(receipt)
        for party, share in self.shares.items():
            (folder / "shares" / f"{party}.bin").write_bytes(opening.to_bytes(share))
        return folder

    @property
    def _signers(self) -> str:
        """Whose receipts are here: everybody, or those who compute, and how many holders."""
        if self.plan.pool is None:
            return ", ".join(self.receipts)
        computing = [party for party in self.receipts if party in self.review.spec.computing]
        return f"{', '.join(computing)} and {len(self.receipts) - len(computing)} holders"

    def _repr_html_(self) -> str:
        from pets.notebook import model_html, table_html

        fitted, others = self._models()
        sent = self.review.settled().forecast.size
        foot = (
            f"Specification {self.review.digest[:16]}…, receipts signed by {self._signers}; "
            f"{self.seconds:.2f} s, {sent:,} bytes between the parties."
        )
        if (match := self.plan.match) is not None:
            return matches.html(self.plan, match, self.to_pandas(), title=self.review.spec.title, notes=(foot,))
        if self.plan.program is not None:
            return figures.html(self.plan.program, self.to_pandas(), title=self.review.spec.title, notes=(foot,))
        parts = [model_html(model, title=self.review.spec.title, notes=(self.note(), foot)) for model in fitted]
        if others:
            parts.insert(
                0,
                table_html(
                    self.to_pandas(),
                    title=self.review.spec.title,
                    grouping=self.grouping,
                    statistics=others,
                    notes=(self.note(), foot),
                    withheld=self.withheld,
                ),
            )
        return "".join(parts)

    def __repr__(self) -> str:
        rows = self.plan.match is not None or self.plan.program is not None
        size = len(self.to_pandas()) if rows else derive.cells(self.plan)
        what = "row" if rows else "cell"
        return f"Result({self.review.spec.title!r}, {size} {what}{'s' * (size != 1)}, {self.seconds:.2f} s)"


def evidence_folder(out: Path) -> Path:
    """Where the evidence of a table goes: beside it."""
    return out.parent / f"{out.stem}.{EVIDENCE}"


def table_csv(plan: Plan, opened: npt.NDArray[np.int64]) -> bytes:
    """The released table as CSV; equal sums give equal bytes. What is withheld says so in the place of its number."""
    frame, gone = derive.table(plan, opened), derive.withheld(plan, opened)
    for name in gone.columns[gone.any()]:
        frame[name] = frame[name].astype(object).where(~gone[name], WITHHELD)
    return frame.to_csv(index=False, lineterminator="\n").encode()


def recompute(toml: str) -> Any:
    """How ``evidence.verify_evidence`` computes the table of a specification again from its final shares.

    Returns: a function of plan.json and the shares by party; ReceiptError if the plan is not the one of ``toml``, or a
             share has another length.
    """

    def again(plan_json: bytes, shares: Mapping[PartyId, bytes]) -> bytes:
        plan = _plan_of(toml)
        if plan_json != canonical(plan):
            raise ReceiptError("receipt.other-plan")
        return table_csv(plan, opening.opened(plan, _shares_of(plan, shares)))

    return again


def counted(toml: str) -> Any:
    """How ``evidence.verify_evidence`` finds out whose uploads are in sums over one table of many holders.

    Returns: a function of plan.json and the shares by party, as ``recompute`` does.
    """

    def who(plan_json: bytes, shares: Mapping[PartyId, bytes]) -> tuple[PartyId, ...]:
        plan = _plan_of(toml)
        return totals.again(plan, _shares_of(plan, shares)).holders

    return who


def _plan_of(toml: str) -> Plan:
    return review(parse_toml(toml, file="spec.toml")).settled().plan


def _shares_of(plan: Plan, shares: Mapping[PartyId, bytes]) -> dict[PartyId, opening.Share]:
    """The files of final shares, read. Raises: ReceiptError receipt.share-size."""
    found = {}
    for party in opening.senders(plan):
        if party not in shares and plan.pool is not None and totals.may_lose(plan):
            continue
        body, size = shares.get(party, b""), opening.size_of(plan, party)
        if len(body) != size:
            raise ReceiptError("receipt.share-size", party=party, got=len(body), expected=size)
        found[party] = opening.of_bytes(plan, party, body)
    return found


def evidence_keys(directory: Path) -> dict[str, PartyKeys]:
    """The public keys of a directory file, as ``evidence.verify_evidence`` takes them."""
    known = read_directory(directory)
    signing = known.signing_keys()
    return {name: PartyKeys(signing[name], known.approver_keys(name)) for name in known.by_name if name in signing}
