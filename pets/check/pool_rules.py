"""The rules on who takes part in sums over one table of many holders: who uploads, and who adds up; and their registry.

Those on what leaves and what is told are in pools.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pets.check import rules, summed
from pets.check.registry import Found, Registry
from pets.ids import PartyId
from pets.spec import moments as taken_apart
from pets.spec.cards import Card
from pets.spec.control import Control, effective
from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Pooled
from pets.spec.pools import POOLS, Summing, pool_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule on sums may look at."""

    spec: Spec
    query: Pooled
    cards: Mapping[str, Card]

    @property
    def table(self) -> Dataset:
        return self.spec.dataset(self.query.table)

    @property
    def tables(self) -> tuple[Dataset, ...]:
        return (self.table,)

    @property
    def holders(self) -> tuple[PartyId, ...]:
        return self.spec.holders(self.query.table)

    @property
    def protocol(self) -> str:
        return pool_of(self.spec)

    @property
    def way(self) -> Summing | None:
        """What the protocol can do, if it is one of sums and has a card here."""
        return POOLS.get(self.protocol) if self.protocol in self.cards else None

    @property
    def helpers(self) -> tuple[PartyId, ...]:
        """Those who compute and bring no part of the table."""
        return tuple(party for party in self.spec.computing if party not in self.table.parties)

    @property
    def control(self) -> Control | None:
        return effective(self.spec)

    @property
    def measured(self) -> bool:
        """True if the query aggregates measures, so that it has moments."""
        return rules.measures(self.spec, self.query)

    @property
    def moments(self) -> tuple[taken_apart.SideMoment, ...]:
        """The sums; none while the query aggregates what is no measure (``leak.filter-only``)."""
        return taken_apart.moments(self.query, self.spec) if self.measured else ()

    @property
    def clear(self) -> bool:
        """True if it can be said who plays which role, and what is summed."""
        return self.measured and summed.clear(self.spec, self.cards) and not list(computing(self))


_REGISTRY: Final = Registry[Asked](rules.RULES)
RULES: Final = _REGISTRY.rules
"""The rules, in the order in which findings are told."""
rule: Final = _REGISTRY.rule
findings_of: Final = _REGISTRY.findings


# -- who takes part ---------------------------------------------------------------------------------------------------


@rule("pool.computing")
def computing(asked: Asked) -> Found:
    """Who computes holds no part of the table and does not get the result: they are as many as the protocol takes."""
    for name in asked.spec.computing:
        if name in asked.table.parties:
            yield (
                f"party.{name}.roles",
                f"{name} holds a part of {asked.table.name} and would compute, too; those who compute bring no records",
                'take the role "computing" away from it',
            )
        elif name in asked.spec.release.to:
            yield (
                f"release.to <- {name}",
                f"{name} computes and would get the result, too, and take its own noise off it",
                "release to a holder, or to a party of its own",
            )
    if (way := asked.way) is None:
        return
    found = len(asked.spec.computing)
    if not way.least <= found <= way.most:
        many = f"exactly {way.least}" if way.least == way.most else f"{way.least} to {way.most}"
        yield (
            "party",
            f"{asked.protocol} needs {many} computing parties that hold no part of {asked.table.name}, found {found}",
            'give independent parties without a dataset the role "computing"',
        )


@rule("pool.same-organisation")
def same_organisation(asked: Asked) -> Found:
    """Computing parties are independent of each other: that they do not put shares together protects a holder."""
    seen: dict[str, str] = {}
    for name in asked.helpers:
        first = seen.setdefault(rules.organisation(asked.spec.party(name).organisation), name)
        if first != name:
            yield (
                f"party.{name}.organisation",
                f"{first} and {name} both compute and are one organisation, which then has shares of two",
                "choose organisations that are independent of each other: the secrecy of every part rests on it",
            )


@rule("pool.protocol")
def protocol(asked: Asked) -> Found:
    """The protocol has a card here, adds up vectors, and goes with the protection of the release."""
    way, fitting = asked.way, [n for n, w in POOLS.items() if w.controlled == (asked.control is not None)]
    if way is None:
        what = "does not add up parts of one table" if asked.protocol in asked.cards else "has no card here"
        yield "security.protocol", f"{asked.protocol} {what}", f"write {' or '.join(fitting)}, or leave it out"
    elif asked.protocol not in fitting:
        goes = "hands its sums to disclosure control" if way.controlled else "gives sums noise"
        yield (
            "security.protocol",
            f"{asked.protocol} {goes}, and the release asks for something else",
            f"write {' or '.join(fitting)}, or leave it out",
        )


@rule("pool.corrupt")
def corrupt(asked: Asked) -> Found:
    """No more computing parties may put together what they have than the protocol withstands of so many."""
    way, found = asked.way, len(asked.spec.computing)
    if way is None or found < way.least:
        return
    asks, most = asked.spec.security.corrupt, way.withstands(found)
    if asks > most:
        more = "" if way.controlled else f", or add computing parties: {2 * asks + 1 if way.threshold else asks + 1} do"
        yield (
            "security.corrupt",
            f"asks to withstand {asks} computing parties that put together what they have; {asked.protocol} of "
            f"{found} withstands {most}",
            f"write corrupt = {most}{more}",
        )


# -- who uploads ------------------------------------------------------------------------------------------------------


@rule("pool.uploads")
def uploads(asked: Asked) -> Found:
    """How long uploads are taken, and how many must count, is said: approvers decide on it."""
    said, holders = asked.spec.computation, len(asked.holders)
    if said.upload_minutes is None:
        yield (
            "computation.upload_minutes",
            "is not said: how long do computing parties take uploads, once a run has begun?",
            "write upload_minutes = 1440 for a day, or another time in which every holder's server answers",
        )
    own = rules.organisation(asked.spec.party(asked.spec.result_party).organisation)
    least = 2 + sum(rules.organisation(asked.spec.party(holder).organisation) == own for holder in asked.holders)
    if said.min_contributors is None:
        yield (
            "computation.min_contributors",
            "is not said: from how many holders on may a sum be opened?",
            f"write min_contributors = {holders} for all of them, or fewer, and {least} at least",
        )
    elif said.min_contributors > holders:
        yield (
            "computation.min_contributors",
            f"asks for {said.min_contributors} holders, and {asked.table.name} has {holders}",
            f"write min_contributors = {holders} or less",
        )
    elif said.min_contributors < least:
        to = asked.spec.result_party
        too = "uploads, too" if to in asked.table.parties else "is one organisation with a holder"
        yield (
            "computation.min_contributors",
            f"{to} gets the result and {too}: it takes its own part off a sum of {said.min_contributors}, and has "
            "another's",
            f"write min_contributors = {least}, or more by as many holders as may be in league with it",
        )


@rule("pool.left-out")
def left_out(asked: Asked) -> Found:
    """Exact sums are of all holders, always: from those of all and of all but one, the part of one would follow."""
    minimum, holders = asked.spec.computation.min_contributors, len(asked.holders)
    if asked.control is not None and minimum is not None and minimum < holders:
        yield (
            "computation.min_contributors",
            f"sums without noise may be of {minimum} of {holders} holders: a computing party could choose who is left "
            "out, and two runs would tell what one of them brings",
            f"write min_contributors = {holders}, or release with noise",
        )


@rule("pool.idle-party", "warning")
def idle(asked: Asked) -> Found:
    """A specification names nobody without a part: approvers read the list of names as the list of those who learn."""
    part = {*asked.table.parties, *asked.spec.computing, *asked.spec.release.to}
    for party in asked.spec.parties:
        if party.name not in part:
            yield f"party.{party.name}", f"{party.name} brings, computes and receives nothing", "leave it out"
