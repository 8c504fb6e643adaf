"""psi_sum and psi_sum_shares against dictionaries of Python, their cards, and peers that send what no honest one does.

Ciphertexts here hide nothing (`InClear`), but where a test says so: those of SEAL are in tests/party/test_bfv.py, what
they hide in test_psi_sum_views.py.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, PeerError
from pets.kernels import slots
from pets.party import gate
from pets.plan.cost import listed
from pets.protocols import psi_sum
from pets.protocols.base import Array, Send
from pets.secret import Secret
from pets.spec.cards import Card
from tests.kernels.test_curve import refused_encodings
from tests.oracles.gated import OPENING, gated
from tests.oracles.play import Key, Transcript, play
from tests.oracles.psi_sum import (
    CARD,
    SHARES,
    Case,
    InClear,
    binding,
    entropy,
    family,
    people_of,
    random_case,
    roles,
    shape,
)
from tests.protocols.test_helper_join import LENGTHS, altered

PARTIES = {role: gate.PartyId(role) for role in SHARES.roles}
BOTH = pytest.mark.parametrize("shares", [False, True], ids=["for a", "for a result party"])


def one(number: int) -> bytes:
    return b"%010d" % number


def run(
    case: Case, seed: int = 1, *, shares: bool = False, alter: Callable[[Key, Array], Array] = lambda key, array: array
) -> Transcript:
    return play(roles(case, seed, shares=shares), seed=seed, alter=alter)


def grouped(ran: Transcript) -> psi_sum.Grouped:
    found: psi_sum.Grouped = ran.outputs.get("result") or ran.outputs["a"]
    return found


def card_of(shares: bool) -> Card:
    return SHARES if shares else CARD


SMALL = Case(
    {one(i): i % 3 for i in range(12)},
    {one(i): (i - 11, 10**11 * i) for i in range(8, 16)},
    g=3,
    v=2,
    m_a=5,
    n_b=9,
    primes=2,
)
NOISED = replace(SMALL, noise_a=((5, -9, 0), (70, -2, 1), (0, 0, -(10**12))), noise_b=((-3, 1, 0), (9, 9, 10**11)))
CONTROLLED = replace(SMALL, control=psi_sum.Control(minimum=2, base=5, empty=False))


# -- the functionality ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("first", [0, 30])
def test_results_and_bytes_are_those_of_dictionaries_and_of_the_card(first: int, shares: bool) -> None:
    card = card_of(shares)
    for seed in range(first, first + 30):
        case = random_case(seed)
        ran = run(case, seed, shares=shares)
        assert grouped(ran) == case.oracle(shares=shares), seed
        assert ran.bytes() == card.cost.bytes.evaluate(card.names(case.public())), seed
        assert {name: each for name, each in ran.outputs.items() if name != ("result" if shares else "a")} == (
            {"a": None, "b": None} if shares else {"b": None}
        )


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(10_000, 110_000, 5_000))
def test_results_are_those_of_dictionaries_a_hundred_thousand_times(first: int) -> None:
    for seed in range(first, first + 5_000):
        case, shares = random_case(seed), bool(seed % 2)
        assert grouped(run(case, seed, shares=shares)) == case.oracle(shares=shares), seed


def test_the_random_cases_are_of_every_kind() -> None:
    cases = [random_case(seed) for seed in range(2000)]
    sizes = {(len(case.people_a), len(case.people_b)) for case in cases}
    assert {(0, 0), (1, 1000), (1000, 1), (0, 1000)} <= sizes
    assert any(a > b > 0 for a, b in sizes) and any(b > a > 0 for a, b in sizes)
    assert {case.primes for case in cases} == {0, 1, 2} and {case.g for case in cases} >= {1, 9}
    assert any(sum(case.counts()) == len(case.people_a) == len(case.people_b) > 5 for case in cases)
    hidden = [case for case in cases if case.control and not all(case.oracle().shown)]
    assert any(0 < n < case.control.minimum for case in hidden for n in case.counts() if case.control)
    assert any(case.control.empty and 0 in case.counts() for case in cases if case.control)
    assert any(min(each) < 0 for case in cases for each in case.people_b.values() if each)


HALF = slots.PLAIN[0] // 2
EDGES: dict[str, tuple[Case, list[int], list[list[int]]]] = {
    "nobody, none declared": (Case({}, {}, 1, 1, 0, 0, 1), [0], [[0]]),
    "nobody at a": (Case({}, {one(1): (5,)}, 2, 1, 3, 4, 1), [0, 0], [[0, 0]]),
    "nobody at b": (Case({one(1): 1}, {}, 2, 1, 3, 4, 1), [0, 0], [[0, 0]]),
    "one and the same": (Case({one(1): 0}, {one(1): (-7,)}, 1, 1, 1, 1, 1), [1], [[-7]]),
    "no columns": (Case({one(1): 0, one(2): 1}, {one(1): ()}, 2, 0, 1, 1, 0), [1, 0], []),
    "the largest sums of one prime": (
        Case({one(1): 0, one(2): 1}, {one(1): (HALF,), one(2): (-HALF,)}, 2, 1, 1, 2, 1),
        [1, 1],
        [[HALF, -HALF]],
    ),
    "one more is another number": (Case({one(1): 0}, {one(1): (HALF + 1,)}, 1, 1, 1, 1, 1), [1], [[-HALF]]),
    "two primes": (
        Case({one(1): 0, one(2): 1}, {one(1): (2**62,), one(2): (-(2**62),)}, 2, 1, 1, 2, 2),
        [1, 1],
        [[2**62, -(2**62)]],
    ),
    "more than one block": (
        Case({one(i): i % 2 for i in range(0, 9000, 3)}, {one(i): (i,) for i in range(9000)}, 2, 1, 1500, 9000, 1),
        [1500, 1500],
        [[sum(range(0, 9000, 6)), sum(range(3, 9000, 6))]],
    ),
    "identifiers that look like entries of nobody": (
        Case({b"\x06": 0, b"\x02": 0}, {b"\x07": (1,), b"\x02": (2,)}, 1, 1, 2, 3, 1),
        [1],
        [[2]],
    ),
    "columns of other widths": (
        Case({b"a": 0, b"x" * 40: 1}, {b"x" * 40: (3,), b"a": (4,)}, 2, 1, 2, 3, 1, (40, 64)),
        [1, 1],
        [[4, 3]],
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    case, counts, sums = EDGES[name]
    found = grouped(run(case))
    assert (list(found.counts), [list(row) for row in found.sums]) == (counts, sums)


def test_noise_of_one_side_or_of_both_is_in_the_result() -> None:
    assert grouped(run(NOISED)) == NOISED.oracle() != SMALL.oracle()
    assert grouped(run(NOISED, shares=True)) == NOISED.oracle(shares=True) != NOISED.oracle()


@BOTH
def test_a_group_below_the_minimum_is_summed_over_nobody_and_b_sees_nothing_of_it(shares: bool) -> None:
    """Its sum is not even under the key: what b opens is what covers it."""
    counts = SMALL.counts()
    assert counts == [1, 1, 2]
    found = grouped(run(CONTROLLED, shares=shares))
    assert (found.shown, found.counts) == ((False, False, True), (0, 0, 0))
    ran, plain = run(CONTROLLED, shares=shares), run(SMALL, shares=shares)
    opened, differs = InClear(), []
    for column in range(4):
        rows = [each.array("S", column).reshape(3, slots.CIPHER) for each in (ran, plain)]
        of_both = [[opened.decrypt(column % 2, row) for row in each] for each in rows]
        differs.append([not np.array_equal(*each) for each in zip(*of_both, strict=True)])
        covers = [np.array_equal(row, cover) for row, cover in zip(of_both[0], covers_of(column), strict=True)]
        assert covers == [True, True, False]
    assert all(each == [True, True, False] for each in differs)


def covers_of(column: int) -> list[Array]:
    """What role a adds to the sums of a column of SMALL, slot 0 as b finds it: prime by prime from one stream."""
    stream = psi_sum.prf.Stream(psi_sum._own(entropy(1, "a"))[1][0])
    made = [slots.cover(stream, slots.PLAIN[number], 1) for number in range(2) for _ in range(6)]
    mine = made[6 * (column % 2) + 3 * (column // 2) :][:3]
    return [np.concatenate([[np.uint64(0)], cover[1:]]) for cover in mine]


def test_counts_are_rounded_half_up_and_an_empty_group_may_be_shown() -> None:
    control = psi_sum.Control(minimum=3, base=5, empty=True)
    counts = np.array([0, 1, 2, 3, 7, 8, 12, 13])
    assert control.shown(counts).tolist() == [1, 0, 0, 1, 1, 1, 1, 1]
    assert control.rounded(counts).tolist() == [0, 0, 0, 5, 5, 10, 10, 15]
    assert replace(control, empty=False).shown(counts)[0] == 0
    for wrong in ({"minimum": 0}, {"base": 0}):
        with pytest.raises(ValueError, match="at least"):
            replace(control, **wrong)  # type: ignore[arg-type]


def test_what_a_party_brings_is_refused_before_anything_is_sent() -> None:
    of_a, of_b = people_of(SMALL)
    sizes, tied, noise = shape(SMALL), binding(1), np.zeros((2, 3), np.uint64)
    twice_a = replace(of_a, ids=of_a.ids[[0, *range(11)]])
    group = replace(of_a, cell=np.where(of_a.cell == 0, 3, of_a.cell).astype(np.uint32))
    full = replace(of_a, cell=np.zeros(12, np.uint32))
    empty = replace(of_a, ids=np.zeros_like(of_a.ids))
    for people in (twice_a, group, full, empty, replace(of_a, cell=of_a.cell[:-1])):
        with pytest.raises(InternalError):
            next(psi_sum.party_a(sizes, people, tied, InClear(), entropy(1, "a")))
    many = people_of(replace(SMALL, people_b={one(i): (1, 1) for i in range(10)}))[1]
    wrong = (replace(of_b, ids=of_b.ids[[0, *range(7)]]), many, replace(of_b, values=of_b.values[:1]))
    for brought in (*wrong, replace(of_b, values=[each[1:] for each in of_b.values])):
        with pytest.raises(InternalError):
            next(psi_sum.party_b(sizes, brought, tied, InClear(), entropy(1, "b"), noise))
    for other in (noise[:1], noise[:, :2], noise.astype(np.int64)):
        with pytest.raises(InternalError):
            next(psi_sum.party_b(sizes, of_b, tied, InClear(), entropy(1, "b"), other))  # type: ignore[arg-type]
    for short in (0, psi_sum.ENTROPY_BYTES - 1, psi_sum.ENTROPY_BYTES + 1):
        with pytest.raises(ValueError, match="draws"):
            next(psi_sum.party_a(sizes, of_a, tied, InClear(), Secret(bytes(short))))


def test_sizes_that_flooding_does_not_cover_are_refused() -> None:
    sizes = shape(SMALL)
    replace(sizes, g=750, n_list_b=2**20)  # 3,000 sums modulo a prime
    for wrong in ({"g": 760, "n_list_b": 2**20}, {"primes": 0}, {"primes": 3}, {"v": 0}):
        with pytest.raises(InternalError):
            replace(sizes, **wrong)


# -- code, gate and card ----------------------------------------------------------------------------------------------


def gate_of(role: str, public: dict[str, int], card: Card) -> gate.Gate:
    return gate.Gate(gate.project(card, public, PARTIES, role), opening=OPENING)


@BOTH
@pytest.mark.parametrize("seed", [1, 2, 5, 6, 8, 11])
def test_what_is_sent_is_what_gate_and_forecast_say(seed: int, shares: bool) -> None:
    case, card = random_case(seed), card_of(shares)
    gates = {name: gate_of(name, case.public(), card) for name in card.roles}
    parts = roles(case, seed, shares=shares)
    done = play({name: gated(role, gates[name]) for name, role in parts.items()}, seed=seed)
    outgoing = {
        (name, str(sent.to), sent.label, sent.column, sent.size)
        for name, (_, left) in done.outputs.items()
        for sent in left
    }
    incoming = {
        (str(e.peer), name, e.label, e.slot.column, e.size) for name, each in gates.items() for e in each.incoming
    }
    assert outgoing == incoming
    names = card.names(case.public())
    forecast = sum(m.size for m in listed(card, names, PARTIES))
    assert sum(size for *_, size in outgoing) == card.cost.bytes.evaluate(names) == done.bytes() == forecast
    assert done.outputs["result" if shares else "a"][0] == case.oracle(shares=shares)


@BOTH
def test_rounds_of_the_card_are_rounds_of_the_code(shares: bool) -> None:
    """Each message goes in its round, with what earlier rounds brought: deliveries only between rounds."""
    card = card_of(shares)
    rounds = {m.label: m.round for m in card.messages}
    live: dict[str, Any] = dict(roles(NOISED, shares=shares))
    wishes: dict[str, Any] = dict.fromkeys(live)
    arrived: dict[Key, Array] = {}
    for now in range(1, max(rounds.values()) + 2):
        fresh: dict[Key, Array] = {}
        for name in list(live):
            while name in live:
                wish, answer = wishes[name], None
                if wish is not None:
                    key = (wish.from_, name, wish.label, wish.column)
                    if key not in arrived:
                        break
                    answer = arrived.pop(key)
                try:
                    act = live[name].send(answer)
                except StopIteration:
                    del live[name]
                    break
                wishes[name] = None if isinstance(act, Send) else act
                if isinstance(act, Send):
                    assert now <= rounds[act.label], act.label
                    fresh[name, act.to, act.label, act.column] = act.array
        arrived |= fresh
    assert not live and not arrived
    assert card.cost.rounds.evaluate(card.names(SMALL.public())) == max(rounds.values()) == 4


def test_parameters_on_the_cards_are_those_of_the_code() -> None:
    for card in (CARD, SHARES):
        names = card.names(SMALL.public())
        assert (names["ring"], names["cipher"], names["public_key"]) == (slots.RING, slots.CIPHER, slots.PUBLIC_KEY)
        assert tuple(2**60 - names[f"q_{k}"] for k in (1, 2, 3)) == slots.PRIMES
        assert (2**38 - names["q_s"], names["flood_bits"]) == (slots.SPECIAL, slots.FLOOD_BITS)
        assert (2**40 - names["t_1"], 2**40 - names["t_2"]) == slots.PLAIN
        for entries in (1, 8191, 8192, 16382, 16383):
            blocks = card.names({**SMALL.public(), "n_b": entries - 1})["blocks"]
            assert blocks == slots.blocks_of(entries)


def test_bytes_of_a_million_on_each_side() -> None:
    names = CARD.names({"m_a": 131_072, "n_b": 2**20, "g": 8, "v": 1, "primes": 1})
    assert round(CARD.cost.bytes.evaluate(names) / 1e6) == 133
    assert (names["t"], names["blocks"]) == (11, 129)


# -- peers that send something else -----------------------------------------------------------------------------------

BAD = refused_encodings()


def with_row(place: int, row: bytes) -> Callable[[Array], Array]:
    def alter(array: Array) -> Array:
        out = array.copy()
        out[place] = np.frombuffer(row, np.uint8)
        return out

    return alter


@pytest.mark.parametrize("label", ["D1", "D3"])
@pytest.mark.parametrize("name", BAD)
def test_every_bad_encoding_is_refused_with_message_and_place(label: str, name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered(label, with_row(7, BAD[name])))
    assert (caught.value.code, caught.value.fields) == ("peer.element", {"label": label, "place": 7})


@pytest.mark.parametrize("label", ["D1", "D3"])
def test_an_element_twice_is_refused_with_its_places(label: str) -> None:
    """In two groups, too: one person's in both would tell b that they are one."""
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered(label, lambda array: with_row(8, array[1].tobytes())(array)))
    assert caught.value.code == "peer.twice"
    assert caught.value.fields == {"label": label, "first": 1, "second": 8}


TAGS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "swapped in a group": (lambda array: array[[1, 0, *range(2, 16)]], "peer.tags"),
    "repeated in a group": (lambda array: array[[0, 0, *range(2, 16)]], "peer.tags"),
    "repeated in another group": (lambda array: array[[*range(5), 0, *range(6, 16)]], "peer.tags"),
    "all zero": (np.zeros_like, "peer.tags"),
    "sorted as a whole": (lambda array: array[np.lexsort(array.T[::-1])], "peer.other-set"),
}


@pytest.mark.parametrize("name", TAGS)
def test_tags_that_are_not_sorted_group_by_group_are_refused(name: str) -> None:
    alter, code = TAGS[name]
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered("D2", alter))
    assert (caught.value.code, caught.value.fields["label"]) == (code, "D2")


RESIDUES = {"K": (0, slots.PUBLIC_KEY - 1), "Y": (0, slots.CIPHER - 1), "S": (0, 3 * slots.CIPHER - 1), "R": (0, 2)}


@pytest.mark.parametrize("label", RESIDUES)
def test_a_number_that_is_not_below_its_prime_is_refused_with_its_place(label: str) -> None:
    for place in RESIDUES[label]:
        rings = place // slots.RING
        primes = (*slots.PRIMES, slots.SPECIAL) if label == "K" else slots.PRIMES
        prime = slots.PLAIN[0] if label == "R" else primes[rings % len(primes)]
        for value in (prime, 2**64 - 1):

            def alter(key: Key, array: Array, place: int = place, value: int = value) -> Array:
                out = array.copy()
                if key[2:] == (label, 0):
                    out[place] = value
                return out

            with pytest.raises(PeerError) as caught:
                run(SMALL, alter=alter)
            assert (caught.value.code, caught.value.fields) == ("peer.residue", {"label": label, "place": place})


@pytest.mark.parametrize("label", ["Fa", "Fb"])
def test_a_share_that_is_not_below_its_prime_is_refused(label: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, shares=True, alter=altered(label, lambda array: array + np.uint64(slots.PLAIN[0])))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.residue", label)


@pytest.mark.parametrize("label", ["K", "Y", "S"])
def test_a_ciphertext_or_key_that_hides_nothing_is_refused(label: str) -> None:
    at = 2 if label == "S" else 0

    def alter(array: Array) -> Array:
        out = array.copy()
        size = slots.PUBLIC_KEY if label == "K" else slots.CIPHER
        out[at * size + size // 2 : (at + 1) * size] = 0
        return out

    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered(label, alter))
    assert (caught.value.code, caught.value.fields) == ("peer.transparent", {"label": label, "place": at})


def test_a_sum_that_was_not_made_of_what_was_sent_does_not_open() -> None:
    """Slot 0 tells: the same ciphertexts in another order, of another number of blocks, or of other columns."""
    other = run(NOISED, 9)

    def alter(key: Key, array: Array) -> Array:
        return other.array("Y", key[3]) * np.uint64(2) % np.uint64(slots.PLAIN[0]) if key[2] == "Y" else array

    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=alter)
    assert (caught.value.code, caught.value.fields) == ("peer.sum", {"label": "S"})


@BOTH
@pytest.mark.parametrize("what", LENGTHS)
def test_a_wrong_count_is_refused_before_it_is_read(what: str, shares: bool) -> None:
    card = card_of(shares)
    for label in [message.label for message in card.messages]:
        parts = {
            name: gated(role, gate_of(name, SMALL.public(), card)) for name, role in roles(SMALL, shares=shares).items()
        }
        with pytest.raises(PeerError) as caught:
            play(parts, alter=altered(label, LENGTHS[what]))
        assert caught.value.code == "peer.bad-length", label


@pytest.mark.parametrize("labels", [("D1",), ("D2",), ("D3",), ("D1", "D3"), ("D1", "D2"), ("D2", "D3")])
def test_messages_of_another_run_are_no_result_of_nobody(labels: tuple[str, ...]) -> None:
    other = play(roles(SMALL, 2, tied=binding(1)))

    def alter(key: Key, array: Array) -> Array:
        return other.array(key[2]) if key[2] in labels else array

    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=alter)
    assert (caught.value.code, caught.value.fields) == ("peer.other-set", {"label": "D2"})


def test_parties_of_two_specifications_or_runs_have_nothing_in_common() -> None:
    tied, other = binding(1), binding(2)
    for mixed in (other, psi_sum.Binding(digest=tied.digest, run_id=other.run_id)):
        with pytest.raises(PeerError) as caught:
            play({"a": roles(SMALL, tied=tied)["a"], "b": roles(SMALL, tied=mixed)["b"]})
        assert caught.value.code == "peer.other-set"


def flipped(label: str, rng: np.random.Generator) -> Callable[[Key, Array], Array]:
    def alter(key: Key, array: Array) -> Array:
        if key[2:] != (label, 0):
            return array
        out = np.ascontiguousarray(array).copy()
        raw = out.reshape(-1).view(np.uint8)
        raw[rng.integers(raw.size)] ^= 1 << rng.integers(8)
        return out

    return alter


@pytest.mark.parametrize("label", ["D1", "D2", "D3"])
def test_a_flipped_bit_in_a_list_is_an_error_or_a_person_less(label: str) -> None:
    whole, rng, codes = grouped(run(SMALL)), np.random.default_rng(5), set[str]()
    for seed in range(25):
        try:
            found = grouped(play(roles(SMALL), seed=seed, alter=flipped(label, rng)))
        except PeerError as error:
            codes.add(error.code)
            continue
        assert all(now <= then for now, then in zip(found.counts, whole.counts, strict=True))
        assert sum(found.counts) >= sum(whole.counts) - 1
    assert codes <= {"peer.element", "peer.tags", "peer.other-set", "peer.twice"} and codes


def test_a_lying_peer_is_not_caught() -> None:
    """Semi-honest means it (protocols.md 0.11): other numbers in an answer pass. Published in the README."""
    found = grouped(run(SMALL, alter=altered("R", lambda array: array ^ np.uint64(1))))
    assert found.counts == SMALL.oracle().counts and found.sums != SMALL.oracle().sums


def test_zero_shares_are_taken_off() -> None:
    """Neither share is what a or b has: the pair's own numbers are on both, other ones in each column."""
    keys = family(1)
    with_zero = play(roles(SMALL, shares=True))
    made = [psi_sum._zero(keys, column, slots.PLAIN[column % 2], 3) for column in range(4)]
    assert len({tuple(each) for each in made}) == 4
    opened = run(SMALL).array("R", 0).view(np.int64)
    assert np.array_equal((opened - made[0]) % slots.PLAIN[0], with_zero.array("Fb", 0).view(np.int64))
