"""What ids two parties have in common, with a helper: modes of ``python -m benchmarks.psi --of helper.NAME``.

``helper.count`` is ``helper_psi_cardinality``, ``helper.which`` is ``helper_psi`` (with ``.values``, one column of the
other side, too), ``helper.enough`` is ``helper_psi_threshold``: processes with a party server each for both holders and
the helper, and a fourth that opens shares. Ids are those of the other modes: in memory or, ``.files``, in a CSV each.
"""

import os
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import Case
from benchmarks.peers.made_up import ids_of, shared_by
from benchmarks.processes import connected, peak_mb, started, used
from benchmarks.psi import _read, _resident_mb, _write, case_of
from pets.check.budget import dummy_slots
from pets.ids import PartyId
from pets.kernels import dummy, prf
from pets.party import gate
from pets.party.drive import drive
from pets.party.warm import prepare_kernels
from pets.protocols import helper_psi, helper_psi_cardinality, helper_psi_threshold
from pets.protocols.base import Role
from pets.secret import Secret
from pets.spec.cards import Card, load_cards

PARTIES: Final = ("a", "b", "helper", "result")
NAMES: Final = {role: PartyId(role) for role in PARTIES}
EPSILON, DELTA = Fraction(1), Fraction(1, 2**40)
MODES: Final = {
    "helper.count": helper_psi_cardinality.PROTOCOL,
    "helper.count.files": helper_psi_cardinality.PROTOCOL,
    "helper.which": helper_psi.PROTOCOL,
    "helper.which.files": helper_psi.PROTOCOL,
    "helper.which.values": helper_psi.PROTOCOL,
    "helper.enough": helper_psi_threshold.PROTOCOL,
}
WARM: Final = 2
DEADLINE_S: Final = 600.0


def public(what: str, items: int) -> dict[str, int]:
    """The same declared size for both lists."""
    own = {
        helper_psi.PROTOCOL: {"p_b": int(what.endswith("values")), "both": 0},
        helper_psi_cardinality.PROTOCOL: {"r": 0},
        helper_psi_threshold.PROTOCOL: {"min_result": max(1, shared_by(items)), "shown": 1, "noised": 0},
    }
    return {"n_a": items, "n_b": items, "s": dummy_slots(EPSILON, DELTA, 1), **own[MODES[what]]}


@cache
def _law(s: int) -> dummy.DummyTable:
    return dummy.dummy_table(EPSILON, DELTA, 1, s)


def _shape(what: str, card: Card, items: int) -> Any:
    given = public(what, items)
    names = card.names(given)
    sizes = {name: names[name] for name in ("n_a", "n_b", "s", "t", "n_list_a", "n_list_b")}
    more: dict[str, Any] = {"fixed_ids": True, "dummies": _law(names["s"]), **sizes}
    if card.id == helper_psi.PROTOCOL:
        return helper_psi.Shape(**more, p_b=names["p_b"], both=False)
    if card.id == helper_psi_cardinality.PROTOCOL:
        return helper_psi_cardinality.Shape(**more, noised=False)
    return helper_psi_threshold.Shape(**more, min_result=given["min_result"], shown=True, noised=False)


def _family(run: bytes, card: Card, pair: str) -> prf.KeyFamily:
    """What two parties would have agreed on at the hello."""
    shared: Any = Secret(bytes([len(pair), *pair.encode()]).ljust(32, b"\1"))
    return prf.KeyFamily(shared, run_id=run, digest=bytes(32), protocol=card.id, party_p=pair[0], party_q=pair[1])


def _part(what: str, role: str, shape: Any, ids: Any, values: Any, run: bytes) -> Role[Any]:
    card = load_cards()[MODES[what]]
    ab, ac, bc = (_family(run, card, pair) for pair in ("ab", "ac", "bc"))
    code: Any = {each.PROTOCOL: each for each in (helper_psi, helper_psi_cardinality, helper_psi_threshold)}[card.id]
    if role == "result":
        return code.result(shape) if code is helper_psi_cardinality else code.result()  # type: ignore[no-any-return]
    more = [] if code is helper_psi else [None]
    if role == "a":
        return code.party_a(shape, ids, ab, ac, *more)  # type: ignore[no-any-return]
    if role == "b":
        columns = [[values] * shape.p_b] if code is helper_psi else []
        return code.party_b(shape, ids, *columns, ab, bc, *more)  # type: ignore[no-any-return]
    return code.helper(shape, ac, bc, *more)  # type: ignore[no-any-return]


def is_right(what: str, shape: Any, found: Any, items: int) -> bool:
    """Whether it is the number in common, or the places of these: the last ones of the first party, the first of b."""
    shared = shared_by(items)
    if MODES[what] == helper_psi.PROTOCOL:
        places = bool(np.array_equal(found.places, np.arange(items - shared, items)))
        return places and all(np.array_equal(np.sort(column), np.arange(shared)) for column in found.values)
    code: Any = helper_psi_threshold if MODES[what] == helper_psi_threshold.PROTOCOL else helper_psi_cardinality
    return bool(code.open_shares(shape, found) == shared)


def _party(pipe: Connection, me: int, folder: str, certificate: bytes, key: bytes, ca: bytes) -> None:
    """One of the processes: a server, and the runs that the parent asks for."""
    prepare_kernels()
    role = PARTIES[me]
    with connected(pipe, PARTIES, certificate, key, ca, deadline_s=DEADLINE_S) as dial:
        ids = np.empty((0, 10), np.uint8)
        while (asked := pipe.recv()) is not None:
            what, items, run = asked
            if role in ("a", "b") and len(ids) != items:
                ids = np.frombuffer("".join(ids_of(me, items)).encode(), np.uint8).reshape(items, 10)
            card = load_cards()[MODES[what]]
            if role not in card.roles:
                pipe.send("ready")
                pipe.recv()
                pipe.send((0.0, (0, 0), 0.0, 0, True, {}))
                continue
            shape, values = _shape(what, card, items), np.arange(items)
            link = dial(role, run, [name for name in PARTIES if name != role])
            passage = gate.Gate(gate.project(card, public(what, items), NAMES, role), opening=Secret(os.urandom(32)))
            source = Path(folder) / f"in{me}.csv"
            files = what.endswith("files") and role in ("a", "b")
            if files:
                _write(source, ids)
            held = _resident_mb()
            pipe.send("ready")
            pipe.recv()
            before, begun, steps = used(), time.perf_counter(), dict[str, float]()
            brought = _read(source) if files else ids
            steps["read"] = time.perf_counter() - begun

            def tick(label: str, size: int, seconds: float, seen: dict[str, float] = steps) -> None:
                seen[label] = seen.get(label, 0) + seconds

            found = drive(
                _part(what, role, shape, brought, values, run), passage, link, deadline_s=DEADLINE_S, tick=tick
            )
            end = time.perf_counter()
            sent = sum(each.size for each in passage.finish())
            last = role == ("result" if "result" in card.roles else "a")
            peak = peak_mb()
            right = not last or is_right(what, shape, found, items)
            told = {f"{role}, until {label}": s for label, s in steps.items()}
            pipe.send((end, (held, peak), used() - before, sent, right, told))
            link.close()


def measure(asked: list[tuple[str, int]], runs: int) -> Iterator[Case]:
    """Each mode and size, ``runs`` times and twice before."""
    with started(_party, PARTIES) as pipes:
        for what, items in asked:
            card = load_cards()[MODES[what]]
            last = PARTIES.index("result" if "result" in card.roles else "a")
            yield case_of((what, items, runs), pipes, card, card.names(public(what, items)), warm=WARM, last=last)
