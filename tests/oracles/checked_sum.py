"""checked_sum in the clear, its roles with everything they start from made from a seed, and its terms read.

Terms are read over Python's integers, with the slow Prio3 of tests/oracles/prio3.py, written from the draft.
"""

import hashlib
import hmac
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pets.protocols import checked_sum as cs
from pets.protocols.base import Role
from pets.protocols.checked_inputs import circuit_of
from pets.protocols.contributions import Agreement
from pets.protocols.upload import role_of
from pets.spec import proofs
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import with_so_many
from pets.spec.term import Call, Sum, Term
from tests.oracles import prio3
from tests.oracles.secure_sum import TIED, family, losing, stream, without, words_of
from tests.oracles.secure_sum_terms import DIGEST, RUN_ID, drawn
from tests.oracles.terms import At, Meaningless, Reading, Tags


@dataclass
class Case:
    """``values`` (holders, length) from 0 to ``greatest``; ``noise`` (computing, length), signed; who lacks where."""

    values: list[list[int]]
    noise: list[list[int]]
    greatest: int = 1
    one_cell: bool = False
    minimum: int = 2
    agreement: Agreement = Agreement.COMMON
    missing: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    unproved: cs.Unproved = cs.Unproved.END

    def public(self) -> dict[str, int]:
        return proofs.public(
            holders=len(self.values),
            computing=len(self.noise),
            length=len(self.values[0]),
            greatest=self.greatest,
            one_cell=self.one_cell,
        )

    @property
    def shape(self) -> cs.Shape:
        public = self.public()
        circuit = circuit_of(length=public["l"], greatest=public["u"], chunk=public["c"], one_cell=bool(public["x"]))
        return cs.Shape(
            circuit, public["h"], public["m"], minimum=self.minimum, agreement=self.agreement, unproved=self.unproved
        )

    def present(self) -> list[bool]:
        lost = {holder for holder, _ in self.missing}
        return [number not in lost for number in range(len(self.values))]

    def oracle(self) -> tuple[int, ...]:
        rows = [row for row, there in zip(self.values, self.present(), strict=True) if there] + self.noise
        return tuple(sum(column) for column in zip(*rows, strict=True))

    def card(self) -> Card:
        counts = {"input": len(self.values), "server": len(self.noise) - 1}
        return with_so_many(load_cards()[cs.PROTOCOL], counts)


def roles(case: Case, seed: int = 1, code: Any = cs) -> dict[str, Role[Any]]:
    """All roles of a case, on channels."""
    shape = case.shape
    found: dict[str, Role[Any]] = {}
    for number, values in enumerate(case.values):
        me = role_of("input", number)
        own = code.input_party(shape, number, words_of(values), TIED, stream(seed, me))
        found[me] = losing(own, {shape.servers[at] for holder, at in case.missing if holder == number})
    for at, name in enumerate(shape.servers):
        absent = {role_of("input", holder) for holder, there in case.missing if there == at}
        found[name] = without(_computing(case, at, seed, code), absent)
    found["result"] = code.result(shape)
    return found


def _computing(case: Case, at: int, seed: int, code: Any) -> Role[Any]:
    shape, noise = case.shape, words_of(case.noise[at])
    uploads = yield from code.heard_uploads(shape, at)
    if at == shape.seeded:
        families = [family(seed, name, "last") for name in shape.servers[:-1]]
        return (yield from code.last(shape, uploads, TIED, families, noise))
    return (yield from code.server(shape, at, uploads, TIED, family(seed, role_of("server", at), "last"), noise))


def random_case(seed: int, *, holders: int = 5, computing: int = 4, length: int = 12) -> Case:
    """Any kind of vector; somebody missing; noise of all; never fewer than asked for."""
    rng = random.Random(seed)
    n, m = rng.randint(2, holders), rng.randint(2, computing)
    kind = rng.choice(["count", "cell", "vector"])
    size = 1 if kind == "count" else rng.randint(1, length)
    greatest = 1 if kind != "vector" else rng.choice([1, 2, 9, 2**30, rng.randrange(1, 1000)])
    if kind == "vector" and size == greatest == 1:
        greatest = 3
    if kind == "cell":
        cells = [rng.randrange(size) for _ in range(n)]
        values = [[int(cell == own) for cell in range(size)] for own in cells]
    else:
        values = [[rng.choice([0, greatest, rng.randint(0, greatest)]) for _ in range(size)] for _ in range(n)]
    noise = [[rng.randrange(-(2**30), 2**30) if seed % 3 else 0 for _ in range(size)] for _ in range(m)]
    gone = rng.sample(range(n), rng.randint(0, n - 2))
    missing = frozenset((holder, at) for holder in gone for at in rng.sample(range(m), rng.randint(1, m)))
    return Case(values, noise, greatest, kind == "cell", rng.randint(2, n - len(gone)), Agreement.COMMON, missing)


# -- messages by terms ------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """Everything that a run starts from. All input parties are there."""

    case: Case
    seed: int
    names: dict[str, int]
    _kept: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def servers(self) -> list[str]:
        return [f"server{at + 1}" for at in range(len(self.case.noise) - 1)]

    @cached_property
    def circuit(self) -> prio3.Circuit:
        names = self.names
        if names["x"]:
            return prio3.Circuit("histogram", length=names["l"], chunk=names["c"])
        if (names["l"], names["u"]) == (1, 1):
            return prio3.Circuit("count")
        return prio3.Circuit("vector", names["u"], names["l"], names["c"])

    @property
    def p(self) -> int:
        return self.circuit.p

    def party(self, role: str) -> int:
        """The number of a computing party in Prio3."""
        if role == "last":
            return 0
        if role in self.servers:
            return self.servers.index(role) + 1
        raise Meaningless(f"{role} verifies nothing")

    def prio(self, number: int, nonce: bytes) -> prio3.Prio3:
        names = self.names
        tail = (names["l"], names["u"], names["c"]) if not names["x"] else (names["l"], names["c"])
        sizes = (names["m"], self.circuit.algorithm, *(tail if self.circuit.chunked else ()))
        said = [b"pets/1", b"checked_sum", DIGEST, RUN_ID, f"input{number + 1}".encode()]
        said += [size.to_bytes(16, "big") for size in sizes]
        context = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in said)).digest()
        return prio3.Prio3(self.circuit, names["m"], context, nonce)

    def upload(self, number: int) -> tuple[bytes, bytes, list[bytes], bytes]:
        """Mark, public share, the share of each computing party in Prio3's order, and what was drawn."""
        if number not in self._kept:
            m, chunked = self.names["m"], self.circuit.chunked
            coins = 32 * ((2 if chunked else 1) * m)
            said = drawn(self.seed, f"input{number + 1}", 16 + coins)
            mark, values = said[:16], self.case.values[number]
            whole: Any = values if self.circuit.kind == "vector" else values[0]
            if self.circuit.kind == "histogram":
                whole = values.index(1)
            self._kept[number] = (mark, *self.prio(number, mark).shard(whole, said[16:]), said[16:])
        return self._kept[number]  # type: ignore[no-any-return]

    @cached_property
    def marks(self) -> list[bytes]:
        return [self.upload(number)[0] for number in range(len(self.case.values))]

    @cached_property
    def confirmed(self) -> bytes:
        text = b"pets/1 contributors" + RUN_ID + DIGEST
        for role in sorted([*self.servers, "last"]):
            for part in (role.encode(), b"".join(self.marks)):
                text += len(part).to_bytes(4, "big") + part
        return hashlib.sha256(text).digest()

    def of_pair(self, server: str, label: str) -> bytes:
        """32 bytes of what a server shares with last, by HKDF-SHA256 by hand."""
        secret = random.Random(f"{self.seed} {[server, 'last']}").randbytes(32)
        prk, found = hmac.digest(RUN_ID, secret, "sha256"), b""
        for half in range(2):
            said = [b"pets/1", DIGEST, RUN_ID, b"secure_sum", server.encode(), b"last", f"{label}.{half}".encode()]
            info = b"".join(len(part).to_bytes(4, "big") + part for part in said)
            found += hmac.digest(prk, info + b"\x01", "sha256")[:16]
        return found

    @cached_property
    def key(self) -> bytes:
        return self.of_pair("server1", "verify")

    def verifier(self, number: int, role: str) -> bytes:
        """The row of an input party in what a computing party sends the others."""
        mark, public, shares, _ = self.upload(number)
        prio, party = self.prio(number, mark), self.party(role)
        _, _, share = prio.begin(self.key, party, public, shares[party])
        return share + hashlib.sha256(b"pets/1 public share" + prio.context + mark + public).digest()

    @cached_property
    def verified(self) -> bytes:
        """What a computing party says that it has seen of verifiers, of whom all are valid."""
        numbers = range(len(self.case.values))
        text = b"pets/1 verified" + RUN_ID + DIGEST
        for role in sorted([*self.servers, "last"]):
            for part in (role.encode(), b"".join(self.verifier(number, role) for number in numbers)):
                text += len(part).to_bytes(4, "big") + part
        valid = (2 ** len(numbers) - 1).to_bytes(self.names["bits"], "little")
        return hashlib.sha256(text + len(valid).to_bytes(4, "big") + valid).digest()

    def masks(self, key: str) -> list[int]:
        """The elements that a seed stands for: of the measurement, then of the proof."""
        holder, server = (int(each) - 1 for each in key[1:].split("x"))
        mark, _, shares, _ = self.upload(holder)
        measurement, proof = self.prio(holder, mark)._share(server + 1, shares[server + 1][:32])
        return measurement + proof

    def proved(self, number: int) -> list[int]:
        """The measurement and its proof: what last has, and what all seeds stand for."""
        width, (_, _, shares, _) = prio3.SIZES[self.p], self.upload(number)
        size = width * self.size
        own = [int.from_bytes(shares[0][at : at + width], "little") for at in range(0, size, width)]
        keys = [self.masks(f"k{number + 1}x{at + 1}") for at in range(len(self.servers))]
        return [sum(column) % self.p for column in zip(own, *keys, strict=True)]

    @cached_property
    def size(self) -> int:
        return self.circuit.size + self.circuit.wires + 2 * self.circuit.nodes - 1

    def zero(self, key: str, count: int) -> list[int]:
        seed = self.of_pair(f"server{key[1:]}", "zero")
        return prio3.elements(prio3.xof(seed, self.circuit.algorithm, 0x100, RUN_ID, b""), self.p, count)


@dataclass
class CheckedReading(Reading):
    """The card read over one run, modulo the prime of its circuit; ``sender`` of the message that is read."""

    run: Run
    sender: str = ""
    receiver: str = ""

    def of_formula(self, text: str) -> list[At]:
        return {"1": [At()], "v": [At(summed=0)]}[text]

    def shared(self, name: str, at: At) -> Any:
        at.index("summed")
        return next(each for each in self.card.shared if each.name == name)

    def read(self, message: Any) -> list[bytes]:
        own = CheckedReading(self.card, self.run, sender=message.sender, receiver=message.receiver)
        at = own.of_formula(message.columns.text)[0]
        value = own.value(message.meaning, at, own.size(message) // self.run.names["w"])
        if isinstance(value, Tags):
            return [b"".join(value.rows)]
        return [prio3.encoded(value, self.run.p)]

    def numbers(self, term: Term, at: At, size: int) -> list[int]:
        value = self.value(term, at, size)
        if not isinstance(value, list):
            raise Meaningless(f"{term} is no vector of residues")
        return value

    def value(self, term: Term, at: At, size: int) -> Any:
        run, case = self.run, self.run.case
        inputs = [f"input{number + 1}" for number in range(len(case.values))]
        parties = [*run.servers, "last"]
        match term:
            case Sum(parts):
                signed = [(sign, self.numbers(part, at, size)) for sign, part in parts]
                if len({len(numbers) for _, numbers in signed}) > 1:
                    raise Meaningless("two sizes in one sum")
                return [sum(sign * n for (sign, _), n in zip(signed, row, strict=True)) % run.p
                        for row in zip(*(numbers for _, numbers in signed), strict=True)]  # fmt: skip
            case Call("values", (str(role), "summed")) if role in inputs:
                at.index("summed")
                return [value % run.p for value in case.values[inputs.index(role)]]
            case Call("proved", (str(role), "summed")) if role in inputs:
                at.index("summed")
                return run.proved(inputs.index(role))
            case Call("truncated", (inner,)):
                whole = self.numbers(inner, at, run.size)
                if len(whole) != run.size:
                    raise Meaningless("what is encoded has another length")
                return run.circuit.truncate(whole[: run.circuit.size])
            case Call("noise", (str(role), "summed")) if role in parties:
                at.index("summed")
                return [value % run.p for value in case.noise[parties.index(role)]]
            case Call("mask", (str(key), "u", "summed")) if key[:1] == "k":
                at.index("summed")
                return run.masks(key)
            case Call("zero", (str(key), "summed")) if key[:1] == "z":
                at.index("summed")
                return run.zero(key, size)
            case Call("share", (str(role), str(name))):
                shared = self.shared(name, at)
                if role not in shared.shares:
                    raise Meaningless(f"{role} has no share")
                return self.numbers(shared.shares[role], at, run.size)
            case Call("handed", (str(key),)) if key[:1] == "k":
                holder, server = (int(each) - 1 for each in key[1:].split("x"))
                mark, public, shares, _ = run.upload(holder)
                return Tags((mark + public + shares[server + 1],))
            case Call("marked", (str(role),)) if role in inputs:
                mark, public, shares, _ = run.upload(inputs.index(role))
                return Tags((mark + public + shares[0][prio3.SIZES[run.p] * run.size :],))
            case Call("verifying", ("last",)):
                return Tags((run.key,))
            case Call("verifier", ("input",)) if self.sender in parties:
                return Tags(tuple(run.verifier(number, self.sender) for number in range(len(inputs))))
            case Call("verified", ("input",)):
                return Tags((run.verified,))
            case Call("heard", ("input",)):
                return Tags(tuple(run.marks))
            case Call("confirmed", ("input",)):
                return Tags((run.confirmed,))
            case Call("present", ("input",)):
                return Tags(((2 ** len(inputs) - 1).to_bytes(run.names["bits"], "little"),))
            case str() if any(each.name == term for each in self.card.shared):
                return self.numbers(self.shared(term, at).value, at, size)
            case str():
                message = next((each for each in self.card.messages if each.label == term), None)
                if message is None or not message.index:
                    raise Meaningless(f"{term} has no such column")
                at.index("summed")
                return self.numbers(message.meaning, at, size)
        raise Meaningless(f"{term} says nothing")

    def comes_to(self, name: str) -> tuple[list[int], list[int]]:
        """A shared value, and the sum of its shares."""
        at = self.of_formula("v")[0]
        shared = self.shared(name, at)
        value = self.numbers(shared.value, at, self.run.names["l"])
        each = [self.numbers(term, at, self.run.size) for term in shared.shares.values()]
        return value, [sum(column) % self.run.p for column in zip(*each, strict=True)]


def read(card: Card, run: Run) -> dict[tuple[str, int], bytes]:
    """Every message of a card as its terms say, by label and column."""
    reading = CheckedReading(card, run)
    return {(m.label, column): sent for m in card.messages for column, sent in enumerate(reading.read(m))}
