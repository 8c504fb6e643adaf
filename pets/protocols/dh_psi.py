"""dh_psi_cardinality: how many persons two organisations have in common, without a third party.

protocols/dh_psi_cardinality/card.toml has the messages and protocols/dh_psi_cardinality/README.md the argument. Each
side hashes its persons into a group and multiplies them by a secret scalar of this run. Elements that carry both
scalars are equal where persons are: role a makes them of role b's list, and gets those of its own list back as tags, in
the order of their bytes. So it counts equal ones and does not learn which of its persons they are.

Lists have the declared sizes, filled up with entries of nobody, and one entry that both bring.

Source: De Cristofaro, Gasti, Tsudik, CANS 2012; protocols.md 6.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import aes, blake2, curve, join, permute, prf
from pets.kernels.jit import I64Array, U8Array, U32Array
from pets.kernels.tags import Kind
from pets.protocols.base import Binding, Role, Send, receive
from pets.secret import Secret

PROTOCOL: Final = "dh_psi_cardinality"

ENTROPY_BYTES: Final = curve.UNIFORM_BYTES + 3 * aes.KEY_BYTES
"""What a role draws for one run: for a scalar, the order of its list, its entries of nobody, its search for persons."""

FILLER_BYTES: Final = 16
"""Of an entry of nobody: the other side cannot have it, and cannot test for it."""

_TILE: Final = 1 << 14
"""Entries of one step. Elements and uniform bytes of a step are 1.5 MB; kernels give the interpreter lock up."""

_HASH: Final = b"pets/1-dhpsi-"
_TAGS: Final = b"pets/1-dhpsi-tags-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Public parameters of one run. ``n_list_a``, ``n_list_b``: entries of each list; ``t``: bytes of a tag."""

    n_a: int
    n_b: int
    n_list_a: int
    n_list_b: int
    t: int


def party_a(shape: Shape, ids: U8Array, binding: Binding, entropy: Secret[bytes]) -> Role[int]:
    """Play the input party that gets the result: how many persons are in both sets.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty; several rows of a person count once.
    Sizes:   out D1, n_list_a elements; in D3, n_list_b elements, and D2, n_list_a tags of t bytes; two rounds.
    Entropy: ``ENTROPY_BYTES`` that no other run has: with one scalar in two runs, lists could be compared.
    Learned: the number; of role b's list as many elements as declared, in no order, which look like random ones.
    Trust:   semi-honest, one corrupt party of two; who brings made-up persons learns who of them is there by asking
             again and again, and nothing here can see that.
    Raises:  PeerError peer.element, peer.twice (D3), peer.tags (D2), or peer.other-set if D2 and D3 have nothing in
             common; InternalError if there are more persons than declared.
    """
    own = Own(entropy)
    yield Send("b", "D1", _list(ids, shape.n_a, Kind.PADDING_A, binding, own))
    theirs = yield from receive("b", "D3")
    _, tags = sorted_tags(theirs, shape.t, tag_key(binding), own.scalar, label="D3")
    del theirs
    asked = yield from receive("b", "D2")
    try:
        found = join.match(tags, asked)
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error), label="D2") from error
    count = int(np.count_nonzero(found != join.UNMATCHED))
    if not count:
        raise PeerError("peer.other-set", label="D2")
    return count - 1  # the entry that both bring


def party_b(shape: Shape, ids: U8Array, binding: Binding, entropy: Secret[bytes]) -> Role[None]:
    """Play the other input party: send a list of its own, and role a's with a second scalar, as sorted tags.

    Its own list does not wait for role a's: so both sides compute at the same time.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty; several rows of a person count once.
    Sizes:   out D3, n_list_b elements, and D2, n_list_a tags of t bytes; in D1, n_list_a elements; two rounds.
    Entropy: ``ENTROPY_BYTES`` that no other run has.
    Learned: nothing but the declared size of role a's list, whose elements look like random ones.
    Trust:   semi-honest, one corrupt party of two.
    Raises:  PeerError peer.element or peer.twice (D1); InternalError if there are more persons than declared.
    """
    own = Own(entropy)
    yield Send("a", "D3", _list(ids, shape.n_b, Kind.PADDING_B, binding, own))
    theirs = yield from receive("a", "D1")
    _, tags = sorted_tags(theirs, shape.t, tag_key(binding), own.scalar, label="D1")
    yield Send("a", "D2", tags)


def hash_tag(binding: Binding) -> bytes:
    """What makes the hash to the group another one for each specification."""
    return _HASH + binding.digest


def tag_key(binding: Binding) -> Secret[bytes]:
    """What makes tags other ones in each run. Nothing rests on its secrecy: both sides have it, and the network."""
    return Secret(hashlib.sha256(_TAGS + binding.run_id).digest()[: blake2.KEY_BYTES])


class Own:
    """A party's own secrets of one run."""

    def __init__(self, entropy: Secret[bytes]) -> None:
        value = entropy.expose("a scalar, an order and entries of nobody")
        if len(value) != ENTROPY_BYTES:
            raise ValueError(f"a role draws {ENTROPY_BYTES} bytes for a run")
        self.scalar: Final = curve.new_scalar(Secret(value[: curve.UNIFORM_BYTES]))
        keys = (value[at : at + aes.KEY_BYTES] for at in range(curve.UNIFORM_BYTES, ENTROPY_BYTES, aes.KEY_BYTES))
        self.order, self.key_of_nobody, self.key_of_persons = map(Secret, keys)


def _list(ids: U8Array, declared: int, padding: Kind, binding: Binding, own: Own) -> U8Array:
    """The declared number of entries and the one that both bring, as elements, in an order that nobody else knows."""
    persons = ids[each_once(ids, own.key_of_persons)]
    if len(persons) > declared:
        raise InternalError("internal.bug", where="persons outside the declared size")
    listed = entries(persons, np.arange(len(persons)), declared, padding, own.key_of_nobody)
    return multiplied(listed, permute.permutation(own.order, len(listed)), hash_tag(binding), own.scalar)


def entries(ids: U8Array, places: I64Array, declared: int, padding: Kind, key_of_nobody: Secret[bytes]) -> U8Array:
    """Persons at their places, entries of nobody at all others, and last the one that both sides bring.

    Shapes: ids (n, w) uint8, places (n,) int64; (declared + 1, ...) uint8: a kind and what tells entries of it apart,
            filled up with zero bytes.
    """
    out = np.zeros((declared + 1, 1 + max(ids.shape[1], FILLER_BYTES)), np.uint8)
    out[:declared, 0], out[declared, 0] = padding, Kind.COMMON_DUMMY
    out[places, 0] = Kind.ROW
    nobody = np.flatnonzero(out[:, 0] == padding)
    drawn = prf.words(key_of_nobody, FILLER_BYTES // 8 * len(nobody))
    out[nobody, 1 : 1 + FILLER_BYTES] = drawn.view(np.uint8).reshape(-1, FILLER_BYTES)
    out[places, 1 : 1 + ids.shape[1]] = ids
    return out


def each_once(ids: U8Array, key: Secret[bytes]) -> U32Array:
    """The first row of each person. Persons are told apart by 13 bytes of a keyed hash: once in 2**64 runs two are one.

    Raises: InternalError if an identifier is empty.
    """
    if ids.dtype != np.uint8 or ids.ndim != 2:
        raise ValueError("identifiers are an (n, w) array of uint8")
    hashed = np.empty((len(ids), blake2.DIGEST_BYTES), np.uint8)
    try:
        blake2.hash_rows(key, ids, hashed)
    except ValueError as error:
        raise InternalError("internal.bug", where="identifiers of an intersection") from error
    order, ordered = join.sort_tags(hashed)
    new = np.ones(len(ids), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return np.sort(order[new])


def multiplied(listed: U8Array, order: U32Array, tag: bytes, scalar: Secret[bytes]) -> U8Array:
    """Entries as elements times the own scalar; entry i goes to place order[i].

    Shapes: (n, 32) uint8.
    """
    out = np.empty((len(listed), curve.POINT_BYTES), np.uint8)
    for tile in _tiles(len(listed)):
        strings = [row.tobytes().rstrip(b"\0") for row in listed[tile]]
        points = curve.hash_to_group(strings, tag=tag)
        out[order[tile]] = curve.multiply(points, scalar)
    return out


def sorted_tags(
    theirs: U8Array, width: int, key: Secret[bytes], scalar: Secret[bytes], *, label: str
) -> tuple[U32Array, U8Array]:
    """The peer's elements times the own scalar, as tags in the order of their bytes, and that order.

    Raises: PeerError peer.element, with place and message, if one is none; peer.twice if two are one. (Two elements
    have one tag by chance as rarely as the card says.)
    """
    out = np.empty((len(theirs), width), np.uint8)
    whole = np.empty((min(_TILE, len(theirs)), blake2.DIGEST_BYTES), np.uint8)
    ended = np.ones((min(_TILE, len(theirs)), curve.POINT_BYTES + 1), np.uint8)  # a hashed row ends with no zero byte
    for tile in _tiles(len(theirs)):
        points = curve.multiply(theirs[tile], scalar, label=label, first=tile.start)
        ended[: len(points), : curve.POINT_BYTES] = points
        blake2.hash_rows(key, ended[: len(points)], whole[: len(points)])
        out[tile] = whole[: len(points), :width]
    order, tags = join.sort_tags(out)
    same = (tags[1:] == tags[:-1]).all(axis=1)
    if same.any():
        at = int(np.argmax(same))
        first, second = sorted((int(order[at]), int(order[at + 1])))
        raise PeerError("peer.twice", label=label, first=first, second=second)
    return order, tags


def _tiles(count: int) -> Iterator[slice]:
    for start in range(0, count, _TILE):
        yield slice(start, min(start + _TILE, count))
