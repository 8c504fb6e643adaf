import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.errors import PeerError, RunError
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.party import hello
from pets.spec.canonical import canonical

AGREED = hello.Agreed(SpecDigest("1a" * 32), PlanDigest("2b" * 32), "3c" * 32, "4d" * 32)
KEYS = {PartyId("b"): bytes(range(32)), PartyId("helper"): bytes(range(32, 64))}
HELLO = hello.make(AGREED, bytes(16), KEYS)
TAKING = hello.make(AGREED, bytes(16), KEYS, upload=bytes(range(32)))
FIELDS = json.loads(HELLO.body)


def test_a_hello_reads_back_as_it_was_made() -> None:
    assert hello.read(HELLO.body, peer="a") == HELLO
    assert hello.read(TAKING.body, peer="a") == TAKING
    assert HELLO.upload == b""
    assert TAKING.upload == bytes(range(32))


@pytest.mark.parametrize("random", [b"", bytes(15), bytes(17)])
def test_a_hello_has_16_random_bytes(random: bytes) -> None:
    with pytest.raises(ValueError, match="16"):
        hello.make(AGREED, random, KEYS)


ANOTHER_FORM = {
    "nothing": b"",
    "no JSON": b"hello",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "with a space": HELLO.body.replace(b":", b": ", 1),
    "another order": json.dumps(dict(reversed(FIELDS.items())), separators=(",", ":")).encode(),
    "one key twice": HELLO.body[:-1] + b',"spec":"' + b"ab" * 32 + b'"}',
    "deep": b"[" * 8000,
    "not UTF-8": b"\xff" + HELLO.body,
    "too long": canonical({**FIELDS, "software": "x" * hello.MAX_BYTES}),
}


@pytest.mark.parametrize("name", ANOTHER_FORM)
def test_what_is_not_the_one_form_is_no_hello(name: str) -> None:
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hello.read(ANOTHER_FORM[name], peer="a")


WRONG: list[tuple[str, object]] = [
    ("pets", 2),
    ("pets", True),
    ("pets", "1"),
    ("spec", "ab"),
    ("spec", "AB" * 32),
    ("spec", "zz" * 32),
    ("spec", 7),
    ("plan", None),
    ("cards", ["ab" * 32]),
    ("dummies", 1),
    ("cover", None),
    ("cover", "ab"),
    ("cover", "AB" * 32),
    ("cover", 0),
    ("software", 3),
    ("random", "00" * 15),
    ("random", "0" * 31),
    ("random", 0),
    ("upload", None),
    ("upload", "00"),
    ("upload", "AB" * 32),
    ("upload", "00" * 33),
    ("upload", "00" * 32),
    ("upload", "01" + "00" * 31),
    ("upload", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("upload", ["00" * 32]),
    ("keys", []),
    ("keys", {"b": "00" * 31}),
    ("keys", {"b": "00" * 33}),
    ("keys", {"b": 5}),
    ("keys", {"b": None}),
    ("extra", 1),
    ("random", "é" * 16),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_field_of_another_kind_makes_it_no_hello(name: str, value: object) -> None:
    fields = {**FIELDS, name: value}
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hello.read(canonical({k: v for k, v in fields.items() if v is not None}), peer="a")


@pytest.mark.parametrize(
    "body", [b'{"pets":1e999}', b'{"pets":9999999999999999999999}', b'{"pets":NaN}', b'{"a":"\\ud800"}']
)
def test_numbers_and_text_without_a_canonical_form_are_no_hello(body: bytes) -> None:
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hello.read(body, peer="a")
    inside = canonical({**FIELDS, "pets": 777}).replace(b"777", body[body.index(b":") + 1 : -1])
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hello.read(inside, peer="a")
    for name in ("software", "dummies", "keys"):
        spoilt = canonical({**FIELDS, name: "MARK"}).replace(b'"MARK"', body[body.index(b":") + 1 : -1])
        with pytest.raises(PeerError, match=r"peer\.hello"):
            hello.read(spoilt, peer="a")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.integers(0, len(HELLO.body)), st.integers(0, 40))
def test_any_change_of_a_hello_is_refused_or_is_another_hello(noise: bytes, at: int, cut: int) -> None:
    body = HELLO.body[:at] + noise + HELLO.body[at + cut :]
    try:
        read = hello.read(body, peer="a")
    except PeerError as error:
        assert error.code == "peer.hello"
    else:
        assert read.body == body
        assert (read == HELLO) == (body == HELLO.body)


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("software", "run.other-software"),
        ("spec", "run.other-spec"),
        ("plan", "run.other-plan"),
        ("cards", "run.other-cards"),
        ("dummies", "run.other-dummies"),
        ("cover", "run.other-cover"),
    ],
)
def test_each_difference_has_a_code_of_its_own(field: str, code: str) -> None:
    other = replace(AGREED, **{field: "ff" * 32})
    hello.compare(AGREED, AGREED, peer="b")
    with pytest.raises(RunError) as caught:
        hello.compare(AGREED, other, peer="b")
    assert (caught.value.code, caught.value.fields["peer"]) == (code, "b")


def test_everything_agreed_on_is_compared() -> None:
    for field in AGREED.__dataclass_fields__:
        with pytest.raises(RunError):
            hello.compare(AGREED, replace(AGREED, **{field: "ff" * 32}), peer="b")


def test_the_run_id_binds_every_byte_and_the_order() -> None:
    bodies = [b"one", b"two", b"three", b"four"]
    first = hello.run_id(bodies)
    assert len(first) == 32
    assert hello.run_id(bodies) == first
    others = [
        bodies[::-1],
        [b"onet", b"wo", b"three", b"four"],
        [b"one", b"two", b"three"],
        [*bodies, b""],
        [b"one", b"two", b"three", b"fouR"],
    ]
    assert len({first, *map(hello.run_id, others)}) == 6
