"""Sums over an intersection, from specification to table, in memory: against pandas, with noise and with a minimum."""

import random
from pathlib import Path

import pandas as pd
import pytest

from pets.check.labels import Mark
from pets.errors import LeakError
from pets.local import LocalNetwork, local_network
from pets.network import Draft
from pets.party.evidence import verify_evidence
from pets.plan.review import review
from pets.result import evidence_keys, recompute
from pets.spec.parse import parse_toml


def frames(seed: int, mine: int, theirs: int, both: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = random.Random(seed)
    ids = [f"p{number:04}" for number in draw.sample(range(9999), mine + theirs - both)]
    asks = pd.DataFrame({"person": ids[:mine], "ward": [draw.choice(["east", "north", None]) for _ in range(mine)]})
    asks["tenure"] = [draw.choice(["own", "rent"]) for _ in range(mine)]
    other = pd.DataFrame({"person": ids[mine - both :], "days": [draw.randrange(-3, 90) for _ in range(theirs)]})
    other["cost"] = [draw.randrange(-5000, 99999) / 100 for _ in range(theirs)]
    return asks, other.sample(frac=1, random_state=seed)


def network(seed: int = 1, mine: int = 60, theirs: int = 50, both: int = 30) -> tuple[LocalNetwork, pd.DataFrame]:
    asks, other = frames(seed, mine, theirs, both)
    net = local_network({"council": {"housing": asks}, "board": {"hospital": other}})
    return net, asks.merge(other, on="person").fillna({"ward": "(missing)"})


def draft(net: LocalNetwork, **options: object) -> Draft:
    asked = {"asks": "housing", "by": ["ward"], "columns": ["days", "cost"]} | options
    return net.draft(psi="sum", **asked)


@pytest.mark.parametrize("by", [["ward"], ["ward", "tenure"], []])
def test_it_is_what_pandas_says(by: list[str]) -> None:
    net, joined = network()
    frame = net.run(draft(net, by=by, control={"min_count": 1, "zeros": "hidden"})).to_pandas()
    for row in frame.to_dict("records"):
        part = joined
        for name in by:
            part = part[part[name] == row[name]]
        if part.empty:
            assert pd.isna(row["persons"]) and pd.isna(row["sum_days"])
            continue
        assert (row["persons"], row["sum_days"]) == (len(part), part["days"].sum())
        assert row["sum_cost"] == pytest.approx(part["cost"].sum()) and row["mean_days"] == pytest.approx(
            part["days"].mean()
        )


def test_small_groups_are_withheld_and_counts_rounded() -> None:
    net, joined = network()
    counts = joined.groupby("ward").size()
    least = int(counts.min()) + 1
    frame = net.run(draft(net, control={"min_count": least, "round_to": 5})).to_pandas().set_index("ward")
    for ward, count in counts.items():
        assert (frame.loc[ward, "persons"] is pd.NA) == (count < least)
        if count >= least:
            assert frame.loc[ward, "persons"] % 5 == 0 and abs(frame.loc[ward, "persons"] - count) <= 2
            assert frame.loc[ward, "sum_days"] == joined[joined["ward"] == ward]["days"].sum()


def test_noise_is_on_sums_and_its_bounds_hold() -> None:
    net, joined = network()
    frame = net.run(draft(net, epsilon="2")).to_pandas().set_index("ward")
    true = joined.groupby("ward")["days"].sum()
    assert (frame["sum_days_low"] < frame["sum_days"]).all() and (frame["sum_days"] < frame["sum_days_high"]).all()
    assert any(frame.loc[ward, "sum_days"] != total for ward, total in true.items())
    assert all(abs(frame.loc[ward, "sum_days"] - total) < 90 * 64 for ward, total in true.items())
    assert list(frame["persons"].dropna()) == [int((joined["ward"] == ward).sum()) for ward in frame.index]


def test_counts_alone_need_no_column() -> None:
    net, joined = network()
    frame = net.run(draft(net, columns=[], control={"min_count": 1})).to_pandas().set_index("ward")
    assert {w: int(n) for w, n in frame["persons"].dropna().items()} == joined.groupby("ward").size().to_dict()


def test_the_evidence_gives_the_same_table_again(tmp_path: Path) -> None:
    net, _ = network()
    result = net.run(draft(net, epsilon="1"))
    folder = result.save(tmp_path / "out.csv")
    keys = evidence_keys(folder / "directory.toml")
    assert list(verify_evidence(folder, keys=keys, recompute=recompute(result.toml)))
    assert result.plot().axes and "hides the values" in result.disclosure and result._repr_html_()


@pytest.mark.parametrize("protection", [{"epsilon": "1"}, {"control": {"min_count": 5}}])
def test_the_matrix_says_who_learns_what(protection: dict[str, object]) -> None:
    net, _ = network()
    found = draft(net, **protection).check()
    matrix = found.verdict.matrix
    told = Mark.NOISED if "epsilon" in protection else Mark.AGGREGATE
    assert found.accepted and matrix.mark("sum(hospital.days)", "council") is told
    assert matrix.mark("hospital.days", "council") is told and matrix.mark("hospital.days", "board") is Mark.VISIBLE
    assert matrix.mark("number of matched rows", "council") is Mark.SIZE
    assert matrix.mark("which persons are in both tables", "council") is Mark.NEVER
    assert matrix.mark("housing.ward", "board") is Mark.HELD
    assert matrix.mark("number of matched rows", "board").rank <= Mark.HELD.rank


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("disclosure_control = { min_count = 5 }\n", "", "psi.sum"),
        ("min_count = 5", "min_count = 5, p_percent = 10", "psi.sum"),
        ("min_count = 5", 'min_count = 5, round_to = 5, rounding = "midpoint"', "psi.sum"),
        ("required = true", "required = false", "psi.sum"),
        ('by = ["housing.ward"]', 'by = ["housing.person"]', "psi.sum"),
        ("max_rows_per_person = 1", "max_rows_per_person = 2", "psi.sum"),
        ("max_rows = 60", "max_rows = 60000000", "psi.sum"),
        ('asks = "housing"', 'asks = "housing"\nmax_group = 4', "psi.sum"),
        ('as = "exact"', 'noised = { epsilon = "1", delta = "2^-40" }', "psi.undeclared"),
    ],
)
def test_what_it_cannot_do_is_refused(old: str, new: str, rule: str) -> None:
    net, _ = network()
    toml = draft(net, control={"min_count": 5}).toml
    assert old in toml
    found = review(parse_toml(toml.replace(old, new)))
    assert rule in {each.rule for each in found.verdict.errors}
    with pytest.raises(LeakError):
        net.run(toml.replace(old, new))
