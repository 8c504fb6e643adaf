"""Specifications of sums over one table of many holders, for tests: visits of so many health boards."""

from collections.abc import Sequence

from pets.spec.model import Spec
from pets.spec.parse import parse_toml

SQL = """SELECT ward, COUNT(*) AS n, SUM(minutes) AS total, AVG(age) AS age
FROM visits
WHERE arrival >= DATE '2026-01-01'
GROUP BY ward"""

NOISE = """[release.differential_privacy]
epsilon = "4"
neighbours = "one person's rows added or removed"
"""

CONTROL = """[release.disclosure_control]
min_count = 10
"""

COLUMNS = """nhs_number = { role = "person id", scheme = "nhs-number" }
ward = { role = "dimension", type = "category", levels = ["medical", "surgical", "other"], sensitivity = "personal" }
arrival = { role = "filter only", type = "date", sensitivity = "personal" }
minutes = { role = "measure", type = "integer", min = 0, max = 600, sensitivity = "personal", required = true }
age = { role = "measure", type = "integer", min = 0, max = 110, sensitivity = "personal" }
cost = { role = "measure", type = "decimal", min = "-50", max = "950.5", places = 2, sensitivity = "personal" }
died = { role = "measure", type = "integer", min = 0, max = 1, sensitivity = "personal", required = true }
"""


LEGAL = """controller = "A health board"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e-public-interest"
article9 = "eu-gdpr:A9-2-j"
schedule1 = "DPA 2018 Schedule 1 paragraph 4"
confidentiality = "public interest; approval of the health and social care privacy panel"
dpia = { id = "HB-2026-114", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "nothing is kept beyond ledger, log and receipt"
notice = "https://health-board.example/how-we-use-data"
agreement = "ISA-2026-08"
agreement_until = 2030-12-31
processing_agreement = "PA-2026-03"
public_authority = true
power = { act = "National Health Service (Scotland) Act 1978", of = "A health board" }
not_personal_from = "the released table, whose numbers carry noise"
"""


def boards(count: int) -> list[str]:
    """Names of so many holders."""
    return [f"board-{number:0{len(str(count))}}" for number in range(1, count + 1)]


def servers(count: int) -> list[str]:
    """Names of so many computing parties."""
    return ["north", "south", "west", "east", "centre", "coast", "hills"][:count]


def pooled_toml(
    holders: int = 5,
    computing: int = 2,
    *,
    sql: str = SQL,
    protection: str = NOISE,
    protocol: str | None = None,
    corrupt: int | None = None,
    minimum: int | None = None,
    minutes: int = 60,
    partial: str | None = None,
    unproved: str | None = None,
    per_person: int = 1,
    truncate: bool = False,
    rows: int = 1000,
    columns: str = COLUMNS,
    to: str = "statistics",
    runs: int = 1,
    edits: Sequence[tuple[str, str]] = (),
) -> str:
    """A specification that is accepted: ``minimum`` is all holders, ``corrupt`` what the protocol withstands.

    ``to``: "statistics", a party of its own, or the name of a holder.
    """
    names, who = boards(holders), servers(computing)
    if corrupt is None:
        threshold = protocol == "secure_sum_shamir"
        corrupt = (computing - 1) // 2 if threshold else computing - 1
        corrupt = 1 if "disclosure_control" in protection else corrupt
    parties = [(name, f"Health board {name}", "input", "controller") for name in names]
    parties += [(name, f"Who computes in the {name}", "computing", "processor") for name in who]
    if to not in names:
        parties.append((to, "Analysts", "result", "controller"))
    lines = [
        'pets = 1\ntitle = "Visits by ward"\n\n[purpose]\nstatement = "How long do people stay in each ward?"\n'
        'dpv = ["dpv:ProvideOfficialStatistics"]\npublic_benefit = "Beds where they are needed."\n'
        'author = "analyst@statistics.example"\n'
    ]
    for name, organisation, role, acts in parties:
        roles = f'["{role}", "result"]' if name == to and role != "result" else f'["{role}"]'
        lines.append(
            f'[[party]]\nname = "{name}"\norganisation = "{organisation}"\nroles = {roles}\n'
            f'san = "spiffe://{name}.example/pets"\ncountry = "GB"\nacts_as = "{acts}"\n'
        )
    lines.append(
        f'[[dataset]]\nname = "visits"\nprivacy_unit = "person"\nmax_rows_per_person = {per_person}\n'
        f'truncate = {str(truncate).lower()}\nrefresh = "monthly"\n'
        f"[dataset.holders]\n{''.join(f'{name} = {rows + place}{chr(10)}' for place, name in enumerate(names))}"
        f"[dataset.columns]\n{columns}"
    )
    if holders > 100:
        lines.append(f"[ground.boards]\n{LEGAL}\n[legal]")
        lines += [f'{name} = {{ ground = "boards" }}' for name in names]
        lines.append("")
    else:
        lines += [f"[legal.{name}]\n{LEGAL}" for name in names]
    more = "" if partial is None else f'partial_uploads = "{partial}"\n'
    more += "" if unproved is None else f'unproved_uploads = "{unproved}"\n'
    lines.append(
        f'[computation]\nsql = """\n{sql}\n"""\nmin_contributors = {holders if minimum is None else minimum}\n'
        f"upload_minutes = {minutes}\n{more}"
    )
    lines.append(f'[release]\nto = ["{to}"]\n{protection}')
    named = "" if protocol is None else f'protocol = "{protocol}"\n'
    lines.append(
        f'[security]\nadversary = "semi-honest"\ncorrupt = {corrupt}\n{named}\n'
        '[[security.leakage]]\nlearner = "everyone"\nitem = "row_count"\nof = ["visits"]\nas = "declared maximum"\n'
    )
    if protocol == "checked_sum":
        lines.append('[[security.leakage]]\nlearner = "everyone"\nitem = "input_validity"\nof = ["visits"]\n')
    lines.append(f"[validity]\nnot_before = 2026-01-01\nnot_after = 2026-12-31\nmax_runs = {runs}\n")
    text = "\n".join(lines)
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def pooled(holders: int = 5, computing: int = 2, **options: object) -> Spec:
    """``pooled_toml``, parsed."""
    return parse_toml(pooled_toml(holders, computing, **options))  # type: ignore[arg-type]
