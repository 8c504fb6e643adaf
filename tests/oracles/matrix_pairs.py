"""The disclosure matrix of intersections, written down by hand for every protocol, outcome and kind of value.

Not derived from cards and independent of ``check/matched.py`` and ``check/traced.py``. Worked out message by message
on paper from the pages of the protocols (``protocols/*/README.md``); where a mark is ``H`` is what
docs/rules/intersections.md says at I10: whoever sends or gets a message holds what it is made of. Role a asks, b is
the holder of the other set.

* *Two holders, persons.* a's set goes to b as a masked table (V5) or as codes (K2), b's to a as outputs (V6, K3) with
  what comes along (V6p, K3p). a finds its own outputs among b's: who is in both, and of these what comes along. Who
  passed a condition on b's side is seen of persons in both. V7 or K4 tells b the same of a's persons, and nothing
  that came along.
* *Two holders, a number.* D1 brings a's persons to b, D3 b's to a, under scalars; D2 is sorted, so a counts and
  cannot say who. No message is made of who is in both.
* *Sums.* D1 goes group by group, so b holds a's groups; D2 is sorted within each group: a counts for each of them,
  exactly. Y brings b's columns to a under b's key, S and R are covered sums: held by both, opened to a alone, with
  b's noise or of groups that are large enough. With both tables the sums are exact.
* *A helper.* H1a and H1b bring tags of both sets to the helper alone, who counts them with dummies: a noised number,
  which depends on persons and on who passed a condition. With a holder, who has the key of tags, it has the other's
  set. H2 is made of who is in both, and so is H2b; H1v and H2v of what comes along, under pads.
* *A number with a helper.* a and the helper send shares of it to who gets the result (Ea and Ec, or Na and Nc), b one
  of zero. So b holds nothing. Each alone has a share; the helper's own count is noised, what is released exact or
  noised.
* *Enough.* All three work on shares of the number, and send a component each: all hold number and answer. Opened is
  the answer, which is as exact as a number; or the number, if it is large enough.
"""

from collections.abc import Mapping
from typing import Any, Final

from pets.check.labels import Mark, Matrix, Row
from tests.oracles.matrix import APART, TO_A, TO_B, coalitions, roles_of

TWO: Final = "ar b  abr"
"""Coalitions of roles where a and b are alone, and the result is a's."""

Table = Mapping[str, str]

_TWO: Final[Table] = {
    "a key": "V -  V", "a filter": "V -  V", "a group": "V H  V", "a group+filter": "V H  V", "a kept": "V -  V",
    "b kept": "- V  V", "a tags": "V H  V", "b tags": "H V  V",
}  # fmt: skip
"""What is the same for all protocols of two holders."""

_PERSONS: Final[Table] = _TWO | {
    "b key": "M V  V", "b filter": "M V  V", "b told": "M V  V", "b told+filter": "M V  V",
    "membership": "V -  V", "count": "S -  S", "released": "V -  V",
}  # fmt: skip

_PERSONS_TO_BOTH: Final[Table] = _PERSONS | {
    "a key": "V M  V", "a filter": "V M  V", "membership": "V V  V", "count": "S S  S", "released": "V V  V",
}  # fmt: skip

_NUMBER: Final[Table] = _TWO | {
    "b key": "S V  V", "b filter": "S V  V", "membership": "- -  V", "count": "S -  S", "released": "S -  S",
}  # fmt: skip

_SUMS: Final[Table] = _NUMBER | {
    "b value": "N V  V", "b value+filter": "S V  V", "sum": "N H  A", "released": "N H  A",
}  # fmt: skip

_EXACT_SUMS: Final[Table] = _NUMBER | {
    "b value": "A V  V", "b value+filter": "A V  V", "sum": "A H  A", "released": "A H  A",
}  # fmt: skip

_HELPER_PERSONS: Final[Table] = {
    "a key": "V - N  V V V", "a filter": "V - N  V V V", "a kept": "V - -  V V -",
    "b key": "M V N  V V V", "b filter": "M V N  V V V", "b told": "M V H  V V V", "b told+filter": "M V N  V V V",
    "b kept": "- V -  V - V", "a tags": "V - H  V V V", "b tags": "- V H  V V V",
    "membership": "V - H  V V V", "count": "S - N  S S S", "released": "V - H  V V V",
}  # fmt: skip
"""In the order of TO_A, as are those that are told both."""

_HELPER_PERSONS_TO_BOTH: Final[Table] = _HELPER_PERSONS | {
    "a key": "V M N  V V V", "a filter": "V M N  V V V",
    "membership": "V V H  V V V", "count": "S S N  S S S", "released": "V V H  V V V",
}  # fmt: skip

_HELPER_NUMBER: Final[Mapping[str, tuple[str, str, str]]] = {
    #              apart                     to a            to b
    "a key":      ("V - N S V S  V V V S", "V - N  V V V", "V S N  V V V"),
    "a filter":   ("V - N S V S  V V V S", "V - N  V V V", "V S N  V V V"),
    "a kept":     ("V - - - V -  V V - -", "V - -  V V -", "V - -  V V -"),
    "b key":      ("- V N S S V  V V V S", "S V N  V V V", "- V N  V V V"),
    "b filter":   ("- V N S S V  V V V S", "S V N  V V V", "- V N  V V V"),
    "b kept":     ("- V - - - V  V - V -", "- V -  V - V", "- V -  V - V"),
    "a tags":     ("V - H - V -  V V V H", "V - H  V V V", "V - H  V V V"),
    "b tags":     ("- V H - - V  V V V H", "- V H  V V V", "- V H  V V V"),
    "membership": ("- - - - - -  V V V -", "- - -  V V V", "- - -  V V V"),
    "count":      ("H - N S S S  S S S S", "S - N  S S S", "H S N  S S S"),
    "released":   ("H - N S S S  S S S S", "S - N  S S S", "H S N  S S S"),
}  # fmt: skip
"""In the order of APART, TO_A and TO_B, as are those below."""

_HELPER_NOISED: Final = _HELPER_NUMBER | {
    "a key":      ("V - N N V N  V V V N", "V - N  V V V", "V N N  V V V"),
    "a filter":   ("V - N N V N  V V V N", "V - N  V V V", "V N N  V V V"),
    "b key":      ("- V N N N V  V V V N", "N V N  V V V", "- V N  V V V"),
    "b filter":   ("- V N N N V  V V V N", "N V N  V V V", "- V N  V V V"),
    "count":      ("H - N N N N  S S S N", "N - N  S S S", "H N N  S S S"),
    "released":   ("H - N N N N  S S S N", "N - N  S S S", "H N N  S S S"),
}  # fmt: skip

_HELPER_LEAST: Final = _HELPER_NUMBER | {
    "count":      ("H H N S S S  S S S S", "S H N  S S S", "H S N  S S S"),
    "released":   ("H H N S S S  S S S S", "S H N  S S S", "H S N  S S S"),
}  # fmt: skip

_HELPER_ENOUGH: Final = _HELPER_NUMBER | {
    "count":      ("H H N H H H  S S S N", "H H N  S S S", "H H N  S S S"),
    "released":   ("H H N S S S  S S S S", "S H N  S S S", "H S N  S S S"),
}  # fmt: skip
"""Who gets the answer holds the number, of which nothing is opened: with the helper it has what the helper counts."""

_TWO_HOLDERS: Final = ("vole_psi", "vole_psi_malicious", "kkrt_psi", "dh_psi_cardinality", "psi_sum")

_RELEASED: Final = {
    "intersection": "which persons are in both",
    "cardinality": "how many persons are in both",
    "threshold": "whether enough persons are in both",
    "sum": "sums of persons in both, by group",
}


def _table(said: Mapping[str, Any], place: int) -> Table:
    """The marks of one protocol, in the order of its coalitions."""
    both, noise, sums = (bool(said.get(name)) for name in ("both", "noise", "sums"))
    match said["protocol"], said["outcome"]:
        case "vole_psi" | "vole_psi_malicious" | "kkrt_psi", "intersection":
            return _PERSONS_TO_BOTH if both else _PERSONS
        case "dh_psi_cardinality", "cardinality":
            return _NUMBER
        case "psi_sum", "sum":
            return _NUMBER if not sums else _SUMS if noise else _EXACT_SUMS
        case "helper_psi", "intersection":
            return _HELPER_PERSONS_TO_BOTH if both else _HELPER_PERSONS
        case "helper_psi_cardinality", "cardinality":
            by_place = _HELPER_NOISED if noise else _HELPER_NUMBER
        case "helper_psi_threshold", outcome:
            by_place = _HELPER_LEAST if outcome == "cardinality" else _HELPER_ENOUGH
    return {kind: marks[place] for kind, marks in by_place.items()}


def matrix(said: Mapping[str, Any]) -> Matrix:
    """The matrix of one accepted intersection, from what was written down of it by hand.

    said:   ``protocol``, ``outcome``, ``parties`` in order, ``a`` who asks and ``b`` (``party``, ``dataset``,
            ``columns`` with their use: key, filter, told of what comes along, group, value of what is summed, kept of
            what stays at home, or two joined by +), ``helper`` if there is one, ``result``, ``both`` if b is told, too,
            ``noise`` if there is noise on what is released, and the names of the ``sums``.
    """
    a, b, result = said["a"]["party"], said["b"]["party"], said["result"]
    role = {a: "a", b: "b"} | ({said["helper"]: "h"} if "helper" in said else {})
    role[result] = role.get(result, "") + "r"
    place = 1 if result == a else 2 if result == b else 0
    order = (TWO if said["protocol"] in _TWO_HOLDERS else (APART, TO_A, TO_B)[place]).split()
    columns = coalitions(said["parties"], role, {"ar", "br"} if place == 0 else set())
    table = _table(said, place)
    rows = []

    def row(kind: str, value: str, by_hand: str) -> None:
        marks = dict(zip(order, table[by_hand].split(), strict=True))
        rows.append(Row(value, kind, {c.label: Mark(marks[roles_of(c.parties, role)]) for c in columns}))

    for side in ("a", "b"):
        for name, use in said[side]["columns"].items():
            row("column", f"{said[side]['dataset']}.{name}", f"{side} {use}")
    for side in ("a", "b"):
        key = next(name for name, use in said[side]["columns"].items() if use == "key")
        row("tags", f"{said[side]['dataset']}.{key} as tags", f"{side} tags")
    row("membership", "which persons are in both tables", "membership")
    row("count", "number of matched rows", "count")
    for side in ("a", "b"):
        size = f"greatest number of rows of {said[side]['dataset']}"
        rows.append(Row(size, "size", {c.label: Mark.SIZE for c in columns}))
    for name in said.get("sums", ()):
        row("noised sum" if said.get("noise") else "protected sum", name, "sum")
    row("released", _RELEASED[said["outcome"]], "released")
    return Matrix(columns, tuple(rows))
