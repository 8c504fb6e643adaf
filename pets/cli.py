"""The ``pets`` command. It only reads arguments and prints; what it does is in the modules that it calls.

Exit codes: 0 done, 2 refused (the reason is printed), 1 usage, an unreadable file, or anything that ended badly.
"""

import sys

import typer

from pets.commands import approving, demonstrating, parties, running, specs
from pets.commands.say import complain
from pets.errors import PetsError

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
demonstrating.register(app)
app.add_typer(parties.app, name="party")


def main() -> None:
    """Entry point of the console script."""
    try:
        code = app(standalone_mode=False, prog_name="pets")
    except PetsError as error:
        sys.exit(complain(error))
    except typer.Abort:
        sys.stderr.write("pets: stopped\n")
        sys.exit(130)
    except Exception as error:
        click_error = getattr(error, "format_message", None)
        if click_error is None:
            raise
        sys.stderr.write(f"pets: {click_error()}\n")
        sys.exit(1)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
