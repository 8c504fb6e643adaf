"""Uploads of many holders at one computing party, in one run: stored, opened and added as they come, gone at its end.

A part is taken only from a holder of the run, by the name in its certificate. Its size is known from the plan, and a
part that says another one is refused before a byte of it is kept. It goes to a file of its own, is flushed to disk, is
opened and added (``pets.protocols.inbox``), and only then acknowledged; whatever refuses it leaves nothing behind and
harms nobody else. A holder has one file at most, so all of them take no more than the parts of all holders. Each part
that is refused as a whole has cost a flush to disk, so a holder has ``MOST_REFUSED`` of them in a run.

A holder may decline instead, once and for the whole run. Nothing of it is taken then, and nobody waits for it; one
whose upload was taken, or is on its way, cannot decline, so what a party lists does not hang on what came first where.
It may withdraw as long as uploads are taken: its upload is taken off the sum, its file is deleted, and it has declined.

Files are for the case that a part is to be taken off the sum again. They do not outlive the run: ``close`` deletes
them, and a server that starts deletes what a crash has left (``clear``), because such a run is never resumed.
"""

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pets.errors import LinkError, PeerError, RunError
from pets.ids import PartyId
from pets.kernels.sealed import SpoiltError
from pets.protocols import checked_inputs
from pets.protocols.inbox import Address, Inbox, SealedWords, Seeds, Words
from pets.secret import Secret
from pets.transport import frame
from pets.transport.calls import Uploaded

FOLDER: Final = "uploads"
"""Where they are in a party's state folder: a folder for each run."""

MOST_REFUSED: Final = 16
"""Of a holder, in one run: parts that were stored whole and then refused. An honest holder has none."""

Kept = Seeds | Words | checked_inputs.Uploads
"""What is kept of uploads: of each a seed, or one sum of the words, or, where they are proved, all of it."""

Monotonic = Callable[[], float]
"""Seconds of a clock that nobody can set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What parts are held against. ``holders``: by party, its role on the card, in order.

    ``to``: what the part of a role is bound to; ``private``: the key of this run that all parts are sealed to.
    """

    run_id: bytes
    holders: Mapping[PartyId, str]
    to: Callable[[str], Address]
    private: Secret[bytes]
    minimum: int
    """Holders without whom there is no sum."""


class Uploads:
    """The uploads of one run. Safe for threads: parts of different holders arrive side by side.

    ``kept``: makes what is kept of uploads; it is given what reads a holder's words once more. ``deadline``: the first
    moment that is too late, of ``clock``.
    """

    def __init__(
        self,
        folder: Path,
        expected: Expected,
        kept: Callable[[Callable[[int], SealedWords]], Kept],
        *,
        deadline: float,
        clock: Monotonic = time.monotonic,
    ) -> None:
        self._folder, self._expected, self._deadline, self._clock = folder, expected, deadline, clock
        self._roles = tuple(expected.holders.values())
        self.kept: Final = kept(self._again)
        keep = self.kept.take if isinstance(self.kept, checked_inputs.Uploads) else self.kept.keep
        self._inbox = Inbox(self._roles, expected.to, expected.private, keep, deadline=_nanoseconds(deadline))
        self._changed = threading.Condition()
        self._opening = threading.Lock()
        self._under_way: set[PartyId] = set()
        self._taken: set[PartyId] = set()
        self._declined: set[PartyId] = set()
        self._refused: Counter[PartyId] = Counter()
        self._closed = self._ended = self._woken = self._spoilt = False
        self.sizes: Final[dict[PartyId, int]] = {}
        """Bytes of each part that was taken."""
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise _no_room(error) from error

    @property
    def open(self) -> bool:
        """Whether an upload would be taken that arrives now."""
        return not self._closed and self._clock() < self._deadline

    @property
    def left(self) -> float:
        """Seconds until it is too late."""
        return max(0.0, self._deadline - self._clock())

    @property
    def takers(self) -> frozenset[PartyId]:
        """Of whom there is an upload."""
        return frozenset(self._taken)

    @property
    def declined(self) -> frozenset[PartyId]:
        """Who has said not to take part."""
        return frozenset(self._declined)

    @property
    def taken(self) -> int:
        """Of how many holders there is an upload."""
        return len(self._taken)

    def take(self, peer: PartyId, frames: Iterator[bytes]) -> Uploaded:
        """Take in one part, frame by frame; it is on disk and in the sum when this returns.

        Raises: PeerError peer.upload-holder, peer.upload-late, peer.upload-run, peer.upload-twice, peer.upload-refused,
                peer.declined, peer.repeated, peer.bad-length, peer.upload-sealed, peer.upload-range, peer.upload-seed,
                and those of frames; LinkError link.cut; RunError run.no-room. Nothing of the part is kept then.
                SpoiltError if it was added in part and cannot be read again: then the run has to end.
        """
        role = self._role(peer)
        if peer in self.takers:  # however late it asks again: its answer may have been lost
            raise PeerError("peer.repeated", peer=peer, message="its upload")
        to = self._expected.to(role)
        with self._alone(peer):
            path = self._folder / role
            try:
                digest = self._stored(peer, path, to, frames)
                with path.open("rb", buffering=0) as part, self._opening:
                    self._require_open(peer)
                    with self._counted(peer), self._spoils(SpoiltError):
                        self._inbox.add(role, part, now=_nanoseconds(self._clock()))
            except BaseException as error:
                path.unlink(missing_ok=True)
                if isinstance(error, PeerError):  # who it is from is what the certificate says
                    raise PeerError(error.code, **{**error.fields, "peer": peer}) from error
                if isinstance(error, OSError):
                    self._require_open(peer)  # the folder is gone with the run
                    raise _no_room(error) from error
                raise
            with self._changed:
                self._taken.add(peer)
                self.sizes[peer] = to.size
                self._changed.notify_all()
        return Uploaded(digest)

    def decline(self, peer: PartyId) -> bool:
        """Note that a holder takes no part. It may say so again. Returns: whether that is new.

        Raises: PeerError peer.upload-holder, peer.upload-late, peer.uploaded if its upload was taken, peer.upload-twice
                if one is on its way.
        """
        self._role(peer)
        with self._changed:
            if peer in self._declined:
                return False
            if peer in self._taken:
                raise PeerError("peer.uploaded", peer=peer)
            if peer in self._under_way:
                raise PeerError("peer.upload-twice", peer=peer)
            self._require_open(peer)
            self._declined.add(peer)
            self._changed.notify_all()
            return True

    def withdraw(self, peer: PartyId) -> bool:
        """Take a holder's upload off, if there is one: it has declined from then on. Returns: whether that is new.

        Raises: PeerError peer.upload-holder, peer.withdraw-late, peer.upload-twice if an upload is on its way; what
                reading the upload again raises: then what is kept is spoilt, and the run has to end.
        """
        role = self._role(peer)
        with self._changed:
            if peer in self._declined:
                return False
            if peer in self._under_way:
                raise PeerError("peer.upload-twice", peer=peer)
            self._under_way.add(peer)
        try:
            with self._opening:
                if not self.open:
                    raise PeerError("peer.withdraw-late", peer=peer)
                if peer in self._taken:
                    with self._spoils(Exception):
                        self.kept.take_off(self._roles.index(role))
                    (self._folder / role).unlink(missing_ok=True)
                with self._changed:
                    self._taken.discard(peer)
                    self.sizes.pop(peer, None)
                    self._declined.add(peer)
                    self._changed.notify_all()
        finally:
            self._over(peer)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait at most so long. Returns: whether no more uploads are to be taken: of all holders there is an upload or
        a word that there will be none, or it is too late.

        Raises: RunError run.contributors as soon as so many have declined that too few are left.
        """
        with self._changed:
            until = min(seconds, max(0.0, self._deadline - self._clock()))
            self._changed.wait_for(lambda: self._woken or self._complete() or not self._enough(), until)
            self._woken = False
            if not self._enough():
                raise RunError("run.contributors", took=len(self._taken), minimum=self._expected.minimum)
            return self._complete() or self._clock() >= self._deadline

    def wake(self) -> None:
        """Let whoever waits look around."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def finish(self) -> Kept:
        """Take no more. Returns: what is kept of all that were taken. Parts that are on their way are refused.

        Raises: SpoiltError if a part was added or taken off by half: whoever did so ends the run, and may be slower.
        """
        with self._changed:
            self._closed = True
        with self._opening:  # a part that is just being added is in
            if self._spoilt:
                raise SpoiltError("an upload was added or taken off by half")
            return self.kept

    def close(self) -> None:
        """Take no more, and delete all files."""
        with self._changed:
            self._closed = self._ended = True
            self._changed.notify_all()
        with self._opening:  # after a part that is just being added
            clear(self._folder)  # and once more after a part that was on its way

    # -- one part -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, peer: PartyId) -> Iterator[None]:
        """One part of a holder at a time, and none after one that was taken."""
        with self._changed:
            self._require_open(peer)
            if peer in self._taken:
                raise PeerError("peer.repeated", peer=peer, message="its upload")
            if peer in self._declined:
                raise PeerError("peer.declined", peer=peer)
            if peer in self._under_way:
                raise PeerError("peer.upload-twice", peer=peer)
            if self._refused[peer] >= MOST_REFUSED:
                raise PeerError("peer.upload-refused", peer=peer, most=MOST_REFUSED)
            self._under_way.add(peer)
        try:
            yield
        finally:
            self._over(peer)

    def _over(self, peer: PartyId) -> None:
        """Nothing of a holder is under way any more. Files of a run that has ended meanwhile are deleted."""
        with self._changed:
            self._under_way.discard(peer)
            last = self._ended and not self._under_way
        if last:
            clear(self._folder)

    @contextmanager
    def _counted(self, peer: PartyId) -> Iterator[None]:
        """Count a part that is refused for what is in it. Parts of a holder come one at a time (``_alone``)."""
        try:
            yield
        except PeerError as error:
            if error.code != "peer.upload-late":
                self._refused[peer] += 1
            raise

    @contextmanager
    def _spoils(self, kind: type[Exception]) -> Iterator[None]:
        """What is kept is worth nothing after such an error. For who holds ``_opening``."""
        try:
            yield
        except kind:
            self._spoilt = True
            raise

    def _require_open(self, peer: PartyId) -> None:
        if not self.open:
            raise PeerError("peer.upload-late", peer=peer)

    def _stored(self, peer: PartyId, path: Path, to: Address, frames: Iterator[bytes]) -> str:
        """Write a part to its file, as it comes, and flush it. Returns: its digest."""
        digest, got = sha256(), 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
            for number, data in enumerate(frames):
                self._require_open(peer)
                head, body = frame.read(data)
                if head.run_id != self._expected.run_id:
                    raise PeerError("peer.upload-run", peer=peer)
                if head.slot != frame.UPLOAD:
                    raise PeerError("peer.unexpected", peer=peer, message=head.slot)
                if head.total != to.size:
                    raise PeerError("peer.bad-length", peer=peer, message="an upload", got=head.total, expected=to.size)
                if head.index != number:
                    raise PeerError("peer.gap", peer=peer, message="an upload", got=head.index, expected=number)
                _write(file, body)
                digest.update(body)
                got += body.nbytes
            if got != to.size:
                raise LinkError("link.cut", peer=peer)
            os.fsync(file.fileno())
        return digest.hexdigest()

    def _again(self, number: int) -> SealedWords:
        """The words of a holder that was taken, once more, from its file, which is open until they are closed."""
        role = self._roles[number]
        part = (self._folder / role).open("rb", buffering=0)
        try:
            return self._inbox.again(role, part)
        except BaseException:
            part.close()
            raise

    def _role(self, peer: PartyId) -> str:
        """The role of a holder. Raises: PeerError peer.upload-holder if it is none."""
        role = self._expected.holders.get(peer)
        if role is None:
            raise PeerError("peer.upload-holder", peer=peer)
        return role

    def _complete(self) -> bool:
        return self._closed or len(self._taken) + len(self._declined) == len(self._roles)

    def _enough(self) -> bool:
        return len(self._roles) - len(self._declined) >= self._expected.minimum


def clear(folder: Path) -> None:
    """Delete a folder of uploads, and all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _write(file: Any, body: memoryview) -> None:
    """All of it: an unbuffered file may take less at once."""
    while body.nbytes:
        body = body[file.write(body) :]


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _no_room(error: OSError) -> RunError:
    return RunError("run.no-room", problem=(error.strerror or "unknown").lower())
