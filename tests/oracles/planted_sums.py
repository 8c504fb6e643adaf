"""Leaks planted in the cards of sums of many holders, that both checkers have to find, and harmless edits of them.

An edit works on the text of a card, so that what it makes has to load like any card.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pets.spec.cards import Card, cards_folder
from pets.spec.repeated import renamed
from pets.spec.term import Sum, parse_term
from tests.oracles.planted import all_of, held_by, sent_to, swap

SUM, SHAMIR, HELD, CHECKED = "secure_sum", "secure_sum_shamir", "secure_sum_held", "checked_sum"
TEXTS: Final = {
    name: (cards_folder() / name / "card.toml").read_text(encoding="utf-8") for name in (SUM, SHAMIR, HELD, CHECKED)
}


@dataclass(frozen=True)
class Leak:
    """An edit of a card. ``servers``: computing parties of the run for which it is a leak."""

    card: str
    name: str
    edit: Callable[[str], str]
    servers: int = 3

    def __str__(self) -> str:
        return f"{self.card}: {self.name}"


def sends(
    sender: str, receiver: str, term: str, *carries: str, element: str = "word", turn: int = 4, columns: str = "v"
) -> Callable[[str], str]:
    """One message more, after all others."""

    def edit(text: str) -> str:
        number = text.count("[[message]]") + 1
        place = text.index("[[shared]]" if "[[shared]]" in text else "[[learns]]")
        items = ", ".join(f'"{item}"' for item in carries)
        count = "l" if columns == "v" and "\nl = " in text else "g" if columns == "v" else "1"
        block = (
            f'[[message]]\nn = {number}\nlabel = "X{number}"\nround = {turn}\nfrom = "{sender}"\nto = "{receiver}"\n'
            f'term = "{term}"\ncarries = [{items}]\nelement = "{element}"\ncolumns = "{columns}"\n'
            f'count = "{count}"\n\n'
        )
        return text[:place] + block + text[place:]

    return edit


def without(*labels: str) -> Callable[[str], str]:
    """Messages are left out, and the others numbered anew."""

    def edit(text: str) -> str:
        blocks = text.split("[[message]]")
        kept = [block for block in blocks[1:] if not any(f'label = "{label}"' in block for label in labels)]
        assert len(kept) == len(blocks) - 1 - len(labels)
        rest = next((block for block in blocks[1:] if "[[learns]]" in block), "")
        if rest not in kept:
            kept.append("")
            kept[-2:] = [kept[-2] + rest[rest.index("[[shared]]" if "[[shared]]" in rest else "[[learns]]") :]]
        made = [re.sub(r"\nn = \d+\n", f"\nn = {place}\n", block, count=1) for place, block in enumerate(kept, 1)]
        return "[[message]]".join([blocks[0], *made])

    return edit


def in_round(label: str, turn: int) -> Callable[[str], str]:
    """A message is sent in another round."""

    def edit(text: str) -> str:
        found = re.sub(rf'(label = "{label}"\nround = )\d', rf"\g<1>{turn}", text)
        assert found != text, label
        return found

    return edit


def behind(term: str, more: str) -> Callable[[str], str]:
    """A summand more, wherever such a term is sent or shared."""
    return swap(term, f"{term}{more}")


def bare(words: str, share: str) -> Callable[[str], str]:
    """Vectors are sent without the streams that hide them, and shares come to nothing: they add up still."""
    mask = "mask(k, u, summed)"
    kept = share.replace(f"truncated({mask})", mask)
    value = re.sub(r" - .*", "", words)
    return all_of(swap(words, value), swap(share, kept.replace(mask, f"{mask} - {mask}")))


def both_shares(receiver: str) -> Callable[[str], str]:
    """Who is not to have any share of held sums gets two."""
    return all_of(*(sends(sender, receiver, f"share({sender}, sums)", "sums") for sender in ("first", "second")))


SHARE = "share(server, sums) + noise(server, summed) + zero(z, summed)"
LAST = "share(last, sums) + noise(last, summed) - over(server, zero(z, summed))"
WORDS = "values(input, summed) - over(server, mask(k, u, summed))"

HELD_WORDS = "values(input, summed) - mask(k, u, summed)"
CHECKED_WORDS = "proved(input, summed) - over(server, mask(k, u, summed))"

LEAKS: Final = (
    # who is to have a seed has the words, or the other way round
    Leak(SUM, "a server gets the words as well as a seed", sends("input", "server", WORDS, "input.values", turn=1), 2),
    Leak(SUM, "servers get the words as well as their seeds", sends("input", "server", WORDS, "input.values", turn=1)),
    Leak(SUM, "last has the seeds, too", held_by("k", "input", "server", "last")),
    Leak(SUM, "the result party has the seeds", held_by("k", "input", "server", "result")),
    Leak(SUM, "the result party has the words", sends("input", "result", WORDS, "input.values", turn=1)),
    Leak(SUM, "servers tell last the sum of their streams", sends("server", "last", "share(server, sums)", "sums")),
    Leak(SUM, "last tells servers the sum of its words", sends("last", "server", "share(last, sums)", "sums")),
    Leak(
        SUM,
        "vectors are not hidden",
        bare(WORDS, 'server = "over(input, mask(k, u, summed))"'),
    ),
    Leak(
        SUM,
        "streams are taken twice",
        all_of(
            swap(WORDS, WORDS.replace("mask(k, u, summed)", "mask(k, u, summed) + mask(k, u, summed)")),
            swap(
                'server = "over(input, mask(k, u, summed))"',
                'server = "over(input, mask(k, u, summed) + mask(k, u, summed))"',
            ),
        ),
    ),
    Leak(
        SUM,
        "vectors go twice under one stream, and once more alone",
        sends("input", "last", f"{WORDS} + values(input, summed)", "input.values", turn=1),
    ),
    # holders are told something
    Leak(
        SUM,
        "holders get final shares",
        all_of(sends("server", "input", SHARE, "sums"), sends("last", "input", LAST, "sums")),
    ),
    Leak(
        SUM,
        "holders send each other their vectors",
        sends("input", "input", "values(input, summed)", "input.values", turn=1),
    ),
    # noise
    Leak(SUM, "no noise", all_of(swap(" + noise(server, summed)", ""), swap(" + noise(last, summed)", ""))),
    Leak(SUM, "last adds no noise", swap(" + noise(last, summed)", "")),
    Leak(SUM, "servers add no noise", swap(" + noise(server, summed)", "")),
    Leak(SUM, "last takes its noise off again", swap(LAST, f"{LAST} - noise(last, summed)")),
    Leak(SUM, "last tells the result party its noise", sends("last", "result", "noise(last, summed)")),
    Leak(SUM, "servers tell last their noise", sends("server", "last", "noise(server, summed)")),
    Leak(SUM, "last adds its noise twice", swap("noise(last, summed)", "noise(last, summed) + noise(last, summed)")),
    Leak(
        SUM,
        "sums are doubled, and their noise is not",
        all_of(
            behind("share(server, sums)", " + share(server, sums)"), behind("share(last, sums)", " + share(last, sums)")
        ),
    ),
    Leak(
        SUM,
        "sums once more without noise",
        all_of(
            sends("server", "result", "share(server, sums) + zero(z, summed)", "sums"),
            sends("last", "result", "share(last, sums) - over(server, zero(z, summed))", "sums"),
        ),
    ),
    Leak(
        SUM,
        "sums once more with other noise",
        all_of(
            sends("server", "result", "share(server, sums)", "sums"),
            sends("last", "result", "share(last, sums) + noise(last, summed) + noise(last, summed)", "sums"),
        ),
    ),
    # agreement
    Leak(SUM, "no lists", without("Ls", "La", "Lb")),
    Leak(SUM, "no digests", without("Cs", "Ca", "Cb")),
    Leak(SUM, "servers do not hear last's list", without("Lb")),
    Leak(SUM, "servers among them compare nothing", without("Cs")),
    Leak(SUM, "digests with the lists", all_of(*(in_round(each, 2) for each in ("Cs", "Ca", "Cb")))),
    Leak(SUM, "sums with the digests", in_round("Fs", 3)),
    # what shares come to
    Leak(
        SUM,
        "servers share other streams than are taken off",
        swap('server = "over(input, mask(k, u, summed))"', 'server = "over(input, mask(k, w, summed))"'),
    ),
    # polynomials
    Leak(
        SHAMIR,
        "vectors are not hidden",
        swap("curve(values(input, summed), each(seeded, mask(k, u, summed)))", "curve(values(input, summed))"),
        5,
    ),
    Leak(
        SHAMIR,
        "given ones tell each other their sums",
        sends("given", "given", "over(input, Uw)", "input.values", element="residue", turn=5),
        5,
    ),
    Leak(SHAMIR, "given ones deal no noise to each other", without("Nd"), 5),
    Leak(SHAMIR, "given ones deal no noise to those with seeds", without("Nc"), 5),
    Leak(SHAMIR, "no noise", swap(" + dealings(given)", " + dealings(given) - dealings(given)"), 5),
    Leak(
        SHAMIR,
        "holders get points of the sum",
        all_of(
            sends("given", "input", "over(input, Uw) + dealings(given)", "input.values", element="residue", turn=5),
        ),
        5,
    ),
    Leak(SHAMIR, "no digests", without("Ca", "Cb", "Cc", "Cd"), 5),
    Leak(SHAMIR, "lists are not sent among given ones", without("Ld"), 5),
    Leak(SUM, "words are uploaded when lists have been sent", in_round("Uw", 2)),
    Leak(SHAMIR, "seeds of a key that is not on the card", sent_to("Us", "result"), 5),
    Leak(HELD, "third has the key of first and second", held_by("s_12", "first", "second", "third")),
    Leak(HELD, "holders have the key of first and third", held_by("s_13", "first", "third", "input")),
    # sums that are held
    Leak(
        HELD, "first gets the words as well as the seeds", sends("input", "first", HELD_WORDS, "input.values", turn=1)
    ),
    Leak(HELD, "second has the seeds, too", held_by("k", "input", "first", "second")),
    Leak(
        HELD,
        "vectors are not hidden",
        bare(HELD_WORDS, "over(input, mask(k, u, summed))"),
    ),
    Leak(HELD, "second has the key of first and third", held_by("s_13", "first", "third", "second")),
    Leak(HELD, "first has the key of second and third", held_by("s_23", "second", "third", "first")),
    Leak(
        HELD,
        "the result party gets both shares",
        both_shares("result"),
    ),
    Leak(
        HELD,
        "a holder gets both shares",
        both_shares("input"),
    ),
    Leak(
        HELD,
        "the third gets both shares",
        both_shares("third"),
    ),
    Leak(HELD, "first tells second its share", sends("first", "second", "share(first, sums)", "sums")),
    Leak(HELD, "no lists", without("La", "Lb")),
    Leak(HELD, "digests with the lists", all_of(in_round("Ca", 2), in_round("Cb", 2))),
    # inputs that are proved
    Leak(
        CHECKED,
        "vectors are not hidden",
        bare(CHECKED_WORDS, "over(input, truncated(mask(k, u, summed)))"),
    ),
    Leak(CHECKED, "last has the seeds, too", held_by("k", "input", "server", "last")),
    Leak(CHECKED, "servers add no noise", swap(" + noise(server, summed)", "")),
    Leak(
        CHECKED,
        "holders know the key of verification",
        sends("last", "input", "verifying(last)", element="bytes[32]", columns="1", turn=1),
    ),
    Leak(CHECKED, "the key of verification is told before uploads", in_round("Kb", 1)),
    Leak(CHECKED, "seeds are uploaded when the key of verification has been told", in_round("Us", 2)),
    Leak(CHECKED, "nobody is told the key of verification", without("Kb")),
    Leak(
        CHECKED,
        "a proof is looked at twice",
        sends("server", "last", "verifier(input)", element="bytes[row]", columns="1", turn=5),
    ),
    Leak(
        CHECKED,
        "the result party looks at proofs, too",
        sends("server", "result", "verifier(input)", element="bytes[row]", columns="1", turn=5),
    ),
    Leak(CHECKED, "proofs are not looked at", without("Vs", "Va", "Vb")),
    Leak(CHECKED, "last is told no verifiers", without("Va")),
    Leak(CHECKED, "sums with the verifiers", in_round("Fs", 5)),
    Leak(CHECKED, "last is not told what the others saw", without("Wa")),
    Leak(CHECKED, "sums before all have said what they saw", in_round("Fs", 6)),
    Leak(CHECKED, "what was seen is said with the verifiers", in_round("Wb", 5)),
    Leak(CHECKED, "no digests", without("Cs", "Ca", "Cb")),
)

HARMLESS: Final = (
    Leak(HELD, "as it is", lambda text: text),
    Leak(CHECKED, "as it is", lambda text: text),
    Leak(
        CHECKED,
        "no shares of zero",
        all_of(swap(" + zero(z, summed)", ""), swap(" - over(server, zero(z, summed))", "")),
    ),
    Leak(SUM, "as it is", lambda text: text),
    Leak(
        SUM, "no shares of zero", all_of(swap(" + zero(z, summed)", ""), swap(" - over(server, zero(z, summed))", ""))
    ),
    Leak(SUM, "another label of the streams", swap("mask(k, u, summed)", "mask(k, v, summed)")),
    Leak(SUM, "noise is taken off", swap(" + noise(server, summed)", " - noise(server, summed)")),
    Leak(SUM, "a final share to a server, too", sends("last", "server", LAST, "sums")),
    Leak(SHAMIR, "as it is", lambda text: text, 5),
)

USELESS: Final = (
    Leak(SUM, "a share of zero that last does not take off", swap(" - over(server, zero(z, summed))", "")),
    Leak(SHAMIR, "nobody deals noise", without("Na", "Nb", "Nc", "Nd"), 5),
)
"""After these the result party has no sums: nobody learns anything, and the matrix is another one."""


# -- edits of the card of a run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edited:
    """An edit of the card of a run, in which every party has its messages and keys."""

    card: str
    name: str
    edit: Callable[[Card], Card]
    servers: int = 3

    def __str__(self) -> str:
        return f"{self.card}: {self.name}"


def told(label: str, receiver: str) -> Callable[[Card], Card]:
    """A message goes to somebody else, too."""

    def edit(card: Card) -> Card:
        (found,) = (message for message in card.messages if message.label == label)
        more = replace(found, label=f"{label}copy", receiver=receiver, number=len(card.messages) + 1)
        return replace(card, messages=(*card.messages, more))

    return edit


def said(sender: str, receiver: str, term: str, *, like: str, turn: int = 9) -> Callable[[Card], Card]:
    """A message more, of the kind of another one."""

    def edit(card: Card) -> Card:
        (found,) = (message for message in card.messages if message.label == like)
        more = replace(
            found,
            label=f"more{len(card.messages)}",
            sender=sender,
            receiver=receiver,
            meaning=parse_term(term),
            term=term,
            round=turn,
        )
        return replace(card, messages=(*card.messages, more))

    return edit


def termed(label: str, old: str, new: str) -> Callable[[Card], Card]:
    """The term of a message is another one."""

    def edit(card: Card) -> Card:
        (found,) = (message for message in card.messages if message.label == label)
        assert old in found.term, found.term
        term = found.term.replace(old, new)
        changed = replace(found, term=term, meaning=parse_term(term))
        return replace(card, messages=tuple(changed if each is found else each for each in card.messages))

    return edit


def keyed(old: str, new: str) -> Callable[[Card], Card]:
    """One key in the place of another, in every term."""

    def edit(card: Card) -> Card:
        messages = tuple(replace(each, meaning=renamed(each.meaning, {old: new})) for each in card.messages)
        shared = tuple(
            replace(
                each,
                value=renamed(each.value, {old: new}),
                shares={role: renamed(share, {old: new}) for role, share in each.shares.items()},
            )
            for each in card.shared
        )
        return replace(card, messages=messages, shared=shared)

    return edit


def given(key: str, role: str) -> Callable[[Card], Card]:
    """Somebody more holds a key."""

    def edit(card: Card) -> Card:
        assert any(each.name == key for each in card.keys), key
        more = (replace(each, holders=(*each.holders, role)) if each.name == key else each for each in card.keys)
        return replace(card, keys=tuple(more))

    return edit


def counted_thrice(card: Card) -> Card:
    """The vector of the second holder is in the sums three times."""
    (sums,) = card.shared
    more = {"value": "values(input2, summed)", "server1": "mask(k2x1, u, summed)", "last": "Uw2"}
    terms = {
        name: Sum(((1, term), (1, parse_term(f"{more[name]} + {more[name]}"))))
        for name, term in (("value", sums.value), *sums.shares.items())
    }
    return replace(card, shared=(replace(sums, value=terms.pop("value"), shares=terms),))


def points_again(card: Card) -> Card:
    """Given ones send their points of the sum without noise, too."""
    holders = [role.removeprefix("input") for role in card.roles if role.startswith("input")]
    terms = {at: " + ".join(f"Uw{number}x{at}" for number in holders) for at in (1, 2, 3)}
    return one_after_the_other(*(said(f"given{at}", "result", term, like="Fg1") for at, term in terms.items()))(card)


def one_after_the_other(*edits: Callable[[Card], Card]) -> Callable[[Card], Card]:
    def edit(card: Card) -> Card:
        for each in edits:
            card = each(card)
        return card

    return edit


EDITED: Final = (
    Edited(SUM, "two holders have one seed for a server", keyed("k2x1", "k1x1"), 2),
    Edited(SUM, "one holder counts three times", counted_thrice, 2),
    Edited(SUM, "last gets a seed", told("Us1x1", "last"), 2),
    Edited(SUM, "last gets a seed of two", told("Us1x1", "last")),
    Edited(SUM, "one server gets the seed of another", told("Us1x2", "server1")),
    Edited(SUM, "a holder gets a seed of another", told("Us1x1", "input2"), 2),
    Edited(SUM, "the result party gets a seed", told("Us1x2", "result")),
    Edited(SUM, "two servers have one seed of a holder", keyed("k1x2", "k1x1")),
    Edited(SUM, "a server gets the words of one holder", told("Uw1", "server1"), 2),
    Edited(
        SUM,
        "one holder's words are not hidden from the others",
        termed("Uw1", "mask(k1x2, u, summed)", "zero(z1, summed)"),
    ),
    *(
        Edited(HELD, f"{who} has the key {key}", given(key, who))
        for key, who in (("k1", "second"), ("k1", "input2"), ("k1", "result"), ("s_13", "input2"), ("s_23", "result"))
    ),
    Edited(
        SUM,
        "the result party knows something of all noise",
        said("last", "result", "noise(server1, summed) + noise(last, summed) + noise(last, summed)", like="Fl"),
        2,
    ),
    Edited(
        SUM, "the sum of one holder's words alone", said("last", "result", "Uw1 + mask(k1x1, u, summed)", like="Fl"), 2
    ),
    Edited(
        SUM,
        "a difference of two holders",
        said("last", "result", "Uw1 - Uw2 + mask(k1x1, u, summed) - mask(k2x1, u, summed)", like="Fl"),
        2,
    ),
    Edited(SUM, "sums without noise to a holder", said("last", "input2", "sums", like="Fl"), 2),
    Edited(SUM, "a term of no rule", said("last", "result", "permute(perm(z1, q), Uw1)", like="Fl"), 2),
    Edited(SUM, "words that are multiplied", said("last", "result", "Uw1 * Uw2", like="Fl"), 2),
    Edited(SUM, "bytes of no rule", said("last", "result", "tags(z1, keys(input1))", like="Tl"), 2),
    Edited(SHAMIR, "a polynomial of a degree too low", termed("Uw1x1", ", mask(k1x2, u, summed)", ""), 5),
    Edited(
        SHAMIR,
        "all polynomials of a holder are of a degree too low",
        one_after_the_other(*(termed(f"Uw1x{at}", ", mask(k1x2, u, summed)", "") for at in (1, 2, 3))),
        5,
    ),
    Edited(
        SHAMIR,
        "one stream for two points",
        one_after_the_other(
            *(termed(f"Uw1x{at}", "mask(k1x2, u, summed)", "mask(k1x1, u, summed)") for at in (1, 2, 3))
        ),
        5,
    ),
    Edited(SHAMIR, "a given one gets a seed", told("Us1x1", "given1"), 5),
    Edited(SHAMIR, "one with a seed gets that of another", told("Us1x2", "seeded1"), 5),
    Edited(
        SHAMIR,
        "the result party has the points of two holders",
        one_after_the_other(*(said(f"given{at}", "result", f"Uw1x{at}", like="Fg1") for at in (1, 2, 3))),
        5,
    ),
    Edited(
        SHAMIR,
        "noise of given ones is no secret",
        one_after_the_other(
            *(said(f"given{at}", "result", f"noise(given{at}, summed)", like="Fg1") for at in (1, 2, 3))
        ),
        5,
    ),
    Edited(
        SHAMIR,
        "points once more without noise",
        points_again,
        5,
    ),
    Edited(
        SHAMIR,
        "one noise of five is no secret, and two may be lost",
        said("given1", "result", "noise(given1, summed)", like="Fg1"),
        5,
    ),
)

HARMLESS_EDITED: Final = (
    Edited(SUM, "as it is", lambda card: card),
    Edited(SHAMIR, "as it is", lambda card: card, 5),
    Edited(
        SHAMIR,
        "one with a seed gets its point of the polynomial",
        said(
            "input1",
            "seeded1",
            "curve(values(input1, summed), mask(k1x1, u, summed), mask(k1x2, u, summed))",
            like="Uw1x1",
            turn=1,
        ),
        5,
    ),
)
