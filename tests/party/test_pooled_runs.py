"""Whole runs of sums over one table of many holders, in memory: what comes out, who is named, what goes wrong where.

Nodes, sessions, gate, roles, client and evidence are the real ones.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets import participation, result, schedule
from pets.approve.envelope import claimed, sign, statement
from pets.errors import LinkError, ReceiptError, RunError
from pets.ids import PartyId, RunHandle
from pets.party import contribute
from pets.party.evidence import PartyKeys, verify_evidence
from pets.party.receipts import RECEIPT
from pets.result import Result
from pets.spec.ir import GaussianColumn
from pets.transport.calls import Event
from tests.party.pool_world import PoolWorld, hasten, parts, pooled, toml_of, without_noise

Frames = Mapping[PartyId, pd.DataFrame]
SQL = """SELECT ward, COUNT(*) AS n, COUNT(age) AS ages, SUM(minutes) AS total, AVG(age) AS age, VAR(minutes) AS spread
FROM visits GROUP BY ward"""
CONTROL = "[release.disclosure_control]\nmin_count = 10\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short. A minute of uploads is shorter, but long enough where everybody comes."""
    hasten(monkeypatch)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads are over soon: for runs that somebody misses."""
    monkeypatch.setattr(contribute, "MINUTE_S", 1.2)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """No noise: every number is that of the rows."""
    without_noise(monkeypatch)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PoolWorld]]:
    made: list[PoolWorld] = []

    def of(frames: Frames, toml: str, **options: Any) -> PoolWorld:
        made.append(PoolWorld(tmp_path / f"world-{len(made)}", toml, frames, **options))
        return made[-1]

    yield of
    for world in made:
        world.close()


def by_ward(frames: Frames) -> pd.DataFrame:
    """The same as SQL has it, of all rows that there are."""
    by = pooled(frames).groupby("ward")
    found = pd.DataFrame(
        {
            "n": by.size(),
            "ages": by.age.count(),
            "total": by.minutes.sum(),
            "age": by.age.mean(),
            "spread": by.minutes.var(),
        }
    )
    return found.reindex(["medical", "surgical", "other"])


def same(found: pd.DataFrame, frames: Frames) -> None:
    got = found.set_index("ward")
    for name, wanted in by_ward(frames).items():
        for ward, number in wanted.items():
            near = 1e-3 if name == "spread" else 1e-12  # squares are in coarser units
            assert got.loc[str(ward), name] == pytest.approx(float(number), rel=near), (name, ward)


def keys(world: PoolWorld) -> dict[str, PartyKeys]:
    signing = world.directory.signing_keys()
    return {party: PartyKeys(signing[party], world.directory.approver_keys(party)) for party in world.servers}


def verified(world: PoolWorld, found: Result, folder: Path) -> list[str]:
    evidence = found.save(folder / "table.csv")
    return verify_evidence(
        evidence, keys=keys(world), recompute=result.recompute(world.toml), counted=result.counted(world.toml)
    )


def reasons(found: Result) -> dict[str, str]:
    told = found.participation
    assert told is not None
    return {str(party): why for party, why in told.missing.items()}


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("computing", "options"),
    [
        (2, {}),
        pytest.param(3, {}, marks=pytest.mark.long),
        (5, {"protocol": "secure_sum_shamir"}),
        pytest.param(2, {"protocol": "checked_sum"}, marks=pytest.mark.long),
        pytest.param(3, {"protocol": "checked_sum"}, marks=pytest.mark.long),
    ],
    ids=["two", "three", "shamir", "checked by two", "checked by three"],
)
@pytest.mark.usefixtures("exact")
def test_a_table_is_that_of_all_rows_and_its_evidence_holds(
    make: Callable[..., PoolWorld], tmp_path: Path, computing: int, options: Any
) -> None:
    frames = parts(4)
    world = make(frames, toml_of(4, computing, sql=SQL, **options))
    world.prepared()
    found = world.run(world.toml)
    same(found.to_pandas(), frames)
    told = found.participation
    assert told is not None and told.counted == world.boards and reasons(found) == {}
    proved = options.get("protocol") == "checked_sum"
    within = "Every number in it is proved to be within the widest range of the specification, if all computing parties"
    said = within if proved else "Inputs are not validated"
    assert f"4 of 4 holders took part; at least 4 had to. {said}" in found.note()
    assert set(found.receipts) == set(world.servers)
    lines = verified(world, found, tmp_path)
    assert "4 of 4 holders took part, 4 are the least; who, all signed that took uploads" in lines
    assert [world.ends(board) for board in world.boards] == [["sent"]] * 4
    assert [world.ends(party) for party in world.spec.computing] == [["finished"]] * computing
    assert found.note() in found._repr_html_() and "4 holders" in found._repr_html_()


@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_a_regression_is_that_of_all_rows(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3, rows=60, ages=1.0)
    sql = "SELECT LINEAR_REGRESSION(minutes, age, died) AS fit FROM visits"
    world = make(frames, toml_of(3, 2, sql=sql))
    world.prepared()
    (row,) = world.run(world.toml).to_pandas().to_dict("records")
    rows = pooled(frames).astype(float, errors="ignore")
    x = np.column_stack([np.ones(len(rows)), rows.age.astype(float), rows.died.astype(float)])
    fitted = np.linalg.lstsq(x, rows.minutes.to_numpy(float), rcond=None)[0]
    names = [name for name in row if name.endswith(("_intercept", "_age", "_died"))]
    assert [row[name] for name in names] == pytest.approx(fitted.tolist(), rel=1e-2)


@pytest.mark.long
def test_noise_lies_within_what_its_intervals_say(make: Callable[..., PoolWorld]) -> None:
    """Three computing parties add noise of full strength each."""
    frames, protection = (
        parts(3),
        '[release.differential_privacy]\nepsilon = "2"\nneighbours = "one person\'s rows added or removed"\n',
    )
    world = make(
        frames, toml_of(3, 3, sql="SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward", protection=protection)
    )
    world.prepared()
    found = world.run(world.toml).to_pandas().set_index("ward")
    true = by_ward(frames).n
    assert (found.n - found.n_low == found.n_high - found.n).all()
    assert 1 <= (found.n_high - found.n).iloc[0] < 8, "a scale of 1/2, three times"
    assert all(abs(found.n[ward] - number) < 20 for ward, number in true.items())


@pytest.mark.parametrize(
    ("computing", "options"),
    [
        (2, {}),
        pytest.param(5, {"protocol": "secure_sum_shamir"}, marks=pytest.mark.long),
        pytest.param(2, {"protocol": "checked_sum"}, marks=pytest.mark.long),
    ],
    ids=["two", "shamir", "checked"],
)
def test_gaussian_noise_is_on_sums_and_within_what_its_intervals_say(
    make: Callable[..., PoolWorld], tmp_path: Path, computing: int, options: Any
) -> None:
    """Each computing party adds noise of full strength: a variance of D^2 / 2 rho, whatever the others do."""
    frames = parts(4)
    noise = 'mechanism = "discrete gaussian"\nrho = "2"\nneighbours = "one person\'s rows added or removed"\n'
    sql = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"
    toml = toml_of(4, computing, sql=sql, protection=f"[release.differential_privacy]\n{noise}", **options)
    world = make(frames, toml)
    world.prepared()
    result = world.run(world.toml)
    (column,) = result.plan.protection.columns  # type: ignore[union-attr]
    assert isinstance(column, GaussianColumn) and column.parts == 1
    assert column.variance == Fraction(column.squared) / 4
    found = result.to_pandas().set_index("ward")
    sigma = float(column.variance * computing) ** 0.5
    width = (found.n_high - found.n).iloc[0]
    assert abs(width - 1.96 * sigma) <= 2
    errors = [found.n[ward] - number for ward, number in by_ward(frames).n.items()]
    assert all(abs(error) < 10 * sigma for error in errors) and any(errors)
    assert any("visits was charged epsilon 0, delta 0, rho 2" in line for line in verified(world, result, tmp_path))


@pytest.mark.usefixtures("exact")
def test_under_disclosure_control_small_cells_are_withheld_and_others_are_exact(
    make: Callable[..., PoolWorld], tmp_path: Path
) -> None:
    frames = {
        party: frame.assign(
            ward=["other"] * 2 + ["medical", "surgical"] * ((len(frame) - 2) // 2) + ["medical"] * (len(frame) % 2)
        )
        for party, frame in parts(3, rows=20).items()
    }
    sql = "SELECT ward, COUNT(*) AS n, SUM(minutes) AS total FROM visits GROUP BY ward"
    world = make(frames, toml_of(3, 3, sql=sql, protection=CONTROL, runs=1))
    world.prepared()
    found = world.run(world.toml)
    table, true = found.to_pandas().set_index("ward"), by_ward(frames)
    for ward in ("medical", "surgical", "other"):
        if true.n[ward] < 10:
            assert pd.isna(table.n[ward]) and pd.isna(table.total[ward])
        else:
            assert (table.n[ward], table.total[ward]) == (true.n[ward], true.total[ward])
    assert pd.isna(table.n["other"]) and not table.n.isna().all()
    assert "3 of 3 holders" in found.note() and verified(world, found, tmp_path)


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_holder_may_be_the_one_who_asks(make: Callable[..., PoolWorld], tmp_path: Path) -> None:
    frames, asks = parts(4), PartyId("board-1")
    toml = toml_of(
        4, 2, sql=SQL, to=asks, minimum=3, edits=(("analyst@statistics.example", f"analyst@{asks}.example"),)
    )
    world = make(frames, toml, asks=asks)
    world.prepared()
    found = world.run(toml)
    same(found.to_pandas(), frames)
    assert verified(world, found, tmp_path) and world.ends(asks) == ["sent"]


# -- who is missing ---------------------------------------------------------------------------------------------------


def without(frames: Frames, *missing: PartyId) -> dict[PartyId, pd.DataFrame]:
    return {party: frame for party, frame in frames.items() if party not in missing}


@pytest.mark.usefixtures("exact", "short")
def test_a_holder_that_nobody_reaches_is_left_out_and_named(make: Callable[..., PoolWorld], tmp_path: Path) -> None:
    frames = parts(4)
    world = make(frames, toml_of(4, 2, sql=SQL, minimum=3))
    world.prepared()
    gone = world.boards[1]
    client = world.client()

    class Away:
        def __getattr__(self, name: str) -> Any:
            def away(*_: Any) -> Any:
                raise LinkError("link.unreachable", peer=gone)

            return away

    client.servers[gone] = Away()  # type: ignore[assignment]
    found = client.run(world.toml)
    same(found.to_pandas(), without(frames, gone))
    assert reasons(found) == {gone: "could not be reached"}
    assert f"3 of 4 holders took part; at least 3 had to. Missing: {gone} (could not be reached)." in found.note()
    assert gone not in found.receipts and world.spent(gone, "visits") == "0"
    assert f"{gone}: no receipt is here; it did not take part" in verified(world, found, tmp_path)
    frame = found.participation.to_pandas() if found.participation else None
    assert frame is not None and frame.took_part.tolist() == [True, False, True, True]


@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_a_holder_that_comes_back_in_time_takes_part(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    client, slow = world.client(), world.boards[0]
    real, left = client.servers[slow], [3]

    class Late:
        def __getattr__(self, name: str) -> Any:
            if name == "start" and left[0]:
                left[0] -= 1

                def away(*_: Any) -> Any:
                    raise LinkError("link.unreachable", peer=slow)

                return away
            return getattr(real, name)

    client.servers[slow] = Late()  # type: ignore[assignment]
    found = client.run(world.toml)
    same(found.to_pandas(), frames)
    assert left == [0] and reasons(found) == {}


@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_a_start_whose_answer_was_lost_is_followed_and_not_made_twice(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL))
    world.prepared()
    client, one = world.client(), world.boards[2]
    real, lost = client.servers[one], [1]

    class Lossy:
        def __getattr__(self, name: str) -> Any:
            def start(request: Any) -> bytes:
                answer = real.start(request)
                if lost[0]:
                    lost[0] = 0
                    raise LinkError("link.cut", peer=one)
                return answer

            return start if name == "start" else getattr(real, name)

    client.servers[one] = Lossy()  # type: ignore[assignment]
    found = client.run(world.toml)
    assert reasons(found) == {} and set(found.receipts) >= {one}
    assert world.ends(one) == ["run.handle-used", "sent"] or world.ends(one) == ["sent", "run.handle-used"]


@pytest.mark.usefixtures("exact", "short")
def test_a_holder_whose_approvers_have_not_signed_is_left_out(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    pending = world.boards[1]
    world.prepared(without=(pending,))
    found = world.run(world.toml)
    same(found.to_pandas(), without(frames, pending))
    assert reasons(found) == {pending: "declined: its approvers have not signed"}
    assert world.ends(pending) == ["approval.too-few"] and world.spent(pending, "visits") == "0"


def unheard(sender: PartyId, to: PartyId) -> None:
    """Nobody hears who declines, so that a run goes on to the end of uploads."""
    raise LinkError("link.unreachable", peer=to)


def broken(frame: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (lambda f: f.drop(columns="minutes"), "source.column"),
        pytest.param(lambda f: f.assign(ward=["dental", *f.ward[1:]]), "source.level", marks=pytest.mark.long),
        pytest.param(lambda f: f.assign(minutes=[601, *f.minutes[1:]]), "source.range", marks=pytest.mark.long),
        pytest.param(lambda f: f.assign(minutes=f.minutes.astype(str) + "x"), "source.type", marks=pytest.mark.long),
        pytest.param(lambda f: pd.concat([f, f.iloc[:1]]), "source.rows-per-person", marks=pytest.mark.long),
        pytest.param(
            lambda f: f.assign(nhs_number=["999 000 0018 x", *f.nhs_number[1:]]), "source.id", marks=pytest.mark.long
        ),
        pytest.param(lambda f: pd.concat([f] * 40), "source.max-rows", marks=pytest.mark.long),
    ],
)
@pytest.mark.usefixtures("exact", "short")
def test_faulty_records_leave_out_their_holder_alone_and_nobody_hears_which_fault(
    make: Callable[..., PoolWorld], fault: Callable[[pd.DataFrame], pd.DataFrame], code: str
) -> None:
    frames = parts(3)
    bad = PartyId("board-2")
    given = {party: fault(frame) if party == bad else frame for party, frame in frames.items()}
    world = make(given, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    found = world.run(world.toml)
    same(found.to_pandas(), without(frames, bad))
    assert reasons(found) == {bad: "declined: its records are not ready"}
    assert any(code in line for line in world.consoles[bad]), world.consoles[bad]
    assert world.spent(bad, "visits") == "0"
    assert not any(code in line for party in world.servers if party != bad for line in world.consoles[party])


@pytest.mark.usefixtures("exact", "short")
@pytest.mark.long
def test_a_sum_out_of_its_range_is_that_holder_s_own_matter(
    make: Callable[..., PoolWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a snapshot let pass, a sum is held against its range once more before a part is made of it."""
    frames, bad = parts(3), PartyId("board-3")
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    honest = contribute.moments

    def wrong(plan: Any, table: Any, own: Any) -> Any:
        found = honest(plan, table, own)
        if len(table.person) == len(frames[bad]):
            found[0][0] = 10**6
        return found

    monkeypatch.setattr(contribute, "moments", wrong)
    found = world.run(world.toml)
    same(found.to_pandas(), without(frames, bad))
    assert reasons(found) == {bad: "declined: its records are not ready"}
    assert world.spent(bad, "visits") == "0", "it was found before anything was charged"
    assert not any("1000000" in line for line in world.consoles[bad])


@pytest.mark.usefixtures("exact", "short")
def test_too_few_holders_are_told_in_words_and_nothing_is_opened(make: Callable[..., PoolWorld]) -> None:
    frames = parts(4)
    world = make(frames, toml_of(4, 2, sql=SQL, minimum=4))
    world.prepared(without=world.boards[2:])
    world.hooks.decline = unheard
    with pytest.raises(RunError) as caught:
        world.run(world.toml)
    error = caught.value
    assert error.code == "run.contributors"
    assert (error.fields["took"], error.fields["minimum"]) == (2, 4)
    (note,) = error.__notes__
    assert "board-3 (its approvers have not signed)" in note and "board-4" in note
    assert [world.ends(board) for board in world.boards[:2]] == [["sent"]] * 2
    assert [world.ends(party)[-1] for party in world.spec.computing].count("finished") == 0
    assert {world.spent(board, "visits") for board in world.boards[:2]} == {"4"}, "what left counts as spent"


# -- uploads that fail -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("exact", "short")
@pytest.mark.long
def test_an_upload_that_reaches_one_computing_party_only_does_not_count(
    make: Callable[..., PoolWorld], tmp_path: Path
) -> None:
    frames = parts(4)
    world = make(frames, toml_of(4, 2, sql=SQL, minimum=3))
    world.prepared()
    half, north = world.boards[3], world.spec.computing[0]

    def breaks(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        if sender == half and to == north:
            raise LinkError("link.unreachable", peer=to)
        return part

    world.hooks.upload = breaks
    found = world.run(world.toml)
    same(found.to_pandas(), without(frames, half))
    assert list(reasons(found)) == [half]
    assert world.spent(half, "visits") == "4", "a part may have left"
    assert verified(world, found, tmp_path)


@pytest.mark.parametrize("where", ["on the way there", "on the way back"])
@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_broken_connections_are_tried_again_with_the_same_part(make: Callable[..., PoolWorld], where: str) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL))
    world.prepared()
    seen: dict[tuple[PartyId, PartyId], list[bytes]] = {}

    def there(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        seen.setdefault((sender, to), []).append(part)
        if where == "on the way there" and len(seen[sender, to]) < 3:
            raise LinkError("link.cut", peer=to)
        return part

    def back(sender: PartyId, to: PartyId) -> None:
        if where == "on the way back" and len(seen[sender, to]) < 2:
            raise LinkError("link.cut", peer=to)

    world.hooks.upload, world.hooks.uploaded = there, back
    found = world.run(world.toml)
    same(found.to_pandas(), frames)
    assert all(len(parts_) >= 2 and len(set(parts_)) == 1 for parts_ in seen.values())


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda part: part[:-1], marks=pytest.mark.long),
        pytest.param(lambda part: part + b"x", marks=pytest.mark.long),
        pytest.param(lambda part: bytes(64) + part[64:], marks=pytest.mark.long),
        lambda part: part[:-1] + bytes([part[-1] ^ 1]),
    ],
    ids=["shorter", "longer", "of another run", "changed"],
)
@pytest.mark.usefixtures("exact", "short")
def test_a_part_that_is_not_right_is_refused_and_harms_nobody_else(
    make: Callable[..., PoolWorld], spoil: Callable[[bytes], bytes]
) -> None:
    frames, bad = parts(3), PartyId("board-1")
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    world.hooks.upload = lambda sender, to, part: spoil(part) if sender == bad else part
    found = world.run(world.toml)
    same(found.to_pandas(), without(frames, bad))
    (why,) = reasons(found).values()
    assert why.startswith("declined: peer.")


def forged(world: PoolWorld, own: bytes, how: str) -> bytes:
    """What a holder's server may hand out as its receipt."""
    said = dict(claimed(own)["predicate"])
    said |= {"software": {"software": "0.0.0"}, "nothing spent": {"spend": []}, "run": {"run": "0" * 64}}.get(how, {})
    made = statement(RECEIPT, {"specification": said["spec"], "run": said["run"]}, said)
    key = world.signing[world.boards[1] if how == "another key" else world.boards[0]]
    return {"no envelope": b"{}", "no receipt": sign(statement("x", {}, {}), key)}.get(how) or sign(made, key)


@pytest.mark.parametrize(
    "how",
    [
        "no envelope",
        "software",
        *(pytest.param(how, marks=pytest.mark.long) for how in ("no receipt", "another key", "nothing spent", "run")),
    ],
)
def test_a_receipt_of_one_holder_spoils_no_table(make: Callable[..., PoolWorld], tmp_path: Path, how: str) -> None:
    """The sums are open and paid for by then, and hundreds of others have done nothing wrong."""
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL))
    world.prepared()
    network = world.client()
    first = world.boards[0]

    class Forges:
        def __getattr__(self, name: str) -> Any:
            return getattr(server, name)

        def receipt(self, handle: Any) -> bytes:
            return forged(world, server.receipt(handle), how)

    server = network.servers[first]
    network.servers[first] = Forges()
    with pytest.warns(UserWarning, match=f"receipts that do not hold are left out: {first} "):
        found = network.run(world.toml)
    assert first not in found.receipts and len(found.receipts) == 4
    assert f"{first}: no receipt is here; its numbers are in the table" in verified(world, found, tmp_path)


@pytest.mark.usefixtures("exact", "short")
@pytest.mark.long
def test_a_holder_that_is_late_is_refused_before_it_is_charged(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    late, over = world.boards[0], threading.Event()

    def waits(sender: PartyId, to: PartyId) -> None:
        if sender == late:
            over.wait(10)

    world.hooks.announcement = waits
    found = world.run(world.toml)
    over.set()
    world.settle()
    same(found.to_pandas(), without(frames, late))
    assert world.spent(late, "visits") == "0"
    (end,) = world.ends(late)
    assert end in ("peer.upload-late", "run.order", "run.unknown", "link.deadline")


@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_a_holder_may_be_gone_as_soon_as_it_has_uploaded(make: Callable[..., PoolWorld], tmp_path: Path) -> None:
    """Its server is closed once it has sent; the others go on, and its receipt was fetched before."""
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL))
    world.prepared()
    first, closed = world.boards[0], threading.Event()
    hold = threading.Event()

    def waits(sender: PartyId, to: PartyId) -> None:
        if sender == world.boards[1]:
            hold.wait(10)

    world.hooks.announcement = waits

    def leave(party: PartyId, event: Event) -> None:
        if party == first and event.kind == "end" and not closed.is_set():
            closed.set()
            threading.Timer(0.3, hold.set).start()

    found = world.run(world.toml, progress=leave)
    assert closed.is_set() and first in found.receipts
    same(found.to_pandas(), frames)
    assert verified(world, found, tmp_path)


@pytest.mark.usefixtures("exact", "short")
@pytest.mark.long
def test_a_revocation_at_a_holder_keeps_its_vector_at_home(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    reviewed = world.prepared()
    one, parts_left = world.boards[1], list[bytes]()

    def revokes(sender: PartyId, to: PartyId) -> None:
        if sender == one:
            world.nodes[one].revoke(world.caller(one), world.revocation(reviewed, one))

    world.hooks.announcement = revokes
    world.hooks.upload = lambda sender, to, part: parts_left.append(part) or part if sender == one else part
    found = world.run(world.toml)
    assert parts_left == [] and world.spent(one, "visits") == "0"
    assert world.ends(one) == ["approval.revoked"] and list(reasons(found)) == [one]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("how", ["hello", "abort", "stop"])
def test_no_holder_ends_the_part_of_another(make: Callable[..., PoolWorld], how: str) -> None:
    """It would choose whose numbers are in a sum, and nobody would see that it did."""
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    one, other, handle = world.boards[0], world.boards[1], RunHandle("7c" * 16)
    refused: list[str] = []

    def acts(sender: PartyId, to: PartyId) -> None:
        if sender != one:
            return
        node, caller = world.nodes[one], world.caller(other)
        if how == "abort":
            for party in (one, *world.spec.computing):
                world.nodes[party].abort(caller, bytes.fromhex(world.states[to].run(handle).run_id or ""), "peer.gap")
        elif how == "stop":
            with pytest.raises(RunError) as caught:
                node.stop(caller, handle)
            refused.append(caught.value.code)

    world.hooks.announcement = acts
    if how == "hello":
        world.nodes[one].hello(world.caller(other), handle, b"{}")
    found = world.run(world.toml, handle=handle)
    assert reasons(found) == {} and world.ends(one) == ["sent"]
    assert set(refused) == ({"run.not-yours"} if how == "stop" else set())
    same(found.to_pandas(), frames)


@pytest.mark.usefixtures("exact", "short")
def test_a_budget_that_is_used_up_on_the_way_leaves_the_holder_out(make: Callable[..., PoolWorld]) -> None:
    """Another run takes the last of the budget between the start and the agreement."""
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2), limits={"max_epsilon_per_dataset": "4"})
    world.prepared()
    one, spent = world.boards[2], threading.Event()

    def spends(sender: PartyId, to: PartyId) -> None:
        if sender == one and not spent.is_set():
            spent.set()
            node = world.nodes[one]
            charges = node.runs.charges(world.spec)
            node.runs.ledger.reserve("f" * 32, charges, node.runs.caps(charges))  # type: ignore[arg-type]

    world.hooks.announcement = spends
    found = world.run(world.toml)
    assert reasons(found) == {one: "declined: its privacy budget is used up"}
    same(found.to_pandas(), without(frames, one))


# -- what evidence shows -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("exact", "short")
def test_evidence_that_names_other_contributors_or_lacks_a_computing_party_is_refused(
    make: Callable[..., PoolWorld], tmp_path: Path
) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared(without=world.boards[2:])
    found = world.run(world.toml)
    lines = verified(world, found, tmp_path)
    assert f"{world.boards[2]}: no receipt is here; it declined" in lines
    folder = tmp_path / "table.evidence"
    (folder / "receipts" / f"{world.boards[0]}.json").unlink()
    check: dict[str, Any] = {
        "keys": keys(world),
        "recompute": result.recompute(world.toml),
        "counted": result.counted(world.toml),
    }
    assert f"{world.boards[0]}: no receipt is here; its numbers are in the table" in verify_evidence(folder, **check)
    with pytest.raises(ReceiptError, match="the shares are of other holders"):
        verify_evidence(folder, **{**check, "counted": lambda plan, shares: world.boards})
    north = world.spec.computing[0]
    share = folder / "shares" / f"{north}.bin"
    body = share.read_bytes()
    share.write_bytes(bytes([body[0] ^ 4]) + body[1:])
    with pytest.raises(ReceiptError, match=r"receipt\.share-differs"):
        verify_evidence(folder, **check)
    share.write_bytes(body)
    (folder / "receipts" / f"{north}.json").unlink()
    with pytest.raises(ReceiptError, match=rf"receipt\.missing: no receipt of {north}"):
        verify_evidence(folder, **check)


def test_a_schedule_counts_as_many_holders_as_have_to_take_part(make: Callable[..., PoolWorld], tmp_path: Path) -> None:
    """One who has not signed stands in nobody's way; two do, where three have to."""
    toml = toml_of(4, 2, sql=SQL, minimum=3, edits=(("max_runs = 3", 'max_runs = 3\nschedule = "monthly"'),))
    path = tmp_path / "visits.spec.toml"
    path.write_text(toml)
    world = make(parts(4), toml, limits={"max_epsilon_per_dataset": "20"})
    reviewed = world.prepared(without=world.boards[2:])
    client = world.client()
    (one,) = schedule.look(client, [path])
    assert one.refused is not None and one.refused.code == "approval.too-few"
    world.approve(reviewed, world.boards[2])
    (one,) = schedule.look(client, [path])
    assert one.refused is None and (one.left, one.affordable) == (3, 5)
    del client.servers[world.boards[0]]
    (one,) = schedule.look(client, [path])
    assert one.refused is not None, "a holder that is away cannot take part"


def test_submitting_goes_on_without_holders_who_are_away(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    client = world.client()
    del client.servers[world.boards[0]]
    with pytest.warns(UserWarning, match=r"1 holders did not take .* Missing: board-1 \(could not be reached\)"):
        client.submit(world.toml)
    del client.servers[world.boards[1]]
    with pytest.raises(LinkError), warnings.catch_warnings():
        client.submit(world.toml)


def test_what_is_known_of_the_missing_is_said_in_words() -> None:
    told = participation.Participation(
        tuple(PartyId(f"b{n}") for n in range(12)), (), {PartyId("b0"): "link.unreachable", PartyId("b1"): "x.y"}, 3
    )
    note = told.note()
    assert note.startswith(
        "0 of 12 holders took part; at least 3 had to. Missing: b0 (could not be reached), b1 (refused: x.y), b2"
    )
    assert "and 4 more." in note and len(told.to_pandas()) == 12
