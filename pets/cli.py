"""The ``pets`` command. It only reads arguments and prints; what it does is in the modules that it calls.

Exit codes: 0 done, 2 refused (the reason is printed), 1 usage, an unreadable file, or anything that ended badly, 130
stopped by a signal.
"""

import gc
import signal
import sys
import time
from types import FrameType
from typing import Annotated, Final

import typer

from pets.commands import (
    approving,
    auditing,
    demonstrating,
    keeping,
    parties,
    programs,
    psi,
    running,
    scheduling,
    specs,
)
from pets.commands.say import complain
from pets.errors import PetsError

_STOPPED: Final = 130

_ONCE_S: Final = 5.0
"""For so long a command that was told to end is not told again."""

app = typer.Typer(
    help="Joint statistics between organisations that may not pool their records.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
specs.register(app)
approving.register(app)
running.register(app)
scheduling.register(app)
keeping.register(app)
auditing.register(app)
demonstrating.register(app)
app.add_typer(psi.app, name="psi", short_help="Which persons do two files share, or how many?")
app.add_typer(programs.app, name="program", short_help="Read programs for MPyC, and try your own.")
app.add_typer(parties.app, name="party")


def _tell_version(wanted: bool) -> None:
    if wanted:
        from pets import __version__

        sys.stdout.write(f"pets {__version__}\n")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit.")
]


@app.callback()
def _options(version: Version = False) -> None:
    pass


def _end_in_order() -> None:
    """End a command as Ctrl-C does when it is told to end or its terminal goes away: parties stop a run, too.

    A terminal that is closed says so twice, by its shell and by the system: the second must not end what the first has
    begun. A signal that whoever started the command had it ignore (``nohup``) stays ignored.
    """
    began = float("-inf")

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal began
        if time.monotonic() - began >= _ONCE_S:
            began = time.monotonic()
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def main() -> None:
    """Entry point of the console script."""
    _end_in_order()
    gc.set_threshold(50_000)  # most of a short command is loading modules, of which nothing is garbage
    try:
        code = app(standalone_mode=False, prog_name="pets")
    except PetsError as error:
        sys.exit(complain(error))
    except typer.Abort:
        code = _STOPPED
    except Exception as error:
        click_error = getattr(error, "format_message", None)
        if click_error is None:
            raise
        sys.stderr.write(_usage(error, click_error()))
        sys.exit(1)
    if code == _STOPPED:  # which is how typer tells of an interrupt
        sys.stderr.write("pets: stopped\n")
    sys.exit(code or 0)


def _usage(error: Exception, said: str) -> str:
    """What is wrong with the arguments and where to read more; a command without any is answered by its help alone."""
    if said.startswith("Usage:"):
        return f"{said}\n"
    path = getattr(getattr(error, "ctx", None), "command_path", "pets")
    return f"pets: {said}\n  see {path} --help\n"


if __name__ == "__main__":
    main()
