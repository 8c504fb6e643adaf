"""How the page looks. System fonts, no file beside it; a colour never carries a meaning that no word carries.

Colours have names (``LIGHT``, ``DARK``), and ``PAIRS`` lists which stands on which; tests hold each pair to the
contrast that WCAG 2.2 asks at level AA (1.4.3 for text, 1.4.11 for lines and marks).
"""

import re
from collections.abc import Mapping
from typing import Final

LIGHT: Final[Mapping[str, str]] = {
    "ink": "#1c2430",
    "soft": "#55606f",
    "line": "#d5dbe3",
    "paper": "#ffffff",
    "ground": "#f1f3f6",
    "blue": "#1d4f91",
    "blue-soft": "#eaf0f8",
    "green": "#14603a",
    "green-soft": "#e6f3ec",
    "red": "#9c1c1c",
    "red-soft": "#fbeaea",
    "amber": "#8a5300",
    "amber-soft": "#fdf3e1",
    "quiet": "#f7f8fa",
    "stripe": "#f7eeee",
    "arrow": "#647285",
    "helper": "#f6f7f9",
    "focus": "#1d4f91",
    "v": "#b3261e",
    "v-ink": "#ffffff",
    "i": "#8c3a8f",
    "i-ink": "#ffffff",
    "a": "#e58a2b",
    "a-ink": "#1c1200",
    "s": "#dfe6f3",
    "s-ink": "#1d3f77",
    "n": "#cfe8f5",
    "n-ink": "#0b4a69",
    "h": "#e6e9ed",
    "h-ink": "#434d5a",
    "x-ink": "#5f6a78",
}
DARK: Final[Mapping[str, str]] = {
    "ink": "#e6eaf0",
    "soft": "#a9b4c2",
    "line": "#3a4452",
    "paper": "#1a2029",
    "ground": "#11161d",
    "blue": "#8fbaf5",
    "blue-soft": "#1c2c44",
    "green": "#7fd1a3",
    "green-soft": "#16321f",
    "red": "#ff9d94",
    "red-soft": "#3d1f1f",
    "amber": "#f2bd63",
    "amber-soft": "#38290f",
    "quiet": "#202733",
    "stripe": "#2d2024",
    "arrow": "#8996a8",
    "helper": "#242c38",
    "focus": "#ffd257",
    "v": "#d9453b",
    "v-ink": "#140302",
    "i": "#d9a2e0",
    "i-ink": "#2a0d2e",
    "a": "#e58a2b",
    "a-ink": "#1c1200",
    "s": "#2c3d5c",
    "s-ink": "#d5e3fb",
    "n": "#174a63",
    "n-ink": "#d3eefc",
    "h": "#38414d",
    "h-ink": "#d2d9e2",
    "x-ink": "#98a4b3",
}

TEXT: Final = 4.5
GRAPHIC: Final = 3.0
PAIRS: Final[tuple[tuple[str, str, float], ...]] = (
    *((ink, on, TEXT) for ink in ("ink", "soft") for on in ("paper", "ground", "quiet", "stripe", "blue-soft")),
    *((ink, on, TEXT) for ink in ("ink", "soft") for on in ("green-soft", "red-soft", "amber-soft", "helper")),
    *(("blue", on, TEXT) for on in ("paper", "ground", "blue-soft", "quiet")),
    *((tone, f"{tone}-soft", TEXT) for tone in ("green", "red", "amber")),
    *((tone, "paper", TEXT) for tone in ("green", "red", "amber")),
    *((f"{mark}-ink", mark, TEXT) for mark in "viasnh"),
    *(("x-ink", on, TEXT) for on in ("paper", "stripe")),
    *((tone, on, GRAPHIC) for tone in ("green", "red", "amber", "blue", "arrow") for on in ("paper", "ground")),
    *(("arrow", on, GRAPHIC) for on in ("stripe", "helper")),
    *(("focus", on, GRAPHIC) for on in ("paper", "ground", "quiet", "blue-soft", "red-soft", "amber-soft")),
)
"""Foreground, background, and the least contrast between them."""


def _variables(palette: Mapping[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in palette.items())


PICTURE: Final = """
.flow{font:15px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.flow text{fill:var(--ink)}.flow .name{font-weight:700;font-size:19px}.flow .what{fill:var(--soft)}
.flow .long{font-size:14px}.flow .bytes{font-weight:700}.flow .line{fill:none;stroke:var(--arrow);stroke-linejoin:round}
.flow .line.out{stroke:var(--green);stroke-dasharray:9 4}
.flow marker path{fill:var(--arrow)}.flow rect{fill:var(--blue-soft);stroke:var(--blue);stroke-width:2}
.flow .helper rect{fill:var(--helper);stroke:var(--arrow);stroke-dasharray:6 4}
.flow .result rect{fill:var(--green-soft);stroke:var(--green)}
"""
"""The picture's part, which also goes into the picture as a file of its own."""

_SCREEN: Final = """
*{box-sizing:border-box}
html{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:var(--ink);
background:var(--ground);color-scheme:light dark;overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:66rem;padding:0 1.5rem 3rem}
a{color:var(--blue)}
:focus-visible{outline:3px solid var(--focus);outline-offset:2px}main:focus{outline:none}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem 1rem;z-index:1}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
header,section{background:var(--paper);border:1px solid var(--line)}
header{border-top:8px solid var(--green);border-radius:0 0 12px 12px;padding:1.6rem 2.2rem 1.3rem;margin:0 0 1.2rem}
header.refused{border-top-color:var(--red)}
section{border-radius:12px;padding:1.5rem 2.2rem;margin:0 0 1.2rem}
.kind{margin:0;color:var(--soft);font-size:.9rem}
h1{margin:.2rem 0 .9rem;font-size:1.9rem;line-height:1.2}
h2{margin:0;font-size:1.35rem;line-height:1.3}
h3{margin:0 0 .3rem;font-size:1rem}
p{max-width:46rem;margin:.8rem 0}
dd,td,h1,li{unicode-bidi:isolate}
.verdict{max-width:none;margin:0 0 1.1rem;padding:.75rem 1rem;border-radius:8px;background:var(--green-soft);
color:var(--green)}
.verdict strong{display:block;font-size:1.15rem}
.refused .verdict{background:var(--red-soft);color:var(--red)}
dl{margin:.8rem 0}
dl>div{display:grid;grid-template-columns:minmax(8rem,13rem) minmax(0,1fr);gap:0 1.2rem;margin:.45rem 0}
dt{color:var(--soft)}dd{margin:0}
header dl{display:grid;grid-template-columns:5rem minmax(0,1fr);gap:.3rem 1.2rem;margin:0;font-size:.92rem}
.minute{background:var(--blue-soft);border-color:var(--blue)}
.minute dl{margin:.6rem 0 0}.minute dl>div{padding:.5rem 0;margin:0;border-top:1px solid var(--line)}
.minute dl>div:first-child{border-top:0}.minute dt{color:var(--ink);font-weight:700}.minute dd{max-width:46rem}
nav{padding:.2rem 2.2rem 1.2rem;font-size:.92rem}nav h2{font-size:1rem}
nav ol{list-style:none;padding:0;margin:0}nav>ol{columns:3 13rem;column-gap:1.5rem;margin-top:.4rem}
nav li{break-inside:avoid;padding:.12rem 0}nav ol ol{padding-left:1.1rem}
.number{font-variant-numeric:tabular-nums}h2 .number,nav .number{color:var(--blue)}
.question{margin:.1rem 0 1.1rem;color:var(--soft)}
code,pre{font:.88em/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}
pre{margin:.4rem 0 0;padding:.9rem 1.1rem;background:var(--ground);border-radius:8px;white-space:pre-wrap}
figure{margin:1.2rem 0}
figcaption,caption{color:var(--soft);font-size:.9rem;text-align:left;padding:0 0 .5rem}
.points{margin:1rem 0;padding:.9rem 1.2rem;border-left:4px solid var(--arrow);background:var(--quiet);
border-radius:0 8px 8px 0}
.points ul{margin:0;padding-left:1.15rem}.points li{margin:.25rem 0}
.points.warn{border-color:var(--amber);background:var(--amber-soft)}
.points.bad{border-color:var(--red);background:var(--red-soft)}
.points.good ul{list-style:none;padding:0}.points.good{border-color:var(--green);background:var(--green-soft)}
.findings{border-left:8px solid var(--arrow)}
.findings.bad{border-color:var(--red)}.findings.bad h2{color:var(--red)}
.findings.warn{border-color:var(--amber)}.findings.warn h2{color:var(--amber)}
.cases{margin:.6rem 0 0;padding-left:1.5rem}.cases li{margin:.9rem 0}.cases li::marker{font-weight:700}
.message{margin:0;max-width:none;font-weight:600}
.cases dl{margin:.3rem 0 0}.cases dl>div{grid-template-columns:4.6rem minmax(0,1fr);margin:.15rem 0}
#matrix{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 1.2rem}#matrix>*{grid-column:1/-1;margin-top:0}
#matrix>.points.plain{grid-column:auto;margin:0 0 1.2rem;font-size:.93rem}
.wide{position:relative;overflow-x:auto;margin:1.2rem 0}
section>:last-child{margin-bottom:0}section>.points:first-child{margin-top:0}
table{border-collapse:collapse;width:100%;font-size:.92rem;overflow-wrap:break-word}
th,td{padding:.42rem .7rem .42rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--ink);font-size:.85rem;vertical-align:bottom}.short{white-space:nowrap}
tbody th{font-weight:600}
th.number,td.number{text-align:right;font-variant-numeric:tabular-nums;padding-right:.9rem}
#fields table{font-size:.82rem}#fields th{font-weight:400;width:40%}
#leakage td:last-child{font-weight:700}
.flow{width:100%;min-width:42rem;height:auto;display:block}
.words{display:none}
.legend{display:grid;grid-template-columns:1fr 1fr;gap:.35rem 1.5rem;margin:.6rem 0 1rem;font-size:.9rem}
.legend>div{display:flex;gap:.6rem;margin:0}.legend dt{flex:none;width:2rem}
.m{display:inline-block;min-width:1.7rem;line-height:1.6rem;border-radius:5px;text-align:center;font-weight:700;
font-size:.88rem;border:1px solid transparent}
.v{background:var(--v);color:var(--v-ink)}.i{background:var(--i);color:var(--i-ink)}
.a{background:var(--a);color:var(--a-ink)}
.s{background:var(--s);color:var(--s-ink)}.n{background:var(--n);color:var(--n-ink)}
.h{background:var(--h);color:var(--h-ink)}.x{color:var(--x-ink);font-weight:400}
.own{background:var(--paper);color:var(--ink);border-color:var(--arrow)}
.matrix{table-layout:fixed;min-width:44rem}
.matrix thead tr:first-child td{width:12rem}
.matrix td,.matrix thead th{text-align:center;padding:.2rem .25rem}
.matrix thead th{font-weight:600;font-size:.74rem;overflow-wrap:anywhere;padding-left:.1rem;padding-right:.1rem}
.matrix th[scope=row]{font-weight:400;font-size:.88rem;padding-left:.8rem}
.matrix thead th[scope=colgroup]{border-bottom:1px solid var(--line);color:var(--soft);font-weight:400}
.matrix .group th{background:var(--ground);font-size:.85rem;padding:.35rem .5rem}
.matrix td.beyond,.matrix th.beyond{background:repeating-linear-gradient(135deg,var(--paper) 0 5px,var(--stripe) 5px
10px)}
footer{color:var(--soft);font-size:.85rem;padding:.5rem 2.2rem}
"""

_PHONE: Final = """
body{padding:0 .6rem 2rem}section,header{padding:1.1rem}nav,footer{padding-left:1.1rem;padding-right:1.1rem}
h1{font-size:1.5rem}dl>div,header dl{grid-template-columns:minmax(0,1fr);gap:0}header dt{margin-top:.3rem}
.minute dt{margin-bottom:.1rem}nav ol{columns:1}.legend{grid-template-columns:1fr}
#matrix{grid-template-columns:minmax(0,1fr)}.words{display:block;padding-left:1.15rem;font-size:.92rem}
.grid table,.grid tbody,.grid tr,.grid th,.grid td{display:block;width:auto}
.grid caption{display:block}.grid thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.grid tr{border-bottom:1px solid var(--arrow);padding:.55rem 0}
.grid th,.grid td{border:0;padding:.12rem 0;overflow-wrap:anywhere}
.grid td[data-of]{display:grid;grid-template-columns:7rem minmax(0,1fr);gap:.6rem;text-align:left}
.grid td[data-of]::before{content:attr(data-of);color:var(--soft)}.grid td[data-of=""]{display:block}
.grid td[data-of=""]::before{content:none}#fields .grid th{width:auto}th.number{text-align:left}

.matrix caption{max-width:calc(100vw - 4.5rem)}
.matrix thead tr:first-child td{width:9rem}.matrix th[scope=row]{padding-left:.2rem}
.matrix tbody tr:not(.group) th,.matrix thead td{position:sticky;left:0;background:var(--paper);z-index:1}
"""

_FORCED: Final = """
.m,.points,.verdict{border:1px solid}.m.v{border-width:3px}.flow .box rect{fill:Canvas;stroke:CanvasText}
.flow text,.flow .what{fill:CanvasText}
.flow .line{stroke:CanvasText}.flow marker path{fill:CanvasText}.flow .line.out{stroke:CanvasText}
.matrix td.beyond,.matrix th.beyond{border-left:3px double}
"""

_PRINT: Final = """
html{background:#fff;font-size:10pt;line-height:1.4}body{max-width:none;padding:0}nav,.skip{display:none}
section,header{border-width:0 0 1px;border-radius:0;padding:.7rem 0;margin:0}header{border-top-width:6px}
section:last-of-type{border-bottom:0}h1{font-size:1.6rem}
.minute{border:1.5px solid var(--blue);border-radius:8px;padding:.8rem 1rem;margin:.6rem 0}
.minute dl>div{padding:.28rem 0;grid-template-columns:11rem minmax(0,1fr)}.minute dd,p{max-width:none}
.findings{border-left-width:6px;padding-left:1rem}
.points,figure,table,tbody,tr,dl>div,.cases li{break-inside:avoid}
table.long,.long tbody,.points.list{break-inside:auto}
#projects,#matrix,#fields{break-before:page}
h2,h3,caption,figcaption,.question,thead{break-after:avoid}thead{display:table-header-group}
p,li,dd{orphans:3;widows:3}
details::details-content{content-visibility:visible;block-size:auto}.wide{overflow:visible}.flow{min-width:0;max-height:105mm}
.grid th,.grid td{padding:.25rem .5rem .25rem 0}table{font-size:8.8pt}
#fields table{font-size:8pt}#fields td,#fields th{padding:.1rem .6rem .1rem 0}
.matrix{min-width:0;font-size:8pt}.matrix thead tr:first-child td{width:40mm}
.matrix thead th{font-size:7.5pt}.matrix td,.matrix th[scope=row]{padding-top:.08rem;padding-bottom:.08rem}
.m{min-width:1.5rem;line-height:1.3rem}#matrix>.points.plain{padding:.5rem .8rem;margin-bottom:.6rem}
footer{padding:.5rem 0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
"""


def _joined(text: str) -> str:
    return text.replace("\n", "")


CSS: Final = _joined(
    f":root{{{_variables(LIGHT)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    f"{_SCREEN}{PICTURE}@media screen and (max-width:46rem){{{_PHONE}}}"
    f"@media (forced-colors:active){{{_FORCED}}}@media print{{{_PRINT}}}"
)

PAPER: Final = re.sub(r"var\(--([\w-]+)\)", lambda name: LIGHT[name[1]], _joined(PICTURE))
"""What a picture needs that stands alone; colours are written out, for programs that know no variables."""


def print_footer(digest: str) -> str:
    """A4, with the digest and the page's number at the foot of every printed page. ``digest``: hex."""
    if set(digest) - set("0123456789abcdef"):
        raise ValueError("a digest is hex")
    box = "font:7.5pt system-ui,sans-serif;color:#55606f"
    return (
        f'@page{{size:A4;margin:13mm 13mm 15mm;@bottom-left{{content:"specification {digest}";{box}}}'
        f'@bottom-right{{content:"page " counter(page) " of " counter(pages);{box}}}}}'
    )
