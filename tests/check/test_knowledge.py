"""The second checker's steps, one by one: words that add up, masks that cancel, orders that hide nothing."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from pets.check import algebra, knowledge
from pets.check.algebra import Binding, Words
from pets.check.labels import Mark
from pets.errors import InternalError
from pets.ids import PartyId
from pets.plan.lower import lower
from pets.spec.cards import load_cards, parse_card
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from pets.spec.term import parse_term
from tests.check import corpus
from tests.oracles.planted import TEXT

JOIN = load_cards()["helper_join_a"]
AT = Binding(gathered=0, factor=0, product=0, summed=0)
COLUMNS = dict.fromkeys(("v_g", "x", "z", "p", "v"), (AT,)) | {"1": (Binding(),)}


def case_of(file: Path, text: str = TEXT) -> knowledge.Case:
    spec = parse_toml(file.read_text())
    card = parse_card(text.encode(), file="card.toml")
    return knowledge.case_of(lower(spec, bind(spec)), spec, {**load_cards(), card.id: card})


def words() -> Words:
    return Words(JOIN, COLUMNS)


# -- algebra ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("values(a, factor) + values(a, factor)", "values(a, factor) - (-values(a, factor))"),
        ("(values(a, factor) + noise(a, summed)) * mask(s_ab, u, factor)",
         "mask(s_ab, u, factor) * noise(a, summed) + values(a, factor) * mask(s_ab, u, factor)"),
        ("gather(permute(perm(s_bc, rho), values(b, gathered)), M4)", "gather(values(b, gathered), match)"),
        ("diff(gather(permute(perm(s_ab, rho2), prefix(order(perm(s_ab, q), values(a, factor)))), M8))",
         "sum_cells(values(a, factor))"),
        ("M3 + mask(s_bc, r, gathered)", "permute(perm(s_bc, rho), values(b, gathered))"),
        ("share(a, rows) + share(helper, rows)", "rows"),
        ("share(a, sums) + share(helper, sums)", "sums"),
        ("M7a + M7c", "sums + noise(a, summed) + noise(b, summed) + noise(helper, summed)"),
    ],
)  # fmt: skip
def test_terms_that_are_the_same_words_are_the_same_polynomial(left: str, right: str) -> None:
    made = words()
    assert made.expand(parse_term(left), AT) == made.expand(parse_term(right), AT)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("mask(s_ab, u, factor)", "mask(s_ac, u, factor)"),
        ("gather(permute(perm(s_ab, rho), values(b, gathered)), M4)", "gather(values(b, gathered), match)"),
        ("permute(perm(s_ab, q), values(a, factor))", "values(a, factor)"),
        ("values(a, factor)", "-values(a, factor)"),
    ],
)
def test_terms_that_are_other_words_are_not(left: str, right: str) -> None:
    made = words()
    assert made.expand(parse_term(left), AT) != made.expand(parse_term(right), AT)


@pytest.mark.parametrize("term", ["tags(tag, keys(a))", "match", "ends(groups(a))", "gather(values(b, gathered), Me)"])
def test_what_is_no_vector_of_words_is_refused(term: str) -> None:
    with pytest.raises(ValueError, match=r"are no (words|places)|speak of"):
        words().expand(parse_term(term), AT)


def bare(made: algebra.Words, *texts: str, told: str = "") -> list[algebra.Polynomial]:
    """What is bare in these words, made by others or, after ``own``, by it; ``told``: the key that it holds."""
    sources = {"own": algebra.Source.MADE, "map": algebra.Source.FOLLOWS}
    parted = [text.rpartition(": ") for text in texts]
    rows = [(made.expand(parse_term(text), AT), sources.get(how, algebra.Source.HEARD)) for how, _, text in parted]
    known = [atom.kind == "mask" and atom.of[0] == told for atom in made.atoms]
    hides: list[bool] = []
    bases: list[int | None] = []
    for number, atom in enumerate(made.atoms):
        hides.append((atom.kind == "mask" and atom.of[0] != told) or any(hides[inner] for inner in atom.inner))
        base = number if not atom.inner else bases[atom.inner[0]] if len(atom.inner) == 1 else None
        bases.append(base if hides[-1] else None)
    return algebra.Bare(known.__getitem__, hides.__getitem__, bases.__getitem__).of(rows)


X, Y, U, W = "values(a, factor)", "values(b, gathered)", "mask(s_ab, u, factor)", "mask(s_ab, w, factor)"


def test_only_what_every_mask_leaves_is_bare() -> None:
    """x - m and y - m give x - y; a mask of its own hides; a known mask hides nothing."""
    (found,) = bare(words(), f"{X} - {U}", f"{Y} - {U}")
    assert len(found) == 2 and sum(found.values()) % algebra.PRIME == 0
    assert bare(words(), f"{X} - {U}", f"{Y} - {W}") == []
    assert len(bare(words(), f"{X} - {U}", f"{Y} - {W}", told="s_ab")) == 2


@pytest.mark.parametrize(
    "mask",
    [
        f"({U} + {U})",
        f"{U} * mask(s_bc, scale, gathered)",
        f"{U} * {U}",
        f"{U} * {W}",
        f"({U} - {U})",
        f"({U} + {U} + {U} + {U}) * mask(s_bc, scale, gathered)",
    ],
)
def test_a_mask_that_may_be_even_does_not_hide(mask: str) -> None:
    assert len(bare(words(), f"{X} - {mask}", told="s_bc")) == 1
    assert bare(words(), f"{X} - {U} - {U} - {U}", told="s_bc") == []


def test_a_mask_hides_one_row_under_whatever_map() -> None:
    """x - m and y - diff(m): m is known to be x less what was heard, and so is its diff."""
    assert len(bare(words(), f"{X} - {U}", f"{Y} - diff({U})")) == 1
    assert bare(words(), f"{X} - {U}", f"map: diff({X}) - diff({U})") == []
    (found,) = bare(words(), f"{X} - {U}", f"{Y} - diff({U})", f"map: diff({X}) - diff({U})")
    assert len(found) == 2
    assert bare(words(), f"{X} - {U}", f"{Y} - diff({U}) - {W}") == []


def test_what_a_coalition_made_cancels_products_and_hides_nothing() -> None:
    """It knows its own message: products in it cancel in others' messages; masks in it are no news, and no cover."""
    known = "mask(s_bc, v, gathered)"
    assert len(bare(words(), f"own: {U} * {known}", f"{X} - {U} * {known}", told="s_bc")) == 1
    assert len(bare(words(), f"own: {X} + {U} + {U}", f"{X} + {U} + {U}", told="s_bc")) == 1


def test_a_basis_leads_with_what_tells_most() -> None:
    rows: list[algebra.Polynomial] = [{(1,): 1, (2,): 1}, {(1,): 1, (2,): 2, (3,): 1}]
    reduced = algebra.reduce(rows, lambda monomial: monomial[0])
    assert {min(row) for row in reduced} == {(1,), (2,)}
    assert all(sum((1,) in row for row in reduced) == 1 for _ in reduced)


# -- what is believed of a card ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", corpus.PASS[:6], ids=lambda file: file.stem)
def test_what_a_card_says_its_messages_carry_is_what_their_terms_are_made_of(file: Path) -> None:
    """The first checker reads ``carries``, the second the terms."""
    case = case_of(file)
    multiplied = any(at.factor is not None for at in case.columns["v"])
    for message in case.join.messages:
        made = {f"{role}.{what}".lstrip(".") for role, what in knowledge.depends(case, message.meaning)}
        made = {name.removesuffix("s") if name.endswith("keys") else name for name in made}
        said = set(message.carries) - (set() if multiplied or message.label == "Me" else {"a.values"})
        assert made == said, message.label


def test_shares_that_do_not_add_up_are_no_shares() -> None:
    wrong = TEXT.replace('helper = "diff(gather(M6, M8))"', 'helper = "diff(gather(M6, M8)) + local(a, summed)"')
    assert wrong != TEXT
    spec = parse_toml(corpus.PASS[0].read_text())
    card = parse_card(wrong.encode(), file="card.toml")
    with pytest.raises(InternalError) as caught:
        knowledge.judge(lower(spec, bind(spec)), spec, {**load_cards(), card.id: card})
    assert caught.value.code == "plan.terms" and "do not add up" in caught.value.text


@pytest.mark.parametrize(
    "edit",
    [
        ("mask(s_ac, r1, summed)", "mask(s_ac, r1, product)"),
        ('a = "gather(M3, M4)"', 'a = "gather(M3, M3)"'),
        ('a = "gather(M3, M4)"', 'a = "tags(tag, keys(a))"'),
    ],
)
def test_terms_that_make_no_sense_stop_everything(edit: tuple[str, str]) -> None:
    file = corpus.HERE / "should_pass" / "edge_global_agg.toml"
    spec = parse_toml(file.read_text())
    card = parse_card(TEXT.replace(*edit).encode(), file="card.toml")
    with pytest.raises(InternalError) as caught:
        knowledge.judge(lower(spec, bind(spec)), spec, {**load_cards(), card.id: card})
    assert caught.value.code == "plan.terms"


# -- properties of what is known --------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", corpus.PASS[:6], ids=lambda file: file.stem)
def test_a_larger_coalition_knows_no_less(file: Path) -> None:
    case = case_of(file)
    known = {
        frozenset(group): knowledge.marks_of(knowledge.view(case, frozenset(group)))
        for size in range(len(case.parties) + 1)
        for group in itertools.combinations(case.parties, size)
    }
    for small, large in itertools.permutations(known, 2):
        if small < large:
            assert all(known[large].get(item, Mark.NEVER).rank >= mark.rank for item, mark in known[small].items())


def test_the_second_checker_reads_no_promise_of_the_card() -> None:
    """Whatever ``learns`` and ``carries`` say, the matrix is the same: it comes from terms and keys alone."""
    card = load_cards()["helper_join_a"]
    card = replace(card, learns=(), messages=tuple(replace(message, carries=()) for message in card.messages))
    spec = parse_toml(corpus.PASS[0].read_text())
    plan = lower(spec, bind(spec))
    told = knowledge.judge(plan, spec, load_cards())
    assert knowledge.judge(plan, spec, {**load_cards(), card.id: card}).matrix.differences(told.matrix) == ()


def test_the_attacks_of_the_readme_are_found_where_a_protection_is_taken_out() -> None:
    """Pitfalls 5 and 14 of protocols/helper_join_a/README.md, by what exactly becomes known."""
    file = corpus.HERE / "should_pass" / "ae_by_tenure.toml"
    no_zero = TEXT.replace(" + zero(s_ac, summed)", "").replace(" - zero(s_ac, summed)", "")
    seen = knowledge.view(case_of(file, no_zero), frozenset({PartyId("council"), PartyId("statistics")}))
    assert "helper" in seen.noise and seen.exact
    honest = knowledge.view(case_of(file), frozenset({PartyId("council"), PartyId("statistics")}))
    assert not honest.exact and honest.noised and honest.noise == set()
    known_order = TEXT.replace("perm(s_ab, rho2)", "perm(s_ac, rho2)")
    assert "a" in knowledge.view(case_of(file, known_order), frozenset({PartyId("helper")})).groups
    assert not knowledge.view(case_of(file), frozenset({PartyId("helper")})).groups
