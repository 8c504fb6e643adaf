"""dh_psi_cardinality against sets of Python, its card, and peers that send what no honest one does."""

from collections.abc import Callable

import numpy as np
import pytest

from pets.errors import InternalError, PeerError
from pets.kernels import curve
from pets.party import gate
from pets.protocols import dh_psi
from pets.protocols.base import Array, Binding, Send
from pets.secret import Secret
from tests.kernels.test_curve import refused_encodings
from tests.oracles.dh_psi import CARD, Case, entropy, random_case, roles, shape
from tests.oracles.intersections import TAGS, behind_gates, binding, people, rows_of, sent_as_forecast, with_row
from tests.oracles.play import Key, Transcript, play
from tests.protocols.test_helper_join import LENGTHS, altered


def run(case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


SMALL = Case(people(*range(12), 3, 3), people(*range(9, 16)), 14, 9)


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 2000, 200))
def test_counts_and_bytes_are_those_of_sets_and_of_the_card(first: int) -> None:
    for seed in range(first, first + 200):
        case = random_case(seed)
        ran = run(case, seed)
        assert ran.outputs == {"a": case.oracle(), "b": None}, seed
        assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(case.public())), seed


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 110_000, 5_000))
def test_counts_are_those_of_sets_a_hundred_thousand_times(first: int) -> None:
    wrong = [
        seed
        for seed in range(first, first + 5_000)
        if run(random_case(seed)).outputs["a"] != random_case(seed).oracle()
    ]
    assert not wrong


def test_the_random_cases_are_of_every_kind() -> None:
    cases = [random_case(seed) for seed in range(2000)]
    sets = [(len(set(case.ids_a)), len(set(case.ids_b)), case) for case in cases]
    assert {(0, 0), (1, 1000), (1000, 1), (0, 1000)} <= {(a, b) for a, b, _ in sets}
    assert any(a > b > 0 for a, b, _ in sets) and any(b > a > 0 for a, b, _ in sets)
    assert any(case.oracle() == a == b > 5 for a, b, case in sets)
    assert any(case.oracle() == 0 < min(a, b) for a, b, case in sets)
    assert any(len(case.ids_a) > a for a, _, case in sets) and any(case.n_a == a for a, _, case in sets)


EDGES = {
    "nobody, none declared": (Case([], [], 0, 0), 0),
    "nobody at a": (Case([], people(1, 2), 5, 2), 0),
    "nobody at b": (Case(people(1, 2), [], 2, 5), 0),
    "one and the same": (Case(people(1), people(1), 1, 1), 1),
    "one against a thousand": (Case(people(500), people(*range(1000)), 1, 1000), 1),
    "a thousand against one": (Case(people(*range(1000)), people(500), 1000, 1), 1),
    "all the same": (Case(people(*range(40)), people(*range(40)), 40, 40), 40),
    "one person in every row": (Case(people(*[7] * 30), people(*[7] * 9), 1, 1), 1),
    "more declared by far": (Case(people(1, 2), people(2, 3), 900, 2), 1),
    "columns of other widths": (Case([b"a", b"x" * 40], [b"x" * 40, b"a", b"xa"], 2, 3, (40, 64)), 2),
    "an identifier that others begin with": (Case([b"1"], [b"11", b"10", b"1"], 1, 3), 1),
    "identifiers that look like entries of nobody": (Case([b"\x06", b"\x02"], [b"\x07", b"\x02"], 2, 3), 1),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    case, expected = EDGES[name]
    assert run(case).outputs["a"] == case.oracle() == expected


def test_lists_of_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(SMALL)
    monkeypatch.setattr(dh_psi, "_TILE", 4)
    tiled = run(SMALL)
    assert tiled.outputs == whole.outputs
    assert [array.tobytes() for _, array in tiled.sent] == [array.tobytes() for _, array in whole.sent]


def test_all_providers_of_the_group_send_the_same_bytes() -> None:
    sent = []
    for provider in curve.features():
        curve.select(provider)
        sent.append([array.tobytes() for _, array in run(SMALL).sent])
    curve.select(curve.features()[0])
    assert all(each == sent[0] for each in sent)


def test_what_a_party_brings_is_refused_before_anything_is_sent() -> None:
    empty = rows_of([b"1", b""], 10)
    for case in (Case(people(1, 2), people(1), 1, 1), Case(people(1), people(1, 2), 1, 1)):
        parts = roles(case)
        with pytest.raises(InternalError):
            [next(part) for part in parts.values()]
    for role in (dh_psi.party_a, dh_psi.party_b):
        with pytest.raises(InternalError):
            next(role(shape(SMALL), empty, binding(1), entropy(1, "a")))
        for short in (0, dh_psi.ENTROPY_BYTES - 1, dh_psi.ENTROPY_BYTES + 1):
            with pytest.raises(ValueError, match="draws"):
                next(role(shape(SMALL), rows_of([b"1"], 10), binding(1), Secret(bytes(short))))
        with pytest.raises(ValueError, match="identifiers"):
            next(role(shape(SMALL), np.zeros((2, 4), np.uint32), binding(1), entropy(1, "a")))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="32 bytes"):
        Binding(digest=bytes(31), run_id=bytes(32))


# -- code, gate and card ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_what_is_sent_is_what_gate_and_forecast_say(seed: int) -> None:
    case = random_case(seed)
    assert sent_as_forecast(CARD, case.public(), roles(case, seed), seed)["a"] == case.oracle()


def test_rounds_of_the_card_are_rounds_of_the_code() -> None:
    """Both send their lists before they wait for anything; the tags alone come a round later."""
    assert {m.label: m.round for m in CARD.messages} == {"D1": 1, "D3": 1, "D2": 2}
    assert CARD.cost.rounds.evaluate(CARD.names(SMALL.public())) == 2
    parts = roles(SMALL)
    first = {name: next(part) for name, part in parts.items()}
    assert {name: (act.to, act.label) for name, act in first.items() if isinstance(act, Send)} == {
        "a": ("b", "D1"),
        "b": ("a", "D3"),
    }


@pytest.mark.parametrize(
    ("n_a", "n_b", "t"),
    [(0, 0, 5), (1, 1, 6), (2**20 - 1, 1, 10), (1, 2**20 - 1, 10), (2**20, 1, 11), (10**7, 10**7, 11), (2**28, 1, 13)],
)
def test_tags_are_as_wide_as_the_bound_of_the_card_needs(n_a: int, n_b: int, t: int) -> None:
    """A wrong count, and a collision inside a list, at most 2^-40 each; and not a byte more than that needs."""
    names = CARD.names({"n_a": n_a, "n_b": n_b})
    assert names["t"] == t
    a, b = names["n_list_a"], names["n_list_b"]
    assert a * b * 2**40 <= 2 ** (8 * t)
    assert (a**2 + b**2) // 2 * 2**40 <= 2 ** (8 * t)
    assert CARD.cost.bytes.evaluate(names) == 32 * a + 32 * b + t * a


def test_bytes_of_a_million_on_each_side() -> None:
    assert round(CARD.cost.bytes.evaluate(CARD.names({"n_a": 10**6, "n_b": 10**6})) / 1e6) == 74


# -- peers that send something else -----------------------------------------------------------------------------------

BAD = refused_encodings()


@pytest.mark.parametrize("label", ["D1", "D3"])
@pytest.mark.parametrize("name", BAD)
def test_every_bad_encoding_is_refused_with_message_and_place(label: str, name: str) -> None:
    last = {"D1": 14, "D3": 9}[label]
    for place in (0, 8, last):
        with pytest.raises(PeerError) as caught:
            run(SMALL, alter=altered(label, with_row(place, BAD[name])))
        assert caught.value.code == "peer.element"
        assert caught.value.fields == {"label": label, "place": place}
        assert gate.refused(caught.value, {1: "D1", 2: "D2", 3: "D3"}) == label


@pytest.mark.parametrize("label", ["D1", "D3"])
def test_a_bad_encoding_at_every_place(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dh_psi, "_TILE", 4)
    for place in range({"D1": 15, "D3": 10}[label]):
        with pytest.raises(PeerError) as caught:
            run(SMALL, alter=altered(label, with_row(place, bytes(32))))
        assert caught.value.fields == {"label": label, "place": place}


@pytest.mark.parametrize("label", ["D1", "D3"])
def test_an_element_twice_is_refused_with_its_places(label: str) -> None:
    for first, second in ((0, 1), (2, 9), (0, 9)):
        with pytest.raises(PeerError) as caught:
            run(SMALL, alter=altered(label, lambda array, i=first, j=second: with_row(j, array[i].tobytes())(array)))
        assert caught.value.code == "peer.twice"
        assert caught.value.fields == {"label": label, "first": first, "second": second}


@pytest.mark.parametrize("name", TAGS)
def test_tags_that_are_not_sorted_are_refused(name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered("D2", TAGS[name]))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "D2")


@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize("label", ["D1", "D2", "D3"])
def test_a_wrong_count_is_refused_before_it_is_read(label: str, what: str) -> None:
    with pytest.raises(PeerError) as caught:
        play(behind_gates(CARD, SMALL.public(), roles(SMALL)), alter=altered(label, LENGTHS[what]))
    assert caught.value.code == "peer.bad-length"


@pytest.mark.parametrize("labels", [("D1",), ("D2",), ("D3",), ("D1", "D3"), ("D1", "D2"), ("D2", "D3")])
def test_messages_of_another_run_are_no_count_of_nobody(labels: tuple[str, ...]) -> None:
    """Of the same specification, even; a link lets no frame of another run in, and this is without a link."""
    other = play(roles(SMALL, 2, tied=binding(1)))

    def alter(key: Key, array: Array) -> Array:
        return other.array(key[2]) if key[2] in labels else array

    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=alter)
    assert (caught.value.code, caught.value.fields) == ("peer.other-set", {"label": "D2"})


def test_parties_of_two_specifications_or_runs_have_nothing_in_common() -> None:
    one, other = binding(1), binding(2)
    for tied in (other, Binding(digest=one.digest, run_id=other.run_id)):
        mixed = {"a": roles(SMALL, tied=one)["a"], "b": roles(SMALL, tied=tied)["b"]}
        with pytest.raises(PeerError) as caught:
            play(mixed)
        assert caught.value.code == "peer.other-set"


def test_lists_sent_back_to_their_sender_are_no_count() -> None:
    case = Case(people(*range(9)), people(*range(9)), 9, 9)
    own: dict[str, Array] = {}

    def alter(key: Key, array: Array) -> Array:
        own.setdefault(key[2], array)
        return own["D1"] if key[2] == "D3" and "D1" in own else array

    for seed in range(20):
        own.clear()
        try:
            play(roles(case, seed), seed=seed, alter=alter)
        except PeerError as error:
            assert error.code == "peer.other-set"
            return
    pytest.fail("D1 never came first")


def test_a_lying_peer_is_not_caught() -> None:
    """Semi-honest means it (protocols.md 0.11): other elements of the group pass and change the count."""
    foreign = curve.hash_to_group([b"%d" % number for number in range(10)], tag=b"foreign")
    counts = set()
    for place in range(10):
        try:
            counts.add(run(SMALL, alter=altered("D3", with_row(place, foreign[place].tobytes()))).outputs["a"])
        except PeerError as error:
            pytest.fail(str(error))
    assert counts == {2, 3}, "the entry that both bring, or one of three in common, or one of others"
