"""The terms of secure_sum's card are what its roles send, byte for byte; edits of them and of the code are noticed."""

import itertools
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import PetsError
from pets.protocols import contributions, parts
from pets.protocols import secure_sum as ss
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import with_so_many
from pets.spec.term import INDEX
from tests.oracles import hiding
from tests.oracles import secure_sum as oracle
from tests.oracles.mistaken import Change, mistaken
from tests.oracles.play import play
from tests.oracles.secure_sum import Case, random_case
from tests.oracles.secure_sum_terms import Run, SumReading, SumSeen, read
from tests.oracles.terms import Meaningless
from tests.protocols.test_terms import edits, made_by, terms_of, text_of, with_term

RICH = Case(
    [[1, -2, 3, 4, 2**40], [5, 6, 7, -(2**63), 9], [0, 0, 11, 12, 13]],
    [[3, -1, 4, 1, -5], [9, 2, -6, 5, 3], [-5, 8, 9, -7, 9]],
)
CASES = {
    "rich": RICH,
    "two": Case([[7], [8]], [[1], [2]]),
    **{f"random {seed}": replace(random_case(seed), missing=frozenset(), minimum=2) for seed in range(12)},
}


def sent_of(case: Case, seed: int, code: object = ss) -> dict[tuple[str, int], bytes]:
    sent = play(oracle.roles(case, seed, code), seed=seed).sent
    return {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in sent}


@cache
def intact(name: str) -> tuple[Card, Run, dict[tuple[str, int], bytes]]:
    case, seed = CASES[name], 1 + list(CASES).index(name)
    card = case.card()
    return card, Run(case, seed, dict(card.names(case.public()))), sent_of(case, seed)


# -- the terms are what is sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str) -> None:
    card, run, sent = intact(name)
    assert read(card, run) == sent


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    card, run, _ = intact(name)
    reading = SumReading(card, run)
    (at,) = reading.of_formula("v")
    value, total = reading.opened("sums", at)
    assert np.array_equal(value, total)
    assert value.tolist() == [sum(column) % 2**64 for column in zip(*run.case.values, strict=True)]


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    """But lists and digests, which all computing parties have alike."""
    card = intact("rich")[0]
    for message in card.messages:
        if message.label[0] in "LCT":
            continue
        able = [role for role in card.roles if not list(made_by(role, message.meaning, card))]
        wanted = {"Us": [message.sender, message.receiver]}.get(message.label[:2], [message.sender])
        assert able == wanted or message.label[:2] == "Um", message.label
    for shared in card.shared:
        for role, term in shared.shares.items():
            assert not list(made_by(role, term, card))


# -- cards of so many -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("holders", "servers"), [*itertools.product([2, 3, 7], [1, 2, 4])])
def test_there_is_a_message_from_each_to_each(holders: int, servers: int) -> None:
    card = with_so_many(load_cards()[ss.PROTOCOL], {"input": holders, "server": servers})
    ends = [(message.label[:2], message.sender, message.receiver) for message in card.messages]
    assert len(set(ends)) == len(ends) == len({message.label for message in card.messages})
    assert [message.number for message in card.messages] == list(range(1, len(ends) + 1))
    inputs, roles = [f"input{n + 1}" for n in range(holders)], [f"server{n + 1}" for n in range(servers)]
    assert {end[1:] for end in ends if end[0] == "Us"} == set(itertools.product(inputs, roles))
    assert {end[1:] for end in ends if end[0] == "Ls"} == set(itertools.permutations(roles, 2))
    assert {end[1:] for end in ends if end[0] == "Fs"} == {(role, "result") for role in roles}
    assert len(card.keys) == holders * servers + servers
    assert card.adversary.corrupt == servers
    beyond = [entry.who for entry in card.learns if entry.beyond_model]
    assert set(beyond) == {(*roles, "last")} and len(beyond) == holders


# -- every edit is noticed --------------------------------------------------------------------------------------------

CARD = RICH.card()
TERMS = terms_of(CARD)
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "label": ("u", "zero", "fresh"),
    "index": tuple(dict.fromkeys(INDEX.values())),
    "shared": ("sums",),
    "name": (*(message.label for message in CARD.messages), "sums"),
}


def notices(card: Card, place: str) -> str:
    """Whether a run tells this card from what is sent: "differs", "meaningless", or "" if it does not."""
    _, run, sent = intact("rich")
    edited = [message for message in card.messages if message.label == place]
    reading = SumReading(card, run)
    try:
        if not edited and not np.array_equal(*reading.opened("sums", reading.of_formula("v")[0])):
            return "differs"
        for message in edited or [m for m in card.messages if m.label[0] == "F"]:
            if any(sent[message.label, column] != got for column, got in enumerate(reading.sent(message))):
                return "differs"
    except (Meaningless, RecursionError):
        return "meaningless"
    return ""


@pytest.mark.parametrize("place", TERMS)
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    """But ``zero`` for the mask of that label, which it is."""
    found = {text_of(term): notices(with_term(CARD, place, term), place) for term in edits(TERMS[place], OTHERS)}
    assert not [text for text, how in found.items() if not how]
    words = place[:2] in ("Uw", "Fs", "Fl") or place.startswith("0")
    assert "differs" in found.values() or not words


def test_the_card_as_it_is_is_not_told_from_what_is_sent() -> None:
    assert not [place for place in TERMS if notices(CARD, place)]


# -- every mistake is noticed -----------------------------------------------------------------------------------------

SOURCE = Path(ss.__file__).read_text(encoding="utf-8")
LISTS = Path(contributions.__file__).read_text(encoding="utf-8")
DELIVERY = Path(parts.__file__).read_text(encoding="utf-8")
ZEROS = """PROTOCOL: Final = "secure_sum"
class Zeros(Ring):
    def add_streams(self, keys, total):
        pass
"""
MISTAKES: Mapping[str, tuple[Sequence[Change], Sequence[Change], Sequence[Change]]] = {
    "no streams": (
        (
            ("summing.sub_streams((", "list((", 1),
            ("for at, seed in enumerate(each)), rest)", "for at, seed in enumerate(each)))", 1),
            ("seeds(shape.holders, server, tied, Ring())", "seeds(shape.holders, server, tied, Zeros())", 1),
            ('PROTOCOL: Final = "secure_sum"\n', ZEROS, 1),
        ),
        (),
        (),
    ),
    "one stream for all servers": ((), (), (("self.readers[at]}", "self.readers[0]}", 1),)),
    "one stream for all holders": ((), (), (('"party_p": role_of(INPUT, holder)', '"party_p": INPUT', 1),)),
    "streams of no run": ((), (), (("seed, run_id=tied.run_id,", "seed, run_id=bytes(32),", 1),)),
    "streams of no specification": ((), (), (("digest=tied.digest, protocol", "digest=bytes(32), protocol", 1),)),
    "one seed for all": (
        (),
        (),
        (("said[start : start + SEED_BYTES]", "said[MARK_BYTES : MARK_BYTES + SEED_BYTES]", 1),),
    ),
    "no share of zero": (
        (
            ('prf.add_words(with_last.key("zero", 0), total)', "pass", 1),
            ('prf.sub_words(family.key("zero", 0), total)', "pass", 1),
        ),
        (),
        (),
    ),
    "no noise of a server": (
        (("total += _checked(shape, noise)\n    prf", "prf", 1),),
        (),
        (),
    ),
    "no noise of last": ((("total += _checked(shape, noise)\n    for", "for", 1),), (), ()),
    "sums before lists are confirmed": (
        (),
        (
            (
                "    own = confirmation(tied, lists)\n",
                "    return lists[me][:, 0] > 0\n    own = confirmation(tied, lists)\n",
                1,
            ),
        ),
        (),
    ),
    "digests of no run": ((), (("+ tied.run_id + tied.digest)", "+ tied.digest)", 1),), ()),
    "digests of the own list": ((), (("confirmation(tied, lists)\n", "confirmation(tied, {me: marks})\n", 1),), ()),
    "no mark": ((), (), (("_head(parts.mark) for _ in parts.given", "_head(bytes(16)) for _ in parts.given", 1),)),
    "seeds to last": ((("yield Send(role_of(SERVER, at), label_of", "yield Send(LAST, label_of", 1),), (), ()),
}


def with_mistakes(
    name: str, of_sum: Sequence[Change], of_lists: Sequence[Change], of_parts: Sequence[Change]
) -> types.ModuleType:
    """The roles, with the lists and the parts of their own."""
    code = mistaken(SOURCE, f"sum_{name}", of_sum)
    lists, delivery = mistaken(LISTS, f"lists_{name}", of_lists), mistaken(DELIVERY, f"parts_{name}", of_parts)
    code.__dict__.update(agree=lists.agree, Delivery=delivery.Delivery, heads_of=delivery.heads_of)
    return code


def sent_by(case: Case, seed: int, code: types.ModuleType) -> dict[tuple[str, int], bytes]:
    """What is sent by roles whose shapes are made by the same module."""

    class Own(Case):
        @property
        def shape(self) -> Any:
            whole = super().shape
            return code.Shape(**{name: getattr(whole, name) for name in ss.Shape.__slots__})

    return sent_of(Own(**vars(case)), seed, code)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    """Most leave every sum right: the roles send something else than the terms say, or fail."""
    code = with_mistakes(name, *MISTAKES[name])
    card, run, _ = intact("rich")
    try:
        sent = sent_by(run.case, run.seed, code)
    except (PetsError, ValueError, AssertionError):
        return
    assert sent != read(card, run)


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    card, run, sent = intact("rich")
    assert sent_by(run.case, run.seed, with_mistakes("none", (), (), ())) == sent == read(card, run)


# -- what is seen is uniform but for the sums (protocols/secure_sum/README.md) ----------------------------------------

COMPUTING = ("server1", "server2", "last")
FEWER = [each for size in (1, 2) for each in itertools.combinations(COMPUTING, size)]


def told(name: str, coalition: tuple[str, ...], **planted: str) -> int:
    """Combinations of words known bare, beyond the sums."""
    card, run, _ = intact(name)
    sums = len(run.case.noise[0]) if "result" in coalition else 0
    return hiding.bare(hiding.received(card, run, coalition, SumSeen, **planted)) - sums


@pytest.mark.parametrize("more", [(), ("input1",), ("result",), ("result", "input1")], ids="+".join)
@pytest.mark.parametrize("fewer", [(), *FEWER], ids="+".join)
def test_words_are_uniform_but_for_the_sums(fewer: tuple[str, ...], more: tuple[str, ...]) -> None:
    """All computing parties but one, an input party, the result party: nothing but the sum."""
    assert told("rich", (*fewer, *more)) == 0


def test_all_computing_parties_together_see_every_vector() -> None:
    assert told("rich", COMPUTING) == 3 * 5


@pytest.mark.parametrize("label", ["u", "zero"])
def test_every_mask_is_needed(label: str) -> None:
    coalitions = [(*fewer, *more) for fewer in [(), *FEWER] for more in [(), ("result",)]]
    everyone = [*coalitions, ("result", "input1", "input2", "input3")]
    assert any(told("rich", each, told=label) > 0 for each in everyone)
