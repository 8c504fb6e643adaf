"""The first run on a warm server compiles nothing: asked in a process of its own, where no other test has compiled."""

import subprocess
import sys
import textwrap

import pytest

from pets.kernels import aes, mersenne, summing
from pets.party import warm

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
        pytest.param(
            "SELECT a.ward, b.rank, COUNT(*) AS n, COUNT(DISTINCT a.id) AS people, CORR(b.pay, a.days) AS r "
            "FROM a LEFT JOIN b ON a.id = b.id GROUP BY a.ward, b.rank",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_run_compiles_nothing_that_the_warm_up_did_not(sql: str) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, sql], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


SORT = textwrap.dedent(
    """
    import numpy as np
    from pets.kernels import carries, ranks, shares
    from pets.party import warm

    warm.prepare_kernels()
    kernels = {
        f"{module.__name__}.{name}": value
        for module in (carries, ranks, shares)
        for name, value in vars(module).items()
        if hasattr(value, "py_func") and not value.targetoptions.get("forceinline") and name != "transpose"
    }
    before = {name: set(kernel.signatures) for name, kernel in kernels.items()}
    assert len(kernels) > 8 and all(before.values()), before
    from pets.protocols.rep3 import compare, order, sharing
    from pets.secret import Secret

    def act(ctx, x):
        bits = yield from compare.less_than(ctx, x, x + x)
        (low,) = yield from compare.to_words(ctx, bits)
        return (yield from order.sorted_by(ctx, x, 9, [low]))

    keys = [Secret(bytes([n] * 16)) for n in range(3)]
    part = np.arange(2000, dtype=np.uint64)
    contexts = [sharing.Context(n, shares.Zeros(keys[n], keys[(n + 1) % 3])) for n in range(3)]
    warm._play({name: act(contexts[n], sharing.Words(part, part)) for n, name in enumerate(sharing.PARTIES)})
    late = {name: set(kernel.signatures) - before[name] for name, kernel in kernels.items()}
    assert not any(late.values()), late
    """
)


def test_a_sort_and_a_comparison_compile_nothing_that_the_warm_up_did_not() -> None:
    done = subprocess.run([sys.executable, "-c", SORT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


GROUP = textwrap.dedent(
    """
    import numpy as np
    from pets.kernels import curve, lanes, sodium
    from pets.party import warm
    from pets.secret import Secret

    assert warm.prepare_group() == curve.features()[0] == curve.selected() == warm.prepare_group()
    kernels = {
        f"{module.__name__}.{name}": value
        for module in (lanes, sodium)
        for name, value in vars(module).items()
        if hasattr(value, "py_func") and not value.targetoptions.get("forceinline")
    }
    before = {name: set(kernel.signatures) for name, kernel in kernels.items()}
    factor = curve.new_scalar(Secret(bytes(range(64))))
    points = curve.hash_to_group([b"%d" % i for i in range(21)], tag=b"a test")
    received = np.frombuffer(points.tobytes(), np.uint8).reshape(points.shape)
    assert np.array_equal(curve.multiply(points, factor), curve.multiply(received, factor))
    curve.multiply(received[::2], factor)
    assert np.array_equal(curve.multiply_each(received, [factor] * 21), curve.multiply(points, factor))
    assert np.array_equal(curve.subtract(curve.add(points, received[::-1]), received[::-1]), points)
    late = {name: set(kernel.signatures) - before[name] for name, kernel in kernels.items()}
    assert not any(late.values()), late
    called = sum(map(bool, before.values()))
    assert called == (8 if curve.selected() == curve.IFMA else 3), before
    """
)


def test_the_group_compiles_nothing_that_its_warm_up_did_not() -> None:
    done = subprocess.run([sys.executable, "-c", GROUP], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


VECTORS = textwrap.dedent(
    """
    import numpy as np
    from pets.kernels import binned, blkacc, cuckoo, gf128, ggm, okvs, oprf, prf, vole
    from pets.party import warm
    from pets.secret import Secret

    assert warm.prepare_vectors() == gf128.features()[0] == gf128.selected() == warm.prepare_vectors()
    assert warm.prepare_bins() == gf128.selected() == warm.prepare_bins()
    kernels = {
        f"{module.__name__}.{name}": value
        for module in (binned, blkacc, cuckoo, gf128, ggm, oprf, vole)
        for name, value in vars(module).items()
        if hasattr(value, "py_func") and not value.targetoptions.get("forceinline")
    }
    before = {name: set(kernel.signatures) for name, kernel in kernels.items()}
    assert len(kernels) > 8 and all(before.values()), before
    keys, seed = np.arange(9000, dtype=np.uint64).reshape(-1, 2), Secret(bytes(16))
    size = binned.Size(len(keys))
    received = np.frombuffer(bytes(16 * size.slots), np.uint64).reshape(-1, 2)
    hashes = binned.hashed(keys, seed)
    table = binned.write(hashes, keys, size, prf.Stream(seed))
    assert np.array_equal(binned.read(table ^ gf128.multiply(received, keys[:1]), hashes, size), keys)
    binned.read(received, hashes, size)
    drawn = np.frombuffer(bytes(range(256)) * 32, np.uint8).reshape(512, 16)
    columns, public = oprf.Columns(drawn), oprf.Public([Secret(bytes(16))] * 4, Secret(bytes(32)), 11, False)
    message, _ = oprf.asked(columns, columns, np.concatenate([hashes] * 2), public)
    sent = np.frombuffer(message.tobytes(), np.uint64).reshape(-1, 8)
    room = cuckoo.Size(len(keys))
    at = cuckoo.places(hashes, room)
    assert not cuckoo.twice(at, cuckoo.placed(at, room.bins), room.bins).size
    rows = oprf.received(columns, np.ones(8, np.uint64), sent)
    oprf.evaluated(rows, np.ones(8, np.uint64), hashes, at % np.uint32(len(rows)), public)
    late = {name: set(kernel.signatures) - before[name] for name, kernel in kernels.items()}
    assert not any(late.values()), late
    """
)


def test_vectors_and_tables_compile_nothing_that_their_warm_up_did_not() -> None:
    done = subprocess.run([sys.executable, "-c", VECTORS], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("broken", [aes.VAES512, aes.AESNI])
def test_a_back_end_that_fails_leaves_the_next_one(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = aes.selected()
    monkeypatch.setattr(warm, "_passes", lambda module, backend: module == "aes" and backend != broken)
    warm._choose(aes)
    assert aes.selected() == next(backend for backend in aes.features() if backend != broken)
    aes.select(kept)
    assert not warm._passes("gf128", "no such")


def test_what_sums_take_is_compiled_once() -> None:
    assert warm.prepare_sums() == aes.selected() == warm.prepare_sums()
    if aes.selected() != aes.PORTABLE:
        assert summing._streams_kernel.signatures and mersenne._streams_kernel.signatures  # type: ignore[attr-defined]


CHECKS = textwrap.dedent(
    """
    import importlib
    import numpy as np
    from pets.kernels import prf, wires
    from pets.party import warm
    from pets.protocols import checked_sum as cs
    from pets.protocols.base import Binding
    from pets.protocols.checked_inputs import circuit_of
    from pets.protocols.inbox import Inbox
    from pets.secret import Secret

    assert warm.prepare_checks() == wires.features()[0] == wires.selected() == warm.prepare_checks()
    names = ("circuits", "flp", "polynomials", "prime", "wires", "xof")
    kernels = {
        f"{name}.{each}": value
        for name in names
        for each, value in vars(importlib.import_module(f"pets.kernels.{name}")).items()
        if hasattr(value, "py_func") and not value.targetoptions.get("forceinline")
    }
    before = {name: set(kernel.signatures) for name, kernel in kernels.items()}
    assert sum(map(bool, before.values())) > 8, before
    tied, private = Binding(digest=bytes(32), run_id=bytes(32)), [Secret(bytes([n]) * 32) for n in (1, 2)]
    publics = [prf.public_key(key) for key in private]
    for length, greatest, chunk, one_cell in ((1, 1, 1, False), (40, 300, 17, False), (50, 1, 8, True)):
        circuit = circuit_of(length=length, greatest=greatest, chunk=chunk, one_cell=one_cell)
        shape = cs.Shape(circuit, 20, 2, minimum=20)
        kept = [cs.uploads(shape, at) for at in range(2)]
        holders = [f"input{n + 1}" for n in range(20)]
        to = [{each: cs.address(shape, tied, n, at) for n, each in enumerate(holders)} for at in range(2)]
        boxes = [Inbox(holders, to[at].__getitem__, private[at], kept[at].take, deadline=9) for at in range(2)]
        values = np.zeros(length, np.uint64)
        values[-1] = 1
        for n, each in enumerate(holders):
            parts = cs.sealed_parts(shape, n, values, tied, prf.Stream(Secret(bytes([n]) * 16)), publics)
            for at in range(2):
                boxes[at].add(each, parts[at], now=1)
        noise, family = np.zeros(length, np.uint64), warm._family("sl")
        warm._play({
            "server1": cs.server(shape, 0, kept[0], tied, family, noise),
            "last": cs.last(shape, kept[1], tied, [family], noise),
            "result": cs.result(shape),
        })
    late = {name: set(kernel.signatures) - before[name] for name, kernel in kernels.items()}
    assert not any(late.values()), late
    """
)


def test_checks_compile_nothing_that_their_warm_up_did_not() -> None:
    done = subprocess.run([sys.executable, "-c", CHECKS], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
