"""How many connections there may be at a time, and what is said of it."""

from __future__ import annotations

from typing import cast

from support.source_harness import FakeClock, Log

from parsl_exporter.web.connection import Clients, Connection


def client() -> Connection:
    return cast("Connection", object())


def test_whoever_comes_and_goes_all_the_time_does_not_fill_the_log(log: Log) -> None:
    fake_clock = FakeClock()
    clients = Clients(2, fake_clock.clock.steady)
    for _ in range(61):
        crowd = [client() for _ in range(5)]
        assert [clients.enter(one) for one in crowd] == [True, True, False, False, False]
        for one in crowd:
            clients.leave(one)
        fake_clock.go_on(1.01)
    begins, ends = (
        "warning turning clients away connections=2",
        "info turning no more clients away connections=1",
    )
    assert log.new() == [begins, ends, begins, ends]
