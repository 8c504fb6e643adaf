"""kkrt_psi against sets of Python, its card, and peers that send what no honest one does."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pets.errors import InternalError, PeerError, PetsError, RunError
from pets.kernels import aes, blake2, cuckoo, curve, gf128, oprf
from pets.protocols import intersect, kkrt_psi, matched
from pets.protocols.base import Array, Binding
from pets.secret import Secret
from tests.oracles.intersections import (
    TAGS,
    behind_gates,
    binding,
    flipped,
    people,
    rows_of,
    sent_as_forecast,
    with_row,
)
from tests.oracles.kkrt_psi import CARD, entropy, roles, shape
from tests.oracles.play import Key, Transcript, play
from tests.oracles.vole_psi import Case, random_case
from tests.protocols.test_dh_psi import BAD
from tests.protocols.test_helper_join import LENGTHS, altered
from tests.protocols.test_vole_psi import EDGES, INPUTS, TWICE, found, is_right, rounds_of

LABELS = [message.label for message in CARD.messages]

pytestmark = pytest.mark.usefixtures("fastest")


def run(case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


SMALL = Case(people(*range(12)), people(*range(9, 16)), 14, 9)
RICH = Case(
    people(*range(60)), people(*range(79, 39, -1)), 90, 42, values=(tuple(range(40)), (2**64 - 1,) * 40), both=1
)
"""All messages of the card; of those whom both have, some lie where another function than the first says."""


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 30, 15))
def test_places_and_bytes_are_those_of_sets_and_of_the_card(first: int) -> None:
    for seed in range(first, first + 15):
        case = random_case(seed)
        ran = run(case, seed)
        assert is_right(ran, case), seed
        assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(case.public())), seed


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 110_000, 1_000))
def test_places_are_those_of_sets_a_hundred_thousand_times(first: int) -> None:
    cases = ((seed, random_case(seed)) for seed in range(first, first + 1_000))
    assert not [seed for seed, case in cases if not is_right(run(case, seed), case)]


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    case = EDGES[name]
    for each in (case, replace(case, values=(tuple(range(len(case.ids_s))),), both=1)):
        assert is_right(run(each), each)


@pytest.mark.parametrize(("mine", "theirs"), [(4096, 5000), (30_000, 1000), (1000, 30_000)])
def test_lists_of_thousands(mine: int, theirs: int) -> None:
    """So many that a third of the entries lie by another function than the first."""
    rng = random.Random(mine)
    ids = [rng.sample(range(max(mine, theirs) * 2), count) for count in (mine, theirs)]
    case = Case(people(*ids[0]), people(*ids[1]), mine, theirs, values=(tuple(range(theirs)),), both=1)
    ran = run(case)
    assert is_right(ran, case) and case.oracle()
    assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(case.public()))


def test_all_back_ends_send_the_same_bytes() -> None:
    sent = []
    for number in range(max(len(module.features()) for module in (aes, gf128, curve))):
        for module in (aes, gf128, curve):
            module.select(module.features()[min(number, len(module.features()) - 1)])
        sent.append([(key, array.tobytes()) for key, array in sorted(run(RICH).sent, key=lambda each: each[0])])
    for module in (aes, gf128, curve):
        module.select(module.features()[0])
    assert len(sent) > 1 and all(each == sent[0] for each in sent)


@pytest.mark.parametrize(
    "case",
    [
        Case(people(1, 2), people(1), 1, 1),
        Case(TWICE, people(1), 4, 1),
        Case(people(*range(100), 7), people(1), 101, 1),
        Case([b"1"] * 4, people(1), 4, 1),
        Case([b"a", b""], [], 2, 1, (20, 20)),
    ],
)
def test_what_the_receiver_brings_is_refused_before_anything_is_sent(case: Case) -> None:
    with pytest.raises(InternalError):
        next(roles(case)["receiver"])


def test_what_the_sender_brings_is_refused_before_anything_of_it_is_sent() -> None:
    """Equal persons are noticed when all is computed: what has left by then does not depend on them."""
    for case in (Case(people(1), people(1, 2), 1, 1), Case([], [b"a", b""], 1, 2, (20, 20))):
        with pytest.raises(InternalError):
            next(roles(case)["sender"])
    sent: list[str] = []

    def alter(key: Key, array: Array) -> Array:
        sent.append(key[2])
        return array

    with pytest.raises(InternalError, match="person twice"):
        run(Case(people(1), TWICE, 1, 4), alter=alter)
    assert sorted(sent) == ["K1r", "K1s", "K2"]


def test_wrong_numbers_of_bytes_and_shapes_are_our_bugs() -> None:
    for role in (kkrt_psi.receiver, kkrt_psi.sender):
        for short in (0, kkrt_psi.ENTROPY_BYTES - 1, kkrt_psi.ENTROPY_BYTES + 1):
            with pytest.raises(ValueError, match="draws"):
                next(role(shape(SMALL), rows_of([b"1"], 10), binding(1), Secret(bytes(short))))
        with pytest.raises(InternalError):
            next(role(shape(SMALL), rows_of([b"1"], 14), binding(1), entropy(1, "sender")))


def test_entries_that_cannot_be_placed_end_the_run_and_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five that a hash gives the same three bins."""
    tried = []

    def same(hashes: Array, size: cuckoo.Size) -> Array:
        tried.append(len(hashes))
        return np.tile(np.array([1, size.third, 2 * size.third], np.uint32), (len(hashes), 1))

    monkeypatch.setattr(cuckoo, "places", same)
    with pytest.raises(RunError) as caught:
        next(roles(SMALL)["receiver"])
    assert caught.value.code == "run.table" and tried == [15]
    next(roles(Case(people(1, 2), [], 2, 0))["receiver"])


def test_outputs_that_are_equal_by_chance_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = oprf.evaluated

    def alike(*given: object) -> oprf.Hashed:
        made = right(*given)  # type: ignore[arg-type]
        return oprf.Hashed(made.outputs & np.uint8(1), made.elements)

    monkeypatch.setattr(oprf, "evaluated", alike)
    with pytest.raises(RunError) as caught:
        run(SMALL)
    assert caught.value.code == "run.table"


# -- code, gate and card ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_what_is_sent_is_what_gate_and_forecast_say(seed: int) -> None:
    case = random_case(seed)
    outputs = sent_as_forecast(CARD, case.public(), roles(case, seed), seed)
    assert outputs["receiver"].places.tolist() == case.oracle()


def test_rounds_of_the_card_are_rounds_of_the_code() -> None:
    rounds = {message.label: message.round for message in CARD.messages}
    assert [CARD.cost.rounds.evaluate(CARD.names(case.public())) for case in (SMALL, RICH)] == [3, max(rounds.values())]
    assert rounds_of(roles(RICH)) == rounds


def test_sizes_on_the_card_are_those_of_the_kernels() -> None:
    rng = random.Random(1)
    for n in [*range(300), 2**20, 2**26 - 1, *(rng.randrange(2**26) for _ in range(300))]:
        assert CARD.names({"n_r": n, "n_s": 1})["bins"] == cuckoo.Size(n + 1).bins
    (choices,) = (message.count for message in CARD.messages if message.label == "K1s")
    assert choices.evaluate({}) == oprf.COLUMNS


@pytest.mark.parametrize(
    ("n_r", "n_s", "t"), [(0, 0, 6), (1, 1, 6), (2**20, 1, 11), (1, 2**20, 11), (10**7, 10**7, 12), (2**26 - 1, 1, 12)]
)
def test_outputs_are_as_wide_as_the_bound_of_the_card_needs(n_r: int, n_s: int, t: int) -> None:
    """Wrong matches at most 2^-44: an entry is looked for among those of its own function; equal outputs in one of
    three lists of the sender, or one of three of the receiver, at most 3 2^-45 and 2^-45."""
    names = CARD.names({"n_r": n_r, "n_s": n_s})
    r, s = names["n_list_r"], names["n_list_s"]
    assert names["t"] == t < 16
    assert r * s * 2**44 <= 2 ** (8 * t) and max(r, s) ** 2 * 2**44 <= 2 ** (8 * t)


def test_all_chances_add_up_to_less_than_the_card_says() -> None:
    """Bins (docs/adr/0035), equal outputs of both sides; matches and hashed identifiers."""
    bins, equal, wrong, hashed = 2**-43.6, 4 * 2**-45, 2**-44, 2**-51
    assert (CARD.cost.wrong_result, CARD.cost.abort) == ("2^-43", "2^-42")
    assert wrong + hashed < 2**-43 and bins + equal < 2**-42 and bins + equal + wrong + hashed < 2**-40


def test_bytes_of_a_million_on_each_side() -> None:
    names = CARD.names({"n_r": 2**20, "n_s": 2**20})
    assert CARD.cost.bytes.evaluate(names) == 122_019_809
    whole = CARD.cost.bytes.evaluate(CARD.names({"n_r": 2**20, "n_s": 2**20, "p": 2, "both": 1}))
    assert whole == 122_019_809 + (32 + 24) * (2**20 + 1) + 2**17 + 1 + 16


# -- peers that send something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["K1r", "K1s"])
@pytest.mark.parametrize("name", BAD)
def test_every_bad_encoding_is_refused_with_message_and_place(label: str, name: str) -> None:
    for place in {"K1r": (0, 1), "K1s": (0, 511)}[label]:
        with pytest.raises(PeerError) as caught:
            run(SMALL, alter=altered(label, with_row(place, BAD[name])))
        assert caught.value.code == "peer.element"
        assert caught.value.fields == {"label": label, "place": place}


@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize("label", LABELS)
def test_a_wrong_count_is_refused_before_it_is_read(label: str, what: str) -> None:
    with pytest.raises(PeerError) as caught:
        play(behind_gates(CARD, RICH.public(), roles(RICH)), alter=altered(label, LENGTHS[what]))
    assert caught.value.code == "peer.bad-length"


def in_list(number: int, change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """One of the three lists of K3 changed."""

    def alter(array: Array) -> Array:
        lists = np.split(array, 3)
        lists[number] = change(lists[number])
        return np.concatenate(lists)

    return alter


@pytest.mark.parametrize("name", TAGS)
def test_outputs_that_are_not_sorted_are_refused(name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered("K3", in_list(0, TAGS[name])))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "K3")


@pytest.mark.parametrize("name", ["repeated", "all zero"])
@pytest.mark.parametrize("number", [1, 2])
def test_outputs_that_come_twice_are_refused_in_every_list(number: int, name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(RICH, alter=altered("K3", in_list(number, TAGS[name])))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "K3")


@pytest.mark.parametrize("flips", [4, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("label", LABELS)
def test_a_bit_that_flips_never_makes_a_match(label: str, flips: int) -> None:
    """It ends the run, or some matches are missing, or it is where nobody looks."""
    rng, right, ends = random.Random(f"{label} {flips}"), RICH.oracle(), set()
    given = dict(zip(right, zip(*RICH.given(), strict=True), strict=True))
    for _ in range(flips):
        try:
            ran = run(RICH, alter=altered(label, flipped(rng.getrandbits(40))))
        except PetsError as error:
            assert error.code in ("peer.element", "peer.other-set", "peer.tags", "peer.check"), label
            ends.add(error.code)
        else:
            at, values, told = found(ran), ran.outputs["receiver"].values.tolist(), ran.outputs["sender"].tolist()
            assert set(at) <= set(right)
            assert values == [list(column) for column in zip(*map(given.get, at), strict=True)]
            assert [RICH.ids_s[place] for place in told] == [RICH.ids_r[place] for place in at][::-1]
            ends.add("some")
    assert ends, label
    if label in ("K1r", "K4"):
        assert "some" not in ends, "what all rests on"


@pytest.mark.parametrize(
    "labels", [*((label,) for label in LABELS), ("K1r", "K2", "K4"), ("K1s", "K3", "K3k", "K3p"), ("K3", "K3k", "K3p")]
)
def test_messages_of_another_run_give_no_answer(labels: tuple[str, ...]) -> None:
    """Of the same specification, even; a link lets no frame of another run in, and this is without a link."""
    other = play(roles(RICH, 2))

    def alter(key: Key, array: Array) -> Array:
        return other.array(key[2]) if key[2] in labels else array

    last = {"K3k": ("peer.check", "K3p"), "K3p": ("peer.check", "K3p"), "K4": ("peer.check", "K4")}
    with pytest.raises(PeerError) as caught:
        run(RICH, alter=alter)
    code, label = last.get(labels[0], ("peer.other-set", "K3"))
    assert (caught.value.code, caught.value.fields) == (code, {"label": label})


def test_parties_of_two_specifications_or_runs_have_nothing_in_common() -> None:
    one, other = binding(1), binding(2)
    for tied in (
        other,
        Binding(digest=one.digest, run_id=other.run_id),
        Binding(digest=other.digest, run_id=one.run_id),
    ):
        with pytest.raises(PeerError) as caught:
            play({"receiver": roles(SMALL, tied=one)["receiver"], "sender": roles(SMALL, tied=tied)["sender"]})
        assert caught.value.code == "peer.other-set"


# -- what each side gets ----------------------------------------------------------------------------------------------


def test_traffic_follows_from_declared_sizes_alone() -> None:
    assert len({str(run(case).shape_of_traffic()) for case in INPUTS.values()}) == 1


def test_two_runs_of_the_same_sets_share_nothing() -> None:
    """Under one specification, of the same persons: no row of any message comes again."""
    seen: dict[str, set[bytes]] = {label: set() for label in LABELS}
    for seed in (1, 2, 3):
        for key, array in play(roles(RICH, seed, tied=Binding(digest=bytes(32), run_id=bytes([seed]) * 32))).sent:
            if key[2] == "K4":  # bytes of bits
                array = array[-matched.PROOF_BYTES :].reshape(1, -1)
            rows = {row.tobytes() for row in array}
            assert len(rows) == len(array) and not rows & seen[key[2]], key
            seen[key[2]] |= rows


@pytest.mark.parametrize("name", ["nobody in common", "all in common"])
def test_bits_of_all_messages_are_even(name: str) -> None:
    """Within 5.5 standard deviations, which one honest run in a million exceeds; but for two bits of a point, and the
    first list, which is sorted. Bits of K2 are looked at place by place in its rows of 64 bytes."""
    kept: dict[str, list[np.ndarray]] = {}
    for seed in range(5):
        for key, array in run(INPUTS[name], seed).sent:
            if key[2] == "K4":
                array = array[-matched.PROOF_BYTES :]
            if key[2] == "K2":
                array = array.reshape(-1, 64)
            if key[2] == "K3":
                array = array[len(array) // 3 :]
            kept.setdefault(key[2], []).append(np.unpackbits(array, axis=1, bitorder="little"))
    for label, parts in kept.items():
        bits = np.concatenate(parts)
        if label in ("K1r", "K1s"):
            assert not bits[:, 0].any() and not bits[:, 255].any()
            bits = bits[:, 1:255]
        n = len(bits)
        assert np.all(np.abs(bits.sum(axis=0) - n / 2) < 5.5 * np.sqrt(n) / 2 + 1), label


def test_the_order_of_the_sender_s_persons_carries_nothing() -> None:
    """All three lists go in the order of the first, so where an entry stands in one says what the first output is."""
    one, other = (run(Case(SMALL.ids_r, ids, 14, 9)) for ids in (SMALL.ids_s, SMALL.ids_s[::-1]))
    assert np.array_equal(one.array("K3"), other.array("K3"))
    first = [row.tobytes() for row in np.split(one.array("K3"), 3)[0]]
    assert first == sorted(first)


def test_what_the_sender_is_told_does_not_say_where_entries_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which function finds an entry depends on who else is in the receiver's list: here, mostly the last."""
    right, seen = cuckoo.placed, []

    def last_first(at: Array, bins: int) -> Array:
        where = right(np.ascontiguousarray(at[:, ::-1]), bins)
        seen.append(np.count_nonzero(where == at[:, 2]))
        return where

    monkeypatch.setattr(cuckoo, "placed", last_first)
    ran = run(RICH)
    assert is_right(ran, RICH) and seen[0] > 60
    assert len(ran.array("K4")) == (42 + 1 + 7) // 8 + matched.PROOF_BYTES, "a bit for each entry, not for each output"


def test_functions_that_find_are_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the case that has all messages."""
    kept, right = [], kkrt_psi._first

    def seen(elements: Array, number: Array, rows: Array, apart: Array) -> Array:
        kept.append(number)
        return right(elements, number, rows, apart)

    monkeypatch.setattr(kkrt_psi, "_first", seen)
    run(RICH)
    assert set(kept[0].tolist()) == {0, 1}


def test_secrets_do_not_print() -> None:
    own = kkrt_psi._Own(entropy(1, "sender"))
    for secret in (own.transfers, own.nobody, own.free):
        assert str(secret) == "Secret(***)"
    assert "array" not in repr(next(roles(SMALL)["receiver"]))
    assert intersect.UNMATCHED > cuckoo.MAX_ENTRIES and blake2.ROW_LANES == 16
