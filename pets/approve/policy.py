"""A party's own policy: who approves for it, and floors that no specification can lower.

``parse_policy`` reads policy.toml; ``judge_policy`` holds a specification against it and returns findings, each under a
rule id that starts with ``policy.``. Empty means no: an empty list of recipients allows no recipient, a column of this
party that the policy does not list may not be touched, a column with an empty list of rules neither. How several rules
on one column compose is in columns.py. Every field only narrows: of two floors or caps the stricter one counts.

The only way around is called ``UnsafeAllowAll``, for experiments in one process; it warns, and no file can say it.
"""

import datetime as dt
import tomllib
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from pets.approve.columns import BY_NAME, NAMED, RULES, WRITTEN, ColumnRule, Rule, Use, refusals, remedy, uses_of
from pets.approve.envelope import public_bytes
from pets.approve.floors import below
from pets.check.budget import Loss, exact, release_loss, run_loss
from pets.check.differencing import Large, Period, Terms
from pets.check.labels import Finding
from pets.check.legal import why_not_lowered
from pets.errors import ConfigError
from pets.spec.control import Control, effective, stated, strictest
from pets.spec.joins import JOINS, PROGRAM, STAR, protocol_of
from pets.spec.model import Dataset, Knobs, Model, Name, PartyName, Quantity, San, Spec, Text, frozen, quantity
from pets.spec.pairing import Pairing, is_pairing, pairing_of
from pets.spec.periods import span
from pets.spec.pooled import Statement, is_pooled
from pets.spec.pools import POOLS
from pets.spec.programmed import Programmed, is_program, programmed_of
from pets.spec.query import ColumnRef
from pets.spec.sql import bind
from pets.spec.ways import WAYS
from pets.spec.write import tables


def _key(text: str) -> str:
    try:
        public_bytes(text)
    except ConfigError as error:
        raise ValueError(str(error.fields["problem"])) from None
    return text


KeyText = Annotated[str, AfterValidator(_key)]


class Approver(Model):
    """A person who may approve. One person may have several keys (an entry each): they count once."""

    name: Text
    role: Text
    key: KeyText
    organisation: Text


class Approval(Model):
    """k of n: how many persons, of how many roles and organisations, and who.

    ``required_roles``: each must be among those who sign. ``exclude_author``: an approver who is the author by name
    does not count; the key that signed the submission never counts, whatever is written here. ``reuse``: approvals
    also cover a specification that is equal to the signed one or narrower (approve/cover.py); without it, none does.
    """

    k: Annotated[int, Field(ge=1, le=100)]
    approvers: tuple[Approver, ...] = Field(min_length=1)
    min_roles: Annotated[int, Field(ge=1, le=100)] = 1
    min_organisations: Annotated[int, Field(ge=1, le=100)] = 1
    required_roles: tuple[Text, ...] = ()
    exclude_author: bool = True
    reuse: bool = True

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


class Limits(Knobs):
    """Caps and allow-lists; an empty list allows nothing. Floors of disclosure control, as specifications write them.

    The floors hold for every release without noise; a policy without a minimum among them allows no such release.
    """

    max_epsilon_per_run: Quantity
    max_rho_per_run: Quantity | None = None
    """The same of noise that is stated in rho. A policy that does not say it allows no such release."""
    max_epsilon_per_dataset: Quantity | None = None
    max_rho_per_dataset: Quantity | None = None
    """A cap in zero-concentrated differential privacy, in the place of the one in epsilon."""
    rho_at_delta: Quantity | None = None
    """The delta at which a cap in rho is also told as an epsilon."""
    max_delta: Quantity
    period: Literal["day", "month", "quarter", "year", "none"]
    """In which the caps hold; with ``none`` they hold for all time."""
    recipients: tuple[San, ...] = ()
    purposes: tuple[Text, ...] = ()
    protocols: tuple[Name, ...] = ()
    programs: tuple[Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,31}|[0-9a-f]{64})$")], ...] = ()
    """Programs for MPyC that may run: of those that come along by name, of any by the SHA-256 of its text."""
    adversaries: tuple[Literal["semi-honest", "malicious"], ...] = ()
    min_max_rows: Annotated[int, Field(ge=1)] = 1
    """Least declared size of a table: a small declared maximum would tell others that the table is small."""
    max_runs: Annotated[int, Field(ge=1)] = 1_000_000
    max_days: Annotated[int, Field(ge=1)] = 366 * 10
    """Longest time from not_before to not_after of a specification."""
    least_contributors: Annotated[int, Field(ge=2, le=10_000)] = 2
    """Of sums over one table of many holders: the smallest ``min_contributors`` of a specification."""
    max_upload_minutes: Annotated[int, Field(ge=1, le=44_640)] = 44_640
    """Of the same: the longest ``upload_minutes``."""
    trust_max_holders_per_person: bool = False
    """Whether a specification may say that a person is at fewer holders than there are: no party can check it."""
    appetite: Literal["local", "joint"] | None = None
    """``local``: in every cell this party's own people reach the minimum, not only those of all holders together."""

    @property
    def least(self) -> int | None:
        """The least number of people in a released cell; None if there is no release without noise."""
        return strictest(stated(self)).min_count if self.says_a_minimum else None

    @model_validator(mode="after")
    def _one_cap(self) -> Self:
        if (self.max_epsilon_per_dataset is None) == (self.max_rho_per_dataset is None):
            raise ValueError("write max_epsilon_per_dataset or max_rho_per_dataset: a dataset has one cap")
        if (self.max_rho_per_dataset is None) != (self.rho_at_delta is None):
            raise ValueError("rho_at_delta is the delta at which max_rho_per_dataset is told as an epsilon: write both")
        if self.rho_at_delta is not None and quantity(self.rho_at_delta) >= 1:
            raise ValueError("rho_at_delta is below one")
        return self

    def since(self, now: dt.date) -> dt.date:
        """The first day of the period that ``now`` is in: what was spent before does not count."""
        return dt.date.min if self.period == "none" else span(self.period, now).first

    def returns(self, now: dt.date) -> dt.date | None:
        """The first day of the next period, on which all of the budget returns; None if there is none."""
        return None if self.period == "none" else span(self.period, now).after

    @property
    def cap(self) -> Loss:
        """The most that may be spent of one dataset in one period: epsilon or rho, and delta."""
        if self.max_rho_per_dataset is not None:
            return Loss(delta=quantity(self.max_delta), rho=quantity(self.max_rho_per_dataset))
        assert self.max_epsilon_per_dataset is not None
        return Loss(quantity(self.max_epsilon_per_dataset), quantity(self.max_delta))

    @property
    def told_at(self) -> Fraction | None:
        """Of a cap in rho, the delta at which it is told as an epsilon."""
        return None if self.rho_at_delta is None else quantity(self.rho_at_delta)


class Constraint(Model):
    """What every release about one dataset has to keep.

    ``min_persons``: each released group has at least so many people, whoever else agrees to fewer. Noise hides a person
    and makes no group larger, so a release with noise alone does not keep it, unless ``noise_is_enough``.
    """

    min_persons: Annotated[int, Field(ge=1)]
    noise_is_enough: bool = False


class LargeCells(Model):
    """This party's word that each combination of values of ``columns`` ("dataset.column") has so many people or more.

    Counted are those people that a join of this party's records may match: write what still holds after the join.
    """

    columns: Annotated[tuple[Text, ...], Field(min_length=1)]
    persons: Annotated[int, Field(ge=1)]


class Differencing(Model):
    """What happens to a release that could be combined with past ones (check/differencing.py).

    ``joiners``: records that are renewed no faster change by the minimum of people in every cell. Without it every new
    version of the records makes an exact release about the same people suspicious.
    """

    on_suspicion: Literal["route", "refuse"] = "route"
    large: tuple[LargeCells, ...] = ()
    joiners: Period | None = None


DEFAULT_MINIMUM: Final = 10
"""Least number of people where nobody says another one (threats A13)."""


class Policy(Model):
    """policy.toml. ``columns``, ``constraints``: by dataset and column, for the datasets that this party holds."""

    party: PartyName
    approval: Approval
    limits: Limits
    columns: dict[Name, dict[Name, tuple[Rule, ...]]] = Field(default_factory=dict)
    constraints: dict[Name, Constraint] = Field(default_factory=dict)
    differencing: Differencing = Field(default_factory=Differencing)
    lint: dict[Text, Literal["warning", "note"]] = Field(default_factory=dict)
    """Legal rules that this party takes less seriously, by id; for itself alone."""

    @model_validator(mode="after")
    def _lowers_what_may_be(self) -> Self:
        for rule, severity in self.lint.items():
            if why := why_not_lowered(rule, severity):
                raise ValueError(f"lint.{rule}: {why}")
        return self

    def terms(self, spec: Spec) -> Terms:
        """This party's terms for releases that could be combined with past ones: its strictest minimum count."""
        floors = [self.constraints[name].min_persons for name in _own(self, spec) if name in self.constraints]
        floors += [self.limits.least] if self.limits.least is not None else []
        return Terms(
            holder=self.party,
            minimum=max(floors, default=DEFAULT_MINIMUM),
            large=tuple(Large(frozenset(each.columns), each.persons) for each in self.differencing.large),
            joiners=self.differencing.joiners,
        )


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
        path = ".".join(str(part) for part in first["loc"] if part not in (NAMED, WRITTEN)) or "policy"
        raise ConfigError("config.policy", file=file, path=path, problem=_plain(first["msg"])) from None


def permitting(spec: Spec, party: str, approvers: Iterable[Approver], *, k: int = 1) -> Policy:
    """A policy that permits what one specification asks of a party, with a budget that will not run out.

    For experiments, where one person plays everybody: a real policy is written by the organisation, before it is asked.
    What shows one person's value, and a logistic model, is permitted where the specification asks for it, by name.
    """
    concentrated = release_loss(spec).rho > 0
    exact = spec.release.disclosure_control is not None or is_pairing(spec) or is_program(spec)
    shown = _by_name(spec) if exact or is_pooled(spec) else {}
    program = programmed_of(spec) if is_program(spec) else None
    return Policy(
        party=party,
        approval=Approval(k=k, approvers=tuple(approvers)),
        limits=Limits(
            max_epsilon_per_run="1000000",
            max_rho_per_run="1000000" if concentrated else None,
            max_epsilon_per_dataset=None if concentrated else "1000000",
            max_rho_per_dataset="1000000" if concentrated else None,
            rho_at_delta="2^-40" if concentrated else None,
            max_delta="1/2",
            period="year",
            recipients=tuple(spec.party(name).san for name in spec.release.to),
            purposes=spec.purpose.dpv,
            protocols=_protocols(spec),
            programs=() if program is None else (program.source.sha256,),
            adversaries=("semi-honest", "malicious") if is_pairing(spec) else ("semi-honest",),
            trust_max_holders_per_person=any(_says_fewer_holders(dataset) for dataset in spec.datasets),
            min_count=1 if exact else None,
        ),
        columns={
            dataset.name: {
                name: ("join key",)
                if column.role == "person id" and ColumnRef(dataset.name, name) not in shown
                else shown.get(ColumnRef(dataset.name, name), ("any use",))
                for name, column in dataset.columns.items()
            }
            for dataset in spec.datasets
            if party in dataset.parties
        },
    )


def _protocols(spec: Spec) -> tuple[str, ...]:
    """Those that could run what a specification asks for."""
    if is_program(spec):
        return (PROGRAM,)
    return tuple(WAYS) if is_pairing(spec) else tuple(POOLS) if is_pooled(spec) else (*JOINS, STAR)


def _by_name(spec: Spec) -> dict[ColumnRef, tuple[Rule, ...]]:
    """For each column that is put to a use which has to be named: any other use, and what is asked for of these."""
    what: Statement | Pairing | Programmed
    what = pairing_of(spec) if is_pairing(spec) else programmed_of(spec) if is_program(spec) else bind(spec)
    asked = {column: BY_NAME & set(uses) for column, uses in uses_of(what, spec).items()}
    return {
        column: (ColumnRule(allow=tuple(use.value for use in Use if use in RULES["any use"] | extreme)),)
        for column, extreme in asked.items()
        if extreme
    }


def policy_toml(policy: Policy) -> str:
    """TOML of a policy; ``parse_policy(policy_toml(policy))`` equals it."""
    return tables(policy.model_dump(mode="python", exclude_defaults=True))


def refuse_unsafe(policy: AnyPolicy) -> Policy:
    """The policy, if it is one that a server may run under. Raises ConfigError ``config.unsafe-policy``."""
    if isinstance(policy, UnsafeAllowAll):
        raise ConfigError("config.unsafe-policy", party=policy.party)
    return policy


def judge_policy(policy: AnyPolicy, spec: Spec, query: Statement | Pairing | Programmed) -> tuple[Finding, ...]:
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
    return [dataset.name for dataset in spec.datasets if policy.party in dataset.parties]


def _noise(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """Limits on epsilon mean nothing for a release without noise: it has to keep the floors of disclosure control."""
    floor, control = policy.limits.least, effective(spec)
    if isinstance(query, Pairing):
        yield from _few(policy, query, control)
        return
    if isinstance(query, Programmed):
        return  # exact by nature: a program is allowed by name or digest, or not at all
    if spec.release.differential_privacy is not None:
        return
    if floor is None or control is None:
        only = "under differential privacy only" if floor is None else f"without noise from {floor} people on only"
        hint = "add [release.differential_privacy]"
        if floor is not None:
            hint += f", or [release.disclosure_control] with min_count = {floor}"
        yield _error("no-noise", "release.differential_privacy", f"{policy.party} releases {only}", hint)
        return
    local = (str(policy.party),) if policy.limits.appetite == "local" and _own(policy, spec) else ()
    asked = strictest([*stated(policy.limits), Control(1, "shown", local=local)])
    ordered = {str(ref) for what in query.ordered for ref in what.columns}
    asked = replace(asked, steps=tuple(each for each in asked.steps if each[0] in ordered))
    yield from below(asked, control, party=policy.party)


def _few(policy: Policy, pairing: Pairing, control: Control | None) -> Iterator[Finding]:
    """A number of persons may be few, unless nothing is opened then; a policy's floor holds for a protected number.

    Persons and exact numbers are for column rules, which allow them by name ("reveal", "exact count") or not at all.
    """
    least, floor = max(pairing.min_result, pairing.at_least), policy.limits.least
    if pairing.outcome == "sum" and control is not None:
        least = control.min_count
    if pairing.outcome == "intersection" or least <= 1:
        return
    if floor is None or least < floor:
        only = "no number without noise" if floor is None else f"numbers without noise from {floor} people on only"
        hint = f"raise it to {floor}" if floor is not None else f"ask {policy.party} for a floor in its policy"
        paths = {"threshold": "computation.at_least", "sum": "release.disclosure_control.min_count"}
        path = paths.get(pairing.outcome, "computation.min_result")
        yield _error("min-count", path, f"{policy.party} releases {only}, and {least} are enough here", hint)


def _min_persons(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """The constraint of a dataset holds for every release about it."""
    control, path = effective(spec), "release.disclosure_control.min_count"
    for name in _own(policy, spec):
        constraint = policy.constraints.get(name)
        if constraint is None or (spec.release.differential_privacy is not None and constraint.noise_is_enough):
            continue
        least = constraint.min_persons
        if isinstance(query, Pairing):
            held = control.min_count if control is not None and query.outcome == "sum" else 0
            if query.outcome == "intersection" or max(query.min_result, query.at_least, held) < least:
                message = f"{policy.party} releases groups of {name} with at least {least} people only"
                yield _error("min-persons", "computation.psi", message, f"ask for a table with min_count = {least}")
            continue
        if isinstance(query, Programmed):
            message = f"{policy.party} releases groups of {name} with at least {least} people only"
            hint = f"ask for a table with min_count = {least}: nothing holds a program to a least number"
            yield _error("min-persons", "computation", message, hint)
            continue
        if control is None or control.min_count < least:
            has = "nothing keeps small groups back" if control is None else f"min_count is {control.min_count}"
            message = f"{policy.party} releases groups of {name} with at least {least} people only, and {has}"
            change = "raise" if control is not None else "add [release.disclosure_control] and set"
            yield _error("min-persons", path, message, f"{change} min_count to {least}")


def _epsilon_per_run(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """A computing party without records holds the release itself to its limit."""
    cap = quantity(policy.limits.max_epsilon_per_run)
    losses = run_loss(spec)
    own = [losses[name] for name in _own(policy, spec)] or [release_loss(spec)]
    asked = max(loss.epsilon for loss in own)
    if asked > cap:
        message = f"one run costs epsilon {exact(asked)}, {policy.party} allows {exact(cap)}"
        yield _error("epsilon-per-run", "release.differential_privacy.epsilon", message, "lower epsilon")


def _rho_per_run(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """Noise that is stated in rho is for those who have said how much: an epsilon of a policy says nothing of it."""
    asked, path = release_loss(spec).rho, "release.differential_privacy.rho"
    most = policy.limits.max_rho_per_run
    if asked and most is None:
        message = f"{policy.party}'s policy has no max_rho_per_run, so it allows no noise that is stated in rho"
        hint = f'write mechanism = "discrete laplace" and an epsilon, or ask {policy.party} to state what it allows'
        yield _error("rho-per-run", path, message, hint)
    elif most is not None and asked > quantity(most):
        message = f"one run costs rho {exact(asked)}, {policy.party} allows {exact(quantity(most))}"
        yield _error("rho-per-run", path, message, "lower rho")


def _spend_per_period(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """One run above the cap is refused here; later runs are refused by the ledger when the cap is reached."""
    cap, period = policy.limits.cap, policy.limits.period
    a = "the policy" if period == "none" else f"a {period}"
    for name in _own(policy, spec):
        loss, runs = run_loss(spec)[name], spec.validity.max_runs
        if policy.limits.told_at is not None:
            pass  # what epsilon is as rho is for the accountant to say: party/account.py
        elif loss.rho:
            message = f"one run costs {name} rho {exact(loss.rho)}, and {policy.party}'s cap is in epsilon, which has "
            message += "no room for it"
            hint = (
                f"ask {policy.party} to state its cap as max_rho_per_dataset, or write an epsilon in the place of rho"
            )
            yield _error("rho-per-dataset", "release.differential_privacy.rho", message, hint)
        elif loss.epsilon > cap.epsilon:
            message = f"one run costs {name} epsilon {exact(loss.epsilon)}, {a} allows {exact(cap.epsilon)}"
            yield _error("epsilon-per-dataset", "release.differential_privacy.epsilon", message, "lower epsilon")
        elif loss.epsilon * runs > cap.epsilon:
            yield few_runs(policy, name, int(cap.epsilon / loss.epsilon), runs)
        if loss.delta > cap.delta:
            message = f"one run costs {name} delta {exact(loss.delta)}, {a} allows {exact(cap.delta)}"
            yield _error("delta", "security.leakage", message, "lower delta")


def few_runs(policy: Policy, dataset: str, fit: int, runs: int) -> Finding:
    """The warning that a cap has room for some of the runs of a specification."""
    once = "" if policy.limits.period == "none" else f" in one {policy.limits.period}"
    message = f"{policy.party}'s cap for {dataset} lets {fit} of {runs} runs pass{once}"
    hint = "spread the runs, or lower what a run costs or max_runs"
    return Finding("policy.epsilon-per-dataset", "warning", "validity.max_runs", message, hint)


def _recipients(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    for name in spec.release.to:
        san = spec.party(name).san
        if san not in policy.limits.recipients:
            message = f"{policy.party} allows no release to {name} ({san})"
            yield _error("recipient", "release.to", message, "release to a recipient of the policy")


def _purposes(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    for term in spec.purpose.dpv:
        if term not in policy.limits.purposes:
            message = f"{policy.party} does not allow the purpose {term}"
            yield _error("purpose", "purpose.dpv", message, "state a purpose of the policy, if it is true")


def _protocol(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """The protocol that would run, named or left to the planner, is one that the policy names."""
    if (named := protocol_of(spec)) not in policy.limits.protocols:
        message = f"{policy.party} does not take part in {named}"
        known = " or ".join(f'protocol = "{one}"' for one in policy.limits.protocols)
        hint = f"write {known} under [security]" if known else f"ask {policy.party} to allow a protocol in its policy"
        yield _error("protocol", "security.protocol", message, hint)


def _program(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """A program is one that the policy names, or whose very text it names by its digest; an empty list names none.

    A name stands for the text that comes with this party's own installation, and for no other.
    """
    if not isinstance(query, Programmed):
        return
    names = {query.source.sha256, *(() if query.declared is None else (query.name,))}
    if not names & set(policy.limits.programs):
        what = "a program of the author's own" if query.declared is None else query.name
        message = f"{policy.party} does not run {what} (SHA-256 {query.source.sha256})"
        known = ", ".join(policy.limits.programs)
        hint = f"ask {policy.party} to name it in its policy, after reading it"
        yield _error("program", "computation", message, f"{hint}; it runs {known}" if known else hint)


def _adversary(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    if spec.security.adversary not in policy.limits.adversaries:
        message = f"{policy.party} does not accept the {spec.security.adversary} model"
        yield _error("adversary", "security.adversary", message, "ask for protection against a stronger adversary")


def _max_rows(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    for name in _own(policy, spec):
        if spec.dataset(name).rows_of(policy.party) < policy.limits.min_max_rows:
            message = f"the declared size of {name} is below {policy.limits.min_max_rows}, the floor of {policy.party}"
            yield _error("max-rows", f"dataset.{name}.max_rows", message, "declare a larger max_rows")


def _runs(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    if spec.validity.max_runs > policy.limits.max_runs:
        message = f"{spec.validity.max_runs} runs, {policy.party} allows {policy.limits.max_runs}"
        yield _error("max-runs", "validity.max_runs", message, "lower max_runs")


def _days(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    days = (spec.validity.not_after - spec.validity.not_before).days + 1
    if days > policy.limits.max_days:
        message = f"valid for {days} days, {policy.party} allows {policy.limits.max_days}"
        yield _error("max-days", "validity.not_after", message, "end it earlier")


def _contributors(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    asked, least = spec.computation.min_contributors, policy.limits.least_contributors
    if asked is not None and asked < least:
        message = f"sums over {asked} holders would be released, {policy.party} allows sums over {least} or more"
        few = any(len(dataset.parties) < least for dataset in spec.datasets)
        hint = f"ask more holders to take part, and raise it to {least}" if few else f"raise it to {least}"
        yield _error("least-contributors", "computation.min_contributors", message, hint)


def _upload_minutes(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    asked, most = spec.computation.upload_minutes, policy.limits.max_upload_minutes
    if asked is not None and asked > most:
        message = f"uploads are taken for {asked} minutes, {policy.party} allows {most}"
        yield _error("max-upload-minutes", "computation.upload_minutes", message, f"lower it to {most}")


def _holders_per_person(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    """Noise and minimum counts rest on it, and nobody can look: whoever is at more holders is protected less."""
    for dataset in spec.datasets:
        if _says_fewer_holders(dataset) and not policy.limits.trust_max_holders_per_person:
            message = f"nobody can check that a person of {dataset.name} is at no more than {dataset.most_holders} of "
            message += f"{len(dataset.parties)} holders, and {policy.party} does not take it on trust"
            hint = f"leave it out, or ask {policy.party} to write trust_max_holders_per_person = true in its policy"
            yield _error("holders-per-person", f"dataset.{dataset.name}.max_holders_per_person", message, hint)


def _says_fewer_holders(dataset: Dataset) -> bool:
    return dataset.most_holders < len(dataset.parties)


def _columns(policy: Policy, spec: Spec, query: Statement | Pairing | Programmed) -> Iterator[Finding]:
    for column, uses in sorted(uses_of(query, spec).items()):
        if policy.party not in spec.dataset(column.dataset).parties:
            continue
        rules = policy.columns.get(column.dataset, {}).get(column.column)
        path = f"dataset.{column.dataset}.columns.{column.column}"
        if rules is None:
            what = ", ".join(f"{use} ({uses[use]})" for use in sorted(uses))
            message = f"{policy.party}'s policy has no rule for {column}, which means no: {what}"
            yield _error("column-not-listed", path, message, f"leave {column} out, or ask {policy.party} for a rule")
            continue
        for refusal in refusals(rules, uses, spec):
            place = uses[refusal.use]
            reason = " and ".join(map(str, refusal.rules))
            if not reason and not rules:
                reason = "an empty list of rules"
            elif not reason:
                reason = f"no rule applies to a release to {refusal.recipient} for {refusal.purpose}"
            message = f"{policy.party} does not allow {column} for {refusal.use} ({place}): {reason}"
            yield _error("column", path, message, remedy(column, refusal, place, rules, policy.party))


_POLICY_RULES: Final = (
    _noise,
    _min_persons,
    _epsilon_per_run,
    _rho_per_run,
    _spend_per_period,
    _recipients,
    _purposes,
    _protocol,
    _program,
    _adversary,
    _max_rows,
    _runs,
    _days,
    _contributors,
    _upload_minutes,
    _holders_per_person,
    _columns,
)


def _plain(message: str) -> str:
    """A message of pydantic in our form: no capital, no prefix."""
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
