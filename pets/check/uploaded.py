"""The parts of the report that are about sums over one table of many holders.

Who uploads, until when, how many have to count, what becomes of the others, whether anybody notices wrong numbers; and
who would have to work together to see what a holder uploads.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from pets.check import summed
from pets.check.blocks import Block, Flow, Grid, Pairs, Picture, Points, Section, listed, plural, size
from pets.check.checked import FEW, Checked, Message, cards_of, full_name, pool_of, protect_of, several
from pets.check.coalitions import bare, within_model
from pets.check.computed import settled
from pets.check.declared import Declared, Named
from pets.check.labels import Fact, Mark, strongest, weakest
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.ir import Pool
from pets.spec.model import Spec
from pets.spec.pooled import Pooled
from pets.spec.pools import POOLS
from pets.spec.pools import pool_of as protocol_of
from pets.spec.term import calls

LATE: Final = "It does not count in this run, and nothing of it is opened. It may upload again in another run."

_LABEL: Final = re.compile(r"[0-9]+(x[0-9]+)?$")
"""What numbers the messages of those who play one role."""


# -- in words ---------------------------------------------------------------------------------------------------------


def holders_in_words(pool: Pool, spec: Spec) -> str:
    """Who uploads: all of a few, of many how many."""
    dataset = spec.datasets[0].name
    return several(pool.holders) if len(pool.holders) <= FEW else f"all {len(pool.holders)} holders of {dataset}"


def how_many(pool: Pool) -> str:
    """How many have to take part."""
    every = len(pool.holders)
    return f"all {every}" if pool.minimum == every else f"{pool.minimum} of {every} at least"


def minutes(number: int) -> str:
    """A time in the largest unit that it is a whole number of."""
    for unit, length in (("day", 1440), ("hour", 60)):
        if number % length == 0:
            return plural(number // length, unit)
    return plural(number, "minute")


def checks(review: Checked, pool: Pool) -> str:
    """Whether anybody notices wrong numbers."""
    card = review.cards[pool.card]
    if card.validity is None:
        return (
            "No. Inputs are not validated: a holder that reports wrong numbers changes the result unseen. Its own "
            "software refuses numbers that are not in the declared ranges"
        )
    low, high = min(low for low, _ in pool.ranges), max(high - low for low, high in pool.ranges)
    return (
        f"Within bounds. Each number is proved to be from its least value to {high:,} above that, by Prio3, if all "
        f"computing parties follow the protocol (the least of all is {low:,}; the widest range holds for each number). "
        "False numbers within these bounds change the result unseen"
    )


def left(pool: Pool) -> str:
    """What becomes of a holder whose upload only some computing parties have."""
    if pool.agreement == "common":
        return "It is left out: those count whose upload every computing party has."
    return "The run ends, and nothing is opened. One holder whose network fails can end every run."


def unproved(pool: Pool) -> str:
    """What becomes of a holder whose numbers are not proved to be in range."""
    if pool.unproved == "leave out":
        return f"It is left out and named; with fewer than {pool.minimum:,} left nothing is opened."
    return "The run ends, nothing is opened, and it is named. One such holder can end every run."


# -- safe settings ----------------------------------------------------------------------------------------------------


def settings(review: Checked) -> Section:
    """How it is computed, who uploads and until when, and every message of a run."""
    pool, spec = pool_of(review), review.spec
    blocks: list[Block] = []
    if pool is None or review.forecast is None:
        blocks.append(settled(spec, cards_of(review), {}, None))
    else:
        folded = tuple(_folded(review, pool))
        blocks.append(_picture(review, pool, folded))
        blocks.append(_settled(review, pool))
        blocks.append(Pairs(_uploads(review, pool)))
        blocks.append(
            Grid(
                "Every message of a run in which all upload. A server sends nothing else, and takes nothing else.",
                ("Message", "Round", "From", "To", "What is inside", "Size"),
                tuple((label, str(turn), a, b, _inside(review, label), size(n)) for label, turn, a, b, n in folded),
                numbers=frozenset({5}),
            )
        )
    return Section("settings", "Safe settings", "How is it computed, and what is sent to whom?", tuple(blocks))


def _settled(review: Checked, pool: Pool) -> Pairs:
    """As of any protocol; but whom it withstands are computing parties, and any number of others with them."""
    spec, most = review.spec, cards_of(review)[0].adversary.corrupt
    told = settled(spec, cards_of(review), _cast(pool, spec), review.forecast)
    who = f"any {plural(most, 'computing party', 'computing parties')} of {len(pool.computing)}"
    said = f"{who}, with any number of holders and the result party, looking at all they get (semi-honest)"
    return Pairs(tuple((key, said if key == "Protects from" else value) for key, value in told.pairs))


def _cast(pool: Pool, spec: Spec) -> dict[str, str]:
    """Who plays which role; holders together."""
    return {
        "input": holders_in_words(pool, spec),
        **{role: str(party) for role, party in pool.computing},
        "result": str(spec.result_party),
    }


def _uploads(review: Checked, pool: Pool) -> tuple[tuple[str, str], ...]:
    """Who uploads what, until when, and what if somebody does not."""
    spec = review.spec
    return (
        (
            "Who uploads",
            f"{holders_in_words(pool, spec)}, each once a run: totals of its own rows, in parts that are sealed to one "
            "computing party each and tell it nothing. No row leaves. Then its server may go offline",
        ),
        (
            "Until when",
            f"{minutes(pool.minutes)} after computing parties have begun, or as soon as all have uploaded or declined",
        ),
        ("How many must count", f"{how_many(pool)}. With fewer nothing is opened"),
        ("Whoever is late", LATE),
        ("Whose upload is not everywhere", left(pool)),
        *((("Whose numbers are not proved", unproved(pool)),) if pool.unproved else ()),
        (
            "Who learns who took part",
            "computing parties, and whoever reads the result: it says who, and how many",
        ),
        ("Whom the noise hides" if protect_of(review) is None else "Who is counted as a person", _hidden(review, pool)),
        ("Are numbers checked?", checks(review, pool)),
    )


def _hidden(review: Checked, pool: Pool) -> str:
    """What is protected of somebody who is at several holders."""
    table = review.spec.datasets[0]
    if protect_of(review) is not None:
        if table.most_holders == 1:
            return (
                f"each person: holders say that nobody has rows of {table.name} at two of them, which nobody can check"
            )
        return "each person at each holder: somebody who is at two counts twice"
    rows = plural(table.rows_per_person, "row")
    if table.most_holders < len(pool.holders):
        said = plural(table.most_holders, "holder")
        return f"somebody with {rows} at {said}: that nobody is at more, holders say, and nobody can check it"
    return f"somebody with {rows} at each of the {len(pool.holders)} holders, whichever of them that person is at"


def _folded(review: Checked, pool: Pool) -> Iterator[tuple[str, int, str, str, int]]:
    """Label, round, sender, receiver, bytes: messages of all holders are one, and of many computing parties."""
    called = _called(review, pool)
    total: dict[tuple[str, int, str, str], int] = {}
    for each in review.forecast.messages if review.forecast else ():
        if each.size and each.sender != each.receiver:
            key = (_plain(each), each.round, called[each.sender], called[each.receiver])
            total[key] = total.get(key, 0) + each.size
    for (label, turn, sender, receiver), number in total.items():
        yield label, turn, sender, receiver, number


def _plain(message: Message) -> str:
    """The label on the card, which is one for all who play a role."""
    return _LABEL.sub("", message.label)


def _called(review: Checked, pool: Pool) -> dict[PartyId, str]:
    """What each party is called in a table: holders together, and computing parties if they are many."""
    computing = [party for _, party in pool.computing]
    called = {party: str(party) for party in (*computing, review.spec.result_party)}
    if len(computing) > 3:
        called |= dict.fromkeys(computing, f"{len(computing)} computing parties")
    return called | dict.fromkeys(pool.holders, holders_in_words(pool, review.spec))


_INSIDE: Final = {
    "handed": "a seed of random numbers, and the number of this upload",
    "marked": "the number of this upload, at random",
    "heard": "whose uploads have arrived",
    "confirmed": "a digest of all lists of uploads",
    "verified": "a digest of all parts of checks",
    "present": "who takes part, a bit each",
    "values": "a holder's totals, masked: random numbers to the receiver",
    "share": "one share of every sum, with noise: random alone, the noised sums together",
    "dealt": "noise, in parts that tell nothing by themselves",
    "dealings": "one point of every sum, with noise: random alone, the noised sums together",
}


def _inside(review: Checked, label: str) -> str:
    """What a message holds, in words, from what its term on the card is made of."""
    pool = pool_of(review)
    card = review.cards[pool.card] if pool is not None else None
    message = next((each for each in card.messages if each.label == label), None) if card is not None else None
    if message is None or card is None:
        return "masked shares of what the three compute together: random numbers to the receiver"
    if isinstance(message.meaning, str):
        return "masked numbers"
    heads = [call.head for call in calls(message.meaning)]
    found = next((said for head, said in _INSIDE.items() if head in heads), None)
    return found or "part of a proof that a holder's numbers are within bounds, which tells nothing else"


def _picture(review: Checked, pool: Pool, folded: Iterable[tuple[str, int, str, str, int]]) -> Picture:
    """Who sends what to whom: all holders are one box, and more than three computing parties another."""
    exact, spec = protect_of(review) is not None, review.spec
    called = _called(review, pool)
    everybody = called[pool.holders[0]]
    boxes = [("holders", PartyId(everybody), _keeps(pool, spec))]
    names = list(dict.fromkeys(called[party] for _, party in pool.computing))
    places = {1: ("server2",), 2: ("server1", "server3"), 3: ("server1", "server2", "server3")}[len(names)]
    boxes += [
        (place, PartyId(name), "brings no records" if len(names) > 1 else "bring no records")
        for place, name in zip(places, names, strict=True)
    ]
    to = called[spec.result_party]
    if to != everybody:
        boxes.append(("result", PartyId(to), f"gets the {'protected' if exact else 'noised'} table"))
    flows: dict[tuple[str, str], int] = {}
    for _, _, sender, receiver, number in folded:
        if sender != receiver:
            flows[sender, receiver] = flows.get((sender, receiver), 0) + number
    return Picture(
        "Who sends what to whom in one run. Records stay where they are.",
        tuple(boxes),
        tuple(
            Flow(PartyId(sender), PartyId(receiver), number, _what(sender, receiver, everybody, to, exact=exact))
            for (sender, receiver), number in flows.items()
        ),
    )


def _keeps(pool: Pool, spec: Spec) -> str:
    return "one of them gets the table" if spec.result_party in pool.holders else "keep their records"


def _what(sender: str, receiver: str, everybody: str, to: str, *, exact: bool) -> str:
    if sender == everybody:
        return "masked totals"
    if receiver == to:
        return "shares of what may be shown" if exact else "noised shares"
    return "who uploaded, masked shares" if exact else "who uploaded"


# -- who learns what --------------------------------------------------------------------------------------------------


def declared(review: Checked) -> Declared | None:
    """Hold what is computed against what is declared, item by item; None if it is not clear who plays which role."""
    spec, query, matrix = review.spec, review.query, review.verdict.matrix
    if not isinstance(query, Pooled) or not matrix.columns:
        return None
    about = summed.about(spec, query)
    cards = summed.cards_of(about, review.cards)
    allowed = summed.declared(about, spec)
    items = [each for card in cards for each in _of_card(about, card, cards, allowed, spec)]
    inside = [column for column in matrix.columns if not column.beyond_model]
    known = {each.label: summed.knowledge(about, cards, allowed, frozenset(each.parties)) for each in inside}
    return Declared(tuple(items), len(inside) * len(matrix.rows), tuple(bare(matrix, known)))


def _of_card(
    about: summed.About, card: Card, cards: tuple[Card, ...], allowed: tuple[Fact, ...], spec: Spec
) -> Iterator[Named]:
    """What one card tells coalitions that it has to withstand."""
    for entry in card.learns:
        who = (EVERYONE,) if EVERYONE in entry.who else tuple(about.roles[role] for role in entry.who)
        facts = [f for f in summed.facts_of(about, entry) if within_model(about, cards, f.learner)]
        words = entry.sentence.format_map({role: table.party for role, table in about.tables.items()})
        words = words.replace("input parties", "holders").replace("input party", "holder")
        if entry.item == summed.VALIDITY:
            told = tuple(_places(spec, entry.item))
            mark = Mark.SIZE if told else Mark.NEVER
            yield Named(who, entry.item, words, "protocol", Mark.SIZE, mark, told, "")
        elif facts:
            known = [summed.knowledge(about, cards, allowed, f.learner).get(f.item, Mark.NEVER) for f in facts]
            release = entry.item in ("sums", "table")
            places = ("release",) if release else tuple(_places(spec, entry.item))
            yield Named(
                who,
                entry.item,
                words,
                "release" if release else "protocol",
                strongest(f.grade.mark for f in facts),
                weakest(known),
                places,
                _terms(spec) if release else "declared maximum",
            )


def _places(spec: Spec, item: str) -> Iterator[str]:
    """Where the specification speaks of an item."""
    yield from (f"security.leakage[{n}]" for n, entry in enumerate(spec.security.leakage) if entry.item == item)


def _terms(spec: Spec) -> str:
    privacy, control = spec.release.differential_privacy, spec.release.disclosure_control
    if privacy is not None:
        return privacy.cost
    return "" if control is None else "under disclosure control"


def limits(review: Checked) -> Section:
    """Where the protection ends."""
    spec, pool = review.spec, pool_of(review)
    card = review.cards[pool.card if pool is not None else protocol_of(spec)]
    points = [
        "The question itself. Everyone named here can read this specification.",
        "The declared sizes, who uploads and when, and how much is sent. No record can be read off it.",
        "What is true of a whole group. "
        + (
            "Noise hides one person in it, not the group."
            if protect_of(review) is None
            else "A group that is large enough is shown. Someone who knows all but one person in it may learn about "
            "the last one."
        ),
        "Availability. Any computing party can stop a run, and holders can stay away. Nothing is released then."
        + _by_one_holder(pool),
        "Sabotage. A computing party whose software departs from the protocol can change the result, or say that "
        f"uploads did not arrive, unnoticed. {_by_sabotage(pool, spec)}",
    ]
    if pool is not None:
        truth = "False numbers" if card.validity is None else "False numbers within bounds"
        points.insert(2, f"{truth}. {checks(review, pool).partition('. ')[2]}.")
        if pool.minimum < len(pool.holders):
            points.insert(
                3,
                f"Who counts. A result may be of any {pool.minimum} holders or more. A computing party that departs "
                "from the protocol chooses whom it leaves out; the result says who took part.",
            )
    if "not independently reviewed" in card.status:
        points.append("Errors in the protocol's own proof: parts of it are our design and not reviewed independently.")
    blocks: list[Block] = [Points("What is not protected", tuple(points), "warn")]
    if pool is not None:
        blocks.append(Points("What working together would reveal", tuple(_together(review, pool)), "bad"))
    return Section("limits", "What could still go wrong", "Where does the protection end?", tuple(blocks), within=True)


def _by_one_holder(pool: Pool | None) -> str:
    """How one holder that sends what no holder's software sends keeps all others from a result."""
    if pool is not None and pool.unproved == "end the run":
        return " One holder whose numbers are not proved ends the run for all; it is named."
    if pool is not None and POOLS[pool.card].threshold:
        return " One holder whose parts do not fit together ends the run for all, and nobody can tell which it was."
    return ""


def _by_sabotage(pool: Pool | None, spec: Spec) -> str:
    """What those who depart from the protocol read by that, beside what they put together anyway."""
    nothing, to = "It reads no holder's numbers by that.", spec.release.to[0]
    if pool is None:
        return nothing
    if POOLS[pool.card].controlled:
        return f"{nothing[:-1]}; with {to} it may get groups that are withheld."
    # On polynomials, too: who tells each of two groups another list would need more than t to be a quorum with both
    # (protocols/secure_sum_shamir/README.md).
    return nothing


def _together(review: Checked, pool: Pool) -> Iterator[str]:
    """Coalitions, and what they would have."""
    computing = [party for _, party in pool.computing]
    most = cards_of(review)[0].adversary.corrupt
    to = review.spec.result_party
    yield f"{opening(pool, most)}: what each holder uploads, which is its totals, exactly. No row of it."
    how = "with the noise of one computing party"
    if POOLS[pool.card].controlled:
        first, second, third = computing
        yield f"{third} with {first} or {second}: the sums over all holders, exactly, of groups that are withheld, too."
        how = "in every group that is shown, however few of its persons are that holder's"
    others = "All other holders" if to in pool.holders else f"All holders but one, with {to}"
    yield f"{others}: the totals of the one that is left, {how}."
    if most > 1:
        yield f"Any {most} of {listed(computing)}, with any holders and {to}: no more than that."


def opening(pool: Pool, most: int) -> str:
    """Who has to put together what they have to read uploads."""
    computing = [party for _, party in pool.computing]
    if POOLS[pool.card].controlled:
        return f"{pool.party('first')} and {pool.party('second')} together"
    if most + 1 >= len(computing):
        return f"{listed(computing)}, all together"
    return f"Any {most + 1} of {listed(computing)} together"


# -- in one minute ----------------------------------------------------------------------------------------------------


def minute(review: Checked, pool: Pool) -> Iterator[tuple[str, str]]:
    """What approvers ask first of uploads, and who could see them."""
    spec = review.spec
    yield (
        "Who uploads, until when?",
        f"Each holder, once a run, within {minutes(pool.minutes)}: totals, in parts that tell nothing by themselves. "
        f"{how_many(pool)[:1].upper()}{how_many(pool)[1:]} must count, or nothing is opened. Who is late does not "
        "count in this run.",
    )
    names = several([full_name(spec, party) for _, party in pool.computing])
    yield "What do those who compute see?", f"{names}: random numbers, and who uploaded."
    most = cards_of(review)[0].adversary.corrupt
    who = opening(pool, most)
    yield (
        "Who could cheat?",
        f"No party alone can read another's numbers. {who} could read each holder's totals. "
        f"{'Wrong numbers of a holder are not noticed' if not _checked(review, pool) else _BOUNDS}.",
    )


_BOUNDS: Final = "Wrong numbers of a holder are noticed if they are outside of the widest range of all numbers"


def _checked(review: Checked, pool: Pool) -> bool:
    return review.cards[pool.card].validity is not None
