"""Refusals on the wire: what a peer says of an error is read as a typed error, whatever it says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.errors import LinkError, PeerError, PetsError, SourceError
from pets.ids import PartyId
from pets.transport import refusal
from pets.transport.link import Slot
from pets.transport.mailbox import Mailbox


def test_an_error_comes_back_as_itself_with_the_place_it_was_raised_at() -> None:
    error = refusal.unpack(refusal.pack(PeerError("peer.gap", peer="a", message=Slot(1, 2), got=3, expected=1)), at="b")
    assert isinstance(error, PeerError)
    assert error.fields == {"peer": "a", "message": "message 1, column 2", "got": 3, "expected": 1, "at": "b"}


@pytest.mark.parametrize("name", ["self", "code", "local"])
@pytest.mark.parametrize("code", ["peer.gap", "source.not-ready", "link.busy"])
def test_a_field_that_would_reach_the_constructor_is_no_field(name: str, code: str) -> None:
    said = json.dumps({"code": code, "fields": {name: "x", "peer": "a"}}).encode()
    assert refusal.unpack(said, at="b").code == "peer.answer"


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(), max_size=6))
def test_whatever_fields_a_peer_says_there_is_an_error_with_a_text(fields: dict[str, object]) -> None:
    error = refusal.unpack(json.dumps({"code": "peer.gap", "fields": fields}).encode(), at="b")
    assert isinstance(error, PetsError)
    assert error.text.isprintable()


@given(st.binary(max_size=60))
def test_any_bytes_are_an_error(data: bytes) -> None:
    assert refusal.unpack(data, at="b").code == "peer.answer"


@pytest.mark.parametrize(
    "fields", [{}, {"reason": "IDENTITY-ann"}, {"reason": 3}, {"peer": 4, "reason": "run.stopped"}]
)
def test_the_end_of_a_run_always_names_a_peer_and_a_reason_of_the_table(fields: dict[str, object]) -> None:
    """Whoever meets it passes the reason on: a missing one must not break that, and a made-up one goes no further."""
    error = refusal.unpack(json.dumps({"code": "peer.aborted", "fields": fields}).encode(), at="b")
    assert error.fields["peer"] == "b"
    assert error.fields["reason"] == ("run.stopped" if fields.get("reason") == "run.stopped" else "internal.bug")
    mailbox = Mailbox(bytes(32), [PartyId("b")])
    mailbox.fail(error)
    assert mailbox.root("peer.aborted") == error.fields["reason"]


def test_the_class_of_a_code_is_that_of_the_table() -> None:
    assert isinstance(refusal.unpack(refusal.pack(LinkError("link.busy")), at="b"), LinkError)
    assert isinstance(refusal.unpack(refusal.pack(SourceError("source.not-ready", party="a")), at="b"), SourceError)
