"""The terms of a card are what the roles send: each is computed from the inputs and compared, byte for byte.

``tests/oracles/terms.py`` reads the terms as docs/rules/terms.md explains them. Then every single edit of a term is
made on the card, and a comparison must fail; the few that change nothing are listed with the reason.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import PetsError
from pets.spec import term as term_module
from pets.spec.cards import Card, load_cards
from pets.spec.term import HEADS, INDEX, Call, Product, Sum, Term, arguments, calls, names, parse_term
from tests.oracles import helper_join as oracle
from tests.oracles import mutants
from tests.oracles.play import Transcript, play, words
from tests.oracles.terms import Meaningless, Reading, Run
from tests.test_cards import random_public_case

CARD = load_cards()["helper_join_a"]
PAGE = Path(__file__).parents[2] / "docs" / "rules" / "terms.md"


# -- cases ------------------------------------------------------------------------------------------------------------


def spread(seed: int) -> oracle.Case:
    """Random, with ids of up to 64 bytes, several products that share columns, and columns that nobody sums."""
    rng = random.Random(f"terms {seed}")
    g, k, columns = rng.randrange(1, 7), rng.randrange(1, 4), rng.randrange(1, 5)
    people = [bytes(rng.choices(range(1, 256), k=rng.randrange(1, 65))) for _ in range(9)]
    rows = rng.choice([0, 1, 8, 30])
    used = rng.sample(range(g), k=rng.randrange(1, g + 1))
    x = rng.randrange(0, 3)
    summed: list[tuple[int, int | None]] = [(rng.randrange(columns), rng.randrange(x)) for _ in range(3 if x else 0)]
    summed += [(rng.randrange(columns), None) for _ in range(rng.randrange(1, 4))]
    rng.shuffle(summed)
    return oracle.Case(
        g=g,
        k=k,
        ids_a=rng.choices(people, k=rows),
        cell=rng.choices(used, k=rows),
        x=[[rng.randrange(-(2**40), 2**40) for _ in range(rows)] for _ in range(x)],
        ids_b=(of_b := rng.sample(people, k=rng.choice([0, 4, 9]))),
        y=[[rng.randrange(-(2**20), 2**20) for _ in of_b] for _ in range(columns)],
        summed=summed,
        n_a=rows + rng.choice([1, 40]),
        n_b=len(of_b) + rng.choice([1, 40]),
        fixed=False,
    )


RICH = oracle.Case(
    g=4,
    k=2,
    ids_a=[b"%010d" % (i * i % 11) for i in range(24)],
    cell=[0, 3, 1] * 8,  # nobody in cell 2
    x=[[i * i - 40 for i in range(24)], [7 - 3 * i for i in range(24)]],
    ids_b=[b"%010d" % i for i in (9, 4, 5, 21, 0)],
    y=[[13 * (c + 1) + 5 * i * i for i in range(5)] for c in range(5)],
    summed=[(2, None), (4, 1), (0, None), (1, 0), (4, 0), (3, None)],
    n_a=30,
    n_b=7,
    fixed=True,
)
"""Indices that never agree: no column has the same gathered, factor, product and summed twice over."""

NO_ROWS = oracle.Case(3, 2, [], [], [[]], [b"1"], [[5], [6]], [(1, 0), (0, None)], 1, 1, True)
NOBODY = oracle.Case(2, 1, [b"1", b"2"], [1, 1], [], [], [[]], [(0, None)], 3, 1, True)
NO_MATCH = oracle.Case(2, 1, [b"1", b"2"], [1, 1], [[3, 4]], [b"3", b"4"], [[1, 1]], [(0, 0)], 2, 2, True)
NOTHING_SUMMED = oracle.Case(1, 1, [b"1"], [0], [], [b"1"], [[1]], [], 1, 1, True)

CASES: dict[str, oracle.Case] = {
    "rich": RICH,
    "no rows": NO_ROWS,
    "nobody in b": NOBODY,
    "no match": NO_MATCH,
    "nothing summed": NOTHING_SUMMED,
    **{f"public {seed}": random_public_case(seed) for seed in range(20)},
    **{f"small {seed}": oracle.random_case(seed) for seed in range(20)},
    **{f"spread {seed}": spread(seed) for seed in range(20)},
}


def run_of(name: str) -> Run:
    """A case with noise and, as a LEFT JOIN has them, sums of a's own rows: any words."""
    case = CASES[name]
    seed = 1 + list(CASES).index(name)
    noise, local = words(seed, 3, len(case.summed), case.g), words(seed + 1000, len(case.summed), case.g)
    return Run(case, seed, noise, local, CARD.names(case.public()))


def played(run: Run) -> Transcript:
    """The real roles."""
    return play(oracle.roles(run.case, run.seed, noise_words=run.noise, local=run.local), seed=run.seed)


def bytes_sent(run: Run) -> dict[tuple[str, int], bytes]:
    return {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in played(run).sent}


# -- the terms are what is sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str) -> None:
    run = run_of(name)
    reading, sent = Reading(CARD, run), bytes_sent(run)
    for message in CARD.messages:
        for column, expected in enumerate(reading.sent(message)):
            assert sent.pop((message.label, column)) == expected, (message.label, column)
    assert not sent


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    run = run_of(name)
    reading = Reading(CARD, run)
    plain = run.case.oracle().view(np.uint64) + run.local
    for at in reading.of_formula("v"):
        for shared in {each.name for each in CARD.shared}:
            value, total = reading.opened(shared, at)
            assert np.array_equal(value, total), (shared, at)
        assert np.array_equal(reading.opened("sums", at)[0], plain[at.summed]), "the sums are other sums"


def made_by(role: str, term: Term, card: Card = CARD) -> Iterator[str]:
    """What in a term a role cannot have by itself."""
    holders = {key.name: key.holders for key in card.keys}
    ends = {message.label: (message.sender, message.receiver) for message in card.messages}
    yield from (key for key in arguments(term, "key") if role not in holders[key])
    yield from (other for call in calls(term) for other in call.args[:1] if call.head in OWN and other != role)
    yield from (str(call.args[1]) for call in calls(term) if call.head == "pads" and call.args[1] != role)
    for name in names(term):
        if name == "match":
            lists = (message for message in card.messages if message.element.startswith("bytes"))
            yield from (message.label for message in lists if role not in (message.sender, message.receiver))
        elif role not in ends.get(name, ()):
            yield name
    for name in (str(call.args[1]) for call in calls(term) if call.head == "share"):
        for shared in card.shared:
            if shared.name == name and shared.when not in ("computed", "keyed"):
                yield from made_by(role, shared.shares[role], card) if role in shared.shares else [name]


OWN = ("values", "local", "noise", "share", "keys", "fillers", "groups")
"""Heads that speak of what is one role's own."""


PARTS = ("Mr", "Mk")
"""Messages of which the sender has a part only: tests/protocols/test_rows.py and test_keyed.py have them."""


@pytest.mark.parametrize("label", [message.label for message in CARD.messages if message.label not in PARTS])
def test_a_sender_can_compute_its_message(label: str) -> None:
    message = next(m for m in CARD.messages if m.label == label)
    assert not list(made_by(message.sender, message.meaning))
    others = [role for role in CARD.roles if role != message.sender]
    alone = [role for role in others if not list(made_by(role, message.meaning))]
    assert not alone, f"{alone} could compute it too"


def test_a_share_can_be_computed_by_its_role() -> None:
    for shared in CARD.shared:
        for role, term in shared.shares.items():
            assert not list(made_by(role, term))


@pytest.mark.parametrize("name", CASES)
def test_places_never_repeat_and_no_cell_is_empty(name: str) -> None:
    """What docs/rules/terms.md says of places: masks read at them stay uniform."""
    run = run_of(name)
    reading = Reading(CARD, run)
    match, ends = reading.match(), run.ends()
    for places in (match, ends):
        assert len(set(places.at.tolist())) == places.at.size
        assert places.at.min() >= 0
        assert places.at.max() < places.below
    assert ends.at.size == run.case.g
    assert set(run.cells) == set(range(run.case.g))
    assert match.at.size == len(run.cells) == ends.below


# -- every edit is noticed --------------------------------------------------------------------------------------------

ROLES, KEYS = tuple(CARD.roles), tuple(key.name for key in CARD.keys)
INDICES = tuple(dict.fromkeys(INDEX.values()))
ALIKE = tuple(
    heads
    for kinds in dict.fromkeys(HEADS.values())
    if len(heads := [head for head, own in HEADS.items() if own == kinds]) > 1
)
"""Heads that take the same arguments."""


def terms_of(card: Card) -> dict[str, Term]:
    """Every term of a card by its place."""
    found = {message.label: message.meaning for message in card.messages if message.columns.text not in ("v_c", "v_k")}
    for number, shared in enumerate(card.shared):
        if shared.when in ("computed", "keyed"):  # tests/protocols/test_rows.py, test_keyed.py
            continue
        found[f"{number} {shared.name}"] = shared.value
        found |= {f"{number} {shared.name} of {role}": term for role, term in shared.shares.items()}
    return found


def with_term(card: Card, place: str, term: Term) -> Card:
    number, _, rest = place.partition(" ")
    if not rest:
        messages = [replace(m, meaning=term) if m.label == place else m for m in card.messages]
        return replace(card, messages=tuple(messages))
    shared = list(card.shared)
    old, role = shared[int(number)], rest.partition(" of ")[2]
    shared[int(number)] = replace(old, shares={**old.shares, role: term}) if role else replace(old, value=term)
    return replace(card, shared=tuple(shared))


LABELS = (
    *sorted({str(c.args[1]) for t in terms_of(CARD).values() for c in calls(t) if c.head in ("mask", "perm")}),
    "zero",
    "fresh",
)
NAMES = (*(message.label for message in CARD.messages), "match", *dict.fromkeys(each.name for each in CARD.shared))
OTHERS = {"role": ROLES, "key": KEYS, "label": LABELS, "index": INDICES, "shared": NAMES[-2:], "name": NAMES}


def edits(term: Term, others_of: Mapping[str, Sequence[str]] = OTHERS) -> Iterator[Term]:
    """Every term that is one edit away: something dropped, turned round, or another of its kind in its place."""
    match term:
        case str():
            yield from (name for name in others_of["name"] if name != term)
        case Sum(signed):
            for i, (sign, part) in enumerate(signed):
                if rest := put(signed, i):
                    yield rest[0][1] if len(rest) == 1 and rest[0][0] > 0 else Sum(rest)
                yield Sum(put(signed, i, (-sign, part)))
                yield from (Sum(put(signed, i, (sign, other))) for other in edits(part, others_of))
        case Product(factors):
            for i, factor in enumerate(factors):
                left = put(factors, i)
                yield left[0] if len(left) == 1 else Product(left)
                yield from (Product(put(factors, i, other)) for other in edits(factor, others_of))
        case Call(head, args):
            yield from (Call(other, args) for heads in ALIKE if head in heads for other in heads if other != head)
            kinds = kinds_of(term)
            for i, (kind, arg) in enumerate(zip(kinds, args, strict=True)):
                if kind == "term":
                    yield arg
                if kind == "list" and len(args) > 2:
                    yield Call(head, put(args, i))
                if i and kinds[i - 1] == kind:
                    yield Call(head, (*args[: i - 1], arg, args[i - 1], *args[i + 1 :]))
                others = (o for o in others_of[kind] if o != arg) if kind in others_of else edits(arg, others_of)
                yield from (Call(head, put(args, i, other)) for other in others)


def put(parts: tuple[Any, ...], i: int, *new: Any) -> tuple[Any, ...]:
    """``new`` in place of part i."""
    return (*parts[:i], *new, *parts[i + 1 :])


def kinds_of(call: Call) -> tuple[str, ...]:
    kinds = HEADS[call.head]
    one, more = kinds[-1].removesuffix("*"), len(call.args) - len(kinds)
    return (*kinds[:-1], one, *[one] * more) if more >= 0 else kinds[:-1]


def compared(
    card: Card, place: str, others: Mapping[str, Sequence[str]], message: Callable[[Card], Any], sent: Any
) -> tuple[set[tuple[str, str]], int]:
    """Edits of one term by which ``message`` of the card makes what was sent, and how many make something else."""
    alike, differ = set(), 0
    for term in edits(terms_of(card)[place], others):
        try:
            if message(with_term(card, place, term)) == sent:
                alike.add((place, text_of(term)))
            else:
                differ += 1
        except (Meaningless, RecursionError):
            continue
    return alike, differ


def text_of(term: Term) -> str:
    match term:
        case str():
            return term
        case Sum(signed):
            return "".join(f" {'-' if sign < 0 else '+'} {_inside(part)}" for sign, part in signed)[1:].removeprefix(
                "+ "
            )
        case Product(factors):
            return " * ".join(map(_inside, factors))
        case Call(head, args):
            return f"{head}({', '.join(map(text_of, args))})"


def _inside(term: Term) -> str:
    return f"({text_of(term)})" if isinstance(term, Sum) else text_of(term)


@pytest.mark.parametrize("place", terms_of(CARD))
def test_terms_are_written_as_they_are_read(place: str) -> None:
    for term in (terms_of(CARD)[place], *edits(terms_of(CARD)[place])):
        assert text_of(parse_term(text_of(term))) == text_of(term)


@cache
def intact(name: str) -> tuple[Run, Reading, dict[tuple[str, int], bytes]]:
    run = run_of(name)
    reading = Reading(CARD, run)
    for message in CARD.messages:
        for at in reading.columns(message):
            reading.message(message.label, at)
    return run, reading, bytes_sent(run)


def notices(card: Card, place: str, name: str) -> str:
    """Whether a case tells this card from what is sent: "differs", "meaningless", or "" if it does not."""
    run, whole, sent = intact(name)
    edited = [message for message in card.messages if message.label == place]
    reading = Reading(card, run, dict(whole._known) if edited else {})
    try:
        if not edited:
            for at in reading.of_formula("v"):
                for shared in dict.fromkeys(each.name for each in card.shared):
                    if not np.array_equal(*reading.opened(shared, at)):
                        return "differs"
        for message in edited or card.messages:
            if any(sent[message.label, column] != got for column, got in enumerate(reading.sent(message))):
                return "differs"
    except (Meaningless, RecursionError):
        return "meaningless"
    return ""


SORTED = "tags are sorted afterwards, whatever the order of the lists"
EQUAL = {
    ("M2", "sort(tags(tag, dummies(s_ab), keys(b), fillers(b)))"): SORTED,
    ("M2", "sort(tags(tag, keys(b), fillers(b), dummies(s_ab)))"): SORTED,
}
"""Edits that change nothing that is sent, with the reason."""


@pytest.mark.parametrize("place", terms_of(CARD))
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    found = {}
    for term in edits(terms_of(CARD)[place]):
        card = with_term(CARD, place, term)
        found[text_of(term)] = next((how for name in ("rich", "spread 3") if (how := notices(card, place, name))), "")
    assert {text for text, how in found.items() if not how} == {text for at, text in EQUAL if at == place}
    assert "differs" in found.values(), "edits that say nothing prove little"


def test_the_card_as_it_is_is_not_told_from_what_is_sent() -> None:
    """The comparison that the edits fail is one that the card passes."""
    for place in terms_of(CARD):
        assert not notices(CARD, place, "rich")


@pytest.mark.parametrize("swapped", [("plain", "product"), ("product", "plain"), ("plain", "always")])
def test_another_kind_of_column_is_noticed(swapped: tuple[str, str]) -> None:
    shared = tuple(replace(s, when=swapped[1]) if s.when == swapped[0] else s for s in CARD.shared)  # type: ignore[arg-type]
    assert notices(replace(CARD, shared=shared), "0 rows", "rich")


@pytest.mark.parametrize("name", mutants.NAMES)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    """Mistakes that most often leave every sum right: the roles send something else than the terms, or fail."""
    code = mutants.mutant(name)
    for case in ("rich", "spread 3"):
        run, reading, _ = intact(case)
        roles = oracle.roles(run.case, run.seed, noise_words=run.noise, local=run.local, code=code)
        expected = {
            (m.sender, m.receiver, m.label, column): sent
            for m in CARD.messages
            for column, sent in enumerate(reading.sent(m))
        }
        try:
            sent = play(roles, seed=run.seed).sent
        except (PetsError, ValueError, AssertionError):
            return
        if {key: np.ascontiguousarray(array).tobytes() for key, array in sent} != expected:
            return
    pytest.fail("the terms are still what is sent")


# -- the page ---------------------------------------------------------------------------------------------------------


def rows_of(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by their first cell."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")
    section = rest.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return {(cells := [cell.strip() for cell in line.strip("|").split("|")])[0].strip("`"): cells[1:] for line in lines}


def test_every_head_is_described_with_its_arguments() -> None:
    written = rows_of("Heads")
    assert list(written) == [f"{head}({', '.join(kinds)})" for head, kinds in HEADS.items()]
    assert all(len(re.findall(r"\w+", " ".join(cells))) > 3 for cells in written.values())


def test_every_index_and_kind_of_argument_is_explained() -> None:
    assert set(rows_of("Indices")) == set(INDICES)
    for formula, index in INDEX.items():
        assert f"`{formula}`" in rows_of("Indices")[index][0]
    kinds = {kind.removesuffix("*") for own in HEADS.values() for kind in own}
    assert set(rows_of("Arguments")) == kinds


def test_the_grammar_on_the_page_is_that_of_the_module() -> None:
    grammar = re.findall(r"^ *\w+ +::= .*$", term_module.__doc__ or "", re.MULTILINE)
    assert len(grammar) == 3
    page = PAGE.read_text(encoding="utf-8")
    assert all(line.strip() in page for line in grammar)


@pytest.mark.parametrize("name", ["rich", "no rows", "no match", "spread 3", "spread 7"])
def test_the_equalities_on_the_page_hold(name: str) -> None:
    run = run_of(name)
    reading = Reading(CARD, run)
    written = rows_of("What holds of them")
    assert len(written) == 6
    compared = 0
    for left, (right,) in written.items():
        one, other = parse_term(left), parse_term(right.strip("`"))
        for at in reading.of_formula("v"):
            if at.factor is None and "factor" in (*arguments(one, "index"), *arguments(other, "index")):
                continue
            compared += 1
            size = run.case.g if "zero" in left else 0
            assert np.array_equal(reading.words(one, at, size), reading.words(other, at, size)), left
    assert compared >= 5 * len(run.case.summed)
