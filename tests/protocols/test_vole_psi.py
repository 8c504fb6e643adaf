"""vole_psi against sets of Python, its card, and peers that send what no honest one does."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, PeerError, PetsError, RunError
from pets.kernels import aes, binned, curve, gf128, vole
from pets.protocols import matched, vole_psi
from pets.protocols.base import Array, Binding, Receive, Role, Send
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
from tests.oracles.play import Key, Transcript, play
from tests.oracles.vole_psi import CARD, Case, entropy, random_case, roles, shape
from tests.protocols.test_dh_psi import BAD
from tests.protocols.test_helper_join import LENGTHS, altered

LABELS = [message.label for message in CARD.messages]


pytestmark = pytest.mark.usefixtures("fastest")


def run(case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


def found(ran: Transcript) -> list[int]:
    return ran.outputs["receiver"].places.tolist()  # type: ignore[no-any-return]


def is_right(ran: Transcript, case: Case) -> bool:
    """Places and values of the receiver, and what the sender is told."""
    values, places = ran.outputs["receiver"].values, ran.outputs["sender"]
    told = None if places is None else places.tolist()
    return (found(ran), values.tolist(), told) == (case.oracle(), case.given(), case.told())


SMALL = Case(people(*range(12)), people(*range(9, 16)), 14, 9)
RICH = replace(SMALL, values=(tuple(range(7)), (2**64 - 1, *range(6)), (0,) * 7), both=1)
"""All messages of the card."""


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 60, 30))
def test_places_and_bytes_are_those_of_sets_and_of_the_card(first: int) -> None:
    for seed in range(first, first + 30):
        case = random_case(seed)
        ran = run(case, seed)
        assert is_right(ran, case), seed
        assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(case.public())), seed


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 110_000, 500))
def test_places_are_those_of_sets_a_hundred_thousand_times(first: int) -> None:
    cases = ((seed, random_case(seed)) for seed in range(first, first + 500))
    assert not [seed for seed, case in cases if not is_right(run(case, seed), case)]


def test_the_random_cases_are_of_every_kind() -> None:
    cases = [random_case(seed) for seed in range(1000)]
    sets = [(len(case.ids_r), len(case.ids_s), case) for case in cases]
    assert {(0, 0), (1, 1000), (1000, 1), (0, 1000)} <= {(r, s) for r, s, _ in sets}
    assert any(r > s > 0 for r, s, _ in sets) and any(s > r > 0 for r, s, _ in sets)
    assert any(len(case.oracle()) == r == s > 5 for r, s, case in sets)
    assert any(not case.oracle() and r and s for r, s, case in sets)
    assert any(case.n_r == r for r, _, case in sets) and any(max(case.width) > 13 for case in cases)
    assert {(len(case.values), case.both) for case in cases} == {(p, both) for p in (0, 1, 2, 5) for both in (0, 1)}


EDGES = {
    "nobody, none declared": Case([], [], 0, 0),
    "nobody at the receiver": Case([], people(1, 2), 5, 2),
    "nobody at the sender": Case(people(1, 2), [], 2, 5),
    "one and the same": Case(people(1), people(1), 1, 1),
    "two others": Case(people(1), people(2), 1, 1),
    "one against a thousand": Case(people(500), people(*range(1000)), 1, 1000),
    "a thousand against one": Case(people(*range(1000)), people(500), 1000, 1),
    "all the same": Case(people(*range(40)), people(*range(39, -1, -1)), 40, 40),
    "more declared by far": Case(people(1, 2), people(2, 3), 900, 2),
    "hashed, of other widths": Case([b"a", b"x" * 40], [b"x" * 40, b"a", b"xa"], 2, 3, (40, 64)),
    "an identifier that others begin with": Case([b"1"], [b"11", b"10", b"1"], 1, 3),
    "identifiers that look like entries of nobody": Case([b"\x06", b"\x02"], [b"\x07", b"\x02"], 2, 3),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    case = EDGES[name]
    for each in (case, replace(case, values=(tuple(range(len(case.ids_s))),), both=1)):
        assert is_right(run(each), each)


@pytest.mark.parametrize("count", [2**14 - 1, 2**14, 2**14 + 1, 2**16 - 1, 2**16])
def test_sizes_about_those_at_which_tables_change(count: int) -> None:
    """A list of 2^16 entries and one is the first with two bins."""
    rng = random.Random(count)
    mine, theirs = (rng.sample(range(2 * count), count) for _ in range(2))
    case = Case(people(*mine), people(*theirs[: count // 3]), count, count // 3)
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


TWICE = people(1, 2, 3, 2)


def test_what_the_receiver_brings_is_refused_before_anything_is_sent() -> None:
    for case in (
        Case(people(1, 2), people(1), 1, 1),
        Case(TWICE, people(1), 4, 1),
        Case([b"a", b""], [], 2, 1, (20, 20)),
    ):
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
    assert "V6" not in sent


def test_wrong_numbers_of_bytes_and_shapes_are_our_bugs() -> None:
    for role in (vole_psi.receiver, vole_psi.sender):
        for short in (0, vole_psi.ENTROPY_BYTES - 1, vole_psi.ENTROPY_BYTES + 1):
            with pytest.raises(ValueError, match="draws"):
                next(role(shape(SMALL), rows_of([b"1"], 10), binding(1), Secret(bytes(short))))
        with pytest.raises(InternalError):
            next(role(shape(SMALL), rows_of([b"1"], 14), binding(1), entropy(1, "sender")))


def test_a_table_that_cannot_be_written_ends_the_run_and_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def never(hashes: Array, *more: object) -> Array:
        tried.append(len(hashes))
        raise binned.Unsolvable("too many keys of a bin are left aside")

    monkeypatch.setattr(binned, "write", never)
    with pytest.raises(RunError) as caught:
        next(roles(SMALL)["receiver"])
    assert caught.value.code == "run.table" and tried == [15]


def test_outputs_that_are_equal_by_chance_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vole_psi._outputs
    monkeypatch.setattr(vole_psi, "_outputs", lambda read, width, tied: right(read, width, tied) & np.uint8(1))
    with pytest.raises(RunError) as caught:
        run(SMALL)
    assert caught.value.code == "run.table"


# -- code, gate and card ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_what_is_sent_is_what_gate_and_forecast_say(seed: int) -> None:
    case = random_case(seed)
    outputs = sent_as_forecast(CARD, case.public(), roles(case, seed), seed)
    assert outputs["receiver"].places.tolist() == case.oracle()


def rounds_of(parts: dict[str, Role[Any]]) -> dict[str, int]:
    """In which round each message leaves, all that arrived in the one before having been taken."""
    arrived: dict[str, dict[str, Array]] = {name: {} for name in parts}
    turn = 0
    wishes: dict[str, Receive | None] = dict.fromkeys(parts)
    seen: dict[str, int] = {}
    while parts:
        turn, leaving = turn + 1, []
        for name, part in list(parts.items()):
            try:
                while True:
                    wish, answer = wishes[name], None
                    if wish is not None:
                        if wish.label not in arrived[name]:
                            break
                        answer = arrived[name].pop(wish.label)
                    act = part.send(answer)
                    wishes[name] = act if isinstance(act, Receive) else None
                    if isinstance(act, Send):
                        seen[act.label] = turn
                        leaving.append(act)
            except StopIteration:
                del parts[name]
        for act in leaving:
            arrived[act.to][act.label] = act.array
    return seen


def test_rounds_of_the_card_are_rounds_of_the_code() -> None:
    """What goes before a party waits for something of the round before: each message as early as the card says."""
    rounds = {message.label: message.round for message in CARD.messages}
    assert [CARD.cost.rounds.evaluate(CARD.names(case.public())) for case in (SMALL, RICH)] == [3, max(rounds.values())]
    assert rounds_of(roles(RICH)) == rounds


def test_sizes_on_the_card_are_those_of_the_kernels() -> None:
    rng = random.Random(1)
    some = [
        *range(300),
        2**16 - 2,
        2**16 - 1,
        2**16,
        2**17,
        2**20,
        2**26 - 1,
        *(rng.randrange(2**26) for _ in range(300)),
    ]
    for n in some:
        names, size = CARD.names({"n_r": n, "n_s": 1}), binned.Size(n + 1)
        vector = vole.Shape(size.slots)
        assert (names["slots"], names["leaves"], names["transfers"]) == (size.slots, vector.leaves, vector.transfers)


@pytest.mark.parametrize(
    ("n_r", "n_s", "t"), [(0, 0, 6), (1, 1, 6), (2**20, 1, 11), (1, 2**20, 11), (10**7, 10**7, 12), (2**26 - 1, 1, 12)]
)
def test_outputs_are_as_wide_as_the_bound_of_the_card_needs(n_r: int, n_s: int, t: int) -> None:
    """Wrong matches, and equal outputs in one list, at most 2^-44, 2^-45 and 2^-45: README, what can go wrong."""
    names = CARD.names({"n_r": n_r, "n_s": n_s})
    r, s = names["n_list_r"], names["n_list_s"]
    assert names["t"] == t
    assert r * s * 2**44 <= 2 ** (8 * t) and max(r, s) ** 2 * 2**44 <= 2 ** (8 * t)


def test_all_chances_add_up_to_less_than_the_card_says() -> None:
    """In units of 2^-40: bins, law and pairs of tables (docs/adr/0032); matches and equal outputs."""
    tables, wrong, equal = 2**-2 + 2**-1 + 2**-8, 2**-4, 2 * 2**-5
    assert (CARD.cost.wrong_result, CARD.cost.abort) == ("2^-43", "2^-40")
    assert wrong < 2**-3 and tables + equal < 1 and tables + wrong + equal < 1


def test_bytes_of_a_million_on_each_side() -> None:
    names = CARD.names({"n_r": 2**20, "n_s": 2**20})
    assert CARD.cost.bytes.evaluate(names) == 33_912_187 < 34e6


# -- peers that send something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["V1r", "V1s"])
@pytest.mark.parametrize("name", BAD)
def test_every_bad_encoding_is_refused_with_message_and_place(label: str, name: str) -> None:
    for place in {"V1r": (0, 1), "V1s": (0, 255)}[label]:
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


@pytest.mark.parametrize("name", TAGS)
def test_outputs_that_are_not_sorted_are_refused(name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered("V6", TAGS[name]))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "V6")


@pytest.mark.parametrize("flips", [12, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("label", LABELS)
def test_a_bit_that_flips_never_makes_a_match(label: str, flips: int) -> None:
    """It ends the run, or some matches are missing, or it is where nobody looks."""
    rng, right, ends = random.Random(f"{label} {flips}"), RICH.oracle(), set()
    for _ in range(flips):
        try:
            ran = run(RICH, alter=altered(label, flipped(rng.getrandbits(40))))
        except PetsError as error:
            assert error.code in ("peer.element", "peer.other-set", "peer.tags", "peer.check"), label
            ends.add(error.code)
        else:
            at, values, told = found(ran), ran.outputs["receiver"].values.tolist(), ran.outputs["sender"].tolist()
            given = dict(zip(right, zip(*RICH.given(), strict=True), strict=True))
            assert set(at) <= set(right) and values == [
                list(column) for column in zip(*map(given.get, at), strict=True)
            ]
            assert [RICH.ids_s[place] for place in told] == [RICH.ids_r[place] for place in at]
            ends.add("some")
    assert ends, label
    if label in ("V5r", "V1r", "V7"):
        assert "some" not in ends, "what all rests on"


@pytest.mark.parametrize(
    "labels", [*((label,) for label in LABELS), ("V1r", "V5r", "V5", "V2", "V3"), ("V1s", "V4", "V4c", "V6", "V6p")]
)
def test_messages_of_another_run_give_no_answer(labels: tuple[str, ...]) -> None:
    """Of the same specification, even; a link lets no frame of another run in, and this is without a link."""
    other = play(roles(RICH, 2))

    def alter(key: Key, array: Array) -> Array:
        return other.array(key[2]) if key[2] in labels else array

    expected = ("peer.check", labels[0]) if labels[0] in ("V6p", "V7") else ("peer.other-set", "V6")
    with pytest.raises(PeerError) as caught:
        run(RICH, alter=alter)
    assert (caught.value.code, caught.value.fields) == (expected[0], {"label": expected[1]})


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

INPUTS = {
    "all in common": Case(people(*range(30)), people(*range(30)), 30, 40),
    "nobody in common": Case(people(*range(30)), people(*range(100, 130)), 30, 40),
    "nobody at all": Case([], [], 30, 40),
    "others": Case(people(*range(500, 520)), people(*range(510, 550)), 30, 40, (12, 11)),
}
INPUTS = {
    name: replace(case, values=((2**40,) * len(case.ids_s), tuple(range(len(case.ids_s)))), both=1)
    for name, case in INPUTS.items()
}


def test_traffic_follows_from_declared_sizes_alone() -> None:
    assert len({str(run(case).shape_of_traffic()) for case in INPUTS.values()}) == 1


def test_two_runs_of_the_same_sets_share_nothing() -> None:
    """Under one specification, of the same persons: no row of any message comes again."""
    seen: dict[str, set[bytes]] = {label: set() for label in LABELS}
    for seed in (1, 2, 3):
        for key, array in play(roles(RICH, seed, tied=Binding(digest=bytes(32), run_id=bytes([seed]) * 32))).sent:
            if key[2] == "V7":  # bytes of bits
                array = array[-matched.PROOF_BYTES :].reshape(1, -1)
            rows = {row.tobytes() for row in array}
            assert len(rows) == len(array) and not rows & seen[key[2]], key
            seen[key[2]] |= rows


@pytest.mark.parametrize("name", INPUTS)
def test_bits_of_all_messages_are_even(name: str) -> None:
    """Within 5.5 standard deviations, which one honest run in a million exceeds; but for two bits of a point."""
    kept: dict[str, list[np.ndarray]] = {}
    for seed in range(8):
        for key, array in run(INPUTS[name], seed).sent:
            if key[2] == "V7":
                array = array[-matched.PROOF_BYTES :]
            kept.setdefault(key[2], []).append(np.unpackbits(array, axis=1, bitorder="little"))
    for label, parts in kept.items():
        bits = np.concatenate(parts)
        if label in ("V1r", "V1s"):
            assert not bits[:, 0].any() and not bits[:, 255].any()
            bits = bits[:, 1:255]
        n = len(bits)
        assert np.all(np.abs(bits.sum(axis=0) - n / 2) < 5.5 * np.sqrt(n) / 2 + 1), label


def test_the_order_of_the_sender_s_persons_carries_nothing() -> None:
    one, other = (run(Case(SMALL.ids_r, ids, 14, 9)) for ids in (SMALL.ids_s, SMALL.ids_s[::-1]))
    assert np.array_equal(one.array("V6"), other.array("V6"))
    listed_ = [row.tobytes() for row in one.array("V6")]
    assert listed_ == sorted(listed_)


def test_secrets_do_not_print() -> None:
    own = vole_psi.Own(entropy(1, "sender"))
    for secret in (own.transfers, own.vector, own.table, own.nobody):
        assert str(secret) == "Secret(***)"
    assert "array" not in repr(next(roles(SMALL)["receiver"]))
