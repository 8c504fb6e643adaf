"""What all tests share."""

import pytest

from pets.kernels import aes, curve, gf128, wires


@pytest.fixture(autouse=True, scope="module")
def fastest() -> None:
    """Every file of tests starts with what this processor is best with, as parties do, whatever the one before chose.

    That all back ends give the same bytes is a test of each kernel.
    """
    for module in (aes, gf128, curve, wires):
        module.select(module.features()[0])
