"""Clocks that step, and sources that hang, are slow or fail as nobody thought of."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn, cast

import pytest
from running_daemon import running
from support.exporter_process import until
from support.rows import EPOCH, attempt, block, insert, stamp, status, task, workflow, write
from support.source_harness import FakeClock, Log, SourceHarness, execute, unpacked

from parsl_exporter.base.columns import Columns
from parsl_exporter.base.formats import Format
from parsl_exporter.base.tables import STATUS, Row, Table
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.daemon import discovery
from parsl_exporter.daemon import supervisor as daemons
from parsl_exporter.daemon.daemon import Daemon
from parsl_exporter.readers.batch import Batch, InOrder, Position, RunColumns, in_order_of_texts
from parsl_exporter.readers.pace import BatchSize
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.locks import Baton

# --- clocks -------------------------------------------------------------------------------------------------

LIFE = (("pending", 0.0), ("launched", 1.0), ("running", 2.0), ("running_ended", 8.0), ("exec_done", 9.0))


ACTIVITY = "parsl_block_last_activity_timestamp_seconds"


def but_activity(watched: SourceHarness) -> list[str]:
    return [line for line in watched.run_lines() if not line.startswith(ACTIVITY)]


@pytest.mark.parametrize(
    "steps", [(3600.0, -3600.0), (-3600.0, 3600.0), (-3600.0,), (3600.0,), (86_400.0 * 365,)]
)
def test_a_wall_clock_that_steps_changes_nothing_but_when_the_last_poll_was(
    folder: Path, steps: tuple[float, ...]
) -> None:
    def told(name: str, steps: tuple[float, ...]) -> tuple[SourceHarness, list[list[str]]]:
        fake_clock = FakeClock(wall=EPOCH + 10)
        path = write(
            folder / name, [workflow(), task(0), attempt(0, host="h", block="0"), block("0", "RUNNING", 1)]
        )
        watched = SourceHarness(path, fake_clock=fake_clock, retention=900.0, abandon_after=7200.0).poll()
        pages: list[list[str]] = []
        signs: list[float] = []
        for word, at in LIFE:
            insert(path, [status(0, word, at)])
            fake_clock.step(steps[len(pages) % 2] if len(pages) < len(steps) else 0.0)
            pages.append(but_activity(watched.poll(every=40.0)))
            if word not in ("pending", "launched"):
                signs.append(min(EPOCH + at, fake_clock.wall))  # a sign of life is none of a time yet to come
                assert list(watched.series()[ACTIVITY].values()) == [max(signs)]
        execute(path, f"UPDATE workflow SET time_completed = '{stamp(12)}'")
        pages.append(but_activity(watched.poll()))
        pages.append(but_activity(watched.poll(every=890.0)))
        pages.append(but_activity(watched.poll(2, every=20.0)))
        return watched, pages

    watched, pages = told("stepped.db", steps)
    assert watched.own("source_last_success_timestamp_seconds") == watched.fake_clock.wall
    assert pages == told("steady.db", ())[1]
    assert [len(page) > 1 for page in pages] == [*[True] * (len(pages) - 1), False]


# --- a source that hangs ------------------------------------------------------------------------------------


class Hanging(SqliteReader):
    """Reads from a file system that has gone away, until it is back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.hangs = threading.Event()
        self.back = threading.Event()

    def first_after(self, table: Table, after: Position) -> Row | None:
        self.hangs.set()
        self.back.wait()
        return super().first_after(table, after)


def test_a_source_that_hangs_holds_no_other_up_and_is_right_when_it_comes_back(folder: Path) -> None:
    baton = Baton(patience=0.2)
    path, other = unpacked(folder / "hangs.db"), unpacked(folder / "other.db", "crash-2026.10.26")
    reader = Hanging(path)
    hanging, good = SourceHarness(path, reader=reader, baton=baton), SourceHarness(other, baton=baton)
    thread = threading.Thread(target=hanging.source.poll, daemon=True)
    thread.start()
    assert reader.hangs.wait(10)
    begin = time.monotonic()
    good.poll()
    assert 0.1 < time.monotonic() - begin < 5
    assert good.wrong() == []
    assert hanging.condition.state == "down"
    assert hanging.condition.message == "not read yet"
    reader.back.set()
    thread.join(10)
    assert hanging.wrong() == []


def test_a_folder_that_hangs_holds_no_other_source_up_and_is_read_when_it_is_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    gone, back = folder / "gone", threading.Event()
    look = os.path.lexists

    def hangs(path: str) -> bool:
        if str(path).startswith(str(gone)):
            back.wait()
        return look(path)

    monkeypatch.setattr(os.path, "lexists", hangs)
    monkeypatch.setattr(daemons, "_DISCOVER_EVERY", 0.05)
    monkeypatch.setattr(discovery, "PATIENCE", 0.2)
    gone.mkdir()
    paths = [
        unpacked(gone / "a.db"),
        unpacked(folder / "b.db"),
        unpacked(gone / "c.db"),
        unpacked(folder / "d.db"),
    ]
    settings = Settings(poll_interval=0.05, sources=tuple(SourceSettings(str(path)) for path in paths))
    try:
        with running(settings) as daemon:
            until("ready without them", lambda: daemon.ready()[0])
            assert {c.name: c.state for c in daemon.conditions()} == {
                str(p): "up" for p in (paths[1], paths[3])
            }
            assert [line for line in log.new() if "looking" in line] == [
                "warning looking for databases hangs (is its file system gone?); the other sources are read on"
                f" target={path}"
                for path in (paths[0], paths[2])
            ]
            back.set()
            until("all up", lambda: [c.state for c in daemon.conditions()] == ["up"] * 4)
    finally:
        back.set()


def test_what_a_limit_folds_is_said_once(folder: Path, log: Log) -> None:
    path = write(folder / "a.db", [workflow(run=f"run-{i}") for i in range(3)])
    watched = SourceHarness(path, runs=1).poll()
    insert(path, [workflow(run="run-3")])
    watched.poll()
    assert watched.own("series_folded_total") == 3
    assert log.new() == [
        "warning more than the limits allow: the rest is shown as _other; raise limits source=s folded=2"
    ]


def test_runs_that_give_way_are_said_once(folder: Path, log: Log) -> None:
    path = write(folder / "a.db", [workflow(run=f"run-{i}", completed=9) for i in range(3)])
    watched = SourceHarness(path, runs=1).poll()
    insert(path, [workflow(run="run-3", completed=9)])
    watched.poll()
    assert watched.own("series_folded_total") == 0
    assert log.new() == [
        "warning more runs than the limits allow: the oldest that have ended are left out, 2 now; raise limits source=s"
    ]


class Slow(SqliteReader):
    """Takes a second for three rows."""

    def __init__(self, path: Path, fake_clock: FakeClock) -> None:
        super().__init__(path)
        self.fake_clock = fake_clock
        self._in_columns.size = BatchSize(1, 3)
        self._in_columns.few = 0

    def first_after(self, table: Table, after: Position) -> Row | None:
        self.fake_clock.go_on(1.0)
        return super().first_after(table, after)


def test_who_falls_behind_shows_how_far_and_how_much_is_left(folder: Path) -> None:
    fake_clock = FakeClock()
    path = write(folder / "a.db", [workflow(), task(0), attempt(0)])
    watched = SourceHarness(path, fake_clock=fake_clock, reader=Slow(path, fake_clock)).poll()
    assert watched.again == 0
    insert(path, [status(0, "pending", i) for i in range(40)])
    counted: list[float] = []
    while not counted or watched.again:
        watched.poll()
        counted.append(40 - watched.own("backlog_rows", table="status"))
        assert f'executor="htex",state="pending"}} {counted[-1]:.0f}' in watched.page()
    assert len(counted) > 3
    assert counted == sorted(counted)
    assert watched.condition.message == "up to date"
    assert watched.wrong() == []


def test_the_page_is_not_late_for_having_waited_for_others(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(), task(0), attempt(0)])
    settings = Settings(
        poll_interval=0.05, retention=1e9, abandon_after=1e9, sources=(SourceSettings(str(path)),)
    )
    with running(settings) as daemon:
        until("ready", lambda: daemon.ready()[0])
        with daemon._publisher._baton:
            daemon._changed.set()
            time.sleep(1)
        begin = time.monotonic()
        insert(path, [status(0, "pending", 1)])
        names = frozenset({"parsl_tasks"})
        until(
            "shown",
            lambda: b'state="pending"} 1' in daemon.page(Format.TEXT, names=names, gzipped=False),
        )
        assert time.monotonic() - begin < 8


def test_the_exporter_ends_though_a_folder_hangs(folder: Path) -> None:
    """Looking for databases blocks, as a glob on a file system that has gone away does."""
    blocked, gone_on = threading.Event(), threading.Event()

    def sources() -> Iterator[SourceSettings]:
        blocked.set()
        gone_on.wait()
        yield SourceSettings(str(folder / "a.db"))

    class Blocking(tuple[SourceSettings, ...]):
        def __iter__(self) -> Iterator[SourceSettings]:
            return sources()

    daemon = Daemon(Settings(sources=Blocking()))
    daemon.start()
    assert blocked.wait(10)
    assert daemon.ready() == (False, "looking for databases")
    assert daemon.conditions() == []
    assert b"parsl_exporter_build_info" in daemon.page(Format.TEXT, names=frozenset(), gzipped=False)
    begin = time.monotonic()
    daemon.stop()
    assert time.monotonic() - begin < 2
    gone_on.set()


class Faulty(SqliteReader):
    """Breaks off amid a batch that the model takes, as a fault of the model's own would, as often as `times` says."""

    times = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._in_columns.few = 0

    def read(
        self,
        table: Table,
        after: Position,
        *,
        skip: Collection[str] = (),
        in_order: InOrder = in_order_of_texts,
    ) -> Batch:
        batch = super().read(table, after, skip=skip, in_order=in_order)
        if self.times and table is STATUS and batch.columns:
            self.times -= 1
            broken_off = RunColumns("run-1", cast(Columns, BrokenOff()))
            return batch._replace(columns=[*batch.columns, broken_off])
        return batch


class BrokenOff:
    """Columns that come after others which have been taken, and cannot be."""

    def __getattr__(self, name: str) -> NoReturn:
        raise LookupError("nobody thought of this")


def test_an_error_that_nobody_thought_of_is_reported_and_what_it_spoilt_is_read_anew(
    folder: Path, log: Log
) -> None:
    story = [workflow(), task(0), attempt(0, host="h", block="0"), status(0, "pending", 0)]
    path = write(folder / "a.db", story)
    reader = Faulty(path)
    watched = SourceHarness(path, reader=reader).poll()
    before = watched.run_lines()
    reader.times = 1
    insert(path, [status(0, "launched", 1), status(0, "running", 2)])
    watched.poll()
    assert watched.again == 60
    assert watched.errors() == {"internal": 1}
    assert watched.run_lines() == before
    says = "unexpected LookupError: nobody thought of this; please report it with the log"
    assert watched.condition == ("down", says)
    assert log.new() == ["error source s: unexpected error", f"warning {says} source=s reason=internal"]
    watched.poll()
    assert watched.up()
    assert watched.wrong() == []
