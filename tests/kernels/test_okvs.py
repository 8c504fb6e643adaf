"""Tables that tokens read by sums: against the slow twin, with keys put aside, and where no table can be written."""

import numpy as np
import pytest

from pets.kernels import okvs
from pets.spec.cards import load_cards
from tests.oracles import okvs as twin


def tokens_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def words_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def planted(count: int, groups: int, *, alike: int = 2) -> np.ndarray:
    """``groups`` times ``alike`` tokens with the same three slots and other dense ones: 2-cores."""
    tokens = tokens_of(count + groups, count)
    for group in range(groups):
        rows = np.arange(alike) * groups + group
        tokens[rows, :9] = tokens[rows[0], :9]
    return tokens


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20, 300])
def test_a_table_is_that_of_the_slow_twin(count: int) -> None:
    tokens, words, third = tokens_of(count, count), words_of(count, count), twin.third_of(count)
    writer = okvs.Writer(tokens, third)
    table = writer.write(words)
    rows = [bytes(row) for row in tokens]
    assert table.tolist() == twin.write(rows, words.tolist(), third)
    assert np.array_equal(okvs.read(table, writer.places), words)
    others, other = words_of(7, okvs.slots_of(third)), tokens_of(8, 50)
    expected = [twin.read(others.tolist(), bytes(row), third) for row in other]
    assert okvs.read(others, okvs.Places(other, third)).tolist() == expected


@pytest.mark.parametrize(("groups", "alike"), [(1, 2), (2, 2), (9, 2), (16, 2), (1, 3), (4, 4), (1, 17)])
def test_keys_put_aside_are_solved_by_the_dense_slots(groups: int, alike: int) -> None:
    tokens, words = planted(120, groups, alike=alike), words_of(3, 120)
    third = okvs.third_of(120)
    writer = okvs.Writer(tokens, third)
    assert writer.aside == groups * (alike - 1)
    for column in (words, words[::-1].copy(), np.zeros(120, np.uint64)):
        assert np.array_equal(okvs.read(writer.write(column), writer.places), column)
    assert writer.write(words).tolist() == twin.write([bytes(row) for row in tokens], words.tolist(), third)


@pytest.mark.parametrize("seed", range(20))
def test_crowded_tables_have_cores_and_are_solved_all_the_same(seed: int) -> None:
    """Thirds of less than the threshold: long chains between what was put aside and the rest."""
    tokens, words, third = tokens_of(seed, 150), words_of(seed, 150), 57
    writer = okvs.Writer(tokens, third)
    assert writer.aside
    table = writer.write(words)
    assert np.array_equal(okvs.read(table, writer.places), words)
    assert table.tolist() == twin.write([bytes(row) for row in tokens], words.tolist(), third)


def test_summands_of_a_table_read_summands_of_the_words() -> None:
    tokens, words = tokens_of(1, 500), words_of(1, 500)
    writer = okvs.Writer(tokens, okvs.third_of(500))
    mask = words_of(2, writer.places.slots)
    table = writer.write(words)
    assert np.array_equal(okvs.read(table - mask, writer.places) + okvs.read(mask, writer.places), words)


def test_what_cannot_be_written_ends_and_is_not_tried_again() -> None:
    same = tokens_of(1, 10)
    same[4] = same[5]
    too_many = planted(200, 1, alike=58)
    rank = planted(60, 1, alike=57)  # 56 equations in 56 unknowns, of which two are alike modulo 2
    rank[30, 9:] = rank[31, 9:]
    for tokens in (same, too_many, rank):
        with pytest.raises(okvs.Unsolvable):
            okvs.Writer(tokens, okvs.third_of(len(tokens)))


def test_tokens_that_are_nobodys_read_nothing_they_could_expect() -> None:
    """A token of nobody may well read another key's word, or 0: but never the word that it is itself checked by."""
    count = 100_000
    tokens, words = tokens_of(5, count), words_of(5, count)
    writer = okvs.Writer(tokens, okvs.third_of(count))
    table = writer.write(words)
    checks = words_of(6, 4 * count)
    found = okvs.read(table, okvs.Places(tokens_of(6, 4 * count), writer.places.third))
    assert not np.any(found == checks)
    assert np.isin(found, words).any() and not found.all()


def test_slots_are_evenly_spread_and_independent_of_the_dense_ones() -> None:
    places = okvs.Places(tokens_of(9, 300_000), 100)
    for part in range(3):
        hits = np.bincount(places.at[:, part] - 100 * part, minlength=100)
        assert hits.size == 100
        assert float(((hits - 3000) ** 2).sum() / 3000) < 180  # chi-square with 99 degrees of freedom: 1 in 10^6
    for bit in range(okvs.DENSE):
        ones = (places.dense >> np.uint64(bit)) & np.uint64(1)
        assert abs(int(ones.sum()) - 150_000) < 1500
    assert int(places.dense.max()) < 2**okvs.DENSE


def test_sizes_are_those_of_the_card() -> None:
    card = load_cards()["helper_join_b"]
    public = dict.fromkeys(card.public, 1) | {"v_c": 0, "v_k": 0}
    for keys in (1, 2, 29, 30, 31, 1000, 2**20, 2**24):
        names = card.names(public | {"n_b": keys})
        assert names["third"] == okvs.third_of(keys) == twin.third_of(keys)
        assert names["slots"] == okvs.slots_of(names["third"])
    with pytest.raises(ValueError, match="at most 2"):
        okvs.third_of(2**24 + 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: okvs.Places(np.zeros((3, 15), np.uint8), 73),
        lambda: okvs.Places(np.zeros((3, 16), np.uint16), 73),
        lambda: okvs.Places(np.zeros((3, 16), np.uint8), 0),
        lambda: okvs.read(np.zeros(10, np.uint64), okvs.Places(np.zeros((3, 16), np.uint8), 73)),
        lambda: okvs.read(np.zeros(275, np.int64), okvs.Places(np.zeros((3, 16), np.uint8), 73)),
        lambda: okvs.Writer(tokens_of(1, 3), 73).write(np.zeros(4, np.uint64)),
    ],
)
def test_wrong_shapes_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"tokens|table|thirds"):
        call()  # type: ignore[operator]


@pytest.mark.long
@pytest.mark.parametrize("keys", [10, 100, 1000, 4000])
def test_keys_are_hardly_ever_put_aside(keys: int) -> None:
    """The size of the card leaves a few keys at most; what the dense slots solve is far above that."""
    third, most = okvs.third_of(keys), 0
    for seed in range(20_000_000 // (keys * 50 + 20_000)):
        most = max(most, okvs.Writer(tokens_of(seed, keys), third).aside)
    assert most <= 2


def law(keys: int, bits: float) -> float:
    """Slots for so many keys of which more than a few are put aside with probability 2^-bits: eprint 2022/320."""
    w = np.log2(3)
    slope = 2 ** (0.555 * np.log2(keys) + 0.093 * w**3 - 1.010 * w**2 + 2.925 * w - 0.133)
    return float(((bits + 9.2) / slope + 1.223) * keys)


def test_the_size_is_above_the_law_for_every_number_of_keys() -> None:
    for keys in (*range(17, 3000), *(int(1.01**i) for i in range(800, 1672))):  # up to 16 may all be put aside
        assert 3 * okvs.third_of(keys) >= law(keys, 40), keys
        assert 40 / np.log2(law(keys, 40)) <= 16, "more put aside than the rank allows for"


@pytest.mark.long
@pytest.mark.parametrize(("keys", "bits"), [(1000, 5), (4000, 5), (16_000, 4)])
def test_failures_are_rarer_than_the_law_that_the_size_is_from(keys: int, bits: int) -> None:
    """At a size for which eprint 2022/320 predicts failures with probability 2^-bits, no more are seen."""
    third = int(law(keys, bits) / 3)
    tries, failed = 4_000_000 // keys, 0
    for seed in range(tries):
        try:
            failed += okvs.Writer(tokens_of(seed, keys), third).aside > 16
        except okvs.Unsolvable:
            failed += 1
    assert failed <= tries / 2**bits
