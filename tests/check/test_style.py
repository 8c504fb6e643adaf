"""Colours that people can tell apart, and a style that needs nothing else."""

import re

import pytest

from pets.check import style
from pets.check.style import CSS, DARK, GRAPHIC, LIGHT, PAIRS, PAPER, TEXT


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2, "relative luminance")."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == pytest.approx(1)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS, ids=lambda value: str(value))
def test_every_pair_has_the_contrast_of_level_aa(palette: dict[str, str], ink: str, ground: str, least: float) -> None:
    assert least in (TEXT, GRAPHIC) and (TEXT, GRAPHIC) == (4.5, 3.0)
    assert contrast(palette[ink], palette[ground]) >= least


def rules() -> list[tuple[str, str]]:
    return re.findall(r"([^{}]+)\{([^{}]*)\}", CSS)


def test_every_pair_that_a_rule_makes_is_listed() -> None:
    """A rule that sets both colours sets a listed pair; a colour of text or of a line is a listed foreground."""
    text = {(ink, ground) for ink, ground, least in PAIRS if least == TEXT}
    inks, lines = {ink for ink, _ in text}, {ink for ink, _, _ in PAIRS}
    grounds = {ground for _, ground, _ in PAIRS}
    seen = 0
    for selector, body in rules():
        ink = re.search(r"(?:^|;)color:var\(--([\w-]+)\)", body)
        ground = re.search(r"(?:^|;)background:var\(--([\w-]+)\)", body)
        if ink and ground:
            seen += 1
            assert (ink[1], ground[1]) in text, selector
        assert ink is None or ink[1] in inks, selector
        assert ground is None or ground[1] in grounds, selector
        for line in re.findall(r"stroke:var\(--([\w-]+)\)", body):
            assert line in lines, selector
    assert seen >= 8


def test_colours_are_those_of_the_palette() -> None:
    named = set(re.findall(r"var\(--([\w-]+)\)", CSS))
    assert named <= LIGHT.keys() == DARK.keys() and LIGHT.keys() == named
    outside = re.sub(r":root\{[^}]*\}", "", CSS)
    assert set(re.findall(r"#[0-9a-fA-F]{3,6}\b(?=[;}\s])", outside)) <= {"#fff"}, "print is on white paper"


def test_focus_is_visible_and_nothing_moves() -> None:
    assert re.search(r":focus-visible\{outline:3px solid var\(--focus\)", CSS)
    assert "outline:none" not in CSS.replace("main:focus{outline:none}", "")
    assert "animation" not in CSS and "transition" not in CSS and "scroll-behavior" not in CSS


def test_print_phone_dark_and_forced_colours_are_thought_of() -> None:
    for query in ("print", "screen and (max-width", "screen and (prefers-color-scheme:dark)", "(forced-colors:active)"):
        assert f"@media {query}" in CSS
    assert "size:A4" in style.print_footer("0" * 64) and "break-inside:avoid" in CSS
    assert "display:table-header-group" in CSS, "the head of a table that is divided stands on every page"


def test_words_for_screen_readers_do_not_make_the_page_wide() -> None:
    """They are placed absolutely, so whatever scrolls by itself has to be what they are placed in."""
    assert ".sr{position:absolute" in CSS and ".wide{position:relative;overflow-x:auto" in CSS


def test_it_reaches_nothing_outside_and_ends_no_element() -> None:
    for text in (CSS, PAPER, style.print_footer("ab" * 32)):
        assert not re.search(r"url\(|@import|@font-face|expression|</", text)
        assert text.count("{") == text.count("}")


def test_only_hex_goes_into_the_style() -> None:
    with pytest.raises(ValueError, match="hex"):
        style.print_footer('";}body{display:none}')
