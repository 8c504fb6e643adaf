"""Random specifications of sums over one table of many holders: whatever the format lets an author write."""

import random

from tests.pooled import CONTROL, NOISE, boards, pooled_toml

MEASURES = ("minutes", "age", "cost", "died")
AGGREGATES = (
    "COUNT(*)",
    "COUNT({0})",
    "SUM({0})",
    "AVG({0})",
    "VAR_SAMP({0})",
    "STDDEV_POP({0})",
    "CORR({0}, {1})",
    "COVAR_POP({0}, {1})",
    "REGR_SLOPE({0}, {1})",
    "LINEAR_REGRESSION({0}, {1})",
    "COUNT(CASE WHEN {0} > 30 THEN 1 END)",
    "SUM(CASE WHEN ward = 'medical' THEN {0} END)",
)
REFUSED = ("COUNT(DISTINCT nhs_number)", "MEDIAN({0})", "MAX({0})")
CONDITIONS = (
    "arrival >= DATE '2026-01-01'",
    "minutes > 30",
    "age BETWEEN 18 AND 64",
    "ward <> 'other'",
    "ward IN ('medical', 'surgical')",
    "age IS NOT NULL",
    "died = 1 OR minutes < 60",
)


def query(drawn: random.Random) -> str:
    """A query over the one table; most are accepted."""
    group = drawn.random() < 0.7
    outputs = []
    for number in range(drawn.randint(1, 4)):
        one, two = drawn.sample(MEASURES, 2)
        named = AGGREGATES if drawn.random() < 0.98 else REFUSED
        outputs.append(f"{drawn.choice(named).format(one, two)} AS o{number}")
    outputs = [each.rpartition(" AS ")[0] if each.startswith("LINEAR") else each for each in outputs]
    where = " AND ".join(f"({each})" for each in drawn.sample(CONDITIONS, drawn.randint(0, 2)))
    text = f"SELECT {', '.join([*(['ward'] if group else []), *outputs])} FROM visits"
    text += f" WHERE {where}" if where else ""
    text += " GROUP BY ward" if group else ""
    return text + (" HAVING COUNT(*) > 20" if group and "COUNT(*)" in text and drawn.random() < 0.2 else "")


def random_toml(seed: int) -> str:
    """The text of a specification. Same seed, same text."""
    drawn = random.Random(f"pools {seed}")
    protocol = drawn.choice(("secure_sum", "secure_sum_shamir", "checked_sum", "secure_sum_held", None))
    computing = drawn.randint(3 if protocol == "secure_sum_shamir" else 2, 6) if protocol != "secure_sum_held" else 3
    holders = drawn.choice((2, 3, 4, 5, 9))
    control = protocol == "secure_sum_held" or drawn.random() < 0.1
    return pooled_toml(
        holders,
        computing,
        sql=query(drawn),
        protection=CONTROL if control else NOISE,
        protocol=protocol,
        corrupt=drawn.choice((None, None, 1, 2)) if not control else None,
        minimum=holders if control else drawn.choice((holders, holders, min(3, holders))),
        partial=drawn.choice((None, "leave out", "end the run")),
        per_person=drawn.choice((1, 1, 3)),
        truncate=drawn.random() < 0.5,
        to=drawn.choice(("statistics", "statistics", "statistics", *boards(holders)[:2])),
    )
