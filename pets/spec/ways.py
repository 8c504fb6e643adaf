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

    ``outcomes``: what it gives. ``sizes``: its public numbers for the two declared sizes; "" where it has another.
    ``opens``: it opens the outcome to the result party, who may be anybody but the helper; else the asker learns it.
    ``columns``: its public number of words of the other dataset that come along, "" if none can. ``both``: it can tell
    both sides. ``least``: it tells nothing below a least size, and needs one. ``noise``: it can add noise.
    ``malicious``: it withstands a party that does not follow it.
    """

    outcomes: tuple[PsiOutcome, ...]
    asker: str
    other: str
    sizes: tuple[str, str]
    helper: str = ""
    opens: bool = False
    columns: str = ""
    both: bool = False
    least: bool = False
    noise: bool = False
    malicious: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.asker, self.other, self.helper)))


WAYS: Final[Mapping[str, Way]] = {
    "vole_psi": Way(("intersection",), "receiver", "sender", ("n_r", "n_s"), columns="p", both=True),
    "kkrt_psi": Way(("intersection",), "receiver", "sender", ("n_r", "n_s"), columns="p", both=True),
    "dh_psi_cardinality": Way(("cardinality",), "a", "b", ("n_a", "n_b")),
    "helper_psi": Way(("intersection",), "a", "b", ("n_a", "n_b"), "helper", columns="p_b", both=True),
    "helper_psi_cardinality": Way(("cardinality",), "a", "b", ("n_a", "n_b"), "helper", opens=True, noise=True),
    "helper_psi_threshold": Way(
        ("threshold", "cardinality"), "a", "b", ("n_a", "n_b"), "helper", opens=True, least=True
    ),
    "psi_sum": Way(("sum",), "a", "b", ("", "n_b"), noise=True),
    "vole_psi_malicious": Way(
        ("intersection",), "receiver", "sender", ("n_r", "n_s"), columns="p", both=True, malicious=True
    ),
}
"""Protocols of intersections, by card; of those that give what is asked the first is taken where none is named."""


def able(spec: Spec) -> tuple[str, ...]:
    """Protocols that give what is asked: with a least size only those that hold it, and those alone.

    Where a party may cheat, only those that withstand it; else these come last.
    """
    cheats = spec.security.adversary == "malicious"
    return tuple(name for name in _giving(spec) if WAYS[name].malicious or not cheats)


def _giving(spec: Spec) -> tuple[str, ...]:
    """The same, whatever they withstand."""
    asked = spec.computation
    if asked.psi is None:
        return ()
    held = asked.psi == "threshold" or asked.min_result is not None
    noised = spec.release.differential_privacy is not None
    return tuple(
        name
        for name, way in WAYS.items()
        if asked.psi in way.outcomes and way.least == held and (way.noise or not noised)
    )


def way_of(spec: Spec) -> str:
    """The protocol that is named, or the first that can do what is asked, with a helper if there is one.

    If none withstands whom it is asked to withstand, one that does not: a rule says so.
    """
    if spec.security.protocol is not None:
        return spec.security.protocol
    several = able(spec) or _giving(spec)
    fitting = [name for name in several if bool(WAYS[name].helper) == (len(spec.computing) > 2)]
    return (fitting or [*several] or [""])[0]
