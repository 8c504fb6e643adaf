"""Standing approvals: one signature, a run in each period, and none that a party would not start."""

import datetime as dt
import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pets import remote
from pets.approve.approvals import envelope_digest
from pets.cli import main
from pets.errors import BudgetError, PeerError
from pets.ids import PartyId
from pets.party import outlook
from pets.party.evidence import PartyKeys, verify_evidence
from pets.party.receipts import verify_receipt
from pets.party.state import Boundary, StoredSpec
from pets.result import Result, recompute
from pets.schedule import Ended, Scheduled, found_beside, look, run_due
from tests.party.world import ANALYST, BOARD, COMPUTING, COUNCIL, HELPER, MONTHLY, SPEC, World, altered

REFRESHED = altered(
    ("max_rows = 40\n", 'max_rows = 40\nrefresh = "monthly"\n'), ("max_runs = 3", "max_runs = 4"), base=MONTHLY
)


def written(folder: Path, toml: str = REFRESHED, name: str = "waiting") -> Path:
    path = folder / f"{name}.spec.toml"
    path.write_text(toml)
    return path


def day(month: int, number: int, hour: int = 9, year: int = 2027) -> dt.datetime:
    return dt.datetime(year, month, number, hour, tzinfo=dt.UTC)


def one(world: World, path: Path) -> Scheduled:
    (found,) = look(world.client(), [path])
    return found


def started(world: World, path: Path, out: Path) -> list[Ended]:
    return list(run_due(world.client(), [path], out))


def test_one_signature_runs_once_a_month_and_each_receipt_names_it(world: World, tmp_path: Path) -> None:
    reviewed, path, out = world.ready(REFRESHED), written(tmp_path), tmp_path / "out"
    envelopes = {party: world.states[party].envelopes(reviewed.digest) for party in COMPUTING}
    signed = {party: [envelope_digest(body) for body in bodies] for party, bodies in envelopes.items()}
    frozen = set()
    for month, days in ((1, (15, 16, 31)), (2, (1, 28)), (4, (30,))):
        for number in days:
            world.now = day(month, number)
            ended = started(world, path, out)
            assert [each.error for each in ended] == [None] * (number == days[0])
            if ended:
                folder = out / f"waiting-{world.now.date()}.evidence"
                assert ended[0].file == out / f"waiting-{world.now.date()}.csv" and ended[0].file.is_file()
                for party in COMPUTING:
                    keys = {each: world.signing[each].public for each in COMPUTING}
                    receipt = verify_receipt((folder / "receipts" / f"{party}.json").read_bytes(), keys)
                    assert [each.sha256 for each in receipt.approvals] == signed[party]
                    frozen |= set(receipt.commitments.items())
    assert all(world.states[party].runs_used(reviewed.digest) == 3 for party in COMPUTING)
    assert len(frozen) == 6, "every month reads what was frozen in it"
    assert one(world, path).left == 1, "March was left out, and is not made up for"


def test_a_second_run_in_a_month_is_refused_and_told_when_the_next_is_due(world: World, tmp_path: Path) -> None:
    world.ready(MONTHLY)
    world.now = day(1, 1, 0)
    world.run(MONTHLY)
    world.now = day(1, 31, 23)
    with pytest.raises(BudgetError) as caught:
        world.run(MONTHLY)
    digest = caught.value.fields["digest"]
    assert caught.value.text == (
        f"budget.not-due: {digest} runs monthly and last ran on 2027-01-01; its next run is due on 2027-02-01"
    )
    world.now = day(2, 1, 0)
    world.run(MONTHLY)


def test_a_clock_that_is_put_back_makes_no_run_due(world: World) -> None:
    world.ready(MONTHLY)
    world.now = day(3, 1)
    world.run(MONTHLY)
    world.now = day(2, 1)
    with pytest.raises(BudgetError, match=r"budget\.not-due"):
        world.run(MONTHLY)


def test_a_clock_that_is_put_back_during_a_run_spoils_no_evidence(world: World, tmp_path: Path) -> None:
    world.ready()
    world.now = day(1, 15)

    def put_back(party: PartyId, boundary: Boundary) -> None:
        if boundary is Boundary.AFTER_SETTLE:
            world.now = day(1, 15, 8)

    world.hooks.at = put_back
    folder = world.run().save(tmp_path / "out" / "result.csv")
    keys = {
        party: PartyKeys(world.signing[party].public, {name: key.public for name, key in world.people[party].items()})
        for party in COMPUTING
    }
    assert verify_evidence(folder, keys=keys, recompute=recompute(SPEC))


def test_the_list_says_when_each_runs_next_and_for_how_many_there_is_budget(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    world = make_world(cap="4")
    world.ready(REFRESHED)
    path = written(tmp_path)
    before = one(world, path)
    assert (before.last, before.due, before.left, before.affordable) == (None, dt.date(2027, 1, 15), 4, 2)
    assert before.refused is None
    started(world, path, tmp_path / "out")
    after = one(world, path)
    assert (after.last, after.due) == (dt.date(2027, 1, 15), dt.date(2027, 2, 1))
    assert (after.left, after.affordable) == (3, 1)
    assert after.refused is not None and after.refused.code == "budget.not-due" and after.quiet
    assert json.loads(json.dumps(after.to_json()))["due"] == "2027-02-01"


def test_budget_that_is_used_up_refuses_and_is_told_loudly(make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world(cap="2")
    world.ready(REFRESHED)
    path, out = written(tmp_path), tmp_path / "out"
    assert [each.error for each in started(world, path, out)] == [None]
    world.now = day(2, 1)
    (ended,) = started(world, path, out)
    assert ended.error is not None and ended.error.code == "budget.epsilon" and ended.error.fields["at"] == BOARD
    assert one(world, path).affordable == 0 and not one(world, path).quiet
    world.now = day(10, 31)
    assert one(world, path).due == dt.date(2027, 10, 31)
    assert list(out.glob("*.csv")) == [out / "waiting-2027-01-15.csv"]


def test_what_is_not_or_no_longer_approved_is_not_started(world: World, tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    (ended,) = started(world, path, out)
    assert ended.error is not None and ended.error.code == "run.no-spec"
    reviewed = world.submit(REFRESHED)
    world.approve(reviewed, BOARD, HELPER)
    (ended,) = started(world, path, out)
    assert ended.error is not None and (ended.error.code, ended.error.fields["at"]) == ("approval.too-few", COUNCIL)
    world.approve(reviewed, COUNCIL)
    assert [each.error for each in started(world, path, out)] == [None]
    world.now = day(2, 1)
    world.nodes[HELPER].revoke(world.caller(HELPER), world.revocation(reviewed, HELPER))
    (ended,) = started(world, path, out)
    assert ended.error is not None and ended.error.code == "approval.revoked"


def test_a_specification_that_is_equal_runs_under_the_signed_one_and_shares_its_turn(
    world: World, tmp_path: Path
) -> None:
    """The analyst's own copy has its days cut; nobody signs again, and the month is the month of both."""
    shorter = altered(("not_after = 2027-10-31", "not_after = 2027-08-31"), base=REFRESHED)
    world.ready(REFRESHED)
    world.submit(shorter)
    signed, covered, out = written(tmp_path), written(tmp_path, shorter, "shorter"), tmp_path / "out"
    assert [each.error for each in started(world, covered, out)] == [None]
    assert started(world, signed, out) == []
    world.now = day(2, 1)
    assert [each.error for each in started(world, signed, out)] == [None]
    assert one(world, covered).due == dt.date(2027, 3, 1)
    wider = altered(('epsilon = "1"', 'epsilon = "1.5"'), base=REFRESHED)
    world.submit(wider)
    (ended,) = started(world, written(tmp_path, wider, "wider"), out)
    assert ended.error is not None and ended.error.code == "approval.too-few"


@pytest.mark.parametrize(
    ("stays", "homes", "new"),
    [
        ("frozen", "frozen", False),
        ("monthly", "frozen", True),
        ("yearly", "quarterly", False),
        ("each run", "frozen", True),
    ],
)
def test_unattended_the_same_rows_are_not_asked_again(
    world: World, tmp_path: Path, stays: str, homes: str, new: bool
) -> None:
    first, second = MONTHLY.split('[[dataset]]\nname = "homes"')
    toml = (
        first.replace("max_rows = 40\n", f'max_rows = 40\nrefresh = "{stays}"\n')
        + '[[dataset]]\nname = "homes"'
        + second.replace("max_rows = 40\n", f'max_rows = 40\nrefresh = "{homes}"\n', 1)
    )
    world.ready(toml)
    path, out = written(tmp_path, toml), tmp_path / "out"
    started(world, path, out)
    world.now = day(2, 1)
    found = one(world, path)
    assert (found.refused is None) == new
    assert len(started(world, path, out)) == int(new)
    if not new:
        assert found.refused is not None and found.refused.text == (
            "budget.same-rows: it last ran on 2027-01-15, and no table has been renewed since: "
            f"stays ({stays}), homes ({homes})"
        )


def test_what_has_no_schedule_or_is_over_is_passed_over_in_silence(world: World, tmp_path: Path) -> None:
    world.ready(SPEC)
    world.ready(REFRESHED)
    plain, path, out = written(tmp_path, SPEC, "plain"), written(tmp_path), tmp_path / "out"
    assert found_beside(tmp_path / "directory.toml") == (plain, path)
    world.now = day(11, 1)
    assert list(run_due(world.client(), [plain, path], out)) == [] and not out.exists()
    refusals = [each.refused for each in look(world.client(), [plain, path])]
    assert [each and each.code for each in refusals] == ["run.no-schedule", "approval.spec-expired"]


def test_one_that_cannot_run_does_not_keep_the_others_from_it(world: World, tmp_path: Path) -> None:
    world.ready(REFRESHED)
    broken = written(tmp_path, "pets = 1\n", "broken")
    ended = list(run_due(world.client(), [broken, written(tmp_path)], tmp_path / "out"))
    assert [each.error and each.error.code for each in ended] == ["spec.field", None]


def test_a_party_that_says_never_and_refuses_nothing_does_not_keep_the_others_from_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = altered(("not_after = 2027-10-31", "not_after = 2027-08-31"), base=REFRESHED)
    reviewed = world.ready(REFRESHED)
    world.ready(other)
    honest = outlook.files

    def files(consent: Any, state: Any, ledger: Any, stored: StoredSpec, **given: Any) -> list[tuple[str, bytes]]:
        if (consent.party, stored.digest) != (HELPER, reviewed.digest):
            return honest(consent, state, ledger, stored, **given)
        return [(outlook.FILE, b'{"today": "2027-01-15", "left": 1}')]

    monkeypatch.setattr(outlook, "files", files)
    paths = [written(tmp_path), written(tmp_path, other, "other")]
    ended = list(run_due(world.client(), paths, tmp_path / "out"))
    assert [each.error and each.error.code for each in ended] == ["peer.answer", None]


def test_a_disk_that_is_full_when_a_run_is_over_is_told_and_the_others_run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = altered(("not_after = 2027-10-31", "not_after = 2027-08-31"), base=REFRESHED)
    world.ready(REFRESHED)
    world.ready(other)
    honest = Result.save

    def save(self: Result, out: str | Path) -> Path:
        if Path(out).name.startswith("waiting"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(self, out)

    monkeypatch.setattr(Result, "save", save)
    first, second = run_due(world.client(), [written(tmp_path), written(tmp_path, other, "other")], tmp_path / "out")
    assert first.error is not None and first.error.code == "config.output"
    assert first.error.fields["problem"] == "its run is over, and it could not be written: no space left on device"
    assert second.error is None and second.file is not None and second.file.is_file()


def test_nothing_is_replaced_and_nothing_is_spent_for_a_table_without_a_place(world: World, tmp_path: Path) -> None:
    world.ready(REFRESHED)
    path, out = written(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "waiting-2027-01-15.csv").write_text("an earlier one")
    (ended,) = started(world, path, out)
    assert ended.error is not None and ended.error.code == "config.output"
    assert world.spent(BOARD, "stays") == "0" and world.transcript == []


def test_two_timers_at_once_run_it_once(world: World, tmp_path: Path) -> None:
    """The second one looks before the first has started: the parties count one run, and the second is silent."""
    world.ready(REFRESHED)
    path = written(tmp_path)
    first: list[Ended] = []
    tell = lambda _: first.extend(started(world, path, tmp_path / "one"))  # noqa: E731
    assert list(run_due(world.client(), [path], tmp_path / "two", tell=tell)) == []
    assert [each.error for each in first] == [None]
    (stored,) = world.states[BOARD].specs()
    assert world.states[BOARD].runs_used(stored.digest) == 1


def test_a_party_says_no_more_than_a_start_would(make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world(cap="2")
    reviewed = world.ready(REFRESHED)
    world.run(REFRESHED)
    world.now = day(2, 1)
    files = dict(world.client().server(BOARD).evidence(reviewed.digest).files)
    said = outlook.read(files, party=BOARD)
    with pytest.raises(BudgetError) as caught:
        world.run(REFRESHED)
    assert said.refused is not None and said.refused.text == caught.value.text
    assert said.outlook.affordable == 0


def test_what_a_budget_has_left_is_told_to_who_may_start_a_run_and_to_no_other_party(
    make_world: Callable[..., World],
) -> None:
    world = make_world(cap="2")
    reviewed = world.ready(REFRESHED)
    world.run(REFRESHED)
    world.now = day(2, 1)
    told = {}
    for caller in (ANALYST, BOARD, COUNCIL, HELPER):
        files = dict(world.nodes[BOARD].evidence(world.caller(caller), reviewed.digest).files)
        told[caller] = {outlook.FILE, outlook.REFUSAL} & set(files)
        assert "spec.toml" in files
    assert told[ANALYST] == told[BOARD] == {outlook.FILE, outlook.REFUSAL} and not told[COUNCIL] | told[HELPER]


def test_who_may_not_start_a_run_is_told_so_and_no_party_is_blamed(world: World, tmp_path: Path) -> None:
    world.ready(REFRESHED)
    (found,) = look(world.client(COUNCIL), [written(tmp_path)])
    assert found.refused is not None and found.refused.code == "run.other-result"


@pytest.mark.parametrize("code", [0, 2])
def test_the_command_lists_and_starts(
    make_world: Callable[..., World],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    """Exit code 0 when it ran and when nothing is due; 2 where something is due and is refused."""
    world = make_world(cap="100" if code == 0 else "2")
    world.ready(REFRESHED)
    written(tmp_path)
    monkeypatch.setattr(remote, "connect", lambda directory, client: world.client())

    def command(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["pets", "schedule", "--directory", str(tmp_path / "directory.toml"), *more])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code))

    out = tmp_path / "out"
    assert command("--run", "--out", str(out)) == 0
    assert "waiting-2027-01-15.csv: the table of" in capsys.readouterr().out
    assert command("--run", "--out", str(out)) == 0 and capsys.readouterr() == ("", "")
    assert command() == 0
    told = capsys.readouterr().out
    assert "2027-01-15" in told and "2027-02-01" in told and "not due" in told
    world.now = day(2, 1)
    assert command("--run", "--out", str(out)) == code
    assert ("remaining 0.5 of 2" in capsys.readouterr().err) == bool(code)
    assert command("--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["schedule"], found["left"]) == ("monthly", 3 if code else 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"today": "yesterday"}',
        b'{"today": "2027-01-15", "left": -1}',
        b'{"today": "2027-01-15", "left": 1.5}',
        b'{"today": "2027-01-15", "more": 1}',
        b'{"today": "2027-01-15", "affordable": -1}',
        b'{"today": "2027-01-15", "left": 1}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_a_fault_of_that_party(body: bytes) -> None:
    with pytest.raises(PeerError, match=r"peer\.answer"):
        outlook.read({outlook.FILE: body}, party=BOARD)
