"""Prio3 against the slow twin; every change of a share, a proof or a message is refused; forgeries are refused."""

import numpy as np
import pytest

from pets.kernels import flp, prio3
from pets.kernels.circuits import Circuit, Count, Histogram, Measurements, Sum, SumVec
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.prio3 import Prio3
from pets.secret import Secret
from tests.oracles import prio3 as twin

KEY = Secret(bytes(range(100, 132)))

SMALL: list[tuple[Circuit, twin.Circuit, int | list[int]]] = [
    (Count(), twin.Circuit("count"), 1),
    (Sum(1), twin.Circuit("sum", 1), 1),
    (Sum(5), twin.Circuit("sum", 5), 3),
    (Sum(1337), twin.Circuit("sum", 1337), 1000),
    (SumVec(2, 2, 5), twin.Circuit("vector", 5, 2, 2), [5, 2]),
    (SumVec(3, 1, 1), twin.Circuit("vector", 1, 3, 1), [0, 1, 1]),
    (SumVec(1, 20, 200), twin.Circuit("vector", 200, 1, 20), [77]),
    (Histogram(5, 2), twin.Circuit("histogram", 1, 5, 2), 4),
    (Histogram(1, 1), twin.Circuit("histogram", 1, 1, 1), 0),
    (Histogram(7, 3), twin.Circuit("histogram", 1, 7, 3), 0),
]
IDS = ["count", "sum-1", "sum-5", "sum-1337", "vector", "vector-bits", "vector-one-call", "histogram", "one", "seven"]
EVERY = pytest.mark.parametrize(("circuit", "slow", "measurement"), SMALL, ids=IDS)


class Play:
    """A holder's submissions, and what two or more parties make of them. Arrays may be changed in between."""

    def __init__(self, circuit: Circuit, rows: int, *, parties: int = 2, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        self.prio = Prio3(circuit, parties)
        self.contexts = random.integers(0, 256, (rows, 24), dtype=np.uint8)
        self.nonces = random.integers(0, 256, (rows, 16), dtype=np.uint8)
        self.coins = random.integers(0, 256, (rows, self.prio.coin_bytes), dtype=np.uint8)
        self.publics: list[U8Array] = []
        self.shares: list[U8Array] = []

    def submit(self, measurements: Measurements) -> "Play":
        public, self.shares = self.prio.shard(self.contexts, measurements, self.nonces, self.coins)
        self.publics = [public.copy() for _ in range(self.prio.parties)]
        return self

    def split(self, encoded: U64Array) -> "Play":
        """As `submit`, of anything: a holder that cheats."""
        public, self.shares = self.prio.split(self.contexts, encoded, self.nonces, self.coins)
        self.publics = [public.copy() for _ in range(self.prio.parties)]
        return self

    def begun(self) -> tuple[list[object], list[U8Array]]:
        steps = [
            self.prio.verify_init(KEY, self.contexts, party, self.nonces, self.publics[party], self.shares[party])
            for party in range(self.prio.parties)
        ]
        return [kept for kept, _ in steps], [sent for _, sent in steps]

    def verdict(self) -> np.ndarray:
        """Which submissions all parties accept."""
        kept, sent = self.begun()
        message, good = self.prio.verifier_message(self.contexts, sent)
        for pending in kept:
            good = good & self.prio.verify_next(pending, message)  # type: ignore[arg-type]
        return good

    def total(self) -> list[int]:
        kept, _ = self.begun()
        return self.prio.unshard([self.prio.aggregate(pending.outputs) for pending in kept])  # type: ignore[attr-defined]


def many(measurement: int | list[int], rows: int) -> np.ndarray:
    return np.array([measurement] * rows)


# -- what it computes --------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_every_byte_is_that_of_the_twin(
    circuit: Circuit, slow: twin.Circuit, measurement: int | list[int], parties: int
) -> None:
    play = Play(circuit, 2, parties=parties, seed=parties).submit(many(measurement, 2))
    kept, sent = play.begun()
    for i in range(2):
        other = twin.Prio3(slow, parties, play.contexts[i].tobytes(), play.nonces[i].tobytes())
        public, shares = other.shard(measurement, play.coins[i].tobytes())
        assert play.publics[0][i].tobytes() == public
        assert [share[i].tobytes() for share in play.shares] == shares
        for party in range(parties):
            outputs, seed, verifier = other.begin(KEY.expose("test"), party, public, shares[party])
            pending = kept[party]
            assert sent[party][i].tobytes() == verifier
            assert circuit.prime.integers(pending.outputs[i]) == outputs  # type: ignore[attr-defined]
            assert pending.seeds[i].tobytes() == seed  # type: ignore[attr-defined]
    assert play.verdict().tolist() == [1, 1]


@pytest.mark.parametrize("parties", [2, 3])
def test_sums_of_many_submissions(parties: int) -> None:
    random = np.random.default_rng(5)
    for circuit, measurements in (
        (Count(), random.integers(0, 2, 50)),
        (Sum(1000), random.integers(0, 1001, 50)),
        (SumVec(6, 4, 9), random.integers(0, 10, (50, 6))),
        (Histogram(9, 4), random.integers(0, 9, 50)),
    ):
        play = Play(circuit, 50, parties=parties).submit(measurements)
        assert play.verdict().all()
        plain = np.bincount(measurements, minlength=9) if isinstance(circuit, Histogram) else measurements.sum(axis=0)
        assert play.total() == np.atleast_1d(plain).tolist()


def test_no_submissions_add_up_to_nothing() -> None:
    for circuit, shape in ((Count(), (0,)), (SumVec(2, 2, 5), (0, 2)), (Histogram(5, 2), (0,))):
        play = Play(circuit, 0).submit(np.zeros(shape, np.int64))
        assert play.verdict().tolist() == []
        assert play.total() == [0] * circuit.outputs


@EVERY
def test_many_submissions_are_cut_into_tiles_that_give_the_same(
    circuit: Circuit, slow: twin.Circuit, measurement: int | list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> list[bytes]:
        play = Play(circuit, 21).submit(many(measurement, 21))
        other_element(circuit, play.shares[0][9], 0, 1)
        kept, sent = play.begun()
        outputs = [array.tobytes() for pending in kept for array in (pending.outputs, pending.seeds)]  # type: ignore[attr-defined]
        assert np.flatnonzero(play.verdict() == 0).tolist() == [9]
        return [*(array.tobytes() for array in (*play.publics, *play.shares, *sent)), *outputs]

    whole = made()
    monkeypatch.setattr(prio3, "_TILE_BYTES", 1)  # eight at a time
    assert made() == whole


# -- every single change is refused ------------------------------------------------------------------------------------


def other_element(circuit: Circuit, row: U8Array, place: int, seed: int) -> None:
    """Add something that is not 0 to one encoded element."""
    size, p = circuit.prime.bytes, circuit.prime.modulus
    old = int.from_bytes(row[place * size : place * size + size].tobytes(), "little")
    by = 1 if seed == 0 else int.from_bytes(np.random.default_rng(seed).bytes(20), "little") % (p - 1) + 1
    row[place * size : place * size + size] = np.frombuffer(((old + by) % p).to_bytes(size, "little"), np.uint8)


@EVERY
@pytest.mark.parametrize("by", [0, 1], ids=["one", "random"])
def test_every_element_of_the_leaders_share_counts(
    circuit: Circuit, slow: twin.Circuit, measurement: int | list[int], by: int
) -> None:
    count = circuit.encoded + circuit.proof
    play = Play(circuit, count).submit(many(measurement, count))
    for place in range(count):
        other_element(circuit, play.shares[0][place], place, by * (place + 1))
    assert not play.verdict().any()


@EVERY
def test_every_byte_of_seeds_blinds_and_public_shares_counts(
    circuit: Circuit, slow: twin.Circuit, measurement: int | list[int]
) -> None:
    prio = Prio3(circuit, 3)
    blind = range(prio.leader_bytes - prio.message_bytes, prio.leader_bytes)
    places = [(0, byte) for byte in blind]
    places += [(party, byte) for party in (1, 2) for byte in range(prio.helper_bytes)]
    play = Play(circuit, len(places), parties=3).submit(many(measurement, len(places)))
    for i, (party, byte) in enumerate(places):
        play.shares[party][i, byte] ^= 1 << i % 8
    assert not play.verdict().any()
    if prio.public_bytes:
        play = Play(circuit, prio.public_bytes, parties=3).submit(many(measurement, prio.public_bytes))
        for i in range(prio.public_bytes):
            for public in play.publics:
                public[i, i] ^= 1 << i % 8
        assert not play.verdict().any()
        play.submit(many(measurement, prio.public_bytes))  # one party alone got another public share
        for i in range(prio.public_bytes):
            play.publics[1][i, i] ^= 1 << i % 8
        own = range(32, 64)  # a party puts its own part in the place of what was sent
        assert [i for i, good in enumerate(play.verdict()) if good] == list(own)


@EVERY
def test_every_element_of_a_share_of_a_verifier_counts(
    circuit: Circuit, slow: twin.Circuit, measurement: int | list[int]
) -> None:
    for party in range(2):
        play = Play(circuit, circuit.verifier).submit(many(measurement, circuit.verifier))
        _, sent = play.begun()
        for place in range(circuit.verifier):
            other_element(circuit, sent[party][place], place, place + 1)
        assert not play.prio.verifier_message(play.contexts, sent)[1].any()


def test_every_byte_of_the_joint_randomness_that_parties_exchange_counts() -> None:
    circuit = Histogram(5, 2)
    play = Play(circuit, 32).submit(many(3, 32))
    kept, sent = play.begun()
    for i in range(32):
        sent[1][i, circuit.verifier * 16 + i] ^= 1
    message, good = play.prio.verifier_message(play.contexts, sent)
    assert good.all()
    for pending in kept:
        assert not play.prio.verify_next(pending, message).any()  # type: ignore[arg-type]


@EVERY
@pytest.mark.parametrize("what", ["contexts", "nonces"])
def test_a_submission_under_another_context_or_nonce_is_refused(
    circuit: Circuit, slow: twin.Circuit, measurement: int | list[int], what: str
) -> None:
    play = Play(circuit, 16).submit(many(measurement, 16))
    getattr(play, what)[np.arange(16), np.arange(16)] ^= np.uint8(1)
    # without joint randomness, nothing of a submission hangs on its nonce: who replays one is told by its context
    refused = what == "contexts" or circuit.joint > 0
    assert play.verdict().tolist() == [0 if refused else 1] * 16


def test_one_bad_submission_leaves_the_others_alone() -> None:
    for circuit in (Sum(100), Histogram(5, 2)):
        play = Play(circuit, 20).submit(np.zeros(20, np.int64))
        other_element(circuit, play.shares[0][7], 0, 1)
        assert np.flatnonzero(play.verdict() == 0).tolist() == [7]


# -- encodings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("circuit", [Sum(5), Histogram(5, 2)], ids=["sum", "histogram"])
def test_an_element_that_is_not_below_its_modulus_is_told(circuit: Circuit) -> None:
    count, size, p = circuit.encoded + circuit.proof, circuit.prime.bytes, circuit.prime.modulus
    for value in (p, p + 1, 2 ** (8 * size) - 1):
        play = Play(circuit, count + 1).submit(np.zeros(count + 1, np.int64))
        for place in range(count):
            play.shares[0][place, place * size : place * size + size] = list(value.to_bytes(size, "little"))
        assert play.prio.canonical(0, play.shares[0]).tolist() == [0] * count + [1]
        with pytest.raises(ValueError, match="modulus"):
            play.begun()
    play = Play(circuit, 1).submit(np.zeros(1, np.int64))
    play.shares[0][0, -32:] = 255  # a blind, or the last elements of a proof
    assert play.prio.canonical(0, play.shares[0]).tolist() == [1 if circuit.joint else 0]
    assert play.prio.canonical(1, play.shares[1]).tolist() == [1]


def test_a_share_of_a_verifier_that_encodes_nothing_is_refused() -> None:
    play = Play(Sum(5), 3).submit(np.array([1, 2, 3]))
    _, sent = play.begun()
    sent[1][1, 8:16] = list((play.prio.circuit.prime.modulus + 2).to_bytes(8, "little"))
    assert play.prio.verifier_message(play.contexts, sent)[1].tolist() == [1, 0, 1]


@pytest.mark.parametrize("circuit", [Count(), SumVec(2, 2, 5)], ids=["count", "vector"])
def test_rows_of_another_width_or_number_are_refused(circuit: Circuit) -> None:
    measurements = np.zeros((2, 2) if circuit.joint else 2, np.int64)
    play = Play(circuit, 2).submit(measurements)
    prio, public, (leader, helper) = play.prio, play.publics[0], play.shares
    with pytest.raises(ValueError, match="32 bytes"):
        prio.verify_init(Secret(bytes(31)), play.contexts, 0, play.nonces, public, leader)
    for party, share in ((0, leader[:, :-1]), (0, helper), (1, leader), (1, helper[:, :-1]), (0, leader[:1])):
        with pytest.raises(ValueError, match="rows"):
            prio.verify_init(KEY, play.contexts, party, play.nonces, public, np.ascontiguousarray(share))
    wider = np.concatenate([leader, leader[:, :8]], axis=1)  # one element too many: no proof has that length
    with pytest.raises(ValueError, match="rows"):
        prio.verify_init(KEY, play.contexts, 0, play.nonces, public, wider)
    with pytest.raises(ValueError, match="rows"):
        prio.verify_init(KEY, play.contexts, 0, play.nonces[:, :8], public, leader)
    with pytest.raises(ValueError, match="numbered"):
        prio.verify_init(KEY, play.contexts, 2, play.nonces, public, leader)
    with pytest.raises(ValueError, match="rows"):
        prio.shard(play.contexts, measurements, play.nonces, play.coins[:, :-32])
    with pytest.raises(ValueError, match="each party"):
        prio.verifier_message(play.contexts, play.begun()[1][:1])
    with pytest.raises(ValueError, match="each party"):
        prio.unshard([prio.circuit.prime.zeros(prio.circuit.outputs)])


@pytest.mark.parametrize("parties", [0, 1, 256])
def test_shares_are_for_2_to_255_parties(parties: int) -> None:
    with pytest.raises(ValueError, match="255"):
        Prio3(Count(), parties)


# -- forgeries ---------------------------------------------------------------------------------------------------------


def elements(circuit: Circuit, rows: list[list[int]]) -> U64Array:
    tail = (2,) if circuit.prime.words > 1 else ()
    return circuit.prime.array([n for row in rows for n in row]).reshape(len(rows), -1, *tail)


def invalid(circuit: Circuit, rows: int, seed: int) -> U64Array:
    """Encoded measurements that are out of range: each has one element or more that is wrong, or a wrong sum."""
    random, p = np.random.default_rng(seed), circuit.prime.modulus
    made = []
    for i in range(rows):
        row = [int(bit) for bit in random.integers(0, 2, circuit.encoded)]
        if isinstance(circuit, Histogram):
            row = [0] * circuit.encoded
            first, second = random.choice(circuit.encoded, 2, replace=False).tolist()
            match i % 5:
                case 0:
                    row[first] = row[second] = 1  # two cells
                case 1:
                    pass  # none
                case 2:
                    row[first], row[second] = 2, p - 1  # adds up to 1
                case 3:
                    row[first] = p - 1
                case _:
                    row[first] = int.from_bytes(random.bytes(20), "little") % (p - 2) + 2
        else:
            at = int(random.integers(0, circuit.encoded))
            row[at] = (2, p - 1, p - 2, 1 << 40, int.from_bytes(random.bytes(20), "little") % (p - 2) + 2)[i % 5]
        made.append(row)
    return elements(circuit, made)


FORGED = [Count(), Sum(20), SumVec(3, 4, 6), Histogram(6, 4)]


def forged(circuit: Circuit, rows: int, seed: int) -> None:
    play = Play(circuit, rows, seed=seed).split(invalid(circuit, rows, seed))
    assert not play.verdict().any()  # the proof that the honest prover makes of it

    # the proof of something valid, for shares of something else
    valid = circuit.encode(np.ones((rows, 3) if isinstance(circuit, SumVec) else rows, np.int64))
    play = Play(circuit, rows, seed=seed).split(valid)
    size = circuit.prime.bytes * circuit.encoded
    bad = Play(circuit, rows, seed=seed).split(invalid(circuit, rows, seed + 1))
    play.shares[0][:, :size] = bad.shares[0][:, :size]
    assert not play.verdict().any()

    # values of the gadget that make the circuit's output 0, and so are not those of the gadget
    play = Play(circuit, rows, seed=seed).split(invalid(circuit, rows, seed + 2))
    start = size + circuit.prime.bytes * circuit.arity
    if isinstance(circuit, Sum):  # each call's value is 0 in a valid proof
        random = np.random.default_rng(seed).integers(0, 2**63, (rows, circuit.order * 8 * 2 - 8), dtype=np.int64)
        play.shares[0][:, start : start + circuit.prime.bytes * (2 * circuit.order - 1)] = (
            random[:, : 2 * circuit.order - 1].astype(np.uint64).view(np.uint8)
        )
    else:
        for i in range(rows):
            other_element(circuit, play.shares[0][i], start // circuit.prime.bytes + 2, seed + i + 1)
    assert not play.verdict().any()


@pytest.mark.parametrize("circuit", FORGED, ids=["count", "sum", "vector", "histogram"])
def test_forged_shares_are_refused_in_10_000_trials(circuit: Circuit) -> None:
    forged(circuit, 834, seed=3)  # three forgeries of each of four circuits: 10,008


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("circuit", FORGED, ids=["count", "sum", "vector", "histogram"])
def test_forged_shares_are_refused_in_a_million_trials(circuit: Circuit, seed: int) -> None:
    forged(circuit, 8334, seed=1000 * seed + 10)


def test_who_knew_joint_randomness_beforehand_could_cheat_and_cannot_know_it() -> None:
    """Elements that are wrong by amounts which cancel once they are weighed: why it is what all shares hash to.

    With r, the weighed products of 2, x, 0, 0 are r * 2 + r^2 * x (x - 1): for each r some x makes them 0, if a root of
    1 - 8 / r exists.
    """
    circuit, rows = Histogram(4, 4), 16
    p = circuit.prime.modulus
    r, x = next(
        (r, (1 + root) * pow(2, -1, p) % p) for r in range(9, 99) if (root := root_of(1 - 8 * pow(r, -1, p), p))
    )
    cheat = elements(circuit, [[2, x, 0, (1 - 2 - x) % p]] * rows)
    cells = elements(circuit, [[2, x, 0, 0]] * rows)
    tables, seeds = flp.Tables(circuit, 1), elements(circuit, [[7] * circuit.arity] * rows)
    joint = elements(circuit, [[r]] * rows)
    asked = elements(circuit, [[1, 0, 3]] * rows)  # the products alone
    proof = flp.prove(tables, cells, seeds, joint)
    verifiers, _ = flp.query(tables, rows, flp.Rows.of(cells), flp.Rows.of(proof), asked, joint)
    assert flp.decide(tables, verifiers).all()
    for values in (cheat, cells):
        assert not Play(circuit, rows).split(values).verdict().any()


def root_of(n: int, p: int) -> int:
    """A square root modulo p by Tonelli and Shanks, or 0."""
    n %= p
    odd, power = p - 1 >> 66, 66
    if pow(n, p - 1 >> 1, p) != 1:
        return 0
    z, t, root = pow(7, odd, p), pow(n, odd, p), pow(n, odd + 1 >> 1, p)
    while t != 1:
        least = next(i for i in range(power) if pow(t, 1 << i, p) == 1)
        b = pow(z, 1 << power - least - 1, p)
        power, z, t, root = least, b * b % p, t * b * b % p, root * b % p
    assert root * root % p == n
    return root


# -- proofs by themselves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("circuit", [Count(), Sum(5), SumVec(2, 3, 5), Histogram(5, 2)], ids=IDS[:4])
def test_a_test_point_that_is_a_node_is_told(circuit: Circuit) -> None:
    """At a node, a wire is an input of the gadget: the verifier would tell it."""
    p, order = circuit.prime.modulus, circuit.order
    root, finer = circuit.prime.root(order), circuit.prime.root(2 * order)
    points = [pow(root, k, p) for k in range(order)] + [pow(finer, 2 * k + 1, p) for k in range(order)] + [0, 12345]
    rows = len(points)
    measurement = np.zeros((rows, 2) if isinstance(circuit, SumVec) else rows, np.int64)
    encoded = circuit.encode(measurement)
    joint = elements(circuit, [list(range(2, 2 + circuit.joint))] * rows)
    seeds = elements(circuit, [list(range(9, 9 + circuit.arity))] * rows)
    tables = flp.Tables(circuit, 1)
    proof = flp.prove(tables, encoded, seeds, joint)
    asked = elements(circuit, [[*[3] * (circuit.query - 1), point] for point in points])
    verifiers, bad = flp.query(tables, rows, flp.Rows.of(encoded), flp.Rows.of(proof), asked, joint)
    assert bad.tolist() == [1] * order + [0] * (order + 2)
    assert flp.decide(tables, verifiers).all()  # and is right everywhere else, also where the gadget's values lie


def test_a_party_whose_test_point_is_a_node_sends_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(Sum(5), 2).submit(np.array([1, 2]))
    real = flp.query

    def at_a_node(*given: object) -> tuple[U64Array, U8Array]:
        verifiers, bad = real(*given)  # type: ignore[arg-type]
        bad[1] = 1
        return verifiers, bad

    monkeypatch.setattr(flp, "query", at_a_node)
    kept, sent = play.begun()
    assert not sent[0][1].any()
    assert sent[0][0].any()
    assert [pending.refused.tolist() for pending in kept] == [[0, 1], [0, 1]]  # type: ignore[attr-defined]
    assert play.prio.verify_next(kept[0], np.empty((2, 0), np.uint8)).tolist() == [1, 0]  # type: ignore[arg-type]


def test_proofs_of_another_shape_are_refused() -> None:
    tables, good = flp.Tables(Sum(5), 1), np.zeros((2, 3), np.uint64)
    none = np.zeros((2, 0), np.uint64)
    for bad in (np.zeros((2, 4), np.uint64), np.zeros((1, 3), np.uint64), np.zeros((2, 3, 2), np.uint64)):
        with pytest.raises(ValueError, match="expected"):
            flp.prove(tables, bad, np.zeros((2, 1), np.uint64), none)
    asked = np.ones((2, 4), np.uint64)
    with pytest.raises(ValueError, match="end after"):
        flp.query(tables, 2, flp.Rows.of(good), flp.Rows.of(good), asked, none)
    with pytest.raises(ValueError, match="expected"):
        flp.decide(tables, good[:, :2])
