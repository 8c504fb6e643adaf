"""What was spent, as a table and a picture: read from a state file, and read back from the figure."""

import csv
import datetime as dt
import io
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import pets
from pets.approve.policy import Limits, policy_toml
from pets.check.budget import Loss
from pets.cli import main
from pets.errors import ConfigError
from pets.ids import PartyId, RunHandle
from pets.party.accounting import Account, Cap
from pets.party.config import STATE_FILE
from pets.party.ledger import Ledger
from pets.party.state import State
from pets.spend import COLUMNS, Spend, spend_of
from pets.staircase import MAX_PANELS
from tests.approve.consortium import POLICY

TODAY = dt.date(2027, 5, 17)
NOW = dt.datetime.combine(TODAY, dt.time(9), dt.UTC)
ROOM = Cap(Loss(Fraction(1000), Fraction(1), Fraction(1000)), dt.date.min)
DELTA = Fraction(1, 2**40)

CHARGES = (
    (dt.date(2026, 11, 2), "attendances", "2", True),
    (dt.date(2027, 1, 4), "attendances", "3/2", True),
    (dt.date(2027, 3, 8), "housing", "1/2", True),
    (dt.date(2027, 4, 12), "attendances", "3/2", True),
    (dt.date(2027, 5, 3), "attendances", "1", False),
)

PARTY = """
name = "board"
listen = "127.0.0.1:7443"
certificate = "tls/certificate.pem"
key = "tls/key.pem"
ca = "tls/ca.pem"
signing_key = "keys/signing.pem"
[datasets.attendances]
file = "attendances.parquet"
[datasets.untouched]
file = "untouched.parquet"
"""


def limits(**changes: object) -> Limits:
    return Limits.model_validate(
        {"max_epsilon_per_run": "2", "max_epsilon_per_dataset": "20", "max_delta": "2^-30", "period": "year"} | changes
    )


IN_RHO = {"max_epsilon_per_dataset": None, "max_rho_per_dataset": "3", "rho_at_delta": "2^-30"}


def fill(path: Path) -> None:
    now = NOW
    with State(path, clock=lambda: now) as state:
        ledger = Ledger(state)
        for number, (day, dataset, epsilon, settled) in enumerate(CHARGES):
            now, run = dt.datetime.combine(day, dt.time(9), dt.UTC), RunHandle(f"{number:032x}")
            account = Account(dataset)
            ledger.reserve(run, {account: Loss(Fraction(epsilon), DELTA)}, {account: ROOM})
            if settled:
                ledger.settle(run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A party's folder as its operator has it, without a key in it."""
    (tmp_path / "state").mkdir()
    fill(tmp_path / "state" / STATE_FILE)
    (tmp_path / "party.toml").write_text(PARTY)
    (tmp_path / "policy.toml").write_text(policy_toml(POLICY))
    return tmp_path


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    fill(tmp_path / "state.db")
    with State(tmp_path / "state.db") as state:
        yield state


def seen(state: State, since: dt.date | None = None, **changes: object) -> Spend:
    return spend_of(state, PartyId("board"), limits(**changes), today=TODAY, since=since)


def test_the_table_shows_cap_settled_reserved_and_remaining_of_each_account(state: State) -> None:
    rows = [tuple(row.values()) for row in seen(state).rows()]
    year = "2028-01-01"
    assert rows == [
        ("attendances", "person", "epsilon", "20", "3", "1", "16", year, 3),
        ("attendances", "person", "delta", "2^-30", "2^-39", "2^-40", "9.28594e-10", year, 3),
        ("housing", "person", "epsilon", "20", "0.5", "0", "19.5", year, 1),
        ("housing", "person", "delta", "2^-30", "2^-40", "0", "9.30413e-10", year, 1),
    ]
    assert list(seen(state).to_pandas().columns) == list(COLUMNS)


@pytest.mark.parametrize(
    ("period", "settled", "reserved", "returns"),
    [
        ("month", "0", "1", "2027-06-01"),
        ("quarter", "1.5", "1", "2027-07-01"),
        ("year", "3", "1", "2028-01-01"),
        ("none", "5", "1", None),
    ],
)
def test_what_counts_is_what_was_reserved_in_the_period(
    state: State, period: str, settled: str, reserved: str, returns: str | None
) -> None:
    row = next(seen(state, period=period).rows())
    assert (row["settled"], row["reserved"], row["returns"]) == (settled, reserved, returns)


def test_a_cap_in_rho_is_told_as_epsilon_beside(state: State) -> None:
    found = seen(state, **IN_RHO)
    row = next(found.rows())
    assert (row["quantity"], row["cap"], row["settled"], row["reserved"]) == ("rho", "3", "2.25", "0.5")
    assert next(found.told()).startswith(
        "attendances, per person: at delta 2^-30 the rho that was spent is epsilon 17."
    )


def heights(figure: Figure, panel: int = 0) -> list[tuple[dt.date, float]]:
    from matplotlib.dates import num2date

    line: Any = next(line for line in figure.axes[panel].lines if len(line.get_xdata()) > 2)
    days = [num2date(day).date() for day in line.get_xdata()]  # type: ignore[no-untyped-call]
    return list(zip(days, [float(y) for y in line.get_ydata()], strict=True))


def words(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for axis in figure.axes for text in axis.texts]


def test_the_picture_climbs_with_each_charge_and_falls_where_the_budget_returns(state: State) -> None:
    figure = seen(state).plot()
    corners = heights(figure)
    assert corners[0] == (dt.date(2026, 1, 1), 0.0) and corners[-1] == (TODAY, 4.0)
    tops = dict(corners)
    assert [tops[day] for day, dataset, *_ in CHARGES if dataset == "attendances"] == [2.0, 1.5, 3.0, 4.0]
    assert tops[dt.date(2027, 1, 1)] == 0.0
    caps = [line.get_ydata()[0] for line in figure.axes[0].lines if len(set(line.get_ydata())) == 1]
    assert 20.0 in caps
    assert {"cap 20 a year", "4 spent 16 remaining (1 reserved)", "budget returned on 1 January 2027"} <= set(
        words(figure)
    )
    assert figure.axes[0].get_ylabel() == "epsilon spent\nin the year"
    assert figure.axes[-1].get_xlabel() == "day on which budget was reserved (UTC)"


@pytest.mark.parametrize(("since", "begins"), [(dt.date(2027, 5, 1), 3.0), (dt.date(2027, 1, 1), 0.0)])
def test_a_picture_that_begins_within_a_period_begins_with_what_was_spent_in_it(
    state: State, since: dt.date, begins: float
) -> None:
    found = seen(state, since)
    corners = heights(found.plot())
    assert corners[0] == (since, begins) and corners[-1] == (TODAY, 4.0)
    assert all(charge.day >= since for charge in found.charges)


def test_what_is_reserved_and_never_settled_is_hatched_and_nothing_else_is(state: State) -> None:
    hatched = [any(each.get_hatch() for each in axis.collections) for axis in seen(state).plot().axes]
    assert hatched == [True, False]


@pytest.mark.parametrize("changes", [{}, {"period": "month"}, {"period": "day"}, {"period": "none"}, IN_RHO], ids=str)
def test_no_word_leaves_the_picture_and_no_two_labels_touch(state: State, changes: dict[str, object]) -> None:
    figure = seen(state, **changes).plot()
    figure.canvas.draw()
    paper = figure.bbox
    for axis in figure.axes:
        labels = [text.get_window_extent() for text in axis.texts]
        labels.append(axis._left_title.get_window_extent())  # type: ignore[attr-defined]
        for box in labels:
            assert box.x0 >= 0 and box.x1 <= paper.x1 and box.y0 >= 0 and box.y1 <= paper.y1
        for number, box in enumerate(labels):
            assert not any(box.overlaps(other) for other in labels[number + 1 :])


@pytest.mark.parametrize("day", [dt.date(2027, 2, 1), dt.date(2027, 12, 20)])
@pytest.mark.parametrize("spent", ["20", "19", "1", "25", "10"])
def test_labels_keep_apart_wherever_the_line_ends(spent: str, day: dt.date) -> None:
    """Also near the cap, and above one that was lowered; early in a period and at its end."""
    with State(":memory:", clock=lambda: dt.datetime.combine(day, dt.time(9), dt.UTC)) as state:
        Ledger(state).reserve(RunHandle("1"), {Account("t"): Loss(Fraction(spent))}, {Account("t"): ROOM})
        figure = spend_of(state, PartyId("board"), limits(), today=day).plot()
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])


def test_of_more_accounts_than_there_is_room_for_it_says_so() -> None:
    with State(":memory:", clock=lambda: NOW) as state:
        accounts = [Account(f"t{number}") for number in range(MAX_PANELS + 2)]
        figure = spend_of(state, PartyId("board"), limits(), accounts, today=TODAY).plot()
    note = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert len(figure.axes) == MAX_PANELS and f"The first {MAX_PANELS} of {len(accounts)} accounts" in note


def test_the_state_file_is_found_by_party_toml_and_no_key_is_opened(folder: Path) -> None:
    found = pets.ledger(folder / "party.toml", now=NOW)
    assert [str(balance.account) for balance in found.balances] == [
        *("attendances, per person", "housing, per person", "untouched, per person")
    ]
    assert "attendances" in found._repr_html_()


def test_without_a_state_file_or_a_policy_it_says_what_is_missing(folder: Path) -> None:
    (folder / "state" / STATE_FILE).unlink()
    with pytest.raises(ConfigError, match=r"config\.state"):
        pets.ledger(folder / "party.toml")
    (folder / "policy.toml").unlink()
    with pytest.raises(ConfigError, match=r"config\.file"):
        pets.ledger(folder / "party.toml")


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pets", "ledger", "--config", str(folder / "party.toml"), *more])
    monkeypatch.setattr("pets.spend.utc_now", lambda: NOW)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def test_the_command_shows_the_table_and_charges_since_a_day(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, folder, "--since", "2027-04-01") == 0
    said = capsys.readouterr().out
    assert said.startswith("board, in this year, on 2027-05-17 (UTC); all of it returns on 2028-01-01\n")
    first = next(line.split() for line in said.splitlines() if line.startswith("attendances"))
    assert first == ["attendances", "person", "epsilon", "20", "3", "1", "16", "3"]
    assert said.count("2027-04-12") == said.count("2027-05-03") == 1 and "2027-03-08" not in said


def test_the_command_prints_for_machines_and_draws(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, folder, "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert len(body["accounts"]) == 6 and len(body["charges"]) == len(CHARGES)
    assert command(monkeypatch, folder, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["remaining"] for row in rows if row["quantity"] == "epsilon"] == ["16", "19.5", "20"]
    assert command(monkeypatch, folder, "--csv", "--since", "2027-05-01") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["epsilon"], row["delta"], row["rho"], row["state"]) == ("1", "1/1099511627776", "0", "reserved")
    for name, begins in (("spend.svg", b"<?xml"), ("spend.png", b"\x89PNG")):
        assert command(monkeypatch, folder, "--chart", str(folder / name)) == 0
        assert (folder / name).read_bytes().startswith(begins)
        assert command(monkeypatch, folder, "--chart", str(folder / name)) == 1, "nothing is replaced"


@pytest.mark.parametrize("wrong", [("--since", "May"), ("--json", "--csv"), ("--chart", "spend.doc")])
def test_the_command_refuses_what_it_cannot_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder)
    assert command(monkeypatch, folder, *wrong) == 1
    assert capsys.readouterr().err.startswith("pets: ")


def test_the_command_leaves_the_file_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "state" / STATE_FILE).read_bytes()
    assert command(monkeypatch, folder) == 0
    assert (folder / "state" / STATE_FILE).read_bytes() == before
