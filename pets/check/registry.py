"""Registries of rules: each on one kind of what is asked for, in the order in which findings are told."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pets.check.labels import Finding, Severity

Asked = TypeVar("Asked")

Found = Iterator[tuple[str, str, str]]
"""What a rule finds: path, message and hint of each."""

_ORDER: Final[dict[Severity, int]] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Rule(Generic[Asked]):
    """A rule: ``check`` yields (path, message, hint) for everything that it finds."""

    id: str
    severity: Severity
    check: Callable[[Asked], Found]


class Registry(Generic[Asked]):
    """Rules by id. ``taken``: ids of other rules, which no rule of these may have."""

    def __init__(self, taken: Container[str] = ()) -> None:
        self._taken: Final = taken
        self.rules: Final[dict[str, Rule[Asked]]] = {}

    def rule(
        self, id: str, severity: Severity = "error"
    ) -> Callable[[Callable[[Asked], Found]], Callable[[Asked], Found]]:
        """Enter a function. Raises: ValueError if there is a rule of that id."""

        def enter(check: Callable[[Asked], Found]) -> Callable[[Asked], Found]:
            if id in self.rules or id in self._taken:
                raise ValueError(f"two rules are called {id}")
            self.rules[id] = Rule(id, severity, check)
            return check

        return enter

    def findings(self, asked: Asked) -> Iterator[Finding]:
        """Everything that the rules say, in their order."""
        for each in tuple(self.rules.values()):
            for path, message, hint in each.check(asked):
                yield Finding(each.id, each.severity, path, message, hint)


def errors_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings by severity, those of one as they come."""
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))
