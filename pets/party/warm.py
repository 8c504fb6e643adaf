"""Make the kernels ready before the first run: choose the AES back end safely, compile everything once.

Compiled code is cached on disk by numba, so this takes a minute on a new machine and a second afterwards. A back end is
tried in a child process first, because an instruction that the processor lacks would end this one.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import ModuleType
from typing import Any, Final, cast

import numpy as np

from pets.kernels import (
    aes,
    binned,
    columns,
    curve,
    digits,
    dummy,
    gaussian,
    gf128,
    join,
    lists,
    mersenne,
    noise,
    okvs,
    permute,
    prf,
    rows,
    shares,
    summing,
    tags,
    vole,
    wires,
)
from pets.kernels.blkacc import Code
from pets.kernels.jit import U64Array
from pets.protocols import (
    checked_sum,
    dh_psi,
    helper_join,
    helper_join_b,
    helper_psi,
    helper_psi_threshold,
    kkrt_psi,
    psi_sum,
    vole_psi,
    vole_psi_malicious,
)
from pets.protocols.base import Array, Binding, Receive, Role, Send
from pets.protocols.checked_inputs import circuit_of
from pets.protocols.codec import require_little_endian
from pets.protocols.rep3 import compare, order, rounding, sharing
from pets.secret import Secret

_TRY_S = 120
_MODULES: Final = (aes, prf, permute, tags, join, columns, rows, lists, noise, gaussian)
STEPS: Final = len(_MODULES) + 2
"""How often ``prepare_kernels`` says something."""

_lock = threading.Lock()
_ready = False
_group_ready = False
_vectors_ready = False
_bins_ready = False
_sums_ready = False
_checks_ready = False


def prepare_kernels(say: Callable[[str], None] = lambda line: None) -> str:
    """Select the best back end that passes its self-test, and compile all kernels. Returns the back end's name."""
    global _ready
    with _lock:
        if _ready:
            return aes.selected()
        require_little_endian()
        _choose(aes)
        for module in _MODULES:
            say(module.__name__.rpartition(".")[2])
            warm = getattr(module, "warm_up", None)
            if warm is not None:
                warm()
        say("helper_join")
        rehearse()
        rehearse_lists()
        say("rep3")
        rehearse_shares()
        _ready = True
    return aes.selected()


def prepare_group() -> str:
    """Select the best provider of the group of intersections that passes its self-test, and compile what they take.

    Returns its name. Apart from ``prepare_kernels``, because few runs need it, and it compiles for some seconds on a
    new machine.
    """
    global _group_ready
    prepare_kernels()
    with _lock:
        if _group_ready:
            return curve.selected()
        _choose(curve)
        curve.self_test(curve.selected())  # here too: it compiles every kernel of the provider, or loads it
        rehearse_cardinality()
        rehearse_groups()
        _group_ready = True
    return curve.selected()


def prepare_vectors() -> str:
    """Select the best back end of GF(2^128) that passes its self-test, and compile what an intersection takes.

    Returns its name. Apart from ``prepare_kernels``, for the same reason.
    """
    global _vectors_ready
    prepare_group()
    with _lock:
        if not _vectors_ready:
            _choose(gf128)
            rehearse_vectors()
            rehearse_intersection()
            _vectors_ready = True
    return gf128.selected()


def prepare_bins() -> str:
    """The same for intersections by bins and transfers, which take other kernels: the code, rows of bits, BLAKE2s."""
    global _bins_ready
    prepare_group()
    with _lock:
        if not _bins_ready:
            _choose(gf128)
            rehearse_bins()
            _bins_ready = True
    return gf128.selected()


def prepare_sums() -> str:
    """Compile what sums of many input parties take. Returns the name of the back end of AES."""
    global _sums_ready
    prepare_kernels()
    with _lock:
        if not _sums_ready:
            summing.warm_up()
            mersenne.warm_up()
            _sums_ready = True
    return aes.selected()


def prepare_checks() -> str:
    """Select the best back end for checking vectors that passes its self-test, and compile what ``checked_sum`` takes.

    Returns its name. Apart from ``prepare_sums``, because it compiles for half a minute on a new machine.
    """
    global _checks_ready
    prepare_sums()
    with _lock:
        if not _checks_ready:
            _choose(wires)
            rehearse_checks()
            _checks_ready = True
    return wires.selected()


def prepare_all() -> None:
    """Compile what any protocol takes: for a new machine on which all of them will run, as in tests."""
    prepare_vectors()
    prepare_bins()
    prepare_checks()


def _choose(module: ModuleType) -> None:
    """Select the best back end of a module that passes its self-test; the last one is taken without."""
    *others, last = module.features()
    name = module.__name__.rpartition(".")[2]
    module.select(next((backend for backend in others if _passes(name, backend)), last))


def _passes(module: str, backend: str) -> bool:
    """Whether the self-test of a back end succeeds in a process of its own."""
    code = f"from pets.kernels import {module}; {module}.self_test({backend!r})"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=_TRY_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def rehearse() -> None:
    """Play the join once on a handful of made-up rows, so that its kernels are compiled as a run will call them.

    Each is compiled for the arrays it is given: what a peer sent is read-only, what was made here is not. Two plays:
    ids that enter tags as they are, and ids that are hashed, with a product.
    """
    for fixed, summed in ((True, ((0, None),)), (False, ((0, None), (1, 0)))):
        shape = helper_join.Shape(
            n_a=4,
            n_b=4,
            g=2,
            k=2,
            s=2,
            t=10,
            n_list_a=10,
            n_list_b=12,
            x=1,
            v_g=2,
            summed=summed,
            fixed_ids=fixed,
            dummies=dummy.dummy_table(Fraction(1), Fraction(1, 2), 2, 2),
        )
        ids = digits.ten_digits(np.arange(3))
        number, cell = np.array([1, 2, 1], np.uint16), np.array([0, 1, 0], np.uint32)
        none = np.zeros((shape.v, shape.g), np.uint64)
        rows_of_a = helper_join.RowsOfA(ids[[0, 0, 1]], number, cell, [np.ones(3, np.int64)], none)
        people = helper_join.PeopleOfB(tags.take(ids, cell[:2]), [np.ones(2, np.int64)] * 2)
        families = {pair: [_family(pair) for _ in pair] for pair in ("ab", "ac", "bc")}
        _play(
            {
                "a": helper_join.party_a(shape, rows_of_a, families["ab"][0], families["ac"][0], none),
                "b": helper_join.party_b(shape, people, families["ab"][1], families["bc"][0], none),
                "helper": helper_join.helper(shape, families["ac"][1], families["bc"][1], none),
                "result": helper_join.result(shape),
            }
        )
        other = helper_join_b.Shape(
            n_a=4,
            n_b=4,
            g=2,
            k=2,
            t=16,
            n_list_a=6,
            n_list_b=8,
            x=1,
            v_g=2,
            summed=summed,
            fixed_ids=fixed,
            ones=frozenset({0}),
            third=okvs.third_of(8),
        )
        families = {pair: [_family(pair) for _ in pair] for pair in ("ab", "ac", "bc")}
        _play(
            {
                "a": helper_join_b.party_a(other, rows_of_a, families["ab"][0], families["ac"][0], none),
                "b": helper_join_b.party_b(other, people, families["ab"][1], families["bc"][0], none),
                "helper": helper_join_b.helper(other, families["ac"][1], families["bc"][1], none),
                "result": helper_join.result(other),
            }
        )


def rehearse_lists() -> None:
    """Find whom two sets of three made-up identifiers have in common with a helper, and compare how many, likewise."""
    law, ids, columns = (
        dummy.dummy_table(Fraction(1), Fraction(1, 2), 1, 2),
        digits.ten_digits(np.arange(3)),
        [np.arange(3)],
    )
    for fixed in (True, False):
        sizes: dict[str, Any] = {"n_a": 4, "n_b": 4, "s": 2, "n_list_a": 8, "n_list_b": 8}
        sizes |= {"t": 6, "fixed_ids": fixed, "dummies": law}
        which = helper_psi.Shape(**sizes, p_b=1, both=True)
        enough = helper_psi_threshold.Shape(**sizes, min_result=2, shown=True, noised=False)
        keys = {pair: [_family(pair) for _ in pair] for pair in ("ab", "ac", "bc")}
        _play(
            {
                "a": helper_psi.party_a(which, ids, keys["ab"][0], keys["ac"][0]),
                "b": helper_psi.party_b(which, ids, columns, keys["ab"][1], keys["bc"][0]),
                "helper": helper_psi.helper(which, keys["ac"][1], keys["bc"][1]),
            }
        )
        keys = {pair: [_family(pair) for _ in pair] for pair in ("ab", "ac", "bc")}
        _play(
            {
                "a": helper_psi_threshold.party_a(enough, ids, keys["ab"][0], keys["ac"][0], None),
                "b": helper_psi_threshold.party_b(enough, ids, keys["ab"][1], keys["bc"][0], None),
                "helper": helper_psi_threshold.helper(enough, keys["ac"][1], keys["bc"][1], None),
                "result": helper_psi_threshold.result(),
            }
        )


def rehearse_shares() -> None:
    """Compare, divide, choose and sort three made-up values under sharing, for the same reason."""
    keys = [Secret(bytes([number] * 16)) for number in range(3)]
    value = np.arange(3, dtype=np.uint64)
    _play({name: _shares(me, keys, value) for me, name in enumerate(sharing.PARTIES)})


def _shares(me: int, keys: list[Secret[bytes]], value: U64Array) -> Role[None]:
    ctx = sharing.Context(me, shares.Zeros(keys[me], keys[(me + 1) % 3]))
    x = yield from sharing.from_two(ctx, 0, None if me == 2 else value, value.size)
    small = yield from compare.less_than(ctx, x, sharing.public(ctx, 3, value.size))
    none = yield from compare.is_zero(ctx, x)
    low, zero = yield from compare.to_words(ctx, sharing.stacked(small, none))
    some = yield from compare.select(ctx, low, x, zero)
    fifths = yield from rounding.quotient(ctx, some, 5)
    key, (beside,) = yield from order.sorted_by(ctx, fifths, 4, [x])
    yield from sharing.opened(ctx, (yield from sharing.inner_product(ctx, [(key, beside)])))


def rehearse_cardinality() -> None:
    """Count what two sets of three made-up identifiers have in common, for the same reason."""
    shape = dh_psi.Shape(n_a=4, n_b=4, n_list_a=5, n_list_b=5, t=6)
    tied = Binding(digest=bytes(32), run_id=bytes(32))
    drawn = [Secret(bytes([number]) * dh_psi.ENTROPY_BYTES) for number in (1, 2)]
    ids = digits.ten_digits(np.arange(3))
    _play({"a": dh_psi.party_a(shape, ids, tied, drawn[0]), "b": dh_psi.party_b(shape, ids, tied, drawn[1])})


def rehearse_groups() -> None:
    """Count the same by group, for the same reason. Without columns nothing is enciphered."""
    shape = psi_sum.Shape(m_a=2, n_b=4, g=2, v=0, primes=0, n_list_a=5, n_list_b=5, blocks=1, t=6)
    tied, nobody = Binding(digest=bytes(32), run_id=bytes(32)), cast(Any, None)
    drawn = [Secret(bytes([number]) * psi_sum.ENTROPY_BYTES) for number in (1, 2)]
    ids = digits.ten_digits(np.arange(3))
    people, group = psi_sum.PeopleOfB(ids, []), np.array([0, 1, 0], np.uint32)
    _play(
        {
            "a": psi_sum.party_a(shape, psi_sum.PeopleOfA(ids, group), tied, nobody, drawn[0]),
            "b": psi_sum.party_b(shape, people, tied, nobody, drawn[1], np.empty((0, 2), np.uint64)),
        }
    )


def rehearse_vectors() -> None:
    """Make c = a delta + b for a table of three made-up keys, and read both, for the same reason.

    Two of the keys have the same slots, so that their equations are solved, too.
    """
    stream, keys = prf.Stream(Secret(bytes(16))), (Secret(bytes(16)), Secret(bytes([1] * 16)))
    size = binned.Size(3)
    shape = vole.Shape(size.slots)
    code, holes = Code(shape.width), vole.draw_holes(shape, stream)
    delta, values, seeds = (stream.words(2 * n).reshape(n, 2) for n in (1, vole.NOISES, vole.NOISES))
    pads = stream.words(4 * vole.BITS * vole.NOISES).reshape(2, vole.BITS, vole.NOISES, 2)
    message, mine = vole.offer(values, pads[0], pads[1])
    b, sums, total = vole.send(shape, code, seeds, keys)
    shares_b = vole.take(delta, pads[0], message)
    c = vole.receive(shape, code, holes, mine, sums[:, :, 1], total ^ shares_b, keys)
    hashes = np.array([[1, 0], [1, 1 << 63], [2, 0]], np.uint64)
    table = binned.write(hashes, binned.hashed(hashes, keys[0]), size, stream)
    sent = table ^ vole.noise(shape, code, holes, values)
    for read in (c, b ^ gf128.multiply(sent, delta)):
        binned.read(read, hashes, size)


def rehearse_intersection() -> None:
    """Find whom two sets of three made-up identifiers have in common, for the same reason: short ones, and hashed."""
    for fixed in (True, False):
        shape = vole_psi.Shape(n_r=4, n_s=4, n_list_r=5, n_list_s=5, t=7, fixed_ids=fixed, p=1, both=1)
        _find(vole_psi, shape)
        _find(vole_psi_malicious, replace(shape, t=16))


def rehearse_bins() -> None:
    """The same by bins and transfers, and with nothing beside the result."""
    for fixed, p in ((True, 0), (False, 1)):
        _find(kkrt_psi, kkrt_psi.Shape(n_r=4, n_s=4, n_list_r=5, n_list_s=5, t=7, fixed_ids=fixed, p=p, both=p))


def rehearse_checks() -> None:
    """Add up checked vectors of two holders, of each kind, for the same reason: a count, numbers, and a cell."""
    tied, values = Binding(digest=bytes(32), run_id=bytes(32)), np.zeros(3, np.uint64)
    values[0] = 1
    for length, greatest, chunk, one_cell in ((1, 1, 1, False), (3, 5, 3, False), (3, 1, 1, True)):
        circuit = circuit_of(length=length, greatest=greatest, chunk=chunk, one_cell=one_cell)
        shape = checked_sum.Shape(circuit, 2, 2, minimum=2)
        own, none = values[:length], np.zeros(length, np.uint64)
        drawn = [prf.Stream(Secret(bytes([number]) * 16)) for number in range(2)]
        roles = {
            f"input{number + 1}": checked_sum.input_party(shape, number, own, tied, drawn[number])
            for number in range(2)
        }
        _play(
            {
                **roles,
                "server1": _checking(shape, 0, tied, none),
                "last": _checking(shape, 1, tied, none),
                "result": checked_sum.result(shape),
            }
        )


def _checking(shape: checked_sum.Shape, at: int, tied: Binding, noise: U64Array) -> Role[Any]:
    uploads = yield from checked_sum.heard_uploads(shape, at)
    if at:
        return (yield from checked_sum.last(shape, uploads, tied, [_family("sl")], noise))
    return (yield from checked_sum.server(shape, at, uploads, tied, _family("sl"), noise))


def _find(protocol: Any, shape: Any) -> None:
    tied = Binding(digest=bytes(32), run_id=bytes(32))
    drawn = [Secret(bytes([number]) * protocol.ENTROPY_BYTES) for number in (1, 2)]
    ids = digits.ten_digits(np.arange(3))
    roles = [
        protocol.receiver(shape, ids, tied, drawn[0]),
        protocol.sender(shape, ids, tied, drawn[1], np.zeros((shape.p, 3), np.uint64)),
    ]
    _play(dict(zip(("receiver", "sender"), roles, strict=True)))


def _family(pair: str) -> prf.KeyFamily:
    return prf.KeyFamily(
        Secret(pair.encode() * 16),
        run_id=bytes(32),
        digest=bytes(32),
        protocol="a rehearsal",
        party_p=pair[0],
        party_q=pair[1],
    )


def _play(roles: dict[str, Role[Any]]) -> None:
    """Hand each role what it waits for until all have ended."""
    sent: dict[tuple[str, str, str, int], Array] = {}
    wishes: dict[str, Receive | None] = dict.fromkeys(roles)
    while roles:
        for name in tuple(roles):
            wish, answer = wishes[name], None
            if wish is not None:
                answer = sent.pop((wish.from_, name, wish.label, wish.column), None)
                if answer is None:
                    continue
            try:
                act = roles[name].send(answer)
            except StopIteration:
                del roles[name]
                continue
            wishes[name] = act if isinstance(act, Receive) else None
            if isinstance(act, Send):
                body = act.array.copy()
                body.flags.writeable = False
                sent[name, act.to, act.label, act.column] = body


if __name__ == "__main__":
    if "all" in sys.argv:
        prepare_all()
    print(f"kernels ready: AES by {prepare_kernels()}")
