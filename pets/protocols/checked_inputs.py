"""Checked inputs: what input parties hand in is proved to be within its bounds, and no computing party sees it.

Each input party splits its measurement by Prio3: the computing party ``last`` gets words (a share of the measurement
and of its proof), ``server1``, ... get seeds. Before any sum, computing parties exchange a share of a verifier for each
upload, and all of them find the same uploads valid, which they confirm. What becomes of one that is not, a protocol of
sums decides (``checked_sum``).

Who takes uploads ahead of the run opens them with ``inbox.Inbox`` into ``Uploads``; ``heard`` fills these from input
parties who are there.

What ties an upload to its run: the *context* of every hash, a digest of run id, specification digest, circuit, number
of computing parties and input party; and its *mark*, 16 random bytes of its sender, which is the nonce of Prio3. An
upload of another run, for another circuit or of another party does not verify.

docs/adr/0041-checked-inputs.md says against whom this protects, against whom not, and with which probability.

Source: draft-irtf-cfrg-vdaf-20, sections 7 and 9; protocols.md 8.1.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError, RunError
from pets.kernels import prf, prio3, xof
from pets.kernels.circuits import Circuit, Count, Histogram, Measurements, SumVec
from pets.kernels.jit import U8Array, U64Array
from pets.protocols.base import Array, Binding, Hear, Role, Send, receive
from pets.protocols.contributions import Present, label_of, packed, prefixed
from pets.protocols.inbox import INPUT, Ring, SealedWords
from pets.protocols.parts import between
from pets.protocols.upload import role_of
from pets.secret import Secret

PROTOCOL: Final = "checked_sum"

SERVER: Final = "server"
LAST: Final = "last"

MARK_BYTES: Final = prio3.NONCE_BYTES
DIGEST_BYTES: Final = 32
KEY_BYTES: Final = xof.SEED_BYTES

CONFIRMS: Final = "W"
"""Label of digests of all verifiers that a party has seen."""


def circuit_of(*, length: int, greatest: int, chunk: int, one_cell: bool) -> Circuit:
    """What proves vectors of ``length`` numbers from 0 to ``greatest``, or, ``one_cell``, of a one in one cell.

    ``chunk``: elements that a call checks; 1 for a single number of 0 or 1. Raises: ValueError if there is no circuit.
    """
    if one_cell:
        return Histogram(length, chunk)
    return Count() if (length, greatest) == (1, 1) else SumVec(length, chunk, greatest)


def measurement_of(circuit: Circuit, values: U64Array) -> Measurements:
    """A vector as its circuit takes it: the vector, or the number of the cell with the one.

    Shapes:  values (outputs,) uint64; one row of what the circuit takes.
    Raises:  ValueError if it is not within its bounds: the input party's own table, to be checked before.
    """
    if values.dtype != np.uint64 or values.shape != (circuit.outputs,):
        raise InternalError("internal.bug", where="a vector of another length than declared")
    if isinstance(circuit, SumVec):
        return values.reshape(1, -1)
    if isinstance(circuit, Histogram):
        if values.max() != 1 or np.count_nonzero(values) != 1:
            raise ValueError("a measurement is out of its range")
        return np.array([values.argmax()], np.uint64)
    return values


@dataclass(frozen=True)
class Shape:
    """Public parameters: what is proved, and how many input and computing parties there are."""

    circuit: Circuit
    holders: int
    computing: int

    def __post_init__(self) -> None:
        if self.holders < 2 or self.computing < 2:
            raise InternalError("internal.bug", where="the shape of checked inputs")
        if self.holders * self.greatest >= self.circuit.prime.modulus // 2:
            raise InternalError("internal.bug", where="the size of a sum of checked inputs")

    @property
    def greatest(self) -> int:
        """The greatest output of one input party."""
        return int(getattr(self.circuit, "greatest", 1))

    @cached_property
    def prio(self) -> prio3.Prio3:
        return prio3.Prio3(self.circuit, self.computing)

    @property
    def seeded(self) -> int:
        """Computing parties that get seeds: all but ``last``. Party 0 of Prio3 is ``last``, party j is server j."""
        return self.computing - 1

    @property
    def roles(self) -> tuple[str, ...]:
        """The computing roles in the order of Prio3's parties."""
        return (LAST, *(role_of(SERVER, number) for number in range(self.seeded)))

    @property
    def server_head(self) -> int:
        """Bytes for a server: mark, public share, seed and blind."""
        return MARK_BYTES + self.prio.public_bytes + self.prio.helper_bytes

    @property
    def last_head(self) -> int:
        """Bytes for ``last`` beside the words: mark, public share, blind."""
        return MARK_BYTES + self.prio.public_bytes + self.prio.message_bytes

    @property
    def words(self) -> int:
        """Words for ``last``: a share of the measurement and of the proof."""
        return (self.circuit.encoded + self.circuit.proof) * self.circuit.prime.words

    @property
    def verifier_bytes(self) -> int:
        """Bytes between computing parties for one input party: a share of a verifier, a digest of what is public."""
        return self.prio.verifier_bytes + DIGEST_BYTES

    @property
    def output_words(self) -> int:
        """Words of a final share."""
        return self.circuit.outputs * self.circuit.prime.words


# -- what uploads are bound to -----------------------------------------------------------------------------------------


def context(shape: Shape, tied: Binding, number: int) -> bytes:
    """The context of an upload: 32 bytes that no other run, circuit, number of parties or input party has."""
    parts = [b"pets/1", PROTOCOL.encode(), tied.digest, tied.run_id, role_of(INPUT, number).encode()]
    parts += [value.to_bytes(16, "big") for value in (shape.computing, *shape.circuit.parameters())]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def _contexts(shape: Shape, tied: Binding, numbers: Sequence[int]) -> U8Array:
    data = b"".join(context(shape, tied, number) for number in numbers)
    return np.frombuffer(data, np.uint8).reshape(len(numbers), DIGEST_BYTES)


def verify_key(between: prf.KeyFamily) -> Secret[bytes]:
    """The verification key of a run, which no input party may know: from the keys that two computing parties share.

    It follows from their public keys in the hello round and from the run id: it is fixed before any upload is made, it
    is another one in each run, and contexts are bound to it through the run id (draft, 9.1).
    """
    return Secret(seed_of(between, "verify"))


def seed_of(family: prf.KeyFamily, label: str) -> bytes:
    """32 bytes of what two parties share, for one purpose."""
    return b"".join(family.key(label, half).expose("a seed of 32 bytes") for half in range(2))


# -- input parties -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """An upload: its head for each server, its head and words for ``last``. Shapes: heads (1, bytes) uint8."""

    servers: Sequence[U8Array]
    last: U8Array
    words: U64Array

    def __repr__(self) -> str:
        return "Split(***)"


def split(shape: Shape, number: int, measurement: Measurements, tied: Binding, drawn: prf.Stream) -> Split:
    """Split and prove the measurement of input party ``number``.

    Shapes:  measurement: one row of what the circuit takes; words (words,) uint64. ``drawn``: fresh for each upload.
    Raises:  ValueError if the measurement is out of its range: the input party's own table, checked before.
    """
    prio = shape.prio
    random = drawn.words((MARK_BYTES + prio.coin_bytes) // 8).view(np.uint8).reshape(1, -1)
    mark, coins = random[:, :MARK_BYTES], np.ascontiguousarray(random[:, MARK_BYTES:])
    contexts = _contexts(shape, tied, [number])
    public, (leader, *helpers) = prio.shard(contexts, measurement, np.ascontiguousarray(mark), coins)
    cut = 8 * shape.words
    return Split(
        servers=[xof.beside(mark, public, helper) for helper in helpers],
        last=xof.beside(mark, public, leader[:, cut:]),
        words=np.ascontiguousarray(leader[:, :cut]).view(np.uint64).reshape(-1),
    )


# -- what a computing party keeps of uploads ---------------------------------------------------------------------------


class Uploads:
    """What computing party ``party`` (0 is ``last``) has of the uploads of a run, each taken once.

    Fields: marks (holders, 16) uint8, zeros where there is no upload: nonces, and what parties agree on who counts by.
    """

    def __init__(self, shape: Shape, party: int) -> None:
        if not 0 <= party < shape.computing:
            raise InternalError("internal.bug", where="the number of a computing party")
        self.shape: Final = shape
        self.party: Final = party
        self.marks: U8Array = np.zeros((shape.holders, MARK_BYTES), np.uint8)
        self._publics: dict[int, U8Array] = {}
        self._shares: dict[int, U8Array] = {}

    def keep(self, number: int, head: U8Array, words: U64Array | None = None) -> None:
        """Take the upload of input party ``number``.

        Shapes:  head (1, server_head) or (1, last_head) uint8; words (words,) uint64 for ``last``, else none.
        Raises:  PeerError peer.repeated if there is one, peer.mark if its mark is zero or that of another one,
                 peer.bad-length for parts of another size (a proof too many or too few), peer.share-encoding.
        """
        shape, prio, name = self.shape, self.shape.prio, role_of(INPUT, number)
        size, count = (shape.server_head, 0) if self.party else (shape.last_head, shape.words)
        got = words.size if words is not None else 0
        if head.size != size or got != count:
            expected = size + 8 * count
            raise PeerError(
                "peer.bad-length", peer=name, message="its upload", got=head.size + 8 * got, expected=expected
            )
        if number in self._shares:
            raise PeerError("peer.repeated", peer=name, message="its upload")
        row = head.reshape(1, -1)
        mark, rest = row[0, :MARK_BYTES], row[:, MARK_BYTES:]
        if not mark.any() or (self.marks == mark).all(axis=1).any():
            raise PeerError("peer.mark", peer=name)
        public, share = rest[:, : prio.public_bytes], rest[:, prio.public_bytes :]
        if words is not None:
            share = xof.beside(words.reshape(1, -1).view(np.uint8), share)
        share = np.ascontiguousarray(share)
        if not prio.canonical(self.party, share).all():
            raise PeerError("peer.share-encoding", peer=name, what="its upload")
        self.marks[number] = mark
        self._publics[number], self._shares[number] = public.copy(), share

    def take(self, number: int, head: Secret[bytes], words: SealedWords | None = None) -> None:
        """The same from an ``inbox.Inbox``. Raises: PeerError peer.upload-sealed too."""
        said, opened = np.frombuffer(head.expose("mark, public share, share"), np.uint8).reshape(1, -1), None
        if words is not None:
            opened = np.zeros(self.shape.words, np.uint64)
            words.add_to(opened, Ring())
        self.keep(number, said, opened)

    def take_off(self, number: int) -> None:
        """Undo ``keep``, before parties have said of whom they have uploads."""
        del self._publics[number], self._shares[number]
        self.marks[number] = 0

    def rows(self, numbers: Sequence[int]) -> tuple[U8Array, U8Array, U8Array]:
        """Marks, public shares and shares of these input parties."""
        if missing := [number for number in numbers if number not in self._shares]:
            raise InternalError("internal.bug", where=f"an upload of {role_of(INPUT, missing[0])}")
        marks = np.ascontiguousarray(self.marks[list(numbers)])
        publics, shares = (np.concatenate([kept[n] for n in numbers]) for kept in (self._publics, self._shares))
        return marks, publics, shares

    def drop(self) -> None:
        """Forget all shares: a run has verified them once, and no key verifies them again."""
        self._publics.clear()
        self._shares.clear()

    def __repr__(self) -> str:
        return f"Uploads({len(self._shares)} of {self.shape.holders})"


def heard(shape: Shape, party: int) -> Role[Uploads]:
    """What a computing party hears from input parties who are there; who is not by the deadline is left out."""
    found, heads = Uploads(shape, party), dict[int, Array]()
    for number in range(shape.holders):
        label = label_of("Us", number, party - 1) if party else label_of("Um", number)
        head = yield Hear(role_of(INPUT, number), label)
        if head is not None:
            heads[number] = head
    for number in range(shape.holders):
        words = None
        if not party:
            words = yield Hear(role_of(INPUT, number), label_of("Uw", number))
        if number in heads and (party or words is not None):
            found.keep(number, heads[number], words)
    return found


# -- computing parties -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """What computing parties find together. ``valid``: by number of the input party, the same at all of them.

    ``outputs``: this party's share of the sum of those that are valid, as many elements as outputs.
    """

    valid: Present
    outputs: U64Array


def verified(uploads: Uploads, present: Present, tied: Binding, key: Secret[bytes]) -> Role[Verified]:
    """Verify the uploads of those who count together with the other computing parties; the sum of the valid ones.

    Every party finds the same from what it has sent and was sent. That it was the same for all is confirmed before
    this returns: who shows two parties other verifiers lets nobody go on with a set of its own.

    Shapes:  present (holders,) bool, the same at all computing parties, who have agreed on it.
    Sizes:   V to each other computing party and from it: a row of ``verifier_bytes`` for each input party, zeros where
             one does not count. Then W, 32 bytes. Two rounds. The uploads are dropped, whatever comes of it.
    Learned: which uploads are valid; of those that are not, a linear function of what was handed in.
    Trust:   semi-honest computing parties for the check; for privacy, one that follows the protocol. One that does not
             can have any upload found not valid.
    Raises:  PeerError peer.share-encoding, with the computing party at fault, peer.lists if others have seen other
             verifiers than this party; RunError run.test-point, by chance. Then nothing may be sent of any upload.
    """
    shape, prio = uploads.shape, uploads.shape.prio
    numbers = np.flatnonzero(present).tolist()
    if present.shape != (shape.holders,) or not numbers:
        raise InternalError("internal.bug", where="who counts")
    contexts = _contexts(shape, tied, numbers)
    marks, publics, shares = uploads.rows(numbers)
    uploads.drop()
    pending, verifiers = prio.verify_init(key, contexts, uploads.party, marks, publics, shares)
    own = np.zeros((shape.holders, shape.verifier_bytes), np.uint8)
    own[numbers] = xof.beside(verifiers, _digests(contexts, marks, publics))
    names = between((*shape.roles[1:], LAST), (uploads.party - 1) % shape.computing)
    for other, (there, _) in names.items():
        yield Send(other, "V" + there, own)
    rows = {shape.roles[uploads.party]: own}
    for other, (_, back) in names.items():
        rows[other] = yield from receive(other, "V" + back)
    if pending.refused.any():  # every party finds the same, and has sent zeros for it
        raise RunError("run.test-point")
    found, sent = np.ones(len(numbers), np.bool_), []
    for role in shape.roles:
        row = np.ascontiguousarray(rows[role][numbers])
        sent.append(np.ascontiguousarray(row[:, : prio.verifier_bytes]))
        found &= (row[:, -DIGEST_BYTES:] == own[numbers, -DIGEST_BYTES:]).all(1)
        if not prio.encodes_verifiers(sent[-1]).all():
            raise PeerError("peer.share-encoding", peer=role, what="its part of a check")
    message, holds = prio.verifier_message(contexts, sent)
    found &= (holds & prio.blinds_hold(publics, sent) & prio.verify_next(pending, message)).astype(np.bool_)
    valid = np.zeros(shape.holders, np.bool_)
    valid[numbers] = found
    confirms = _confirmation(tied, rows, valid)
    for other, (there, _) in names.items():
        yield Send(other, CONFIRMS + there, confirms)
    for other, (_, back) in names.items():
        if (yield from receive(other, CONFIRMS + back)).tobytes() != confirms.tobytes():
            problem = "they have seen other parts of checks than we have"
            raise PeerError("peer.lists", label=CONFIRMS + back, problem=problem)
    return Verified(valid, prio.aggregate(np.ascontiguousarray(pending.outputs[found])))


def _confirmation(tied: Binding, rows: Mapping[str, Array], valid: Present) -> U8Array:
    """A digest of all verifiers of a run, by role in the order of names, and of what they say: (1, 32) uint8."""
    digest = hashlib.sha256(b"pets/1 verified" + tied.run_id + tied.digest)
    for role in sorted(rows):
        digest.update(prefixed(role.encode()) + prefixed(rows[role].tobytes()))
    digest.update(prefixed(packed(valid).tobytes()))
    return np.frombuffer(digest.digest(), np.uint8).reshape(1, DIGEST_BYTES)


def _digests(contexts: U8Array, marks: U8Array, publics: U8Array) -> U8Array:
    """What all computing parties must have been told alike, by input party. Shapes: (n, 32) uint8."""
    rows = xof.beside(contexts, marks, publics)
    data = b"".join(hashlib.sha256(b"pets/1 public share" + row.tobytes()).digest() for row in rows)
    return np.frombuffer(data, np.uint8).reshape(len(rows), DIGEST_BYTES)
