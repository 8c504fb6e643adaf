"""The hello round: every participant says what it is about to run, and the run id binds all of it (protocols.md 0.3).

A hello is canonical JSON: digests of specification, plan, cards and dummy table, of the older specification whose
approvals cover this one (empty if it has its own), the software version, 16 fresh random bytes, an ephemeral X25519
public key for each other computing party, and the commitments to the datasets that this party brings: so what it reads
is fixed before the first message. Who takes uploads adds a public key, made for this run, that they are sealed to.
``run_id`` is the SHA-256 over all hellos, length-prefixed, in party order, the result party last. Who sent a hello is
what the certificate says.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pets import __version__
from pets.errors import PeerError, RunError
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.kernels import prf
from pets.secret import Secret
from pets.spec.canonical import canonical

NO_DUMMIES = hashlib.sha256(b"").hexdigest()
"""What is said of dummies by who has none."""

RESULT_ENDPOINT = "result"
"""Name under which the result party's client says hello. A party may not be called so beside it."""

MAX_BYTES = 1 << 16
_HEX = re.compile(r"[0-9a-f]*")
_FIELDS = ("cards", "cover", "dummies", "keys", "pets", "plan", "random", "sets", "software", "spec", "upload")


@dataclass(frozen=True, slots=True)
class Agreed:
    """What must be equal everywhere before a message that depends on data is sent."""

    spec: SpecDigest
    plan: PlanDigest
    cards: str
    dummies: str
    software: str = __version__
    cover: SpecDigest | None = None
    """The specification whose approvals are used up, if that is another one (approve/cover.py)."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A hello as it was read; ``body`` are the exact bytes that enter the run id."""

    agreed: Agreed
    keys: Mapping[PartyId, bytes]
    body: bytes
    sets: Mapping[str, str] = field(default_factory=dict)
    """By dataset, the commitment to the rows that this party will read (party/snapshot.py)."""
    upload: bytes = b""
    """Of who takes uploads: the X25519 public key of this run that they are sealed to; empty for everybody else."""


def make(
    agreed: Agreed,
    random: bytes,
    keys: Mapping[PartyId, bytes],
    sets: Mapping[str, str] | None = None,
    upload: bytes = b"",
) -> Hello:
    """Make a hello from 16 fresh random bytes, public keys, one for each computing peer, and commitments to sets.

    ``upload``: the public key for uploads, 32 bytes; nothing if there are none.
    """
    if len(random) != 16 or len(upload) not in (0, 32):
        raise ValueError("a hello needs 16 random bytes, and keys of 32")
    body = canonical(
        {
            "pets": 1,
            "spec": agreed.spec,
            "plan": agreed.plan,
            "cards": agreed.cards,
            "dummies": agreed.dummies,
            "software": agreed.software,
            "cover": agreed.cover or "",
            "random": random.hex(),
            "keys": {peer: key.hex() for peer, key in keys.items()},
            "sets": dict(sets or {}),
            "upload": upload.hex(),
        }
    )
    return Hello(agreed, dict(keys), body, dict(sets or {}), upload)


def read(body: bytes, *, peer: str) -> Hello:
    """Read the hello that ``peer`` sent; PeerError peer.hello if it is not one."""
    if len(body) > MAX_BYTES:
        raise PeerError("peer.hello", peer=peer)
    try:
        fields = json.loads(body)
        if sorted(fields) != list(_FIELDS) or fields["pets"] != 1 or canonical(fields) != body:
            raise ValueError
        if isinstance(fields["pets"], bool):  # which Python takes for 1
            raise ValueError
        texts = [fields[name] for name in ("spec", "plan", "cards", "cover", "dummies", "software", "random")]
        if not all(isinstance(text, str) for text in texts) or not isinstance(fields["keys"], dict):
            raise ValueError
        if any(not _HEX.fullmatch(fields[name]) or len(fields[name]) != 64 for name in ("spec", "plan", "cards")):
            raise ValueError
        if not _HEX.fullmatch(fields["cover"]) or len(fields["cover"]) not in (0, 64):
            raise ValueError
        if len(bytes.fromhex(fields["random"])) != 16:
            raise ValueError
        keys = {PartyId(name): bytes.fromhex(key) for name, key in fields["keys"].items()}
        if any(len(key) != 32 for key in keys.values()):
            raise ValueError
        if not _HEX.fullmatch(fields["upload"]) or len(fields["upload"]) not in (0, 64):
            raise ValueError
        if fields["upload"]:  # one that agrees on nothing would be met by a holder that has been charged
            prf.agree(Secret(bytes(32)), bytes.fromhex(fields["upload"]))
        sets = dict(fields["sets"])
        if not all(isinstance(said, str) and len(said) == 64 and _HEX.fullmatch(said) for said in sets.values()):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PeerError("peer.hello", peer=peer) from error
    agreed = Agreed(
        SpecDigest(fields["spec"]),
        PlanDigest(fields["plan"]),
        fields["cards"],
        fields["dummies"],
        fields["software"],
        SpecDigest(fields["cover"]) if fields["cover"] else None,
    )
    return Hello(agreed, keys, body, sets, bytes.fromhex(fields["upload"]))


def compare(own: Agreed, other: Agreed, *, peer: str) -> None:
    """Refuse a participant who is about to run something else; the code says what differs, as no attack would."""
    for name, code in (
        ("software", "run.other-software"),
        ("spec", "run.other-spec"),
        ("plan", "run.other-plan"),
        ("cards", "run.other-cards"),
        ("dummies", "run.other-dummies"),
        ("cover", "run.other-cover"),
    ):
        if getattr(own, name) != getattr(other, name):
            raise RunError(code, peer=peer)


def run_id(bodies: Sequence[bytes]) -> bytes:
    """SHA-256 over the length-prefixed hellos: computing parties as the specification orders them, the result last.

    Those of parties that only bring rows are not in it: each of them has what the computing ones bind.
    """
    digest = hashlib.sha256()
    for body in bodies:
        digest.update(len(body).to_bytes(4, "big"))
        digest.update(body)
    return digest.digest()
