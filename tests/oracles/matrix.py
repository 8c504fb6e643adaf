"""The disclosure matrix of ``helper_join_a`` with its release, written down by hand for every kind of value.

Not derived from cards and independent of ``check/flow.py``: the tables say, for each kind of value and each coalition
of roles, what the protocol leaves there. They were worked out message by message on paper:

* M1, M2 bring tags to the helper. Me, M5, M6 bring role a's values masked to b and to the helper; M3, M5, M6 role b's
  values and groups masked to a and to the helper; M8 positions of role a's groups to the helper. M4, Mf, M5 bring
  masked matches to a and b. M7 brings shares of the sums to the result party. Columns that only choose rows are in no
  message.
* Where persons are counted and somebody may have two rows, role a multiplies by 1 on one row of each person in each
  cell: what is masked as its values then depends on its ids and groups, too ("counted").
* What is noised depends on every column that the query uses, so the result party has N of all; the helper's count
  depends on the ids and on what chooses rows, so the helper has N of these.
* Of two computing parties, the helper with a holder has tags and key, so all of the other table; two holders have both.

``matrix`` renders the statement of a corpus file (tests/check/manifest.json) with them.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from pets.check.labels import Coalition, Mark, Matrix, Row
from pets.ids import PartyId

APART: Final = "a  b  h  r  ar br ab ah bh hr"
TO_A: Final = "ar b  h  abr ahr bh"
TO_B: Final = "a  br h  abr ah bhr"
"""Coalitions of roles: the result party is a party of its own, or the holder in role a, or the one in role b."""

_BY_HAND: Final = {
    #                  apart                    to a           to b
    "a key":          ("V - N N V N  V V V N", "V - N  V V V", "V N N  V V V"),
    "a group":        ("V - H N V N  V V V N", "V - H  V V V", "V N H  V V V"),
    "a key+counted":   ("V H N N V N  V V V N", "V H N  V V V", "V N N  V V V"),
    "a group+counted": ("V H H N V N  V V V N", "V H H  V V V", "V N H  V V V"),
    "a value":        ("V H H N V N  V V V N", "V H H  V V V", "V N H  V V V"),
    "a filter":       ("V - N N V N  V V V N", "V - N  V V V", "V N N  V V V"),
    "a group+filter": ("V - N N V N  V V V N", "V - N  V V V", "V N N  V V V"),
    "a value+filter": ("V H N N V N  V V V N", "V H N  V V V", "V N N  V V V"),
    "b key":          ("- V N N N V  V V V N", "N V N  V V V", "- V N  V V V"),
    "b group":        ("H V H N N V  V V V N", "N V H  V V V", "H V H  V V V"),
    "b value":        ("H V H N N V  V V V N", "N V H  V V V", "H V H  V V V"),
    "b filter":       ("- V N N N V  V V V N", "N V N  V V V", "- V N  V V V"),
    "b group+filter": ("H V N N N V  V V V N", "N V N  V V V", "H V N  V V V"),
    "b value+filter": ("H V N N N V  V V V N", "N V N  V V V", "H V N  V V V"),
    "a tags":         ("V - H - V -  V V V H", "V - H  V V V", "V - H  V V V"),
    "b tags":         ("- V H - - V  V V V H", "- V H  V V V", "- V H  V V V"),
    "membership":     ("H H H - H H  V V V H", "H H H  V V V", "H H H  V V V"),
    "count":          ("- - N - - -  S S S N", "- - N  S S S", "- - N  S S S"),
    "size":           ("S S S S S S  S S S S", "S S S  S S S", "S S S  S S S"),
    "exact sum":      ("H - H H H H  A A A H", "H - H  A A A", "H H H  A A A"),
    "noised sum":     ("- - - N N N  A A A N", "N - -  A A A", "- N -  A A A"),
    "group":          ("- - - V V V  - - - V", "V - -  V V -", "- V -  V - V"),
    "statistic":      ("- - - N N N  A A A N", "N - -  A A A", "- N -  A A A"),
}  # fmt: skip
"""Marks by kind of value, in the order of APART, TO_A and TO_B."""

_EXACT: Final = {
    "a key":           "V - N A V A  V V V A",
    "a group":         "V - H A V A  V V V A",
    "a key+counted":   "V H N A V A  V V V A",
    "a group+counted": "V H H A V A  V V V A",
    "a value":         "V H H A V A  V V V A",
    "a filter":        "V - N A V A  V V V A",
    "b key":           "- V N A A V  V V V A",
    "b group":         "H V H A A V  V V V A",
    "b value":         "H V H A A V  V V V A",
    "exact sum":       "H H H - H H  A A A H",
    "protected sum":   "- - - A A A  A A A A",
    "statistic":       "- - - A A A  A A A A",
}  # fmt: skip
"""What differs under disclosure control, with a result party apart: exact sums of many, not noised ones.

* Cf goes from a to the helper and Cs back, each masked by a stream that the other lacks; what three compute from then
  on is masked for each of them. So b holds shares of the sums, too, and any two of the three have them all.
* What is shown is a sum of every column that the query uses, with nothing to blur it: A, of whoever has the table.
"""


_HELPER_IN_MODE_B: Final = {
    "key": "-", "group": "H", "value": "H", "filter": "-", "group+filter": "H", "value+filter": "H",
    "key+counted": "H", "group+counted": "H",
}  # fmt: skip
"""What ``helper_join_b`` leaves with the helper alone. It has no list of b's, so it counts nothing: ids and filters are
in no message; T and P bring it tags of both, P role b's values and groups, M8 role a's groups, and the operations on
shares role a's values, each protected. The operations leave a and b the same marks that M3 to M6 do."""


def _of_mode_b(by_hand: str, marks: dict[str, str]) -> dict[str, str]:
    side, _, use = by_hand.partition(" ")
    if by_hand == "count":
        return marks | {"h": "-"} | ({"hr": "-"} if "hr" in marks else {})
    return marks | ({"h": _HELPER_IN_MODE_B[use]} if side in ("a", "b") and use in _HELPER_IN_MODE_B else {})


def matrix(said: Mapping[str, Any]) -> Matrix:
    """The matrix of one accepted specification, from what was written down of it by hand.

    said:   ``protocol`` if it is helper_join_b, ``parties`` in order, ``a`` and ``b`` (``party``, ``dataset``,
            ``columns`` with their use: key, group, value, filter, counted, or two joined by +), ``helper``,
            ``result``, the names of the ``sums``, and of each column ``released`` whether it is a group or a
            statistic.
    """
    exact = "protected" in said
    a, b, helper, result = said["a"]["party"], said["b"]["party"], said["helper"], said["result"]
    role = {a: "a", b: "b", helper: "h"}
    role[result] = role.get(result, "") + "r"
    place = 1 if result == a else 2 if result == b else 0
    order = (APART, TO_A, TO_B)[place].split()
    inside = {"ar", "br"} if place == 0 else set()
    columns = coalitions([party for party in said["parties"] if party in role], role, inside)
    rows = []

    def row(kind: str, value: str, by_hand: str) -> None:
        by_place = (_EXACT[by_hand],) if exact and by_hand in _EXACT else _BY_HAND[by_hand]
        marks = dict(zip(order, by_place[place].split(), strict=True))
        if said.get("protocol") == "helper_join_b":
            marks = _of_mode_b(by_hand, marks)
        rows.append(Row(value, kind, {c.label: Mark(marks[roles_of(c.parties, role)]) for c in columns}))

    for side in ("a", "b"):
        for name, use in said[side]["columns"].items():
            row("column", f"{said[side]['dataset']}.{name}", f"{side} {use}")
    for side in ("a", "b"):
        key = next(name for name, use in said[side]["columns"].items() if use.startswith("key"))
        row("tags", f"{said[side]['dataset']}.{key} as tags", f"{side} tags")
    row("membership", "which persons are in both tables", "membership")
    row("count", "number of matched rows", "count")
    for side in ("a", "b"):
        row("size", f"greatest number of rows of {said[side]['dataset']}", "size")
    for name in said["sums"]:
        row("exact sum", name, "exact sum")
    kind = "protected sum" if exact else "noised sum"
    for name in said["protected"] if exact else said["sums"]:
        row(kind, name, kind)
    for name, what in said["released"].items():
        row("released", name, what)
    return Matrix(columns, tuple(rows))


def coalitions(parties: Sequence[str], role: Mapping[str, str], inside: set[str]) -> tuple[Coalition, ...]:
    """Each party alone, then pairs that the protocol withstands, then those that it does not."""
    pairs = [tuple(map(PartyId, pair)) for pair in combinations(parties, 2)]
    return (
        *(Coalition((PartyId(party),)) for party in parties),
        *(Coalition(pair) for pair in pairs if roles_of(pair, role) in inside),
        *(Coalition(pair, beyond_model=True) for pair in pairs if roles_of(pair, role) not in inside),
    )


def roles_of(parties: Sequence[str], role: Mapping[str, str]) -> str:
    return "".join(sorted("".join(role[party] for party in parties)))
