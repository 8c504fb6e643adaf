"""AES: known answers, and every back end against OpenSSL's bytes."""

import subprocess
import sys
from collections.abc import Iterator

import numba
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pets.kernels import aes
from pets.secret import Secret

FIPS_KEY = Secret(bytes(range(16)))


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    aes.select(aes.PORTABLE)


def openssl(key: bytes, mode: modes.Mode, data: bytes) -> bytes:
    return Cipher(algorithms.AES128(key), mode).encryptor().update(data)


def test_portable_is_what_a_process_starts_with() -> None:
    code = "from pets.kernels import aes; print(aes.selected())"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "portable\n"
    )


@pytest.mark.parametrize("backend", aes.features())
def test_self_test_passes_in_a_child_process(backend: str) -> None:
    code = f"from pets.kernels import aes; aes.self_test({backend!r}); aes.select({backend!r}); print(aes.selected())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == backend


def test_self_test_notices_a_wrong_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aes, "_encrypt_portable", lambda key, flat: None)
    with pytest.raises(RuntimeError, match="FIPS 197"):
        aes.self_test(aes.PORTABLE)


def test_self_test_notices_a_wrong_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aes, "_ctr_portable", lambda key, first_word, out: out.fill(0))
    with pytest.raises(RuntimeError, match="counts wrongly"):
        aes.self_test(aes.PORTABLE)


@pytest.mark.parametrize("backend", aes.features())
def test_fips_197_vector(backend: str) -> None:
    aes.select(backend)
    block = np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), np.uint8).copy().reshape(1, 16)
    aes.encrypt_blocks(FIPS_KEY, block)
    assert block.tobytes().hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize("backend", aes.features())
def test_first_words_of_the_stream(backend: str) -> None:
    aes.select(backend)
    out = np.empty(4, np.uint64)
    aes.ctr_words(FIPS_KEY, 0, out)
    expected = "825b8f87373ba1c6 79d8c8a162814f6f 1eb4c09595134673 0a2df465e3bd7b49"
    assert " ".join(f"{int(word):016x}" for word in out) == expected


@pytest.mark.parametrize("backend", aes.features())
def test_blocks_equal_openssl(backend: str) -> None:
    aes.select(backend)
    rng = np.random.default_rng(1)
    for count in (0, 1, 2, 15, 16, 17, 31, 33, 255, 20_000):
        key = rng.bytes(16)
        data = rng.integers(0, 256, (count, 16), dtype=np.uint8)
        expected = openssl(key, modes.ECB(), data.tobytes())
        aes.encrypt_blocks(Secret(key), data)
        assert data.tobytes() == expected


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("first", [0, 1, 2, 3, 31, 32, 1_000_001, (1 << 33) - 5, (1 << 62) + 1])
def test_stream_equals_openssl_from_any_word(backend: str, first: int) -> None:
    aes.select(backend)
    rng = np.random.default_rng(first & 0xFFFF)
    for count in (0, 1, 2, 3, 31, 32, 33, 64, 65, 40_001):
        key = rng.bytes(16)
        counter = modes.CTR((first // 2).to_bytes(16, "big"))
        expected = openssl(key, counter, bytes(8 * (count + 1)))[8 * (first % 2) :][: 8 * count]
        guarded = np.full(count + 2, 7, np.uint64)
        aes.ctr_words(Secret(key), first, guarded[1:-1])
        assert guarded[1:-1].tobytes() == expected
        assert guarded[0] == guarded[-1] == 7


@pytest.mark.parametrize("setting", ["CPU_NAME", "CPU_FEATURES", "DISABLE_JIT"])
def test_a_target_set_by_hand_leaves_portable_only(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, setting, "x86-64" if setting != "DISABLE_JIT" else 1)
    assert aes.features() == (aes.PORTABLE,)
    with pytest.raises(ValueError, match="no AES back end vaes512"):
        aes.select(aes.VAES512)


def test_environment_of_numba_is_heeded() -> None:
    code = "from pets.kernels import aes; print(aes.features())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={"NUMBA_CPU_NAME": "generic", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout == "('portable',)\n"


def test_a_processor_without_the_instructions_gets_portable(monkeypatch: pytest.MonkeyPatch) -> None:
    host = dict.fromkeys(("sse2", "ssse3", "avx512f"), True)
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: host)
    assert aes.features() == (aes.PORTABLE,)
    host["aes"] = True
    assert aes.features() == (aes.AESNI, aes.PORTABLE)
    host.update(dict.fromkeys(("vaes", "avx512vl", "avx512bw"), True))
    assert aes.features() == (aes.VAES512, aes.AESNI, aes.PORTABLE)


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="no AES back end gpu"):
        aes.select("gpu")


@pytest.mark.parametrize("backend", aes.features())
def test_wrong_arguments_are_refused(backend: str) -> None:
    aes.select(backend)
    with pytest.raises(ValueError, match="16 bytes"):
        aes.ctr_words(Secret(bytes(32)), 0, np.empty(4, np.uint64))
    with pytest.raises(ValueError, match="first word"):
        aes.ctr_words(FIPS_KEY, -1, np.empty(4, np.uint64))
    with pytest.raises(ValueError, match="contiguous"):
        aes.ctr_words(FIPS_KEY, 0, np.empty(4, np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contiguous"):
        aes.ctr_words(FIPS_KEY, 0, np.empty(8, np.uint64)[::2])
    with pytest.raises(ValueError, match="blocks are"):
        aes.encrypt_blocks(FIPS_KEY, np.empty((4, 15), np.uint8))
    with pytest.raises(ValueError, match="blocks are"):
        aes.encrypt_blocks(FIPS_KEY, np.empty((8, 16), np.uint8)[::2])
