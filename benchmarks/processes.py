"""Party servers in processes of their own, as benchmarks of intersections take them."""

import datetime as dt
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.rep3 import _san
from pets.ids import PartyId
from pets.party.identity import Authority, make_credentials

_END_S = 20


@contextmanager
def started(party: Callable[..., None], names: Sequence[str]) -> Iterator[list[Any]]:
    """Start ``party(pipe, number, folder, certificate, key, ca)`` for each name; gives a pipe to each, in their order.

    Each sends its port and is sent everybody's. At the end each is sent None and has 20 seconds; ``folder``, which they
    share, is deleted after that.
    """
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create("benchmark", now=now)
    spawn = multiprocessing.get_context("spawn")
    pipes, children = [], []
    with tempfile.TemporaryDirectory() as folder:
        for me, name in enumerate(names):
            own = make_credentials(authority, PartyId(name), _san(name), now=now)
            pipe, far = spawn.Pipe()
            given = (far, me, folder, own.certificate, own.key.expose("give it to the child"), own.ca)
            child = spawn.Process(target=party, args=given, daemon=True)
            child.start()
            pipes.append(pipe)
            children.append(child)
        ports = {name: pipe.recv() for name, pipe in zip(names, pipes, strict=True)}
        for pipe in pipes:
            pipe.send(ports)
        yield pipes
        for pipe, child in zip(pipes, children, strict=True):
            pipe.send(None)
            child.join(_END_S)
