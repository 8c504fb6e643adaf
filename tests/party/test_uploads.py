"""Parts of uploads as they arrive at one computing party: what is taken, what is refused, and what is left on disk."""

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pets.errors import LinkError, PeerError, PetsError, RunError
from pets.ids import PartyId
from pets.kernels import prf, sealed
from pets.party import uploads
from pets.party.uploads import Expected, Uploads
from pets.protocols import secure_sum as ss
from pets.protocols.base import Binding
from pets.protocols.inbox import U64, SealedWords, Words, sealed_part
from pets.secret import Secret
from pets.transport import frame
from pets.transport.link import Slot
from tests.oracles import secure_sum as oracle
from tests.oracles.secure_sum import TIED, words_of

WORDS = 140_000
"""So many that the words of a part take two frames."""

SHAPE = ss.Shape(holders=3, computing=2, words=WORDS, minimum=2)
PRIVATE = [Secret(bytes([number + 1]) * 32) for number in range(2)]
PUBLIC = [prf.public_key(key) for key in PRIVATE]
BOARDS = tuple(PartyId(f"board-{number + 1}") for number in range(3))
ROLES = {board: f"input{number + 1}" for number, board in enumerate(BOARDS)}
VALUES = [words_of([number + 1] * WORDS) for number in range(3)]
OTHER = Binding(digest=TIED.digest, run_id=bytes([9]) * 32)


def part(number: int, at: int = 1, tied: Binding = TIED, seed: int = 1) -> bytes:
    drawn = oracle.stream(seed, f"input{number + 1}")
    return ss.sealed_parts(SHAPE, number, VALUES[number], tied, drawn, PUBLIC)[at]


def frames(body: bytes, run_id: bytes = TIED.run_id, slot: Slot = frame.UPLOAD) -> Iterator[bytes]:
    return frame.frames(run_id, slot, memoryview(body))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def taking(tmp_path: Path, clock: Clock) -> Iterator[Uploads]:
    """At ``last``, who gets words."""
    made = of(tmp_path / "run", clock)
    yield made
    made.close()


def of(folder: Path, clock: Clock, at: int = 1) -> Uploads:
    expected = Expected(
        run_id=TIED.run_id,
        holders=ROLES,
        to=lambda role: SHAPE.delivery.address(TIED, int(role.removeprefix("input")) - 1, at),
        private=PRIVATE[at],
        minimum=SHAPE.minimum,
    )
    return Uploads(
        folder,
        expected,
        lambda again: ss.words(SHAPE, again) if at == 1 else ss.seeds(SHAPE, at, TIED),
        deadline=200.0,
        clock=clock,
    )


def stored(taking: Uploads) -> list[str]:
    return sorted(path.name for path in taking._folder.iterdir())


def test_a_part_is_on_disk_for_this_user_alone_and_its_digest_is_the_answer(taking: Uploads) -> None:
    body = part(0)
    assert taking.take(BOARDS[0], frames(body)).sha256 == sha256(body).hexdigest()
    (path,) = taking._folder.iterdir()
    assert path.read_bytes() == body
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(taking._folder.stat().st_mode) == 0o700
    assert (taking.taken, taking.sizes) == (1, {BOARDS[0]: len(body)})


def test_parts_of_all_add_up_to_all_vectors(tmp_path: Path, clock: Clock) -> None:
    both = [of(tmp_path / str(at), clock, at) for at in range(2)]
    for number, board in enumerate(BOARDS):
        for at, each in enumerate(both):
            each.take(board, frames(part(number, at)))
    present = np.ones(3, np.bool_)
    assert all(each.wait(0.0) for each in both)
    total = sum(each.finish().total(present) for each in both)
    assert np.array_equal(np.asarray(total), sum(VALUES[1:], VALUES[0]))


def test_who_does_not_count_is_taken_off_from_its_file(tmp_path: Path, clock: Clock) -> None:
    both = [of(tmp_path / str(at), clock, at) for at in range(2)]
    for number, board in enumerate(BOARDS):
        for at, each in enumerate(both):
            each.take(board, frames(part(number, at)))
    present = np.array([True, False, True])
    total = sum(each.finish().total(present) for each in both)
    assert np.array_equal(np.asarray(total), VALUES[0] + VALUES[2])


def test_parts_are_taken_off_with_one_file_open_at_a_time(tmp_path: Path, clock: Clock) -> None:
    taking, most = of(tmp_path / "run", clock), list[int]()
    for number, board in enumerate(BOARDS):
        taking.take(board, frames(part(number)))
    kept = taking.finish()
    assert isinstance(kept, Words)
    again = kept._again

    def counted(number: int) -> SealedWords | U64:
        words = again(number)
        most.append(_open_in(taking._folder))
        return words

    kept._again = counted  # type: ignore[misc]
    assert not np.any(kept.total(np.zeros(3, np.bool_)))
    assert most == [1, 1, 1] and _open_in(taking._folder) == 0
    taking.close()


def test_a_stored_part_that_does_not_open_again_leaves_no_file_open(taking: Uploads) -> None:
    taking.take(BOARDS[0], frames(part(0)))
    (path,) = taking._folder.iterdir()
    path.write_bytes(_changed(part(0), 150))
    with pytest.raises(PeerError, match=r"peer\.upload-sealed"):
        taking.finish().total(np.zeros(3, np.bool_))
    assert _open_in(taking._folder) == 0


def _open_in(folder: Path) -> int:
    """How many files of a folder this process has open."""
    files = {(found.st_dev, found.st_ino) for found in map(os.stat, folder.iterdir())}
    held = []
    for path in list(Path("/dev/fd").iterdir()):
        try:
            found = os.fstat(int(path.name))
        except OSError:  # that of the listing itself
            continue
        held.append((found.st_dev, found.st_ino))
    return sum(each in files for each in held)


def _changed(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


BAD = {
    "of somebody who is no holder": (PartyId("analyst"), lambda: frames(part(0)), "peer.upload-holder"),
    "in the name of another holder": (BOARDS[1], lambda: frames(part(0)), "peer.upload-holder"),
    "of another run, as its frames say": (BOARDS[0], lambda: frames(part(0), OTHER.run_id), "peer.upload-run"),
    "of another run, as the part says": (BOARDS[0], lambda: frames(part(0, tied=OTHER)), "peer.upload-run"),
    "for the other computing party": (BOARDS[0], lambda: frames(part(0, at=0)), "peer.bad-length"),
    "a byte too short": (BOARDS[0], lambda: frames(part(0)[:-1]), "peer.bad-length"),
    "a byte too long": (BOARDS[0], lambda: frames(part(0) + b"x"), "peer.bad-length"),
    "empty": (BOARDS[0], lambda: frames(b""), "peer.bad-length"),
    "huge": (
        BOARDS[0],
        lambda: iter([frame.Head(TIED.run_id, frame.UPLOAD, 1 << 39, 0).pack() + bytes(frame.CHUNK)]),
        "peer.bad-length",
    ),
    "with other words in clear": (BOARDS[0], lambda: frames(_changed(part(0), 70)), "peer.bad-length"),
    "changed in its head": (BOARDS[0], lambda: frames(_changed(part(0), 150)), "peer.upload-sealed"),
    "changed at its end": (BOARDS[0], lambda: frames(_changed(part(0), -1 + len(part(0)))), "peer.upload-sealed"),
    "as a message of the card": (BOARDS[0], lambda: frames(part(0), slot=Slot(1, 0)), "peer.unexpected"),
    "in another order": (BOARDS[0], lambda: reversed(list(frames(part(0)))), "peer.gap"),
    "with a frame twice": (BOARDS[0], lambda: iter([*frames(part(0)), *list(frames(part(0)))[1:]]), "peer.gap"),
    "cut short": (BOARDS[0], lambda: iter(list(frames(part(0)))[:1]), "link.cut"),
    "nothing at all": (BOARDS[0], lambda: iter(()), "link.cut"),
    "no frame": (BOARDS[0], lambda: iter([b"frame"]), "peer.frame"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_leaves_nothing_and_harms_nobody(taking: Uploads, name: str) -> None:
    peer, sent, code = BAD[name]
    taking.take(BOARDS[2], frames(part(2)))
    with pytest.raises(PetsError) as caught:
        taking.take(peer, sent())
    assert caught.value.code == code
    assert caught.value.fields["peer"] == peer
    assert stored(taking) == ["input3"]
    taking.take(BOARDS[0], frames(part(0)))
    taking.take(BOARDS[1], frames(part(1)))
    assert np.array_equal(taking.finish().marks[:, 0] != 0, [True] * 3)


def test_a_length_is_refused_before_a_byte_is_stored(taking: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(uploads, "_write", lambda file, body: written.append(body.nbytes))
    with pytest.raises(PeerError, match=r"peer\.bad-length"):
        taking.take(BOARDS[0], frames(part(0) + b"x"))
    assert written == []


def test_a_holder_uploads_once(taking: Uploads) -> None:
    taking.take(BOARDS[0], frames(part(0)))
    for again in (part(0), part(0, seed=2)):
        with pytest.raises(PeerError, match=r"peer\.repeated"):
            taking.take(BOARDS[0], frames(again))
    assert stored(taking) == ["input1"]


def test_of_a_holder_only_so_many_refused_parts_are_looked_at(taking: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    bad = _changed(part(0), 150)
    for _ in range(uploads.MOST_REFUSED):
        with pytest.raises(PeerError, match=r"peer\.upload-sealed"):
            taking.take(BOARDS[0], frames(bad))
    assert len(flushed) == uploads.MOST_REFUSED == 16

    def unread() -> Iterator[bytes]:
        raise AssertionError("a frame was read")
        yield b""

    for sent in (unread(), frames(part(0))):
        with pytest.raises(PeerError) as caught:
            taking.take(BOARDS[0], sent)
        assert caught.value.code == "peer.upload-refused"
        assert caught.value.fields["peer"] == BOARDS[0]
    assert len(flushed) == 16 and stored(taking) == []
    taking.take(BOARDS[1], frames(part(1)))  # nobody else is held to it
    assert taking.takers == {BOARDS[1]}


def test_parts_that_the_network_cut_do_not_count_as_refused(taking: Uploads) -> None:
    for _ in range(uploads.MOST_REFUSED + 1):
        with pytest.raises(LinkError, match=r"link\.cut"):
            taking.take(BOARDS[0], iter(list(frames(part(0)))[:1]))
    for _ in range(uploads.MOST_REFUSED - 1):
        with pytest.raises(PeerError, match=r"peer\.upload-sealed"):
            taking.take(BOARDS[0], frames(_changed(part(0), 150)))
    taking.take(BOARDS[0], frames(part(0)))
    assert stored(taking) == ["input1"]


def test_a_mark_of_nothing_is_no_mark(taking: Uploads) -> None:
    to = SHAPE.delivery.address(TIED, 0, 1)
    body = sealed_part(to, PUBLIC[1], Secret(bytes(16)), VALUES[0], Secret(bytes(16)))
    with pytest.raises(PeerError, match=r"peer\.repeated"):
        taking.take(BOARDS[0], frames(body))
    assert stored(taking) == []


def test_two_uploads_of_one_holder_at_once_are_one(taking: Uploads) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        for data in frames(part(0)):
            yield data
            begun.set()
            go.wait(10)

    first = threading.Thread(target=taking.take, args=(BOARDS[0], slow()))
    first.start()
    assert begun.wait(10)
    with pytest.raises(PeerError) as caught:
        taking.take(BOARDS[0], frames(part(0, seed=2)))
    assert caught.value.code == "peer.upload-twice"
    taking.take(BOARDS[1], frames(part(1)))  # others go on meanwhile
    go.set()
    first.join(10)
    assert stored(taking) == ["input1", "input2"]


def test_the_deadline_is_the_first_moment_that_is_too_late(taking: Uploads, clock: Clock) -> None:
    clock.now = 199.999
    assert taking.open and not taking.wait(0.0)
    taking.take(BOARDS[0], frames(part(0)))
    clock.now = 200.0
    assert not taking.open and taking.wait(0.0)
    with pytest.raises(PeerError, match=r"peer\.upload-late"):
        taking.take(BOARDS[1], frames(part(1)))
    assert stored(taking) == ["input1"]


def test_a_part_that_is_on_its_way_at_the_deadline_is_late(taking: Uploads, clock: Clock) -> None:
    def slow() -> Iterator[bytes]:
        for data in frames(part(0)):
            yield data
            clock.now = 200.0

    with pytest.raises(PeerError, match=r"peer\.upload-late"):
        taking.take(BOARDS[0], slow())
    assert stored(taking) == [] and taking.taken == 0


def test_waiting_ends_when_all_are_here(taking: Uploads) -> None:
    done: list[bool] = []
    waiting = threading.Thread(target=lambda: done.append(taking.wait(30)))
    waiting.start()
    for number, board in enumerate(BOARDS):
        assert waiting.is_alive()
        taking.take(board, frames(part(number)))
    waiting.join(10)
    assert done == [True]


def test_whoever_waits_can_be_woken(taking: Uploads) -> None:
    threading.Timer(0.05, taking.wake).start()
    assert not taking.wait(30)


def test_after_the_end_nothing_is_taken_and_nothing_is_left(taking: Uploads) -> None:
    taking.take(BOARDS[0], frames(part(0)))
    taking.close()
    assert not taking._folder.exists()
    with pytest.raises(PeerError, match=r"peer\.upload-late"):
        taking.take(BOARDS[1], frames(part(1)))
    assert not taking._folder.exists()


def test_a_part_that_is_on_its_way_when_the_run_ends_leaves_nothing(taking: Uploads) -> None:
    def slow() -> Iterator[bytes]:
        for data in frames(part(0)):
            yield data
            taking.close()

    with pytest.raises(PeerError, match=r"peer\.upload-late"):
        taking.take(BOARDS[0], slow())
    assert not taking._folder.exists()


def test_a_disk_that_is_full_is_told_and_the_part_may_come_again(
    taking: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, body: memoryview) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_write", full)
        with pytest.raises(RunError) as caught:
            taking.take(BOARDS[0], frames(part(0)))
    assert caught.value.code == "run.no-room"
    assert stored(taking) == []
    taking.take(BOARDS[0], frames(part(0)))


def test_a_part_that_is_added_in_part_and_not_read_again_is_no_matter_of_its_holder_alone(
    taking: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails at the third chunk and from then on. It was told as a disk that is full, and the run went on."""
    read: list[int] = []

    def fails(source: object, target: memoryview) -> None:
        read.append(len(target))
        if len(read) > 2:
            raise OSError(5, os.strerror(5))
        fill(source, target)  # type: ignore[arg-type]

    fill = sealed._fill
    monkeypatch.setattr(sealed, "_fill", fails)
    with pytest.raises(sealed.SpoiltError):
        taking.take(BOARDS[0], frames(part(0)))
    assert stored(taking) == [] and not taking.takers
    with pytest.raises(sealed.SpoiltError):
        taking.finish()  # whose time is up while the run is not yet told to end


def test_a_disk_that_fails_once_leaves_the_sum_as_it_was(taking: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def fails(source: object, target: memoryview) -> None:
        read.append(len(target))
        if len(read) == 3:
            raise OSError(5, os.strerror(5))
        fill(source, target)  # type: ignore[arg-type]

    fill = sealed._fill
    monkeypatch.setattr(sealed, "_fill", fails)
    with pytest.raises(RunError, match=r"run\.no-room"):
        taking.take(BOARDS[0], frames(part(0)))
    assert isinstance(taking.kept, Words) and not taking.kept._sum.any()


def test_a_stream_that_breaks_leaves_nothing(taking: Uploads) -> None:
    def breaks() -> Iterator[bytes]:
        yield next(frames(part(0)))
        raise LinkError("link.cut", peer=BOARDS[0])

    with pytest.raises(LinkError):
        taking.take(BOARDS[0], breaks())
    assert stored(taking) == []
    taking.take(BOARDS[0], frames(part(0)))


def test_hundreds_arrive_side_by_side(tmp_path: Path, clock: Clock) -> None:
    """Parts of many holders in many threads: each counts once, and the sum is exact."""
    count = 40
    shape = ss.Shape(holders=count, computing=2, words=50, minimum=2)
    values = [words_of([number] * 50) for number in range(count)]
    parties = {PartyId(f"board-{number}"): f"input{number + 1}" for number in range(count)}
    both = []
    for at in range(2):
        expected = Expected(
            run_id=TIED.run_id,
            holders=parties,
            to=lambda role, at=at: shape.delivery.address(TIED, int(role.removeprefix("input")) - 1, at),  # type: ignore[misc]
            private=PRIVATE[at],
            minimum=SHAPE.minimum,
        )
        kept = ss.words if at == 1 else lambda shape, again: ss.seeds(shape, 0, TIED)
        both.append(
            Uploads(
                tmp_path / str(at),
                expected,
                lambda again, kept=kept: kept(shape, again),  # type: ignore[misc]
                deadline=200.0,
                clock=clock,
            )
        )

    def send(number: int) -> None:
        drawn = oracle.stream(number, "x")
        made = ss.sealed_parts(shape, number, values[number], TIED, drawn, PUBLIC)
        for each, body in zip(both, made, strict=True):
            each.take(PartyId(f"board-{number}"), frames(body))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    present = np.ones(count, np.bool_)
    total = sum(each.finish().total(present) for each in both)
    assert np.array_equal(np.asarray(total), words_of([count * (count - 1) // 2] * 50))
    for each in both:
        each.close()


def test_what_a_crash_has_left_is_deleted(tmp_path: Path, clock: Clock) -> None:
    taking = of(tmp_path / "uploads" / "run", clock)
    taking.take(BOARDS[0], frames(part(0)))
    uploads.clear(tmp_path / "uploads")
    assert not (tmp_path / "uploads").exists()
    uploads.clear(tmp_path / "uploads")


# -- who declines -----------------------------------------------------------------------------------------------------


def refuses(act: Callable[[], object], code: str) -> None:
    with pytest.raises(PetsError) as caught:
        act()
    assert caught.value.code == code


def test_nobody_waits_for_who_declined(taking: Uploads) -> None:
    for number in (0, 2):
        taking.take(BOARDS[number], frames(part(number)))
    assert not taking.wait(0.0)
    assert taking.decline(BOARDS[1]) and taking.wait(0.0)
    assert not taking.decline(BOARDS[1]), "it may say so twice"
    assert taking.declined == {BOARDS[1]} and taking.takers == {BOARDS[0], BOARDS[2]}


def test_who_declined_cannot_upload_and_who_uploaded_cannot_decline(taking: Uploads) -> None:
    taking.decline(BOARDS[1])
    refuses(lambda: taking.take(BOARDS[1], frames(part(1))), "peer.declined")
    taking.take(BOARDS[0], frames(part(0)))
    refuses(lambda: taking.decline(BOARDS[0]), "peer.uploaded")
    assert stored(taking) == ["input1"] and taking.takers == {BOARDS[0]} and taking.declined == {BOARDS[1]}


def test_who_is_no_holder_cannot_decline(taking: Uploads) -> None:
    refuses(lambda: taking.decline(PartyId("analyst")), "peer.upload-holder")
    assert taking.declined == frozenset()


def test_whose_part_is_on_its_way_cannot_decline_until_it_has_failed(taking: Uploads) -> None:
    """Both at one time: what was first decides, and the other hears so."""
    first, *others = frames(part(0))

    def slow() -> Iterator[bytes]:
        yield first
        refuses(lambda: taking.decline(BOARDS[0]), "peer.upload-twice")
        raise LinkError("link.cut", peer=BOARDS[0])

    with pytest.raises(LinkError):
        taking.take(BOARDS[0], slow())
    assert others and taking.decline(BOARDS[0])


def test_a_decline_wakes_who_waits(taking: Uploads) -> None:
    for number in (0, 1):
        taking.take(BOARDS[number], frames(part(number)))
    threading.Timer(0.1, taking.decline, (BOARDS[2],)).start()
    began = time.monotonic()
    assert taking.wait(30.0) and time.monotonic() - began < 5


def test_too_few_are_left_and_nobody_waits_for_the_end(taking: Uploads) -> None:
    taking.take(BOARDS[0], frames(part(0)))
    taking.decline(BOARDS[1])
    assert not taking.wait(0.0), "two are the least, and two are left"
    taking.decline(BOARDS[2])
    with pytest.raises(RunError) as caught:
        taking.wait(30.0)
    assert (caught.value.code, caught.value.fields) == ("run.contributors", {"took": 1, "minimum": 2})


def test_when_uploads_are_over_nobody_declines(taking: Uploads, clock: Clock) -> None:
    clock.now = 200.0
    refuses(lambda: taking.decline(BOARDS[0]), "peer.upload-late")
    clock.now = 100.0
    taking.finish()
    refuses(lambda: taking.decline(BOARDS[0]), "peer.upload-late")
    assert taking.declined == frozenset()


# -- who withdraws ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(2))
def test_an_upload_that_is_withdrawn_is_off_the_sum_and_off_the_disk(tmp_path: Path, clock: Clock, at: int) -> None:
    both = [of(tmp_path / str(each), clock, each) for each in range(2)]
    for number, board in enumerate(BOARDS):
        for each, taking in enumerate(both):
            taking.take(board, frames(part(number, each)))
    kept = [taking.kept for taking in both]
    for taking in both if at else reversed(both):  # type: ignore[union-attr]
        assert taking.withdraw(BOARDS[1]) and not taking.withdraw(BOARDS[1])
        assert stored(taking) == ["input1", "input3"]
        assert (taking.takers, taking.declined) == ({BOARDS[0], BOARDS[2]}, {BOARDS[1]})
        assert set(taking.sizes) == {BOARDS[0], BOARDS[2]}
        assert taking.wait(0.0), "nobody waits for it"
        refuses(lambda taking=taking: taking.take(BOARDS[1], frames(part(1))), "peer.declined")  # type: ignore[misc]
    total = sum(each.total(np.array([True, False, True])) for each in kept)
    assert np.array_equal(np.asarray(total), VALUES[0] + VALUES[2])


def test_of_an_upload_that_is_off_by_half_there_is_no_sum(taking: Uploads) -> None:
    taking.take(BOARDS[0], frames(part(0)))
    (path,) = taking._folder.iterdir()
    path.write_bytes(_changed(part(0), 150))
    refuses(lambda: taking.withdraw(BOARDS[0]), "peer.upload-sealed")
    with pytest.raises(sealed.SpoiltError):
        taking.finish()


def test_who_has_not_uploaded_withdraws_as_if_it_declined(taking: Uploads) -> None:
    assert taking.withdraw(BOARDS[1]) and taking.declined == {BOARDS[1]}
    refuses(lambda: taking.take(BOARDS[1], frames(part(1))), "peer.declined")
    refuses(lambda: taking.withdraw(PartyId("analyst")), "peer.upload-holder")


@pytest.mark.parametrize("how", ["closed", "deadline"])
def test_when_uploads_are_over_nothing_is_taken_off(taking: Uploads, clock: Clock, how: str) -> None:
    for number, board in enumerate(BOARDS):
        taking.take(board, frames(part(number)))
    if how == "closed":
        taking.finish()
    else:
        clock.now = 200.0
    refuses(lambda: taking.withdraw(BOARDS[1]), "peer.withdraw-late")
    assert taking.takers == set(BOARDS) and stored(taking) == ["input1", "input2", "input3"]
    words = taking.finish().total(np.ones(3, np.bool_))
    taken = [ss.split(SHAPE, n, VALUES[n], TIED, oracle.stream(1, f"input{n + 1}")).given[0] for n in range(3)]
    assert np.array_equal(words, sum(taken[1:], taken[0]))


def test_whose_part_is_on_its_way_cannot_withdraw_it_yet(taking: Uploads) -> None:
    first, *_ = frames(part(0))

    def slow() -> Iterator[bytes]:
        yield first
        refuses(lambda: taking.withdraw(BOARDS[0]), "peer.upload-twice")
        raise LinkError("link.cut", peer=BOARDS[0])

    with pytest.raises(LinkError):
        taking.take(BOARDS[0], slow())


def test_too_few_are_left_when_one_withdraws(taking: Uploads) -> None:
    taking.take(BOARDS[0], frames(part(0)))
    taking.decline(BOARDS[1])
    taking.withdraw(BOARDS[0])
    with pytest.raises(RunError, match=r"run\.contributors"):
        taking.wait(0.0)
