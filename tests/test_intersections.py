"""Intersections from specification to table, in memory: against sets, with conditions, evidence and every refusal."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets.errors import ConfigError, LeakError, PetsError, ReceiptError, RunError
from pets.local import LocalNetwork, local_network
from pets.network import Draft
from pets.party import pairing
from pets.party.evidence import verify_evidence
from pets.plan.review import review
from pets.protocols.base import Role, Send
from pets.result import evidence_keys, recompute
from pets.spec.parse import parse_toml

PSI = ("intersection", "cardinality")


def network(asks: pd.DataFrame, other: pd.DataFrame, **more: dict[str, pd.DataFrame]) -> LocalNetwork:
    return local_network({"council": {"housing": asks}, "board": {"hospital": other}, **more})


def people(ids: list[str], **columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"person": pd.Series(ids, dtype="string"), **columns})


def found(net: LocalNetwork, draft: Draft) -> object:
    frame = net.run(draft).to_pandas()
    return list(frame["person"]) if "person" in frame else frame.iloc[0, 0]


@pytest.mark.parametrize("psi", PSI)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (40, 30, 12), (90, 7, 5), (5, 80, 0), (33, 33, 33)])
def test_it_is_what_sets_say(psi: str, sizes: tuple[int, int, int]) -> None:
    mine, theirs, both = sizes
    draw = random.Random(repr((psi, sizes)))
    ids = [f"p{draw.randrange(10**9):09}" for _ in range(mine + theirs - both)]
    asks, other = ids[:mine], ids[mine - both :]
    draw.shuffle(other)
    net = network(people(asks), people(other))
    got = found(net, net.draft(psi=psi, asks="housing"))
    assert got == (sorted(set(asks) & set(other)) if psi == "intersection" else both)


@pytest.mark.parametrize("psi", PSI)
def test_a_person_with_several_rows_is_one_person(psi: str) -> None:
    net = network(people(["a", "b", "b", "c", "c", "c"]), people(["b", "b", "c", "d", "d"]))
    assert found(net, net.draft(psi=psi)) == (["b", "c"] if psi == "intersection" else 2)


def test_the_text_form_says_how_many_rows_came_and_not_how_many_could() -> None:
    net = network(people(list("abcde")), people(list("bcx")))
    for psi, said in (("intersection", "2 rows, "), ("cardinality", "1 row, ")):
        result = net.run(net.draft(psi=psi, asks="housing"))
        assert repr(result).startswith(f"Result({result.review.spec.title!r}, {said}")


def test_conditions_choose_rows_at_their_holder() -> None:
    asks = people(list("abcdef"), tenure=["rent", "own", "rent", "own", "rent", "rent"])
    other = people(list("acdefz"), stay=[1, 5, 9, 2, 7, 7])
    net = network(asks, other)
    draft = net.draft(psi="intersection", asks="housing", where="housing.tenure = 'rent' AND hospital.stay >= 5")
    assert found(net, draft) == ["c", "f"]
    matrix = draft.check().verdict.matrix
    assert matrix.mark("hospital.stay", "council").value == "M" and matrix.mark("housing.tenure", "board").value == "-"


def test_columns_come_along_in_the_asker_s_order() -> None:
    asks = people(list("dcab"))
    other = people(list("xbda"), ward=["n", "s", None, "n"], cost=[1.5, 20.25, None, 3.0], days=[1, 2, 3, 4])
    net = network(asks, other)
    draft = net.draft(psi="intersection", asks="housing", columns=["days", "ward", "cost"])
    frame = net.run(draft).to_pandas()
    assert list(frame.columns) == ["person", "days", "ward", "cost"] and list(frame["person"]) == ["a", "b", "d"]
    assert list(frame["days"]) == [4, 2, 3] and list(frame["ward"]) == ["n", "s", "(missing)"]
    assert frame["cost"].isna().tolist() == [False, False, True] and list(frame["cost"][:2]) == [3.0, 20.25]
    matrix = draft.check().verdict.matrix
    assert {matrix.mark(f"hospital.{name}", "council").value for name in ("days", "ward", "cost")} == {"M"}
    assert "hospital.days" in net.run(draft).disclosure


def test_both_are_told_where_both_are_named() -> None:
    net = network(people(list("abcd")), people(list("xbdy")))
    draft = net.draft(psi="intersection", asks="housing", both=True)
    result = net.run(draft)
    assert list(result.to_pandas()["person"]) == ["b", "d"] and result.told == {"board": ("b", "d")}
    assert draft.check().verdict.matrix.mark("which persons are in both tables", "board").value == "V"
    assert net.run(net.draft(psi="intersection", asks="housing")).told == {}


def test_where_a_party_may_cheat_it_is_the_same() -> None:
    other = people(list("xbdac"), ward=["n", "s", "e", "n", None], cost=[1, 2, 3, None, 5])
    net = network(people(list("dcbuv")), other, third={})
    draft = net.draft(psi="intersection", asks="housing", columns=["ward", "cost"], both=True, adversary="malicious")
    result, matrix = net.run(draft), draft.check().verdict.matrix
    frame = result.to_pandas()
    assert list(frame["person"]) == ["b", "c", "d"] and result.told == {"board": ("b", "c", "d")}
    assert list(frame["ward"]) == ["s", "(missing)", "e"] and list(frame["cost"]) == [2, 5, 3]
    assert {"V2x", "V3x", "V4x", "Ws"} <= set(result.cost["step"]) and "vole_psi_malicious" in result.disclosure
    net = network(people(list("dcbuv")), other)
    followed = net.draft(psi="intersection", asks="housing", columns=["ward", "cost"], both=True).check()
    assert matrix.differences(followed.verdict.matrix) == () and "vole_psi_malicious" not in str(followed)


@pytest.mark.parametrize(("party", "label"), [("sender", "V4x"), ("sender", "Ws"), ("receiver", "V2x")])
def test_a_party_that_cheats_ends_the_run(party: str, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends something else than it should, and nobody has an outcome."""
    play = pairing._ALONE["vole_psi_malicious"]

    def cheating(*args: Any) -> Role[Any]:
        role = getattr(play, party)(*args)
        act = next(role)
        while True:
            if isinstance(act, Send) and act.label == label:
                act = replace(act, array=act.array ^ 1)
            try:
                act = role.send((yield act))
            except StopIteration as end:
                return end.value

    monkeypatch.setitem(pairing._ALONE, "vole_psi_malicious", play._replace(**{party: cheating}))
    net = network(people(list("abc")), people(list("bcd")))
    with pytest.raises(PetsError) as ended:
        net.run(net.draft(psi="intersection", adversary="malicious"))
    assert "peer.check" in str(ended.value) + ended.value.code


def test_only_who_is_in_both_is_found_where_a_party_may_cheat() -> None:
    net = network(people(list("abc")), people(list("bcd")))
    for asked in ({"psi": "cardinality"}, {"psi": "intersection", "protocol": "kkrt_psi"}):
        found = review(parse_toml(net.draft(**asked, adversary="malicious").toml)).verdict.errors
        assert [each.rule for each in found] == ["spec.adversary"]


HELPED = (
    {"psi": "intersection", "columns": ["ward", "cost"]},
    {"psi": "intersection", "both": True},
    {"psi": "cardinality"},
    {"psi": "cardinality", "epsilon": "60"},
    {"psi": "cardinality", "min_result": 3},
    {"psi": "cardinality", "min_result": 4},
    {"psi": "threshold", "at_least": 3},
    {"psi": "threshold", "at_least": 4},
)


@pytest.mark.parametrize("asked", HELPED, ids=[" ".join(map(str, each.values())) for each in HELPED])
def test_with_a_helper_it_is_the_same(asked: dict[str, object]) -> None:
    other = people(list("xbdac"), ward=["n", "s", "e", "n", None], cost=[1, 2, 3, None, 5])
    net = network(people(list("dcbuv")), other, third={})
    draft = net.draft(asks="housing", **asked)
    result, matrix = net.run(draft), draft.check().verdict.matrix
    frame = result.to_pandas()
    if asked["psi"] == "intersection":
        assert list(frame["person"]) == ["b", "c", "d"]
    if "columns" in asked:
        assert list(frame["ward"]) == ["s", "(missing)", "e"] and list(frame["cost"]) == [2, 5, 3]
    if "both" in asked:
        assert result.told == {"board": ("b", "c", "d")}
    if asked["psi"] == "cardinality" and asked.get("min_result") == 4:
        assert frame.isna().all(axis=None)
    elif asked["psi"] == "cardinality":
        assert list(frame["persons_in_both"]) == [3]
    if asked["psi"] == "threshold":
        assert list(frame["enough_in_both"]) == [asked["at_least"] == 3]
    assert matrix.mark("number of matched rows", "third").value == "N" and result.note()
    assert "give or take" in result.disclosure and result.plot().axes


def test_a_number_with_a_helper_may_go_to_somebody_else(tmp_path: Path) -> None:
    net = network(people(list("abcd")), people(list("bdx")), third={})
    draft = net.draft(psi="cardinality", asks="housing")
    toml = draft.toml.replace('"computing", "result"]', '"computing"]').replace('to = ["council"]', 'to = ["analyst"]')
    party = '[[party]]\nname = "analyst"\norganisation = "analyst"\nroles = ["result"]\n'
    toml = toml.replace("[[dataset]]", f'{party}san = "spiffe://local.invalid/analyst"\n\n[[dataset]]', 1)
    result = net.run(toml)
    matrix = review(parse_toml(toml)).verdict.matrix
    assert matrix.mark("number of matched rows", "council").value == "H" and result.to_pandas().iloc[0, 0] == 2
    folder = result.save(tmp_path / "out.csv")
    keys = evidence_keys(folder / "directory.toml")
    assert list(verify_evidence(folder, keys=keys, recompute=recompute(result.toml)))


def test_numbers_of_ten_digits_keep_their_zeros() -> None:
    asks, other = people(["0000000000", "9434765919", "4010232137"]), people(["4010232137", "0000000000"])
    net = network(asks, other)
    toml = net.draft(psi="intersection").toml.replace('scheme = "text"', 'scheme = "nhs-number"')
    toml = toml.replace('normalise = ["nfc"]', 'normalise = ["strip-spaces"]')
    assert list(net.run(toml).to_pandas()["person"]) == ["0000000000", "4010232137"]


@pytest.mark.parametrize("psi", PSI)
def test_the_evidence_gives_the_same_table_again(psi: str, tmp_path: Path) -> None:
    net = network(people(list("abcd")), people(list("bdx")))
    result = net.run(net.draft(psi=psi))
    folder = result.save(tmp_path / "out.csv")
    keys = evidence_keys(folder / "directory.toml")
    lines = list(verify_evidence(folder, keys=keys, recompute=recompute(result.toml)))
    assert any("result.csv" in line for line in lines)
    share = folder / "shares" / "council.bin"
    share.write_bytes(share.read_bytes()[:-1] + b"\1")
    with pytest.raises(ReceiptError):
        list(verify_evidence(folder, keys=keys, recompute=recompute(result.toml)))


def test_a_holder_that_gets_a_table_can_verify_it(tmp_path: Path) -> None:
    """What its server was sent is told apart from what its people were."""
    net = network(people(list("abcd")), people(list("bdx")), helper={})
    draft = net.draft("SELECT COUNT(*) AS n FROM housing JOIN hospital USING (person)", epsilon="100")
    toml = draft.toml.replace('to = ["analyst"]', 'to = ["council"]')
    toml = toml.replace('roles = ["input", "computing"]', 'roles = ["input", "computing", "result"]', 1)
    start = toml.index('[[party]]\nname = "analyst"')
    toml = toml[:start] + toml[toml.index("[[dataset]]") :]
    result = net.run(toml)
    folder = result.save(tmp_path / "out.csv")
    keys = evidence_keys(folder / "directory.toml")
    assert list(verify_evidence(folder, keys=keys, recompute=recompute(result.toml)))


def test_what_is_sent_is_the_same_size_whoever_is_in_both() -> None:
    def sizes(other: list[str]) -> list[tuple[str, int]]:
        net = network(people(list("abcdefgh")), people(other))
        net.run(net.draft(psi="intersection"), record=True)
        return sorted((repr(sent.slot), len(sent.body)) for sent in net._wires.transcript)

    assert sizes(list("abcdefgh")) == sizes(list("stuvwxyz"))


def test_two_runs_share_nothing_on_the_wire() -> None:
    net = network(people(list("abcdefgh")), people(list("abcdxyzw")))
    draft = net.draft(psi="cardinality", max_runs=2)
    bodies = []
    for _ in range(2):
        net.run(draft, record=True)
        bodies.append({bytes(sent.body) for sent in net._wires.transcript if not sent.to.endswith(":result")})
    assert not bodies[0] & bodies[1]


def test_more_rows_a_person_than_declared_are_refused_at_their_holder() -> None:
    net = network(people(["a", "a", "b"]), people(["b"]))
    toml = net.draft(psi="cardinality").toml.replace("max_rows_per_person = 2", "max_rows_per_person = 1")
    with pytest.raises(PetsError) as refused:
        net.run(toml)
    assert "source" in refused.value.code or "run.ended" in refused.value.code


def test_an_oversized_set_is_refused_at_its_holder() -> None:
    net = network(people(list("abcde")), people(["b"]))
    toml = net.draft(psi="cardinality").toml.replace("max_rows = 5", "max_rows = 4")
    with pytest.raises(PetsError) as refused:
        net.run(toml)
    assert refused.value.code in ("source.not-ready", "source.max-rows")


def test_drafts_say_what_they_lack() -> None:
    net = network(people(["a"]), people(["b"]))
    for wrong in ({}, {"sql": "SELECT 1", "psi": "cardinality"}):
        with pytest.raises(ConfigError, match="psi"):
            net.draft(**wrong)
    with pytest.raises(ConfigError, match="two tables"):
        net.draft(psi="cardinality", asks="none")


def test_a_refused_specification_does_not_run() -> None:
    net = network(people(["a"]), people(["b"]))
    toml = (
        net.draft(psi="cardinality")
        .toml.replace('to = ["council"]', 'to = ["board"]')
        .replace('roles = ["input", "computing"]', 'roles = ["input", "computing", "result"]')
    )
    assert [f.rule for f in review(parse_toml(toml)).verdict.errors] == ["psi.to", "psi.undeclared"]
    with pytest.raises(LeakError):
        net.run(toml)


def test_a_stop_ends_it_and_tells_nobody() -> None:
    net = network(people(list("abc")), people(list("abd")))
    draft = net.draft(psi="intersection")

    def stop(party: str, event: object) -> None:
        if getattr(event, "name", "") == "V1r":
            net.stop(handle)

    from pets.ids import RunHandle

    handle = RunHandle("0" * 31 + "1")
    with pytest.raises(RunError):
        net.run(draft, progress=stop, handle=handle)


@pytest.mark.parametrize("psi", PSI)
def test_the_report_and_the_result_read_well(psi: str) -> None:
    net = network(people(list("abc")), people(list("bcd")))
    draft = net.draft(psi=psi)
    result = net.run(draft)
    told = result.disclosure
    assert "council" in told and ("in hospital, too" in told)
    assert "housing" in draft._repr_html_() and "hospital" in result._repr_html_()
    assert result.plot().axes and result.note() and repr(result).startswith("Result(")
    assert {"R1", "hello"} <= set(result.cost["step"])
