"""A log held against receipts: a copy that was restored is found out, by what the party itself signed alone."""

import datetime as dt
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pets.approve.envelope import keygen, sign
from pets.approve.policy import policy_toml
from pets.cli import main
from pets.errors import ConfigError, LogError, PetsError, ReceiptError
from pets.ids import PartyId, RunHandle
from pets.party.config import STATE_FILE
from pets.party.heads import Comparison, compare
from pets.party.log import GENESIS, Head, Log
from pets.party.state import State
from tests.approve.consortium import DAY, POLICY
from tests.party.test_evidence import SERVERS, approval, receipt
from tests.party.test_log import as_owner
from tests.test_spend import PARTY

BOARD, COUNCIL = PartyId("board"), PartyId("council")
NOW = dt.datetime.fromisoformat(f"{DAY}T12:00:00+00:00")


@dataclass
class Home:
    """A party's folder, and the folders of evidence that its result party has, one a run."""

    folder: Path
    evidence: list[Path]
    heads: list[Head]

    @property
    def config(self) -> Path:
        return self.folder / "party.toml"

    @property
    def file(self) -> Path:
        return self.folder / "state" / STATE_FILE

    @property
    def copy(self) -> Path:
        return self.folder / "copy.sqlite"

    def run(self) -> None:
        """A run more: entries in the log, then a receipt for who received the table."""
        number = len(self.evidence) + 1
        with State(self.file) as state:
            log = Log(state)
            for step in ("M1", "M2"):
                log.append("run.step", handle=f"{number:032x}", step=step)
            head = log.head()
            log.append("run.finished", handle=f"{number:032x}")
        folder = self.folder / f"table{number}.evidence"
        (folder / "receipts").mkdir(parents=True)
        for party in (BOARD, COUNCIL):
            said = receipt(
                party,
                [approval(party)],
                handle=RunHandle(f"{number:032x}"),
                log=head,
                started=f"{DAY}T10:{number:02}:00+00:00",
                ended=f"{DAY}T10:{number:02}:30+00:00",
            )
            (folder / "receipts" / f"{party}.json").write_bytes(sign(said, SERVERS[party]))
        self.evidence.append(folder)
        self.heads.append(head)

    def back_up(self) -> None:
        """As the guide says: by SQLite's own backup."""
        with sqlite3.connect(self.file) as own, sqlite3.connect(self.copy) as copy:
            own.backup(copy)
        own.close()
        copy.close()

    def restore(self) -> None:
        for file in self.file.parent.glob(f"{STATE_FILE}*"):
            file.unlink()
        shutil.copyfile(self.copy, self.file)

    def compared(self, *receipts: Path) -> Comparison:
        return compare(self.config, receipts or self.evidence, now=NOW)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Three runs; the state file was backed up after the first."""
    made = Home(tmp_path, [], [])
    made.file.parent.mkdir()
    (tmp_path / "keys").mkdir(mode=0o700)
    SERVERS[BOARD].save(tmp_path / "keys" / "signing.pem")
    made.config.write_text(PARTY)
    (tmp_path / "policy.toml").write_text(policy_toml(POLICY))
    made.run()
    made.back_up()
    made.run()
    made.run()
    return made


def refused(act: Callable[[], object]) -> PetsError:
    with pytest.raises(PetsError) as caught:
        act()
    assert "<" not in caught.value.text + caught.value.hint, "a field is missing from the error"
    return caught.value


def test_a_log_that_is_intact_contains_every_head(home: Home) -> None:
    held = home.compared()
    assert (held.party, held.head.seq, held.others) == (BOARD, 9, 3)
    assert [(found.receipt.log.seq, found.problem) for found in held.found] == [(2, None), (5, None), (8, None)]
    assert held.require() == 8
    assert "entry 5, is contained" in held.found[1].told()
    alone = home.compared(home.evidence[1] / "receipts" / "board.json")
    assert alone.require() == 5, "a receipt says nothing of what came after it"


def test_a_receipt_in_two_folders_counts_once(home: Home) -> None:
    again = home.evidence[0] / "receipts" / "again.json"
    body = json.loads((home.evidence[0] / "receipts" / "board.json").read_bytes())
    again.write_text(json.dumps(body, indent=2))
    assert len(home.compared(*home.evidence, *home.evidence).found) == 3


def test_a_log_that_was_rolled_back_is_refused_and_what_is_gone_is_named(home: Home) -> None:
    home.restore()
    held = home.compared()
    assert held.head.seq == 3
    assert [found.problem for found in held.found] == [None, "is missing", "is missing"]
    assert held.found[1].told() == (
        f"run {2:032x}, ended {DAY}T10:02:30+00:00: its head, entry 5, is missing;"
        " charged attendances: epsilon 1.5 delta 2^-40"
    )
    error = refused(held.require)
    assert isinstance(error, LogError) and error.code == "log.head" and error.fields["seq"] == 5
    sure, spent, early = error.__notes__
    assert "up to entry 2 a receipt confirms the log, of 3 entries" in sure and "revocations" in sure
    assert spent == (
        "attendances: the receipts whose heads are not in the log show epsilon 3 delta 2^-39, in this year"
    )
    assert "no receipt" in early
    assert home.compared(home.evidence[0]).require() == 2, "older receipts cannot tell"


def test_what_was_spent_in_an_earlier_period_is_not_taken_off_this_one(home: Home) -> None:
    home.restore()
    held = compare(home.config, home.evidence, now=NOW.replace(year=NOW.year + 1))
    assert not any("attendances" in note for note in refused(held.require).__notes__)


def test_a_copy_that_was_served_from_contains_its_own_heads_and_not_those_it_forgot(home: Home) -> None:
    home.restore()
    with State(home.file) as state:
        Log(state).append("server.started", party="board")
    home.run()
    home.run()
    held = home.compared()
    problems = {found.receipt.handle[-1]: found.problem for found in held.found}
    assert problems == {"1": None, "2": "has another hash", "3": "has another hash", "4": None, "5": None}
    error = refused(held.require)
    assert "up to entry 2 a receipt confirms" in error.__notes__[0], "a later receipt is of what went on from the copy"


def test_a_state_file_without_entries_contains_no_head(home: Home) -> None:
    for file in home.file.parent.glob(f"{STATE_FILE}*"):
        file.unlink()
    State(home.file).close()
    held = home.compared()
    assert held.head == Head(0, GENESIS) and refused(held.require).fields["seq"] == 2
    home.file.unlink()
    assert isinstance(refused(home.compared), ConfigError)


def test_an_entry_that_was_changed_is_named(home: Home) -> None:
    as_owner(home.file, "UPDATE log SET body = ? WHERE seq = 4", b'{"handle":"0","step":"M9"}')
    error = refused(home.compared)
    assert isinstance(error, LogError) and (error.code, error.fields["seq"]) == ("log.entry", 4)


def test_what_is_not_signed_by_this_party_in_its_name_is_refused(home: Home) -> None:
    home.restore()
    said = receipt(BOARD, [approval(BOARD)], log=home.heads[0])
    file = home.evidence[0] / "receipts" / "board.json"
    file.write_bytes(sign(said, keygen()))
    error = refused(lambda: home.compared(home.evidence[0]))
    assert isinstance(error, ReceiptError) and error.code == "receipt.own" and str(file) in error.text
    file.write_bytes(sign(said, SERVERS[COUNCIL]))
    assert refused(lambda: home.compared(home.evidence[0])).code == "receipt.own"
    genuine = json.loads(sign(said, SERVERS[BOARD]))
    genuine["signatures"] = json.loads(file.read_bytes())["signatures"]
    file.write_text(json.dumps(genuine))
    assert refused(lambda: home.compared(home.evidence[0])).code == "receipt.own"


def test_receipts_of_others_alone_are_refused(home: Home) -> None:
    for folder in home.evidence:
        (folder / "receipts" / "board.json").unlink()
    error = refused(home.compared)
    assert error.code == "receipt.none-own" and "no receipt of board is among those given, 3 in all" in error.text
    assert refused(lambda: compare(home.config, [], now=NOW)).code == "receipt.none-own"


def test_what_is_no_receipt_is_refused_and_not_passed_over(home: Home) -> None:
    file = home.evidence[2] / "receipts" / "board.json"
    whole = file.read_bytes()
    statement = sign({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}, SERVERS[BOARD])
    for content in (b"", whole[:-9], approval(BOARD), statement, b" " * (2**22 + 1)):
        file.write_bytes(content)
        assert refused(home.compared).code == "receipt.none"
    file.unlink()
    (home.evidence[2] / "receipts" / "council.json").unlink()
    assert refused(home.compared).code == "receipt.none", "a folder of evidence without a receipt"
    assert refused(lambda: home.compared(file)).code == "receipt.unreadable"


@pytest.fixture
def served(home: Home) -> Iterator[Home]:
    """With the file open, as a server has it, and a write under way."""
    with State(home.file) as state, state.transaction():
        yield home


def command(monkeypatch: pytest.MonkeyPatch, home: Home, *receipts: Path) -> int:
    words = ["pets", "party", "log", *map(str, receipts or home.evidence), "--config", str(home.config)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr("pets.party.heads.utc_now", lambda: NOW)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code))


def test_the_command_looks_beside_a_server_and_changes_nothing(
    served: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = served.file.read_bytes()
    assert command(monkeypatch, served) == 0
    said = capsys.readouterr().out
    assert said.startswith("board: the log is a whole chain of 9 entries\nits head is ")
    assert said.count("ok run ") == 3 and "receipts of other parties, passed over: 3" in said
    assert "of what came after entry 8 these receipts say nothing" in said
    assert served.file.read_bytes() == before


def test_the_command_says_what_is_gone_and_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.restore()
    before = home.file.read_bytes()
    assert command(monkeypatch, home) == 2
    said = capsys.readouterr()
    assert said.out.count("ok run ") == 1 and said.out.count("gone run ") == 2 and "contains every" not in said.out
    assert "refused log.head: " in said.err and "lower the limits in policy.toml" in said.err
    assert "show epsilon 3 delta 2^-39, in this year" in said.err
    assert home.file.read_bytes() == before
    as_owner(home.file, "DELETE FROM log WHERE seq = 1")
    assert command(monkeypatch, home) == 2
    assert "log.entry: log entry 1 is bad" in capsys.readouterr().err
