"""What each side of psi_sum gets, and what the owner of the key could do if sums were not covered, drowned, made anew.

The attacks are carried out: by `tests/oracles/bfv.py`, which has b's key, errors and ciphertexts in sight, on sums that
SEAL made (tests/party/test_bfv.py holds SEAL to the oracle) or that the oracle made with one protection left out.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from pets.kernels import curve, prf, slots
from pets.party.bfv import Worker, memory_for
from pets.protocols import dh_psi, psi_sum
from pets.secret import Secret
from tests.oracles import bfv, ristretto
from tests.oracles.play import Transcript, play
from tests.oracles.psi_sum import Case, InClear, binding, entropy, people_of, roles, shape

LIMIT = 5.5
"""Standard deviations; one honest run in a million goes beyond, and seeds are fixed."""
PLAIN = slots.PLAIN[0]


def people(numbers: range) -> list[bytes]:
    return [b"%010d" % number for number in numbers]


def case_of(a: range, b: range, groups: int = 3, value: int = 1) -> Case:
    mine = {one: i % groups for i, one in enumerate(people(a))}
    return Case(mine, dict.fromkeys(people(b), (value,)), 3, 1, 12, 40, 1)


ALL = case_of(range(30), range(30))
INPUTS = {
    "all in common": ALL,
    "nobody in common": case_of(range(30), range(100, 130)),
    "nobody at all": Case({}, {}, 3, 1, 12, 40, 1),
    "one group alone": case_of(range(12), range(40), groups=1),
    "other numbers": case_of(range(500, 520), range(510, 550), value=-(10**8)),
    "withheld": Case(
        ALL.people_a, ALL.people_b, 3, 1, 12, 40, 1, control=psi_sum.Control(minimum=99, base=1, empty=False)
    ),
}


def run(case: Case, seed: int = 1, *, shares: bool = False) -> Transcript:
    return play(roles(case, seed, shares=shares), seed=seed)


@pytest.mark.parametrize("shares", [False, True])
def test_traffic_follows_from_declared_sizes_alone(shares: bool) -> None:
    assert len({str(run(case, shares=shares).shape_of_traffic()) for case in INPUTS.values()}) == 1


def test_elements_are_valid_and_none_comes_twice_in_two_runs() -> None:
    seen: set[bytes] = set()
    for seed in (1, 2):
        ran = play(roles(ALL, seed, tied=binding(1)), seed=seed)
        for label, count in (("D1", 37), ("D3", 41), ("D2", 37)):
            rows = {row.tobytes() for row in ran.array(label)}
            assert len(rows) == count and not rows & seen
            seen |= rows
            if label != "D2":
                assert all(ristretto.decode(row) is not None for row in rows)


@pytest.mark.parametrize("name", INPUTS)
def test_bits_of_elements_and_tags_are_even(name: str) -> None:
    found: dict[str, list[np.ndarray]] = {"D1": [], "D2": [], "D3": []}
    for seed in range(10):
        ran = run(INPUTS[name], seed)
        for label, kept in found.items():
            kept.append(np.unpackbits(ran.array(label), axis=1, bitorder="little"))
    for label, kept in found.items():
        bits = np.concatenate(kept)[:, slice(None) if label == "D2" else slice(1, 255)]
        assert np.all(np.abs(bits.sum(axis=0) - len(bits) / 2) < LIMIT * np.sqrt(len(bits)) / 2), label


@pytest.mark.parametrize("name", INPUTS)
def test_the_key_s_owner_finds_uniform_numbers_whatever_is_summed(name: str) -> None:
    """Under S: 0 in slot 0, and in all others numbers that are evenly spread; none comes twice."""
    ran = run(INPUTS[name])
    rows = [InClear().decrypt(0, each) for each in ran.array("S").reshape(3, slots.CIPHER)]
    assert all(row[0] == 0 for row in rows)
    rest = np.concatenate([row[1:] for row in rows])
    counts = np.bincount((rest >> np.uint64(34)).astype(np.int64), minlength=64)
    assert ((counts - rest.size / 64) ** 2 / (rest.size / 64)).sum() < 130  # 63 degrees of freedom: one in a million
    assert len(set(rest.tolist())) == rest.size


def test_a_person_lies_anywhere_in_its_group_and_nowhere_else() -> None:
    one, places = people(range(30))[0], []
    for seed in range(150):
        own, _ = psi_sum._own(entropy(seed, "a"))
        hashed = curve.hash_to_group([b"\x01" + one], tag=psi_sum._HASH + binding(seed).digest)
        wanted = curve.multiply(hashed, own.scalar).tobytes()
        listed = psi_sum._list_of_a(shape(ALL), people_of(ALL)[0], binding(seed), own)
        places.append([row.tobytes() for row in listed].index(wanted))
        assert (
            listed[-1].tobytes()
            == curve.multiply(
                curve.hash_to_group([b"\x02"], tag=psi_sum._HASH + binding(seed).digest), own.scalar
            ).tobytes()
        )
    assert set(places) == set(range(12))
    assert abs(np.mean(places) - 5.5) < LIMIT * np.sqrt((12**2 - 1) / 12 / len(places))


def test_order_of_tags_carries_nothing() -> None:
    """D2 is sorted in each group whatever D1 was: another order within groups gives the same bytes."""
    ran = run(ALL)
    tags = [row.tobytes() for row in ran.array("D2")]
    groups = [tags[at : at + 12] for at in (0, 12, 24)]
    assert all(each == sorted(each) for each in groups) and tags[:36] != sorted(tags[:36])
    within = np.concatenate([np.random.default_rng(3).permutation(12) + at for at in (0, 12, 24)])
    noise = np.zeros((1, 3), np.uint64)
    b = psi_sum.party_b(shape(ALL), people_of(ALL)[1], binding(1), InClear(), entropy(1, "b"), noise)
    for _ in range(4):
        next(b)
    again = b.send(np.ascontiguousarray(ran.array("D1")[[*within, 36]]))
    assert again is not None and np.array_equal(again.array, ran.array("D2"))  # type: ignore[union-attr]


def test_places_that_role_a_learns_are_uniform() -> None:
    """Who is first in b's table and in common lies at any place of b's hidden order."""
    places = []
    for seed in range(150):
        order = psi_sum.permute.permutation(psi_sum._own(entropy(seed, "b"))[0].order, 41)
        places.append(int(order[0]))
    assert len(set(places)) > 35
    assert abs(np.mean(places) - 20) < LIMIT * np.sqrt((41**2 - 1) / 12 / len(places))
    found = InClear()
    ran = play(roles(case_of(range(1), range(30), value=77), 5, owner=found))
    filled = found.decrypt(0, ran.array("Y"))[1:42]
    mine = psi_sum.permute.permutation(psi_sum._own(entropy(5, "b"))[0].order, 41)[:30]
    assert set(np.flatnonzero(filled == 77).tolist()) == set(mine.tolist())


def test_secrets_do_not_print() -> None:
    own, rest = psi_sum._own(entropy(1, "a"))
    for secret in (own.scalar, own.order, own.key_of_nobody, *rest):
        assert str(secret) == "Secret(***)"
    assert isinstance(own, dh_psi.Own) and "Stream(***)" in repr(prf.Stream(rest[0]))


# -- attacks of whoever owns the key ----------------------------------------------------------------------------------


def made_by_b(seed: int) -> tuple[bfv.Owner, np.ndarray, np.ndarray]:
    """A key and one ciphertext, by somebody who keeps what they were made of."""
    owner = bfv.Owner(seed)
    filled = np.random.default_rng(seed).integers(0, 100, (1, slots.RING)).astype(np.uint64)
    filled[:, 0] = 1
    return owner, owner.new_key(0), owner.encrypt(0, filled)


def mask_of(*places: int) -> np.ndarray:
    mask = np.zeros(slots.RING, np.uint8)
    mask[[0, *places]] = 1
    return mask


def flood(made: np.ndarray, number: int) -> np.ndarray:
    return slots.drown(made, prf.Stream(Secret(bytes([number] * 16))))


HALF = np.concatenate([[1], np.random.default_rng(4).integers(0, 2, slots.RING - 1)]).astype(np.uint8)
COVER = np.random.default_rng(1).integers(0, PLAIN, (1, slots.RING)).astype(np.uint64)


@pytest.fixture(scope="module")
def seal() -> Iterator[Worker]:
    with Worker(memory=memory_for(columns=1, cells=1), cpu_s=100, timeout_s=60) as worker:
        yield worker


def divided(cipher: np.ndarray, made: np.ndarray) -> np.ndarray:
    """b's attack on second polynomials: the sum's, divided by the ciphertext's, modulo one prime; as slots."""
    prime = slots.PRIMES[0]
    second = [each.astype(object)[slots.CIPHER // 2 :][: slots.RING] for each in (made, cipher)]
    above, below = (bfv.values(each, prime) for each in second)
    inverse = np.array([pow(int(each), -1, prime) for each in below], object)
    return bfv.decode(bfv.centred(bfv.polynomial(above * inverse % prime, prime), prime), PLAIN)


def test_flooding_alone_gives_the_whole_mask_away() -> None:
    """Without a fresh encryption of nothing the second polynomial is the mask times b's own: no noise is on it."""
    _, key, ciphers = made_by_b(3)
    summer = bfv.Textbook(5, zero=False)
    summer.block(0, ciphers, HALF[None])
    (made,) = summer.sums(0, key, iter(COVER))
    assert np.array_equal(divided(ciphers[0], flood(made, 6)), HALF)


def divided_noise(owner: bfv.Owner, made: np.ndarray) -> np.ndarray:
    """b's attack on noise: the sum's, divided by that of b's own ciphertext as real numbers, and rounded; as slots."""
    turn = np.exp(1j * np.pi * np.arange(slots.RING) / slots.RING)
    noises = (owner.noise_times_plain(0, each) for each in (made, owner.ciphers[0]))
    above, below = (np.fft.fft(each.astype(float) * turn) for each in noises)
    rough = (np.fft.ifft(above / below) / turn).real
    return bfv.decode(np.array([round(each) for each in rough], object), PLAIN)


def test_an_encryption_of_nothing_alone_gives_the_whole_mask_away(seal: Worker) -> None:
    """The sum is made anew by SEAL: what its noise is beside the mask times b's own errors is less than these."""
    owner, key, ciphers = made_by_b(28)  # whose errors have no small value at any root, so that rounding is safe
    seal.block(0, ciphers, HALF[None])
    (made,) = seal.sums(0, key, iter(COVER))
    assert np.array_equal(divided_noise(owner, made), HALF)
    drowned = flood(made, 5)
    assert (divided_noise(owner, drowned) <= 1).mean() < 0.01
    assert (divided(ciphers[0], drowned) <= 1).mean() < 0.01, "what is made anew does not divide"


def test_noise_that_is_drowned_is_spread_alike_for_all_masks(seal: Worker) -> None:
    """Its upper bits are uniform, for a mask of one slot and of all: what it is beside flooding is 2^-64 of it."""
    owner, key, ciphers = made_by_b(20)
    for number, mask in enumerate((mask_of(1), np.ones(slots.RING, np.uint8))):
        seal.block(0, ciphers, mask[None])
        (made,) = seal.sums(0, key, iter(COVER))
        beside = max(abs(owner.noise(0, made)))
        found = owner.noise(0, flood(made, 30 + number))
        assert beside < 2**57 and max(abs(found)) < 2**127 + 2**57
        counts = np.bincount([int(each + 2**127) >> 122 for each in found], minlength=64)
        assert ((counts - 128) ** 2 / 128).sum() < 130


def test_the_code_drowns_what_it_sends_and_keeps_no_stream_twice() -> None:
    """On role a's own messages: noise of S is uniform among 128 bits, and no two sums have the same."""
    owner = bfv.Owner(40)
    tiny = Case({b"1": 0}, {b"1": (3,), b"2": (4,)}, 2, 1, 1, 2, 1)
    with Worker(memory=memory_for(columns=1, cells=2), cpu_s=100, timeout_s=60) as worker:
        ran = play(roles(tiny, owner=owner, summer=worker))
    assert ran.outputs["a"] == tiny.oracle()
    noises = [owner.noise(0, each) for each in ran.array("S").reshape(2, slots.CIPHER)]
    for each in noises:
        assert 2**126 < max(abs(each)) < 2**127 + 2**57
    assert max(abs(noises[0] - noises[1])) > 2**126
