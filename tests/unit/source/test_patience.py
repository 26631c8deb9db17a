"""How long a lock is waited for where all is to be read at once: by `check` and `dump`."""

from __future__ import annotations

import pytest
from support.source_harness import FakeClock

from parsl_exporter.base.errors import ExporterError, FaultReason, SourceBusy, SourceFault, SourceReplaced
from parsl_exporter.source import patience
from parsl_exporter.source.patience import LOCKED_PATIENCE, LockedSince, insist


class Attempts:
    """Fails with each of these errors, a second apart, and then succeeds. `rows` are read before each failure."""

    def __init__(self, fake_clock: FakeClock, errors: list[ExporterError], rows: int = 0) -> None:
        self.fake_clock = fake_clock
        self.errors = iter(errors)
        self.rows = 0
        self.rows_each = rows
        self.begun_anew = 0

    def __call__(self) -> str:
        self.fake_clock.go_on(1.0)
        self.rows += self.rows_each
        for error in self.errors:
            raise error
        return "read"

    def begin_anew(self) -> None:
        self.begun_anew += 1

    def insist(self) -> str:
        return insist(self, self.fake_clock.clock.steady, rows=lambda: self.rows, anew=self.begin_anew)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RETRY_LOCKED", 0.0)


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


def busy(times: int) -> list[ExporterError]:
    return [SourceBusy("a.db: locked by a writer")] * times


def replaced(times: int) -> list[ExporterError]:
    return [SourceReplaced("a.db: replaced by another file")] * times


def test_a_lock_that_ends_in_time_is_waited_for(fake_clock: FakeClock) -> None:
    assert Attempts(fake_clock, busy(int(LOCKED_PATIENCE))).insist() == "read"


def test_one_that_lasts_is_a_fault_which_says_for_how_long(fake_clock: FakeClock) -> None:
    with pytest.raises(SourceFault, match=r"a\.db: locked by a writer for 11 s, or") as caught:
        Attempts(fake_clock, busy(100)).insist()
    assert caught.value.reason is FaultReason.LOCKED
    assert str(caught.value).endswith("lock service)")  # as nobody tries on


def test_locks_between_which_rows_are_read_are_waited_for_each_anew(fake_clock: FakeClock) -> None:
    assert Attempts(fake_clock, busy(100), rows=1).insist() == "read"


def test_a_database_that_is_replaced_is_read_anew_but_not_for_ever(fake_clock: FakeClock) -> None:
    now_and_then = Attempts(fake_clock, replaced(5))
    assert (now_and_then.insist(), now_and_then.begun_anew) == ("read", 5)
    with pytest.raises(SourceFault, match="replaced by another file") as caught:
        Attempts(fake_clock, replaced(6)).insist()
    assert caught.value.reason is FaultReason.REPLACED


def test_a_lock_has_lasted_since_it_was_first_met_and_no_row_has_come() -> None:
    lock = LockedSince()
    assert [lock.seconds(now, rows) for now, rows in ((5, 1), (7, 1), (8, 2), (9, 2))] == [0, 2, 0, 1]
    lock.over()
    assert lock.seconds(20, 2) == 0
