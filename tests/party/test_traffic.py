"""What is on the wire is the projection of plan and card, message by message, and nothing of it depends on records."""

import random
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pets.party import gate
from pets.party.cast import roles_of
from pets.party.gate import labels_of
from pets.party.warm import prepare_kernels
from pets.plan.cost import join_of
from pets.plan.review import Reviewed, review
from pets.spec.ir import Protect
from pets.spec.parse import parse_toml
from pets.transport import frame
from tests.check.corpus import PASS
from tests.party import sessions
from tests.party.world import NUMBER, altered, without_noise
from tests.thinned import thinned

ROOT = Path(__file__).parent.parent.parent
ALL = [*PASS, *sorted((ROOT / "parties").rglob("*.spec.toml"))]
CARD: dict[str, Any] = tomllib.loads((ROOT / "protocols" / "helper_join_a" / "card.toml").read_text())
ROUNDS = {message["n"]: message["round"] for message in CARD["message"]}
MOST = 50
"""Declared rows of an example, as it is run here: sizes are formulas, and large ones are no other formulas."""


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare_kernels()


# -- the projection, read off the card a second time ------------------------------------------------------------------


def evaluate(formula: str, names: Mapping[str, int]) -> int:
    """A formula of the card, by Python: the card's language is a part of it."""
    assert re.fullmatch(r"[a-z0-9_+\-*/(), ]+", formula)
    known = {"__builtins__": {}, "max": max, "ceil_log2": lambda n: (n - 1).bit_length(), **names}
    return int(eval(formula, known))


def by_hand(public: Mapping[str, int]) -> list[tuple[str, str, int, str, int, str, int, int]]:
    """(sender, receiver, message, label, column, dtype, elements, bytes) of every array that the card lists."""
    names = dict(public)
    for name, formula in CARD["derived"].items():
        names[name] = evaluate(formula, names)
    found = []
    for message in CARD["message"]:
        count, element = evaluate(message["count"], names), message["element"]
        if element.startswith("bytes["):
            dtype, width = "uint8", evaluate(element[6:-1], names)
        else:
            dtype, width = {"word": ("uint64", 8), "u32": ("uint32", 4)}[element]
        for column in range(evaluate(message["columns"], names)):
            way = message["from"], message["to"], message["n"], message["label"]
            found.append((*way, column, dtype, count, count * width))
    return found


def on_the_wire(reviewed: Reviewed, played: sessions.Played) -> list[tuple[str, str, int, str, int, str, int, int]]:
    """The same of what was sent: places and bytes from the frames, types from what the roles handed over."""
    role = {party: name for name, party in roles_of(reviewed).items()}
    labels = {message["n"]: message["label"] for message in CARD["message"]}
    bodies: dict[tuple[str, str, int, int], int] = {}
    for each in played.frames:
        slot = each.head.slot
        key = (role[each.sender], role[each.to], slot.message, slot.column)
        bodies[key] = bodies.get(key, 0) + len(frame.read(each.data)[1])
    types = {
        (sender, to, label, column): (dtype, shape[0])
        for sender, acts in played.acts.items()
        for to, label, column, dtype, shape in acts
    }
    assert len(types) == len(bodies) == sum(map(len, played.acts.values()))
    return [
        (sender, to, number, labels[number], column, *types[sender, to, labels[number], column], size)
        for (sender, to, number, column), size in bodies.items()
    ]


@cache
def shrunk(file: Path) -> Reviewed:
    text = re.sub(r"max_rows = [0-9_]+", f"max_rows = {MOST}", file.read_text())
    return review(parse_toml(text, file=file.name)).require()


@pytest.mark.parametrize("file", thinned(ALL, one_in=2), ids=lambda file: file.name.split(".")[0])
def test_the_transcript_of_every_example_is_the_projection(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviewed = shrunk(file)
    if computed_on(reviewed):
        is_projected(reviewed, file.name)
    else:
        is_as_the_card_lists_it(reviewed, file.name, monkeypatch)


def computed_on(reviewed: Reviewed) -> bool:
    """Whether there are operations on shares; the others send what the card of mode A lists, and nothing else."""
    plan = reviewed.plan
    return isinstance(plan.protection, Protect) or plan.join.rows is not None or plan.join.card != "helper_join_a"


def test_there_are_examples_of_both_kinds() -> None:
    assert {computed_on(shrunk(file)) for file in ALL[::7]} == {False, True}


def is_as_the_card_lists_it(reviewed: Reviewed, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions.noting(monkeypatch)
    played = sessions.run(reviewed, sessions.draw_tables(reviewed, random.Random(name)))
    sent, wanted = on_the_wire(reviewed, played), by_hand(join_of(reviewed.plan).public)
    assert sorted(sent) == sorted(wanted)
    for sender in ("a", "b", "helper"):  # and each sender sends in the order of the card: round, message, column
        assert [each[2:5] for each in sent if each[0] == sender] == [each[2:5] for each in wanted if each[0] == sender]
    assert sum(each[-1] for each in sent) == reviewed.forecast.size


def is_projected(reviewed: Reviewed, name: str) -> None:
    """Message by message of both cards and of every operation: from whom, to whom, which, and how many bytes."""
    played = sessions.run(reviewed, sessions.draw_tables(reviewed, random.Random(name)))
    role = {party: name for name, party in roles_of(reviewed).items()}
    sent: dict[tuple[str, str, object], int] = {}
    for each in played.frames:
        key = (role[each.sender], role[each.to], each.head.slot)
        sent[key] = sent.get(key, 0) + len(frame.read(each.data)[1])
    wanted = {
        (name, each.role, each.slot): each.size
        for name in set(role.values()) - {gate.RESULT}
        for each in gate.project_plan(reviewed.plan, roles_of(reviewed), name)
        if each.sending
    }
    assert sent == wanted
    assert sum(wanted.values()) == reviewed.forecast.size


# -- two inputs -------------------------------------------------------------------------------------------------------

_MEASURES = "SELECT s.band, h.tenure, COUNT(*) AS n, AVG(s.minutes) AS mean, COUNT(DISTINCT s.pid) AS people"
_VARIANTS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("FROM stays s JOIN", "FROM stays s LEFT JOIN"),),
    (("SELECT s.band, h.tenure, COUNT(*) AS n, SUM(s.minutes) AS minutes", _MEASURES),),
    (
        ("SELECT s.band, h.tenure, COUNT(*) AS n, SUM(s.minutes) AS minutes", _MEASURES),
        ("FROM stays s JOIN", "FROM stays s LEFT JOIN"),
    ),
    (("SELECT s.band, h.tenure,", "SELECT"), ("\nGROUP BY s.band, h.tenure", "")),
    (('scheme = "text"', 'scheme = "nhs-number"'),),
)
_SIZES = ((1, 1, 1), (3, 20, 7), (2, 40, 40), (4, 9, 30), (1, 33, 2))
"""Rows a person, declared rows of role a's table and of the other."""


@cache
def declared(number: int) -> Reviewed:
    k, rows, people = _SIZES[number % len(_SIZES)]
    text = altered(*_VARIANTS[number % len(_VARIANTS)], ("max_rows_per_person = 2", f"max_rows_per_person = {k}"))
    first, last = text.split("max_rows = 40", 1)
    last = last.replace("max_rows = 40", f"max_rows = {people}")
    return review(parse_toml(f"{first}max_rows = {rows}{last}")).require()


def equal_traffic(seed: int) -> None:
    """Two inputs that have nothing in common but what is declared: the same messages and bytes, round by round."""
    draw = random.Random(f"pair {seed}")
    reviewed = declared(seed % (len(_VARIANTS) * len(_SIZES)))
    first, second = (sessions.draw_tables(reviewed, draw) for _ in range(2))
    told = [sessions.run(reviewed, tables).traffic(ROUNDS) for tables in (first, second)]
    assert told[0] == told[1], seed
    assert {way[0] for way in told[0]} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("block", thinned(range(8), one_in=2))
def test_two_inputs_with_equal_declared_sizes_have_equal_traffic(block: int) -> None:
    for seed in range(25 * block, 25 * (block + 1)):
        equal_traffic(seed)


NOISE = altered()[altered().index("[release.differential_privacy]") : altered().index("[security]")]
KNOWN = 'known_totals = [[]]\nzeros = "shown"\n'


FEW = "dominance = [{ largest = 1, percent = 90 }]\np_percent = 1\n"
KINDS = {"plain": "", "rounded": "round_to = 5\n", "known totals": KNOWN, "dominance": FEW}


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_an_exact_release_sends_the_same_whatever_is_withheld(more: str) -> None:
    """Tables that are empty, full, matched by nobody: the same messages and bytes, also of all that compares."""
    text = altered(
        (NOISE, f"[release.disclosure_control]\nmin_count = 3\n{more}"),
        ("max = 100 }", "max = 100, required = true }"),
    )
    reviewed = review(parse_toml(text)).require()
    rounds = dict.fromkeys(labels_of(reviewed.plan), 0)
    told, withheld = [], set()
    for seed in range(6):
        played = sessions.run(reviewed, sessions.draw_tables(reviewed, random.Random(f"exact {seed}")))
        told.append(played.traffic(rounds))
        withheld.add(int((played.opened == 0).sum()))
    assert all(each == told[0] for each in told)
    assert len(withheld) > 1, "the same cells are withheld of all of them"
    by_party = {(str(m.sender), str(m.receiver)): 0 for m in reviewed.forecast.messages}
    for message in reviewed.forecast.messages:
        by_party[str(message.sender), str(message.receiver)] += message.size
    assert sum(by_party.values()) == reviewed.forecast.size


@pytest.mark.long
@pytest.mark.parametrize("block", range(8, 40))
def test_a_thousand_pairs_of_inputs_have_equal_traffic(block: int) -> None:
    for seed in range(25 * block, 25 * (block + 1)):
        equal_traffic(seed)


def test_the_pairs_differ_in_everything_that_is_not_declared() -> None:
    seen: set[str] = set()
    for seed in range(200):
        draw = random.Random(f"pair {seed}")
        reviewed = declared(seed % (len(_VARIANTS) * len(_SIZES)))
        first, second = (sessions.draw_tables(reviewed, draw) for _ in range(2))
        rows = [tuple(table.rows for table in tables.values()) for tables in (first, second)]
        people = [[{bytes(i) for i in table.ids} for table in tables.values()] for tables in (first, second)]
        matches = [len(both[0] & both[1]) for both in people]
        seen |= {"rows"} if rows[0] != rows[1] else set()
        seen |= {"matches"} if matches[0] != matches[1] else set()
        seen |= {"an empty table"} if 0 in rows[0] else set()
        seen |= {"nobody matches"} if 0 in matches and 0 not in rows[0] else set()
        for tables in (first, second):
            for table in tables.values():
                seen |= {"NULLs" for there in table.present.values() if not there.all()}
                seen |= {"more rows a person" for _ in [0] if len(set(table.person.tolist())) < table.rows}
    assert seen >= {"rows", "matches", "an empty table", "nobody matches", "NULLs", "more rows a person"}


def test_an_array_that_depends_on_records_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the comparison is for: one frame more when somebody matches, behind a gate that lets it pass."""
    from pets.transport.memory import MemoryNetwork

    carry = MemoryNetwork.carry

    def leaky(self: MemoryNetwork, sender: Any, to: Any, slot: Any, body: memoryview) -> None:
        carry(self, sender, to, slot, body)
        if slot.message == NUMBER["M4"] and sum(bytes(body)) % 2:
            for tap in self.taps:
                tap(sessions.Passing(sender, to, frame.Head(self.run_id, slot, 1, 0), b"x"))

    monkeypatch.setattr(MemoryNetwork, "carry", leaky)
    with pytest.raises(AssertionError):
        for seed in range(40):
            equal_traffic(seed)


def test_the_records_that_are_drawn_are_really_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise, the counts of all cells add up to the rows whose person is in the other table, too."""
    without_noise(monkeypatch)
    reviewed, totals = declared(6), set[int]()
    for seed in range(30):
        tables = sessions.draw_tables(reviewed, random.Random(seed))
        stays, homes = (
            next(table for (name, _), table in tables.items() if name == each) for each in ("stays", "homes")
        )
        others = {bytes(person) for person in homes.ids}
        matched = sum(bytes(person) in others for person in stays.ids)
        cells = len(reviewed.plan.steps[1].dimensions[0].levels)  # type: ignore[union-attr]
        assert int(sessions.run(reviewed, tables).opened[:cells].sum()) == matched
        totals.add(matched)
    assert len(totals) >= 3
