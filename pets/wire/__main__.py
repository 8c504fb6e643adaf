"""Make the generated code anew: ``python -m pets.wire [FOLDER]``, in a child process because protoc is a C library.

Writes party_pb2.py and party_pb2.pyi to FOLDER, default this one. Needs grpcio-tools and a checkout.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SOURCE: Final = HERE.parent.parent / "proto" / "pets" / "v1"


def generate(target: Path) -> None:
    """Compile proto/pets/v1/party.proto into ``target``."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"--proto_path=pets/wire={SOURCE}",
                f"--python_out={scratch}",
                f"--pyi_out={scratch}",
                "pets/wire/party.proto",
            ],
            check=True,
        )
        for made in sorted((Path(scratch) / "pets" / "wire").iterdir()):
            shutil.copyfile(made, target / made.name)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
