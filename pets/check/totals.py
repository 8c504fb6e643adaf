"""What numbers a coalition has of an intersection: words of shares, masks and noise, as sums of what they are made of.

Rules I15 to I17 and I20 of docs/rules/intersections.md. Every word is a combination of masks, covers, parts of the
noise, numbers of dummies, the number of matches, whether that is enough, and sums. What a coalition knows is left out;
what no mask or cover is left in after elimination, it has.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from pets.check import covered
from pets.check.labels import Mark, strongest
from pets.check.sides import Pair
from pets.spec.cards import Shared
from pets.spec.term import Call, Sum, Term

Atom = tuple[str, str, str]
"""What it is (in the order of ``KINDS``), of which key or role, and under which label."""
Word = Mapping[Atom, Fraction]

HIDE: Final = ("mask", "covers")
KINDS: Final = (*HIDE, "noise", "dummies", "matches", "reached", "sums")
MATCHES: Final[Atom] = ("matches", "", "")
REACHED: Final[Atom] = ("reached", "", "")
SUMS: Final[Atom] = ("sums", "", "")
"""All that are summed: each column, and group, in the same way."""


class Numbers(NamedTuple):
    """What a coalition knows of the number of matches, of whether that is enough, of sums."""

    matches: Mark
    enough: Mark
    sums: Mark


def matches(dummies: frozenset[str]) -> Word:
    """The number of matches with the dummies of these keys."""
    return {MATCHES: Fraction(1)} | {("dummies", key, ""): Fraction(1) for key in dummies}


def opened(sums: covered.Covered) -> Word:
    """What is under the key of sums."""
    covers: Word = {("covers", sums.cover, ""): Fraction(1)}
    return covers if sums.empty else {SUMS: Fraction(1), **covers}


def word(pair: Pair, term: Term, dummies: frozenset[str]) -> Word | None:
    """A word as a sum of atoms; None if the term is none. ``dummies``: keys of those that both lists have.

    Raises: ValueError for a share of nothing.
    """
    match term:
        case Sum(parts):
            found = [(sign, word(pair, part, dummies)) for sign, part in parts]
            return None if any(each is None for _, each in found) else _sum((s, w) for s, w in found if w is not None)
        case Call("noise", (str(role), _)):
            return {("noise", role, ""): Fraction(1)}
        case Call("zero", (str(key), _)):
            return {("mask", key, "zero"): Fraction(1)}
        case Call("mask", (str(key), str(label), _)):
            return {("mask", key, label): Fraction(1)}
        case Call("covers", (str(key),)):
            return {("covers", key, ""): Fraction(1)}
        case Call("opened", (str(key), inner)):
            sums = covered.of(inner)
            if key != sums.secret:
                raise ValueError("open sums with a key that they are not under")
            return opened(sums)
        case Call("number", (Call("dummies", (str(key),)),)):
            return {("dummies", key, ""): Fraction(1)}
        case Call("count", ("match",)):
            return matches(dummies)
        case Call("reached", _):
            return {REACHED: Fraction(1)}
        case Call("share", (str(role), str(name))):
            return word(pair, _shared(pair, name).shares[role], dummies)
        case Call("part", (str(key), str(name), _)):
            return _part(pair, key, name, dummies)
    return None


def _part(pair: Pair, key: str, name: str, dummies: frozenset[str]) -> Word | None:
    """I16: two families of a program hold a mask each, and the third the value less both."""
    if pair.program is None or pair.program.makes != name:
        raise ValueError(f"take a part of {name}, which no program makes")
    *masks, last = pair.program.keys
    if key != last:
        return {("mask", key, "part"): Fraction(1)}
    value = word(pair, _shared(pair, name).value, dummies)
    return None if value is None else _sum([(1, value), *((-1, {("mask", k, "part"): Fraction(1)}) for k in masks)])


def parts(pair: Pair, keys: frozenset[str]) -> list[Word]:
    """I16: what a program leaves with whoever holds these keys."""
    program = pair.program
    held = [] if program is None else [(key, program.makes) for key in program.keys if key in keys]
    return [found for each in held if (found := _part(pair, *each, frozenset())) is not None]


def numbers(pair: Pair, words: Iterable[Word], keys: frozenset[str], roles: frozenset[str]) -> Numbers:
    """What a coalition that has these words, holds these keys and plays these roles knows of numbers.

    Raises: ValueError where a mask is added more than once: it leaves a bit.
    """
    rows = [{atom: of for atom, of in each.items() if not _known(pair, atom, keys, roles)} for each in words]
    if any(abs(of) != 1 for row in rows for atom, of in row.items() if atom[0] in HIDE):
        raise ValueError("add a mask more than once")
    bare = [row for row in _reduced(rows) if not any(atom[0] in HIDE for atom in row)]
    count = strongest(Mark.NOISED if _noised(pair, row, MATCHES) else Mark.SIZE for row in bare if MATCHES in row)
    sums = strongest(Mark.NOISED if _noised(pair, row, SUMS) else Mark.AGGREGATE for row in bare if SUMS in row)
    enough = Mark.NOISED if pair.public.get("noised") else Mark.SIZE
    if not any(REACHED in row for row in bare):
        return Numbers(count, Mark.NEVER, sums)
    return Numbers(strongest([count, enough if pair.public.get("shown") else count]), enough, sums)


def _noised(pair: Pair, row: Word, what: Atom) -> bool:
    """Whether enough noise is in a word: of sums once for each; twice leaves a bit, and under twice it is too small."""
    once = [abs(of) == abs(row[what]) for atom, of in row.items() if atom[0] == "noise"]
    if what == SUMS:
        return all(once) and len(once) >= pair.parts
    return len(once) >= pair.parts or any(atom[0] == "dummies" for atom in row)


def _known(pair: Pair, atom: Atom, keys: frozenset[str], roles: frozenset[str]) -> bool:
    kind, of, _ = atom
    return of in roles or not pair.noisy if kind == "noise" else of in keys


def _shared(pair: Pair, name: str) -> Shared:
    return next(each for each in pair.shared if each.name == name)


def _sum(parts: Iterable[tuple[int, Word]]) -> Word:
    total: dict[Atom, Fraction] = {}
    for sign, each in parts:
        for atom, of in each.items():
            total[atom] = total.get(atom, Fraction(0)) + sign * of
    return {atom: of for atom, of in total.items() if of}


def _reduced(rows: Iterable[Word]) -> list[Word]:
    """Rows in reduced form, by kind: masks go first, the number of matches stays where nothing else is left."""
    done: list[tuple[Atom, Word]] = []
    for each in rows:
        row = each
        for pivot, other in done:
            row = _sum([(1, row), (-1, {atom: of * row.get(pivot, Fraction(0)) for atom, of in other.items()})])
        if not row:
            continue
        pivot = min(row, key=lambda atom: (KINDS.index(atom[0]), atom))
        row = {atom: of / row[pivot] for atom, of in row.items()}
        done = [
            (p, _sum([(1, other), (-1, {atom: of * other.get(pivot, Fraction(0)) for atom, of in row.items()})]))
            for p, other in done
        ] + [(pivot, row)]
    return [row for _, row in done]
