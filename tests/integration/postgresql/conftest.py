"""A server for all tests of this folder that leave it running."""

from collections.abc import Iterator

import pytest
from support.pg.server import Server, running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running() as one:
        yield one
