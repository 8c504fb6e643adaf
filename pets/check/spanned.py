"""What follows from forms some of whose unknowns are uniform: the arithmetic of sums of many holders.

Uniform unknowns hide: of all combinations of forms those say something, and nothing else does, in which every uniform
unknown cancels. They are found by elimination: a form with a uniform unknown is used up to take that unknown out of
all others. Modulo 2^64 an unknown can be taken out by a form in which its coefficient is odd; twice a stream leaves the
last bit, so where no odd coefficient is left a stream is taken for one that hides nothing. Any other modulus here is a
prime: every coefficient can be divided by.

What is left are forms in values and noise. Noise that is in a form without values is taken for known. A form in which
noise cancels is exact.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pets.check.spread import Form, Unknown, plus


@dataclass(frozen=True, slots=True)
class Told:
    """What forms tell. ``exact``: forms in values alone; ``noised``: others with noise; ``noise``: in noise alone."""

    exact: tuple[Form, ...]
    noised: tuple[Form, ...]
    noise: tuple[Form, ...]


def told(rows: Iterable[Form], modulus: int, known: Callable[[Unknown], bool]) -> Told:
    """What somebody has of these forms who knows some unknowns. Each part is in reduced form, and spans all of it."""
    left = [{unknown: c for unknown, c in row.items() if not known(unknown)} for row in rows]
    bare = _without_uniform([row for row in left if row], modulus)
    order = _reduced(bare, modulus, first="value")
    noise = [row for row in order if not any(unknown.kind == "value" for unknown in row)]
    gone = frozenset(unknown for row in noise for unknown in row)
    values = [{unknown: c for unknown, c in row.items() if unknown not in gone} for row in order]
    exact: list[Form] = []
    noised: list[Form] = []
    for row in _reduced(values, modulus, first="noise"):
        (exact if all(unknown.kind == "value" for unknown in row) else noised).append(row)
    return Told(tuple(exact), tuple(noised), tuple(noise))


def _without_uniform(rows: list[Form], modulus: int) -> list[Form]:
    """The forms that are left when all uniform unknowns have been taken out, or hide nothing."""
    bare: list[Form] = []
    while rows:
        lead = next(((at, u) for at, row in enumerate(rows) for u in sorted(row) if _fit(u, row[u], modulus)), None)
        if lead is None:
            bare += [{unknown: c for unknown, c in row.items() if not unknown.uniform} for row in rows]
            break
        at, unknown = lead
        pivot = rows.pop(at)
        rows = _cleared(rows, pivot, unknown, modulus)
        done = [row for row in rows if not any(each.uniform for each in row)]
        bare += done
        rows = [row for row in rows if row not in done]
    return [row for row in bare if row]


def _fit(unknown: Unknown, c: int, modulus: int) -> bool:
    return unknown.uniform and (modulus % 2 == 1 or c % 2 == 1)


def _cleared(rows: Sequence[Form], pivot: Form, unknown: Unknown, modulus: int) -> list[Form]:
    """The rows less so much of the pivot that the unknown is in none of them."""
    inverse = pow(pivot[unknown], -1, modulus)
    return [plus(modulus, ((1, row), (-row[unknown] * inverse, pivot))) if unknown in row else row for row in rows]


def _reduced(rows: Iterable[Form], modulus: int, *, first: str) -> list[Form]:
    """Row echelon form, reduced; a row leads with an unknown of the kind ``first``, if it has one to divide by."""
    done: list[tuple[Unknown, Form]] = []
    rest: list[Form] = []
    for row in rows:
        for lead, pivot in done:
            (row,) = _cleared([row], pivot, lead, modulus)
        units = [unknown for unknown, c in row.items() if modulus % 2 == 1 or c % 2 == 1]
        if not units:
            rest += [row] if row else []
            continue
        lead = min(units, key=lambda unknown: (unknown.kind != first, unknown))
        row = plus(modulus, [(pow(row[lead], -1, modulus), row)])
        done = [(other, _cleared([pivot], row, lead, modulus)[0]) for other, pivot in done]
        done.append((lead, row))
    return [*(row for _, row in done), *rest]
