"""Of cases that are much alike, some in ``make test`` and all in ``make test-long``."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def thinned(cases: Iterable[Any], *, one_in: int) -> list[Any]:
    """Cases as pytest takes them: one in so many runs always, the others are long."""
    return [
        case if place % one_in == 0 else pytest.param(*_several(case), marks=pytest.mark.long)
        for place, case in enumerate(cases)
    ]


def _several(case: Any) -> Sequence[Any]:
    return case if isinstance(case, tuple) else (case,)
