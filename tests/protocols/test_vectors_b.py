"""Replay the vectors of mode B."""

import json

import numpy as np

from pets.kernels import okvs
from pets.spec.cards import cards_folder
from tests.oracles import vectors_b as made

FOLDER = cards_folder() / "helper_join_b" / "vectors"


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(FOLDER.glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name


def test_the_table_of_the_step_is_written_and_read() -> None:
    (entry,) = json.loads((FOLDER / "step_table.json").read_text(encoding="utf-8"))["entries"]
    tokens = np.array([list(bytes.fromhex(token)) for token in entry["tokens"]], np.uint8)
    writer = okvs.Writer(tokens, entry["third"])
    assert writer.aside == 1
    assert writer.places.at.tolist() == entry["slots"]
    words = np.array(entry["words"], np.uint64)
    table = writer.write(words)
    assert {str(slot): word for slot, word in enumerate(table.tolist()) if word} == entry["table"]
    assert np.array_equal(okvs.read(table, writer.places), words)
