"""How hard a text is to read, as a school grade: Flesch and Kincaid's formula.

Source: Kincaid, Fishburne, Rogers, Chissom, Derivation of New Readability Formulas for Navy Enlisted Personnel,
Research Branch Report 8-75, 1975: 0.39 words a sentence + 11.8 syllables a word - 15.59. Grade 8 is read at 13 to 14
years. Syllables are counted as groups of vowels, without a silent e at the end.
"""

import re
from collections.abc import Iterable


def syllables(word: str) -> int:
    """Groups of vowels, at least one. The e at the end of "made" and "used" is silent; of "table" and "needed" not."""
    letters = re.sub(r"[^a-z]", "", re.sub(r"'s$", "", word.lower()))
    if len(letters) > 3 and not re.search(r"([^aeiouyl]le[sd]?|[td]ed|([cgsxz]|sh|ch)es)$", letters):
        letters = re.sub(r"(e|ed|es)$", "", letters)
    return max(1, len(re.findall(r"[aeiouy]+", letters)))


def sentences(text: str) -> list[list[str]]:
    """Words of each sentence; numbers are not words, and names with underscores are several."""
    parts = re.split(r"(?<=[.?!])\s+", text)
    words = [re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", part) for part in parts]
    return [each for each in words if each]


def grade(texts: Iterable[str]) -> float:
    """The school grade of some texts together."""
    said = [sentence for text in texts for sentence in sentences(text)]
    words = [word for sentence in said for word in sentence]
    return 0.39 * len(words) / len(said) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59
