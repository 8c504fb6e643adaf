"""Protocols of MPyC 0.11 whose masks are too narrow for what they cover: here with masks that are wide enough.

A mask hides a number that is `sec_param` bits narrower. The rest of each protocol is as in the runtime of MPyC.
"""

from typing import Any

from pets.party import mpyc_import


class Masked(mpyc_import.runtime.Runtime):  # type: ignore[misc]
    """A runtime of MPyC whose masks are as wide as what they cover asks for."""

    def trunc(self, x: Any, f: int | None = None, l: int | None = None) -> Any:  # noqa: E741 - MPyC's name
        """Cut ``f`` places off. A product has f bits more than its factors, and MPyC leaves them uncovered where it is
        given field elements, and the width ``l`` of the factors."""
        first = x[0] if isinstance(x, list) else x
        if f is not None and l is not None and not isinstance(first, self.SecureObject):
            l += f  # noqa: E741
        return super().trunc(x, f=f, l=l)
