"""A policy made from a specification, to try it: it permits what the specification asks of a party, and no more."""

from collections.abc import Iterable

from pets.approve.columns import BY_NAME, RULES, ColumnRule, Rule, Use, uses_of
from pets.approve.policy import Approval, Approver, Limits, Policy
from pets.check.budget import release_loss
from pets.spec.joins import JOINS, PROGRAM, STAR
from pets.spec.model import Spec
from pets.spec.pairing import Pairing, is_pairing, pairing_of
from pets.spec.pooled import Statement, is_pooled
from pets.spec.pools import POOLS
from pets.spec.programmed import Programmed, is_program, programmed_of
from pets.spec.query import ColumnRef
from pets.spec.sql import bind
from pets.spec.ways import WAYS


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
            trust_max_holders_per_person=any(dataset.says_fewer_holders for dataset in spec.datasets),
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
