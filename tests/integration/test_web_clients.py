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
from cases import cases
from hypothesis import given
from hypothesis import strategies as st
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

from parsl_exporter.web import Server
from parsl_exporter.web.connection import Patience


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
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = file_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * in_use + 60, hard))
    try:
        server = Server(LargeSite(), addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
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


# Requests that make no sense


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000, id="giant header"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 100_000, id="many headers"),
        pytest.param(b"GET /" + b"a" * 1_000_000, id="giant target"),
        pytest.param(b"A" * 1_000_000, id="giant method"),
    ],
)
def test_a_giant_head_is_cut_off(request_: bytes) -> None:
    with serving() as port:
        assert statuses(ask(port, request_)) in ([400], [])  # [] where the reset overtook the answer
        scrape(port)


BODY = b"POST /metrics HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(BODY + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", id="two lengths"),
        pytest.param(BODY + b"Content-Length: 5, 6\r\n\r\n12345", id="a list of lengths"),
        pytest.param(BODY + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(BODY + b"Content-Length: +5\r\n\r\n12345", id="signed length"),
        pytest.param(BODY + b"Content-Length: 0x5\r\n\r\n12345", id="hexadecimal length"),
        pytest.param(BODY + b"Transfer-Encoding: gzip\r\n\r\n", id="other transfer coding"),
        pytest.param(BODY + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", id="chunked twice"),
        pytest.param(BODY + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="space before the colon"),
        pytest.param(BODY + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad chunk"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", id="NUL in a header"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n Host: x\r\n\r\n", id="folded first header"),
        pytest.param(b"GET /metrics\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET /metrics HTTP/9.9.9\r\nHost: x\r\n\r\n", id="odd version"),
        pytest.param(b"GET  /metrics HTTP/1.1\r\nHost: x\r\n\r\n", id="two spaces"),
        pytest.param(b"GET /metr\xc3\xa9cs HTTP/1.1\r\nHost: x\r\n\r\n", id="raw bytes in the target"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="TLS"),
    ],
)
def test_a_malformed_request_is_refused_and_ends_the_connection(request_: bytes) -> None:
    with serving() as port:
        assert statuses(ask(port, request_ + SMUGGLED)) == [400]
        assert answers_a_scrape(port)


def test_a_length_beside_chunks_smuggles_nothing() -> None:
    """The chunks count (RFC 9112, 6.3), so that what follows them is a request and nothing within is."""
    request_ = BODY + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    inside = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    with serving() as port:
        assert statuses(ask(port, request_ + inside)) in ([405], [400])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /-/healthy HTTP/1.1\nHost: x\n\n", 200),
        (b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 200),
        (b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 200),
        (b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 200),
        (b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nAccept: \xff\xfe;q=\xff\r\n\r\n", 200),
        (b"CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
)
def test_what_a_lenient_server_lets_pass(request_: bytes, status: int) -> None:
    with serving() as port:
        assert statuses(ask(port, request_)) == [status]


def test_a_client_that_expects_to_be_asked_for_its_body_is_asked() -> None:
    with serving() as port:
        request_ = BODY + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        assert statuses(ask(port, request_)) == [100]
        assert statuses(ask(port, request_ + b"1")) == [100, 405]


@pytest.mark.parametrize(
    "target",
    [
        "//metrics",
        "/./metrics",
        "/../metrics",
        "/-/../metrics",
        "/%2e%2e/metrics",
        "/..%2fmetrics",
        "/%2fmetrics",
        "/metrics%00",
        "/metrics%0d%0aX:1",
        "/metrics%3fname",
        "/metrics#x",
        "\\metrics",
        "/etc/passwd",
        "metrics",
        "http:/metrics",
        "http:///metrics",
        "ftp://x/metrics",
        "http://x//metrics",
    ],
)
def test_a_path_is_taken_as_it_stands(target: str) -> None:
    with serving() as port:
        assert statuses(ask(port, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())) == [404]


@pytest.mark.parametrize(
    "target", ["http://x/metrics", "HTTPS://example.org:80/metrics?name[]=a", "http://x", "http://x/"]
)
def test_a_whole_url_is_taken_for_its_path(target: str) -> None:
    with serving() as port:
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        assert statuses(ask(port, request)) == [200]


PIECES = st.sampled_from(
    (
        *(b"GET ", b"HEAD ", b"POST ", b"/metrics", b"/", b"?name[]=a", b" HTTP/1.1", b" HTTP/1.0"),
        *(b"Host: x", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Expect: 100-continue"),
        *(
            b"\r\n",
            b"\n",
            b"\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            b": ",
            b",",
            b";q=",
            b"\x00",
            b"\xff",
            SMUGGLED,
        ),
    )
)


@pytest.fixture(scope="module")
def standing_port() -> Iterator[int]:
    with serving() as port:
        yield port


@cases(300)
@given(data=st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=15).map(b"".join)))
def test_no_bytes_bring_the_server_down(standing_port: int, data: bytes) -> None:
    ask(standing_port, data)
    assert answers_a_scrape(standing_port)


# Stopping


class StuckSite(LargeSite):
    """A site that is still making a compressed page when the server is stopped."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def page(self, *, openmetrics: bool, names: frozenset[str], gzipped: bool) -> bytes:
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
