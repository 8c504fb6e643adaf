"""A specification held against a party's policy: a finding for each thing that the policy does not allow.

Each is under a rule id that starts with ``policy.``. Floors of disclosure control are in floors.py, and how several
rules on one column compose is in columns.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pets.approve.columns import refusals, remedy, uses_of
from pets.approve.floors import below
from pets.approve.policy import AnyPolicy, Policy, UnsafeAllowAll
from pets.check.budget import exact, release_loss, run_loss
from pets.check.labels import Finding
from pets.spec.control import Control, effective, stated, strictest
from pets.spec.joins import protocol_of
from pets.spec.model import Spec, quantity
from pets.spec.pairing import Pairing
from pets.spec.pooled import Statement
from pets.spec.programmed import Programmed


def judge_policy(policy: AnyPolicy, spec: Spec, query: Statement | Pairing | Programmed) -> tuple[Finding, ...]:
    """Hold a specification against a party's policy. One finding for each thing that the policy does not allow."""
    if isinstance(policy, UnsafeAllowAll):
        text = f"{policy.party} runs under UnsafeAllowAll: its policy refuses nothing"
        return (Finding("policy.unsafe", "warning", f"party.{policy.party}", text, "write a policy.toml"),)
    found: list[Finding] = []
    for rule in _RULES:
        found += rule(policy, spec, query)
    return tuple(found)


def _error(rule: str, path: str, message: str, hint: str) -> Finding:
    return Finding(f"policy.{rule}", "error", path, message, hint)


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
    local = (str(policy.party),) if policy.limits.appetite == "local" and policy.own(spec) else ()
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
    for name in policy.own(spec):
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
    own = [losses[name] for name in policy.own(spec)] or [release_loss(spec)]
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
    for name in policy.own(spec):
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
    for name in policy.own(spec):
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
        if dataset.says_fewer_holders and not policy.limits.trust_max_holders_per_person:
            message = f"nobody can check that a person of {dataset.name} is at no more than {dataset.most_holders} of "
            message += f"{len(dataset.parties)} holders, and {policy.party} does not take it on trust"
            hint = f"leave it out, or ask {policy.party} to write trust_max_holders_per_person = true in its policy"
            yield _error("holders-per-person", f"dataset.{dataset.name}.max_holders_per_person", message, hint)


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


_RULES: Final = (
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
