"""Programs over links: a relay and a process for each party, in threads of this process."""

import itertools
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pets.errors import PetsError
from pets.ids import PartyId
from pets.kernels.prf import KeyFamily
from pets.party.gate import Sent
from pets.party.mpyc_relay import Relay
from pets.secret import Secret
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_source import check_source
from pets.spec.mpyc_terms import MOST, Budget, Input, Output, Terms
from pets.transport.link import Link

OPENING = Secret(bytes(range(32)))

SUM = """
from mpyc.runtime import mpc

async def main():
    secint = mpc.SecInt()
    values = [holder[0] for holder in mpc.inputs("x", secint)]
    mpc.release("total", mpc.sum(values))
    mpc.release("product", mpc.prod(values))
"""
"""The smallest program that shares, multiplies and opens."""


@dataclass
class Ended:
    """How a run ended at each party."""

    told: dict[PartyId, Mapping[str, tuple[int, ...]]]
    faults: dict[PartyId, PetsError]
    sent: dict[PartyId, Mapping[PartyId, tuple[int, int]]]
    receipts: dict[PartyId, tuple[Sent, ...]] = field(default_factory=dict)

    @property
    def codes(self) -> set[str]:
        return {error.code for error in self.faults.values()}


def terms_of(
    parties: Sequence[str] = ("a", "b", "c"),
    source: str = SUM,
    outputs: Mapping[str, int] | None = None,
    budget: Budget = MOST,
    rows: int = 1,
    receivers: Sequence[str] | None = None,
) -> Terms:
    names = tuple(map(PartyId, parties))
    told = tuple(map(PartyId, receivers or parties))
    return Terms(
        program="own",
        source=check_source(source.encode()).sha256,
        parties=names,
        bits=32,
        parameters={},
        inputs=(Input("x", names, rows, -1000, 1000),),
        outputs=tuple(Output(name, told, count) for name, count in (outputs or {"total": 1, "product": 1}).items()),
        budget=budget,
    )


def families(parties: Sequence[PartyId]) -> dict[PartyId, dict[PartyId, KeyFamily]]:
    """Keys as pairs agree on them for a run: each party's own half of every family."""
    made: dict[PartyId, dict[PartyId, KeyFamily]] = {party: {} for party in parties}
    for p, q in itertools.combinations(parties, 2):
        secret = secrets.token_bytes(32)
        for me, peer in ((p, q), (q, p)):
            made[me][peer] = KeyFamily(
                Secret(secret), run_id=bytes(32), digest=bytes(32), protocol="mpyc_program", party_p=p, party_q=q
            )
    return made


def run_over(
    links: Mapping[PartyId, Link],
    terms: Terms,
    own: Sequence[Sequence[int]],
    *,
    sources: Mapping[PartyId, str] | None = None,
    source: str = SUM,
    deadline_s: float = 30,
) -> Ended:
    """Run a program over links; whoever fails tells the others, as a session does."""
    keys = families(terms.parties)
    ended = Ended({}, {}, {})

    def run(place: int, party: PartyId) -> None:
        text = (sources or {}).get(party, source)
        its_own = terms if text == source else replace(terms, source=check_source(text.encode()).sha256)
        relay = Relay(
            its_own,
            party,
            approved=terms_digest(its_own),
            source=text,
            own={"x": own[place]},
            link=links[party],
            families=keys[party],
            opening=OPENING,
            deadline_s=deadline_s,
        )
        try:
            ended.told[party] = relay.run()
            ended.sent[party] = relay.sent
            ended.receipts[party] = relay.receipt
        except PetsError as error:
            ended.faults[party] = error
            links[party].abort(error.code)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(terms.parties) if each[1] in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * deadline_s)
    return ended
