"""What a message's term is, and what it is made of: its kind, and the items that it carries (docs/rules/terms.md).

Both checkers take these from the card. So a card that states another kind of element, or other items than its term is
made of, is not loaded: what nobody looks at could be anything.
"""

from collections.abc import Mapping

from pets.spec.term import Call, Product, Sum, Term, operands

MATCH = "match"
SUMS = "sums"
"""The shared value that is released."""

KINDS: Mapping[str, str] = {
    "word": "words",
    "u32": "places",
    "point": "points",
    "field": "elements",
    "residue": "residues",
}
"""What a term has to be by the element of its message; bytes are tags."""

OWN_RANDOMNESS = frozenset(
    [
        "offers",
        "choices",
        "seed",
        "vector",
        "asked",
        "products",
        "levels",
        "leaves",
        "read",
        "coded",
        "evaluated",
        "public",
        "under",
        "opened",
        "covered",
        "covers",
        "half",
        "picks",
        "commits",
        "coin",
        "shown",
        "weighed",
        "answered",
    ]
)
"""Heads of a key that is all that a party draws for a run: of what no two of them share."""

_WORDS = frozenset(
    {"values", "local", "noise", "mask", "zero", "share", "part", "checks", "numbers", "computed", "outcome", "pads"}
)

COMPUTED = frozenset({"a.values", "b.values", "b.groups", MATCH})
"""What three parties compute on rows is made of: both sides' values beside each other; more roles if they are named."""


def wanted(element: str) -> str:
    """What the term of a message with these elements has to be."""
    return KINDS.get(element, "tags")


def fits(found: str, element: str, *, proved: bool) -> bool:
    """Whether a term of this kind can be sent as such elements. Where inputs are ``proved``, words are taken modulo the
    prime of their circuit; everywhere else residues are ciphertexts or points, and words are none."""
    return found == wanted(element) or (proved and (found, element) == ("words", "residue"))


def kind(term: Term, sent: Mapping[str, str]) -> str:
    """``words``, ``places``, ``tags``, ``points``, ``elements``, ``residues``; the empty text for what cannot be sent.

    ``sent``: by message the kind that it has; other names stand for shared values. Places, tags and elements of the
    group are in one order at most, and tags are sent by who makes them: whoever looks for an order has to find it.
    Elements are multiplied once by each term, so that it says who can undo what. Words that are added to residues are
    residues: what is added is modulo their prime.
    """
    match term:
        case "match":
            return "places"
        case str():
            found = sent.get(term, "words")
            return "" if found == "tags" else found
        case Sum() | Product():
            inner = [part for _, part in term.parts] if isinstance(term, Sum) else list(term.factors)
            kinds = {kind(part, sent) for part in inner}
            if isinstance(term, Sum) and "residues" in kinds:
                return "residues" if kinds <= {"residues", "words"} else ""
            added = isinstance(term, Sum) and all(sign == 1 for sign, _ in term.parts)  # of bits: there is no other
            return kinds.pop() if kinds == {"words"} or (kinds == {"elements"} and added) else ""
        case Call("tags", _):
            return "tags"
        case Call("ends", (Call("groups", _),)):
            return "places"
        case Call("times", (_, Call("points", _))):
            return "points"
        case Call("times", (_, str(name))) if sent.get(name) == "points":
            return "points"
        case Call("cut", (Call("times", _) as inner,)) if kind(inner, sent) == "points":
            return "tags"
        case Call("offers" | "choices" | "half" | "picks", _):
            return "points"
        case Call("seed" | "vector" | "coin", _):
            return "elements"
        case Call("written", (seed, *_)):
            return "elements" if kind(seed, sent) == "elements" else ""
        case Call("asked" | "products", (_, points)):
            return "elements" if kind(points, sent) == "points" else ""
        case Call("levels" | "leaves" | "shown", (_, points, inner)):
            return "elements" if (kind(points, sent), kind(inner, sent)) == ("points", "elements") else ""
        case Call("cut", (Call("read", (_, seed, table, *_)),)):
            return "tags" if kind(seed, sent) == kind(table, sent) == "elements" else ""
        case Call("coded", (_, points, *_)):
            return "elements" if kind(points, sent) == "points" else ""
        case Call("abreast", (Call("cut", (Call("evaluated", (_, points, rows, *_)),)),)):
            return "tags" if (kind(points, sent), kind(rows, sent)) == ("points", "elements") else ""
        case Call("apart", (Call("evaluated", (_, points, rows, *_)),)):
            return "elements" if (kind(points, sent), kind(rows, sent)) == ("points", "elements") else ""
        case Call("weighed", (_, inner)):
            return "elements" if kind(inner, sent) == "elements" else ""
        case Call("commits", _):
            return "tags"
        case Call("answered", (_, inner)):
            return "tags" if kind(inner, sent) == "elements" else ""
        case Call("sealed", (Call("read", _) as inner, Call("payload", _))):
            return kind(Call("cut", (inner,)), sent)
        case Call("sealed", (Call("evaluated", _) as inner, Call("payload", _))):
            return kind(Call("abreast", (Call("cut", (inner,)),)), sent)
        case Call("told", (str(name), *_)) if sent.get(name) == "tags":
            return "tags"
        case Call("public" | "covers", _):
            return "residues"
        case Call("under", (_, inner)):
            return "residues" if kind(inner, sent) == "words" else ""
        case Call("opened", (_, str(name))):
            return "residues" if sent.get(name) == "residues" else ""
        case Call("covered", (_, str(key), str(values), points, str(asked))):
            all_four = (sent.get(key), sent.get(values), kind(points, sent), sent.get(asked))
            return "residues" if all_four == ("residues", "residues", "points", "tags") else ""
        case Call("marks" | "tally", (points, str(asked))):
            return "words" if (kind(points, sent), sent.get(asked)) == ("points", "tags") else ""
        case Call("sort" | "sort_within", (Call("tags" | "cut", _) as inner,)):
            return kind(inner, sent)
        case Call("permute_within", (_, Call("times", _) as inner)):
            return kind(inner, sent)
        case Call("permute", (_, inner)):
            found = kind(inner, sent)
            plain = isinstance(inner, str) or (isinstance(inner, Call) and inner.head in ("tags", "ends", "times"))
            return found if found == "words" or plain else ""
        case Call("gather", (inner, places)):
            return "words" if (kind(inner, sent), kind(places, sent)) == ("words", "places") else ""
        case Call("table", (_, Call("keys", _), Call("values" | "checks", _))):
            return "words"
        case Call("flags" | "count", (*_, inner)):
            return "words" if kind(inner, sent) == "places" else ""
        case Call("number", (Call("dummies", _),)):
            return "words"
        case Call("reached", (inner,)):
            return "words" if kind(inner, sent) == "words" else ""
        case Call("order" | "prefix" | "sum_cells" | "diff", (*_, inner)):
            return "words" if kind(inner, sent) == "words" else ""
        case Call("over", (_, inner)):
            return kind(inner, sent)
        case Call("handed" | "marked" | "heard" | "confirmed" | "present" | "verifying" | "verifier" | "verified", _):
            return "tags"
        case Call("curve", (inner, *_)) | Call("dealt", (inner,)):
            return "residues" if kind(inner, sent) == "words" else ""
        case Call("dealings" | "proved", _):
            return "residues"
        case Call("truncated", (inner,)):
            return "residues" if kind(inner, sent) in ("residues", "words") else ""
        case Call(head, _) if head in _WORDS:
            return "words"
    return ""


def carried(term: Term, terms: Mapping[str, tuple[Term, ...]]) -> frozenset[str]:
    """The items of a card that a term is made of, protected or not.

    ``terms``: what each name stands for: a message its term, a shared value its values. None is made of itself.
    """
    match term:
        case "match":
            return frozenset({MATCH})
        case str():
            return frozenset().union(*(carried(each, terms) for each in terms.get(term, ())))
        case Call("values", (str(role), "gathered")):  # one column for each cell of that role's own grouping
            return frozenset({f"{role}.values", f"{role}.groups"})
        case Call("values" | "local" | "proved", (str(role), _)):
            return frozenset({f"{role}.values"})
        case Call("computed", (_, *more)):
            return COMPUTED.union(*({f"{role}.values", f"{role}.groups"} for role in more))
        case Call("keys", (str(role),)) | Call("checks", (_, str(role))):
            return frozenset({f"{role}.key"})
        case Call("part", (_, str(name), _)):
            return carried(name, terms)
        case Call("payload", (str(role),)):
            return frozenset({f"{role}.values"})
        case Call("outcome", _):
            return frozenset({MATCH})
        case Call("groups", (str(role),)):
            return frozenset({f"{role}.groups"})
        case Call("share", (_, str(name))):
            return frozenset({SUMS}) if name == SUMS else carried(name, terms)
    return frozenset().union(*(carried(part, terms) for part in operands(term)))
