"""Make the kernels ready before the first run: choose the AES back end safely, compile everything once.

Compiled code is cached on disk by numba, so this takes a minute on a new machine and a second afterwards. A back end is
tried in a child process first, because an instruction that the processor lacks would end this one.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

from pets.kernels import aes, columns, join, lists, noise, permute, prf, rows, tags
from pets.protocols.codec import require_little_endian

_TRY_S = 120
_MODULES: Final = (aes, prf, permute, tags, join, columns, rows, lists, noise)
STEPS: Final = len(_MODULES)
"""How often ``prepare_kernels`` says something."""

_lock = threading.Lock()
_ready = False


def prepare_kernels(say: Callable[[str], None] = lambda line: None) -> str:
    """Select the best back end that passes its self-test, and compile all kernels. Returns the back end's name."""
    global _ready
    with _lock:
        if _ready:
            return aes.selected()
        require_little_endian()
        for backend in aes.features():
            if backend == "portable" or _passes(backend):
                aes.select(backend)
                break
        for module in _MODULES:
            say(module.__name__.rpartition(".")[2])
            warm = getattr(module, "warm_up", None)
            if warm is not None:
                warm()
        _ready = True
    return aes.selected()


def _passes(backend: str) -> bool:
    """Whether the self-test of a back end succeeds in a process of its own."""
    code = f"from pets.kernels import aes; aes.self_test({backend!r})"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=_TRY_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


if __name__ == "__main__":
    print(f"kernels ready: AES by {prepare_kernels()}")
