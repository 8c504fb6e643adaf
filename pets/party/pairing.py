"""An intersection in a party's session: its set from its own rows, its part in the protocol, the outcome in words.

Rows of the outcome are in the order of the asker's identifiers: the words of an identifier, then what comes with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, SourceError
from pets.ids import PartyId
from pets.kernels import rows, tags
from pets.party import warm
from pets.party.sources import Table
from pets.plan.cost import handed_rows, handed_words, join_numbers
from pets.protocols import dh_psi, vole_psi
from pets.protocols.base import Binding, Role, Send, receive
from pets.secret import Secret
from pets.spec.ir import Match, Plan, Read
from pets.spec.ways import WAYS

U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

ABSENT: Final = np.int64(-(2**63))
"""A measure that is NULL, in what comes with a person: no measure reaches it (pets/spec/model.py)."""

HANDED: Final = "R1"


@dataclass(frozen=True, slots=True, repr=False)
class Persons:
    """A set: each person once. ``ids`` (n, w) uint8; ``values`` (n,) int64 each, of what comes with a person."""

    ids: U8
    values: tuple[npt.NDArray[np.int64], ...] = ()

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
    {"dh_psi_cardinality": warm.prepare_group}.get(match.card, warm.prepare_vectors)()


def entropy_bytes(match: Match) -> int:
    """What a role of the protocol draws for one run."""
    return _PLAYERS[match.card].entropy


def play(
    plan: Plan, match: Match, role: str, own: Persons | None, binding: Binding, entropy: Secret[bytes]
) -> Role[U64 | None]:
    """Play a role of an intersection to its end, and hand the outcome to the asker's own people.

    Returns: for the other holder, where it is told too: the identifiers in words of its persons who are in both,
             (m, id words) uint64; else None.
    """
    way, player = WAYS[match.card], _PLAYERS[match.card]
    if own is None:
        raise InternalError("internal.bug", where="a holder without its set")
    names = join_numbers(plan)
    if role == way.asker:
        found = yield from player.asker(names, match, own, binding, entropy)
        out = np.zeros((handed_rows(match), handed_words(match)), np.uint64)
        if match.outcome == "intersection":
            places, brought = found
            out[: len(places), : match.id_words] = words_of(own.ids[places], match.id_words)
            for number, column in enumerate(brought, match.id_words):
                out[: len(places), number] = column
        else:
            out[0, 0] = found
        yield Send("result", HANDED, out.reshape(-1))
        return None
    told = yield from player.other(names, match, own, binding, entropy)
    return words_of(own.ids[told], match.id_words) if match.both and told is not None else None


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
    """Play the result party: the outcome in words, from the asker's server."""
    asker = WAYS[match.card].asker
    array = yield from receive(asker, HANDED)
    return {roles[asker]: np.asarray(array, np.uint64).reshape(-1)}


# -- the protocols ----------------------------------------------------------------------------------------------------

Play = Callable[[Mapping[str, int], Match, Persons, Binding, Secret[bytes]], Role]  # type: ignore[type-arg]


@dataclass(frozen=True, slots=True)
class _Player:
    """How a protocol is played. ``asker`` gives the outcome: a number, or places of persons and columns with them."""

    entropy: int
    asker: Play
    other: Play


def _dh(names: Mapping[str, int]) -> dh_psi.Shape:
    return dh_psi.Shape(
        n_a=names["n_a"], n_b=names["n_b"], n_list_a=names["n_list_a"], n_list_b=names["n_list_b"], t=names["t"]
    )


def _vole(names: Mapping[str, int], match: Match) -> vole_psi.Shape:
    return vole_psi.Shape(
        n_r=names["n_r"],
        n_s=names["n_s"],
        n_list_r=names["n_list_r"],
        n_list_s=names["n_list_s"],
        t=names["t"],
        fixed_ids=match.fixed_ids,
        p=names["p"],
        both=names["both"],
    )


def _dh_asker(
    names: Mapping[str, int], match: Match, own: Persons, binding: Binding, entropy: Secret[bytes]
) -> Role[int]:
    return (yield from dh_psi.party_a(_dh(names), own.ids, binding, entropy))


def _dh_other(
    names: Mapping[str, int], match: Match, own: Persons, binding: Binding, entropy: Secret[bytes]
) -> Role[None]:
    yield from dh_psi.party_b(_dh(names), own.ids, binding, entropy)


def _vole_asker(
    names: Mapping[str, int], match: Match, own: Persons, binding: Binding, entropy: Secret[bytes]
) -> Role[tuple[npt.NDArray[np.int64], list[U64]]]:
    found = yield from vole_psi.receiver(_vole(names, match), own.ids, binding, entropy)
    return found.places, list(found.values)


def _vole_other(
    names: Mapping[str, int], match: Match, own: Persons, binding: Binding, entropy: Secret[bytes]
) -> Role[npt.NDArray[np.int64] | None]:
    return (yield from vole_psi.sender(_vole(names, match), own.ids, binding, entropy, own.columns))


_PLAYERS: Final[Mapping[str, _Player]] = {
    dh_psi.PROTOCOL: _Player(dh_psi.ENTROPY_BYTES, _dh_asker, _dh_other),
    vole_psi.PROTOCOL: _Player(vole_psi.ENTROPY_BYTES, _vole_asker, _vole_other),
}
