"""What the benchmark of logistic regression feeds the servers; no server is started here."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks import logistic
from pets.plan.review import review
from pets.spec.parse import parse_toml


def test_the_peer_has_the_rows_that_the_servers_join(tmp_path: Path) -> None:
    first, second, x, y = logistic.make_records(tmp_path, 500)
    joined = pq.read_table(first).to_pandas().merge(pq.read_table(second).to_pandas(), on="nhs_number")
    assert len(joined) == len(x) == int(logistic.OVERLAP * 500)
    ours = np.column_stack([joined[["age", "rent", "damp"]], joined["died"]])
    theirs = np.column_stack([x[:, 1:], y])
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))
    assert 0.1 < y.mean() < 0.9


def test_its_specification_is_accepted_in_both_modes() -> None:
    for mode in ("a", "b"):
        plan = review(parse_toml(logistic.spec_toml(1_000_000, mode))).require().plan
        assert plan.join.card == f"helper_join_{mode}" and len(plan.join.rows.fits) == 1  # type: ignore[union-attr]
