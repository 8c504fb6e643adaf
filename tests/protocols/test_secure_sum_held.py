"""secure_sum_held: disclosure control shows the sums of whoever counts; messages are the card's; nobody sees a sum."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import PetsError
from pets.ids import PartyId
from pets.kernels import prf
from pets.party.gate import Gate, project
from pets.protocols import control
from pets.protocols import parts as parts_module
from pets.protocols import secure_sum_held as held
from pets.protocols.base import Role
from pets.protocols.contributions import Agreement
from pets.protocols.inbox import Inbox
from pets.secret import Secret
from pets.spec import handover, operations
from pets.spec.cards import Card, load_cards, parse_card
from pets.spec.term import INDEX
from tests.oracles import hiding
from tests.oracles.gated import gated
from tests.oracles.mistaken import Change, mistaken
from tests.oracles.play import Array, Key, Transcript, play
from tests.oracles.secure_sum import TIED, stream, words_of
from tests.oracles.secure_sum_held import Case, HeldReading, HeldSeen, Run, random_case, read, roles
from tests.oracles.terms import Meaningless
from tests.protocols.test_terms import edits, terms_of, text_of, with_term

SMALL = Case([[1, 0, 5, -1], [2, 1, 2, 2], [1, 0, 100, 0]], 2, least=2)
"""Two cells: 4 and 1 persons, of whom the second cell is withheld."""


def played(case: Case, seed: int = 1, **kept: Any) -> Transcript:
    return play(roles(case, seed), seed=seed, lost=[f"input{n + 1}" for n in range(len(case.values))], **kept)


def shown(case: Case, done: Transcript) -> tuple[list[list[int]], list[bool]]:
    values, enough = control.open_shown(case.control, *done.outputs["result"][1])
    return values.tolist(), enough[0].tolist()


def refusal(case: Case, **kept: Any) -> PetsError:
    """The run ends with this refusal, and nothing of disclosure control has been sent."""
    sent: list[str] = []
    alter = kept.pop("alter", lambda key, array: array)

    def watched(key: Key, array: Array) -> Array:
        sent.append(key[2])
        return alter(key, array)  # type: ignore[no-any-return]

    with pytest.raises(PetsError) as caught:
        played(case, alter=watched, **kept)
    assert "show" not in sent
    return caught.value


# -- sums -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_what_is_shown_are_the_sums_of_those_who_count(seed: int) -> None:
    case = random_case(seed)
    done = played(case, seed)
    assert shown(case, done) == case.oracle()
    assert done.outputs["result"][0].tolist() == case.present()
    (present, one), (other, two) = done.outputs["first"], done.outputs["second"]
    assert present.tolist() == other.tolist() == case.present()
    assert np.array_equal(one + two, case.sums()) and one.shape == (case.shape.moments, case.cells)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_what_is_shown_are_the_sums_10_000_times() -> None:
    for seed in range(10_000):
        case = random_case(seed + 10**6, holders=5, cells=5)
        done = played(case, seed)
        assert (shown(case, done), done.outputs["result"][0].tolist()) == (case.oracle(), case.present()), seed


@pytest.mark.parametrize("at", range(2))
def test_who_is_missing_at_one_of_the_two_counts_nowhere(at: int) -> None:
    case = replace(SMALL, missing=frozenset({(1, at)}))
    done = played(case)
    assert shown(case, done) == ([[2, 0], [105, 0]], [True, False])
    assert done.outputs["result"][0].tolist() == [True, False, True]


def test_unequal_lists_end_the_run_where_they_have_to_be_equal() -> None:
    case = replace(SMALL, missing=frozenset({(1, 0)}), agreement=Agreement.EQUAL)
    assert refusal(case).code == "peer.lists"
    everywhere = replace(case, missing=frozenset({(1, 0), (1, 1)}))
    assert played(everywhere).outputs["result"][0].tolist() == [True, False, True]


def test_too_few_contributors_and_nothing_goes_on() -> None:
    error = refusal(replace(SMALL, missing=frozenset({(1, 0), (2, 1)})))
    assert (error.code, error.fields) == ("run.contributors", {"took": 1, "minimum": 2})


@pytest.mark.parametrize("wrong", [{"minimum": 1}, {"minimum": 4}, {"cells": 0}, {"moments": 0}])
def test_a_shape_that_would_show_a_vector_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(PetsError):
        replace(SMALL.shape, **wrong)


def test_a_vector_that_is_none_is_not_sent() -> None:
    for values in (np.zeros(3, np.uint64), np.zeros(4, np.int64), np.zeros((2, 2), np.uint64)):
        with pytest.raises(PetsError, match="another length"):
            next(held.input_party(SMALL.shape, 0, values, TIED, stream(1, "x")))  # type: ignore[arg-type]


# -- changed messages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["La", "Lb", "Ca", "Cb"])
def test_a_list_or_digest_that_differs_is_noticed_before_anything_goes_on(label: str) -> None:
    assert refusal(SMALL, alter=_changing(label)).code == "peer.lists"


@pytest.mark.parametrize("label", ["Ta", "Tb"])
def test_two_lists_of_who_took_part_are_not_believed(label: str) -> None:
    error = None
    try:
        played(SMALL, alter=_changing(label))
    except PetsError as refused:
        error = refused
    assert error is not None and error.code == "peer.lists"


def _changing(label: str) -> Any:
    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        other = array.copy()
        other.reshape(-1)[0] ^= 1
        return other

    return alter


# -- uploads as bytes -------------------------------------------------------------------------------------------------


def test_uploads_of_parties_that_are_gone_add_up() -> None:
    """Sealed to two computing parties; one lacks a holder, who is taken off from where uploads are stored."""
    shape, case = SMALL.shape, replace(SMALL, missing=frozenset({(1, 0)}))
    private = [Secret(bytes([at + 1]) * 32) for at in range(2)]
    publics = [prf.public_key(key) for key in private]
    names = [f"input{n + 1}" for n in range(3)]
    uploads = [
        held.sealed_parts(shape, n, words_of(values), TIED, stream(1, names[n]), publics)
        for n, values in enumerate(SMALL.values)
    ]
    sums: list[Any] = []
    boxes: list[Inbox] = []
    for at in range(2):
        again = lambda n: boxes[1].again(names[n], uploads[n][1])  # noqa: E731
        kept = held.seeds(shape, TIED) if at == 0 else held.words(shape, again)
        to = {each: shape.delivery.address(TIED, n, at) for n, each in enumerate(names)}
        boxes.append(Inbox(names, to.__getitem__, private[at], kept.keep, deadline=9))
        for n, each in enumerate(names):
            assert len(uploads[n][at]) == to[each].size
            if (n, at) != (1, 0):
                boxes[at].add(each, uploads[n][at], now=1)
        sums.append(kept)

    def told() -> Role[Any]:
        return (yield from held.result(shape))

    done = play({"first": held.first(shape, sums[0], TIED), "second": held.second(shape, sums[1], TIED),
                 "result": told()})  # fmt: skip
    assert np.array_equal(done.outputs["first"][1] + done.outputs["second"][1], case.sums())
    assert done.outputs["result"].tolist() == [True, False, True]


# -- code and card ----------------------------------------------------------------------------------------------------


def all_there(seed: int) -> Case:
    return replace(random_case(seed), missing=frozenset(), minimum=2)


CASES = {"small": SMALL, "one cell": Case([[3], [4]], 1), **{f"random {seed}": all_there(seed) for seed in range(8)}}


@cache
def intact(name: str) -> tuple[Card, Run, dict[tuple[str, int], bytes]]:
    case, seed = CASES[name], 1 + list(CASES).index(name)
    card = case.card(whole=True)
    return card, Run(case, seed, dict(card.names(case.public()))), sent_of(case, seed)


def sent_of(case: Case, seed: int, code: Any = held) -> dict[tuple[str, int], bytes]:
    """What is sent of what the cards list: of disclosure control, the first two messages."""
    listed = {message.label for message in case.card(whole=True).messages}
    sent = play(roles(case, seed, code), seed=seed).sent
    return {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in sent if key[2] in listed}


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str) -> None:
    card, run, sent = intact(name)
    assert read(card, run) == sent


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    card, run, _ = intact(name)
    reading = HeldReading(card, run)
    for at in reading.of_formula("v"):
        assert np.array_equal(*reading.opened("sums", at))


@pytest.mark.parametrize("seed", range(10))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    """The roles pass the gates of the card, and then of disclosure control, to the last message."""
    case = all_there(seed)
    card, own = case.card(), case.public()
    names = {role: PartyId(role) for role in card.roles}
    labels = {message.label for message in card.messages}
    gates = {role: Gate(project(card, own, names, role), opening=Secret(bytes(32))) for role in card.roles}
    done = play({role: gated(_until(part, labels), gates[role]) for role, part in roles(case, seed).items()}, seed=seed)
    assert sum(sent.size for _, left in done.outputs.values() for sent in left) == card.cost.bytes.evaluate(
        card.names(own)
    )
    whole = handover.numbers(card.names(own), load_cards()[control.PROTOCOL].names(case.of_control()))
    listed = [m for m in case.card(whole=True).messages if m.label in ("Cf", "Cs")]
    assert [(m.sender, m.receiver, m.round, m.columns.evaluate(whole)) for m in listed] == [
        ("first", "second", 5, case.shape.moments),
        ("second", "first", 5, case.shape.moments),
    ]


def _until(role: Role[Any], labels: set[str]) -> Role[Any]:
    """A role up to the first act that another card lists."""
    answer = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration:
            return None
        if act.label not in labels:
            role.close()
            return None
        answer = yield act


@pytest.mark.parametrize("seed", range(5))
def test_bytes_are_those_of_the_two_cards(seed: int) -> None:
    case = all_there(seed)
    cards, size = load_cards(), case.card().cost.bytes.evaluate(case.card().names(case.public()))
    names = cards[control.PROTOCOL].names(case.of_control())
    size += cards[control.PROTOCOL].cost.bytes.evaluate(names)
    steps = operations.steps(cards[control.PROTOCOL].operations, "protect", names, handover.Cards())
    assert played(case, seed).bytes() == size + sum(8 * sent.count for step in steps for sent in step)


def test_a_card_may_hand_over_always_but_not_by_a_number_that_it_lacks() -> None:
    text = (Path(__file__).parents[2] / "protocols" / held.PROTOCOL / "card.toml").read_text()
    assert parse_card(text.encode(), file="card.toml").hands_over is not None
    with pytest.raises(PetsError, match="no public number"):
        parse_card(text.replace('instead = ""', 'instead = "r"').encode(), file="card.toml")


# -- every edit and every mistake is noticed --------------------------------------------------------------------------

CARD = SMALL.card(whole=True)
TERMS = terms_of(SMALL.card())
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "label": ("u", "two", "fresh"),
    "index": tuple(dict.fromkeys(INDEX.values())),
    "shared": ("sums",),
    "name": (*(message.label for message in CARD.messages), "sums"),
}


@pytest.mark.parametrize("place", TERMS)
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    card, run, sent = intact("small")
    found = {}
    for term in edits(TERMS[place], OTHERS):
        edited = with_term(card, place, term)
        reading = HeldReading(edited, run)
        messages = [m for m in edited.messages if m.label == place] or [m for m in edited.messages if m.label == "Cf"]
        try:
            differs = any(sent[m.label, at] != got for m in messages for at, got in enumerate(reading.sent(m)))
            if messages[0].label != place:
                differs |= not all(np.array_equal(*reading.opened("sums", at)) for at in reading.of_formula("v"))
            found[text_of(term)] = "differs" if differs else ""
        except (Meaningless, RecursionError):
            found[text_of(term)] = "meaningless"
    assert found and not [text for text, how in found.items() if not how]


SOURCE = Path(held.__file__).read_text(encoding="utf-8")
DELIVERY = Path(parts_module.__file__).read_text(encoding="utf-8")
MISTAKES: Mapping[str, tuple[Sequence[Change], Sequence[Change]]] = {
    "words as they are": ((("        summing.sub_streams([key], column)", "        pass", 1),), ()),
    "one stream for all columns": ((), (("family.key(STREAM, column)", "family.key(STREAM, 0)", 1),)),
    "one stream for all holders": ((), (('{"party_p": role_of(INPUT, holder)', '{"party_p": INPUT', 1),)),
    "streams of no run": ((), (("seed, run_id=tied.run_id,", "seed, run_id=bytes(32),", 1),)),
    "seeds to second": ((("yield Send(FIRST, label_of", "yield Send(SECOND, label_of", 1),), ()),
    "no agreement": (
        (
            (
                "yield from agree(me, _OTHERS[me], uploads.marks, tied, shape.agreement, minimum=shape.minimum)",
                "uploads.marks.any(axis=1)",
                1,
            ),
        ),
        (),
    ),
    "the result party hears nothing": (
        (("    yield Send(RESULT, label, contributions.packed(present))\n", "", 1),),
        (),
    ),
    "no mark": ((), (("_head(parts.mark) for _ in parts.given", "_head(bytes(16)) for _ in parts.given", 1),)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    """Some leave every sum right: the roles send something else than the terms say, or fail."""
    own, of_parts = MISTAKES[name]
    code, parts = mistaken(SOURCE, f"held_{name}", own), mistaken(DELIVERY, f"parts_{name}", of_parts)
    code.__dict__.update(heads_of=parts.heads_of, Delivery=parts.Delivery)
    card, run, _ = intact("small")
    try:
        sent = sent_of(_of_code(run.case, code), run.seed, code)
    except (PetsError, ValueError, AssertionError):
        return
    assert sent != read(card, run)


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    code, parts = mistaken(SOURCE, "held_none", ()), mistaken(DELIVERY, "parts_none", ())
    code.__dict__.update(heads_of=parts.heads_of, Delivery=parts.Delivery)
    card, run, sent = intact("small")
    assert sent_of(_of_code(run.case, code), run.seed, code) == sent == read(card, run)


def _of_code(case: Case, code: Any) -> Case:
    """A case whose shape is that of a module with a mistake."""

    class Own(Case):
        @property
        def shape(self) -> Any:
            whole = super().shape
            return code.Shape(**{name: getattr(whole, name) for name in held.Shape.__slots__})

    return Own(**vars(case))


# -- what is seen is uniform (protocols/secure_sum_held/README.md) ----------------------------------------------------

COMPUTING = ("first", "second", "third")


def told(coalition: tuple[str, ...], **planted: str) -> int:
    """Combinations of words known bare: of uploads, and of the shares as they are passed on."""
    card, run, _ = intact("small")
    return hiding.bare(hiding.received(card, run, coalition, HeldSeen, **planted))


@pytest.mark.parametrize("more", [(), ("input1",), ("result",), ("result", "input1", "input2")], ids="+".join)
@pytest.mark.parametrize("one", COMPUTING)
def test_one_computing_party_sees_uniform_words_and_no_sum(one: str, more: tuple[str, ...]) -> None:
    """With any input parties and the result party; what disclosure control does then is on its own card."""
    assert told((one, *more)) == 0


def test_first_and_second_together_see_every_vector() -> None:
    assert told(("first", "second")) >= 3 * 4


@pytest.mark.parametrize("pair", [("first", "third"), ("second", "third")], ids="+".join)
def test_the_third_with_one_of_them_sees_the_sums_alone(pair: tuple[str, ...]) -> None:
    assert told(pair) == 4


@pytest.mark.parametrize("label", ["u", "two"])
def test_every_mask_is_needed(label: str) -> None:
    everyone = [(one, *more) for one in COMPUTING for more in [(), ("result",), ("input1", "input2", "input3")]]
    assert any(told(each, told=label) > 0 for each in everyone)


@pytest.mark.parametrize("party", COMPUTING)
def test_each_sees_the_same_sizes_whatever_the_vectors(party: str) -> None:
    other = replace(SMALL, values=[[0, 0, 9, 9], [0, 0, 1, 2], [2**62, 0, 5, 5]])
    one, two = ([each for each in played(case, 3).shape_of_traffic() if each[0][1] == party] for case in (SMALL, other))
    assert one == two and one
    seen = [
        [array.tobytes() for key, array in played(case, 3).sent if key[1] == "first" and key[2][0] in "UL"]
        for case in (SMALL, other)
    ]
    assert sorted(seen[0]) == sorted(seen[1])


def test_all_pairs_of_computing_parties_are_on_the_cards() -> None:
    """What two of the three learn together is on this card, or on that of disclosure control."""
    cards = load_cards()
    beyond = {entry.who for name in (held.PROTOCOL, control.PROTOCOL) for entry in cards[name].learns}
    assert set(itertools.combinations(COMPUTING, 2)) <= beyond
