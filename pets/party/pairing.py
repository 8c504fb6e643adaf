"""An intersection in a party's session: its set from its own rows, its part in the protocol, the outcome in words.

Rows of the outcome are in the order of the asker's identifiers: the words of an identifier, then what comes with it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, SourceError
from pets.ids import PartyId
from pets.kernels import dummy, noise, rows, tags
from pets.kernels.prf import KeyFamily, Stream
from pets.party import bfv, warm
from pets.party.sources import Table
from pets.plan.cost import handed_rows, handed_words, join_numbers
from pets.protocols import (
    dh_psi,
    helper_psi,
    helper_psi_cardinality,
    helper_psi_threshold,
    kkrt_psi,
    matched,
    psi_sum,
    vole_psi,
    vole_psi_malicious,
)
from pets.protocols.base import Binding, Role, Send, receive
from pets.secret import Secret
from pets.spec.ir import Match, Plan, Read
from pets.spec.ways import WAYS

U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

ABSENT: Final = np.int64(-(2**63))
"""A measure that is NULL, in what comes with a person: no measure reaches it (pets/spec/model.py)."""

HANDED: Final = "R1"

WORKER_S: Final = 600
"""Seconds that the process with ciphertexts may compute, and that one answer of it may take."""


@dataclass(frozen=True, slots=True, repr=False)
class Persons:
    """A set: each person once. ``ids`` (n, w) uint8; ``values`` (n,) int64 each, of what comes with a person."""

    ids: U8
    values: tuple[npt.NDArray[np.int64], ...] = ()
    cell: npt.NDArray[np.uint32] | None = None
    """Of a sum, the group of each person of the asker."""

    @property
    def columns(self) -> npt.NDArray[np.int64] | None:
        """What comes along, a row for each word; None if nothing does. Shapes: (p, n)."""
        return np.stack(self.values) if self.values else None

    def __repr__(self) -> str:
        return "Persons(***)"


def persons(read: Read, match: Match, table: Table) -> Persons:
    """A party's set from its rows: each person once, with what comes along where that is asked for.

    Raises: SourceError source.rows-per-person if a person has more rows than declared; source.max-rows if there are
            more persons than declared.
    """
    starts = rows.person_starts(table.person)
    sizes = np.diff(np.append(starts, table.rows))
    if sizes.size and int(sizes.max()) > read.rows_per_person:
        raise SourceError("source.rows-per-person", dataset=read.dataset, most=read.rows_per_person)
    if starts.size > read.max_rows:
        raise SourceError("source.max-rows", dataset=read.dataset)
    ids = table.ids if starts.size == table.rows else tags.take(table.ids, starts)
    if match.outcome == "sum" and read.out == match.asks:
        return Persons(ids, cell=np.ascontiguousarray(table.cell[starts]))
    if read.out != match.of or not match.columns:
        return Persons(ids)
    values = []
    for factor in read.factors:
        (name,) = factor.values
        values.append(np.where(table.present[name], table.values[name], ABSENT)[starts])
    if read.dimensions:
        values.append(table.cell[starts].astype(np.int64))
    return Persons(ids, tuple(values))


def prepare(match: Match) -> None:
    """Make the kernels of a protocol ready: on a new machine that takes longer than a run may wait."""
    if match.card in (dh_psi.PROTOCOL, psi_sum.PROTOCOL):
        warm.prepare_group()
    elif match.card == kkrt_psi.PROTOCOL:
        warm.prepare_bins()
    elif not WAYS[match.card].helper:
        warm.prepare_vectors()


def entropy_bytes(match: Match) -> int:
    """What a role of the protocol draws for one run, beside what parties agree on."""
    return _ENTROPY.get(match.card, 0)


def noise_of(match: Match, own: Stream) -> U64 | None:
    """This party's part of the noise: of a number one word; of sums (v, g), in full; None for an exact outcome."""
    if match.outcome == "sum":
        return _noise_of_sums(match, own)
    return noise.half_noise(match.epsilon, 1, own).view(np.uint64) if match.epsilon else None


def _noise_of_sums(match: Match, own: Stream) -> U64:
    """Discrete Laplace noise of every sum, the whole of it: one of two parties may be corrupt. Zeros under control."""
    out = np.zeros((match.parameter("v"), match.parameter("g")), np.int64)
    for row, (sensitivity, epsilon) in zip(out, match.noised, strict=bool(match.noised)):
        row[:] = noise.laplace_part(epsilon / sensitivity, 1, row.size, own)
    return out.view(np.uint64)


def dummies_of(match: Match) -> str:
    """Digest of the law of the helper's dummies; empty without a helper."""
    return _dummies(match).digest if WAYS[match.card].helper else ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a party puts into an intersection: its role and set, what ties and hides its messages, its keys, its noise.

    ``own`` is None for a helper; ``keys``: the families that it has a part in, by their names on the card.
    """

    role: str
    own: Persons | None
    tied: Binding
    entropy: Secret[bytes]
    keys: Mapping[str, KeyFamily]
    noise: U64 | None

    @property
    def persons(self) -> Persons:
        if self.own is None:
            raise InternalError("internal.bug", where="a holder without its set")
        return self.own


def play(plan: Plan, match: Match, part: Part) -> Role[U64 | None]:
    """Play a role of an intersection to its end, and hand the outcome to the asker's own people.

    Returns: for the other holder, where it is told too: the identifiers in words of its persons who are in both,
             (m, id words) uint64; else None.
    """
    way = WAYS[match.card]
    found: Found | psi_sum.Grouped | int | None = None
    if match.card == dh_psi.PROTOCOL:
        found = yield from _play_dh(plan, match, part)
    elif match.card in _ALONE:
        found = yield from _play_alone(plan, match, part)
    elif match.card == helper_psi.PROTOCOL:
        found = yield from _play_helped(plan, match, part)
    elif match.card == psi_sum.PROTOCOL:
        found = yield from _play_sums(plan, match, part)
    else:
        yield from _play_opened(plan, match, part)
    if part.role == way.asker and not way.opens:
        yield Send("result", HANDED, _handed(match, part, found).reshape(-1))
        return None
    told = found.places if isinstance(found, Found) and part.role == way.other else None
    return None if told is None else words_of(part.persons.ids[told], match.id_words)


class Found(NamedTuple):
    """Places of a holder's persons who are in both, and what came along, a column for each word."""

    places: npt.NDArray[np.int64]
    brought: Sequence[npt.NDArray[Any]] = ()


def _handed(match: Match, part: Part, found: Found | psi_sum.Grouped | int | None) -> U64:
    """The outcome as the asker's people get it: rows of persons, then zeros; rows of groups; or one number."""
    out = np.zeros((handed_rows(match), handed_words(match)), np.uint64)
    if isinstance(found, Found):
        rows = len(found.places)
        out[:rows, : match.id_words] = words_of(part.persons.ids[found.places], match.id_words)
        for number, column in enumerate(found.brought, match.id_words):
            out[:rows, number] = column.view(np.uint64)
    elif isinstance(found, psi_sum.Grouped):
        rows_of = zip(found.shown, found.counts, *found.sums, strict=True)
        out[:] = np.array([[int(value) for value in row] for row in rows_of], np.int64).view(np.uint64)
    elif found is not None:
        out[0, 0] = found
    return out


def words_of(ids: U8, words: int) -> U64:
    """Identifiers as words, filled up with zero bytes: (n, w) uint8; (n, words) uint64."""
    out = np.zeros((len(ids), 8 * words), np.uint8)
    out[:, : ids.shape[1]] = ids
    return out.view(np.uint64)


def ids_of(found: U64) -> list[str]:
    """Identifiers from their words. No identifier has a zero byte; rows of zeros are left out."""
    flat = np.ascontiguousarray(found).view(np.uint8).reshape(len(found), -1)
    return [row.tobytes().rstrip(b"\0").decode() for row in flat if row[0]]


def receive_outcome(plan: Plan, match: Match, roles: Mapping[str, PartyId]) -> Role[dict[PartyId, U64]]:
    """Play the result party: the outcome in words from the asker's server, or its shares from those who compute."""
    way = WAYS[match.card]
    if not way.opens:
        return {roles[way.asker]: np.asarray((yield from receive(way.asker, HANDED)), np.uint64).reshape(-1)}
    if match.card == helper_psi_cardinality.PROTOCOL:
        parts = yield from helper_psi_cardinality.result(_counting(plan, match))
    else:
        parts = yield from helper_psi_threshold.result()
    return {roles[role]: np.asarray(part, np.uint64) for role, part in zip(way.roles, parts, strict=True)}


def opened(plan: Plan, match: Match, parts: Sequence[U64]) -> U64:
    """The outcome in words, from what was sent to the result party. Raises: PeerError peer.result."""
    if not WAYS[match.card].opens:
        return parts[0]
    if match.card == helper_psi_cardinality.PROTOCOL:
        number = helper_psi_cardinality.open_shares(_counting(plan, match), parts)
    else:
        number = helper_psi_threshold.open_shares(_comparing(plan, match), parts)
    return np.array([number], np.int64).view(np.uint64)


# -- the protocols ----------------------------------------------------------------------------------------------------

_ENTROPY: Final[Mapping[str, int]] = {
    dh_psi.PROTOCOL: dh_psi.ENTROPY_BYTES,
    vole_psi.PROTOCOL: vole_psi.ENTROPY_BYTES,
    kkrt_psi.PROTOCOL: kkrt_psi.ENTROPY_BYTES,
    psi_sum.PROTOCOL: psi_sum.ENTROPY_BYTES,
    vole_psi_malicious.PROTOCOL: vole_psi_malicious.ENTROPY_BYTES,
}


def _play_dh(plan: Plan, match: Match, part: Part) -> Role[int | None]:
    names = join_numbers(plan)
    shape = dh_psi.Shape(**{name: names[name] for name in ("n_a", "n_b", "n_list_a", "n_list_b", "t")})
    if part.role == "a":
        return (yield from dh_psi.party_a(shape, part.persons.ids, part.tied, part.entropy))
    yield from dh_psi.party_b(shape, part.persons.ids, part.tied, part.entropy)
    return None


class _Alone(NamedTuple):
    """A protocol of two holders by itself: its shape and roles."""

    shape: Callable[..., Any]
    receiver: Callable[..., Role[matched.Found]]
    sender: Callable[..., Role[npt.NDArray[np.int64] | None]]


_ALONE: Final[Mapping[str, _Alone]] = {
    vole_psi.PROTOCOL: _Alone(vole_psi.Shape, vole_psi.receiver, vole_psi.sender),
    kkrt_psi.PROTOCOL: _Alone(kkrt_psi.Shape, kkrt_psi.receiver, kkrt_psi.sender),
    vole_psi_malicious.PROTOCOL: _Alone(vole_psi.Shape, vole_psi_malicious.receiver, vole_psi_malicious.sender),
}


def _play_alone(plan: Plan, match: Match, part: Part) -> Role[Found | None]:
    """An intersection without a helper: the receiver asks."""
    names, own, protocol = join_numbers(plan), part.persons, _ALONE[match.card]
    wanted = inspect.signature(protocol.shape).parameters.keys() - {"fixed_ids"}
    shape = protocol.shape(**{name: names[name] for name in wanted}, fixed_ids=match.fixed_ids)
    if part.role == "receiver":
        found = yield from protocol.receiver(shape, own.ids, part.tied, part.entropy)
        return Found(found.places, list(found.values))
    places = yield from protocol.sender(shape, own.ids, part.tied, part.entropy, own.columns)
    return None if places is None else Found(places)


def _play_helped(plan: Plan, match: Match, part: Part) -> Role[Found | None]:
    names, keys = join_numbers(plan), part.keys
    shape = helper_psi.Shape(**_helped(names, match), p_b=names["p_b"], both=bool(names["both"]))
    if part.role == "helper":
        yield from helper_psi.helper(shape, keys["s_ac"], keys["s_bc"])
        return None
    if part.role == "a":
        found = yield from helper_psi.party_a(shape, part.persons.ids, keys["s_ab"], keys["s_ac"])
        return Found(found.places, found.values)
    own = part.persons
    places = yield from helper_psi.party_b(shape, own.ids, own.values, keys["s_ab"], keys["s_bc"])
    return None if places is None else Found(places)


def _play_sums(plan: Plan, match: Match, part: Part) -> Role[psi_sum.Grouped | None]:
    """Sums over an intersection: what touches ciphertexts is in a process apart."""
    names, own = join_numbers(plan), part.persons
    sizes = {n: names[n] for n in ("m_a", "n_b", "g", "v", "primes", "n_list_a", "n_list_b", "blocks", "t")}
    shape = psi_sum.Shape(**sizes)
    memory = bfv.memory_for(columns=names["v"], cells=names["g"])
    with bfv.Worker(memory=memory, cpu_s=WORKER_S, timeout_s=float(WORKER_S)) as worker:
        if part.role == "a":
            if own.cell is None:
                raise InternalError("internal.bug", where="persons without their groups")
            people = psi_sum.PeopleOfA(own.ids, own.cell)
            control = None
            if match.min_count:
                control = psi_sum.Control(minimum=match.min_count, base=match.round_to, empty=match.empty)
            return (yield from psi_sum.party_a(shape, people, part.tied, worker, part.entropy, control=control))
        if part.noise is None:
            raise InternalError("internal.bug", where="sums without noise")
        brought = psi_sum.PeopleOfB(own.ids, own.values)
        yield from psi_sum.party_b(shape, brought, part.tied, worker, part.entropy, part.noise)
    return None


def _play_opened(plan: Plan, match: Match, part: Part) -> Role[None]:
    """Protocols that open a number, or an answer, to the result party."""
    keys = part.keys
    if match.card == helper_psi_cardinality.PROTOCOL:
        counting = _counting(plan, match)
        if part.role == "helper":
            yield from helper_psi_cardinality.helper(counting, keys["s_ac"], keys["s_bc"], part.noise)
        elif part.role == "a":
            yield from helper_psi_cardinality.party_a(
                counting, part.persons.ids, keys["s_ab"], keys["s_ac"], part.noise
            )
        else:
            yield from helper_psi_cardinality.party_b(
                counting, part.persons.ids, keys["s_ab"], keys["s_bc"], part.noise
            )
        return
    comparing = _comparing(plan, match)
    if part.role == "helper":
        yield from helper_psi_threshold.helper(comparing, keys["s_ac"], keys["s_bc"], None)
    elif part.role == "a":
        yield from helper_psi_threshold.party_a(comparing, part.persons.ids, keys["s_ab"], keys["s_ac"], None)
    else:
        yield from helper_psi_threshold.party_b(comparing, part.persons.ids, keys["s_ab"], keys["s_bc"], None)


def _counting(plan: Plan, match: Match) -> helper_psi_cardinality.Shape:
    names = join_numbers(plan)
    return helper_psi_cardinality.Shape(**_helped(names, match), noised=bool(names["r"]))


def _comparing(plan: Plan, match: Match) -> helper_psi_threshold.Shape:
    names = join_numbers(plan)
    return helper_psi_threshold.Shape(
        **_helped(names, match), min_result=names["min_result"], shown=bool(names["shown"]), noised=False
    )


def _helped(names: Mapping[str, int], match: Match) -> dict[str, Any]:
    """What the shapes of all protocols with a helper have."""
    sizes: dict[str, Any] = {name: names[name] for name in ("n_a", "n_b", "s", "t", "n_list_a", "n_list_b")}
    return sizes | {"fixed_ids": match.fixed_ids, "dummies": _dummies(match)}


def _dummies(match: Match) -> dummy.DummyTable:
    return dummy.dummy_table(match.helper_epsilon, match.helper_delta, 1, match.parameter("s"))
