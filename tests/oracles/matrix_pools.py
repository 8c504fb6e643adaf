"""The disclosure matrix of sums over one table of many holders, written down by hand for every kind of value.

Not derived from cards, and independent of both checkers. Worked out message by message on paper:

* Holders send seeds to some computing parties and words, or points, to others; nobody sends a holder anything. So
  a holder knows its own rows and its own sums, and nothing of another's. Who has only seeds has random bytes. Who has
  words has something made of values: H of the values, and of the sums that they go into.
* secure_sum: each computing party has a share of the sums, and sends it on with its noise and a share of zero.
* secure_sum_shamir: nobody is said to have a share of the sums; points of the sum go to the result party, which so has
  something made of every holder's values. secure_sum_held: first and second pass their shares on under streams of the
  third, and all three have the sums in shares then.
* The result party, with all holders but one and as many computing parties as may be corrupt, has the sums with noise of
  an honest one, less what the others brought: the own sums of the holder that is left, with noise. Under disclosure
  control the same of what is shown, which has none; of what is only held against the minimum ("kept"), nothing.
* One computing party more has every vector: the own sums of each holder. Under secure_sum_held the third has no upload:
  with one of the others it has the sums of all, and no more.
* What is moved by a row is known as well as the sums are: persons, groups and filters of all holders.
"""

from collections.abc import Mapping
from typing import Any, Final

from pets.check.labels import Coalition, Mark, Matrix, Row
from pets.ids import PartyId
from pets.spec.ir import Derive, Open, Plan, Protect
from pets.spec.model import Spec
from pets.spec.repeated import shown

ORDER: Final = "1 2 s w r Ws Ww B"
"""Holder 1, holder 2, who has seeds, who has words, the result party; the widest within the model, without words and
with; one computing party more."""

_BY_HAND: Final = {
    #                1 2 s w r  Ws Ww B
    "1 moved":      "V - - - N  N N A",
    "1 value":      "V - - H N  N N A",
    "2 moved":      "- V - - N  V V A",
    "2 value":      "- V - H N  V V A",
    "size":         "S S S S S  S S S",
    "1 own":        "A - - H -  N N A",
    "2 own":        "- A - H -  A A A",
    "exact sum":    "- - H H H  H H A",
    "noised sum":   "- - - - N  N N A",
    "group":        "- - - - V  V V -",
    "statistic":    "- - - - N  N N A",
}  # fmt: skip

_SHAMIR: Final = {
    #                1 2 s w r  Ws Ww B
    "1 own":        "A - - H H  N N A",
    "2 own":        "- A - H H  A A A",
    "exact sum":    "- - - - -  - - A",
}  # fmt: skip

HELD_ORDER: Final = "1 2 f s t r  Wf Ws Wt  fs st tf"
"""The same with first, second and third, of whom second has words; each two of the three are beyond the model."""

_HELD: Final = {
    #                1 2 f s t r  Wf Ws Wt  fs st tf
    "1 moved":      "V - - - - A  A A A  A A A",
    "1 value":      "V - - H - A  A A A  A A A",
    "2 moved":      "- V - - - A  V V V  A A A",
    "2 value":      "- V - H - A  V V V  A A A",
    "size":         "S S S S S S  S S S  S S S",
    "1 own":        "A - - H - -  A A A  A H -",
    "2 own":        "- A - H - -  A A A  A H -",
    "1 kept":       "A - - H - -  - H -  A H -",
    "2 kept":       "- A - H - -  A A A  A H -",
    "exact sum":    "- - H H H -  H H H  A A A",
    "protected sum": "- - - - - A  A A A  A A A",
    "group":        "- - - - - V  V V V  - - -",
    "statistic":    "- - - - - A  A A A  A A A",
}  # fmt: skip

_TO_A_HOLDER: Final = {
    "1 moved": "N", "1 value": "N", "2 moved": "V", "2 value": "V", "size": "S", "1 own": "N", "2 own": "A",
    "noised sum": "N", "group": "V", "statistic": "N",
}  # fmt: skip
"""Holder 2 as the result party: it stands for all others, and takes their sums off. Under disclosure control N is A."""


def matrix(said: Mapping[str, Any]) -> Matrix:
    """The matrix of one accepted specification, from what was written down of it by hand.

    said:   ``protocol``, ``parties`` in order, the ``dataset``, the two ``holders`` that are shown, ``computing`` in
            the order of the card, of whom as many as ``corrupt`` may be, ``result``, ``columns`` with their use (key,
            group, filter, value, or two joined by +), ``sums``, and if there is control ``protected``, those that are
            shown, and of each column ``released`` whether it is a group or a statistic.
    """
    held, shamir = said["protocol"] == "secure_sum_held", said["protocol"] == "secure_sum_shamir"
    one, two = said["holders"]
    own = {one, two, said["result"], *said["computing"]}
    parties = tuple(PartyId(each) for each in said["parties"] if each in own)
    count, corrupt, computing = len(said["computing"]), said["corrupt"], said["computing"]
    with_words = computing[corrupt:] if shamir else computing[1:2] if held else computing[-1:]

    def ordered(some: set[str]) -> tuple[PartyId, ...]:
        return tuple(party for party in parties if party in some)

    def rows(size: int) -> list[set[str]]:
        if size == count:
            return [set(computing)]
        return [{computing[(start + step) % count] for step in range(size)} for start in range(count)]

    columns = [Coalition((party,)) for party in parties]
    kinds = {Coalition((party,)): _alone(party, said, with_words, held) for party in parties}
    for some in rows(corrupt):
        wide = Coalition(ordered({two, said["result"], *some}))
        columns.append(wide)
        kinds[wide] = f"W{'fst'[computing.index(*some)]}" if held else "Ww" if some & set(with_words) else "Ws"
    for some in rows(corrupt + 1):
        beyond = Coalition(ordered(some), beyond_model=True)
        columns.append(beyond)
        pairs = {"fs": "fs", "st": "st", "ft": "tf"}
        kinds[beyond] = (
            pairs["".join("fst"[computing.index(each)] for each in sorted(some, key=computing.index))] if held else "B"
        )
    order = (HELD_ORDER if held else ORDER).split()
    made: list[Row] = []

    def row(kind: str, value: str, by_hand: str) -> None:
        table = _HELD[by_hand] if held else _SHAMIR.get(by_hand, _BY_HAND[by_hand]) if shamir else _BY_HAND[by_hand]
        marks = dict(zip(order, table.split(), strict=True))
        marks["2r"] = _TO_A_HOLDER.get(by_hand.replace("protected", "noised"), marks["r"])
        if held and marks["2r"] == "N":
            marks["2r"] = "A"
        made.append(Row(value, kind, {each.label: Mark(marks[kinds[each]]) for each in columns}))

    for number, holder in (("1", one), ("2", two)):
        for name, use in said["columns"].items():
            row("column", f"{said['dataset']}.{name} of {holder}", f"{number} {'value' if 'value' in use else 'moved'}")
    for holder in (one, two):
        row("size", f"greatest number of rows of {said['dataset']} of {holder}", "size")
    for number, holder in (("1", one), ("2", two)):
        for name in said["sums"]:
            kept = held and name not in said["protected"]
            row("exact sum", f"{name} of {holder}", f"{number} {'kept' if kept else 'own'}")
    for name in said["sums"]:
        row("exact sum", name, "exact sum")
    kind = "protected sum" if held else "noised sum"
    for name in said["protected"] if held else said["sums"]:
        row(kind, name, kind)
    for name, what in said["released"].items():
        row("released", name, what)
    return Matrix(tuple(columns), tuple(made))


def _alone(party: str, said: Mapping[str, Any], with_words: list[str], held: bool) -> str:
    if party in said["holders"]:
        return "2r" if party == said["result"] else str(said["holders"].index(party) + 1)
    if party == said["result"]:
        return "r"
    if held:
        return "fst"[said["computing"].index(party)]
    return "w" if party in with_words else "s"


def said_of(plan: Plan, spec: Spec) -> dict[str, Any]:
    """What the manifest of the corpus would say of a plan of ``tests.oracles.pools``."""
    pool, safe = plan.pool, plan.protection
    assert pool is not None
    to = next(step.to for step in plan.steps if isinstance(step, Open))
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    said = {
        "protocol": pool.card,
        "parties": [party.name for party in spec.parties],
        "dataset": "visits",
        "holders": list(shown(pool.holders, to)),
        "computing": [party for _, party in pool.computing],
        "corrupt": spec.security.corrupt,
        "result": to,
        "columns": {"nhs_number": "key", "ward": "group", "minutes": "value"},
        "sums": [moment.name for moment in pool.moments],
        "released": {each.name: "group" if each.dimension is not None else "statistic" for each in derive.outputs},
    }
    return said | ({"protected": said["sums"]} if isinstance(safe, Protect) else {})
