"""The checked-in code is what the compiler makes of proto/pets/v1, byte for byte."""

import subprocess
import sys
from pathlib import Path

import pets.wire


def test_generated_code_is_what_the_proto_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "pets.wire", str(tmp_path)], check=True, timeout=60)
    here = Path(pets.wire.__file__).parent
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["party_pb2.py", "party_pb2.pyi"]
    for name in made:
        assert (tmp_path / name).read_bytes() == (here / name).read_bytes(), f"run python -m pets.wire for {name}"
