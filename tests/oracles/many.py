"""Specifications on tables of many holders, for tests: health boards on one side, councils on the other."""

from collections.abc import Sequence
from pathlib import Path

from pets.spec.model import Spec
from pets.spec.parse import parse_toml

DEMO = Path(__file__).parents[2] / "parties" / "demo" / "ae_by_tenure.spec.toml"

NOISE = """[release.differential_privacy]
epsilon = "1"
neighbours = "one person's rows added or removed"
"""

CONTROL = """[release.disclosure_control]
preset = "ons-10"
"""


def boards(count: int) -> list[str]:
    return [f"board-{number:02}" for number in range(1, count + 1)]


def councils(count: int) -> list[str]:
    return [f"council-{number:02}" for number in range(1, count + 1)]


def many_toml(
    left: int = 14,
    right: int = 32,
    *,
    sql: str | None = None,
    protection: str = NOISE,
    rows: tuple[int, int] = (100, 80),
    per_person: tuple[int, int] = (4, 1),
    truncate: bool = True,
    to: str = "statistics",
    edits: Sequence[tuple[str, str]] = (),
) -> str:
    """The specification of the demo with so many holders of each table, and three who compute and hold nothing."""
    text = DEMO.read_text(encoding="utf-8")
    head, rest = text.split("[[party]]", 1)
    legal = rest[rest.index("[legal.board]") : rest.index("# ---- What is computed")]
    of_board, of_council = legal.split("[legal.council]")
    middle = rest[rest.index("[linkage]") : rest.index("[release]")]
    if sql is not None:
        middle = middle[: middle.index("[computation]")] + f'[computation]\nsql = """\n{sql}\n"""\n\n'
    lines = [head]
    parties = [(name, "A health board", "input") for name in boards(left)]
    parties += [(name, "A council", "input") for name in councils(right)]
    parties += [(name, "Who computes", "computing") for name in ("north", "south", "west")]
    if to == "statistics":
        parties.append(("statistics", "Analysts", "result"))
    for name, what, role in parties:
        acts = {"computing": '\nacts_as = "processor"', "input": '\nacts_as = "controller"'}.get(role, "")
        roles = f'["{role}", "result"]' if name == to and role != "result" else f'["{role}"]'
        san = f"spiffe://{name}.example/pets"
        lines.append(
            f'[[party]]\nname = "{name}"\norganisation = "{what} {name}"\nroles = {roles}\nsan = "{san}"{acts}\n'
            + ('country = "GB"\n' if role != "result" else "")
        )
    columns = rest[rest.index("[dataset.columns]") : rest.index("[[dataset]]", rest.index("[dataset.columns]"))]
    others = rest[rest.rindex("[dataset.columns]") : rest.index("# ---- On which legal ground")]
    for name, holders, most, persons, declared in (
        ("attendances", boards(left), rows[0], per_person[0], columns),
        ("housing", councils(right), rows[1], per_person[1], others),
    ):
        lines.append(
            f'[[dataset]]\nname = "{name}"\nprivacy_unit = "person"\nmax_rows_per_person = {persons}\n'
            f'truncate = {str(truncate).lower()}\nrefresh = "monthly"\n[dataset.holders]\n'
            + "".join(f"{holder} = {most + number}\n" for number, holder in enumerate(holders))
            + declared
        )
    for name in boards(left):
        lines.append(of_board.replace("legal.board", f"legal.{name}"))
    for name in councils(right):
        lines.append(f"[legal.{name}]" + of_council)
    lines.append(middle + f'[release]\nto = ["{to}"]\n{protection}\n')
    lines.append(rest[rest.index("[security]") :])
    text = "\n".join(lines)
    text = text.replace('protocol = "helper_join_a"\n', "")
    text = text[: text.index("[[security.leakage]]")] + (
        '[[security.leakage]]\nlearner = "everyone"\nitem = "row_count"\nof = ["attendances", "housing"]\n'
        'as = "declared maximum"\n\n' + text[text.index("[validity]") :]
    )
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def many(left: int = 14, right: int = 32, **options: object) -> Spec:
    """``many_toml``, parsed."""
    return parse_toml(many_toml(left, right, **options))  # type: ignore[arg-type]


def nhs_numbers(count: int) -> list[str]:
    """Valid NHS numbers, of nobody: they begin with 999."""
    found: list[str] = []
    base = 999_000_000
    while len(found) < count:
        base += 1
        digits = [int(digit) for digit in str(base)]
        rest = 11 - sum((10 - place) * digit for place, digit in enumerate(digits)) % 11
        if rest != 10:
            found.append(f"{base}{rest % 11}")
    return found
