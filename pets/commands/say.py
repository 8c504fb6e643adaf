"""What a person sees in the terminal: one console, one way to say no."""

import sys
from typing import Final

from rich.console import Console
from rich.markup import escape

from pets.errors import ConfigError, PetsError, SourceError

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)

DONE: Final = 0
WRONG: Final = 1
REFUSED: Final = 2

_UNREADABLE: Final = ("spec.unreadable", "spec.toml", "config.", "link.", "internal.")


def complain(error: PetsError) -> int:
    """Print a refusal with what to do now; the exit code that it means."""
    err.print(f"[bold red]refused[/] {escape(error.text)}")
    if error.hint:
        err.print(f"  {escape(error.hint)}")
    for line in error.fields.get("others", ()):  # type: ignore[attr-defined]
        err.print(f"  [red]also[/] {escape(str(line))}")
    if isinstance(error, SourceError):
        for line in error.local:
            err.print(f"  {escape(line)}")
    return WRONG if isinstance(error, ConfigError) or error.code.startswith(_UNREADABLE) else REFUSED


def write(text: str) -> None:
    """Print plain text as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
