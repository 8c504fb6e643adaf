"""Lists of tags that two holders send a helper, so that it matches persons whom it cannot read.

What ``helper_psi`` and its kin have in common. A list has the declared size whatever the table is: persons, then slots,
of which D are dummies that both lists have and the rest fillers that no other list has, then padding. It is sent in the
order of its tags' bytes, which says nothing of the table's.

Source: Kamara, Mohassel, Raykova, Sadeghian, FC 2014; protocols.md 0.7, 1.10 and 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError, RunError
from pets.kernels import dummy, join, prf, tags
from pets.kernels.jit import I64Array, U8Array, U32Array
from pets.kernels.tags import Kind
from pets.secret import Secret

Side = Literal["a", "b"]
Flags = npt.NDArray[np.bool_]

_FILLER: Final = {"a": Kind.FILLER_A, "b": Kind.FILLER_B}
_PADDING: Final = {"a": Kind.PADDING_A, "b": Kind.PADDING_B}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Public parameters of both lists. ``s``: half the number of slots; ``dummies``: the law of how many are common.

    ``fixed_ids``: identifiers have a public width of at most 13 bytes and enter tags as they are; else they are hashed.
    """

    n_a: int
    n_b: int
    s: int
    t: int
    n_list_a: int
    n_list_b: int
    fixed_ids: bool
    dummies: dummy.DummyTable

    def __post_init__(self) -> None:
        if self.s < 1 or self.dummies.s != self.s or self.dummies.k != 1:
            raise ValueError("without dummies for one person the helper would count exactly: it has no right to that")

    def declared(self, side: Side) -> int:
        """The greatest number of persons of a side."""
        return self.n_a if side == "a" else self.n_b

    def length(self, side: Side) -> int:
        """Entries of its list."""
        return self.n_list_a if side == "a" else self.n_list_b


@dataclass(frozen=True, slots=True, repr=False)
class Listed:
    """A side's own list. ``tags`` are sorted; ``order[i]`` is the entry at place i: persons first, then slots.

    ``blocks`` (persons, 13) uint8: the persons as they enter tags; ``dummies``: how many slots are common.
    """

    side: Side
    tags: U8Array
    order: U32Array
    blocks: U8Array
    dummies: int

    @property
    def persons(self) -> int:
        return len(self.blocks)

    def __repr__(self) -> str:
        return f"Listed({len(self.tags)} entries of {self.side})"


def listed(sizes: Sizes, side: Side, ids: U8Array, ab: prf.KeyFamily, *, once: bool = False) -> Listed:
    """Make a side's list: tags of persons, slots and padding, sorted.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty.
    Once:    several rows of a person count once; else they are refused.
    Raises:  InternalError for an empty identifier, more persons than declared, or one twice; RunError run.tags if two
             entries have one tag by chance.
    """
    key = None if sizes.fixed_ids else ab.key("idhash", purpose="hash of identifiers")
    try:
        blocks = tags.id_blocks(ids, fixed=sizes.fixed_ids, key=key)
        if len(ids) and not ids[:, 0].all() and not ids.any(axis=1).all():
            raise ValueError("an identifier is empty")
    except ValueError as error:
        raise InternalError("internal.bug", where="identifiers of an intersection") from error
    low, high = (int(word) for word in prf.words(ab.key("D", purpose="draw of dummies"), 2))
    dummies = dummy.draw_dummies(sizes.dummies, low | (high << 64))
    return _listed(sizes, side, blocks, dummies, ab.key("tag", purpose="tags"), once=once)


def _listed(sizes: Sizes, side: Side, blocks: U8Array, dummies: int, key: Secret[bytes], *, once: bool) -> Listed:
    order, ordered = join.sort_tags(_enciphered(sizes, side, blocks, dummies, key, sizes.t))
    again = join.repeated(ordered)
    if again.size:
        first, second = order[again - 1], order[again]  # equal tags keep their order: the second row is the later one
        if int(second.max()) >= len(blocks) or (blocks[first] != blocks[second]).any():
            raise RunError("run.tags")
        if not once:
            raise InternalError("internal.bug", where="a person twice in an intersection")
        kept = np.ones(len(blocks), np.bool_)
        kept[second] = False
        return _listed(sizes, side, np.ascontiguousarray(blocks[kept]), dummies, key, once=False)
    if len(blocks) > sizes.declared(side):
        raise InternalError("internal.bug", where="persons outside the declared size")
    return Listed(side, ordered, order, blocks, dummies)


def _enciphered(sizes: Sizes, side: Side, blocks: U8Array, dummies: int, key: Secret[bytes], width: int) -> U8Array:
    """All entries of a list under a key, cut to ``width`` bytes: persons, dummies, fillers, padding."""
    persons, slots = len(blocks), 2 * sizes.s
    out = np.empty((persons + slots + max(0, sizes.declared(side) - persons), width), np.uint8)
    out[:persons] = tags.tag_rows(key, blocks, np.ones(persons, np.uint16), width=width)
    ends = (persons, persons + dummies, persons + slots, len(out))
    kinds = (Kind.COMMON_DUMMY, _FILLER[side], _PADDING[side])
    for kind, start, end in zip(kinds, ends, ends[1:], strict=False):
        out[start:end] = tags.tag_indexed(key, kind, 0, end - start, width=width)
    return out


def pads(sizes: Sizes, mine: Listed, ab: prf.KeyFamily, column: int) -> npt.NDArray[np.uint64]:
    """A word for each entry of the list, in its order: equal for equal entries of both lists, to whoever has the key.

    Shapes: (length of the list,) uint64.
    """
    key = ab.key("pad", column, purpose="pads of entries")
    words = _enciphered(sizes, mine.side, mine.blocks, mine.dummies, key, 8).reshape(-1).view(np.uint64)
    return words[mine.order]


def matched(tags_a: U8Array, tags_b: U8Array) -> U32Array:
    """Where each entry of role a's list is in role b's; ``join.UNMATCHED`` if nowhere.

    Both lists have to be sorted: whoever is told something of an entry finds it by its place.

    Raises: PeerError peer.tags if one is not, or repeats a tag.
    """
    if not join.increasing(tags_a):
        raise PeerError("peer.tags", problem="the sorted list is not strictly increasing")
    try:
        return join.match(tags_a, tags_b)
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error)) from error


def places(mine: Listed, flags: Flags, *, label: str) -> I64Array:
    """The persons of the list that are flagged, by their rows, in order.

    Shapes:  flags as the list is; (m,) int64.
    Raises:  PeerError peer.other-set unless dummies are flagged and nothing else that is nobody's: the lists then are
             not of one run.
    """
    hits = mine.order[flags]
    of_persons = hits[hits < mine.persons]
    nobody = hits[hits >= mine.persons]
    if nobody.size != mine.dummies or (nobody.size and int(nobody.max()) >= mine.persons + mine.dummies):
        raise PeerError("peer.other-set", label=label)
    return np.sort(of_persons).astype(np.int64)


def values_of(mine: Listed, columns: Sequence[npt.NDArray[np.uint64]]) -> list[npt.NDArray[np.uint64]]:
    """Columns of the persons, in the order of the list; zero for what is nobody's."""
    out = []
    for column in columns:
        whole = np.zeros(len(mine.order), np.uint64)
        whole[: mine.persons] = column
        out.append(whole[mine.order])
    return out
