"""What a client has not taken is watched in every buffer on the way, shown over sockets with very small ones."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme
from uvicorn import Config
from uvicorn.server import ServerState
from web_serving import CLOSING_SCRAPE, PAGE, SCRAPE, LargeSite, read_to_end, slow_reader

from parsl_exporter.base.formats import Format
from parsl_exporter.web.app import Application
from parsl_exporter.web.authentication import Authenticator
from parsl_exporter.web.configuration import WebConfiguration
from parsl_exporter.web.connection import Clients, Connection, Patience
from parsl_exporter.web.tls import Handshake, TlsConnection

AUTHORITY = trustme.CA()
PAGE_PART = PAGE[:60_000]


class SmallSite(LargeSite):
    """A page that is more than the kernel's buffer holds, and less than asyncio's usual ones."""

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        return PAGE_PART


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    AUTHORITY.issue_cert("exporter").configure_cert(server)
    AUTHORITY.configure_trust(client)
    return server, client


async def received_by(client: Callable[[socket.socket], int], *, tls: bool) -> int:
    """What `client`, which runs in a thread, makes of a connection."""
    patience = Patience(progress=0.5)
    clients = Clients(most=1)
    server_context, client_context = contexts()
    with ThreadPoolExecutor(1) as worker:
        application = Application(
            SmallSite(),
            telemetry_path="/metrics",
            version="1",
            worker=worker,
            configuration=WebConfiguration,
            authenticator=Authenticator(worker),
        )
        config = Config(application, interface="asgi3", lifespan="off", log_config=None, http="h11")
        config.load()

        def connection() -> asyncio.BaseProtocol:
            if not tls:
                return Connection(config, ServerState(), patience=patience, clients=clients)
            carried = TlsConnection(
                config, ServerState(), patience=patience, clients=clients, names=frozenset()
            )
            return Handshake(carried, server_context, patience)

        def call(end: socket.socket) -> int:
            if not tls:
                return client(end)
            with client_context.wrap_socket(end, server_hostname="exporter") as wrapped:
                return client(wrapped)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = slow_reader(listener.getsockname()[1])
            ours, _ = listener.accept()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with theirs:
            await asyncio.get_running_loop().connect_accepted_socket(connection, ours)
            return await asyncio.wait_for(asyncio.to_thread(call, theirs), 20)


@pytest.mark.parametrize("tls", [False, True])
def test_not_even_the_last_bytes_of_an_answer_wait_for_ever(tls: bool) -> None:
    def reads_nothing_for_a_while(client: socket.socket) -> int:
        client.sendall(SCRAPE)
        time.sleep(1.5)
        return len(read_to_end(client))

    assert asyncio.run(received_by(reads_nothing_for_a_while, tls=tls)) < len(PAGE_PART)


@pytest.mark.parametrize("tls", [False, True])
def test_taking_a_little_is_progress(tls: bool) -> None:
    def reads_little_by_little(client: socket.socket) -> int:
        client.sendall(CLOSING_SCRAPE)
        taken = 0
        for _ in range(10):
            time.sleep(0.1)
            taken += len(client.recv(4000))
        return taken + len(read_to_end(client))

    assert asyncio.run(received_by(reads_little_by_little, tls=tls)) > len(PAGE_PART)
