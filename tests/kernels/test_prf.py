"""Keys of a run and their words: known answers, separation of labels, the same words whichever way one asks."""

from collections.abc import Iterator

import numpy as np
import pytest

from pets.kernels import aes, prf
from pets.kernels.prf import KeyFamily, Stream
from pets.secret import Secret, same

KEY = Secret(bytes(range(16)))


@pytest.fixture(params=aes.features())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    aes.select(request.param)
    yield request.param
    aes.select(aes.PORTABLE)


def family(**changes: object) -> KeyFamily:
    fields: dict[str, object] = {
        "run_id": b"\x01" * 32,
        "digest": b"\x02" * 32,
        "protocol": "helper_join_a",
        "party_p": "A",
        "party_q": "B",
    }
    return KeyFamily(Secret(b"\x0b" * 32), **(fields | changes))  # type: ignore[arg-type]


# -- agreement ---------------------------------------------------------------------------------------------------------


def test_both_sides_agree() -> None:
    a, b, c = (Secret(bytes([number]) * 32) for number in (1, 2, 3))
    assert same(prf.agree(a, prf.public_key(b)), prf.agree(b, prf.public_key(a)))
    assert not same(prf.agree(a, prf.public_key(b)), prf.agree(a, prf.public_key(c)))
    assert len(prf.public_key(a)) == 32


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "order 4"])
def test_public_keys_that_give_zero_are_refused(public: bytes) -> None:
    with pytest.raises(ValueError):
        prf.agree(Secret(b"\x05" * 32), public)


def test_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError):
        prf.agree(Secret(b"\x05" * 32), bytes(31))


# -- key family --------------------------------------------------------------------------------------------------------


def test_known_answer_of_a_label() -> None:
    assert family().key("tag").expose("known answer").hex() == "ae86af0d19f861a48dac22736eb383a7"


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": b"\x03" * 32},
        {"digest": b"\x03" * 32},
        {"protocol": "helper_join_b"},
        {"party_p": "B", "party_q": "A"},
        {"party_q": "C"},
        {"protocol": "helper_join_aA", "party_p": ""},
    ],
)
def test_every_part_of_the_context_changes_the_key(change: dict[str, object]) -> None:
    assert not same(family().key("tag"), family(**change).key("tag"))


def test_labels_and_columns_have_their_own_keys() -> None:
    keys = family()
    given = [keys.key("r", 0), keys.key("r", 1), keys.key("r", 10), keys.key("r1"), keys.key("u")]
    assert len({key.expose("distinct") for key in given}) == len(given)


def test_same_purpose_gives_the_same_key_and_both_sides_agree() -> None:
    keys, other = family(), family()
    assert same(keys.key("q", purpose="permutation"), keys.key("q", purpose="permutation"))
    assert same(keys.key("r", 3), other.key("r", 3))
    assert keys.purposes == {"q": "permutation", "r": "words by column"}


def test_one_label_for_two_purposes_is_refused() -> None:
    keys = family()
    keys.key("q", purpose="permutation")
    with pytest.raises(ValueError, match="another purpose: permutation"):
        keys.key("q")
    keys.key("r", 0)
    with pytest.raises(ValueError, match="another purpose: words by column"):
        keys.key("r")
    with pytest.raises(ValueError, match="another purpose"):
        keys.key("r", 1, purpose="permutation")


@pytest.mark.parametrize(("label", "column"), [("", None), ("r.1", None), ("r", -1)])
def test_ambiguous_labels_are_refused(label: str, column: int | None) -> None:
    with pytest.raises(ValueError):
        family().key(label, column)


def test_erased_family_gives_no_key() -> None:
    keys = family()
    keys.erase()
    with pytest.raises(ValueError, match="erased"):
        keys.key("tag")


@pytest.mark.parametrize(
    "change", [{"run_id": b"\x01" * 31}, {"digest": b"\x02" * 64}, {"party_q": "A"}], ids=["run", "digest", "parties"]
)
def test_malformed_context_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        family(**change)


def test_zero_or_short_shared_secret_is_refused() -> None:
    for shared in (bytes(32), b"\x0b" * 16):
        with pytest.raises(ValueError, match="shared secret"):
            KeyFamily(Secret(shared), run_id=bytes(32), digest=bytes(32), protocol="p", party_p="A", party_q="B")


def test_family_and_stream_do_not_print() -> None:
    assert repr(family()) == "KeyFamily(***)"
    assert repr(Stream(KEY)) == "Stream(***)"


# -- words -------------------------------------------------------------------------------------------------------------


def test_words_at_any_place_are_the_words_of_the_stream(backend: str) -> None:
    stream = prf.words(KEY, 200_001)
    rng = np.random.default_rng(2)
    for count in (0, 1, 2, 1000, 16_384, 16_385, 50_000):
        index = rng.integers(0, stream.size, count)
        assert np.array_equal(prf.words_at(KEY, index.astype(np.uint32)), stream[index])
        assert np.array_equal(prf.words_at(KEY, index.astype(np.uint64)), stream[index])
    far = np.array([2**40 + 1, 2**40], np.uint64)
    assert np.array_equal(prf.words_at(KEY, far), prf.words(KEY, 2, first=2**40)[::-1])


def test_words_from_the_middle(backend: str) -> None:
    assert np.array_equal(prf.words(KEY, 100, first=33), prf.words(KEY, 133)[33:])


def test_masks_go_on_and_come_off(backend: str) -> None:
    rng = np.random.default_rng(3)
    for count in (0, 1, 7, 32_768, 32_769, 100_003):
        values = rng.integers(0, 2**64, count, dtype=np.uint64)
        masked = values.copy()
        prf.add_words(KEY, masked, first=5)
        assert np.array_equal(masked, values + prf.words(KEY, count, first=5))
        prf.sub_words(KEY, masked, first=5)
        assert np.array_equal(masked, values)
        prf.sub_words(KEY, masked)
        assert np.array_equal(masked, values - prf.words(KEY, count))


def test_stream_gives_each_word_once(backend: str) -> None:
    stream = Stream(KEY)
    parts = [stream.words(count) for count in (3, 0, 1, 64, 1001, 2)]
    assert np.array_equal(np.concatenate(parts), prf.words(KEY, 1071))


def test_wrong_arrays_and_seeds_are_refused() -> None:
    with pytest.raises(ValueError):
        Stream(Secret(bytes(32)))
    with pytest.raises(ValueError, match="contiguous"):
        prf.add_words(KEY, np.zeros(8, np.uint64)[::2])
    with pytest.raises(ValueError, match="contiguous"):
        prf.sub_words(KEY, np.zeros(8, np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint32 or uint64"):
        prf.words_at(KEY, np.zeros(8, np.int64))  # type: ignore[arg-type]
