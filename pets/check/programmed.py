"""What approvers read of a program for MPyC: parts of the report, from its terms and its text.

Nothing here looks into a program: what it computes is what its text says, which is shown whole, and what its author
declares. What is certain without reading it is who brings what, who receives what, and how much can be sent.
"""

from collections.abc import Mapping
from typing import Protocol

from pets.check.blocks import Code, Grid, Pairs, Points, Section, Text, grouped, plural, size
from pets.spec.mpyc_program import Program, terms_digest
from pets.spec.mpyc_terms import SECURITY, Number, Terms


class Said(Protocol):
    """What a declaration says of one input, output or parameter."""

    @property
    def says(self) -> str: ...


def sections(terms: Terms, source: str, *, program: Program | None = None, rounds: int | None = None) -> list[Section]:
    """The sections on a program.

    ``program``: its declaration, where it has one; ``rounds``: counted on made-up data.
    """
    written = None if program is None else program.written
    inputs = {} if written is None else {each.name: each.says for each in written.input}
    outputs = {} if written is None else {each.name: each.says for each in written.output}
    parameters = {} if written is None else written.parameters
    return [
        _computed(terms, source, program, parameters),
        brought(terms, inputs),
        learned(terms, outputs),
        sent(terms, rounds),
    ]


def _computed(terms: Terms, source: str, program: Program | None, said: Mapping[str, Said]) -> Section:
    what = "Its author declares nothing: read it." if program is None else program.written.functionality
    pairs = [("program", terms.program if program is None else f"{program.id} {program.written.version}")]
    pairs += [("source, SHA-256", grouped(terms.source)), ("terms, SHA-256", grouped(terms_digest(terms)))]
    pairs += [(name, number(value) + _because(said, name)) for name, value in terms.parameters.items()]
    pairs += [("numbers", f"of {terms.bits} bits or more; one that outgrows its type is hidden less")]
    return Section(
        "program",
        "The program",
        "what is computed, word by word?",
        (Text(what), Pairs(tuple(pairs)), Code("This text runs, and no other", source, exact=True)),
    )


def brought(terms: Terms, said: Mapping[str, str]) -> Section:
    rows = tuple(
        (
            each.name,
            said.get(each.name, ""),
            ", ".join(each.holders),
            f"{each.rows:,}",
            f"{each.low:,} to {each.high:,}",
        )
        for each in terms.inputs
    )
    head = ("input", "what it is", "who brings it", "numbers each", "range")
    table = Grid("Nobody else sees a number of these; shares of them go to everybody.", head, rows, frozenset({3}))
    return Section("program-inputs", "What goes in", "who brings which numbers?", (table,))


def learned(terms: Terms, said: Mapping[str, str]) -> Section:
    rows = tuple(
        (
            each.name,
            said.get(each.name, ""),
            ", ".join(each.receivers or (of_client(each.client),)),
            f"{each.count:,}",
            "whole numbers" if not each.fraction else f"{each.fraction} binary places",
        )
        for each in terms.outputs
    )
    told = {name for each in terms.outputs for name in (*each.receivers, of_client(each.client))}
    others = [party for party in terms.parties if party not in told]
    apart = f"{', '.join(others)}: nothing but what everybody knows." if others else "Nobody is left out."
    head = ("output", "what it is", "who receives it", "numbers", "as")
    many = terms.threshold + 1
    points = (
        "Outputs are exact: no noise, no least number of persons. An output may be one holder's number, or a person's.",
        apart,
        f"Up to {plural(terms.threshold, 'party', 'parties')} together learn nothing else of any number, but for a "
        f"chance of 2^-{SECURITY} at each comparison.",
        "Everybody knows the program, its parameters, how many numbers each brings, and the ranges.",
    )
    ends = (
        f"{many} parties together that break the rules of this report can work out every number that anybody brings.",
        "A party that does not follow the protocol can spoil what comes out, and what is told with it.",
    )
    return Section(
        "program-outputs",
        "Who learns what",
        "who receives which numbers?",
        (
            Grid("Each receiver gets these, and nobody else does.", head, rows, frozenset({3})),
            Points("", points),
            Points("Where protection ends", ends, "warn"),
        ),
    )


def sent(terms: Terms, rounds: int | None) -> Section:
    links = len(terms.parties) * (len(terms.parties) - 1)
    pairs = [
        ("from each to each", f"at most {terms.budget.frames:,} frames of {size(terms.budget.bytes)} together"),
        ("over all", f"at most {size(links * terms.budget.bytes)}"),
    ]
    if rounds is not None:
        pairs.append(("rounds", f"{rounds:,}: so often everybody waits for everybody"))
    return Section("program-cost", "What is sent", "how much, and for how long?", (Pairs(tuple(pairs)),))


def of_client(client: str) -> str:
    """Whose client opens an output."""
    return client.removesuffix(":result")


def number(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else ", ".join(f"{each:,}" for each in value)


def _because(said: Mapping[str, Said], name: str) -> str:
    return f": {said[name].says}" if name in said else ""
