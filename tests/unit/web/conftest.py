"""A web side for each test, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from support.web_asking import Client, TellingSite

from parsl_exporter.web.server import Server


@pytest.fixture
def site() -> TellingSite:
    return TellingSite()


@pytest.fixture
def client(site: TellingSite) -> Iterator[Client]:
    server = Server(site, addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1.2.3")
    (url,) = server.start()
    client = Client(urlsplit(url).port or 0)
    yield client
    client.connection.close()
    server.stop()
