"""Programs on made-up data against their slow twins, and what they send: the same for every data."""

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from pets.errors import PetsError, RunError, SpecError
from pets.programs import ProgramResult, run_program
from tests.oracles.logrank import chi_square

HEAD = "from mpyc.runtime import mpc\n\n\nasync def main():\n    secint = mpc.SecInt()\n"
ONE = {"a": {"x": [1]}, "b": {"x": [2]}, "c": {"x": [3]}}


def values(brought: Sequence[Sequence[int]]) -> dict[str, dict[str, list[int]]]:
    return {party: {"value": list(each)} for party, each in zip("abcdefghi", brought, strict=False)}


def quantiles(brought: Sequence[Sequence[int]], ranks: Sequence[int], **given: Any) -> ProgramResult:
    parameters = {"per_holder": len(brought[0]), "ranks": ranks}
    return run_program("quantiles", inputs=values(brought), parameters=parameters, **given)


def sent(result: ProgramResult) -> object:
    return result.rounds, dict(result.played.sent)


def test_quantiles_are_order_statistics_and_what_is_sent_says_nothing_of_values() -> None:
    found = []
    for brought in ([[5, -9], [5, 100], [-1000, 0]], [[7, 7], [7, 7], [7, 7]]):
        result = quantiles(brought, [1, 3, 6], ranges={"value": (-1000, 1000)})
        ordered = sorted(value for each in brought for value in each)
        assert result.outputs == {"quantile": (ordered[0], ordered[2], ordered[5])}
        found.append(sent(result))
    assert found[0] == found[1]
    assert (result.rounds, result.frames, result.bytes) == (69, 147, 22_435), "as README says"


@pytest.mark.long
@pytest.mark.parametrize("parties", [3, 4, 5])
def test_quantiles_of_many_values_and_parties(parties: int) -> None:
    dice = random.Random(parties)
    brought = [[dice.randrange(-(2**40), 2**40) for _ in range(3)] for _ in range(parties)]
    ordered = sorted(value for each in brought for value in each)
    middle = (len(ordered) + 1) // 2
    result = quantiles(brought, [middle, 1], ranges={"value": (-(2**40), 2**40)})
    assert result.outputs == {"quantile": (ordered[middle - 1], ordered[0])}


@pytest.mark.parametrize(
    "brought", [[[3], [-9], [4]], pytest.param([[2**53 - 1], [-(2**53 - 1)], [0]], marks=pytest.mark.long)]
)
def test_the_greatest_of_all_and_only_its_receiver_gets_it(brought: Sequence[Sequence[int]]) -> None:
    given = {"inputs": values(brought), "parameters": {"per_holder": 1}, "receivers": ["b"]}
    result = run_program("secure_maximum", **given)  # type: ignore[arg-type]
    assert result.outputs == {"maximum": (max(each[0] for each in brought),)}
    assert {party for party, told in result.played.outputs.items() if told} == {"b"}


def tables(dice: random.Random, intervals: int, *, persons: int) -> dict[str, dict[str, list[int]]]:
    """Event tables of three holders; each group may die out before the last interval."""
    made: dict[str, dict[str, list[int]]] = {}
    for party in "abc":
        table: dict[str, list[int]] = {"events_1": [], "events_2": [], "at_risk_1": [], "at_risk_2": []}
        left = [dice.randint(0, persons), dice.randint(0, persons)]
        for _ in range(intervals):
            for group in (0, 1):
                events = dice.randint(0, left[group])
                table[f"events_{group + 1}"].append(events)
                table[f"at_risk_{group + 1}"].append(left[group])
                left[group] -= events + dice.randint(0, left[group] - events)
        made[party] = table
    return made


def survival(made: dict[str, dict[str, list[int]]]) -> ProgramResult:
    intervals = len(made["a"]["events_1"])
    ranges = dict.fromkeys(made["a"], (0, 1000000))
    return run_program("survival_test", inputs=made, parameters={"intervals": intervals}, ranges=ranges)


@pytest.mark.long
def test_the_survival_test_is_the_log_rank_test() -> None:
    made = tables(random.Random(4), 1, persons=60)
    (found,) = survival(made).outputs["chi_square"]
    assert chi_square(made) > 0
    assert abs(found - chi_square(made)) < Fraction(1, 10**6)


@pytest.mark.long
@pytest.mark.parametrize(
    "made",
    [
        tables(random.Random(5), 4, persons=40),
        tables(random.Random(6), 3, persons=3),
        tables(random.Random(7), 3, persons=1_000_000),
        {party: {n: [0, 0] for n in ("events_1", "events_2", "at_risk_1", "at_risk_2")} for party in "abc"},
        {
            "a": {"events_1": [0], "events_2": [1], "at_risk_1": [0], "at_risk_2": [1]},
            "b": {"events_1": [0], "events_2": [0], "at_risk_1": [0], "at_risk_2": [0]},
            "c": {"events_1": [0], "events_2": [0], "at_risk_1": [0], "at_risk_2": [0]},
        },
        {
            party: {"events_1": [1], "events_2": [0], "at_risk_1": [1_000_000], "at_risk_2": [1_000_000]}
            for party in "abc"
        },
    ],
)
def test_the_survival_test_at_the_edges(made: dict[str, dict[str, list[int]]]) -> None:
    """Few persons, six million, nobody, one, and groups that nothing tells apart."""
    (found,) = survival(made).outputs["chi_square"]
    assert abs(found - chi_square(made)) < Fraction(1, 10**4) * max(1, chi_square(made))


# -- programs of one's own ---------------------------------------------------------------------------------------------


def test_a_program_of_ones_own_says_what_it_takes() -> None:
    source = HEAD + "    mpc.release('total', mpc.sum([h[0] for h in mpc.inputs('x', secint)]))\n\n\nmpc.run(main())\n"
    result = run_program(source, inputs=ONE, outputs={"total": 1})
    assert result.outputs == {"total": (6,)} and result.rounds == 3
    assert len(result.source) == 64 and result.played.budget.frames > result.frames
    assert "total = 6; 3 rounds" in repr(result)


def test_a_program_on_numbers_of_one_holder_ends() -> None:
    """Who brings them is sent nothing at first, and is not waited for."""
    source = HEAD + "    ((x,),) = mpc.inputs('x', secint)\n    mpc.release('total', x)\n"
    result = run_program(source, inputs={"a": {"x": [7]}, "b": {}, "c": {}}, outputs={"total": 1}, deadline_s=20)
    assert result.outputs == {"total": (7,)} and result.rounds == 3


MIXED = """
from mpyc.runtime import mpc


async def main():
    (a,), (b,), (c,) = mpc.inputs("x", mpc.SecFxp(96, 48))
    rows = mpc.sorted([[a, a * 0.3], [b, b * 0.3], [c, c * 0.3]], key=lambda row: row[1])
    p, q = mpc.if_else(a < b, [a, a * 0.3], [b, b * 0.3])
    r, s = mpc.vector_add([a, a * 0.3], [b, b])
    t, u = mpc.scalar_mul(a, [a, a * 0.3])
    v, w = mpc.schur_prod([a, a * 0.3], [b * 0.3, b * 0.3])
    found = [rows[1][1] * rows[2][1], q * q, s * s, u * u, v, w]
    found.append(mpc.matrix_prod([[a, a * 0.3]], [[b * 0.3], [b * 0.3]])[0][0])
    mpc.release("total", [mpc.convert(each * 1000, mpc.SecInt()) for each in found])
"""


def test_a_list_may_have_whole_numbers_and_others() -> None:
    """What is known of the first is not taken to hold for all."""
    result = run_program(MIXED, inputs=ONE, outputs={"total": 7})
    exact = (540, 90, 5290, 90, 600, 180, 780)
    assert all(abs(found - expected) <= 1 for found, expected in zip(result.outputs["total"], exact, strict=True))


PUBLIC = """
from mpyc.runtime import mpc


async def main():
    (a,), (b,), (c,) = mpc.inputs("x", mpc.SecFxp(96, 48))
    p, q = mpc.vector_add([a, b], [1, 2.5])
    r, s = mpc.vector_sub([a, 4], [b, b])
    t, u = mpc.scalar_mul(b, [c, 3])
    v, w = mpc.schur_prod([c, 2], [b, b * 0.5])
    (y,) = mpc.matrix_add([[a, 4]], [[3, b]])
    (z,) = mpc.matrix_sub([[a, 4]], [[3, b]])
    found = [p * (b * 0.5), q, r, s, t, u * (b * 0.5), v, w, *y, *z]
    mpc.release("total", [mpc.convert(each * 1000, mpc.SecInt()) for each in found])
"""


def test_a_list_may_have_public_numbers() -> None:
    """They are numbers, not units of the last place, of which a product with a whole number is any element."""
    result = run_program(PUBLIC, inputs=ONE, outputs={"total": 12})
    exact = (2000, 4500, -1000, 2000, 6000, 6000, 6000, 2000, 4000, 6000, -2000, 2000)
    assert all(abs(found - expected) <= 1 for found, expected in zip(result.outputs["total"], exact, strict=True))


INVERSE = """
from mpyc.runtime import mpc


async def main():
    (a,), (b,), (c,) = mpc.inputs("x", mpc.SecFxp(64, 32))
    found = [1 / (a + b - c), c / (a + b - c), -b / (c - c), b**-1, (b * -0.5) ** -3, (c - c) ** -1, mpc.pow(c, -2)]
    mpc.release("total", [mpc.convert(each * 1000, mpc.SecInt()) for each in found])
"""


def test_numbers_with_places_have_inverses_within_their_type() -> None:
    """0 has 0: everything that is opened on the way is covered."""
    result = run_program(INVERSE, inputs=ONE, outputs={"total": 7})
    exact = (0, 0, 0, 500, -1000, 0, 111)
    assert all(abs(found - expected) <= 1 for found, expected in zip(result.outputs["total"], exact, strict=True))


def test_an_inverse_has_a_modulus() -> None:
    body = "    ((a,), (b,), (c,)) = mpc.inputs('x', secint)\n    mpc.release('total', mpc.inverse(c, b + 5))\n"
    assert run_program(HEAD + body, inputs=ONE, outputs={"total": 1}, bits=8).outputs == {"total": (5,)}


WRONG = {
    "an output that nobody declared": ("    mpc.release('other', secint(1))\n", "other"),
    "an output of another shape": ("    mpc.release('total', [secint(1), secint(2)])\n", "1 numbers"),
    "an end without its output": ("    mpc.inputs('x', secint)\n", "ends without total"),
    "a division by 0": (
        "    ((a,), (b,), (c,)) = mpc.inputs('x', secint)\n    mpc.release('total', a / (a + b - c))\n",
        "a secret whole number that is 0",
    ),
    "a remainder by a negative number": (
        "    ((a,), (b,), (c,)) = mpc.inputs('x', secint)\n    mpc.release('total', a % -3)\n",
        "by a number that is not positive, or too wide",
    ),
    "an error of its own": ("    x = 1 // 0\n", "line 6 of the program: ZeroDivisionError"),
}


@pytest.mark.parametrize(
    "wrong", [*list(WRONG)[:1], *(pytest.param(name, marks=pytest.mark.long) for name in list(WRONG)[1:])]
)
def test_a_program_that_does_something_else_than_its_terms_ends(wrong: str) -> None:
    body, said = WRONG[wrong]
    with pytest.raises(RunError, match=r"run\.program") as caught:
        run_program(HEAD + body, inputs=ONE, outputs={"total": 1})
    assert said in str(caught.value)


def test_a_program_out_of_the_language_never_starts() -> None:
    with pytest.raises(SpecError, match=r"spec\.program.*line 6"):
        run_program(HEAD + "    x = mpc.output(1)\n", inputs=ONE, outputs={"total": 1})


@pytest.mark.parametrize(
    "given",
    [
        {"source": "no-such-program.py"},
        {"inputs": {"a": {"value": [1]}, "b": {"value": [2]}}},
        {"inputs": {"a": {"value": [1]}, "b": {"value": [2]}, "c": {"value": [1, 2]}}},
        {"inputs": {"a": {"value": [1]}, "b": {"value": [2]}, "c": {"value": [1.5]}}},
        {"ranges": {"value": (0, 1)}},
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any]) -> None:
    said: dict[str, Any] = {
        "source": "secure_maximum",
        "inputs": values([[1], [2], [3]]),
        "parameters": {"per_holder": 1},
        **given,
    }
    with pytest.raises(PetsError):
        run_program(said.pop("source"), **said)
