from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DatasetEntry(_message.Message):
    __slots__ = ("name", "columns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    name: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("party", "organisation", "version", "protocols", "datasets")
    PARTY_FIELD_NUMBER: _ClassVar[int]
    ORGANISATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOLS_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    party: str
    organisation: str
    version: str
    protocols: _containers.RepeatedScalarFieldContainer[str]
    datasets: _containers.RepeatedCompositeFieldContainer[DatasetEntry]
    def __init__(self, party: _Optional[str] = ..., organisation: _Optional[str] = ..., version: _Optional[str] = ..., protocols: _Optional[_Iterable[str]] = ..., datasets: _Optional[_Iterable[_Union[DatasetEntry, _Mapping]]] = ...) -> None: ...

class Submission(_message.Message):
    __slots__ = ("toml", "envelope")
    TOML_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    toml: bytes
    envelope: bytes
    def __init__(self, toml: _Optional[bytes] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class Submitted(_message.Message):
    __slots__ = ("digest", "plan_digest", "report")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    digest: str
    plan_digest: str
    report: bytes
    def __init__(self, digest: _Optional[str] = ..., plan_digest: _Optional[str] = ..., report: _Optional[bytes] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class Digest(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    def __init__(self, digest: _Optional[str] = ...) -> None: ...

class Suspicion(_message.Message):
    __slots__ = ("id", "problem", "overruled")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    OVERRULED_FIELD_NUMBER: _ClassVar[int]
    id: str
    problem: str
    overruled: bool
    def __init__(self, id: _Optional[str] = ..., problem: _Optional[str] = ..., overruled: _Optional[bool] = ...) -> None: ...

class Standing(_message.Message):
    __slots__ = ("digest", "title", "state", "have", "need", "received", "suspicions")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    NEED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SUSPICIONS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    title: str
    state: str
    have: int
    need: int
    received: str
    suspicions: _containers.RepeatedCompositeFieldContainer[Suspicion]
    def __init__(self, digest: _Optional[str] = ..., title: _Optional[str] = ..., state: _Optional[str] = ..., have: _Optional[int] = ..., need: _Optional[int] = ..., received: _Optional[str] = ..., suspicions: _Optional[_Iterable[_Union[Suspicion, _Mapping]]] = ...) -> None: ...

class Standings(_message.Message):
    __slots__ = ("standings",)
    STANDINGS_FIELD_NUMBER: _ClassVar[int]
    standings: _containers.RepeatedCompositeFieldContainer[Standing]
    def __init__(self, standings: _Optional[_Iterable[_Union[Standing, _Mapping]]] = ...) -> None: ...

class EvidenceFile(_message.Message):
    __slots__ = ("name", "content")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: bytes
    def __init__(self, name: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class EvidenceFolder(_message.Message):
    __slots__ = ("files",)
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[EvidenceFile]
    def __init__(self, files: _Optional[_Iterable[_Union[EvidenceFile, _Mapping]]] = ...) -> None: ...

class SnapshotEntry(_message.Message):
    __slots__ = ("dataset", "commitment", "taken")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    commitment: str
    taken: str
    def __init__(self, dataset: _Optional[str] = ..., commitment: _Optional[str] = ..., taken: _Optional[str] = ...) -> None: ...

class Snapshots(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotEntry]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[SnapshotEntry, _Mapping]]] = ...) -> None: ...

class StartRequest(_message.Message):
    __slots__ = ("handle", "digest", "hello", "approvals")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    handle: str
    digest: str
    hello: bytes
    approvals: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, handle: _Optional[str] = ..., digest: _Optional[str] = ..., hello: _Optional[bytes] = ..., approvals: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class Handle(_message.Message):
    __slots__ = ("handle",)
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    handle: str
    def __init__(self, handle: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("kind", "name", "elapsed_ms", "moved", "code")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    elapsed_ms: int
    moved: int
    code: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., elapsed_ms: _Optional[int] = ..., moved: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class PeerHello(_message.Message):
    __slots__ = ("handle", "body")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    handle: str
    body: bytes
    def __init__(self, handle: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class AbortRequest(_message.Message):
    __slots__ = ("run_id", "code")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    code: str
    def __init__(self, run_id: _Optional[bytes] = ..., code: _Optional[str] = ...) -> None: ...

class CollectRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    def __init__(self, run_id: _Optional[bytes] = ...) -> None: ...

class AnnouncementBody(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class Uploaded(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    def __init__(self, sha256: _Optional[str] = ...) -> None: ...

class Leaving(_message.Message):
    __slots__ = ("handle", "digest")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    handle: str
    digest: str
    def __init__(self, handle: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...
