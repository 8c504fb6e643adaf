"""How a holder of a table of many says that it takes no part in a run, or no more, so that nobody waits for its upload.

A holder that has refused a run, or whose part has ended before its upload was made, tells each computing party that
takes uploads: over its own channel, whose certificate names it, and with nothing but the run. No reason goes along: any
would say something of records, of budgets or of other business. The client that started it was told the code, as ever.

A holder whose upload may have left, and whose approval is revoked, takes it back the same way, as long as uploads are
taken. What it was charged stays charged: a computing party that says it took the upload off may still have it.

Who could not be reached is told later, as long as uploads may be taken. Nobody has to be told: what is missing at the
end of uploads is left out. So nothing here is written down to be done after a restart.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pets.errors import LinkError, PetsError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import contribute
from pets.spec.model import Spec
from pets.spec.pooled import is_pooled, takes_uploads

MOST: Final = 64
"""Runs of which a party tells others at one time that it declines: who starts it at will is not echoed. An upload that
is to come back is of a run that it was in, and is never kept waiting by these."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
"""Between two rounds; each pause is twice as long as the one before."""

UNKNOWN_S: Final = 60.0
"""How long a run may be unknown to a computing party, which takes uploads a moment after it was started."""

AGAIN: Final = frozenset({"link.unreachable", "link.cut", "link.deadline", "link.busy", "peer.upload-twice"})
"""Answers that are worth another attempt."""

UNDECIDED: Final = frozenset({"run.busy", "run.handle-used", "run.not-yours"})
"""Refusals to start that decide nothing: it may be started later, it was started before, or a stranger has asked."""

ENDED: Final = frozenset({"peer.aborted", "peer.declined", "peer.upload-late"})
"""Ends of a holder's part after which there is nobody to tell."""


UNTOLD: Final = ENDED | {"run.stopped", "run.crashed"}
"""Ends that may leave an upload which nobody was told to take off: of a stop the journal does not say by whom."""


class Carrier(Protocol):
    """How a holder reaches computing parties."""

    def decline(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        """Say that this party takes no part. Raises: PeerError peer.uploaded if its upload was taken before."""
        ...

    def take_back(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        """Have an upload taken off again. Raises: PeerError peer.withdraw-late when uploads are over."""
        ...


def open_s(spec: Spec) -> float:
    """How long uploads are taken: seconds."""
    return contribute.MINUTE_S * (spec.computation.upload_minutes or 0)


def refused(spec: Spec, party: PartyId, caller: PartyId, error: PetsError) -> bool:
    """Whether ``party`` has decided by refusing to start that it is not in the run of a holder's specification."""
    holds = is_pooled(spec) and party in spec.holders(spec.datasets[0].name)
    asked = caller == spec.result_party
    return holds and asked and error.code not in UNDECIDED and not isinstance(error, LinkError)


def ended(party: PartyId, error: PetsError) -> bool:
    """Whether a holder's part has ended of its own accord: a run that others have ended is over for them too."""
    stopped = error.code == "run.stopped" and error.fields.get("by") != party
    return error.code not in ENDED and not stopped


def line(handle: RunHandle, told: Sequence[PartyId], missed: Sequence[PartyId], *, back: bool) -> str:
    """What the console says of it."""
    who, others = ", ".join(told), ", ".join(missed)
    if not back:
        return f"not in run {handle}; told {who or 'nobody, whom it could not reach'}"
    if not missed:
        return f"out of run {handle}: {who} say that they have taken its upload off again"
    if told:
        return (
            f"out of run {handle} unless it goes on without {who}, who took its upload off; {others} did not any more"
        )
    return f"still in run {handle}: {others} take its upload off no more; pets stop ends the run for all"


@dataclass(frozen=True, slots=True)
class _Told:
    handle: RunHandle
    digest: SpecDigest
    seconds: float
    back: bool
    """An upload that may have left is to come back."""


class Said(Protocol):
    """Called at the end with a run, those who know, and all others. ``back``: of an upload that was to come back."""

    def __call__(
        self, handle: RunHandle, told: Sequence[PartyId], missed: Sequence[PartyId], *, back: bool
    ) -> None: ...


class Leaving:
    """Tells computing parties, in threads of its own."""

    def __init__(self, carrier: Carrier, said: Said) -> None:
        self._carrier, self._said = carrier, said
        self._changed = threading.Condition()
        self._going: dict[tuple[RunHandle, bool], threading.Thread] = {}
        self._closed = False

    def decline(self, spec: Spec, handle: RunHandle, digest: SpecDigest) -> None:
        """Tell all who take uploads of a run that this party is not in it; does not wait, and raises nothing."""
        self._begin(spec, handle, digest, back=False)

    def take_back(self, spec: Spec, handle: RunHandle, digest: SpecDigest) -> None:
        """Have an upload that may have left taken off again, as ``decline`` does."""
        self._begin(spec, handle, digest, back=True)

    def _begin(self, spec: Spec, handle: RunHandle, digest: SpecDigest, *, back: bool) -> None:
        what = _Told(handle, digest, open_s(spec), back)
        thread = threading.Thread(target=self._tell, args=(what, takes_uploads(spec)), daemon=True, name="declining")
        with self._changed:
            declines = sum(not taken_back for _, taken_back in self._going)
            if self._closed or (handle, back) in self._going or (declines >= MOST and not back):
                return
            self._going[handle, back] = thread
        thread.start()

    def close(self, wait_s: float) -> None:
        """Try nobody again, and wait for what is under way."""
        with self._changed:
            self._closed = True
            going = tuple(self._going.values())
            self._changed.notify_all()
        until = time.monotonic() + wait_s
        for thread in going:
            thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._going.clear()  # who comes back later has nobody to tell it to

    def _tell(self, what: _Told, peers: Sequence[PartyId]) -> None:
        told, left, pause, began = list[PartyId](), list(peers), FIRST_PAUSE_S, time.monotonic()
        try:
            while left:
                since = time.monotonic() - began
                for peer in tuple(left):
                    answer = self._attempt(what, peer)
                    if answer not in AGAIN and not (answer == "run.unknown" and since < UNKNOWN_S):
                        left.remove(peer)
                    if not answer:
                        told.append(peer)
                with self._changed:
                    if not left or since + pause > what.seconds or self._changed.wait_for(lambda: self._closed, pause):
                        break
                pause = min(2 * pause, LONGEST_PAUSE_S)
        finally:
            with self._changed:
                known = self._going.pop((what.handle, what.back), None) is not None
            missed = [peer for peer in peers if peer not in told]
            if known:
                self._said(what.handle, [peer for peer in peers if peer in told], missed, back=what.back)

    def _attempt(self, what: _Told, peer: PartyId) -> str:
        """Returns: the code of a refusal or a failure, "" if the peer was told."""
        try:
            (self._carrier.take_back if what.back else self._carrier.decline)(peer, what.handle, what.digest)
        except PetsError as error:
            return error.code
        return ""
