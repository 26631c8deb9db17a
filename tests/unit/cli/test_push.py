"""What a Pushgateway does that is none, or is unwell: each is a fault that `push` tells and lives through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from parsl_exporter.base.errors import PushFault
from parsl_exporter.cli import push
from parsl_exporter.cli.push import Gateway


@contextmanager
def answering(answer: bytes, *, closes: bool = True) -> Iterator[str]:
    """A server that takes one request and answers so; where it does not close, it then says nothing."""
    done = threading.Event()

    def one() -> None:
        with listener.accept()[0] as connection:
            while not connection.recv(65_536).endswith(b"last line\n"):
                pass
            connection.sendall(answer)
            if not closes:
                done.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=one)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def fault(url: str) -> PushFault:
    with pytest.raises(PushFault) as raised:
        Gateway(url, "job").put({"a": b"last line\n"})
    return raised.value


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo\x1b[1m!", r"413 too\x1b[1m!"),
        (b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", "502 "),
    ],
)
def test_a_refusal_is_told_on_one_line_whatever_becomes_of_its_text(answer: bytes, said: str) -> None:
    with answering(answer) as url:
        found = fault(url)
    assert (str(found), found.answered) == (f"{url} refuses a: {said}", True)


def test_a_refusal_of_which_the_text_does_not_come_is_one_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push, "_PATIENCE", 0.1)
    with answering(b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\n", closes=False) as url:
        found = fault(url)
    assert (str(found), found.answered) == (f"{url} refuses a: 500 ", True)


def test_one_that_answers_a_byte_at_a_time_is_waited_for_no_longer_than_any_and_by_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is never silent: `push --interval` would not heed a signal for as long as that goes on."""
    monkeypatch.setattr(push, "_LONGEST_ASKED", 0.2)
    ends, before = threading.Event(), threading.active_count()

    def slowly() -> None:
        with listener.accept()[0] as connection:
            while not ends.wait(0.01):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=slowly)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        gateway = Gateway(url, "job")
        for _ in range(3):
            with pytest.raises(PushFault) as raised:
                gateway.put({"a": b"last line\n"})
            assert str(raised.value) == f"{url} cannot be reached: no whole answer within 0 s"
        assert threading.active_count() == before + 2
        ends.set()
        thread.join()


def test_what_is_no_http_is_shown_on_one_line() -> None:
    with answering(b"\x00\x1b[1m\r\n") as url:
        found = fault(url)
    assert (str(found), found.answered) == (rf"{url} cannot be reached: \x00\x1b[1m", False)


@pytest.mark.parametrize(
    "url", ["http://a..example.org", f"http://{'a' * 64}.example.org", "http://127.0.0.1:1/\xe9"]
)
def test_an_address_that_can_be_none_cannot_be_reached(url: str) -> None:
    assert str(fault(url)).startswith(f"{url} cannot be reached: ")
