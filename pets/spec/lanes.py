"""How many words a vector of numbers takes whose sums over many holders must not overflow.

The arithmetic of ``kernels/packed.py``, which a plan has to say before anybody packs anything: a number has a lane of a
word, as wide as its sum over all holders, with its sign and with noise, may become; as many lanes as fit are one word.
"""

from collections.abc import Iterable

from pets.spec.ir import Factor
from pets.spec.model import Column, Dataset


def lane(low: int, high: int, *, holders: int, noise: int) -> int:
    """Bits of a lane for sums of a number from ``low`` to ``high`` over so many holders, some of whom may be missing.

    ``noise``: the greatest size of all noise on it.
    """
    least, greatest = holders * min(low, 0) - noise, holders * max(high, 0) + noise
    return 1 + max((-least - 1).bit_length() if least < 0 else 0, greatest.bit_length() if greatest > 0 else 0)


def words(cells: int, lanes: Iterable[int], bits: int) -> int:
    """Words of ``bits`` bits of a vector that has so many cells of each number."""
    return sum(-(-cells // (bits // lane)) for lane in lanes)


def span(factor: Factor, table: Dataset, rows: int) -> tuple[int, int]:
    """The least and the greatest sum of a factor over up to so many rows, in multiples of its unit.

    A row that does not count adds 0.
    """
    low, high = one_row(factor, table)
    return rows * min(low, 0), rows * max(high, 0)


def one_row(factor: Factor, table: Dataset) -> tuple[int, int]:
    """The least and the greatest value of a factor on one row that counts, in multiples of its unit."""
    low = high = 1
    for name in dict.fromkeys(factor.values):
        ends = [side * end for side in (low, high) for end in _power(table.columns[name], factor.values.count(name))]
        low, high = min(ends), max(ends)
    return _rounded(low, factor.unit), _rounded(high, factor.unit)


def _power(column: Column, times: int) -> tuple[int, int]:
    low, high = (end**times for end in column.scaled_range)
    spans_zero = column.scaled_range[0] < 0 < column.scaled_range[1]
    return (0 if spans_zero else min(low, high), max(low, high)) if times % 2 == 0 else (low, high)


def _rounded(value: int, unit: int) -> int:
    """As holders round each row (``kernels/rows.py``)."""
    return (value + unit // 2) // unit
