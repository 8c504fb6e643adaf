"""Two specifications compared: golden pairs, the checker's own orders on thousands of pairs, the laws of an order."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel

from pets.check import budget, decided
from pets.check.decided import DECIDED, WHOLE, Pair, fields
from pets.check.diff import Difference, Facts, compare, compare_facts, facts
from pets.spec import model
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from tests.check import pairs
from tests.oracles import mutations
from tests.oracles.narrower import Subject, relation, subject

TURNED = {"narrower": "wider", "wider": "narrower"}


def base() -> Spec:
    return parse_toml(pairs.BASE)


# -- golden pairs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", pairs.PAIRS, ids=lambda file: str(file.stem))
def test_what_is_said_of_a_pair(file: Path) -> None:
    old, new = pairs.pair(file)
    found = compare(old, new)
    assert pairs.told(found) == file.with_suffix(".told").read_text()
    assert file.name.startswith(found.relation)
    assert compare(new, old).relation == TURNED.get(found.relation, found.relation)


def test_there_are_thirty_pairs_of_all_kinds() -> None:
    kinds = Counter(file.name.split("_")[0] for file in pairs.PAIRS)
    assert len(pairs.PAIRS) >= 30
    assert all(kinds[kind] >= 5 for kind in ("equal", "narrower", "wider", "incomparable")), kinds


# -- every field ------------------------------------------------------------------------------------------------------


def models(of: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The specification's model and every model that is a part of it."""
    found = {
        name: each for name, each in vars(model).items() if isinstance(each, type) and issubclass(each, model.Model)
    }
    return (each for each in found.values() if each is not model.Model)


def test_every_field_of_the_model_is_decided() -> None:
    """Whoever adds a field says here what a change of it means; until then it is incomparable, and this test fails."""
    known = {(each, name) for each in models(Spec) if each not in WHOLE for name in each.model_fields}
    assert known == set(DECIDED)
    assert set(WHOLE) <= set(models(Spec))


def test_a_field_that_is_not_decided_is_incomparable(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = base(), parse_toml(pairs.BASE.replace("max_runs = 12", "max_runs = 3"))
    assert compare(old, new).relation == "narrower"
    monkeypatch.delitem(DECIDED, (model.Validity, "max_runs"))
    found = compare(old, new)
    assert found.relation == "incomparable"
    assert "does not know" in found.reasons[0].sentence


@pytest.mark.parametrize("part", [model.Leakage, model.Noised])
def test_a_later_field_of_leakage_is_incomparable_too(part: type[model.Model]) -> None:
    """Leakage is taken apart by learner, so its fields are not walked: one that is unknown must not be passed over."""

    class Leaked(model.Leakage):
        later: str = ""

    class Noise(model.Noised):
        later: str = ""

    def leak(later: str) -> model.Leakage:
        on_noise = part is model.Noised
        noise = Noise(epsilon="0.5", delta="2^-40", later=later if on_noise else "")
        return Leaked(learner="helper", item="match_count", noised=noise, later="" if on_noise else later)

    old, new = (
        base().model_copy(update={"security": base().security.model_copy(update={"leakage": (leak(later),)})})
        for later in ("a", "b")
    )
    assert {reason.direction for reason in fields(old, new, "", Pair(old, new))} == {"incomparable"}


def test_no_entry_says_narrower_both_ways() -> None:
    """Every decision is symmetric: on the golden pairs, what is narrower one way is wider the other way."""
    for file in pairs.PAIRS:
        old, new = pairs.pair(file)
        there, back = (list(fields(a, b, "", Pair(a, b))) for a, b in ((old, new), (new, old)))
        assert sorted((r.path, TURNED.get(r.direction, r.direction)) for r in there) == sorted(
            (r.path, r.direction) for r in back
        )


# -- the laws of an order, and the checker's own orders ---------------------------------------------------------------


class Family:
    """Specifications each of which was made from an earlier one, with what the comparison and the oracle need."""

    def __init__(self, seed: int, size: int) -> None:
        self.draw = random.Random(seed)
        self.members = [mutations.first(pairs.BASE, self.draw)]
        self.parent = [0]
        while len(self.members) < size:
            parent = self.draw.randrange(max(0, len(self.members) - 40), len(self.members))
            self.members.append(self.members[parent].child(self.draw))
            self.parent.append(parent)
        self.facts: list[Facts] = [facts(member.spec) for member in self.members]
        self.subjects: list[Subject | None] = [subject(member.spec) for member in self.members]

    def relative(self, one: int) -> int:
        """A near one: parent, grandparent, or a child of either."""
        up = self.parent[one] if self.draw.random() < 0.7 else self.parent[self.parent[one]]
        near = [each for each in range(up, min(up + 45, len(self.members))) if self.parent[each] == up]
        return self.draw.choice([each for each in (up, up, *near) if each != one] or [self.parent[up]])

    def compare(self, old: int, new: int) -> Difference:
        return compare_facts(self.facts[old], self.facts[new])


@cache
def family(size: int) -> Family:
    return Family(20261125, size)


def agrees(found: Family, count: int) -> Counter[str]:
    """Hold ``count`` pairs against the oracle, each both ways. Returns: how often each relation was met."""
    met: Counter[str] = Counter()
    for _ in range(count):
        old = found.draw.randrange(1, len(found.members))
        new = found.relative(old)
        if found.draw.random() < 0.5:
            old, new = new, old
        got, back = found.compare(old, new), found.compare(new, old)
        assert back.relation == TURNED.get(got.relation, got.relation), got.text
        one, other = found.subjects[old], found.subjects[new]
        same = found.facts[old].digest == found.facts[new].digest
        if one is None or other is None:
            assert got.relation == ("equal" if same else "incomparable"), got.text
        else:
            expected = relation(one, other)
            assert got.relation == expected, f"the oracle says {expected}\n{got.text}"
        met[got.relation] += 1
    return met


def laws(found: Family, count: int) -> int:
    """Transitivity on random triples; returns how many had something to say."""
    told = 0
    for _ in range(count):
        a = found.draw.randrange(1, len(found.members))
        b = found.relative(a)
        c = found.relative(b)
        one, two = found.compare(a, b), found.compare(b, c)
        if one.within and two.within:
            told += a != b != c != a
            both = "equal" if one.relation == two.relation == "equal" else "narrower"
            assert found.compare(a, c).relation == both
    return told


def test_the_comparison_agrees_with_the_checker_s_own_orders() -> None:
    met = agrees(family(250), 1000)
    assert all(met[kind] >= 30 for kind in ("equal", "narrower", "wider", "incomparable")), met


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_comparison_agrees_with_the_checker_s_own_orders_on_ten_thousand_pairs() -> None:
    met = agrees(family(2000), 10_000)
    assert all(met[kind] >= 300 for kind in ("equal", "narrower", "wider", "incomparable")), met


def test_the_comparison_is_reflexive_and_transitive() -> None:
    found = family(250)
    assert all(found.compare(each, each).relation == "equal" for each in range(len(found.members)))
    assert laws(found, 3000) >= 20


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_comparison_is_transitive_on_many_triples() -> None:
    assert laws(family(2000), 30_000) >= 200


def test_a_difference_has_no_truth_value() -> None:
    with pytest.raises(TypeError):
        bool(compare(base(), base()))


# -- conditions in other words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.minutes > 60 AND a.age_band = '65+'", "a.age_band IN ('65+') AND NOT a.minutes <= 60"),
        ("a.minutes BETWEEN 1 AND 5", "a.minutes <= 5 AND a.minutes >= 1"),
        ("NOT (a.minutes > 5 OR a.age_band = '65+')", "a.minutes <= 5 AND a.age_band <> '65+'"),
        ("a.age_band = '65+' OR a.age_band = '16-24'", "a.age_band IN ('16-24', '65+')"),
        ("a.age_band <> '65+' AND a.age_band <> '16-24'", "a.age_band NOT IN ('16-24', '65+', '65+')"),
        ("a.minutes > 5 AND (a.minutes > 5 AND a.age_band = '65+')", "a.age_band = '65+' AND a.minutes > 5"),
        ("NOT NOT a.minutes IS NULL", "a.minutes IS NULL"),
        ("a.minutes > 60", "a.minutes >= 61 AND a.minutes > 5"),
        ("NOT a.minutes IS NULL", "a.minutes IS NOT NULL"),
    ],
)
def test_conditions_that_select_the_same_rows_are_the_same(one: str, other: str) -> None:
    assert conditioned(one) == conditioned(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.minutes > 60", "a.minutes >= 60"),
        ("a.minutes > 60", "NOT a.minutes > 60"),
        ("a.minutes > 60 OR a.age_band = '65+'", "a.minutes > 60 AND a.age_band = '65+'"),
        ("a.age_band = '65+' AND a.age_band = '16-24'", "a.age_band IN ('16-24', '65+')"),
        ("a.age_band <> '65+' OR a.age_band <> '16-24'", "a.age_band NOT IN ('16-24', '65+')"),
        ("a.minutes <> 5 OR a.minutes = 5", "a.minutes IS NULL OR a.minutes IS NOT NULL"),
    ],
)
def test_conditions_that_select_other_rows_are_others(one: str, other: str) -> None:
    assert conditioned(one) != conditioned(other)


def conditioned(where: str) -> object:
    found = facts(parse_toml(pairs.BASE.replace("a.arrival >= DATE '2026-01-01'", where)))
    assert not found.refused, found.refused
    return found.populations


def test_far_is_what_the_decision_record_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "adr" / "0013-approvals-that-cover.md").read_text()
    assert decided.FAR == 1 / 2**30 and "2^-30" in text


# -- why more noise is narrower, and a coarser group is not (ADR 0013) ------------------------------------------------


def law(p: float, r: float, points: int = 1 << 14) -> npt.NDArray[np.float64]:
    """The characteristic function of the difference of two negative binomial draws (r, p), on a grid."""
    turns = np.exp(2j * np.pi * np.arange(points) / points)
    return np.asarray(((1 - p) ** 2 / np.abs(1 - p * turns) ** 2) ** r)


def least_mass(quotient: npt.NDArray[np.float64]) -> float:
    return float(np.fft.ifft(quotient).real.min())


@pytest.mark.parametrize("parts", [0.5, 1.0, 1.5], ids=["one party's part", "two parties'", "all three"])
@pytest.mark.parametrize(("less", "more"), [(0.2, 0.3), (0.5, 0.9), (0.9, 0.99), (0.98, 0.981)])
def test_more_noise_is_less_noise_and_a_draw_that_needs_no_record(parts: float, less: float, more: float) -> None:
    """The quotient of the two laws is a law: nowhere below zero, and 1 in all. The other way it is none."""
    quotient = law(more, parts) / law(less, parts)
    assert least_mass(quotient) > -1e-12
    assert np.fft.ifft(quotient).real.sum() == pytest.approx(1)
    assert least_mass(1 / quotient) < -1e-4


@pytest.mark.parametrize("cells", [2, 5])
def test_a_coarser_cell_is_not_made_from_finer_ones(cells: int) -> None:
    """One noise is not the sum of as many noises and another draw, at any epsilon that is of use."""
    for p in (0.5, 0.9, 0.99):
        assert least_mass(law(p, 1.0) / law(p, cells * 1.0)) < -1e-3


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("epsilon", "delta"), [("1/2", 40), ("1/10", 34), ("2", 29)])
def test_what_the_helper_s_count_is_cut_off_by_is_below_what_the_record_says(k: int, epsilon: str, delta: int) -> None:
    e, d = Fraction(epsilon), Fraction(1, 2**delta)
    assert d <= e * decided.FAR
    alpha, s = math.exp(-e / k), budget.dummy_slots(e, d, k)
    beyond = 2 * alpha ** (s + 1) / (1 + alpha)
    assert beyond <= 2 * float(d) / math.expm1(e) <= 2 * float(d / e) <= 2**-29
