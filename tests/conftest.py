"""What all tests share."""

import pytest

from pets.kernels import aes, curve, gf128, wires

FIRST = (
    "tests/test_notebooks.py",
    "tests/test_cli.py",
    "tests/e2e/test_servers.py",
    "tests/demo/test_show.py",
    "tests/test_docs.py",
    "tests/party/test_session.py",
    "tests/party/test_warm.py",
    "tests/e2e/test_wire.py",
    "tests/party/test_spending.py",
    "tests/check/test_agreement.py",
    "tests/test_logistic.py",
)
"""What takes longest, though it has few tests: begun last, one worker would be alone with it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers take files in this order (``--no-loadscope-reorder``)."""
    place = {file: number for number, file in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(FIRST)))


@pytest.fixture(autouse=True, scope="module")
def fastest() -> None:
    """Every file of tests starts with what this processor is best with, as parties do, whatever the one before chose.

    That all back ends give the same bytes is a test of each kernel.
    """
    for module in (aes, gf128, curve, wires):
        module.select(module.features()[0])
