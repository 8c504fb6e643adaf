"""What a program sees of MPyC: its `mpc`.

It holds no record in the clear, its own party's neither: numbers come in as shares (``inputs``) and go out by name to
those whom the terms name (``release``), and what is opened is not given back. So what it sends, and when, depends on
public numbers alone, but where a whole number is divided by a secret 0, which ends the run. Types are never narrower
than the terms say: a mask covers a number of its type's width.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pets.errors import RunError
from pets.spec.mpyc_source import CALLS
from pets.spec.mpyc_terms import MAX_BITS, Output, Terms

_ANY: Final = 99

FORWARDED: Final[Mapping[str, tuple[int, frozenset[str]]]] = {
    name: (most, frozenset(named.split()))
    for names, most, named in (
        ("add sub mul div lt eq ge in_prod vector_add vector_sub scalar_mul schur_prod", 2, ""),
        ("neg pos abs is_zero lsb", 1, ""),
        ("mod pow gcd lcm inverse unit_vector random_bit to_bits convert", 2, ""),
        ("from_bits all any", 1, ""),
        ("sum prod", 2, "start"),
        ("min max", _ANY, "key"),
        ("min_max", _ANY, ""),
        ("argmin argmax", _ANY, "key"),
        ("sorted", 1, "key reverse"),
        ("if_else if_swap", 3, ""),
        ("matrix_add matrix_sub", 2, ""),
        ("matrix_prod", 2, "tr"),
        ("random_bits", 3, "signed"),
    )
    for name in names.split()
}
"""Functions of the runtime as a program may call them: how many arguments in order, and which by name.

Left out on purpose: what lets a caller say the width of a mask (``l=``), and whatever opens a number. MPyC's
``min_max`` compares without its key.
"""

_WHOLE_OPERANDS: Final = {"mod": 1, "pow": 1, "unit_vector": 1, "to_bits": 1}
"""Functions whose second argument is a public whole number."""


class Facade:
    """``mpc``. ``own``: by input, this party's numbers. Everything that is not here is refused by name."""

    def __init__(self, runtime: Any, terms: Terms, me: int, own: Mapping[str, Sequence[int]]) -> None:
        self._runtime, self._terms, self._me, self._own = runtime, terms, me, own
        self._read: set[str] = set()
        self._released: dict[str, asyncio.Future[list[Any]]] = {}
        self._shares: dict[str, list[Any]] = {}
        for name, (most, named) in FORWARDED.items():
            setattr(self, name, _forward(name, getattr(runtime, name), most, named, runtime.SecureNumber))

    def SecInt(self, bits: int | None = None) -> Any:  # noqa: N802 - MPyC's name
        """Secret whole numbers of at least as many bits as the terms say."""
        return self._runtime.SecInt(self._wide(bits))

    def SecFxp(self, bits: int, fraction: int) -> Any:  # noqa: N802 - MPyC's name
        """Secret numbers of so many bits, half of them after the point: with any other number MPyC 0.11 divides wrongly
        (7 / 300 is 0 with 96 bits and 32 after the point), and says nothing."""
        if type(fraction) is not int or 2 * fraction != self._wide(bits):
            raise RunError("run.program", problem="asks for numbers that have not half of their bits after the point")
        return self._runtime.SecFxp(bits, fraction)

    async def start(self) -> None:
        """Programs for MPyC say so; here everybody is connected before a program begins."""

    async def shutdown(self) -> None:
        """The end of ``main`` is the end."""

    def parties(self) -> int:
        """How many parties compute."""
        return len(self._terms.parties)

    def parameter(self, name: str) -> int | list[int]:
        """A number of the terms, or a list of them."""
        if name not in self._terms.parameters:
            raise RunError("run.program", problem=f"asks for a parameter {_said(name)} that the terms do not have")
        value = self._terms.parameters[name]
        return value if isinstance(value, int) else list(value)

    def inputs(self, name: str, kind: Any) -> list[list[Any]]:
        """What the holders of an input bring, as secret numbers of ``kind``: a list for each holder, in their order."""
        given = next((each for each in self._terms.inputs if each.name == name), None)
        if given is None or name in self._read:
            raise RunError("run.program", problem=f"reads the input {_said(name)}, which is not there, or twice")
        self._read.add(name)
        holders = [self._terms.parties.index(party) for party in given.holders]
        fixed = bool(kind.frac_length)
        fraction = kind.frac_length or 0
        if max(-given.low, given.high + 1) << fraction > 1 << (kind.bit_length - 1):
            raise RunError("run.program", problem=f"reads the input {name} into numbers that are too short for it")
        values: Sequence[int | None] = self._own[name] if self._me in holders else [None] * given.rows
        secret = [kind(value, integral=True) if fixed else kind(value) for value in values]
        shared: list[list[Any]] = self._runtime.input(secret, senders=holders)
        return shared

    def release(self, name: str, value: Any) -> None:
        """Open ``value``, a secret number or a list of them, to those who receive ``name``, once.

        It is shared anew before: what receivers add up are fresh shares, of nothing but this number.
        """
        told = self._output(name)
        numbers = list(value) if isinstance(value, list) else [value]
        kind: Any = type(numbers[0]) if numbers else None
        alike = kind is not None and all(type(each) is kind for each in numbers)
        if not (alike and issubclass(kind, self._runtime.SecureNumber) and len(numbers) == told.count):
            raise RunError("run.program", problem=f"releases {name} as something else than {told.count} numbers")
        if (kind.frac_length or 0) != told.fraction:
            raise RunError(
                "run.program", problem=f"releases {name} with {kind.frac_length} places, not {told.fraction}"
            )
        fresh = self._runtime._reshare(numbers)
        if told.client:
            self._shares[name] = fresh
            return
        receivers = [self._terms.parties.index(party) for party in told.receivers]
        self._released[name] = self._runtime.output(fresh, receivers=receivers, raw=True)

    def _output(self, name: str) -> Output:
        told = next((each for each in self._terms.outputs if each.name == name), None)
        if told is None or name in self._released or name in self._shares:
            raise RunError("run.program", problem=f"releases {_said(name)}, which the terms do not have, or twice")
        return told

    def _wide(self, bits: int | None) -> int:
        asked = self._terms.bits if bits is None else bits
        if type(asked) is not int or not self._terms.bits <= asked <= MAX_BITS:
            at_least = f"from {self._terms.bits} to {MAX_BITS}"
            raise RunError("run.program", problem=f"asks for numbers of another width than {at_least} bits")
        return asked


async def released(facade: Facade) -> dict[str, list[int]]:
    """What this party receives, once all of it is open: numbers, or of an output for a client the order of its field,
    and then a share of each number. RunError run.program if an output of the terms is missing.
    """
    told: dict[str, list[int]] = {}
    for output in facade._terms.outputs:
        if output.name in facade._shares:
            shares = await facade._runtime.gather(facade._shares[output.name])
            told[output.name] = [int(type(shares[0]).order), *(int(each.value) for each in shares)]
            continue
        if output.name not in facade._released:
            raise RunError("run.program", problem=f"ends without {output.name}")
        values = await facade._released[output.name]
        if facade._terms.parties[facade._me] in output.receivers:
            told[output.name] = [int(value) for value in values]
    return told


def _forward(
    name: str, function: Callable[..., Any], most: int, named: frozenset[str], secret: type
) -> Callable[..., Any]:
    def call(*given: Any, **options: Any) -> Any:
        given = tuple(list(each) if isinstance(each, Iterator) else each for each in given)
        if len(given) > most or not set(options) <= named:
            raise RunError("run.program", problem=f"calls {name} with arguments that it does not take here")
        if name in _WHOLE_OPERANDS and len(given) > 1 and type(given[1]) is not int:
            raise RunError("run.program", problem=f"calls {name} with something else than a public whole number")
        if len(set(_kinds([*given, *options.values()], secret))) > 1:  # MPyC adds up shares of two fields
            raise RunError("run.program", problem=f"calls {name} with secret numbers of two types")
        return function(*given, **options)

    return call


def _kinds(given: Any, secret: type) -> Iterator[type]:
    """Types of all secret numbers in lists of lists."""
    if isinstance(given, secret):
        yield type(given)
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _kinds(each, secret)


def _said(name: object) -> str:
    """A name that a program gave, if it is one."""
    return name if isinstance(name, str) and name.isidentifier() and len(name) < 40 else "with no name"


_MISSING = CALLS - FORWARDED.keys() - {name for name in vars(Facade) if not name.startswith("_")}
assert not _MISSING, f"the list of calls has what nobody answers: {_MISSING}"
