"""What an analyst gets back: the table in its forms, and evidence from which anyone computes it again."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets.errors import ReceiptError
from pets.local import local_network
from pets.notebook import MAX_ROWS, table_html
from pets.party.evidence import verify_evidence
from pets.result import Result, evidence_folder, evidence_keys, recompute, table_csv

STAYS = pd.DataFrame({"id": [f"p{n}" for n in range(40)], "ward": ["n", "<b>s</b>"] * 20, "nights": range(40)})
HOMES = pd.DataFrame({"id": [f"p{n}" for n in range(0, 60, 2)], "rent": [1.5, 2.0] * 15})
SQL = "SELECT ward, COUNT(*) AS n, AVG(rent) AS rent FROM stays JOIN homes USING (id) GROUP BY ward"


@pytest.fixture(scope="module")
def result() -> Result:
    net = local_network({"nhs": {"stays": STAYS}, "council": {"homes": HOMES}, "helper": {}})
    return net.run(net.draft(SQL, epsilon="4", title="Rent <script>"))


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_table_has_three_columns_for_each_statistic(result: Result) -> None:
    frame = result.to_pandas()
    assert list(frame) == ["ward", "n", "n_low", "n_high", "rent", "rent_low", "rent_high"]
    assert (result.grouping, result.statistics) == (("ward",), ("n", "rent"))
    assert frame["ward"].astype(str).tolist() == ["<b>s</b>", "n", "(missing)"]


def test_a_table_that_was_changed_does_not_change_the_result(result: Result) -> None:
    frame = result.to_pandas()
    frame["n"] = 0
    assert not (result.to_pandas()["n"] == 0).all()


def test_csv_is_the_table(result: Result) -> None:
    lines = result.to_csv().decode().split("\n")
    assert lines[0] == "ward,n,n_low,n_high,rent,rent_low,rent_high"
    assert len(lines) == 5 and lines[-1] == ""
    assert "\r" not in result.to_csv().decode()


def test_the_page_is_well_formed_and_escapes_what_authors_wrote(result: Result) -> None:
    page = Parsed(result._repr_html_())
    assert page.open == []
    assert not set(page.seen) & {"script", "b", "img", "iframe"}
    text = " ".join(page.text)
    assert "Rent <script>" in text and "<b>s</b>" in text
    assert "not determined" in text and "receipts signed by nhs, council, helper" in text


def test_the_text_form_is_one_line(result: Result) -> None:
    assert repr(result).startswith("Result('Rent <script>', 3 cells, ")


def test_the_report_and_the_price_come_along(result: Result) -> None:
    assert "analyst" in result.disclosure
    assert set(result.cost["party"]) == {"nhs", "council", "helper"}
    assert set(result.cost["direction"]) == {"own", "sent", "received"}
    assert result.epsilon == "4" and "epsilon 4" in result.note()


def test_a_picture_shows_itself_and_is_written(result: Result, tmp_path: Path) -> None:
    figure = result.plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")


# -- evidence ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(result: Result, tmp_path: Path) -> Path:
    saved = result.save(tmp_path / "out" / "rents.csv")
    assert saved == evidence_folder(tmp_path / "out" / "rents.csv")
    assert (tmp_path / "out" / "rents.csv").read_bytes() == result.to_csv() == (saved / "result.csv").read_bytes()
    return saved


def verify(folder: Path) -> Any:
    keys = evidence_keys(folder / "directory.toml")
    toml = (folder / "spec.toml").read_text(encoding="utf-8")
    return verify_evidence(folder, keys=keys, recompute=recompute(toml))


def test_saved_evidence_verifies_offline(folder: Path) -> None:
    assert verify(folder)


@pytest.mark.parametrize(
    "name", ["result.csv", "plan.json", "shares/helper.bin", "shares/nhs.bin", "receipts/nhs.json"]
)
def test_evidence_with_one_byte_changed_does_not_verify(name: str, folder: Path) -> None:
    file = folder / name
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(bytes(body))
    with pytest.raises(ReceiptError):
        verify(folder)


def test_the_table_is_computed_again_from_shares_alone(result: Result) -> None:
    again = recompute(result.toml)
    plan = _plan_json(result)
    shares = {party: share.astype("<u8").tobytes() for party, share in result.shares.items()}
    assert again(plan, shares) == result.to_csv() == table_csv(result.plan, result.opened)
    short = {party: body[:-8] for party, body in shares.items()}
    with pytest.raises(ReceiptError) as caught:
        again(plan, short)
    assert caught.value.code == "receipt.share-size"
    for other in (
        plan.replace(b'"format":1', b'"format":2'),
        json.dumps(json.loads(plan)).encode(),
        b"{",
        b"[" * 10**5,
    ):
        assert other != plan
        with pytest.raises(ReceiptError) as caught:
            again(other, shares)
        assert caught.value.code == "receipt.other-plan"


def _plan_json(result: Result) -> bytes:
    from pets.spec.canonical import canonical

    return canonical(result.plan)


def test_one_share_alone_tells_nothing_of_the_table(result: Result) -> None:
    for share in result.shares.values():
        assert np.abs(share.view(np.int64).astype(float)).min() > 1e9  # uniform words: below 2^30 once in 2^33
    assert np.abs(result.opened).max() < 1e6


# -- how numbers are written ------------------------------------------------------------------------------------------


def page_of(values: list[float], lows: list[float], highs: list[float]) -> str:
    frame = pd.DataFrame({"v": values, "v_low": lows, "v_high": highs})
    return " ".join(Parsed(table_html(frame, title="t", grouping=(), statistics=("v",), notes=())).text)


def test_numbers_have_the_places_that_their_ranges_give_a_meaning_to() -> None:
    text = page_of([1234.56789, 5.0], [1230.0, 1.0], [1239.0, 9.5])
    assert "1,234.6" in text and "1,230.0 to 1,239.0" in text
    assert "\u22120.012" in page_of([-0.0123], [-0.05], [0.02])
    assert "\u22120" not in page_of([-0.0001], [-50.0], [40.0])


def test_what_is_not_determined_is_said_not_guessed() -> None:
    assert page_of([float("nan")], [float("nan")], [float("nan")]).count("not determined") == 1
    assert "7" in page_of([7.0], [float("nan")], [float("nan")])


def test_long_tables_are_cut_and_say_so() -> None:
    text = page_of([1.0] * 80, [0.0] * 80, [2.0] * 80)
    assert f"The first {MAX_ROWS} of 80 cells." in text
