"""Which protocol runs: the one that is named, or the cheapest that tells nobody more than is declared.

Tables of several holders are joined by three parties that hold none of them: no other protocol can.
"""

from dataclasses import dataclass
from typing import Final

from pets.spec.cards import EVERYONE
from pets.spec.model import Spec
from pets.spec.pooled import is_pooled
from pets.spec.pools import pool_of
from pets.spec.query import Query
from pets.spec.ways import way_of

MODE_A: Final = "helper_join_a"
MODE_B: Final = "helper_join_b"

SHARED: Final = "shared_join"

JOINS: Final = (MODE_A, MODE_B, SHARED)
"""Protocols that can join two tables, the cheapest first: mode B moves about twice the bytes, and tells less."""


PROGRAM: Final = "mpyc_program"
"""The protocol under which programs for MPyC run."""

STAR: Final = "star_join"
"""The protocol that joins three tables or more. It tells what mode B tells."""


def joins_of(query: Query) -> tuple[str, ...]:
    """The protocols that can run a query."""
    return (STAR,) if query.others else JOINS


@dataclass(frozen=True, slots=True)
class Choice:
    """A protocol, and in a few words why it is this one."""

    protocol: str
    why: str


def choice(spec: Spec) -> Choice:
    """The protocol of a specification. Every server comes to the same, for it is in the signed text.

    Mode A tells the helper match_count. So it is the one where that is declared, and mode B where it is not. Whether
    anything else is told is for the checkers to say, whichever protocol it is.
    """
    if spec.computation.is_program:
        protocol = spec.security.protocol
        return Choice(protocol or PROGRAM, "the specification names it" if protocol else "it runs programs for MPyC")
    if spec.computation.psi is not None:
        named = spec.security.protocol is not None
        return Choice(way_of(spec), "the specification names it" if named else "it gives what is asked for")
    if spec.security.protocol is not None:
        return Choice(spec.security.protocol, "the specification names it")
    if is_pooled(spec):
        return Choice(pool_of(spec), "one table of many holders is added up")
    if any(table.several for table in spec.datasets):
        return Choice(SHARED, "a table has several holders")
    holders = {party for table in spec.datasets for party in table.parties}
    for item in spec.security.leakage:
        known = item.learner == EVERYONE or item.learner not in holders
        if item.item == "match_count" and item.noised is not None and known:
            return Choice(MODE_A, f"the cheapest, for {item.learner} is declared to learn match_count")
    return Choice(MODE_B, f"{MODE_A} costs less and tells the helper match_count, which nobody is declared to learn")


def protocol_of(spec: Spec) -> str:
    """The protocol alone."""
    return choice(spec).protocol
