"""psi_sum: sums over the persons whom two organisations have in common, group by group, without a third party.

protocols/psi_sum/card.toml has the messages and protocols/psi_sum/README.md the argument. Lists are matched as in
dh_psi, but role a's lie group by group, each filled up to the same declared size, and role b's go with ciphertexts of
b's columns in the same hidden order. Role a learns how many persons each group has in common, and which places of b's
order they have, which say nothing to it. It adds up what lies there, group by group, without reading it; covers each
sum; and gets the covered sums back, opened by b and with b's noise. `psi_sum_shares` is the same for a result party
that is neither: it gets both sides' shares.

BFV is not computed here. Roles are given who computes with ciphertexts, `KeyOwner` or `Summer`: in a party's server
that is a process of its own (`pets/party/bfv.py`), because it reads what a peer sent in C++.

Source: Ion et al., eprint 2019/723 (sums by matching with two exponents); protocols.md 7; docs/adr/0036.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import aes, blake2, join, permute, prf, slots
from pets.kernels.jit import I64Array, U8Array, U32Array, U64Array
from pets.kernels.tags import Kind
from pets.protocols import dh_psi
from pets.protocols.base import Array, Binding, Role, Send, receive, receive_columns
from pets.secret import Secret

PROTOCOL: Final = "psi_sum"
SHARES: Final = "psi_sum_shares"

ENTROPY_BYTES: Final = dh_psi.ENTROPY_BYTES + 2 * aes.KEY_BYTES
"""What a role draws for one run: what matching takes; for covers; for flooding. The last 32 bytes of role b's
serve nothing."""

_HASH: Final = b"pets/1-psisum-"
_TAGS: Final = b"pets/1-psisum-tags-"


class KeyOwner(Protocol):
    """Who makes keys for slots modulo PLAIN[number], encrypts slots with them and decrypts: `kernels/he.py`."""

    def new_key(self, number: int) -> U64Array: ...
    def encrypt(self, number: int, slots: U64Array) -> U64Array: ...
    def decrypt(self, number: int, cipher: U64Array) -> U64Array: ...


class Summer(Protocol):
    """Who adds up masked slots under somebody else's key: `kernels/he.py`."""

    def block(self, number: int, ciphers: U64Array, masks: U8Array) -> None: ...
    def sums(self, number: int, key: U64Array, covers: Iterable[U64Array]) -> Iterator[U64Array]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Public parameters of one run, as the card has them.

    ``m_a``: persons of a in one of its ``g`` groups, at most; ``v``: columns of b; ``primes``: of `slots.PLAIN`, as
    many as tell all sums apart, 0 where v is 0; ``n_list_a``, ``n_list_b``: entries of each list; ``blocks``:
    ciphertexts of a column; ``t``: bytes of a tag.

    Raises: InternalError if flooding does not cover these sizes: a plan with them is not made.
    """

    m_a: int
    n_b: int
    g: int
    v: int
    primes: int
    n_list_a: int
    n_list_b: int
    blocks: int
    t: int

    def __post_init__(self) -> None:
        if bool(self.v) != bool(self.primes) or self.primes > len(slots.PLAIN):
            raise InternalError("internal.bug", where="primes of psi_sum")
        try:
            slots.require_drowned(entries=self.n_list_b, sums=self.g * self.v * self.primes)
        except ValueError as error:
            raise InternalError("internal.bug", where="sizes of psi_sum") from error

    @property
    def residues(self) -> int:
        return self.v * self.primes


@dataclass(frozen=True, slots=True)
class PeopleOfA:
    """One row a person: identifiers (n, w) uint8, filled up with zero bytes; the group of each, (n,) uint32."""

    ids: U8Array
    cell: U32Array


@dataclass(frozen=True, slots=True)
class PeopleOfB:
    """One row a person: identifiers (n, w) uint8, filled up with zero bytes; columns, each (n,) int64."""

    ids: U8Array
    values: Sequence[I64Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Disclosure control: groups of fewer than ``minimum`` persons are withheld, counts become multiples of ``base``.

    ``empty``: a group of nobody is shown all the same.
    """

    minimum: int
    base: int
    empty: bool

    def __post_init__(self) -> None:
        if self.minimum < 1 or self.base < 1:
            raise ValueError("a minimum and what counts are rounded to are 1 at least")

    def shown(self, counts: I64Array) -> I64Array:
        """1 for each group that is shown, 0 for one that is withheld."""
        enough: I64Array = ((counts >= self.minimum) | ((counts == 0) & self.empty)).astype(np.int64)
        return enough

    def rounded(self, counts: I64Array) -> I64Array:
        """The closest multiples, half up, as `disclosure_control` has them."""
        rounded: I64Array = (counts + self.base // 2) // self.base * self.base
        return rounded


@dataclass(frozen=True, slots=True)
class Grouped:
    """What the result is: for each group whether it is shown, how many persons, and the sum of each column.

    A group that is withheld has 0 for all of these.
    """

    shown: tuple[bool, ...]
    counts: tuple[int, ...]
    sums: tuple[tuple[int, ...], ...]


# -- role a gets the result -------------------------------------------------------------------------------------------


def party_a(
    shape: Shape,
    people: PeopleOfA,
    binding: Binding,
    summer: Summer,
    entropy: Secret[bytes],
    *,
    control: Control | None = None,
) -> Role[Grouped]:
    """Play the input party that groups and gets the result.

    A group that ``control`` withholds is summed over nobody, so its sum is opened to nobody; role b cannot tell which.

    Sizes:   as the card says; four rounds.
    Entropy: ``ENTROPY_BYTES`` that no other run has.
    Learned: how many persons each group has in common, exactly, also of groups that are withheld; the sums that are
             shown, with role b's noise; of role b's list as many elements and ciphertexts as declared, in no order.
    Trust:   semi-honest, one corrupt party of two; who brings made-up persons learns sums over them.
    Raises:  PeerError peer.element, peer.twice (D3), peer.tags, peer.other-set (D2), peer.residue, peer.transparent
             (K, Y, R); InternalError for more persons than declared, or one person twice.
    """
    found = yield from _sums_of_a(shape, people, binding, summer, entropy, control)
    opened = yield from receive_columns("b", "R", shape.residues)
    _require_below(opened, shape, "R")
    return _grouped(shape, found.shown, found.counts, [-cover for cover in found.covers], opened)


def party_b(
    shape: Shape,
    people: PeopleOfB,
    binding: Binding,
    owner: KeyOwner,
    entropy: Secret[bytes],
    noise: U64Array,
) -> Role[None]:
    """Play the input party whose columns are summed: match, and open covered sums with noise on them.

    Shapes:  noise (v, g) uint64, two's complement: drawn for this run, in full strength.
    Sizes:   as the card says; four rounds.
    Entropy: ``ENTROPY_BYTES`` that no other run has; the key of the ciphertexts is drawn by ``owner``.
    Learned: nothing but declared sizes: elements of role a's list and covered sums look like random ones.
    Trust:   semi-honest, one corrupt party of two.
    Raises:  PeerError peer.element, peer.twice (D1), peer.residue, peer.transparent, peer.sum (S); InternalError for
             more persons than declared, or one person twice.
    """
    opened = yield from _sums_of_b(shape, people, binding, owner, entropy, noise)
    for column, found in enumerate(opened):
        yield Send("a", "R", found, column)


# -- a result party that is neither ------------------------------------------------------------------------------------


def share_of_a(
    shape: Shape,
    people: PeopleOfA,
    binding: Binding,
    summer: Summer,
    entropy: Secret[bytes],
    noise: U64Array,
    ab: prf.KeyFamily,
    *,
    control: Control | None = None,
) -> Role[None]:
    """As `party_a`, but the result party gets marks, counts and a's share of each sum.

    Shapes:  noise (1 + v, g) uint64, two's complement: of counts, then of sums; in full strength.
    Learned: how many persons each group has in common, exactly; no sum.
    """
    found = yield from _sums_of_a(shape, people, binding, summer, entropy, control)
    with_noise = found.counts.view(np.uint64) + noise[0] * found.shown.view(np.uint64)
    yield Send("result", "M", found.shown.view(np.uint64))
    yield Send("result", "N", with_noise)
    added = _noise(shape, noise[1:])
    for column, (cover, own) in enumerate(zip(found.covers, added, strict=True)):
        plain = slots.PLAIN[column % shape.primes]
        zero = _zero(ab, column, plain, shape.g)
        yield Send("result", "Fa", ((own - cover + zero) % plain).astype(np.uint64), column)


def share_of_b(
    shape: Shape,
    people: PeopleOfB,
    binding: Binding,
    owner: KeyOwner,
    entropy: Secret[bytes],
    noise: U64Array,
    ab: prf.KeyFamily,
) -> Role[None]:
    """As `party_b`, but the result party gets the opened sums, as b's shares."""
    opened = yield from _sums_of_b(shape, people, binding, owner, entropy, noise)
    for column, found in enumerate(opened):
        plain = slots.PLAIN[column % shape.primes]
        zero = _zero(ab, column, plain, shape.g)
        yield Send("result", "Fb", ((found.view(np.int64) - zero) % plain).astype(np.uint64), column)


def result(shape: Shape) -> Role[Grouped]:
    """Play the result party: receive marks, counts and both shares, and add these.

    Learned: the marks, the counts, rounded or with noise, and the sums with both sides' noise; of one share nothing.
    Raises:  PeerError peer.residue (Fa, Fb).
    """
    shown = yield from receive("a", "M")
    counts = yield from receive("a", "N")
    of_a = yield from receive_columns("a", "Fa", shape.residues)
    of_b = yield from receive_columns("b", "Fb", shape.residues)
    _require_below(of_a, shape, "Fa")
    _require_below(of_b, shape, "Fb")
    return _grouped(shape, shown.view(np.int64), counts.view(np.int64), [each.view(np.int64) for each in of_a], of_b)


# -- what each side does -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """What role a has of the groups: marks and counts (g,) int64, and by column of residues what covers each sum."""

    shown: I64Array
    counts: I64Array
    covers: list[I64Array]


def _sums_of_a(
    shape: Shape,
    people: PeopleOfA,
    binding: Binding,
    summer: Summer,
    entropy: Secret[bytes],
    control: Control | None,
) -> Role[_Found]:
    own, rest = _own(entropy)
    yield Send("b", "D1", _list_of_a(shape, people, binding, own))
    theirs = yield from receive("b", "D3")
    order, tags = dh_psi.sorted_tags(theirs, shape.t, _tag_key(binding), own.scalar, label="D3")
    del theirs
    keys = yield from receive_columns("b", "K", shape.primes)
    for key in keys:
        _require_cipher(key, (*slots.PRIMES, slots.SPECIAL), slots.PUBLIC_KEY, "K")
    values = yield from receive_columns("b", "Y", shape.residues)
    for ciphers in values:
        _require_cipher(ciphers, slots.PRIMES, slots.CIPHER, "Y")
    asked = yield from receive("b", "D2")
    cells = _cells_of_places(shape, order, tags, asked)
    counts = np.bincount(cells[cells >= 0], minlength=shape.g).astype(np.int64)
    shown = np.ones(shape.g, np.int64) if control is None else control.shown(counts)
    summed = cells.copy()
    summed[cells >= 0] = np.where(shown[cells[cells >= 0]] == 1, cells[cells >= 0], -1)
    covers, flood = (prf.Stream(key) for key in rest)
    hidden: list[I64Array] = [np.empty(0, np.int64)] * shape.residues
    sent: list[Array] = [np.empty(0, np.uint64)] * shape.residues
    for number in range(shape.primes):
        columns = range(number, shape.residues, shape.primes)
        for block in range(shape.blocks):
            place = slice(block * slots.CIPHER, (block + 1) * slots.CIPHER)
            summer.block(number, np.stack([values[at][place] for at in columns]), slots.masks(summed, shape.g, block))
        plain, told = slots.PLAIN[number], list[int]()
        made = summer.sums(number, keys[number], _covers(shape, covers, plain, told))
        rows = [slots.drown(cipher, flood) for cipher in made]
        if len(rows) != shape.v * shape.g:
            raise InternalError("internal.bug", where="sums of psi_sum")
        for at, column in enumerate(columns):
            mine = slice(at * shape.g, (at + 1) * shape.g)
            sent[column], hidden[column] = np.concatenate(rows[mine]), np.array(told[mine], np.int64)
    for column, ciphers in enumerate(sent):
        yield Send("b", "S", ciphers, column)
    if control is not None:
        counts = control.rounded(counts) * shown
    return _Found(shown, counts, hidden)


def _covers(shape: Shape, stream: prf.Stream, plain: int, told: list[int]) -> Iterator[U64Array]:
    """What covers each sum modulo one prime; ``told`` gets the sum of its slots."""
    for _ in range(shape.v * shape.g):
        cover = slots.cover(stream, plain, shape.blocks)
        told.append(slots.summed(cover, plain))
        yield cover


def _sums_of_b(
    shape: Shape, people: PeopleOfB, binding: Binding, owner: KeyOwner, entropy: Secret[bytes], noise: U64Array
) -> Role[list[U64Array]]:
    own, _ = _own(entropy)
    persons = _persons(people.ids, shape.n_b, own)
    if len(people.values) != shape.v or any(len(each) != len(persons) for each in people.values):
        raise InternalError("internal.bug", where="columns of psi_sum")
    added = _noise(shape, noise)
    listed = dh_psi.entries(persons, np.arange(len(persons)), shape.n_b, Kind.PADDING_B, own.key_of_nobody)
    order = permute.permutation(own.order, len(listed))
    yield Send("a", "D3", dh_psi.multiplied(listed, order, _HASH + binding.digest, own.scalar))
    for number in range(shape.primes):
        yield Send("a", "K", owner.new_key(number), number)
    for column in range(shape.residues):
        number = column % shape.primes
        placed = np.zeros(shape.n_list_b, np.uint64)
        placed[order[: len(persons)]] = people.values[column // shape.primes].view(np.uint64)
        ciphers = owner.encrypt(number, slots.packed(placed, slots.PLAIN[number]))
        yield Send("a", "Y", ciphers.reshape(-1), column)
    theirs = yield from receive("a", "D1")
    order, tags = dh_psi.sorted_tags(theirs, shape.t, _tag_key(binding), own.scalar, label="D1")
    yield Send("a", "D2", np.ascontiguousarray(tags[np.argsort(order // max(1, shape.m_a), kind="stable")]))
    opened = []
    for column in range(shape.residues):
        covered = yield from receive("a", "S", column)
        _require_cipher(covered, slots.PRIMES, slots.CIPHER, "S")
        plain = slots.PLAIN[column % shape.primes]
        found = [_opened(owner, column % shape.primes, cipher) for cipher in covered.reshape(shape.g, slots.CIPHER)]
        opened.append(((np.array(found, np.int64) + added[column]) % plain).astype(np.uint64))
    return opened


def _opened(owner: KeyOwner, number: int, cipher: U64Array) -> int:
    """The sum of all slots of a covered sum; slot 0 has 0 in all that was made and sent as it should be."""
    found = owner.decrypt(number, cipher)
    if found[0]:
        raise PeerError("peer.sum", label="S")
    return slots.summed(found, slots.PLAIN[number])


def _own(entropy: Secret[bytes]) -> tuple[dh_psi.Own, tuple[Secret[bytes], ...]]:
    """What matching takes, and keys for covers and for flooding."""
    value = entropy.expose("what a role draws")
    if len(value) != ENTROPY_BYTES:
        raise ValueError(f"a role draws {ENTROPY_BYTES} bytes for a run")
    first, rest = value[: dh_psi.ENTROPY_BYTES], value[dh_psi.ENTROPY_BYTES :]
    return dh_psi.Own(Secret(first)), (Secret(rest[: aes.KEY_BYTES]), Secret(rest[aes.KEY_BYTES :]))


def _tag_key(binding: Binding) -> Secret[bytes]:
    """What makes tags other ones in each run. Nothing rests on its secrecy."""
    return Secret(hashlib.sha256(_TAGS + binding.run_id).digest()[: blake2.KEY_BYTES])


def _persons(ids: U8Array, declared: int, own: dh_psi.Own) -> U8Array:
    if len(ids) > declared:
        raise InternalError("internal.bug", where="persons outside the declared size")
    if len(dh_psi.each_once(ids, own.key_of_persons)) != len(ids):
        raise InternalError("internal.bug", where="a person twice in an intersection")
    return ids


def _list_of_a(shape: Shape, people: PeopleOfA, binding: Binding, own: dh_psi.Own) -> U8Array:
    """Group by group m_a elements, in an order that nobody else knows; then the one that both bring."""
    size = shape.g * shape.m_a
    persons = _persons(people.ids, size, own)
    if people.cell.shape != (len(persons),) or (people.cell >= shape.g).any():
        raise InternalError("internal.bug", where="groups of psi_sum")
    cell = people.cell.astype(np.int64)
    counts = np.bincount(cell, minlength=shape.g)
    if (counts > shape.m_a).any():
        raise InternalError("internal.bug", where="persons outside the declared size")
    by_cell = np.argsort(cell, kind="stable")
    places = np.empty(len(cell), np.int64)
    places[by_cell] = np.arange(len(cell)) + np.repeat(
        np.arange(shape.g) * shape.m_a - np.cumsum(counts) + counts, counts
    )
    listed = dh_psi.entries(persons, places, size, Kind.PADDING_A, own.key_of_nobody)
    within = np.lexsort((permute.permutation(own.order, size), np.arange(size) // max(1, shape.m_a)))
    order = np.full(size + 1, size, np.uint32)
    order[within] = np.arange(size, dtype=np.uint32)
    return dh_psi.multiplied(listed, order, _HASH + binding.digest, own.scalar)


def _cells_of_places(shape: Shape, order: U32Array, tags: U8Array, asked: Array) -> I64Array:
    """For each place of b's list the group of a that has the same tag, or -1.

    Shapes: order, tags: b's list by tag; asked (n_list_a, t) uint8: a's by group and tag; (n_list_b,) int64.
    Raises: PeerError peer.tags if a group is not in strict order or a tag is there twice; peer.other-set if the entry
            that both bring is not in both.
    """
    differs = asked[1:] != asked[:-1]
    first = differs.argmax(axis=1)[:, None]
    rising = np.take_along_axis(asked[1:], first, 1) > np.take_along_axis(asked[:-1], first, 1)
    same_group = np.arange(1, shape.n_list_a) % max(1, shape.m_a) != 0
    if not rising[same_group].all():
        raise PeerError("peer.tags", problem="a group is not strictly increasing", label="D2")
    try:
        found = join.match(np.ascontiguousarray(asked), tags)
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error), label="D2") from error
    if found[-1] == join.UNMATCHED:
        raise PeerError("peer.other-set", label="D2")
    hit = np.flatnonzero(found[:-1] != join.UNMATCHED)
    cells = np.full(shape.n_list_b, -1, np.int64)
    cells[order[found[hit]]] = hit // max(1, shape.m_a)
    return cells


# -- residues ----------------------------------------------------------------------------------------------------------


def _noise(shape: Shape, noise: U64Array) -> list[I64Array]:
    """Noise of each column of residues, signed."""
    if noise.shape != (shape.v, shape.g) or noise.dtype != np.uint64:
        raise InternalError("internal.bug", where="noise of psi_sum")
    return [
        np.ascontiguousarray(noise[column // shape.primes]).view(np.int64) % slots.PLAIN[column % shape.primes]
        for column in range(shape.residues)
    ]


def _zero(ab: prf.KeyFamily, column: int, plain: int, count: int) -> I64Array:
    """What role a adds to its share and role b takes off."""
    return slots.share_of_zero(prf.Stream(ab.key("zero", column)), plain, count).astype(np.int64)


def _grouped(
    shape: Shape, shown: I64Array, counts: I64Array, of_a: Sequence[I64Array], of_b: Sequence[Array]
) -> Grouped:
    """Add both shares modulo each prime, and take the numbers closest to 0."""
    residues = [
        (mine + theirs.view(np.int64)) % slots.PLAIN[column % shape.primes]
        for column, (mine, theirs) in enumerate(zip(of_a, of_b, strict=True))
    ]
    sums = tuple(
        tuple(
            slots.signed([int(residues[column * shape.primes + k][cell]) for k in range(shape.primes)])
            if shown[cell]
            else 0
            for cell in range(shape.g)
        )
        for column in range(shape.v)
    )
    return Grouped(tuple(bool(each) for each in shown), tuple(map(int, counts)), sums)


def _require_below(columns: Sequence[Array], shape: Shape, label: str) -> None:
    """Raise PeerError peer.residue if a number is not below the prime of its column."""
    for column, words in enumerate(columns):
        wrong = words >= slots.PLAIN[column % shape.primes]
        if wrong.any():
            raise PeerError("peer.residue", label=label, place=int(np.argmax(wrong)))


def _require_cipher(words: Array, primes: Sequence[int], size: int, label: str) -> None:
    """Raise PeerError for a word that is not below its prime, or a ciphertext that everybody can read."""
    if (place := slots.first_too_large(words, primes)) >= 0:
        raise PeerError("peer.residue", label=label, place=place)
    if (place := slots.first_transparent(words, size)) >= 0:
        raise PeerError("peer.transparent", label=label, place=place)
