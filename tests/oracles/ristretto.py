"""ristretto255 over Python's integers, as RFC 9496 writes it: slow, not in constant time, for tests only."""

from __future__ import annotations

from dataclasses import dataclass

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def is_negative(x: int) -> bool:
    return x % P % 2 == 1


def magnitude(x: int) -> int:
    return -x % P if is_negative(x) else x % P


def sqrt_ratio(u: int, v: int) -> tuple[bool, int]:
    """RFC 9496, 4.2: (True, a root of u/v), or (False, a root of sqrt(-1) u/v); 0 of 0 is (True, 0)."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return check in (u % P, -u % P), magnitude(r)


def root(x: int) -> int:
    square, r = sqrt_ratio(x, 1)
    assert square
    return r


SQRT_AD_MINUS_ONE = -root(-D - 1) % P  # the RFC takes the odd root here
INVSQRT_A_MINUS_D = root(pow(-1 - D, -1, P))
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P


@dataclass(frozen=True, slots=True)
class Element:
    """A representative on the curve, in extended coordinates."""

    x: int
    y: int
    z: int = 1
    t: int = 0

    def __add__(self, other: Element) -> Element:
        a, b = (self.y - self.x) * (other.y - other.x), (self.y + self.x) * (other.y + other.x)
        c, d = 2 * D * self.t * other.t, 2 * self.z * other.z
        e, f, g, h = b - a, d - c, d + c, b + a
        return Element(e * f % P, g * h % P, f * g % P, e * h % P)

    def times(self, scalar: int) -> Element:
        result, power = IDENTITY, self
        while scalar:
            if scalar & 1:
                result += power
            power, scalar = power + power, scalar >> 1
        return result

    def encode(self) -> bytes:
        """4.3.2."""
        u1, u2 = (self.z + self.y) * (self.z - self.y) % P, self.x * self.y % P
        _, inverse = sqrt_ratio(1, u1 * u2 * u2)
        den1, den2 = inverse * u1 % P, inverse * u2 % P
        z_inv = den1 * den2 * self.t % P
        x, y, den = self.x, self.y, den2
        if is_negative(self.t * z_inv):
            x, y, den = self.y * SQRT_M1 % P, self.x * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
        if is_negative(x * z_inv):
            y = -y
        return magnitude(den * (self.z - y)).to_bytes(32, "little")


IDENTITY = Element(0, 1)


def decode(encoding: bytes) -> Element | None:
    """4.3.1; None is a refusal. The identity is not refused."""
    s = int.from_bytes(encoding, "little")
    if len(encoding) != 32 or s >= P or is_negative(s):
        return None
    u1, u2 = 1 - s * s, 1 + s * s
    v = -D * u1 * u1 - u2 * u2
    square, inverse = sqrt_ratio(1, v * u2 * u2)
    den_x = inverse * u2
    x, y = magnitude(2 * s * den_x), u1 * inverse * den_x * v % P
    t = x * y % P
    return Element(x, y, 1, t) if square and not is_negative(t) and y != 0 else None


def one_map(encoding: bytes) -> Element:
    """4.3.4, MAP of 32 bytes whose last bit is masked."""
    t = int.from_bytes(encoding, "little") % 2**255
    r = SQRT_M1 * t * t % P
    u, v = (r + 1) * ONE_MINUS_D_SQ, (-1 - r * D) * (r + D)
    square, s = sqrt_ratio(u, v)
    c = -1
    if not square:
        s, c = -magnitude(s * t) % P, r
    n = c * (r - 1) * D_MINUS_ONE_SQ - v
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return Element(w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P)


def from_uniform(uniform: bytes) -> Element:
    return one_map(uniform[:32]) + one_map(uniform[32:])
