"""helper_join in mode B against the plaintext twin of mode A, its card, and peers that send what no honest one does."""

import numpy as np
import pytest

from pets.errors import InternalError, PeerError, RunError
from pets.kernels import okvs
from pets.plan.cost import listed
from pets.protocols import helper_join as mode_a
from pets.protocols.base import Send
from pets.spec.cards import load_cards
from tests.oracles import helper_join_b as oracle
from tests.oracles.gated import PARTIES, gate_of, gated
from tests.oracles.helper_join import Case, random_case
from tests.oracles.play import Transcript, play, words
from tests.protocols.test_helper_join import EDGES, HUGE, LENGTHS, altered, beyond, case
from tests.test_cards import random_public_case

CARD = load_cards()["helper_join_b"]
OPERATIONS = ("jtwo", "jin", "jand", "jmul")


def run(one: Case, seed: int = 1, **kwargs: object) -> Transcript:
    return play(oracle.roles(one, seed, **kwargs), seed=seed)  # type: ignore[arg-type]


def opened(transcript: Transcript) -> np.ndarray:
    return mode_a.open_shares(*transcript.outputs["result"])


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_sums_and_bytes_are_those_of_the_plaintext_twin_and_the_formula(seed: int) -> None:
    one = random_case(seed)
    ran = run(one, seed)
    assert np.array_equal(opened(ran), one.oracle())
    assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(oracle.public(one)))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 2500))
def test_sums_equal_the_plaintext_twin_many(seed: int) -> None:
    one = random_case(seed)
    assert np.array_equal(opened(run(one, seed)), one.oracle())


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    assert np.array_equal(opened(run(EDGES[name])), EDGES[name].oracle())


MORE = {
    "a factor with the ones of b, one with values, one alone": case(
        summed=[(0, 0), (1, 0), (1, None), (0, None), (0, 1)], x=[[3 * i - 7 for i in range(12)], HUGE]
    ),
    "no column of ones": case(y=[[5] * 6, [i * i for i in range(6)]]),
    "people of b with a column of zeros": case(y=[[1] * 6, [0] * 6]),
    "65 rows: one more than a word of planes": case(65, 40),
}


@pytest.mark.parametrize("name", MORE)
def test_more_edges(name: str) -> None:
    assert np.array_equal(opened(run(MORE[name])), MORE[name].oracle())


def test_noise_of_all_three_and_what_a_adds_are_in_the_sums_once() -> None:
    drawn, local = words(5, 3, 2, 2), words(6, 2, 2)
    plain, other = opened(run(case())), opened(run(case(), noise_words=drawn, local=local))
    assert np.array_equal((other - plain).view(np.uint64), drawn[0] + drawn[1] + drawn[2] + local)


# -- code, gate and card ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    """The roles pass their gates to the last message, and the two ends of each message project it alike."""
    one = random_public_case(seed)
    public = oracle.public(one)
    gates = {name: gate_of(name, public, CARD) for name in CARD.roles}
    done = play({name: gated(role, gates[name]) for name, role in oracle.roles(one, seed).items()}, seed=seed)
    outgoing = {
        (name, str(sent.to), sent.label, sent.column, sent.size)
        for name, (_, left) in done.outputs.items()
        for sent in left
    }
    incoming = {
        (str(e.peer), name, e.label, e.slot.column, e.size) for name, gate in gates.items() for e in gate.incoming
    }
    assert outgoing == incoming
    names = CARD.names(public)
    assert sum(size for *_, size in outgoing) == CARD.cost.bytes.evaluate(names)
    for message in listed(CARD, names, PARTIES):
        way = (str(message.sender), str(message.receiver), message.label)
        assert sum(each[-1] for each in outgoing if each[:3] == way) == message.size
        assert len([each for each in outgoing if each[:3] == way]) == message.columns
    assert sum(message.size for message in listed(CARD, names, PARTIES)) == CARD.cost.bytes.evaluate(names)
    slots = [(e.peer, e.slot) for e in gates["helper"].incoming]
    assert len(set(slots)) == len(slots), "two messages from one peer are one on the wire"
    assert np.array_equal(mode_a.open_shares(*done.outputs["result"][0]), one.oracle())


@pytest.mark.parametrize("name", ["no column at all", "only counts", "one product alone"])
def test_rounds_of_the_card_are_rounds_of_the_code(name: str) -> None:
    """Deliveries only between rounds: the run takes no more than the card says, operation after operation."""
    one = EDGES[name]
    live = dict(oracle.roles(one, 1))
    wishes: dict[str, object] = dict.fromkeys(live)
    arrived: dict[tuple[str, str, str, int], np.ndarray] = {}
    rounds = 0
    while live:
        fresh: dict[tuple[str, str, str, int], np.ndarray] = {}
        for role in list(live):
            while role in live:
                wish = wishes[role]
                answer = None
                if wish is not None:
                    key = (wish.from_, role, wish.label, wish.column)  # type: ignore[attr-defined]
                    if key not in arrived:
                        break
                    answer = arrived.pop(key)
                try:
                    act = live[role].send(answer)
                except StopIteration:
                    del live[role]
                    break
                wishes[role] = None
                if isinstance(act, Send):
                    frozen = act.array.copy()
                    frozen.flags.writeable = False
                    fresh[role, act.to, act.label, act.column] = frozen
                else:
                    wishes[role] = act
        assert fresh or not live
        rounds += bool(fresh)
        arrived |= fresh
    expected = CARD.cost.rounds.evaluate(CARD.names(oracle.public(one)))
    end = 2 if name == "no column at all" else 0  # nothing is summed: nothing is sent at the end
    assert expected - end - 2 <= rounds <= expected - end, "some steps need no answer to the one before"


def test_bytes_of_a_million_on_each_side() -> None:
    """A count and a sum of one column of b: 172 MB, where protocols.md 2 has 168 with fewer slots a table."""
    public = {"n_a": 10**6, "n_b": 10**6, "g": 21, "k": 1, "v_g": 2, "v_t": 1, "v": 2, "x": 0, "v_p": 1, "r": 2}
    public |= {"v_m": 2, "v_c": 0, "v_k": 0, "g_l": 21}
    assert round(CARD.cost.bytes.evaluate(CARD.names(public)) / 1e6) == 172


# -- what the helper sees ---------------------------------------------------------------------------------------------


def seen_by_helper(one: Case, seed: int) -> dict[tuple[str, int], np.ndarray]:
    return {key[2:]: array for key, array in run(one, seed).sent if key[1] == "helper"}


def test_matches_and_values_change_no_size_and_no_token() -> None:
    """Everybody matches, nobody does, values differ: sizes stay, and tokens are as distinct as ever."""
    ids = [b"%010d" % (i % 40) for i in range(120)]
    plain = case(120, 40, k=3, n_a=130, n_b=50, ids_a=ids, cell=[i % 2 for i in range(120)])
    shapes, tables = set(), []
    for other in (
        plain,
        case(120, 40, k=3, n_a=130, n_b=50, ids_a=ids, ids_b=[b"%010d" % (900 + i) for i in range(40)]),
        case(120, 1, k=3, n_a=130, n_b=50, ids_a=ids, y=[[1], [2**40]]),
        case(0, 40, k=3, n_a=130, n_b=50),
    ):
        ran = run(other)
        shapes.add(str(ran.shape_of_traffic()))
        tokens = ran.array("T")
        assert len({bytes(row) for row in tokens}) == len(tokens) == 132
        tables.append(ran.array("P"))
    assert len(shapes) == 1
    assert not np.array_equal(tables[0], tables[1])
    assert np.array_equal(tables[0], tables[3]), "the table is b's alone"


@pytest.mark.parametrize("one", [case(200, 100), case(200, 100, ids_b=[b"%010d" % (9000 + i) for i in range(100)])])
def test_every_bit_that_the_helper_gets_is_even(one: Case) -> None:
    """Words of every message to the helper, over runs with fresh keys: each bit is 1 half of the time."""
    ones: dict[str, np.ndarray] = {}
    count: dict[str, int] = {}
    for seed in range(30):
        for (label, _), array in seen_by_helper(one, seed).items():
            if array.dtype == np.uint64 and label != "Mn":
                bits = np.unpackbits(np.ascontiguousarray(array).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=0)
                ones[label] = ones.get(label, 0) + bits
                count[label] = count.get(label, 0) + array.size
    assert set(ones) == {"Pc", "P", "M6", *OPERATIONS}
    for label, found in ones.items():
        n = count[label]
        assert np.all(np.abs(found - n / 2) < 3.2 * np.sqrt(n)), label  # 6.4 sigma


def test_labels_are_used_once() -> None:
    keys = oracle.families(1)
    play(oracle.roles(RICH, keys=keys))
    for family in keys.values():
        uses = [(label, column) for label, column, _ in family.uses]
        once = [use for use in uses if use[0] not in ("tag", "check", "idhash")]
        assert len(set(once)) == len(once)
    assert {use[0] for use in keys["ac@a"].uses} == {"matching", "zero"}
    assert {use[0] for use in keys["bc@b"].uses} == {"matching"}


RICH = case(40, 20, summed=[(0, None), (1, 0), (1, None)])


# -- peers that send something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alter", [np.zeros_like, beyond(14), beyond(2**32 - 1)])
def test_positions_that_no_honest_peer_sends_end_the_run(alter: object) -> None:
    with pytest.raises(PeerError) as caught:
        play(oracle.roles(case(), 1), alter=altered("M8", alter))  # type: ignore[arg-type]
    assert caught.value.code == "peer.positions"


@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize(
    "label", [*(m.label for m in CARD.messages if m.columns.text not in ("v_c", "v_k")), *OPERATIONS]
)
def test_a_wrong_count_is_refused_before_it_is_read(label: str, what: str) -> None:
    one = case()
    roles = oracle.roles(one, 1)
    parts = {name: gated(role, gate_of(name, oracle.public(one), CARD)) for name, role in roles.items()}
    with pytest.raises(PeerError) as caught:
        play(parts, alter=altered(label, LENGTHS[what]))
    assert caught.value.code == "peer.bad-length"


@pytest.mark.parametrize("label", ["T", "Pc", "P", "M6", "Mn", "M7a", "M7c", "jtwo", "jin", "jmul"])
def test_a_lying_peer_is_not_caught_and_changes_the_sums(label: str) -> None:
    """Semi-honest means it (protocols.md 0.11): a flipped bit passes. Published in the protocol's README."""
    flip = np.uint8(1) if label == "T" else np.uint64(1 << 40)
    flipped = play(oracle.roles(case(), 1), alter=altered(label, lambda array: array ^ flip))
    assert not np.array_equal(opened(flipped), case().oracle())


def test_parties_of_two_runs_match_nobody() -> None:
    first, second = oracle.families(1, "first"), oracle.families(1, "second")
    mixed = {name: (second if name in ("ab@b", "ab@a") and name.endswith("@b") else first)[name] for name in first}
    with pytest.raises((PeerError, AssertionError)):
        assert np.array_equal(opened(play(oracle.roles(case(), keys=mixed))), case().oracle())


# -- our own mistakes, and chance -------------------------------------------------------------------------------------


def test_a_table_that_cannot_be_written_ends_the_run_with_a_code_and_nothing_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> None:
        raise okvs.Unsolvable("made up")

    monkeypatch.setattr(okvs, "Writer", never)
    role = oracle.roles(case(), 1)["b"]
    with pytest.raises(RunError) as caught:
        next(role)
    assert caught.value.code == "run.table"
    assert "twice" not in str(caught.value.fields) and not caught.value.fields


def test_rows_beyond_the_declared_sizes_are_refused_before_anything_is_sent() -> None:
    for wrong, role in ((case(n_a=11), "a"), (case(cell=[2] + [0] * 11), "a"), (case(n_b=5), "b")):
        with pytest.raises(InternalError):
            next(oracle.roles(wrong, 1)[role])
