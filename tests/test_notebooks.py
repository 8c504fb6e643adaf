"""The notebooks run from top to bottom, as a researcher would run them, and show what their text says."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@cache
def executed(file: Path) -> Any:
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}})
    return client.execute()


def outputs(notebook: Any, kind: str) -> list[str]:
    """All outputs of a kind, in order; ``text`` is what was printed."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if kind == "text" and output.output_type == "stream":
                found.append(output.text)
            elif kind in output.get("data", {}):
                found.append(output.data[kind])
    return found


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_from_top_to_bottom(file: Path) -> None:
    notebook = executed(file)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_committed_notebook_was_executed_in_order_and_holds_nothing_of_its_host(file: Path) -> None:
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    printed = json.dumps([cell.outputs for cell in cells])
    assert not re.search(r"/(home|root|tmp|work|Users)/", printed)


def test_the_joint_query_shows_its_report_table_picture_and_truth() -> None:
    notebook = executed(FOLDER / "01_joint_query.ipynb")
    pages = outputs(notebook, "text/html")
    report = [page for page in pages if page.startswith("<iframe")]
    assert len(report) == 1 and "Ready for approval" in report[0]
    tables = [page for page in pages if 'class="pets-result"' in page]
    assert len(tables) == 3
    assert tables[2].count("withheld") > 10
    assert [tables[0].count(f'<th scope="row">{level}<') for level in ("nothing", "95 %", "(missing)")] == [1, 1, 1]
    assert outputs(notebook, "image/png")
    printed = "".join(outputs(notebook, "text"))
    assert "control.order" in printed and "max of visits.visits is the value of one person" in printed
    assert "identifiers among them: 0" in printed
    assert "receipts/helper.json" in printed


def test_the_exact_table_withholds_the_few_and_shows_the_others_as_they_are() -> None:
    notebook = executed(FOLDER / "01_joint_query.ipynb")
    compared = next(page for page in outputs(notebook, "text/plain") if "true_people" in page and "<NA>" in page)
    found = re.findall(r"^\w* +\d+ % +(<NA>|\d+) +(\d+)$", compared, re.MULTILINE)
    assert len(found) == 4 and found[0][0] == "<NA>"
    for people, true in found:
        assert people == ("<NA>" if int(true) < 10 else str((int(true) + 2) // 5 * 5))


def test_the_joint_query_is_near_the_truth() -> None:
    """Twenty-five standard deviations of the noise: a wrong join would be far beyond, unlucky noise never."""
    notebook = executed(FOLDER / "01_joint_query.ipynb")
    compared = next(page for page in outputs(notebook, "text/plain") if "true_people" in page)
    found = re.findall(r"^(nothing|\d+ %) +(-?\d+) +(\d+)\.0 ", compared, re.MULTILINE)
    assert len(found) == 5
    assert all(abs(int(people) - int(true)) <= 90 for _, people, true in found)


INTERSECTIONS = FOLDER / "02_intersections.ipynb"


def test_the_intersections_are_what_sets_say_and_their_report_is_shown() -> None:
    notebook = executed(INTERSECTIONS)
    pages = outputs(notebook, "text/html")
    report = [page for page in pages if page.startswith("<iframe")]
    assert len(report) == 1 and "a list of single persons" in report[0]
    printed = "".join(outputs(notebook, "text"))
    assert "the same children: True" in printed and "the same number: True" in printed
    assert re.search(r"^membership +which persons are in both tables +V +- ", printed, re.MULTILINE)
    assert "as the board has it: True for 24 children" in printed
    assert re.search(r"identifiers among [0-9,]+ bytes: 0\n", printed)


def test_the_intersections_show_what_is_refused_and_what_the_evidence_says() -> None:
    printed = "".join(outputs(executed(INTERSECTIONS), "text"))
    refused = re.findall(r"^leak\.refused: \d+ rule\(s\) refuse the specification, first ([a-z.-]+):", printed, re.M)
    assert refused == ["psi.to", "psi.least", "sql.person-id"]
    assert re.findall(r"^at least \d+ -> (\S+)$", printed, re.M) == ["150", "<NA>"]
    assert re.findall(r"^Whether .* -> (\S+)$", printed, re.M) == ["True"]
    assert printed.count("ok council: ") == printed.count("ok board: ") == 4
    assert "ok result.csv is what the shares add up to" in printed


def test_national_figures_are_near_what_was_published_and_small_numbers_are_withheld() -> None:
    """Of 226 holders; noise of three parties is beyond 200 once in 10^30 runs."""
    notebook = executed(FOLDER / "03_national_figures.ipynb")
    printed = "".join(outputs(notebook, "text"))
    assert "(226, 2167550)" in outputs(notebook, "text/plain")
    off = re.search(r"farthest from a published total: (\d+)", printed)
    assert off is not None and 0 < int(off[1]) < 200
    assert "published: 2,167,550" in printed
    exact = next(page for page in outputs(notebook, "text/plain") if "under 100" in page)
    assert "<NA>" in exact
    pairs = re.findall(
        r"^(?:\w+)? +(?:more|to [\d,]+|under 100) +(<NA>|\d+) +(\d+)", exact.split("\n\n")[0], re.MULTILINE
    )
    assert len(pairs) == 9 and all(shown == "<NA>" or int(shown) == int(true) for shown, true in pairs)
    assert "226 of 226 holders took part; at least 200 had to. Every number in it is proved" in printed
    pages = outputs(notebook, "text/html")
    assert any("Inputs are not validated" in page for page in pages)
