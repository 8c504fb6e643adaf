"""The result party's side of a run: what it sends, what it refuses, and what it makes of parties that misbehave."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets.approve.envelope import keygen, sign, statement
from pets.errors import ApprovalError, LeakError, LinkError, PeerError, PetsError, RunError, SpecError
from pets.ids import PartyId, PlanDigest, RunHandle
from pets.local import LocalNetwork, LocalServer, World, local_network
from pets.network import Draft, Network, read
from pets.participation import said_in
from pets.spec.parse import parse_toml
from pets.transport.calls import Event, StartRequest, Submitted

NHS = pd.DataFrame({"id": ["p", "q", "r"], "ward": ["n", "s", "n"]})
COUNCIL = pd.DataFrame({"id": ["p", "q", "z"], "rent": [1, 2, 3]})
SQL = "SELECT ward, COUNT(*) AS n, SUM(rent) AS rent FROM stays JOIN homes USING (id) GROUP BY ward"
PARTIES = [PartyId("nhs"), PartyId("council"), PartyId("helper")]


@dataclass
class Between:
    """A server with one method replaced; every call is counted."""

    server: LocalServer
    calls: list[str]
    instead: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return self.instead.get(name) or getattr(self.server, name)


@dataclass
class Stage:
    network: Network
    world: World
    draft: Draft
    between: dict[PartyId, Between]

    def ready(self) -> "Stage":
        self.network.submit(self.draft)
        self.world.approve()
        return self

    def calls(self, name: str) -> int:
        return sum(each.calls.count(name) for each in self.between.values())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    local: LocalNetwork = local_network({"nhs": {"stays": NHS}, "council": {"homes": COUNCIL}, "helper": {}})
    draft = local.draft(SQL)
    world = local.world(draft.check(), tmp_path)
    between = {party: Between(server, [], {}) for party, server in world.servers.items()}
    network = Network(
        between,  # type: ignore[arg-type]
        local.analyst, local.link, directory_toml=world.directory_toml, deadline_s=20,
    )  # fmt: skip
    yield Stage(network, world, draft, between)
    world.close()


# -- before a run -----------------------------------------------------------------------------------------------------


def test_every_computing_party_gets_the_same_bytes_once(stage: Stage) -> None:
    taken: list[bytes] = []
    for each in stage.between.values():

        def submit(toml: bytes, envelope: bytes, own: LocalServer = each.server) -> Submitted:
            taken.append(toml)
            return own.submit(toml, envelope)

        each.instead["submit"] = submit
    digest = stage.network.submit(stage.draft)
    assert digest == stage.draft.check().digest
    assert taken == [stage.draft.toml.encode()] * 3


def test_a_party_that_would_run_another_plan_is_named(stage: Stage) -> None:
    stage.between[PARTIES[1]].instead["submit"] = lambda toml, envelope: Submitted(
        stage.draft.check().digest, PlanDigest("0" * 64), b""
    )
    with pytest.raises(RunError) as caught:
        stage.network.submit(stage.draft)
    assert (caught.value.code, caught.value.fields["peer"]) == ("run.other-plan", "council")


def test_a_refused_specification_is_not_sent_to_anyone(stage: Stage) -> None:
    text = stage.draft.toml.replace("COUNT(*)", "MAX(rent)")
    with pytest.raises(LeakError):
        stage.network.submit(text)
    assert stage.calls("submit") == 0


def test_a_party_that_the_directory_lacks_cannot_be_reached(stage: Stage) -> None:
    del stage.network.servers[PARTIES[2]]
    with pytest.raises(LinkError) as caught:
        stage.network.submit(stage.draft)
    assert (caught.value.code, caught.value.fields["peer"]) == ("link.unreachable", "helper")


def test_without_approvals_nothing_runs(stage: Stage) -> None:
    stage.network.submit(stage.draft)
    with pytest.raises(ApprovalError):
        stage.network.run(stage.draft)


# -- a run ------------------------------------------------------------------------------------------------------------


def test_a_run_tells_its_steps_and_ends_at_every_party(stage: Stage) -> None:
    told: list[tuple[PartyId, Event]] = []
    result = stage.ready().network.run(stage.draft, progress=lambda party, event: told.append((party, event)))
    assert {party for party, event in told if event.kind == "end" and not event.code} == set(PARTIES)
    assert {step.party for step in result.steps} == set(PARTIES)
    assert set(result.receipts) == set(PARTIES) and len(result.approvals) == 3


def test_a_progress_bar_that_fails_does_not_cost_the_result(stage: Stage) -> None:
    def broken(party: PartyId, event: Event) -> None:
        raise RuntimeError("no terminal")

    with pytest.warns(UserWarning, match="progress is shown no more"):
        result = stage.ready().network.run(stage.draft, progress=broken)
    assert len(result.to_pandas()) == 3


@pytest.mark.parametrize(
    "body", [b"", b"rubbish", b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json"}']
)
def test_a_receipt_that_cannot_be_read_is_no_reason_to_lose_the_table(stage: Stage, body: bytes) -> None:
    stage.ready().between[PARTIES[2]].instead["receipt"] = lambda handle: body
    result = stage.network.run(stage.draft)
    assert len(result.to_pandas()) == 3 and result.receipts[PARTIES[2]] == body
    assert said_in([body]) == {}


@pytest.mark.parametrize("predicate", [{}, {"approvals": None}, {"approvals": [{}]}])
def test_a_receipt_that_names_no_approval_is_no_reason_either(stage: Stage, predicate: dict[str, object]) -> None:
    body = sign(statement("urn:pets:receipt:1", {}, predicate), keygen())
    stage.ready().between[PARTIES[2]].instead["receipt"] = lambda handle: body
    assert len(stage.network.run(stage.draft).to_pandas()) == 3


def test_a_missing_receipt_is_said_and_the_table_kept(stage: Stage) -> None:
    def none(handle: RunHandle) -> bytes:
        raise RunError("run.unknown", handle=handle)

    stage.ready().between[PARTIES[2]].instead["receipt"] = none
    with pytest.warns(UserWarning, match="no receipt of helper"):
        result = stage.network.run(stage.draft)
    assert set(result.receipts) == {"nhs", "council"}


def test_a_hello_for_something_else_stops_the_run_everywhere(stage: Stage) -> None:
    other = stage.ready().between[PARTIES[1]]

    def start(request: StartRequest) -> bytes:
        body = other.server.start(request)
        assert request.digest.encode() in body
        return body.replace(request.digest.encode(), b"0" * 64)

    other.instead["start"] = start
    with pytest.raises(PetsError) as caught:
        stage.network.run(stage.draft)
    assert caught.value.code == "run.other-spec"
    assert stage.calls("stop") == 3
    assert stage.calls("receipt") == 0


def test_a_party_that_refuses_to_start_is_what_the_run_ended_of(stage: Stage) -> None:
    def busy(request: StartRequest) -> bytes:
        raise RunError("run.busy", party="helper")

    stage.ready().between[PARTIES[2]].instead["start"] = busy
    with pytest.raises(RunError) as caught:
        stage.network.run(stage.draft)
    assert caught.value.code == "run.busy"


def test_a_run_can_be_asked_for_again_and_noise_is_fresh(stage: Stage) -> None:
    stage.ready()
    first, second = stage.network.run(stage.draft), stage.network.run(stage.draft)
    assert first.opened.shape == second.opened.shape
    assert first.receipts["nhs"] != second.receipts["nhs"]


def test_stopping_a_run_that_nobody_knows_says_so(stage: Stage) -> None:
    with pytest.raises(RunError) as caught:
        stage.ready().network.stop(RunHandle("0" * 32))
    assert caught.value.code == "run.unknown"


# -- what a specification may be given as -----------------------------------------------------------------------------


def test_a_specification_is_a_draft_a_model_a_text_or_a_file(stage: Stage, tmp_path: Path) -> None:
    file = stage.draft.save(tmp_path / "x.toml")
    digests = {read(given)[1].digest for given in (stage.draft, stage.draft.spec, stage.draft.toml, file, str(file))}
    assert digests == {stage.draft.check().digest}


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"a = [", b""])
def test_what_is_no_specification_is_refused_with_the_file_s_name(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read(file)
    assert "broken.toml" in caught.value.text or caught.value.code == "spec.field"


def test_a_changed_byte_is_another_specification(stage: Stage) -> None:
    other = parse_toml(stage.draft.toml.replace("Draft: ", "Draft; "))
    assert Draft(other, stage.draft.toml).check().digest != stage.draft.check().digest


# -- what a run ended of ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped_at", PARTIES)
def test_the_party_that_ended_of_its_own_accord_is_named_not_the_one_that_was_cut_off(
    stage: Stage, stopped_at: PartyId
) -> None:
    """A stop cuts streams: peers that hear of it late report the cut, and the client must not believe them."""
    for party, each in stage.ready().between.items():

        def watch(handle: RunHandle, deadline_s: float, party: PartyId = party) -> Iterator[Event]:
            code, by = ("run.stopped", "nhs") if party == stopped_at else ("link.cut", "aborted")
            yield Event("end", by, 1, 0, code)

        each.instead["watch"] = watch
    with pytest.raises(RunError) as caught:
        stage.network.run(stage.draft)
    assert caught.value.fields == {"party": stopped_at, "reason": "run.stopped"}


def test_a_peer_s_word_of_why_it_ended_comes_before_a_cut_connection(stage: Stage) -> None:
    def cut(handle: RunHandle, deadline_s: float) -> Iterator[Event]:
        yield Event("end", "aborted", 1, 0, "link.cut")

    def silent(handle: RunHandle, deadline_s: float) -> Iterator[Event]:
        return iter(())

    def aborted(run_id: bytes, senders: object, reviewed: object) -> Any:
        raise PeerError("peer.aborted", peer="helper", reason="run.stopped")

    stage.ready().network.link = aborted
    for party, each in stage.between.items():
        each.instead["watch"] = cut if party == PARTIES[1] else silent
    with pytest.raises(RunError) as caught:
        stage.network.run(stage.draft)
    assert caught.value.fields == {"party": "helper", "reason": "run.stopped"}
