"""A party's server: who calls, how much, how long, and what may be said back; ``Node`` answers.

Every call passes the same door: mutual TLS, the URI name of the caller's certificate looked up in this party's
directory, a bound on the caller's calls under way, a bound on the size of each part, and a refusal that carries a code
of ``errors.CODES`` and nothing else. The list of calls is the one of proto/pets/v1.
"""

import contextlib
import ctypes
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import grpc

from pets.errors import CODES, InternalError, LinkError, PetsError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party.config import Directory, PartyConfig
from pets.party.service import Caller, Event, Node, StartRequest
from pets.transport import frame, refusal
from pets.transport.calls import (
    MAX_APPROVALS,
    MAX_ENVELOPE,
    MAX_HELLO,
    MAX_REQUEST,
    MAX_TEXT,
    UPLOAD_S,
)
from pets.transport.grpc import OPTIONS, Credentials
from pets.transport.mailbox import Inlet
from pets.wire import party_pb2 as wire

LOG: Final = logging.getLogger("pets.party.server")

MAX_CALLS: Final = 1024
"""Calls under way at one time, over all callers: each has a thread.

In a run dozens of holders may be uploading, and a hundred runs of small sums may be under way."""

CALLER_CALLS: Final = 384
"""Calls under way at one time for one caller: a peer, or a client, of a hundred runs has three of each."""

UPLOADS: Final = 256
"""Uploads under way at one time, over all callers, so that threads are left for everything else."""

MAX_DEADLINE_S: Final = 32 * 86_400.0 + 60
"""Longest a call may take: config.Limits allows a run of a day, a specification uploads for 31 days before that."""

UPLOADS_OF_ONE: Final = 16
"""The same for one caller, who may stop in the middle: a holder has one part of each run here, and tries again."""

GRACE_S: Final = 2.0
"""How long calls under way may take to end when the server shuts down, or a stream when its run has ended."""

_OPTIONS: Final = (
    *OPTIONS,
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_concurrent_streams", 512),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 4),
    ("grpc.max_connection_idle_ms", 3_600_000),
)

_MALLOC: Final = ((-3, 32 << 20), (-4, 0), (-1, 256 << 20), (-8, 1))
"""M_MMAP_THRESHOLD, M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX of glibc."""


class Server:
    """The listening side of one party. ``start`` binds and returns the port; ``stop`` ends cleanly."""

    def __init__(self, node: Node, directory: Directory, credentials: Credentials, listen: str) -> None:
        self._node = node
        self._directory = directory
        self._under_way: dict[PartyId, int] = {}
        self._lock = threading.Lock()
        self._uploads = threading.BoundedSemaphore(UPLOADS)
        self._uploading: dict[PartyId, int] = {}
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="call"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        self._server.add_generic_rpc_handlers(_handlers(self))
        pair = (credentials.key.expose("listen with TLS"), credentials.certificate)
        trusted = b"\n".join(dict.fromkeys((credentials.ca, *directory.cas())))
        secured = grpc.ssl_server_credentials([pair], trusted, require_client_auth=True)
        self._listen = listen
        self._secured = secured

    def start(self) -> int:
        try:
            port = self._server.add_secure_port(self._listen, self._secured)
        except RuntimeError:
            port = 0
        if port == 0:
            raise LinkError("link.listen", endpoint=self._listen)
        self._server.start()
        return port

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Take no more calls, give those under way ``grace_s``, then cancel them."""
        self._server.stop(grace_s).wait(grace_s + 5)

    # -- the door ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _door(self, context: grpc.ServicerContext, method: str) -> Iterator[Caller]:
        """Admit the caller or end the call; whatever goes wrong inside becomes a refusal with a code."""
        party: PartyId | None = None
        try:
            caller = self._caller(context)
            if context.time_remaining() > MAX_DEADLINE_S:  # gRPC says so of a call without one, too
                raise LinkError("link.request", what="a call without a deadline")
            with self._lock:
                if self._under_way.get(caller.party, 0) >= CALLER_CALLS:
                    raise LinkError("link.busy")
                party = caller.party
                self._under_way[party] = self._under_way.get(party, 0) + 1
            yield caller
        except PetsError as error:
            _refuse(context, error)
        except Exception:
            if not context.is_active():  # the caller went away and gRPC says so in its own words
                raise
            LOG.exception("internal error in %s", method)
            _refuse(context, InternalError("internal.bug", where=method))
        finally:
            if party is not None:
                with self._lock:
                    self._under_way[party] -= 1

    def _caller(self, context: grpc.ServicerContext) -> Caller:
        found: Any = context.auth_context()
        names = [name.decode("utf-8", "replace") for name in found.get("peer_uri", ())]
        chain = found.get("x509_pem_cert", ())
        if len(names) != 1 or len(chain) != 1:
            raise LinkError("link.stranger")
        return Caller(names[0], self._directory.identify(names[0], chain[0]))

    # -- calls with one answer -----------------------------------------------------------------------------------------

    def _unary(self, name: str, read: Callable[[bytes], Any], act: Callable[[Caller, Any], Any]) -> Any:
        def handle(data: bytes, context: grpc.ServicerContext) -> bytes:
            with self._door(context, name) as caller:
                answer: bytes = act(caller, _parse(read, data)).SerializeToString()
                return answer
            raise AssertionError("the door ends the call")

        return grpc.unary_unary_rpc_method_handler(handle)

    def catalogue(self) -> dict[str, Any]:
        def describe(caller: Caller, _: wire.Empty) -> wire.Description:
            said = self._node.describe(caller)
            entries = [wire.DatasetEntry(name=one.name, columns=one.columns) for one in said.datasets]
            return wire.Description(
                party=said.party,
                organisation=said.organisation,
                version=said.version,
                protocols=said.protocols,
                datasets=entries,
            )

        return {"Describe": self._unary("Describe", wire.Empty.FromString, describe)}

    def approvals(self) -> dict[str, Any]:
        node = self._node

        def submit(caller: Caller, asked: wire.Submission) -> wire.Submitted:
            _bound("the specification", asked.toml, MAX_TEXT)
            _bound("the submission", asked.envelope, MAX_ENVELOPE)
            took = node.submit(caller, asked.toml, asked.envelope)
            return wire.Submitted(digest=took.digest, plan_digest=took.plan_digest, report=took.report)

        def approve(caller: Caller, asked: wire.Envelope) -> wire.Standing:
            return _standing(node.approve(caller, _bound("the approval", asked.envelope, MAX_ENVELOPE)))

        def revoke(caller: Caller, asked: wire.Envelope) -> wire.Standing:
            return _standing(node.revoke(caller, _bound("the revocation", asked.envelope, MAX_ENVELOPE)))

        def pending(caller: Caller, _: wire.Empty) -> wire.Standings:
            return wire.Standings(standings=[_standing(one) for one in node.pending(caller)])

        def evidence(caller: Caller, asked: wire.Digest) -> wire.EvidenceFolder:
            files = node.evidence(caller, _digest(asked.digest)).files
            return wire.EvidenceFolder(files=[wire.EvidenceFile(name=name, content=data) for name, data in files])

        def snapshot(caller: Caller, asked: wire.Digest) -> wire.Snapshots:
            taken = node.snapshot(caller, _digest(asked.digest))
            return wire.Snapshots(
                snapshots=[
                    wire.SnapshotEntry(dataset=one.dataset, commitment=one.commitment, taken=one.taken) for one in taken
                ]
            )

        return {
            "Submit": self._unary("Submit", wire.Submission.FromString, submit),
            "Approve": self._unary("Approve", wire.Envelope.FromString, approve),
            "Revoke": self._unary("Revoke", wire.Envelope.FromString, revoke),
            "Pending": self._unary("Pending", wire.Empty.FromString, pending),
            "Evidence": self._unary("Evidence", wire.Digest.FromString, evidence),
            "Snapshot": self._unary("Snapshot", wire.Digest.FromString, snapshot),
        }

    def runs(self) -> dict[str, Any]:
        node = self._node

        def start(caller: Caller, asked: wire.StartRequest) -> wire.Hello:
            if len(asked.approvals) > MAX_APPROVALS:
                raise LinkError("link.too-large", what="the list of approvals", limit=MAX_APPROVALS)
            request = StartRequest(
                _handle(asked.handle),
                _digest(asked.digest),
                _bound("the hello", asked.hello, MAX_HELLO),
                tuple(_bound("an approval", one, MAX_ENVELOPE) for one in asked.approvals),
            )
            return wire.Hello(body=node.start(caller, request))

        def stop(caller: Caller, asked: wire.Handle) -> wire.Empty:
            node.stop(caller, _handle(asked.handle))
            return wire.Empty()

        def receipt(caller: Caller, asked: wire.Handle) -> wire.Envelope:
            return wire.Envelope(envelope=node.receipt(caller, _handle(asked.handle)))

        return {
            "Start": self._unary("Start", wire.StartRequest.FromString, start),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            "Stop": self._unary("Stop", wire.Handle.FromString, stop),
            "Receipt": self._unary("Receipt", wire.Handle.FromString, receipt),
        }

    def _watch(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._door(context, "Watch") as caller:
            events = self._node.watch(caller, _handle(_parse(wire.Handle.FromString, data).handle))
            for event in events:
                if not context.is_active():
                    return
                yield _event(event).SerializeToString()

    # -- between the parties of a run ----------------------------------------------------------------------------------

    def exchange(self) -> dict[str, Any]:
        node = self._node

        def hello(caller: Caller, asked: wire.PeerHello) -> wire.Empty:
            node.hello(caller, _handle(asked.handle), _bound("the hello", asked.body, MAX_HELLO))
            return wire.Empty()

        def abort(caller: Caller, asked: wire.AbortRequest) -> wire.Empty:
            _run_id(asked.run_id)
            node.abort(caller, asked.run_id, asked.code if asked.code in CODES else "internal.bug")
            return wire.Empty()

        def conclude(caller: Caller, asked: wire.Handle) -> wire.Empty:
            node.conclude(caller, _handle(asked.handle))
            return wire.Empty()

        return {
            "Hello": self._unary("Hello", wire.PeerHello.FromString, hello),
            "Conclude": self._unary("Conclude", wire.Handle.FromString, conclude),
            "Abort": self._unary("Abort", wire.AbortRequest.FromString, abort),
            "Deliver": grpc.stream_unary_rpc_method_handler(self._deliver),
            "Collect": grpc.unary_stream_rpc_method_handler(self._collect),
        }

    def _deliver(self, frames: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Take frames from a peer into the mailbox of their run.

        Caller:  the party of the certificate's URI name; nothing inside a frame can name another.
        Request: stream; header of pets/transport/frame.py, chunks of a message in order; all frames of one run.
        Returns: empty, once all frames are in; a frame that comes twice ends the run, nothing is resumed.
        Status:  NOT_FOUND no such run, or not the caller's (same text); OUT_OF_RANGE a gap.
        Learned: the caller, that they arrived; the network, sizes and times.
        """
        with self._door(context, "Deliver") as caller, contextlib.ExitStack() as stack:
            inlet: Inlet | None = None
            for data in frames:
                if inlet is None:
                    mailbox = self._node.exchange.mailbox(frame.read(data)[0].run_id, caller.party)
                    inlet = Inlet(mailbox, caller.party)
                    stack.callback(inlet.end)
                    stack.callback(mailbox.on_fail(_canceller(context)))
                inlet.put(data)
        return b""

    def _collect(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Stream to the result party what waits for it, until the run ends here.

        Caller:  the party that the run names as the collector; others meet NOT_FOUND.
        """
        with self._door(context, "Collect") as caller:
            run_id = _run_id(_parse(wire.CollectRequest.FromString, data).run_id)
            outbox = self._node.exchange.outbox(run_id, caller.party)
            collection = outbox.collect()
            if not context.add_callback(collection.gone):
                collection.gone()
            context.send_initial_metadata(())  # so that the caller knows that it is let in
            yield from collection

    # -- between holders and computing parties -------------------------------------------------------------------------

    def uploads(self) -> dict[str, Any]:
        def announcement(caller: Caller, asked: wire.Handle) -> wire.AnnouncementBody:
            return wire.AnnouncementBody(body=self._node.announcement(caller, _handle(asked.handle)))

        def decline(caller: Caller, asked: wire.Leaving) -> wire.Empty:
            self._node.decline(caller, _handle(asked.handle), _digest(asked.digest))
            return wire.Empty()

        def withdraw(caller: Caller, asked: wire.Leaving) -> wire.Empty:
            self._node.withdraw(caller, _handle(asked.handle), _digest(asked.digest))
            return wire.Empty()

        return {
            "Announcement": self._unary("Announcement", wire.Handle.FromString, announcement),
            "Decline": self._unary("Decline", wire.Leaving.FromString, decline),
            "Withdraw": self._unary("Withdraw", wire.Leaving.FromString, withdraw),
            "Upload": grpc.stream_unary_rpc_method_handler(self._upload),
        }

    def _upload(self, data: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Take in one part of a holder's upload.

        Caller:  a holder of the run's table, by its certificate.
        Request: stream; a ``Handle``, then the frames of one message, in order.
        Returns: the digest of what was taken, once it is on disk and in the run.
        Learned: the caller, that it arrived; the network, sizes and times.
        """
        with self._door(context, "Upload") as caller:
            if context.time_remaining() > UPLOAD_S + 60:
                raise LinkError("link.request", what="an upload without a deadline")
            with self._uploader(caller.party):
                first = next(data, b"")  # which may never come
                handle = _handle(_parse(wire.Handle.FromString, first).handle)
                if not self._uploads.acquire(blocking=False):
                    raise LinkError("link.busy")
                try:
                    return wire.Uploaded(sha256=self._node.upload(caller, handle, data).sha256).SerializeToString()
                finally:
                    self._uploads.release()
        raise AssertionError("the door ends the call")

    @contextlib.contextmanager
    def _uploader(self, party: PartyId) -> Iterator[None]:
        """Let one caller keep no more uploads open than leave room for those of others. Raises: LinkError link.busy."""
        with self._lock:
            if self._uploading.get(party, 0) >= UPLOADS_OF_ONE:
                raise LinkError("link.busy")
            self._uploading[party] = self._uploading.get(party, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._uploading[party] -= 1


def _handlers(server: Server) -> tuple[Any, ...]:
    services = {
        "Catalogue": server.catalogue(),
        "Approvals": server.approvals(),
        "Runs": server.runs(),
        "Exchange": server.exchange(),
        "Uploads": server.uploads(),
    }
    return tuple(grpc.method_handlers_generic_handler(f"pets.v1.{name}", calls) for name, calls in services.items())


def _canceller(context: grpc.ServicerContext) -> Callable[[PetsError], None]:
    """What ends a stream whose run has ended: at once after a fault, after a moment otherwise, never its own thread."""
    own, cancel = threading.get_ident(), cast("Callable[[], None]", context.cancel)

    def ended(error: PetsError) -> None:
        if error.code == "link.closed":
            timer = threading.Timer(GRACE_S, cancel)
            timer.daemon = True
            timer.start()
        elif threading.get_ident() != own:
            cancel()

    return ended


def _refuse(context: grpc.ServicerContext, error: PetsError) -> None:
    status = getattr(grpc.StatusCode, CODES[error.code].status)
    context.set_trailing_metadata(((refusal.KEY, refusal.pack(error)),))
    context.abort(status, error.code)


def _parse(read: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return read(data)
    except Exception:  # protobuf's DecodeError, and UnicodeDecodeError
        raise LinkError("link.request", what="the request") from None


def _bound(what: str, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise LinkError("link.too-large", what=what, limit=limit)
    return data


def _hex(what: str, text: str, digits: int) -> str:
    if len(text) != digits or any(c not in "0123456789abcdef" for c in text):
        raise LinkError("link.request", what=what)
    return text


def _digest(text: str) -> SpecDigest:
    return SpecDigest(_hex("the digest", text, 64))


def _handle(text: str) -> RunHandle:
    return RunHandle(_hex("the handle", text, 32))


def _run_id(data: bytes) -> bytes:
    if len(data) != 32:
        raise LinkError("link.request", what="the run id")
    return data


def _standing(one: Any) -> wire.Standing:
    return wire.Standing(
        digest=one.digest,
        title=one.title,
        state=one.state,
        have=one.have,
        need=one.need,
        received=one.received,
        suspicions=[
            wire.Suspicion(id=each.id, problem=each.problem, overruled=each.overruled) for each in one.suspicions
        ],
    )


def _event(event: Event) -> wire.Event:
    return wire.Event(kind=event.kind, name=event.name, elapsed_ms=event.elapsed_ms, moved=event.moved, code=event.code)


def keep_memory() -> None:
    """Let the allocator use freed arrays and buffers again: giving them back and having fresh pages cleared takes an
    eighth of a run of ten million rows, and a quarter of the throughput of frames (benchmarks/join.py, carriage.py).
    All threads share one heap; what is free at its end beyond 256 MiB still goes back. Without glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        for option, value in _MALLOC:
            allocator.mallopt(option, value)


def serve(config: PartyConfig, node: Node) -> None:
    """Serve ``node`` until SIGTERM or SIGINT; says ``pets: NAME ready on HOST:PORT`` on stdout when it listens."""
    ended = threading.Event()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in previous:
        signal.signal(number, lambda *_: ended.set())
    server = Server(node, config.directory, config.credentials, config.listen)
    try:
        port = server.start()
        gc.freeze()  # what was imported stays: collections in the middle of a run need not look at it
        host = config.listen.rpartition(":")[0]
        sys.stdout.write(f"pets: {config.name} ready on {host}:{port}\n")
        sys.stdout.flush()
        ended.wait()
    finally:
        node.close()
        server.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
