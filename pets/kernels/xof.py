"""XofTurboShake128: seeds to field elements and to other seeds, for many submissions at a time.

One call hashes n messages of one length; a single one is a call with n = 1.

Source: draft-irtf-cfrg-vdaf-20, 6.2 (XofTurboShake128, its domain separation), 6.1.1 (elements by rejection).
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from pets.kernels import turboshake
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.prime import Prime

VERSION: Final = 18
"""What the draft calls VERSION: the last revision that changed what is computed. Drafts 18 to 20 have the same."""

SEED_BYTES: Final = 32
_DOMAIN: Final = 1
_CLASS_VDAF: Final = 0


def tags(algorithm: int, usage: int, contexts: U8Array) -> U8Array:
    """Domain separation tags: version, class, algorithm, usage, then the context of each submission.

    Shapes:  contexts (n, c) uint8; result (n, 8 + c) uint8.
    """
    head = bytes([VERSION, _CLASS_VDAF]) + algorithm.to_bytes(4, "big") + usage.to_bytes(2, "big")
    return beside(repeated(head, len(contexts)), contexts)


def derive(seeds: U8Array, tags: U8Array, binders: U8Array, bodies: U8Array | None = None) -> U8Array:
    """Derive another seed from each seed, a tag and what it is bound to: `binders`, and after them `bodies`.

    Shapes:  seeds (n, 32), tags (n, d), binders (n, b), bodies (n, e) or none, all uint8; result (n, 32) uint8.
    Raises:  ValueError on a wrong shape or dtype: our bug.
    """
    prefixes = _prefixes(seeds, tags, binders)
    bodies = np.empty((len(seeds), 0), np.uint8) if bodies is None else bodies
    return turboshake.turboshake128(prefixes, bodies, domain=_DOMAIN, size=SEED_BYTES)


def expand(prime: Prime, seeds: U8Array, tags: U8Array, binders: U8Array, count: int) -> U64Array:
    """Expand each seed to `count` uniform elements: the XOF's output in order, without what is not below the modulus.

    Shapes:  seeds (n, 32), tags (n, d), binders (n, b), all uint8; result (n, count) or (n, count, 2) uint64.
    Raises:  ValueError on a wrong shape or dtype: our bug.
    """
    prefixes = _prefixes(seeds, tags, binders)
    rows, bodies = len(seeds), np.empty((len(seeds), 0), np.uint8)
    out = np.empty((rows, count * prime.bytes), np.uint8)
    above = turboshake.squeeze(prefixes, bodies, out, domain=_DOMAIN, limit=prime.limit)
    for row in np.flatnonzero(above).tolist():
        one, none = prefixes[row : row + 1], bodies[row : row + 1]

        def longer(size: int, one: U8Array = one, none: U8Array = none) -> U8Array:
            stream: U8Array = turboshake.turboshake128(one, none, domain=_DOMAIN, size=size)[0]
            return stream

        out[row] = accepted(prime, longer, count)
    elements: U64Array = out.view(np.uint64).reshape(rows, count, *([prime.words] if prime.words > 1 else []))
    return elements


def accepted(prime: Prime, stream: Callable[[int], U8Array], count: int) -> U8Array:
    """The first `count` elements of a stream that are below the modulus, encoded. `stream(size)` gives its beginning.

    Elements are dropped once in 2^32 in Field64, and once in 2^59 in Field128.
    """
    drawn = count
    while True:
        words = stream(drawn * prime.bytes).view(np.uint64).reshape(drawn, prime.words)
        low, high = words[:, 0], words[:, -1]
        top = np.uint64(prime.limit)
        below = high < top
        if prime.words > 1:  # the low word of p is 1
            below |= (high == top) & (low < np.uint64(prime.modulus & 2**64 - 1))
        kept = words[below]
        if len(kept) >= count:
            return np.ascontiguousarray(kept[:count]).reshape(-1).view(np.uint8)
        drawn += count - len(kept)


def repeated(data: bytes, rows: int) -> U8Array:
    """The same bytes in so many rows. Shapes: (rows, len(data)) uint8."""
    return np.tile(np.frombuffer(data, np.uint8), (rows, 1))


def beside(*parts: U8Array) -> U8Array:
    """Parts of messages side by side: rows of bytes."""
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _prefixes(seeds: U8Array, tags: U8Array, binders: U8Array) -> U8Array:
    if seeds.ndim != 2 or seeds.shape[1] != SEED_BYTES or seeds.dtype != np.uint8:
        raise ValueError("seeds are an (n, 32) array of uint8")
    if not len(seeds) == len(tags) == len(binders):
        raise ValueError("each seed has a tag and a binder")
    rows = len(seeds)
    length = repeated(tags.shape[1].to_bytes(2, "little"), rows)
    return beside(length, tags, repeated(bytes([SEED_BYTES]), rows), seeds, binders)
