"""The slow twin of kernels/ggm.py: a tree as a list of levels, node by node through OpenSSL."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def child(node: bytes, key: bytes) -> bytes:
    block = Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(node)
    return bytes(a ^ b for a, b in zip(block, node, strict=True))


def added(nodes: Sequence[bytes]) -> bytes:
    total = bytes(16)
    for node in nodes:
        total = bytes(a ^ b for a, b in zip(total, node, strict=True))
    return total


def levels(root: bytes, leaves: int, keys: Sequence[bytes]) -> list[list[bytes]]:
    """Nodes of each level below the root: all that have one of the first ``leaves`` leaves below them."""
    depth, nodes, out = (leaves - 1).bit_length(), [root], []
    for level in range(1, depth + 1):
        nodes = [child(node, key) for node in nodes for key in keys]
        nodes = nodes[: ((leaves - 1) >> (depth - level)) + 1]
        out.append(nodes)
    return out
