"""Servers of many parties in one process: ``python -m benchmarks.holders CONFIG...``, for benchmarks of many holders.

Each has its own node, keys, state and port, as if it ran alone. What they have in common is a processor, memory and
compiled kernels, of which dozens of processes would want too much on one machine.
"""

import datetime as dt
import gc
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from pets.party.config import read_config
from pets.party.main import alone, open_node
from pets.party.server import Server, keep_memory
from pets.party.warm import prepare_kernels


def main() -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    keep_memory()
    prepare_kernels()
    with ExitStack() as stack:
        for file in map(Path, sys.argv[1:]):
            config = read_config(file, now=dt.datetime.now(dt.UTC))
            stack.enter_context(alone(config.state))
            node = open_node(config, console=lambda line: None)
            server = Server(node, config.directory, config.credentials, config.listen)
            server.start()
            stack.callback(server.stop, 0.0)
            stack.callback(node.close)
        gc.freeze()
        sys.stdout.write(f"{len(sys.argv) - 1} parties ready on this host\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
