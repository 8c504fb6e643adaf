"""What the legal rules say, for readers: in the report's section on the legal ground, and as the table of pets lint."""

from collections.abc import Iterable
from textwrap import wrap
from typing import Final

from pets.check import each_holder, legal
from pets.check.blocks import Block, Cases, Text
from pets.check.labels import Finding, Verdict

WIDTH: Final = 100
_COUNTED: Final = ("error", "warning", "note")


def standing() -> str:
    """One sentence on how much the rules are worth."""
    signed = sum(rule.reviewed is not None for rule in legal.RULES.values())
    return (
        f"Of {len(legal.RULES)} legal rules {signed or 'none'} {'is' if signed < 2 else 'are'} signed by a person "
        "competent in data protection law. They find what is missing or contradicts itself, and are no legal advice."
    )


def said(verdict: Verdict) -> tuple[Block, ...]:
    """The part of the report on what the legal rules say, whatever its severity."""
    found = tuple(f for f in verdict.findings if f.rule in legal.RULES)
    return (
        Text(standing()),
        *([Cases("What the legal rules say of it", each_holder.few(found), "warn")] if found else []),
    )


def counted(found: Iterable[Finding]) -> str:
    """How many findings of each severity: ``1 error, 2 warnings``."""
    numbers = {kind: sum(f.severity == kind for f in found) for kind in _COUNTED}
    told = [f"{number} {kind}{'s' * (number > 1)}" for kind, number in numbers.items() if number]
    return ", ".join(told) or "no findings"


def table(found: tuple[Finding, ...], *, width: int = WIDTH) -> str:
    """Findings as text of at most ``width`` columns: rule, severity and place, then what it says, and what to do."""
    if not found:
        return ""
    graded = [(f, *f"{f.severity} ({f.standing})".partition("; ")[::2]) for f in found]
    grades = [(f, grade.rstrip(")") + ")" if f.standing else f.severity, how.rstrip(")")) for f, grade, how in graded]
    second = max(len("severity"), *(len(grade) for _, grade, _ in grades)) + 2
    lines = [f"{'rule':<7}{'severity':<{second}}place", f"{'-' * 5:<7}{'-' * (second - 2):<{second}}{'-' * 5}"]
    for f, grade, how in grades:
        lines.append(f"{f.rule:<7}{grade:<{second}}{f.path}")
        for word, text in (("says", f.message), ("do", f.hint), ("rests on", f.citation), ("is", how)):
            lines += _folded(text, width, f"{'':7}{word:<10}") if text else []
    return "\n".join(lines) + "\n"


def _folded(text: str, width: int, head: str) -> list[str]:
    """A text beside its head, terms whole."""
    return wrap(text, width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def summary(found: tuple[Finding, ...], *, party: str | None, width: int = WIDTH) -> str:
    """Whether anything refuses, and under whose policy; and what the rules are worth."""
    refused = any(f.severity == "error" for f in found)
    under = f" under the policy of {party}" if party else ""
    told = f"{'refused' if refused else 'nothing refuses'}{under}: {counted(found)}"
    return "\n".join((told, *wrap(standing(), width))) + "\n"
