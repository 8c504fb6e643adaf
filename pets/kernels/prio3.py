"""Prio3: measurements in shares, with proofs that computing parties check together and without seeing them.

A holder *shards* its measurement: one share for each of m computing parties, and a public share. Each of these begins
to *verify* with what it got and sends a share of a verifier to the others; from all of them everybody makes the same
*verifier message*, which says that the proof holds; with it, a party *finishes* and has a share of what is added up.

All steps take n submissions at a time, as arrays of bytes (one row each) that are the messages of the draft, byte by
byte. Party 0 has the long share of a measurement, the *leader's*; all others have two seeds. A step tells in an array
of uint8 which submissions it refuses; what is done about them is for protocols to say. Every submission has a context
and a nonce: same length for all, and no two alike under one verification key.

What each learns: a computing party, of a valid submission nothing as long as one of them follows the protocol; of one
that is not, that it is not. Who makes a proof for something else is caught with the probability that
docs/adr/0041-checked-inputs.md states, as long as *all* of them follow the protocol.

Source: draft-irtf-cfrg-vdaf-20, section 7; Davis et al., "Verifiable Distributed Aggregation Functions", PoPETs 2023.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.kernels import flp, prime, xof
from pets.kernels.circuits import Circuit, Measurements
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.xof import SEED_BYTES
from pets.secret import Secret

NONCE_BYTES: Final = 16
MAX_PARTIES: Final = 255
_PROOFS: Final = bytes([1])
"""One proof for each submission, as in all variants that the draft recommends."""

_TILE_BYTES: Final = 1 << 22

_MEASUREMENT, _PROOF, _JOINT, _PROVE, _QUERY, _JOINT_SEED, _JOINT_PART = range(1, 8)
"""What the XOF is used for, by number."""


@dataclass(frozen=True, slots=True, repr=False)
class Pending:
    """What a computing party keeps while it waits for the verifier message: shares of outputs, its joint randomness.

    Shapes:  outputs (n, outputs) elements; seeds (n, 32) uint8, or (n, 0) without joint randomness; refused (n,) uint8:
             submissions whose test point was a node, which happens by chance and says nothing about them.
    """

    outputs: U64Array
    seeds: U8Array
    refused: U8Array


class Prio3:
    """Prio3 for one circuit among `parties` computing parties.

    Fields:  circuit, parties; widths in bytes of each message: public_bytes, share_bytes (by party), verifier_bytes,
             message_bytes; coin_bytes, a holder's randomness for one submission.
    """

    def __init__(self, circuit: Circuit, parties: int) -> None:
        if not 2 <= parties <= MAX_PARTIES:
            raise ValueError("shares are for 2 to 255 parties")
        self.circuit: Final = circuit
        self.parties: Final = parties
        self._tables: Final = flp.Tables(circuit, parties)
        self._alone: Final = flp.Tables(circuit, 1)
        size, joint = circuit.prime.bytes, SEED_BYTES if circuit.joint else 0
        self.public_bytes: Final = joint * parties
        self.leader_bytes: Final = size * (circuit.encoded + circuit.proof) + joint
        self.helper_bytes: Final = SEED_BYTES + joint
        self.verifier_bytes: Final = size * circuit.verifier + joint
        self.message_bytes: Final = joint
        self.coin_bytes: Final = (SEED_BYTES + joint) * parties
        self.output_bytes: Final = size * circuit.outputs

    def share_bytes(self, party: int) -> int:
        """Bytes of the share of one party, from 0."""
        return self.helper_bytes if party else self.leader_bytes

    # -- the holder --------------------------------------------------------------------------------------------------

    def shard(
        self, contexts: U8Array, measurements: Measurements, nonces: U8Array, coins: U8Array
    ) -> tuple[U8Array, list[U8Array]]:
        """Split measurements into shares with proofs: the public share, and one share for each party.

        Shapes:  contexts (n, c), nonces (n, 16), coins (n, coin_bytes) uint8; measurements as the circuit says; result
                 (n, public_bytes), then (n, leader_bytes) and (n, helper_bytes) for each other party, uint8.
        Units:   coins are fresh and uniform, and never used again: who has them has the measurement.
        Raises:  ValueError if a measurement is out of its range or a shape is wrong: the holder's own fault.
        """
        return self.split(contexts, self.circuit.encode(measurements), nonces, coins)

    def split(
        self, contexts: U8Array, encoded: U64Array, nonces: U8Array, coins: U8Array
    ) -> tuple[U8Array, list[U8Array]]:
        """As ``shard``, of measurements that are encoded. Whether they are valid is not looked at: tests cheat here."""
        self._check(len(encoded), (contexts, None), (nonces, NONCE_BYTES), (coins, self.coin_bytes))
        cuts = self._tiles(len(encoded))
        tiles = [self._split(contexts[at], encoded[at], nonces[at], coins[at]) for at in cuts]
        publics, shares = zip(*tiles, strict=True)
        return _joined(publics), [_joined(parts) for parts in zip(*shares, strict=True)]

    def _split(
        self, contexts: U8Array, encoded: U64Array, nonces: U8Array, coins: U8Array
    ) -> tuple[U8Array, list[U8Array]]:
        seeds = coins.reshape(len(coins), self.coin_bytes // SEED_BYTES, SEED_BYTES)
        with_blind = 2 if self.circuit.joint else 1
        helpers = with_blind * (self.parties - 1)
        field, own = self.circuit.prime, encoded
        parts: list[U8Array] = []
        for party in range(1, self.parties):
            first = with_blind * (party - 1)
            share = self._measurement(contexts, party, seeds[:, first])
            own = _without(own, share)
            if self.circuit.joint:
                parts.append(self._part(contexts, party, seeds[:, first + 1], nonces, _bytes(share)))
        blind = seeds[:, helpers] if self.circuit.joint else coins[:, :0]
        if self.circuit.joint:
            parts.insert(0, self._part(contexts, 0, blind, nonces, _bytes(own)))
        public = xof.beside(*parts) if parts else np.empty((len(coins), 0), np.uint8)
        joint = self._joint(contexts, self._joint_seed(contexts, public)) if parts else _none(field, len(coins))
        prove = np.ascontiguousarray(seeds[:, -1])
        random = xof.expand(field, prove, self._tag(_PROVE, contexts), self._binder(contexts), self.circuit.arity)
        proof = flp.prove(self._alone, encoded, random, joint)
        for party in range(1, self.parties):
            proof = _without(proof, self._proof(contexts, party, seeds[:, with_blind * (party - 1)]))
        leader = xof.beside(_bytes(own), _bytes(proof), blind)
        others = [
            np.ascontiguousarray(coins[:, start : start + self.helper_bytes])
            for start in range(0, self.helper_bytes * (self.parties - 1), self.helper_bytes)
        ]
        return public, [leader, *others]

    # -- a computing party -------------------------------------------------------------------------------------------

    def canonical(self, party: int, shares: U8Array) -> U8Array:
        """Which shares of measurements are encodings of elements: 1, else 0; the leader's may not be.

        Shapes:  shares (n, share_bytes(party)) uint8; result (n,) uint8.
        """
        self._check(len(shares), (shares, self.share_bytes(party)))
        if party:
            return np.ones(len(shares), np.uint8)
        return self._encodes(shares, self.circuit.encoded + self.circuit.proof)

    def verify_init(
        self,
        verify_key: Secret[bytes],
        contexts: U8Array,
        party: int,
        nonces: U8Array,
        public: U8Array,
        shares: U8Array,
    ) -> tuple[Pending, U8Array]:
        """Begin to verify: what to keep, and a share of each verifier, which goes to the other computing parties.

        Shapes:  verify_key 32 bytes; contexts (n, c), nonces (n, 16), public (n, public_bytes), shares
                 (n, share_bytes(party)), all uint8; result with (n, verifier_bytes) uint8.
        Learned: by who gets all shares of a verifier, whether the measurement is valid.
        Raises:  ValueError on a wrong shape, or an encoding that is none: look with ``canonical`` first.
        """
        key = verify_key.expose("query randomness")
        if len(key) != SEED_BYTES or not 0 <= party < self.parties:
            raise ValueError("a verification key has 32 bytes, parties are numbered from 0")
        self._check(len(shares), (contexts, None), (nonces, NONCE_BYTES), (public, self.public_bytes))
        if not self.canonical(party, shares).all():
            raise ValueError("an element is not below its modulus")
        given = (contexts, nonces, public, shares)
        begun = [self._begin(key, party, *(array[at] for array in given)) for at in self._tiles(len(shares))]
        kept, sent = zip(*begun, strict=True)
        outputs = np.concatenate([pending.outputs for pending in kept])
        seeds, refused = (_joined([getattr(pending, name) for pending in kept]) for name in ("seeds", "refused"))
        return Pending(outputs, seeds, refused), _joined(sent)

    def _begin(
        self, key: bytes, party: int, contexts: U8Array, nonces: U8Array, public: U8Array, shares: U8Array
    ) -> tuple[Pending, U8Array]:
        rows, circuit, field = len(shares), self.circuit, self.circuit.prime
        blinds = shares[:, self.share_bytes(party) - self.message_bytes :]
        if party:
            seeds = np.ascontiguousarray(shares[:, :SEED_BYTES])
            share = self._measurement(contexts, party, seeds)
            measurements, proofs = flp.Rows.of(share), flp.Rows.of(self._proof(contexts, party, seeds))
            outputs = circuit.truncate(share)
        else:
            words = np.ascontiguousarray(shares).view(np.uint64).reshape(-1)
            stride = self.leader_bytes // field.bytes
            measurements = flp.Rows(field.shaped(words), stride)
            proofs = flp.Rows(field.shaped(words), stride, circuit.encoded)
            share = field.shaped(words).reshape(rows, stride, *_tail(field))[:, : circuit.encoded]
            outputs = circuit.truncate(share)
        corrected, part = public[:, :0], public[:, :0]
        joint = _none(field, rows)
        if circuit.joint:
            part = self._part(contexts, party, blinds, nonces, _bytes(share))
            mended = public.copy()
            mended[:, SEED_BYTES * party : SEED_BYTES * (party + 1)] = part
            corrected = self._joint_seed(contexts, mended)
            joint = self._joint(contexts, corrected)
        binders = xof.beside(self._binder(contexts), nonces)
        keys = xof.repeated(key, rows)
        challenges = xof.expand(field, keys, self._tag(_QUERY, contexts), binders, circuit.query)
        verifiers, refused = flp.query(self._tables, rows, measurements, proofs, challenges, joint)
        # a verifier at a node would tell an input of the gadget: zeros go out in its place, and refuse it
        verifiers[refused != 0] = 0
        return Pending(outputs, corrected, refused), xof.beside(_bytes(verifiers), part)

    def verifier_message(self, contexts: U8Array, shares: Sequence[U8Array]) -> tuple[U8Array, U8Array]:
        """Add up all shares of verifiers: the message to finish with, and which submissions have proofs that hold.

        Shapes:  contexts (n, c); shares (n, verifier_bytes) uint8, one array for each party, in their order; result
                 (n, message_bytes) and (n,) uint8: 1 where the proof holds, else 0, also where a share encodes nothing.
        Raises:  ValueError on a wrong shape or another number of shares.
        """
        if len(shares) != self.parties:
            raise ValueError("each party has a share of a verifier")
        rows, count = len(contexts), self.circuit.verifier
        self._check(rows, (contexts, None), *((share, self.verifier_bytes) for share in shares))
        size, field = count * self.circuit.prime.bytes, self.circuit.prime
        good, total = np.ones(rows, np.uint8), field.zeros(rows * count)
        for share in shares:
            good &= self._encodes(share, count)
            total = prime.added(total, field.shaped(np.ascontiguousarray(share[:, :size]).view(np.uint64).reshape(-1)))
        good &= flp.decide(self._tables, total.reshape(rows, count, *_tail(field)))
        parts = [np.ascontiguousarray(share[:, size:]) for share in shares]
        return self._joint_seed(contexts, xof.beside(*parts)) if self.circuit.joint else parts[0], good

    def encodes_verifiers(self, shares: U8Array) -> U8Array:
        """Which shares of verifiers are encodings of elements: 1, else 0. Shapes: (n, verifier_bytes) to (n,) uint8."""
        self._check(len(shares), (shares, self.verifier_bytes))
        return self._encodes(shares, self.circuit.verifier)

    def blinds_hold(self, public: U8Array, shares: Sequence[U8Array]) -> U8Array:
        """Which submissions told all parties the hash of each party's share as that party found it: 1, else 0.

        Where one does not, ``verify_next`` fails at some parties and at others not; this is the same for all who have
        been told the same, so that they leave out the same submissions.

        Shapes:  public (n, public_bytes); shares as for ``verifier_message``; result (n,) uint8.
        """
        rows, joint = len(public), self.message_bytes
        self._check(rows, (public, self.public_bytes), *((share, self.verifier_bytes) for share in shares))
        parts = [share[:, self.verifier_bytes - joint :] for share in shares]
        good: U8Array = (np.concatenate(parts, axis=1) == public).all(axis=1).astype(np.uint8)
        return good

    def verify_next(self, pending: Pending, messages: U8Array) -> U8Array:
        """Which submissions are verified: their joint randomness was what all parties computed. Shapes: (n,) uint8.

        Only with proofs that hold, which ``verifier_message`` tells, are outputs shares of something valid.
        """
        self._check(len(pending.seeds), (messages, self.message_bytes))
        same = (pending.seeds == messages).all(axis=1)
        verified: U8Array = (same & (pending.refused == 0)).astype(np.uint8)
        return verified

    def aggregate(self, outputs: U64Array) -> U64Array:
        """Add up a party's shares of outputs. Shapes: (n, outputs) elements to (outputs) elements; n may be 0."""
        return prime.totals(flp.flat(outputs), self.circuit.outputs)

    # -- the result party --------------------------------------------------------------------------------------------

    def unshard(self, shares: Sequence[U64Array]) -> list[int]:
        """Open the sum: the shares of all parties, added up. Shapes: (outputs) elements each; as many integers.

        Raises:  ValueError on another number of shares.
        """
        if len(shares) != self.parties:
            raise ValueError("each party has a share of the sum")
        return self.circuit.prime.integers(self.aggregate(np.stack(shares)))

    # -- seeds and tags ----------------------------------------------------------------------------------------------

    def _tag(self, usage: int, contexts: U8Array) -> U8Array:
        return xof.tags(self.circuit.algorithm, usage, contexts)

    def _binder(self, contexts: U8Array, more: bytes = b"") -> U8Array:
        return xof.repeated(_PROOFS + more, len(contexts))

    def _measurement(self, contexts: U8Array, party: int, seeds: U8Array) -> U64Array:
        binder, field = xof.repeated(bytes([party]), len(contexts)), self.circuit.prime
        return xof.expand(field, seeds, self._tag(_MEASUREMENT, contexts), binder, self.circuit.encoded)

    def _proof(self, contexts: U8Array, party: int, seeds: U8Array) -> U64Array:
        binder, field = self._binder(contexts, bytes([party])), self.circuit.prime
        return xof.expand(field, seeds, self._tag(_PROOF, contexts), binder, self.circuit.proof)

    def _part(self, contexts: U8Array, party: int, blinds: U8Array, nonces: U8Array, share: U8Array) -> U8Array:
        binder = xof.beside(xof.repeated(bytes([party]), len(contexts)), nonces)
        return xof.derive(blinds, self._tag(_JOINT_PART, contexts), binder, share)

    def _joint_seed(self, contexts: U8Array, parts: U8Array) -> U8Array:
        zeros = np.zeros((len(contexts), SEED_BYTES), np.uint8)
        return xof.derive(zeros, self._tag(_JOINT_SEED, contexts), parts)

    def _joint(self, contexts: U8Array, seeds: U8Array) -> U64Array:
        field = self.circuit.prime
        return xof.expand(field, seeds, self._tag(_JOINT, contexts), self._binder(contexts), self.circuit.joint)

    # -- shapes and tiles ----------------------------------------------------------------------------------------------

    def _check(self, rows: int, *given: tuple[U8Array, int | None]) -> None:
        for array, width in given:
            if array.dtype != np.uint8 or array.ndim != 2 or len(array) != rows:
                raise ValueError(f"expected {rows} rows of bytes, got {array.shape} of {array.dtype}")
            if width is not None and array.shape[1] != width:
                raise ValueError(f"expected rows of {width} bytes, got {array.shape[1]}")

    def _tiles(self, rows: int) -> list[slice]:
        """Cuts of so many rows whose elements stay in the cache; one cut of none."""
        size = self.circuit.prime.bytes * (self.circuit.encoded + self.circuit.proof)
        step = max(1, _TILE_BYTES // size)
        return [slice(start, start + step) for start in range(0, max(rows, 1), step)]

    def _encodes(self, rows: U8Array, count: int) -> U8Array:
        """Which rows begin with `count` encoded elements."""
        return prime.encodes(self.circuit.prime, np.ascontiguousarray(rows).view(np.uint64), count)


def _tail(field: prime.Prime) -> tuple[int, ...]:
    return (field.words,) if field.words > 1 else ()


def _none(field: prime.Prime, rows: int) -> U64Array:
    return np.empty((rows, 0, *_tail(field)), np.uint64)


def _without(a: U64Array, b: U64Array) -> U64Array:
    return prime.subtracted(flp.flat(a), flp.flat(b)).reshape(a.shape)


def _bytes(elements: U64Array) -> U8Array:
    """Rows of elements as rows of bytes."""
    words = np.ascontiguousarray(elements).reshape(len(elements), math.prod(elements.shape[1:]))
    return words.view(np.uint8)


def _joined(parts: Sequence[U8Array]) -> U8Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
