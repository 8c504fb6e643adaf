"""What a party's datasets have lost, read from its own state file: a table, and a picture of it over time.

For the party's own people, on the machine of its server: nothing is written, and a server that runs is not held up.
In a notebook, ``ledger("party.toml")`` shows its table, and ``.plot()`` draws it.
"""

import datetime as dt
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pets.approve.policy import Limits
from pets.check.budget import bounded, exact
from pets.ids import PartyId, RunHandle
from pets.party.accounting import Account, Balance, Line, cap_of
from pets.party.config import own_books
from pets.party.ledger import Book, Charge
from pets.party.records import Reader, Records
from pets.party.state import utc_now

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = ("dataset", "unit", "quantity", "cap", "settled", "reserved", "remaining", "returns", "runs")

_A: Final = {"day": "a day", "month": "a month", "quarter": "a quarter", "year": "a year", "none": "for all time"}


@dataclass(frozen=True, slots=True)
class Spend:
    """The ledger of a party on one day. ``charges``: from the day that was asked for on, in order.

    ``earlier``: those of the same period before that day, which a picture begins with.
    """

    party: PartyId
    today: dt.date
    limits: Limits
    balances: tuple[Balance, ...]
    charges: tuple[Charge, ...]
    titles: dict[RunHandle, str]
    since: dt.date | None
    earlier: tuple[Charge, ...] = ()

    def rows(self) -> Iterator[dict[str, object]]:
        """The table: a row for each account and quantity of its cap, under ``COLUMNS``. Exact quantities as text."""
        for balance in self.balances:
            for line in balance.lines():
                returns = balance.cap.returns
                yield dict(
                    zip(
                        COLUMNS,
                        (
                            *balance.account,
                            line.quantity,
                            exact(line.cap),
                            bounded(line.settled, up=True),
                            bounded(line.reserved, up=True),
                            bounded(line.remaining, up=False),
                            returns and returns.isoformat(),
                            balance.runs,
                        ),
                        strict=True,
                    )
                )

    def entries(self) -> Iterator[dict[str, object]]:
        """The charges: a row each."""
        for charge in self.charges:
            yield {
                "day": charge.day.isoformat(),
                "dataset": charge.account.dataset,
                "unit": charge.account.unit,
                "epsilon": str(charge.loss.epsilon),
                "delta": str(charge.loss.delta),
                "rho": str(charge.loss.rho),
                "state": "settled" if charge.settled else "reserved",
                "run": charge.run,
                "title": self.titles.get(charge.run, ""),
            }

    def told(self) -> Iterator[str]:
        """Of caps in rho, what they are as epsilon."""
        for balance in self.balances:
            if (found := balance.told) is not None:
                most, gone, delta = found
                yield (
                    f"{balance.account}: at delta {exact(delta)} the rho that was spent is epsilon "
                    f"{bounded(gone, up=True)}, and its cap {bounded(most, up=True)}"
                )

    def to_json(self) -> dict[str, object]:
        """All of it for machines."""
        return {
            "party": self.party,
            "today": self.today.isoformat(),
            "period": self.limits.period,
            "accounts": list(self.rows()),
            "charges": list(self.entries()),
        }

    def to_pandas(self) -> "pd.DataFrame":
        """The table."""
        import pandas as pd

        return pd.DataFrame(list(self.rows()), columns=list(COLUMNS))

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw spending over time against the cap; write it to ``path`` by its ending (svg, png, pdf) if given.

        From ``since`` on, or from the period before this one, if something was spent in it. Returns the figure.
        """
        from pets.staircase import staircase  # matplotlib takes a second to load

        figure = staircase(
            [self._stair(balance) for balance in self.balances],
            title=f"What {self.party} has spent of its privacy budget, up to {_day(self.today)}",
            note=self._note(),
        )
        if path is not None:
            figure.savefig(str(path))
        return figure

    def _repr_html_(self) -> str:
        return str(self.to_pandas().to_html(index=False, na_rep="never", border=0))

    def _note(self) -> str:
        most = self.limits.cap
        words = [
            "Each step is a run, on the day on which its budget was reserved; nothing that was reserved is given back.",
            "Hatched: reserved by runs that are under way or ended early." if self._any_open() else "",
            f"Delta has a cap of its own, {exact(most.delta)} {_A[self.limits.period]}.",
            "The cap is today's, also where another one held then.",
        ]
        return " ".join(word for word in words if word)

    def _any_open(self) -> bool:
        return any(not charge.settled for charge in self.charges)

    def _stair(self, balance: Balance) -> Any:
        from pets.staircase import Stair, Step

        cap = balance.cap
        name = cap.quantities[0]
        mine = [charge for charge in self.charges if charge.account == balance.account]
        first = self.since or self._first(mine)
        line = next(line for line in balance.lines() if line.quantity == name)
        before, steps = (
            tuple(
                Step(charge.day, float(getattr(cap.counted([(charge.loss, 1)]), name)), charge.settled)
                for charge in charges
                if charge.account == balance.account
            )
            for charges in (self.earlier, [charge for charge in mine if charge.day >= first])
        )
        last = max(first, self.today, (cap.returns or self.today + dt.timedelta(days=30)) - dt.timedelta(days=1))
        return Stair(
            head=str(balance.account),
            unit=f"{name} spent" + ("" if self.limits.period == "none" else f"\nin the {self.limits.period}"),
            before=before,
            steps=steps,
            returns=tuple(self._returns(first)),
            cap=float(line.cap),
            cap_said=f"cap {exact(line.cap)}\n{_A[self.limits.period]}",
            spent_said=_spent_said(line),
            first=first,
            today=self.today,
            last=last if last > first else first + dt.timedelta(days=1),
        )

    def _first(self, mine: Sequence[Charge]) -> dt.date:
        """The period before this one, if something was spent in it; of a cap without periods, the first charge."""
        start = self.limits.since(self.today)
        if self.limits.period == "none":
            return min((charge.day for charge in mine), default=self.today - dt.timedelta(days=30))
        before = self.limits.since(start - dt.timedelta(days=1))
        return before if any(before <= charge.day < start for charge in self.charges) else start

    def _returns(self, first: dt.date) -> Iterator[dt.date]:
        """The days after ``first`` on which all of the budget returned."""
        day = self.limits.returns(first)
        while day is not None and day <= self.today:
            yield day
            day = self.limits.returns(day)


def ledger(config: str | Path = "party.toml", *, since: dt.date | None = None, now: dt.datetime | None = None) -> Spend:
    """Read the ledger of the party whose ``party.toml`` this is.

    ``since``: charges from that day on; all, if it is left out. ``now``: another moment than this one.
    Raises:   ConfigError config.file, config.toml, config.policy, or config.state for a state file that cannot be read.
    """
    books = own_books(Path(config))
    today = (now or utc_now()).astimezone(dt.UTC).date()
    with Reader(books.state) as records:
        return spend_of(
            records, books.party, books.limits, [Account(name) for name in books.datasets], today=today, since=since
        )


def spend_of(
    records: Records,
    party: PartyId,
    limits: Limits,
    accounts: Sequence[Account] = (),
    *,
    today: dt.date,
    since: dt.date | None = None,
) -> Spend:
    """The ledger in a state file. ``accounts``: those that are listed even if they were never charged."""
    book, cap = Book(records), cap_of(limits, today)
    every = sorted({*accounts, *book.accounts()})
    charges = book.charges(limits.since(since) if since is not None else dt.date.min)
    asked = tuple(charge for charge in charges if since is None or charge.day >= since)
    return Spend(
        party=party,
        today=today,
        limits=limits,
        balances=tuple(book.balance(account, cap) for account in every),
        charges=asked,
        titles=_titles(records, {charge.run for charge in asked}),
        since=since,
        earlier=charges[: len(charges) - len(asked)],
    )


def _titles(records: Records, runs: set[RunHandle]) -> dict[RunHandle, str]:
    with records.reading() as db:
        found = db.execute("SELECT handle, toml FROM runs JOIN specs ON specs.digest = runs.digest").fetchall()
    return {run: str(tomllib.loads(toml.decode())["title"]) for run, toml in found if run in runs}


def _spent_said(line: Line) -> str:
    said = f"{bounded(line.spent, up=True)} spent\n{bounded(line.remaining, up=False)} remaining"
    return f"{said}\n({bounded(line.reserved, up=True)} reserved)" if line.reserved else said


def _day(day: dt.date) -> str:
    return f"{day.day} {day:%B %Y}"
