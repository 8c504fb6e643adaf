"""What charges come to under a cap: exactly in epsilon, and never too little in rho."""

import datetime as dt
from fractions import Fraction
from random import Random

import pytest

from pets.approve.policy import Limits, parse_policy
from pets.check.budget import Loss, bounded
from pets.kernels.accountant import epsilon_of, rho_of
from pets.party.account import spend_findings
from pets.party.accounting import Account, Balance, Cap, cap_of, fit
from tests.approve.consortium import POLICY, POLICY_TOML, SPEC

EVER = dt.date.min
PURE = Cap(Loss(Fraction(20), Fraction(1, 2**30)), EVER)
RHO = Cap(Loss(delta=Fraction(1, 2**30), rho=Fraction(1, 2)), EVER, told_at=Fraction(1, 2**30))
T = Account("t")


def limits(**changes: object) -> Limits:
    return Limits.model_validate(
        {"max_epsilon_per_run": "2", "max_epsilon_per_dataset": "20", "max_delta": "2^-30", "period": "year"} | changes
    )


IN_RHO = {"max_epsilon_per_dataset": None, "max_rho_per_dataset": "1/2", "rho_at_delta": "2^-30"}


def test_under_a_pure_cap_every_part_is_added_exactly() -> None:
    losses = [(Loss(Fraction(1, 3), Fraction(1, 2**40)), 3), (Loss(rho=Fraction(1, 7)), 2)]
    assert PURE.counted(losses) == Loss(Fraction(1), Fraction(3, 2**40), Fraction(2, 7))


def test_under_a_cap_in_rho_an_epsilon_is_the_rho_that_opendp_says_and_delta_is_added_beside() -> None:
    losses = [(Loss(Fraction(1, 3), Fraction(1, 2**40)), 3), (Loss(rho=Fraction(1, 7)), 2)]
    assert RHO.counted(losses) == Loss(delta=Fraction(3, 2**40), rho=3 * rho_of(Fraction(1, 3)) + Fraction(2, 7))


def test_a_thousand_mixed_compositions_are_never_too_little_and_hardly_too_much() -> None:
    """Against the exact sum of epsilon^2 / 2: at most a part in 2^50 more, whatever the order."""
    draw = Random("mixed")
    for _ in range(1000):
        losses = [
            (Loss(Fraction(draw.randint(0, 90), 90), rho=Fraction(draw.randint(0, 60), 300)), draw.randint(1, 9))
            for _ in range(draw.randint(1, 9))
        ]
        exact = sum(((loss.epsilon**2 / 2 + loss.rho) * times for loss, times in losses), Fraction(0))
        found = RHO.counted(losses)
        assert exact <= found.rho <= exact * (1 + Fraction(1, 2**50)) and found.epsilon == found.delta == 0
        draw.shuffle(losses)
        assert RHO.counted(losses) == found


def test_how_many_more_runs_fit_is_how_many_the_cap_takes() -> None:
    draw = Random("fit")
    for cap in (PURE, RHO):
        for _ in range(200):
            spent, asked = (
                cap.counted([(Loss(Fraction(draw.randint(0, 40), 50), Fraction(draw.randint(0, 3), 2**33)), 1)])
                for _ in "ab"
            )
            found = fit(spent, asked, cap)
            if asked == Loss():
                assert found is None
                continue
            assert found is not None and (spent + asked * found).within(cap.most) == spent.within(cap.most)
            assert not (spent + asked * (found + 1)).within(cap.most)


def test_nothing_fits_where_more_is_spent_than_the_cap() -> None:
    assert fit(Loss(Fraction(21)), Loss(delta=Fraction(1, 2**40)), PURE) == 0


@pytest.mark.parametrize(
    ("period", "since", "returns"),
    [
        ("month", dt.date(2027, 5, 1), dt.date(2027, 6, 1)),
        ("quarter", dt.date(2027, 4, 1), dt.date(2027, 7, 1)),
        ("year", dt.date(2027, 1, 1), dt.date(2028, 1, 1)),
        ("none", dt.date.min, None),
    ],
)
def test_the_cap_of_a_policy_has_its_period(period: str, since: dt.date, returns: dt.date | None) -> None:
    today = dt.date(2027, 5, 17)
    assert cap_of(limits(period=period), today) == Cap(Loss(Fraction(20), Fraction(1, 2**30)), since, returns)
    assert cap_of(limits(period=period, **IN_RHO), today) == Cap(RHO.most, since, returns, Fraction(1, 2**30))


def test_a_balance_lists_what_its_cap_is_on_and_tells_a_rho_as_epsilon() -> None:
    spent = Loss(delta=Fraction(1, 2**40), rho=Fraction(1, 4))
    balance = Balance(T, RHO, spent, Loss(rho=Fraction(1, 8)), 3)
    assert [(each.quantity, each.spent, each.remaining) for each in balance.lines()] == [
        ("rho", Fraction(3, 8), Fraction(1, 8)),
        ("delta", Fraction(1, 2**40), Fraction(1, 2**30) - Fraction(1, 2**40)),
    ]
    delta = Fraction(1, 2**30)
    assert balance.told == (epsilon_of(Fraction(1, 2), delta), epsilon_of(Fraction(3, 8), delta), delta)
    assert Balance(T, PURE, Loss(), Loss(), 0).told is None


def test_a_pure_balance_shows_rho_only_where_there_is_some() -> None:
    assert [each.quantity for each in Balance(T, PURE, Loss(), Loss(), 0).lines()] == ["epsilon", "delta"]
    (*_, last) = Balance(T, PURE, Loss(rho=Fraction(1)), Loss(), 1).lines()
    assert (last.quantity, last.remaining) == ("rho", 0)


def test_a_specification_is_held_against_a_cap_in_rho_before_it_is_kept() -> None:
    """Its run costs epsilon 1.5, which is rho 1.125, and it asks for twelve."""
    assert list(spend_findings(POLICY, SPEC)) == []
    for rho, rule, severity in (
        ("1", "policy.rho-per-dataset", "error"),
        ("2", "policy.epsilon-per-dataset", "warning"),
    ):
        caps = f'max_rho_per_dataset = "{rho}"\nrho_at_delta = "2^-30"'
        policy = parse_policy(POLICY_TOML.replace('max_epsilon_per_dataset = "20"', caps))
        (finding,) = spend_findings(policy, SPEC)
        assert (finding.rule, finding.severity) == (rule, severity)
        assert ("lets 1 of 12 runs pass in one year" in finding.message) == (rho == "2")


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [
        (Fraction(3, 2), "1.5", "1.5"),
        (Fraction(1, 2**40), "2^-40", "2^-40"),
        (Fraction(1, 3), "1/3", "1/3"),
        (Fraction(1, 10**12), "1e-12", "1e-12"),
        (Fraction(10**12 + 1, 3 * 10**12), "0.333334", "0.333333"),
        (Fraction(2, 3 * 10**9), "1/1500000000", "1/1500000000"),
        (Fraction(10**9 + 7, 10**18 + 9), "1.00001e-9", "1e-9"),
        (Fraction(0), "0", "0"),
    ],
)
def test_a_quantity_for_people_is_short_and_on_the_safe_side(value: Fraction, up: str, down: str) -> None:
    assert (bounded(value, up=True), bounded(value, up=False)) == (up, down)
