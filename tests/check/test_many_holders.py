"""Tables of many holders before both checkers: they agree, two stand for all, and no planted leak gets past them."""

from collections.abc import Mapping
from functools import cache

import pytest

from pets.check import flow, knowledge
from pets.check.disclosure import render
from pets.check.labels import Mark
from pets.errors import InternalError, SpecError
from pets.ids import PartyId
from pets.plan.lower import lower
from pets.plan.review import review
from pets.spec.canonical import canonical, spec_digest
from pets.spec.cards import Card, cards_folder, load_cards, parse_card
from pets.spec.model import Spec
from pets.spec.parse import parse_toml, spec_from_json
from pets.spec.sql import bind
from pets.spec.write import to_toml
from tests.oracles.many import CONTROL, boards, councils, many, many_toml
from tests.oracles.planted import Planted, all_of, held_by, sends, sent_to, swap

CARD = "shared_join"
TEXT = (cards_folder() / CARD / "card.toml").read_text(encoding="utf-8")
EXACT = {"protection": CONTROL, "truncate": False}
ONCE = (("max_runs = 60", "max_runs = 1"), ('schedule = "monthly"\n', ""))
NOISED, CONTROLLED = many(3, 2), many(3, 2, edits=ONCE, **EXACT)


@cache
def card_with(edit: Planted) -> Mapping[str, Card]:
    card = parse_card(edit.edit(TEXT).encode(), file=edit.name)
    return {**load_cards(), card.id: card}


def both(spec: Spec, cards: Mapping[str, Card]) -> tuple[bool, bool, tuple[str, ...]]:
    """Who accepts, and where they differ."""
    query = bind(spec)
    first = flow.judge(spec, query, cards)
    second = knowledge.judge(lower(spec, query), spec, cards)
    return first.accepted, second.accepted, first.matrix.differences(second.matrix)


# -- agreement --------------------------------------------------------------------------------------------------------

SQL = (
    "SELECT h.tenure, COUNT(*) AS n FROM attendances a JOIN housing h USING (nhs_number) GROUP BY h.tenure",
    "SELECT a.age_band, AVG(a.minutes) AS m FROM attendances a JOIN housing h USING (nhs_number) GROUP BY a.age_band",
    "SELECT COUNT(DISTINCT h.nhs_number) AS n FROM housing h JOIN attendances a USING (nhs_number)",
    "SELECT h.tenure, VAR_POP(a.minutes) AS v FROM housing h JOIN attendances a USING (nhs_number) "
    "WHERE a.arrival > DATE '2026-01-01' AND h.tenure <> 'owner' GROUP BY h.tenure",
)


@pytest.mark.parametrize("sql", SQL)
@pytest.mark.parametrize("to", ["statistics", "board-01", "council-02", "south"])
def test_both_checkers_accept_and_agree(sql: str, to: str) -> None:
    specs = [many(3, 2, sql=sql, to=to), many(3, 2, sql=sql, to=to, edits=ONCE, **EXACT)]
    specs += [many(1, 1, sql=sql, to=to)] if to != "council-02" else []
    for spec in specs:
        assert both(spec, load_cards()) == (True, True, ()), to


def test_no_column_of_the_matrix_stands_twice_where_who_computes_gets_the_result() -> None:
    columns = review(many(3, 2, to="south")).verdict.matrix.columns
    assert len({each.parties for each in columns}) == len(columns)


@pytest.mark.parametrize("to", ["statistics", "board-02"])
def test_two_of_many_stand_for_all(to: str) -> None:
    """Whoever is left out of the matrix has the marks of who stands for it: the same holds however many there are."""
    small, large = (review(many(left, right, to=to)).verdict.matrix for left, right in ((2, 2), (14, 32)))
    assert small == large
    for party in (*boards(2), *councils(2), "north", "south", "west"):
        for row in small.rows:
            own = row.value.endswith(f" of {party}") or f" of {party} " in row.value
            mark = row.cells[party]
            if row.kind in ("column", "tags") and own:
                assert mark is Mark.VISIBLE
            elif party != to:
                assert mark in (Mark.NEVER, Mark.HELD, Mark.SIZE), (row.value, party)


def test_every_holder_is_named_and_folded_in_the_report() -> None:
    told = " ".join(render(review(many(14, 32))).split())
    assert "14 parties (board-01, board-02 ... board-14)" in told
    assert "32 parties (council-01, council-02 ... council-32)" in told
    assert all(name in told for name in (*boards(14), *councils(32)))
    assert "any two who compute all of attendances and housing" in told
    assert "Nobody learns how many rows match" in told


WIDE = """SELECT a.age_band, a.place, COUNT(DISTINCT a.nhs_number) AS people
FROM attendances a JOIN housing h USING (nhs_number) GROUP BY a.age_band, a.place"""


@pytest.mark.parametrize(
    ("levels", "rows", "code"), [(180, 4_000_000, ""), (199, 4_000_000, "spec.key-bits"), (9, 4_200_000, "spec.rows")]
)
def test_keys_that_are_too_wide_and_lists_that_are_too_long_are_refused_by_their_names(
    levels: int, rows: int, code: str
) -> None:
    names = "[" + ", ".join(f'"a{number}"' for number in range(levels)) + "]"
    place = f'place = {{ role = "dimension", type = "category", levels = {names} }}\nage_band   ='
    edits = (
        *ONCE,
        ('scheme = "nhs-number"', 'scheme = "text"'),
        ('["strip-spaces", "check-digit"]', "[]"),
        ('["16-24", "25-44", "45-64", "65+"]', names),
        ("age_band   =", place),
    )
    found = review(many(2, 2, sql=WIDE, rows=(rows, rows), edits=edits, **EXACT))
    assert [finding.rule for finding in found.verdict.errors] == ([code] if code else [])


# -- leaks ------------------------------------------------------------------------------------------------------------


def unmasked(label: str, mask: str) -> Planted:
    return Planted(f"{label} without its mask", swap(f" - {mask}", ""))


MASK = "- mask(s_r, uv, gathered)"

LEAKS = (
    *(
        Planted(f"{label} goes to {receiver}", sent_to(label, receiver))
        for label in ("Lk", "Lv", "Rk", "Rv")
        for receiver in ("first",)
    ),
    Planted("Fa goes to second", sent_to("Fa", "second")),
    unmasked("Lk", "mask(s_l, uk, word)"),
    unmasked("Lv", "mask(s_l, uv, factor)"),
    unmasked("Rk", "mask(s_r, uk, word)"),
    unmasked("Rv", "mask(s_r, uv, gathered)"),
    Planted("second has the keys of left holders, too", held_by("s_l", "left", "first", "second")),
    Planted("second has the keys of right holders, too", held_by("s_r", "right", "first", "second")),
    Planted("the mask of Rv twice", swap(MASK, f"{MASK} {MASK}")),
    Planted("second adds no noise", swap(" + noise(second, summed)", "")),
    Planted("third adds no noise", swap('term = "noise(third, summed) - ', 'term = "- ')),
    Planted("no share of zero", all_of(swap(" - zero(s_12, summed)", ""), swap(" + zero(s_12, summed)", ""))),
    Planted(
        "first tells its part of the sums",
        sends("first", "second", "share(first, sums)", "sums"),
    ),
)


@pytest.mark.parametrize("edit", LEAKS, ids=lambda edit: edit.name)
def test_each_checker_finds_each_planted_leak(edit: Planted) -> None:
    try:
        cards = card_with(edit)
    except SpecError:
        pytest.fail(f"{edit.name} is no card")
    assert both(NOISED, cards)[:2] == (False, False), edit.name


def test_a_card_with_shares_that_do_not_add_up_is_refused() -> None:
    both_parts = "part(s_13, sums, summed) + part(s_12, sums, summed)"
    edit = Planted("a part is missing", swap(both_parts, "part(s_13, sums, summed)"))
    with pytest.raises(InternalError, match="do not add up"):
        both(NOISED, card_with(edit))


# -- the format -------------------------------------------------------------------------------------------------------


def test_holders_survive_every_form_of_a_specification() -> None:
    spec = NOISED
    assert parse_toml(to_toml(spec)) == spec
    assert spec_from_json(canonical(spec)) == spec
    table = spec.dataset("attendances")
    assert table.parties == set(map(PartyId, boards(3))) and table.several
    assert (table.max_rows, table.max_rows_per_person) == (100 + 101 + 102, 4 * 3)
    assert table.part("board-02").max_rows == 101 and table.part("board-02").party == "board-02"
    assert spec.servers == (*boards(3), *councils(2), "north", "south", "west")
    with pytest.raises(ValueError, match="several holders"):
        _ = table.party


def test_the_order_in_which_holders_are_written_is_no_part_of_the_meaning() -> None:
    text = many_toml(2, 2)
    turned = text.replace("board-01 = 100\nboard-02 = 101", "board-02 = 101\nboard-01 = 100")
    assert text != turned and spec_digest(parse_toml(text)) == spec_digest(parse_toml(turned))
    one, two = (review(parse_toml(each)).plan_digest for each in (text, turned))
    assert one == two


HOLDERS = "[dataset.holders]\nboard-01 = 100\n"

WRONG = (
    ((HOLDERS, "[dataset.holders]\nboard-01 = 0\n"), "dataset.attendances.holders.board-01"),
    ((HOLDERS, "[dataset.holders]\nboard-09 = 100\n"), ""),
    ((HOLDERS + "board-02 = 101\n", "[dataset.holders]\n"), "dataset.attendances"),
    ((HOLDERS, "max_rows = 9\n" + HOLDERS), "dataset.attendances.max_rows"),
    (("[legal.board-02", "[legal.board-07"), "legal"),
)


@pytest.mark.parametrize(("change", "path"), WRONG, ids=[path or "nobody" for _, path in WRONG])
def test_holders_that_do_not_fit_are_refused_with_their_place(change: tuple[str, str], path: str) -> None:
    text = many_toml(2, 2)
    assert change[0] in text
    with pytest.raises(SpecError, match=r"spec\.field") as caught:
        parse_toml(text.replace(*change))
    assert str(caught.value.fields["path"]).startswith(path)
