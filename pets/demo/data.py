"""Where the files of the demonstration lie: in the source tree, or inside an installed wheel."""

from pathlib import Path

from pets.errors import InternalError


def demo_folder() -> Path:
    """The folder ``parties/demo``, or its copy in the wheel.

    Raises: InternalError internal.data if neither is there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_data" / "demo", package.parent / "parties" / "demo"):
        if folder.is_dir():
            return folder
    raise InternalError("internal.data", file="demo")


def data_file(name: str) -> Path:
    """One file of the open data that the demonstration is made from.

    Raises: InternalError internal.data if it is missing.
    """
    file = demo_folder() / "data" / name
    if not file.is_file():
        raise InternalError("internal.data", file=name)
    return file
