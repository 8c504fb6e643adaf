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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that protocols inherit run for each message of the card."""
    if "label" in metafunc.fixturenames and hasattr(metafunc.cls, "labels"):
        metafunc.parametrize("label", metafunc.cls.labels)
