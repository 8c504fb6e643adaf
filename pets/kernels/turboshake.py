"""TurboSHAKE128 of many messages of one length, by pycryptodome.

One message after another: its permutation takes no vectors of messages. What that costs is in
docs/adr/0041-checked-inputs.md.

Source: RFC 9861, section 2 (TurboSHAKE).
"""

import numpy as np
from Crypto.Hash import TurboSHAKE128

from pets.kernels.jit import U8Array


def turboshake128(prefixes: U8Array, bodies: U8Array, *, domain: int, size: int) -> U8Array:
    """Hash the messages `prefixes[i]` followed by `bodies[i]` to `size` bytes each.

    Shapes:  prefixes (n, a) uint8, bodies (n, b) uint8, both contiguous, a and b may be 0; result (n, size) uint8.
    Units:   domain is the byte that separates uses, 1 to 127.
    Raises:  ValueError on a wrong shape, dtype or domain: our bug.
    Source:  RFC 9861, section 2.2.
    """
    out = np.empty((len(prefixes), size), np.uint8)
    squeeze(prefixes, bodies, out, domain=domain)
    return out


def squeeze(prefixes: U8Array, bodies: U8Array, out: U8Array, *, domain: int, limit: int = 0) -> U8Array:
    """Hash as ``turboshake128`` does, into `out`, and tell which rows have a word that is not below `limit`.

    Shapes:  out (n, size) uint8, contiguous; result (n,) uint8: 1 where a whole word (8 bytes, little-endian) of the
             row is at least `limit`, 0 elsewhere and everywhere if `limit` is 0.
    """
    for array in (prefixes, bodies, out):
        if array.dtype != np.uint8 or array.ndim != 2 or not array.flags.c_contiguous or len(array) != len(out):
            raise ValueError("messages and outputs are contiguous (n, bytes) arrays of uint8, as many of each")
    if not 1 <= domain <= 127:
        raise ValueError("a domain is 1 to 127")
    size = out.shape[1]
    for prefix, body, row in zip(prefixes, bodies, out, strict=True):
        hashed = TurboSHAKE128.new(domain=domain)
        hashed.update(prefix.data)
        hashed.update(body.data)
        row[:] = np.frombuffer(hashed.read(size), np.uint8)
    if not limit or not out.size:
        return np.zeros(len(out), np.uint8)
    words = np.ascontiguousarray(out[:, : size - size % 8]).view("<u8")
    return np.asarray((words >= np.uint64(limit)).any(axis=1), np.uint8)
