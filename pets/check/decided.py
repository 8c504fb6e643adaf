"""What a change of each field of a specification means, field by field; a field that is not here is not comparable.

``DECIDED`` has an entry for every field of ``spec/model.py`` (a test walks the model). An entry takes the old and the
new value, which differ, and yields reasons. *Narrower* is said of a change only if whatever the new text lets anyone
learn, the old one let them learn as well, and ``check/diff.py`` adds what depends on the query. Every entry is
symmetric: what it calls narrower one way it calls wider the other way.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from pets.check.budget import exact
from pets.check.withheld import Relation, compared
from pets.spec import model
from pets.spec.cards import EVERYONE
from pets.spec.control import control_of
from pets.spec.joins import protocol_of
from pets.spec.model import Leakage, Spec, quantity


@dataclass(frozen=True, slots=True)
class Reason:
    """One difference: where it is, which way it goes (of the new text against the old), and what it means."""

    path: str
    direction: Relation
    sentence: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two specifications that are compared."""

    old: Spec
    new: Spec


Decision = Callable[[Any, Any, str, Pair], Iterator[Reason]]

FAR: Final = Fraction(1, 2**30)
"""Greatest delta / epsilon at which a count under more noise is as good as made from one under less: ADR 0013 has why.

The laws are cut off where delta allows it; beyond the cut lies at most 2 delta / epsilon of each.
"""


def turned(narrower: bool) -> Relation:
    return "narrower" if narrower else "wider"


# -- kinds of decision ------------------------------------------------------------------------------------------------


def approved(what: str) -> Decision:
    """Words or numbers that approvers agreed to and that have no order: another one is another agreement."""

    def decide(old: Any, new: Any, path: str, pair: Pair) -> Iterator[Reason]:
        yield Reason(path, "incomparable", f"{what} is not what the approvers of the old specification agreed to")

    return decide


def neither(why: str) -> Decision:
    """A change that allows more in one way and less in another."""

    def decide(old: Any, new: Any, path: str, pair: Pair) -> Iterator[Reason]:
        yield Reason(path, "incomparable", f"changed from {shown(old)} to {shown(new)}: {why}")

    return decide


def ordered(rank: Callable[[Any], Any], less: str, more: str) -> Decision:
    """A value with an order; the lower rank allows less. Values of one rank are one value in two spellings."""

    def decide(old: Any, new: Any, path: str, pair: Pair) -> Iterator[Reason]:
        a, b = rank(old), rank(new)
        if a == b:
            yield Reason(path, "equal", "the same in other words")
        else:
            yield Reason(path, turned(b < a), f"{less if b < a else more}: {shown(new)} instead of {shown(old)}")

    return decide


def same_if(meaning: Callable[[Any, Spec], Any], what: str) -> Decision:
    """Words that mean the same under ``meaning`` are equal; anything else is another agreement."""

    def decide(old: Any, new: Any, path: str, pair: Pair) -> Iterator[Reason]:
        if meaning(old, pair.old) == meaning(new, pair.new):
            yield Reason(path, "equal", "the same in other words")
        else:
            yield from approved(what)(old, new, path, pair)

    return decide


def elsewhere(old: Any, new: Any, path: str, pair: Pair) -> Iterator[Reason]:
    """What the change means depends on the query: ``check/diff.py`` says it of the noised columns."""
    yield from ()


def inside(old: model.Model | None, new: model.Model | None, path: str, pair: Pair) -> Iterator[Reason]:
    """A part with fields of its own."""
    if old is None or new is None:
        yield from approved("whether it is there")(old, new, path, pair)
    else:
        yield from fields(old, new, path, pair)


# -- walking ----------------------------------------------------------------------------------------------------------


def fields(old: model.Model, new: model.Model, path: str, pair: Pair) -> Iterator[Reason]:
    """Every field of two values of one model that differ, judged by its entry; a field without one is unknown."""
    for name, field in type(new).model_fields.items():
        a, b = getattr(old, name), getattr(new, name)
        if a == b and type(a) is type(b):
            continue
        place = f"{path}.{field.alias or name}" if path else field.alias or name
        kind = type(new)
        decide = DECIDED.get((kind, name)) or WHOLE.get(kind) or approved("a part that this comparison does not know")
        yield from decide(a, b, place, pair)


def named(each: Callable[[Any], str], coming: str, going: str) -> Decision:
    """A list of parts with names, in any order: one more is wider, one less narrower, the others are looked into."""

    def decide(old: Any, new: Any, path: str, pair: Pair) -> Iterator[Reason]:
        before, after = ({each(part): part for part in parts} for parts in (old, new))
        for name in before:
            if name not in after:
                yield Reason(f"{path}.{name}", "narrower", f"{name} {going}")
        for name in after:
            if name not in before:
                yield Reason(f"{path}.{name}", "wider", f"{name} {coming}")
            else:
                yield from fields(before[name], after[name], f"{path}.{name}", pair)
        if [name for name in before if name in after] != [name for name in after if name in before]:
            yield Reason(path, "equal", "listed in another order")

    return decide


def mapped(coming: str, going: str) -> Decision:
    """The same of a mapping from names to parts, whose order is no part of its meaning."""

    def decide(old: Mapping[str, Any], new: Mapping[str, Any], path: str, pair: Pair) -> Iterator[Reason]:
        for name in old:
            if name not in new:
                yield Reason(f"{path}.{name}", "narrower", f"{name} {going}")
        for name in new:
            if name not in old:
                yield Reason(f"{path}.{name}", "wider", f"{name} {coming}")
            elif old[name] != new[name]:
                yield from fields(old[name], new[name], f"{path}.{name}", pair)

    return decide


# -- decisions of one field -------------------------------------------------------------------------------------------


def legal(old: Mapping[str, Any], new: Mapping[str, Any], path: str, pair: Pair) -> Iterator[Reason]:
    """A ground goes and comes with its party; every other change of one is another agreement."""
    here, there = ({party.name for party in spec.parties} for spec in (pair.new, pair.old))
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name) or (name not in new and name not in here):
            continue
        if name not in old and name not in there:
            continue
        if name in old and name in new:
            yield from fields(old[name], new[name], f"{path}.{name}", pair)
        else:
            yield from approved(f"the ground of {name}")(None, None, f"{path}.{name}", pair)


def roles(old: tuple[str, ...], new: tuple[str, ...], path: str, pair: Pair) -> Iterator[Reason]:
    if set(old) == set(new):
        yield Reason(path, "equal", "listed in another order")
    for role in sorted(set(new) - set(old)):
        yield Reason(path, "wider", f"has the role {role} as well")
    for role in sorted(set(old) - set(new)):
        yield Reason(path, "narrower", f"has the role {role} no more")


def recipients(old: tuple[str, ...], new: tuple[str, ...], path: str, pair: Pair) -> Iterator[Reason]:
    """Who receives the table. The first is the result party, whose client opens it."""
    if set(old) == set(new) and old[0] == new[0]:
        yield Reason(path, "equal", "listed in another order")
    for name in sorted(set(new) - set(old)):
        yield Reason(path, "wider", f"{name} receives the table as well")
    for name in sorted(set(old) - set(new)):
        yield Reason(path, "narrower", f"{name} receives the table no more")
    if old[0] != new[0] and {old[0], new[0]} <= set(old) & set(new):
        yield Reason(path, "incomparable", f"{new[0]} opens the table instead of {old[0]}")


def fewer(old: tuple[str, ...] | None, new: tuple[str, ...] | None, path: str, pair: Pair) -> Iterator[Reason]:
    """What comes with a person: each column that is gone tells less, each that is new tells more."""
    before, after = old or (), new or ()
    if set(before) == set(after):
        yield Reason(path, "equal", "listed in another order")
    for name in sorted(set(after) - set(before)):
        yield Reason(path, "wider", f"{name} comes with each person as well")
    for name in sorted(set(before) - set(after)):
        yield Reason(path, "narrower", f"{name} comes with a person no more")


def controlled(
    old: model.DisclosureControl | None, new: model.DisclosureControl | None, path: str, pair: Pair
) -> Iterator[Reason]:
    """What holds is compared, however it is written (check/withheld.py)."""
    if old is None or new is None or _unknown(old) != _unknown(new):
        yield from approved("how small counts are treated")(old, new, path, pair)
        return
    a, b = control_of(old), control_of(new)
    if a == b:
        yield Reason(path, "equal", "the same in other words")
    for knob, direction, told in compared(a, b):
        yield Reason(f"{path}.{knob}", direction, told)


def _unknown(control: model.DisclosureControl) -> list[Any]:
    """Fields that this comparison does not know, of all who ask."""
    parts = (control, *(control.holders or ()))
    return [(getattr(part, "party", ""), sorted(_beyond(part))) for part in parts if _beyond(part)]


def _beyond(part: model.Knobs) -> list[tuple[str, str]]:
    return [(name, repr(getattr(part, name))) for name in type(part).model_fields if name not in _ASKED]


_ASKED: Final = {
    *("preset", "min_count", "redact_at_or_below", "zeros", "round_to", "rounding", "dominance", "p_percent"),
    "round_values_to",
    *("party", "appetite", "known_totals", "holders"),
}
"""Fields that are a part of what ``control_of`` makes of them."""


def protocol(old: str | None, new: str | None, path: str, pair: Pair) -> Iterator[Reason]:
    before, now = protocol_of(pair.old), protocol_of(pair.new)
    if before != now:
        yield Reason(path, "incomparable", f"{now} tells other things than {before}")
    else:
        named_now = new is not None
        yield Reason(
            path, turned(named_now), f"the protocol is {'named' if named_now else 'left to the planner'}: {old or new}"
        )


def _atoms(items: tuple[Leakage, ...], spec: Spec) -> dict[tuple[str, str, str], Leakage]:
    """Declared leakage one learner, item and table at a time; "everyone" is every party."""
    everyone = [party.name for party in spec.parties]
    return {
        (learner, item.item, of): item
        for item in items
        for learner in (everyone if item.learner == EVERYONE else [item.learner])
        for of in item.of or ("",)
    }


def leakage(old: tuple[Leakage, ...], new: tuple[Leakage, ...], path: str, pair: Pair) -> Iterator[Reason]:
    """Who is allowed to learn what beyond the table. The order of entries and how they are cut up mean nothing."""
    before, after = _atoms(old, pair.old), _atoms(new, pair.new)
    found = False
    for key in sorted({*before, *after}):
        learner, item, of = key
        what = f"{item}{' of ' + of if of else ''}"
        place = f"{path}.{learner}.{item}{'.' + of if of else ''}"
        if key not in after or key not in before:
            less = key not in after
            found = True
            yield Reason(place, turned(less), f"{learner} {'no longer learns' if less else 'learns'} {what}")
            continue
        for reason in _atom(before[key], after[key], place, f"{what}, as {learner} learns it,"):
            found = True
            yield reason
    if not found:
        yield Reason(path, "equal", "the same in other words")


def _atom(old: Leakage, new: Leakage, path: str, what: str) -> Iterator[Reason]:
    for name in sorted(type(new).model_fields.keys() - {"learner", "item", "of", "extent", "noised"}):
        if getattr(old, name) != getattr(new, name):
            yield Reason(path, "incomparable", f"{what} is declared with another {name}")
    if old.extent != new.extent:
        tells = {"declared maximum": 0, None: 1, "exact": 2}
        yield Reason(path, turned(tells[new.extent] < tells[old.extent]), f"{what} is {new.extent}, not {old.extent}")
    if old.noised is None or new.noised is None:
        if old.noised is not new.noised:
            yield Reason(path, turned(new.noised is not None), f"{what} is {'' if new.noised else 'not '}noised now")
        return
    if old.noised.model_dump(exclude=_LOSS) != new.noised.model_dump(exclude=_LOSS):
        yield Reason(path, "incomparable", f"{what} has noise of another kind")
    losses = [(quantity(n.epsilon), quantity(n.delta)) for n in (old.noised, new.noised)]
    (epsilon, delta), (epsilon_new, delta_new) = losses
    if max(delta / epsilon, delta_new / epsilon_new) > FAR and losses[0] != losses[1]:
        told = f"{what} has other noise; a delta above epsilon * 2^-30 lets the two laws be told apart"
        yield Reason(path, "incomparable", told)
        return
    for name, a, b in (("epsilon", epsilon, epsilon_new), ("delta", delta, delta_new)):
        if a != b:
            yield Reason(f"{path}.{name}", turned(b < a), f"{what} has {name} {exact(b)} instead of {exact(a)}")


def linked_on(on: str | Mapping[str, str], spec: Spec) -> Mapping[str, str]:
    return {table.name: on for table in spec.datasets} if isinstance(on, str) else on


def shown(value: Any) -> str:
    """A value in a sentence; a long one is cut."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: Any, spec: Spec) -> Fraction | None:
    return None if value is None else Fraction(value)


def _rate(value: Any, spec: Spec) -> Fraction | None:
    return None if value is None else quantity(value)


def _as_set(value: Any, spec: Spec) -> frozenset[Any]:
    return frozenset(value)


_LOSS: Final = {"epsilon", "delta"}
_SLOWNESS: Final = {"yearly": 0, "quarterly": 1, "monthly": 2, "weekly": 3, "daily": 4, None: 5}
_BEHAVIOUR: Final = {"malicious": 0, "semi-honest": 1}

_SAMPLE = "other rows are brought, and one person weighs more or less in the sums"
_SIZE = "a smaller maximum tells more of the true size, a larger one lets more rows be brought"
_AGAIN = "rarely refreshed rows can be asked oftener, freshly read ones tell what is new"

DECIDED: Final[dict[tuple[type[model.Model], str], Decision]] = {
    (model.Spec, "pets"): approved("the version of the format"),
    (model.Spec, "title"): approved("the title"),
    (model.Spec, "purpose"): inside,
    (model.Spec, "parties"): named(lambda p: str(p.name), "takes part as well", "takes part no more"),
    (model.Spec, "datasets"): named(lambda d: str(d.name), "is brought as well", "is brought no more"),
    (model.Spec, "legal"): legal,
    (model.Spec, "linkage"): inside,
    (model.Spec, "computation"): inside,
    (model.Spec, "release"): inside,
    (model.Spec, "security"): inside,
    (model.Spec, "validity"): inside,
    (model.Spec, "delegation"): approved("who approves on whose behalf"),
    (model.Purpose, "statement"): approved("the purpose"),
    (model.Purpose, "dpv"): same_if(_as_set, "the list of purposes"),
    (model.Purpose, "public_benefit"): approved("the public benefit"),
    (model.Purpose, "author"): approved("the author, whose own approval does not count,"),
    (model.Purpose, "use"): approved("what the result is for"),
    (model.Purpose, "atrs"): approved("the record of algorithmic transparency"),
    (model.Purpose, "ethics"): approved("the ethical review"),
    (model.Party, "name"): approved("the name"),
    (model.Party, "organisation"): approved("the organisation"),
    (model.Party, "roles"): roles,
    (model.Party, "san"): approved("the server that speaks for the party"),
    (model.Party, "country"): approved("where the party computes"),
    (model.Party, "acts_as"): approved("what the party is in law"),
    (model.Dataset, "name"): approved("the name"),
    (model.Dataset, "holders"): neither("other parties hold the table, or more or fewer rows"),
    (model.Dataset, "one_party"): approved("the holder"),
    (model.Dataset, "privacy_unit"): approved("whom the noise protects"),
    (model.Dataset, "rows_per_person"): neither(_SAMPLE),
    (model.Dataset, "holders_per_person"): neither("noise covers a person at more or fewer holders"),
    (model.Dataset, "one_max_rows"): neither(_SIZE),
    (model.Dataset, "truncate"): neither(_SAMPLE),
    (model.Dataset, "refresh"): neither(_AGAIN),
    (model.Dataset, "columns"): mapped("is declared as well", "is declared no more"),
    (model.Dataset, "patient_information"): approved("whether it is patient information"),
    (model.Dataset, "access_rights"): approved("what the catalogue says of access"),
    (model.Dataset, "data_use"): approved("what the catalogue says of use"),
    (model.Dataset, "law"): approved("what the catalogue says of the law"),
    (model.Column, "role"): approved("what the column may be used for"),
    (model.Column, "type"): approved("the type"),
    (model.Column, "scheme"): approved("the scheme of the identifier"),
    (model.Column, "levels"): neither("the cells of the table, or their order, are others"),
    (model.Column, "min"): same_if(_number, "the range, to which values are held and noise is scaled,"),
    (model.Column, "max"): same_if(_number, "the range, to which values are held and noise is scaled,"),
    (model.Column, "places"): neither("sums are made in other units"),
    (model.Column, "unit"): approved("the unit"),
    (model.Column, "clamp"): neither("values out of range are moved where they were refused, or the reverse"),
    (model.Column, "required"): neither("rows without a value are refused where they were taken, or the reverse"),
    (model.Column, "sensitivity"): approved("how sensitive the column is said to be"),
    (model.Linkage, "on"): same_if(linked_on, "what persons are matched by"),
    (model.Linkage, "issuer"): approved("the issuer of the identifiers"),
    (model.Linkage, "normalise"): same_if(_as_set, "how identifiers are made alike"),
    (model.Linkage, "version"): approved("the version of the linkage"),
    (model.Linkage, "expected_match_rate"): same_if(_rate, "the expected match rate"),
    (model.Computation, "sql"): elsewhere,
    (model.Computation, "psi"): neither("something else is computed"),
    (model.Computation, "asks"): neither("another party asks"),
    (model.Computation, "where"): neither("other rows are asked about"),
    (model.Computation, "columns"): fewer,
    (model.Computation, "by"): neither("sums of other groups are told"),
    (model.Computation, "max_group"): neither(_SIZE),
    (model.Computation, "at_least"): neither("another number of persons is asked for"),
    (model.Computation, "min_contributors"): ordered(
        lambda n: -(n or 0), "more holders have to take part", "fewer holders have to take part"
    ),
    (model.Computation, "upload_minutes"): neither("other holders may be in time, and count"),
    (model.Computation, "partial_uploads"): same_if(
        lambda said, spec: said or "leave out", "what becomes of a holder whose upload is not everywhere"
    ),
    (model.Computation, "unproved_uploads"): same_if(
        lambda said, spec: said or "leave out", "what becomes of a holder whose numbers are not proved to be in range"
    ),
    (model.Computation, "min_result"): ordered(
        lambda n: -(n or 0), "less is told where few persons are in both", "more is told where few persons are in both"
    ),
    (model.Computation, "program"): neither("another program runs"),
    (model.Computation, "source"): approved("the text of the program"),
    (model.Computation, "sha256"): neither("another program runs"),
    (model.Computation, "inputs"): neither("other columns go in"),
    (model.Computation, "parameters"): neither("the program computes something else"),
    (model.Computation, "rows"): neither("other rows go in"),
    (model.Computation, "outputs"): approved("what the program releases"),
    (model.Computation, "bits"): neither("numbers are hidden by masks of another width"),
    (model.Computation, "budget"): approved("how much servers may send each other"),
    (model.DifferentialPrivacy, "epsilon"): elsewhere,
    (model.DifferentialPrivacy, "rho"): elsewhere,
    (model.DifferentialPrivacy, "delta"): approved("the delta at which rho is read as an epsilon"),
    (model.DifferentialPrivacy, "weights"): elsewhere,
    (model.DifferentialPrivacy, "neighbours"): approved("whom the noise hides"),
    (model.DifferentialPrivacy, "mechanism"): approved("the law of the noise"),
    (model.Release, "to"): recipients,
    (model.Release, "differential_privacy"): inside,
    (model.Release, "disclosure_control"): controlled,
    (model.Security, "adversary"): ordered(
        lambda a: _BEHAVIOUR[a], "withstands a stronger adversary", "withstands a weaker adversary"
    ),
    (model.Security, "corrupt"): ordered(lambda n: -n, "withstands more colluding parties", "withstands fewer"),
    (model.Security, "protocol"): protocol,
    (model.Security, "leakage"): leakage,
    (model.Validity, "not_before"): ordered(lambda day: -day.toordinal(), "begins later", "begins earlier"),
    (model.Validity, "not_after"): ordered(lambda day: day.toordinal(), "ends earlier", "ends later"),
    (model.Validity, "max_runs"): ordered(lambda n: n, "fewer runs", "more runs"),
    (model.Validity, "schedule"): ordered(lambda s: _SLOWNESS[s], "runs less often", "runs more often"),
}
"""The decision for every field of the model that can be reached alone."""

WHOLE: Final[dict[type[model.Model], Decision]] = {
    model.Legal: approved("the legal ground"),
    model.Dpia: approved("the impact assessment"),
    model.Power: approved("the power in law"),
    model.Pbpp: approved("what the panel approved"),
    model.Accreditation: approved("the accreditation"),
    model.DisclosureControl: approved("how small counts are treated"),
    model.HolderControl: approved("how small counts are treated"),
    model.Knobs: approved("how small counts are treated"),
    model.Dominance: approved("how small counts are treated"),
    model.Delegation: approved("who approves on whose behalf"),
    model.ProgramBudget: approved("how much servers may send each other"),
    model.ProgramOutput: approved("what the program releases"),
    model.Leakage: approved("what is learned beyond the table"),
    model.Noised: approved("the noise of what is learned beyond the table"),
}
"""Models that are judged as a whole: every field of them, a later one too, is part of one agreement.

``Leakage`` and ``Noised`` are taken apart by ``leakage`` above, which compares them learner by learner; disclosure
control by ``controlled``, which compares what holds.
"""
