"""The report as text, JSON and page: complete, plain, harmless, and the same bytes every time."""

import dataclasses
import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from functools import cache
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pets.check import blocks
from pets.check.blocks import Pairs, Picture, Points, about, odds, size
from pets.check.disclosure import WIDTH, render
from pets.check.fold import width
from pets.check.page import html
from pets.check.picture import svg
from pets.check.report import report
from pets.check.style import CSS
from pets.ids import PartyId
from pets.plan.review import Review, review
from pets.spec.model import Spec
from pets.spec.parse import parse_toml

HERE = Path(__file__).parent
PASS = sorted((HERE / "should_pass").glob("*.toml"))[::3]
WARN = [HERE / "should_warn" / "weak_epsilon.toml"]
FAIL = [HERE / "should_fail" / f"{name}.toml" for name in ("two_corrupt", "edge_distinct", "no_helper")]


@cache
def of(file: Path) -> Review:
    return review(parse_toml(file.read_text()))


@cache
def page_of(file: Path) -> str:
    return html(of(file))


def short(file: Path) -> str:
    return file.stem


class Page(HTMLParser):
    """Every element with its attributes, in order, and held that each that opens is closed."""

    VOID = frozenset({"meta", "br", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.found if tag in tags]

    @property
    def ids(self) -> Counter[str]:
        return Counter(attributes["id"] for _, attributes in self.found if "id" in attributes)


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_the_page_stands_alone_and_runs_nothing(file: Path) -> None:
    text = page_of(file)
    page = Page(text)
    assert page.open == []
    assert not page.all("script", "img", "link", "iframe", "object", "form", "base", "use", "image")
    names = {name for _, attributes in page.found for name in attributes}
    assert not any(name.startswith("on") or name in ("src", "style") for name in names)
    links = [attributes["href"] for attributes in page.all("a")]
    assert links and all(link.startswith("#") and link[1:] in page.ids for link in links)
    assert max(page.ids.values()) == 1
    assert "url(" not in CSS.replace("url(#tip)", "") and "@import" not in CSS
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


# -- for everyone: WCAG 2.2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_whoever_cannot_see_finds_their_way(file: Path) -> None:
    """Language, landmarks, a way past them, headings in order, names (WCAG 1.3.1, 2.4.1, 2.4.6, 3.1.1)."""
    page = Page(page_of(file))
    assert page.all("html") == [{"lang": "en-GB"}]
    assert all(len(page.all(tag)) == 1 for tag in ("header", "nav", "main", "footer", "h1"))
    first = page.all("a")[0]
    assert first["class"] == "skip" and page.all("main")[0]["id"] == first["href"][1:]
    levels = [int(tag[1]) for tag, _ in page.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for tag, attributes in page.found:
        if tag in ("section", "nav") or attributes.get("role") in ("region", "img"):
            assert attributes.get("aria-labelledby", "").split(), (tag, attributes)
        for name in attributes.get("aria-labelledby", "").split():
            assert name in page.ids, name


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_tables_say_what_each_cell_is_about(file: Path) -> None:
    """A caption, and heads with their scope; what may scroll can be reached by keyboard (1.3.1, 2.1.1)."""
    text = page_of(file)
    page = Page(text)
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(head.get("scope") in ("row", "col", "rowgroup", "colgroup") for head in page.all("th"))
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        for row in re.findall(r"<tbody.*?</tbody>", table, re.DOTALL):
            assert all(
                re.match(r"<th scope=.row|<th colspan", each) for each in re.findall(r"<tr[^>]*>(<\w+[^>]*)", row)
            )
    wide = [attributes for attributes in page.all("div") if "wide" in attributes.get("class", "").split()]
    assert wide and all(each["tabindex"] == "0" and each["role"] == "region" for each in wide)
    for attributes in page.all("td"):  # a row that becomes a card on a phone names its cells
        assert attributes.get("role") != "cell" or "data-of" in attributes or attributes.keys() == {"role"}


def test_what_looks_different_reads_different(spec: Spec) -> None:
    """Each kind of mark has a letter of its own to see and words of its own to hear (1.4.1)."""
    text = html(review(spec))
    cells = set(re.findall(r'<span class="m (\w+)">([^<]+)</span></span><span class="sr">([^<]+)</span>', text))
    assert len(cells) == 7 == len({kind for kind, _, _ in cells})
    assert {letter for _, letter, _ in cells} == {"V", "(V)", "A", "S", "N", "H", "–"}
    assert len({words for _, _, words in cells}) == 7
    legend = text[text.index("What the letters mean") : text.index("The disclosure matrix")]
    assert all(f'<span class="m {kind}">{letter}</span></dt>' in legend for kind, letter, _ in cells)
    assert "beyond what it stands for" in text, "hatched columns say in words what they are"


@pytest.mark.parametrize("file", PASS, ids=short)
def test_the_picture_is_told_in_words(file: Path) -> None:
    """Title and description of the picture, and the same as a list where it is too small to read (1.1.1)."""
    what, text = of(file), page_of(file)
    picture = next(b for s in report(what).sections for b in s.blocks if isinstance(b, Picture))
    described = re.search(
        r'<svg [^>]*role="img" aria-labelledby="flow-t flow-d".*?<desc id="flow-d">(.*?)</desc>', text
    )
    assert described
    for flow in picture.flows:
        told = f"{flow.sender} sends {flow.receiver} {size(flow.size)}: {flow.what}"
        assert told in described[1] and f"<li>{told}</li>" in text


def leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part)]
    return [] if value is None or isinstance(value, bool) else [" ".join(str(value).split())]


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_every_leaf_of_the_specification_is_on_the_page(file: Path) -> None:
    found = of(file)
    shown = " ".join(unescape(re.sub(r"<wbr>|<[^>]*>", "", page_of(file).replace("<wbr>", ""))).split())
    written = found.spec.model_dump(mode="json", by_alias=True)
    for path, count in report(found).omitted:  # a long list says how many of its values are left out
        *way, last = re.findall(r"[^.\[\]]+", path)
        place = written
        for name in way:
            place = place[int(name)] if isinstance(place, list) else place[name]
        assert f"{count} more" in shown
        place[last] = place[last][:-count]
    for leaf in leaves(written):
        assert leaf in shown


def test_long_lists_of_levels_say_how_many_are_left_out(spec: Spec) -> None:
    table = spec.datasets[1]
    many = table.columns["tenure"].model_copy(update={"levels": tuple(f"area {i}" for i in range(3000))})
    wide = table.model_copy(update={"columns": {**table.columns, "tenure": many}})
    text = html(review(spec.model_copy(update={"datasets": (spec.datasets[0], wide)})))
    assert "area 23 and 2,976 more (in the specification)" in text and "area 24" not in text


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_the_text_fits_a_terminal(file: Path) -> None:
    what = of(file)
    text = render(what)
    assert all(width(line) <= WIDTH for line in text.splitlines())
    assert all(width(line) <= 80 for line in render(what, width=80).splitlines())
    assert what.digest in text and all(finding.rule in text for finding in what.verdict.findings)


def test_what_an_author_writes_stays_text(spec: Spec) -> None:
    bad = '</style><script>alert("1")</script> & {0} %s'
    purpose = spec.purpose.model_copy(update={"statement": bad, "author": "{secret.__class__}"})
    text = html(review(spec.model_copy(update={"title": bad, "purpose": purpose})))
    assert "<script" not in text and escape(bad) in text and "{secret.__class__}" in text
    assert Page(text).open == []


def test_same_bytes_whatever_the_order_of_hashes_and_the_language_of_the_machine() -> None:
    code = (
        "import hashlib,json,locale,sys\n"
        "locale.setlocale(locale.LC_ALL, '')\n"
        "from pathlib import Path\n"
        "from pets.check.disclosure import render\n"
        "from pets.check.document import to_json\n"
        "from pets.check.page import html\n"
        "from pets.plan.review import review\n"
        "from pets.spec.parse import parse_toml\n"
        "what = review(parse_toml(Path(sys.argv[1]).read_text(encoding='utf-8')))\n"
        "text = html(what) + render(what) + json.dumps(to_json(what))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    root = str(HERE.parent.parent)
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(PASS[0])],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root, "LC_ALL": language},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, language in (("1", "C"), ("2", "C.UTF-8"), ("3", "POSIX"))
    }
    assert len(seen) == 1


@pytest.mark.parametrize("file", PASS, ids=short)
def test_the_picture_shows_every_byte_between_two_parties(file: Path) -> None:
    what = of(file)
    assert what.forecast is not None
    picture = next(b for s in report(what).sections for b in s.blocks if isinstance(b, Picture))
    sent = sum(m.size for m in what.forecast.messages if m.sender != m.receiver)
    assert sum(flow.size for flow in picture.flows) == sent
    parties = {party for _, party, _ in picture.boxes}
    assert {flow.sender for flow in picture.flows} | {flow.receiver for flow in picture.flows} == parties


def test_every_name_that_a_party_may_have_has_room_in_the_picture(spec: Spec) -> None:
    what = next(b for s in report(review(spec)).sections for b in s.blocks if isinstance(b, Picture))
    for name in (
        "a" * 63,
        "board-of-the-northern-and-the-western-and-the-southern-isles-x",
        "nineteen_characters",
        "a-" + "b" * 22 + "-" + "c" * 20 + "-" + "d" * 16,
    ):
        boxes = ((what.boxes[0][0], PartyId(name), what.boxes[0][2]), *what.boxes[1:])
        drawn = svg(dataclasses.replace(what, boxes=boxes, flows=()))
        lines = re.findall(r'class="name long">([^<]*)</text>', drawn)
        assert "".join(lines) == name and len(lines) <= 3 and all(len(line) <= 24 for line in lines)


def test_the_page_says_what_it_must(spec: Spec) -> None:
    what = review(spec)
    shown = report(what)
    assert [s.id for s in shown.sections] == [
        *("projects", "people", "data", "settings", "matrix", "leakage", "limits", "outputs", "dates", "fields")
    ]
    text = render(what)
    assert "It learns how many rows match, give or take 24" in " ".join(text.split())
    assert "board and helper: every person in housing, by trying all identifiers" in text
    assert "our design, not independently reviewed" in text
    limits = next(s for s in shown.sections if s.id == "limits")
    assert [b.title for b in limits.blocks if isinstance(b, Points)] == [
        "What is not protected",
        "What working together would reveal",
    ]
    dates = next(b for s in shown.sections if s.id == "dates" for b in s.blocks if isinstance(b, Pairs))
    assert ("Specification", what.digest) in dates.pairs and ("Plan", what.plan_digest) in dates.pairs


def test_a_refusal_comes_first_and_says_what_would_help() -> None:
    what = of(HERE / "should_fail" / "hole_e_public.toml")
    text = html(what)
    assert not report(what).accepted and "Ready for approval" not in text
    assert text.index("Why it is refused") < text.index('id="projects"')
    assert "leak.undeclared" in text and escape('learner = "everyone"') in text


def test_numbers_for_people() -> None:
    assert [size(n) for n in (0, 999, 1000, 94_100_000, 99_960_000, 2_500_000_000)] == [
        *("0 B", "999 B", "1.0 kB", "94.1 MB", "100 MB", "2.5 GB")
    ]
    assert [about(Fraction(n)) for n in ("0", "24", "57.66", "83020.5", "1/3", "0.001234")] == [
        *("0", "24", "57.7", "83,100", "0.334", "0.00124")
    ]
    assert [odds(Fraction(n)) for n in ("0.1", "1", "1.5", "20")] == ["1.1", "2.7", "4.5", "more than 1,000"]
    assert blocks.listed(["a"]) == "a" and blocks.listed("abc") == "a, b and c" and blocks.listed([]) == "nothing"


def test_an_author_who_goes_on_writing_gets_the_reasons_and_no_list_of_fields() -> None:
    """A refusal fits a screen; what is accepted is shown but for the fields; both say where the rest is."""
    refused, accepted = (
        review(parse_toml((HERE / folder / f"{name}.toml").read_text()))
        for folder, name in (("should_fail", "hole_a_extremes"), ("should_pass", "ae_by_tenure"))
    )
    short = render(refused, brief=True)
    assert "Why it is refused" in short and "rule" in short and "SAFE DATA" not in short
    assert len(short.splitlines()) < 45
    shown, whole = render(accepted, brief=True), render(accepted)
    assert "Who learns what".upper() in shown and "EVERY FIELD" not in shown and "EVERY FIELD" in whole
    for text in (short, shown):
        assert text.endswith("The whole report, with every field: pets explain SPEC\n")
