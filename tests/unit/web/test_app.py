"""What each endpoint answers, asked over real connections."""

from __future__ import annotations

import gzip

import pytest
from support.web_asking import Client, TellingSite

from parsl_exporter.base.logs import LineFormatter


def test_metrics_are_text_unless_asked_otherwise(client: Client) -> None:
    reply = client.get("/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.text == "# TEXT names=\n"


def test_metrics_are_openmetrics_when_asked_for(client: Client) -> None:
    reply = client.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert reply.text == "# OPENMETRICS names=\n"


def test_metrics_are_compressed_when_asked_for(client: Client) -> None:
    reply = client.get("/metrics", Accept_Encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == b"# TEXT names=\n"
    assert "content-encoding" not in client.get("/metrics", Accept_Encoding="identity").headers


def test_caches_are_told_what_the_metrics_depend_on(client: Client) -> None:
    assert client.get("/metrics").headers["vary"] == "accept, accept-encoding"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?name[]=parsl_tasks", "parsl_tasks"),
        ("?name%5B%5D=parsl_tasks", "parsl_tasks"),
        ("?name[]=parsl_tasks&x=1&name[]=parsl_blocks", "parsl_blocks,parsl_tasks"),
        ("?name[]=%ff%00", "\ufffd\x00"),
        ("?name[]=", ""),
        ("?other=1", ""),
        ("?", ""),
    ],
)
def test_names_in_the_query_restrict_the_metrics(client: Client, query: str, names: str) -> None:
    assert client.get("/metrics" + query).text == f"# TEXT names={names}\n"


def test_healthy(client: Client) -> None:
    assert client.get("/-/healthy").status == 200


def test_ready(client: Client) -> None:
    reply = client.get("/-/ready")
    assert (reply.status, reply.text) == (200, "all sources are ready\n")


def test_not_ready_says_why(client: Client, site: TellingSite) -> None:
    site.is_ready = (False, "campaign \udcff: first read, 40 %")
    reply = client.get("/-/ready")
    assert (reply.status, reply.text) == (503, "campaign \\udcff: first read, 40 %\n")


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/nothing"])
def test_head_is_get_without_a_body(client: Client, path: str) -> None:
    get, head = client.get(path), client.get(path, "HEAD")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert int(head.headers["content-length"]) == len(get.body) > 0


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "get"])
def test_other_methods_are_not_allowed(client: Client, path: str, method: str) -> None:
    reply = client.get(path, method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/METRICS", "/-/", "/-/ready/", "/metrics;x", "*"])
def test_anything_else_is_not_found(client: Client, path: str, method: str) -> None:
    assert client.get(path, method).status == 404


def test_a_connection_serves_many_requests(client: Client) -> None:
    client.get("/metrics")
    first = client.connection.sock
    client.get("/")
    client.get("/nothing")
    assert client.connection.sock is first


def test_the_software_is_not_named(client: Client) -> None:
    assert "server" not in client.get("/metrics").headers


@pytest.mark.parametrize("headers", [{}, {"Accept_Encoding": "gzip"}])
def test_a_fault_is_one_line_for_the_client_and_one_in_the_log(
    client: Client, site: TellingSite, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    site.fault = RuntimeError("the secret\nof the house")
    reply = client.get("/metrics", **headers)
    assert (reply.status, reply.text) == (500, "internal error; the exporter's log says more\n")
    client.get("/metrics", **headers)
    assert [LineFormatter("logfmt").format(record).partition(" msg=")[2] for record in caplog.records] == [
        '"request failed" path=/metrics error="RuntimeError(\'the secret\\\\nof the house\')"'
    ]
    site.fault = None
    assert client.get("/metrics").status == 200
