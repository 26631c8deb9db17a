"""A server of the web side and clients of it, well behaved and not."""

from __future__ import annotations

import gzip
import http.client
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest

from parsl_exporter.base.formats import Format
from parsl_exporter.web.connection import Patience
from parsl_exporter.web.landing import Condition, RunDetails
from parsl_exporter.web.server import Server

PAGE = b"# a line of the page\n" * 100_000
HUGE_PAGE = PAGE * 10
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n"
CLOSING_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n\r\n"


class LargeSite:
    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        return gzip.compress(PAGE, 1) if gzipped else PAGE

    def ready(self) -> tuple[bool, str]:
        return True, "ready"

    def conditions(self) -> Sequence[Condition]:
        return ()

    def run(self, source: str, run_id: str) -> RunDetails | None:
        return None


class HugeSite(LargeSite):
    """A page that no socket buffer takes whole."""

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        return HUGE_PAGE


def file_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def undisturbed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client brings the server to log a fault, and none leaves a file descriptor behind."""
    before = file_descriptors()
    yield
    logged = [r for r in caplog.get_records("call") if r.levelno >= logging.WARNING]
    assert {r.getMessage() for r in logged if not r.name.startswith("uvicorn")} <= {
        "turning clients away",
        "wrong password",
    }
    assert file_descriptors() <= before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(
    patience: Patience = Patience(),  # noqa: B008 # immutable
    most_connections: int | None = None,
    site: LargeSite | None = None,
    config_file: Path | None = None,
) -> Iterator[int]:
    """A server; gives its port."""
    server = Server(
        site or LargeSite(),
        addresses=["127.0.0.1:0"],
        telemetry_path="/metrics",
        version="1",
        config_file=config_file,
        patience=patience,
        most_connections=most_connections,
    )
    port = urlsplit(server.start()[0]).port
    assert port
    try:
        yield port
    finally:
        server.stop()


def connect(port: int, of: str = "127.0.0.1") -> socket.socket:
    """A client, of this address, that would notice a server that hangs, and waits for one that is only busy."""
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(of, 0))


def scrape(port: int) -> float:
    """Scrape once, check the page, and give the seconds it took."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read() == PAGE
    connection.close()
    return time.monotonic() - began


def get(
    port: int, path: str = "/-/healthy", context: ssl.SSLContext | None = None, **headers: str
) -> http.client.HTTPResponse:
    """Ask once over TLS, or without it if there is no context."""
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        if context
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def hash_of(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


def read_to_end(client: socket.socket) -> bytes:
    """All bytes until the server closes, in order or not."""
    received = bytearray()
    with suppress(ConnectionResetError):
        while chunk := client.recv(1 << 20):
            received += chunk
    return bytes(received)


def ask(port: int, request: bytes) -> bytes:
    """Send bytes and no more, and give all that comes back."""
    with connect(port) as client:
        with suppress(OSError):  # answered and closed before it had read everything
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        return read_to_end(client)


def ask_health(client: socket.socket) -> None:
    """Ask and read the answer, and keep the connection."""
    client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: exporter\r\n\r\n")
    answer = b""
    while not answer.endswith(b"healthy\n"):
        answer += client.recv(1000)


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def slow_reader(port: int) -> socket.socket:
    """A client that takes very little at a time off the network."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    return client


def answers_a_scrape(port: int) -> bool:
    return statuses(ask(port, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")) == [200]


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
