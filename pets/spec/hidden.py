"""Characters that make a reader see something else than what is signed. They have no place in a specification."""

import re
from typing import Final

HIDDEN: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
"""Control characters, invisible characters and changes of writing direction.

Not the tab and the line ends, and not the joiners U+200C and U+200D, which some scripts need.
"""


def shown(character: str) -> str:
    """The character as people can talk about it."""
    return f"the hidden character U+{ord(character):04X}"
