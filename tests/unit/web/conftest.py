"""A web side for each test, and a client of it; and certificates with a configuration file beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.web_asking import Client, TellingSite

from parsl_exporter.web.configuration import WebConfiguration, read_web_configuration
from parsl_exporter.web.server import Server

Read = Callable[[str], WebConfiguration]


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    authority = trustme.CA()
    server, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    other.private_key_pem.write_to_path(folder / "other.key")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    key = load_pem_private_key(server.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    (folder / "locked.key").write_bytes(locked)
    (folder / "junk.pem").write_text("-----BEGIN CERTIFICATE-----\njunk\n")
    return folder


@pytest.fixture
def read(folder: Path) -> Read:
    def read(text: str) -> WebConfiguration:
        (folder / "web.yml").write_text(text)
        return read_web_configuration(folder / "web.yml")

    return read
