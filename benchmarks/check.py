"""How long the check takes: the largest specification of the corpus, plans that grow, and SQL that is refused.

    python -m benchmarks.check [--size N] [--json]

``check``    a party's whole check of the specification that takes longest among the accepted ones: reading the text,
             rules, matrix, lowering, recheck. Start-up (imports, the cards, their compiled formulas) is not counted.
``columns``, ``outputs``, ``predicates``, ``levels``
             the same of a specification with N measures, N outputs, N conditions, N levels of a dimension. ``by_size``
             has the seconds of an eighth, a quarter, half and all of N; ``growth`` is how many times the whole takes as
             long as the half: 2 is linear.
``holders``  the same of sums over one table of 16 N holders; of 1,024 it is of 1,000, the most there may be.
``one holder``
             what a holder's own server does for one run of these: its check, its sums, its upload for three computing
             parties, and nothing that others do. Records, disk and network are left out.
``columns of text``, ``leakage``
             texts as long as one may be, with columns and with items of leakage without end, checked.
``deep``, ``long``
             SQL nested 10,000 deep and SQL of 1 MB, until the typed refusal. No parser sees them.
"""

import itertools
import os
import resource
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import Case, arguments, show
from pets.errors import SpecError
from pets.kernels import prf
from pets.kernels.prf import Stream
from pets.party import contribute
from pets.plan.review import Review, review
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.canonical import canonical
from pets.spec.model import MAX_HOLDERS, Spec, frozen
from pets.spec.parse import MAX_TOML, parse_toml, spec_from_json
from pets.spec.sql import bind
from pets.spec.write import to_toml

ROOT: Final = Path(__file__).parent.parent
CORPUS: Final = (
    *sorted((ROOT / "tests" / "check" / "should_pass").glob("*.toml")),
    *sorted((ROOT / "parties").rglob("*.spec.toml")),
)
DEMO: Final = ROOT / "parties" / "demo" / "ae_by_tenure.spec.toml"
DEEP: Final = 10_000
LONG: Final = 1_000_000
RUNS: Final = 7
SIZE: Final = 64
EPSILON: Final = "100"
COMPUTING: Final = ("north", "south", "west")


def checked(text: str) -> Review:
    """What a party does with the text of a specification."""
    return review(parse_toml(text))


def grown(*, columns: int = 0, outputs: int = 0, predicates: int = 0, levels: int = 4) -> str:
    """The demonstration's specification with so many more measures, outputs, conditions, and levels of its dimension.

    It is accepted whatever the numbers, so that everything is done: its epsilon is large, and it is never run.
    """
    raw: dict[str, Any] = tomllib.loads(DEMO.read_text())
    board = raw["dataset"][0]["columns"]
    board["age_band"]["levels"] = [f"level {number}" for number in range(levels)]
    measures = [f"m{number}" for number in range(columns or min(outputs, 8))]
    board.update({name: {"role": "measure", "type": "integer", "min": 0, "max": 1} for name in measures})
    board["visits"] = {"role": "filter only", "type": "integer"}
    shown = [f"SUM(a.{name}) AS s_{name}" for name in measures if not outputs]
    shown += [f"SUM(a.{measures[number % len(measures)]}) AS o{number}" for number in range(outputs)]
    where = " AND ".join(["a.arrival >= DATE '2026-01-01'", "a.visits < 1000"])
    if predicates:
        where += " AND (" + " OR ".join(f"a.visits = {number}" for number in range(predicates)) + ")"
    raw["computation"]["sql"] = (
        f"SELECT h.tenure, a.age_band, COUNT(*) AS n, AVG(a.minutes) AS minutes{''.join(', ' + one for one in shown)}\n"
        "FROM attendances a JOIN housing h ON a.nhs_number = h.nhs_number\n"
        f"WHERE {where}\nGROUP BY h.tenure, a.age_band"
    )
    raw["release"]["differential_privacy"]["epsilon"] = EPSILON
    return to_toml(Spec.model_validate(frozen(raw), by_alias=True, by_name=False))


def pooled(holders: int) -> str:
    """Sums over one table of so many holders, by three parties; each holder states what all state, and its own papers.

    As ``to_toml`` writes it: a line for a party, and one ground.
    """
    raw: dict[str, Any] = tomllib.loads(DEMO.read_text())
    names = [f"practice-{number:04}" for number in range(min(holders, MAX_HOLDERS))]
    ground = raw["legal"]["board"]

    def party(name: str, role: str) -> dict[str, Any]:
        san = f"spiffe://{name}.example/pets"
        acts = "processor" if role == "computing" else "controller"
        return {"name": name, "organisation": f"Who is {name}", "roles": [role], "san": san, "acts_as": acts}

    table = {key: raw["dataset"][0][key] for key in ("name", "privacy_unit", "refresh", "columns")}
    raw["party"] = [party(name, "input") for name in names] + [party(name, "computing") for name in COMPUTING]
    raw["party"].append(party("statistics", "result"))
    raw["dataset"] = [{**table, "max_rows_per_person": 1, "holders": dict.fromkeys(names, 20_000)}]
    raw["legal"] = {
        name: {**ground, "controller": f"Who is {name}", "dpia": {**ground["dpia"], "id": f"DPIA {name}"}}
        for name in names
    }
    for part in raw["legal"].values():
        part.pop("power", None)
    del raw["linkage"]
    raw["computation"] = {
        "sql": "SELECT age_band, COUNT(*) AS n, SUM(minutes) AS minutes FROM attendances GROUP BY age_band",
        "min_contributors": max(2, len(names) * 9 // 10),
        "upload_minutes": 60,
    }
    raw["release"]["to"] = ["statistics"]
    raw["release"]["differential_privacy"] = {"epsilon": EPSILON, "neighbours": "one person's rows added or removed"}
    known = {"learner": "everyone", "item": "row_count", "of": ["attendances"], "as": "declared maximum"}
    raw["security"] = {"adversary": "semi-honest", "corrupt": 2, "protocol": "secure_sum", "leakage": [known]}
    return to_toml(Spec.model_validate(frozen(raw), by_alias=True, by_name=False))


def uploading(text: str) -> Callable[[], object]:
    """What a holder does in a run but for its records: its upload for three computing parties, split and sealed."""
    plan = checked(text).require().plan
    assert plan.pool is not None
    values = np.zeros(plan.pool.parameter("l"), np.int64)
    publics = {party: prf.public_key(Secret(os.urandom(32))) for _, party in plan.pool.computing}
    holder = plan.pool.holders[-1]

    def upload() -> object:
        tied = Binding(digest=os.urandom(32), run_id=os.urandom(32))
        return contribute.parts(plan, holder, values, tied=tied, drawn=Stream(Secret(os.urandom(16))), publics=publics)

    return upload


def endless() -> Iterator[tuple[str, str]]:
    """Texts as long as one may be that get past the parser, by name."""
    text = DEMO.read_text()
    head, rest = text.split("[legal.", 1)
    lines = (f'c{number} = {{ role = "filter only", type = "date" }}\n' for number in itertools.count())
    yield "columns of text", f"{head}{_filled(lines, MAX_TOML - len(text))}\n[legal.{rest}"
    item = '[[security.leakage]]\nlearner = "everyone"\nitem = "row_count"\nof = ["housing"]\nas = "exact"\n'
    yield "leakage", f"{text}\n{_filled(itertools.repeat(item), MAX_TOML - len(text) - 1)}"


def _filled(parts: Iterable[str], size: int) -> str:
    found = []
    for part in parts:
        if (size := size - len(part)) < 16:
            break
        found.append(part)
    return "".join(found)


GROWING: Final[dict[str, tuple[Callable[[int], str], int]]] = {
    "columns": (lambda n: grown(columns=n), 1),
    "outputs": (lambda n: grown(outputs=n), 4),
    "predicates": (lambda n: grown(predicates=n), 8),
    "levels": (lambda n: grown(levels=n), 64),
    "holders": (pooled, 16),
}
"""What grows, and how many of it for one of ``--size``."""


def hostile() -> Iterator[tuple[str, str]]:
    """SQL that must be refused before a parser sees it, by name."""
    yield "deep", "SELECT " + "(" * DEEP + "1"
    yield "long", "SELECT " + "1, " * (LONG // 3) + "1 FROM a"


def ways_in(sql: str) -> dict[str, Callable[[], object]]:
    """Every way by which a query reaches a party: in a text of either form, and in a specification made in Python."""
    good = parse_toml(DEMO.read_text())
    made = good.model_copy(update={"computation": good.computation.model_copy(update={"sql": sql})})
    as_json = canonical(made)
    query = DEMO.read_text().split('"""')[1]
    as_toml = DEMO.read_text().replace(query, sql)
    return {
        "toml": lambda: bind(parse_toml(as_toml)),
        "json": lambda: bind(spec_from_json(as_json)),
        "python": lambda: bind(made),
    }


def timed(act: Callable[[], object], runs: int = RUNS) -> list[float]:
    """Processor seconds of each of ``runs`` repetitions, after one that is not counted: one thread, no waiting."""
    act()
    took = []
    for _ in range(runs):
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return took


def largest() -> tuple[Path, list[float]]:
    """The accepted specification whose check takes longest, and its seconds."""
    found = {file: timed(lambda file=file: checked(file.read_text()), 3) for file in CORPUS}  # type: ignore[misc]
    slowest = max(found, key=lambda file: statistics.median(found[file]))
    text = slowest.read_text()
    return slowest, timed(lambda: checked(text))


def cases(size: int) -> Iterator[Case]:
    slowest, took = largest()
    reading = statistics.median(timed(lambda: parse_toml(slowest.read_text())))
    steps = {"read": reading, "review": statistics.median(took) - reading}
    yield _case("check", len(slowest.read_text()), took, steps, file=slowest.stem, files=len(CORPUS))
    for name, (text_of, factor) in GROWING.items():
        by_size: dict[str, float] = {}
        for part in (8, 4, 2, 1):
            number = max(1, size * factor // part)
            text = text_of(number)
            assert checked(text).accepted, checked(text)
            took = timed(lambda text=text: checked(text))  # type: ignore[misc]
            by_size[str(number)] = statistics.median(took)
        half, whole = tuple(by_size.values())[-2:]
        rounded = {number: round(seconds, 4) for number, seconds in by_size.items()}
        yield _case(name, size * factor, took, {}, by_size=rounded, growth=round(whole / half, 2))
    text = pooled(size * 16)
    took, upload = timed(lambda: checked(text)), timed(uploading(text))
    both = [one + other for one, other in zip(took, upload, strict=True)]
    steps = {"check": statistics.median(took), "upload": statistics.median(upload)}
    yield _case("one holder", min(size * 16, MAX_HOLDERS), both, steps, bytes_of_text=len(text))
    for name, text in endless():
        took = timed(lambda text=text: checked(text), 3)  # type: ignore[misc]
        yield _case(name, len(text), took, {}, accepted=checked(text).accepted)
    for name, sql in hostile():
        codes, took = {}, {}
        for way, act in ways_in(sql).items():
            codes[way], took[way] = refused(act)
        worst = max(took.values(), key=statistics.median)
        yield _case(name, len(sql), worst, {way: statistics.median(one) for way, one in took.items()}, codes=codes)


def refused(act: Callable[[], object]) -> tuple[str, list[float]]:
    """The code of the refusal that ``act`` meets, and the seconds until then."""
    codes: set[str] = set()

    def refuses() -> None:
        try:
            act()
        except SpecError as error:
            codes.add(error.code)

    took = timed(refuses)
    (code,) = codes
    return code, took


def _case(name: str, size: int, took: list[float], steps: dict[str, float], **more: object) -> Case:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Case(name, size, took, 0, 0, peak, steps, {}, more)


def main() -> None:
    parser = arguments(__doc__, size=SIZE, what="measures of the largest specification that grows")
    asked = parser.parse_args()
    if asked.size < 8:
        sys.exit("--size is at least 8: an eighth of it is the smallest that is measured")
    for case in cases(asked.size):
        show(case, as_json=asked.json)


if __name__ == "__main__":
    main()
