"""The second checker of sums of many holders: hand-made matrices, planted leaks, and its arithmetic by brute force."""

import datetime as dt
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import pytest

from pets.check import gathered, gathering, spanned, spread
from pets.check.gathering import Gathering, gathering_of
from pets.check.labels import Mark, Verdict
from pets.check.spanned import told
from pets.check.spread import Form, Unknown
from pets.errors import InternalError
from pets.ids import PartyId
from pets.spec.cards import Card, load_cards, parse_card
from pets.spec.ir import AddNoise, Plan
from pets.spec.model import Spec
from pets.spec.query import Compare
from pets.spec.repeated import with_so_many
from tests.oracles import matrix_pools
from tests.oracles.planted_sums import (
    EDITED,
    HARMLESS,
    HARMLESS_EDITED,
    LEAKS,
    TEXTS,
    USELESS,
    Edited,
    Leak,
)
from tests.oracles.pools import CHECKED, HELD, SHAMIR, plan_of, pools
from tests.oracles.secure_sum import Case
from tests.oracles.secure_sum_terms import Run, read

CASES = {
    "two computing parties": {},
    "three": {"servers": 3},
    "five": {"servers": 5},
    "to a holder": {"to": "board-002"},
    "to the first holder": {"to": "board-001", "servers": 3},
    "two holders": {"holders": 2, "minimum": 2},
    "polynomials": {"servers": 3, "protocol": SHAMIR},
    "polynomials of degree 2": {"servers": 5, "protocol": SHAMIR},
    "polynomials of degree 1 of 4": {"servers": 4, "protocol": SHAMIR, "corrupt": 1},
    "polynomials to a holder": {"servers": 3, "protocol": SHAMIR, "to": "board-003"},
    "held": {"servers": 3, "protocol": HELD},
    "held, to a holder": {"servers": 3, "protocol": HELD, "to": "board-002"},
    "proved": {"servers": 2, "protocol": CHECKED},
    "proved, three": {"servers": 3, "protocol": CHECKED, "to": "board-001"},
}


def asked(options: Mapping[str, object]) -> tuple[Plan, Spec]:
    spec = pools(**options)  # type: ignore[arg-type]
    return plan_of(spec), spec


def judged(options: Mapping[str, object], cards: Mapping[str, Card] | None = None) -> Verdict:
    plan, spec = asked(options)
    return gathered.judge(plan, spec, load_cards() if cards is None else cards)


# -- matrices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_matrix_is_the_one_worked_out_by_hand(name: str) -> None:
    plan, spec = asked(CASES[name])
    verdict = gathered.judge(plan, spec, load_cards())
    assert verdict.findings == ()
    assert matrix_pools.matrix(matrix_pools.said_of(plan, spec)).differences(verdict.matrix) == ()


def test_a_condition_s_columns_move_sums_and_travel_in_none() -> None:
    spec = pools()
    where = Compare("arrival", ">=", dt.date(2026, 1, 1))
    verdict = gathered.judge(plan_of(spec, where), spec, load_cards())
    assert verdict.findings == ()
    said = matrix_pools.said_of(plan_of(spec), spec)
    columns = said["columns"] | {"arrival": "filter"}
    assert matrix_pools.matrix(said | {"columns": columns}).differences(verdict.matrix) == ()


def test_hundreds_of_holders_are_judged_at_once_and_alike() -> None:
    """Two holders stand for all: the matrix of 220 is that of four."""
    began = time.perf_counter()
    large = judged({"holders": 220, "servers": 7, "protocol": SHAMIR, "minimum": 200})
    assert time.perf_counter() - began < 2
    assert large.matrix == judged({"servers": 7, "protocol": SHAMIR}).matrix


# -- leaks ------------------------------------------------------------------------------------------------------------


def with_edit(edit: Leak) -> Verdict:
    card = parse_card(edit.edit(TEXTS[edit.card]).encode(), file=edit.name)
    return judged({"servers": edit.servers, "protocol": edit.card}, {**load_cards(), card.id: card})


def with_edited(edit: Edited, patched: pytest.MonkeyPatch) -> Verdict:
    """What is said where the card of the run is another one than the file's."""
    with patched.context() as patch:
        patch.setattr(gathering, "with_so_many", lambda card, counts: edit.edit(with_so_many(card, counts)))
        return judged({"servers": edit.servers, "protocol": edit.card})


def is_refused(judge: Callable[[], Verdict]) -> bool:
    """True if a finding refuses, or the card is none that rules are about."""
    try:
        return not judge().accepted
    except InternalError as error:
        assert error.code == "plan.terms"
        return True


@pytest.mark.parametrize("leak", LEAKS, ids=str)
def test_each_planted_leak_is_found(leak: Leak) -> None:
    assert is_refused(lambda: with_edit(leak))


@pytest.mark.parametrize("leak", EDITED, ids=str)
def test_each_leak_in_the_card_of_a_run_is_found(leak: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_refused(lambda: with_edited(leak, monkeypatch))


@pytest.mark.parametrize("edit", HARMLESS, ids=str)
def test_harmless_edits_tell_nobody_more(edit: Leak) -> None:
    """Shares of zero are among these: streams of an honest holder hide each share as they do."""
    verdict = with_edit(edit)
    assert verdict.findings == ()
    assert told_by(verdict) == told_by(judged({"servers": edit.servers, "protocol": edit.card}))


@pytest.mark.parametrize("edit", HARMLESS_EDITED, ids=str)
def test_harmless_edits_of_a_run_tell_nobody_more(edit: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = with_edited(edit, monkeypatch)
    assert verdict.findings == ()
    assert told_by(verdict) == told_by(judged({"servers": edit.servers, "protocol": edit.card}))


@pytest.mark.parametrize("edit", USELESS, ids=str)
def test_sums_that_come_to_nothing_give_another_matrix(edit: Leak) -> None:
    verdict = with_edit(edit)
    assert verdict.matrix.mark("count(*)", "statistics", kind="noised sum") is Mark.NEVER
    assert verdict.accepted


def told_by(verdict: Verdict) -> dict[tuple[str, str], Mark]:
    """All marks above H: what is held protected is no knowledge."""
    return {
        (f"{row.kind} {row.value}", label): mark
        for row in verdict.matrix.rows
        for label, mark in row.cells.items()
        if mark.rank > Mark.HELD.rank
    }


def test_a_plan_that_counts_on_more_noise_than_is_honest_is_refused() -> None:
    for options, parts in (({"servers": 3}, 2), ({"servers": 5, "protocol": SHAMIR}, 2)):
        plan, spec = asked(options)
        pool = plan.pool
        assert pool is not None
        steps = tuple(replace(pool, parts=parts) if step is pool else step for step in plan.steps)
        assert not gathered.judge(replace(plan, steps=steps), spec, load_cards()).accepted


@pytest.mark.parametrize(("to", "least"), [("statistics", 2), ("board-002", 3)])
def test_a_minimum_that_leaves_one_vector_is_refused(to: str, least: int) -> None:
    assert judged({"to": to, "minimum": least}).accepted
    plan, spec = asked({"to": to, "minimum": least})
    pool = plan.pool
    assert pool is not None
    steps = tuple(replace(pool, minimum=least - 1) if step is pool else step for step in plan.steps)
    with pytest.raises(InternalError, match=r"plan\.terms"):
        gathered.judge(replace(plan, steps=steps), spec, load_cards())


def with_steps(plan: Plan, **changed: object) -> Plan:
    """A plan whose sums, or what protects them, are others."""
    pool, safe = plan.pool, plan.protection
    others = {id(pool): changed.get("pool", pool), id(safe): changed.get("safe", safe)}
    return replace(plan, steps=tuple(others.get(id(step), step) for step in plan.steps))  # type: ignore[misc]


def test_plans_whose_steps_do_not_belong_together_are_refused() -> None:
    plan, spec = asked({"servers": 3})
    pool, safe = plan.pool, plan.protection
    assert pool is not None and isinstance(safe, AddNoise)
    for other in (
        with_steps(plan, pool=replace(pool, moments=pool.moments[:1])),
        with_steps(plan, pool=replace(pool, roles=pool.roles[1:])),
        with_steps(plan, safe=replace(safe, parties=safe.parties[1:])),
    ):
        with pytest.raises(InternalError, match=r"plan\.terms"):
            gathered.judge(other, spec, load_cards())


@pytest.mark.parametrize(("role", "instead"), [("last", "north"), ("server1", "board-001"), ("last", "board-002")])
def test_a_party_that_plays_two_roles_has_what_both_have(role: str, instead: str) -> None:
    """Who has a seed and the words has a vector, and a holder that computes is no other holder's friend."""
    plan, spec = asked({"servers": 2})
    pool, safe = plan.pool, plan.protection
    assert pool is not None and isinstance(safe, AddNoise)
    roles = tuple((name, PartyId(instead) if name == role else party) for name, party in pool.roles)
    other = replace(pool, roles=roles)
    parties = tuple(party for _, party in other.computing)
    changed = with_steps(plan, pool=other, safe=replace(safe, parties=parties))
    found = gathered.judge(changed, spec, load_cards())
    if instead == "north":
        assert not found.accepted and found.matrix.mark("count(*) of board-001", "north") is Mark.AGGREGATE
    else:
        assert found.matrix != gathered.judge(plan, spec, load_cards()).matrix


# -- every check is needed --------------------------------------------------------------------------------------------


def leak_of(name: str) -> Leak | Edited:
    return next(each for each in (*LEAKS, *EDITED) if each.name == name)


def _nothing(*_: object) -> None:
    """In the place of a check that refuses."""


def _noise_by_itself(rows: object, modulus: int, known: Callable[[Unknown], bool]) -> spanned.Told:
    """Noise that is partly known is taken for unknown."""
    whole: Iterable[Form] = rows  # type: ignore[assignment]
    return told((row for row in whole if any(unknown.kind != "noise" for unknown in row)), modulus, known)


TAKEN_OUT = {
    "seeds that are handed over": (gathered, "_handed", lambda message: iter(()), "last gets a seed"),
    "whether noise is enough": (gathered, "_covered", lambda seen, form: True, "last adds its noise twice"),
    "whether forms are sums of all": (gathered, "_exact", _nothing, "servers tell last the sum of their streams"),
    "noise that is known in part": (
        gathered,
        "told",
        _noise_by_itself,
        "the result party knows something of all noise",
    ),
    "agreement": (gathering, "_agreed", _nothing, "no digests"),
    "keys of two": (gathering, "_keys_of_two", _nothing, "third has the key of first and second"),
    "shares add up": (gathering, "_adds_up", _nothing, "servers share other streams than are taken off"),
    "how large noise is": (gathered, "_once", lambda modulus, found: True, "one holder counts three times"),
    "messages that are no numbers": (
        gathered,
        "ABOUT_UPLOADS",
        frozenset({"marked", "handed", "tags", "present", "heard", "confirmed"}),
        "bytes of no rule",
    ),
}


@pytest.mark.parametrize("name", TAKEN_OUT)
def test_without_a_check_a_leak_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, what, instead, leak = TAKEN_OUT[name]
    edit = leak_of(leak)

    def judge() -> Verdict:
        return with_edit(edit) if isinstance(edit, Leak) else with_edited(edit, monkeypatch)

    assert is_refused(judge)
    monkeypatch.setattr(module, what, instead)
    assert not is_refused(judge)


def test_without_odd_and_even_a_doubled_stream_would_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    edit = leak_of("streams are taken twice")
    assert isinstance(edit, Leak)
    monkeypatch.setitem(spread.MODULUS, "word", spread.RESIDUES)  # every coefficient can be divided by there
    assert not is_refused(lambda: with_edit(edit))


def test_one_noise_covers_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sums with noise of their own, neither of it known: no plan has a budget for what they tell together."""
    plan, spec = asked({})
    about = gathering_of(plan, spec, load_cards())
    one, two = ({**dict.fromkeys(HOLDERS, 1), Unknown("noise", role): 1} for role in about.computing)
    alone = frozenset({PartyId("statistics")})
    for looks in ((one,), (one, two)):
        monkeypatch.setattr(gathered, "told", lambda *_, looks=looks: spanned.Told((), looks, ()))
        seen = gathered.trace(about, alone)
        assert (seen.noised, seen.exact) == (len(looks) == 1, len(looks) == 2)


# -- two holders stand for all ----------------------------------------------------------------------------------------


def kinds(about: Gathering, parties: frozenset[PartyId]) -> tuple[bool, bool, bool]:
    """What a coalition has: exact sums, noised sums, the vector of the first holder."""
    seen = gathered.trace(about, parties)
    return seen.exact, seen.noised, "input1" in seen.opened


@pytest.mark.parametrize("edit", [*EDITED, *HARMLESS_EDITED], ids=str)
def test_four_holders_say_what_two_say(edit: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all coalitions of computing parties and the result party, with none of the other holders and with all."""
    plan, spec = asked({"servers": edit.servers, "protocol": edit.card})
    found = []
    for count in (2, 4):
        with monkeypatch.context() as patch:
            patch.setattr(gathering, "with_so_many", lambda card, counts: edit.edit(with_so_many(card, counts)))
            patch.setattr(gathering, "shown", lambda parties, to, count=count: parties[:count])
            try:
                about = gathering_of(plan, spec, load_cards())
                others = {each.party for each in about.holders[1:]}
                computing = [about.cast[role] for role in (*about.computing, "result")]
                sets = [set(some) for size in range(1, len(computing) + 1) for some in combinations(computing, size)]
                alone = [kinds(about, frozenset(some)) for some in sets]
                found.append((alone, [kinds(about, frozenset(some | others)) for some in sets]))
            except ValueError as error:
                found.append(re.sub(r"more\d+", "", str(error)))
    assert found[0] == found[1]


# -- forms are what is sent -------------------------------------------------------------------------------------------


def at_zero(points: tuple[int, ...], forms: list[Form]) -> Form:
    """What the polynomial through forms at these points is at 0."""
    prime = spread.RESIDUES
    weights = []
    for own in points:
        weight = Fraction(1)
        for other in points:
            weight *= Fraction(-other, own - other) if other != own else 1
        weights.append(weight.numerator * pow(weight.denominator, -1, prime) % prime)
    return spread.plus(prime, zip(weights, forms, strict=True))


@pytest.mark.parametrize(("servers", "degree"), [(3, 1), (4, 1), (5, 2), (7, 3)])
def test_any_points_enough_give_the_vector_and_the_sum_with_all_noise(servers: int, degree: int) -> None:
    plan, spec = asked({"servers": servers, "protocol": SHAMIR, "corrupt": degree})
    about = gathering_of(plan, spec, load_cards())
    sent = {message.label: about.forms.of(message) for message in about.card.messages if spread.numbers(message)}
    own = [{Unknown("stream", f"k1x{number}", "u"): 1} for number in range(1, degree + 1)]
    own += [sent[f"Uw1x{number}"] for number in range(1, servers - degree + 1)]
    sums = [sent[f"Fs{number}"] for number in range(1, degree + 1)]
    sums += [sent[f"Fg{number}"] for number in range(1, servers - degree + 1)]
    every = [
        Unknown("value", "input1"),
        Unknown("value", "input2"),
        *(Unknown("noise", role) for role in about.computing),
    ]
    for points in combinations(range(1, servers + 1), degree + 1):
        assert at_zero(points, [own[point - 1] for point in points]) == {Unknown("value", "input1"): 1}
        assert at_zero(points, [sums[point - 1] for point in points]) == dict.fromkeys(every, 1)


def test_forms_with_numbers_put_in_are_the_words_that_are_sent() -> None:
    """Of a run whose messages are read off the card, word by word, by another reading of its terms."""
    case = Case([[1, -2, 2**40], [5, 6, -(2**63)]], [[3, -1, 4], [9, 2, -6], [-5, 8, 9]])
    card = case.card()
    run = Run(case, 5, dict(card.names(case.public())))
    forms = spread.Forms(card, (*run.servers, "last"), 0)
    sent = read(card, run)

    def words(unknown: Unknown) -> list[int]:
        if unknown.kind == "stream":
            return [int(word) for word in run.stream(unknown.of, unknown.part, 0, 3)]
        roles = ["input1", "input2"] if unknown.kind == "value" else [*run.servers, "last"]
        return (case.values if unknown.kind == "value" else case.noise)[roles.index(unknown.of)]

    checked = 0
    for message in card.messages:
        if spread.numbers(message):
            columns = [[c * word for word in words(unknown)] for unknown, c in forms.of(message).items()]
            total = [sum(column) % 2**64 for column in zip(*columns, strict=True)]
            assert b"".join(word.to_bytes(8, "little") for word in total) == sent[message.label, 0], message.label
            checked += 1
    assert checked == 5


# -- the arithmetic ---------------------------------------------------------------------------------------------------

HOLDERS = tuple(Unknown("value", f"input{number}") for number in (1, 2))
STREAMS = tuple(Unknown("stream", f"k{number}", "u") for number in (1, 2, 3))


def views(rows: list[Form], modulus: int, values: Mapping[Unknown, int]) -> Counter[tuple[int, ...]]:
    """How often each view is seen, over all streams: by trying all of them."""
    found: Counter[tuple[int, ...]] = Counter()
    for drawn in product(range(modulus), repeat=len(STREAMS)):
        at = dict(zip(STREAMS, drawn, strict=True)) | values
        found[tuple(sum(c * at[unknown] for unknown, c in row.items()) % modulus for row in rows)] += 1
    return found


@pytest.mark.parametrize(("modulus", "seed"), [(modulus, seed) for modulus in (3, 5, 4) for seed in range(8)])
def test_what_is_told_is_what_views_differ_by(modulus: int, seed: int) -> None:
    """Two inputs give the same views if and, modulo a prime, only if all that is told of them is the same."""
    drawn = random.Random(f"{modulus} {seed}")
    rows = [
        {unknown: c for unknown in (*HOLDERS, *STREAMS) if (c := drawn.choice((0, 0, 1, 1, 2, modulus - 1)) % modulus)}
        for _ in range(drawn.randint(1, 4))
    ]
    found = told(rows, modulus, lambda unknown: False).exact
    seen: dict[tuple[int, ...], list[Counter[tuple[int, ...]]]] = {}
    for values in product(range(modulus), repeat=2):
        at = dict(zip(HOLDERS, values, strict=True))
        known = tuple(sum(c * at[unknown] for unknown, c in form.items()) % modulus for form in found)
        seen.setdefault(known, []).append(views(rows, modulus, at))
    for alike in seen.values():
        assert all(each == alike[0] for each in alike)
    if modulus % 2:
        assert len({frozenset(alike[0].items()) for alike in seen.values()}) == len(seen)
