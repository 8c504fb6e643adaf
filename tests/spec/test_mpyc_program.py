"""Declarations and terms of programs: what they bind, what they refuse, and what changes their digest."""

import math
from dataclasses import replace
from typing import Any

import pytest

from pets.errors import SpecError
from pets.ids import PartyId
from pets.spec.canonical import canonical
from pets.spec.mpyc_program import built_in, programs_folder, read_program, terms_digest
from pets.spec.mpyc_terms import SECURITY, Budget, Input, Output, Terms

PARTIES = ("a", "b", "c")
A, B, C = map(PartyId, PARTIES)


def bound(**given: Any) -> Terms:
    said: dict[str, Any] = {
        "parties": PARTIES,
        "receivers": ["a"],
        "ranges": {"value": (0, 100)},
        "parameters": {"per_holder": 2, "ranks": [3]},
        **given,
    }
    return built_in("quantiles").bind(**said)


def test_a_program_is_bound_to_its_parties() -> None:
    terms = bound()
    assert terms.inputs == (Input("value", (A, B, C), 2, 0, 100),)
    assert terms.outputs == (Output("quantile", (A,), 1),)
    assert (terms.threshold, terms.parameters) == (1, {"per_holder": 2, "ranks": (3,)})


WRONG: dict[str, dict[str, Any]] = {
    "two parties": {"parties": ("a", "b")},
    "ten parties": {"parties": tuple("abcdefghij")},
    "a party twice": {"parties": ("a", "b", "b")},
    "a stranger receives": {"receivers": ["d"]},
    "nobody receives": {"receivers": []},
    "a receiver twice": {"receivers": ["a", "a"]},
    "a stranger brings": {"holders": {"value": ["d"]}},
    "nobody brings": {"holders": {"value": []}},
    "no range": {"ranges": {}},
    "a range of nothing": {"ranges": {"value": (5, 4)}},
    "a range of another input": {"ranges": {"value": (0, 1), "other": (0, 1)}},
    "a range beyond what JSON keeps": {"ranges": {"value": (0, 2**53)}},
    "a parameter missing": {"parameters": {"per_holder": 2}},
    "a parameter too many": {"parameters": {"per_holder": 2, "ranks": [1], "x": 1}},
    "a parameter out of range": {"parameters": {"per_holder": 0, "ranks": [1]}},
    "one number for a list": {"parameters": {"per_holder": 2, "ranks": 1}},
    "a list for one number": {"parameters": {"per_holder": [2], "ranks": [1]}},
    "an empty list": {"parameters": {"per_holder": 2, "ranks": []}},
    "a truth value": {"parameters": {"per_holder": True, "ranks": [1]}},
    "no budget": {"budget": Budget(0, 1)},
    "too great a budget": {"budget": Budget(1, 2**40)},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_terms_that_do_not_hold_together_are_refused(wrong: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.program-terms"):
        bound(**WRONG[wrong])


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "0" * 64},
        {"parties": (A, C, B)},
        {"bits": 65},
        {"parameters": {"per_holder": 2, "ranks": (4,)}},
        {"inputs": (Input("value", (A, B, C), 2, 0, 101),)},
        {"outputs": (Output("quantile", (A, B), 1),)},
        {"budget": Budget(10, 10)},
    ],
)
def test_every_part_of_the_terms_is_in_their_digest(changes: dict[str, Any]) -> None:
    terms = bound()
    assert terms_digest(replace(terms, **changes)) != terms_digest(terms)
    assert terms_digest(terms) == terms_digest(bound())


def test_terms_have_a_canonical_form() -> None:
    assert canonical(bound()).startswith(b'{"bits":64,"budget":{"bytes"')


@pytest.mark.parametrize("parties", range(3, 10))
def test_masks_are_wide_enough_for_whoever_knows_all_keys_but_one(parties: int) -> None:
    """The part of a mask that a coalition does not know is as wide as MPyC draws it: the bound of a part, rounded down
    to a power of two (mpyc 0.11, runtime._randoms)."""
    terms = bound(parties=tuple("abcdefghi")[:parties], parameters={"per_holder": 1, "ranks": [1]})
    keys = math.comb(parties, terms.threshold)
    unknown = 1 << ((1 << terms.sec_param) // keys).bit_length() - 1
    assert unknown >= 2**SECURITY
    assert terms.threshold * 2 < parties


def test_a_program_that_does_not_come_along_is_none() -> None:
    for name in ("other", "../quantiles", ""):
        with pytest.raises(SpecError, match=r"spec\.program-terms"):
            built_in(name)


def texts() -> tuple[str, bytes]:
    folder = programs_folder()
    return (folder / "quantiles.toml").read_text(), (folder / "quantiles.py").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("program = 1", "program = 2", "spec.field"),
        ("bits = 64", "bits = 4", "spec.field"),
        ("bits = 64", "bits = 64\nextra = 1", "spec.field"),
        ('rows = "per_holder"', 'rows = "holders"', "spec.field"),
        ('count = "ranks"', 'count = "ranks +"', "card.formula"),
        ("[[input]]", "[[input", "spec.toml"),
        ('source = "quantiles.py"', 'source = "../quantiles.py"', "spec.field"),
    ],
)
def test_a_declaration_that_is_wrong_is_refused_with_its_place(old: str, new: str, code: str) -> None:
    declaration, source = texts()
    assert old in declaration
    with pytest.raises(SpecError) as caught:
        read_program(declaration.replace(old, new, 1).encode(), source)
    assert caught.value.code == code


def test_source_and_declaration_are_both_in_the_digest_of_a_program() -> None:
    declaration, source = texts()
    first = read_program(declaration.encode(), source)
    other = read_program(declaration.replace("bits = 64", "bits = 65").encode(), source)
    third = read_program(declaration.encode(), source + b"\n")
    assert len({first.digest, other.digest, third.digest}) == 3
