"""Uploads as bytes: bound to run, specification, holder, reader and length; each holder once, in time, and whole."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pets.errors import PeerError
from pets.kernels import prf, sealed
from pets.protocols import inbox
from pets.protocols import secure_sum as ss
from pets.protocols.base import Binding
from pets.protocols.contributions import Agreement
from pets.protocols.inbox import Inbox, SealedWords, Seeds, Words
from pets.secret import Secret
from tests.oracles import hpke
from tests.oracles import secure_sum as oracle
from tests.oracles.play import play, words
from tests.oracles.secure_sum import TIED, words_of

SHAPE = ss.Shape(holders=3, computing=3, words=5, minimum=2)
PRIVATE = [Secret(bytes([number + 1]) * 32) for number in range(3)]
PUBLIC = [prf.public_key(key) for key in PRIVATE]
VALUES = [[1, 2, 3, 4, 5], [10, -20, 30, -40, 50], [7, 7, 7, 7, 7]]
HOLDERS = ["input1", "input2", "input3"]
DEADLINE = 1000


def uploads(seed: int = 1, tied: Binding = TIED, shape: ss.Shape = SHAPE) -> list[list[bytes]]:
    """By holder, the part for each computing party."""
    return [
        ss.sealed_parts(
            shape, n, words_of(VALUES[n][: shape.words]), tied, oracle.stream(seed, f"input{n + 1}"), PUBLIC
        )
        for n in range(3)
    ]


class Server:
    """What one computing party has: its inbox, and what it keeps."""

    def __init__(self, at: int, stored: dict[int, bytes] | None = None) -> None:
        self.stored = {} if stored is None else stored
        last = at == SHAPE.seeded
        self.kept: Seeds | Words = ss.words(SHAPE, self.again) if last else ss.seeds(SHAPE, at, TIED)
        to = {name: SHAPE.delivery.address(TIED, number, at) for number, name in enumerate(HOLDERS)}
        self.inbox = Inbox(HOLDERS, to.__getitem__, PRIVATE[at], self.kept.keep, deadline=DEADLINE)

    def again(self, number: int) -> SealedWords:
        return self.inbox.again(HOLDERS[number], self.stored[number])

    def take(self, number: int, part: bytes, *, now: int = 1, peer: str = "") -> None:
        self.inbox.add(peer or HOLDERS[number], part, now=now)
        self.stored[number] = part


def result_of(servers: list[Server], agreement: Agreement = Agreement.COMMON) -> ss.Summed:
    shape, noise = replace(SHAPE, agreement=agreement), np.zeros(5, np.uint64)
    families = [[oracle.family(1, f"server{at + 1}", "last") for at in range(2)] for _ in range(2)]
    parts: dict[str, oracle.Role[object]] = {
        f"server{at + 1}": ss.server(shape, at, servers[at].kept, TIED, families[0][at], noise)  # type: ignore[arg-type]
        for at in range(2)
    }
    parts["last"] = ss.last(shape, servers[2].kept, TIED, families[1], noise)  # type: ignore[arg-type]
    parts["result"] = ss.result(shape)
    return play(parts).outputs["result"]  # type: ignore[no-any-return]


def all_in(order: Callable[[list[int]], list[int]] = list) -> list[Server]:
    parts, servers = uploads(), [Server(at) for at in range(3)]
    for at, server in enumerate(servers):
        for number in order([0, 1, 2]):
            server.take(number, parts[number][at])
    return servers


def refused(code: str, server: Server, part: bytes, number: int = 0, **how: object) -> PeerError:
    with pytest.raises(PeerError) as caught:
        server.take(number, part, **how)  # type: ignore[arg-type]
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("order", [list, lambda n: n[::-1], lambda n: [1, 2, 0]])
def test_uploads_of_parties_that_are_gone_add_up(order: Callable[[list[int]], list[int]]) -> None:
    found = result_of(all_in(order))
    assert found.total.view(np.int64).tolist() == [18, -11, 40, -29, 62]
    assert found.took_part == 3


def test_a_holder_whom_one_lacks_is_taken_off_from_where_uploads_are_stored() -> None:
    parts, servers = uploads(), [Server(at) for at in range(3)]
    for at, server in enumerate(servers):
        for number in range(3):
            if (number, at) != (1, 0):
                server.take(number, parts[number][at])
    found = result_of(servers)
    assert found.total.tolist() == [8, 9, 10, 11, 12]
    assert found.present.tolist() == [True, False, True]


@pytest.mark.parametrize("batch", [1, 2, 32])
@pytest.mark.parametrize("number", range(3))
def test_an_upload_that_is_taken_off_again_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, batch: int, number: int
) -> None:
    """Whether its stream has been added already or waits to be."""
    monkeypatch.setattr("pets.kernels.summing.BATCH", batch)
    servers = all_in()
    for server in servers:
        server.kept.take_off(number)
        assert not server.kept.marks[number].any()
    found = result_of(servers)
    assert found.present.tolist() == [n != number for n in range(3)]
    assert (
        found.total.tolist()
        == words_of(
            [sum(column) for column in zip(*(v for n, v in enumerate(VALUES) if n != number), strict=True)]
        ).tolist()
    )


def test_one_that_only_some_have_taken_off_does_not_count() -> None:
    servers = all_in()
    servers[1].kept.take_off(2)
    found = result_of(servers)
    assert found.present.tolist() == [True, True, False]
    assert found.total.tolist() == words_of([a + b for a, b in zip(*VALUES[:2], strict=True)]).tolist()


def test_who_has_taken_its_upload_back_may_not_send_another() -> None:
    servers = all_in()
    servers[0].kept.take_off(0)
    refused("peer.repeated", servers[0], uploads(seed=2)[0][0])


def test_what_is_sealed_is_what_is_sent_on_channels() -> None:
    """The same entropy: heads and words are those of the roles."""
    parts, sent = uploads(), list(ss.input_party(SHAPE, 0, words_of(VALUES[0]), TIED, oracle.stream(1, "input1")))
    for at in range(2):
        to = SHAPE.delivery.address(TIED, 0, at)
        head = hpke.opened(PRIVATE[at].expose("test"), parts[0][at][len(to.plain) :], to.info)
        assert head == sent[at].array.tobytes()  # type: ignore[union-attr]
        assert len(parts[0][at]) == to.size
    server = Server(2)
    server.take(0, parts[0][2])
    assert server.kept.marks[0].tobytes() == sent[2].array.tobytes()  # type: ignore[union-attr]
    assert np.array_equal(server.kept.total(np.array([True, False, False])), sent[3].array)  # type: ignore[union-attr]


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_streams_are_added_while_uploads_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at a time; whoever does not count is taken off again, whichever batch it came with."""
    monkeypatch.setattr("pets.kernels.summing.BATCH", 2)
    parts = uploads()
    for absent in range(3):
        present = np.array([number != absent for number in range(3)])
        server, fewer = Server(0), Server(0)
        for number in range(3):
            server.take(number, parts[number][0])
            if number != absent:
                fewer.take(number, parts[number][0])
        assert np.array_equal(server.kept.total(present), fewer.kept.total(present))
        assert np.array_equal(server.kept.total(present), fewer.kept.total(present))


@pytest.mark.parametrize("at", range(3))
def test_the_deadline_is_the_first_moment_that_is_too_late(at: int) -> None:
    server, parts = Server(at), uploads()
    refused("peer.upload-late", server, parts[0][at], now=DEADLINE)
    server.take(0, parts[0][at], now=DEADLINE - 1)


@pytest.mark.parametrize("at", range(3))
def test_the_same_holder_twice_is_refused_and_counts_once(at: int) -> None:
    server, parts = Server(at), uploads()
    server.take(0, parts[0][at])
    for again in (parts[0][at], uploads(seed=2)[0][at]):
        refused("peer.repeated", server, again)
    own = server.kept.total(np.array([True, False, False]))
    alone = Server(at)
    alone.take(0, parts[0][at])
    assert np.array_equal(own, alone.kept.total(np.array([True, False, False])))


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("what", ["run_id", "digest"])
def test_an_upload_of_another_run_or_specification_is_refused(at: int, what: str) -> None:
    other = Binding(**{"digest": TIED.digest, "run_id": TIED.run_id} | {what: b"\7" * 32})
    refused("peer.upload-run", Server(at), uploads(tied=other)[0][at])


@pytest.mark.parametrize("at", range(3))
def test_an_upload_of_another_run_whose_header_is_changed_does_not_open(at: int) -> None:
    other = Binding(digest=TIED.digest, run_id=b"\7" * 32)
    replayed = TIED.run_id + uploads(tied=other)[0][at][32:]
    refused("peer.upload-sealed", Server(at), replayed)


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("length", [4, 6])
def test_a_wrong_length_is_refused_before_anything_is_opened(at: int, length: int) -> None:
    shape = replace(SHAPE, words=length)
    values = words(1, length)
    part = ss.sealed_parts(shape, 0, values, TIED, oracle.stream(1, "input1"), PUBLIC)[at]
    error = refused("peer.bad-length", Server(at), part)
    assert error.fields["peer"] == "input1"


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("cut", [0, 10, 64, 72, 79, 100, -1])
def test_a_cut_upload_is_refused(at: int, cut: int) -> None:
    part = uploads()[0][at]
    with pytest.raises(PeerError) as caught:
        Server(at).take(0, part[:cut] if cut else b"")
    assert caught.value.code in ("peer.bad-length", "peer.upload-run")
    refused("peer.bad-length", Server(at), part + b"\0")


@pytest.mark.parametrize("at", range(3))
def test_a_holder_may_not_upload_for_another(at: int) -> None:
    part = uploads()[0][at]
    refused("peer.upload-holder", Server(at), part, peer="input2")
    refused("peer.upload-holder", Server(at), part, peer="stranger")
    refused("peer.upload-sealed", Server(at), part.replace(b"input1", b"input2"), peer="input2")


def test_a_part_for_another_computing_party_does_not_open() -> None:
    refused("peer.upload-sealed", Server(0), uploads()[0][1])
    refused("peer.bad-length", Server(0), uploads()[0][2])


@pytest.mark.parametrize("at", range(3))
def test_every_changed_byte_is_noticed_and_the_holder_may_try_again(at: int) -> None:
    server, part = Server(at), uploads()[0][at]
    for place in range(len(part)):
        changed = bytearray(part)
        changed[place] ^= 0x10
        with pytest.raises(PeerError):
            server.take(0, bytes(changed))
    assert not server.kept.marks.any()
    server.take(0, part)
    assert server.kept.marks[0].any()


def test_a_seed_of_zeros_is_refused_and_its_holder_counts_nowhere() -> None:
    """It gave no keys, and the mark was noted before: who was refused counted, and the sum was of random words."""
    parts, servers = uploads(), [Server(at) for at in range(3)]
    to = SHAPE.delivery.address(TIED, 0, 0)
    refused("peer.upload-seed", servers[0], inbox.sealed_part(to, PUBLIC[0], Secret(b"m" * 16 + bytes(32)), None, None))
    assert not servers[0].kept.marks.any() and not servers[0].stored
    for at, server in enumerate(servers):
        for number in range(3):
            if (number, at) != (0, 0):
                server.take(number, parts[number][at])
    done = result_of(servers)
    assert done.present.tolist() == [False, True, True]
    servers[0].take(0, parts[0][0])  # it may try again, as long as there is time


def test_what_a_relay_shows_a_signature_over_is_all_but_the_words() -> None:
    parts, to = uploads()[0], SHAPE.delivery.address(TIED, 0, 2)
    said = to.statement(parts[2])
    assert parts[2].startswith(said[-len(to.plain) - to.sealed_head :])
    assert said != SHAPE.delivery.address(TIED, 0, 1).statement(parts[1])
    changed = bytearray(parts[2])
    changed[len(to.plain) + 5] ^= 1
    assert to.statement(bytes(changed)) != said


def test_a_part_has_the_sizes_of_its_address() -> None:
    to = SHAPE.delivery.address(TIED, 0, 0)
    with pytest.raises(ValueError, match="sizes"):
        inbox.sealed_part(to, PUBLIC[0], Secret(b"x"), None, None)
    with pytest.raises(ValueError, match="sizes"):
        inbox.sealed_part(to, PUBLIC[0], Secret(bytes(48)), words(1, 5), Secret(bytes(16)))


def test_words_that_do_not_open_leave_the_sum_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last chunk is changed: what the chunks before it have added is taken off again."""
    monkeypatch.setattr(sealed, "CHUNK_BYTES", 16)
    server, parts = Server(2), uploads()
    server.take(0, parts[0][2])
    before = server.kept.total(np.array([True, False, False]))
    for place in (-1, -20, -50, -90):
        changed = bytearray(parts[1][2])
        changed[place] ^= 1
        refused("peer.upload-sealed", server, bytes(changed), 1)
        assert np.array_equal(server.kept.total(np.array([True, False, False])), before)


def test_a_part_without_words_has_none_to_give_again() -> None:
    server, parts = Server(0), uploads()
    server.take(0, parts[0][0])
    with pytest.raises(PeerError):
        server.again(0)
