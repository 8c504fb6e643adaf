"""What approvers read of sums over one table of many holders."""

import time

import pytest

from pets.check.disclosure import render
from pets.check.document import to_json
from pets.check.labels import Mark
from pets.check.page import html
from pets.plan.review import Review, review
from pets.spec.model import Power, Spec
from pets.spec.parse import parse_toml
from pets.spec.write import to_toml
from tests.pooled import CONTROL, boards, pooled

SHAMIR = "secure_sum_shamir"


def report(*args: int, **options: object) -> str:
    found = review(pooled(*args, **options))
    assert found.accepted, found
    return " ".join(render(found).split())


def test_a_reader_sees_who_uploads_until_when_and_how_many_must_count() -> None:
    told = report(5, 3, minimum=4, minutes=2880)
    assert "all 5 holders of visits, each once a run" in told
    assert "2 days after computing parties have begun" in told
    assert "4 of 5 at least. With fewer nothing is opened" in told
    assert "It does not count in this run, and nothing of it is opened." in told
    assert "It is left out: those count whose upload every computing party has." in told
    assert "A result may be of any 4 holders or more." in told
    assert "The run ends, and nothing is opened. One holder" in report(5, 3, partial="end the run")


def test_a_holder_reads_that_a_run_may_do_without_it() -> None:
    refused = "Then no records of yours are used, unless an older text you signed covers it."
    assert f"{refused} A run needs north, south and west, and of the holders 4 of 5 at least, to approve." in report(
        5, 3, minimum=4
    )
    assert "A run needs north and south, and of the holders all 5, to approve." in report(5, 2)


def test_a_reader_sees_that_inputs_are_not_validated_or_within_which_bounds() -> None:
    assert "Inputs are not validated: a holder that reports wrong numbers changes the result unseen" in report(3, 2)
    told = report(3, 2, protocol="checked_sum", rows=100)
    assert "Each number is proved to be from its least value to 61,200 above that, by Prio3, if all computing" in told
    assert "Inputs are not validated" not in told
    assert "Wrong numbers of a holder are noticed if they are outside of the widest range of all numbers." in told


@pytest.mark.parametrize(
    ("options", "who"),
    [
        ({}, "north, south and west, all together"),
        ({"protocol": "secure_sum_shamir"}, "Any 2 of north, south and west together"),
        ({"protection": CONTROL}, "north and south together"),
    ],
)
def test_a_reader_sees_who_together_could_read_uploads(options: dict[str, object], who: str) -> None:
    told = report(4, 3, **options)
    assert f"{who}: what each holder uploads, which is its totals, exactly. No row of it." in told
    assert f"{who} could read each holder's totals." in told
    assert "All holders but one, with statistics: the totals of the one that is left" in told


@pytest.mark.parametrize(
    ("computing", "options", "what"),
    [
        (3, {}, "It reads no holder's numbers by that."),
        (3, {"protection": CONTROL}, "numbers by that; with statistics it may get groups that are withheld."),
        (3, {"protocol": SHAMIR}, "It reads no holder's numbers by that."),
        (5, {"protocol": SHAMIR}, "It reads no holder's numbers by that."),
    ],
)
def test_a_reader_sees_what_departing_from_the_protocol_gives(
    computing: int, options: dict[str, object], what: str
) -> None:
    """On polynomials one that shows two groups different lists has no second sum: two quorums have an honest party."""
    assert what in report(4, computing, **options)


def test_a_reader_sees_that_one_holder_can_end_a_run_for_all() -> None:
    one = "One holder whose"
    strict = report(4, 2, protocol="checked_sum", unproved="end the run")
    assert f"{one} numbers are not proved ends the run for all; it is named." in strict
    assert one not in report(4, 2, protocol="checked_sum")
    assert f"{one} parts do not fit together ends the run for all" in report(4, 3, protocol=SHAMIR)
    assert one not in report(4, 3)


def test_a_reader_sees_what_becomes_of_who_has_not_proved_its_numbers() -> None:
    key = "Whose numbers are not proved"
    assert "with fewer than 2 left nothing is opened" in report(4, 2, protocol="checked_sum", minimum=2)
    assert "One such holder can end every run." in report(4, 2, protocol="checked_sum", unproved="end the run")
    assert key in report(4, 2, protocol="checked_sum") and key not in report(4, 2)


def test_noise_is_said_to_cover_a_person_at_every_holder() -> None:
    told = report(3, 2, per_person=4)
    assert "somebody with 4 rows at each of the 3 holders" in told
    assert "each person at each holder: somebody who is at two counts twice" in report(4, 3, protection=CONTROL)


def test_hundreds_of_holders_make_a_report_that_can_be_read_in_no_time() -> None:
    spec = pooled(220, 3)
    start = time.process_time()
    found = review(spec)
    text, page = render(found), html(found)
    assert time.process_time() - start < 3
    told = " ".join(text.split())
    assert all(name in told for name in boards(220))
    assert "220 parties (board-001, board-002 ... board-220)" in told
    assert "1,000 to 1,219" in told and "244,090" in told
    before, _, table = text.partition("What is said of one holder alone?")
    assert len(before.splitlines()) < 600 and len(table.splitlines()) < 300 and len(page) < 250_000
    assert "<details><summary>All 220 holders, in the order of the specification</summary>" in page
    assert [column.label for column in found.verdict.matrix.columns][:2] == ["board-001", "board-002"]


def test_a_thousand_holders_each_with_papers_of_its_own_make_a_report_that_can_be_read() -> None:
    """What all say stands once, who differs is named, and each has a row for what is its own."""
    spec = parse_toml(to_toml(papers(pooled(1000, 3))))
    start = time.process_time()
    found = review(spec)
    text, page = render(found), html(found)
    assert found.accepted and time.process_time() - start < 5
    assert "Nothing is left out of this page." in text and not to_json(found)["omitted"]
    before, _, table = text.partition("What is said of one holder alone?")
    before, table = (" ".join(each.split()) for each in (before, table))
    assert "Controller 1,000 different ones: The partners of board-0001; The partners of board-0002;" in before
    assert "ISA-2026-08 (999 parties (board-0001, board-0002 ... board-1000)); ISA-2025-01 (board-0500)" in before
    assert before.count("DPIA-") < 10 and table.count("dpia.id: DPIA-") == 1000
    assert all(name in table for name in boards(1000))
    assert page.count("<details>") == 1 and len(page) < 700_000
    assert page.index("Nothing is left out") < page.index("<details>")


def papers(spec: Spec) -> Spec:
    """Each holder has its own controller and assessment, and one has an older agreement."""
    stated = {
        name: each.model_copy(
            update={
                "controller": f"The partners of {name}",
                "power": Power(act="National Health Service (Scotland) Act 1978", of=f"The partners of {name}"),
                "dpia": each.dpia.model_copy(update={"id": f"DPIA-{name}"}),
                "agreement": "ISA-2025-01" if name == "board-0500" else each.agreement,
            }
        )
        for name, each in spec.legal.items()
    }
    return spec.model_copy(update={"legal": stated})


def test_one_rule_that_refuses_hundreds_is_told_of_the_first_ones() -> None:
    spec = pooled(40)
    bare = {name: each.model_copy(update={"article9": None}) for name, each in spec.legal.items()}
    special = spec.datasets[0].columns["died"].model_copy(update={"sensitivity": "special category"})
    (table,) = spec.datasets
    columns = {**table.columns, "died": special}
    found = review(
        spec.model_copy(update={"legal": bare, "datasets": (table.model_copy(update={"columns": columns}),)})
    )
    assert sum(each.rule == "LL-04" for each in found.findings) == 40
    text = " ".join(render(found).split())
    assert "and 36 more findings of this rule, at other places" in text
    assert text.count("Rule LL-04") < 12


def test_parties_that_differ_are_told_of_one_by_one() -> None:
    third = 'san = "spiffe://board-3.example/pets"\ncountry = '
    told = report(6, 2, edits=[(third + '"GB"', third + '"IE"')])
    assert "party[board-1 ... board-6, 5 alike].country GB" in told
    assert "party[2].country IE" in told


def picture(found: Review) -> dict[tuple[str, str], str]:
    (drawn,) = [
        block
        for section in to_json(found)["sections"]
        for block in section["blocks"]
        if block["kind"] == "picture"  # type: ignore[union-attr, index, call-overload, attr-defined]
    ]
    return {(flow["from"], flow["to"]): flow["what"] for flow in drawn["flows"]}


@pytest.mark.parametrize("computing", [2, 3, 5])
@pytest.mark.parametrize("to", ["statistics", "board-2"])
def test_the_picture_has_a_box_for_all_holders(computing: int, to: str) -> None:
    found = review(pooled(9, computing, to=to))
    flows = picture(found)
    holders = "all 9 holders of visits"
    names = {end for way in flows for end in way}
    assert holders in names and len(names) <= 5
    assert {what for (sender, _), what in flows.items() if sender == holders} == {"masked totals"}
    assert ("5 computing parties" in names) == (computing > 3)
    assert html(found).count("<svg") == 1


def test_what_is_declared_covers_all_that_is_computed() -> None:
    for options in ({}, {"protocol": "checked_sum"}, {"protocol": "secure_sum_shamir"}, {"protection": CONTROL}):
        found = to_json(review(pooled(4, 3, **options)))["leakage"]
        assert isinstance(found, dict) and found["whole"]
        assert {item["item"] for item in found["items"]} >= {"row_count"}


def test_marks_say_what_a_holder_alone_and_all_others_together_have() -> None:
    matrix = review(pooled(5, 2)).verdict.matrix
    own = "count(*) of board-1"
    assert matrix.mark(own, "board-1") is Mark.AGGREGATE
    assert matrix.mark(own, "statistics") is Mark.NEVER
    assert matrix.mark(own, "board-2+north+statistics") is Mark.NOISED
    assert matrix.mark(own, "north+south") is Mark.AGGREGATE
