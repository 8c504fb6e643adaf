"""secure_sum_shamir: sums are those of integers whoever is lost, or nothing is opened; messages are the card's."""

import itertools
import random
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pets.errors import PetsError
from pets.ids import PartyId
from pets.kernels import mersenne, prf
from pets.party.gate import Gate, project
from pets.protocols import contributions
from pets.protocols import secure_sum_shamir as sh
from pets.protocols.base import Role, Send
from pets.protocols.contributions import MARK_BYTES, Agreement
from pets.protocols.inbox import Inbox
from pets.protocols.upload import role_of
from pets.secret import Secret
from pets.spec.cards import Card
from pets.spec.term import INDEX
from tests.oracles import secure_sum_shamir as oracle
from tests.oracles.gated import gated
from tests.oracles.play import Array, Key, Transcript, play
from tests.oracles.secure_sum import TIED, stopping, stream
from tests.oracles.secure_sum_shamir import Case, P, Run, ShamirReading, at_point, random_case, read, roles
from tests.protocols.test_terms import compared, terms_of

SMALL = Case([[5, -1, 7], [2, 2, 2], [100, 0, -50]], [[1, 0, 0], [0, -1, 0], [0, 0, 3], [4, 4, 4], [-9, 0, 0]], 2)
FOUR = replace(SMALL, noise=SMALL.noise[:4], degree=1)


def falling(name: str, role: Role[Any], failed: dict[str, PetsError]) -> Role[Any]:
    """A role whose refusal is kept, and which is lost then."""
    try:
        return (yield from role)
    except PetsError as refused:
        failed[name] = refused
        return None


def refusals(case: Case, lost: frozenset[int] = frozenset(), seed: int = 1, **kept: Any) -> Transcript:
    """A run in which a computing party that fails is lost to the others, as a driver has it."""
    shape = case.shape
    parts = {name: role for name, role in roles(case, seed).items() if name not in {shape.servers[at] for at in lost}}
    failed: dict[str, PetsError] = {}
    held = {name: falling(name, role, failed) for name, role in parts.items()}
    done = play(held, seed=seed, lost=[*(f"input{n + 1}" for n in range(shape.holders)), *shape.servers], **kept)
    done.outputs["failed"] = failed
    return done


# -- sums -------------------------------------------------------------------------------------------------------------


def right(case: Case, seed: int) -> None:
    """Whoever of the computing parties is not there from the beginning, as long as a quorum is."""
    shape, rng = case.shape, random.Random(seed)
    lost = frozenset(rng.sample(range(shape.computing), rng.randint(0, shape.computing - shape.quorum)))
    done = refusals(case, lost, seed)
    found = done.outputs["result"]
    if len([there for there in case.present(lost) if there]) < shape.minimum:
        assert found is None
        return
    assert not done.outputs["failed"]
    assert sh.signed(found.total).tolist() == case.oracle(lost)
    assert found.present.tolist() == case.present(lost)
    assert found.noised.tolist() == [at not in lost for at in range(shape.computing)]
    assert found.checked == shape.computing - len(lost) - shape.degree - 1


@pytest.mark.parametrize("seed", range(100))
def test_the_sum_is_that_of_integers(seed: int) -> None:
    right(random_case(seed), seed)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_sum_is_that_of_integers_100_000_times() -> None:
    for seed in range(100_000):
        right(random_case(seed + 10**6, holders=5, degree=2, words=5), seed)


@pytest.mark.parametrize("lost", [each for size in range(2) for each in itertools.combinations(range(5), size)])
def test_any_four_of_five_computing_parties_suffice(lost: tuple[int, ...]) -> None:
    done = refusals(SMALL, frozenset(lost))
    assert sh.signed(done.outputs["result"].total).tolist() == SMALL.oracle(frozenset(lost))


@pytest.mark.parametrize("lost", [each for size in (2, 3) for each in itertools.combinations(range(5), size)])
def test_three_of_five_open_nothing(lost: tuple[int, ...]) -> None:
    done = refusals(SMALL, frozenset(lost))
    assert done.outputs["result"] is None
    assert {error.code for error in done.outputs["failed"].values()} == {"run.quorum"}
    assert not [key for key, _ in done.sent if key[2][0] in "TF"]


# -- parties that are lost on the way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(25))
@pytest.mark.parametrize("at", range(5))
def test_one_computing_party_is_lost_after_any_of_its_acts(at: int, after: int) -> None:
    """The sum is right, with the noise of the one if it was dealt to all; or, if it was lost in the middle of a round
    of messages, fewer than the quorum have seen the same and nothing is sent. Nothing else."""
    parts, name, failed = roles(SMALL), SMALL.shape.servers[at], dict[str, PetsError]()
    parts[name] = stopping(parts[name], after)
    held = {who: falling(who, role, failed) for who, role in parts.items()}
    done = play(held, seed=at, lost=[*SMALL.shape.servers, "input1"])
    found = done.outputs["result"]
    if found is None:
        assert {error.code for error in failed.values()} == {"run.quorum"}
        assert len([key for key, _ in done.sent if key[2][0] == "F"]) <= SMALL.degree
    else:
        with_it = bool(found.noised[at])
        assert sh.signed(found.total).tolist() == SMALL.oracle(frozenset() if with_it else frozenset({at}))
        assert found.present.all()


@pytest.mark.parametrize("case", [FOUR, replace(FOUR, missing=frozenset({(0, 2), (0, 3)}))], ids=["alike", "unlike"])
def test_two_halves_that_have_lost_sight_of_each_other_open_nothing(case: Case) -> None:
    """Two of four see each other alone. Two points open a polynomial of degree 1, so without the rule there were two
    sums, of all and of all but one: their difference is a vector."""
    halves = ({"seeded1", "given1"}, {"given2", "given3"})

    def cut(role: Role[Any], side: set[str]) -> Role[Any]:
        answer = None
        servers = set(case.shape.servers)
        while True:
            try:
                act = role.send(answer)
            except StopIteration as end:
                return end.value
            except PetsError:
                return None
            other = act.to if isinstance(act, Send) else act.from_
            answer = None if other in servers - side else (yield act)

    parts = roles(case)
    for side in halves:
        for name in side:
            parts[name] = cut(parts[name], side)
    inputs = [f"input{n + 1}" for n in range(3)]
    with pytest.raises(PetsError) as caught:
        play(parts, lost=[*inputs, *case.shape.servers])
    assert caught.value.code == "run.quorum" and caught.value.fields["got"] == 0


@pytest.mark.parametrize(
    "wrong", [{"quorum": 2}, {"quorum": 3}, {"quorum": 6}, {"degree": 3}, {"degree": 0}, {"minimum": 1}]
)
def test_a_shape_that_would_show_a_vector_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(PetsError):
        replace(SMALL.shape, **wrong)


def test_unequal_lists_end_the_run_where_they_have_to_be_equal() -> None:
    done = refusals(replace(SMALL, agreement=Agreement.EQUAL, missing=frozenset({(1, 0)})))
    assert {error.code for error in done.outputs["failed"].values()} == {"peer.lists", "run.quorum"}
    assert done.outputs["result"] is None


def test_too_few_contributors_and_no_point_is_sent() -> None:
    done = refusals(replace(SMALL, missing=frozenset({(1, 0), (2, 3)})))
    assert {error.code for name, error in done.outputs["failed"].items() if name != "result"} == {"run.contributors"}
    assert not [key for key, _ in done.sent if key[2][0] in "TF"]


# -- points and changed messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [(0, 1, 2), (P, 1, 2), (1, 1, 2), (1, P + 1, 2), (-P, 1, 3)])
def test_points_0_p_and_repeated_are_refused(points: tuple[int, ...]) -> None:
    vector = np.zeros(1, np.uint64)
    shares = [(point, vector) for point in points]
    if len(set(points)) < len(points):
        with pytest.raises(ValueError, match="equal"):
            mersenne.checked_points(points)
        return
    with pytest.raises(PetsError) as caught:
        sh.opened(dict(shares), 2)
    assert caught.value.code == "run.points"


def test_too_few_points_open_nothing() -> None:
    with pytest.raises(PetsError) as caught:
        sh.opened({1: np.zeros(1, np.uint64), 2: np.zeros(1, np.uint64)}, 2)
    assert caught.value.code == "run.quorum"


def altered(label: str, by: int = 1) -> Any:
    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        other = array.copy()
        other.reshape(-1)[0] ^= by
        return other

    return alter


@pytest.mark.parametrize("label", ["Fs1", "Fs2", "Fg1", "Fg2", "Fg3"])
def test_a_wrong_point_is_noticed_by_those_that_are_left_over(label: str) -> None:
    assert refusals(SMALL, alter=altered(label)).outputs["failed"]["result"].code == "peer.polynomial"
    assert refusals(SMALL, alter=altered(label, 2**63)).outputs["failed"]["result"].code == "peer.upload-range"


def lost_once_agreed(role: Role[Any]) -> Role[Any]:
    """A computing party that has agreed, and is lost before it sends its point."""
    answer = None
    while not (isinstance(act := role.send(answer), Send) and act.label[0] == "T"):
        answer = yield act


def test_without_points_left_over_a_wrong_one_is_not_noticed() -> None:
    """What ``checked`` says: with t + 1 points there is nothing to compare."""
    parts, shape = roles(SMALL), SMALL.shape
    for name in shape.servers[:2]:
        parts[name] = lost_once_agreed(parts[name])
    done = play(parts, lost=shape.servers, alter=altered("Fg1"))
    assert done.outputs["result"].checked == 0
    assert sh.signed(done.outputs["result"].total).tolist() != SMALL.oracle()


@pytest.mark.parametrize("lost", list(itertools.combinations(range(5), 2)))
def test_after_agreement_any_three_of_five_points_open_the_sum(lost: tuple[int, ...]) -> None:
    parts, shape = roles(SMALL), SMALL.shape
    for at in lost:
        parts[shape.servers[at]] = lost_once_agreed(parts[shape.servers[at]])
    found = play(parts, lost=shape.servers).outputs["result"]
    assert sh.signed(found.total).tolist() == SMALL.oracle() and found.noised.all()


@pytest.mark.parametrize("label", ["Ts1", "Tg2"])
def test_points_of_other_sets_are_not_put_together(label: str) -> None:
    assert refusals(SMALL, alter=altered(label)).outputs["failed"]["result"].code == "peer.lists"


@pytest.mark.parametrize("label", ["La1x2", "Lb2x3", "Lc1x1", "Ld3x2"])
def test_who_says_one_thing_to_one_and_another_to_another_is_left_out_or_ends_the_run(label: str) -> None:
    """One party sees another list: the four others are a quorum and go on; it does not."""
    done = refusals(SMALL, alter=altered(label))
    odd = next(key[1] for key, _ in done.sent if key[2] == label)
    assert list(done.outputs["failed"]) == [odd]
    assert done.outputs["failed"][odd].code == "run.quorum"
    assert sh.signed(done.outputs["result"].total).tolist() == SMALL.oracle()


def two_faced(case: Case, apart: int, without: int) -> Transcript:
    """A run in which all seeded parties tell the first ``apart`` given ones that they lack the upload of ``without``,
    and the others that they have it. They confirm to each what it has seen."""
    shape = case.shape
    liars, group = shape.servers[: case.degree], shape.servers[case.degree : case.degree + apart]
    lists: dict[str, Array] = {}

    def less(array: Array) -> Array:
        other = array.copy()
        other[without] = 0
        return other

    def alter(key: Key, array: Array) -> Array:
        sender, to, label, _ = key
        if label[0] == "L":
            lists[sender] = array
        if sender not in liars or to not in group or label[0] not in "LC":
            return array
        if label[0] == "L":
            return less(array)
        shown = {who: less(each) if who in liars else each for who, each in lists.items()}
        return contributions.confirmation(TIED, shown)

    return refusals(case, alter=alter)


def told(done: Transcript, case: Case) -> list[bytes]:
    """The sets of which honest parties have sent points."""
    honest = case.shape.servers[case.degree :]
    return [array.tobytes() for key, array in done.sent if key[2][0] == "T" and key[0] in honest]


def test_more_than_half_is_not_enough_against_one_of_three_who_says_two_things(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why ``quorum`` is more than (m + t) / 2, as README.md says: with 2 of 3, which no ``Shape`` takes, one that shows
    the others different lists has two sums with one noise with whoever gets the points, and so a holder's vector."""
    three = replace(SMALL, noise=SMALL.noise[:3], degree=1)
    with monkeypatch.context() as unchecked:
        unchecked.setattr(sh.Shape, "__post_init__", lambda shape: None)
        weak = replace(three, quorum=2)
        done, shape = two_faced(weak, 1, 1), weak.shape
    sent = {key[2]: array.reshape(-1) for key, array in done.sent}
    whole = sh.signed(sh.opened({1: sent["Fs1"], 3: sent["Fg2"]}, 1))
    assert whole.tolist() == three.oracle()
    seed = Secret(sent["Us2x1"].tobytes()[MARK_BYTES:])
    (own,) = shape.delivery.keys(seed, TIED, 1, 0)
    less = sent["Fs1"].copy()
    mersenne.sub(less, mersenne.elements(own, shape.words))
    assert (whole - sh.signed(sh.opened({1: less, 2: sent["Fg1"]}, 1))).tolist() == three.values[1]

    with pytest.raises(PetsError):
        _ = weak.shape
    assert told(two_faced(three, 1, 1), three) == []


@pytest.mark.parametrize(("computing", "degree"), [(m, t) for m in range(3, 10) for t in range(1, (m + 1) // 2)])
def test_who_shows_two_groups_different_lists_has_one_sum_at_most(computing: int, degree: int) -> None:
    """t of them, wherever they draw the line between the others."""
    case = replace(SMALL, noise=[[1, 0, 0]] * computing, degree=degree)
    found = [told(two_faced(case, apart, 1), case) for apart in range(computing - degree + 1)]
    assert all(len(set(each)) <= 1 for each in found)
    assert len(found[0]) == len(found[-1]) == computing - degree, "if all are shown the same, all send"
    assert found[0][0] != found[-1][0], "and what they are shown counts"


@pytest.mark.parametrize("label", ["Na1x2", "Nb1x1", "Nc2x1", "Nd1x2", "Uw1x1"])
def test_a_word_that_is_no_element_is_refused(label: str) -> None:
    done = refusals(SMALL, alter=altered(label, 2**63))
    assert "peer.upload-range" in {error.code for error in done.outputs["failed"].values()}


def test_a_vector_that_is_none_is_not_sent() -> None:
    for values in (np.zeros(2, np.uint64), np.zeros(3, np.int64), np.full(3, P, np.uint64)):
        with pytest.raises(PetsError, match="another length"):
            next(sh.input_party(SMALL.shape, 0, values, TIED, stream(1, "x")))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [2**60, -(2**60), 2**63 - 1, -(2**63)])
def test_numbers_that_are_no_elements_are_refused(value: int) -> None:
    with pytest.raises(PetsError):
        sh.field_of(np.array([0, value]))


def test_numbers_with_a_sign_come_back() -> None:
    values = np.array([0, 1, -1, 2**60 - 1, -(2**60) + 1])
    assert np.array_equal(sh.signed(sh.field_of(values)), values)


# -- uploads as bytes -------------------------------------------------------------------------------------------------


def test_uploads_of_parties_that_are_gone_add_up() -> None:
    shape = SMALL.shape
    private = [Secret(bytes([at + 1]) * 32) for at in range(5)]
    publics = [prf.public_key(key) for key in private]
    uploads = [
        sh.sealed_parts(shape, n, sh.field_of(np.array(values)), TIED, stream(1, f"input{n + 1}"), publics)
        for n, values in enumerate(SMALL.values)
    ]
    names = [f"input{n + 1}" for n in range(3)]
    parts: dict[str, Role[Any]] = {"result": sh.result(shape)}
    for at, name in enumerate(shape.servers):
        stored = [upload[at] for upload in uploads]
        box: list[Inbox] = []
        again = lambda n, box=box, stored=stored: box[0].again(names[n], stored[n])  # noqa: E731
        kept = sh.seeds(shape, at, TIED) if at < shape.degree else sh.words(shape, again)
        to = {each: shape.delivery.address(TIED, n, at) for n, each in enumerate(names)}
        box.append(Inbox(names, to.__getitem__, private[at], kept.keep, deadline=9))
        for n, each in enumerate(names):
            if (n, at) not in {(1, 4), (1, 0)}:
                box[0].add(each, stored[n], now=1)
        noise = sh.field_of(np.array(SMALL.noise[at]))
        parts[name] = sh.computing(shape, at, kept, TIED, noise, stream(1, name))
    found = play(parts).outputs["result"]
    assert found.present.tolist() == [True, False, True]
    assert sh.signed(found.total).tolist() == replace(SMALL, missing=frozenset({(1, 0)})).oracle()


# -- code and card ----------------------------------------------------------------------------------------------------


def all_there(seed: int) -> Case:
    return replace(random_case(seed, holders=4, words=5), missing=frozenset(), minimum=2)


CASES = {"small": SMALL, "four": FOUR, **{f"random {seed}": all_there(seed) for seed in range(8)}}


@cache
def intact(name: str) -> tuple[Card, Run, dict[tuple[str, int], bytes]]:
    case, seed = CASES[name], 1 + list(CASES).index(name)
    card = case.card()
    sent = play(roles(case, seed), seed=seed).sent
    bytes_of = {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in sent}
    return card, Run(case, seed, dict(card.names(case.public()))), bytes_of


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str) -> None:
    card, run, sent = intact(name)
    assert read(card, run) == sent


@pytest.mark.parametrize("seed", range(15))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    case = all_there(seed)
    card = case.card()
    names = {role: PartyId(role) for role in card.roles}
    gates = {role: Gate(project(card, case.public(), names, role), opening=Secret(bytes(32))) for role in card.roles}
    done = play({role: gated(part, gates[role]) for role, part in roles(case, seed).items()}, seed=seed)
    size = sum(sent.size for _, left in done.outputs.values() for sent in left)
    assert size == done.bytes() == card.cost.bytes.evaluate(card.names(case.public()))
    assert card.adversary.corrupt == case.degree


TERMS = terms_of(SMALL.card())
OTHERS = {
    "role": tuple(SMALL.card().roles),
    "key": tuple(key.name for key in SMALL.card().keys),
    "label": ("u", "fresh"),
    "index": tuple(dict.fromkeys(INDEX.values())),
    "shared": ("sums",),
    "name": tuple(message.label for message in SMALL.card().messages if message.label[:2] in ("Uw", "Fs", "Um")),
}
SAMPLE = (
    "Us1x1",
    "Us3x2",
    "Um1x1",
    "Uw1x1",
    "Uw3x3",
    "Na1x2",
    "Nd1x3",
    "La1x2",
    "Cd1x2",
    "Ts1",
    "Fs1",
    "Fs2",
    "Fg1",
    "Fg3",
)


@pytest.mark.parametrize("place", SAMPLE)
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    """One of each kind of message. Which noise a party dealt to one is no message's own to say, but for its sender."""
    card, run, sent = intact("small")

    def message(edited: Card) -> Any:
        return ShamirReading(edited, run).read(next(m for m in edited.messages if m.label == place))

    unnoticed, differ = compared(card, place, OTHERS, message, [sent[place, 0]])
    assert not unnoticed
    assert place[0] not in "F" or differ


# -- what is seen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrupt", list(itertools.combinations(range(5), 2)))
def test_two_of_five_can_explain_what_they_see_by_any_vector(corrupt: tuple[int, int]) -> None:
    """For the points that they have of a holder, any vector has one polynomial that goes through them and it."""
    sent = play(roles(SMALL, 3)).sent
    reading = ShamirReading(SMALL.card(), Run(SMALL, 3, dict(SMALL.card().names(SMALL.public()))))
    got = {}
    for at in corrupt:
        if at < 2:
            got[at + 1] = reading.run.stream(f"k1x{at + 1}", "u", 0, 3).tolist()
        else:
            got[at + 1] = next(a for k, a in sent if k[2] == f"Uw1x{at - 1}").tolist()
    for other in (0, 1, P - 1, 12345):
        known = {0: [other] * 3, **got}
        factors = mersenne.weights(list(known), 77)
        assert all(sum(f * known[p][w] for f, p in zip(factors, known, strict=True)) % P < P for w in range(3))
        back = mersenne.weights([77, *got], 0)
        values = [sum(f * known[p][0] for f, p in zip(factors, known, strict=True)) % P, *(got[p][0] for p in got)]
        assert sum(f * v for f, v in zip(back, values, strict=True)) % P == other


@pytest.mark.parametrize("at", range(5))
def test_points_of_a_holder_and_of_the_sum_are_uniform(at: int) -> None:
    case = Case([[0] * 4000, [1] * 4000], [[0] * 4000] * 5, 2)
    done = play(roles(case, 5))
    labels = [f"Uw1x{at - 1}", f"Fg{at - 1}"] if at >= 2 else [f"Fs{at + 1}", f"Nb1x{at + 1}"]
    for label in labels:
        bits = (done.array(label)[:, None] >> np.arange(61, dtype=np.uint64) & np.uint64(1)).mean(axis=0)
        assert np.all(np.abs(bits - 0.5) < 0.05), label


@pytest.mark.parametrize("at", range(5))
def test_a_computing_party_sees_the_same_sizes_whatever_the_vectors(at: int) -> None:
    other = replace(SMALL, values=[[9, 9, 9], [0, 1, 2], [3, 2**40, 5]])
    one, two = (play(roles(case, 3)).shape_of_traffic() for case in (SMALL, other))
    assert one == two and any(key[1] == role_of("given", 0) for key, *_ in one)
    seen = [
        sorted((key, array.tobytes()) for key, array in play(roles(case, 3)).sent if key[1] == f"seeded{at % 2 + 1}")
        for case in (SMALL, other)
    ]
    assert seen[0] == seen[1]


def test_the_slow_polynomial_is_the_fast_one() -> None:
    for point in range(1, 6):
        factors = mersenne.weights([0, 1, 2], point)
        assert at_point(7, [8, 10], point) == sum(f * v for f, v in zip(factors, (7, 8, 10), strict=True)) % P
    assert oracle.P == P == mersenne.P
