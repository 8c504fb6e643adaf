"""Protocols of MPyC 0.11 whose masks are too narrow for what they cover: here with masks that are wide enough.

A mask hides a number that is `sec_param` bits narrower. The rest of each protocol is as in the runtime of MPyC.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

from pets.errors import RunError
from pets.party.mpyc_fixed import Fixed
from pets.party.mpyc_import import asyncoro, thresha


def protocol(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a coroutine one of MPyC's. A return annotation would be taken for the type that it declares at run time."""
    function.__annotations__.pop("return", None)
    return asyncoro.mpc_coro(function)  # type: ignore[no-any-return]


def by_public_numbers(kind: Any) -> None:
    """Refuse remainders by secret numbers: MPyC takes a party's share of the divisor for the divisor, each its own."""
    for name in ("__mod__", "__divmod__"):
        setattr(kind, name, _public(getattr(kind, name)))


def _public(operator: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(operator)
    def checked(number: Any, by: Any) -> Any:
        if isinstance(by, asyncoro.SecureObject):
            raise RunError("run.program", problem="takes a remainder or a whole quotient by a secret number")
        return operator(number, by)

    return checked


class Masked(Fixed):
    """A runtime of MPyC whose masks are as wide as what they cover asks for."""

    def trunc(self, x: Any, f: int | None = None, l: int | None = None) -> Any:  # noqa: E741 - MPyC's name
        """Cut ``f`` places off. A product has f bits more than its factors, and MPyC leaves them uncovered where it is
        given field elements, and the width ``l`` of the factors."""
        first = x[0] if isinstance(x, list) else x
        if f is not None and l is not None and not isinstance(first, self.SecureObject):
            l += f  # noqa: E741
        return super().trunc(x, f=f, l=l)

    @protocol
    async def reciprocal(self, a: Any) -> Any:
        """The inverse in the field. MPyC draws again as long as the masked number is 0: of a 0, for ever.

        That it is 0 is seen by everybody, here too. Raises: RunError run.program; a mask is 0 once in 2^50 or less.
        """
        stype = type(a)
        await self.returnType(stype)
        mask = self._random(stype.field)
        masked = await self.output(await self.gather(a) * mask, threshold=2 * self.threshold)
        if not masked:
            raise RunError("run.program", problem="divides by a secret whole number that is 0, as everybody now sees")
        return (mask << stype.frac_length) / masked

    def pow(self, a: Any, b: int) -> Any:
        """A power. Of a number with places MPyC takes the inverse in the field, which is any element, and opens a 0."""
        return super().pow(1 / a, -b) if b < 0 and type(a).frac_length else super().pow(a, b)

    def _norm(self, a: Any) -> Any:
        """What a number with places is scaled by before it is divided by: of a 0, 0, so that 1 / 0 is 0.

        MPyC takes the number for the smallest one; the quotients are wider than their type, and so than every mask.
        """
        places, width = type(a).frac_length, type(a).bit_length
        *bits, sign = self.to_bits(a)
        power = self.find(bits[::-1], 1 - sign, cs_f=lambda b, at: (b + 1) << at if at < width - 1 else 0)
        return (1 - sign * 2) * power * 2.0 ** (places - (width - 1))

    def mod(self, a: Any, b: Any) -> Any:
        """The remainder by a public number, also by one that is none of MPyC's: MPyC's operators alone make it one."""
        return super().mod(a, type(a)(b) if isinstance(b, int) else b)

    @protocol
    async def _mod(self, a: Any, b: int) -> Any:
        """The remainder of a by a public ``b``, in units of the last place. MPyC covers a with a mask of b's width.

        Opened is a less or more a multiple of b and a remainder, both of chance. Which of the two remainders is the
        smaller one is a comparison with the bits of that of chance.
        """
        stype = type(a)
        await self.returnType(stype)
        field, places, width = stype.field, stype.frac_length, stype.bit_length
        if not 0 < b <= 1 << width:  # of a negative one this is the element of the field
            problem = "takes a remainder or a whole quotient by a number that is not positive, or too wide"
            raise RunError("run.program", problem=problem)
        drawn = await self.gather(self.random._randbelow(stype, b, bits=True))
        bits = [(bit >> places if places else bit).value for bit in drawn]
        low = sum(bit << at for at, bit in enumerate(bits))
        high = self._random(field, (1 << (width + self.options.sec_param)) // b + 1).value
        a = await self.gather(a)
        c = await self.output(a + ((1 << width) - (1 << width) % b + b * high - low))
        rest = c.value % b or b
        sign = (await self.random_bits(field, 1, signed=True))[0].value
        above, apart = 0, []
        for at in reversed(range(len(bits))):
            bit = (b - rest) >> at & 1
            apart.append(field(sign + bits[at] - bit + 3 * above))
            above += 1 - bits[at] if bit else bits[at]
        apart.append(field(sign + 1 + 3 * above))
        same = await self.is_zero_public(stype(self.prod(apart)))
        below = field(1 - sign if same else 1 + sign) / 2
        return (rest + low - below * b) << places

    @protocol
    async def _convert(self, x: list[Any], t_type: Any) -> Any:
        """Numbers of one type as numbers of another. MPyC covers them with a mask of the narrower type's width.

        Opened is a number under one mask, of which everybody has shares in both fields.
        """
        s_type, count = type(x[0]), len(x)
        await self.returnType((t_type, not s_type.frac_length), count)
        width, more = s_type.bit_length, t_type.frac_length - s_type.frac_length
        parties = len(self.parties)
        bound = (1 << (self.options.sec_param + width)) // math.comb(parties, self.threshold) + 1
        prfs, uci = self.prfs(bound), self._prss_uci()
        here, there = (
            thresha.pseudorandom_share(kind.field, parties, self.pid, prfs, uci, count) for kind in (s_type, t_type)
        )
        x = await self.gather(x)
        if more < 0:
            x = await self.trunc(x, f=-more, l=width)
        offset = 1 << (width - 1)
        opened = await self.output([number + offset + mask for number, mask in zip(x, here, strict=True)])
        y = [t_type.field(each.value - offset) - mask for each, mask in zip(opened, there, strict=True)]
        return [each << more for each in y] if more > 0 else y
