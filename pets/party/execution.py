"""A program in a party's session: its numbers from its own rows, its shares of what is released, and their opening.

Each party sends the client of the result party one message (``P2`` of the card): of every output the order of its
field, and a share of each number, in words. Nothing is opened before all of them are in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError, SourceError
from pets.ids import PartyId
from pets.kernels.interpolate import open_at_zero, signed
from pets.party.sources import Table
from pets.protocols.base import Role, Send, receive
from pets.spec.ir import Execute, Plan, Read
from pets.spec.mpyc_terms import Terms
from pets.spec.programmed import WORDS, words_of

U64 = npt.NDArray[np.uint64]

Numbers = Mapping[str, Sequence[int]]
"""By input, whole numbers in units of the last place of their column."""

RELEASED: Final = "P2"
"""The message on the card with a party's shares of what the program releases."""

STEP: Final = "program"
"""What events call the time in which a program runs."""

_WORD: Final = 64


def numbers_of(plan: Plan, step: Execute, party: PartyId, bring: Callable[[Read], Table]) -> dict[str, list[int]]:
    """What a party brings, in the order of its rows: that of their identifiers.

    Raises: SourceError source.program-rows if there are more or fewer rows than the program takes;
            source.rows-per-person if a person has more than declared.
    """
    tables = {read.out: (read, bring(read)) for read in plan.reads if party in read.parties}
    wanted = {each.name: each.rows for each in step.terms.inputs if party in each.holders}
    found: dict[str, list[int]] = {}
    for name, of, column in step.columns:
        if name not in wanted:
            continue
        read, table = tables[of]
        _, sizes = np.unique(table.person, return_counts=True)
        if sizes.size and int(sizes.max()) > read.rows_per_person:
            raise SourceError("source.rows-per-person", dataset=read.dataset, most=read.rows_per_person)
        if table.rows != wanted[name]:
            local = (f"{read.dataset}: {table.rows:,} rows take part, and the program takes {wanted[name]:,}",)
            raise SourceError("source.program-rows", dataset=read.dataset, rows=wanted[name], local=local)
        found[name] = table.values[column].tolist()
    return found


def words(terms: Terms, released: Mapping[str, Sequence[int]]) -> U64:
    """What the process released, as it is sent: of each output the order of its field and its shares, ``WORDS`` each.

    Shapes: (words_of(terms),) uint64; least significant words first.
    """
    listed = [number for output in terms.outputs for number in released[output.name]]
    mask = (1 << _WORD) - 1
    out = np.array([number >> (_WORD * at) & mask for number in listed for at in range(WORDS)], np.uint64)
    if out.size != words_of(terms) or any(number >> (_WORD * WORDS) for number in listed):
        raise InternalError("internal.wrong-array", got=f"of {out.size} words", expected=f"{words_of(terms)}")
    return out


def handed(terms: Terms, released: Mapping[str, Sequence[int]]) -> Role[None]:
    """Send this party's shares to the client of the result party."""
    yield Send("result", RELEASED, words(terms, released))


def receive_released(step: Execute) -> Role[dict[PartyId, U64]]:
    """Play the client: the shares of every party, flat. Raises: PeerError peer.released if they do not fit together."""
    found = {}
    for role, party in step.roles:
        found[party] = np.asarray((yield from receive(role, RELEASED)), np.uint64).reshape(-1)
    opened(step, [*found.values()])  # while the run can still end everywhere
    return found


def opened(step: Execute, parts: Sequence[U64]) -> list[int]:
    """What a program released, output after output, in units of each output's last place.

    Raises: PeerError peer.released if the parties name different fields, or their shares are not those of one number.
    """
    terms, found = step.terms, []
    numbers = [_numbers(part) for part in parts]
    at = 0
    for output in terms.outputs:
        orders = {each[at] for each in numbers}
        try:
            if len(orders) != 1:
                raise ValueError("the parties name several fields")
            order = orders.pop()
            for place in range(at + 1, at + 1 + output.count):
                value = open_at_zero([each[place] for each in numbers], degree=terms.threshold, order=order)
                found.append(signed(value, order))
        except ValueError as error:
            raise PeerError("peer.released", output=output.name) from error
        at += 1 + output.count
    return found


def _numbers(part: U64) -> list[int]:
    listed = part.tolist()
    return [
        sum(word << (_WORD * place) for place, word in enumerate(listed[at : at + WORDS]))
        for at in range(0, len(listed), WORDS)
    ]
