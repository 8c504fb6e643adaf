"""The pictures of the documentation are there and told in words, and the guide's are of the page as it is."""

import importlib.util
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def script() -> ModuleType:
    at = importlib.util.spec_from_file_location("guide", ROOT / "docs" / "images" / "guide.py")
    assert at is not None and at.loader is not None
    module = importlib.util.module_from_spec(at)
    sys.modules["guide"] = module
    at.loader.exec_module(module)
    return module


def images() -> list[tuple[Path, str, str]]:
    found = []
    for page in PAGES:
        for words, name in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text()):
            found.append((page, " ".join(words.split()), name))
    return found


def test_every_picture_is_there_and_told_in_words() -> None:
    assert len(images()) >= 4
    for page, words, name in images():
        assert len(words) >= 40, f"{page.name}: {name}"
        assert (page.parent / name).read_bytes()[:5] in (b"\x89PNG\r", b"<svg "), name


@pytest.mark.parametrize("place", [0, 1])
def test_the_numbers_of_the_guide_are_those_of_its_pictures(place: int) -> None:
    shot = script().SHOTS[place]
    text = (ROOT / "docs" / "guide-approver.md").read_text()
    after = text[text.index(f"images/{shot.name}.png") :]
    numbers = re.findall(r"^(\d)\. \*\*", after.split("\n## ")[0], re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(shot.at) + 1)]


class _Classes(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name) for name in (dict(attrs).get("class") or "").split()]


def test_what_the_numbers_stand_beside_is_on_the_page() -> None:
    """The fifth, eighth, ninth and tenth question, and the cells of the matrix that the guide speaks of."""
    module = script()
    minute, matrix = (module.page(shot) for shot in module.SHOTS)
    questions = re.findall(r"<dt>([^<]+\?)</dt>", minute)
    assert [questions[i - 1] for i in (5, 8, 9, 10)] == [
        *("Who could cheat?", "At what cost in privacy?", "What do I sign?", "What if I refuse?")
    ]
    assert {("p", "verdict"), ("th", "alone"), ("th", "beyond")} <= set(_Classes(matrix).found)
    bodies = re.findall(r"<tbody>(<tr class=\"group\">.*?)</tbody>", matrix)
    rows = [re.findall(r"<tr[^>]*>.*?</tr>", body) for body in bodies]

    def cell(body: int, row: int, place: int) -> str:
        return re.sub(r"<[^>]*>", " ", re.findall(r"<td.*?</td>", rows[body - 1][row - 1])[place - 1]).split()[0]

    assert (cell(1, 2, 1), cell(4, 3, 3), cell(1, 2, 8)) == ("(V)", "N", "V")
