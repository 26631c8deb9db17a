"""Passwords, and headers that are in every answer, asked of a real server."""

from __future__ import annotations

import base64
import os
import selectors
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.web_asking import login
from web_serving import CLOSING_SCRAPE, connect, get, hash_of, serving, undisturbed


@pytest.fixture(autouse=True)
def _undisturbed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with undisturbed(caplog):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    return tmp_path / "web.yml"


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/nothing"])
def test_nothing_is_served_without_a_login(file: Path, path: str) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret')}\n")
    with serving(config_file=file) as port:
        response = get(port, path)
        assert response.status == 401
        assert response.headers["www-authenticate"] == 'Basic realm="Parsl exporter", charset="UTF-8"'
        assert get(port, path, Authorization=login("alice", "secret")).status in (200, 404)


@pytest.mark.parametrize(
    "authorization",
    [
        login("alice", "Secret"),
        login("alice", ""),
        login("bob", "secret"),
        login("", ""),
        login("alice", "secret\0"),
        login("alice", "secret").replace("Basic", "Bearer"),
        login("alice", "secret") + "!",
        "Basic",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"\xff:secret").decode(),
        login("alice", "s" * 2000),
    ],
)
def test_another_login_is_refused(file: Path, authorization: str) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret')}\n")
    with serving(config_file=file) as port:
        assert get(port, Authorization=login("alice", "secret")).status == 200
        assert get(port, Authorization=authorization).status == 401


def test_names_and_passwords_may_be_odd(file: Path) -> None:
    long = "größe:" * 20
    file.write_text(f"basic_auth_users:\n  'Ünï cöde': {hash_of(long.encode()[:72])}\n")
    with serving(config_file=file) as port:
        assert get(port, Authorization=login("Ünï cöde", long)).status == 200


def test_an_unknown_user_is_refused_even_with_the_password_of_nobody(file: Path) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret')}\n")
    with serving(config_file=file) as port:
        assert get(port, Authorization=login("nobody", "")).status == 401


def test_a_password_is_paid_for_once(file: Path) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret', cost=12)}\n")
    with serving(config_file=file) as port:

        def seconds() -> float:
            began = time.monotonic()
            assert get(port, Authorization=login("alice", "secret")).status == 200
            return time.monotonic() - began

        assert seconds() > 5 * min(seconds() for _ in range(5))


def test_too_many_guesses_at_a_time_are_turned_away_and_known_logins_are_not(file: Path) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret', cost=10)}\n")
    with serving(config_file=file) as port, ExitStack() as stack, selectors.DefaultSelector() as guesses:
        assert get(port, Authorization=login("alice", "secret")).status == 200
        for number in range(200):
            client = stack.enter_context(connect(port))
            guess = login("alice", str(number)).encode()
            client.sendall(CLOSING_SCRAPE[:-2] + b"Authorization: " + guess + b"\r\n\r\n")
            guesses.register(client, selectors.EVENT_READ)
        assert get(port, "/metrics", Authorization=login("alice", "secret")).status == 200
        answers: dict[bytes, int] = {}
        while guesses.get_map():
            for key, _ in guesses.select(timeout=10):
                status = os.read(key.fd, 12)[9:]
                answers[status] = answers.get(status, 0) + 1
                guesses.unregister(key.fileobj)
        assert set(answers) == {b"401", b"503"}
        assert answers[b"401"] >= 4


def test_guesses_of_one_host_leave_room_for_the_first_login_of_another(file: Path) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret', cost=10)}\n")
    with serving(config_file=file) as port, ExitStack() as stack:
        for number in range(50):
            guessing = stack.enter_context(connect(port, "127.0.0.2"))
            guess = login("alice", str(number)).encode()
            guessing.sendall(CLOSING_SCRAPE[:-2] + b"Authorization: " + guess + b"\r\n\r\n")
        assert get(port, Authorization=login("alice", "secret")).status == 200


def test_a_wrong_password_is_in_the_log_without_it(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(f"basic_auth_users:\n  alice: {hash_of(b'secret')}\n")
    with serving(config_file=file) as port:
        for name in ("alice", "hunter2"):
            assert get(port, Authorization=login(name, "hunter2")).status == 401
    (record,) = [one for one in caplog.records if one.getMessage() == "wrong password"]
    assert getattr(record, "fields", None) == {"count": 1, "client": "127.0.0.1", "user": "alice"}


def test_configured_headers_are_in_every_answer(file: Path) -> None:
    file.write_text(
        f"basic_auth_users:\n  alice: {hash_of(b'secret')}\n"
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: sandbox\n"
    )
    with serving(config_file=file) as port:
        for path in ("/metrics", "/", "/nothing"):
            for answer in (get(port, path), get(port, path, Authorization=login("alice", "secret"))):
                assert answer.headers.get_all("x-frame-options") == ["deny"]
                assert answer.headers.get_all("content-security-policy") == ["sandbox"]
