"""Two disclosure controls compared: what each knob says, in both directions, and the laws of an order."""

import random
from fractions import Fraction

import pytest

from pets.check.decided import Pair, fields
from pets.check.diff import compare
from pets.check.withheld import beside, compared
from pets.spec.control import Control, control_of
from pets.spec.model import Column, Computation, DisclosureControl, Dominance, HolderControl, Model, Spec
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from tests.approve.consortium import SPEC_TOML
from tests.check import pairs

NOISE = SPEC_TOML[SPEC_TOML.index("[release.differential_privacy]") : SPEC_TOML.index("[security]")]
TURNED = {"narrower": "wider", "wider": "narrower"}
BASE = 'min_count = 10\nzeros = "shown"'


def asking(control: str, sql: str = "") -> Spec:
    text = SPEC_TOML.replace(NOISE, f"[release.disclosure_control]\n{control}\n")
    return parse_toml(text.replace("SUM(a.minutes) AS minutes", sql) if sql else text)


def told(old: str, new: str) -> list[tuple[str, str]]:
    """What is said of a change of the control, and the same backwards turned around."""
    one, other = asking(old), asking(new)
    there, back = (
        sorted({(r.path.removeprefix("release.disclosure_control"), r.direction) for r in fields(a, b, "", Pair(a, b))})
        for a, b in ((one, other), (other, one))
    )
    assert [(path, TURNED.get(way, way)) for path, way in back] == there
    return there


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (BASE, 'redact_at_or_below = 9\nzeros = "shown"', ("", "equal")),
        (BASE, 'preset = "nes-1-to-9"', ("", "equal")),
        (BASE, f'{BASE}\n[[release.disclosure_control.holder]]\nparty = "board"\nmin_count = 9', ("", "equal")),
        (BASE, f'{BASE}\nround_to = 1\nrounding = "midpoint"', ("", "equal")),
        (BASE, "min_count = 10", (".zeros", "narrower")),
        (BASE, f"{BASE}\nround_to = 5", (".round_to", "narrower")),
        (BASE, f'{BASE}\nround_to = 6\nrounding = "midpoint"', (".round_to", "narrower")),
        (
            f'{BASE}\nround_to = 6\nrounding = "midpoint"',
            f'{BASE}\nround_to = 12\nrounding = "midpoint"',
            (".round_to", "narrower"),
        ),
        (f"{BASE}\nround_to = 5", f"{BASE}\nround_to = 10", (".round_to", "incomparable")),
        (f"{BASE}\nround_to = 6", f'{BASE}\nround_to = 6\nrounding = "midpoint"', (".round_to", "incomparable")),
        (f"{BASE}\nround_to = 50", "min_count = 10\nround_to = 50", (".zeros", "incomparable")),
        (f"{BASE}\nknown_totals = [[]]", "min_count = 10\nknown_totals = [[]]", (".zeros", "incomparable")),
        (BASE, 'min_count = 11\nzeros = "shown"', (".min_count", "incomparable")),
        (BASE, f"{BASE}\ndominance = [{{ largest = 2, percent = 90 }}]", (".dominance", "incomparable")),
        (BASE, f"{BASE}\np_percent = 10", (".p_percent", "incomparable")),
        (BASE, f"{BASE}\nknown_totals = [[]]", (".known_totals", "incomparable")),
        (
            BASE,
            f'{BASE}\n[[release.disclosure_control.holder]]\nparty = "board"\nappetite = "local"',
            (".local", "incomparable"),
        ),
    ],
)
def test_what_a_change_of_each_knob_means(old: str, new: str, expected: tuple[str, str]) -> None:
    assert told(old, new) == [expected]


def test_noise_for_control_is_another_agreement() -> None:
    noised, exact = parse_toml(SPEC_TOML), asking(BASE)
    ways = {reason.path: reason.direction for reason in fields(noised, exact, "", Pair(noised, exact))}
    assert ways["release.disclosure_control"] == ways["release.differential_privacy"] == "incomparable"


def test_a_knob_that_the_comparison_does_not_know_is_incomparable() -> None:
    class Later(HolderControl):
        later: str = ""

    def control(later: str) -> DisclosureControl:
        return DisclosureControl(min_count=10, holders=(Later(party="board", later=later),))

    old, new = (
        asking(BASE).model_copy(update={"release": asking(BASE).release.model_copy(update={"disclosure_control": c})})
        for c in (control("a"), control("b"))
    )
    assert [reason.direction for reason in fields(old, new, "", Pair(old, new))] == ["incomparable"]


def test_every_knob_of_the_model_changes_what_holds() -> None:
    """What ``decided`` takes to be a part of the control is one: no field that it passes over."""
    least = DisclosureControl(min_count=10, round_to=5, zeros="shown")
    flips: dict[str, object] = {
        "preset": "uk-llc-10-with-zero",
        "min_count": 11,
        "redact_at_or_below": 11,
        "zeros": "hidden",
        "round_to": 7,
        "rounding": "midpoint",
        "dominance": (Dominance(largest=1, percent=50),),
        "p_percent": 10,
        "round_values_to": {"attendances.minutes": 5},
        "known_totals": ((),),
        "holders": (HolderControl(party="board", appetite="local"),),
    }
    assert set(flips) == set(DisclosureControl.model_fields)
    assert set(HolderControl.model_fields) - set(DisclosureControl.model_fields) == {"party", "appetite"}
    for name, value in flips.items():
        cleared = {"redact_at_or_below": {"min_count": None}, "preset": {"zeros": None}}.get(name, {})
        changed = DisclosureControl.model_validate({**dict(least), **cleared, name: value})
        assert control_of(changed) != control_of(least), name
    assert issubclass(Dominance, Model) and not hasattr(Column, "largest")


@pytest.mark.parametrize(
    ("sql", "control", "other_sql", "other_control", "withheld"),
    [
        ("COUNT(*) AS n, COUNT(a.minutes) AS m", BASE, "", f"{BASE}\nround_to = 5", True),
        ("COUNT(*) AS n", BASE, "COUNT(*) AS n", f"{BASE}\nround_to = 5", True),
        ("SUM(a.minutes) AS s", BASE, "SUM(a.minutes) AS s", f"{BASE}\nround_to = 5", True),
        ("COUNT(*) AS n, SUM(a.minutes) AS s", BASE, "COUNT(*) AS n", BASE, False),
        ("COUNT(*) AS n, AVG(a.minutes) AS s", BASE, "COUNT(*) AS n, SUM(a.minutes) AS s", BASE, False),
        (
            "COUNT(*) AS n, SUM(a.minutes) AS s",
            f"{BASE}\nround_to = 5",
            "COUNT(*) AS n",
            f"{BASE}\nround_to = 5",
            False,
        ),
    ],
)
def test_a_count_beside_another(sql: str, control: str, other_sql: str, other_control: str, withheld: bool) -> None:
    """To leave out one of two counts, or to round them, shows what was withheld for their difference.

    Beside all of them persons are counted, and rows are those of persons with several, some without a value.
    """
    specs = asking(control, sql), asking(other_control, other_sql or sql)
    one, other = ((spec, bind(spec)) for spec in specs)
    assert bool(beside(one, other)) == bool(beside(other, one)) == withheld


def accepted(control: str, columns: str) -> Spec:
    """A specification that the check accepts, with this control in the place of noise."""
    noise = pairs.BASE[pairs.BASE.index("[release.differential_privacy]") : pairs.BASE.index("[security]")]
    once = pairs.BASE.replace("max_rows_per_person = 4", "max_rows_per_person = 1")
    spec = parse_toml(once.replace(noise, f"[release.disclosure_control]\n{control}\n\n"))
    sql = (
        f"SELECT h.tenure, {columns} FROM attendances a JOIN housing h ON a.nhs_number = h.nhs_number GROUP BY h.tenure"
    )
    return spec.model_copy(update={"computation": Computation(sql=sql)})


@pytest.mark.parametrize(
    ("old", "new", "columns", "relation"),
    [
        (BASE, 'preset = "nes-1-to-9"', "COUNT(*) AS n", "equal"),
        (BASE, "min_count = 10", "COUNT(*) AS n", "narrower"),
        (BASE, f"{BASE}\nround_to = 5", "COUNT(*) AS n", "narrower"),
        (BASE, f"{BASE}\nround_to = 5", "COUNT(*) AS n, SUM(a.minutes) AS s", "incomparable"),
        (BASE, 'min_count = 11\nzeros = "shown"', "COUNT(*) AS n", "incomparable"),
    ],
)
def test_whole_specifications_are_compared_with_their_control(old: str, new: str, columns: str, relation: str) -> None:
    """A sum may be withheld for the sake of a count of more people beside it, and shown if that is rounded."""
    one, other = accepted(old, columns), accepted(new, columns)
    found, back = compare(one, other), compare(other, one)
    assert (found.relation, back.relation) == (relation, TURNED.get(relation, relation)), found.text


def test_a_column_less_is_narrower_unless_another_was_withheld_for_it() -> None:
    """A sum is withheld if it is of all but a few whom the count beside it counts, and never the count for the sum."""
    for control in (BASE, f"{BASE}\nround_to = 5"):
        both = accepted(control, "COUNT(*) AS n, SUM(a.minutes) AS s")
        assert compare(both, accepted(control, "COUNT(*) AS n")).relation == "narrower"
        found = compare(both, accepted(control, "SUM(a.minutes) AS s"))
        assert found.relation == ("incomparable" if control == BASE else "narrower"), found.text


def drawn(draw: random.Random) -> Control:
    return Control(
        draw.choice([5, 5, 5, 10]),
        draw.choice(["shown", "hidden"]),  # type: ignore[arg-type]
        draw.choice([1, 2, 4, 6, 12, 30]),
        draw.choice(["nearest", "midpoint", "midpoint"]),  # type: ignore[arg-type]
        draw.choice([(), (), (), ((1, Fraction(1, 2)),)]),
        known_totals=draw.choice([(), (), ((),)]),
    )


def within(old: Control, new: Control) -> bool:
    return {direction for _, direction, _ in compared(old, new)} <= {"narrower"}


def test_narrower_is_an_order() -> None:
    draw, told = random.Random("order"), 0
    for _ in range(20_000):
        a, b, c = drawn(draw), drawn(draw), drawn(draw)
        assert within(a, a)
        assert not (within(a, b) and within(b, a)) or a == b
        if within(a, b) and within(b, c):
            told += a != b != c
            assert within(a, c)
    assert told > 20
