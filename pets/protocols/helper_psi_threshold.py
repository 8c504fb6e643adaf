"""helper_psi_threshold: are at least so many persons in both tables? With a helper who sees one noisy count.

Lists and matching are those of ``helper_psi_cardinality``. What the helper counted, less the dummies that role a knows,
is a sum of words that the parties have one each; instead of opening it they compare it with ``min_result`` on shares
(pets/protocols/rep3). The result party gets a word: 1 or 0; or, where ``shown``, the number itself if it is at least
``min_result``, and else 0. protocols/helper_psi_threshold/card.toml has the messages, and
protocols/helper_psi_threshold/README.md the argument.

Source: protocols.md 3, 4.2 and 4.5; docs/adr/0037.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pets.errors import PeerError
from pets.kernels import prf
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.shares import Zeros
from pets.protocols import tagged
from pets.protocols.base import Array, Role, Send, marked, receive
from pets.protocols.helper_psi_cardinality import counted, part, total, zeroed
from pets.protocols.rep3.compare import negative, to_words
from pets.protocols.rep3.sharing import Context, Words, added_up, flipped, multiply, public

PROTOCOL: Final = "helper_psi_threshold"

PARTIES: Final = ("a", "helper", "b")
"""The roles as parties 0, 1 and 2 of the operations on shares."""

MATCHING: Final = "matching"
"""Label of the streams of these operations."""

MARK: Final = "k"
"""What the labels of their messages begin with."""

MOST: Final = 2**32
"""Greatest number that is compared: lists are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(tagged.Sizes):
    """Public parameters of one run. ``shown``: the number itself is opened where it is at least ``min_result``.

    ``noised``: noise of all three parties is added before the number is compared, and stays in what is opened.
    """

    min_result: int
    shown: bool
    noised: bool

    def __post_init__(self) -> None:
        tagged.Sizes.__post_init__(self)
        if not 1 <= self.min_result < MOST:
            raise ValueError("a number in common is compared with 1 to 2^32 - 1")


def party_a(shape: Shape, ids: U8Array, ab: prf.KeyFamily, ac: prf.KeyFamily, noise_a: U64Array | None) -> Role[None]:
    """Play input party a: send tags, then compare on shares, and send a share of what is opened.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty; several rows of a person count once. noise_a: one
             word, this party's own, or None where the number is compared as it is.
    Sizes:   out H1a, n_list_a tags, Ra, one word, and operations on shares; counts on the card.
    Learned: nothing.
    Trust:   semi-honest, one corrupt party of three; who brings made-up persons asks whether enough of them are in.
    Raises:  RunError run.tags, by a chance that says nothing of persons; InternalError for more persons than declared.
    """
    mine = tagged.listed(shape, "a", ids, ab, once=True)
    yield Send("helper", "H1a", mine.tags)
    share = yield from _compared(shape, 0, ab, ac, part(shape.noised, noise_a, -mine.dummies))
    yield Send("result", "Ra", zeroed(share, plus=ab, minus=ac))


def party_b(shape: Shape, ids: U8Array, ab: prf.KeyFamily, bc: prf.KeyFamily, noise_b: U64Array | None) -> Role[None]:
    """Play input party b, which has no part of the number but noise. Otherwise as ``party_a``."""
    mine = tagged.listed(shape, "b", ids, ab, once=True)
    yield Send("helper", "H1b", mine.tags)
    share = yield from _compared(shape, 2, bc, ab, part(shape.noised, noise_b, 0))
    yield Send("result", "Rb", zeroed(share, plus=bc, minus=ab))


def helper(shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64Array | None) -> Role[None]:
    """Play the helper: count equal tags, compare on shares, send a share of what is opened.

    Sizes:   in H1a, H1b; out Rc, one word; and operations on shares.
    Learned: the number of equal tags, which is that of persons in both plus a number of dummies that only holders know.
    Trust:   must not collude with a or with b: with the tag key it could try all identifiers.
    Raises:  PeerError peer.tags if a list repeats a tag or is not sorted.
    """
    count = yield from counted()
    share = yield from _compared(shape, 1, ac, bc, part(shape.noised, noise_c, count))
    yield Send("result", "Rc", zeroed(share, plus=ac, minus=bc))


def result() -> Role[list[Array]]:
    """Play the result party: receive the three shares; ``open_shares`` adds them once all are in."""
    shares = []
    for sender, label in (("a", "Ra"), ("b", "Rb"), ("helper", "Rc")):
        shares.append((yield from receive(sender, label)))
    return shares


def open_shares(shape: Shape, shares: Sequence[Array]) -> int:
    """1 or 0; where ``shown``, the number or 0.

    Raises: PeerError peer.result if it is something else.
    """
    found = total(shares)
    most = (2**63 if shape.noised else min(shape.n_a, shape.n_b)) if shape.shown else 1
    if found and not (shape.min_result if shape.shown else 1) <= found <= most:
        raise PeerError("peer.result")
    return found


def _compared(shape: Shape, me: int, before: prf.KeyFamily, after: prf.KeyFamily, own: U64Array) -> Role[U64Array]:
    """This party's component of what is opened, from its part of the number; the operations of the card's program."""
    purpose = "shares of zero"
    zeros = Zeros(before.key(MATCHING, purpose=purpose), after.key(MATCHING, purpose=purpose))
    words = yield from marked(_opened(shape, Context(me, zeros, roles=PARTIES), own), MARK)
    return words.own.copy()


def _opened(shape: Shape, ctx: Context, own: U64Array) -> Role[Words]:
    number = yield from added_up(ctx, own)
    too_small = yield from negative(ctx, number - public(ctx, shape.min_result, 1))
    (enough,) = yield from to_words(ctx, flipped(ctx, too_small))
    if not shape.shown:
        return enough
    return (yield from multiply(ctx, enough, number))
