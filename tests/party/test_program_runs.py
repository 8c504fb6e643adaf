"""Specifications that name programs, run between servers in memory on records: what comes out, and what is refused."""

import hashlib
import os
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pets
from pets import local
from pets.approve.permitting import permitting
from pets.errors import LeakError, PeerError, PetsError, ReceiptError, RunError
from pets.ids import PartyId, RunHandle
from pets.kernels.interpolate import open_at_zero, signed
from pets.party import gate
from pets.party.evidence import verify_evidence
from pets.party.mpyc_relay import FIRST, read_frames
from pets.party.session import roles_of
from pets.plan.review import review
from pets.result import Result, evidence_keys, recompute
from pets.spec.parse import parse_toml
from pets.transport import frame, memory
from pets.transport.calls import Event
from pets.transport.link import MOST_NUMBERED, Slot
from pets.transport.memory import MemoryNetwork, Passing
from tests.oracles.logrank import chi_square
from tests.party.program_specs import BOARDS, OWN, altered, own_program, survival_spec, with_party

NORTH, SOUTH, WEST = map(PartyId, BOARDS)
DAYS: Mapping[str, list[int]] = {"north": [5, 10, 20, 40], "south": [1, 2, 3, 4], "west": [100, 200, 300, 400]}


def waits(days: Mapping[str, list[int]] = DAYS) -> dict[str, dict[str, pd.DataFrame]]:
    """Rows in no order: a program gets them in the order of their ids."""
    made = {}
    for place, (party, own) in enumerate(days.items()):
        ids = [f"P{100 * place + n:05d}" for n in range(len(own))]
        frame = pd.DataFrame({"chi": ids, "days": own, "referred": [f"2026-0{1 + n % 9}-01" for n in range(len(own))]})
        made[party] = {"waits": frame.sample(frac=1, random_state=place)}
    return made


def run(toml: str, tables: Mapping[str, Mapping[str, Any]] | None = None, **given: Any) -> Result:
    return pets.local_network(tables or waits()).run(toml, **given)


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_quantiles_are_those_of_all_records_together_and_the_folder_verifies(tmp_path: Path) -> None:
    result = run(altered())
    pooled = np.sort(np.concatenate([*DAYS.values()]))
    assert result.outputs == {"quantile": tuple(Fraction(int(pooled[rank - 1])) for rank in (3, 6, 9))}
    assert result.to_csv() == b"output,place,value\nquantile,1,3\nquantile,2,10\nquantile,3,100\n"
    assert (result.grouping, result.statistics, result.epsilon) == (("output", "place"), ("value",), "none")
    assert "Exact numbers" in result.note() and "3 rows" in repr(result) and "quantile" in result._repr_html_()
    assert set(result.cost["step"]) >= {"program", "P2"}
    folder = result.save(tmp_path / "waits.csv")
    told = verify_evidence(folder, keys=evidence_keys(folder / "directory.toml"), recompute=again(folder))
    assert "shares of north, south, west are what their receipts say" in told
    for party in BOARDS:
        labels = [message.label for message in receipt(folder, party).sent]
        assert sorted(labels) == ["P1", "P1", "P2"]
    other = folder / "shares" / "south.bin"
    other.write_bytes(other.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ReceiptError, match=r"receipt\.share-differs"):
        verify_evidence(folder, keys=evidence_keys(folder / "directory.toml"), recompute=again(folder))


def again(folder: Path) -> Any:
    return recompute((folder / "spec.toml").read_text())


def receipt(folder: Path, party: str) -> Any:
    from pets.party.receipts import verify_receipt

    keys = {name: each.signing for name, each in evidence_keys(folder / "directory.toml").items()}
    return verify_receipt((folder / "receipts" / f"{party}.json").read_bytes(), keys, party=party)


def test_the_greatest_of_all_goes_to_a_party_that_neither_brings_nor_computes() -> None:
    toml = with_party(altered(), "analysts", '["result"]').replace('to = ["north"]', 'to = ["analysts"]')
    toml = toml.replace('"input", "computing", "result"', '"input", "computing"').replace('"quantiles"', '"maximum"')
    maximum = altered_program(toml, "secure_maximum", "parameters = { per_holder = 4 }")
    result = run(maximum)
    assert result.outputs == {"maximum": (Fraction(400),)}
    assert set(result.shares) == {NORTH, SOUTH, WEST}


def altered_program(toml: str, name: str, parameters: str) -> str:
    from pets.spec.mpyc_program import built_in

    start, end = toml.index("[computation]"), toml.index("[release]")
    body = f'[computation]\nprogram = "{name}"\nsha256 = "{built_in(name).source.sha256}"\n{parameters}\n'
    body += 'inputs = { value = "waits.days" }\nbudget = { frames = 2000, bytes = 300_000, rounds = 90 }\n\n'
    return toml[:start] + body + toml[end:]


@pytest.mark.long
def test_the_survival_test_of_event_tables_is_that_of_the_pooled_ones() -> None:
    dice = random.Random(11)
    tables: dict[str, dict[str, list[int]]] = {}
    for party in BOARDS:
        table: dict[str, list[int]] = {"events_1": [], "events_2": [], "at_risk_1": [], "at_risk_2": []}
        left = [dice.randint(20, 60), dice.randint(20, 60)]
        for _ in range(4):
            for group in (0, 1):
                events = dice.randint(0, left[group] // 4)
                table[f"events_{group + 1}"].append(events)
                table[f"at_risk_{group + 1}"].append(left[group])
                left[group] -= events
        tables[party] = table
    frames = {
        party: {"intervals": pd.DataFrame({"interval": [f"i{n:02d}" for n in range(4)], **own})[::-1]}
        for party, own in tables.items()
    }
    result = run(survival_spec(4), frames)
    (found,) = result.outputs["chi_square"]
    assert chi_square(tables) > 0 and abs(found - chi_square(tables)) < Fraction(1, 10**4)
    (row,) = result.to_pandas().to_dict("records")
    assert row["value"] == pytest.approx(float(chi_square(tables)), abs=1e-4)


def test_a_program_of_ones_own_on_rows_that_a_condition_chooses() -> None:
    """Each holder has two rows of January and February; the others stay at home."""
    toml = own_program(OWN, rows=2, where="referred < DATE '2026-03-01'")
    result = run(toml)
    assert result.outputs == {"total": (Fraction(5 + 10 + 1 + 2 + 100 + 200),), "square": (Fraction(318**2),)}


@pytest.mark.long
def test_three_tables_of_one_holder_each_are_three_inputs() -> None:
    file = Path(__file__).parents[1] / "check" / "programs" / "should_warn" / "each_its_own_table.toml"
    toml = file.read_text().replace('"nhs-number"', '"text"').replace('["strip-spaces", "check-digit"]', "[]")
    tables = {party: {f"waits_{party}": own["waits"]} for party, own in waits().items()}
    assert run(toml, tables).outputs == {"total": (sum(map(sum, DAYS.values())),)}


@pytest.mark.long
def test_four_parties_share_keys_that_the_lowest_of_them_deals() -> None:
    toml = with_party(altered(), "office", '["computing"]')
    result = run(toml, {**waits(), "office": {}})
    assert result.outputs["quantile"] == (3, 10, 100)
    assert set(result.shares) == {NORTH, SOUTH, WEST, PartyId("office")}


def seen(result: Result) -> dict[tuple[PartyId, PartyId], list[bytes]]:
    """Payloads of all frames between servers, by sender and receiver."""
    found: dict[tuple[PartyId, PartyId], list[bytes]] = {}
    for each in result.transcript:
        if each.to in BOARDS:
            payloads = (bytes(payload) for _, payload in read_frames(memoryview(each.body)))
            found.setdefault((each.sender, each.to), []).extend(payloads)
    return found


def test_what_is_sent_is_as_long_for_all_data_and_never_twice_the_same() -> None:
    """Two runs over other records with the same outcome: sizes tell nothing, no share of the one is in the other."""
    same = {"north": [5, 10, 3, 40], "south": [0, 2, 3, 4], "west": [100, 200, 900, 1000]}
    runs = [seen(run(altered(), waits(days), record=True)) for days in (DAYS, same, DAYS)]
    assert set(runs[0]) == {(a, b) for a in BOARDS for b in BOARDS if a != b}
    for way in runs[0]:
        sizes = [sorted(map(len, each[way])) for each in runs]
        assert sizes[0] == sizes[1] == sizes[2]
        long = [{payload for payload in each[way] if len(payload) > 8} for each in runs]
        assert not long[0] & long[1] and not long[0] & long[2]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_another_number_of_rows_ends_the_run_and_tells_nobody_which() -> None:
    with pytest.raises(RunError) as caught:
        run(altered(), waits({**DAYS, "south": [1, 2, 3]}))
    assert (caught.value.fields["party"], caught.value.fields["reason"]) == (SOUTH, "source.not-ready")


def test_a_changed_text_is_another_program_and_every_server_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies name the digest of the text that was read; one letter more is another text."""
    read, other = own_program(OWN), own_program(OWN.replace("rounded", "Rounded"))
    assert read != other
    of_read = parse_toml(read)

    def policy(spec: Any, party: str, approvers: Any, **given: Any) -> Any:
        return permitting(of_read, party, approvers, **given)

    monkeypatch.setattr(local, "permitting", policy)
    assert run(read).outputs["total"] == (sum(map(sum, DAYS.values())),)
    for first in BOARDS:
        with pytest.raises(LeakError, match=rf"{first} does not run a program of the author's own"):
            network = pets.local_network(dict(sorted(waits().items(), key=lambda each: each[0] != first)))
            network.run(moved_first(other, first))


def moved_first(toml: str, party: str) -> str:
    """The same specification with a party named first, which is the first that is asked."""
    parts = toml.split("[[party]]")
    head, parties = parts[0], parts[1:]
    last, rest = parties[-1].split("[[dataset]]")
    blocks = sorted([*parties[:-1], last], key=lambda block: f'name = "{party}"' not in block)
    return head + "".join(f"[[party]]{block.rstrip()}\n\n" for block in blocks) + "[[dataset]]" + rest


def test_a_server_without_the_program_in_its_policy_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def policy(spec: Any, party: str, approvers: Any, **given: Any) -> Any:
        made = permitting(spec, party, approvers, **given)
        return made.model_copy(update={"limits": made.limits.model_copy(update={"programs": ()})})

    monkeypatch.setattr(local, "permitting", policy)
    with pytest.raises(LeakError, match="does not run quantiles"):
        run(altered())


# -- hostile parties ---------------------------------------------------------------------------------------------------


class Bomb:
    """What pickle would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('a peer ran code')",))


def tapped(monkeypatch: pytest.MonkeyPatch, tap: Callable[[MemoryNetwork], memory.Tap]) -> None:
    """Let an attacker with one party's certificate change what that party sends."""

    def made(*given: Any, **named: Any) -> MemoryNetwork:
        network = MemoryNetwork(*given, **named)
        network.taps.append(tap(network))
        return network

    monkeypatch.setattr(local, "MemoryNetwork", made)


def changes(slot: Slot, to: PartyId, change: Callable[[bytes], Iterable[bytes]]) -> Callable[..., memory.Tap]:
    """What south sends in one message, changed."""

    def tap(network: MemoryNetwork) -> memory.Tap:
        def act(passing: Passing) -> Iterator[bytes]:
            for body in change(passing.data[frame.HEADER_BYTES :]):
                yield from frame.frames(network.run_id, slot, memoryview(body))

        return memory.on(SOUTH, to, slot, act)

    return tap


def framed(payload: bytes, *, counter: bytes) -> bytes:
    return counter[:8] + len(payload).to_bytes(4, "little") + payload


def size_of(body: bytes) -> int:
    return int.from_bytes(body[8:12], "little")


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "pickle": lambda body: framed(pickle.dumps(Bomb()), counter=body),
    "huge integers": lambda body: framed(b"\x02" + b"\xff" * (size_of(body) - 1), counter=body),
    "one element more": lambda body: framed(body[12 : 12 + size_of(body)] + bytes(14), counter=body),
    "a length beyond the message": lambda body: body[:8] + b"\xff\xff\xff\xff" + body[12:],
    "the same frame twice": lambda body: body[: 12 + size_of(body)] * 2,
}


@pytest.mark.parametrize(
    "name", [*list(HOSTILE)[:2], *(pytest.param(n, marks=pytest.mark.long) for n in list(HOSTILE)[2:])]
)
def test_a_hostile_frame_ends_the_run_everywhere_and_opens_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tapped(monkeypatch, changes(Slot(FIRST.message, 1), NORTH, lambda body: [HOSTILE[name](body)]))
    with pytest.raises(PetsError) as caught:
        run(altered())
    assert (caught.value.code, caught.value.fields["reason"]) == ("run.ended", "peer.program")
    assert caught.value.fields["party"] == NORTH


def test_more_than_the_budget_ends_the_run() -> None:
    """What every party's own gate holds its own program to, before a peer has to."""
    toml = altered().replace("bytes = 120_000", "bytes = 4_000")
    with pytest.raises(RunError) as caught:
        run(toml)
    assert caught.value.fields["reason"] == "run.program"


def flood(network: MemoryNetwork) -> memory.Tap:
    """South's first message to north, and then more than the specification lets it send."""

    def act(passing: Passing) -> Iterator[bytes]:
        body = passing.data[frame.HEADER_BYTES :]
        stray = (77).to_bytes(8, "little") + (300_000).to_bytes(4, "little") + bytes(300_000)
        yield from frame.frames(network.run_id, FIRST, memoryview(body + stray))

    return memory.on(SOUTH, NORTH, FIRST, act)


@pytest.mark.parametrize(
    ("tap", "codes"),
    [
        (flood, {"peer.budget"}),
        pytest.param(
            lambda network: memory.on(SOUTH, NORTH, FIRST, memory.duplicate), {"peer.repeated"}, marks=pytest.mark.long
        ),
        pytest.param(lambda network: memory.on(SOUTH, NORTH, FIRST, memory.cut), {"link.cut"}, marks=pytest.mark.long),
    ],
)
def test_floods_repetitions_and_cuts_end_the_run(
    tap: Callable[[MemoryNetwork], memory.Tap], codes: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tapped(monkeypatch, tap)
    with pytest.raises(PetsError) as caught:
        run(altered())
    assert {caught.value.code, str(caught.value.fields.get("reason", ""))} & codes, caught.value


def test_frames_of_another_run_or_of_a_stranger_get_nothing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def tap(network: MemoryNetwork) -> memory.Tap:
        def act(passing: Passing) -> Iterator[bytes]:
            yield from frame.frames(hashlib.sha256(b"another run").digest(), FIRST, memoryview(b"abc"))

        return memory.on(SOUTH, NORTH, FIRST, act)

    tapped(monkeypatch, tap)
    with pytest.raises(PetsError) as caught:
        run(altered())
    assert "peer.other-run" in (caught.value.code, caught.value.fields.get("reason"))


@pytest.mark.long
def test_a_frame_under_a_name_that_takes_no_part_is_no_frame_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sent a frame is what the certificate says: south's own bytes count for nothing under another name."""
    refused: list[PetsError] = []

    def tap(network: MemoryNetwork) -> memory.Tap:
        def act(passing: Passing) -> Iterator[bytes]:
            try:
                network.link(NORTH).mailbox.put(PartyId("mallory"), passing.data)
            except PetsError as error:
                refused.append(error)
            yield passing.data

        return memory.on(SOUTH, NORTH, FIRST, act)

    tapped(monkeypatch, tap)
    with pytest.raises(PetsError):
        run(altered())
    assert {error.code for error in refused} == {"peer.unexpected"}


def test_a_share_of_the_result_that_was_changed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shares of degree one: any of them that is another does not fit the two others."""

    def changed(body: bytes) -> Iterable[bytes]:
        return [body[:33] + bytes([body[33] ^ 1]) + body[34:]]

    opened = Slot(MOST_NUMBERED, 0)
    tapped(monkeypatch, changes(opened, PartyId("north:result"), changed))
    with pytest.raises(PeerError, match=r"peer\.released: what the parties send of the output quantile"):
        run(altered())


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_program_that_never_ends_is_stopped_and_its_processes_are_gone() -> None:
    """Any party may stop a run; the processes of the program are killed with it."""
    endless = OWN.replace("    mpc.release", "    while True:\n        pass\n    mpc.release", 1)
    network, handle = pets.local_network(waits()), RunHandle("ab" * 16)
    begun = threading.Event()
    met: list[PetsError] = []

    def tell(party: PartyId, event: Event) -> None:
        if event.name == "hello":
            begun.set()

    def start() -> None:
        try:
            network.run(own_program(endless), handle=handle, progress=tell)
        except PetsError as error:
            met.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    assert begun.wait(60)
    time.sleep(2)  # until the processes have their orders
    network.stop(handle)
    thread.join(30)
    assert not thread.is_alive() and met
    assert met[0].fields.get("reason", met[0].code) in ("run.stopped", "peer.aborted"), met
    listed = [file.read_text().split() for file in Path(f"/proc/{os.getpid()}/task").glob("*/children")]
    children = [Path(f"/proc/{pid}/cmdline").read_bytes() for each in listed for pid in each]
    assert not [line for line in children if b"mpyc_worker" in line]


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_the_gate_knows_the_streams_of_the_card_and_what_is_opened() -> None:
    found = review(parse_toml(altered())).require()
    roles = roles_of(found)
    assert roles == {"party1": NORTH, "party2": SOUTH, "party3": WEST, "result": "north:result"}
    flows = gate.project_streams(found.plan, roles, "party2")
    assert [(each.label, each.peer, each.frames, each.bytes) for each in flows] == [
        ("P1", peer, 1000, 120_000) for peer in (NORTH, WEST)
    ]
    assert gate.project_streams(found.plan, roles, "result") == ()
    (sent,) = gate.project_plan(found.plan, roles, "party2")
    assert (sent.sending, sent.peer, sent.label, sent.size) == (True, "north:result", "P2", 8 * 4 * (1 + 3))
    received = gate.project_plan(found.plan, roles, "result")
    assert [(each.sending, each.peer) for each in received] == [(False, peer) for peer in (NORTH, SOUTH, WEST)]
    assert {message.label for message in found.forecast.messages} == {"P1", "P2"}
    assert found.forecast.size == 6 * 120_000 + 3 * 128 and found.forecast.rounds == 202
    assert (
        gate.refused(PeerError("peer.program", peer=NORTH, problem="x", label="P1"), gate.labels_of(found.plan)) == "P1"
    )


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parties", [3, 4, 5, 9])
def test_shares_open_to_their_number_and_only_if_all_lie_on_one_polynomial(parties: int) -> None:
    dice, order = random.Random(parties), 2**61 - 1
    degree = (parties - 1) // 2
    for value in (0, 1, -1, 12345, -(2**40), order // 2):
        polynomial = [value % order, *(dice.randrange(order) for _ in range(degree))]
        shares = [sum(c * x**k for k, c in enumerate(polynomial)) % order for x in range(1, parties + 1)]
        assert signed(open_at_zero(shares, degree=degree, order=order), order) == value
        for wrong in range(1, degree + 1):  # up to t shares of n > 2 t
            spoilt = list(shares)
            for place in dice.sample(range(parties), wrong):
                spoilt[place] = (spoilt[place] + dice.randrange(1, order)) % order
            with pytest.raises(ValueError, match="one polynomial"):
                open_at_zero(spoilt, degree=degree, order=order)
    for shares, order in (([1, 2, 3], 3), ([1, 2, 7], 7), ([1, 2, -1], 7), ([1, 1, 1, 2], 6)):
        with pytest.raises(ValueError, match=r"shares|invertible"):
            open_at_zero(shares, degree=1, order=order)


def test_what_a_specification_of_the_corpus_asks_for_is_what_runs() -> None:
    found = review(parse_toml(altered()))
    assert found.accepted and found.plan is not None and found.plan.program is not None
    assert found.plan.program.terms.source == found.spec.computation.sha256
