"""Where what a run gives goes: nothing of an earlier run is ever replaced."""

import os
from pathlib import Path

from pets.errors import ConfigError


def is_free(path: Path) -> None:
    """Before a run that costs budget: its table will have a place, and nothing of an earlier run lies there."""
    if path.exists():
        raise ConfigError("config.output", file=path.name, problem="is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise ConfigError("config.output", file=path.name, problem="its folder cannot be written to")
