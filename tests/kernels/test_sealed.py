"""Messages sealed to one reader: RFC 9180 by a second hand, chunks under GCM, and everything that is to be refused."""

from io import BytesIO, RawIOBase

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pets.kernels import prf, sealed
from pets.secret import Secret
from tests.oracles import hpke
from tests.oracles.play import words

OWN = Secret(bytes(range(32)))
PUBLIC = prf.public_key(OWN)
KEY = Secret(b"\7" * 16)
CHUNK = sealed.CHUNK_BYTES // 8


def added(total: np.ndarray, values: np.ndarray) -> None:
    total += values


def taken_off(total: np.ndarray, values: np.ndarray) -> None:
    total -= values


def opened(made: bytes, total: np.ndarray, key: Secret[bytes] = KEY) -> None:
    sealed.add_opened(key, BytesIO(made), total, add=added, sub=taken_off)


# RFC 9180, appendix A.1.1 (DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, mode base), first encryption
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
RFC_PRIVATE = bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
RFC_ENC = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
RFC_KEY = "4531685d41d65f03dc48f6b8302c05b0"
RFC_NONCE = "56d890e5accaaf011cff4b7d"
RFC_TEXT = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")
RFC_SEALED = bytes.fromhex("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a")


def test_the_second_hand_is_rfc_9180() -> None:
    key, nonce = hpke.keys(RFC_PRIVATE, RFC_ENC, INFO)
    assert (key.hex(), nonce.hex()) == (RFC_KEY, RFC_NONCE)
    assert hpke.opened(RFC_PRIVATE, RFC_ENC + RFC_SEALED, INFO, b"Count-0") == RFC_TEXT


@pytest.mark.parametrize("size", [0, 1, 16, 48, 1000])
def test_heads_are_what_rfc_9180_says(size: int) -> None:
    head = bytes(range(256)) * 4
    made = sealed.seal_head(PUBLIC, b"for this", Secret(head[:size]))
    assert len(made) == size + sealed.HEAD_EXTRA
    assert hpke.opened(OWN.expose("test"), made, b"for this") == head[:size]
    assert sealed.open_head(OWN, b"for this", made).expose("test") == head[:size]


def test_the_same_head_is_never_sealed_alike() -> None:
    assert len({sealed.seal_head(PUBLIC, b"", Secret(b"x" * 16)) for _ in range(20)}) == 20


def test_a_head_opens_for_its_purpose_and_reader_alone() -> None:
    made = sealed.seal_head(PUBLIC, b"for this", Secret(b"x" * 48))
    for private, info in ((OWN, b"for that"), (Secret(b"\1" * 32), b"for this")):
        with pytest.raises(ValueError, match="not sealed to this key"):
            sealed.open_head(private, info, made)


@pytest.mark.parametrize("at", [0, 31, 32, 60, 79, 95])
def test_a_changed_head_does_not_open(at: int) -> None:
    made = bytearray(sealed.seal_head(PUBLIC, b"", Secret(b"x" * 48)))
    made[at] ^= 1
    with pytest.raises(ValueError, match="not sealed"):
        sealed.open_head(OWN, b"", bytes(made))


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(47), bytes(96)])
def test_what_is_no_head_does_not_open(wrong: bytes) -> None:
    """The last has an ephemeral key that gives the all-zero secret."""
    with pytest.raises(ValueError, match="not sealed"):
        sealed.open_head(OWN, b"", wrong)


@pytest.mark.parametrize("public", [bytes(32), b"short", (1).to_bytes(32, "little")])
def test_nothing_is_sealed_to_a_key_that_gives_zero(public: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        sealed.seal_head(public, b"", Secret(b"x"))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5])
def test_words_come_back(size: int) -> None:
    values, out = words(1, size), np.zeros(size, np.uint64)
    made = sealed.seal_words(KEY, values)
    assert len(made) == sealed.sealed_words_bytes(size)
    opened(made, out)
    assert np.array_equal(out, values)


def test_chunks_are_gcm_under_their_numbers() -> None:
    values = words(2, CHUNK + 3)
    made, plain, gcm = sealed.seal_words(KEY, values), values.tobytes(), AESGCM(KEY.expose("test"))
    first = sealed.CHUNK_BYTES + 16
    assert gcm.decrypt(bytes(12), made[:first], None) == plain[: sealed.CHUNK_BYTES]
    assert gcm.decrypt(bytes(10) + b"\1\1", made[first:], None) == plain[sealed.CHUNK_BYTES :]


def test_changed_turned_and_cut_chunks_do_not_open() -> None:
    out = np.zeros(2 * CHUNK, np.uint64)
    made, chunk = sealed.seal_words(KEY, words(3, 2 * CHUNK)), sealed.CHUNK_BYTES + 16
    flipped = bytearray(made)
    flipped[chunk + 9] ^= 1
    others = [bytes(flipped), made[chunk:] + made[:chunk], made[:chunk] * 2, made[:-1], made + b"\0", b""]
    for other in others:
        with pytest.raises(ValueError, match="words"):
            opened(other, out)
    with pytest.raises(ValueError, match="words"):  # the first chunk as if it were all
        opened(made[:chunk], out[:CHUNK])
    with pytest.raises(ValueError, match="words"):
        opened(made, out, Secret(b"\6" * 16))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        sealed.seal_words(Secret(b"\7" * 32), words(1, 1))


@pytest.mark.parametrize("out", [np.zeros(3, np.int64), np.zeros((3, 1), np.uint64), np.zeros(6, np.uint64)[::2]])
def test_words_are_opened_into_words(out: np.ndarray) -> None:
    with pytest.raises(ValueError, match="opened into"):
        opened(sealed.seal_words(KEY, words(1, 3)), out)


def test_words_are_added_and_taken_off_chunk_by_chunk() -> None:
    values, start = words(4, 2 * CHUNK + 7), words(5, 2 * CHUNK + 7)
    made, total = sealed.seal_words(KEY, values), start.copy()
    opened(made, total)
    assert np.array_equal(total, start + values)
    sealed.sub_opened(KEY, BytesIO(made), total, sub=taken_off)
    assert np.array_equal(total, start)


@pytest.mark.parametrize("chunk", range(3))
def test_words_that_do_not_open_are_not_added(chunk: int) -> None:
    start = words(5, 2 * CHUNK + 7)
    made, total = bytearray(sealed.seal_words(KEY, words(4, 2 * CHUNK + 7))), start.copy()
    made[chunk * (sealed.CHUNK_BYTES + 16) + 3] ^= 1
    with pytest.raises(ValueError, match="not sealed"):
        opened(bytes(made), total)
    assert np.array_equal(total, start)


def test_what_adding_raises_leaves_the_total_as_it_was() -> None:
    start, values = words(5, 2 * CHUNK), words(4, 2 * CHUNK)
    total = start.copy()

    def refusing(part: np.ndarray, chunk: np.ndarray) -> None:
        if chunk[0] == values[CHUNK]:
            raise KeyError("the second chunk")
        part += chunk

    with pytest.raises(KeyError):
        sealed.add_opened(KEY, BytesIO(sealed.seal_words(KEY, values)), total, add=refusing, sub=taken_off)
    assert np.array_equal(total, start)


def test_a_file_may_give_a_few_bytes_at_a_time() -> None:
    class Slow(RawIOBase):
        def __init__(self, said: bytes) -> None:
            self._said, self._at = said, 0

        def readable(self) -> bool:
            return True

        def tell(self) -> int:
            return self._at

        def readinto(self, target: memoryview) -> int:  # type: ignore[override]
            got = self._said[self._at : self._at + min(len(target), 1000)]
            target[: len(got)] = got
            self._at += len(got)
            return len(got)

    values = words(6, 5000)
    total = np.zeros(5000, np.uint64)
    sealed.add_opened(KEY, Slow(sealed.seal_words(KEY, values)), total, add=added, sub=taken_off)  # type: ignore[arg-type]
    assert np.array_equal(total, values)


def test_a_file_that_changes_while_it_is_read_is_no_refusal_but_an_end() -> None:
    """What was added cannot be taken off again: nobody may go on with that total."""
    made = bytearray(sealed.seal_words(KEY, words(4, 2 * CHUNK)))
    made[-1] ^= 1

    class Changing(BytesIO):
        def seek(self, at: int, whence: int = 0) -> int:
            self.getbuffer()[5] ^= 1
            return super().seek(at, whence)

    with pytest.raises(sealed.SpoiltError, match="changed"):
        sealed.add_opened(KEY, Changing(bytes(made)), np.zeros(2 * CHUNK, np.uint64), add=added, sub=taken_off)
