"""What holds of every intersection of two organisations in which one finds persons: tests that each protocol inherits.

A subclass says which card, which roles and which cases; pytest plays all of this for it. ``label``: each message of its
card (conftest).
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from pets.errors import InternalError, PeerError, PetsError
from pets.kernels import aes, curve, gf128
from pets.protocols import matched
from pets.protocols.base import Array, Binding, Receive, Role, Send
from pets.secret import Secret
from pets.spec.cards import Card
from tests.oracles.intersections import behind_gates, binding, flipped, people, rows_of, sent_as_forecast, with_row
from tests.oracles.play import Key, Transcript, play
from tests.oracles.vole_psi import Case, random_case
from tests.protocols.test_dh_psi import BAD
from tests.protocols.test_helper_join import LENGTHS, altered

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

TWICE = people(1, 2, 3, 2)
SMALL = Case(people(*range(12)), people(*range(9, 16)), 14, 9)


def unaltered(key: Key, array: Array) -> Array:
    return array


def found(ran: Transcript) -> list[int]:
    return ran.outputs["receiver"].places.tolist()  # type: ignore[no-any-return]


def is_right(ran: Transcript, case: Case) -> bool:
    """Places and values of the receiver, and what the sender is told."""
    values, places = ran.outputs["receiver"].values, ran.outputs["sender"]
    told = None if places is None else places.tolist()
    return (found(ran), values.tolist(), told) == (case.oracle(), case.given(), case.told())


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


class Intersecting:
    """``cases``: random ones in a quick run, in two parts. ``rich``: a case that has all messages of the card."""

    card: ClassVar[Card]
    labels: ClassVar[tuple[str, ...]]
    code: ClassVar[ModuleType]
    shape: ClassVar[Callable[[Case], Any]]
    roles: ClassVar[Callable[..., dict[str, Role[Any]]]]
    rich: ClassVar[Case]
    cases: ClassVar[int] = 60
    listed: ClassVar[str]
    """The sender's list."""
    told: ClassVar[str]
    """The word to the sender."""
    points: ClassVar[Mapping[str, int]]
    """Messages that are elements of a group, and how many each has."""
    essential: ClassVar[frozenset[str]]
    """Messages of which no bit can change without ending the run."""
    checked: ClassVar[Mapping[str, str]]
    """Messages that are not seen to be of another run by the list, and where they are."""
    sides: ClassVar[tuple[tuple[str, ...], ...]]
    """What each side sends before it waits for the last round."""

    def run(self, case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = unaltered) -> Transcript:
        return play(self.roles(case, seed), seed=seed, alter=alter)

    def sent_in(self, ran: Transcript) -> dict[str, Array]:
        """Rows of each message that look like chance, of the word to the sender its proof alone."""
        rows = {key[2]: array for key, array in ran.sent}
        if self.told in rows:
            rows[self.told] = rows[self.told][-matched.PROOF_BYTES :].reshape(1, -1)
        return rows

    def bits_in(self, label: str, rows: Array) -> Array:
        """Bits of a message, place by place, that are to be even."""
        rows = rows.reshape(-1, 1) if label == self.told else rows
        return np.unpackbits(rows, axis=1, bitorder="little")

    # the functionality

    @pytest.mark.parametrize("part", [0, 1])
    def test_places_and_bytes_are_those_of_sets_and_of_the_card(self, part: int) -> None:
        for seed in range(part, self.cases, 2):
            case = random_case(seed)
            ran = self.run(case, seed)
            assert is_right(ran, case), seed
            assert ran.bytes() == self.card.cost.bytes.evaluate(self.card.names(case.public())), seed

    @pytest.mark.long
    @pytest.mark.parametrize("first", range(10_000, 110_000, 500))
    def test_places_are_those_of_sets_a_hundred_thousand_times(self, first: int) -> None:
        cases = ((seed, random_case(seed)) for seed in range(first, first + 500))
        assert not [seed for seed, case in cases if not is_right(self.run(case, seed), case)]

    @pytest.mark.parametrize("name", EDGES)
    def test_edges(self, name: str) -> None:
        case = EDGES[name]
        for each in (case, replace(case, values=(tuple(range(len(case.ids_s))),), both=1)):
            assert is_right(self.run(each), each)

    def test_all_back_ends_send_the_same_bytes(self) -> None:
        sent = []
        for number in range(max(len(module.features()) for module in (aes, gf128, curve))):
            for module in (aes, gf128, curve):
                module.select(module.features()[min(number, len(module.features()) - 1)])
            ran = sorted(self.run(self.rich).sent, key=lambda each: each[0])
            sent.append([(key, array.tobytes()) for key, array in ran])
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
    def test_what_the_receiver_brings_is_refused_before_anything_is_sent(self, case: Case) -> None:
        with pytest.raises(InternalError):
            next(self.roles(case)["receiver"])

    def test_what_the_sender_brings_is_refused_before_anything_of_it_is_sent(self) -> None:
        """Equal persons are noticed when all is computed: what has left by then does not depend on them."""
        for case in (Case(people(1), people(1, 2), 1, 1), Case([], [b"a", b""], 1, 2, (20, 20))):
            with pytest.raises(InternalError):
                next(self.roles(case)["sender"])
        sent: list[str] = []

        def alter(key: Key, array: Array) -> Array:
            sent.append(key[2])
            return array

        with pytest.raises(InternalError, match="person twice"):
            self.run(Case(people(1), TWICE, 1, 4), alter=alter)
        assert self.listed not in sent

    def test_wrong_numbers_of_bytes_and_shapes_are_our_bugs(self) -> None:
        for role in (self.code.receiver, self.code.sender):
            for short in (0, self.code.ENTROPY_BYTES - 1, self.code.ENTROPY_BYTES + 1):
                with pytest.raises(ValueError, match="draws"):
                    next(role(self.shape(SMALL), rows_of([b"1"], 10), binding(1), Secret(bytes(short))))
            whole = Secret(bytes(self.code.ENTROPY_BYTES))
            with pytest.raises(InternalError):
                next(role(self.shape(SMALL), rows_of([b"1"], 14), binding(1), whole))

    # code, gate and card

    @pytest.mark.parametrize("seed", range(6))
    def test_what_is_sent_is_what_gate_and_forecast_say(self, seed: int) -> None:
        case = random_case(seed)
        outputs = sent_as_forecast(self.card, case.public(), self.roles(case, seed), seed)
        assert outputs["receiver"].places.tolist() == case.oracle()

    def test_rounds_of_the_card_are_rounds_of_the_code(self) -> None:
        """What goes before a party waits for something of the round before: each message as early as the card says."""
        rounds = {message.label: message.round for message in self.card.messages}
        said = [self.card.cost.rounds.evaluate(self.card.names(case.public())) for case in (SMALL, self.rich)]
        assert said == [3, max(rounds.values())]
        assert rounds_of(self.roles(self.rich)) == rounds

    @pytest.mark.parametrize(
        ("n_r", "n_s", "t"),
        [(0, 0, 6), (1, 1, 6), (2**20, 1, 11), (1, 2**20, 11), (10**7, 10**7, 12), (2**26 - 1, 1, 12)],
    )
    def test_outputs_are_as_wide_as_the_bound_of_the_card_needs(self, n_r: int, n_s: int, t: int) -> None:
        """Wrong matches at most 2^-44, equal outputs in one list of either side 2^-45: README, what can go wrong."""
        names = self.card.names({"n_r": n_r, "n_s": n_s})
        r, s = names["n_list_r"], names["n_list_s"]
        assert names["t"] == t
        assert r * s * 2**44 <= 2 ** (8 * t) and max(r, s) ** 2 * 2**44 <= 2 ** (8 * t)

    # peers that send something else

    @pytest.mark.parametrize("name", BAD)
    def test_every_bad_encoding_is_refused_with_message_and_place(self, name: str) -> None:
        for label, count in self.points.items():
            for place in (0, count - 1):
                with pytest.raises(PeerError) as caught:
                    self.run(SMALL, alter=altered(label, with_row(place, BAD[name])))
                assert caught.value.code == "peer.element"
                assert caught.value.fields == {"label": label, "place": place}

    @pytest.mark.parametrize("what", LENGTHS)
    def test_a_wrong_count_is_refused_before_it_is_read(self, label: str, what: str) -> None:
        with pytest.raises(PeerError) as caught:
            roles = behind_gates(self.card, self.rich.public(), self.roles(self.rich))
            play(roles, alter=altered(label, LENGTHS[what]))
        assert caught.value.code == "peer.bad-length"

    @pytest.mark.parametrize("flips", [6, pytest.param(200, marks=pytest.mark.long)])
    def test_a_bit_that_flips_never_makes_a_match(self, label: str, flips: int) -> None:
        """It ends the run, or some matches are missing, or it is where nobody looks."""
        rng, case, ends = random.Random(f"{label} {flips}"), self.rich, set()
        right = case.oracle()
        given = dict(zip(right, zip(*case.given(), strict=True), strict=True))
        for _ in range(flips):
            try:
                ran = self.run(case, alter=altered(label, flipped(rng.getrandbits(40))))
            except PetsError as error:
                assert error.code in ("peer.element", "peer.other-set", "peer.tags", "peer.check"), label
                ends.add(error.code)
            else:
                at, values = found(ran), ran.outputs["receiver"].values.T.tolist()
                told = ran.outputs["sender"].tolist()
                assert set(at) <= set(right) and values == [list(given[place]) for place in at]
                assert {case.ids_s[place] for place in told} == {case.ids_r[place] for place in at}
                ends.add("some")
        assert ends, label
        if label in self.essential:
            assert "some" not in ends, "what all rests on"

    def of_another_run(self, labels: tuple[str, ...]) -> None:
        other = play(self.roles(self.rich, 2))

        def alter(key: Key, array: Array) -> Array:
            return other.array(key[2]) if key[2] in labels else array

        with pytest.raises(PeerError) as caught:
            self.run(self.rich, alter=alter)
        where = self.checked.get(labels[0])
        expected = ("peer.check", where) if where else ("peer.other-set", self.listed)
        assert (caught.value.code, caught.value.fields) == (expected[0], {"label": expected[1]})

    def test_messages_of_another_run_give_no_answer(self, label: str) -> None:
        """Of the same specification, even; a link lets no frame of another run in, and this is without a link."""
        self.of_another_run((label,))

    def test_all_messages_of_a_side_of_another_run_give_no_answer(self) -> None:
        for labels in self.sides:
            self.of_another_run(labels)

    def test_parties_of_two_specifications_or_runs_have_nothing_in_common(self) -> None:
        one, other = binding(1), binding(2)
        for tied in (
            other,
            Binding(digest=one.digest, run_id=other.run_id),
            Binding(digest=other.digest, run_id=one.run_id),
        ):
            with pytest.raises(PeerError) as caught:
                play(
                    {
                        "receiver": self.roles(SMALL, tied=one)["receiver"],
                        "sender": self.roles(SMALL, tied=tied)["sender"],
                    }
                )
            assert caught.value.code == "peer.other-set"

    # what each side gets

    def test_traffic_follows_from_declared_sizes_alone(self) -> None:
        assert len({str(self.run(case).shape_of_traffic()) for case in INPUTS.values()}) == 1

    def test_two_runs_of_the_same_sets_share_nothing(self) -> None:
        """Under one specification, of the same persons: no row of any message comes again."""
        seen: dict[str, set[bytes]] = {label: set() for label in self.labels}
        for seed in (1, 2, 3):
            tied = Binding(digest=bytes(32), run_id=bytes([seed]) * 32)
            for label, array in self.sent_in(play(self.roles(self.rich, seed, tied=tied))).items():
                rows = {row.tobytes() for row in array}
                assert len(rows) == len(array) and not rows & seen[label], label
                seen[label] |= rows

    @pytest.mark.parametrize("name", INPUTS)
    def test_bits_of_all_messages_are_even(self, name: str) -> None:
        """Within 5.5 standard deviations, which one honest run in a million exceeds; but for two bits of a point."""
        kept: dict[str, list[np.ndarray]] = {}
        for seed in range(5):
            for label, rows in self.sent_in(self.run(INPUTS[name], seed)).items():
                kept.setdefault(label, []).append(self.bits_in(label, rows))
        for label, parts in kept.items():
            bits = np.concatenate(parts)
            if label in self.points:
                assert not bits[:, 0].any() and not bits[:, 255].any()
                bits = bits[:, 1:255]
            n = len(bits)
            assert np.all(np.abs(bits.sum(axis=0) - n / 2) < 5.5 * np.sqrt(n) / 2 + 1), label

    def test_the_order_of_the_sender_s_persons_carries_nothing(self) -> None:
        one, other = (self.run(Case(SMALL.ids_r, ids, 14, 9)) for ids in (SMALL.ids_s, SMALL.ids_s[::-1]))
        assert np.array_equal(one.array(self.listed), other.array(self.listed))
        rows = [row.tobytes() for row in one.array(self.listed)[: SMALL.n_s + 1]]
        assert rows == sorted(rows)

    def test_secrets_do_not_print(self) -> None:
        own = self.code.Own(Secret(bytes(self.code.ENTROPY_BYTES)))
        assert {str(secret) for secret in vars(own).values()} == {"Secret(***)"}
        assert "array" not in repr(next(self.roles(SMALL)["receiver"]))
