"""Keys, seeds and shares that cannot print, compare, pickle or travel by accident."""

import hmac
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")


class Secret(Generic[T]):
    """Holds a value that only ``expose(why)`` gives back. ``grep -n 'expose('`` lists every use."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def expose(self, why: str) -> T:
        """Return the value. ``why`` is for the reader of the code; it must not be empty."""
        if not why:
            raise TypeError("a secret is exposed for a stated reason")
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets do not compare; use secret.same(a, b)")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError("secrets have no truth value")

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets do not pickle")

    def __copy__(self) -> NoReturn:
        raise TypeError("secrets do not copy")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("secrets do not copy")


def same(a: Secret[bytes], b: Secret[bytes]) -> bool:
    """Compare two secret byte strings in time that depends on their lengths only."""
    return hmac.compare_digest(a.expose("compare"), b.expose("compare"))
