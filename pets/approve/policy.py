"""A party's own policy: who approves for it, and floors that no specification can lower.

``parse_policy`` reads policy.toml; ``judge_policy`` holds a specification against it and returns findings, each under a
rule id that starts with ``policy.``. Empty means no: an empty list of recipients allows no recipient, a column of this
party that the policy does not list may not be touched, a column with an empty list of rules neither. Several rules on
one column compose: only what every one of them allows is allowed.

The only way around is called ``UnsafeAllowAll``, for experiments in one process; it warns, and no file can say it.
"""

import datetime as dt
import tomllib
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from pets.approve.envelope import public_bytes
from pets.check.budget import Loss, exact, release_loss, run_loss
from pets.check.labels import Finding
from pets.check.legal import why_not_lowered
from pets.check.rules import JOINS
from pets.errors import ConfigError
from pets.spec.model import Model, Name, PartyName, Quantity, San, Spec, Text, frozen, quantity
from pets.spec.predicate import columns_of
from pets.spec.query import Aggregate, ColumnRef, Query, Statistic
from pets.spec.write import tables


def _key(text: str) -> str:
    try:
        public_bytes(text)
    except ConfigError as error:
        raise ValueError(str(error.fields["problem"])) from None
    return text


KeyText = Annotated[str, AfterValidator(_key)]


class Use(StrEnum):
    """What a query can do with a column."""

    JOIN = "join"
    FILTER = "filter"
    GROUP = "group by"
    COUNT_PEOPLE = "count people"
    COUNT = "count"
    SUM = "sum"
    MEAN = "average"
    SPREAD = "variance"
    RELATION = "relation"


_ALL: Final = frozenset(Use)
Rule = Literal[
    "any use",
    "join key",
    "filter only",
    "never output",
    "no group by",
    "no filter",
    "no relation",
    "only count",
    "only sums",
]
RULES: Final[Mapping[str, frozenset[Use]]] = {
    "any use": _ALL,
    "join key": frozenset({Use.JOIN, Use.COUNT_PEOPLE}),
    "filter only": frozenset({Use.FILTER}),
    "never output": frozenset({Use.JOIN, Use.FILTER, Use.COUNT_PEOPLE}),
    "no group by": _ALL - {Use.GROUP},
    "no filter": _ALL - {Use.FILTER},
    "no relation": _ALL - {Use.RELATION},
    "only count": frozenset({Use.COUNT, Use.COUNT_PEOPLE}),
    "only sums": frozenset({Use.COUNT, Use.SUM, Use.MEAN}),
}
"""What each column rule leaves allowed. Rules on one column are intersected, so adding one never allows more."""

_STATISTIC_USE: Final[Mapping[Statistic, Use]] = {
    Statistic.COUNT_ROWS: Use.COUNT,
    Statistic.COUNT_VALUES: Use.COUNT,
    Statistic.COUNT_PEOPLE: Use.COUNT_PEOPLE,
    Statistic.SUM: Use.SUM,
    Statistic.AVG: Use.MEAN,
    Statistic.VAR_SAMP: Use.SPREAD,
    Statistic.VAR_POP: Use.SPREAD,
    Statistic.STDDEV_SAMP: Use.SPREAD,
    Statistic.STDDEV_POP: Use.SPREAD,
    Statistic.CORR: Use.RELATION,
    Statistic.COVAR_SAMP: Use.RELATION,
    Statistic.COVAR_POP: Use.RELATION,
    Statistic.REGR_SLOPE: Use.RELATION,
    Statistic.REGR_INTERCEPT: Use.RELATION,
}


class Approver(Model):
    """A person who may approve. One person may have several keys (an entry each): they count once."""

    name: Text
    role: Text
    key: KeyText
    organisation: Text


class Approval(Model):
    """k of n: how many persons, of how many roles and organisations, and who.

    ``required_roles``: each must be among those who sign. ``exclude_author``: an approver who is the author by name
    does not count; the key that signed the submission never counts, whatever is written here.
    """

    k: Annotated[int, Field(ge=1, le=100)]
    approvers: tuple[Approver, ...] = Field(min_length=1)
    min_roles: Annotated[int, Field(ge=1, le=100)] = 1
    min_organisations: Annotated[int, Field(ge=1, le=100)] = 1
    required_roles: tuple[Text, ...] = ()
    exclude_author: bool = True

    @property
    def keys(self) -> dict[str, bytes]:
        """Public keys by a name of their own: one person may have several."""
        return {
            f"{approver.name} {number}": public_bytes(approver.key) for number, approver in enumerate(self.approvers)
        }

    def holder(self, public: bytes) -> Approver | None:
        """Who holds a key."""
        return next((each for each in self.approvers if public_bytes(each.key) == public), None)

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if len({approver.key for approver in self.approvers}) != len(self.approvers):
            raise ValueError("approvers: one key is listed twice; a key has one holder")
        people: dict[str, Approver] = {}
        for approver in self.approvers:
            known = people.setdefault(person(approver.name), approver)
            if (known.role, known.organisation) != (approver.role, approver.organisation):
                raise ValueError(f"approvers: {approver.name} is listed with two roles or organisations")
        if len(people) < self.k:
            raise ValueError(f"k: {self.k} approvals are needed of {len(people)} persons")
        if len({each.role for each in people.values()}) < self.min_roles:
            raise ValueError("min_roles: the approvers have fewer roles")
        if len({each.organisation for each in people.values()}) < self.min_organisations:
            raise ValueError("min_organisations: the approvers have fewer organisations")
        for role in self.required_roles:
            if role not in {each.role for each in people.values()}:
                raise ValueError(f"required_roles: no approver is {role}")
        return self


class Limits(Model):
    """Caps and allow-lists. An empty list allows nothing."""

    max_epsilon_per_run: Quantity
    max_epsilon_per_dataset: Quantity
    max_delta: Quantity
    period: Literal["day", "month", "year"]
    recipients: tuple[San, ...] = ()
    purposes: tuple[Text, ...] = ()
    protocols: tuple[Name, ...] = ()
    adversaries: tuple[Literal["semi-honest", "malicious"], ...] = ()
    min_max_rows: Annotated[int, Field(ge=1)] = 1
    """Least declared size of a table: a small declared maximum would tell others that the table is small."""
    max_runs: Annotated[int, Field(ge=1)] = 1_000_000
    max_days: Annotated[int, Field(ge=1)] = 366 * 10
    """Longest time from not_before to not_after of a specification."""

    def since(self, now: dt.date) -> dt.date:
        """The first day of the period that ``now`` is in: what was spent before does not count."""
        starts = {"day": now, "month": now.replace(day=1), "year": now.replace(month=1, day=1)}
        return starts[self.period]

    @property
    def cap(self) -> Loss:
        """The most that may be spent of one dataset in one period."""
        return Loss(quantity(self.max_epsilon_per_dataset), quantity(self.max_delta))


class Policy(Model):
    """policy.toml. ``columns``: rules by dataset and column, for the datasets that this party holds."""

    party: PartyName
    approval: Approval
    limits: Limits
    columns: dict[Name, dict[Name, tuple[Rule, ...]]] = Field(default_factory=dict)
    lint: dict[Text, Literal["warning", "note"]] = Field(default_factory=dict)
    """Legal rules that this party takes less seriously, by id; for itself alone."""

    @model_validator(mode="after")
    def _lowers_what_may_be(self) -> Self:
        for rule, severity in self.lint.items():
            if why := why_not_lowered(rule, severity):
                raise ValueError(f"lint.{rule}: {why}")
        return self


@dataclass(frozen=True, slots=True)
class UnsafeAllowAll:
    """No limits at all: any recipient, purpose, column and loss. Approvals are still counted. Warns when made."""

    party: str
    approval: Approval

    def __post_init__(self) -> None:
        warnings.warn(f"UnsafeAllowAll: {self.party} refuses nothing by policy", UnsafePolicyWarning, stacklevel=3)


class UnsafePolicyWarning(UserWarning):
    """Someone works under a policy that refuses nothing."""


AnyPolicy = Policy | UnsafeAllowAll


def person(name: str) -> str:
    """The name as it is compared: case, accents' encoding and spacing do not make two persons of one."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def parse_policy(text: str, *, file: str = "policy.toml") -> Policy:
    """Read policy.toml. Raises ConfigError ``config.policy`` that names the path of what is wrong."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config.policy", file=file, path="TOML", problem=str(error)) from None
    try:
        return Policy.model_validate(frozen(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "policy"
        raise ConfigError("config.policy", file=file, path=path, problem=_plain(first["msg"])) from None


def permitting(spec: Spec, party: str, approvers: Iterable[Approver], *, k: int = 1) -> Policy:
    """A policy that permits what one specification asks of a party, with a budget that will not run out.

    For experiments, where one person plays everybody: a real policy is written by the organisation, before it is asked.
    """
    return Policy(
        party=party,
        approval=Approval(k=k, approvers=tuple(approvers)),
        limits=Limits(
            max_epsilon_per_run="1000000",
            max_epsilon_per_dataset="1000000",
            max_delta="1/2",
            period="year",
            recipients=tuple(spec.party(name).san for name in spec.release.to),
            purposes=spec.purpose.dpv,
            protocols=JOINS,
            adversaries=("semi-honest",),
        ),
        columns={
            dataset.name: {
                name: ("join key",) if column.role == "person id" else ("any use",)
                for name, column in dataset.columns.items()
            }
            for dataset in spec.datasets
            if dataset.party == party
        },
    )


def policy_toml(policy: Policy) -> str:
    """TOML of a policy; ``parse_policy(policy_toml(policy))`` equals it."""
    return tables(policy.model_dump(mode="python", exclude_defaults=True))


def refuse_unsafe(policy: AnyPolicy) -> Policy:
    """The policy, if it is one that a server may run under. Raises ConfigError ``config.unsafe-policy``."""
    if isinstance(policy, UnsafeAllowAll):
        raise ConfigError("config.unsafe-policy", party=policy.party)
    return policy


def judge_policy(policy: AnyPolicy, spec: Spec, query: Query) -> tuple[Finding, ...]:
    """Hold a specification against a party's policy. One finding for each thing that the policy does not allow."""
    if isinstance(policy, UnsafeAllowAll):
        text = f"{policy.party} runs under UnsafeAllowAll: its policy refuses nothing"
        return (Finding("policy.unsafe", "warning", f"party.{policy.party}", text, "write a policy.toml"),)
    found: list[Finding] = []
    for rule in _POLICY_RULES:
        found += rule(policy, spec, query)
    return tuple(found)


def _error(rule: str, path: str, message: str, hint: str) -> Finding:
    return Finding(f"policy.{rule}", "error", path, message, hint)


def _own(policy: Policy, spec: Spec) -> list[str]:
    return [dataset.name for dataset in spec.datasets if dataset.party == policy.party]


def _noise(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    """Limits on epsilon mean nothing for a release without noise."""
    if spec.release.differential_privacy is None:
        message = f"{policy.party} releases under differential privacy only"
        yield _error("no-noise", "release.differential_privacy", message, "add [release.differential_privacy]")


def _epsilon_per_run(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    """A computing party without records holds the release itself to its limit."""
    cap = quantity(policy.limits.max_epsilon_per_run)
    losses = run_loss(spec)
    own = [losses[name] for name in _own(policy, spec)] or [release_loss(spec)]
    asked = max(loss.epsilon for loss in own)
    if asked > cap:
        message = f"one run costs epsilon {exact(asked)}, {policy.party} allows {exact(cap)}"
        yield _error("epsilon-per-run", "release.differential_privacy.epsilon", message, "lower epsilon")


def _spend_per_period(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    """One run above the cap is refused here; later runs are refused by the ledger when the cap is reached."""
    cap, period = policy.limits.cap, policy.limits.period
    for name in _own(policy, spec):
        loss, runs = run_loss(spec)[name], spec.validity.max_runs
        if loss.epsilon > cap.epsilon:
            message = f"one run costs {name} epsilon {exact(loss.epsilon)}, a {period} allows {exact(cap.epsilon)}"
            yield _error("epsilon-per-dataset", "release.differential_privacy.epsilon", message, "lower epsilon")
        elif loss.epsilon * runs > cap.epsilon:
            fit = int(cap.epsilon / loss.epsilon)
            message = f"{policy.party}'s cap for {name} lets {fit} of {runs} runs pass in one {period}"
            hint = "spread the runs, or lower epsilon or max_runs"
            yield Finding("policy.epsilon-per-dataset", "warning", "validity.max_runs", message, hint)
        if loss.delta > cap.delta:
            message = f"one run costs {name} delta {exact(loss.delta)}, a {period} allows {exact(cap.delta)}"
            yield _error("delta", "security.leakage", message, "lower delta")


def _recipients(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    for name in spec.release.to:
        san = spec.party(name).san
        if san not in policy.limits.recipients:
            message = f"{policy.party} allows no release to {name} ({san})"
            yield _error("recipient", "release.to", message, "release to a recipient of the policy")


def _purposes(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    for term in spec.purpose.dpv:
        if term not in policy.limits.purposes:
            message = f"{policy.party} does not allow the purpose {term}"
            yield _error("purpose", "purpose.dpv", message, "state a purpose of the policy, if it is true")


def _protocol(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    """A protocol left to the planner is not one that the policy names."""
    if spec.security.protocol not in policy.limits.protocols:
        what = spec.security.protocol or "a protocol of the planner's choice"
        message = f"{policy.party} does not take part in {what}"
        yield _error("protocol", "security.protocol", message, "name a protocol of the policy")


def _adversary(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    if spec.security.adversary not in policy.limits.adversaries:
        message = f"{policy.party} does not accept the {spec.security.adversary} model"
        yield _error("adversary", "security.adversary", message, "ask for protection against a stronger adversary")


def _max_rows(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    for name in _own(policy, spec):
        if spec.dataset(name).max_rows < policy.limits.min_max_rows:
            message = f"the declared size of {name} is below {policy.limits.min_max_rows}, the floor of {policy.party}"
            yield _error("max-rows", f"dataset.{name}.max_rows", message, "declare a larger max_rows")


def _runs(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    if spec.validity.max_runs > policy.limits.max_runs:
        message = f"{spec.validity.max_runs} runs, {policy.party} allows {policy.limits.max_runs}"
        yield _error("max-runs", "validity.max_runs", message, "lower max_runs")


def _days(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    days = (spec.validity.not_after - spec.validity.not_before).days + 1
    if days > policy.limits.max_days:
        message = f"valid for {days} days, {policy.party} allows {policy.limits.max_days}"
        yield _error("max-days", "validity.not_after", message, "end it earlier")


def _columns(policy: Policy, spec: Spec, query: Query) -> Iterator[Finding]:
    for column, uses in sorted(uses_of(query, spec).items()):
        if spec.dataset(column.dataset).party != policy.party:
            continue
        rules = policy.columns.get(column.dataset, {}).get(column.column)
        path = f"dataset.{column.dataset}.columns.{column.column}"
        if rules is None:
            message = f"{policy.party}'s policy has no rule for {column}, which means no"
            yield _error("column-not-listed", path, message, "leave the column out, or ask for a rule")
            continue
        for use in sorted(uses - allowed(rules)):
            reason = " and ".join(f'"{rule}"' for rule in rules if use not in RULES[rule]) or "an empty list of rules"
            message = f"{policy.party} does not allow {column} for {use}: {reason}"
            yield _error("column", path, message, "leave this use out")


_POLICY_RULES: Final = (
    _noise,
    _epsilon_per_run,
    _spend_per_period,
    _recipients,
    _purposes,
    _protocol,
    _adversary,
    _max_rows,
    _runs,
    _days,
    _columns,
)


def allowed(rules: tuple[Rule, ...]) -> frozenset[Use]:
    """What a column may be used for under all its rules together; nothing under none."""
    if not rules:
        return frozenset()
    return frozenset.intersection(*(RULES[rule] for rule in rules))


def uses_of(query: Query, spec: Spec) -> dict[ColumnRef, set[Use]]:
    """Every column that a query touches, and what it does with it."""
    uses: dict[ColumnRef, set[Use]] = {}

    def note(column: ColumnRef, use: Use) -> None:
        uses.setdefault(column, set()).add(use)

    for dataset, where in ((query.left, query.where_left), (query.right, query.where_right)):
        note(ColumnRef(dataset, spec.dataset(dataset).key), Use.JOIN)
        for name in columns_of(where) if where is not None else ():
            note(ColumnRef(dataset, name), Use.FILTER)
    for column in query.group_by:
        note(column, Use.GROUP)
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            for column in output.what.columns:
                note(column, _STATISTIC_USE[output.what.statistic])
        else:
            note(output.what, Use.GROUP)
    return uses


def _plain(message: str) -> str:
    """A message of pydantic in our form: no capital, no prefix."""
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
