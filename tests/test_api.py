"""The public names of the package, and that importing any part of it does nothing."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pets

ROOT = Path(__file__).parents[1]

SIGNATURES = {
    "Draft": "(spec: pets.spec.model.Spec, toml: str) -> None",
    "Draft.check": "(self) -> pets.plan.review.Review",
    "Draft.save": "(self, path: str | pathlib.Path) -> pathlib.Path",
    "Network.run": "(self, spec: 'Spec | Draft | str | Path', *, progress: Progress | None = None,"
    " handle: Optional[RunHandle] = None) -> pets.result.Result",
    "Network.stop": "(self, handle: RunHandle) -> None",
    "Network.submit": "(self, spec: 'Spec | Draft | str | Path') -> SpecDigest",
    "PetsError": "(code: str, **fields: object) -> None",
    "Result.plot": "(self, path: str | pathlib.Path | None = None) -> Any",
    "Result.save": "(self, out: str | pathlib.Path) -> pathlib.Path",
    "Result.to_csv": "(self) -> bytes",
    "Result.to_pandas": "(self) -> pandas.DataFrame",
    "connect": "(directory: str | pathlib.Path, *, client: str | pathlib.Path | None = None, deadline_s: float = 600.0)"
    " -> pets.network.Network",
    "ledger": "(config: str | pathlib.Path = 'party.toml', *, since: datetime.date | None = None,"
    " now: datetime.datetime | None = None) -> pets.spend.Spend",
    "local_network": "(parties: Mapping[str, Mapping[str, Any]], *, deadline_s: float = 300.0) -> 'LocalNetwork'",
    "read_spec": "(path: pathlib.Path) -> pets.spec.model.Spec",
    "review": "(spec: pets.spec.model.Spec) -> pets.plan.review.Review",
    "run_program": "(source: str | pathlib.Path, *, inputs: Mapping[str, Mapping[str, Sequence[int]]],"
    " outputs: Mapping[str, int | tuple[int, int]] | None = None, receivers: Iterable[str] | None = None,"
    " parameters: Mapping[str, int | Iterable[int]] | None = None,"
    " ranges: Mapping[str, tuple[int, int]] | None = None, bits: int = 64, deadline_s: float = 300.0)"
    " -> pets.programs.ProgramResult",
}
"""A change here is a change for every notebook that uses the package."""

RESULT = ("cost", "disclosure", "epsilon", "grouping", "opened", "plan", "receipts", "review", "seconds", "shares")


def test_the_public_names_are_these() -> None:
    public = {name.partition(".")[0] for name in SIGNATURES}
    assert sorted(pets.__all__) == sorted(public | {"Network", "Result"})
    assert set(pets.__all__) <= set(dir(pets))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_these(name: str) -> None:
    found = pets
    for part in name.split("."):
        found = getattr(found, part)
    assert _plain(str(inspect.signature(found))) == _plain(SIGNATURES[name])


def _plain(signature: str) -> str:
    for home in (
        "pets.spec.model.",
        "pets.plan.review.",
        "pets.result.",
        "pets.network.",
        "pets.ids.",
        "pathlib.",
        "collections.abc.",
        "typing.",
        "pandas.core.frame.",
        "pd.",
        "pandas.",
        "'",
    ):
        signature = signature.replace(home, "")
    return signature.replace("Callable[[PartyId, pets.transport.calls.Event], None]", "Progress")


def test_a_result_has_its_parts() -> None:
    fields = {*pets.Result.__dataclass_fields__, *(name for name in dir(pets.Result) if not name.startswith("_"))}
    assert set(RESULT) <= fields


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        pets.conect  # noqa: B018


def test_a_public_name_stays_a_function_once_its_module_is_loaded() -> None:
    """A module of the same name would take its place."""
    code = "import pets, pets.remote, pets.local; assert callable(pets.connect) and callable(pets.local_network)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=100, check=False).returncode == 0


PROBE = """
DRAW = ("pets.chart", "pets.forest", "pets.staircase")
import json, logging, os, sys, threading
before = dict(os.environ)
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" and writes(args) else None)
def writes(args):
    path, mode = args[:2]
    return isinstance(path, str) and isinstance(mode, str) and any(c in mode for c in "wax+") and path != os.devnull
import importlib, pkgutil, pets
for found in pkgutil.walk_packages(pets.__path__, "pets."):
    if not found.name.endswith("__main__") and found.name not in DRAW:  # fonts are listed
        importlib.import_module(found.name)
handlers = [h for name in [None, *logging.root.manager.loggerDict] if not name or name.startswith("pets")
            for h in logging.getLogger(name).handlers]
ours = [path for path in opened if "__pycache__" not in path]
print(json.dumps({
    "threads": [t.name for t in threading.enumerate() if t is not threading.main_thread()],
    "handlers": list(map(repr, handlers)),
    "written": ours,
    "environment": sorted(set(os.environ.items()) ^ set(before.items())),
    "drawing": "matplotlib" in sys.modules,
}))
"""


def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, "a module prints"
    said = json.loads(done.stdout)
    assert said["threads"] == []
    assert said["handlers"] == []
    assert said["environment"] == []
    assert said["written"] == []
    assert not said["drawing"]
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not left
