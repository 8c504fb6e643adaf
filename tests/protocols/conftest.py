"""What tests of protocols share."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that protocols inherit run for each message of the card."""
    if "label" in metafunc.fixturenames and hasattr(metafunc.cls, "labels"):
        metafunc.parametrize("label", metafunc.cls.labels)
