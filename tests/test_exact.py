"""An exact release the whole way in one process: evidence, tampering, and a transcript that shows no number."""

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pets
from pets.errors import ReceiptError
from pets.party.evidence import verify_evidence
from pets.result import Result, evidence_keys, recompute

CONTROL = {"min_count": 8, "round_to": 5}


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(5)
    people = [f"PERSON-{number}" for number in range(240)]
    left = pd.DataFrame({"id": people, "ward": rng.choice(list("abc"), 240, p=[0.6, 0.37, 0.03])})
    left["minutes"] = rng.integers(10**9, 2 * 10**9, 240)
    left.loc[0, "minutes"] = 0
    right = pd.DataFrame({"id": people[:200], "tenure": rng.choice(["own", "rent"], 200)})
    return left, right


@pytest.fixture(scope="module")
def result(tables: tuple[pd.DataFrame, pd.DataFrame]) -> Result:
    net = pets.local_network({"board": {"a": tables[0]}, "council": {"h": tables[1]}, "helper": {}})
    sql = "SELECT ward, tenure, COUNT(*) AS n, SUM(minutes) AS minutes FROM a JOIN h USING (id) GROUP BY ward, tenure"
    return net.run(net.draft(sql, control=CONTROL), record=True)


def true(tables: tuple[pd.DataFrame, pd.DataFrame]) -> dict[tuple[str, str], tuple[int, int]]:
    rows = tables[0].merge(tables[1], on="id").groupby(["ward", "tenure"])["minutes"].agg(["count", "sum"])
    return {key: (int(n), int(total)) for key, (n, total) in zip(rows.index, rows.to_numpy(), strict=True)}  # type: ignore[misc]


def test_small_groups_are_withheld_and_the_others_are_exact(
    result: Result, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    known, seen = true(tables), set()
    frame, gone = result.to_pandas(), result.withheld
    for row in range(len(frame)):
        n, total = known.get((frame["ward"][row], frame["tenure"][row]), (0, 0))
        seen.add(n >= 8)
        assert gone["n"][row] == gone["minutes"][row] == pd.isna(frame["n"][row]) == (n < 8)
        if n >= 8:
            assert frame["n"][row] == (n + 2) // 5 * 5 and frame["minutes"][row] == total
            assert frame["n_low"][row] <= n <= frame["n_high"][row]
    assert seen == {True, False}


def test_what_is_withheld_says_so_wherever_the_table_is_shown(result: Result) -> None:
    withheld = int(result.withheld["n"].sum())
    assert result.to_csv().decode().count("withheld,,") == 2 * withheld
    assert result._repr_html_().count(">withheld<") == 2 * withheld
    assert "fewer than 8 persons" in result.note() and "rounded to 5" in result.note()
    assert "noise" not in result.note().replace("no noise", "")
    figure = result.plot()
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words.count("withheld") == 2 * withheld


def test_the_evidence_is_verified_and_no_share_of_the_three_can_be_changed(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "table.csv")
    keys = evidence_keys(folder / "directory.toml")
    assert verify_evidence(folder, keys=keys, recompute=recompute(result.toml))
    shares = sorted((folder / "shares").iterdir())
    assert [each.stem for each in shares] == ["board", "council", "helper"]
    for file in shares:
        body = file.read_bytes()
        for changed in (bytes([body[0] ^ 1]) + body[1:], body[:-8], body + bytes(8)):
            file.write_bytes(changed)
            with pytest.raises(ReceiptError):
                verify_evidence(folder, keys=keys, recompute=recompute(result.toml))
        file.write_bytes(body)
    table = folder / "result.csv"
    table.write_bytes(table.read_bytes().replace(b"withheld", b"3", 1))
    with pytest.raises(ReceiptError):
        verify_evidence(folder, keys=keys, recompute=recompute(result.toml))


def test_no_message_shows_an_identifier_a_value_or_an_unprotected_number(
    result: Result, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Sums and counts as words or whole bytes, of all cells: those that are withheld and those that are shown."""
    bodies = [bytes(message.body) for message in result.transcript]
    numbers = {total for _, total in true(tables).values()} | set(map(int, tables[0]["minutes"][1:]))
    words = {struct.pack("<Q", number) for number in numbers} | {struct.pack(">Q", number) for number in numbers}
    found = set(itertools.chain.from_iterable(_aligned(body) for body in bodies if len(body) % 8 == 0))
    assert not words & found
    assert not any(b"PERSON-" in body for body in bodies)
    final = [message for message in result.transcript if str(message.to).endswith(":result")]
    assert {message.sender for message in final} == {"board", "council", "helper"}
    for message in final:  # each alone is random: a small word by chance once in 2^33
        assert np.abs(np.frombuffer(message.body, "<i8").astype(float)).min() > 1e9


def _aligned(body: bytes) -> Any:
    return (body[place : place + 8] for place in range(0, len(body), 8))


def test_any_two_final_shares_together_are_random_too(result: Result) -> None:
    parts = list(result.shares.values())
    for one, two in itertools.combinations(parts, 2):
        assert np.abs((one + two).view(np.int64).astype(float)).min() > 1e9
