"""The first run on a warm server compiles nothing: asked in a process of its own, where no other test has compiled."""

import subprocess
import sys
import textwrap

import pytest

RUN = textwrap.dedent(
    """
    import importlib, pkgutil, sys
    import pandas as pd
    import pets
    import pets.kernels
    from pets.party import warm

    warm.prepare_kernels()
    modules = [importlib.import_module(f"pets.kernels.{m.name}") for m in pkgutil.iter_modules(pets.kernels.__path__)]
    kernels = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if hasattr(value, "py_func") and not value.targetoptions.get("forceinline")
    }

    def compiled():
        return {name: set(kernel.signatures) for name, kernel in kernels.items()}

    names = [f"p{i}" for i in range(40)] + ["p1", "p2"]
    a = pd.DataFrame({"id": names, "ward": (["x", "y"] * 21), "days": range(42)})
    b = pd.DataFrame({"id": names[10:40], "pay": range(30), "rank": ["low", "high", "low"] * 10})
    net = pets.local_network({"nhs": {"a": a}, "council": {"b": b}, "helper": {}})
    spec = net.draft(sys.argv[1], epsilon="1")
    before = compiled()
    net.run(spec)
    late = {name: now - before[name] for name, now in compiled().items() if now - before[name]}
    assert len(kernels) > 30, len(kernels)
    assert not late, late
    """
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a.ward, COUNT(*) AS n, SUM(b.pay) AS pay FROM a JOIN b ON a.id = b.id GROUP BY a.ward",
        "SELECT a.ward, b.rank, COUNT(*) AS n, COUNT(DISTINCT a.id) AS people, CORR(b.pay, a.days) AS r "
        "FROM a LEFT JOIN b ON a.id = b.id GROUP BY a.ward, b.rank",
    ],
)
def test_a_run_compiles_nothing_that_the_warm_up_did_not(sql: str) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, sql], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
