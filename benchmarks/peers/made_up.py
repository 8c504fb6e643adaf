"""The sets that intersections are measured on, the same for us and for each peer: ids of ten digits, half in common.

Run by interpreters that have no ``pets``: nothing but the standard library.
"""

import socket

_STEP = 6_364_136_223
_IDS = 10**10


def ids_of(rank: int, items: int) -> list[str]:
    """The ids of one party, all distinct, in no order."""
    first = 0 if rank == 0 else items - shared_by(items)
    return [f"{(first + number) * _STEP % _IDS:010d}" for number in range(items)]


def shared_by(items: int) -> int:
    """How many ids are in both sets."""
    return items // 2


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
