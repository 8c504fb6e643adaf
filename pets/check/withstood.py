"""What protection from a party that cheats adds to an intersection, and what it does not: for approvers, in words.

As the README of the card has it (protocols/vole_psi_malicious), with the numbers of the plan at hand.
"""

from collections.abc import Iterator
from math import e, log2
from typing import Final

from pets.check.blocks import Block, Points
from pets.spec.cards import Card
from pets.spec.ir import Match

HASHES: Final = 80
"""A power of two: how many hashes more than anybody can make."""


def withstood(card: Card, match: Match, asks: str, other: str, *, both: bool) -> Iterator[Block]:
    """What holds whatever a party's software does, and what does not; nothing for a card that says no such thing."""
    if card.adversary.behaviour != "malicious":
        return
    numbers = card.names(dict(match.public))
    slots, declared = numbers["slots"], numbers["n_r"]
    yield Points(
        "What holds even if one party's software does whatever it likes",
        (
            f"Neither {asks} nor {other} can read more of the other's set than the outcome tells, or make the outcome "
            f"wrong unseen. {other} sends nothing of its persons before all that {asks} sent is checked; {asks} takes "
            f"no outcome before all that {other} sent is.",
            "Who cheats ends the run, unless it guesses random numbers of the other: b bits of them with a chance of "
            "1 in 2^b. It then knows these bits; that they tell of no person is assumed.",
        ),
        "good",
    )
    points = [
        "Made-up persons, persons that are left out, columns that are not true: each list counts as its holder "
        "brings it.",
        f"More persons than declared. {asks} could look for up to {slots:,} persons in the place of {declared:,}, and "
        f"for fewer than {most_brought(slots):,} with 2^{HASHES} hashes. {other} would need 2^64 hashes for each.",
        f"The end of a run. Either can end it, {asks} when it has the outcome"
        + (f" and {other} has not." if both else "."),
    ]
    if both:
        points.append(f"Persons who are not told of. {asks} can leave out persons that it found when it tells {other}.")
    yield Points("What that does not prevent", tuple(points), "warn")


def most_brought(slots: int, hashes: int = HASHES) -> int:
    """How many persons a receiver does not get into a table of so many slots but with a chance of 2^-40.

    ``hashes``: the power of two of how many hashes it makes. The least n with
    n (128 - hashes - log2 e + log2 n) >= 128 slots + 168. Source: docs/adr/0039.
    """
    low, high = 1, 129 * slots + 168
    while low < high:
        middle = (low + high) // 2
        if middle * (128 - hashes - log2(e) + log2(middle)) >= 128 * slots + 168:
            high = middle
        else:
            low = middle + 1
    return low
