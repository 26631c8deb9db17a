"""Requests that make no sense, and those that are odd and do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import cases
from web_serving import (
    answers_a_scrape,
    ask,
    scrape,
    serving,
    statuses,
    undisturbed,
)


@pytest.fixture(autouse=True)
def _undisturbed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with undisturbed(caplog):
        yield


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
