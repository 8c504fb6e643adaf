"""The vectors of rep3, replayed, and computed a second time from integers and single AES blocks."""

from math import isqrt
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.oracles import rep3_vectors as made
from tests.protocols.test_vectors import entries

WORD = 2**64


def words(column: list[str]) -> list[int]:
    return [int(word, 16) for word in column]


def values(entry: dict[str, Any]) -> list[list[int]]:
    """The inputs of an entry, put together from their components."""
    return [
        [sum(parts) % WORD for parts in zip(*(words(component) for component in column), strict=True)]
        for column in entry["inputs"]
    ]


def stream(key: str, count: int) -> list[int]:
    """The first words of a key's stream, block by block."""
    block = Cipher(algorithms.AES128(bytes.fromhex(key)), modes.ECB()).encryptor()
    found = b"".join(block.update(number.to_bytes(16, "big")) for number in range(count // 2 + 1))
    return [int.from_bytes(found[8 * i : 8 * i + 8], "little") for i in range(count)]


@pytest.mark.parametrize("entry", entries("rep3", "ok_"), ids=lambda entry: entry["program"])
def test_every_program_sends_and_gives_what_its_vector_says(entry: dict[str, Any]) -> None:
    assert made.entry(entry["program"]) == entry


def signed(word: int) -> int:
    return word - WORD if word >> 63 else word


EXPECTED = {
    "multiply": lambda x, y: [a * b % WORD for a, b in zip(x, y, strict=True)],
    "inner_product": lambda x, y: [(a * b + b * b) % WORD for a, b in zip(x, y, strict=True)],
    "negative, to_words": lambda x, y: [a >> 63 for a in x],
    "is_zero, to_words": lambda x, y: [int(a == 5) for a in x],
    "to_bits, to_words": lambda x, y: [a >> bit & 1 for bit in range(made.BITS) for a in x],
    "quotient": lambda x, y: [signed(a) // 7 % WORD for a in x],
    "remainder": lambda x, y: [signed(a) % 7 for a in x],
    "nearest": lambda x, y: [(signed(a) + 2) // 4 * 4 % WORD for a in x],
    "midpoint": lambda x, y: [((a + 2) % WORD + 3) // 4 * 4 - 2 if (a + 2) % WORD else 0 for a in x],
    "shifted": lambda x, y: [(signed(a) >> 2) % WORD for a in x],
    "is_zero, injected": lambda x, y: [b if a == 5 else 0 for a, b in zip(x, y, strict=True)],
    "inner_products": lambda x, y: [sum(a * b for a, b in zip(x, y, strict=True)) % WORD],
    "matrix_product": lambda x, y: [a * b % WORD for a in x for b in y],
    "ratio": lambda x, y: [-1000 // (signed(a) + 2) % WORD if signed(a) + 2 else 0 for a in x],
    "root": lambda x, y: [isqrt(7 * signed(a) + 14) for a in x],
    "product": lambda x, y: [signed(a) ** 2 // 2 for a in x],
    "over": lambda x, y: [16000 // signed(a) % WORD for a in x],
    "decay": lambda x, y: [516, 1023, 516],  # 1024 e^-t is 516.9, 1024, 516.9
    "sigmoid": lambda x, y: [942, 280, 942],  # 1024 / (1 + e^-x) is 942.01, 280.1, 942.01
    "inverted, solved": lambda x, y: [725, -558 % WORD],  # 725.08 and -557.75
    # mean 4000 and half of 8000 - 1000; roots of a third and of a half, times 2^14
    "least_squares, deviations": lambda x, y: [4000, 3500, 9459, 11585],
    # two of Newton's steps from 0, times 2^16: -205477.3, 205477.3; 202254.7, 222479.0; the last one's square is 138.6
    "logistic": lambda x, y: [-205477 % WORD, 205477, 202254, 222479, 139],
    "starts": lambda x, y: [1, 1, 1],
    "fronted": lambda x, y: [x[1], x[2], x[0]],
    "grouped": lambda x, y: [1, 0, (x[0] + x[1]) % WORD, 0, x[0], 0, x[1], 0],
    "marked": lambda x, y: [0, 1, 0],
    "leading": lambda x, y: [0, 1, 0],
    "scanned, greater": lambda x, y: [5, 5, 5],
    "running": lambda x, y: [x[0], (x[0] + x[1]) % WORD, (x[1] + x[2]) % WORD],
    "picked": lambda x, y: [x[2], x[0]],
    "sorted_keys, put_back": lambda x, y: [x[1], x[2], x[0], x[1], x[2]],
    "greatest": lambda x, y: [5],
    "at_ranks": lambda x, y: [x[1], 0],
    "quantiles": lambda x, y: [x[1]],
    "group_by": lambda x, y: [1, 0, 1, 0, x[0] + x[2], 0],
    "summed_by": lambda x, y: [0, (x[0] + x[2]) % WORD, 0, x[1]],
    "group_by_value": lambda x, y: [1, 1, 5, 5, 5],
    "column_quantiles": lambda x, y: [5, 5],
    "top_by_group": lambda x, y: [1, 1, 1, 1, 0, 5, 5, 0],
    "sorted_by": lambda x, y: [
        column[row] for column in (x, y) for row in sorted(range(len(x)), key=lambda at: x[at] % 2**made.BITS)
    ],
}


@pytest.mark.parametrize("entry", entries("rep3", "ok_"), ids=lambda entry: entry["program"])
def test_the_shares_of_a_vector_add_up_to_the_value(entry: dict[str, Any]) -> None:
    x, y = values(entry)
    total = [sum(parts) % WORD for parts in zip(*(words(share) for share in entry["shares"]), strict=True)]
    if entry["program"] == "from_two":
        own = [words(component) for component in entry["inputs"][0]]
        assert total == [(a + b) % WORD for a, b in zip(own[1], own[2], strict=True)]
    else:
        assert total == EXPECTED[entry["program"]](x, y)


def test_every_program_has_a_vector_and_an_expected_value() -> None:
    programs = {name for group in made.ALL.values() for name in group}
    assert {entry["program"] for entry in entries("rep3", "ok_")} == programs
    assert EXPECTED.keys() | {"from_two"} == programs
    assert made.ALL.keys() == made.PARAMETERS.keys()


@pytest.mark.parametrize("entry", entries("rep3", "step_"), ids=lambda entry: entry["program"])
def test_the_parts_of_a_product_are_what_the_text_says(entry: dict[str, Any]) -> None:
    """Part i: x_i y_i + x_i y_{i+1} + x_{i+1} y_i + F(K_i) - F(K_{i+1})."""
    x, y = ([words(component) for component in column] for column in entry["inputs"])
    pairs = [(x, y)] if entry["program"] == "multiply" else [(x, y), (y, y)]
    for party in range(3):
        after = (party + 1) % 3
        masks = [stream(entry["keys"][which], made.ROWS) for which in (party, after)]
        part = [
            sum(
                a[party][row] * b[party][row] + a[party][row] * b[after][row] + a[after][row] * b[party][row]
                for a, b in pairs
            )
            + masks[0][row]
            - masks[1][row]
            for row in range(made.ROWS)
        ]
        assert words(entry["parts"][party]) == [each % WORD for each in part]


@pytest.mark.parametrize("entry", entries("rep3", "bad_"), ids=lambda entry: f"{entry['sender']} {entry['change']}")
def test_a_wrong_order_is_refused_with_its_code(entry: dict[str, Any]) -> None:
    assert made.bad(entry["sender"], entry["change"]) == entry


def test_the_files_are_what_the_generator_writes() -> None:
    for stem, content in made.files().items():
        assert content["entries"] == entries("rep3", stem)
