"""Uploads of many input parties at several computing parties: what ties them to a run, and whose count.

An input party makes one upload a run, a part for each computing party, and may be gone when it is read. All parts bear
one *mark*, 16 random bytes: two uploads under one name differ in it, so that parts of two are never taken for one. Each
computing party lists the marks that it has by the deadline, whole lists go from each to each, then digests of all lists
that a party has seen: only when these are equal everywhere does anything that depends on values leave a party, once.

Source: protocols.md 8.1 (A3) and 0.10, with the order of lists and digests turned round: docs/adr/0040-secure-sum.md.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import PeerError, RunError
from pets.protocols.base import Binding, Role, Send, receive

MARK_BYTES: Final = 16
DIGEST_BYTES: Final = 32

LISTS: Final = "L"
CONFIRMS: Final = "C"
"""Labels of lists of marks, and of digests of all lists."""

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Present = npt.NDArray[np.bool_]
"""By number of the input party: whether it counts."""


class Agreement(StrEnum):
    """What is done where computing parties have uploads of different input parties."""

    EQUAL = "equal"
    """The run ends."""
    COMMON = "common"
    """Those count whose upload every computing party has."""


def label_of(label: str, *numbers: int) -> str:
    """What a message of one of many is called, and of one of many to one of many: Uw3, Us3x1. Numbers are from 0."""
    return label + "x".join(str(number + 1) for number in numbers)


# -- whose uploads count ----------------------------------------------------------------------------------------------


def agree(
    me: str,
    others: Mapping[str, tuple[str, str]],
    marks: U8,
    tied: Binding,
    agreement: Agreement,
    *,
    minimum: int,
) -> Role[Present]:
    """Agree with the other computing parties on whose uploads count, before anything of these is sent.

    ``others``: by role, in the order of the card, what follows a label in what goes there, and in what comes from
    there. ``marks`` (holders, 16) uint8: what this party has, zeros for who is missing.
    Learned: of whom the others have an upload; nothing of what is in it.
    Raises:  PeerError peer.lists if others have seen other lists than this party, or if EQUAL is asked for and lists
             are not; RunError run.contributors if fewer than ``minimum`` count.
    """
    marks = marks.copy()  # what is sent stays as it is, whatever becomes of uploads
    for other, (there, _) in others.items():
        yield Send(other, LISTS + there, marks)
    lists = {me: marks}
    for other, (_, back) in others.items():
        lists[other] = yield from receive(other, LISTS + back)
    own = confirmation(tied, lists)
    for other, (there, _) in others.items():
        yield Send(other, CONFIRMS + there, own)
    for other, (_, back) in others.items():
        theirs = yield from receive(other, CONFIRMS + back)
        if theirs.tobytes() != own.tobytes():
            raise PeerError("peer.lists", label=CONFIRMS + back, problem="they have seen other lists than we have")
    return counted(lists, agreement, minimum=minimum)


def confirmation(tied: Binding, lists: Mapping[str, U8]) -> U8:
    """A digest of all lists of a run, by role: (1, 32) uint8. Roles are taken in the order of their names."""
    found = hashlib.sha256(b"pets/1 contributors" + tied.run_id + tied.digest)
    for role in sorted(lists):
        found.update(prefixed(role.encode()) + prefixed(lists[role].tobytes()))
    return np.frombuffer(found.digest(), np.uint8).reshape(1, DIGEST_BYTES)


def counted(lists: Mapping[str, U8], agreement: Agreement, *, minimum: int) -> Present:
    """Whose uploads count, from the lists of all computing parties: (holders,) bool."""
    first, *rest = lists.values()
    same = np.all([np.all(first == other, axis=1) for other in rest], axis=0) if rest else np.ones(len(first), bool)
    if agreement is Agreement.EQUAL and not np.all(same):
        raise PeerError("peer.lists", label=LISTS, problem="computing parties have uploads of different input parties")
    found: Present = same & np.any(first != 0, axis=1)
    if (took := int(np.count_nonzero(found))) < minimum:
        raise RunError("run.contributors", took=took, minimum=minimum)
    return found


def packed(present: Present) -> U8:
    """Who counts, a bit each, the first in the lowest bit: (1, ceil(holders / 8)) uint8."""
    return np.packbits(present, bitorder="little").reshape(1, -1)


def unpacked(bits: U8, holders: int) -> Present:
    """The same back; PeerError peer.lists for bits beyond the last holder."""
    found: Present = np.unpackbits(bits.ravel(), bitorder="little").astype(bool)
    if np.any(found[holders:]):
        raise PeerError("peer.lists", label="T", problem="it names parties that there are not")
    return found[:holders]


def prefixed(item: bytes) -> bytes:
    """An item with its length before it: several of them, end to end, are told apart in one way."""
    return len(item).to_bytes(4, "big") + item
