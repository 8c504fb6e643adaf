"""Lists of fixed-point numbers of which some are whole, or public: MPyC 0.11 takes the first one for all of them.

A number that is known to be whole is multiplied without cutting places off. Of one that is taken for whole and is not,
the product is any element of the field: wrong, and wider than every mask. A public number in a list MPyC takes for as
many units of the last place, and its sum with a whole one for whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pets.party import mpyc_import
from pets.party.mpyc_import import sectypes


class Fixed(mpyc_import.runtime.Runtime):  # type: ignore[misc]
    """A runtime of MPyC that looks at every number of a list."""

    def if_else(self, c: Any, x: Any, y: Any) -> Any:
        found = super().if_else(c, x, y)
        return _marked(found, x, y) if isinstance(x, list) and x is not y else found

    def if_swap(self, c: Any, x: Any, y: Any) -> Any:
        found = super().if_swap(c, x, y)
        return [_marked(each, x, y) for each in found] if isinstance(x, list) else found

    def vector_add(self, x: list[Any], y: list[Any]) -> Any:
        x, y = _secret(x, y)
        return _marked(super().vector_add(x, y), x, y)

    def vector_sub(self, x: list[Any], y: list[Any]) -> Any:
        x, y = _secret(x, y)
        return _marked(super().vector_sub(x, y), x, y)

    def matrix_add(self, A: list[Any], B: list[Any]) -> Any:  # noqa: N803 - MPyC's names
        rows = _secret(*A, *B)
        return super().matrix_add(rows[: len(A)], rows[len(A) :])

    def matrix_sub(self, A: list[Any], B: list[Any]) -> Any:  # noqa: N803 - MPyC's names
        rows = _secret(*A, *B)
        return super().matrix_sub(rows[: len(A)], rows[len(A) :])

    def scalar_mul(self, a: Any, x: list[Any]) -> Any:
        (a,), x = _secret([a], x)
        return _marked(super().scalar_mul(a, x), [a] * len(x), x)

    def schur_prod(self, x: list[Any], y: list[Any]) -> Any:
        first, second = _secret(x, y)
        (first,) = _alike([first])
        return super().schur_prod(first, first if x is y else _alike([second])[0])

    def matrix_prod(self, A: list[Any], B: list[Any], tr: bool = False) -> Any:  # noqa: N803 - MPyC's names
        first = _alike(A)
        return super().matrix_prod(first, first if A is B else _alike(B), tr)


def _marked(made: Any, *of: Sequence[Any]) -> Any:
    """Numbers that were made of these, place by place: whole where all of these are."""
    for each, *parts in zip(made, *of, strict=False):
        if isinstance(each, sectypes.SecureFixedPoint):
            each.integral = all(isinstance(part, int) or bool(getattr(part, "integral", False)) for part in parts)
    return made


def _secret(*rows: list[Any]) -> list[list[Any]]:
    """Rows with every public number made a fixed-point one, if any number in them is."""
    kind = next((type(each) for each in _fixed(list(rows))), None)
    if kind is None:
        return list(rows)
    return [[kind(each) if isinstance(each, int | float) else each for each in row] for row in rows]


def _alike(rows: list[Any]) -> list[Any]:
    """Rows as they are if their numbers are all whole or none is; else none is taken for whole."""
    whole = {bool(each.integral) for each in _fixed(rows)}
    if len(whole) < 2:
        return rows
    return [[_of(each) for each in row] for row in rows]


def _fixed(rows: list[Any]) -> Iterator[Any]:
    return (each for row in rows for each in row if isinstance(each, sectypes.SecureFixedPoint))


def _of(number: Any) -> Any:
    whole = isinstance(number, sectypes.SecureFixedPoint) and number.integral
    return type(number)(number.share, integral=False) if whole else number
