"""A module of ours with a mistake in it: the real text, a few lines changed."""

import sys
import types
from collections.abc import Sequence
from typing import Any

Change = tuple[str, str, int]
"""Text, what replaces it, and how often it occurs."""


def mistaken(source: str, name: str, changes: Sequence[Change], **globals_: Any) -> types.ModuleType:
    """The module of this source with its mistake.

    A text that occurs another number of times fails: the mutant is out of date, and to be looked at.
    """
    text = source
    for old, new, times in changes:
        assert text.count(old) == times, f"mutant {name}: {text.count(old)} times {old!r}"
        text = text.replace(old, new)
    module = types.ModuleType(f"mistaken_{name}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(text, f"<{name}>", "exec"), module.__dict__)
    module.__dict__.update(globals_)
    return module
