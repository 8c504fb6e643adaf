"""secure_sum: sums are those of integers, whoever is lost; what goes wrong is refused; messages are the card's."""

from dataclasses import replace

import numpy as np
import pytest

from pets.errors import PeerError, PetsError
from pets.ids import PartyId
from pets.party.gate import Gate, project
from pets.protocols import contributions
from pets.protocols import secure_sum as ss
from pets.protocols.base import Binding, Receive, Send
from pets.protocols.contributions import Agreement
from pets.secret import Secret
from tests.oracles import secure_sum as oracle
from tests.oracles.gated import gated
from tests.oracles.play import Array, Key, Transcript, play, watched, words
from tests.oracles.secure_sum import TIED, Case, computing, random_case, roles, stopping

SMALL = Case([[5, -1, 7], [2, 2, 2], [100, 0, -50]], [[1, 0, 0], [0, -1, 0], [0, 0, 3]])


def played(case: Case, seed: int = 1, **kept: object) -> Transcript:
    return play(roles(case, seed), seed=seed, lost=[f"input{n + 1}" for n in range(len(case.values))], **kept)  # type: ignore[arg-type]


def refusal(case: Case, **kept: object) -> PetsError:
    with pytest.raises(PetsError) as caught:
        played(case, **kept)
    return caught.value


# -- sums -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(200))
def test_the_sum_is_that_of_integers(seed: int) -> None:
    case = random_case(seed)
    done = played(case, seed)
    found = done.outputs["result"]
    assert found.total.tolist() == case.oracle()
    assert found.present.tolist() == case.present()
    assert found.took_part == sum(case.present()) >= case.minimum
    assert all(done.outputs[name].tolist() == case.present() for name in case.shape.servers)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_sum_is_that_of_integers_100_000_times() -> None:
    for seed in range(100_000):
        case = random_case(seed + 10**6, holders=6, computing=4, words=12)
        found = played(case, seed).outputs["result"]
        assert (found.total.tolist(), found.present.tolist()) == (case.oracle(), case.present()), seed


def test_a_thousand_input_parties() -> None:
    values = np.random.default_rng(1).integers(-(2**31), 2**31, (1000, 3)).tolist()
    case = Case(values, [[0] * 3] * 2, minimum=1000)
    assert played(case).outputs["result"].total.tolist() == case.oracle()


# -- code and card ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_what_the_roles_send_is_the_card_s_list(seed: int) -> None:
    case = replace(random_case(seed), missing=frozenset(), minimum=2)
    card = case.card()
    names = card.names(case.public())
    expected = {
        (m.sender, m.receiver, m.label, column): (m.element_under(names), m.count.evaluate(names))
        for m in card.messages
        for column in range(m.columns.evaluate(names))
    }
    done = played(case, seed)
    assert {key for key, _ in done.sent} == set(expected)
    for key, array in done.sent:
        element, count = expected[key]
        assert array.shape == ((count, element.width) if element.kind == "bytes" else (count,)), key
        assert array.nbytes == count * element.width
    assert done.bytes() == card.cost.bytes.evaluate(names)
    assert card.adversary.corrupt == case.shape.computing - 1


@pytest.mark.parametrize("seed", range(20))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    """The roles pass the gates of their cards to the last message."""
    case = replace(random_case(seed), missing=frozenset(), minimum=2)
    card = case.card()
    names = {role: PartyId(role) for role in card.roles}
    gates = {role: Gate(project(card, case.public(), names, role), opening=Secret(bytes(32))) for role in card.roles}
    done = play({role: gated(part, gates[role]) for role, part in roles(case, seed).items()}, seed=seed)
    assert sum(sent.size for _, left in done.outputs.values() for sent in left) == done.bytes()
    assert done.outputs["result"][0].total.tolist() == case.oracle()


@pytest.mark.parametrize("holders", [2, 3, 1000])
def test_the_cost_formula_is_the_sum_of_the_messages(holders: int) -> None:
    case = Case([[0]] * holders, [[0]] * 3)
    card, public = case.card(), {"h": holders, "m": 3, "l": 10**6}
    names = card.names(public)
    size = sum(
        m.columns.evaluate(names) * m.count.evaluate(names) * m.element_under(names).width for m in card.messages
    )
    assert card.cost.bytes.evaluate(names) == size


def test_rounds_of_the_card_are_rounds_of_the_code() -> None:
    """A message goes out in its round at the latest: what it needs came in earlier rounds."""
    card = SMALL.card()
    rounds = {m.label: m.round for m in card.messages}
    live, wishes, arrived, now = dict(roles(SMALL)), dict[str, Key | None](), dict[Key, Array](), 0
    while live:
        now, fresh = now + 1, dict[Key, Array]()
        assert now <= max(rounds.values()) + 1
        for name in list(live):
            answer = None
            while True:
                if (wish := wishes.get(name)) is not None:
                    if wish not in arrived:
                        break
                    answer = arrived.pop(wish)
                try:
                    act = live[name].send(answer)
                except StopIteration:
                    del live[name]
                    break
                answer, wishes[name] = None, None
                if isinstance(act, Send):
                    assert rounds[act.label] == now, act.label
                    fresh[name, act.to, act.label, act.column] = act.array
                else:
                    wishes[name] = (act.from_, name, act.label, act.column)
        arrived |= fresh
    assert not arrived


# -- who takes part ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(3))
def test_who_is_missing_at_one_computing_party_counts_nowhere(at: int) -> None:
    case = replace(SMALL, missing=frozenset({(1, at)}))
    found = played(case).outputs["result"]
    assert found.total.tolist() == [106, 2**64 - 2, 2**64 - 40]
    assert found.present.tolist() == [True, False, True]


@pytest.mark.parametrize("at", range(3))
def test_unequal_lists_end_the_run_where_they_have_to_be_equal(at: int) -> None:
    case = replace(SMALL, missing=frozenset({(1, at)}), agreement=Agreement.EQUAL)
    assert refusal(case).code == "peer.lists"
    everywhere = replace(case, missing=frozenset((1, at) for at in range(3)))
    assert played(everywhere).outputs["result"].present.tolist() == [True, False, True]


def test_too_few_contributors_and_no_sum_is_sent() -> None:
    case = replace(SMALL, missing=frozenset({(1, 0), (2, 2)}))
    sent: list[str] = []
    error = refusal(case, alter=lambda key, array: (sent.append(key[2]), array)[1])
    assert (error.code, error.fields) == ("run.contributors", {"took": 1, "minimum": 2})
    assert not [label for label in sent if label[0] in "FT"]


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("who", range(3))
def test_an_input_party_that_stops_while_it_uploads_counts_only_if_it_was_done(who: int, after: int) -> None:
    """It sends Us to two, Um, Uw: without the last of these there is no sum of it."""
    parts = roles(SMALL)
    me = f"input{who + 1}"
    parts[me] = stopping(parts[me], after)
    found = play(parts, lost=[me]).outputs["result"]
    rest = replace(SMALL, missing=frozenset({(who, 0)}))
    assert found.total.tolist() == rest.oracle() and found.present.tolist() == rest.present()


@pytest.mark.parametrize("after", range(3, 13))
@pytest.mark.parametrize("at", range(3))
def test_no_sum_without_a_computing_party(at: int, after: int) -> None:
    """Whichever act it stops after, the result party has nothing that it opens, until the last one is done."""
    parts = roles(SMALL)
    name = SMALL.shape.servers[at]
    parts[name] = stopping(parts[name], after)
    total = None
    try:
        total = play(parts, lost=[name]).outputs.get("result")
    except AssertionError as error:
        assert "nobody can move" in str(error)
    acts = 3 * (2 if name == "last" else 1) + 8 + 2
    assert (total is not None) == (after >= acts)


def test_a_vector_of_wrong_length_is_not_sent() -> None:
    for values in (np.zeros(2, np.uint64), np.zeros(3, np.int64), np.zeros((3, 1), np.uint64)):
        with pytest.raises(PetsError, match="another length"):
            next(ss.input_party(SMALL.shape, 0, values, TIED, oracle.stream(1, "x")))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"minimum": 1}, {"minimum": 4}, {"computing": 1}, {"words": 0}])
def test_a_shape_that_would_show_a_vector_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(PetsError):
        replace(SMALL.shape, **wrong)


# -- changed messages -------------------------------------------------------------------------------------------------


def changed(label: str, at: int = 0, by: int = 1) -> dict[str, object]:
    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        other = array.copy()
        other.reshape(-1)[at] ^= by
        return other

    return {"alter": alter}


@pytest.mark.parametrize("label", ["Ls1x2", "Ls2x1", "La1", "La2", "Lb1", "Lb2"])
def test_a_list_that_differs_on_its_way_to_one_is_noticed_before_any_sum(label: str) -> None:
    """Who says one thing to one and another to another party is found out by the digests."""
    assert refusal(SMALL, **changed(label, at=17)).code == "peer.lists"


@pytest.mark.parametrize("label", ["Cs1x2", "Cs2x1", "Ca1", "Ca2", "Cb1", "Cb2"])
def test_a_digest_that_differs_ends_the_run(label: str) -> None:
    assert refusal(SMALL, **changed(label)).code == "peer.lists"


@pytest.mark.parametrize("label", ["Ts1", "Ts2", "Tl"])
def test_final_shares_of_other_sets_are_not_added(label: str) -> None:
    assert refusal(SMALL, **changed(label)).code == "peer.lists"


def test_bits_beyond_the_last_holder_are_refused() -> None:
    bits = contributions.packed(np.ones(3, bool))
    assert contributions.unpacked(bits, 3).tolist() == [True] * 3
    with pytest.raises(PeerError):
        contributions.unpacked(bits | np.uint8(8), 3)


def test_two_uploads_of_one_holder_are_never_taken_for_one() -> None:
    """A holder that tries again with fresh seeds: one computing party has the first upload, the others the second."""
    first, second = roles(SMALL, 1), roles(SMALL, 2)
    mixed = {name: first[name] for name in first}
    sent = dict[tuple[str, str], Send]()
    for which, own in (("old", first["input2"]), ("new", second["input2"])):
        for act in own:
            assert isinstance(act, Send)
            sent[which, act.label] = act

    def both() -> oracle.Role[None]:
        for (which, label), act in sent.items():
            if (which == "old") == (label == "Us2x1"):
                yield act

    mixed["input2"] = both()
    found = play(mixed).outputs["result"]
    assert found.present.tolist() == [True, False, True]
    assert found.total.tolist() == replace(SMALL, missing=frozenset({(1, 0)})).oracle()


def test_a_mark_of_zeros_is_no_mark() -> None:
    seeds = ss.seeds(SMALL.shape, 0, TIED)
    with pytest.raises(PeerError):
        seeds.keep(0, Secret(bytes(48)))
    seeds.keep(0, Secret(b"\1" * 48))
    with pytest.raises(PeerError) as caught:
        seeds.keep(0, Secret(b"\2" * 48))
    assert caught.value.code == "peer.repeated"


# -- what is tied to a run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["run_id", "digest"])
def test_the_same_seed_gives_another_stream_in_another_run(what: str) -> None:
    other = Binding(**{"digest": TIED.digest, "run_id": TIED.run_id} | {what: b"\7" * 32})
    seed = Secret(b"\5" * 32)
    of = SMALL.shape.delivery
    keys = [of.keys(seed, TIED, 0, 0), of.keys(seed, other, 0, 0), of.keys(seed, TIED, 1, 0), of.keys(seed, TIED, 0, 1)]
    assert len({key.expose("compare") for (key,) in keys}) == 4


def test_digests_tell_runs_specifications_and_roles_apart() -> None:
    lists = {"server1": np.zeros((3, 16), np.uint8), "last": np.ones((3, 16), np.uint8)}
    own = contributions.confirmation(TIED, lists).tobytes()
    turned = {"server1": lists["last"], "last": lists["server1"]}
    others = [
        contributions.confirmation(Binding(digest=b"\2" * 32, run_id=b"\3" * 32), lists),
        contributions.confirmation(Binding(digest=b"\3" * 32, run_id=b"\1" * 32), lists),
        contributions.confirmation(TIED, turned),
        contributions.confirmation(TIED, {"server1": lists["server1"]}),
    ]
    assert own not in [other.tobytes() for other in others]
    assert own == contributions.confirmation(TIED, dict(reversed(lists.items()))).tobytes()


# -- what is seen -----------------------------------------------------------------------------------------------------


def seen(case: Case, seed: int, party: str) -> list[tuple[Key, bytes]]:
    return sorted((key, array.tobytes()) for key, array in played(case, seed).sent if key[1] == party)


@pytest.mark.parametrize("party", ["server1", "server2"])
def test_a_server_sees_the_same_whatever_the_vectors(party: str) -> None:
    other = replace(SMALL, values=[[9, 9, 9], [0, 1, 2], [3, 2**62, 5]], noise=[[7] * 3] * 3)
    assert seen(SMALL, 3, party) == seen(other, 3, party)


def test_last_and_result_see_sizes_and_uniform_words() -> None:
    """Under two inputs with one sum: the same messages of the same sizes; words that every value is as likely in."""
    other = replace(SMALL, values=[[107, 1, -41], [0, 0, 0], [0, 0, 0]])
    assert SMALL.oracle() == other.oracle()
    one, two = played(SMALL, 4), played(other, 4)
    assert one.shape_of_traffic() == two.shape_of_traffic()
    big = Case([[0] * 20_000, [1] * 20_000], [[0] * 20_000] * 2)
    sent = played(big, 5)
    for label in ("Uw1", "Uw2", "Fs1", "Fl"):
        counts = np.bincount(sent.array(label).view(np.uint8), minlength=256)
        expected = 8 * 20_000 / 256
        assert ((counts - expected) ** 2 / expected).sum() < 400, label  # 255 degrees of freedom: 6 sigma
        bits = np.unpackbits(sent.array(label).view(np.uint8)).reshape(-1, 64).mean(axis=0)
        assert np.all(np.abs(bits - 0.5) < 0.03), label


def test_final_shares_are_fresh_even_if_all_input_parties_are_known() -> None:
    """Who has all uploads knows the sums of shares; the share of zero hides each party's noise among the others'."""
    case = Case([[0] * 64] * 2, [[1] * 64, [2] * 64])
    sent = played(case)
    streams = [
        ss.split(case.shape, n, np.zeros(64, np.uint64), TIED, oracle.stream(1, f"input{n + 1}")) for n in (0, 1)
    ]
    known = streams[0].given[0] + streams[1].given[0]
    left = sent.array("Fl") - known
    assert len(set(left.tolist())) == 64


@pytest.mark.parametrize("seed", range(20))
def test_every_delivery_order_gives_the_same(seed: int) -> None:
    done = play(roles(SMALL, 1), seed=seed)
    assert done.outputs["result"].total.tolist() == SMALL.oracle()


@pytest.mark.parametrize("label", ["Us1x1", "Um1", "Uw1", "La1", "Ca1", "Fs1", "Ts1"])
def test_a_role_does_not_ask_for_a_message_twice(label: str) -> None:
    """Each wish is made once: what comes a second time under its name has no reader."""
    asked: list[str] = []

    def look(act: Send | Receive) -> None:
        if not isinstance(act, Send):
            asked.append(act.label)

    play({name: watched(role, look) for name, role in roles(SMALL).items()})
    assert asked.count(label) == 1 and len(asked) == len(set(asked))


def test_restarting_the_sum_needs_the_uploads_again() -> None:
    """What ``last`` keeps is one vector: who does not count is taken off it from where uploads are stored."""
    values = {0: words(1, 4), 1: words(2, 4), 2: words(3, 4)}
    shape = ss.Shape(holders=3, computing=2, words=4, minimum=2)
    asked: list[int] = []

    def again(number: int) -> np.ndarray:
        asked.append(number)
        return values[number]

    kept = ss.words(shape, again)
    for number, vector in values.items():
        kept.keep(number, Secret(bytes([number + 1]) * 16), vector)
    assert np.array_equal(kept.total(np.array([True, False, True])), values[0] + values[2])
    assert np.array_equal(kept.total(np.array([True, False, True])), values[0] + values[2])
    assert asked == [1]


def test_a_computing_party_returns_who_counts_and_sends_one_sum() -> None:
    for at in range(3):
        labels = [act.label for act in _sent_by(at)]
        assert [label[0] for label in labels].count("F") == 1
        assert labels[-1][0] == "F"


def _sent_by(at: int) -> list[Send]:
    acts: list[Send | Receive] = []
    parts = roles(SMALL)
    parts[SMALL.shape.servers[at]] = watched(computing(SMALL, at, 1), acts.append)
    play(parts)
    return [act for act in acts if isinstance(act, Send)]


def test_what_has_been_sent_is_not_changed_after() -> None:
    """Others may still read it: on a link in memory it is the same array."""
    case = replace(SMALL, missing=frozenset({(1, 0), (0, 2)}), values=[*SMALL.values, [1, 1, 1]])
    kept: list[tuple[np.ndarray, bytes]] = []

    def look(act: Send | Receive) -> None:
        if isinstance(act, Send):
            kept.append((act.array, act.array.tobytes()))

    play({name: watched(role, look) for name, role in roles(case).items()}, lost=[f"input{n + 1}" for n in range(4)])
    assert len(kept) > 20 and all(array.tobytes() == before for array, before in kept)
