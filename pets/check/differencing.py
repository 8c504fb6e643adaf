"""Whether releases, past and new, can be combined so that a number is left that is about fewer people than the minimum.

Exact releases add up: from the sum over a population and the sum over the same one less a person, anyone has that
person. ``judge`` decides from what was asked alone, without records: which rows a release is about
(spec/population.py), into which cells it divides them, what it counts or adds up, and which version of the records it
read. Two exact releases go together if

    every cell of one and every cell of the other are the same rows, or have no row in common,
    the rows were read from the same version of the records, and prepared in the same way;

or if all that they look at is in a set of columns of which the holder's policy says that each combination of values has
at least the minimum of people (``Large``). Releases of which any two go together cannot be combined to less than a
cell: cells that are equal or apart have sums that only repeat each other, and of cells with enough people. Whatever
else could be combined is a ``Suspicion``, for the policy to refuse or to give to a person.

Values of single persons (medians, quantiles) of one column add up, too, whatever their rows: as many as one release may
list (rule ``control.places``) all of them together may.

Releases with noise are the ledger's business: their losses add up, so averaging them is paid for. An exact release and
a noised one about other rows are suspicious too: the exact table takes away what the noise was to hide (D20).
Threats D01 to D20 are those of tests/check/test_differencing.py.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from pets.check.labels import Finding
from pets.check.releases import COUNTED, JOINED, UNKNOWN, VALUE, Entry, Part, Records, Release
from pets.spec.canonical import canonical
from pets.spec.ordering import PERSONS_A_PLACE
from pets.spec.population import NONE, Space, Undecided

Period = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]
DAYS: Final[Mapping[str, int]] = {"each run": 0, "daily": 1, "weekly": 7, "monthly": 28, "quarterly": 90, "yearly": 365}
"""Least number of days between two versions of records under a refresh rule."""

Rule = Literal[
    "difference",
    "linked",
    "refresh",
    "definition",
    "rounding",
    "threshold",
    "mixed",
    "values",
    "undecided",
]


@dataclass(frozen=True, slots=True)
class Large:
    """A holder's word: each combination of values of ``columns`` has at least so many people that can be matched."""

    columns: frozenset[str]
    persons: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A holder's terms. ``joiners``: records renewed no faster change by the minimum of people in every cell."""

    holder: str
    minimum: int
    large: tuple[Large, ...] = ()
    joiners: Period | None = None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Two releases that may be combined, or one with itself. ``id`` is what an approver names to overrule it."""

    rule: Rule
    new: str
    past: str
    problem: str
    advice: str

    @property
    def id(self) -> str:
        text = canonical({"rule": self.rule, "new": self.new, "past": self.past})
        return sha256(b"pets/1 suspicion" + text).hexdigest()[:16]

    @property
    def told(self) -> str:
        """For the holder's own people, with the earlier release."""
        return self.problem if self.past == self.new else f"together with {self.past[:12]}: {self.problem}"

    def finding(self, *, refuse: bool) -> Finding:
        """For whoever asked: an error where the policy refuses, else a warning that names what has to be overruled.

        It tells nothing of earlier releases, which may be somebody else's.
        """
        advice = self.advice if refuse else f"{self.advice}; or let approvers overrule {self.id}"
        return Finding(
            f"differencing.{self.rule}", "error" if refuse else "warning", _PATH[self.rule], TOLD[self.rule], advice
        )


TOLD: Final[Mapping[Rule, str]] = {
    "difference": "an earlier release is about almost the same rows, and the difference may be about too few people",
    "linked": "an earlier release divides the same rows in another way, so that withheld cells may follow",
    "refresh": "releases about the same rows of other versions of the records differ by whoever came or went",
    "definition": "releases about the same rows that are prepared in other ways differ by the few whom that concerns",
    "rounding": "an earlier release counts the same people with another rounding",
    "threshold": "an earlier release withholds cells of the same rows by other rules, which tells of their numbers",
    "mixed": "an exact release and one with noise are about almost the same rows",
    "values": "earlier releases show values of other single persons of the same rows: together they list many",
    "undecided": "the conditions are too many to be compared with those of earlier releases",
}
"""What whoever asked is told, whatever the earlier release was."""

_PATH: Final[Mapping[Rule, str]] = {
    "difference": "computation.sql",
    "linked": "computation.sql: GROUP BY",
    "refresh": "dataset.refresh",
    "definition": "dataset.columns",
    "rounding": "release.disclosure_control.round_to",
    "threshold": "release.disclosure_control",
    "mixed": "release",
    "values": "computation.sql: SELECT",
    "undecided": "computation.sql: WHERE",
}


def judge(history: Iterable[Entry], new: Entry, terms: Terms) -> tuple[Suspicion, ...]:
    """Say with which past releases a new one can be combined to fewer than the minimum, and whether it can by itself.

    The order of the history does not matter, nor whose releases they were: there is one history for all who ask.
    """
    judgement = _Judgement(new, terms)
    judgement.alone()
    known = tuple(history)
    for past in known:
        judgement.beside(past)
    judgement.singles(known)
    judgement.together()
    return tuple(judgement.found[key] for key in sorted(judgement.found))


class _Judgement:
    """One new release in the making of its verdict. ``found``: one suspicion for each rule and past specification."""

    def __init__(self, new: Entry, terms: Terms) -> None:
        self.new: Final = new
        self.terms: Final = terms
        self.space = Space()
        self.found: Final[dict[tuple[str, str], Suspicion]] = {}
        self._cleared: Final[list[tuple[set[int], tuple[Rule, Entry, str, str]]]] = []

    def alone(self) -> None:
        """What repetitions of one release tell. What its own columns tell is for disclosure control to withhold."""
        release = self.new.release
        if not release.exact:
            return
        if release.runs > 1:
            again = Entry(self.new.digest, release, {}, None)
            for table in release.records:
                if table.refresh != "frozen" and not self._renewed_slowly(table, table, again):
                    self._refresh(self.new, table.dataset)
                if table.drawn:
                    self._drawn(self.new, table.dataset)

    def beside(self, past: Entry) -> None:
        """What the new release tells together with a past one."""
        one, two = self.new.release, past.release
        if not (one.exact or two.exact) or not self._related(one, two):
            return
        self.space = Space()
        try:
            self._combined(past, one, two)
        except Undecided:
            problem, advice = "the conditions of the two are too many to be compared", "ask with fewer conditions"
            self._note("undecided", past, problem, advice)

    def singles(self, history: Iterable[Entry]) -> None:
        """Values of single persons that are shown in all: what one release may list, many may not list together."""
        own, shown = self.new.release, dict[str, set[str]]()
        for family, place in own.singles:
            shown.setdefault(family, set()).add(place)
        for family, mine in shown.items():
            others = [past for past in history if self._lists_too(past, family)]
            before = {place for past in others for name, place in past.release.singles if name == family}
            least = min((own.min_count, *(past.release.min_count for past in others)))
            if mine - before and len(mine | before) > max(1, least // PERSONS_A_PLACE):
                column = family.removeprefix(VALUE)
                for past in others:
                    self._note(
                        "values",
                        past,
                        f"{len(mine | before)} values of single persons are shown of {column} in all, in groups from "
                        f"{least} on",
                        "ask for values that were shown before, or for fewer",
                    )

    def _lists_too(self, past: Entry, family: str) -> bool:
        """True if a past release shows values of single persons of a column, and of rows of the new one, too."""
        one, two = self.new.release, past.release
        if not (one.exact and two.exact and any(name == family for name, _ in two.singles) and self._related(one, two)):
            return False
        self.space = Space()
        mine, theirs = ([part for part in each.parts if part.family == family] for each in (one, two))
        try:
            return any(
                self.space.both(self._population(here), self._population(there)) != NONE
                for here in mine
                for there in theirs
            )
        except Undecided:  # a suspicion already
            return False

    def _combined(self, past: Entry, one: Release, two: Release) -> None:
        overlap = False
        for mine in one.parts:
            for theirs in two.parts:
                if mine.family == theirs.family and not self._beside_each_other(mine, theirs, past):
                    overlap |= self._compare(past, mine, theirs)
        if overlap and (one.exact or two.exact):
            self._other_holders(past, one, two)
        if overlap and one.exact and two.exact:
            for table in one.records:
                before = two.of(table.dataset)
                if before is not None and self._changed(table, before, past):
                    self._refresh(past, table.dataset)
                if before is not None and before.prepared != table.prepared:
                    self._defined(past, f"rows of {table.dataset} are linked or kept by other rules")
                elif before is not None and (table.drawn or before.drawn):
                    self._drawn(past, table.dataset)

    def _other_holders(self, past: Entry, one: Release, two: Release) -> None:
        """A table in parts: what only one of the releases has is what some holders bring, perhaps a single one."""
        for table in one.records:
            before = two.of(table.dataset)
            if before is not None and before.parties != table.parties:
                what = f"other holders bring parts of {table.dataset}"
                if one.exact and two.exact:
                    self._defined(past, what)
                else:
                    problem = f"one of two releases is exact, one has noise, and {what}: what these bring follows"
                    self._note("mixed", past, problem, "have the same holders take part, or ask for noise in both")

    def _beside_each_other(self, mine: Part, theirs: Part, past: Entry) -> bool:
        """True if both releases show both: then disclosure control has held the difference against the minimum."""
        one, two = self.new.release, past.release
        shown = {mine, theirs} <= {*one.parts} & {*two.parts}
        return mine != theirs and shown and one.exact and two.exact and one.groups == two.groups

    def _related(self, one: Release, two: Release) -> bool:
        """True if both read a table of this holder, and nobody but the holders themselves sets the two apart.

        Tables of two other organisations match whom they match: no query of an author chooses the difference.
        """
        shared = {t.dataset for t in one.records if self.terms.holder in t.parties} & {t.dataset for t in two.records}
        if not shared:
            return False
        others = [{(p, t.dataset) for t in r.records if t.dataset not in shared for p in t.parties} for r in (one, two)]
        return others[0] == others[1] or bool({p for p, _ in others[0]} & {p for p, _ in others[1]})

    def _compare(self, past: Entry, mine: Part, theirs: Part) -> bool:
        """Hold two parts against each other; True if they have rows in common."""
        one, two = self.new.release, past.release
        here, there = self._population(mine), self._population(theirs)
        overlap = self.space.both(here, there)
        if overlap == NONE:
            return False
        mine_by = one.groups | {column for column in two.groups if self._is_fixed(here, column)}
        theirs_by = two.groups | {column for column in one.groups if self._is_fixed(there, column)}
        looked = self.space.columns(here) | self.space.columns(there) | one.groups | two.groups
        differ = self.space.differ(here, there)
        if self._apart(overlap, differ, mine_by & theirs_by):
            finer = frozenset(column for column in mine_by ^ theirs_by if not self._is_fixed(overlap, column))
        elif self._apart(overlap, differ, mine_by | theirs_by):  # the rows of one are cells of the other
            finer = self.space.columns(differ) & (mine_by | theirs_by)
        else:
            self._other_rows(past, looked, self.space.columns(differ))
            return True
        if one.exact and two.exact:
            self._same_rows(past, mine, theirs, looked, finer)
        return True

    def _apart(self, overlap: int, differ: int, columns: frozenset[str]) -> bool:
        """True if, at each combination of these columns' values, two populations are equal or have no row in common."""
        return self.space.both(self.space.onto(overlap, columns), self.space.onto(differ, columns)) == NONE

    def _same_rows(self, past: Entry, mine: Part, theirs: Part, looked: frozenset[str], finer: frozenset[str]) -> None:
        one, two = self.new.release, past.release
        levels = dict(one.dimensions)
        grown = sorted(column for column, digest in two.dimensions if levels.get(column, digest) != digest)
        if grown:
            self._defined(past, f"{', '.join(grown)} has other levels")
        if mine.prepared != theirs.prepared:
            self._defined(past, f"{mine.family} has another range")
        least = max(one.min_count, two.min_count)
        rounded = mine.family == COUNTED and 2 * min(one.round_to, two.round_to) >= least > 1
        if finer and not rounded:
            self._unless_large(
                looked,
                "linked",
                past,
                f"the same rows are divided by {_named(finer)} in one of the two only, so that a cell withheld in one "
                "may follow from the other",
                f"divide them in the same way, round the counts of both to {-(-least // 2)} or more, "
                "or have the policy say which cells are large",
            )
        if one.round_to != two.round_to:
            self._note(
                "rounding",
                past,
                "the same people are counted with another rounding, which undoes the rounding of both",
                f"round to {two.round_to}",
            )
        if one.withholds != two.withholds:
            self._note(
                "threshold",
                past,
                "the same rows are released under another disclosure control, and which cells are withheld in only "
                "one of the two tells their numbers more closely",
                "write the same [release.disclosure_control] as that release",
            )

    def _other_rows(self, past: Entry, looked: frozenset[str], apart: frozenset[str]) -> None:
        if not (self.new.release.exact and past.release.exact):
            self._note(
                "mixed",
                past,
                f"one of two releases is exact, one has noise, and their rows differ by {_named(apart)}: the exact "
                "one takes away what the noise was to hide",
                "ask about the same rows, or about none of them",
            )
        else:
            self._unless_large(
                looked,
                "difference",
                past,
                f"the rows differ by {_named(apart)}, and the difference may be about fewer than "
                f"{self._minimum(past.release)} people",
                "ask about the same rows, or about none of them",
            )

    def _defined(self, past: Entry, what: str) -> None:
        problem = f"{what}, and the difference may be about fewer than {self._minimum(past.release)} people"
        self._note("definition", past, problem, "declare them as that release did")

    def _drawn(self, past: Entry, dataset: str) -> None:
        problem = (
            f"of people with many rows in {dataset} each release draws others, and the difference is about those few"
        )
        self._note("definition", past, problem, "raise max_rows_per_person so far that none are drawn")

    def _refresh(self, past: Entry, dataset: str) -> None:
        self._note(
            "refresh",
            past,
            f"the records of {dataset} may have changed between two releases about the same rows, and the difference "
            f"is about whoever came or went: maybe fewer than {self._minimum(past.release)} people",
            "release less often, or about rows that were not in the earlier one",
        )

    def _note(self, rule: Rule, past: Entry, problem: str, advice: str) -> None:
        self.found.setdefault((rule, past.digest), Suspicion(rule, self.new.digest, past.digest, problem, advice))

    # -- what clears a suspicion --------------------------------------------------------------------------------------

    def _unless_large(self, looked: frozenset[str], rule: Rule, past: Entry, problem: str, advice: str) -> None:
        """A suspicion, unless the holder says that every combination of all these columns has enough people."""
        minimum = self._minimum(past.release)
        columns = frozenset(column for column in looked if not column.startswith(JOINED))
        if len(looked - columns) > 1:  # two joins: nobody says how many people are in one of them only
            self._note(rule, past, problem, advice)
            return
        enough = {
            place
            for place, large in enumerate(self.terms.large)
            if columns <= large.columns and large.persons >= minimum
        }
        if enough:
            self._cleared.append((enough, (rule, past, problem, advice)))
        else:
            self._note(rule, past, problem, advice)

    def together(self) -> None:
        """One set of columns has to clear all that need it: three releases, clear by twos, may leave a person."""
        if self._cleared and not set.intersection(*(enough for enough, _ in self._cleared)):
            for _, suspicion in self._cleared:
                self._note(*suspicion)

    def _changed(self, now: Records, before: Records, past: Entry) -> bool:
        """True if the records may have changed by fewer than the minimum of people between the two releases."""
        versions = self.new.versions.get(now.dataset), past.versions.get(now.dataset)
        if None not in versions:
            if versions[0] == versions[1]:
                return False
        elif now.refresh == before.refresh == "frozen":
            return False
        return not self._renewed_slowly(now, before, past)

    def _renewed_slowly(self, now: Records, before: Records, past: Entry) -> bool:
        if self.terms.joiners is None:
            return False
        least = DAYS[self.terms.joiners]
        if self.new.day is not None and past.day is not None:
            return abs((self.new.day - past.day).days) >= least
        return all(DAYS.get(table.refresh, least) >= least for table in (now, before))

    def _minimum(self, release: Release) -> int:
        return max(self.terms.minimum, self.new.release.min_count, release.min_count)

    # -- populations --------------------------------------------------------------------------------------------------

    def _population(self, part: Part) -> int:
        if part.population == UNKNOWN:
            raise Undecided
        return self.space.read(json.loads(part.population))

    def _is_fixed(self, rows: int, column: str) -> bool:
        """True if all rows have one value in a column, so that grouping by it divides nothing."""
        written = self.space.write(self.space.onto(rows, frozenset({column})))
        return len(written) == 1 and written[0][1:4] == ["set", NONE, NONE] and len(written[0][4]) == 1


def _named(columns: frozenset[str]) -> str:
    shown = sorted("who is matched" if column.startswith(JOINED) else column for column in columns)
    return ", ".join(shown)


def findings(suspicions: Iterable[Suspicion], *, refuse: bool) -> Iterator[Finding]:
    """Suspicions as findings of the report."""
    return (suspicion.finding(refuse=refuse) for suspicion in suspicions)
