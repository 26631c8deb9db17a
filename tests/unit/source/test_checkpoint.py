"""A source goes on from its checkpoint, and is kept there now and then."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.checkpoints import FROM_ONE, files, go_on, keep, rows_read, started, whole_page
from support.rows import attempt, insert, sample, status, task, workflow, write
from support.source_harness import FakeClock, Log, SourceHarness, execute, unpacked

from parsl_exporter.checkpoint.codec import Part
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.readers.batch import Batch
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source import checkpoint


class Counting(SqliteReader):
    """Counts the rows that come from past positions."""

    rows = 0

    def read(self, *given: Any, **named: Any) -> Batch:
        batch = super().read(*given, **named)
        self.rows += batch.size
        return batch


def test_nothing_is_read_again_and_everything_is_shown(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db", "std-2026.10.26")
    before = keep(path, folder / "state")
    reader = Counting(path)
    with started(path, folder / "state", reader=reader) as after:
        assert after.runs() == {}
        after.poll()
    assert whole_page(after) == whole_page(before)
    assert reader.rows == 0
    assert rows_read(after) == rows_read(before) > 1_000
    (line,) = log.new()
    assert line.startswith(FROM_ONE)


def test_what_came_in_between_is_read_before_anything_is_shown(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), status(0, "running", 1)])
    keep(path, folder / "state")
    insert(path, [status(0, "running_ended", 5), status(0, "exec_done", 6), task(1), status(1, "pending", 7)])
    locked = sqlite3.connect(path, isolation_level=None)
    with started(path, folder / "state") as after, closing(locked):
        locked.execute("BEGIN EXCLUSIVE")
        assert after.poll().runs() == {}
        assert not after.source.published.ready
        locked.execute("ROLLBACK")
        assert after.poll().own("source_ready") == 1
        assert after.wrong() == []


def test_histograms_of_open_tries_and_what_goes_by_the_clock_come_back_too(folder: Path) -> None:
    """Neither does when everything is read again."""
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), status(0, "pending", 0)])
    fake_clock = FakeClock()
    with started(path, folder / "state", fake_clock) as never:
        never.poll()
        insert(path, [status(0, "running", 1), status(0, "exec_done", 9)])
        never.poll().poll(every=40.0)
        insert(path, [status(0, "running_ended", 2), sample(0, 2, user=1.0)])
        never.poll()
        never.source.close()
    after = go_on(path, folder / "state", FakeClock(fake_clock.wall - 1))
    assert whole_page(after) == whole_page(never)
    assert after.run_lines() != SourceHarness(path).poll().run_lines()


def test_a_database_that_is_not_there_is_waited_for(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    shown = keep(path, folder / "state").run_lines()
    path.rename(folder / "away.db")
    with started(path, folder / "state") as after:
        after.poll(3)
        assert after.condition.state == "down"
        assert after.runs() == {}
        (folder / "away.db").rename(path)
        assert after.poll().run_lines() == shown
    assert [line.partition(" source=")[0] for line in log.new()][-2:] == [FROM_ONE, "info works again"]


def test_what_cannot_be_kept_fails_no_poll(folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> list[Part]:
        raise MemoryError("none left")

    path = unpacked(folder / "a.db")
    monkeypatch.setattr(checkpoint, "packed", fails)
    watched = go_on(path, folder / "state")
    assert watched.up()
    assert log.new() == ["warning no checkpoint can be made source=s why=unexpected MemoryError: none left"]


class Noting(Keeper):
    """Notes when it is given something to write."""

    times: ClassVar[list[float]] = []

    def write(self, name: str, parts: Sequence[Part]) -> None:
        self.times.append(self._steady())
        super().write(name, parts)


def test_it_is_kept_every_minute_at_least_and_only_when_something_has_changed(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), status(0, "pending", 0)])
    clock = FakeClock()
    keeper = Noting(folder / "state", steady=clock.clock.steady, wall=clock.clock.wall)
    times = keeper.times
    watched = SourceHarness(path, fake_clock=clock, keeper=keeper).poll()
    assert times == [clock.steady]
    for second in range(200):
        insert(path, [status(0, "running", second)])
        watched.poll()
    assert len(times) == 5
    assert max(later - one for one, later in pairwise(times)) < 60
    watched.poll(100)
    so_far = len(times)
    watched.poll(500, every=10.0)
    assert len(times) == so_far
    keeper.stop(30)
    assert files(folder / "state")[0].stat().st_mtime > clock.wall - 60


def test_time_goes_on_while_nobody_watches(folder: Path) -> None:
    """What is over goes its time after it was seen to end, whether or not the exporter was there."""
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), status(0, "running", 1)])
    clock = FakeClock()
    with started(path, folder / "state", clock, retention=300.0) as watched:
        watched.poll()
        execute(path, "UPDATE workflow SET time_completed = '2026-01-01 00:00:00.000000'")
        assert watched.poll().runs()
        watched.source.close()
    for seconds, there in ((200, True), (98, True), (1, False)):
        clock = FakeClock(clock.wall + seconds)
        with started(path, folder / "state", clock, retention=300.0) as watched:
            assert bool(watched.poll(every=0.5).runs()) == there, seconds
            watched.source.close()


def test_one_that_would_be_too_large_is_a_warning(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked(folder / "a.db")
    keep(path, folder / "state")
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1_000)
    go_on(path, folder / "state")
    execute(path, "UPDATE workflow SET workflow_version = '2'")
    with started(path, folder / "state") as watched:
        assert watched.poll(3).up()
    why = "it would be larger than 0 MiB; open tasks take most"
    assert f"warning no checkpoint can be made source=s why={why}" in log.new()
    assert files(folder / "state") == []
    assert watched.wrong() == []


def test_a_live_run_that_has_its_place_within_the_limits_keeps_it(folder: Path) -> None:
    """Where everything is read again the newer one has it."""
    path = write(
        folder / "a.db", [workflow("first"), task(0, run="first"), status(0, "pending", 1, run="first")]
    )
    clock = FakeClock()
    with started(path, folder / "state", clock, runs=1) as watched:
        watched.poll()
        insert(
            path, [workflow("second", began=9), task(0, run="second"), status(0, "pending", 9, run="second")]
        )
        before = watched.poll().run_lines()
        watched.source.close()
    with started(path, folder / "state", clock, runs=1) as after:
        assert after.poll().run_lines() == before
    assert SourceHarness(path, runs=1).poll().run_lines() != before


def test_rows_that_cannot_be_used_are_counted_on(folder: Path) -> None:
    odd = workflow("odd")
    odd.values["time_began"] = "?"
    path = write(
        folder / "a.db",
        [workflow(), task(0), status(0, "pending", 1), odd, task(0, run="odd")],
    )
    assert keep(path, folder / "state").rejected() == {"workflow timestamp": 1}
    insert(path, [status(0, "running", 2)])
    assert go_on(path, folder / "state").rejected() == {"workflow timestamp": 1}
