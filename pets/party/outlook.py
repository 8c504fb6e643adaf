"""What a party says of the next run of a specification before anybody starts it: when it is due, what is against it.

It is for who may start a run, and would be told the same by doing so. A refusal for budget tells what other runs have
spent, which is no business of the other parties. What the history of releases holds against it is not in it, but that
something does.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pets.approve.approvals import Approved
from pets.check.budget import Loss
from pets.errors import ApprovalError, PeerError, PetsError
from pets.ids import PartyId
from pets.party.accounting import Account, Cap
from pets.party.consent import HELD, Consent
from pets.party.ledger import Ledger
from pets.party.state import State, StoredSpec
from pets.spec.model import Model, frozen
from pets.transport import refusal

FILE: Final = "outlook.json"
REFUSAL: Final = "refusal.bin"


class Outlook(Model):
    """When a party would run a specification next, and how often.

    ``due``: the day from which on one more run would be counted, today or later; None if none would ever be. ``left``:
    how many runs are left of those that were signed. ``affordable``: how many of them this party's budget has room for
    in this period; None if they cost it nothing.
    """

    today: dt.date
    last: dt.date | None = None
    due: dt.date | None = None
    left: int = 0
    affordable: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What one party said: its outlook, and what it would refuse a run with today."""

    outlook: Outlook
    refused: PetsError | None


def files(
    consent: Consent,
    state: State,
    ledger: Ledger,
    stored: StoredSpec,
    *,
    charges: Mapping[Account, Loss],
    caps: Mapping[Account, Cap],
) -> list[tuple[str, bytes]]:
    """What ``read`` reads, as files of the evidence."""
    said = _look(consent, state, ledger, stored, charges=charges, caps=caps)
    found = [(FILE, json.dumps(said.outlook.model_dump(mode="json"), sort_keys=True).encode())]
    if said.refused is not None:
        found.append((REFUSAL, refusal.pack(said.refused)))
    return found


def read(files: Mapping[str, bytes], *, party: PartyId) -> Said:
    """What a party said. Raises: PeerError peer.answer if that cannot be read."""
    try:
        outlook = Outlook.model_validate(frozen(_days(json.loads(files[FILE]))))
        if outlook.left < 0 or (outlook.affordable is not None and outlook.affordable < 0):
            raise ValueError("there are no fewer than none")
        if outlook.due is None and REFUSAL not in files:
            raise ValueError("what would run today is due on some day")
    except (KeyError, ValueError, TypeError, RecursionError):
        raise PeerError("peer.answer", peer=party, problem="no outlook, or one that cannot be read") from None
    return Said(outlook, refusal.unpack(files[REFUSAL], at=party) if REFUSAL in files else None)


def _days(body: object) -> dict[str, object]:
    if not isinstance(body, dict):
        raise TypeError("an outlook is an object")
    days = {name: dt.date.fromisoformat(str(body[name])) for name in ("today", "last", "due") if body.get(name)}
    return {**body, **days}


def _look(
    consent: Consent,
    state: State,
    ledger: Ledger,
    stored: StoredSpec,
    *,
    charges: Mapping[Account, Loss],
    caps: Mapping[Account, Cap],
) -> Said:
    today = state.today()
    try:
        approved = _approved(consent, stored)
    except PetsError as error:
        return Said(Outlook(today=today, last=state.last_run(stored.digest)), error)
    counts = approved.counts
    lasts = [day for count in counts if (day := state.last_run(count.digest)) is not None]
    outlook = Outlook(
        today=today,
        last=max(lasts, default=None),
        due=_due(approved, state, today),
        left=max(0, min(count.most - state.runs_used(count.digest) for count in counts)),
        affordable=ledger.fit(charges, caps),
    )
    return Said(
        outlook,
        _refusing(lambda: state.check_count(*counts))
        or _refusing(lambda: ledger.check(charges, caps))
        or (_held(consent) if consent.standing(stored).state == HELD else None),
    )


def _approved(consent: Consent, stored: StoredSpec) -> Approved:
    """This party's own approvals of it, or those of a specification that covers it."""
    reviewed = consent.reviewed(stored)
    try:
        return consent.approved_here(stored, reviewed)
    except ApprovalError:
        for covered in consent.covers(stored, reviewed):
            return covered
        raise


def _due(approved: Approved, state: State, today: dt.date) -> dt.date | None:
    """The first day on which every count that it uses up has a turn that is not used."""
    days = [today]
    for count in approved.counts:
        if state.runs_used(count.digest) >= count.most:
            return None
        last = state.last_run(count.digest)
        if count.turn is not None and last is not None and last >= count.turn.since:
            if count.turn.due is None:
                return None
            days.append(count.turn.due)
    due = max(days)
    return due if due <= approved.not_after else None


def _refusing(act: Callable[[], None]) -> PetsError | None:
    try:
        act()
    except PetsError as error:
        return error
    return None


def _held(consent: Consent) -> ApprovalError:
    return ApprovalError("approval.held", party=consent.party)
