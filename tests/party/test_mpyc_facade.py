"""What a program sees of MPyC, and what it does not: in this process, with nobody at the other end."""

import asyncio
from typing import Any

import pytest

from pets.errors import RunError
from pets.party import mpyc_import, mpyc_runtime
from pets.party.mpyc_codec import Pickle
from pets.party.mpyc_facade import FORWARDED, Facade
from pets.spec.mpyc_source import CALLS
from tests.party.programs import terms_of


class Nobody:
    """A wire on which everything is lost."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, counter: int, payload: bytes) -> None:
        self.sent.append(payload)

    def receive(self, counter: int) -> Any:
        raise AssertionError


@pytest.fixture(scope="module")
def runtime() -> Any:
    keys = {(0, 1): bytes(16), (0, 2): bytes(16)}
    made = mpyc_runtime.Runtime(0, {1: Nobody(), 2: Nobody()}, sec_param=43, bits=32, keys=keys)
    mpyc_runtime.install(made)
    yield made
    made._loop.close()


@pytest.fixture
def mpc(runtime: Any) -> Any:
    return Facade(runtime, terms_of(), 0, {"x": [5]})


def test_every_call_of_the_language_is_answered_and_no_other(mpc: Any) -> None:
    public = {name for name in dir(mpc) if not name.startswith("_")}
    assert public == CALLS
    opens = {"output", "peek", "transfer", "gather", "eq_public", "is_zero_public", "prfs", "input", "SecGrp", "SecFlt"}
    assert not public & opens


REFUSED: dict[str, Any] = {
    "narrow numbers": lambda mpc: mpc.SecInt(16),
    "wide numbers": lambda mpc: mpc.SecInt(1000),
    "numbers of a field of one's own": lambda mpc: mpc.SecInt(64, 101),
    "numbers that MPyC divides wrongly": lambda mpc: mpc.SecFxp(96, 32),
    "an unknown input": lambda mpc: mpc.inputs("y", mpc.SecInt()),
    "an unknown parameter": lambda mpc: mpc.parameter("y"),
    "an unknown output": lambda mpc: mpc.release("y", mpc.SecInt()(1)),
    "an output in the clear": lambda mpc: mpc.release("total", 1),
    "an output of nothing": lambda mpc: mpc.release("total", []),
    "an output of two kinds": lambda mpc: mpc.release("total", [mpc.SecInt()(1), mpc.SecInt(40)(1)]),
    "a whole output with places": lambda mpc: mpc.release("total", mpc.SecFxp(64, 32)(1)),
    "the width of a mask": lambda mpc: mpc.abs(mpc.SecInt()(1), 3),
    "the width of a mask by name": lambda mpc: mpc.abs(mpc.SecInt()(1), l=3),
    "bits of a width": lambda mpc: mpc.to_bits(mpc.SecInt()(1), "3"),
    "a secret modulus": lambda mpc: mpc.mod(mpc.SecInt()(1), mpc.SecInt()(2)),
    "a remainder by a secret number": lambda mpc: mpc.SecInt()(7) % mpc.SecInt()(2),
    "a quotient by a secret number": lambda mpc: mpc.SecInt()(7) // mpc.SecInt()(2),
    "both by a secret number": lambda mpc: divmod(mpc.SecInt()(7), mpc.SecInt()(2)),
    "both ends by a key": lambda mpc: mpc.min_max([mpc.SecInt()(1), mpc.SecInt()(2)], key=lambda a: -a),
    "a sum over two fields": lambda mpc: mpc.sum([mpc.SecInt()(1), mpc.SecInt(40)(1)]),
    "a sum over two fields, number by number": lambda mpc: mpc.sum(mpc.SecInt(bits)(1) for bits in (32, 40)),
    "a choice among numbers of another field": lambda mpc: mpc.if_else(
        mpc.SecInt()(1), [mpc.SecInt(40)(1)], [mpc.SecInt(40)(1)]
    ),
    "too many arguments": lambda mpc: mpc.sorted([mpc.SecInt()(1)], None, True),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_call_out_of_the_terms_is_refused(mpc: Any, what: str) -> None:
    with pytest.raises((RunError, TypeError)):
        REFUSED[what](mpc)


def test_an_input_is_read_once_and_only_its_shares_leave(mpc: Any, runtime: Any) -> None:
    secint = mpc.SecInt()
    mpc._terms = terms_of(rows=1)
    wires = [runtime.parties[peer].protocol for peer in (1, 2)]
    for wire in wires:
        wire.receive = lambda counter: runtime._loop.create_future()
    mpc.inputs("x", secint)
    runtime._loop.run_until_complete(_soon())
    bodies = [body for wire in wires for body in wire.sent]
    assert len(bodies) == 2 and all(body[:1] == b"\2" and int.from_bytes(body[1:], "little") != 5 for body in bodies)
    with pytest.raises(RunError, match="twice"):
        mpc.inputs("x", secint)


async def _soon() -> None:
    return None


def test_numbers_are_as_wide_as_what_they_hold(runtime: Any) -> None:
    terms = terms_of()
    wide = Facade(runtime, terms, 0, {"x": [5]})
    with pytest.raises(RunError, match="too short"):
        wide.inputs("x", type("Short", (), {"bit_length": 8, "frac_length": 0}))


@pytest.mark.parametrize("name", ["transfer", "peek"])
def test_what_mpyc_says_to_peers_in_pickles_or_to_logs_is_refused(runtime: Any, name: str) -> None:
    with pytest.raises(RunError, match=r"run\.program"):
        getattr(runtime, name)(1)


def test_the_threshold_and_the_keys_are_fixed(runtime: Any) -> None:
    with pytest.raises(RunError, match="threshold"):
        runtime.threshold = 0
    assert (runtime.threshold, runtime.options.sec_param, runtime.options.no_prss) == (1, 43, False)
    assert set(runtime._prss_keys) == {(0, 1), (0, 2)}


@pytest.mark.parametrize(("threshold", "same"), [(None, True), (1, True), (2, False)])
def test_products_are_opened_with_a_sharing_of_zero(runtime: Any, threshold: int | None, same: bool) -> None:
    wire = runtime.parties[1].protocol
    wire.sent.clear()
    field = runtime.SecInt(32).field
    runtime._loop.run_until_complete(_opened(runtime, [field(7)] * 2, threshold))
    ((_, *body),) = wire.sent
    width = len(body) // 2
    shares = [int.from_bytes(bytes(each), "little") for each in (body[:width], body[width:])]
    assert (shares == [7, 7], shares[0] == shares[1]) == (same, same)


async def _opened(runtime: Any, x: list[Any], threshold: int | None) -> None:
    runtime.output(x, receivers=[1], threshold=threshold)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_pickle_is_gone_from_mpyc(runtime: Any) -> None:
    assert mpyc_import.runtime.pickle is Pickle


def test_no_function_lets_a_caller_choose_a_mask() -> None:
    assert not {"l", "bits", "prob", "threshold", "raw", "receivers"} & set().union(*(n for _, n in FORWARDED.values()))
