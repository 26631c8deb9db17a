"""Starting and stopping the web side, and what it refuses to start with."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urljoin, urlsplit

import pytest
from support.web_asking import Client, Links, TellingSite

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.web.server import Server


def server_at(*addresses: str, path: str = "/metrics") -> Server:
    return Server(TellingSite(), addresses=addresses, telemetry_path=path, version="1")


def test_the_urls_have_the_ports_that_were_taken() -> None:
    server = server_at("127.0.0.1:0", "localhost:0")
    try:
        urls = server.start()
        assert [urlsplit(url).hostname for url in urls] == ["127.0.0.1", "127.0.0.1"]
        for url in urls:
            port = urlsplit(url).port
            assert port
            assert Client(port).get("/-/healthy").status == 200
    finally:
        server.stop()


def test_every_address_that_cannot_be_listened_on_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        server = server_at(
            f"127.0.0.1:{free}", f"127.0.0.1:{taken}", "192.0.2.1:0", "no.such.host.invalid:0", "x"
        )
        with pytest.raises(ConfigurationError) as caught:
            server.start()
        server.stop()
    in_use, elsewhere, unknown, malformed = caught.value.faults
    assert in_use == (
        f"cannot listen on 127.0.0.1:{taken}: another program listens there; stop it or choose another port"
    )
    assert "192.0.2.1" in elsewhere
    assert "does not have that address" in elsewhere
    assert "host name is not known" in unknown
    assert "no port" in malformed
    with socket.create_server(("127.0.0.1", free)):
        pass  # what could be listened on was let go


@pytest.mark.parametrize("path", ["", "metrics", "/", "/-/ready", "/-/healthy"])
def test_a_telemetry_path_that_is_none_or_taken_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="telemetry path"):
        server_at("127.0.0.1:0", path=path)


@pytest.mark.parametrize("path", ["/my metrics", "/größe/metrics", "/a%41"])
def test_a_telemetry_path_may_have_any_characters(path: str) -> None:
    server = server_at("127.0.0.1:0", path=path)
    try:
        client = Client(urlsplit(server.start()[0]).port or 0)
        target = Links(client.get("/").text).targets[0]
        assert client.get(urljoin("/", target)).text == "# TEXT names=\n"
        assert client.get("/metrics").status == 404
    finally:
        server.stop()


def test_after_stopping_the_port_is_free() -> None:
    server = server_at("127.0.0.1:0")
    port = urlsplit(server.start()[0]).port or 0
    server.stop()
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_calls_come_while_requests_are_answered_and_only_then() -> None:
    stuck, go_on, called = threading.Event(), threading.Event(), threading.Event()

    class StuckSite(TellingSite):
        def ready(self) -> tuple[bool, str]:  # in the thread that answers
            stuck.set()
            return go_on.wait(30), "ready"

    server = Server(StuckSite(), addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1")
    port = urlsplit(server.start()[0]).port or 0
    client = threading.Thread(target=lambda: Client(port).get("/-/ready"))
    try:
        server.every(0.02, called.set)
        for _ in range(3):
            called.clear()
            assert called.wait(10)
        client.start()
        assert stuck.wait(10)
        called.clear()
        assert not called.wait(0.2)
        go_on.set()
        assert called.wait(10)
        client.join()
    finally:
        go_on.set()
        server.stop()


def test_stopping_what_was_never_started_does_nothing() -> None:
    server_at("127.0.0.1:0").stop()
