"""Make flow.svg, and the pictures of docs/guide-approver.md: parts of the demonstration's page with numbers on them.

``python docs/images/guide.py`` needs Chromium for the latter (``chromium`` on the path, or its name in ``CHROMIUM``).
The numbers are drawn by a style that is added to the page; nothing else is changed.
"""

import io
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from pets.check.blocks import Picture
from pets.check.page import html
from pets.check.picture import standalone
from pets.check.report import report
from pets.plan.review import review
from pets.spec.parse import read_spec

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "parties" / "demo" / "ae_by_tenure.spec.toml"

BADGE = (
    "position:absolute;z-index:9;width:1.75rem;height:1.75rem;border-radius:50%;background:#1c2430;color:#fff;"
    "font:700 1rem/1.75rem system-ui,sans-serif;text-align:center;box-shadow:0 0 0 3px #fff"
)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: which parts of the page it leaves out, and where its numbers stand (a selector each, in order)."""

    name: str
    hide: str
    width: int
    at: tuple[tuple[str, str], ...]

    @property
    def style(self) -> str:
        """Hide all other parts, and put the numbers beside what they are about."""
        badges = "".join(
            f'{selector}{{position:relative}}{selector}::after{{content:"{number}";{BADGE};{where}}}'
            for number, (selector, where) in enumerate(self.at, 1)
        )
        hide = f"nav,footer,{self.hide}{{display:none!important}}"
        return f"{hide}body{{max-width:60rem;padding:1rem}}.wide{{overflow:visible}}{badges}"


LEFT, RIGHT = "left:-2.4rem;top:.35rem", "right:-.6rem;top:-.6rem"
SHOTS = (
    Shot(
        "guide-minute",
        "main>section:not(.minute)",
        1040,
        (
            (".verdict", RIGHT),
            ("header dd:last-child", "left:37rem;top:-.25rem"),
            (".minute dl>div:nth-child(5)", LEFT),
            (".minute dl>div:nth-child(8)", LEFT),
            (".minute dl>div:nth-child(9)", LEFT),
            (".minute dl>div:nth-child(10)", LEFT),
        ),
    ),
    Shot(
        "guide-matrix",
        "header,main>section:not(#matrix),#matrix>.points,#matrix>p:last-child",
        1040,
        (
            (".matrix thead th.alone[scope=colgroup]", "left:.6rem;top:.1rem"),
            (".matrix tbody:nth-of-type(1) tr:nth-child(2) td:nth-of-type(1)", "right:-.75rem;top:-.1rem"),
            (".matrix tbody:nth-of-type(4) tr:nth-child(3) td:nth-of-type(3)", "right:-.75rem;top:-.1rem"),
            (".matrix tbody:nth-of-type(1) tr:nth-child(2) td:nth-of-type(8)", "right:-.75rem;top:-.1rem"),
            (".matrix thead th.beyond[scope=colgroup]", "right:-.9rem;top:.1rem"),
        ),
    ),
)


def page(shot: Shot) -> str:
    """The page of the demonstration, with the style of one picture."""
    return html(review(read_spec(SPEC))).replace("</style>", f"{shot.style}</style>", 1)


def take(shot: Shot) -> bytes:
    """The picture as PNG, without the empty space around it."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "page.html"), Path(folder, "out.png")
        file.write_text(page(shot), encoding="utf-8")
        subprocess.run(
            [
                *(os.environ.get("CHROMIUM", "chromium"), "--headless", "--no-sandbox", "--disable-gpu"),
                *("--hide-scrollbars", f"--window-size={shot.width},3000", f"--screenshot={out}", file.as_uri()),
            ],
            check=True,
            capture_output=True,
        )
        image = Image.open(out).convert("RGB")
    empty = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, empty).getbbox()
    assert box is not None, "an empty picture"
    cut = image.crop((0, 0, image.width, min(image.height, box[3] + 12)))
    stream = io.BytesIO()
    cut.quantize(128).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def flow() -> str:
    """Who sends what to whom in the demonstration, as a file of its own."""
    blocks = (block for section in report(review(read_spec(SPEC))).sections for block in section.blocks)
    return standalone(next(block for block in blocks if isinstance(block, Picture)))


if __name__ == "__main__":
    Path(__file__).with_name("flow.svg").write_text(flow(), encoding="utf-8")
    for each in SHOTS:
        Path(__file__).with_name(f"{each.name}.png").write_bytes(take(each))
