"""A party's own policy: who approves for it, and floors that no specification can lower.

``parse_policy`` reads policy.toml; judgement.py holds a specification against it. Empty means no: an empty list of
recipients allows no recipient, a column of this party that the policy does not list may not be touched, a column with
an empty list of rules neither. Every field only narrows: of two floors or caps the stricter one counts.

The only way around is called ``UnsafeAllowAll``, for experiments in one process; it warns, and no file can say it.
"""

import datetime as dt
import tomllib
import unicodedata
import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from pets.approve.columns import NAMED, WRITTEN, Rule
from pets.approve.envelope import public_bytes
from pets.check.budget import Loss
from pets.check.differencing import Large, Period, Terms
from pets.check.legal import why_not_lowered
from pets.errors import ConfigError
from pets.spec.control import stated, strictest
from pets.spec.model import Knobs, Model, Name, PartyName, Quantity, San, Spec, Text, frozen, quantity
from pets.spec.periods import span
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

    def own(self, spec: Spec) -> tuple[str, ...]:
        """The datasets of a specification that this party holds, or a part of."""
        return tuple(dataset.name for dataset in spec.datasets if self.party in dataset.parties)

    def terms(self, spec: Spec) -> Terms:
        """This party's terms for releases that could be combined with past ones: its strictest minimum count."""
        floors = [self.constraints[name].min_persons for name in self.own(spec) if name in self.constraints]
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


def policy_toml(policy: Policy) -> str:
    """TOML of a policy; ``parse_policy(policy_toml(policy))`` equals it."""
    return tables(policy.model_dump(mode="python", exclude_defaults=True))


def refuse_unsafe(policy: AnyPolicy) -> Policy:
    """The policy, if it is one that a server may run under. Raises ConfigError ``config.unsafe-policy``."""
    if isinstance(policy, UnsafeAllowAll):
        raise ConfigError("config.unsafe-policy", party=policy.party)
    return policy


def _plain(message: str) -> str:
    """A message of pydantic in our form: no capital, no prefix."""
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
