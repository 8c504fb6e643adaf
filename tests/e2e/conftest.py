"""One set of servers for all end-to-end tests: each test has a specification of its own, and leaves them running."""

from collections.abc import Iterator

import pytest

from tests.e2e.running import Running


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("e2e"))
    yield made
    made.close()
