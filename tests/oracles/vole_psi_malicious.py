"""vole_psi_malicious for tests: cases and sets are those of vole_psi; its terms, a second time, where they differ."""

import hashlib
from functools import cache
from typing import Any

import numpy as np

from pets.kernels import ggm
from pets.protocols import vole_psi, vole_psi_malicious
from pets.protocols.base import Binding, Role
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.spec.term import Call, Term
from tests.oracles import ristretto
from tests.oracles import vole_psi as semi_honest
from tests.oracles.intersections import binding, drawn, hashed, rows_of
from tests.oracles.terms import Meaningless
from tests.oracles.vole_psi import OWN, Case, code_of, fixed, multiple, stream, times, xor

CARD = load_cards()[vole_psi_malicious.PROTOCOL]


def entropy(seed: int, role: str) -> Secret[bytes]:
    return drawn(seed, role, vole_psi_malicious.ENTROPY_BYTES)


def shape(case: Case) -> vole_psi.Shape:
    names = CARD.names(case.public())
    sizes = {name: names[name] for name in ("n_r", "n_s", "n_list_r", "n_list_s", "t", "p", "both")}
    return vole_psi.Shape(**sizes, fixed_ids=fixed(case))


def roles(
    case: Case,
    seed: int = 1,
    *,
    receiver: Any = vole_psi_malicious,
    sender: Any = vole_psi_malicious,
    tied: Binding | None = None,
) -> dict[str, Role[Any]]:
    """Both roles; ``receiver`` and ``sender``: the module whose role is played, for one that cheats."""
    sizes, tied = shape(case), tied or binding(seed)
    values = np.array(case.values, np.uint64).reshape(len(case.values), len(case.ids_s))
    return {
        "receiver": receiver.receiver(sizes, rows_of(case.ids_r, case.width[0]), tied, entropy(seed, "receiver")),
        "sender": sender.sender(sizes, rows_of(case.ids_s, case.width[1]), tied, entropy(seed, "sender"), values),
    }


# -- the terms --------------------------------------------------------------------------------------------------------

INVERSE_OF_X = 1 << 127 ^ 0x87 >> 1
"""x times it is 1: x^127 + x^6 + x + 1."""


in_group = cache(hashed)


def number_of(row: bytes) -> int:
    return int.from_bytes(row, "little")


class Reading(semi_honest.Reading):
    """What the terms of the card come to in one run."""

    HIDING, VALUES = 256, 514

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, role in OWN.items():
            given = entropy(self.seed, role).expose("a test")
            self.secrets[key] = [given[at : at + 16] for at in range(0, 80, 16)]

    def value(self, term: Term) -> list[bytes]:
        match term:
            case Call("half", (str(key),)):
                return [multiple(self.base(), self.scalar(key, 0, 0))]
            case Call("picks", (str(key),)):
                return self.picks(key)
            case Call("coin", (str(key),)):
                return [self.coin(key)]
            case Call("commits", (str(key),)):
                return [hashlib.sha256(self.said(b"pets/1-vole-psi-malicious-coin") + self.coin(key)).digest()]
            case Call("shown", (str(key), points, str(label))):
                return self.shown(key, self.value(points), label)
            case Call("weighed", (str(key), "V4c")):
                return self.weighed(key)
            case Call("weighed", _):
                raise Meaningless("a point is drawn when all of the trees is there")
            case Call("answered", (str(key), inner)):
                return self.answered(key, self.value(inner))
        return super().value(term)

    def said(self, label: bytes) -> bytes:
        return label + self.tied.digest + self.tied.run_id

    def coins(self, key: str, first: int, count: int) -> list[bytes]:
        """Elements of the stream of the fifth key: what hides values and noises, what hides choices, coin, point."""
        drawn_ = stream(self.secrets[key][4], 16 * count, first)
        return [drawn_[at : at + 16] for at in range(0, 16 * count, 16)]

    def coin(self, key: str) -> bytes:
        return self.coins(key, 260 if key == "own_r" else 0, 1)[0]

    # first transfers

    def base(self) -> bytes:
        return hashed(b"\0", self.said(b"pets/1-endemic-base-")).encode()

    def mask(self, number: int, side: int, element: bytes) -> ristretto.Element:
        return in_group(number.to_bytes(4, "big") + element, self.said(b"pets/1-endemic-masks-" + bytes([side])))

    def picks(self, key: str) -> list[bytes]:
        out: list[bytes] = []
        for j in range(256):
            side = self.bits(key) >> j & 1
            fresh = stream(self.secrets[key][0], 64, 1 + 4 * (256 + j))
            other = hashed(fresh, self.said(b"pets/1-endemic-fresh-")).encode()
            known = ristretto.decode(multiple(self.base(), self.scalar(key, j, 1)))
            assert known is not None
            own = known + self.mask(j, side, other).times(ristretto.ORDER - 1)
            out += [own.encode(), other] if side == 0 else [other, own.encode()]
        return out

    def one_key(self, number: int, side: int, point: bytes, offered: list[bytes], chosen: list[bytes]) -> bytes:
        whole = hashlib.sha256(self.said(b"pets/1-endemic-keys-") + b"".join(offered) + b"".join(chosen)).digest()
        return hashlib.sha256(whole + number.to_bytes(4, "big") + bytes([side]) + point).digest()[:16]

    def both_keys(self, key: str, chosen: list[bytes]) -> list[tuple[bytes, bytes]]:
        if len(chosen) != 512:
            raise Meaningless("512 elements are chosen")
        offered, out = self.value(Call("half", (key,))), []
        for j in range(256):
            pair, keys = chosen[2 * j : 2 * j + 2], []
            for side in range(2):
                element = ristretto.decode(pair[side])
                if element is None:
                    raise Meaningless("what is no element is added")
                masked = (element + self.mask(j, side, pair[1 - side])).encode()
                keys.append(self.one_key(j, side, multiple(masked, self.scalar(key, 0, 0)), offered, chosen))
            out.append((keys[0], keys[1]))
        return out

    def chosen_keys(self, key: str, offered: list[bytes]) -> list[bytes]:
        if len(offered) != 1:
            raise Meaningless("one element is offered")
        chosen = self.value(Call("picks", (key,)))
        points = [multiple(offered[0], self.scalar(key, j, 1)) for j in range(256)]
        return [self.one_key(j, self.bits(key) >> j & 1, points[j], offered, chosen) for j in range(256)]

    # transfers, products, trees and their checks

    def wanted(self, key: str) -> bytes:
        return super().wanted(key) + b"".join(self.coins(key, 258, 2))

    def multiplied_values(self, key: str) -> list[int]:
        return super().multiplied_values(key) + [number_of(row) for row in self.coins(key, 0, 258)]

    def folded(self, columns: list[bytes], at: list[int]) -> list[list[int]]:
        """Of each column, for each point, the sum of its entries times powers from the first up, plus the point's own.

        An entry times a power is the sum of the power times x^i over the bits of the entry.
        """
        rows = np.frombuffer(b"".join(columns), np.uint8).reshape(len(columns), -1, 16)
        bits = np.unpackbits(rows, axis=2, bitorder="little")
        totals = rows[:, -2:].copy().view(np.uint64)
        for i, point in enumerate(at):
            power = 1
            for n in range(rows.shape[1] - 2):
                power = times(power, point)
                multiples = b"".join(times(power, 1 << bit).to_bytes(16, "little") for bit in range(128))
                chosen = np.frombuffer(multiples, np.uint64).reshape(128, 2) * bits[:, n, :, None]
                totals[:, i] ^= np.bitwise_xor.reduce(chosen, axis=1)
        return [[number_of(each.tobytes()) for each in row] for row in totals]

    def shown(self, key: str, points: list[bytes], label: str) -> list[bytes]:
        both = self.both_keys(key, points)
        before = {"V2": ["V2"], "V3": ["V2", "V3"]}.get(label)
        if before is None:
            raise Meaningless(f"nothing is shown of {label}")
        begun = b"pets/1-checked-points-" + label.encode() + b"\0" + self.tied.digest + self.tied.run_id
        each = [self.value(Call("half", (key,))), points, *map(self.message, before)]
        digest = hashlib.sha256(begun + b"".join(hashlib.sha256(b"".join(rows)).digest() for rows in each)).digest()
        at = [number_of(digest[:16]), number_of(digest[16:])]
        if label == "V2":
            wanted = self.wanted(key)
            first, rows = wanted, [stream(each, len(wanted)) for each, _ in both[:128]]
        else:
            first = b"".join(value.to_bytes(16, "little") for value in self.multiplied_values(key))
            rows = [stream(each, 16 * 514) for each, _ in both[128:]]
        folds = self.folded([first, *rows], at)
        factor = 1
        for fold in folds[1:]:
            fold[:] = [times(each, factor) for each in fold]
            factor = factor if label == "V2" else times(factor, INVERSE_OF_X)
        return [each.to_bytes(16, "little") for fold in folds for each in fold]

    def trees(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        leaves, sums, total = self.grown(key)
        used = leaves.reshape(256, -1, 2)[:, : self.vector.leaves].reshape(-1, 2)
        b = code_of(self.vector.width).encode(np.array(used, order="C"))
        return b[: self.vector.outputs], sums, total

    def grown(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        seeds = np.frombuffer(stream(self.secrets[key][1], 16 * 256, 1), np.uint64).reshape(-1, 2)
        sides = Secret(self.public(b"left")), Secret(self.public(b"right"))
        return ggm.expand(seeds, 1 << self.vector.depth, sides)

    def weighed(self, key: str) -> list[bytes]:
        (point,), values = self.coins(key, 261, 1), self.multiplied_values(key)
        powers = [number_of(point)]
        while len(powers) < 1 << self.vector.depth:
            powers.append(times(powers[-1], powers[0]))
        rows = [times(values[n], powers[hole]) ^ values[256 + n] for n, hole in enumerate(self.holes(key)[0].tolist())]
        return [point, *(row.to_bytes(16, "little") for row in rows)]

    def answered(self, key: str, weighed: list[bytes]) -> list[bytes]:
        if len(weighed) != 257:
            raise Meaningless("there is a point and a product for each tree")
        point, delta = number_of(weighed[0]), self.delta(key)
        shares = xor(*self.parts(key, self.message("V1r"), self.message("V3")))
        leaves, folds = self.grown(key)[0].reshape(256, -1, 2), b""
        for n in range(256):
            total, power = number_of(shares[16 * (256 + n) :][:16]) ^ times(number_of(weighed[1 + n]), delta), point
            for leaf in leaves[n]:
                total, power = total ^ times(number_of(leaf.tobytes()), power), times(power, point)
            folds += total.to_bytes(16, "little")
        return [hashlib.sha256(self.said(b"pets/1-checked-answer-") + folds).digest()]

    # hashes

    def blake2(self, label: bytes, content: bytes) -> bytes:
        key = hashlib.sha256(self.said(b"pets/1-vole-psi-malicious-" + label)).digest()[:16]
        return hashlib.blake2b(content + b"\1", digest_size=16, key=key).digest()

    def contents(self, entries: np.ndarray) -> np.ndarray:
        rows = b"".join(self.blake2(b"entry", row.tobytes()) for row in entries)
        return np.frombuffer(rows, np.uint64).reshape(-1, 2)

    def output(self, element: bytes, entry: bytes) -> bytes:
        return self.blake2(b"output", self.with_coins(element) + entry)

    def sealing(self, element: bytes, entry: bytes) -> bytes:
        return self.blake2(b"element", self.with_coins(element) + entry)

    def with_coins(self, element: bytes) -> bytes:
        return xor(element, self.coin("own_r"), self.coin("own_s"))
