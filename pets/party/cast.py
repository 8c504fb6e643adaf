"""Who takes part in a run: which party plays which role of the card, and with whom each of them deals."""

from collections.abc import Iterator

from pets.ids import PartyId
from pets.plan.cost import join_card, parties_of
from pets.plan.review import Reviewed

_FAMILY = "s_"
"""How the families of keys that two parties agree on for one run are called on cards; others come from them."""


def roles_of(reviewed: Reviewed) -> dict[str, PartyId]:
    """Which participant plays which role of the card; the result party under the name of its endpoint."""
    return parties_of(reviewed.plan) | {"result": result_endpoint(reviewed)}


def role_of(reviewed: Reviewed, party: PartyId) -> str:
    """Which role of the card a party plays that computes or brings rows."""
    return next(role for role, name in roles_of(reviewed).items() if name == party)


def peers_of(reviewed: Reviewed, party: PartyId) -> tuple[PartyId, ...]:
    """With whom a party says hello: who computes with everybody, who only brings rows with those who compute.

    In sums over one table of many holders with those who compute, and with nobody else.
    """
    spec = reviewed.spec
    others = spec.servers if party in spec.computing and reviewed.plan.pool is None else spec.computing
    return tuple(name for name in others if name != party)


def result_endpoint(reviewed: Reviewed) -> PartyId:
    """Name of the result party's client on the network: its own, also where the same party runs a server."""
    return PartyId(f"{reviewed.spec.result_party}:result")


def pairs_of(reviewed: Reviewed, party: PartyId) -> Iterator[tuple[str, PartyId]]:
    """The families of keys that a party has a part in, by their name on the card, and with whom.

    Of sums over one table: those that two computing parties have; what holders hand over is no family. Of a program one
    with each other party, by its name.
    """
    if reviewed.plan.program is not None:
        yield from ((str(peer), peer) for peer in peers_of(reviewed, party))
        return
    roles, own, pooled = roles_of(reviewed), role_of(reviewed, party), reviewed.plan.pool is not None
    for key in join_card(reviewed.plan).keys:
        others = [roles[role] for role in key.holders if role != own]
        if own in key.holders and (
            all(other in reviewed.spec.computing for other in others) if pooled else key.name.startswith(_FAMILY)
        ):
            yield key.name, others[0]
