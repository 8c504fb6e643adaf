"""Disclosure control in a specification: what anybody may ask, and that the strictest of it holds."""

import itertools
import random
import typing
from fractions import Fraction

import pytest

from pets.errors import SpecError
from pets.spec.canonical import canonical, spec_digest
from pets.spec.control import PRESETS, Control, PresetName, effective, strictest
from pets.spec.model import Spec
from pets.spec.parse import parse_toml, spec_from_json
from pets.spec.write import to_toml

NOISE = '[release.differential_privacy]\nepsilon = "1"\nneighbours = "one person\'s rows added or removed"\n'
EVERYTHING = """[release.disclosure_control]
preset = "ons-10"
redact_at_or_below = 11
zeros = "hidden"
round_to = 6
rounding = "midpoint"
dominance = [{ largest = 2, percent = 90 }, { largest = 1, percent = 75 }]
p_percent = 10
known_totals = [["%(column)s"], []]
[[release.disclosure_control.holder]]
party = "%(party)s"
appetite = "local"
preset = "nes-1-to-9"
round_to = 4
rounding = "midpoint"
"""


def asking(toml: str, control: str) -> Spec:
    """The specification of the tests, with this disclosure control in the place of its noise."""
    start = toml.index("[release.differential_privacy]")
    stop = toml.index("[", start + 1)
    while toml[stop : stop + 9] == "[release.":
        stop = toml.index("[", stop + 1)
    spec = parse_toml(toml)
    column = next(f"{d.name}.{n}" for d in spec.datasets for n, c in d.columns.items() if c.role == "dimension")
    party = spec.datasets[0].party
    holder = f'[[release.disclosure_control.holder]]\nparty = "{party}"'
    words = {"column": column, "party": party, "holder": holder}
    return parse_toml(toml[:start] + control % words + "\n" + toml[stop:])


def controls(toml: str, body: str) -> Control:
    found = effective(asking(toml, "[release.disclosure_control]\n" + body))
    assert found is not None
    return found


def test_everything_that_can_be_asked_is_read_written_and_signed(toml: str) -> None:
    spec = asking(toml, EVERYTHING)
    column = spec.release.disclosure_control.known_totals[0][0]  # type: ignore[union-attr, index]
    assert effective(spec) == Control(
        min_count=12,
        zeros="hidden",
        round_to=12,
        rounding="midpoint",
        dominance=((1, Fraction(3, 4)), (2, Fraction(9, 10))),
        p_percent=Fraction(1, 10),
        local=(spec.datasets[0].party,),
        known_totals=((), (column,)),
    )
    assert parse_toml(to_toml(spec)) == spec
    assert spec_from_json(canonical(spec)) == spec


def test_without_disclosure_control_nothing_is_controlled_and_no_digest_changed(toml: str, spec: Spec) -> None:
    """The digest is that from before there were more knobs than two."""
    assert effective(spec) is None
    assert spec_digest(spec) == "b34d05d9a6f37fdf853ca3afeaa90def71c0a6a2ed5ec95564cfd8f9b97894f5"


def test_what_is_left_out_is_no_part_of_what_is_signed(toml: str) -> None:
    spec = asking(toml, "[release.disclosure_control]\nmin_count = 10\n")
    assert b'"disclosure_control":{"min_count":10}' in canonical(spec)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("min_count = 10", Control(10)),
        ("redact_at_or_below = 9", Control(10)),
        ('min_count = 10\nzeros = "shown"', Control(10, "shown")),
        ("min_count = 8\nround_to = 5", Control(8, round_to=5)),
        ('min_count = 8\nround_to = 6\nrounding = "midpoint"', Control(8, round_to=6, rounding="midpoint")),
        ('min_count = 8\nround_to = 1\nrounding = "midpoint"', Control(8)),
        ('preset = "opensafely-7-5"', Control(8, round_to=5)),
        ('preset = "opensafely-7-5"\nround_to = 10', Control(8, round_to=10)),
        ('preset = "opensafely-7-5"\nround_to = 3', Control(8, round_to=15)),
        ('preset = "nes-1-to-9"', Control(10, "shown")),
        ('preset = "nes-1-to-9"\nzeros = "hidden"', Control(10)),
        ('preset = "nes-1-to-9"\nmin_count = 11', Control(11, "shown")),
        (
            "min_count = 2\ndominance = [{ largest = 1, percent = 90 }, { largest = 2, percent = 90 }]",
            Control(2, dominance=((2, Fraction(9, 10)),)),
        ),
        (
            'min_count = 10\nzeros = "shown"\n%(holder)s\nmin_count = 12',
            Control(12, "shown"),
        ),
        (
            'min_count = 10\nzeros = "shown"\n%(holder)s\npreset = "uk-llc-10-with-zero"',
            Control(10),
        ),
        (
            "%(holder)s\nmin_count = 3",
            Control(3),
        ),
    ],
)
def test_what_holds(toml: str, body: str, expected: Control) -> None:
    assert controls(toml, body) == expected


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("round_to = 5", "nobody says from how many persons on"),
        ("min_count = 0", "min_count"),
        ("redact_at_or_below = 0", "redact_at_or_below"),
        ("min_count = 10\nredact_at_or_below = 9", "write one of the two"),
        ('min_count = 10\nrounding = "midpoint"', "write round_to as well"),
        ("min_count = 10\ndominance = []", "leave it out"),
        ("min_count = 10\ndominance = [{ largest = 2, percent = 100 }]", "percent"),
        ('preset = "ons-11"', "preset"),
        (
            'preset = "ons-10"\nmin_count = 9',
            "shows cells from 9 persons on, below the 10 of the preset",
        ),
        ('preset = "ons-10"\nredact_at_or_below = 8', "shows cells from 9 persons on"),
        ('preset = "ons-10"\nzeros = "shown"', "zeros shows empty cells against the preset ons-10"),
        ('preset = "acro-default"\np_percent = 9', "p_percent is below that of the preset acro-default"),
        ('preset = "opensafely-7-5"\nround_to = 1', "round_to rounds to less than the 5 of the preset"),
        (
            'preset = "acro-default"\ndominance = [{ largest = 1, percent = 95 }]',
            "dominance of 1 with 95 % follows from the preset acro-default",
        ),
        ('preset = "opensafely-7-5"\nround_to = 6\nrounding = "midpoint"', "agree on one rounding"),
        (
            'preset = "opensafely-7-5"\n%(holder)s\nround_to = 6\nrounding = "midpoint"',
            "agree on one rounding",
        ),
        ('min_count = 10\n[[release.disclosure_control.holder]]\nparty = "nobody"', "nobody brings no table"),
        (
            "min_count = 10\n%(holder)s\n%(holder)s",
            "listed twice",
        ),
        ('min_count = 10\nknown_totals = [["%(column)sx"]]', "is not a dimension of a table"),
        ('min_count = 10\nknown_totals = [["%(column)s"], ["a.b"]]', "only a nested chain is protected"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_reason(toml: str, body: str, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        asking(toml, "[release.disclosure_control]\n" + body + "\n")
    assert says in refused.value.text
    assert "disclosure_control" in refused.value.text


def test_presets_have_the_names_of_the_format_and_say_where_they_are_from() -> None:
    assert set(PRESETS) == set(typing.get_args(PresetName))
    assert all(preset.source and preset.date and preset.beyond for preset in PRESETS.values())


# -- the strictest ----------------------------------------------------------------------------------------------------


def drawn(draw: random.Random) -> Control:
    return Control(
        draw.choice([1, 5, 8, 10]),
        draw.choice(["shown", "hidden"]),  # type: ignore[arg-type]
        draw.choice([1, 1, 2, 5, 6]),
        "midpoint",
        tuple((draw.randint(1, 3), Fraction(draw.randint(6, 9), 10)) for _ in range(draw.randint(0, 2))),
        draw.choice([None, Fraction(1, 10), Fraction(2, 10)]),
        tuple(draw.sample(["a", "b", "c"], draw.randint(0, 2))),
    )


def dominated(control: Control, values: list[int]) -> bool:
    """The definition: the largest contributions against the total."""
    top, total = sorted(values, reverse=True), sum(values)
    return any(sum(top[:n]) >= k * total for n, k in control.dominance) or (
        control.p_percent is not None and sum(top[2:]) < control.p_percent * top[0]
    )


def test_the_strictest_withholds_what_any_of_them_does_in_any_order() -> None:
    """On ten thousand pairs: the order does not matter, nor how they are grouped, and nobody is protected less."""
    draw = random.Random("strictest")
    for _ in range(10_000):
        one, two, three = drawn(draw), drawn(draw), drawn(draw)
        both = strictest([one, two])
        assert both == strictest([two, one]) == strictest([one, two, one, both])
        assert strictest([both, three]) == strictest([one, strictest([two, three])])
        count = draw.randint(0, 12)
        assert both.enough(count) == (one.enough(count) and two.enough(count)) or count == 0 or not both.enough(count)
        assert not both.enough(count) or (one.enough(count) and two.enough(count))
        values = [draw.randint(0, 20) for _ in range(draw.randint(2, 6))]
        assert dominated(both, values) == (dominated(one, values) or dominated(two, values))
        assert set(one.local) | set(two.local) == set(both.local)
        coarse, fine = both.rounded(count), (one.rounded(count), two.rounded(count))
        assert both.round_to % one.round_to == both.round_to % two.round_to == 0
        if count:  # midpoints: the bins of the wider rounding are made of whole bins of each
            low, high = (coarse - (both.round_to - both.round_to // 2) + 1, coarse + both.round_to // 2)
            assert all(low <= each <= high for each in fine) and low <= count <= high


@pytest.mark.parametrize("zeros", ["shown", "hidden"])
@pytest.mark.parametrize("rounding", ["nearest", "midpoint"])
@pytest.mark.parametrize(("minimum", "base"), [(1, 1), (8, 5), (3, 6), (10, 50), (7, 6), (10, 10), (1, 4)])
def test_what_is_behind_a_shown_count_is_exactly_what_is_shown_as_it(
    zeros: typing.Literal["shown", "hidden"], rounding: typing.Literal["nearest", "midpoint"], minimum: int, base: int
) -> None:
    control = Control(minimum, zeros, base, rounding)
    behind: dict[int, list[int]] = {}
    for count in range(6 * base + 20):
        if control.enough(count):
            behind.setdefault(control.rounded(count), []).append(count)
    for shown, counts in itertools.islice(behind.items(), len(behind) - 1):
        assert control.behind(shown) == (counts[0], counts[-1])
    for number in set(range(5 * base)) - set(behind):
        with pytest.raises(ValueError, match="no count is shown"):
            control.behind(number)


@pytest.mark.parametrize(
    ("count", "nearest", "midpoint"), [(0, 0, 0), (1, 0, 3), (3, 5, 3), (6, 5, 3), (7, 5, 9), (8, 10, 9), (13, 15, 15)]
)
def test_rounding_is_as_documented(count: int, nearest: int, midpoint: int) -> None:
    """Midpoint 6 as OpenSAFELY documents it; nearest 5 half up (there is no half to an odd base: 4 has one)."""
    assert Control(1, "shown", 5).rounded(count) == nearest
    assert Control(1, "shown", 6, "midpoint").rounded(count) == midpoint
    assert [Control(1, "shown", 4).rounded(n) for n in (1, 2, 5, 6)] == [0, 4, 4, 8]
