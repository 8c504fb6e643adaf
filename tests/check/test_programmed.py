"""What approvers read of a program: its text as it is, who brings, who receives, and where protection ends."""

from dataclasses import replace

from pets.check import programmed
from pets.check.blocks import Code, grouped
from pets.check.disclosure import render_sections
from pets.ids import PartyId
from pets.spec.mpyc_program import built_in, terms_digest
from pets.spec.mpyc_terms import Budget, Terms

PROGRAM = built_in("quantiles")


def terms(parties: str = "abc") -> Terms:
    return PROGRAM.bind(
        parties=tuple(parties),
        receivers=["b"],
        ranges={"value": (-5, 1000)},
        parameters={"per_holder": 2, "ranks": [1, 3]},
        budget=Budget(157, 23_800),
    )


def shown(bound: Terms) -> str:
    return render_sections(programmed.sections(bound, PROGRAM.source.text, program=PROGRAM, rounds=69))


def test_the_program_is_shown_as_it_runs_line_by_line() -> None:
    text = shown(terms())
    for line in PROGRAM.source.text.splitlines():
        assert f"\n    {line}".rstrip() + "\n" in text
    (code,) = (
        block
        for section in programmed.sections(terms(), PROGRAM.source.text)
        for block in section.blocks
        if isinstance(block, Code)
    )
    assert code.text == PROGRAM.source.text


def test_digests_are_those_of_the_text_and_of_the_terms() -> None:
    text = shown(terms())
    assert grouped(PROGRAM.source.sha256) in text and grouped(terms_digest(terms())) in text
    assert grouped(terms_digest(replace(terms(), bits=65))) not in text


def test_who_brings_who_receives_and_how_much_is_sent() -> None:
    text = shown(terms())
    assert "-5 to 1,000" in text and "a, c: nothing but what everybody knows" in text
    assert "at most 157 frames of 23.8 kB" in text and "at most 143 kB" in text and "69: so often" in text
    assert "no noise, no least number of persons" in text


def test_the_number_of_parties_that_break_it_is_that_of_the_terms() -> None:
    for parties, honest, breaking in (
        ("abc", "one party", 2),
        ("abcde", "2 parties", 3),
        ("abcdefghi", "4 parties", 5),
    ):
        text = shown(terms(parties))
        assert f"Up to {honest} together" in text and f"{breaking} parties together that break" in text


def test_a_program_without_a_declaration_says_so() -> None:
    own = replace(terms(), program="own")
    assert "declares nothing: read it" in render_sections(programmed.sections(own, PROGRAM.source.text))


def test_receivers_of_all_outputs_leave_nobody_out() -> None:
    everyone = tuple(map(PartyId, "abc"))
    told = tuple(replace(each, receivers=everyone) for each in terms().outputs)
    assert "Nobody is left out." in shown(replace(terms(), outputs=told))
