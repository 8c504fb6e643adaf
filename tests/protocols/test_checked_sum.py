"""checked_sum: sums are those of integers, what is not valid ends the run with its name, messages are the card's.

The check itself is tested in test_checked_inputs.py.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import PeerError, PetsError
from pets.ids import PartyId
from pets.kernels import prf
from pets.party.gate import Gate, project
from pets.protocols import checked_inputs, contributions
from pets.protocols import checked_sum as cs
from pets.protocols.base import Binding, Role, Send
from pets.protocols.checked_inputs import Uploads, circuit_of, measurement_of
from pets.protocols.contributions import Agreement
from pets.protocols.inbox import Inbox
from pets.secret import Secret
from pets.spec.cards import Card, load_cards, parse_card
from pets.spec.term import INDEX
from tests.oracles.checked_sum import Case, CheckedReading, Run, random_case, read, roles
from tests.oracles.gated import gated
from tests.oracles.mistaken import Change, mistaken
from tests.oracles.play import Array, Key, Transcript, play
from tests.oracles.secure_sum import TIED, family, stopping, stream, words_of
from tests.oracles.terms import Meaningless
from tests.protocols.test_terms import compared, edits, terms_of, text_of, with_term
from tests.thinned import thinned

SMALL = Case([[5, 0, 7], [2, 9, 2], [1, 0, 3]], [[1, 0, 0], [0, -10, 0], [0, 0, 3]], 9)
COUNT = Case([[1], [0], [1]], [[-4], [1]])
CELLS = Case([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], [[0, 2, 0, 0], [0, 0, -1, 0]], one_cell=True)
KINDS = {"vector": SMALL, "count": COUNT, "cells": CELLS}
EVERY = pytest.mark.parametrize("case", KINDS.values(), ids=KINDS)


def played(case: Case, seed: int = 1, **kept: Any) -> Transcript:
    return play(roles(case, seed), seed=seed, lost=[f"input{n + 1}" for n in range(len(case.values))], **kept)


def refusal(case: Case, **kept: Any) -> PetsError:
    """The run ends with this refusal, and no final share was sent by who noticed."""
    with pytest.raises(PetsError) as caught:
        played(case, **kept)
    return caught.value


# -- sums -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_the_sum_is_that_of_integers(seed: int) -> None:
    case = random_case(seed)
    done = played(case, seed)
    found = done.outputs["result"]
    assert found.total == case.oracle()
    assert found.present.tolist() == case.present()
    assert found.took_part == sum(case.present()) >= case.minimum
    assert all(done.outputs[name].present.tolist() == case.present() for name in case.shape.servers)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_sum_is_that_of_integers_10_000_times() -> None:
    for seed in range(10_000):
        case = random_case(seed + 10**6, length=6)
        found = played(case, seed).outputs["result"]
        assert (found.total, found.present.tolist()) == (case.oracle(), case.present()), seed


@EVERY
@pytest.mark.parametrize("at", range(2))
def test_who_is_missing_at_one_computing_party_counts_nowhere(case: Case, at: int) -> None:
    lacking = replace(case, missing=frozenset({(1, at)}))
    found = played(lacking).outputs["result"]
    assert (found.total, found.present.tolist()) == (lacking.oracle(), [True, False, True])


def test_unequal_lists_end_the_run_where_they_have_to_be_equal() -> None:
    case = replace(SMALL, missing=frozenset({(1, 0)}), agreement=Agreement.EQUAL)
    assert refusal(case).code == "peer.lists"


def test_too_few_contributors_and_nothing_is_verified() -> None:
    sent: list[str] = []
    case = replace(SMALL, missing=frozenset({(1, 0), (2, 2)}))
    error = refusal(case, alter=lambda key, array: (sent.append(key[2]), array)[1])
    assert (error.code, error.fields) == ("run.contributors", {"took": 1, "minimum": 2})
    assert not [label for label in sent if label[0] in "FTV"]


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("who", range(3))
def test_an_input_party_that_stops_while_it_uploads_counts_only_if_it_was_done(who: int, after: int) -> None:
    parts = roles(SMALL)
    me = f"input{who + 1}"
    parts[me] = stopping(parts[me], after)
    found = play(parts, lost=[me]).outputs["result"]
    done = after == 4
    rest = SMALL if done else replace(SMALL, missing=frozenset({(who, 0)}))
    assert (found.total, found.present.tolist()) == (rest.oracle(), rest.present())


@pytest.mark.parametrize("wrong", [{"minimum": 1}, {"minimum": 4}, {"computing": 1}, {"holders": 1}])
def test_a_shape_that_would_show_a_vector_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(PetsError):
        replace(SMALL.shape, **wrong)


# -- what is not valid ------------------------------------------------------------------------------------------------


def cheating(case: Case, number: int, encoded: Array, seed: int = 1) -> dict[str, Role[Any]]:
    """All roles of a case, one of which proves as well as it can what it encodes by itself."""
    shape, parts = case.shape, roles(case, seed)

    def false() -> Role[None]:
        split = cs.split

        def of_encoded(shape: Any, number: int, measurement: Any, tied: Binding, drawn: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:
                own = type(shape.prio)
                patch.setattr(own, "shard", lambda prio, c, _, n, r: prio.split(c, encoded[None], n, r))
                return split(shape, number, measurement, tied, drawn)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cs, "split", of_encoded)
            acts = list(cs.input_party(shape, number, words_of(case.values[number]), TIED, stream(seed, "cheat")))
        yield from acts

    parts[f"input{number + 1}"] = false()
    return parts


def encoded(case: Case, numbers: Sequence[int]) -> Array:
    """Numbers, modulo the prime, as elements."""
    return case.shape.circuit.prime.array([number % case.shape.circuit.prime.modulus for number in numbers])


FALSE: dict[str, tuple[Case, list[int]]] = {
    "count of 2": (COUNT, [2]),
    "count of -1": (COUNT, [-1]),
    "two cells": (CELLS, [0, 1, 1, 0]),
    "no cell": (CELLS, [0, 0, 0, 0]),
    "a cell of 2 less one of 1": (CELLS, [2, -1, 0, 0]),
    "a bit of 2": (SMALL, [2] + [0] * 11),
    "a bit of -1": (SMALL, [0] * 11 + [-1]),
}


def kept(who: str, role: Role[Any], failed: dict[str, PetsError]) -> Role[Any]:
    """Play a role, and keep what it is refused with."""
    try:
        return (yield from role)
    except PetsError as refused:
        failed[who] = refused
        return None


@pytest.mark.parametrize("name", FALSE)
@pytest.mark.parametrize("number", [0, 2])
def test_a_false_vector_ends_the_run_with_its_name_and_nothing_is_opened(name: str, number: int) -> None:
    """Whoever proves it: it is found by every computing party, and by none later than the others."""
    case, numbers = FALSE[name]
    failed: dict[str, PetsError] = {}
    sent: list[str] = []
    parts = {who: kept(who, role, failed) for who, role in cheating(case, number, encoded(case, numbers)).items()}
    del parts["result"]
    play(parts, alter=lambda key, array: (sent.append(key[2]), array)[1])
    assert set(failed) == set(case.shape.servers)
    assert {(error.code, error.fields["peer"]) for error in failed.values()} == {("peer.proof", f"input{number + 1}")}
    assert not [label for label in sent if label[0] in "FT"]


# -- what is not valid is left out ------------------------------------------------------------------------------------


def left_out(case: Case) -> Case:
    return replace(case, unproved=cs.Unproved.LEAVE_OUT)


def rest_of(case: Case, number: int) -> tuple[int, ...]:
    """What the others' vectors and all noise add up to."""
    rows = [row for n, row in enumerate(case.values) if n != number] + case.noise
    return tuple(sum(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("name", FALSE)
@pytest.mark.parametrize("number", [0, 2])
def test_a_false_vector_is_left_out_and_named_by_all(name: str, number: int) -> None:
    case, numbers = FALSE[name]
    done = play(cheating(left_out(case), number, encoded(case, numbers)))
    found, others = done.outputs["result"], [n != number for n in range(3)]
    assert (found.total, found.present.tolist()) == (rest_of(case, number), others)
    for who in case.shape.servers:
        counted = done.outputs[who]
        assert counted.present.tolist() == others
        assert counted.unproved.tolist() == [not other for other in others]


@pytest.mark.parametrize("name", FALSE)
def test_where_too_few_are_left_nothing_is_opened(name: str) -> None:
    case, numbers = FALSE[name]
    sent: list[str] = []
    with pytest.raises(PeerError) as caught:
        play(
            cheating(replace(left_out(case), minimum=3), 1, encoded(case, numbers)),
            alter=lambda key, array: (sent.append(key[2]), array)[1],
        )
    assert (caught.value.code, caught.value.fields["peer"]) == ("peer.proof", "input2")
    assert not [label for label in sent if label[0] in "FT"]


THREE = replace(left_out(CELLS), noise=[*CELLS.noise, [0] * 4])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", ["server1", "server2", "last"])
def test_whatever_is_wrong_with_an_upload_all_leave_out_the_same(kind: str, to: str) -> None:
    """Each byte of what one of three computing parties is handed: a lie of its sender, or of that party about it.

    A hash that was told wrongly is found by some parties and not by others, if each looks at its own share alone.
    """
    case = left_out({"vector": SMALL, "count": replace(COUNT, noise=[*COUNT.noise, [0]]), "cells": THREE}[kind])
    label = {"server1": "Us2x1", "server2": "Us2x2", "last": "Um2"}[to]
    size = case.shape.last_head if to == "last" else case.shape.server_head
    for at in range(checked_inputs.MARK_BYTES, size, 1 if kind == "count" else 8):
        done = play(roles(case), alter=changing(label, at))
        found = done.outputs["result"]
        assert (found.total, found.present.tolist()) == (rest_of(case, 1), [True, False, True]), at
        assert all(done.outputs[who].unproved.tolist() == [False, True, False] for who in case.shape.servers)


def test_hashes_that_are_told_wrongly_to_all_alike_are_found_by_all() -> None:
    """Each party replaces the hash of its own share by the right one: it would find nothing wrong by that alone."""
    first = checked_inputs.MARK_BYTES
    for share in range(3):

        def alter(key: Key, array: Array, share: int = share) -> Array:
            return changing(key[2], first + 32 * share)(key, array) if key[2] in ("Us2x1", "Us2x2", "Um2") else array

        done = play(roles(THREE), alter=alter)
        assert done.outputs["result"].total == rest_of(CELLS, 1)
        assert all(done.outputs[who].unproved.tolist() == [False, True, False] for who in THREE.shape.servers)


@pytest.mark.parametrize("label", ["Vs2x1", "Va2", "Vb1"])
def test_who_shows_two_parties_other_verifiers_lets_neither_send_a_share(label: str) -> None:
    """One of the two would leave out an input party, the other would not. They hear it from each other."""
    failed: dict[str, PetsError] = {}
    sent: list[str] = []
    parts = {who: kept(who, role, failed) for who, role in roles(THREE).items() if who != "result"}
    at = 2 * THREE.shape.verifier_bytes - 40
    play(parts, lost=parts, alter=lambda key, array: (sent.append(key[2]), changing(label, at)(key, array))[1])
    assert {who: error.code for who, error in failed.items()} == dict.fromkeys(THREE.shape.servers, "peer.lists")
    assert not [each for each in sent if each[0] in "FT"]


def test_who_encodes_rightly_is_not_taken_for_a_cheat() -> None:
    """What the test above does, with what is valid."""
    found = play(cheating(CELLS, 1, encoded(CELLS, [0, 0, 1, 0]))).outputs["result"]
    assert found.total == tuple(a + b for a, b in zip(CELLS.oracle(), (-1, 0, 1, 0), strict=True))


def test_an_upload_for_another_bound_ends_the_run() -> None:
    """Of the same sizes: what is valid for 15 is not for 9."""
    other = replace(SMALL, greatest=15)
    theirs = list(roles(other)["input2"])
    assert all(isinstance(act, Send) for act in theirs)
    parts = roles(SMALL) | {"input2": (act for act in theirs)}
    with pytest.raises(PeerError) as caught:
        play(parts)
    assert (caught.value.code, caught.value.fields["peer"]) == ("peer.proof", "input2")


@EVERY
def test_vectors_out_of_their_bounds_are_not_even_proved(case: Case) -> None:
    wrong = {"vector": [10, 0, 0], "count": [2], "cells": [1, 1, 0, 0]}
    kind = next(name for name, each in KINDS.items() if each is case)
    for values in (wrong[kind], [2**64 - 1] * len(wrong[kind])):
        with pytest.raises(ValueError, match="range"):
            next(cs.input_party(case.shape, 0, words_of(values), TIED, stream(1, "x")))
    for none in (np.zeros(9, np.uint64), np.zeros(len(wrong[kind]), np.int64)):
        with pytest.raises(PetsError, match="another length"):
            measurement_of(case.shape.circuit, none)  # type: ignore[arg-type]
    if kind == "cells":
        with pytest.raises(ValueError, match="range"):
            measurement_of(case.shape.circuit, np.zeros(4, np.uint64))


# -- changed messages -------------------------------------------------------------------------------------------------


def changing(label: str, at: int = 0) -> Any:
    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        other = array.copy()
        other.reshape(-1)[at] ^= other.dtype.type(1)
        return other

    return alter


@pytest.mark.parametrize(
    "label", ["Ls1x2", "La1", "Lb2", "Cs2x1", "Ca2", "Cb1", "Vs2x1", "Wa1", "Wb2", "Ws1x2", "Ts1", "Ts2", "Tl"]
)
def test_lists_that_differ_end_the_run(label: str) -> None:
    assert refusal(SMALL, alter=changing(label)).code == "peer.lists"


def test_another_key_to_verify_by_is_noticed_by_the_first_server() -> None:
    error = refusal(SMALL, alter=changing("Kb1"))
    assert (error.code, error.fields) == ("peer.check", {"label": "Kb1"})


def test_another_key_to_verify_by_makes_checks_fail_elsewhere() -> None:
    """Honest input parties are named then: a computing party may do that, and open nothing by it."""
    assert refusal(SMALL, alter=changing("Kb2")).code == "peer.proof"


# -- uploads as bytes -------------------------------------------------------------------------------------------------


class Parties:
    """The computing parties of a case, with an inbox each."""

    def __init__(self, case: Case) -> None:
        self.case, self.shape = case, case.shape
        self.private = [Secret(bytes([at + 1]) * 32) for at in range(self.shape.computing)]
        self.names = [f"input{n + 1}" for n in range(self.shape.holders)]
        self.kept = [cs.uploads(self.shape, at) for at in range(self.shape.computing)]
        self.boxes = [self._box(at) for at in range(self.shape.computing)]

    def _box(self, at: int) -> Inbox:
        to = {each: cs.address(self.shape, TIED, n, at) for n, each in enumerate(self.names)}
        return Inbox(self.names, to.__getitem__, self.private[at], self.kept[at].take, deadline=9)

    def upload(self, number: int, tied: Binding = TIED, seed: int = 1) -> list[bytes]:
        publics = [prf.public_key(key) for key in self.private]
        values = words_of(self.case.values[number])
        return cs.sealed_parts(self.shape, number, values, tied, stream(seed, self.names[number]), publics)

    def take(self, at: int, number: int, part: bytes) -> None:
        self.boxes[at].add(self.names[number], part, now=1)

    def roles(self) -> dict[str, Role[Any]]:
        shape, noise, families = self.shape, list(map(words_of, self.case.noise)), []
        found: dict[str, Role[Any]] = {"result": cs.result(shape)}
        for at, name in enumerate(shape.servers[:-1]):
            families.append(family(1, name, "last"))
            found[name] = cs.server(shape, at, self.kept[at], TIED, families[at], noise[at])
        found["last"] = cs.last(shape, self.kept[-1], TIED, families, noise[-1])
        return found


@EVERY
def test_uploads_of_parties_that_are_gone_add_up(case: Case) -> None:
    """One computing party lacks a holder, who does not count."""
    parties = Parties(replace(case, missing=frozenset({(1, 0)})))
    for number in range(3):
        parts = parties.upload(number)
        for at, part in enumerate(parts):
            assert len(part) == cs.address(parties.shape, TIED, number, at).size
            if (number, at) != (1, 0):
                parties.take(at, number, part)
    found = play(parties.roles()).outputs["result"]
    assert (found.total, found.present.tolist()) == (parties.case.oracle(), [True, False, True])


@EVERY
def test_an_upload_that_is_taken_off_again_is_not_verified(case: Case) -> None:
    parties = Parties(case)
    for number in range(3):
        for at, part in enumerate(parties.upload(number)):
            parties.take(at, number, part)
    for kept in parties.kept:
        kept.take_off(1)
    found = play(parties.roles()).outputs["result"]
    assert (found.total, found.present.tolist()) == (rest_of(case, 1), [True, False, True])


@EVERY
def test_uploads_are_refused_as_they_arrive(case: Case) -> None:
    """Twice, for another run or party, changed: with the name of who sent them, and the run goes on without them."""
    parties = Parties(case)
    other = Binding(digest=TIED.digest, run_id=b"\7" * 32)
    good, replayed = parties.upload(0), parties.upload(0, other)
    codes = set()
    for at, part in enumerate(good):
        flipped = bytes([*part[:-1], part[-1] ^ 1])
        for number, wrong in ((0, flipped), (0, part[:-1]), (0, replayed[at]), (1, part), (0, good[at - 1])):
            with pytest.raises(PeerError) as caught:
                parties.take(at, number, wrong)
            assert caught.value.fields["peer"] == f"input{number + 1}"
            codes.add(caught.value.code)
        parties.take(at, 0, part)
        with pytest.raises(PeerError) as caught:
            parties.take(at, 0, parties.upload(0, seed=2)[at])
        assert caught.value.code == "peer.repeated"
    assert codes == {"peer.upload-sealed", "peer.bad-length", "peer.upload-run", "peer.upload-holder"}


def test_words_that_are_no_elements_are_refused_as_they_arrive() -> None:
    """Sealed as they should be, by who made them: nothing is kept, and the holder may send another upload."""
    parties = Parties(CELLS)
    split = cs.split

    def huge(*given: Any) -> Any:
        made = split(*given)
        made.words[:2] = 2**64 - 1
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cs, "split", huge)
        wrong = parties.upload(1)
    with pytest.raises(PeerError) as caught:
        parties.take(1, 1, wrong[1])
    assert (caught.value.code, caught.value.fields["peer"]) == ("peer.share-encoding", "input2")
    parties.take(1, 1, parties.upload(1)[1])


# -- code and card ----------------------------------------------------------------------------------------------------


def all_there(seed: int) -> Case:
    return replace(random_case(seed, holders=3, computing=3, length=5), missing=frozenset(), minimum=2)


CASES = {**KINDS, **{f"random {seed}": all_there(seed) for seed in range(8)}}


@cache
def intact(name: str) -> tuple[Card, Run, dict[tuple[str, int], bytes]]:
    case, seed = CASES[name], 1 + list(CASES).index(name)
    card = case.card()
    return card, Run(case, seed, dict(card.names(case.public()))), sent_of(case, seed)


def sent_of(case: Case, seed: int, code: Any = cs) -> dict[tuple[str, int], bytes]:
    sent = play(roles(case, seed, code), seed=seed).sent
    return {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in sent}


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str) -> None:
    card, run, sent = intact(name)
    assert read(card, run) == sent


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    card, run, _ = intact(name)
    value, shares = CheckedReading(card, run).comes_to("sums")
    assert value == shares


@pytest.mark.parametrize("seed", range(12))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    case = all_there(seed)
    card = case.card()
    names = {role: PartyId(role) for role in card.roles}
    gates = {role: Gate(project(card, case.public(), names, role), opening=Secret(bytes(32))) for role in card.roles}
    done = play({role: gated(part, gates[role]) for role, part in roles(case, seed).items()}, seed=seed)
    size = sum(sent.size for _, left in done.outputs.values() for sent in left)
    assert size == done.bytes() == card.cost.bytes.evaluate(card.names(case.public()))
    assert card.adversary.corrupt == case.shape.computing - 1
    assert card.cost.rounds.evaluate({}) == max(message.round for message in card.messages)
    assert card.validity is not None and card.validity.needs == case.shape.servers


@pytest.mark.parametrize("holders", [2, 1000])
def test_the_cost_formula_is_the_sum_of_the_messages(holders: int) -> None:
    for greatest, length, computing in ((1, 1, 2), (1, 500, 3), (2**20, 40, 4)):
        case = Case([[0] * length] * holders, [[0] * length] * computing, greatest)
        card, names = case.card(), case.card().names(case.public())
        size = sum(m.count.evaluate(names) * m.element_under(names).width for m in card.messages)
        assert card.cost.bytes.evaluate(names) == size


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('needs = ["server", "last"]', 'needs = ["nobody"]', "not a role"),
        ('of = "input"\nneeds', 'of = "nobody"\nneeds', "not a role"),
        ('error = "2^-51"', 'error = "small"', "error"),
        ('term = "proved(input, summed) - over', 'term = "proved(input) - over', "takes"),
        ('term = "verifier(input)"', 'term = "verifier(nobody)"', "no role"),
        ('term = "verifying(last)"', 'term = "proved(input, summed)"', "no vector of tags"),
        ('carries = ["input.values"]', "carries = []", "made of input.values"),
    ],
)
def test_a_card_of_checks_that_contradicts_itself_is_not_loaded(old: str, new: str, problem: str) -> None:
    text = (Path(__file__).parents[2] / "protocols" / cs.PROTOCOL / "card.toml").read_text()
    assert old in text
    with pytest.raises(PetsError, match=problem):
        parse_card(text.replace(old, new, 1).encode(), file="card.toml")


def test_no_other_card_of_sums_says_that_inputs_are_checked() -> None:
    valid = [name for name, card in load_cards().items() if card.validity is not None]
    assert valid == [cs.PROTOCOL]


TERMS = terms_of(SMALL.card())
OTHERS = {
    "role": tuple(SMALL.card().roles),
    "key": tuple(key.name for key in SMALL.card().keys),
    "label": ("u", "zero", "fresh"),
    "index": tuple(dict.fromkeys(INDEX.values())),
    "shared": ("sums",),
    "name": (*(m.label for m in SMALL.card().messages if m.label[:2] in ("Uw", "Fs", "Kb")), "sums"),
}
SAMPLE = (
    "Us1x1",
    "Us3x2",
    "Um2",
    "Uw1",
    "Uw3",
    "Kb2",
    "Ls1x2",
    "Ca1",
    "Vs1x2",
    "Va2",
    "Vb1",
    "Ws2x1",
    "Wa1",
    "Wb2",
    "Ts1",
    "Fs2",
    "Fl",
)


@pytest.mark.parametrize("place", SAMPLE)
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    """One of each kind of message."""
    card, run, sent = intact("vector")

    def message(edited: Card) -> Any:
        return CheckedReading(edited, run).read(next(m for m in edited.messages if m.label == place))

    unnoticed, _ = compared(card, place, OTHERS, message, [sent[place, 0]])
    assert not unnoticed


@pytest.mark.parametrize(
    "place", thinned([place for place in TERMS if place not in {m.label for m in SMALL.card().messages}], one_in=2)
)
def test_every_edit_of_what_is_shared_is_noticed(place: str) -> None:
    card, run, _ = intact("vector")
    for term in edits(TERMS[place], OTHERS):
        reading = CheckedReading(with_term(card, place, term), run)
        try:
            value, shares = reading.comes_to("sums")
        except (Meaningless, RecursionError, ValueError):
            continue
        assert value != shares, text_of(term)


SOURCE = Path(cs.__file__).read_text(encoding="utf-8")
MISTAKES: Mapping[str, Sequence[Change]] = {
    "no noise of a server": (("total, noise, tied, plus=[with_last])", "total, None, tied, plus=[with_last])", 1),),
    "no share of zero": (
        ("total, noise, tied, plus=[with_last])", "total, noise, tied)", 1),
        ("total, noise, tied, minus=with_servers)", "total, noise, tied)", 1),
    ),
    "not verified": (
        (
            "found = yield from verified(uploads, present, tied, key)",
            "found = checked_inputs.Verified(present, shape.circuit.prime.zeros(shape.circuit.outputs))",
            1,
        ),
    ),
    "no key for servers": (
        ("    for number in range(shape.seeded):\n        data", "    for data in ():\n        data", 1),
    ),
    "a key of zeros": (("key = verify_key(with_servers[0])", "key = Secret(bytes(KEY_BYTES))", 1),),
    "no agreement": (
        (
            "yield from agree(shape.servers[me], others, uploads.marks, tied, shape.agreement, minimum=shape.minimum)",
            "uploads.marks.any(axis=1)",
            1,
        ),
    ),
    "heads to others": (("yield Send(role_of(SERVER, at), label_of", "yield Send(role_of(SERVER, 0), label_of", 1),),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    code = mistaken(SOURCE, f"checked_{name}", MISTAKES[name])
    card, run, _ = intact("vector")
    try:
        sent = sent_of(run.case, run.seed, code)
    except (PetsError, ValueError, AssertionError):
        return
    assert sent != read(card, run)


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    card, run, sent = intact("vector")
    assert sent_of(run.case, run.seed, mistaken(SOURCE, "checked_none", ())) == sent == read(card, run)


# -- what is seen -----------------------------------------------------------------------------------------------------


@EVERY
def test_a_server_is_handed_the_same_whatever_the_vector_but_for_hashes_of_shares(case: Case) -> None:
    """Its seed, its blind and its mark; the hash of last's share is under a blind that it lacks."""
    other = replace(case, values=case.values[1:] + case.values[:1])
    for number, party in itertools.product((1, 2, 3), range(1, case.shape.computing)):
        label = f"Us{number}x{party}"
        one, two = (played(each, 3).array(label).ravel() for each in (case, other))
        public = case.shape.prio.public_bytes
        assert one[:16].tolist() == two[:16].tolist() and one[16 + public :].tolist() == two[16 + public :].tolist()
    assert played(case, 3).shape_of_traffic() == played(other, 3).shape_of_traffic()


def test_final_shares_and_words_are_uniform() -> None:
    case = Case([[0] * 2000, [1] * 2000], [[0] * 2000] * 2, 2)
    done = play(roles(case, 5))
    for label in ("Uw1", "Uw2", "Fs1", "Fl"):
        words = done.array(label)[: 2 * 2000]
        bits = (words[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).mean(axis=0)
        assert np.all(np.abs(bits - 0.5) < 0.06), label


def test_uploads_are_of_the_party_that_is_asked_for() -> None:
    assert [cs.uploads(SMALL.shape, at).party for at in range(3)] == [1, 2, 0]
    assert isinstance(cs.uploads(SMALL.shape, 0), Uploads)
    assert circuit_of(length=1, greatest=1, chunk=1, one_cell=False).algorithm == 1
    assert contributions.MARK_BYTES == checked_inputs.MARK_BYTES
