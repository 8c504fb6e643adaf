"""What a person sees in the terminal: one console, one way to say no."""

import sys
from typing import Final

from rich.console import Console
from rich.markup import escape

from pets.errors import PetsError, SourceError

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)

DONE: Final = 0
WRONG: Final = 1
REFUSED: Final = 2

_WRONG: Final = (
    "spec.unreadable",
    "spec.toml",
    "source.unreadable",
    "receipt.unreadable",
    "config.",
    "link.",
    "internal.",
    "plan.",
)
"""Codes of what is no refusal: a file that cannot be read, a set-up that does not fit, the network, our own faults."""


def complain(error: PetsError) -> int:
    """Print a refusal with what to do now. Returns: the exit code that it means."""
    code = WRONG if error.code.startswith(_WRONG) else REFUSED
    err.print(f"[bold red]{'refused' if code == REFUSED else 'error'}[/] {escape(error.text)}")
    if error.hint:
        err.print(f"  {escape(error.hint)}")
    for note in getattr(error, "__notes__", ()):
        err.print(f"  {escape(note)}")
    if "at" in error.fields:
        err.print(f"  said by {escape(str(error.fields['at']))}")
    others = error.fields.get("others", ())
    for line in others if isinstance(others, list | tuple) else ():
        err.print(f"  [red]also[/] {escape(str(line))}")
    if isinstance(error, SourceError):
        for line in error.local:
            err.print(f"  {escape(line)}")
    return code


def write(text: str) -> None:
    """Print plain text as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
