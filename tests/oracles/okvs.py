"""The slow twin of kernels/okvs.py: places from whole numbers, keys taken off first come first, sums in a loop."""

from collections import deque
from collections.abc import Sequence

DENSE = 56
WHOLE = 2**64


def third_of(keys: int) -> int:
    return 127 * keys // 300 + 73


def slots(token: bytes, third: int) -> tuple[list[int], list[int]]:
    """The three slots of a token, and the dense ones: digits to the base ``third`` of a fraction of 72 bits."""
    low, high = (int.from_bytes(token[i : i + 8], "little") for i in (0, 8))
    left, found = low << 8 | high & 255, []
    for part in range(3):
        digit, left = divmod(left * third, 2**72)
        found.append(part * third + digit)
    return found, [3 * third + bit for bit in range(DENSE) if high >> 8 + bit & 1]


def read(table: Sequence[int], token: bytes, third: int) -> int:
    three, dense = slots(token, third)
    return sum(table[slot] for slot in three + dense) % WHOLE


def write(tokens: Sequence[bytes], words: Sequence[int], third: int) -> list[int] | None:
    """The table, or None if no choice of the dense slots solves what is left."""
    places = [slots(token, third) for token in tokens]
    users: list[set[int]] = [set() for _ in range(3 * third)]
    for row, (three, _) in enumerate(places):
        for slot in three:
            users[slot].add(row)
    alone, order, aside = deque(slot for slot, rows in enumerate(users) if len(rows) == 1), [], []
    left = dict.fromkeys(range(len(tokens)))

    def take_off(row: int) -> None:
        del left[row]
        for slot in places[row][0]:
            users[slot].discard(row)
            if len(users[slot]) == 1:
                alone.append(slot)

    while left:
        while alone:
            slot = alone.popleft()
            for row in tuple(users[slot]):
                order.append((row, slot))
                take_off(row)
        if left:
            row = next(iter(left))
            aside.append(row)
            take_off(row)

    def solved(chosen: Sequence[int], values: Sequence[int]) -> list[int]:
        table = [0] * (3 * third) + list(chosen)
        for row, slot in reversed(order):
            table[slot] = (values[row] - sum(table[s] for s in places[row][0] + places[row][1])) % WHOLE
        return table

    def rest(chosen: Sequence[int], values: Sequence[int]) -> list[int]:
        table = solved(chosen, values)
        return [(values[row] - sum(table[s] for s in places[row][0] + places[row][1])) % WHOLE for row in aside]

    unit = [[int(i == j) for j in range(DENSE)] for i in range(DENSE)]
    zeros = [0] * len(tokens)
    columns = [[-x % WHOLE for x in rest(each, zeros)] for each in unit] if aside else []
    rows = [[column[i] for column in columns] + [word] for i, word in enumerate(rest([0] * DENSE, words))]
    pivots = []
    for i, row in enumerate(rows):
        for at, before in pivots:
            times = row[at] * pow(before[at], -1, WHOLE)
            row = [(x - times * y) % WHOLE for x, y in zip(row, before, strict=True)]
        at = next((j for j in range(DENSE) if row[j] % 2), None)
        if at is None:
            return None
        pivots.append((at, row))
        rows[i] = row
    chosen = [0] * DENSE
    for at, row in reversed(pivots):
        chosen[at] = (row[-1] - sum(x * y for x, y in zip(row, chosen))) * pow(row[at], -1, WHOLE) % WHOLE  # noqa: B905
    return solved(chosen, words)
