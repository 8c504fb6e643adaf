"""Intersections with a helper against sets of Python, their cards, and peers that send what no honest one does."""

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, PeerError, PetsError, RunError
from pets.kernels import aes, dummy, join
from pets.party import gate
from pets.plan.cost import listed
from pets.protocols import helper_psi, helper_psi_cardinality, helper_psi_threshold, tagged
from pets.protocols.base import Array, Role, Send
from tests.oracles.dh_psi import rows_of
from tests.oracles.gated import OPENING, gated
from tests.oracles.helper_join import families
from tests.oracles.helper_psi import CARDS, COUNT, ENOUGH, WHICH, Case, S, found, random_case, roles, shape
from tests.oracles.play import Key, Transcript, play
from tests.protocols.test_dh_psi import TAGS
from tests.protocols.test_helper_join import LENGTHS, altered

PARTIES = {role: gate.PartyId(role) for role in CARDS[COUNT].roles}


def people(*numbers: int) -> list[bytes]:
    return [b"%010d" % number for number in numbers]


def run(which: str, case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = lambda _, array: array) -> Any:
    """What comes out of a run, in the words of ``Case.oracle``."""
    return found(which, case, played(which, case, seed, alter).outputs)


def played(
    which: str, case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = lambda _, array: array
) -> Transcript:
    return play(roles(which, case, seed), seed=seed, alter=alter)


SMALL = Case(people(*range(12)), people(*range(9, 16)), 14, 9, y=[[5, 6, 7, 8, -9, 10, 11]], both=True)
COUNTED = replace(SMALL, noise=None, min_result=3, shown=True)
CASES = {WHICH: SMALL, COUNT: COUNTED, ENOUGH: COUNTED}


def labels_of(which: str) -> list[str]:
    """Those of the messages that ``CASES`` has."""
    names = CARDS[which].names(CASES[which].public(which))
    return [message.label for message in CARDS[which].messages if message.columns.evaluate(names)]


ALL = [(which, label) for which in CARDS for label in labels_of(which)]


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", CARDS)
def test_results_and_bytes_are_those_of_sets_and_of_the_card(which: str) -> None:
    for seed in range(120):
        case = random_case(seed, which)
        ran = played(which, case, seed)
        assert found(which, case, ran.outputs) == case.oracle(which), seed
        assert ran.bytes() == CARDS[which].cost.bytes.evaluate(CARDS[which].names(case.public(which))), seed


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 110_000, 1_000))
@pytest.mark.parametrize("which", CARDS)
def test_results_are_those_of_sets_a_hundred_thousand_times(which: str, first: int) -> None:
    cases = ((seed, random_case(seed, which)) for seed in range(first, first + 1_000))
    assert not [seed for seed, case in cases if run(which, case, seed) != case.oracle(which)]


def test_the_random_cases_are_of_every_kind() -> None:
    cases = [random_case(seed, ENOUGH) for seed in range(3000)]
    sets = [(len(set(case.ids_a)), len(set(case.ids_b)), case) for case in cases]
    assert {(0, 0), (1, 1000), (1000, 1), (0, 1000)} <= {(a, b) for a, b, _ in sets}
    assert any(a > b > 0 for a, b, _ in sets) and any(b > a > 0 for a, b, _ in sets)
    assert any(len(case.ids_a) > a == case.n_a for a, _, case in sets), "rows of a person, and no room to spare"
    results = {(case.oracle(ENOUGH) > 0, case.shown, case.noise is None) for case in cases}
    assert len(results) == 8
    assert any(case.oracle(COUNT) == case.min_result - 1 for case in cases)
    assert any(case.oracle(COUNT) == case.min_result > 1 for case in cases)
    others = [random_case(seed, WHICH) for seed in range(200)]
    assert {(bool(case.y), case.both, case.fixed) for case in others} == {
        (y, both, fixed) for y in (False, True) for both in (False, True) for fixed in (False, True)
    }


EDGES = {
    "nobody, none declared": Case([], [], 0, 0, both=True),
    "nobody at a": Case([], people(1, 2), 5, 2, both=True),
    "nobody at b": Case(people(1, 2), [], 2, 5, y=[[]]),
    "one and the same": Case(people(1), people(1), 1, 1, y=[[-(2**63)]], both=True),
    "two others": Case(people(1), people(2), 1, 1, y=[[3]]),
    "one against a thousand": Case(people(500), people(*range(1000)), 1, 1000, y=[[*range(1000)]], both=True),
    "a thousand against one": Case(people(*range(1000)), people(500), 1000, 1, y=[[7]], both=True),
    "all the same": Case(people(*range(40)), people(*range(39, -1, -1)), 40, 40, y=[[*range(40)]], shown=True),
    "more declared by far": Case(people(1, 2), people(2, 3), 900, 2, min_result=2),
    "hashed, of other widths": Case([b"a", b"x" * 40], [b"x" * 40, b"a", b"xa"], 2, 3, (40, 64)),
    "an identifier that others begin with": Case([b"1"], [b"11", b"10", b"1"], 1, 3, fixed=True),
    "identifiers that look like entries of nobody": Case([b"\x06", b"\x02"], [b"\x07", b"\x02"], 2, 3, fixed=True),
}


@pytest.mark.parametrize("which", CARDS)
@pytest.mark.parametrize("name", EDGES)
def test_edges(which: str, name: str) -> None:
    assert run(which, EDGES[name]) == EDGES[name].oracle(which)


@pytest.mark.parametrize("number", [0, 1, 2, 63, 64, 65])
@pytest.mark.parametrize("shown", [False, True])
def test_a_number_is_enough_from_min_result_on(number: int, shown: bool) -> None:
    sets = people(*range(number))
    for least in (1, 2, 63, 64, 65, 2**32 - 1):
        case = Case(sets, sets, 70, 70, min_result=least, shown=shown)
        assert run(ENOUGH, case) == ((number if shown else 1) if number >= least else 0)


def test_noise_is_added_before_a_number_is_compared_and_stays_in_it() -> None:
    """Also below zero, and by more than there are persons."""
    base = Case(people(1, 2, 3), people(2, 3, 4), 5, 5, min_result=4, shown=True)
    for drawn, opened in (((1, 0, 1), 4), ((1, 1, -1), 0), ((-9, -9, -9), 0), ((2**40, 0, 5), 2**40 + 7)):
        case = replace(base, noise=drawn)
        assert run(ENOUGH, case) == opened == case.oracle(ENOUGH)
        assert run(ENOUGH, replace(case, shown=False)) == int(opened > 0)
        assert run(COUNT, case) == 2 + sum(drawn)


@pytest.mark.parametrize("count", [2**14 - 1, 50_000])
def test_larger_tables(count: int) -> None:
    rng = random.Random(count)
    mine, theirs = (rng.sample(range(2 * count), count) for _ in range(2))
    y = [rng.sample(range(10**9), count // 3)]
    case = Case(people(*mine), people(*theirs[: count // 3]), count, count // 3, y=y, both=True)
    assert run(WHICH, case) == case.oracle(WHICH)
    assert run(COUNT, case) == case.oracle(COUNT) > 100


@pytest.mark.parametrize("which", CARDS)
def test_all_back_ends_send_the_same_bytes(which: str) -> None:
    sent = []
    for backend in aes.features():
        aes.select(backend)
        sent.append(
            [(key, array.tobytes()) for key, array in sorted(played(which, CASES[which]).sent, key=lambda x: x[0])]
        )
    aes.select(aes.features()[0])
    assert len(sent) > 1 and all(each == sent[0] for each in sent)


# -- what a party brings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [COUNT, ENOUGH])
def test_a_person_in_several_rows_counts_once(which: str) -> None:
    """However many rows, next to each other or not, hashed or not; and the declared size is of persons."""
    for fixed in (True, False):
        rows = people(*[3] * 400, 1, 2, 3, 1)
        case = Case(rows, people(3, 3, 9, 1), 3, 3, fixed=fixed, shown=True)
        assert run(which, case) == case.oracle(which) == 2


def test_a_person_in_several_rows_is_refused_where_rows_are_told() -> None:
    for role, case in (("a", Case(people(1, 2, 1), [], 3, 1)), ("b", Case([], people(1, 2, 2), 1, 3))):
        with pytest.raises(InternalError, match="person twice"):
            next(roles(WHICH, case)[role])


@pytest.mark.parametrize("which", CARDS)
def test_what_a_party_brings_is_refused_before_anything_is_sent(which: str) -> None:
    wrong = [([b"a", b""], 2, False), ([b"a", b""], 2, True), (people(1, 2), 1, True), (people(1, 2), 1, False)]
    for ids, declared, fixed in wrong:
        for role in ("a", "b"):
            both = (ids, []) if role == "a" else ([], ids)
            with pytest.raises(InternalError):
                next(roles(which, Case(*both, declared, declared, fixed=fixed))[role])


def test_columns_that_are_not_of_its_persons_are_our_bugs() -> None:
    for y in ([[1]], [[1, 2, 3]], [[1, 2], [3, 4]]):
        case, right = Case([], people(1, 2), 0, 2, y=y), replace(SMALL, y=[[0] * 7])
        keys = families(1, protocol=WHICH)
        values = [np.array(column, np.int64) for column in case.y]
        with pytest.raises(InternalError, match="columns of an intersection"):
            next(helper_psi.party_b(shape(WHICH, right), rows_of(case.ids_b, 10), values, keys["ab@b"], keys["bc@b"]))


@pytest.mark.parametrize("which", [COUNT, ENOUGH])
def test_noise_where_none_is_declared_and_none_where_some_is_are_our_bugs(which: str) -> None:
    for declared, brought in (((1, 2, 3), None), (None, (1, 2, 3))):
        keys, case = families(1, protocol=which), replace(COUNTED, noise=declared)
        word = None if brought is None else np.ones((1, 1), np.uint64)
        code: Any = helper_psi_cardinality if which == COUNT else helper_psi_threshold
        part = code.party_b(shape(which, case), rows_of(case.ids_b, 10), keys["ab@b"], keys["bc@b"], word)
        next(part)
        with pytest.raises(InternalError, match="noise"):
            next(part)


def test_an_exact_count_for_the_helper_is_no_shape() -> None:
    sizes = {"n_a": 1, "n_b": 1, "t": 10, "n_list_a": 1, "n_list_b": 1, "fixed_ids": True}
    for s, k, of in ((0, 1, 2), (2, 1, 3), (2, 2, 2)):
        law = dummy.dummy_table(Fraction(1), Fraction(1, 2), k, of)
        with pytest.raises(ValueError, match="dummies"):
            tagged.Sizes(**sizes, s=s, dummies=law)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dummies"):
        dummy.dummy_table(Fraction(1), Fraction(1, 2), 1, 0)
    for least in (0, -1, 2**32):
        with pytest.raises(ValueError, match="compared"):
            shape(ENOUGH, replace(COUNTED, min_result=least))


@pytest.mark.parametrize("which", CARDS)
def test_tags_that_are_equal_by_chance_end_the_run(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of persons, and of entries of nobody: two never become one, and the run is not tried again."""
    right = tagged._enciphered
    monkeypatch.setattr(tagged, "_enciphered", lambda *given: right(*given) & np.uint8(1))
    for ids in (people(*range(40)), []):
        for role in ("a", "b"):
            case = Case(ids, ids, 40, 40, fixed=True)
            with pytest.raises(RunError) as caught:
                for _ in roles(which, case)[role]:
                    pytest.fail("something was sent")
            assert caught.value.code == "run.tags"


# -- code, gate and card ----------------------------------------------------------------------------------------------


def gate_of(which: str, role: str, case: Case) -> gate.Gate:
    return gate.Gate(gate.project(CARDS[which], case.public(which), PARTIES, role), opening=OPENING)


@pytest.mark.parametrize("which", CARDS)
def test_what_is_sent_is_what_gate_and_forecast_say(which: str) -> None:
    card = CARDS[which]
    for seed in range(8):
        case = random_case(seed, which)
        gates = {name: gate_of(which, name, case) for name in card.roles}
        done = play({name: gated(role, gates[name]) for name, role in roles(which, case, seed).items()}, seed=seed)
        names = card.names(case.public(which))
        outgoing = {
            (name, str(sent.to), sent.label, sent.column, sent.size)
            for name, (_, left) in done.outputs.items()
            for sent in left
        }
        incoming = {
            (str(e.peer), name, e.label, e.slot.column, e.size) for name, each in gates.items() for e in each.incoming
        }
        assert outgoing == incoming
        assert sum(size for *_, size in outgoing) == card.cost.bytes.evaluate(names) == done.bytes()
        way: dict[tuple[str, str, str], int] = {}
        for sender, receiver, label, _, size in outgoing:
            way[sender, receiver, label] = way.get((sender, receiver, label), 0) + size
        forecast = {(str(m.sender), str(m.receiver), m.label): m.size for m in listed(card, names, PARTIES) if m.size}
        assert way == forecast
        outputs = {name: out for name, (out, _) in done.outputs.items()}
        assert found(which, case, outputs) == case.oracle(which)


@pytest.mark.parametrize("which", CARDS)
def test_rounds_of_the_card_are_rounds_of_the_code(which: str) -> None:
    """How often messages that wait for nothing more leave together: what is sent is as early as the card says."""
    for case in (CASES[which], replace(CASES[which], shown=False)):
        parts: dict[str, Role[Any]] = dict(roles(which, case))
        arrived: dict[str, dict[tuple[str, str, int], Array]] = {name: {} for name in parts}
        wishes: dict[str, Any] = dict.fromkeys(parts)
        seen: dict[str, int] = {}
        turn = 0
        while parts:
            turn, leaving = turn + 1, []
            for name, part in list(parts.items()):
                try:
                    while True:
                        wish, answer = wishes[name], None
                        if wish is not None:
                            if (wish.from_, wish.label, wish.column) not in arrived[name]:
                                break
                            answer = arrived[name].pop((wish.from_, wish.label, wish.column))
                        act = part.send(answer)
                        wishes[name] = None if isinstance(act, Send) else act
                        if isinstance(act, Send):
                            seen.setdefault(act.label, turn)
                            leaving.append((name, act))
                except StopIteration:
                    del parts[name]
            for name, act in leaving:
                arrived[act.to][name, act.label, act.column] = act.array
        rounds = CARDS[which].cost.rounds.evaluate(CARDS[which].names(case.public(which)))
        assert turn - 1 == rounds, "the last turn is that of who receives"
        for message in CARDS[which].messages:
            if message.label in seen and which != ENOUGH:
                assert seen[message.label] == message.round


@pytest.mark.parametrize("which", CARDS)
@pytest.mark.parametrize("seed", range(20))
def test_tags_are_as_wide_as_the_bound_of_the_card_needs(which: str, seed: int) -> None:
    """Wrong matches, equal tags in one list, equal hashes: all together at most 2^-40 (README, what can go wrong)."""
    rng = random.Random(seed)
    n_a, n_b = (rng.randrange(2 ** rng.randrange(1, 31)) for _ in range(2))
    card = CARDS[which]
    names = card.names({**SMALL.public(which), "n_a": n_a, "n_b": n_b})
    a, b, t = names["n_list_a"], names["n_list_b"], names["t"]
    assert 10 * max(a, b) > 8 * max(n_a, n_b) and t <= 16
    wrong, equal = Fraction(a * b, 2 ** (8 * t)), Fraction(a * a + b * b, 2 ** (8 * t + 1))
    hashed = Fraction((n_a + n_b) ** 2, 2**106)
    assert max(wrong, equal) <= Fraction(1, 2**41) and wrong + equal <= Fraction(1, 2**40)
    assert max(n_a, n_b) > 2**27 or max(wrong, equal) + hashed <= Fraction(1, 2**40)
    assert (card.cost.wrong_result, card.cost.abort) == ("2^-40", "2^-40")


def test_bytes_of_ten_million_on_each_side() -> None:
    sizes = {"n_a": 10**7, "n_b": 10**7, "s": S}
    more: dict[str, dict[str, int]] = {
        WHICH: {"p_b": 0, "both": 0},
        COUNT: {"r": 1},
        ENOUGH: {"min_result": 1, "shown": 1, "noised": 0},
    }
    found = {which: card.cost.bytes.evaluate(card.names(sizes | more[which])) for which, card in CARDS.items()}
    slots = 2 * 12 * 2 * S
    assert found == {WHICH: 241_250_016 + slots + 16, COUNT: 240_000_024 + slots, ENOUGH: 240_002_784 + slots}


# -- peers that send something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize(("which", "label"), ALL)
def test_a_wrong_count_is_refused_before_it_is_read(which: str, label: str, what: str) -> None:
    case = CASES[which]
    parts = {name: gated(role, gate_of(which, name, case)) for name, role in roles(which, case).items()}
    with pytest.raises(PeerError) as caught:
        play(parts, alter=altered(label, LENGTHS[what]))
    assert caught.value.code == "peer.bad-length"


@pytest.mark.parametrize("name", TAGS)
@pytest.mark.parametrize("which", CARDS)
def test_tags_that_repeat_or_are_not_sorted_are_refused(which: str, name: str) -> None:
    for label in ("H1a", "H1b"):
        with pytest.raises(PeerError) as caught:
            run(which, CASES[which], alter=altered(label, TAGS[name]))
        assert caught.value.code == "peer.tags"


def flipped(bit: int) -> Callable[[Array], Array]:
    def alter(array: Array) -> Array:
        out = array.copy()
        raw = out.reshape(-1).view(np.uint8)
        raw[bit // 8 % raw.size] ^= np.uint8(1 << bit % 8)
        return out

    return alter


@pytest.mark.parametrize("flips", [25, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize("label", ["H1a", "H1b", "H1v", "H2", "H2b", "H2v"])
def test_a_bit_that_flips_never_makes_a_match(label: str, flips: int) -> None:
    """It ends the run, or a match is missing; of a value it makes another value, and no other person's."""
    rng, (places, _, of_b), ends = random.Random(f"{label} {flips}"), SMALL.oracle(WHICH), set()
    for _ in range(flips):
        try:
            got, _, others = run(WHICH, SMALL, alter=altered(label, flipped(rng.getrandbits(40))))
        except PetsError as error:
            assert error.code in ("peer.flags", "peer.other-set", "peer.tags"), label
            ends.add(error.code)
        else:
            assert set(got) <= set(places) and set(others) <= set(of_b)
            ends.add("some")
    assert ends, label
    if label in ("H2", "H2b"):
        assert ends == {"peer.flags"}


@pytest.mark.parametrize("flips", [25, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize("which", [COUNT, ENOUGH])
@pytest.mark.parametrize("label", ["H1a", "H1b"])
def test_a_bit_that_flips_in_a_list_never_counts_one_more(which: str, label: str, flips: int) -> None:
    rng, right = random.Random(f"{which} {label} {flips}"), CASES[which].oracle(which)
    for _ in range(flips):
        try:
            got = run(which, CASES[which], alter=altered(label, flipped(rng.getrandbits(40))))
        except PetsError as error:
            assert error.code == "peer.tags"
        else:
            assert got in (right, right - 1, 0) and (got or which == ENOUGH)


@pytest.mark.parametrize("role", ["a", "b", "c"])
def test_a_bit_that_flips_in_a_share_is_seen_if_the_result_cannot_be(role: str) -> None:
    """A share is a word as good as random: what is off by little cannot be told from the truth, here as everywhere."""
    for bit in range(5, 64):
        for which, label in ((COUNT, f"E{role}"), (ENOUGH, f"R{role}")):
            with pytest.raises(PeerError) as caught:
                run(which, CASES[which], alter=altered(label, flipped(bit)))
            assert caught.value.code == "peer.result" and not caught.value.fields


@pytest.mark.parametrize("label", ["H1a", "H1b"])
def test_lists_of_another_run_give_no_answer(label: str) -> None:
    """A link lets no frame of another run in; without a link it is seen at dummies that are not there."""
    alter = {which: altered(label, of_other(which, label)) for which in CARDS}
    with pytest.raises(PeerError) as caught:
        run(WHICH, SMALL, alter=alter[WHICH])
    assert caught.value.code == "peer.other-set"
    with pytest.raises(PeerError) as caught:
        run(COUNT, COUNTED, alter=alter[COUNT])
    assert caught.value.code == "peer.result"
    assert run(ENOUGH, COUNTED, alter=alter[ENOUGH]) == 0


def of_other(which: str, label: str) -> Callable[[Array], Array]:
    """The message of another run in the place of this one's."""
    other = played(which, CASES[which], 2)
    return lambda _: other.array(label)


@pytest.mark.parametrize("label", ["H2", "H2b"])
def test_bits_of_another_run_are_refused(label: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(WHICH, SMALL, alter=altered(label, of_other(WHICH, label)))
    assert (caught.value.code, caught.value.fields) == ("peer.flags", {"label": label})


@pytest.mark.parametrize(
    ("which", "label"), [(COUNT, f"E{role}") for role in "abc"] + [(ENOUGH, f"R{r}") for r in "abc"]
)
def test_shares_of_another_run_are_refused(which: str, label: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(which, CASES[which], alter=altered(label, of_other(which, label)))
    assert caught.value.code == "peer.result"


def test_a_helper_that_flags_entries_of_nobody_is_seen() -> None:
    """Which it cannot know: whatever it flags besides has to be a person's, or a dummy's that is flagged anyway."""
    mine = tagged.listed(shape(WHICH, SMALL), "a", rows_of(SMALL.ids_a, 10), families(1, protocol=WHICH)["ab@a"])
    right = mine.order < mine.persons + mine.dummies
    assert tagged.places(mine, right, label="H2").tolist() == list(range(12))
    for place in range(len(right)):
        flags = right.copy()
        flags[place] ^= True
        if mine.order[place] < mine.persons:
            assert len(tagged.places(mine, flags, label="H2")) == 11
            continue
        with pytest.raises(PeerError) as caught:
            tagged.places(mine, flags, label="H2")
        assert caught.value.code == "peer.other-set"


def test_unmatched_is_no_place_of_a_list() -> None:
    assert join.UNMATCHED > join.MAX_LENGTH
