"""Every fault at every step of a plan: never on the wire, the run aborted at all parties, and the log names the step.

Ten plans: a join that is released with noise; one under disclosure control, with a condition across tables and a
median, so that rows and cells are computed on by three; both in mode B; one with many groups on both sides, which are
told apart on shares; tables of several holders, joined by three who hold none, with noise and under control; and two
intersections, of two holders alone: which persons, and how many.
"""

import ast
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets import protocols
from pets.errors import InternalError, PeerError
from pets.ids import PartyId
from pets.party import gate
from pets.party.gate import Expected
from pets.spec.cards import load_cards
from pets.spec.joins import MODE_A
from pets.spec.repeated import with_so_many
from tests.party import faults
from tests.party.held import CLINIC, HELD, HOLDERS, LEAKAGE, LEGAL, PARTY
from tests.party.trials import Trials, deployed
from tests.party.world import BOARD, COUNCIL, HELPER, SPEC, altered, homes, reviewed_of, stays

MANY = (("max_runs = 3", "max_runs = 1000000"),)
NOISE = SPEC[SPEC.index("[release.differential_privacy]") : SPEC.index("[security]")]
MODE_B = (("helper_join_a", "helper_join_b"), (LEAKAGE, ""))
TOMLS = {
    "noised": altered(*MANY),
    "exact": altered(
        *MANY,
        (
            NOISE,
            '[release.disclosure_control]\nmin_count = 3\nround_to = 2\nround_values_to = { "stays.minutes" = 5 }\n',
        ),
        ("max_rows_per_person = 2", "max_rows_per_person = 1"),
        ("min = 0, max = 100 }", "min = 0, max = 100, required = true }"),
        (
            'levels = ["own", "rent"] }\n',
            'levels = ["own", "rent"] }\nsize = { role = "measure", type = "integer", min = 0, max = 90 }\n',
        ),
        ("SUM(s.minutes) AS minutes", "SUM(s.minutes) AS minutes, MEDIAN(s.minutes) AS middle"),
        ("DATE '2020-01-01'", "DATE '2020-01-01' AND s.minutes > h.size"),
    ),
}
MORE = ", ".join(f'"{number}"' for number in range(33))
TOMLS["groups"] = altered(
    ('["young", "old"]', f'["young", "old", {MORE}]'),
    ('["own", "rent"]', f'["own", "rent", {MORE}]'),
    base=TOMLS["noised"],
)
TOMLS["mode b"] = altered(*MODE_B, base=TOMLS["noised"])
TOMLS["exact, mode b"] = altered(*MODE_B, base=TOMLS["exact"])
TRUST = PartyId("trust")
DATASET = """[[dataset]]
name = "{0}"
party = "{1}"
max_rows_per_person = 1
max_rows = 20
[dataset.columns]
pid = {{ role = "person id", scheme = "text" }}
{2}
"""
TOMLS["many holders"] = altered(*HELD, base=TOMLS["noised"])
TOMLS["many holders, exact"] = altered(
    *HELD,
    (NOISE, "[release.disclosure_control]\nmin_count = 3\nround_to = 2\n"),
    ("min = 0, max = 100 }", "min = 0, max = 100, required = true }"),
    base=TOMLS["noised"],
)
BOTH = 'input", "computing'
TOMLS["four tables"] = altered(
    (
        '[[party]]\nname = "helper"',
        "".join(PARTY.format(party, BOTH) for party in (TRUST, CLINIC)) + '[[party]]\nname = "helper"',
    ),
    (
        "[legal.board]",
        DATASET.format("schools", TRUST, 'marks = { role = "measure", type = "integer", min = 0, max = 9 }')
        + DATASET.format("clinics", CLINIC, "")
        + "[legal.board]",
    ),
    ("[linkage]", "".join(LEGAL.replace("council", party) for party in (TRUST, CLINIC)) + "[linkage]"),
    ("SUM(s.minutes) AS minutes", "SUM(s.minutes) AS minutes, SUM(c.marks) AS marks"),
    ("ON s.pid = h.pid", "ON s.pid = h.pid JOIN schools c ON s.pid = c.pid JOIN clinics d ON h.pid = d.pid"),
    ('of = ["stays", "homes"]', 'of = ["stays", "homes", "schools", "clinics"]'),
    ("helper_join_a", "star_join"),
    (LEAKAGE, ""),
    base=TOMLS["noised"],
)
ALONE = (
    *MANY,
    (NOISE, ""),
    (LEAKAGE, ""),
    (
        'roles = ["input", "computing"]\nsan = "spiffe://board',
        'roles = ["input", "computing", "result"]\nsan = "spiffe://board',
    ),
    (SPEC[SPEC.index('[[party]]\nname = "helper"') : SPEC.index('[[dataset]]\nname = "stays"')], ""),
    ('to = ["statistics"]', 'to = ["board"]'),
)
COMPUTATION = SPEC[SPEC.index("[computation]") : SPEC.index("[release]")]
ASKED = '[computation]\npsi = "{0}"\nasks = "stays"\nwhere = "stays.band = \'old\'"\n'
TOMLS["which"] = altered(
    *ALONE,
    (COMPUTATION, ASKED.format("intersection") + 'columns = ["homes.tenure"]\n'),
    ("helper_join_a", "vole_psi"),
    ('to = ["board"]', 'to = ["board", "council"]'),
    (
        'roles = ["input", "computing"]\nsan = "spiffe://council',
        'roles = ["input", "computing", "result"]\nsan = "spiffe://council',
    ),
)
TOMLS["how many"] = altered(*ALONE, (COMPUTATION, ASKED.format("cardinality")), ("helper_join_a", "dh_psi_cardinality"))
PAIRS: dict[str, dict[str, Any]] = {
    name: {
        "protocols": (card,),
        "least": 1,
        "asks": BOARD,
        "computing": (BOARD, COUNCIL),
        "ids": ({"allow": ("join", use)},),
    }
    for name, card, use in (("which", "vole_psi", "reveal"), ("how many", "dh_psi_cardinality", "exact count"))
}
"""How their deployments differ: no helper; the one who asks gets it, and of persons both, with a column."""
PAIRS["which"] |= {"told": (COUNCIL,), "tenure": ({"allow": ("reveal",)},)}
PEOPLE = [f"IDENTITY-{n}" for n in range(9)]
ROOMY = homes(*((pid, "rent") for pid in PEOPLE[1:])).assign(size=pd.array(range(8), dtype="Int64"))
LONG = stays(*((pid, "old", 5 * n) for n, pid in enumerate(PEOPLE)))
SUBJECTS = {name: faults.Subject(reviewed_of(toml)) for name, toml in TOMLS.items()}
STEPS = [(name, role, step) for name, subject in SUBJECTS.items() for role, step in subject.steps()]
"""Of each plan, role and label, the first and the last column."""

LONG_ALONE = "many holders, exact"
"""A plan for the long tests alone: what is new of it is in others, too."""


def _ends(last: bool) -> list[tuple[str, str, Expected]]:
    found: dict[tuple[str, str, str], tuple[str, str, Expected]] = {}
    for name, role, step in STEPS:
        if name == LONG_ALONE:
            continue
        place = (name, role, step.label)
        found[place] = found.get(place, (name, role, step)) if not last else (name, role, step)
    return list(found.values())


FIRST, LAST = _ends(last=False), _ends(last=True)


def named(value: object) -> object:
    return getattr(value, "label", value)


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trials]]:
    folder = tmp_path_factory.mktemp("faults")
    exact = {
        "tables": {"stays": LONG, "homes": ROOMY},
        "least": 3,
        "minutes": ({"allow": ("sum", "filter", "quantile")},),
    }
    with ExitStack() as stack:
        made = {}
        for name, toml in TOMLS.items():
            options = (exact if "exact" in name else {}) | (
                {"protocols": ("helper_join_b",)} if "mode b" in name else {}
            )
            options |= PAIRS.get(name, {})
            if "many holders" in name:
                options = {**HOLDERS, "least": 3 if "exact" in name else None}
            if name == "four tables":
                few = pd.DataFrame({"pid": PEOPLE[2:8]}).astype("string")
                options = {
                    "tables": {"schools": few.assign(marks=pd.array(range(6), dtype="Int64")), "clinics": few},
                    "protocols": ("star_join",),
                    "holders": {"stays": (BOARD,), "homes": (COUNCIL,), "schools": (TRUST,), "clinics": (CLINIC,)},
                    "computing": (BOARD, COUNCIL, TRUST, CLINIC, HELPER),
                }
            made[name] = stack.enter_context(deployed(folder / name, toml, **options))
        yield made


def some(name: str, step: Expected, of: list[faults.Fault]) -> list[faults.Fault]:
    """All faults of the first plan; of the others one, not the same at every step."""
    return of if name == "noised" else [of[step.slot.message % len(of)]]


@pytest.mark.parametrize(("name", "role", "step"), FIRST[::5], ids=named)
def test_no_fault_of_a_role_passes_its_gate(
    deployments: dict[str, Trials], name: str, role: str, step: Expected
) -> None:
    for fault in some(name, step, list(faults.faults_of(SUBJECTS[name], role, step))):
        deployments[name].of_role(role, step, fault)


@pytest.mark.long
@pytest.mark.parametrize(("name", "role", "step"), STEPS, ids=named)
def test_no_fault_at_all_of_a_role_passes_its_gate(
    deployments: dict[str, Trials], name: str, role: str, step: Expected
) -> None:
    for fault in faults.faults_of(SUBJECTS[name], role, step):
        deployments[name].of_role(role, step, fault)


@pytest.mark.parametrize(("name", "role", "step"), LAST[::5], ids=named)
def test_no_fault_on_the_way_passes_the_receiver(
    deployments: dict[str, Trials], name: str, role: str, step: Expected
) -> None:
    bends = list(faults.bends_of(SUBJECTS[name], role, step))
    for bent in bends if name == "noised" else bends[step.slot.message % len(bends) :][:1]:
        deployments[name].on_the_way(role, step, bent)


@pytest.mark.long
@pytest.mark.parametrize(("name", "role", "step"), STEPS, ids=named)
def test_no_fault_at_all_on_the_way_passes_the_receiver(
    deployments: dict[str, Trials], name: str, role: str, step: Expected
) -> None:
    for bent in faults.bends_of(SUBJECTS[name], role, step):
        deployments[name].on_the_way(role, step, bent)


def test_faults_are_made_for_every_message_of_the_cards() -> None:
    of_the_card, of_mode_b = (
        {message.label for message in load_cards()[card].messages if message.columns.text not in ("v_c", "v_k")}
        for card in (MODE_A, "helper_join_b")
    )
    assert SUBJECTS["noised"].used == of_the_card
    assert SUBJECTS["groups"].used >= {"Mk", "move", "and", "open"}
    assert SUBJECTS["exact"].used >= {"Mr", "M6c", "Cf", "Cs", "in", "two", "and", "mul", "move", "open", "show"}
    both = SUBJECTS["mode b"].used | SUBJECTS["exact, mode b"].used
    assert both >= of_mode_b
    counts = {"left": 2, "right": 1}
    of_many = {message.label for message in with_so_many(load_cards()["shared_join"], counts).messages}
    assert SUBJECTS["many holders"].used >= of_many | {"jtwo", "jmove", "jand", "jopen", "jmul"}
    assert SUBJECTS[LONG_ALONE].used >= {"jtwo", "jopen", "two", "and", "show"}
    of_four = {message.label for message in with_so_many(load_cards()["star_join"], {"d": 2}).messages}
    assert SUBJECTS["four tables"].used | {"Pd2"} == of_four | {"two", "in", "and", "mul"}, (
        "nothing is asked of the last"
    )
    for name, card in (("which", "vole_psi"), ("how many", "dh_psi_cardinality")):
        handed = {message.label for message in load_cards()["psi_result"].messages}
        assert SUBJECTS[name].used == {message.label for message in load_cards()[card].messages} | handed
    for name, subject in SUBJECTS.items():
        steps = list(subject.steps())
        assert {role for role, _ in steps} == set(subject.servers)
        assert name in PAIRS or any(step.slot.column > 0 for _, step in steps)
        for role, step in steps:
            names = [fault.name for fault in faults.faults_of(subject, role, step)]
            assert len(set(names)) == len(names) >= 12, name


@pytest.mark.parametrize("name", list(TOMLS))
def test_without_a_fault_the_same_deployment_still_runs(deployments: dict[str, Trials], name: str) -> None:
    """Last: nothing that the faulty runs left behind is in the way."""
    assert deployments[name].run() == set(deployments[name].world.servers)


def test_what_protocols_refuse_of_one_message_is_logged_with_its_label() -> None:
    """Every error of a peer that a protocol raises with a label: the log names the message."""
    found = {
        node.args[0].value
        for file in Path(protocols.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PeerError"
        if any(keyword.arg == "label" for keyword in node.keywords) and isinstance(node.args[0], ast.Constant)
    }
    assert {"peer.tags", "peer.check", "peer.positions"} <= found
    for code in found:
        assert gate.refused(PeerError(str(code), label="V6"), {6: "V6"}) == "V6", code


def test_a_refused_label_that_no_card_has_is_not_repeated() -> None:
    labels = {message.number: message.label for message in load_cards()[MODE_A].messages}
    assert gate.refused(InternalError("internal.gate", label="M1", problem="x"), labels) == "M1"
    assert (
        gate.refused(InternalError("internal.gate", label="IDENTITY-ann", problem="x"), labels) == gate.NOT_ON_THE_CARD
    )
    assert gate.refused(InternalError("internal.bug", where="M1"), labels) == ""
