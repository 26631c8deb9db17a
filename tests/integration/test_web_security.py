"""TLS and client certificates, asked of a real server, and what changes of them and of logins while it runs."""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from support.web_asking import login
from web_serving import (
    HUGE_PAGE,
    PAGE,
    SCRAPE,
    HugeSite,
    LargeSite,
    ask,
    connect,
    eventually,
    get,
    hash_of,
    read_to_end,
    serving,
    slow_reader,
    statuses,
    undisturbed,
)

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.web.connection import Patience
from parsl_exporter.web.server import Server

AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
CLIENTS = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"


@pytest.fixture(autouse=True)
def _undisturbed(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    if request.node.get_closest_marker("filterwarnings"):
        yield
        return
    with undisturbed(caplog):
        yield


def new_certificate(folder: Path) -> None:
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
    certificate.private_key_pem.write_to_path(folder / "server.key")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file with certificates beside it."""
    new_certificate(tmp_path)
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "web.yml"


def trusting(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """What a client knows: our authority, and its own certificate."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if certificate:
        certificate.configure_cert(context)
    return context


def is_refused(port: int, context: ssl.SSLContext) -> bool:
    try:
        get(port, context=context)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


# TLS


def test_pages_come_over_tls(file: Path) -> None:
    file.write_text(TLS)
    with serving(config_file=file) as port:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting(), timeout=10)
        for _ in range(3):
            connection.request("GET", "/metrics")
            assert connection.getresponse().read() == PAGE
        assert connection.sock.selected_alpn_protocol() is None
        connection.close()


def test_the_url_says_https(file: Path) -> None:
    file.write_text(TLS)
    server = Server(
        LargeSite(), addresses=["127.0.0.1:0"], telemetry_path="/metrics", version="1", config_file=file
    )
    try:
        assert urlsplit(server.start()[0]).scheme == "https"
    finally:
        server.stop()


def test_clients_that_do_not_speak_tls_get_nothing_and_disturb_nobody(file: Path) -> None:
    file.write_text(TLS)
    with serving(config_file=file) as port:
        for junk in (SCRAPE, b"\x16\x03\x01", b"\x00" * 1000, b""):
            assert statuses(ask(port, junk)) == []
        assert get(port, context=trusting()).status == 200


def test_the_least_version_holds(file: Path) -> None:
    file.write_text(TLS + "  min_version: TLS13\n")
    older = trusting()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(config_file=file) as port:
        assert is_refused(port, older)
        assert get(port, context=trusting()).status == 200


def test_a_client_needs_a_certificate_of_our_authority(file: Path) -> None:
    file.write_text(CLIENTS)
    with serving(config_file=file) as port:
        assert get(port, context=trusting(AUTHORITY.issue_cert("scraper"))).status == 200
        assert is_refused(port, trusting())
        assert is_refused(port, trusting(OTHER_AUTHORITY.issue_cert("scraper")))


def test_a_client_needs_one_of_the_names(file: Path) -> None:
    file.write_text(CLIENTS + "  client_allowed_sans: [scraper.example.org, 192.0.2.7, me@example.org]\n")
    with serving(config_file=file) as port:
        for name in ("scraper.example.org", "192.0.2.7", "me@example.org"):
            assert get(port, context=trusting(AUTHORITY.issue_cert("other.example.org", name))).status == 200
        assert is_refused(port, trusting(AUTHORITY.issue_cert("other.example.org")))


# Slow and many clients, over TLS


def test_a_client_that_does_not_finish_its_handshake_is_dropped(file: Path) -> None:
    file.write_text(TLS)
    with serving(Patience(request=0.5), config_file=file) as port, connect(port) as client:
        assert read_to_end(client) == b""
        assert get(port, context=trusting()).status == 200


def test_clients_count_before_their_handshake(file: Path) -> None:
    file.write_text(TLS)
    with serving(Patience(request=1), most_connections=20, config_file=file) as port, ExitStack() as stack:
        silent = [stack.enter_context(connect(port)) for _ in range(21)]
        silent[20].settimeout(0.5)
        assert read_to_end(silent[20]) == b""
        eventually(lambda: not is_refused(port, trusting()))


@contextmanager
def tls_reader(port: int) -> Iterator[ssl.SSLSocket]:
    with slow_reader(port) as raw, trusting().wrap_socket(raw, server_hostname="127.0.0.1") as client:
        yield client


def test_over_tls_too_a_client_that_does_not_read_is_dropped(file: Path) -> None:
    file.write_text(TLS)
    patience = Patience(progress=0.5)
    with serving(patience, site=HugeSite(), config_file=file) as port, tls_reader(port) as client:
        client.sendall(SCRAPE)
        time.sleep(1.5)  # not reading is what this client does
        assert len(read_to_end(client)) < len(HUGE_PAGE)


def test_two_hundred_silent_clients_delay_no_scrape(file: Path) -> None:
    file.write_text(TLS)
    with serving(config_file=file) as port, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(port)).sendall(b"\x16\x03\x01\x02")
        began = time.monotonic()
        assert get(port, "/metrics", trusting()).status == 200
        assert time.monotonic() - began < 1


def test_stopping_takes_less_than_two_seconds(file: Path) -> None:
    file.write_text(TLS)
    with ExitStack() as clients:
        with serving(site=HugeSite(), config_file=file) as port:
            for _ in range(8):
                clients.enter_context(connect(port)).sendall(b"\x16\x03\x01")
                clients.enter_context(tls_reader(port)).sendall(SCRAPE)
                clients.enter_context(tls_reader(port))
            began = time.monotonic()
        assert time.monotonic() - began < 2


# Changes while the server runs


def test_a_new_certificate_is_used_for_new_connections_and_old_ones_go_on(file: Path) -> None:
    file.write_text(TLS)
    with serving(config_file=file) as port:

        def certificate() -> bytes:
            with connect(port) as raw, trusting().wrap_socket(raw, server_hostname="127.0.0.1") as client:
                return client.getpeercert(binary_form=True) or b""

        first = certificate()
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting(), timeout=10)
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
        new_certificate(file.parent)
        eventually(lambda: certificate() != first)
        connection.request("GET", "/-/healthy")
        assert connection.getresponse().status == 200
        connection.close()


def test_an_authority_is_no_longer_trusted_when_it_is_replaced(file: Path) -> None:
    file.write_text(CLIENTS)
    with serving(config_file=file) as port:
        ours, theirs = (trusting(one.issue_cert("scraper")) for one in (AUTHORITY, OTHER_AUTHORITY))
        assert not is_refused(port, ours)
        OTHER_AUTHORITY.cert_pem.write_to_path(file.parent / "ca.pem")
        eventually(lambda: is_refused(port, ours))
        assert not is_refused(port, theirs)


def test_a_user_who_is_removed_is_refused_even_on_an_open_connection(file: Path) -> None:
    alice, bob = hash_of(b"secret"), hash_of(b"other")
    file.write_text(f"basic_auth_users:\n  alice: {alice}\n  bob: {bob}\n")
    with serving(config_file=file) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

        def status(name: str, password: str) -> int:
            connection.request("GET", "/-/healthy", headers={"Authorization": login(name, password)})
            response = connection.getresponse()
            response.read()
            return response.status

        assert status("alice", "secret") == 200
        file.write_text(f"basic_auth_users:\n  bob: {bob}\n")
        eventually(lambda: status("alice", "secret") == 401)
        file.write_text(f"basic_auth_users:\n  bob: {alice}\n")
        eventually(lambda: status("bob", "other") == 401)
        assert status("bob", "secret") == 200
        connection.close()


@pytest.mark.filterwarnings("default")  # this one's warnings are what it is about
def test_a_faulty_change_leaves_the_old_configuration_and_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parsl_exporter.web")
    messages: Callable[[], list[str]] = lambda: [record.getMessage() for record in caplog.records]  # noqa: E731
    not_taken, again = "web configuration not taken; the old one stays", "works again"
    file.write_text(TLS)
    with serving(config_file=file) as port:
        shutil.move(file.parent / "server.key", file.parent / "away.key")
        eventually(lambda: not_taken in messages())
        assert get(port, context=trusting()).status == 200
        shutil.move(file.parent / "away.key", file.parent / "server.key")
        eventually(lambda: again in messages())
        file.write_text("nonsense: 1\n")
        eventually(lambda: messages().count(not_taken) == 2)
        file.write_text("")
        time.sleep(2.5)  # two more looks at the file
        assert messages().count(not_taken) == 2
        assert get(port, context=trusting()).status == 200


def test_a_faulty_file_at_the_start_is_an_error(file: Path) -> None:
    file.write_text("nonsense: 1\n")
    with pytest.raises(ConfigurationError, match="nonsense"), serving(config_file=file):
        pass


def test_a_plain_connection_to_the_port_is_not_left_behind(file: Path) -> None:
    file.write_text(TLS)
    with serving(config_file=file) as port:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port)):
                pass
        assert get(port, context=trusting()).status == 200
