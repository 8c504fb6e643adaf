"""Frames and calls over gRPC with mutual TLS: the dialling side. ``party/server.py`` is the listening side.

Bulk bytes are raw messages with identity serialisers, one stream for each burst of frames; a stream ends as soon as
nothing waits, so its answer confirms what it carried. gRPC errors are wrapped here and nowhere else.

The options below were measured (benchmarks/carriage.py): with 1 MiB frames the cost is copying and page faults, so
large HTTP/2 frames and reads help, further channels to one peer do not.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

import grpc

from pets.errors import InternalError, LinkError, PeerError, PetsError
from pets.ids import PartyId
from pets.secret import Secret
from pets.transport import frame, refusal
from pets.transport.calls import MAX_ANSWER, server_name
from pets.transport.link import Slot
from pets.transport.mailbox import Exchange, Inlet, Mailbox, Outbox
from pets.wire import party_pb2 as wire

DELIVER: Final = "/pets.v1.Exchange/Deliver"
COLLECT: Final = "/pets.v1.Exchange/Collect"

QUEUE_BYTES: Final = 64 << 20
"""Body bytes that may wait for one peer before ``send`` blocks; a single body may be larger."""

LINGER_S: Final = 0.05
"""How long a stream with nothing to send waits for more before it ends."""

ABORT_S: Final = 2.0

AGAIN_S: Final = 2.0
"""Between two attempts at a collection that has broken off."""

_AWAY: Final = frozenset({"link.unreachable", "link.cut", "link.busy"})
"""What a collection may break off with and yet be asked for again."""

OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.http2.max_frame_size", 16_777_215),
    ("grpc.experimental.tcp_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_min_read_chunk_size", 1 << 18),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.enable_retries", 0),
)
"""Options of both sides."""

_CHANNEL_OPTIONS: Final = (
    *OPTIONS,
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.max_send_message_length", 2 * MAX_ANSWER),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a party shows and trusts: PEM texts."""

    certificate: bytes
    key: Secret[bytes]
    ca: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where a party's server listens, the URI name that its certificate must carry, and its CA if it has its own."""

    endpoint: str
    san: str
    ca: bytes | None = None


class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802


Answer = TypeVar("Answer")


def _raw(data: bytes) -> bytes:
    return data


class Dialler:
    """Channels from one caller to the servers of others: one per peer, made when first used, kept between runs."""

    def __init__(self, me: Credentials, addresses: Mapping[PartyId, Address]) -> None:
        self._me = me
        self._addresses = dict(addresses)
        self._channels: dict[PartyId, grpc.Channel] = {}
        self._lock = threading.Lock()

    def channel(self, peer: PartyId) -> grpc.Channel:
        """The channel to ``peer``; it speaks only with a server whose certificate carries that party's name."""
        with self._lock:
            if peer not in self._channels:
                address = self._addresses.get(peer)
                if address is None:
                    raise LinkError("link.unreachable", peer=peer)
                credentials = grpc.ssl_channel_credentials(
                    address.ca or self._me.ca, self._me.key.expose("open a TLS channel"), self._me.certificate
                )
                options = (*_CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", server_name(address.san)))
                self._channels[peer] = grpc.secure_channel(address.endpoint, credentials, options=options)
            return self._channels[peer]

    def call(
        self,
        peer: PartyId,
        method: str,
        request: _Message,
        answer: Callable[[bytes], Answer],
        deadline_s: float,
        *,
        patient: bool = False,
    ) -> Answer:
        """One question, one answer. ``method`` is ``Service/Method`` of proto/pets/v1.

        ``patient``: wait until the peer can be reached, instead of failing while a channel is between two attempts.
        """
        stub = self.channel(peer).unary_unary(f"/pets.v1.{method}", _raw, answer)
        try:
            return cast(Answer, stub(request.SerializeToString(), timeout=deadline_s, wait_for_ready=patient))
        except grpc.RpcError as error:
            raise translate(error, peer, step=method, seconds=deadline_s) from None

    def stream(
        self, peer: PartyId, method: str, request: _Message, answer: Callable[[bytes], Answer], deadline_s: float
    ) -> Iterator[Answer]:
        """One question, a stream of answers; closing the iterator ends the call."""
        stub = self.channel(peer).unary_stream(f"/pets.v1.{method}", _raw, answer)
        call: Any = stub(request.SerializeToString(), timeout=deadline_s)
        try:
            yield from call
        except grpc.RpcError as error:
            raise translate(error, peer, step=method, seconds=deadline_s) from None
        finally:
            call.cancel()

    def hand_in(
        self,
        peer: PartyId,
        method: str,
        messages: Iterator[bytes],
        answer: Callable[[bytes], Answer],
        deadline_s: float,
    ) -> Answer:
        """A stream of raw messages, one answer. Waits for a peer that cannot be reached yet."""
        stub = self.channel(peer).stream_unary(f"/pets.v1.{method}", _raw, answer)
        try:
            return cast(Answer, stub(messages, timeout=deadline_s, wait_for_ready=True))
        except grpc.RpcError as error:
            raise translate(error, peer, step=method, seconds=deadline_s, moved=True) from None

    def tell_abort(self, peer: PartyId, run_id: bytes, code: str) -> None:
        """Tell ``peer`` that a run has ended, and do not wait for it."""
        try:
            stub = self.channel(peer).unary_unary("/pets.v1.Exchange/Abort", _raw, _raw)
            request = wire.AbortRequest(run_id=run_id, code=code)
            stub.future(request.SerializeToString(), timeout=ABORT_S).add_done_callback(lambda _: None)
        except (LinkError, ValueError):  # nobody to tell, or the channel is closed
            return

    def close(self) -> None:
        """Close all channels; calls under way are cancelled."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()


def translate(error: Any, peer: PartyId, *, step: str, seconds: float, moved: bool = False) -> PetsError:
    """The typed error for what gRPC says. ``moved``: bytes of a message had been handed over before."""
    for key, value in error.trailing_metadata() or ():
        if key == refusal.KEY:
            return refusal.unpack(value, at=peer)
    status = error.code()
    if status == grpc.StatusCode.UNAVAILABLE:
        return LinkError("link.cut" if moved else "link.unreachable", peer=peer)
    if status == grpc.StatusCode.DEADLINE_EXCEEDED:
        return LinkError("link.deadline", peer=peer, step=step, seconds=seconds)
    if status == grpc.StatusCode.CANCELLED:
        return LinkError("link.cut", peer=peer)
    if status == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return LinkError("link.busy", peer=peer)
    return PeerError("peer.answer", peer=peer, problem=f"status {status.name if status else 'missing'} to {step}")


class _Sender:
    """What waits for one peer, and the streams that take it there in order. Bodies are cut as gRPC asks for frames."""

    def __init__(self, stub: Any, mailbox: Mailbox, peer: PartyId, deadline_s: float) -> None:
        self._stub = stub
        self._mailbox = mailbox
        self._peer = peer
        self._deadline_s = deadline_s
        self._changed = threading.Condition()
        self._queue: deque[tuple[Slot, memoryview]] = deque()
        self._waiting = 0  # bytes in the queue and in the body that is being cut
        self._streaming = False
        self._flushing = False
        self._stopped = False
        self._moved = False
        self._calls: set[Any] = set()

    def put(self, slot: Slot, body: memoryview) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._stopped or self._waiting < QUEUE_BYTES, self._deadline_s):
                raise self._late()
            if self._stopped:
                self._quietly()
                return
            self._queue.append((slot, body))
            self._waiting += body.nbytes
            self._changed.notify_all()
            start = self._begins()
        if start:
            self._start()

    def _begins(self) -> bool:
        """With the lock: whether a stream is to start now. One at a time, so that the peer meets messages in order."""
        if self._streaming or self._stopped or not self._queue:
            return False
        self._streaming = True
        return True

    def _start(self) -> None:
        call = self._stub.future(self._frames(), timeout=self._deadline_s)
        with self._changed:
            self._calls.add(call)
            stopped = self._stopped
        call.add_done_callback(self._done)
        if stopped:
            call.cancel()

    def _frames(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._flushing or bool(self._queue), LINGER_S)
                if self._stopped or not self._queue:
                    return
                slot, body = self._queue.popleft()
            for data in frame.frames(self._mailbox.run_id, slot, body):
                if self._stopped:
                    break
                self._moved = True
                yield data
            with self._changed:
                self._waiting -= body.nbytes
                self._changed.notify_all()
            del body

    def _done(self, call: Any) -> None:
        error = None
        if call.code() != grpc.StatusCode.OK:
            error = translate(call, self._peer, step="delivery", seconds=self._deadline_s, moved=self._moved)
        with self._changed:
            quiet = self._stopped
        if error is not None and not quiet:
            self._mailbox.lose(self._peer, error)
            self.stop()
        with self._changed:
            self._calls.discard(call)
            self._streaming = False
            again = self._begins()
            self._changed.notify_all()
        if again:
            self._start()

    def flush(self, deadline_s: float) -> None:
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            idle = self._changed.wait_for(lambda: self._stopped or not (self._queue or self._streaming), deadline_s)
            self._flushing = False
            if self._stopped:
                self._quietly()
                return
            if not idle:
                raise self._late()

    def _quietly(self) -> None:
        """What is for a lost peer is dropped; else a sender that has stopped says why."""
        if self._mailbox.error is not None or self._peer not in self._mailbox.lost:
            raise self._mailbox.error or LinkError("link.closed")

    def _late(self) -> LinkError:
        return LinkError("link.deadline", peer=self._peer, step="delivery", seconds=self._deadline_s)

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._stopped = True
            self._queue.clear()
            calls = tuple(self._calls)
            self._changed.notify_all()
        for call in calls:
            call.cancel()


class _Carried(ABC):
    """What both ends have: a mailbox, a sender for each peer that has a server, and one way to end."""

    def __init__(
        self, me: PartyId, run_id: bytes, peers: Collection[PartyId], dialler: Dialler, deadline_s: float
    ) -> None:
        self._me = me
        self._dialler = dialler
        self._deadline_s = deadline_s
        self.mailbox: Final = Mailbox(run_id, peers)
        self._senders: dict[PartyId, _Sender] = {}
        self._lock = threading.RLock()
        self._opened = False
        self._ended = False
        self.mailbox.on_fail(self._failed)

    @property
    def received(self) -> Mapping[PartyId, int]:
        """Bytes of body that arrived, by peer."""
        return self.mailbox.received

    @property
    def error(self) -> PetsError | None:
        return self.mailbox.error

    def expect(self, peer: PartyId, slot: Slot, size: int) -> None:
        self.mailbox.expect(peer, slot, size)

    def expect_stream(self, peer: PartyId, first: Slot, *, most: int, total: int) -> None:
        self.mailbox.expect_stream(peer, first, most=most, total=total)

    def open(self) -> None:
        with self._lock:
            if self._opened or self._ended:
                return
            self._opened = True
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Let frames in: of peers at the server's exchange, or by collecting what waits there."""

    def send(self, peer: PartyId, slot: Slot, body: memoryview) -> None:
        self.open()
        if self.mailbox.error:
            raise self.mailbox.error
        with self._lock:
            if peer not in self._senders:
                if peer not in self.mailbox.peers:
                    raise InternalError("internal.bug", where=f"send to {peer}, who has no part in this run")
                stub = self._dialler.channel(peer).stream_unary(DELIVER, _raw, _raw)
                self._senders[peer] = _Sender(stub, self.mailbox, peer, self._deadline_s)
            sender = self._senders[peer]
        if peer in self.mailbox.lost:
            sender.stop()
        sender.put(slot, body)

    def receive(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview:
        self.open()
        return self.mailbox.receive(peer, slot, deadline_s)

    def spare(self, peers: Iterable[PartyId]) -> None:
        self.mailbox.spare(peers)

    @property
    def lost(self) -> frozenset[PartyId]:
        return self.mailbox.lost

    def lose(self, peer: PartyId, error: PetsError) -> None:
        self.mailbox.lose(peer, error)
        if peer in self.mailbox.lost and peer in self._senders:
            self._senders[peer].stop()

    def hear(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview | None:
        self.open()
        body = self.mailbox.hear(peer, slot, deadline_s)
        if body is None and peer in self._senders:
            self._senders[peer].stop()
        return body

    def receive_next(self, peer: PartyId, deadline_s: float) -> memoryview:
        self.open()
        return self.mailbox.receive_next(peer, deadline_s)

    def flush(self, deadline_s: float) -> None:
        for peer, sender in tuple(self._senders.items()):
            if peer in self.mailbox.lost:
                sender.stop()
            sender.flush(deadline_s)
        if self.mailbox.error:
            raise self.mailbox.error

    def _failed(self, error: PetsError) -> None:
        with self._lock:
            senders = tuple(self._senders.values())
        for sender in senders:
            sender.stop()

    def abort(self, code: str) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        code = self.mailbox.root(code)
        for peer in sorted(self.mailbox.peers):
            self._dialler.tell_abort(peer, self.mailbox.run_id, code)
        self._close(PeerError("peer.aborted", peer=self._me, reason=code))

    def close(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._close(None)

    def _close(self, error: PetsError | None) -> None:
        self.mailbox.close()


class GrpcLink(_Carried):
    """The network of one run as a party server sees it: a ``pets.transport.link.Link``.

    ``collectors`` names the endpoints of the run that have no server, each with the caller who may collect for it: what
    is sent to them waits here. ``peers`` are the others. ``deadline_s`` bounds every stream: the run's own limit.
    ``keeps``: a collection that breaks off before anything was pulled may begin anew.
    """

    def __init__(
        self,
        me: PartyId,
        run_id: bytes,
        peers: Collection[PartyId],
        dialler: Dialler,
        exchange: Exchange,
        *,
        collectors: Mapping[PartyId, PartyId] | None = None,
        deadline_s: float,
        keeps: bool = False,
    ) -> None:
        super().__init__(me, run_id, peers, dialler, deadline_s)
        self._exchange = exchange
        self._outboxes = {
            endpoint: Outbox(run_id, caller, lost=self.mailbox.fail, keeps=keeps)
            for endpoint, caller in (collectors or {}).items()
        }

    def _open(self) -> None:
        self._exchange.open(self.mailbox, self._outboxes)

    def send(self, peer: PartyId, slot: Slot, body: memoryview) -> None:
        if peer not in self._outboxes:
            super().send(peer, slot, body)
            return
        self.open()
        self._outboxes[peer].put(slot, body)

    def flush(self, deadline_s: float) -> None:
        super().flush(deadline_s)
        for outbox in self._outboxes.values():
            outbox.flush(deadline_s)

    def _failed(self, error: PetsError) -> None:
        super()._failed(error)
        if error.code != "link.closed":
            reason = error.fields["reason"] if error.code == "peer.aborted" else error.code
            for outbox in self._outboxes.values():
                outbox.fail(PeerError("peer.aborted", peer=self._me, reason=reason))

    def _close(self, error: PetsError | None) -> None:
        for outbox in self._outboxes.values():
            if error is not None:
                outbox.fail(error)
            outbox.close()
        super()._close(error)
        self._exchange.close(self.mailbox.run_id)


class ResultLink(_Carried):
    """The network of one run as the result party's client sees it: no server, so it collects what waits for it.

    ``away_s``: for so long it asks again where a server cannot be reached and nothing has come from it yet.
    """

    def __init__(
        self,
        me: PartyId,
        run_id: bytes,
        peers: Collection[PartyId],
        dialler: Dialler,
        deadline_s: float,
        *,
        away_s: float = 0.0,
    ) -> None:
        self._away_s = away_s
        self._over = threading.Event()
        self._calls: list[Any] = []
        self._pullers: list[threading.Thread] = []
        super().__init__(me, run_id, peers, dialler, deadline_s)

    def _open(self) -> None:
        peers = sorted(self.mailbox.peers)
        self._pullers = [threading.Thread(target=self._pull, args=(peer,), daemon=True) for peer in peers]
        for puller in self._pullers:
            puller.start()

    def _pull(self, peer: PartyId) -> None:
        until = time.monotonic() + self._deadline_s
        away: float | None = None
        while True:
            pulled = _Pulled()
            try:
                self._collect(peer, max(1.0, until - time.monotonic()), pulled)
                return
            except grpc.RpcError as error:
                translated = translate(error, peer, step="collection", seconds=self._deadline_s, moved=pulled.moved)
            except PetsError as error:
                translated = error
            now = time.monotonic()
            away = now if away is None or pulled.admitted else away
            again = not pulled.moved and translated.code in _AWAY and now < min(until, away + self._away_s)
            if not again or self._over.wait(AGAIN_S):
                if not self._ended:
                    self.mailbox.lose(peer, translated)
                return

    def _collect(self, peer: PartyId, seconds: float, pulled: "_Pulled") -> None:
        """Collect what waits at ``peer``. Raises: RpcError, PetsError; ``pulled`` says how far it came."""
        request = wire.CollectRequest(run_id=self.mailbox.run_id).SerializeToString()
        inlet = Inlet(self.mailbox, peer)
        call = self._dialler.channel(peer).unary_stream(COLLECT, _raw, _raw)(request, timeout=seconds)
        with self._lock:
            self._calls.append(call)
        try:
            call.initial_metadata()  # comes when the server has let the call in, or when it is over
            pulled.admitted = call.is_active()
            for data in call:
                pulled.moved = True
                inlet.put(data)
            inlet.end()
        finally:
            with self._lock:
                self._calls.remove(call)

    def _failed(self, error: PetsError) -> None:
        super()._failed(error)
        self._over.set()
        if error.code != "link.closed":
            for call in tuple(self._calls):
                call.cancel()

    def _close(self, error: PetsError | None) -> None:
        if error is None and self.mailbox.error is None:
            for puller in self._pullers:  # the servers end the streams once everything was pulled
                puller.join(ABORT_S)
        super()._close(error)
        for call in tuple(self._calls):
            call.cancel()


@dataclass(slots=True)
class _Pulled:
    """How far one collection came: whether the server let it in, and whether it brought anything."""

    admitted: bool = False
    moved: bool = False
