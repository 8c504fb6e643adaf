"""What tests of protocols share."""

from collections.abc import Iterator

import pytest

from pets.kernels import aes, curve, gf128


@pytest.fixture(scope="module")
def fastest() -> Iterator[None]:
    """What this processor is best with; that all give the same bytes is a test of each kernel."""
    for module in (aes, gf128, curve):
        module.select(module.features()[0])
    yield
    for module in (aes, gf128, curve):
        module.select(module.features()[-1])
