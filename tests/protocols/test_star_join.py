"""star_join: what is sent is what gate, forecast and the card's terms say, and tells nobody who is in the tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import PetsError
from pets.kernels import okvs, permute, prf, tags
from pets.party import prepare
from pets.plan.cost import join_numbers, parties_of
from pets.protocols import helper_join, rows
from pets.protocols.rep3.sharing import Words
from pets.spec.ir import Read
from tests.oracles import random_queries as drawn
from tests.oracles import several_tables
from tests.oracles.direct import Direct, only, stream
from tests.oracles.helper_join import families
from tests.oracles.play import Transcript
from tests.oracles.projected import as_planned
from tests.protocols.test_helper_join import LENGTHS, altered
from tests.test_several_tables import frozen

SEVERAL = pytest.mark.parametrize("tables", [3, 5])


def one(folder: Path, seed: int = 3, tables: int = 3) -> Direct:
    """A query with values of three tables, or of five."""
    found = several_tables.world(seed, tables=tables)
    text = "SELECT a.d0a, c.d0c, COUNT(*) AS n, SUM(c.ic) AS s, CORR(a.ea, c.ec) AS r, SUM(b.wb) AS w"
    text += ", SUM(u.iu) AS t, SUM(v.iv) AS x" if tables > 3 else ""
    text += " FROM stays a JOIN homes b ON a.{0} = b.{1} JOIN schools c ON b.{1} = c.{2}"
    text += " JOIN visits u ON a.{0} = u.{3} JOIN courts v ON u.{3} = v.{4}" if tables > 3 else ""
    text = text.format(*found.keys) + " GROUP BY a.d0a, c.d0c"
    return Direct.of(drawn.spec_of(found, text), frozen(found, folder)[0])


def further(direct: Direct) -> list[str]:
    """The roles d1, d2 ... of a plan."""
    return [role for role in parties_of(direct.plan) if role.startswith("d")]


@SEVERAL
def test_what_is_sent_is_what_gate_and_forecast_say(tables: int, tmp_path: Path) -> None:
    direct = one(tmp_path, tables=tables)
    assert len(further(direct)) == tables - 2
    as_planned(direct.plan, direct.played(seed=1))


@SEVERAL
def test_traffic_and_tokens_do_not_depend_on_who_is_in_the_tables(tables: int, tmp_path: Path) -> None:
    """Whoever matches, in one table, in all or in none: sizes stay, and tokens are as distinct as ever."""
    direct = one(tmp_path, tables=tables)
    shapes = set()
    roles = ("a", "b", *further(direct))
    for empty in ((), *((role,) for role in roles), roles):
        transcript = direct.played(seed=1, keep=dict.fromkeys(empty, _none))
        shapes.add(str(transcript.shape_of_traffic()))
        lists = [transcript.array(label) for label in ("T", *(f"T{role}" for role in further(direct)))]
        tokens = np.concatenate(lists)
        assert len(np.unique(tokens, axis=0)) == len(tokens) == len(lists) * len(lists[0])
    assert len(shapes) == 1


@SEVERAL
def test_role_d_receives_nothing_and_the_helper_s_words_are_as_good_as_random(tables: int, tmp_path: Path) -> None:
    transcript = one(tmp_path, tables=tables).played(seed=2)
    assert not [key for key, _ in transcript.sent if key[1].startswith("d")]
    assert {key[1] for key, _ in transcript.sent if key[0].startswith("d")} == {"helper"}
    for key, array in transcript.sent:
        if key[1] == "helper" and key[2].startswith("P"):
            assert not np.any(array < np.uint64(2**32)), "a slot that is 0 or a value shows"


def test_a_second_run_shares_no_token_and_no_slot_with_the_first(tmp_path: Path) -> None:
    direct = one(tmp_path)
    first, second = direct.played(seed=1), direct.played(seed=2)
    for label in ("T", "Td1", "Pc", "Pdc1"):
        one_run, other = ({row.tobytes() for row in run.array(label)} for run in (first, second))
        assert not one_run & other


def _none(table: Any) -> Any:
    return only(table, np.zeros(table.rows, bool))


def test_a_wrong_place_ends_the_run(tmp_path: Path) -> None:
    direct = one(tmp_path)
    with pytest.raises(PetsError, match=r"peer\.positions"):
        direct.played(seed=1, alter=altered("M8", np.zeros_like))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Direct, Transcript, dict[int, list[Words]]]:
    """A run with values of all three tables, and what each of the three has of the computed rows, by its number."""
    direct = one(tmp_path_factory.mktemp("terms"))
    kept: dict[int, list[Words]] = {}
    real = rows.filtered

    def noting(ctx: Any, *args: Any) -> Any:
        kept[ctx.me] = yield from real(ctx, *args)
        return kept[ctx.me]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helper_join.rows, "filtered", noting)
        transcript = direct.played(seed=5)
    return direct, transcript, kept


def listed(direct: Direct) -> dict[str, int]:
    return join_numbers(direct.plan)


Played = tuple[Direct, Transcript, dict[int, list[Words]]]


def test_tables_under_their_masks_are_read_by_the_tokens_of_their_persons(played: Played) -> None:
    """Pc, P, Pdc and Pd less nothing but the masks that the card says; T and Td have tokens of keys of their own."""
    direct, transcript, _ = played
    keys, names, join = families(5), listed(direct), direct.plan.join
    q = permute.permutation(keys["ab@a"].key("q", purpose="permutation"), names["n_list_a"])
    reads = {each.out: each for each in direct.plan.steps if isinstance(each, Read)}
    for step, pair, label, tables, third in (
        (join.b, "ab", "T", ("Pc", "P"), "third"),
        (join.beside[0].read, "ad1", "Td1", ("Pdc1", "Pd1"), "third_d_d1"),
    ):
        family, shape = keys[f"{pair}@a"], prepare.shape_of(direct.plan)
        people = prepare.people_of_b(reads[step], join, shape, direct.tables[step], stream(5, pair[1:]))
        tokens, checks = (
            tags.tag_rows(
                family.key(key, purpose="tags"),
                tags.id_blocks(
                    people.ids,
                    fixed=join.fixed_ids,
                    key=None if join.fixed_ids else family.key("idhash", purpose="hash of identifiers"),
                ),
                np.ones(len(people.ids), np.uint16),
                width=width,
            )
            for key, width in (("tag", 16), ("check", 8))
        )
        places, slots = okvs.Places(tokens, names[third]), 3 * names[third] + 56
        unmasked = transcript.array(tables[0]) + prf.words(family.key("rc", 0), slots)
        assert np.array_equal(okvs.read(unmasked, places), checks.reshape(-1).view(np.uint64))
        shape_of = shape.of_further(0) if label == "Td1" else shape  # type: ignore[union-attr]
        for place, column in enumerate(shape_of.travelling):  # type: ignore[union-attr]
            unmasked = transcript.array(tables[1], place) + prf.words(family.key("r", column), slots)
            assert np.array_equal(okvs.read(unmasked, places).view(np.int64), people.values[column])
        of_a = prepare.rows_of_a(reads[join.a], join, shape, direct.tables[join.a], stream(5, "a"))
        here = {row.tobytes() for row in tags.tag_rows(
            family.key("tag", purpose="tags"),
            tags.id_blocks(of_a.ids, fixed=join.fixed_ids,
                           key=None if join.fixed_ids else family.key("idhash", purpose="hash of identifiers")),
            of_a.occurrence, width=16)}  # fmt: skip
        sent = [row.tobytes() for row in transcript.array(label)]
        assert here <= set(sent) and len(sent) == names["n_list_a"] == len(q)


def test_the_messages_that_end_it_are_their_terms(played: Played) -> None:
    """Mr with what a has is computed - mask(s_bc, rows); M6c is made of that mask, in b's orders, under r2."""
    direct, transcript, kept = played
    keys, n = families(5), listed(direct)["n_list_a"]
    q = permute.permutation(keys["ab@a"].key("q", purpose="permutation"), n)
    rho2 = permute.permutation(keys["ab@a"].key("rho2", purpose="permutation"), n)
    for column in range(listed(direct)["v"]):
        mask = prf.words(keys["bc@c"].key("rows", column), n)
        own, third = kept[0][column], kept[1][column]
        computed = (own.own + own.next + third.next)[:n]
        assert np.array_equal(own.own[:n] + own.next[:n] + transcript.array("Mr", column), computed - mask)
        running = np.cumsum(mask[q], dtype=np.uint64)
        placed = np.empty_like(running)
        placed[rho2] = running
        assert np.array_equal(transcript.array("M6c", column), placed - prf.words(keys["ab@b"].key("r2", column), n))


def test_a_part_of_a_row_is_no_value_to_who_has_it(played: Played) -> None:
    """No part of any of the three is small, as the values are; a and the helper together have what it takes."""
    for mine in played[2].values():
        for column in mine:
            for part in (column.own, column.next):
                assert not np.any(part < np.uint64(2**32)), "a part shows a value"


@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize(
    "label", ["T", "Td1", "M8", "Pc", "P", "Pdc1", "Pd1", "two", "in", "mul", "Mr", "M6c", "Mn", "M7a"]
)
def test_a_wrong_count_is_refused_before_it_is_read(label: str, what: str, small: Direct) -> None:
    with pytest.raises(PetsError) as caught:
        small.played(seed=1, alter=altered(label, LENGTHS[what]), gates=True)
    assert caught.value.code == "peer.bad-length"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Direct:
    return one(tmp_path_factory.mktemp("small"))
