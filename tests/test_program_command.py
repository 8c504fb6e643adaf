"""``pets program`` as people give it: what comes along, a text of one's own, a run on made-up data."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pets.cli import main
from pets.spec.mpyc_program import BUILT_IN, built_in

Say = Callable[..., tuple[int, str]]
DATA = """
receivers = ["b"]
parameters = {per_holder = 1}
inputs.a.value = [3]
inputs.b.value = [-5]
inputs.c.value = [7]
"""


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Say:
    """Give a command in this process, in an empty folder; its exit code, and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def given(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pets", "program", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out + shown.err

    return given


def test_what_comes_along_is_listed_and_shown_with_its_digest(say: Say) -> None:
    code, text = say("list")
    assert code == 0 and all(name in text for name in BUILT_IN)
    code, text = say("show", "quantiles")
    assert code == 0 and built_in("quantiles").source.text in text
    assert f"SHA-256 {built_in('quantiles').source.sha256}" in text


def test_a_text_of_ones_own_is_checked(say: Say, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import os\n")
    code, text = say("show", "own.py")
    assert code == 2 and "own.py, line 1: the program imports" in text
    assert say("show", "other.py")[0] == 1


def test_a_run_on_made_up_data_prints_the_report_and_what_comes_out(say: Say, tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_text(DATA)
    code, text = say("try", "secure_maximum", "data.toml")
    assert code == 0 and "WHO LEARNS WHAT" in text and text.splitlines()[-1].split() == ["maximum", "7"]
    assert f'sha256 = "{built_in("secure_maximum").source.sha256}"\nbudget = {{ frames = ' in text


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        ("inputs = 1", 2, "inputs"),
        ("[inputs]\na = 1", 2, "inputs"),
        ("other = 1", 2, "other"),
        ("inputs =", 1, "spec.toml"),
        (DATA.replace("per_holder = 1", ""), 2, "per_holder"),
    ],
)
def test_data_that_do_not_fit_are_refused(say: Say, tmp_path: Path, data: str, code: int, said: str) -> None:
    (tmp_path / "data.toml").write_text(data)
    assert (found := say("try", "secure_maximum", "data.toml"))[0] == code and said in found[1]
