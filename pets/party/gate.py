"""The gate: everything a party sends or takes in during a run passes here, or does not pass.

From the approved plan and its card the gate projects, for this party, the exact sequence of messages: to or from whom,
label, column, element type, count. A message that is not next in that sequence is not sent, and the run ends.
"""

import contextlib
import hashlib
import hmac
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from blake3 import blake3

from pets.errors import InternalError, PetsError
from pets.ids import PartyId
from pets.plan.cost import join_card, join_numbers, last_before_rows, ring_of, steps_of_control, steps_on_rows
from pets.protocols import codec
from pets.protocols.base import Act, Array, Receive, Send
from pets.secret import Secret
from pets.spec import handover, operations
from pets.spec import program as programs
from pets.spec.cards import Card, Element, load_cards
from pets.spec.handover import Cards, joined
from pets.spec.ir import Plan, Protect
from pets.spec.program import Program
from pets.transport.link import MOST_NUMBERED, Slot

RESULT: Final = "result"
"""The role of cards that receives final shares."""

PROGRAM_KEYS: Final = "keys"
"""What messages with keys of shared randomness are called, where more than three run a program."""

UPLOAD: Final = "U"
"""How labels of uploads begin on cards of sums over one table of many holders."""

NOT_ON_THE_CARD: Final = "none of the card"
"""What the log says of a refused message that the card does not list."""

_REFUSALS: Final = frozenset(
    {
        "internal.gate",
        "internal.wrong-array",
        "peer.unexpected",
        "peer.bad-length",
        "peer.repeated",
        "peer.gap",
        "peer.order",
        "peer.positions",
        "peer.element",
        "peer.twice",
        "peer.other-set",
        "peer.check",
        "peer.flags",
        "peer.tags",
        "peer.residue",
        "peer.transparent",
        "peer.sum",
        "peer.lists",
        "peer.program",
        "peer.budget",
    }
)
"""Errors that are about one message."""

_WORD: Final = Element("word", 8)

_SMALL: Final = 1 << 16
"""Bytes that are hashed at once: waking another thread would take longer."""

_NICE: Final = 10
"""How far hashing gives way, of 19."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One array that this party sends (``sending``) or receives. ``size`` in bytes."""

    sending: bool
    role: str
    peer: PartyId
    label: str
    slot: Slot
    element: Element
    count: int
    round: int

    @property
    def size(self) -> int:
        return self.count * self.element.width


@dataclass(frozen=True, slots=True)
class Sent:
    """What the receipt says of one array that left.

    ``sha256``: of its bytes if it went to the result party, who has them; else of the message's own 32 secret bytes and
    then the BLAKE3 digest of its bytes, which is faster where messages are long. A peer holds some of the keys
    that mask a message, so a plain digest would let it test guesses of what is masked: the sizes of role a's cells, one
    person's presence, a part of the noise.
    """

    label: str
    column: int
    to: PartyId
    size: int
    sha256: str


def project(card: Card, public: Mapping[str, int], parties: Mapping[str, PartyId], role: str) -> tuple[Expected, ...]:
    """The message sequence of ``role``: round by round, sends before receives, by message number, by column.

    A program of the card comes after the messages of its round, step by step. ``parties`` gives the party that plays
    each role of the card; ``public`` the parameters of its formulas.
    """
    return _listed(card, card.names(public), parties, role)


def project_plan(plan: Plan, parties: Mapping[str, PartyId], role: str) -> tuple[Expected, ...]:
    """The message sequence of ``role`` in a whole plan: of its join, and of what protects the release.

    Noise rides on the join's own messages; disclosure control takes the sums over and has messages of its own. What
    the three compute on rows comes between the join's rounds.
    """
    if plan.match is not None:
        return _listed(join_card(plan), join_numbers(plan), parties, role)
    if plan.program is not None:
        return _opened(plan, parties, role)
    if plan.pool is not None:
        return _of_pool(plan, parties, role)
    cards, join, safe = load_cards(), plan.join, plan.protection
    card, names = join_card(plan), join_numbers(plan)
    if not isinstance(safe, Protect) and join.rows is None:
        return _listed(card, names, parties, role)
    own: dict[str, int] = {}
    if isinstance(safe, Protect):
        own = cards[safe.card].names(dict(safe.public))
        card = joined(card, cards[safe.card])
    listed = _listed(card, handover.numbers(names, own), parties, role)
    ring = (*(next(r for r, p in parties.items() if p == each) for each in ring_of(plan)), RESULT)
    numbers, columns = _numbers_of(plan), Counter[str]()
    turn = 0 if join.rows is None else last_before_rows(card)
    after = max(message.round for message in card.messages)
    return (
        *(expected for expected in listed if expected.round <= turn),
        *_performed(steps_on_rows(plan), numbers, ring, parties, role, turn, columns),
        *(expected for expected in listed if expected.round > turn),
        *_performed(steps_of_control(plan), numbers, ring, parties, role, after, columns),
    )


def _of_pool(plan: Plan, parties: Mapping[str, PartyId], role: str) -> tuple[Expected, ...]:
    """The same for sums over one table of many holders: without uploads, whose sizes are the inbox's to check."""
    cards, safe = load_cards(), plan.protection
    card, names = _card_of(plan), join_numbers(plan)
    card = replace(card, messages=tuple(message for message in card.messages if not message.label.startswith(UPLOAD)))
    if not isinstance(safe, Protect):
        return _listed(card, names, parties, role)
    listed = _listed(card, handover.numbers(names, cards[safe.card].names(dict(safe.public))), parties, role)
    ring = (*(next(r for r, p in parties.items() if p == each and r != RESULT) for each in ring_of(plan)), RESULT)
    after = max(message.round for message in card.messages)
    return (*listed, *_performed(steps_of_control(plan), _numbers_of(plan), ring, parties, role, after, Counter()))


def labels_of(plan: Plan) -> dict[int, str]:
    """The label of every message of a plan by its number on the wire."""
    if plan.match is not None:
        return _labels(join_card(plan))
    if plan.program is not None:
        among, out = (next(s.label for s in join_card(plan).streams if bool(s.to) is to) for to in (False, True))
        return {1: PROGRAM_KEYS, 2: among, MOST_NUMBERED: out}
    if plan.pool is not None and not isinstance(plan.protection, Protect):
        return _labels(join_card(plan))
    return _labels(_card_of(plan)) | {number: label for label, number in _numbers_of(plan).items()}


def _opened(plan: Plan, parties: Mapping[str, PartyId], role: str) -> tuple[Expected, ...]:
    """What is opened of a program: one message of a known size from each party to the result party's client."""
    card, names = join_card(plan), join_numbers(plan)
    found = []
    for stream in card.streams:
        size = stream.bytes.evaluate(names) // _WORD.width
        members = [each for each in parties if each != stream.to] if stream.to else []
        for member in members:
            if role in (member, stream.to):
                other = stream.to if role == member else member
                slot = Slot(MOST_NUMBERED, 0)
                found.append(Expected(role == member, other, parties[other], stream.label, slot, _WORD, size, 1))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Flow:
    """What a stream lets one party send one other: at most so many frames, of so many bytes of payload together."""

    label: str
    peer: PartyId
    frames: int
    bytes: int


def project_streams(plan: Plan, parties: Mapping[str, PartyId], role: str) -> tuple[Flow, ...]:
    """The streams that ``role`` may send to its peers, and they to it: those of the card that name no receiver."""
    if plan.program is None:
        return ()
    card, names = join_card(plan), join_numbers(plan)
    peers = [party for each, party in parties.items() if each not in (role, RESULT)]
    return tuple(
        Flow(stream.label, peer, stream.frames.evaluate(names), stream.bytes.evaluate(names))
        for stream in card.streams
        if not stream.to and role != RESULT
        for peer in peers
    )


def _card_of(plan: Plan) -> Card:
    """The messages of a plan that cards list, of its join and of what takes over."""
    cards, safe, card = load_cards(), plan.protection, join_card(plan)
    return joined(card, cards[safe.card]) if isinstance(safe, Protect) else card


def _numbers_of(plan: Plan) -> dict[str, int]:
    """Numbers of the messages of operations, behind those that cards list."""
    first, rows = 1 + max(_labels(_card_of(plan))), None if plan.pool is not None else plan.join.rows
    used = [load_cards()[card] for card in (plan.protection.card, *(() if rows is None else (rows.card,)))]
    labels = dict.fromkeys(label for card in used for label in operations.labels(card.operations, Cards()))
    return {label: number for number, label in enumerate(labels, first)}


def project_operations(
    card: Card, program: Sequence[tuple[str, Mapping[str, int]]], parties: Mapping[str, PartyId], role: str
) -> tuple[Expected, ...]:
    """The message sequence of ``role`` in a program: operations of a card in order, each with its public parameters."""
    numbers = _numbers(card, 1)
    columns: Counter[str] = Counter()
    sequence: list[Expected] = []
    for name, public in program:
        steps = operations.steps(card.operations, name, card.names(public), Cards())
        sequence += _performed(steps, numbers, tuple(card.roles), parties, role, len(sequence), columns)
    return tuple(sequence)


def _listed(card: Card, names: Mapping[str, int], parties: Mapping[str, PartyId], role: str) -> tuple[Expected, ...]:
    sequence: list[Expected] = []
    for sending in (True, False):
        for message in card.messages:
            if role != (message.sender if sending else message.receiver):
                continue
            other = message.receiver if sending else message.sender
            element, count = message.element_under(names), message.count.evaluate(names)
            sequence += (
                Expected(
                    sending,
                    other,
                    parties[other],
                    message.label,
                    Slot(message.number, column),
                    element,
                    count,
                    message.round,
                )
                for column in range(message.columns.evaluate(names))
            )
    sequence.sort(key=lambda e: (e.round, not e.sending, e.slot))
    if (program := card.program) is None:
        return tuple(sequence)
    before = sum(expected.round <= program.after for expected in sequence)
    return (*sequence[:before], *_of_program(card, program, names, parties, role), *sequence[before:])


def _of_program(
    card: Card, program: Program, names: Mapping[str, int], parties: Mapping[str, PartyId], role: str
) -> Iterator[Expected]:
    """The steps of a card's program at ``role``; its labels are numbered after the messages of the card."""
    if role in program.parties:
        numbers = {label: number for number, label in _labels(card).items()}
        steps = programs.steps(program, load_cards()[program.card], names)
        yield from _performed(steps, numbers, program.parties, parties, role, program.after, Counter())


def _labels(card: Card) -> dict[int, str]:
    """The labels of a card's messages by their numbers on the wire, those of its program at the end."""
    labels = {message.number: message.label for message in card.messages}
    if (program := card.program) is not None:
        of = operations.labels(load_cards()[program.card].operations, Cards())
        labels |= dict(enumerate((program.mark + label for label in of), 1 + max(labels)))
    return labels


def _numbers(card: Card, first: int) -> dict[str, int]:
    return {label: number for number, label in enumerate(operations.labels(card.operations, Cards()), first)}


def _performed(
    steps: Iterable[Sequence[operations.Sent]],
    numbers: Mapping[str, int],
    roles: Sequence[str],
    parties: Mapping[str, PartyId],
    role: str,
    after: int,
    columns: Counter[str],
) -> Iterator[Expected]:
    """What ``role`` sends and receives in these steps: in each it sends before it receives.

    Steps of one label are numbered alike at all parties, whoever speaks; ``columns`` counts them.
    """
    for place, step in enumerate(steps, after + 1):
        label, column = step[0].label, columns[step[0].label]
        columns[label] += 1
        for sending in (True, False):
            for each in step:
                own, other = (each.sender, each.receiver) if sending else (each.receiver, each.sender)
                if roles[own] == role:
                    peer = roles[other]
                    slot = Slot(numbers[label], column)
                    yield Expected(sending, peer, parties[peer], label, slot, _WORD, each.count, place)


class Gate:
    """Holds one party to its sequence for one run, and remembers the digest of everything that left.

    ``opening``: 32 fresh bytes that hide the digests of what goes to peers; ``opened_by`` derives those of one message.
    """

    def __init__(self, sequence: Sequence[Expected], *, opening: Secret[bytes] | None = None) -> None:
        if opening is None and any(e.sending and e.role != RESULT for e in sequence):
            raise InternalError("internal.bug", where="a gate whose digests nothing hides")
        hidden = [(e.label, e.slot.column) for e in sequence if e.sending and e.role != RESULT]
        if len(set(hidden)) < len(hidden):
            raise InternalError("internal.bug", where="a gate that hides two messages by the same bytes")
        self._sequence = tuple(sequence)
        self._opening = opening
        self._next = 0
        self.let_in = False
        """Whether a link has been told what may come in."""
        self._step_now = self._sequence[0].label if self._sequence else ""
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="gate", initializer=_give_way)
        self._sent: list[tuple[Expected, str | Future[str]]] = []

    @property
    def step(self) -> str:
        """Label of the message at which this party stands: the one under way, or where the plan stood at a refusal."""
        return self._step_now

    @property
    def incoming(self) -> tuple[Expected, ...]:
        """All arrays this party will receive: what the link may let in, with sizes."""
        return tuple(expected for expected in self._sequence if not expected.sending)

    @property
    def told(self) -> bool:
        """True once a result can come about without this party: its share has passed, or the last that others need."""
        sends = sum(expected.sending for expected in self._sequence)
        return any(expected.role == RESULT for expected, _ in self._sent) or len(self._sent) == sends

    def pass_out(self, act: Send) -> tuple[Expected, memoryview]:
        """Let ``act`` out if it is next; its bytes. InternalError gate: the code of this party is not its card."""
        expected = self._step(act, act.to, sending=True)
        element = expected.element
        try:
            body = codec.encode(act.array, kind=element.kind, width=element.width, count=expected.count)
        except InternalError as error:
            raise InternalError(error.code, **{**error.fields, "label": expected.label}) from None
        hidden = self._hidden_by(expected)
        small = body.nbytes <= _SMALL
        self._sent.append((expected, told_of(hidden, body) if small else self._hashing.submit(told_of, hidden, body)))
        return expected, body

    def pass_in(self, act: Receive) -> Expected:
        """What ``act`` waits for, if it is next."""
        return self._step(act, act.from_, sending=False)

    def read(self, expected: Expected, body: memoryview) -> Array:
        """Read a received body as the array the card lists; PeerError on a wrong length."""
        element = expected.element
        return codec.decode(body, kind=element.kind, width=element.width, count=expected.count, label=expected.label)

    def finish(self) -> tuple[Sent, ...]:
        """All messages have passed: what was sent. InternalError if the role ended early."""
        if self._next != len(self._sequence):
            self._step_now = self._sequence[self._next].label
            raise InternalError("internal.gate", label=self._sequence[self._next].label, problem="was never reached")
        sent = tuple(
            Sent(
                expected.label,
                expected.slot.column,
                expected.peer,
                expected.size,
                digest if isinstance(digest, str) else digest.result(),
            )
            for expected, digest in self._sent
        )
        self.close()
        return sent

    def close(self) -> None:
        """Stop the hashing thread; nothing passes any more."""
        self._next = len(self._sequence)
        self._hashing.shutdown(wait=False, cancel_futures=True)

    def _hidden_by(self, expected: Expected) -> bytes:
        if expected.role == RESULT or self._opening is None:
            return b""
        return opened_by(self._opening, expected.label, expected.slot.column)

    def _step(self, act: Act, role: str, *, sending: bool) -> Expected:
        if self._next >= len(self._sequence):
            raise InternalError("internal.gate", label=act.label, problem="comes after the last message of the plan")
        expected = self._sequence[self._next]
        self._step_now = expected.label
        if (expected.sending, expected.role, expected.label, expected.slot.column) != (
            sending,
            role,
            act.label,
            act.column,
        ):
            raise InternalError("internal.gate", label=act.label, problem=f"is not next: the plan has {expected.label}")
        self._next += 1
        return expected


def named(error: PetsError, labels: Mapping[int, str]) -> PetsError:
    """``error`` of a link, which knows messages by number, with the names of the cards and the label by itself."""
    slots = {name: slot for name, slot in error.fields.items() if isinstance(slot, Slot)}
    if not slots:
        return error
    fields = dict(error.fields)
    for name, slot in slots.items():
        label = labels.get(slot.message)
        fields[name] = str(slot) if label is None else f"{label}.{slot.column}"
    return type(error)(error.code, **{**fields, "label": labels.get(next(iter(slots.values())).message, "")})


def refused(error: PetsError, labels: Mapping[int, str]) -> str:
    """Label of the message that was not let through, if that is what ``error`` is about; "" if not.

    A label that is not on the cards is not repeated: it was never approved, and could say anything.
    """
    label = error.fields.get("label")
    if label is None or error.code not in _REFUSALS:
        return ""
    return str(label) if label in labels.values() else NOT_ON_THE_CARD


def opened_by(opening: Secret[bytes], label: str, column: int) -> bytes:
    """The 32 bytes that stand before one message in its digest: whoever is shown them can check that message alone."""
    return hmac.digest(opening.expose("hide a digest"), f"pets/1 receipt {label}.{column}".encode(), "sha256")


def _give_way() -> None:
    """Let this thread run where nothing else wants the processor: digests are for the receipt, messages do not wait."""
    with contextlib.suppress(OSError, AttributeError):  # a thread has a priority of its own on Linux only
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def told_of(hidden_by: bytes, body: memoryview) -> str:
    """What a receipt says of a message: see ``Sent``. ``hidden_by``: its 32 secret bytes, or none for final shares."""
    if not hidden_by:
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha256(hidden_by + blake3(body).digest()).hexdigest()
