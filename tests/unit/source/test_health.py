"""How a source fares: what is told of it after each poll."""

from __future__ import annotations

import pytest
from support.source_harness import FakeClock, Log

from parsl_exporter.base.errors import FaultReason
from parsl_exporter.source.health import Health


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def health(fake_clock: FakeClock) -> Health:
    return Health("s", fake_clock.clock)


def test_before_its_first_poll_a_source_is_down(health: Health) -> None:
    assert health.outcome == ("down", "not read yet")
    assert not health.tried


def test_in_a_first_read_it_is_reading_and_has_not_been_tried(health: Health) -> None:
    health.reading("first read: 1 of 2 rows")
    assert health.outcome == ("reading", "first read: 1 of 2 rows")
    assert health.up and not health.tried


def test_once_it_has_caught_up_it_is_up_or_down(health: Health, fake_clock: FakeClock) -> None:
    health.ready = True
    health.succeeded("up to date")
    assert health.outcome == ("up", "up to date")
    assert health.last_success == fake_clock.wall
    health.failed(FaultReason.IO, "disk I/O error")
    assert health.outcome == ("down", "disk I/O error")
    assert health.ready and health.tried


def test_failed_polls_are_counted_by_reason(health: Health) -> None:
    for reason in (FaultReason.IO, FaultReason.IO, FaultReason.MISSING):
        health.failed(reason, "fault")
    assert health.errors == {"io": 2, "missing": 1}


def test_a_fault_is_logged_when_it_begins_and_when_all_is_well_again(health: Health, log: Log) -> None:
    for _ in range(3):
        health.failed(FaultReason.IO, "disk I/O error")
    health.succeeded("up to date")
    health.succeeded("up to date")
    began, ended = log.new()
    assert began == "warning disk I/O error source=s reason=io"
    assert ended.startswith("info works again source=s fault=disk I/O error count=3")


@pytest.mark.parametrize(
    ("reason", "seconds"), [(FaultReason.LOCKED, 15), (FaultReason.IO, 0), (FaultReason.REPLACED, 0)]
)
def test_only_another_fault_than_the_lock_itself_ends_the_time_that_it_has_lasted(
    health: Health, reason: FaultReason, seconds: float
) -> None:
    health.lock.seconds(100, rows=7)
    health.failed(reason, "fault")
    assert health.lock.seconds(115, rows=7) == seconds


def test_a_poll_that_succeeds_ends_a_lock(health: Health) -> None:
    health.lock.seconds(100, rows=7)
    health.succeeded("up to date")
    assert health.lock.seconds(115, rows=7) == 0
