"""``pets`` in processes of their own that find libraries loaded: each is forked from one that has done nothing else.

Most of a short command is loading modules, and a test may give fifty. What is loaded ahead is what ``pets`` loads when
it asks a server something or checks a specification; ``pets.cli`` itself, which looks at its terminal, is loaded anew.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

AHEAD: Final = ("typer", "rich.table", "pets.check.document", "pets.party.evidence", "pets.party.folder", "pets.remote")
"""None of these starts a thread, which a fork would lose, nor keeps a stream."""

MODULE: Final = "pets.cli"
GROUPS: Final = ("party", "program", "psi")
"""Commands that have commands."""

ROOT: Final = Path(__file__).parents[1]
STANDARD: Final = ("stdin", "stdout", "stderr")

_given: set[str] = set()


@cache
def _parent() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.forked"]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    atexit.register(parent.communicate)  # that it is asked nothing more ends it
    return parent


def pets(*words: str, said: str = "", columns: int = 80, seconds: int = 200) -> subprocess.CompletedProcess[str]:
    """Give a command, with what is typed; killed after so many seconds. The first of a name is a new interpreter."""
    env = os.environ | {"COLUMNS": str(columns)}
    name = " ".join(words[: 2 if words[0] in GROUPS else 1])
    if name in _given:
        return _forked(words, said, env, seconds)
    _given.add(name)
    command = [sys.executable, "-m", MODULE, *words]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=seconds, cwd=ROOT, env=env, check=False
    )


def _forked(words: Sequence[str], said: str, env: Mapping[str, str], seconds: int) -> subprocess.CompletedProcess[str]:
    parent = _parent()
    assert parent.stdin is not None and parent.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder) / name) for name in STANDARD}
        Path(files["stdin"]).write_text(said)
        parent.stdin.write(json.dumps({"words": words, "env": dict(env), "seconds": seconds, **files}) + "\n")
        parent.stdin.flush()
        code = int(parent.stdout.readline())
        out, err = (Path(files[name]).read_text() for name in STANDARD[1:])
    return subprocess.CompletedProcess([MODULE, *words], code, out, err)


def _child(asked: dict[str, Any]) -> int:
    """What the forked process does. Returns its exit code, as the interpreter would."""
    signal.alarm(asked["seconds"])
    for number, name in enumerate(STANDARD):
        os.dup2(os.open(asked[name], os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [MODULE, *asked["words"]]
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _serve() -> None:
    """A line for each command to run, and one with how it ended, until there are no more."""
    asking, telling = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    for name in AHEAD:
        importlib.import_module(name)
    for line in asking:
        pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException):
                code = _child(json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
        telling.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        telling.flush()


if __name__ == "__main__":
    _serve()
