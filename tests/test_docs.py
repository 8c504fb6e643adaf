"""What the documentation shows works: code runs, commands and options exist, files parse, links lead somewhere."""

import math
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from pets.approve.policy import parse_policy
from pets.cli import app
from pets.errors import SpecError
from pets.party import config
from pets.plan.review import review
from pets.spec.model import Computation, Spec
from pets.spec.parse import parse_toml
from pets.spec.sql import bind

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "protocols").glob("*/README.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

LANGUAGES = {"sh", "bash", "console", "toml", "python", "python server", "text", "sql"}
"""What a block may be: ``python server`` needs real servers, so it is compiled and its names are looked up."""


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```([\w ]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 1
            found.append(Block(str(page.relative_to(ROOT)), line, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


def test_every_block_says_what_it_is() -> None:
    assert not [f"{block}: {block.language!r}" for block in blocks() if block.language not in LANGUAGES]


# -- commands ---------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[Block, list[str]]]:
    for block in blocks("sh", "bash", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                yield block, words


def check_pets(words: list[str]) -> str | None:
    """What is wrong with a ``pets`` command line, by the command's own description of itself."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            return f"no command {' '.join(words[:1])}"
        command, words = command.commands[words[0]], words[1:]
    if words in (["--help"], ["-h"]):
        return None
    options = {name: each for each in command.params if each.param_type_name == "option" for name in each.opts}
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    given = 0
    while words:
        word, *words = words
        if not word.startswith("-"):
            given += 1
        elif word not in options:
            return f"{command.name} has no option {word}"
        elif not options[word].is_flag:
            if not words:
                return f"{word} needs a value"
            words = words[1:]
    needed = sum(argument.required for argument in arguments)
    most = math.inf if any(argument.nargs == -1 for argument in arguments) else len(arguments)
    if not needed <= given <= most:
        return f"{command.name} takes {needed} to {most} arguments, here are {given}"
    return None


def test_commands_exist_with_their_options() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for block, words in commands():
        problem = None
        if words[0] == "pets":
            problem = check_pets(words[1:])
        elif words[0] == "make":
            problem = None if words[1] in targets else f"no target {words[1]}"
        elif words[:2] == ["python", "-m"]:
            module = ROOT / words[2].replace(".", "/")
            ours = words[2].startswith(("pets", "benchmarks"))
            problem = None if not ours or module.with_suffix(".py").is_file() or module.is_dir() else "no such module"
        elif words[0] not in ("git", "cd", "pip", "sudo", "apt-get"):
            problem = f"{words[0]} is checked by nobody"
        if problem:
            wrong.append(f"{block}: {' '.join(words)}: {problem}")
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_in_sentences_exist_with_their_options(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for code in re.findall(r"`pets ([^`]+)`", text):
        problem = check_pets(shlex.split(code))
        if problem and "arguments" not in problem:  # a sentence may leave them out
            wrong.append(f"pets {code}: {problem}")
    assert not wrong


@pytest.mark.parametrize("line", ["pets chek x", "pets check", "pets check x --jsn", "pets party", "pets run a b"])
def test_a_wrong_command_is_noticed(line: str) -> None:
    assert check_pets(line.split()[1:])


# -- files ------------------------------------------------------------------------------------------------------------


def tomls() -> list[tuple[str, Block]]:
    """TOML blocks by the name in their first line."""
    return [(block.text.partition("\n")[0].removeprefix("# ").strip(), block) for block in blocks("toml")]


def example() -> Spec:
    return parse_toml(next(block.text for name, block in tomls() if name == "example.spec.toml"))


def test_files_are_what_their_first_line_says(tmp_path: Path) -> None:
    readers = {
        "party.toml": lambda path: config._load(path, config._PartyFile),
        "more of party.toml": lambda path: config._load(path, config._PartyFile),
        "client.toml": lambda path: config._load(path, config._ClientFile),
        "directory.toml": config.read_directory,
        "policy.toml": lambda path: parse_policy(path.read_text()),
    }
    for name, block in tomls():
        if name.endswith(".spec.toml"):
            found = review(parse_toml(block.text, file=name))
            assert found.accepted, f"{block}: {[finding.text for finding in found.verdict.errors]}"
            continue
        assert name in readers, f"{block}: its first line names no file"
        before = (tmp_path / "party.toml").read_text() if name == "more of party.toml" else ""
        (tmp_path / name).write_text(before + block.text)
        readers[name](tmp_path / name)  # type: ignore[no-untyped-call]


def test_every_file_that_a_party_writes_has_an_example() -> None:
    names = {name for name, _ in tomls()}
    assert {"example.spec.toml", "party.toml", "client.toml", "directory.toml", "policy.toml"} <= names


def test_the_format_s_page_names_every_key() -> None:
    page = (ROOT / "docs" / "specification.md").read_text()
    keys = {name for model in _models(Spec) for name in model}
    assert not sorted(key for key in keys if not re.search(rf"\b{key}\b", page))


def _models(model: type) -> Iterator[list[str]]:
    schema = model.model_json_schema(by_alias=True)  # type: ignore[attr-defined]
    yield list(schema["properties"])
    for name, part in schema["$defs"].items():
        if name != "Delegation":
            yield list(part["properties"])


# -- the SQL subset ---------------------------------------------------------------------------------------------------


def queries(heading: str) -> list[str]:
    page = (ROOT / "docs" / "guide-for-analysts.md").read_text()
    table = page.split(f"| {heading} | example |")[1].split("\n\n")[0]
    return re.findall(r"`(SELECT [^`]+)`", table)


def asking(sql: str) -> Spec:
    return example().model_copy(update={"computation": Computation(sql=sql)})


@pytest.mark.parametrize("sql", queries("in"))
def test_what_the_guide_says_is_in_the_language_is(sql: str) -> None:
    bind(asking(sql))


@pytest.mark.parametrize("sql", queries("out"))
def test_what_the_guide_says_is_outside_is_refused(sql: str) -> None:
    with pytest.raises(SpecError, match=r"sql\."):
        bind(asking(sql))


# -- code -------------------------------------------------------------------------------------------------------------


GIVEN = {
    "README.md": """
import pandas
frame = pandas.DataFrame({"id": ["a", "b", "c"]})
other = pandas.DataFrame({"id": ["a", "b"], "tenure": ["owner", "social rent"]})
parts = [
    pandas.DataFrame({"id": [f"p{n}-{m}" for m in range(9)], "ward": ["a", "b", "c"] * 3, "minutes": range(9)})
    for n in range(12)
]
"""
}
"""What a page takes as given."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", sorted({block.page for block in blocks("python")}))
def test_code_runs(page: str, tmp_path: Path) -> None:
    code = "\n".join([GIVEN.get(page, ""), *(block.text for block in blocks("python") if block.page == page)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_code_for_servers_compiles_and_uses_what_exists() -> None:
    import pets

    for block in blocks("python server"):
        compile(block.text, str(block), "exec")
        for name in re.findall(r"pets\.(\w+)\(", block.text):
            assert name in pets.__all__, f"{block}: pets.{name}"


# -- links ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    assert not wrong


def test_the_states_of_a_run_are_drawn_as_they_are() -> None:
    from pets.party.state import NEXT

    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    drawn = set(re.findall(r"^([A-Z]+) --([a-z ]+)--> ([A-Z]+)$", page, re.MULTILINE))
    assert drawn == {(before.name, event.value, after.name) for (before, event), after in NEXT.items()}
