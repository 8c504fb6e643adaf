"""How it is computed and what is released: the sections Safe settings and Safe outputs of the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Final

from pets.check import budget
from pets.check.blocks import (
    Block,
    Code,
    Flow,
    Grid,
    Pairs,
    Picture,
    Points,
    Section,
    about,
    duration,
    listed,
    size,
)
from pets.check.checked import (
    Checked,
    Forecast,
    Message,
    cards_of,
    cells_of,
    join_of,
    moved,
    noise_of,
    noise_width,
    pool_of,
    protect_of,
    roles_of,
    several,
)
from pets.check.kept import withheld
from pets.ids import PartyId
from pets.spec.banded import Values, by_values
from pets.spec.cards import Card
from pets.spec.crossing import said
from pets.spec.ir import GaussianColumn, HelperJoin, Noisy, Protect, Read
from pets.spec.joins import choice
from pets.spec.model import Spec
from pets.spec.moments import moments_of
from pets.spec.pooled import Statement
from pets.spec.predicate import worded
from pets.spec.query import LINEAR, LOGISTIC, Aggregate, Statistic
from pets.spec.repeated import BESIDE, HOLDERS, role_of

# -- safe settings ----------------------------------------------------------------------------------------------------


def settings(review: Checked) -> Section:
    spec, join, forecast = review.spec, join_of(review), review.forecast
    used = cards_of(review)
    inside = _inside_of(review)
    blocks: list[Block] = []
    if join is not None and forecast is not None:
        blocks.append(_picture(review, join, forecast, inside))
    blocks.append(settled(spec, used, {} if join is None else _cast(review, join), forecast))
    if join is not None and forecast is not None:
        blocks.append(
            Grid(
                "Every message of a run. A server sends nothing else, and takes nothing else.",
                ("Message", "Round", "From", "To", "What is inside", "Size"),
                tuple(
                    (label, str(turn), sender, receiver, _inside(inside[first], review), size(total))
                    for label, turn, sender, receiver, first, total in _folded(review, forecast)
                ),
                numbers=frozenset({5}),
            )
        )
    return Section("settings", "Safe settings", "How is it computed, and what is sent to whom?", tuple(blocks))


def settled(spec: Spec, used: Sequence[Card], roles: Mapping[str, str], forecast: Forecast | None) -> Pairs:
    """Against whom it protects, by which protocol and why, what it rests on, who plays which role, what it costs.

    ``used``: the card of the protocol, and those that follow.
    """
    security = spec.security
    card, *after = used or (None,)
    doing = "looking at all it gets" if security.adversary == "semi-honest" else "doing whatever it likes"
    many = "any one party" if security.corrupt == 1 else f"any {security.corrupt} parties, each"
    pairs = [("Protects from", f"{many}, {doing} ({security.adversary})")]
    if card is not None:
        pairs = [
            ("Protocol", f"{card.title} ({card.id}, version {card.version})"),
            ("Why this one", choice(spec).why),
            ("Its status", card.status),
            *pairs,
            ("What it does", card.functionality),
            *((f"Then: {each.title} ({each.id}, version {each.version})", each.functionality) for each in after),
            (
                "Wrong result",
                "never by chance"
                if card.cost.wrong_result == "0"
                else f"by chance, at most {_once(card.cost.wrong_result)}",
            ),
            ("Sources", "; ".join(card.source)),
        ]
    if roles:
        pairs.append(("Roles", ", ".join(f"{role}: {party}" for role, party in roles.items())))
    if forecast is not None:
        pairs.append(("Cost of a run", f"{size(forecast.size)} in {forecast.rounds} rounds"))
        told = "; ".join(f"about {duration(ms)} with {where}" for where, ms in forecast.times)
        pairs.append(("Time of a run", f"{told}. Once the kernels are compiled; the true time may be half or double"))
    return Pairs(tuple(pairs))


def _once(chance: str) -> str:
    """A chance as a card has it, in words: of a run, or of something else that it names."""
    return chance if " " in chance else f"once in {chance.replace('2^-', '2^')} runs"


def _cast(review: Checked, join: HelperJoin) -> dict[str, str]:
    """Who plays which role; those who play one role that many play together."""
    if not join.shared or review.plan is None:
        return {role: str(party) for role, party in roles_of(review, join).items()}
    held = {role: several(read.parties) for role, read in zip(HOLDERS, review.plan.reads, strict=True)}
    return held | {role: str(party) for role, party in roles_of(review, join).items() if role[-1].isalpha()}


def _folded(review: Checked, forecast: Forecast) -> Iterator[tuple[str, int, str, str, str, int]]:
    """Label, round, sender, receiver, the label of one of them, bytes: messages of all who play one role are one."""
    group = {party: role for role, parties in _groups(review).items() for party in parties}
    total: dict[tuple[str, int, str, str], tuple[str, int]] = {}
    for m in forecast.messages:
        if m.size and m.sender != m.receiver:
            many = m.sender in group
            key = (
                m.label.rstrip("0123456789") if many else m.label,
                m.round,
                group.get(m.sender, m.sender),
                m.receiver,
            )
            first, size = total.get(key, (m.label, 0))
            total[key] = first, size + m.size
    for (label, turn, sender, receiver), (first, size) in total.items():
        yield label, turn, sender, receiver, first, size


def _groups(review: Checked) -> dict[str, tuple[PartyId, ...]]:
    """Those who hold a table together, by how they are called together; nobody where each plays a role alone."""
    if review.plan is None or not review.plan.shared:
        return {}
    return {several(read.parties): read.parties for read in review.plan.reads}


_COMPUTED: Final = ("shares",)
_SHOWN: Final = ("shown",)
"""What the messages of operations on shares carry, as the cards of joins say it of theirs."""


def _inside_of(review: Checked) -> dict[str, tuple[str, ...]]:
    """What is inside every message of a run, by label."""
    carries: dict[str, tuple[str, ...]] = {}
    for message in review.forecast.messages if review.forecast else ():
        carries[message.label] = _SHOWN if message.receiver == review.spec.result_party else _COMPUTED
    for card in cards_of(review):
        carries |= {message.label: message.carries for message in card.messages}
    return carries


def _inside(carries: tuple[str, ...], review: Checked) -> str:
    """What a message holds, in words, from what its card says it carries."""
    if carries == _COMPUTED:
        return "masked shares of what the three compute together: random numbers to the receiver"
    if carries == _SHOWN:
        return "one of three parts of what may be shown: random alone, the protected table together"
    if "sums" in carries and protect_of(review) is not None:
        return "one share of every sum, masked: random numbers to the receiver"
    if any(item.endswith(".key") for item in carries) and _groups(review):
        return "person ids as numbers, masked: random numbers to the receiver"
    if any(item.endswith(".key") for item in carries):
        return "codes in place of person ids, under a key that the receiver does not have"
    if "sums" in carries:
        return "one share of every sum, with noise: random alone, the noised sums together"
    if any(item.endswith(".values") for item in carries):
        return "masked values: random numbers to the receiver"
    if "match" in carries:
        return "masked positions of matches, in an order that tells nothing"
    if any(item.endswith(".groups") for item in carries):
        return "masked ends of groups"
    return "random numbers: masks and noise"


def _picture(review: Checked, join: HelperJoin, forecast: Forecast, carries: Mapping[str, tuple[str, ...]]) -> Picture:
    spec, exact = review.spec, protect_of(review) is not None
    if join.shared:
        return _picture_of_many(review, join, forecast, carries)
    flows: dict[tuple[PartyId, PartyId], list[Message]] = {}
    for message in forecast.messages:
        if message.sender != message.receiver and message.size:
            flows.setdefault((message.sender, message.receiver), []).append(message)
    holders = {"a": join.role_a, "b": join.role_b} | {
        role_of(BESIDE, number): each.role for number, each in enumerate(join.beside)
    }
    boxes = [
        (role, party, "keeps its records" + ", gets the table" * (party == spec.result_party))
        for role, party in holders.items()
    ]
    boxes.append(("helper", join.helper, "brings no records"))
    if spec.result_party not in holders.values():
        boxes.append(("result", spec.result_party, "gets the protected table" if exact else "gets the noised table"))
    return Picture(
        "Who sends what to whom in one run. Records stay where they are.",
        tuple(boxes),
        tuple(
            Flow(
                sender, receiver, sum(m.size for m in sent), _short({c for m in sent for c in carries[m.label]}, exact)
            )
            for (sender, receiver), sent in flows.items()
        ),
    )


def _picture_of_many(
    review: Checked, join: HelperJoin, forecast: Forecast, carries: Mapping[str, tuple[str, ...]]
) -> Picture:
    """All who hold a table are one box."""
    spec, exact = review.spec, protect_of(review) is not None
    to, groups = spec.result_party, _groups(review)
    flows: dict[tuple[str, str], tuple[int, set[str]]] = {}
    for _, _, sender, receiver, label, total in _folded(review, forecast):
        way = (sender, receiver)
        before, inside = flows.get(way, (0, set()))
        flows[way] = before + total, inside | set(carries[label])
    boxes = [
        (role, PartyId(name), "keep their records" + ", one gets the table" * (to in parties))
        for role, (name, parties) in zip(HOLDERS, groups.items(), strict=True)
    ]
    three = {"first": join.role_a, "second": join.helper, "third": join.role_b}
    boxes += [(role, party, "brings no records") for role, party in three.items()]
    if to not in three.values():
        boxes.append(("result", to, "gets the protected table" if exact else "gets the noised table"))
    return Picture(
        "Who sends what to whom in one run. Records stay where they are.",
        tuple(boxes),
        tuple(
            Flow(
                PartyId(sender),
                PartyId(receiver),
                total,
                "masked rows" if sender in groups else _short(inside, exact),
            )
            for (sender, receiver), (total, inside) in flows.items()
        ),
    )


def _short(carried: set[str], exact: bool) -> str:
    words = []
    if any(item.endswith(".key") for item in carried):
        words.append("codes for ids")
    if any(item.endswith(".values") for item in carried):
        words.append("masked values")
    if "match" in carried and not words:
        words.append("masked positions")
    if "shown" in carried:
        words.append("shares of what may be shown")
    elif "sums" in carried or "shares" in carried:
        words.append("masked shares" if exact else "noised shares")
    return ", ".join(words) or "random masks"


# -- safe outputs -----------------------------------------------------------------------------------------------------


def outputs(review: Checked) -> Section:
    spec, query = review.spec, review.query
    blocks: list[Block] = [Code("The query, as signed", (spec.computation.sql or "").strip())]
    columns, control = noise_of(review), protect_of(review)
    if query is not None and control is not None:
        blocks.append(_table_of(review, query))
        blocks += withheld(review, control)
    if query is not None and columns:
        blocks.append(_table_of(review, query))
        rows = []
        for column in columns:
            share = column.rho if isinstance(column, GaussianColumn) else column.epsilon
            rows.append(
                (
                    column.moment.name,
                    budget.exact(share),
                    about(moved(column) * column.moment.scale),
                    _rounding(review, column),
                    f"± {about(noise_width(review, column) * column.moment.scale)}",
                )
            )
        stated = "rho" if any(isinstance(column, GaussianColumn) for column in columns) else "epsilon"
        blocks.append(
            Grid(
                "Sums that are computed jointly. Noise is added before anyone sees them; 95 of 100 sums lie within the "
                "last column.",
                ("Sum", f"Share of {stated}", "One person moves it by at most", "Rows rounded", "Noise"),
                tuple(rows),
                numbers=frozenset({1, 2, 3, 4}),
                code=frozenset({0}),
            )
        )
    if query is not None and by_values(query.group_by):
        told = (
            f"The model is fitted to counts of rows by every combination of values of {_by(query)}. "
            f"{spec.result_party} is sent all of these counts, each with noise, and fits the model itself; the table "
            "has the model alone.",
            "One row of a person is in one combination: noise covers all of that person's rows together.",
        )
        blocks.append(Points("Counts that the model is made of", told))
    if query is not None and query.having is not None:
        told = (
            f"HAVING leaves out of the table every row on which this is not true: {worded(query.having)}. It looks at "
            "released numbers only, and what is withheld or undetermined satisfies nothing.",
            "It keeps nothing from the result party, which is sent the released numbers of every row.",
        )
        blocks.append(Points("Rows that are left out", told))
    if query is not None and query.notes:
        blocks.append(Points("About the query", query.notes))
    if (cost := _price(review)) is not None:
        blocks.append(cost)
    question = "how much noise does it carry" if control is None else "what of it is withheld"
    return Section("outputs", "Safe outputs", f"What is released, and {question}?", tuple(blocks))


def _by(query: Statement) -> str:
    """The columns by whose values rows are counted, with how many each has."""
    each = [f"{ref.of} ({len(ref.levels)})" for ref in query.group_by if isinstance(ref, Values)]
    return listed(each)


STATISTICS: Final = {
    Statistic.COUNT_ROWS: "number of rows",
    Statistic.COUNT_VALUES: "number of values",
    Statistic.COUNT_PEOPLE: "number of persons, by distinct values",
    Statistic.SUM: "sum",
    Statistic.AVG: "mean",
    Statistic.VAR_SAMP: "variance (sample)",
    Statistic.VAR_POP: "variance (population)",
    Statistic.STDDEV_SAMP: "standard deviation (sample)",
    Statistic.STDDEV_POP: "standard deviation (population)",
    Statistic.CORR: "correlation",
    Statistic.COVAR_SAMP: "covariance (sample)",
    Statistic.COVAR_POP: "covariance (population)",
    Statistic.REGR_SLOPE: "slope of the regression line (y, x)",
    Statistic.REGR_INTERCEPT: "intercept of the regression line (y, x)",
    Statistic.LINEAR_ROWS: "rows of the linear regression (y, x1, ...)",
    Statistic.LINEAR_R2: "R squared of the linear regression (y, x1, ...)",
    Statistic.LINEAR_COEFFICIENT: "coefficient in the linear regression (y, x1, ...)",
    Statistic.LINEAR_ERROR: "standard error of the coefficient in the linear regression (y, x1, ...)",
    Statistic.LINEAR_T: "t of the coefficient in the linear regression (y, x1, ...)",
    Statistic.LINEAR_P: "p of the coefficient, two-sided, in the linear regression (y, x1, ...)",
    Statistic.LOGISTIC_ROWS: "rows of the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_ONES: "rows on which y is 1, of the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_STEP: "how far the last step went, in standard errors, of the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_COEFFICIENT: "coefficient in the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_ERROR: "standard error of the coefficient in the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_Z: "z of the coefficient in the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_P: "p of the coefficient, two-sided, in the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_LOWER: "lower end of the 95 % range of the coefficient in the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_UPPER: "upper end of the 95 % range of the coefficient in the logistic regression (y, x1, ...)",
    Statistic.LOGISTIC_ODDS: "odds ratio of the coefficient in the logistic regression (y, x1, ...)",
    Statistic.MINIMUM: "least value",
    Statistic.MAXIMUM: "greatest value",
    Statistic.MEDIAN: "median",
    Statistic.QUANTILE: "quantile",
}


def described(what: Aggregate) -> str:
    """A statistic in words, with the columns that it is of, and the rows that count."""
    if what.when:
        return f"{described(replace(what, when=()))} where {' and '.join(map(said, what.when))}"
    words = STATISTICS[what.statistic]
    if what.statistic in LINEAR | LOGISTIC and "coefficient" in words:
        words = words.replace("coefficient", f"coefficient of {what.columns[what.of]}" if what.of else "intercept")
    return f"{words} of {', '.join(map(str, what.columns))}" if what.columns else words


def _table_of(review: Checked, query: Statement) -> Grid:
    rows = []
    control = protect_of(review)
    count = cells_of(review)
    rows_of = "one row" if count == 1 else f"{count:,} rows"
    kept = "" if query.having is None else ", before HAVING"
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            how = (
                "computed from noised sums"
                if control is None
                else _how(control, _is_held(review, control, output.what))
            )
            rows.append((output.name, described(output.what), how))
        else:
            rows.append((output.name, f"group of {output.what}", "all declared levels, also empty ones"))
    return Grid(
        f"Columns of the released table: {rows_of}{kept}, whatever the records are.",
        ("Column", "What it is", "How"),
        tuple(rows),
        code=frozenset({0}),
    )


def _how(control: Protect, held: bool) -> str:
    """What happens to a statistic under disclosure control. ``held``: against rules on single contributions, too."""
    rounded = f", counts rounded to {control.round_to}" if control.round_to > 1 else ""
    few = ", no few of them nearly all of it" if held else ""
    return f"where at least {control.min_count} persons contribute{few}{rounded}"


def _is_held(review: Checked, control: Protect, what: Aggregate) -> bool:
    """True if a sum that a statistic is made of is held against rules on single contributions."""
    if control.dominance is None or review.query is None:
        return False
    held = {control.moments[number].name for number, _ in control.dominance.held}
    return any(moment.name in held for moment in moments_of(what, review.query, review.spec))


def _rounding(review: Checked, column: Noisy) -> str:
    """What each row's value is rounded to before the join, in the column's own unit."""
    if review.plan is None:
        return "-"
    tables = [review.spec.dataset(s.dataset) for s in review.plan.steps if isinstance(s, Read)]
    words = []
    for factor, table in zip(column.moment.factors, tables, strict=False):  # one is of no table
        if factor.unit > 1:
            of = [table.columns[name] for name in factor.values]
            step = about(Fraction(factor.unit, prod(10**each.places for each in of)))
            unit = f" {of[0].unit}" if len(of) == 1 and of[0].unit else ""
            words.append(f"{'*'.join(factor.values)} to {step}{unit}")
    return ", ".join(words) or "-"


def _price(review: Checked) -> Block | None:
    spec = review.spec
    if not review.verdict.losses:
        return None
    release, helper = budget.release_loss(spec), budget.helper_loss(spec)
    if release.rho:
        return _price_in_rho(review)
    rows = []
    for dataset, loss in review.verdict.losses.items():
        every = loss * spec.validity.max_runs
        rows.append(
            (
                dataset,
                budget.exact(release.epsilon),
                budget.exact(helper.epsilon),
                budget.exact(loss.epsilon),
                budget.exact(loss.delta) if loss.delta else "0",
                budget.exact(every.epsilon),
            )
        )
    runs = spec.validity.max_runs
    if pool_of(review) is not None:
        return Grid(
            "What it costs the privacy budget of each table: epsilon for the table.",
            ("Table", "One run", f"All {runs} run{'s' if runs > 1 else ''}"),
            tuple((name, one, every) for name, _, _, one, _, every in rows),
            numbers=frozenset({1, 2}),
        )
    return Grid(
        "What it costs the privacy budget of each table: epsilon for the table, and for the helper's count.",
        ("Table", "Release", "Helper's count", "One run", "Delta", f"All {runs} run{'s' if runs > 1 else ''}"),
        tuple(rows),
        numbers=frozenset({1, 2, 3, 4, 5}),
    )


def _price_in_rho(review: Checked) -> Block:
    """The same of noise that is stated in rho, which is also read as an epsilon."""
    spec, runs = review.spec, review.spec.validity.max_runs
    helper, delta = budget.helper_loss(spec), budget.read_at(spec)
    every = f"All {runs} run{'s' if runs > 1 else ''}"
    head = ("Table", "One run: rho", "Helper's count: epsilon", "Read as epsilon", "at delta")
    rows = [
        (
            dataset,
            budget.exact(loss.rho),
            budget.exact(helper.epsilon),
            budget.bounded(budget.read(loss, spec), up=True),
            budget.exact(loss.delta + delta),
            budget.exact((loss * runs).rho),
            budget.bounded(budget.read(loss * runs, spec), up=True),
        )
        for dataset, loss in review.verdict.losses.items()
    ]
    keep = [at for at in range(7) if at != 2 or helper.epsilon]
    whole = (*head, f"{every}: rho", f"{every}, read as epsilon")
    return Grid(
        "What it costs the privacy budget of each table: rho (zero-concentrated differential privacy)"
        + (", and epsilon for the helper's count" if helper.epsilon else "")
        + f". A rho is read as an epsilon at a delta of {budget.exact(delta)}, rounded up.",
        tuple(whole[at] for at in keep),
        tuple(tuple(row[at] for at in keep) for row in rows),
        numbers=frozenset(range(1, len(keep))),
    )
