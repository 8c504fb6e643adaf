"""The promise is data, and the code is measured against it: cards, the gate, the roles and the cost agree."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from pets.errors import SpecError
from pets.plan.cost import forecast, join_card
from pets.plan.review import review
from pets.protocols import codec
from pets.protocols import helper_join as hj
from pets.protocols.base import Send
from pets.spec import cards
from pets.spec.cards import load_cards, parse_card
from pets.spec.parse import parse_toml
from tests.check import corpus
from tests.oracles import helper_join as oracle
from tests.oracles.gated import PARTIES, gate_of, gated
from tests.oracles.play import play
from tests.thinned import thinned

JOIN = load_cards()["helper_join_a"]
RELEASE = load_cards()["release"]


def random_public_case(seed: int) -> oracle.Case:
    """Random public parameters, with rows that fill little or all of them."""
    rng = random.Random(seed)
    g, k = rng.randrange(1, 12), rng.randrange(1, 5)
    rows, persons = rng.randrange(0, 25), rng.randrange(0, 12)
    x, columns = rng.randrange(0, 3), rng.randrange(1, 4)
    summed: list[tuple[int, int | None]] = [(rng.randrange(columns), None) for _ in range(rng.randrange(0, 3))]
    summed += [(rng.randrange(columns), of_a) for of_a in range(x)]
    rng.shuffle(summed)
    order = list(dict.fromkeys(of_a for _, of_a in summed if of_a is not None))
    summed = [(of_b, None if of_a is None else order.index(of_a)) for of_b, of_a in summed]
    return oracle.Case(
        g=g,
        k=k,
        ids_a=[b"%010d" % rng.randrange(15) for _ in range(rows)],
        cell=[rng.randrange(g) for _ in range(rows)],
        x=[[rng.randrange(-9, 10) for _ in range(rows)] for _ in range(x)],
        ids_b=[b"%010d" % i for i in rng.sample(range(20), persons)],
        y=[[rng.randrange(-9, 10) for _ in range(persons)] for _ in range(columns)],
        summed=summed,
        n_a=max(1, rows + rng.choice([0, 0, 7, 100])),
        n_b=max(1, persons + rng.choice([0, 0, 7, 100])),
        fixed=bool(rng.randrange(2)),
    )


# -- code, gate and card ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_what_the_roles_do_is_the_card_s_list(seed: int) -> None:
    """Sequence, receiver, label, column, element type and count of every message, for random public parameters."""
    case = random_public_case(seed)
    names = JOIN.names(case.public())
    expected = {
        (m.sender, m.receiver, m.label, column): (m.element_under(names), m.count.evaluate(names))
        for m in JOIN.messages
        for column in range(m.columns.evaluate(names))
    }
    sent = play(oracle.roles(case, seed), seed=seed).sent
    assert {key for key, _ in sent} == set(expected)
    for key, array in sent:
        element, count = expected[key]
        shape = (count, element.width) if element.kind == "bytes" else (count,)
        assert (array.dtype.itemsize, array.shape) == ({"word": 8, "u32": 4, "bytes": 1}[element.kind], shape), key
        assert array.nbytes == count * element.width


@pytest.mark.parametrize("seed", range(30))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    """The roles pass their gates to the last message, and the two ends of each message project it alike."""
    case = random_public_case(seed)
    gates = {name: gate_of(name, case.public()) for name in JOIN.roles}
    parts = {name: gated(role, gates[name]) for name, role in oracle.roles(case, seed).items()}
    done = play(parts, seed=seed)
    outgoing = {
        (name, str(sent.to), sent.label, sent.column, sent.size)
        for name, (_, left) in done.outputs.items()
        for sent in left
    }
    incoming = {
        (str(e.peer), name, e.label, e.slot.column, e.size) for name, gate in gates.items() for e in gate.incoming
    }
    assert outgoing == incoming
    assert sum(size for *_, size in outgoing) == JOIN.cost.bytes.evaluate(JOIN.names(case.public()))
    of_a, of_c = done.outputs["result"][0]
    assert np.array_equal(hj.open_shares(of_a, of_c), case.oracle())


@pytest.mark.parametrize("seed", range(10))
def test_a_role_that_does_not_finish_or_goes_on_is_seen_by_its_gate(seed: int) -> None:
    case = random_public_case(seed)
    for name in JOIN.roles:
        passage = gate_of(name, case.public())
        if len(passage._sequence) == 0:
            continue
        with pytest.raises(Exception, match="was never reached"):
            passage.finish()
        passage.close()
        with pytest.raises(Exception, match="after the last message"):
            passage.pass_out(Send("b", "M1", np.zeros(1, np.uint64)))


def test_rounds_of_the_card_are_rounds_of_the_code() -> None:
    """Each message can go in its round, with what earlier rounds brought: deliveries only between rounds."""
    case = random_public_case(1)
    rounds = {m.label: m.round for m in JOIN.messages}
    live = dict(oracle.roles(case, 1))
    wishes: dict[str, object] = dict.fromkeys(live)
    arrived: dict[tuple[str, str, str, int], np.ndarray] = {}
    for now in range(1, max(rounds.values()) + 2):
        fresh: dict[tuple[str, str, str, int], np.ndarray] = {}
        for name in list(live):
            while name in live:
                wish = wishes[name]
                answer = None
                if wish is not None:
                    key = (wish.from_, name, wish.label, wish.column)  # type: ignore[attr-defined]
                    if key not in arrived:
                        break
                    answer = arrived.pop(key)
                try:
                    act = live[name].send(answer)
                except StopIteration:
                    del live[name]
                    break
                wishes[name] = None
                if isinstance(act, Send):
                    assert now <= rounds[act.label], act.label
                    frozen = act.array.copy()
                    frozen.flags.writeable = False
                    fresh[name, act.to, act.label, act.column] = frozen
                else:
                    wishes[name] = act
        arrived |= fresh
    assert not live and not arrived
    assert JOIN.cost.rounds.evaluate(JOIN.names(case.public())) == max(rounds.values())


# -- cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_the_cost_formula_is_the_sum_of_the_messages(seed: int) -> None:
    rng = random.Random(seed)
    public = {name: rng.randrange(1, 10 ** rng.randrange(1, 7)) for name in JOIN.public}
    names = JOIN.names(public)
    size = sum(
        m.columns.evaluate(names) * m.count.evaluate(names) * m.element_under(names).width for m in JOIN.messages
    )
    assert JOIN.cost.bytes.evaluate(names) == size


@pytest.mark.parametrize("path", thinned(corpus.PASS, one_in=3), ids=lambda path: path.stem)
def test_the_forecast_is_the_card_s_cost(path: Path) -> None:
    """For every specification of the corpus: bytes by message add up to the formula."""
    found = review(parse_toml(path.read_text(encoding="utf-8"))).require()
    made = forecast(found.plan, load_cards())
    assert sum(each.size for each in made.messages) == made.size
    card = join_card(found.plan)
    listed = [m.label for m in card.messages]
    told = [each.label for each in made.messages if each.term]
    assert told[: len(listed)] == listed or found.plan.protection.card == "disclosure_control"
    computing = found.plan.join.rows is not None or card.program is not None or told[: len(listed)] != listed
    assert (made.rounds == 5) is not computing
    assert not {each.receiver for each in made.messages} - {party.name for party in found.spec.parties}


def test_tags_are_as_wide_as_the_false_match_bound_needs() -> None:
    """8 t >= 40 + 2 log2 of the longer list: 10 bytes up to 2^20 entries, 11 up to 2^24, 12 up to 2^28."""
    base = {"g": 1, "g_l": 1, "k": 1, "s": 1, "v_g": 1, "v": 1, "x": 0, "z": 0, "p": 0, "r": 1, "v_m": 1, "n_b": 1}
    base |= {"v_c": 0, "v_k": 0}
    for entries, width in ((2**20, 10), (2**20 + 1, 11), (2**24, 11), (2**24 + 1, 12), (2**28, 12)):
        names = JOIN.names(base | {"n_a": entries - 3})
        assert names["n_list_a"] == entries
        assert names["t"] == width
        longer = max(names["n_list_a"], names["n_list_b"])
        assert longer**2 * 2**40 <= 2 ** (8 * names["t"])


# -- the card of the noise --------------------------------------------------------------------------------------------


def test_release_has_no_messages_of_its_own() -> None:
    assert RELEASE.messages == ()
    names = RELEASE.names({"g": 5, "v": 7})
    assert RELEASE.cost.bytes.evaluate(names) == 0
    assert RELEASE.cost.rounds.evaluate(names) == 0


def test_the_helper_never_gets_what_the_cards_forbid() -> None:
    """What the cards promise by what they do not list: no message carries sums to anyone but the result party."""
    assert JOIN.adversary.forbidden == ("result = helper",)
    assert "helper" not in JOIN.adversary.with_result
    assert {m.receiver for m in JOIN.messages if "sums" in m.carries} == {"result"}
    assert {k.name: k.holders for k in JOIN.keys} == {
        "tag": ("a", "b"),
        "s_ab": ("a", "b"),
        "s_ac": ("a", "helper"),
        "s_bc": ("b", "helper"),
    }
    assert {m.sender for m in JOIN.messages if m.receiver == "result"} == {"a", "helper"}
    alone = {(learns.who, learns.item, learns.grade) for learns in JOIN.learns if not learns.beyond_model}
    assert alone == {(("helper",), "match_count", "noised"), (("everyone",), "row_count", "size")}


# -- malformed cards --------------------------------------------------------------------------------------------------

TEXT = (cards.cards_folder() / "helper_join_a" / "card.toml").read_text(encoding="utf-8")


def test_the_card_as_it_is_loads() -> None:
    assert parse_card(TEXT.encode(), file="card.toml").id == "helper_join_a"


def edited(old: str, new: str) -> bytes:
    assert TEXT.count(old) >= 1, old
    return TEXT.replace(old, new, 1).encode()


MALFORMED: dict[str, tuple[bytes, str, str]] = {
    "not UTF-8": (b"\xff", "card.unreadable", "UnicodeDecodeError"),
    "not TOML": (b"card = ", "card.unreadable", "TOMLDecodeError"),
    "empty": (b"", "card.field", "card"),
    "another format": (edited("card = 1", "card = 2"), "card.field", "card"),
    "a text where a number is due": (edited("card = 1", 'card = "1"'), "card.field", "card"),
    "an unknown field": (edited('status = "', 'trusted = true\nstatus = "'), "card.field", "trusted"),
    "an unknown field of a message": (edited('term = "', 'hidden = true\nterm = "'), "card.field", "message.0.hidden"),
    "no source": (
        edited(TEXT[TEXT.index("source = [") : TEXT.index("]\n") + 1], "source = []"),
        "card.field",
        "source",
    ),
    "a bad id": (edited('id = "helper_join_a"', 'id = "Helper"'), "card.field", "id"),
    "a missing field": (edited('title = "', 'titel = "'), "card.field", "title"),
    "an unknown behaviour": (edited('"semi-honest"', '"honest"'), "card.field", "adversary.behaviour"),
    "nobody corrupt": (edited("corrupt = 1", "corrupt = 0"), "card.field", "adversary.corrupt"),
    "a number out of order": (edited("n = 2\n", "n = 3\n"), "card.field", "message M2"),
    "a number twice": (edited("n = 2\n", "n = 1\n"), "card.field", "message M2"),
    "a label twice": (edited('label = "M2"', 'label = "M1"'), "card.field", "message"),
    "a label with a dot": (edited('label = "M2"', 'label = "M.2"'), "card.field", "message.1.label"),
    "round 0": (edited("round = 1", "round = 0"), "card.field", "message.0.round"),
    "a message to its own sender": (
        edited('from = "a"\nto = "helper"', 'from = "a"\nto = "a"'),
        "card.field",
        "own sender",
    ),
    "an unknown sender": (edited('from = "a"', 'from = "z"'), "card.field", "message M1"),
    "an unknown receiver": (edited('to = "helper"', 'to = "everyone"'), "card.field", "message M1"),
    "an unknown element": (edited('element = "word"', 'element = "float"'), "card.field", "message.2.element"),
    "a width of an unknown name": (edited("bytes[t]", "bytes[tt]"), "card.field", "message M1"),
    "a count of an unknown name": (edited('count = "n_list_a"', 'count = "matches"'), "card.field", "message M1"),
    "columns of an unknown name": (edited('columns = "v_g"', 'columns = "vg"'), "card.field", "message M3"),
    "a formula that is none": (edited('count = "n_list_a"', 'count = "n_list_a +"'), "card.formula", "the end"),
    "a formula that calls": (edited('count = "n_list_a"', 'count = "min(n_a, 1)"'), "card.formula", "unexpected"),
    "a formula with an attribute": (edited('count = "n_list_a"', 'count = "n.a"'), "card.formula", "unexpected"),
    "a formula without end": (edited('count = "n_list_a"', f'count = "{"(" * 40}"'), "card.formula", "deeply"),
    "derived before it is known": (edited('w = "2 * s"', 'w = "n_list_a"'), "card.field", "derived.w"),
    "derived by itself": (edited('w = "2 * s"', 'w = "w"'), "card.field", "derived.w"),
    "cost of an unknown name": (edited("24 * r * g", "24 * r * gg"), "card.field", "cost"),
    "an unknown grade": (edited('grade = "size"', 'grade = "little"'), "card.field", "learns.1.grade"),
    "nobody who learns": (edited('who = ["helper"]', "who = []"), "card.field", "learns.0.who"),
    "a learner who is no role": (edited('who = ["helper"]', 'who = ["d"]'), "card.field", "learns match_count"),
    "an adversary who is no role": (edited('"b", "helper"]\nwith', '"b", "d"]\nwith'), "card.field", "adversary"),
    "a term that is none": (
        edited('term = "permute(perm(s_bc, rho), match)"', 'term = "permute("'),
        "card.field",
        "M4",
    ),
    "a term with an unknown head": (edited("sort(tags(", "shuffle(tags("), "card.field", "shuffle is not a head"),
    "a head with too much": (edited("perm(s_bc, rho), match", "perm(s_bc, rho), match, match"), "card.field", "takes"),
    "a term without an order": (edited("perm(s_bc, rho), match", "rho, match"), "card.field", "takes a perm"),
    "a term of an unknown role": (edited("keys(b), dummies", "keys(z), dummies"), "card.field", "no role"),
    "a term of an unknown key": (edited("mask(s_bc, r, gathered)", "mask(s_xy, r, gathered)"), "card.field", "no key"),
    "a share of nothing": (edited("share(helper, rows)", "share(helper, columns)"), "card.field", "no shared"),
    "a term of a later message": (
        edited("gather(M6, M8)", "gather(M9, M8)").replace(b"order(perm(s_ab, q), M5)", b"M7c"),
        "card.field",
        "M7c",
    ),
    "one label for masks and an order": (
        edited("mask(s_ab, w, product)", "mask(s_ab, q, product)"),
        "card.field",
        "label q",
    ),
    "one label counted by two indices": (
        edited("mask(s_ac, r1, summed)", "mask(s_ac, r1, gathered)"),
        "card.field",
        "label r1 serves for masks by gathered and for masks by summed",
    ),
    "a share of zero that is a mask elsewhere": (
        edited("mask(s_ac, r1, summed)", "mask(s_ac, zero, factor)"),
        "card.field",
        "label zero",
    ),
    "a mask under the label of the dummies": (
        edited("mask(s_ab, u, factor)", "mask(s_ab, D, factor)"),
        "card.field",
        "label D",
    ),
    "a mask under the label of the tags": (
        edited("mask(s_ab, u, factor)", "mask(s_ab, tag, factor)"),
        "card.field",
        "label tag",
    ),
    "a tag key that gives masks": (edited("mask(s_ab, u, factor)", "mask(tag, u, factor)"), "card.field", "keys tag"),
    "one noise for several columns": (
        edited("noise(b, summed) - mask", "noise(b, gathered) - mask"),
        "card.field",
        "noise is drawn for each summed column",
    ),
    "a share that is made of itself": (edited("sum_cells(rows)", "sum_cells(sums)"), "card.field", "made of itself"),
    "a message that is made of itself by way of a share": (
        edited("share(helper, rows) -", "share(helper, sums) -"),
        "card.field",
        "made of itself",
    ),
    "a value shared twice in a column": (edited('when = "plain"', 'when = "always"'), "card.field", "shared rows"),
    "a value shared in some columns only": (edited('when = "joined"', 'when = "plain"'), "card.field", "shared sums"),
    "a shared value with the name of the match": (
        TEXT.replace('"sums"\nwhen', '"match"\nwhen')
        .replace("(a, sums)", "(a, match)")
        .replace("(helper, sums)", "(helper, match)")
        .encode(),
        "card.field",
        "shared match",
    ),
    "a key held by nobody known": (
        edited('name = "tag"\nholders = ["a", "b"]', 'name = "tag"\nholders = ["z"]'),
        "card.field",
        "keys tag",
    ),
    "a share for nobody known": (edited('helper = "diff(gather', 'z = "diff(gather'), "card.field", "shared sums"),
    "a key for longer than a run": (edited('lifetime = "run"', 'lifetime = "year"'), "card.field", "keys.0.lifetime"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_card_is_refused(name: str) -> None:
    data, code, place = MALFORMED[name]
    with pytest.raises(SpecError) as caught:
        parse_card(data, file="card.toml")
    assert caught.value.code == code
    assert re.search(re.escape(place), str(caught.value)), str(caught.value)


def test_parameters_that_the_card_does_not_name_are_refused() -> None:
    public = random_public_case(1).public()
    for wrong in (public | {"q": 1}, {name: value for name, value in public.items() if name != "g"}, {}):
        with pytest.raises(SpecError) as caught:
            JOIN.names(wrong)
        assert caught.value.code == "card.parameters"


def test_elements_are_what_the_codec_reads() -> None:
    """Each element type of the card round-trips through the codec, and no other width does."""
    names = JOIN.names(random_public_case(2).public())
    for message in JOIN.messages:
        element = message.element_under(names)
        body = bytes(range(3 * element.width))
        array = codec.decode(memoryview(body), kind=element.kind, width=element.width, count=3, label=message.label)
        assert bytes(codec.encode(array, kind=element.kind, width=element.width, count=3)) == body
        for count in (2, 4):
            with pytest.raises(Exception, match="bytes instead of"):
                codec.decode(memoryview(body), kind=element.kind, width=element.width, count=count, label="M")


def test_every_party_of_the_card_has_a_gate() -> None:
    assert set(PARTIES) == {"a", "b", "helper", "result"}
