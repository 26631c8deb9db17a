"""Clients that are slow, many, hostile or gone: the server stands, and scrapes go on."""

from __future__ import annotations

import gzip
import logging
import os
import resource
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
from support.processes import limited
from web_serving import (
    CLOSING_SCRAPE,
    HUGE_PAGE,
    PAGE,
    SCRAPE,
    HugeSite,
    LargeSite,
    answers_a_scrape,
    ask,
    ask_health,
    connect,
    eventually,
    file_descriptors,
    read_to_end,
    resident,
    scrape,
    serving,
    slow_reader,
    statuses,
    undisturbed,
)

from parsl_exporter.base.formats import Format
from parsl_exporter.web.connection import Patience
from parsl_exporter.web.server import Server


@pytest.fixture(autouse=True)
def _undisturbed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with undisturbed(caplog):
        yield


# Slow clients


def test_200_slow_clients_delay_no_scrape_and_are_dropped_after_ten_seconds() -> None:
    head = b"GET /metrics HTTP/1.1\r\nX-Slow: and never finished"
    with serving() as port, ExitStack() as stack, selectors.DefaultSelector() as open_clients:
        began = time.monotonic()
        for _ in range(200):
            open_clients.register(stack.enter_context(connect(port)), selectors.EVENT_READ)
        ages: list[float] = []
        slowest = 0.0
        second = 0
        while open_clients.get_map() and time.monotonic() - began < 13:
            if time.monotonic() - began >= second:
                for key in list(open_clients.get_map().values()):
                    with suppress(OSError):  # dropped: noticed below
                        os.write(key.fd, head[second : second + 1])
                second += 1
            slowest = max(slowest, scrape(port))
            for key, _ in open_clients.select(timeout=0.1):
                ages.append(time.monotonic() - began)
                open_clients.unregister(key.fileobj)
        assert len(ages) == 200
        assert 9.5 < min(ages) <= max(ages) < 12.5
        assert slowest < 1


def test_a_client_that_sends_nothing_is_dropped() -> None:
    with serving(Patience(request=0.3)) as port, connect(port) as client:
        assert client.recv(1) == b""


def test_a_body_counts_as_part_of_the_request() -> None:
    request = b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"
    with serving(Patience(request=0.3)) as port, connect(port) as client:
        client.sendall(request)
        assert read_to_end(client) == b""
    with serving() as port:
        assert statuses(ask(port, request + b"67890" + CLOSING_SCRAPE)) == [405, 200]


def test_a_later_request_has_to_come_in_time_too() -> None:
    with serving(Patience(request=0.5)) as port, connect(port) as client:
        ask_health(client)
        began = time.monotonic()
        client.sendall(b"G")
        assert client.recv(1) == b""
        assert 0.4 < time.monotonic() - began < 5


def test_a_connection_may_be_idle_between_requests_but_not_for_ever() -> None:
    with serving(Patience(request=0.2, idle=1)) as port, connect(port) as client:
        for _ in range(2):
            ask_health(client)
            began = time.monotonic()
            client.settimeout(0.5)  # longer than a request may take
            with pytest.raises(TimeoutError):
                client.recv(1)
        client.settimeout(10)
        assert client.recv(1) == b""
        assert 0.9 < time.monotonic() - began < 5


def test_a_client_that_does_not_read_is_dropped() -> None:
    with serving(Patience(progress=0.5), site=HugeSite()) as port, slow_reader(port) as client:
        client.sendall(SCRAPE)
        time.sleep(1.5)  # not reading is what this client does
        assert len(read_to_end(client)) < len(HUGE_PAGE)


def test_a_client_that_reads_slowly_gets_everything_but_has_no_endless_time() -> None:
    def read_slowly(patience: Patience) -> int:
        with serving(patience, site=HugeSite()) as port, slow_reader(port) as client:
            client.sendall(CLOSING_SCRAPE)
            taken = 0
            for _ in range(10):
                time.sleep(0.1)
                taken += len(client.recv(4096))
            return taken + len(read_to_end(client))

    assert read_slowly(Patience(progress=0.5)) > len(HUGE_PAGE)
    assert read_slowly(Patience(progress=0.5, answer=0.7)) < len(HUGE_PAGE)


def test_clients_that_do_not_read_cost_no_copy_of_the_page() -> None:
    with serving(site=HugeSite()) as port, ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(slow_reader(port))
            client.sendall(SCRAPE)
        ask(port, b"GET /-/healthy HTTP/1.0\r\n\r\n")
        before = resident()
        for _ in range(200):
            client = stack.enter_context(slow_reader(port))
            client.sendall(SCRAPE)
        ask(port, b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert resident() - before < 200 * 300_000 + 2 * len(HUGE_PAGE)  # of 4.2 GB


# Many clients


@pytest.fixture
def _all_file_descriptors() -> Iterator[None]:
    """As many as this process may have, as the exporter does; a login gives 1,024, and here both ends count."""
    with limited(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        yield


@pytest.mark.usefixtures("_all_file_descriptors")
def test_a_thousand_scrapes_at_once_all_get_the_page() -> None:
    with serving() as port, ExitStack() as stack, selectors.DefaultSelector() as waiting:
        clients = [stack.enter_context(connect(port)) for _ in range(1000)]
        for client in clients:
            client.sendall(CLOSING_SCRAPE)
            waiting.register(client, selectors.EVENT_READ, data=0)
        lengths: list[int] = []
        while waiting.get_map():
            ready = waiting.select(timeout=10)
            assert ready, "no client gets anything any more"
            for key, _ in ready:
                if chunk := os.read(key.fd, 1 << 20):
                    assert key.data or chunk.startswith(b"HTTP/1.1 200 OK")
                    waiting.modify(key.fileobj, selectors.EVENT_READ, data=key.data + len(chunk))
                else:
                    waiting.unregister(key.fileobj)
                    lengths.append(key.data)
        assert len(lengths) == 1000
        assert len(set(lengths)) == 1
        assert lengths[0] > len(PAGE)


def test_more_clients_than_allowed_are_turned_away_until_others_leave(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "parsl_exporter")
    with serving(most_connections=20) as port:
        with ExitStack() as stack:
            early = [stack.enter_context(connect(port)) for _ in range(20)]
            ask_health(early[-1])
            for _ in range(5):
                with connect(port) as late:
                    assert read_to_end(late) == b""
            early[0].sendall(SCRAPE)
            assert early[0].recv(15) == b"HTTP/1.1 200 OK"
        eventually(lambda: answers_a_scrape(port))
        assert [record.getMessage() for record in caplog.records] == [
            "turning clients away",
            "turning no more clients away",
        ]


def test_clients_leave_file_descriptors_for_the_databases() -> None:
    in_use = file_descriptors()
    with limited(resource.RLIMIT_NOFILE, 2 * in_use + 60):
        server = Server(LargeSite(), addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1")
    with ExitStack() as stack:
        port = urlsplit(server.start()[0]).port
        assert port
        stack.callback(server.stop)
        most = in_use + 30
        clients = [stack.enter_context(connect(port)) for _ in range(most + 1)]
        assert clients[-1].recv(1) == b""
        clients[-2].sendall(SCRAPE)
        assert clients[-2].recv(15) == b"HTTP/1.1 200 OK"


# Clients that go


@pytest.mark.parametrize("coding", [b"identity", b"gzip"])
def test_a_client_that_has_shut_its_sending_side_still_gets_its_answers(coding: bytes) -> None:
    with serving() as port:
        one = SCRAPE[:-2] + b"Accept-Encoding: " + coding + b"\r\n\r\n"
        answer = ask(port, one)
        assert statuses(answer) == [200]
        body = answer.partition(b"\r\n\r\n")[2]
        assert (gzip.decompress(body) if coding == b"gzip" else body) == PAGE
        assert statuses(ask(port, one * 3)) == [200, 200, 200]


def test_clients_that_reset_their_connection_disturb_nobody() -> None:
    at_once = struct.pack("ii", 1, 0)
    with serving(site=HugeSite()) as port:
        for sent in (b"", b"GET", SCRAPE, SCRAPE * 5):
            for _ in range(20):
                with connect(port) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                    client.sendall(sent)
        assert answers_a_scrape(port)


def test_a_client_that_vanishes_half_open_is_forgotten() -> None:
    with serving(Patience(request=0.3), most_connections=5) as port, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connect(port)).sendall(b"GET /metrics HT")
        eventually(lambda: answers_a_scrape(port))


# Stopping


class StuckSite(LargeSite):
    """A site that is still making a compressed page when the server is stopped."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        if gzipped:
            self.asked.set()
            self.go_on.wait(10)
        return HUGE_PAGE


def test_stopping_takes_less_than_two_seconds_whatever_clients_do() -> None:
    site = StuckSite()
    with ExitStack() as clients:
        with serving(site=site) as port:
            idle, silent, slow, stuck = (clients.enter_context(slow_reader(port)) for _ in range(4))
            ask_health(idle)
            slow.sendall(b"GET /metr")
            for _ in range(50):
                clients.enter_context(slow_reader(port)).sendall(SCRAPE)
            stuck.sendall(SCRAPE[:-2] + b"Accept-Encoding: gzip\r\n\r\n")
            assert site.asked.wait(10)
            began = time.monotonic()
        elapsed = time.monotonic() - began
        site.go_on.set()
        assert elapsed < 2
        for client in (idle, silent, slow, stuck):
            assert read_to_end(client) == b""


def test_stopping_lets_a_scrape_end() -> None:
    server = Server(HugeSite(), addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1")
    port = urlsplit(server.start()[0]).port
    assert port
    with connect(port) as client:
        client.sendall(SCRAPE)
        head = client.recv(100)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        eventually(lambda: not listening(port))
        assert len(head + read_to_end(client)) > len(HUGE_PAGE)
        stopping.join()


def listening(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionError:
        return False
    return True
