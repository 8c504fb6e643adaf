"""Vectors of rep3: ``python -m tests.oracles.rep3_vectors`` writes protocols/rep3/vectors; the tests replay them."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pets.errors import PeerError
from pets.kernels.shares import Zeros
from pets.protocols.base import Role
from pets.protocols.rep3 import (
    compare,
    fixed,
    groups,
    linear,
    logistic,
    order,
    products,
    quantiles,
    ratio,
    regression,
    rounding,
    sharing,
    tables,
)
from pets.protocols.rep3.sharing import PARTIES, Bits, Context, Words
from pets.secret import Secret
from pets.spec import fitting
from pets.spec.cards import cards_folder, load_cards
from tests.oracles.play import Key, Transcript, play
from tests.oracles.rep3_operations import greater_of

U64 = npt.NDArray[np.uint64]

KEYS = [bytes([16 * number + i for i in range(16)]) for number in range(3)]
"""Key of parties 2 and 0, of 0 and 1, of 1 and 2."""

ROWS = 3
BITS = 3
VALUES = (5, 2**64 - 2, 5)
OTHERS = (7, 2**63, 0)


def _first_plane(act: Callable[[Context, Words], Role[Bits]]) -> Callable[[Context, Words], Role[Words]]:
    def go(ctx: Context, x: Words) -> Role[Words]:
        (found,) = yield from compare.to_words(ctx, (yield from act(ctx, x)))
        return found

    return go


def _to_bits(ctx: Context, x: Words) -> Role[Words]:
    found = yield from compare.to_words(ctx, (yield from compare.to_bits(ctx, x, BITS)))
    return sharing.joined(*found)


def _sorted(ctx: Context, x: Words, y: Words) -> Role[Words]:
    key, (beside,) = yield from order.sorted_by(ctx, x, BITS, [y])
    return sharing.joined(key, beside)


PROGRAMS: Mapping[str, Callable[..., Role[Words]]] = {
    "multiply": sharing.multiply,
    "inner_product": lambda ctx, x, y: sharing.inner_product(ctx, [(x, y), (y, y)]),
    "from_two": lambda ctx, x, y: sharing.from_two(ctx, 1, None if ctx.me == 0 else x.own, ROWS),
    "negative, to_words": lambda ctx, x, y: _first_plane(compare.negative)(ctx, x),
    "is_zero, to_words": lambda ctx, x, y: _first_plane(compare.is_zero)(ctx, x - sharing.public(ctx, 5, ROWS)),
    "to_bits, to_words": lambda ctx, x, y: _to_bits(ctx, x),
    "sorted_by": _sorted,
}


ROUNDING: Mapping[str, Callable[..., Role[Words]]] = {
    "quotient": lambda ctx, x, y: rounding.quotient(ctx, x, 7),
    "remainder": lambda ctx, x, y: rounding.remainder(ctx, x, 7),
    "nearest": lambda ctx, x, y: rounding.nearest(ctx, x, 4),
    "midpoint": lambda ctx, x, y: rounding.midpoint(ctx, x + sharing.public(ctx, 2, ROWS), 4),
    "shifted": lambda ctx, x, y: rounding.shifted(ctx, x, 2),
    "is_zero, injected": lambda ctx, x, y: _injected(ctx, x, y),
    "inner_products": lambda ctx, x, y: products.inner_products(ctx, x, y, ROWS),
    "matrix_product": lambda ctx, x, y: products.matrix_product(ctx, x, y, 1),
}
"""Of rounding.py and products.py."""

FIXED: Mapping[str, Callable[..., Role[Words]]] = {
    "ratio": lambda ctx, x, y: ratio.ratio(
        ctx, sharing.public(ctx, -1000, ROWS), x + sharing.public(ctx, 2, ROWS), bits=3, digits=1
    ),
    "root": lambda ctx, x, y: ratio.root(ctx, x.times(7) + sharing.public(ctx, 14, ROWS), 8),
    "product": lambda ctx, x, y: fixed.product(ctx, x, x.times(2**30), 31),
    "over": lambda ctx, x, y: fixed.over(ctx, sharing.public(ctx, 1000, ROWS), x, fraction=4, bits=3, digits=1),
    "decay": lambda ctx, x, y: fixed.decay(ctx, x.times(100) + sharing.public(ctx, 200, ROWS), 10),
    "sigmoid": lambda ctx, x, y: fixed.sigmoid(ctx, x.times(500), 10),
    "inverted, solved": lambda ctx, x, y: _solved(ctx),
    "least_squares, deviations": lambda ctx, x, y: _fitted(ctx),
    "logistic": lambda ctx, x, y: _logistic(ctx),
}
"""Of ratio.py, fixed.py, linear.py, regression.py and logistic.py."""

DESIGN = regression.Design(rows=ROWS, columns=2, fraction=14, least=4)


def _fitted(ctx: Context) -> Role[Words]:
    columns = [_numbers(ctx, 2**14, 2**14, 2**14), _numbers(ctx, -(2**14), 0, 2**14)]
    found, inverse = yield from regression.least_squares(ctx, DESIGN, columns, _numbers(ctx, 1000, 3000, 8000))
    return sharing.joined(found, (yield from regression.deviations(ctx, DESIGN, inverse, -DESIGN.scale)))


def _logistic(ctx: Context) -> Role[Words]:
    numbers = dataclasses.asdict(fitting.numbers_of(ROWS, 2))
    design = logistic.Design(rows=ROWS, spans=(0,), iterations=2, **numbers)
    there, y, x = _numbers(ctx, 1, 1, 1), _numbers(ctx, 0, 1, 0), _numbers(ctx, 0, 1, 1)
    return (yield from logistic.fitted(ctx, design, there, y, [x]))


GROUPS: Mapping[str, Callable[..., Role[Words]]] = {
    "starts": lambda ctx, x, y: groups.starts(ctx, x),
    "fronted": lambda ctx, x, y: _one(groups.fronted(ctx, _numbers(ctx, 0, 1, 1), [x])),
    "grouped": lambda ctx, x, y: _grouped(ctx, x),
    "marked": lambda ctx, x, y: _one(
        groups.marked(ctx, _numbers(ctx, 1, 0, 0), _numbers(ctx, 1, 1, 1), [groups.Rank.lower(1, 2)], 1)
    ),
    "leading": lambda ctx, x, y: _last(groups.leading(ctx, _numbers(ctx, 1, 0, 1), 2)),
    "scanned, greater": lambda ctx, x, y: _one(groups.scanned(ctx, _numbers(ctx, 1, 0, 0), [x], greater_of)),
    "running": lambda ctx, x, y: _one(groups.running(ctx, _numbers(ctx, 1, 0, 0), [x], 2)),
    "picked": lambda ctx, x, y: _one(groups.picked(ctx, _numbers(ctx, 2, 0, 1), [x], 2)),
    "sorted_keys, put_back": lambda ctx, x, y: _there_and_back(ctx, x),
    "greatest": lambda ctx, x, y: quantiles.greatest(ctx, x),
    "at_ranks": lambda ctx, x, y: quantiles.at_ranks(ctx, x, _numbers(ctx, 1, -1)),
    "quantiles": lambda ctx, x, y: quantiles.quantiles(ctx, x, _numbers(ctx, 2), [groups.Rank.upper(1, 2)]),
}
"""Of groups.py and quantiles.py."""

TABLES: Mapping[str, Callable[..., Role[Words]]] = {
    "group_by": lambda ctx, x, y: _group_by(ctx, x),
    "summed_by": lambda ctx, x, y: _one(tables.summed_by(ctx, _numbers(ctx, 1, 3, 1), 2, [x], 4)),
    "group_by_value": lambda ctx, x, y: _group_by_value(ctx, x),
    "top_by_group": lambda ctx, x, y: _top_by_group(ctx, x),
    "column_quantiles": lambda ctx, x, y: tables.column_quantiles(
        ctx, x, 3, _numbers(ctx, 1, 0, 1), [groups.Rank.lower(1, 2), groups.Rank.upper(1, 2)]
    ),
}
"""Of tables.py: all three rows have the key 1, but the second does not count, or has another one."""


def _group_by(ctx: Context, x: Words) -> Role[Words]:
    key, valid = _numbers(ctx, 1, 1, 1), _numbers(ctx, 1, 0, 1)
    there, keys, (total,) = yield from tables.group_by(ctx, key, 1, valid, [x], 2)
    return sharing.joined(there, keys, total)


def _group_by_value(ctx: Context, x: Words) -> Role[Words]:
    key, valid = _numbers(ctx, 1, 1, 1), _numbers(ctx, 1, 0, 1)
    there, keys, found = yield from tables.group_by_value(ctx, key, 1, x, 3, valid, [groups.Rank.lower(1, 2)], 1)
    return sharing.joined(there, keys, *found)


def _top_by_group(ctx: Context, x: Words) -> Role[Words]:
    key, valid = _numbers(ctx, 1, 1, 1), _numbers(ctx, 1, 0, 1)
    there, keys, some, found = yield from tables.top_by_group(ctx, key, 1, x, 3, valid, 3, 1)
    return sharing.joined(there, keys, *some, *found)


def _solved(ctx: Context) -> Role[Words]:
    a, b = _numbers(ctx, 800, 100, 100, 600), _numbers(ctx, 512, -256)
    x = yield from linear.inverted(ctx, a, size=2, fraction=10, least=2)
    return (yield from linear.solved(ctx, a, x, b, size=2, fraction=10, least=2))


def _numbers(ctx: Context, *numbers: int) -> Words:
    return sharing.joined(*(sharing.public(ctx, number, 1) for number in numbers))


def _one(role: Role[list[Words]]) -> Role[Words]:
    (found,) = yield from role
    return found


def _there_and_back(ctx: Context, x: Words) -> Role[Words]:
    """In the order of keys 2, 0, 1 above the numbers of rows, and the last two of them back."""
    keys = _numbers(ctx, 2 << 2, 0 << 2, 1 << 2)  # public numbers are their XOR, too
    _, (moved,), way = yield from order.sorted_keys(ctx, [keys], 4, [x])
    (back,) = yield from order.put_back(ctx, way, [moved], 2)
    return sharing.joined(moved, back)


def _last(role: Role[list[Words]]) -> Role[Words]:
    return (yield from role)[-1]


def _grouped(ctx: Context, x: Words) -> Role[Words]:
    there, found = yield from groups.grouped(
        ctx, _numbers(ctx, 1, 0, 1), _numbers(ctx, 1, 1, 0), most=2, sums=[x], firsts=[x], lasts=[x]
    )
    return sharing.joined(there, *found)


def _injected(ctx: Context, x: Words, y: Words) -> Role[Words]:
    return (yield from products.injected(ctx, (yield from compare.is_zero(ctx, x - sharing.public(ctx, 5, ROWS))), y))


ALL: Mapping[str, Mapping[str, Callable[..., Role[Words]]]] = {
    "ok_operations": PROGRAMS,
    "ok_rounding": ROUNDING,
    "ok_fixed": FIXED,
    "ok_groups": GROUPS,
    "ok_tables": TABLES,
}
"""Programs by file."""


PARAMETERS: Mapping[str, str] = {
    "ok_operations": f"bits {BITS}, divisor 7",
    "ok_rounding": "divisor 7, base 4, shift by 2 bits; length 3 of inner products, 1 of the matrices",
    "ok_fixed": "ranges and fractions as the generator has them",
    "ok_groups": "groups and ranks as the generator has them",
    "ok_tables": "keys and ranks as the generator has them",
}


def _program(name: str) -> Callable[..., Role[Words]]:
    return next(programs[name] for programs in ALL.values() if name in programs)


def components(column: int, values: tuple[int, ...]) -> list[list[int]]:
    """Three components of a column: two that are made up, and what is left."""
    first = [(0x9E3779B97F4A7C15 * (3 * column + row + 1)) % 2**64 for row in range(len(values))]
    second = [(0xC2B2AE3D27D4EB4F * (5 * column + row + 1)) % 2**64 for row in range(len(values))]
    return [first, second, [(v - a - b) % 2**64 for v, a, b in zip(values, first, second, strict=True)]]


def run(
    name: str, inputs: list[list[list[int]]], alter: Callable[[Key, Any], Any] = lambda key, array: array
) -> Transcript:
    """Play one program on components as they stand in a vector."""
    arrays = [[np.array(component, np.uint64) for component in column] for column in inputs]
    roles = {}
    for party, role in enumerate(PARTIES):
        ctx = Context(party, Zeros(Secret(KEYS[party]), Secret(KEYS[(party + 1) % 3])))
        roles[role] = _program(name)(ctx, *(Words(c[party], c[(party + 1) % 3]) for c in arrays))
    return play(roles, alter=alter)


def entry(name: str) -> dict[str, Any]:
    inputs = [components(0, VALUES), components(1, OTHERS)]
    done = run(name, inputs)
    sent = {role: hashlib.sha256() for role in PARTIES}
    for (sender, *_), array in done.sent:
        sent[sender].update(array.tobytes())
    return {
        "program": name,
        "inputs": hexed(inputs),
        "sent": {role: digest.hexdigest() for role, digest in sent.items()},
        "shares": [[f"{word:016x}" for word in done.outputs[role].own.tolist()] for role in PARTIES],
    }


def step(name: str) -> dict[str, Any]:
    """Every intermediate value of a product."""
    inputs = [components(0, VALUES), components(1, OTHERS)]
    done = run(name, inputs)
    return {
        "program": name,
        "keys": [key.hex() for key in KEYS],
        "inputs": hexed(inputs),
        "parts": [
            [f"{word:016x}" for word in next(array for key, array in done.sent if key[0] == role).tolist()]
            for role in PARTIES
        ],
    }


def hexed(value: Any) -> Any:
    return [hexed(each) for each in value] if isinstance(value, list) else f"{value:016x}"


MANY: Final = tuple(7 * row % 8 for row in range(20))
"""Keys of 190 comparisons, which few changes leave without a contradiction."""

CHANGES: Mapping[str, Callable[[U64], U64]] = {
    "zero": lambda a: a * np.uint64(0),
    "add one": lambda a: a + np.uint64(1),
    "repeat": lambda a: np.concatenate([a[:1], a[:1], a[2:]]),
}


def bad(sender: str, change: str) -> dict[str, Any]:
    """Outcomes of a sort's comparisons that one party opens wrongly, and the code that refuses them."""

    def alter(key: Key, array: Any) -> Any:
        return CHANGES[change](array) if (key[0], key[2]) == (sender, "open") else array

    try:
        run("sorted_by", [components(0, MANY), components(1, MANY)], alter)
    except PeerError as error:
        return {"program": "sorted_by", "step": "open.0", "sender": sender, "change": change, "code": error.code}
    raise AssertionError("not refused")


def header(parameters: str, entries: list[dict[str, Any]], valid: int) -> dict[str, Any]:
    return {
        "card": "rep3",
        "version": load_cards()["rep3"].version,
        "source": "this implementation; values are checked against integers, parts against single AES blocks",
        "generator": "tests/oracles/rep3_vectors.py",
        "licence": "Apache-2.0",
        "parameters": parameters,
        "entries": len(entries),
        "valid": valid,
    }


def files() -> dict[str, dict[str, Any]]:
    keys = f"keys {', '.join(key.hex() for key in KEYS)}, of parties 2 and 0, 0 and 1, 1 and 2; words in hex"
    ok = {stem: [entry(name) for name in programs] for stem, programs in ALL.items()}
    steps = [step("multiply"), step("inner_product")]
    wrong = [bad(sender, change) for sender in PARTIES for change in CHANGES]
    return {
        **{
            stem: {"header": header(f"{keys}; {PARAMETERS[stem]}", made, len(made)), "entries": made}
            for stem, made in ok.items()
        },
        "step_product": {"header": header(keys, steps, len(steps)), "entries": steps},
        "bad_order": {
            "header": header("a sort of 20 rows with one message changed", wrong, 0),
            "entries": wrong,
        },
    }


if __name__ == "__main__":
    folder = cards_folder() / "rep3" / "vectors"
    folder.mkdir(exist_ok=True)
    for stem, content in files().items():
        (folder / f"{stem}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
