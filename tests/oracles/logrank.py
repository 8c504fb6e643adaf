"""The log-rank statistic of two groups in exact fractions: the slow twin of the program survival_test."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

Tables = Mapping[str, Mapping[str, Sequence[int]]]


def chi_square(tables: Tables) -> Fraction:
    """Of the tables of all holders together. Source: Mantel, Cancer Chemotherapy Reports 50 (1966), 163-170."""
    names = ("events_1", "events_2", "at_risk_1", "at_risk_2")
    pooled = [[sum(row) for row in zip(*(table[name] for table in tables.values()), strict=True)] for name in names]
    above, spread = Fraction(0), Fraction(0)
    for d1, d2, n1, n2 in zip(*pooled, strict=True):
        d, n = d1 + d2, n1 + n2
        if n > 0:
            above += d1 - Fraction(d * n1, n)
        if n > 1:
            spread += Fraction(d * n1 * n2 * (n - d), n * n * (n - 1))
    return above * above / spread if spread else Fraction(0)
