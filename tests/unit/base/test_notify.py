"""What a service manager is told, received as it would receive it."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import limited

from parsl_exporter.base.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify") if request.param == "path" else f"\0{tmp_path}")
        manager.settimeout(10)
        yield manager


def environment(manager: socket.socket, **others: str) -> dict[str, str]:
    name = os.fsdecode(manager.getsockname())
    return {"NOTIFY_SOCKET": name.replace("\0", "@"), **others}


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_it_is_told_what_becomes_of_the_process(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager))
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.ready("1 source: 1 reading")
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    assert told(manager) == ["READY=1", "STATUS=1 source: 1 reading"]
    assert told(manager) == ["WATCHDOG=1"]
    reloading, since = told(manager)
    assert reloading == "RELOADING=1"
    assert before <= int(since.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert told(manager)[0] == "STOPPING=1"


def test_a_status_is_told_when_it_has_changed(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager))
    notifier.ready("one")
    for text in ("one", "two", "two", "one"):
        notifier.status(text)
    assert [told(manager)[-1] for _ in range(3)] == ["STATUS=one", "STATUS=two", "STATUS=one"]
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        told(manager)


def test_a_status_is_one_line_of_any_characters(manager: socket.socket) -> None:
    Notifier(environment(manager)).ready("größe\nREADY=0 \udcff")
    assert told(manager) == ["READY=1", "STATUS=größe READY=0 \\udcff"]


@pytest.mark.parametrize(
    ("of_watchdog", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "7"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_signs_of_life_are_for_the_process_that_the_watchdog_watches(
    manager: socket.socket, of_watchdog: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(environment(manager, **of_watchdog), pid=7).watchdog == seconds


@pytest.mark.parametrize("name", [None, "", "relative", "vsock:2:1"])
def test_without_a_manager_nothing_is_told_and_nothing_waits(name: str | None) -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1", **({} if name is None else {"NOTIFY_SOCKET": name})})
    assert not notifier.there
    assert notifier.watchdog is None
    notifier.ready("one")
    notifier.alive()


def test_a_manager_that_has_gone_is_no_fault(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert notifier.there
    notifier.ready("one")
    notifier.stopping()


def test_a_sign_of_life_waits_for_no_manager_that_takes_nothing(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager))
    began = time.monotonic()
    for _ in range(2000):  # no queue of datagrams is as long
        notifier.alive()
    assert time.monotonic() - began < 1


def test_it_is_told_where_clients_have_taken_the_last_descriptors(manager: socket.socket) -> None:
    """Else the watchdog would end a process that works."""
    notifier = Notifier(environment(manager))
    with limited(resource.RLIMIT_NOFILE, 1):
        with pytest.raises(OSError, match="Too many open files"):
            socket.socket()
        notifier.ready("one")
        notifier.alive()
    assert [told(manager)[0] for _ in range(2)] == ["READY=1", "WATCHDOG=1"]
