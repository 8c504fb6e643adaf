"""The legal linter: what the rules of the catalogue say of a specification, and whose policy makes a rule milder.

No rule has been signed by a person competent in data protection law of the United Kingdom. Until one is, it is shown as
unreviewed, refuses by default if it is an error, and a party may lower it for itself by id. Pure; no clock, no network.

``python -m pets.check.legal > docs/rules/legal.md`` writes the catalogue anew; a test holds the two together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal

from pets.check import duties, grounds, iris, patients, sharing
from pets.check.labels import Finding, Severity, Verdict
from pets.check.lint import RANK, RULES, LegalRule, drafted_of
from pets.spec.model import Spec

__all__ = ["RULES", "LegalRule", "Milder", "catalogue", "findings", "judged", "lowered", "why_not_lowered"]

Milder = Literal["warning", "note"]

_ENTERED: Final = (grounds, patients, duties, sharing)
"""Modules whose import enters the rules."""


def findings(spec: Spec) -> tuple[Finding, ...]:
    """Everything that the rules say of a specification, errors first, else in the order of ids."""
    drafted = drafted_of(spec)
    return _sorted(found for rule in _in_order() for found in rule.findings(spec, drafted))


def _in_order() -> tuple[LegalRule, ...]:
    return tuple(RULES[id] for id in sorted(RULES))


def judged(verdict: Verdict, spec: Spec) -> Verdict:
    """A verdict with what the legal rules say added: nothing is taken away, so a refusal stays one."""
    return replace(verdict, findings=_sorted((*verdict.findings, *findings(spec))))


def lowered(found: Iterable[Finding], by: Mapping[str, Severity], *, party: str) -> tuple[Finding, ...]:
    """The findings as one party sees them whose policy lowers rules. None is left out; a lowered one says so.

    ``by``: rule id to severity. Only findings of the legal rules change, and only to a milder severity.
    """
    return _sorted(_lower(each, by.get(each.rule), party) for each in found)


def _lower(found: Finding, to: Severity | None, party: str) -> Finding:
    if to is None or found.rule not in RULES or RANK[to] <= RANK[found.severity]:
        return found
    how = f"lowered from {found.severity} by the policy of {party}"
    return replace(found, severity=to, standing="; ".join(filter(None, (found.standing, how))))


def why_not_lowered(rule: str, to: Severity) -> str | None:
    """Why a policy may not say that ``rule`` is only ``to``; nothing if it may."""
    known = RULES.get(rule)
    if known is None:
        return f"{rule} is no legal rule; they are LL-01 to {max(RULES)}"
    if RANK[to] <= RANK[known.severity]:
        return f"{rule} is a {known.severity}; {to} is not milder"
    if known.severity == "error" and known.reviewed is not None:
        return f"{rule} is an error that {known.reviewed.by} signed on {known.reviewed.on}; it is not lowered"
    return None


def _sorted(found: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda each: RANK[each.severity]))


# -- the catalogue as a page ------------------------------------------------------------------------------------------

_HEAD: Final = """\
# Legal rules

What `pets lint` and every check say of the legal part of a specification. **This is not legal advice.** Of the {count}
rules, {signed} signed by a person competent in data protection law of the United Kingdom. Until a rule is, it is shown
as unreviewed, and refuses by default if it is an error. A party may then lower it for itself, by id, in its
policy.toml; nobody else is affected, and the finding is shown with the policy that did it:

```text
[lint]
LL-15 = "warning"
```

A rule applies if one day of the specification's validity is within its dates. Parts of a draft that still say "design"
are not judged: no server runs them. [The format](../specification.md#the-legal-part) explains the keys. This page is
made from `pets/check/` by `python -m pets.check.legal`; a test holds the two together.

| id | severity | fires when | citation | territory | law from | reviewed |
|---|---|---|---|---|---|---|
"""
_TERMS: Final = """
## Terms

Terms of the Data Privacy Vocabulary 2.3 (`dpv` `eu-gdpr` `legal-gb` `loc`), the Data Use Ontology (`DUO`), the EU table
of access rights (`access-right`), and our own where there is none (`pets`). Only what the rules can judge is listed;
LL-03 refuses any other. A term is written with its prefix or in full:

| prefix | stands for |
|---|---|
{prefixes}

| a | is one of |
|---|---|
{groups}
"""


def catalogue() -> str:
    """The page docs/rules/legal.md."""
    rules = _in_order()
    signed = sum(rule.reviewed is not None for rule in rules)
    rows = [
        f"| {rule.id} | {rule.severity} | {rule.fires} | {rule.citation} | {rule.territory} | {_dates(rule)} | "
        f"{f'{rule.reviewed.by}, {rule.reviewed.on}' if rule.reviewed else 'no'} |\n"
        for rule in rules
    ]
    areas = (
        f"| jurisdiction | `loc:GB` `loc:GB-SCT` `loc:GB-ENG` `loc:GB-WLS` `loc:GB-NIR` `loc:GB-EAW` and codes of "
        f"areas in ISO 3166-2 ({len(iris.JURISDICTIONS)} in all). DPV lacks "
        f"{', '.join(f'{code} (write loc:{nation})' for code, nation in iris.NOT_IN_DPV.items())} |"
    )
    groups = [
        f"| {kind} | {' '.join(f'`{term}`' for term in terms)} |"
        for kind, terms in iris.GROUPS.items()
        if kind != "jurisdiction"
    ]
    return (
        _HEAD.format(count=len(rules), signed=f"{signed or 'none'} {'is' if signed < 2 else 'are'}")
        + "".join(rows)
        + _TERMS.format(
            prefixes="\n".join(f"| `{prefix}` | `{space}` |" for prefix, space in iris.PREFIXES.items()),
            groups="\n".join((*groups, areas)),
        )
    )


def _dates(rule: LegalRule) -> str:
    return f"{rule.starts or 'always'}{f' until {rule.ends}' if rule.ends else ''}"


if __name__ == "__main__":
    print(catalogue(), end="")
