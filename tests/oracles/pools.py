"""Specifications of sums over one table of many holders, for tests, and plans of them that are written by hand."""

from collections.abc import Sequence
from fractions import Fraction

from pets.ids import PartyId, SpecDigest
from pets.spec.cards import load_cards
from pets.spec.ir import (
    AddNoise,
    Derive,
    Derived,
    Dimension,
    Factor,
    Moment,
    NoisedColumn,
    Open,
    PersonCount,
    Plan,
    Pool,
    Protect,
    Read,
    ShownMoment,
)
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.query import ColumnRef
from tests.oracles.many import CONTROL, NOISE, many_toml

SUM, SHAMIR, HELD, CHECKED = "secure_sum", "secure_sum_shamir", "secure_sum_held", "checked_sum"
SERVERS = ("north", "south", "west", "east", "centre", "coast", "isles")
SQL = """SELECT v.ward, COUNT(*) AS visits, SUM(v.minutes) AS minutes, AVG(v.minutes) AS mean
FROM visits v WHERE v.arrival >= DATE '2026-01-01' GROUP BY v.ward"""
TABLE = """[dataset.columns]
nhs_number = { role = "person id", scheme = "nhs-number" }
ward       = { role = "dimension", type = "category", levels = ["A1", "B2", "C3"] }
minutes    = { role = "measure", type = "integer", min = 0, max = 1_440, unit = "min", clamp = true, \
required = true, sensitivity = "special category" }
arrival    = { role = "filter only", type = "date" }
"""


def boards(count: int) -> list[str]:
    return [f"board-{number:03}" for number in range(1, count + 1)]


def pools_toml(
    holders: int = 4,
    servers: int = 2,
    *,
    sql: str = SQL,
    protocol: str = SUM,
    corrupt: int | None = None,
    to: str = "statistics",
    minimum: int = 3,
    truncate: bool = True,
    per_person: int = 4,
    columns: str = TABLE,
    edits: Sequence[tuple[str, str]] = (),
) -> str:
    """The text of a specification: so many boards bring visits, so many others add them up and hold nothing."""
    text = many_toml(2, 2)
    head = text[: text.index("[[party]]")].replace("A&E attendance by housing tenure and age, adults", "Visits by ward")
    legal = text[text.index("[legal.board-02]") : text.index("[legal.council-01]")]
    roles = {name: ["input"] for name in boards(holders)} | {name: ["computing"] for name in SERVERS[:servers]}
    roles[to] = [*roles.get(to, ()), "result"]
    lines = [head]
    for name, plays in roles.items():
        said = ", ".join(f'"{each}"' for each in plays)
        acts = {"input": '\nacts_as = "controller"', "computing": '\nacts_as = "processor"'}.get(plays[0], "")
        country = '\ncountry = "GB"' if plays != ["result"] else ""
        san = f"spiffe://{name}.example/pets"
        lines.append(
            f'[[party]]\nname = "{name}"\norganisation = "{name}"\nroles = [{said}]\nsan = "{san}"{acts}{country}\n'
        )
    lines.append(
        f'[[dataset]]\nname = "visits"\nprivacy_unit = "person"\nmax_rows_per_person = {per_person}\n'
        f'truncate = {str(truncate).lower()}\nrefresh = "monthly"\n[dataset.holders]\n'
        + "".join(f"{name} = {1000 + number}\n" for number, name in enumerate(boards(holders)))
        + columns
    )
    lines += [legal.replace("board-02", name) for name in boards(holders)]
    corrupt = corrupt if corrupt is not None else {SHAMIR: (servers - 1) // 2, HELD: 1}.get(protocol, servers - 1)
    lines.append(
        '[linkage]\non = "nhs_number"\nnormalise = ["strip-spaces", "check-digit"]\nversion = "1"\n\n'
        f'[computation]\nsql = """\n{sql}\n"""\nmin_contributors = {minimum}\nupload_minutes = 60\n\n'
        f'[release]\nto = ["{to}"]\n{CONTROL if protocol == HELD else NOISE}\n'
        f'[security]\nadversary = "semi-honest"\ncorrupt = {corrupt}\nprotocol = "{protocol}"\n'
        '[[security.leakage]]\nlearner = "everyone"\nitem = "row_count"\nof = ["visits"]\nas = "declared maximum"\n\n'
        f"[validity]\nnot_before = 2026-01-01\nnot_after = 2030-12-31\nmax_runs = {1 if protocol == HELD else 60}\n"
    )
    text = "\n".join(lines)
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def pools(holders: int = 4, servers: int = 2, **options: object) -> Spec:
    """``pools_toml``, parsed."""
    return parse_toml(pools_toml(holders, servers, **options))  # type: ignore[arg-type]


# -- plans by hand ----------------------------------------------------------------------------------------------------

MINUTES = Factor(values=("minutes",), present=("minutes",), bound=1440)
ROWS = Factor()
MOMENTS = (
    Moment("count(*)", ROWS, ROWS, False, Fraction(1)),
    Moment("sum(visits.minutes)", MINUTES, ROWS, False, Fraction(1)),
)
WARD = Dimension(ColumnRef("visits", "ward"), ("A1", "B2", "C3", "(missing)"))


def roles_of(protocol: str, holders: Sequence[str], servers: Sequence[str], degree: int) -> dict[str, str]:
    """Who plays which role, holders first."""
    cast = {f"input{number + 1}": name for number, name in enumerate(holders)}
    if protocol == SHAMIR:
        cast |= {f"seeded{number + 1}": name for number, name in enumerate(servers[:degree])}
        return cast | {f"given{number + 1}": name for number, name in enumerate(servers[degree:])}
    if protocol == HELD:
        return cast | dict(zip(("first", "second", "third"), servers, strict=True))
    return cast | {f"server{number + 1}": name for number, name in enumerate(servers[:-1])} | {"last": servers[-1]}


def plan_of(spec: Spec, where: object = None) -> Plan:
    """The plan of ``SQL`` for a specification of ``pools``, with one number in a word."""
    protocol, table = spec.security.protocol or SUM, spec.datasets[0]
    servers = [party.name for party in spec.parties if "computing" in party.roles]
    holders = tuple(table.holders or {})
    degree = spec.security.corrupt
    cast = roles_of(protocol, holders, servers, degree)
    numbers = {"h": len(holders), "h_i": len(holders), "m": len(servers), "t": degree, "l": 8, "g": 4, "v": 2}
    numbers |= dict.fromkeys("uxcpwj", 1)
    card = load_cards()[protocol]
    read = Read(
        out="rows",
        party=None,
        dataset=table.name,
        columns=("nhs_number", "ward", "minutes"),
        where=where,  # type: ignore[arg-type]
        dimensions=(WARD,),
        factors=(ROWS, MINUTES),
        max_rows=table.max_rows,
        rows_per_person=table.rows_per_person,
        truncate=table.truncate,
        per_person=False,
        holders=tuple((PartyId(name), rows) for name, rows in (table.holders or {}).items()),
    )
    pool = Pool(
        out="sums",
        card=protocol,
        card_version=card.version,
        of="rows",
        roles=tuple((role, PartyId(name)) for role, name in cast.items()),
        moments=MOMENTS,
        ranges=((0, 1000), (0, 1_440_000)),
        lanes=(60, 60),
        noise=1000,
        parts=1,
        minimum=spec.computation.min_contributors or 2,
        minutes=60,
        agreement="common",
        unproved="leave out" if protocol == CHECKED else "",
        public=tuple((name, numbers[name]) for name in card.public),
    )
    safe: AddNoise | Protect
    if protocol == HELD:
        control = load_cards()["disclosure_control"]
        three = tuple(pool.party(role) for role in ("first", "second", "third"))
        safe = Protect(
            out="safe",
            of="sums",
            card=control.id,
            card_version=control.version,
            parties=three,  # type: ignore[arg-type]
            moments=MOMENTS,
            counts=(PersonCount("count(*)", ((0, 1),), False),),
            sets=((0,),),
            shown=(ShownMoment(0, 0, True), ShownMoment(1, 0, False)),
            min_count=10,
            round_to=1,
            rounding="nearest",
            lines=(),
            public=(),
        )
    else:
        noised = tuple(NoisedColumn(each, 1440, Fraction(1, 2)) for each in MOMENTS)
        parties = tuple(party for _, party in pool.computing)
        safe = AddNoise("safe", "sums", protocol, card.version, parties, noised)
    outputs = (
        Derived("ward", "group", dimension=WARD.column),
        Derived("visits", "count", moments=(0,)),
        Derived("minutes", "sum", moments=(1,)),
        Derived("mean", "avg", moments=(1, 0)),
    )
    opened = Open("opened", "safe", spec.result_party)
    return Plan(SpecDigest("0" * 64), (read, pool, safe, opened, Derive("table", "opened", (WARD,), outputs)))
