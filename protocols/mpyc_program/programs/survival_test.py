"""The log-rank test of two groups, from event tables by interval that each holder brings.

Tables are added up over holders. Of each interval, with n at risk and d events of whom n1 and d1 in the first group,
the test takes d1 - d n1 / n and, where n > 1, d n1 n2 (n - d) / (n^2 (n - 1)); the statistic is the square of the sum
of the first over the sum of the second. Source: Mantel, Cancer Chemotherapy Reports 50 (1966), 163-170.

An interval with nobody at risk adds nothing, and so does one with one person; where no interval tells the groups apart
the statistic is 0. Numbers have 48 binary places, before the point and after it.
"""

from mpyc.runtime import mpc


def pooled(tables):
    total = tables[0]
    for table in tables[1:]:
        total = [a + b for a, b in zip(total, table, strict=True)]
    return total


async def main():
    secfxp = mpc.SecFxp(96, 48)
    events_1 = pooled(mpc.inputs("events_1", secfxp))
    events_2 = pooled(mpc.inputs("events_2", secfxp))
    at_risk_1 = pooled(mpc.inputs("at_risk_1", secfxp))
    at_risk_2 = pooled(mpc.inputs("at_risk_2", secfxp))
    above, spread = [], []
    for d1, d2, n1, n2 in zip(events_1, events_2, at_risk_1, at_risk_2, strict=True):
        d, n = d1 + d2, n1 + n2
        one = 1 / (n + mpc.is_zero(n))
        other = 1 / (n - 1 + mpc.is_zero(n - 1))
        share = n1 * one
        above.append(d1 - d * share)
        spread.append(share * (n2 * one) * ((d * (n - d)) * other))
    distance, variance = mpc.sum(above), mpc.sum(spread)
    nothing = variance < 2.0**-30
    mpc.release("chi_square", distance * distance / (variance + nothing))
