"""How long the check takes: the largest specification of the corpus, plans that grow, and SQL that is refused.

    python -m benchmarks.check [--size N] [--json]

``check``    a party's whole check of the specification that takes longest among the accepted ones: reading the text,
             rules, matrix, lowering, recheck. Start-up (imports, the cards, their compiled formulas) is not counted.
``columns``, ``outputs``, ``predicates``, ``levels``
             the same of a specification with N measures, N outputs, N conditions, N levels of a dimension. ``by_size``
             has the seconds of an eighth, a quarter, half and all of N; ``growth`` is how many times the whole takes as
             long as the half: 2 is linear.
``deep``, ``long``
             SQL nested 10,000 deep and SQL of 1 MB, until the typed refusal. No parser sees them.
"""

import resource
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.common import Case, arguments, show
from pets.errors import SpecError
from pets.plan.review import Review, review
from pets.spec.canonical import canonical
from pets.spec.model import Spec, frozen
from pets.spec.parse import parse_toml, spec_from_json
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


GROWING: Final[dict[str, tuple[Callable[[int], str], int]]] = {
    "columns": (lambda n: grown(columns=n), 1),
    "outputs": (lambda n: grown(outputs=n), 4),
    "predicates": (lambda n: grown(predicates=n), 8),
    "levels": (lambda n: grown(levels=n), 64),
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
