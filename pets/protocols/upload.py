"""What an input party hands to computing parties once, before it leaves: columns in two parts, one of them as bytes.

The part of ``first`` is a stream that it and the input party draw from their common key, so nothing is sent for it; the
other part, the column less that stream, goes to ``second``. The two parts of many input parties, end to end, become
shares of three by ``sharing.from_two``. An input party needs no answer: when its last message has arrived it is done.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.kernels import prf
from pets.protocols.base import Role, Send, receive_columns

U64 = npt.NDArray[np.uint64]

FIRST: Final = "first"
SECOND: Final = "second"
"""Roles of the two computing parties that hold the parts."""


def sent(label: str, mask: str, columns: Sequence[U64], family: prf.KeyFamily, *, xor: bool = False) -> Role[None]:
    """Play an input party: send ``second`` each column less the stream ``mask`` of its own number.

    ``label``: of this party's own message, as ``label_of`` makes it. ``family``: what this party and ``first`` have in
    common. ``xor``: the two parts do not add up but XOR.
    Learned: nothing: no message comes in, and what goes out is uniform to whoever lacks the stream.
    """
    for number, column in enumerate(columns):
        words = prf.words(family.key(mask, number), column.size)
        yield Send(SECOND, label, column ^ words if xor else column - words, number)


def drawn(families: Sequence[prf.KeyFamily], sizes: Sequence[int], columns: int, mask: str) -> U64:
    """The part of ``first``: for each of its input parties the streams of its columns, of so many words each."""
    of_each = zip(families, sizes, strict=True)
    return _by_column([[prf.words(family.key(mask, at), rows) for at in range(columns)] for family, rows in of_each])


def received(role: str, parties: int, columns: int, label: str) -> Role[U64]:
    """The part of ``second``: what came in from each of the input parties that play one role, in their order."""
    lists = []
    for number in range(parties):
        lists.append((yield from receive_columns(role_of(role, number), label_of(label, number), columns)))
    return _by_column(lists)


def role_of(role: str, number: int) -> str:
    """What the input parties that play one role are called, one by one, from number 0: left1, left2, ..."""
    return f"{role}{number + 1}"


def label_of(label: str, number: int) -> str:
    """What the messages of these parties are called."""
    return f"{label}{number + 1}"


def _by_column(lists: Sequence[Sequence[U64]]) -> U64:
    """Column after column, each of all lists end to end."""
    return np.concatenate([np.empty(0, np.uint64), *(part for column in zip(*lists, strict=True) for part in column)])
