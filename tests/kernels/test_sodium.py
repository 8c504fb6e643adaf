"""libsodium out of rbcl's wheel: loaded from memory or from a private folder, nothing left behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pets.errors import ConfigError
from pets.kernels import sodium

LOADERS = {"memory": sodium._loaded_from_memory, "directory": sodium._loaded_from_directory}


def in_a_child(code: str, folder: Path) -> str:
    environment = {"TMPDIR": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    return done.stdout.strip()


@pytest.mark.parametrize("loader", LOADERS)
def test_loading_leaves_no_file_and_imports_no_rbcl(loader: str, tmp_path: Path) -> None:
    code = f"""
import sys
from pets.kernels import sodium
sodium._loaded = sodium._loaded_from_{loader}
assert sodium.reduced(b"\\1" + bytes(63)) == b"\\1" + bytes(31)
assert not [name for name in sys.modules if name.startswith("rbcl")]
print("loaded")
"""
    assert in_a_child(code, tmp_path) == "loaded"
    assert not list(tmp_path.iterdir())


def test_importing_loads_no_library(tmp_path: Path) -> None:
    code = "from pets.kernels import curve, sodium; print('libsodium' in open('/proc/self/maps').read())"
    assert in_a_child(code, tmp_path) == "False"


def test_the_folder_is_closed_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def look(path: str) -> None:
        modes.append(Path(path).parent.stat().st_mode & 0o777)
        raise OSError("enough")

    monkeypatch.setattr(sodium.ctypes, "CDLL", look)
    with pytest.raises(OSError, match="enough"):
        sodium._loaded_from_directory(b"")
    assert modes == [0o700]


def test_the_other_way_is_tried_before_giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(content: bytes) -> None:
        raise OSError("not from memory")

    monkeypatch.setattr(sodium, "_loaded_from_memory", refused)
    assert sodium._loaded(sodium._carried()).sodium_init() >= 0
    monkeypatch.setattr(sodium, "_loaded_from_directory", refused)
    with pytest.raises(OSError, match="not from memory"):
        sodium._loaded(sodium._carried())


def raised() -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        sodium._library.__wrapped__()
    assert caught.value.code == "config.sodium"
    return caught.value


def test_a_missing_wheel_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sodium, "find_spec", lambda name: None)
    assert "rbcl is not installed" in str(raised())


@pytest.mark.parametrize("text", ["", "bytes.fromhex('00') bytes.fromhex('00')", "bytes.fromhex('0z')"])
def test_another_wheel_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    raised()


def test_what_is_no_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sodium, "_carried", lambda: b"no library")
    raised()


def test_reduction_takes_64_bytes() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        sodium.reduced(bytes(32))


def test_arrays_that_do_not_fit_are_refused() -> None:
    one, two, wide, factor = (np.zeros(shape, np.uint8) for shape in ((1, 32), (2, 32), (2, 64), (32,)))
    with pytest.raises(ValueError, match="contiguous"):
        sodium.multiply(two, factor, one)
    with pytest.raises(ValueError, match="contiguous"):
        sodium.from_uniform(wide, one)
    with pytest.raises(ValueError, match="contiguous"):
        sodium.from_uniform(np.asfortranarray(wide), two)


def test_libsodium_takes_a_second_encoding_that_we_refuse() -> None:
    """libsodium 1.0.18 masks the last bit. If this fails, the library has changed, and ours is a second refusal."""
    factor = np.frombuffer(b"\1" + bytes(31), np.uint8)
    points = np.empty((1, 32), np.uint8)
    sodium.from_uniform(np.full((1, 64), 7, np.uint8), points)
    points[0, 31] |= 0x80
    call = sodium._library().crypto_scalarmult_ristretto255
    assert call(sodium.ctypes.create_string_buffer(32), factor.tobytes(), points.tobytes()) == 0
    assert sodium.multiply(points, factor, np.empty_like(points)) == 0
