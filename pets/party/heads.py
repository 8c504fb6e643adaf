"""A party's log, held against the receipts that others have of its runs: is anything gone that it signed?

A restored copy of the state file has a chain as good as any; only who has a head that was signed later can tell. For
the party's own people, on the machine of its server: nothing is written, and a server that runs is not held up.
Receipts are believed once their signatures are verified with the party's own key. They vouch for what came before them:
of what came after the last of them, and of the charges of runs that ended early, they say nothing.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pets.approve.envelope import MAX_ENVELOPE, SigningKey, claimed
from pets.approve.policy import Limits
from pets.check.budget import Loss, exact
from pets.errors import ApprovalError, LogError, ReceiptError
from pets.ids import PartyId
from pets.party.config import own_books
from pets.party.log import Chain, Head
from pets.party.receipts import RECEIPT, Receipt, Spend, reason, verify_receipt
from pets.party.records import Reader
from pets.party.state import utc_now


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt of this party. ``problem``: what is wrong with the entry that it names; None if the log contains it."""

    receipt: Receipt
    problem: str | None

    def told(self) -> str:
        """The receipt in words."""
        name = f"run {self.receipt.handle}, ended {self.receipt.ended}: its head, entry {self.receipt.log.seq},"
        if self.problem is None:
            return f"{name} is contained"
        charged = [f"{spend.dataset}: {_loss_told(_loss(spend))}" for spend in self.receipt.spend]
        return f"{name} {self.problem}; charged {'; '.join(charged) or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A log whose chain is whole, and the receipts that it was held against, in the order of their heads.

    ``others``: how many receipts of other parties were passed over.
    """

    party: PartyId
    head: Head
    found: tuple[Found, ...]
    others: int
    limits: Limits
    today: dt.date

    def require(self) -> int:
        """The number of the last entry that a receipt names, if the log contains all that they name.

        Raises: LogError ``log.head`` with what may be gone, in notes.
        """
        gone = [each for each in self.found if each.problem is not None]
        if gone:
            error = LogError("log.head", seq=gone[0].receipt.log.seq, problem=gone[0].problem)
            for line in self._gone(gone):
                error.add_note(line)
            raise error
        return max(each.receipt.log.seq for each in self.found)

    def _gone(self, gone: Sequence[Found]) -> Iterator[str]:
        """What a person has to know who serves from this file all the same."""
        first = min(each.receipt.ended for each in gone)  # a later receipt may be of the log that went on from a copy
        sure = max((a.receipt.log.seq for a in self.found if a.problem is None and a.receipt.ended <= first), default=0)
        yield (
            f"up to entry {sure} a receipt confirms the log, of {self.head.seq} entries; runs, charges, approvals and"
            " revocations that were logged after it may be gone"
        )
        period, since = self.limits.period, self.limits.since(self.today)
        when = "for all time" if period == "none" else f"in this {period}"
        spent: dict[str, Loss] = {}
        for each in gone:
            if dt.datetime.fromisoformat(each.receipt.ended).date() >= since:
                for spend in each.receipt.spend:
                    spent[spend.dataset] = spent.get(spend.dataset, Loss()) + _loss(spend)
        for dataset, loss in sorted(spent.items()):
            yield f"{dataset}: the receipts whose heads are not in the log show {_loss_told(loss)}, {when}"
        yield "runs that ended early were charged too, and have no receipt"


def compare(config: Path, receipts: Sequence[Path], *, now: dt.datetime | None = None) -> Comparison:
    """Recompute the log of the party whose ``party.toml`` this is, and look for the heads that its receipts name.

    ``receipts``: files, or folders of evidence; receipts of other parties in them are passed over. ``now``: another
    moment than this one.
    Raises:  LogError ``log.entry`` or ``log.file`` for a log that was altered; ReceiptError ``receipt.unreadable``,
             ``receipt.none``, ``receipt.own`` for one in this party's name that it did not sign, ``receipt.none-own``
             if none is of this party; ConfigError, as ``own_books`` and ``Reader`` do.
    """
    books = own_books(config)
    public = SigningKey.load(books.signing_key).public
    own, others = dict[str, Receipt](), 0  # each once, whatever the layout of its file
    for path in _files(receipts):
        envelope = _read(path)
        if _speaks_for(envelope, path) == books.party:
            receipt = _verified(envelope, path, books.party, public)
            own[receipt.model_dump_json()] = receipt
        else:
            others += 1
    if not own:
        raise ReceiptError("receipt.none-own", count=others, party=books.party)
    heads = [(Head(each.log.seq, bytes.fromhex(each.log.hash)), each) for each in own.values()]
    with Reader(books.state) as records:
        head, absent = Chain(records).hold(at for at, _ in heads)
    found = [Found(receipt, absent.get(at)) for at, receipt in heads]
    found.sort(key=lambda each: (each.receipt.log.seq, each.receipt.ended, each.receipt.handle))
    today = (now or utc_now()).astimezone(dt.UTC).date()
    return Comparison(books.party, head, tuple(found), others, books.limits, today)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The receipts in folders of evidence, and other files as they are given."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted((path / "receipts").glob("*.json"))
        if not found:
            raise ReceiptError("receipt.none", file=str(path), problem="it has no folder receipts with one in it")
        yield from found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ENVELOPE + 1)  # one more is too many, and is refused as such
    except OSError as error:
        problem = (error.strerror or "it cannot be read").lower()
        raise ReceiptError("receipt.unreadable", file=str(path), problem=problem) from None


def _speaks_for(envelope: bytes, path: Path) -> str:
    """In whose name a receipt is, unverified."""
    try:
        said = claimed(envelope)
    except ApprovalError as error:
        raise ReceiptError("receipt.none", file=str(path), problem=reason(error)) from None
    predicate = said.get("predicate")
    party = predicate.get("party") if isinstance(predicate, dict) else None
    if said.get("predicateType") != RECEIPT or not isinstance(party, str):
        raise ReceiptError("receipt.none", file=str(path), problem="it is a statement of another type")
    return party


def _verified(envelope: bytes, path: Path, party: PartyId, public: bytes) -> Receipt:
    try:
        return verify_receipt(envelope, {party: public}, party=party)
    except ReceiptError as error:
        raise ReceiptError("receipt.own", file=str(path), party=party, problem=reason(error)) from None


def _loss(spend: Spend) -> Loss:
    return Loss(Fraction(spend.epsilon), Fraction(spend.delta), Fraction(spend.rho))


def _loss_told(loss: Loss) -> str:
    parts = [f"{name} {exact(getattr(loss, name))}" for name in ("epsilon", "delta", "rho") if getattr(loss, name)]
    return " ".join(parts) or "nothing"
