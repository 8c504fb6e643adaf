"""``pets psi`` as people give it: wrong files, a trial on one host, two organisations with real servers."""

import csv
import json
import os
import random
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from pets.cli import main
from pets.demo.deploy import Deployment, deploy, servers, sign
from pets.demo.trial import trial
from pets.errors import PetsError
from pets.ids import PartyId, RunHandle
from pets.party.log import Log
from pets.party.main import STATE_FILE
from pets.party.state import State
from pets.plan.review import review
from pets.remote import connect
from pets.spec.parse import parse_toml
from tests import forked

ROOT = Path(__file__).parents[1]
WIDTH = 100
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Say:
    """Give a command in this process, in an empty folder; its exit code, and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the servers that it starts

    def given(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pets", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out + shown.err

    return given


def lists(folder: Path) -> tuple[Path, Path, list[list[str]]]:
    """Two files of made-up people, the second with spaces in ids; the rows of the first that are in both."""
    draw = random.Random(5)
    ids = [f"{draw.randrange(10**9):09}" for _ in range(60)]
    rows = [[f"Name {number}", draw.choice(ids[:40]), draw.choice(["rent", "own"])] for number in range(80)]
    asks, other = folder / "housing.csv", folder / "hospital stays.csv"
    with asks.open("w", newline="") as file:
        csv.writer(file).writerows([["name", "person", "tenure"], *rows])
    stays = {pid: draw.randrange(10) for pid in ids[25:]}
    with other.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["NHS number", "stay"], *([f"{pid[:3]} {pid[3:]}", stay] for pid, stay in stays.items())]
        )
    return asks, other, [row for row in rows if row[1] in stays]


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="") as text:
        return list(csv.reader(text))


# -- files ------------------------------------------------------------------------------------------------------------


WRONG = {
    "a.csv nope.csv": "does not exist",
    "a.csv a.csv": "it is given twice",
    "a.csv empty.csv": "it is empty: there is no header row",
    "a.csv other.csv": "those of a.csv are person, tenure; in common: 0",
    "a.csv b.csv --on nhs": "a.csv: it has no column nhs; it has person, tenure",
    "a.csv b.csv --on person=nhs": "b.csv: it has no column nhs; it has person, stay",
    "a.csv b.csv --on person=": "b.csv: it has no column (without a name)",
    "a.csv binary.csv": "it is not comma-separated UTF-8 text",
    "a.csv ragged.csv": "it is not comma-separated UTF-8 text",
    "a.csv twice.csv": "two of its columns have one name",
    "a.csv notes.txt": "its name ends neither in .csv nor in .parquet",
    "a.csv false.parquet": "it is no Parquet file",
    "a.csv b.csv --count --columns stay": "with --count nothing comes along",
    "a.csv b.csv --out a.csv": "is there already",
    "a.csv b.csv --keep kept": "is there already",
}
REFUSED = {
    "a.csv b.csv --where stay=": "sql.syntax",
    "a.csv b.csv --where nosuch>2": "sql.column",
    "a.csv b.csv --columns nosuch": "b.nosuch is no column of b",
}


@pytest.mark.parametrize(("words", "told"), [*WRONG.items(), *REFUSED.items()])
def test_what_is_wrong_is_said_before_anything_runs(say: Say, tmp_path: Path, words: str, told: str) -> None:
    (tmp_path / "a.csv").write_text("person,tenure\na,rent\n")
    (tmp_path / "b.csv").write_text("person,stay\na,2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "other.csv").write_text("id;stay\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfea\0,\0b\0\n\0")
    (tmp_path / "ragged.csv").write_text("person,stay\na,2,3\n")
    (tmp_path / "twice.csv").write_text("person,stay,stay\na,2,3\n")
    (tmp_path / "notes.txt").write_text("person\na\n")
    (tmp_path / "false.parquet").write_text("person\na\n")
    (tmp_path / "kept").mkdir()
    code, said = say("psi", "try", *words.split())
    assert (code, told in said) == (2 if words in REFUSED else 1, True), said
    assert len(said.splitlines()) <= 3 and not list(tmp_path.glob("both*"))


def test_a_trial_reads_ids_as_text_and_counts_rows_as_they_are_linked(tmp_path: Path) -> None:
    (tmp_path / "1 my list.csv").write_text("NHS number,café,stay\n007,x,1\n0 07,x,2\n7,y,3\n")
    (tmp_path / "b.csv").write_text("id,stay\n007,1\n")
    found = trial(tmp_path / "1 my list.csv", tmp_path / "b.csv", psi="cardinality", on="nhs number=ID")
    own, other = found.spec.datasets
    assert (own.name, own.key, other.name, other.key) == ("file_1_my_list", "NHS_number", "b", "id")
    assert (own.max_rows_per_person, own.max_rows, found.rows, found.persons) == (2, 3, (3, 1), (2, 1))
    assert found.sources["file_1_my_list"].columns["NHS_number"] == "NHS number"
    assert review(found.spec).accepted
    pd.read_csv(tmp_path / "b.csv", dtype="string").to_parquet(tmp_path / "b.parquet")
    assert trial(tmp_path / "b.parquet", tmp_path / "b.csv", psi="intersection", on="id").rows == (1, 1)


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "people.csv").write_text("id\na\n")
    found = trial(tmp_path / "x" / "people.csv", tmp_path / "y" / "people.csv", psi="intersection")
    assert [dataset.name for dataset in found.spec.datasets] == ["people", "people_2"]


# -- a trial ----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_trial_gives_the_rows_of_the_asker_in_its_order_with_what_comes_along(say: Say, tmp_path: Path) -> None:
    """Two server processes; then the evidence by the command that anyone has."""
    asks, other, both = lists(tmp_path)
    code, said = say("psi", "try", asks, other, "--on", "person=NHS number", "--columns", "stay")
    assert code == 0, said
    stays = {row[0].replace(" ", ""): row[1] for row in rows_of(other)}
    assert rows_of(tmp_path / "both.csv") == [
        ["name", "person", "tenure", "stay"],
        *([*row, stays[row[1]]] for row in both),
    ]
    persons = len({row[1] for row in both})
    assert f"{len(both)} rows of {persons} persons of housing in hospital_stays, too: both.csv" in said
    assert "signed here for asker and other, by keys made on the spot" in said
    assert all(len(line) <= WIDTH for line in said.splitlines()), "lines of a terminal"
    code, said = say("verify", "both.evidence")
    assert code == 0 and "verified" in said


@pytest.mark.long
def test_a_trial_counts_and_keeps_what_it_made(say: Say, tmp_path: Path) -> None:
    asks, other, both = lists(tmp_path)
    words = ("psi", "try", asks, other, "--on", "person=NHS number", "--count", "--keep", "kept", "--out", "n.csv")
    code, said = say(*words, "--where", "housing.tenure = 'rent'")
    assert code == 0, said
    persons = len({row[1] for row in both if row[2] == "rent"})
    assert rows_of(tmp_path / "n.csv") == [["persons_in_both"], [str(persons)]] and not (tmp_path / "both.csv").exists()
    assert f"{persons} persons of housing in hospital_stays, too" in said
    assert say("check", "kept/trial.spec.toml")[0] == 0
    assert "<html" in (tmp_path / "kept" / "report.html").read_text()
    assert {each.name for each in (tmp_path / "kept" / "parties").iterdir()} == {"asker", "other"}


@pytest.mark.long
def test_a_trial_of_files_with_nobody_in_common_says_so(say: Say, tmp_path: Path) -> None:
    asks, _, _ = lists(tmp_path)
    (tmp_path / "none.csv").write_text("person\n")
    code, said = say("psi", "try", asks, "none.csv", "--out", "x.csv")
    assert code == 0, said
    assert "nobody of housing is in none" in said and rows_of(tmp_path / "x.csv") == [["name", "person", "tenure"]]


@pytest.mark.long
def test_what_is_wrong_with_a_row_is_said_with_its_number(say: Say, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"id\na\n{'x' * 65}\n")
    (tmp_path / "b.csv").write_text("id\na\n")
    code, said = say("psi", "try", "a.csv", "b.csv")
    assert code == 2 and "source.id" in said and "longer than 64 bytes in 1 row: 3" in said
    assert not (tmp_path / "both.csv").exists()


# -- two organisations ------------------------------------------------------------------------------------------------


class Two:
    """The folders of two organisations, as their operators made them; no server runs yet."""

    def __init__(self, folder: Path) -> None:
        self.asks, self.other, self.both = lists(folder)
        found = trial(self.asks, self.other, psi="intersection", on="person=NHS number")
        self.spec = folder / "both.spec.toml"
        self.spec.write_text(found.toml)
        # The council's own party.toml says how its file calls the id; which file it is, the command says.
        named = {"hospital_stays": found.sources["hospital_stays"]}
        self.deployment: Deployment = deploy(folder / "parties", found.spec, named)
        self.digest = review(found.spec).digest

    def words(self, what: str, party: str, file: Path) -> list[str]:
        config = self.deployment.config(PartyId(party))
        return ["psi", what, str(file), "--config", str(config), "--spec", str(self.spec)]

    def approve(self, party: str) -> None:
        home = self.deployment.folder / party
        words = ["approve", self.digest, "--key", str(home / "approvers" / "asset-owner.pem")]
        done = pets(*words, "--config", str(home / "party.toml"), "--yes")
        assert done.returncode == 0, done.stderr


def pets(*words: str) -> subprocess.CompletedProcess[str]:
    return forked.pets(*words, columns=WIDTH, seconds=110)


@contextmanager
def running(*words: str) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        [sys.executable, "-m", "pets.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": str(WIDTH), "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()


def until(child: "subprocess.Popen[str]", words: str) -> None:
    assert child.stdout is not None
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if select.select([child.stdout], [], [], 0.2)[0] and words in child.stdout.readline():
            return
        assert child.poll() is None
    raise AssertionError(f"it never said: {words}")


@pytest.mark.long
@pytest.mark.timeout(400)
def test_two_organisations_with_one_line_each(tmp_path: Path) -> None:
    """Without the other server; without approvals; with one that comes while it waits; once too often."""
    two, out = Two(tmp_path), tmp_path / "both.csv"
    ask = [*two.words("ask", "asker", two.asks), "--out", str(out)]
    done = pets(*ask, "--wait", "1")
    assert done.returncode == 1 and "waiting for the server of other" in done.stderr
    assert "link.unreachable: other" in done.stderr
    with running(*two.words("serve", "other", two.other)) as other:
        until(other, "ready on")
        done = pets(*ask, "--wait", "0")
        assert done.returncode == 2, done.stderr
        assert f"submitted {two.digest}" in done.stdout
        missing = done.stdout.partition("approvals are missing:")[2]
        assert re.search(r"^  asker +its approvers have not signed$", missing, re.MULTILINE)
        assert re.search(r"^  other +its approvers have not signed$", missing, re.MULTILINE)
        assert f"pets approve {two.digest[:16]} --key" in missing
        two.approve("other")
        with running(*ask, "--wait", "80") as asking:
            until(asking, "approvals are missing")
            two.approve("asker")
            said, more = asking.communicate(timeout=100)
        assert asking.returncode == 0, more
        assert f"{len(two.both)} rows of" in said
        assert rows_of(out) == [["name", "person", "tenure"], *two.both]
        done = pets(*two.words("ask", "asker", two.asks), "--out", str(tmp_path / "again.csv"), "--wait", "5")
        assert done.returncode == 2 and "budget.runs" in done.stderr and not (tmp_path / "again.csv").exists()
        second = pets(*two.words("serve", "other", two.other))
        assert second.returncode == 1 and "config.in-use" in second.stderr
    directory = two.deployment.folder / "asker" / "directory.toml"
    assert pets("verify", str(tmp_path / "both.evidence"), "--directory", str(directory)).returncode == 0


@pytest.mark.long
def test_who_does_not_ask_serves_and_a_query_is_not_served_here(tmp_path: Path) -> None:
    two = Two(tmp_path)
    done = pets(*two.words("ask", "other", two.other))
    assert done.returncode == 1 and "other does not ask here, asker does" in done.stderr
    (tmp_path / "short.csv").write_text("id\na\n")
    done = pets(*two.words("serve", "asker", tmp_path / "short.csv"))
    assert done.returncode == 2 and "source.column" in done.stderr and "short.csv" in done.stderr
    query = ROOT / "parties" / "demo" / "exact.spec.toml"
    words = two.words("serve", "asker", two.asks)
    done = pets(*words[:-1], str(query))
    assert done.returncode == 2 and "use pets party serve" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("killed", ["other", "asker"])
def test_a_server_that_is_killed_half_way_leaves_nothing_and_a_log(tmp_path: Path, killed: str) -> None:
    asks, other, _ = lists(tmp_path)
    found = trial(asks, other, psi="intersection", on="person=NHS number")
    large = found.toml.replace("max_rows = 80", "max_rows = 400000").replace("max_rows = 35", "max_rows = 400000")
    spec = parse_toml(large)
    assert all(dataset.max_rows == 400_000 for dataset in spec.datasets)
    deployment = deploy(tmp_path / "parties", spec, found.sources)
    handle = RunHandle("0" * 31 + "1")
    with servers(deployment) as processes:
        net = connect(deployment.directory)
        net.submit(large)
        assert [standing.state for *_, standing in sign(deployment, review(spec).settled())] == ["approved"] * 2

        def kill(party: PartyId, event: object) -> None:
            if party == killed and getattr(event, "moved", 0):
                processes[PartyId(killed)].child.kill()

        with pytest.raises(PetsError) as caught:
            net.run(large, progress=kill, handle=handle)
        assert caught.value.code.startswith(("link.", "peer.", "run."))
        left = next(party for party in spec.computing if party != killed)
        end = time.monotonic() + 30
        while not (ends := _ends(deployment, left, handle)):
            assert time.monotonic() < end
            time.sleep(0.1)
    assert ends[0][0] == "run.aborted" and ends[0][1]
    with _state(deployment, PartyId(killed)) as state:
        Log(state).verify()
    assert not any(kind == "run.finished" for kind, _ in _ends(deployment, PartyId(killed), handle))


def _state(deployment: Deployment, party: PartyId) -> State:
    return State(deployment.folder / party / "state" / STATE_FILE)


def _ends(deployment: Deployment, party: PartyId, handle: str) -> list[tuple[str, str]]:
    """How a run ended at a party: kinds and codes of its log."""
    with _state(deployment, party) as state:
        entries = [(entry.kind, json.loads(entry.body)) for entry in Log(state).entries()]
    ends = ("run.aborted", "run.finished")
    return [(kind, body.get("code", "")) for kind, body in entries if kind in ends and body.get("handle") == handle]
