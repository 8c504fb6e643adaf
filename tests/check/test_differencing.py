"""The differencing guard: the scripted attacks D01 to D20 of threats-and-tests.md 5.1, and what it must not stop.

Every attack is tried in both orders, over a history in memory and again over one that comes back from a state file.
"""

import datetime as dt
import itertools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pets.check import flow
from pets.check.budget import Loss
from pets.check.differencing import Suspicion, Terms, judge
from pets.check.releases import Entry, Release, release_of
from pets.errors import BudgetError, SpecError
from pets.ids import RunHandle
from pets.party.accounting import Account, Cap
from pets.party.history import History
from pets.party.ledger import Ledger
from pets.party.state import State
from pets.spec.cards import load_cards
from pets.spec.population import MAX_NODES
from pets.spec.sql import bind
from tests.check.releases import JOIN, ROUNDED, TEN, TERMS, asked, large, rules, spec_of

MEAN = "SELECT AVG(a.minutes) AS mean"
COUNT = "SELECT COUNT(*) AS n"
DAY = dt.date(2027, 1, 1)


def remembered(folder: Path, entries: list[Entry]) -> tuple[Entry, ...]:
    """A history as a server finds it after it was started again."""
    name = len(list(folder.iterdir()))
    with State(folder / f"{name}.sqlite") as state:
        for number, entry in enumerate(entries):
            History(state).remember(RunHandle(f"run {number}"), entry)
    with State(folder / f"{name}.sqlite") as state:
        return History(state).entries()


def stopped(folder: Path, rule: str, *attack: Entry, terms: Terms = TERMS) -> list[Suspicion]:
    """Hold that the last release of an attack is suspicious, in every order, and the same after a restart."""
    found = []
    for order in itertools.permutations(attack):
        history, new = list(order[:-1]), order[-1]
        said = judge(history, new, terms)
        again = judge(remembered(folder, history), new, terms)
        assert rule in {each.rule for each in said}, (order, said)
        assert said == again
        found += list(said)
    for entry in attack:
        assert not judge([], entry, terms), "each alone is fine, or the attack is no combination"
    return found


# -- the attacks ------------------------------------------------------------------------------------------------------


def test_d01_drop_one_row(tmp_path: Path) -> None:
    stopped(tmp_path, "difference", asked(MEAN), asked(f"{MEAN} WHERE a.age <> 97"))
    stopped(tmp_path, "difference", asked(COUNT), asked(f"{COUNT} WHERE NOT (a.age = 97 AND a.sex = 'males')"))


def test_d02_duplicate_one_row(tmp_path: Path) -> None:
    """A row is repeated in the source: another version of the records, or more rows a person kept of them."""
    once, twice = (asked(MEAN, versions={"attendances": version}, day=DAY) for version in ("1", "2"))
    stopped(tmp_path, "refresh", once, twice)
    truncated = (
        ("max_rows = 1000000\n[dataset.columns]\nnhs", "max_rows = 1000000\ntruncate = true\n[dataset.columns]\nnhs"),
    )
    kept = asked(MEAN, *truncated), asked(MEAN, *truncated, ("person = 4", "person = 5"))
    stopped(tmp_path, "definition", *kept)


def test_d03_complement(tmp_path: Path) -> None:
    stopped(tmp_path, "difference", asked(COUNT), asked(f"{COUNT} WHERE a.code <> 'Z99'"))
    by_code = asked("SELECT a.code, COUNT(*) AS n GROUP BY a.code")
    stopped(tmp_path, "linked", by_code, asked(COUNT))
    stopped(tmp_path, "linked", by_code, asked(f"{COUNT} WHERE a.code <> 'Z99'"))


def test_d04_codelist_grows(tmp_path: Path) -> None:
    table = "SELECT a.sex, COUNT(*) AS n WHERE a.code IN ({}) GROUP BY a.sex"
    stopped(tmp_path, "difference", asked(table.format("'A01', 'B02'")), asked(table.format("'A01', 'B02', 'Z99'")))
    by_code = "SELECT a.code, COUNT(*) AS n GROUP BY a.code"
    stopped(tmp_path, "definition", asked(by_code), asked(by_code, ('"Z99"', '"Y98", "Z99"')))


def test_d05_nested_geography(tmp_path: Path) -> None:
    kingdom, britain = asked(COUNT), asked(f"{COUNT} WHERE a.country <> 'Northern Ireland'")
    stopped(tmp_path, "difference", kingdom, britain)
    councils = asked("SELECT a.council, COUNT(*) AS n GROUP BY a.council")
    countries = asked("SELECT a.country, COUNT(*) AS n GROUP BY a.country")
    stopped(tmp_path, "linked", councils, countries)


def test_d06_sliding_window(tmp_path: Path) -> None:
    window = f"{MEAN} WHERE a.arrival >= DATE '{{}}' AND a.arrival < DATE '{{}}'"
    first = asked(window.format("2018-01-01", "2019-01-01"))
    stopped(tmp_path, "difference", first, asked(window.format("2018-02-01", "2019-02-01")))


def test_d07_threshold_probing(tmp_path: Path) -> None:
    for control in (TEN, ROUNDED):
        probes = [asked(f"{COUNT} WHERE a.age >= {age}", control=control) for age in (90, 91)]
        stopped(tmp_path, "difference", *probes)


@pytest.mark.parametrize(
    "control",
    [
        "min_count = 11",
        'min_count = 10\nzeros = "shown"',
        "min_count = 10\np_percent = 10",
        "min_count = 10\ndominance = [{ largest = 2, percent = 90 }]",
        "min_count = 10\nknown_totals = [[]]",
        'min_count = 10\n[[release.disclosure_control.holder]]\nparty = "board"\nappetite = "local"',
    ],
)
def test_d07_the_same_rows_under_other_disclosure_controls(tmp_path: Path, control: str) -> None:
    """Minima of 10, 11, 12, ... tell every count, rounded or not; so do other rules of what is withheld."""
    table = "SELECT a.country, SUM(a.cost) AS c GROUP BY a.country"
    stopped(tmp_path, "threshold", asked(table, control=TEN), asked(table, control=control))
    rounded = "min_count = 8\nround_to = 6"
    midpoints = f'{rounded}\nrounding = "midpoint"'
    stopped(tmp_path, "threshold", asked(COUNT, control=rounded), asked(COUNT, control=midpoints))
    same = asked(table, control='redact_at_or_below = 9\nzeros = "hidden"')
    assert not judge([asked(table, control=TEN)], same, TERMS)


def test_d08_many_comparisons_in_one_query(tmp_path: Path) -> None:
    """FILTER, UNION and sub-queries are refused by the language; a CASE inside a statistic is another population.

    Within one release disclosure control withholds what follows; beside another release it is as if WHERE said it.
    """
    for sql in (
        f"SELECT COUNT(*) FILTER (WHERE a.age > 50) AS x {JOIN}",
        f"SELECT COUNT(*) AS x {JOIN} UNION ALL SELECT COUNT(*) AS x {JOIN} WHERE a.age > 50",
    ):
        with pytest.raises(SpecError):
            bind(spec_of(sql))
    assert rules([], asked("SELECT COUNT(*) AS n, COUNT(a.minutes) AS timed")) == set(), "disclosure control withholds"
    stopped(tmp_path, "difference", asked("SELECT COUNT(*) AS n"), asked("SELECT COUNT(a.minutes) AS timed"))
    stopped(tmp_path, "difference", *(asked(f"{COUNT} WHERE a.age > {age}") for age in (50, 75)))
    old = "SELECT COUNT(CASE WHEN a.age > 50 THEN 1 END) AS old"
    assert rules([], asked(f"{old}, COUNT(*) AS n")) == set(), "disclosure control withholds"
    stopped(tmp_path, "difference", asked("SELECT COUNT(*) AS n"), asked(old))
    stopped(tmp_path, "difference", asked(old), asked(old.replace("50", "75")))
    stopped(tmp_path, "difference", asked(f"{COUNT} WHERE a.age > 75"), asked(old))
    assert not judge([asked(f"{COUNT} WHERE a.age > 50")], asked(old), TERMS), "the same rows"


def test_d08_a_mean_shows_how_many_it_is_of(tmp_path: Path) -> None:
    """Its count is opened with it: less that of everybody, or of who has another value, those without one follow."""
    stopped(tmp_path, "difference", asked(COUNT), asked(MEAN))
    stopped(tmp_path, "difference", asked(MEAN), asked("SELECT AVG(a.cost) AS cost"))
    both = "SELECT COUNT(*) AS n, AVG(a.minutes) AS mean"
    stopped(tmp_path, "difference", asked(both), asked(MEAN))
    assert not judge([asked(both)], asked(both), TERMS), (
        "the same table again: what it withholds for both, it withholds"
    )
    left = "FROM attendances a LEFT JOIN housing h ON a.nhs_number = h.nhs_number"
    matched = f"SELECT COUNT(DISTINCT h.nhs_number) AS matched {left}"
    stopped(tmp_path, "difference", asked(f"{COUNT} {left}"), asked(matched))
    stopped(tmp_path, "difference", asked(f"{COUNT} {left}"), asked(f"SELECT AVG(h.rent) AS rent {left}"))


def test_d09_own_input_changed_between_runs(tmp_path: Path) -> None:
    """The other holder's table is renewed while this one's stays: whoever it adds is told apart among these records."""
    changed = (("max_rows_per_person = 1\n", 'max_rows_per_person = 1\nrefresh = "each run"\n'),)
    probe = asked(MEAN, *changed, versions={"attendances": "1"}, day=DAY)
    again = replace(probe, digest="f" * 64, day=DAY + dt.timedelta(1))
    stopped(tmp_path, "refresh", probe, again)
    copy = asked(MEAN, ('name = "housing"', 'name = "housing_2"'), ("JOIN housing", "JOIN housing_2"))
    stopped(tmp_path, "difference", asked(MEAN), copy)


def test_d10_rewritten_query(tmp_path: Path) -> None:
    total = "SELECT SUM(a.cost) AS total"
    one = asked(f"{total} WHERE a.sex = 'males' OR a.age < 100")
    two = asked(f"{total} WHERE NOT (a.sex <> 'males' AND a.age >= 99)")
    stopped(tmp_path, "difference", one, two)


def test_d11_general_tracker(tmp_path: Path) -> None:
    """A person is (A and B); a tracker pads: A or C, A or not C, and the same with B (Denning 1979)."""
    a, b, pad = "a.code = 'Z99'", "a.age = 97", "a.sex = 'males'"
    parts = [f"({a} AND {b}) OR {pad}", f"({a} AND {b}) OR NOT {pad}", pad, f"NOT {pad}"]
    attack = [asked(f"{COUNT} WHERE {part}") for part in parts]
    for order in itertools.permutations(attack):
        assert any(rules(list(order[:number]), order[number]) for number in range(1, 4))
    stopped(tmp_path, "difference", *attack[:3])


def test_d12_linked_tables(tmp_path: Path) -> None:
    """Two tables with one margin: a cell withheld in one follows from the other, if nothing is rounded."""
    one = asked("SELECT a.country, a.code, COUNT(*) AS n GROUP BY a.country, a.code")
    two = asked("SELECT a.country, a.age_band, COUNT(*) AS n GROUP BY a.country, a.age_band")
    stopped(tmp_path, "linked", one, two)
    fine = "min_count = 10\nround_to = 2"
    stopped(
        tmp_path,
        "linked",
        asked("SELECT a.country, a.code, COUNT(*) AS n GROUP BY a.country, a.code", control=fine),
        asked("SELECT a.country, COUNT(*) AS n GROUP BY a.country", control=fine),
    )
    sums = (
        asked("SELECT a.country, a.code, SUM(a.cost) AS c GROUP BY a.country, a.code", control=ROUNDED),
        asked("SELECT a.country, a.sex, SUM(a.cost) AS c GROUP BY a.country, a.sex", control=ROUNDED),
    )
    stopped(tmp_path, "linked", *sums)
    other_rows = asked("SELECT a.country, COUNT(*) AS n WHERE a.age_band IS NOT NULL GROUP BY a.country")
    stopped(tmp_path, "difference", asked("SELECT a.country, COUNT(*) AS n GROUP BY a.country"), other_rows)


def test_d13_rounded_count_exact_rate(tmp_path: Path) -> None:
    """A rate from unrounded parts reveals the count. In one table there is none: rates are made of what is shown."""
    within = asked("SELECT a.country, COUNT(*) AS n, AVG(a.breach) AS rate GROUP BY a.country", control=ROUNDED)
    assert rules([], within) == set()
    rate = "SELECT a.country, SUM(a.breach) AS breaches GROUP BY a.country"
    stopped(tmp_path, "rounding", asked(rate, control=ROUNDED), asked(rate, control="min_count = 8"))
    counts = "SELECT a.country, COUNT(*) AS n GROUP BY a.country"
    stopped(tmp_path, "rounding", asked(counts, control=ROUNDED), asked(counts, control=TEN))


@pytest.mark.parametrize("extreme", ["MIN(a.age)", "MAX(a.age)", "MEDIAN(a.age)", "QUANTILE_DISC(a.age, 0.99)"])
def test_d14_extremes(extreme: str) -> None:
    """MIN, MAX and percentiles are no noised statistics; of exact ones the holder has to list them by name."""
    spec = spec_of(f"SELECT {extreme} AS x {JOIN}")
    assert "control.order" in {f.rule for f in flow.check_query(spec, bind(spec)) if f.severity == "error"}


def test_d14_other_values_of_one_person() -> None:
    """What is not in the language is refused, whoever asks."""
    with pytest.raises(SpecError) as caught:
        bind(spec_of(f"SELECT QUANTILE_CONT(a.age, 0.99) AS x {JOIN}"))
    assert caught.value.code == "sql.function"


@pytest.mark.parametrize(
    ("added", "counted"),
    [
        ("SUM(a.breach) AS s", "WHERE a.breach = 1 AND a.code <> 'Z99'"),
        ("SUM(a.cost) AS s WHERE a.cost = 5", "WHERE a.cost = 5 AND a.code <> 'Z99'"),
        ("CORR(a.breach, a.cost) AS r WHERE a.age > 3", "WHERE a.age > 3 AND a.code <> 'Z99'"),
    ],
)
def test_d13_a_sum_may_be_a_count(tmp_path: Path, added: str, counted: str) -> None:
    """Of zeros and ones, or where WHERE leaves one value: then it differs from a count by the few who are left out."""
    stopped(tmp_path, "difference", asked(f"SELECT {added}"), asked(f"{COUNT} {counted}"))


def test_d14_a_median_less_one_person_is_a_difference(tmp_path: Path) -> None:
    """No sum is opened for it, and still it is of rows like any sum."""
    own = ("max_rows_per_person = 4", "max_rows_per_person = 1")
    for each in ("MEDIAN(a.age)", "MAX(a.age)", "QUANTILE_DISC(a.age, 0.25)"):
        control = 'min_count = 12\nround_values_to = { "attendances.age" = 5 }'
        whole, less = (
            asked(f"SELECT {each} AS m{where}", own, control=control) for where in ("", " WHERE a.code <> 'Z99'")
        )
        stopped(tmp_path, "difference", whole, less)
        stopped(tmp_path, "difference", asked("SELECT AVG(a.age) AS m", own, control=control), less)
        by_code = asked(f"SELECT a.code, {each} AS m GROUP BY a.code", own, control=control)
        stopped(tmp_path, "linked", whole, by_code)


def test_d14_quantiles_one_release_after_another(tmp_path: Path) -> None:
    """Each asks for few enough; together they list the values of nearly everybody in a group."""
    control = 'min_count = 12\nround_values_to = { "attendances.age" = 5 }'
    own = (("max_rows_per_person = 4", "max_rows_per_person = 1"),)

    def quantiles(*shares: str, where: str = "", control: str = control) -> Entry:
        columns = ", ".join(f"QUANTILE_DISC(a.age, {share}) AS q{n}" for n, share in enumerate(shares))
        return asked(f"SELECT {columns}{where}", *own, control=control)

    one, two = quantiles("0.2", "0.4", "0.6"), quantiles("0.3", "0.5")
    for each in stopped(tmp_path, "values", one, two):
        assert each.rule == "values" and "5 values of single persons" in each.problem
    assert {"values"} == rules([quantiles("0.2", "0.4"), quantiles("0.3")], quantiles("0.5", "0.6"))
    assert not rules([one], quantiles("0.4", "0.2"))  # it was shown before
    assert not rules([one, two], quantiles("0.2", "0.5")), "what is known by now is not learned again"
    assert not rules([quantiles("0.2", "0.4")], quantiles("0.6", "0.8"))
    females = quantiles("0.2", "0.4", "0.6", where=" WHERE a.sex = 'females'")
    assert not rules([females], quantiles("0.3", "0.5", where=" WHERE a.sex = 'males'"))
    assert "values" in rules([females], quantiles("0.3", "0.5", where=" WHERE a.sex <> 'males'"))
    other = asked("SELECT MEDIAN(a.age) AS x, AVG(a.minutes) AS m", *own, control=control)
    assert "values" in rules([one, quantiles("0.8")], other)


T = Account("t")


def test_d15_averaging_noise(tmp_path: Path) -> None:
    """The same noisy release, repeated: not the guard's business; the ledger pays for each until nothing is left."""
    noisy = asked(COUNT, noise=True, versions={"attendances": "1"}, day=DAY)
    assert judge([noisy] * 5, noisy, TERMS) == ()
    cap = Cap(Loss(Fraction(3), Fraction(1)), dt.date(2000, 1, 1))
    with State(tmp_path / "ledger.sqlite") as state:
        for number in range(3):
            Ledger(state).reserve(RunHandle(f"{number}"), {T: Loss(Fraction(1), Fraction(0))}, {T: cap})
    with State(tmp_path / "ledger.sqlite") as state, pytest.raises(BudgetError) as caught:
        Ledger(state).reserve(RunHandle("4"), {T: Loss(Fraction(1), Fraction(0))}, {T: cap})
    assert caught.value.code == "budget.epsilon"


def test_d16_refresh(tmp_path: Path) -> None:
    """This month less last month isolates joiners: before it runs, when a specification repeats itself, and after."""
    monthly = (("max_rows_per_person = 4\n", 'max_rows_per_person = 4\nrefresh = "monthly"\n'),)
    table = "SELECT a.council, COUNT(*) AS n GROUP BY a.council"
    assert rules([], asked(table, *monthly, runs=12)) == {"refresh"}
    january, february = (
        asked(table, *monthly, versions={"attendances": version}, day=dt.date(2027, month, 1))
        for version, month in (("1", 1), ("2", 2))
    )
    stopped(tmp_path, "refresh", january, february)
    slow = replace(TERMS, joiners="quarterly")
    stopped(tmp_path, "refresh", january, february, terms=slow)
    april = replace(february, day=dt.date(2027, 4, 1))
    assert not judge([january], april, slow)


def test_d17_psi_size_walk() -> None:
    """Intersections come with their protocol; today no query names a person, so no id can be swapped for another."""
    with pytest.raises(SpecError) as caught:
        bind(spec_of(f"{COUNT} {JOIN} WHERE a.nhs_number = '4505577104'"))
    assert caught.value.code == "sql.person-id"
    named = spec_of(f"SELECT a.nhs_number, COUNT(*) AS n {JOIN} GROUP BY a.nhs_number HAVING COUNT(*) > 1")
    assert "leak.person-id" in {finding.rule for finding in flow.judge(named, bind(named), load_cards()).errors}


def test_d18_two_colluding_researchers(tmp_path: Path) -> None:
    """Halves of D01 under two accounts, recipients and purposes: the history knows nobody's name."""
    other = (
        ('author = "Alex Author"', 'author = "Zoe Other"'),
        ("statistics.example", "university.example"),
        ('name = "statistics"', 'name = "university"'),
        ('to = ["statistics"]', 'to = ["university"]'),
    )
    one, two = asked(MEAN), asked(f"{MEAN} WHERE a.age <> 97", *other)
    stopped(tmp_path, "difference", one, two)
    assert "Zoe" not in two.release.model_dump_json() and "university" not in two.release.model_dump_json()


def test_d19_same_query_other_words(tmp_path: Path) -> None:
    """Equal meaning, one form: it passes as the same; and no other words hide a difference."""
    words = [
        "SELECT a.sex, AVG(a.minutes) AS mean WHERE a.age > 17 AND a.country IN ('England', 'Wales') GROUP BY a.sex",
        "SELECT x.sex AS s, AVG(x.minutes) AS m FROM attendances x JOIN housing y ON y.nhs_number = x.nhs_number "
        "WHERE (x.country = 'Wales' OR x.country = 'England') AND NOT x.age <= 17 GROUP BY x.sex",
        "SELECT AVG(a.minutes) AS mean, a.sex FROM housing h JOIN attendances a USING (nhs_number) "
        "WHERE a.country NOT IN ('Scotland', 'Northern Ireland') AND a.age >= 18 GROUP BY a.sex",
    ]
    entries = [asked(sql) for sql in words]
    assert len({entry.release.model_dump_json() for entry in entries}) == 1
    for one, two in itertools.permutations(entries, 2):
        assert not judge([one], two, TERMS)
    less = [asked(sql.replace(">= 18", ">= 19").replace("17", "18")) for sql in words]
    for one, two in zip(entries, (*less[1:], less[0]), strict=True):
        stopped(tmp_path, "difference", one, two)


def test_d20_noisy_and_exact_mix(tmp_path: Path) -> None:
    exact, noisy = asked(f"{COUNT} WHERE a.age < 90"), asked(COUNT, noise=True)
    stopped(tmp_path, "mixed", exact, noisy)
    assert rules([noisy], asked(f"{COUNT}", noise=True)) == set(), "noise beside noise is the ledger's"
    assert rules([exact], asked(f"{COUNT} WHERE a.age < 90", noise=True)) == set(), "the same rows"
    assert rules([exact], asked(f"{COUNT} WHERE a.age >= 90", noise=True)) == set(), "other rows"


# -- how it decides ---------------------------------------------------------------------------------------------------


def test_what_the_policy_calls_large_may_be_divided_in_any_way() -> None:
    by_sex, by_country, total = (
        asked(sql)
        for sql in (
            "SELECT a.sex, AVG(a.cost) AS c GROUP BY a.sex",
            "SELECT a.country, AVG(a.cost) AS c GROUP BY a.country",
            "SELECT AVG(a.cost) AS c WHERE a.country <> 'Wales'",
        )
    )
    both = large("attendances.sex", "attendances.country")
    terms = replace(TERMS, large=(both,))
    assert not judge([by_sex, by_country], total, terms)
    assert rules([by_sex], by_country, replace(TERMS, large=(large("attendances.sex"),))) == {"linked"}
    assert rules([by_sex], by_country, replace(TERMS, large=(replace(both, persons=9),))) == {"linked"}
    assert rules([by_sex], by_country, replace(terms, minimum=1001)) == {"linked"}
    aged = asked("SELECT AVG(a.cost) AS c WHERE a.age < 90")
    assert rules([by_sex], aged, terms) == {"difference"}
    nulls = asked("SELECT a.country, AVG(a.minutes) AS m GROUP BY a.country")
    assert rules([asked("SELECT a.sex, AVG(a.minutes) AS m GROUP BY a.sex")], nulls, terms) == {"linked"}, (
        "few may be timed"
    )


def test_one_set_of_large_cells_has_to_clear_all_that_need_it() -> None:
    one, two, three = (
        asked(f"SELECT a.{name}, AVG(a.cost) AS c GROUP BY a.{name}") for name in ("sex", "country", "department")
    )
    pairs = tuple(
        large(*(f"attendances.{name}" for name in pair))
        for pair in (("sex", "country"), ("country", "department"), ("sex", "department"))
    )
    terms = replace(TERMS, large=pairs)
    assert not judge([one], two, terms) and not judge([two], three, terms) and not judge([one], three, terms)
    for history, new in (([one, two], three), ([two, one], three), ([three, one], two)):
        assert [each.rule for each in judge(history, new, terms)] == ["linked", "linked"]


def test_the_order_of_the_history_does_not_matter() -> None:
    history = [asked(COUNT), asked(f"{COUNT} WHERE a.age < 90"), asked("SELECT a.sex, COUNT(*) AS n GROUP BY a.sex")]
    new = asked(f"{COUNT} WHERE a.country <> 'Wales'")
    assert len({judge(order, new, TERMS) for order in itertools.permutations(history)}) == 1


def test_only_the_holder_s_own_tables_are_guarded() -> None:
    one, two = asked(MEAN), asked(f"{MEAN} WHERE a.age <> 97")
    assert rules([one], two, replace(TERMS, holder="council")) == {"difference"}, "its people are told apart as well"
    assert rules([one], two, replace(TERMS, holder="helper")) == set()


def test_a_suspicion_names_itself_the_same_everywhere_and_tells_outsiders_nothing_of_the_past() -> None:
    past, new = asked(f"{MEAN} WHERE a.code <> 'Z99'"), asked(MEAN)
    (suspicion,) = judge([past], new, TERMS)
    assert suspicion.id == judge([past, past], new, TERMS)[0].id and len(suspicion.id) == 16
    assert suspicion.id != judge([new], past, TERMS)[0].id
    assert past.digest[:12] in suspicion.told and "attendances.code" in suspicion.told
    for refuse in (False, True):
        finding = suspicion.finding(refuse=refuse)
        assert finding.severity == ("error" if refuse else "warning")
        assert past.digest[:12] not in finding.message + finding.hint and "code" not in finding.message
    assert suspicion.id in suspicion.finding(refuse=False).hint


def test_conditions_beyond_comparing_are_for_a_person_and_noise_passes() -> None:
    names = ("sex", "age_band", "country", "council", "provider", "department", "code", "month", "year", "outcome")
    release = asked(COUNT).release
    unknown = tuple(part.model_copy(update={"population": "unknown"}) for part in release.parts)
    hard = Entry("e" * 64, release.model_copy(update={"parts": unknown}), {})
    assert rules([hard], asked(COUNT)) == rules([asked(COUNT)], hard) == {"undecided"}
    noisy = replace(hard, release=hard.release.model_copy(update={"exact": False}))
    assert rules([noisy], replace(noisy, digest="f" * 64)) == set()
    wide = " OR ".join(f"(a.{one} = '{{}}' AND a.age > {number})" for number, one in enumerate(names))
    assert MAX_NODES > 1000 and wide


def test_a_release_comes_back_from_its_text() -> None:
    entry = asked("SELECT a.sex, h.tenure, AVG(a.minutes) AS m, COUNT(*) AS n WHERE a.age > 3 GROUP BY a.sex, h.tenure")
    assert Release.model_validate_json(entry.release.model_dump_json()) == entry.release
    older = entry.release.model_dump(mode="json")
    del older["singles"]  # as a server's history has it that knew no order statistics
    assert Release.model_validate_json(json.dumps(older)) == entry.release
    spec = spec_of("SELECT COUNT(*) AS n WHERE a.code = 'Z99'")
    assert "4505577104" not in release_of(spec, bind(spec)).model_dump_json()
