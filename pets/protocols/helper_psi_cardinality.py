"""helper_psi_cardinality: how many persons two organisations have in common, with a helper who sees one noisy count.

Both holders send the helper lists of tags (pets/protocols/tagged.py). The helper counts equal ones: those of persons
in both, and D dummies. It gives the result party that number, role a gives D to be taken off, and each of the three its
own part of the noise, if there is noise; zero shares make any two of these words as good as random.
protocols/helper_psi_cardinality/card.toml has the messages, protocols/helper_psi_cardinality/README.md the argument.

Source: Kamara, Mohassel, Raykova, Sadeghian, FC 2014; protocols.md 0.9 and 3; docs/adr/0037.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import join, prf
from pets.kernels.jit import U8Array, U64Array
from pets.protocols import tagged
from pets.protocols.base import Array, Role, Send, receive

PROTOCOL: Final = "helper_psi_cardinality"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(tagged.Sizes):
    """Public parameters of a run. ``noised``: the number leaves with noise of all three parties, and else as it is."""

    noised: bool

    def label(self, role: str) -> str:
        """The label of a role's share: with noise it is another message than without."""
        return ("N" if self.noised else "E") + role


def party_a(shape: Shape, ids: U8Array, ab: prf.KeyFamily, ac: prf.KeyFamily, noise_a: U64Array | None) -> Role[None]:
    """Play input party a: send tags, and minus the number of dummies as a share of the result.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty; several rows of a person count once. noise_a: one
             word, this party's own, or None where the number leaves as it is.
    Sizes:   out H1a, n_list_a tags, and Na or Ea, one word.
    Learned: nothing.
    Trust:   semi-honest, one corrupt party of three; who brings made-up persons learns how many of them are there.
    Raises:  RunError run.tags, by a chance that says nothing of persons; InternalError for more persons than declared.
    """
    mine = tagged.listed(shape, "a", ids, ab, once=True)
    yield Send("helper", "H1a", mine.tags)
    share = part(shape.noised, noise_a, -mine.dummies)
    yield Send("result", shape.label("a"), zeroed(share, plus=ab, minus=ac))


def party_b(shape: Shape, ids: U8Array, ab: prf.KeyFamily, bc: prf.KeyFamily, noise_b: U64Array | None) -> Role[None]:
    """Play input party b: send tags, and a share of the result that is its noise, or nothing.

    Otherwise as ``party_a``.
    """
    mine = tagged.listed(shape, "b", ids, ab, once=True)
    yield Send("helper", "H1b", mine.tags)
    yield Send("result", shape.label("b"), zeroed(part(shape.noised, noise_b, 0), plus=bc, minus=ab))


def helper(shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64Array | None) -> Role[None]:
    """Play the helper: count equal tags, and send the number as a share of the result.

    Sizes:   in H1a, H1b; out Nc or Ec, one word.
    Learned: the number of equal tags, which is that of persons in both plus a number of dummies that only holders know.
    Trust:   must not collude with a or with b: with the tag key it could try all identifiers.
    Raises:  PeerError peer.tags if a list repeats a tag or is not sorted.
    """
    count = yield from counted()
    yield Send("result", shape.label("c"), zeroed(part(shape.noised, noise_c, count), plus=ac, minus=bc))


def result(shape: Shape) -> Role[list[Array]]:
    """Play the result party: receive the three shares; ``open_shares`` adds them once all are in.

    Learned: the number, and nothing from any two of the shares.
    """
    shares = []
    for sender, role in (("a", "a"), ("b", "b"), ("helper", "c")):
        shares.append((yield from receive(sender, shape.label(role))))
    return shares


def open_shares(shape: Shape, shares: Sequence[Array]) -> int:
    """Add the shares modulo 2^64 and read two's complement.

    Raises: PeerError peer.result if a number without noise is one that no two tables give.
    """
    found = total(shares)
    if not shape.noised and not 0 <= found <= min(shape.n_a, shape.n_b):
        raise PeerError("peer.result")
    return found


# -- shares of one number ---------------------------------------------------------------------------------------------


def counted() -> Role[int]:
    """The helper's part before anything leaves it: how many tags are equal."""
    tags_a = yield from receive("a", "H1a")
    tags_b = yield from receive("b", "H1b")
    return int(np.count_nonzero(tagged.matched(tags_a, tags_b) != join.UNMATCHED))


def part(noised: bool, noise: U64Array | None, number: int) -> U64Array:
    """A number and this party's noise, one word modulo 2^64."""
    if noised != (noise is not None) or (noise is not None and noise.size != 1):
        raise InternalError("internal.bug", where="noise of a number in common")
    own = np.array([number], np.int64).view(np.uint64)
    return own if noise is None else own + noise.reshape(1)


def zeroed(share: U64Array, *, plus: prf.KeyFamily, minus: prf.KeyFamily) -> U64Array:
    """A share with this party's part of zero: those of all three add up to zero, and two of them say nothing."""
    prf.add_words(plus.key("zero", 0), share)
    prf.sub_words(minus.key("zero", 0), share)
    return share


def total(shares: Sequence[Array]) -> int:
    """What shares of one word add up to, as a signed number."""
    return int(np.sum(np.concatenate(list(shares)), dtype=np.uint64).view(np.int64))
