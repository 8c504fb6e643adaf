"""MPyC's runtime with everything between parties replaced: no socket, no pickle, no opening that nobody approved.

For the process of a program alone (party/mpyc_worker.py).

Of MPyC's runtime, four methods talk to peers. `transfer` is refused; `_distribute`, `output` and `_reshare` are written
anew here: the same protocols (Shamir's sharing; BGW with the resharing of Gennaro, Rabin and Rabin, PODC 1998), but
each array is encoded and read by `mpyc_codec`, with the number of elements that this party expects at that point. Every
other protocol of MPyC is built on these, and on shared randomness without messages (Cramer, Damgard, Ishai, TCC 2005);
those whose masks are too narrow are in `mpyc_masks`.
"""

import argparse
import asyncio
import hashlib
import math
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np

from pets.errors import InternalError, PeerError, RunError
from pets.party import mpyc_codec as codec
from pets.party import mpyc_import
from pets.party.mpyc_import import asyncoro, finfields, sectypes, thresha
from pets.party.mpyc_masks import Masked, by_public_numbers, protocol
from pets.party.mpyc_process import KEY_BYTES, subsets

VERSION: Final = "0.11"
"""The one version whose inside this file replaces parts of."""


class Wire(Protocol):
    """How frames go to one peer and come from it, by program counter."""

    def send(self, counter: int, payload: bytes) -> None: ...

    def receive(self, counter: int) -> "bytes | asyncio.Future[bytes]": ...


class Runtime(Masked):
    """The runtime of one program at one party. ``keys``: those of `subsets` in which this party is."""

    def __init__(
        self, me: int, wires: Mapping[int, Wire], *, sec_param: int, bits: int, keys: Mapping[tuple[int, ...], bytes]
    ) -> None:
        parties = [mpyc_import.runtime.Party(number) for number in range(len(wires) + 1)]
        threshold = (len(parties) - 1) // 2
        if mpyc_import.VERSION != VERSION:
            raise RunError("run.program", problem=f"has MPyC {mpyc_import.VERSION}, and {VERSION} is what is replaced")
        if threshold < 1 or sec_param < 40:
            raise InternalError("internal.bug", where="a program with no threshold, or with narrow masks")
        needed = {subset for subset in subsets(len(parties), threshold) if me in subset}
        if set(keys) != needed or any(len(key) != KEY_BYTES for key in keys.values()):
            raise InternalError("internal.bug", where="keys of other subsets, or of another length")
        options = argparse.Namespace(
            threshold=threshold,
            sec_param=sec_param,
            bit_length=bits,
            no_prss=False,
            no_async=False,
            no_barrier=True,
            no_log=True,
            mix32_64bit=True,
            ssl=False,
        )
        super().__init__(me, parties, options)
        self._prss_keys = dict(keys)
        self.prfs.cache_clear()
        for peer, wire in wires.items():
            parties[peer].protocol = wire

    # -- what talks to peers -------------------------------------------------------------------------------------------

    @protocol
    async def _distribute(self, x: list[Any], senders: list[int]) -> Any:
        """Share each number that a sender brings: Shamir's sharing of it, a share to each party."""
        if x == []:
            return [[] for _ in senders]
        kind = type(x[0])
        field, shape = _field_of(x)
        if issubclass(kind, self.SecureObject):
            await self.returnType(_rettype(x[0], shape), len(senders), len(x))
        else:
            await self.returnType(asyncio.Future)
        count = len(x) if shape is None else math.prod(shape)
        arrived: list[Any] = []
        for sender in senders:
            if sender != self.pid:
                arrived.append(self._receive_message(sender))
                continue
            values = _numbers(await self.gather(x) if issubclass(kind, self.SecureObject) else x)
            split = thresha.random_split(field, values, self.threshold, len(self.parties))
            for peer, share in enumerate(split):
                if peer == self.pid:
                    arrived.append(share)
                else:
                    self._send_message(peer, self._encode(share, field, count))
        return [_made(row, field, shape) for row in await self._read(senders, arrived, field, count)]

    @protocol
    async def output(self, x: Any, receivers: Any = None, threshold: int | None = None, raw: bool = False) -> Any:
        """Open numbers to receivers: each gets a share of as many parties as it takes.

        Programs do not get here (`Facade`): whoever calls is MPyC, which opens masked numbers, or `release`. With
        another ``threshold`` than this runtime's, 2t, what it opens are products whose shares nobody has shared anew.
        """
        several = isinstance(x, list)
        x = list(x) if several else [x]
        await self.returnType(asyncio.Future)
        if not x:
            return []
        kind, parties = type(x[0]), len(self.parties)
        needed = self.threshold if threshold is None else threshold
        told = range(parties) if receivers is None else [receivers] if isinstance(receivers, int) else list(receivers)
        field, shape = _field_of(x)
        if issubclass(kind, self.SecureObject):
            x = await self.gather(x)
        own = _numbers(x)
        if needed > self.threshold:
            own = self._spread(own, field)
        body: bytes | None = None
        for peer in told:
            if 0 < (peer - self.pid) % parties <= needed:
                body = self._encode(own, field, len(own)) if body is None else body
                self._send_message(peer, body)
        if self.pid not in told:
            return [None] * len(x) if several else None
        senders = [(self.pid - needed + place) % parties for place in range(needed)]
        shares = await self._read(senders, [self._receive_message(peer) for peer in senders], field, len(own))
        points = [(peer + 1, share) for peer, share in zip([*senders, self.pid], [*shares, own], strict=True)]
        y = _made(thresha.recombine(field, points), field, shape)
        convert = getattr(kind, "_output_conversion", None) if issubclass(kind, self.SecureObject) else None
        if not raw and convert is not None:
            y = [convert(each) for each in y]
        return y if several else y[0]

    @protocol
    async def _reshare(self, x: Any) -> Any:
        """Bring a sharing of degree 2t down to degree t, with fresh coefficients: 2t + 1 parties share their shares."""
        several = isinstance(x, list)
        x = x if several else [x]
        if x == []:
            return []
        kind = type(x[0])
        field, shape = _field_of(x)
        if issubclass(kind, self.SecureObject):
            rettype = _rettype(x[0], shape)
            await (self.returnType(rettype, len(x)) if several else self.returnType(rettype))
            x = await self.gather(x)
        else:
            await self.returnType(asyncio.Future)
        own, parties, degree = _numbers(x), len(self.parties), 2 * self.threshold
        first = self._program_counter[0] % parties  # who shares goes round, as in MPyC
        senders = [(first + place) % parties for place in range(degree + 1)]
        kept: list[int] = []
        if self.pid in senders:
            split = thresha.random_split(field, own, self.threshold, parties)
            for peer, share in enumerate(split):
                if peer == self.pid:
                    kept = share
                else:
                    self._send_message(peer, self._encode(share, field, len(own)))
        arrived = [kept if peer == self.pid else self._receive_message(peer) for peer in senders]
        shares = await self._read(senders, arrived, field, len(own))
        y = _made(thresha.recombine(field, [(p + 1, s) for p, s in zip(senders, shares, strict=True)]), field, shape)
        return y if several else y[0]

    def _spread(self, own: list[int], field: Any) -> list[int]:
        """Shares of products with a sharing of zero of degree 2t on top: opened, they tell nothing but the products.

        A product of two polynomials shows its factors by its roots. MPyC 0.11 opens it as it is, but in small fields.
        """
        prfs, uci = self.prfs(field.order), self._prss_uci()
        zero = thresha.pseudorandom_share_zero(field, len(self.parties), self.pid, prfs, uci, len(own))
        return [int((field(value) + each).value) for value, each in zip(own, zero, strict=True)]

    def _encode(self, values: list[Any], field: Any, count: int) -> bytes:
        return codec.encode_array(map(int, values), order=int(field.order), count=count)

    async def _read(self, senders: list[int], arrived: list[Any], field: Any, count: int) -> list[list[int]]:
        """Shares in the order of ``senders``; this party's own are lists already."""
        rows: list[list[int]] = []
        for sender, data in zip(senders, arrived, strict=True):
            body = await data if isinstance(data, asyncio.Future) else data
            if isinstance(body, list):
                rows.append(body)
                continue
            try:
                rows.append(codec.decode_array(body, order=int(field.order), count=count))
            except PeerError as error:
                raise PeerError(error.code, **{**error.fields, "peer": sender}) from None
        return rows

    # -- what is refused -----------------------------------------------------------------------------------------------

    def transfer(self, *given: object, **named: object) -> Any:
        raise RunError("run.program", problem="would send objects to peers")

    def peek(self, *given: object, **named: object) -> Any:
        raise RunError("run.program", problem="would write a secret number into a log")

    async def start(self) -> None:
        raise RunError("run.program", problem="would open sockets")

    async def shutdown(self) -> None:
        raise RunError("run.program", problem="would close sockets")

    @property
    def threshold(self) -> int:
        """More than 0 and less than half; set once."""
        return int(self._threshold)

    @threshold.setter
    def threshold(self, t: int) -> None:
        if hasattr(self, "_threshold"):
            raise RunError("run.program", problem="would change the threshold")
        self._threshold = t


def install(runtime: Runtime) -> None:
    """Make ``runtime`` MPyC's own, for its modules; once in a process."""
    for module in mpyc_import.MODULES:
        module.runtime = runtime
    mpyc_import.runtime.pickle = codec.Pickle
    by_public_numbers(sectypes.SecureNumber)
    asyncoro._hop = hop


def hop(counter: list[int]) -> int:
    """The next program counter below this one: the same on every platform and in every version of Python."""
    said = b"".join(each.to_bytes(8, "little", signed=True) for each in counter)
    return int.from_bytes(hashlib.sha256(said).digest()[:8], "little", signed=True)


def _field_of(x: list[Any]) -> tuple[Any, tuple[int, ...] | None]:
    """Field and shape of a list of numbers (None), or of the one array in it."""
    kind, shape = type(x[0]), None
    if issubclass(kind, sectypes.SecureArray):
        field, shape = kind.sectype.field, x[0].shape
    elif issubclass(kind, finfields.FiniteFieldArray):
        field, shape = kind.field, x[0].shape
    elif issubclass(kind, finfields.FiniteFieldElement):
        field = kind
    else:
        field = getattr(kind, "field", None)
    if field is None or not isinstance(field.modulus, int) or (shape is not None and len(x) != 1):
        raise RunError("run.program", problem=f"sends {kind.__name__}, which is no number of a prime field")
    return field, shape


def _rettype(first: Any, shape: tuple[int, ...] | None) -> Any:
    kind = type(first)
    if kind.frac_length:
        return (kind, first.integral) if shape is None else (kind, first.integral, shape)
    return kind if shape is None else (kind, shape)


def _numbers(x: list[Any]) -> list[int]:
    """Field elements, or the one array of them, as integers below the order."""
    if isinstance(x[0], finfields.FiniteFieldArray):
        return [int(value) for value in x[0].value.reshape(-1)]
    return [int(each.value) for each in x]


def _made(values: list[int], field: Any, shape: tuple[int, ...] | None) -> list[Any]:
    if shape is None:
        return [field(value) for value in values]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return [field.array(array).reshape(shape)]
