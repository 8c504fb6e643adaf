"""The helper's join: which row of one list has which tag of the other; and the sorting that comes before it.

Tags are the output of a block cipher, so their leading bits are evenly spread. Both kernels rely on that for speed:
entries are thrown into buckets by these bits, and each bucket is joined in a small table, or sorted, within the cache.
But a peer chooses what bytes it sends. Nothing here loops, grows or reaches out of bounds on tags that are not spread:
a bucket too full or a probe too long ends the join, with a chance below 2**-100 for tags that are what they should be.
"""

from typing import Any, Final

import numpy as np

from pets.kernels.jit import (
    I64Array,
    Number,
    U8Array,
    U32Array,
    U64Array,
    fetch,
    inlined,
    kernel,
    load64,
    store64,
    swap64,
)

MAX_LENGTH: Final = (1 << 32) - 2
UNMATCHED: Final = (1 << 32) - 1
"""Where `match` finds no partner. Never a position: lists are shorter."""

_BUCKET: Final = 10
"""A bucket holds about 2**10 entries, unless that would make more than 2**_MOST_BITS buckets."""
_MOST_BITS: Final = 11
_PROBES: Final = 512
_PLACES: Final = 2
"""Places of a bucket's counting sort for each entry: more leave less to insertion, whose branches nothing predicts."""
_SHIFTS: Final = 64
"""How far entries may move, on average, in the last step of sorting a bucket; about 1 is expected."""

_ENTRY_BYTES: Final = 12
"""Bytes of a tag that an entry holds."""
_SPARE: Final = 8
"""Slots of a table for each entry, at least: the first probe nearly always decides, so branches are predicted."""
_AHEAD: Final = 2
"""How many entries ahead the memory of each bucket is asked for: so many places the cache does not foresee."""
_ROW: Final = np.uint64(0xFFFFFFFF)
"""The half of an entry's second word that is the row."""

_FINE: Final = 0
_REPEATED: Final = 1
_UNSORTED: Final = 2
_CLUSTERED: Final = 3
_PROBLEMS: Final = {
    _REPEATED: "a tag occurs twice in the list",
    _UNSORTED: "the sorted list is not strictly increasing",
    _CLUSTERED: "tags are not spread like the output of a cipher",
}


def sort_tags(tags: U8Array) -> tuple[U32Array, U8Array]:
    """Sort `tags` by their bytes: the order, in which equal tags keep theirs, and `tags[order]`.

    Shapes:  tags (n, width) uint8, contiguous; (n,) uint32 and (n, width) uint8.
    Raises:  ValueError on a wrong shape, dtype or more than 2**32 - 2 tags: our bug.
    """
    _need_tags(tags)
    count, width = tags.shape
    bits, starts = _buckets(tags)
    order = np.empty(count, np.uint32)
    listed = np.empty_like(tags)
    if not _too_full(starts):
        entries = _partitioned(tags, bits, starts)
        most = int(np.diff(starts).max())
        spare = np.empty((most, 2), np.uint64)
        following = np.empty(2 * _PLACES * most + 2, np.int64)
        if _sort_buckets(tags, bits, starts, entries, spare, following, order, listed):
            return order, listed if 8 <= width <= _ENTRY_BYTES else tags[order]
    order = np.argsort(tags.view(f"S{width}").ravel(), kind="stable").astype(np.uint32)
    return order, tags[order]


def match(unsorted: U8Array, ordered: U8Array) -> U32Array:
    """Find each tag of `unsorted` in `ordered`: the position there, or UNMATCHED. Compares all bytes.

    Shapes:  unsorted (n, width), ordered (m, width), uint8, contiguous, `ordered` strictly increasing by bytes;
             (n,) uint32, in which no position occurs twice.
    Learned: whoever calls this learns which entries match; of the tags only random-looking bytes.
    Raises:  ValueError if a tag occurs twice in either list, `ordered` is not sorted, or the tags are not spread
             evenly: a peer's doing, so the caller names the peer. Also on wrong shapes: our bug.
    Source:  protocols.md 1.7, step 1.
    """
    _need_tags(unsorted)
    _need_tags(ordered)
    if unsorted.shape[1] != ordered.shape[1]:
        raise ValueError("tags of two widths cannot match")
    bits, starts = _buckets(unsorted)
    if _too_full(starts):
        raise ValueError(_PROBLEMS[_CLUSTERED])
    entries = _partitioned(unsorted, bits, starts)
    matched = np.empty(len(unsorted), np.uint32)
    most = int(np.diff(starts).max())
    table, places = np.empty(_slots(most)[0], np.uint32), np.empty(most + 1, np.uint32)
    wide = unsorted if unsorted.shape[1] > _ENTRY_BYTES else None
    problem = _match_buckets(unsorted, ordered, wide, bits, starts, entries, table, places, matched)
    if problem != _FINE:
        raise ValueError(_PROBLEMS[problem])
    return matched


def repeated(ordered: U8Array) -> I64Array:
    """Places of tags that are equal to the one before them. Shapes: ordered (n, width) uint8, sorted; (m,) int64.

    Raises:  ValueError on a wrong shape, dtype or more than 2**32 - 2 tags: our bug.
    """
    if increasing(ordered):
        return np.empty(0, np.int64)
    return np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1)) + 1


def increasing(tags: U8Array) -> bool:
    """Whether each tag is above the one before it, by its bytes. Shapes: (n, width) uint8, contiguous.

    Raises:  ValueError on a wrong shape, dtype or more than 2**32 - 2 tags: our bug.
    """
    _need_tags(tags)
    view = tags.view()
    view.flags.writeable = False  # one compilation serves what was made here and what a peer sent
    return bool(_increasing(view))


def _need_tags(tags: Any) -> None:
    if tags.dtype != np.uint8 or tags.ndim != 2 or not tags.flags.c_contiguous or not 1 <= tags.shape[1] <= 16:
        raise ValueError("tags are a contiguous (n, width) array of uint8, width 1 to 16")
    if len(tags) > MAX_LENGTH:
        raise ValueError("a list has at most 2**32 - 2 tags")


# -- buckets by leading bits -------------------------------------------------------------------------------------------


def _buckets(tags: U8Array) -> tuple[int, I64Array]:
    """Choose the number of leading bits, and say where each bucket starts."""
    bits = min(max(len(tags).bit_length() - _BUCKET, 0), _MOST_BITS)
    starts = np.zeros((1 << bits) + 1, np.int64)
    _count(tags, bits, starts)
    return bits, starts


def _too_full(starts: I64Array) -> bool:
    """More than twice the average and 256: never seen with the 512 or more entries expected in each of many buckets."""
    buckets = len(starts) - 1
    return buckets > 1 and int(np.diff(starts).max()) > 2 * int(starts[-1]) // buckets + 256


def _partitioned(tags: U8Array, bits: int, starts: I64Array) -> U64Array:
    """Entries bucket by bucket, two words each: the first 8 bytes as a number; the next 4, and below them the row."""
    entries = np.empty((len(tags) + 1, 2), np.uint64)
    entries[-1] = 0
    _scatter(tags, bits, starts[:-1].astype(np.uint64), entries)
    return entries


@inlined
def _head(tags: U8Array, row: Number) -> Number:
    """Bytes 0..7 of a tag as a big-endian number; a shorter tag is filled up with zero bytes."""
    width = tags.shape[1]
    if width >= 8:
        return swap64(load64(tags, width * row))
    word = np.uint64(0)
    for byte in range(width):
        word |= np.uint64(tags[row, byte]) << np.uint64(56 - 8 * byte)
    return word


@inlined
def _tail(tags: U8Array, row: Number) -> Number:
    """Bytes 8..11 of a tag in the upper half of a word; a shorter tag is filled up with zero bytes."""
    width = tags.shape[1]
    if width <= 8:
        return np.uint64(0)
    end = min(width, 12)
    kept = swap64(load64(tags, width * row + end - 8)) << np.uint64(8 * (16 - end))
    return kept & np.uint64(0xFFFFFFFF00000000)


@inlined
def _compare_rest(a: U8Array, row_a: Number, b: U8Array, row_b: Number) -> Number:
    """Compare the bytes that entries do not hold: below, equal to or above zero."""
    for byte in range(_ENTRY_BYTES, a.shape[1]):
        difference = np.int64(a[row_a, byte]) - np.int64(b[row_b, byte])
        if difference != 0:
            return difference
    return np.int64(0)


@inlined
def _leading(head: Number, bits: Number) -> Number:
    return np.intp((head >> np.uint64(1)) >> np.uint64(63 - bits))


@kernel
def _count(tags: U8Array, bits: int, starts: I64Array) -> None:
    for row in range(tags.shape[0]):
        starts[_leading(_head(tags, row), bits) + 1] += 1
    for bucket in range(starts.size - 1):
        starts[bucket + 1] += starts[bucket]


@kernel
def _scatter(tags: U8Array, bits: int, following: U64Array, entries: U64Array) -> None:
    flat = entries.reshape(-1)
    for row in range(tags.shape[0]):
        head = _head(tags, row)
        bucket = np.uint64(_leading(head, bits))
        position = following[bucket]
        following[bucket] = position + np.uint64(1)
        fetch(flat, np.uint64(2) * (position + np.uint64(_AHEAD)))
        entries[position, 0] = head
        entries[position, 1] = _tail(tags, row) | np.uint64(row)


# -- sorting -----------------------------------------------------------------------------------------------------------


@kernel
def _sort_buckets(
    tags: U8Array,
    bits: int,
    starts: I64Array,
    entries: U64Array,
    spare: U64Array,
    following: I64Array,
    order: U32Array,
    listed: U8Array,
) -> bool:
    """In each bucket: counting sort by the next bits, then insertion. False if the tags are clustered.

    ``listed`` takes the sorted tags if entries hold them whole and they have 8 bytes at least; else it stays as it is.
    """
    width = np.uint64(tags.shape[1])
    whole = np.uint64(8) <= width <= np.uint64(_ENTRY_BYTES)
    beyond = np.uint64(8) * (width - np.uint64(8))  # bits of a tag in the second word of its entry
    for bucket in range(starts.size - 1):
        start = starts[bucket]
        count = starts[bucket + 1] - start
        places = 1
        next_bits = 0
        while places < _PLACES * count:
            places *= 2
            next_bits += 1
        following[: places + 1] = 0
        for i in range(start, start + count):
            following[_leading(entries[i, 0] << np.uint64(bits), next_bits) + 1] += 1
        for place in range(places):
            following[place + 1] += following[place]
        for i in range(start, start + count):
            place = _leading(entries[i, 0] << np.uint64(bits), next_bits)
            position = following[place]
            following[place] = position + 1
            spare[position, 0] = entries[i, 0]
            spare[position, 1] = entries[i, 1]
        shifts = _SHIFTS * (count + 16)
        for i in range(1, count):
            head = spare[i, 0]
            tail = spare[i, 1]
            at = i
            while at > 0 and not _in_order(tags, spare[at - 1, 0], spare[at - 1, 1], head, tail):
                spare[at, 0] = spare[at - 1, 0]
                spare[at, 1] = spare[at - 1, 1]
                at -= 1
            shifts -= i - at
            if shifts < 0:
                return False
            spare[at, 0] = head
            spare[at, 1] = tail
        for i in range(count):
            order[start + i] = np.uint32(spare[i, 1] & _ROW)
        if whole:
            for i in range(count):
                row = np.uint64(start + i)
                head = spare[i, 0]
                end = (head << beyond) | ((spare[i, 1] >> np.uint64(32)) >> (np.uint64(32) - beyond))
                store64(listed, width * row, swap64(head))
                store64(listed, width * (row + np.uint64(1)) - np.uint64(8), swap64(end))
    return True


@inlined
def _in_order(tags: U8Array, head_a: Number, tail_a: Number, head_b: Number, tail_b: Number) -> Number:
    """Whether entry a comes before entry b: by tag, then by row."""
    if head_a != head_b:
        return head_a < head_b
    if (tail_a ^ tail_b) >> np.uint64(32) != np.uint64(0):
        return tail_a < tail_b
    rest = _compare_rest(tags, tail_a & _ROW, tags, tail_b & _ROW)
    return rest < 0 or (rest == 0 and tail_a < tail_b)


@kernel
def _increasing(tags: U8Array) -> bool:
    """Every pair of neighbours is looked at, whatever the first ones are."""
    wrong = np.uint64(0)
    width = np.uint64(tags.shape[1])
    last_head = np.uint64(0)
    last_end = np.uint64(0)
    for row in range(tags.shape[0]):
        head = _head(tags, row)
        end = np.uint64(0)
        if width > np.uint64(8):
            end = swap64(load64(tags, width * np.uint64(row + 1) - np.uint64(8)))
        above = np.uint64(head > last_head) | (np.uint64(head == last_head) & np.uint64(end > last_end))
        wrong |= (above ^ np.uint64(1)) & np.uint64(row > 0)
        last_head = head
        last_end = end
    return bool(wrong == np.uint64(0))


# -- matching ----------------------------------------------------------------------------------------------------------


@kernel
def _match_buckets(
    unsorted: U8Array,
    ordered: U8Array,
    wide: U8Array | None,
    bits: int,
    starts: I64Array,
    entries: U64Array,
    table: U32Array,
    places: U32Array,
    matched: U32Array,
) -> int:
    """Bucket by bucket: fill a table with its entries, slots by the next bits; walk through `ordered` once.

    The table holds numbers of entries inside the bucket, from 1; 0 is empty. `places` collects what the entries of the
    bucket match, so that rows, which lie anywhere, are written one after another. The last of `entries` and of `places`
    are nobody's: they let the first probe, nearly always the only one, do without a branch. `wide` is None if entries
    hold whole tags: then no code is there for the rest of them, which would bring a branch to every probe.
    """
    one = np.uint64(1)
    nobody = np.uint64(places.size - 1)
    at = np.uint64(0)
    last_head = np.uint64(0)
    last_tail = np.uint64(0)
    for bucket in range(starts.size - 1):
        slots, slot_bits = _slots(starts[bucket + 1] - starts[bucket])
        slot_mask = np.uint64(slots - 1)
        start = np.uint64(starts[bucket])
        stop = np.uint64(starts[bucket + 1])
        table[:slots] = 0
        places[:] = np.uint32(UNMATCHED)
        for i in range(start, stop):
            head = entries[i, 0]
            tail = entries[i, 1]
            slot = np.uint64(_leading(head << np.uint64(bits), slot_bits))
            probes = 0
            while table[slot] != 0:
                other = start + np.uint64(table[slot]) - one
                if _same(entries, other, head, tail) and _same_rest(wide, entries[other, 1], wide, tail):
                    return _REPEATED
                slot = (slot + one) & slot_mask
                probes += 1
                if probes > _PROBES:
                    return _CLUSTERED
            table[slot] = np.uint32(i - start + one)
        while at < np.uint64(ordered.shape[0]):
            head = _head(ordered, at)
            if _leading(head, bits) > bucket:
                break
            tail = _tail(ordered, at)
            if head < last_head or (head == last_head and tail <= last_tail and at > np.uint64(0)):
                if head != last_head or tail != last_tail or wide is None:
                    return _UNSORTED
                if _compare_rest(ordered, at - one, ordered, at) >= 0:
                    return _UNSORTED
            last_head = head
            last_tail = tail
            slot = np.uint64(_leading(head << np.uint64(bits), slot_bits))
            taken = np.uint64(table[slot] != 0)
            other = start + np.uint64(table[slot]) - taken
            found = taken & np.uint64(_same(entries, other, head, tail))
            if wide is not None and found:
                found = np.uint64(_same_rest(wide, entries[other, 1], ordered, at))
            places[nobody ^ ((other - start ^ nobody) & (np.uint64(0) - found))] = np.uint32(at)
            if taken > found:
                for _ in range(_PROBES):
                    slot = (slot + one) & slot_mask
                    if table[slot] == 0:
                        break
                    other = start + np.uint64(table[slot]) - one
                    if _same(entries, other, head, tail) and _same_rest(wide, entries[other, 1], ordered, at):
                        places[other - start] = np.uint32(at)
                        break
            at += one
        for i in range(start, stop):
            fetch(matched, entries[i, 1] & _ROW)
        for i in range(start, stop):
            matched[entries[i, 1] & _ROW] = places[i - start]
    return _FINE


@inlined
def _same_rest(wide: U8Array | None, word: Number, other: U8Array | None, row: Number) -> Number:
    """Whether the bytes that entries do not hold are the same in row `word` of `wide` and `row` of `other`."""
    if wide is None:
        return True
    return _compare_rest(wide, word & _ROW, other, row & _ROW) == 0  # type: ignore[arg-type]  # both or neither


@inlined
def _same(entries: U64Array, entry: Number, head: Number, tail: Number) -> Number:
    """Whether the first 12 bytes are those of `entry`."""
    return ((entries[entry, 0] ^ head) | ((entries[entry, 1] ^ tail) >> np.uint64(32))) == np.uint64(0)


@inlined
def _slots(count: Number) -> tuple[int, int]:
    """Slots of a table for `count` entries: a power of two, and its logarithm."""
    slots = 2
    slot_bits = 1
    while slots < _SPARE * count:
        slots *= 2
        slot_bits += 1
    return slots, slot_bits
