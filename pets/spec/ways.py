"""Protocols of private set intersections: what each can do, and which one a specification runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pets.spec.model import PsiOutcome, Spec

HANDED: Final = "psi_result"
"""The card by which the asker's server hands the outcome to the asker's own people."""

NHS_WORDS: Final = 2
TEXT_WORDS: Final = 8
"""Words of an identifier in a result: ten digits; text of at most 64 bytes, as sources take it (party/sources.py)."""


@dataclass(frozen=True, slots=True)
class Way:
    """What a protocol can do. ``asker``, ``other``, ``helper``: its roles; the last is empty without a helper.

    ``sizes``: its public numbers for the two declared sizes. ``opens``: it opens the outcome to the result party, who
    may be anybody but the helper; else the asker learns it. ``columns``, ``both``, ``least``: it can give columns of
    the other dataset, tell both sides, and tell nothing below a least size.
    """

    outcome: PsiOutcome
    asker: str
    other: str
    sizes: tuple[str, str]
    helper: str = ""
    opens: bool = False
    columns: bool = False
    both: bool = False
    least: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.asker, self.other, self.helper)))


WAYS: Final[Mapping[str, Way]] = {
    "vole_psi": Way("intersection", "receiver", "sender", ("n_r", "n_s"), columns=True, both=True),
    "dh_psi_cardinality": Way("cardinality", "a", "b", ("n_a", "n_b")),
}
"""Protocols of intersections, by card; of each outcome the first is taken where none is named."""


def way_of(spec: Spec) -> str:
    """The protocol that is named, or the first that can do what is asked, with a helper if there is one."""
    if spec.security.protocol is not None:
        return spec.security.protocol
    able = [name for name, way in WAYS.items() if way.outcome == spec.computation.psi]
    fitting = [name for name in able if bool(WAYS[name].helper) == (len(spec.computing) > 2)]
    return (fitting or able or [""])[0]
