"""How the page looks. System fonts, no file beside it; colours never carry a meaning that no letter carries."""

from typing import Final

CSS: Final = """
:root{--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--paper:#fff;--ground:#f4f5f7;--blue:#1d4f91;--blue-soft:#eaf0f8;
--green:#14603a;--green-soft:#e6f3ec;--red:#9c1c1c;--red-soft:#fbeaea;--amber:#8a5300;--amber-soft:#fdf3e1}
*{box-sizing:border-box}
html{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:var(--ink);
background:var(--ground);scroll-behavior:smooth}
body{margin:0 auto;max-width:66rem;padding:0 1.5rem 3rem}
a{color:var(--blue)}a:focus-visible{outline:3px solid #f0b400;outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:#fff;padding:.5rem 1rem;z-index:1}
header{background:var(--paper);border:1px solid var(--line);border-top:8px solid var(--green);
border-radius:0 0 12px 12px;
padding:1.8rem 2.2rem 1.4rem}
header.refused{border-top-color:var(--red)}
.kind{margin:0;color:var(--soft);text-transform:uppercase;letter-spacing:.08em;font-size:.78rem}
h1{margin:.2rem 0 .9rem;font-size:2rem;line-height:1.2;letter-spacing:-.01em}
.verdict{margin:0 0 1.1rem;padding:.75rem 1rem;border-radius:8px;background:var(--green-soft);color:var(--green)}
.verdict strong{display:block;font-size:1.15rem}
.refused .verdict{background:var(--red-soft);color:var(--red)}
nav ol{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;list-style-position:inside;padding:.9rem 0;margin:0;
font-size:.9rem}
nav a{text-decoration:none}nav a:hover{text-decoration:underline}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:1.6rem 2.2rem;
margin:0 0 1.2rem}
.short{background:var(--blue-soft);border-color:#c8d8ee}.short ul{margin:.4rem 0 0;padding-left:1.2rem}
.short li{margin:.35rem 0;font-size:1.06rem}
h2{margin:0;font-size:1.35rem;line-height:1.3}
.number{font-variant-numeric:tabular-nums}
h2 .number{display:inline-block;min-width:1.9rem;color:var(--blue)}
.question{margin:.1rem 0 1.1rem;color:var(--soft)}
h3{margin:0 0 .3rem;font-size:1rem}
p{max-width:46rem}
dl{display:grid;grid-template-columns:minmax(8rem,13rem) 1fr;gap:.45rem 1.2rem;margin:.8rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
header dl{margin:0;font-size:.92rem}
code,pre{font:.88em/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}
th code,td code{overflow-wrap:anywhere}
pre{margin:.4rem 0 0;padding:.9rem 1.1rem;background:var(--ground);border-radius:8px;white-space:pre-wrap}
figure{margin:1.2rem 0}figcaption,caption{color:var(--soft);font-size:.9rem;text-align:left;padding:0 0 .5rem}
.points{margin:1rem 0;padding:.9rem 1.2rem;border-left:4px solid var(--line);background:#fafbfc;
border-radius:0 8px 8px 0}
.points ul{margin:0;padding-left:1.15rem}.points li{margin:.25rem 0}
.points.warn{border-color:#e0a030;background:var(--amber-soft)}.points.bad{border-color:var(--red);
background:var(--red-soft)}
.points.good{border-color:var(--green);background:var(--green-soft)}
#matrix>.points.plain{display:inline-block;vertical-align:top;width:calc(50% - .6rem);margin:.3rem .8rem .7rem 0;
font-size:.93rem}#matrix>.points.plain:nth-of-type(2n){margin-right:0}
.wide{overflow-x:auto;margin:1.2rem 0}section>:last-child{margin-bottom:0}section>.points:first-child{margin-top:0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:.42rem .7rem .42rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--ink);font-size:.85rem;vertical-align:bottom}
tbody th{font-weight:600}
th.number,td.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;padding-right:.9rem}
#fields table{font-size:.82rem}#fields th{font-weight:400;width:40%}
.flow{width:100%;height:auto;display:block;font-size:15px}
.flow rect{fill:#fff;stroke:var(--blue);stroke-width:2}.flow .helper rect{fill:#f6f7f9;stroke:#6b7686;
stroke-dasharray:6 4}
.flow .result rect{fill:var(--green-soft);stroke:var(--green)}.flow .a rect,.flow .b rect{fill:var(--blue-soft)}
.flow text{fill:var(--ink)}.flow .name{font-weight:700;font-size:19px}.flow .what{fill:var(--soft)}
.flow .bytes{font-weight:700}.flow .line{fill:none;stroke:#8592a3;stroke-linejoin:round}
.flow .line.out{stroke:var(--green)}.flow marker path{fill:#5b6675}
.legend{list-style:none;padding:0;margin:1rem 0;display:grid;grid-template-columns:1fr 1fr;gap:.35rem 1.5rem;
font-size:.9rem}
.legend li{display:flex;gap:.6rem}.legend .m{flex:none}
.m{display:inline-block;width:1.65rem;line-height:1.65rem;border-radius:5px;text-align:center;font-weight:700;
font-size:.88rem}
.v{background:#b3261e;color:#fff}.a{background:#e07b16;color:#1c1200}.s{background:#dfe6f3;color:#1d3f77}
.own{background:#fff;color:var(--ink);box-shadow:inset 0 0 0 1.5px #9aa5b3}
.n{background:#cfe8f5;color:#0b4a69}.h{background:#e9ebee;color:#4a5462}.x{color:#7b8592;font-weight:400}
.matrix td,.matrix thead th{text-align:center;padding:.2rem .25rem}.matrix thead th{font-weight:600;font-size:.8rem}
.matrix th[scope=row]{font-weight:400;font-size:.88rem;padding-left:.8rem}
.matrix th[scope=colgroup]{border-bottom:1px solid var(--line);color:var(--soft);font-weight:400}
.matrix .group th{background:var(--ground);font-size:.85rem;padding:.35rem .5rem}
.matrix td.beyond,.matrix th.beyond{background:repeating-linear-gradient(135deg,#fff 0 5px,#f7eeee 5px 10px)}
.matrix td.group,.matrix thead th.group{border-left:1px solid transparent}
footer{color:var(--soft);font-size:.85rem;padding:.5rem 2.2rem}
@media(max-width:44rem){.wide table{min-width:38rem}
section,header{padding:1.1rem}dl{grid-template-columns:1fr}dt{margin-top:.4rem}
.legend{grid-template-columns:1fr}#matrix>.points.plain{width:100%;margin-right:0}}
@page{size:A4;margin:14mm 12mm}
@media print{html{background:#fff;font-size:10.5pt}body{max-width:none;padding:0}nav,.skip{display:none}
section,header{border-width:0 0 1px;border-radius:0;padding:.8rem 0}header{border-top-width:6px}
.points,figure,tr{break-inside:avoid}h2,h3,caption,.question{break-after:avoid}
#fields td,#fields th{padding:.12rem .7rem .12rem 0}.wide{overflow:visible}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.matrix{font-size:8.5pt}.m{width:1.4rem;
line-height:1.35rem}}
"""
