"""Logistic models of matched rows: a part of what three parties compute on rows before they are summed.

``numbers`` goes on where ``rows.filtered`` ends. A row knows whether it counts, its y, and its other columns, by the
columns that are summed. Nothing is opened: what comes out goes to disclosure control, and only what that lets pass is
shown.

Source:  ``rep3/logistic.py``; docs/adr/0026-logistic-regression.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pets.protocols.base import Role
from pets.protocols.rep3 import logistic
from pets.protocols.rep3.sharing import Context, Words


@dataclass(frozen=True, slots=True)
class Model:
    """Where, among what is summed, ones of rows that count, y and other columns are; what values are taken off."""

    count: int
    y: int
    xs: tuple[int, ...]
    bases: tuple[int, ...]
    design: logistic.Design


def numbers(ctx: Context, model: Model, summed: Sequence[Words]) -> Role[list[Words]]:
    """What is found of one model, a row each: coefficients, standard errors, and how far the last step went.

    Shapes:  ``summed``: what ``rows.filtered`` gives, (rows,) each, of one cell.
    Learned: nothing: only operations of rep3 that tell nothing.
    """
    there = summed[model.count]
    values = [summed[x] - there.times(base) for x, base in zip(model.xs, model.bases, strict=True)]
    found = yield from logistic.fitted(ctx, model.design, there, summed[model.y], values)
    return [found[slice(at, at + 1)] for at in range(found.rows)]
