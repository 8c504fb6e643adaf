"""Specifications of programs for runs: those of the corpus, with ids of any kind."""

import hashlib
from pathlib import Path

from pets.spec.mpyc_program import built_in

BOARDS = ("north", "south", "west")

BASE = (
    (Path(__file__).parents[1] / "check" / "program.toml")
    .read_text()
    .replace('scheme = "nhs-number"', 'scheme = "text"')
    .replace('normalise = ["strip-spaces", "check-digit"]', "normalise = []")
)

OWN = '''"""The sum of all numbers, and its square: nothing rounded."""

from mpyc.runtime import mpc


async def main():
    secint = mpc.SecInt()
    total = mpc.sum([value for holder in mpc.inputs("value", secint) for value in holder])
    mpc.release("total", total)
    mpc.release("square", total * total)
'''


def altered(*changes: tuple[str, str]) -> str:
    text = BASE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def with_computation(body: str) -> str:
    start, end = BASE.index("[computation]"), BASE.index("[release]")
    return BASE[:start] + "[computation]\n" + body + "\n" + BASE[end:]


def own_program(text: str, *, rows: int | None = None, where: str = "") -> str:
    body = f"source = '''\n{text}'''\nsha256 = \"{hashlib.sha256(text.encode()).hexdigest()}\"\n"
    body += 'inputs = { value = "waits.days" }\noutputs = { total = { count = 1 }, square = { count = 1 } }\n'
    body += f"rows = {{ value = {rows} }}\n" if rows else ""
    body += f'where = "{where}"\n' if where else ""
    return with_computation(body + "budget = { frames = 50, bytes = 5_000, rounds = 8 }\n")


def with_party(toml: str, name: str, roles: str) -> str:
    """One party more, of an organisation of its own."""
    block = f'[[party]]\nname = "{name}"\norganisation = "Office of {name}"\nroles = {roles}\n'
    block += f'san = "spiffe://{name}.example/pets"\ncountry = "GB"\nacts_as = "processor"\n\n'
    return toml.replace("[[dataset]]", block + "[[dataset]]", 1)


NAMES = ("events_1", "events_2", "at_risk_1", "at_risk_2")


def survival_spec(intervals: int) -> str:
    """A log-rank test: each holder has one row for each interval, whose name is its id and puts it in its place."""
    program = built_in("survival_test")
    columns = "\n".join(
        f'{name} = {{ role = "measure", type = "integer", min = 0, max = 100_000, required = true }}' for name in NAMES
    )
    start, end = BASE.index("[[dataset]]"), BASE.index("[legal.north]")
    table = '[[dataset]]\nname = "intervals"\n'
    table += f"holders = {{ {', '.join(f'{name} = {intervals}' for name in BOARDS)} }}\nmax_rows_per_person = 1\n"
    table += f'[dataset.columns]\ninterval = {{ role = "person id", scheme = "text" }}\n{columns}\n\n'
    text = BASE[:start] + table + BASE[end:]
    start, end = text.index("[computation]"), text.index("[release]")
    inputs = ", ".join(f'{name} = "intervals.{name}"' for name in NAMES)
    body = f'[computation]\nprogram = "survival_test"\nsha256 = "{program.source.sha256}"\n'
    body += f"parameters = {{ intervals = {intervals} }}\ninputs = {{ {inputs} }}\n"
    body += "budget = { frames = 5000, bytes = 1_000_000, rounds = 150 }\n\n"
    text = text[:start] + body + text[end:]
    return text.replace('of = ["waits"]', 'of = ["intervals"]').replace('on = "chi"', 'on = "interval"')
