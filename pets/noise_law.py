"""The law of the noise on an opened number: what its ranges, and the tests on its table, are made of.

In floating point, for people to read. What is drawn is exact (kernels/noise.py, kernels/gaussian.py), and what it costs
is as well (check/shared_noise.py).
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil, exp, expm1, log2, sqrt
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from pets.check.noised import JOINED
from pets.spec.ir import GaussianColumn, Noisy, Plan

F64 = npt.NDArray[np.float64]

LEVEL: Final = 0.95

_TABLE_SCALE: Final = 2000
_TABLE_VARIANCE: Final = 400.0


class Law(Protocol):
    """Noise in units of its number, symmetric about zero."""

    @property
    def squared(self) -> float:
        """The variance of the noise."""
        ...

    @property
    def half_width(self) -> int:
        """The noise lies within plus or minus this with probability at least LEVEL."""
        ...

    def quantile(self, level: F64) -> F64:
        """Quantiles of the noise."""
        ...


@dataclass(frozen=True, slots=True)
class NoiseLaw:
    """Discrete Laplace parts: NB(times) - NB(times) with ratio exp(-1 / scale).

    ``times``: the parts of all computing parties, in wholes: 3/2 where any two of three are enough. Where some of them
    may be lost, their noise may be missing, and less is added than this.
    """

    scale: float
    times: Fraction = Fraction(3, 2)

    @property
    def squared(self) -> float:
        return 2 * float(self.times) * exp(-1 / self.scale) / expm1(-1 / self.scale) ** 2

    @property
    def half_width(self) -> int:
        return _half_width(self)

    def quantile(self, level: F64) -> F64:
        """Beyond a scale of 2000 it is the law of scale 2000, stretched (error below 0.1 %)."""
        at = min(self.scale, _TABLE_SCALE)
        values, up_to = _laplace(at, self.times)
        place = np.minimum(np.searchsorted(up_to, level), len(values) - 1)
        return np.asarray(values[place] * (self.scale / at), np.float64)


@dataclass(frozen=True, slots=True)
class GaussianLaw:
    """Discrete Gaussian parts: the sum of ``parties`` draws of N_Z(0, variance)."""

    variance: float
    parties: int = 3

    @property
    def squared(self) -> float:
        """At most: of few units a discrete draw varies a little less than its parameter."""
        return self.variance * self.parties

    @property
    def half_width(self) -> int:
        return _half_width(self)

    def quantile(self, level: F64) -> F64:
        """From a variance of 400 of the sum on it is the normal law, which is nearer than a unit."""
        whole = self.variance * self.parties
        if whole >= _TABLE_VARIANCE:
            return np.asarray(ndtri(level) * sqrt(whole), np.float64)
        values, up_to = _gaussian(self.variance, self.parties)
        return np.asarray(values[np.minimum(np.searchsorted(up_to, level), len(values) - 1)], np.float64)


def law_of(column: Noisy, parties: int, parts: int) -> Law:
    """The law of the noise of ``parties`` parties on a column; of Laplace noise ``parts`` are the whole."""
    if isinstance(column, GaussianColumn):
        return GaussianLaw(float(column.variance), parties)
    return NoiseLaw(float(column.sensitivity / column.epsilon), Fraction(parties, parts))


def parts_of(plan: Plan) -> int:
    """How many parts of the noise are the whole of it."""
    return JOINED if plan.pool is None else plan.pool.parts


def uniform(label: str, size: int) -> F64:
    """Numbers evenly spread over (0, 1), the same for everyone who asks by this label: no generator's version matters.

    They are for arithmetic on released tables; nothing secret is made of them.
    """
    words = np.frombuffer(hashlib.shake_256(f"pets.statistics {label}".encode()).digest(8 * size), "<u8")
    return np.asarray(((words >> np.uint64(12)).astype(np.float64) + 0.5) / 2**52, np.float64)


def _half_width(law: Law) -> int:
    return int(np.ceil(round(float(law.quantile(np.array([(1 + LEVEL) / 2]))[0]), 6)))


@cache
def _laplace(scale: float, times: Fraction) -> tuple[F64, F64]:
    """Support and distribution function of NB(times) - NB(times) with ratio exp(-1 / scale), by convolution."""
    p, r = float(np.exp(-1 / scale)), float(times)
    size = 1 << int(np.ceil(np.log2((57 + 2 * r) * scale + 64)))
    k = np.arange(1, size)
    mass = (1 - p) ** r * np.concatenate([[1.0], np.cumprod((k + (r - 1)) / k * p)])
    spectrum = np.abs(np.fft.rfft(mass, 2 * size)) ** 2
    both = np.maximum(np.fft.irfft(spectrum), 0)
    centred = np.concatenate([both[size:], both[:size]])
    up_to = np.cumsum(centred)
    return np.arange(-size, size, dtype=np.float64), up_to / up_to[-1]


@cache
def _gaussian(variance: float, parties: int) -> tuple[F64, F64]:
    """Support and distribution function of a sum of discrete Gaussian draws, by convolution."""
    size = 1 << ceil(log2(10 * sqrt(variance * parties) + 16))
    k = np.arange(-size, size, dtype=np.float64)
    mass = np.exp(-(k**2) / (2 * variance))
    spectrum = np.fft.rfft(np.fft.ifftshift(mass / mass.sum())) ** parties
    up_to = np.cumsum(np.maximum(np.fft.fftshift(np.fft.irfft(spectrum)), 0))
    return k, up_to / up_to[-1]
