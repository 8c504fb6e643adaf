"""The picture of who sends what to whom, as SVG that needs nothing else. A place for each role."""

from dataclasses import dataclass
from html import escape
from typing import Final

from pets.check.blocks import Flow, Picture, size
from pets.check.fold import fold
from pets.check.style import PAPER
from pets.spec.repeated import BESIDE

_WIDTH: Final = 960
_BOX: Final = {
    "a": (20, 24, 250, 92),
    "b": (690, 24, 250, 92),
    "helper": (355, 236, 250, 92),
    "result": (355, 420, 250, 92),
    "holders": (355, 24, 250, 92),
    "server1": (20, 236, 250, 92),
    "server2": (355, 236, 250, 92),
    "server3": (690, 236, 250, 92),
    "left": (20, 24, 250, 92),
    "right": (690, 24, 250, 92),
    "first": (20, 236, 250, 92),
    "second": (355, 236, 250, 92),
    "third": (690, 236, 250, 92),
}
"""x, y, width and height of each role's box."""
_ONE_LINE: Final = 18
_LINE: Final = 24
"""Characters of a name that a box has room for: in large type on one line, in small type on each of several."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A way from one box to another, and where its words stand."""

    points: tuple[tuple[int, int], ...]
    words: tuple[int, int]
    anchor: str


_WAYS: Final = {
    ("b", "a"): _Line(((690, 56), (282, 56)), (480, 34), "middle"),
    ("a", "b"): _Line(((270, 92), (678, 92)), (480, 112), "middle"),
    ("a", "helper"): _Line(((120, 116), (120, 300), (343, 300)), (132, 322), "start"),
    ("helper", "a"): _Line(((355, 262), (180, 262), (180, 128)), (194, 178), "start"),
    ("b", "helper"): _Line(((840, 116), (840, 300), (617, 300)), (828, 322), "end"),
    ("helper", "b"): _Line(((605, 262), (780, 262), (780, 128)), (766, 178), "end"),
    ("helper", "result"): _Line(((480, 328), (480, 408)), (494, 364), "start"),
    ("a", "result"): _Line(((52, 116), (52, 466), (343, 466)), (66, 488), "start"),
    ("b", "result"): _Line(((908, 116), (908, 466), (617, 466)), (894, 488), "end"),
    ("left", "second"): _Line(((270, 70), (420, 70), (420, 224)), (408, 96), "end"),
    ("right", "second"): _Line(((690, 70), (540, 70), (540, 224)), (552, 96), "start"),
    ("first", "second"): _Line(((270, 258), (343, 258)), (306, 170), "middle"),
    ("second", "first"): _Line(((355, 306), (282, 306)), (312, 346), "middle"),
    ("second", "third"): _Line(((605, 258), (678, 258)), (648, 170), "middle"),
    ("third", "second"): _Line(((690, 306), (617, 306)), (648, 346), "middle"),
    ("first", "third"): _Line(((120, 328), (120, 380), (772, 380), (772, 340)), (132, 356), "start"),
    ("third", "first"): _Line(((840, 328), (840, 396), (188, 396), (188, 340)), (828, 356), "end"),
    ("second", "result"): _Line(((480, 328), (480, 408)), (494, 364), "start"),
    ("first", "result"): _Line(((52, 328), (52, 466), (343, 466)), (66, 488), "start"),
    ("third", "result"): _Line(((908, 328), (908, 466), (617, 466)), (894, 488), "end"),
    ("holders", "server1"): _Line(((355, 70), (145, 70), (145, 224)), (157, 112), "start"),
    ("holders", "server2"): _Line(((480, 116), (480, 224)), (494, 144), "start"),
    ("holders", "server3"): _Line(((605, 70), (815, 70), (815, 224)), (803, 112), "end"),
    ("server1", "holders"): _Line(((52, 236), (52, 48), (343, 48)), (66, 36), "start"),
    ("server2", "holders"): _Line(((430, 236), (430, 128)), (418, 178), "end"),
    ("server3", "holders"): _Line(((908, 236), (908, 48), (617, 48)), (894, 36), "end"),
    ("server1", "server2"): _Line(((270, 258), (343, 258)), (306, 206), "middle"),
    ("server2", "server1"): _Line(((355, 306), (282, 306)), (312, 346), "middle"),
    ("server2", "server3"): _Line(((605, 258), (678, 258)), (648, 206), "middle"),
    ("server3", "server2"): _Line(((690, 306), (617, 306)), (648, 346), "middle"),
    ("server1", "server3"): _Line(((120, 328), (120, 380), (772, 380), (772, 340)), (132, 420), "start"),
    ("server3", "server1"): _Line(((840, 328), (840, 396), (188, 396), (188, 340)), (828, 420), "end"),
    ("server2", "result"): _Line(((480, 328), (480, 452)), (494, 436), "start"),
    ("server1", "result"): _Line(((52, 328), (52, 510), (343, 510)), (66, 532), "start"),
    ("server3", "result"): _Line(((908, 328), (908, 510), (617, 510)), (894, 532), "end"),
}


_STEP: Final = 150
"""How far the boxes of further tables stand below each other."""


_LOWER: Final = 44
"""How much lower the result stands under servers, of whom the outer two send to each other below the middle one."""


def _place(role: str, lower: int) -> tuple[int, int, int, int]:
    """The box of a role; those of further tables (d1, d2 ...) stand below each other, under all others."""
    further = _further(role)
    if further is not None:
        return (690, 560 + _STEP * further, 250, 92)
    x, y, width, height = _BOX[role]
    return (x, y + lower, width, height) if role == "result" else (x, y, width, height)


def _way(sender: str, receiver: str, tables: int) -> _Line:
    """The way from one role to another; ``tables``: how many further ones.

    They only send, and to the helper only: their ways join, right of all that it sends.
    """
    further = _further(sender)
    if further is not None and receiver == "helper":
        y = 606 + _STEP * further
        return _Line(((690, y), (640, y), (640, 318), (617, 318)), (626, y - 14), "end")
    way = _WAYS[sender, receiver]
    return _Line(way.points, (466, 364), "end") if tables and (sender, receiver) == ("helper", "result") else way


def _further(role: str) -> int | None:
    """Which of the further tables a role has, from number 0; None for other roles."""
    number = role.removeprefix(BESIDE)
    return int(number) - 1 if role.startswith(BESIDE) and number.isdigit() else None


def svg(picture: Picture) -> str:
    """Draw it. Roles that one party shares are one box; arrows are thicker where more is sent."""
    role_of = {party: role for role, party, _ in picture.boxes}
    further = sum(_further(role) is not None for role in role_of.values())
    lower = _LOWER if "server1" in role_of.values() else 0
    height = (
        530 + _STEP * further
        if further
        else 530 + lower
        if "result" in role_of.values()
        else 460
        if "server3" in role_of.values()
        else 350
        if set(role_of.values()) - {"a", "b"}
        else 140
    )
    told = "; ".join(words(picture))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="flow-t flow-d" class="flow">',
        f'<title id="flow-t">{escape(picture.caption)}</title><desc id="flow-d">{escape(told)}.</desc>',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="3" refY="5" markerWidth="13" markerHeight="13" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 10 5 0 10z"/></marker></defs>',
    ]
    most = max((flow.size for flow in picture.flows), default=1)
    parts += [_arrow(flow, _way(role_of[flow.sender], role_of[flow.receiver], further), most) for flow in picture.flows]
    parts += [_box(_place(role, lower), role, party, what) for role, party, what in picture.boxes]
    return "".join([*parts, "</svg>"])


def words(picture: Picture) -> tuple[str, ...]:
    """The picture as sentences without a full stop, one for each arrow."""
    return tuple(f"{f.sender} sends {f.receiver} {size(f.size)}: {f.what}" for f in picture.flows)


def standalone(picture: Picture) -> str:
    """The picture as an SVG file of its own, on white paper."""
    drawn = svg(picture).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    start = drawn.index(">") + 1
    paper = f'<style>{PAPER}</style><rect width="100%" height="100%" fill="#fff"/>'
    return f"{drawn[:start]}{paper}{drawn[start:]}\n"


def _arrow(flow: Flow, way: _Line, most: int) -> str:
    """One arrow: 1.5 to 5 wide, by the share of what is sent."""
    tenths = 15 + 35 * flow.size // most
    path = "M" + " L".join(f"{x} {y}" for x, y in way.points)
    x, y = way.words
    words = flow.what.split(", ")
    return (
        f'<path class="line{" out" if "noised" in flow.what else ""}" d="{path}" '
        f'stroke-width="{tenths // 10}.{tenths % 10}" marker-end="url(#tip)"/>'
        f'<text x="{x}" y="{y}" text-anchor="{way.anchor}"><tspan class="bytes">{escape(size(flow.size))}</tspan> '
        + "".join(f'<tspan x="{x}" dy="19">{escape(w)}</tspan>' if i else escape(w) for i, w in enumerate(words))
        + "</text>"
    )


def _box(place: tuple[int, int, int, int], role: str, party: str, what: str) -> str:
    """A box. A long name has up to three smaller lines, which is room for every name that a party may have."""
    x, y, width, height = place
    middle = x + width // 2
    short = len(party) <= _ONE_LINE
    lines = [party] if short else fold(party, _LINE)
    if len(lines) > 3:  # marks where no line can end well
        lines = [party[i : i + _LINE] for i in range(0, len(party), _LINE)]
    kind, top, step = ("name", y + 42, 0) if short else ("name long", y + 50 - 9 * len(lines), 18)
    name = "".join(
        f'<text x="{middle}" y="{top + step * number}" text-anchor="middle" class="{kind}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<g class="box {role}"><rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>{name}'
        f'<text x="{middle}" y="{y + (68 if short else 80)}" text-anchor="middle" class="what">'
        f"{escape(what)}</text></g>"
    )
