"""Leaks planted in a card, one edit each, that both checkers have to find; and edits that tell nobody anything.

An edit works on the text of protocols/helper_join_a/card.toml, so that what it makes has to load like any card. Each
says for which plans it is a leak: a message of products leaks nothing where nothing is multiplied.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pets.check import flow, knowledge
from pets.check.knowledge import Case
from pets.check.labels import Verdict
from pets.errors import InternalError, SpecError
from pets.spec.cards import Card, cards_folder, load_cards, parse_card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.query import Query

TEXT = (cards_folder() / "helper_join_a" / "card.toml").read_text(encoding="utf-8")

When = Callable[[Case], bool]


def always(case: Case) -> bool:
    return True


def products(case: Case) -> bool:
    """Something of role a is multiplied."""
    return any(at.factor is not None for at in case.columns["v"])


def plain(case: Case) -> bool:
    """Something of role b is summed as it is."""
    return any(at.factor is None for at in case.columns["v"])


def plain_and_not_a(case: Case) -> bool:
    return plain(case) and result_is_not_a(case)


def groups(case: Case) -> bool:
    """Role a groups by a column."""
    return bool(case.sides["a"].groups)


def result_is_not_a(case: Case) -> bool:
    """What role a sends or receives is new to the result party."""
    return case.roles["result"] != case.roles["a"]


def result_is_neither(case: Case) -> bool:
    """Nobody with records gets the result: role a may then be in one coalition with it."""
    return result_is_not_a(case) and result_is_not_b(case)


def result_is_not_b(case: Case) -> bool:
    return case.roles["result"] != case.roles["b"]


def products_and_result_is_not_a(case: Case) -> bool:
    return products(case) and result_is_not_a(case)


@dataclass(frozen=True)
class Planted:
    name: str
    edit: Callable[[str], str]
    leaks: When = always


def swap(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    return edit


def doubled(mask: str) -> Callable[[str], str]:
    """A mask is there twice wherever it is there once."""

    def edit(text: str) -> str:
        def twice(found: re.Match[str]) -> str:
            sign = found[1]
            return f"{sign}{mask} {sign}{mask}" if sign else f"({mask} + {mask})"

        return re.sub(rf"([+-] )?{re.escape(mask)}", twice, text)

    return edit


def sent_to(label: str, receiver: str) -> Callable[[str], str]:
    """One message goes to somebody else."""

    def edit(text: str) -> str:
        found = re.sub(rf'(label = "{label}"\nround = \d\nfrom = "\w+"\nto = )"\w+"', rf'\1"{receiver}"', text)
        assert found != text, label
        return found

    return edit


def copied_to(*copies: tuple[str, str]) -> Callable[[str], str]:
    """Messages go to somebody else, too."""

    def edit(text: str) -> str:
        number = text.count("[[message]]")
        added = []
        for label, receiver in copies:
            number += 1
            block = next(b for b in text.split("[[message]]") if f'label = "{label}"' in b).split("\n#")[0]
            block = re.sub(r"\nn = \d+\n", f"\nn = {number}\n", block)
            block = block.replace(f'label = "{label}"', f'label = "{label}{receiver[0]}"')
            added.append("[[message]]" + re.sub(r'\nto = "\w+"', f'\nto = "{receiver}"', block) + "\n")
        place = text.index("# What is shared,")
        return text[:place] + "".join(added) + text[place:]

    return edit


COUNTS = {"v_t": "slots", "v": "g", "v_g": "n", "x": "n_list_a", "1": "n_list_b"}
"""How many entries a message with these columns is given."""


def sends(
    sender: str, receiver: str, term: str, *carries: str, columns: str = "v", element: str = "word"
) -> Callable[[str], str]:
    """One message more, after all others."""

    def edit(text: str) -> str:
        number, place = text.count("[[message]]") + 1, text.index("# What is shared,")
        items = ", ".join(f'"{item}"' for item in carries)
        block = (
            f'[[message]]\nn = {number}\nlabel = "X{number}"\nround = 5\nfrom = "{sender}"\nto = "{receiver}"\n'
            f'term = "{term}"\ncarries = [{items}]\nelement = "{element}"\ncolumns = "{columns}"\n'
            f'count = "{COUNTS[columns]}"\n\n'
        )
        return text[:place] + block + text[place:]

    return edit


def all_of(*edits: Callable[[str], str]) -> Callable[[str], str]:
    """Several edits, one after the other."""

    def edit(text: str) -> str:
        for each in edits:
            text = each(text)
        return text

    return edit


def held_by(key: str, *holders: str) -> Callable[[str], str]:
    """A key is given to more roles."""
    names = ", ".join(f'"{holder}"' for holder in holders)

    def edit(text: str) -> str:
        found = re.sub(rf'(name = "{key}"\nholders = )\[[^\]]*\]', rf"\1[{names}]", text)
        assert found != text, key
        return found

    return edit


def _leaks() -> Iterator[Planted]:
    # a share, or what is masked, goes to a party that holds the mask
    for label, receiver, when in (
        ("M5", "a", always),
        ("M6", "a", always),
        ("M3", "helper", always),
        ("Me", "b", products),
        ("Me", "result", products_and_result_is_not_a),
        ("Mf", "b", products),
        ("Mf", "result", products_and_result_is_not_a),
        ("M1", "b", always),
        ("M2", "a", always),
        ("M1", "result", result_is_not_a),
        ("M2", "result", result_is_not_b),
        ("M4", "b", always),
        ("M8", "b", groups),
        ("M7a", "helper", always),
        ("M7c", "a", result_is_not_a),
    ):
        yield Planted(f"{label} goes to {receiver}", sent_to(label, receiver), when)
    # a key in one hand more
    yield Planted("the helper holds the tag key", held_by("tag", "a", "b", "helper"))
    yield Planted("the helper holds the keys of a and b", held_by("s_ab", "a", "b", "helper"))
    yield Planted("role a holds the keys of b and the helper", held_by("s_bc", "a", "b", "helper"))
    yield Planted("role b holds the keys of a and the helper", held_by("s_ac", "a", "b", "helper"))
    # one mask for two vectors
    yield Planted("v is r in Mf", swap("mask(s_bc, v, gathered)", "mask(s_bc, r, gathered)"), products)
    yield Planted("r2 hides the noise, too", swap("mask(s_ab, r2, summed)", "mask(s_ab, noise, summed)"), plain)
    yield Planted(
        "r1 is the share of zero", swap("mask(s_ac, r1, summed)", "mask(s_ac, zero, summed)"), plain_and_not_a
    )
    # a mask that may be even: twice, or times what the receiver knows
    for name, mask, scale, when in (
        ("r", "mask(s_bc, r, gathered)", "mask(s_ab, scale, gathered)", always),
        ("r1", "mask(s_ac, r1, summed)", "mask(s_bc, scale, summed)", plain),
        ("r2", "mask(s_ab, r2, summed)", "mask(s_bc, scale, summed)", plain),
        ("v", "mask(s_bc, v, gathered)", "mask(s_bc, v, gathered)", products),
    ):
        yield Planted(f"{name} is scaled", swap(mask, f"{mask} * {scale}"), when)
    for mask, when in (
        ("mask(s_bc, r, gathered)", always),
        ("mask(s_ab, u, factor)", products),
        ("mask(s_ab, w, product)", products),
        ("mask(s_ac, r1, summed)", plain),
        ("zero(s_ac, summed)", result_is_not_a),
    ):
        yield Planted(f"{mask} is doubled", doubled(mask), when)
    for how in ("diff", "prefix"):
        yield Planted(f"w is {how} of u", swap("mask(s_ab, w, product)", f"{how}(mask(s_ab, u, factor))"), products)
    # a permutation known to two
    yield Planted("rho is known to a", swap("perm(s_bc, rho)", "perm(s_ac, rho)"))
    yield Planted("rho2 is known to the helper", swap("perm(s_ab, rho2)", "perm(s_ac, rho2)"), groups)
    yield Planted("q is known to the helper", swap("perm(s_ab, q)", "perm(s_ac, q)"))
    yield Planted("M1 is in the order of the rows", swap("permute(perm(s_ab, q), tags(", "(tags("))
    # the output opened to one more
    yield Planted("the sums are opened to b, too", copied_to(("M7a", "b"), ("M7c", "b")), result_is_not_b)
    yield Planted("the sums are opened to a, too", copied_to(("M7c", "a")), result_is_not_a)
    yield Planted("the sums are opened to the helper, too", copied_to(("M7a", "helper")))
    # a mask that is left out
    yield Planted(
        "no share of zero",
        lambda text: swap(" - zero(s_ac, summed)", "")(swap(" + zero(s_ac, summed)", "")(text)),
        result_is_not_a,
    )
    for label, mask, when in (
        ("M3", " - mask(s_bc, r, gathered)", always),
        ("Me", " - mask(s_ab, u, factor)", products),
        ("M5", " - mask(s_ac, r1, summed)", always),
        ("M6", " - mask(s_ab, r2, summed)", plain),
    ):
        yield Planted(f"{label} has no mask", _unmasked(label, mask), when)
    # dummies that the helper can count
    yield Planted("no dummies", swap("dummies(s_ab), ", ""))
    yield Planted("fillers of role b in both lists", swap("dummies(s_ab), fillers(a)", "dummies(s_ab), fillers(b)"))
    yield Planted("fillers of nobody", swap("dummies(s_ab), fillers(b)", "dummies(s_ab), fillers(helper)"))
    # one part of the noise for all
    yield Planted("the helper adds no noise", swap(" + noise(helper, summed)", ""))
    yield Planted(
        "the helper takes its noise off again",
        swap("noise(helper, summed) + Mn", "noise(helper, summed) - noise(helper, summed) + Mn"),
    )
    # noise that is too small for what it is added to, or always even
    yield Planted(
        "the sums are doubled, and their noise is not",
        all_of(
            swap("share(a, sums) + noise", "share(a, sums) + share(a, sums) + noise"),
            swap("share(helper, sums) + noise", "share(helper, sums) + share(helper, sums) + noise"),
        ),
    )
    yield Planted("all noise is doubled", all_of(*(doubled(f"noise({role}, summed)") for role in ("a", "b", "helper"))))
    # a part of the noise told to the result party, which role a may join, under a map or in a product
    for term in (
        "prefix(noise(b, summed))",
        "diff(noise(b, summed))",
        "permute(perm(s_ab, other), noise(b, summed))",
        "noise(b, summed) * noise(b, summed)",
        "noise(b, summed) * mask(s_ab, other, summed)",
    ):
        yield Planted(f"b tells {term}", sends("b", "result", term), result_is_neither)
    # what was sent is sent on
    yield Planted("the result party tells the helper", sends("result", "helper", "M7a + M7c", "sums"))
    yield Planted(
        "final shares once more, under a mask of their own",
        all_of(
            sends("a", "result", "share(a, sums) + mask(s_ac, other, summed)", "sums"),
            sends("helper", "result", "share(helper, sums) - mask(s_ac, other, summed)", "sums"),
        ),
        result_is_not_a,
    )
    yield Planted(
        "a mask is told in three steps",
        all_of(
            sends("helper", "b", "mask(s_ac, r1, summed) + mask(s_ac, m1, summed)"),
            sends("a", "b", "mask(s_ac, m1, summed) + mask(s_ac, m2, summed)"),
            sends("helper", "b", "mask(s_ac, m2, summed)"),
        ),
        plain,
    )
    yield Planted(
        "a mask is added, and a factor of what it is added to",
        sends(
            "helper",
            "b",
            "Me * mask(s_ac, other, factor) - mask(s_ac, other, factor)",
            "a.values",
            columns="x",
        ),
        products,
    )
    # an order that shows on words that the receiver knows
    yield Planted("q is seen on a mask", sends("b", "helper", "permute(perm(s_ab, q), mask(s_bc, other, summed))"))
    yield Planted(
        "rho is seen on a mask",
        sends("b", "a", "permute(perm(s_bc, rho), mask(s_ab, other, gathered))", columns="v_g"),
    )
    # which tags are dummies
    yield Planted(
        "the dummies alone",
        sends("b", "helper", "sort(tags(tag, dummies(s_ab)))", columns="1", element="bytes[t]"),
    )


def _unmasked(label: str, mask: str) -> Callable[[str], str]:
    """Leave out a mask; what its shares are made of follows, so that they still add up."""
    shares = {
        "M3": (
            ('helper = "gather(mask(s_bc, r, gathered), M4)"', 'helper = "gather(M3, M4) - gather(M3, M4)"'),
            (
                '"gather(mask(s_bc, r, gathered), M4) - mask(s_bc, v, gathered)"\ncarries = ["match"]',
                '"-mask(s_bc, v, gathered)"\ncarries = []',
            ),
        ),
        "M5": ((" + mask(s_ac, r1, summed)", ""),),
        "M6": ((" + diff(gather(mask(s_ab, r2, summed), M8))", ""),),
        "Me": (('"mask(s_ab, u, factor) * mask(s_bc, v, gathered) - ', '"-'),),
    }

    def edit(text: str) -> str:
        head, found, rest = text.partition(f'label = "{label}"')
        assert found and mask in rest.split("[[message]]")[0]
        text = head + found + rest.replace(mask, "", 1)
        for old, new in shares[label]:
            text = swap(old, new)(text)
        return text

    return edit


LEAKS = tuple(_leaks())

HARMLESS = (
    Planted("as it is", lambda text: text),
    Planted("another label of a mask", swap("mask(s_bc, r, gathered)", "mask(s_bc, rr, gathered)")),
    Planted("another label of an order", swap("perm(s_ab, q)", "perm(s_ab, order_of_a)")),
    Planted(
        "M7a goes round by another order of summands",
        swap("share(a, sums) + noise(a, summed)", "noise(a, summed) + share(a, sums)"),
    ),
    Planted("a second mask on M3", lambda text: _second_mask(text)),
    Planted("role a takes its noise off", swap("+ noise(a, summed)", "- noise(a, summed)")),
    Planted(
        "values once more under a mask of their own",
        sends(
            "a",
            "helper",
            "permute(perm(s_ab, q), values(a, factor)) - mask(s_ab, other, factor)",
            "a.values",
            columns="x",
        ),
    ),
)


def _second_mask(text: str) -> str:
    """M3 under two masks of the same key: role a's share loses nothing, the helper's takes off both."""
    text = swap("- mask(s_bc, r, gathered)", "- mask(s_bc, r, gathered) - mask(s_bc, extra, gathered)")(text)
    return swap(
        "gather(mask(s_bc, r, gathered), M4)", "gather(mask(s_bc, r, gathered) + mask(s_bc, extra, gathered), M4)"
    )(text)


def sweep(text: str = TEXT) -> dict[str, str]:
    """Every small edit of the card: another receiver or one more, one holder more, another family, a summand less."""
    roles, found = re.findall(r'^(\w+) = "(?:input|computing|result)', text, re.MULTILINE), {}
    families = sorted(set(re.findall(r'name = "(s_\w\w)"', text)))
    for label in re.findall(r'label = "(\w+)"', text):
        sender, receiver = _ends(label, text)
        for role in roles:
            if role != sender and role != receiver:
                found[f"{label} to {role}"] = sent_to(label, role)(text)
                found[f"{label} to {role}, too"] = copied_to((label, role))(text)
    for key, names in re.findall(r'name = "(\w+)"\nholders = \[([^\]]*)\]', text):
        holders = names.replace('"', "").split(", ")
        for role in roles:
            if role not in holders:
                found[f"{key} held by {role}"] = held_by(key, *holders, role)(text)
    terms = re.findall(r'^term = "(.*)"$', text, re.MULTILINE)
    for call in sorted(set(re.findall(r"(?:mask|zero|perm|dummies)\([^()]*\)", " ".join(terms)))):
        own = re.findall(r"s_\w\w", call)[0]
        for key in families:
            if key != own:
                found[f"{call} from {key}"] = text.replace(call, call.replace(own, key))
    for term in terms:
        for part in re.findall(r" [+-] [^+-]*?\([^()]*\)(?= [+-]|$)|, (?:dummies|fillers)\(\w+\)", term):
            left_out = term.replace(part, "", 1)
            found[f"{term} without{part}"] = text.replace(f'term = "{term}"', f'term = "{left_out}"')
    return found


def _ends(label: str, text: str) -> tuple[str, str]:
    match = re.search(rf'label = "{label}"\nround = \d\nfrom = "(\w+)"\nto = "(\w+)"', text)
    assert match is not None
    return match.group(1), match.group(2)


TELLS_NOBODY = {
    "M7a to b, too": "one share of the sums, which a share of zero hides from b; the result party has it anyway",
    "M7c to b, too": "the same of the other share",
    "tag held by result": "it sees no tags, and whoever may be corrupt with it sees none but its own",
    "mask(s_ab, noise, summed) from s_ac": "the helper hears b's noise, and sees no sum to take it from",
    "mask(s_ab, noise, summed) from s_bc": "the same",
}
"""Edits after which nobody within the model learns more; both checkers say so, and agree on everybody beyond it."""


Asked = tuple[Spec, Query, Plan]


def judged(name: str, text: str, of: Callable[[Card], Asked]) -> tuple[Verdict, Verdict] | None:
    """What both checkers say of a question under an edited card; None if it does not load, or its terms are none.

    Whatever the second finds, the first refuses, too.
    """
    try:
        card = parse_card(text.encode(), file=name)
        spec, query, plan = of(card)
        cards = {**load_cards(), card.id: card}
        first, second = flow.judge(spec, query, cards), knowledge.judge(plan, spec, cards)
    except (SpecError, InternalError) as error:
        assert error.code in ("card.field", "plan.terms"), name
        return None
    assert first.errors or not second.errors, name
    return first, second


def passes(found: tuple[Verdict, Verdict]) -> bool:
    """True if neither checker refuses it, and they say the same."""
    first, second = found
    return not first.errors and first.matrix.differences(second.matrix) == ()
