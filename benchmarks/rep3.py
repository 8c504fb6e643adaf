"""Operations on replicated shares, on three servers: ``python -m benchmarks.rep3 [--size ROWS] [--json] [NAME ...]``.

Three processes with a party server each, mutual TLS over loopback gRPC, kernels warm, every message through the gate
that is projected from the card. One case an operation; a run starts when all three are ready and ends when the last has
its shares. ``bytes`` are those of all message bodies, which equal the card's formula. ``cpu`` is seconds of processor,
summed over the parties, with the digests of the receipt: three parties share this machine's processors. The peer is
numpy on the values in the clear in one process: what secrecy costs. What the last run's shares add up to must be
numpy's result, or the exit code is 1.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.common import Case, arguments, show
from benchmarks.processes import connected, peak_mb, started, used
from pets.ids import PartyId
from pets.kernels import shares
from pets.kernels.shares import Zeros
from pets.party import gate
from pets.party.drive import drive
from pets.party.warm import prepare_kernels
from pets.protocols.base import Role
from pets.protocols.rep3 import compare, fixed, order, ratio, rounding, sharing
from pets.protocols.rep3.sharing import PARTIES, Bits, Context, Words
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.spec.operations import expanded

U64 = npt.NDArray[np.uint64]

ROUNDS: Final = 7
WARM: Final = 2
DEADLINE_S: Final = 120.0
NAMES: Final = {role: PartyId(role) for role in PARTIES}


Columns = list[U64]


def _same(inputs: Columns, found: Columns, expected: Columns) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def _some_order(inputs: Columns, found: Columns, expected: Columns) -> bool:
    """The same rows, in another order."""
    rows = [np.stack(columns, axis=1) for columns in (inputs, found)]
    ordered = [each[np.lexsort(each.T)] for each in rows]
    return np.array_equal(*ordered) and not np.array_equal(*rows)


def _same_planes(inputs: Columns, found: Columns, expected: Columns) -> bool:
    """Words that were taken as planes."""
    return np.array_equal(shares.planes(found[0], 64).reshape(-1), expected[0])


def _to_a_unit(inputs: Columns, found: Columns, expected: Columns) -> bool:
    """Fixed point, off by one unit of the last place at the most."""
    return bool(np.abs(found[0].view(np.int64) - expected[0].view(np.int64)).max() <= 1)


@dataclass(frozen=True)
class Operation:
    """One case: how it is run on columns of words, and the same on values in the clear, which are signed words."""

    act: Callable[..., Role[Any]]
    plain: Callable[..., Columns]
    columns: int = 2
    bits: int = 64
    """The number of that name on the card."""
    below: int = 62
    """Values are below two to this."""
    rows: int = 1
    """Rows are ``--size`` divided by this."""
    card: str = ""
    """Its name on the card, if it has another."""
    work: int = 1
    """Gates or products a row, for ``per_second``."""
    xor: bool = False
    """Components add up with XOR."""
    right: Callable[[Columns, Columns, Columns], bool] = _same
    more: Mapping[str, int] = field(default_factory=dict)
    """Other public numbers of the card."""


def _conjoin(ctx: Context, x: Words, y: Words) -> Role[Bits]:
    """64 ANDs a row: words taken as planes, whose shape is the same."""
    planes = [column.reshape(64, -1) for column in (x.own, x.next, y.own, y.next)]
    return (yield from sharing.conjoin(ctx, Bits(planes[0], planes[1], x.rows), Bits(planes[2], planes[3], x.rows)))


def _shuffled(ctx: Context, x: Words, y: Words) -> Role[list[Words]]:
    return (yield from order.shuffled(ctx, [x, y]))[0]


def _sorted(ctx: Context, x: Words, y: Words) -> Role[list[Words]]:
    key, payload = yield from order.sorted_by(ctx, x, 32, [y])
    return [key, *payload]


def _ordered(x: U64, y: U64) -> Columns:
    at = np.argsort(x, kind="stable")
    return [x[at], y[at]]


def _bit(found: npt.NDArray[np.bool_]) -> Columns:
    return [found.astype(np.uint64)]


def _floor(x: U64, divisor: int) -> U64:
    return np.floor_divide(x.view(np.int64), divisor).view(np.uint64)


def _middle(x: U64, base: int) -> U64:
    found: U64 = np.where(
        x == 0, 0, (x + np.uint64(base - 1)) // np.uint64(base) * np.uint64(base) - np.uint64(base // 2)
    )
    return found


def _root(x: U64) -> U64:
    return np.sqrt(x).astype(np.uint64)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "multiply": Operation(sharing.multiply, lambda x, y: [x * y]),
    "conjoin": Operation(_conjoin, lambda x, y: [x & y], work=64, xor=True, right=_same_planes),
    "less_than": Operation(compare.less_than, lambda x, y: _bit(x.view(np.int64) < y.view(np.int64)), card="negative"),
    "equal": Operation(compare.equal, lambda x, y: _bit(x == y), below=4, card="is_zero"),
    "quotient": Operation(
        lambda ctx, x: rounding.quotient(ctx, x, 5), lambda x: [_floor(x, 5)], columns=1, bits=5, below=60
    ),
    "midpoint": Operation(
        lambda ctx, x: rounding.midpoint(ctx, x, 10), lambda x: [_middle(x, 10)], columns=1, bits=10, below=4
    ),
    "fixed_product": Operation(
        lambda ctx, x, y: fixed.product(ctx, x, y, 20), lambda x, y: [x * y >> np.uint64(20)], bits=20, below=30
    ),
    "ratio": Operation(
        lambda ctx, x, y: ratio.ratio(ctx, x, y, bits=20, digits=2),
        lambda x, y: [np.where(y == 0, 0, x // np.maximum(y, 1))],
        bits=20,
        below=20,
        rows=10,
        more={"digits": 2},
    ),
    "root": Operation(
        lambda ctx, x: ratio.root(ctx, x, 32), lambda x: [_root(x)], columns=1, bits=32, below=32, rows=10
    ),
    "sigmoid": Operation(
        lambda ctx, x: fixed.sigmoid(ctx, x, 20),
        lambda x: [(2.0**20 / (1 + np.exp(-x.view(np.int64) / 2.0**20))).astype(np.uint64)],
        columns=1,
        bits=20,
        below=24,
        rows=10,
        right=_to_a_unit,
    ),
    "shuffled": Operation(_shuffled, lambda x, y: [x[::-1], y[::-1]], right=_some_order),
    "sorted_by": Operation(_sorted, _ordered, bits=32, below=32),
}


def _value(column: int, rows: int, below: int) -> U64:
    """A made-up column; negative values in one half of it where words have room for them."""
    low = -(2**below) if below > 32 else 0
    return np.random.default_rng([column, rows]).integers(low, 2**below, rows, np.int64).view(np.uint64)


def _component(column: int, number: int, rows: int, operation: Operation) -> U64:
    """One component of a made-up column, the same at both parties that hold it."""
    first, second = (np.random.default_rng([column, rows, n]).integers(0, 2**64, rows, np.uint64) for n in range(2))
    if number == 2:
        value = _value(column, rows, operation.below)
        return value ^ first ^ second if operation.xor else value - first - second
    return second if number else first


def _opened(outputs: list[Any]) -> Columns:
    """What the parties' own components of a result add up to, column by column."""
    told = [each if isinstance(each, list) else [each] for each in outputs]
    found = []
    for parts in zip(*told, strict=True):
        own = [part.own for part in parts]
        whole = isinstance(parts[0], Bits)
        found.append(shares.unplanes(own[0] ^ own[1] ^ own[2], parts[0].rows) if whole else own[0] + own[1] + own[2])
    return found


def _public(operation: Operation, rows: int) -> dict[str, int]:
    return {"n": rows, "bits": operation.bits, **operation.more}


def _party(
    keys: list[bytes], pipe: Connection, me: int, folder: str, certificate: bytes, key: bytes, ca: bytes
) -> None:
    """One of the three processes: a server, and the runs that the parent asks for."""
    prepare_kernels()
    with connected(pipe, PARTIES, certificate, key, ca, deadline_s=DEADLINE_S) as dial:
        drawn: tuple[str, Columns] = ("", [])
        while (asked := pipe.recv()) is not None:
            name, rows, run = asked
            operation = OPERATIONS[name]
            if drawn[0] != name:
                pairs = [(column, (me + j) % 3) for column in range(operation.columns) for j in range(2)]
                drawn = (name, [_component(*pair, rows, operation) for pair in pairs])
            columns = drawn[1]
            link = dial(PARTIES[me], run, [name for name in PARTIES if name != PARTIES[me]])
            program = [(operation.card or name, _public(operation, rows))]
            passage = gate.Gate(
                gate.project_operations(load_cards()["rep3"], program, NAMES, PARTIES[me]),
                opening=Secret(os.urandom(32)),
            )
            ctx = Context(me, Zeros(Secret(keys[me]), Secret(keys[(me + 1) % 3])))
            inputs = [Words(columns[2 * i], columns[2 * i + 1]) for i in range(operation.columns)]
            pipe.send("ready")
            pipe.recv()
            before = used()
            found = drive(operation.act(ctx, *inputs), passage, link, deadline_s=DEADLINE_S)
            end = time.perf_counter()
            passage.finish()
            pipe.send((end, peak_mb(), used() - before))
            link.close()
            if pipe.recv() == "show":
                pipe.send(found)


def measure(sizes: Mapping[str, int]) -> Iterator[Case]:
    """Each operation on its number of rows, ``ROUNDS`` times."""
    with started(partial(_party, [os.urandom(16) for _ in PARTIES]), PARTIES) as pipes:
        for name, size in sizes.items():
            yield _case(name, OPERATIONS[name], size, pipes)


def _case(name: str, operation: Operation, rows: int, pipes: list[Any]) -> Case:
    rows = max(64, rows // 64 * 64)
    runs, cpu, peak = [], [], 0
    for number in range(ROUNDS):
        run = os.urandom(32)
        for pipe in pipes:
            pipe.send((name, rows, run))
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        ends = [pipe.recv() for pipe in pipes]
        runs.append(max(end for end, _, _ in ends) - start)
        cpu.append(sum(used for _, _, used in ends))
        peak = max(peak, *(rss for _, rss, _ in ends))
        for pipe in pipes:
            pipe.send("show" if number == ROUNDS - 1 else "next")
    inputs = [_value(column, rows, operation.below) for column in range(operation.columns)]
    found = _opened([pipe.recv() for pipe in pipes])
    plain = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        expected = operation.plain(*inputs)
        plain.append(time.perf_counter() - start)
    card = load_cards()["rep3"]
    names = card.names(_public(operation, rows))
    listed = operation.card or name
    sent = sum(8 * each.count for each in expanded(card.operations, listed, names))
    seconds = sorted(runs[WARM:])
    rounds = next(each for each in card.operations if each.name == listed).rounds.evaluate(names)
    return Case(
        name=f"rep3.{name}",
        size=rows,
        runs=seconds,
        bytes=sent,
        rounds=rounds,
        peak_rss_mb=peak,
        steps={},
        peers={"numpy, in the clear": sorted(plain)[len(plain) // 2]},
        more={
            "cpu": round(sorted(cpu[WARM:])[len(seconds) // 2], 4),
            "per_second": round(rows * operation.work / seconds[len(seconds) // 2]),
            "right": operation.right(inputs, found, expected),
        },
    )


def main() -> None:
    parser = arguments(__doc__, size=1_000_000, what="rows")
    parser.add_argument("names", nargs="*", choices=[*OPERATIONS, []], metavar="NAME", help="operations (all)")
    asked = parser.parse_args()
    right = True
    for case in measure({name: asked.size // OPERATIONS[name].rows for name in asked.names or OPERATIONS}):
        show(case, as_json=asked.json)
        right = right and case.more["right"]
    sys.exit(not right)


if __name__ == "__main__":
    main()
