"""The rules on the terms: noise, what is declared, protocol and adversary, dates and runs. Registered in rules.py."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pets.check import budget, noised, sensitivity, shared_noise
from pets.check.rules import Asked, Found, Selecting, Stated, crossed, general_rule, rule, selecting_rule
from pets.errors import PetsError
from pets.spec import moments as taken_apart
from pets.spec.cards import EVERYONE
from pets.spec.ir import Dimension, Factor
from pets.spec.joins import JOINS, SHARED, STAR, joins_of
from pets.spec.model import DESIGN, DifferentialPrivacy, Spec, quantity
from pets.spec.periods import slots
from pets.spec.ways import able

MAX_WINDOW: Final = timedelta(days=5 * 366)
WEAK_EPSILON: Final = Fraction(10)
MOST_EPSILON: Final = Fraction(100)
"""Of one release. Where no column's noise is wider than one unit, it is zero but once in e^100 draws."""
MOST_RHO: Final = Fraction(40)
"""Of one release: at a delta of 10^-6 it is epsilon 85. One person then moves a sum by nine times the noise on it."""


# -- noise ------------------------------------------------------------------------------------------------------------


@selecting_rule("spec.no-noise")
def no_noise(asked: Selecting) -> Found:
    """Exact sums of a joint table are not released: nothing would stop a second query from undoing them."""
    if asked.spec.release.differential_privacy is None and asked.control is None:
        yield (
            "release",
            "has neither [release.differential_privacy] nor [release.disclosure_control]: exact sums would be released",
            'add one: noise, with epsilon (for example "1") and neighbours, or a minimum count (min_count = 10)',
        )


@general_rule("dp.exact")
def exact_release(asked: Stated) -> Found:
    """Above this the noise is almost always zero: exact sums under the name of noised ones."""
    privacy = asked.spec.release.differential_privacy
    places = [("release.differential_privacy.epsilon", privacy.stated)] if privacy and not privacy.gaussian else []
    places += [
        (f"security.leakage.{place}.noised.epsilon", item.noised.epsilon)
        for place, item in enumerate(asked.spec.security.leakage)
        if item.noised is not None
    ]
    for path, epsilon in places:
        if quantity(epsilon) > MOST_EPSILON:
            yield (
                path,
                f"epsilon {epsilon} leaves next to no noise: what is called noised would be exact",
                f'write epsilon = "1", or another of at most {budget.exact(MOST_EPSILON)}',
            )
    if privacy and privacy.gaussian and privacy.loss > MOST_RHO:
        yield (
            "release.differential_privacy.rho",
            f"rho {privacy.stated} leaves next to no noise: what is called noised would be exact",
            f'write rho = "0.1", or another of at most {budget.exact(MOST_RHO)}',
        )


@rule("spec.crossing")
def crossing(asked: Asked) -> Found:
    """Rows are compared one by one: others have one beside each of role a's, and persons are counted before that."""
    if not asked.query.compares or (roles := asked.roles) is None:
        return
    place = "WHERE" if asked.query.rows is not None else "CASE"
    a, *others = (asked.spec.dataset(taken_apart.table_of(asked.query, side)) for side in roles.sides.values())
    several = [table for table in others if table.max_rows_per_person > 1 and crossed(asked.query, table.name)]
    if several:
        yield (
            f"computation.sql: {place}",
            f"compares rows of {several[0].name} with those of other tables, and a person may have several there"
            if len(others) > 1
            else f"compares rows of {a.name} and {several[0].name}, and a person may have several in both",
            "prepare one row a person in "
            + (several[0].name if len(others) > 1 else "one of the two")
            + ", and write max_rows_per_person = 1",
        )
    elif a.max_rows_per_person > 1 and any(f.people for moment in asked.summed for f in moment.factors):
        yield (
            f"computation.sql: {place}",
            f"decides by rows of {a.name}, of which a person may have several, and persons are counted",
            "count rows and release with noise, or prepare one row a person",
        )


@selecting_rule("dp.exact-rows")
def exact_rows(asked: Selecting) -> Found:
    """With exact row counts known, a person cannot be added unseen, and the noise would have to be twice as wide."""
    for place, item in enumerate(asked.spec.security.leakage):
        if item.item == "row_count" and item.extent == "exact":
            yield (
                f"security.leakage.{place}.as",
                f"tells how many rows {', '.join(item.of)} has exactly, which the noise does not protect",
                'write as = "declared maximum"',
            )


@selecting_rule("dp.weights")
def weights(asked: Selecting) -> Found:
    """A weight for a column that is not there changes nothing, and its author thinks it does."""
    privacy = asked.spec.release.differential_privacy
    known = [moment.name for moment in asked.moments]
    for name in sorted(set(privacy.weights) - set(known)) if privacy and known else ():
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        yield (
            f"release.differential_privacy.weights.{name}",
            "is not a noised column of this query",
            (f'write "{near[0]}"; ' if near else "") + f"the noised columns are: {', '.join(known)}",
        )


@rule("dp.scale")
def scale(asked: Asked) -> Found:
    """Noise that no rounding unit brings within reach of the sampler would bury the answer anyway."""
    privacy, roles = asked.spec.release.differential_privacy, asked.roles
    found = asked.moments
    if privacy is None or roles is None or not found:
        return
    known = {name: weight for name, weight in privacy.weights.items() if name in {m.name for m in found}}
    shares = budget.split_epsilon(privacy.loss, [m.name for m in found], known)
    sides = roles.sides
    tables = {role: asked.spec.dataset(taken_apart.table_of(asked.query, side)) for role, side in sides.items()}
    dims = {role: taken_apart.dimensions(asked.query, asked.spec, side) for role, side in sides.items()}
    sizes, stated = noised.sizes_of(tables, dims), privacy.stated_in
    for m in found:
        own, share = {role: m.of(side) for role, side in sides.items()}, shares[m.name]
        further = tuple(noised.beside(own[role], tables[role], dims[role]) for role in own if role not in ("a", "b"))
        a, b = own["a"], own["b"]
        try:
            if privacy.gaussian:
                sensitivity.coarse_squared(
                    a, b, m.outer, sizes, rho=share, parts=noised.JOINED, name=m.name, beside=further
                )
            else:
                sensitivity.coarse(a, b, m.outer, sizes, epsilon=share, name=m.name, beside=further)
        except PetsError as error:
            least_of = tuple(replace(each, factor=_coarsest(each.factor)) for each in further)
            width = sensitivity.squared_sensitivity if privacy.gaussian else sensitivity.sensitivity
            found_width = width(_coarsest(a), _coarsest(b), m.outer, sizes, least_of)
            least = _least(found_width, share, privacy)
            hint = f'write {stated} = "{least}" or more, raise the weight of this column, or lower max_rows_per_person'
            yield (f"release.differential_privacy.{stated}", error.text.removeprefix("dp.scale: "), hint)


def _coarsest(factor: Factor) -> Factor:
    """The factor after the greatest rounding: one step, up or down."""
    return replace(factor, bound=1)


def _least(width: int, share: Fraction, privacy: DifferentialPrivacy) -> str:
    """The smallest loss of the release, to two digits and rounded up, at which a column's noise can be drawn."""
    if privacy.gaussian:
        alone = shared_noise.gaussian_rho(width, sensitivity.MAX_VARIANCE, noised.JOINED, width)
    else:
        alone = Fraction(width, sensitivity.MAX_SCALE)
    least = alone * privacy.loss / share
    step = Fraction(1)
    while step > least / 10:
        step /= 10
    rounded = -(-least // step) * step
    return f"{Decimal(rounded.numerator) / Decimal(rounded.denominator):f}"


@general_rule("dp.delta")
def delta(asked: Stated) -> Found:
    """A delta that one table's rows use up lets somebody's presence be told outright."""
    rows = max(table.max_rows for table in asked.tables)
    privacy = asked.spec.release.differential_privacy
    if privacy and privacy.gaussian and not budget.read_at(asked.spec) * rows < 1:
        said = privacy.delta or "left out, and 10^-6, at which rho is told as an epsilon then,"
        yield (
            "release.differential_privacy.delta",
            f"{said} is not below one in {f'{rows:,}'.replace(',', ' ')} rows",
            'write delta = "2^-40", or another far below that',
        )
    for place, item in enumerate(asked.spec.security.leakage):
        if item.noised is not None and not quantity(item.noised.delta) * rows < 1:
            yield (
                f"security.leakage.{place}.noised.delta",
                f"{item.noised.delta} is not below one in {rows:,} rows".replace(",", " "),
                'write delta = "2^-40", or another far below that',
            )


@general_rule("dp.weak", "warning")
def weak(asked: Stated) -> Found:
    """Above this the guarantee says next to nothing: odds may change by a factor of e^10 = 22 000."""
    loss = budget.release_loss(asked.spec) + budget.helper_loss(asked.spec)
    if budget.read(loss, asked.spec) > WEAK_EPSILON:
        yield (
            _loss_path(asked.spec),
            f"a run costs {_costs(loss, asked.spec)}, which protects hardly anyone",
            "values up to about 0.1 are customary" if loss.rho else "values up to about 1 are customary",
        )


@general_rule("dp.weak-together", "warning")
def weak_together(asked: Stated) -> Found:
    """Whoever stays in the tables is in every run, and the losses of all runs add up."""
    spec, runs = asked.spec, asked.spec.validity.max_runs
    loss = budget.release_loss(spec) + budget.helper_loss(spec)
    if runs > 1 and budget.read(loss, spec) <= WEAK_EPSILON and budget.read(loss * runs, spec) > MOST_EPSILON:
        low, high = 1, runs
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if budget.read(loss * middle, spec) <= MOST_EPSILON else (low, middle)
        yield (
            "validity.max_runs",
            f"all {runs} runs cost {_costs(loss * runs, spec)} together for whoever stays in the tables",
            f"write max_runs = {low} or fewer, and ask again then",
        )


def _loss_path(spec: Spec) -> str:
    privacy = spec.release.differential_privacy
    return f"release.differential_privacy.{privacy.stated_in if privacy else 'epsilon'}"


def _costs(loss: budget.Loss, spec: Spec) -> str:
    """A loss in a sentence; one with rho also as the epsilon that it is at a delta."""
    if not loss.rho:
        return f"epsilon {budget.exact(loss.epsilon)}"
    told = f"rho {budget.exact(loss.rho)}"
    if loss.epsilon:
        told += f" and epsilon {budget.exact(loss.epsilon)}"
    epsilon, delta = budget.bounded(budget.read(loss, spec), up=True), budget.exact(budget.read_at(spec))
    return f"{told}, which is epsilon {epsilon} at a delta of {delta}"


@rule("spec.b-cells")
def b_cells(asked: Asked) -> Found:
    """Every cell of role b's own grouping is one more column on the wire; many need one row a person there."""
    if (roles := asked.roles) is None or not taken_apart.keyed(asked.query, asked.spec, roles):
        return
    others = [side for role, side in roles.sides.items() if role != "a"]
    dims = tuple(d for side in others for d in taken_apart.dimensions(asked.query, asked.spec, side))
    table = " and ".join(taken_apart.table_of(asked.query, side) for side in others)
    most = taken_apart.MAX_B_CELLS
    if len(others) > 1:
        yield (
            f"computation.sql: GROUP BY <- {', '.join(str(d.column) for d in dims)}",
            f"{table} are grouped into {taken_apart.cells(dims)} cells together, {h_of(dims)}; the most of all "
            f"tables but the first is {most}",
            "group by fewer columns of these tables, or by coarser ones",
        )
    elif asked.spec.dataset(table).max_rows_per_person > 1:
        yield (
            f"computation.sql: GROUP BY <- {', '.join(str(d.column) for d in dims)}",
            f"{table}, of which a person may have several rows, is grouped into {taken_apart.cells(dims)} cells, "
            f"{h_of(dims)}; the most is {most}",
            f"prepare one row a person in {table} and write max_rows_per_person = 1, or group by coarser columns of it",
        )


def h_of(dims: tuple[Dimension, ...]) -> str:
    """How a number of cells comes about: ``6 x 7 with (missing)``."""
    return f"{' x '.join(str(len(d.levels)) for d in dims)} levels with {dims[0].levels[-1]}"


# -- what is declared and what the protocol stands for ----------------------------------------------------------------


@rule("spec.protocol")
def protocol(asked: Asked) -> Found:
    """The protocol has a card here, and it is one that joins."""
    able = joins_of(asked.query)
    if asked.protocol not in able:
        known = asked.protocol in asked.cards
        what = "does not join more than two tables" if asked.query.others else "does not join two tables"
        if asked.protocol not in (*JOINS, STAR):
            what = "does not join tables"
        yield (
            "security.protocol",
            f"{asked.protocol} {what if known else 'has no card in this installation'}",
            f"write {' or '.join(filter(None, (', '.join(able[:-1]), able[-1])))}"
            + (", or leave the choice to the planner" if able == JOINS else ""),
        )


@rule("spec.shared")
def shared(asked: Asked) -> Found:
    """What is asked of tables of several holders is what three parties that hold none of them can do."""
    if problem := asked.not_shared:
        yield (
            "computation.sql",
            f"{problem}, which {SHARED} does not do",
            taken_apart.REMEDIES.get(problem, "ask for it of tables of one holder each, or leave it out"),
        )


@general_rule("spec.adversary")
def adversary(asked: Stated) -> Found:
    """The adversary that the specification asks for is a floor. It is never lowered."""
    card = asked.cards.get(asked.protocol)
    if card and asked.spec.security.adversary == "malicious" and card.adversary.behaviour != "malicious":
        stronger = next(iter(able(asked.spec)), None)
        yield (
            "security.adversary",
            f"asks for protection from malicious parties; {card.id} protects from {card.adversary.behaviour} ones",
            f'write protocol = "{stronger}"'
            if stronger is not None
            else "accept semi-honest, if every party's approvers do: a party that deviates is then not always caught",
        )


@general_rule("spec.corrupt")
def corrupt(asked: Stated) -> Found:
    """The number of colluding parties that the specification asks to withstand is a floor too.

    Not here: cards that withstand more the more parties there are (``pool.corrupt``).
    """
    card = asked.cards.get(asked.protocol)
    if card is None or (card.adversary.threshold is not None and not card.streams):
        return
    most, of = card.adversary.corrupt, len(card.adversary.among)
    if card.streams and card.adversary.threshold is not None:
        of = len(asked.spec.computing)
        most = card.adversary.threshold.evaluate(dict.fromkeys(card.adversary.among, of))
    if asked.spec.security.corrupt > most:
        yield (
            "security.corrupt",
            f"asks to withstand {asked.spec.security.corrupt} colluding parties; {card.id} withstands {most} of {of}",
            f"write corrupt = {most}, if every party's approvers accept it",
        )


@general_rule("leak.twice")
def twice(asked: Stated) -> Found:
    """Two entries on one thing: a reader believes the first, a machine the last (edge_overwrite)."""
    seen: dict[tuple[str, str, str], int] = {}
    for place, item in enumerate(asked.spec.security.leakage):
        for of in item.of or ("",):
            named = [who for who, what, which in seen if (what, which) == (item.item, of)]
            wide = (
                item.item == "match_count"
            )  # two of these are two noises; sizes are one fact, told as often as one likes
            before = [who for who in named if who == item.learner or (wide and EVERYONE in (who, item.learner))]
            for who in before[:1]:
                again = "again, after" if who == item.learner else f"and to {who}, in"
                yield (
                    f"security.leakage.{place}",
                    f"declares {item.item}{' of ' + of if of else ''} to {item.learner} {again} entry "
                    f"{seen[who, item.item, of]}",
                    "keep one of them",
                )
            seen.setdefault((item.learner, item.item, of), place)


@general_rule("leak.unclear")
def unclear(asked: Stated) -> Found:
    """An entry says one thing: what else it has is believed by a reader and by nobody else."""
    if any(party.name == EVERYONE for party in asked.spec.parties):
        yield (
            f"party.{EVERYONE}.name",
            f'as a learner "{EVERYONE}" stands for all parties, so no party can be called so',
            "give the party another name",
        )
    for place, item in enumerate(asked.spec.security.leakage):
        path = f"security.leakage.{place}"
        if item.item == "match_count" and ((item.extent is not None and item.noised is not None) or item.of):
            key = "as" if item.extent is not None else "of"
            yield (
                f"{path}.{key}",
                f'match_count is one count with the noise of "noised"; "{key}" says something else of it',
                f'take "{key}" out',
            )
        if item.item == "match_count" and item.learner == EVERYONE and len(asked.helpers) == 1:
            yield (
                f"{path}.learner",
                f"declares that everyone learns match_count, which {asked.protocol} tells {asked.helpers[0]} alone",
                f'write learner = "{asked.helpers[0]}"',
            )
        card = asked.cards.get(asked.protocol)
        if item.item == "input_validity" and card is not None and card.validity is None:
            yield (
                f"{path}.item",
                f"declares that it is told whose inputs are not in range, and {asked.protocol} checks none",
                "take the entry out",
            )
        if item.item == "row_count" and item.noised is not None:
            yield (
                f"{path}.noised",
                "row_count is the declared maximum, which has no noise and costs no budget",
                'take "noised" out',
            )


# -- when and how often -----------------------------------------------------------------------------------------------

_DAYS: Final = {"daily": 1, "weekly": 7, "monthly": 28, "quarterly": 90, "yearly": 365}


@general_rule("spec.window", "warning")
def window(asked: Stated) -> Found:
    """An approval that does not end is one that nobody remembers giving."""
    validity = asked.spec.validity
    if validity.not_after - validity.not_before > MAX_WINDOW:
        yield (
            "validity.not_after",
            f"is {(validity.not_after - validity.not_before).days} days after not_before; five years are the most",
            "ask again in five years",
        )


@general_rule("spec.schedule", "warning")
def schedule(asked: Stated) -> Found:
    """Runs come no faster than new records: a second run on the same rows only averages the noise away."""
    validity = asked.spec.validity
    if validity.schedule is None:
        return
    for table in asked.tables:
        days = 0 if table.refresh == "each run" else _DAYS.get(table.refresh)
        if days is None or days > _DAYS[validity.schedule]:
            yield (
                "validity.schedule",
                f"runs {validity.schedule} on {table.name}, whose records are "
                f"{'frozen' if days is None else 'refreshed ' + table.refresh}: the same rows would be asked again",
                "run no more often than every table is refreshed",
            )


@general_rule("spec.runs", "warning")
def runs(asked: Stated) -> Found:
    """The number of runs fits the schedule and the dates."""
    validity = asked.spec.validity
    if validity.schedule is None:
        return
    fit = slots(validity.schedule, validity.not_before, validity.not_after)
    if validity.max_runs > fit:
        yield (
            "validity.max_runs",
            f"{validity.max_runs} {validity.schedule} runs do not fit between the dates; {fit} do",
            f"write max_runs = {fit} or fewer",
        )


@general_rule("spec.repeat", "warning")
def repeat(asked: Stated) -> Found:
    """Several runs without a schedule may come at once, on the same rows or on rows that differ in one person."""
    validity = asked.spec.validity
    if validity.max_runs > 1 and validity.schedule is None:
        loss = (budget.release_loss(asked.spec) + budget.helper_loss(asked.spec)) * validity.max_runs
        costs = f"cost {_costs(loss, asked.spec)} together"
        tells = "each may tell whom the rows have gained or lost since the one before"
        yield (
            "validity.max_runs",
            f"{validity.max_runs} runs may follow each other on the same rows and {costs}"
            if loss.epsilon or loss.rho
            else f"{validity.max_runs} runs may follow each other, and {tells}",
            "add a schedule, or ask for one run",
        )


@general_rule("spec.delegation")
def delegation(asked: Stated) -> Found:
    """Approval on another's behalf is not enforced yet, so it is not accepted."""
    for place, item in enumerate(asked.spec.delegation):
        yield (
            f"delegation.{place}",
            f"lets {item.to} approve for {item.by}, which no server enforces yet",
            "take it out: every party's own approvers sign",
        )


@general_rule("spec.design", "warning")
def design(asked: Stated) -> Found:
    """A draft says so in its legal and purpose fields; a party server refuses it."""
    if fields := design_fields(asked.spec):
        yield (
            fields[0],
            f'{len(fields)} field(s) still say "{DESIGN}": this is a draft, and no party server runs it',
            "fill them in before it is submitted",
        )


def design_fields(spec: Spec) -> tuple[str, ...]:
    """Paths of legal and purpose fields that still hold the placeholder of a draft."""
    paths: list[str] = []

    def walk(value: object, path: str) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                walk(part, f"{path}.{key}")
        elif isinstance(value, (tuple, list)):
            for place, part in enumerate(value):
                walk(part, f"{path}.{place}")
        elif value == DESIGN:
            paths.append(path)

    walk(spec.purpose.model_dump(), "purpose")
    for party, legal in spec.legal.items():
        walk(legal.model_dump(), f"legal.{party}")
    return tuple(paths)
