"""Days of the calendar by periods: of a budget, of a schedule, of records that are renewed. All days are UTC.

Periods are the calendar's own: a month is from its first day to its last, a week from Monday to Sunday, a quarter
begins in January, April, July or October. So two people who read "monthly" mean the same days, whenever a
specification begins, and no hour is left out or doubled where clocks are changed.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal

Unit = Literal["day", "week", "month", "quarter", "year"]
Schedule = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]

UNIT: Final[dict[str, Unit]] = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
}
"""The periods of schedules and of the rules by which records are refreshed."""

_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """One period: its first day, and the first day after it (None if there is none: the calendar ends)."""

    first: dt.date
    after: dt.date | None

    def __contains__(self, day: dt.date) -> bool:
        return self.first <= day and (self.after is None or day < self.after)


def span(unit: Unit, day: dt.date) -> Span:
    """The period that a day is in."""
    try:
        if unit == "day":
            return Span(day, day + dt.timedelta(days=1))
        if unit == "week":
            first = day - dt.timedelta(days=day.weekday())
            return Span(first, first + dt.timedelta(days=7))
    except OverflowError:
        return Span(day, None)
    length = _MONTHS[unit]
    month = (day.month - 1) // length * length
    first = dt.date(day.year, month + 1, 1)
    year, following = divmod(month + length, 12)
    return Span(first, dt.date(day.year + year, following + 1, 1) if day.year + year <= dt.MAXYEAR else None)


def number(unit: Unit, day: dt.date) -> int:
    """The number of the period that a day is in: of the one after it, one more."""
    if unit == "day":
        return day.toordinal()
    if unit == "week":
        return (day.toordinal() - 1) // 7  # the first of January of the year 1 was a Monday
    return (12 * day.year + day.month - 1) // _MONTHS[unit]


def renewed(refresh: str, then: dt.date, now: dt.date) -> bool:
    """Whether a table may have other rows now than then, by the rule of its refresh."""
    if refresh == "frozen":
        return False
    return refresh == "each run" or number(UNIT[refresh], now) > number(UNIT[refresh], then)


def slots(schedule: Schedule, first: dt.date, last: dt.date) -> int:
    """How many runs of a schedule fit from ``first`` to ``last``: one in each period that has a day there."""
    return number(UNIT[schedule], last) - number(UNIT[schedule], first) + 1
