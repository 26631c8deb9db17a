"""A source goes on from its checkpoint, or says in one line why not and reads everything."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.checkpoints import files, go_on, keep, kept_in, whole_page
from support.rows import attempt, insert, sample, status, task, workflow, write
from support.source_harness import FakeClock, Log, SourceHarness, execute, unpacked

from parsl_exporter.base.tables import Table
from parsl_exporter.checkpoint import origin
from parsl_exporter.checkpoint.codec import Part
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.readers.batch import Batch, InOrder, Position, in_order_of_texts
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source import checkpoint

NOT_USED = "warning checkpoint not used: everything is read source=s why="
FROM_ONE = "info goes on from its checkpoint"


def rows_read(watched: SourceHarness) -> int:
    return watched.source.published.rows


class Counting(SqliteReader):
    """Counts the rows that come from past positions."""

    rows = 0

    def read(
        self,
        table: Table,
        after: Position,
        *,
        skip: Collection[str] = (),
        in_order: InOrder = in_order_of_texts,
    ) -> Batch:
        batch = super().read(table, after, skip=skip, in_order=in_order)
        self.rows += batch.size
        return batch


def test_nothing_is_read_again_and_everything_is_shown(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db", "std-2026.10.26")
    before = keep(path, folder / "state")
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        reader = Counting(path)
        after = SourceHarness(path, fake_clock=clock, reader=reader, keeper=keeper)
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
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper, closing(locked):
        after = SourceHarness(path, fake_clock=clock, keeper=keeper)
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
    with kept_in(folder / "state", fake_clock) as keeper:
        never = SourceHarness(path, fake_clock=fake_clock, keeper=keeper).poll()
        insert(path, [status(0, "running", 1), status(0, "exec_done", 9)])
        never.poll().poll(every=40.0)
        insert(path, [status(0, "running_ended", 2), sample(0, 2, user=1.0)])
        never.poll()
        never.source.close()
    after = go_on(path, folder / "state", FakeClock(fake_clock.wall - 1))
    assert whole_page(after) == whole_page(never)
    assert after.run_lines() != SourceHarness(path).poll().run_lines()


REPLACED = "rows are other ones than before; reading it anew"


def with_other_rows(path: Path) -> None:
    execute(path, "UPDATE status SET timestamp = '2020-01-01 00:00:00.000000' WHERE rowid < 100")


def without_first_rows(path: Path) -> None:
    execute(path, "DELETE FROM resource WHERE rowid < 20")


def without_last_rows(path: Path) -> None:
    execute(path, "DELETE FROM task WHERE rowid > 20")


def with_another_index(path: Path) -> None:
    execute(path, "CREATE INDEX another ON task (task_func_name)")


def as_another_file(path: Path) -> None:
    shutil.copyfile(path, path.with_name("copy.db"))
    path.with_name("copy.db").rename(path)


def as_another_database(path: Path) -> None:
    """The same file, of which all is another database's."""
    unpacked(path, "managerlost-2026.10.26")


def truncated(path: Path) -> None:
    """As of a backup: fewer rows of the same runs."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("status", "resource", "node", "try", "task"):
            connection.execute(f'DELETE FROM "{table}" WHERE rowid > (SELECT max(rowid) / 2 FROM "{table}")')


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_other_rows, REPLACED),
        (without_first_rows, REPLACED),
        (without_last_rows, REPLACED),
        (with_another_index, REPLACED),
        (as_another_file, "replaced by another file; reading it anew"),
        (as_another_database, REPLACED),
        (truncated, REPLACED),
    ],
)
def test_another_database_is_read(folder: Path, log: Log, change: Callable[[Path], None], why: str) -> None:
    path = unpacked(folder / "a.db", "std-2026.10.26")
    keep(path, folder / "state")
    change(path)
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        after = SourceHarness(path, fake_clock=clock, keeper=keeper).poll()
        assert after.runs() == {}
        assert log.new() == [f"{NOT_USED}{path}: {why}"]
        anew = SourceHarness(path).poll()
        after.poll()
        assert after.run_lines() == anew.run_lines()
        assert rows_read(after) == rows_read(anew)
        assert after.errors() == {}
        assert after.wrong() == []


def test_a_database_that_is_not_there_is_waited_for(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    shown = keep(path, folder / "state").run_lines()
    path.rename(folder / "away.db")
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        after = SourceHarness(path, fake_clock=clock, keeper=keeper).poll(3)
        assert after.condition.state == "down"
        assert after.runs() == {}
        (folder / "away.db").rename(path)
        assert after.poll().run_lines() == shown
    assert [line.partition(" source=")[0] for line in log.new()][-2:] == [FROM_ONE, "info works again"]


@pytest.mark.parametrize(
    "settings",
    [
        {"zone": "Europe/Paris"},
        {"zone": "local"},
        {"worker_zones": {"htex": "UTC"}},
        {"run_zones": {"*": "UTC"}},
        {"close_after": 31.0},
        {"retention": 1e14},
        {"abandon_after": 1e14},
        {"runs": 1},
    ],
)
def test_one_of_other_settings_is_not_used(folder: Path, log: Log, settings: dict[str, Any]) -> None:
    path = unpacked(folder / "a.db")
    keep(path, folder / "state")
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        after = SourceHarness(path, fake_clock=clock, keeper=keeper, **settings).poll()
    assert log.new()[0] == f"{NOT_USED}it was kept under other settings, or of another database"
    assert after.run_lines() == SourceHarness(path, **settings).poll().run_lines()


def test_one_of_another_database_is_not_used(folder: Path, log: Log) -> None:
    keep(unpacked(folder / "a.db"), folder / "state")
    path = unpacked(folder / "b.db", "std-2026.10.26")
    after = go_on(path, folder / "state")
    assert log.new() == [f"{NOT_USED}it was kept under other settings, or of another database"]
    assert after.wrong() == []


def test_one_of_another_program_is_not_used(folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked(folder / "a.db")
    monkeypatch.setattr(checkpoint, "program", lambda: "parsl-exporter 0.0.1")
    keep(path, folder / "state")
    monkeypatch.undo()
    log_before = log.new()
    after = go_on(path, folder / "state")
    assert log_before + log.new() == [f"{NOT_USED}it is of another program: parsl-exporter 0.0.1"]
    assert after.wrong() == []


def test_any_line_of_the_program_makes_it_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(Path(origin.__file__).parents[1], tmp_path / "package")
    monkeypatch.setattr(origin, "__file__", str(tmp_path / "package" / "checkpoint" / "origin.py"))
    here = origin.program()
    assert origin.program.__wrapped__() == here
    with (tmp_path / "package" / "model" / "usage.py").open("a") as file:
        file.write("\n")
    assert origin.program.__wrapped__() != here


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_one_is_not_used(folder: Path, log: Log, seed: int) -> None:
    path = unpacked(folder / "a.db")
    shown = keep(path, folder / "state").run_lines()
    (file,) = files(folder / "state")
    content, chance = bytearray(file.read_bytes()), random.Random(seed)
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        after = SourceHarness(path, fake_clock=clock, keeper=keeper).poll()
        assert log.new()[0].startswith(f"{NOT_USED}it is damaged")
        assert after.run_lines() == shown


@pytest.mark.parametrize(
    "changed",
    [
        {"ingestion": {}},
        {"ingestion": {"reading": {}, "before": ({}, {}, 0)}},
        {"showing": {}},
        {"steady": "x"},
        {"rows_read": 1},
    ],
)
def test_what_it_holds_is_not_believed_where_it_makes_no_sense(
    folder: Path, log: Log, changed: dict[str, Any]
) -> None:
    """As if the digest had been made for it."""
    path = unpacked(folder / "a.db")
    shown = keep(path, folder / "state").run_lines()
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        one = SourceHarness(path, fake_clock=clock, keeper=keeper).source._checkpoint
        assert one is not None
        kept = one.last(nullcontext())
        assert kept is not None
        one.keep(kept._replace(**changed))
    after = go_on(path, folder / "state")
    assert log.new()[0].startswith(f"{NOT_USED}unexpected ")
    assert after.run_lines() == shown
    assert rows_read(after) == rows_read(SourceHarness(path).poll())


@pytest.mark.parametrize("parts", [[], [b"?"], [b"{}"], [b"[]", b"", b""]])
def test_nor_is_what_has_other_parts(folder: Path, log: Log, parts: list[Part]) -> None:
    path = unpacked(folder / "a.db")
    shown = keep(path, folder / "state").run_lines()
    name = files(folder / "state")[0].stem
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        keeper.write(name, parts)
    assert go_on(path, folder / "state").run_lines() == shown
    assert log.new()[0].startswith(f"{NOT_USED}unexpected ")


def test_what_cannot_be_kept_fails_no_poll(folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> list[Part]:
        raise MemoryError("none left")

    path = unpacked(folder / "a.db")
    monkeypatch.setattr(checkpoint, "packed", fails)
    watched = go_on(path, folder / "state")
    assert watched.up()
    assert log.new() == ["warning no checkpoint can be made source=s why=unexpected MemoryError: none left"]


def test_a_second_start_after_a_refusal_finds_a_good_one(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    keep(path, folder / "state")
    files(folder / "state")[0].write_bytes(b"")
    shown = go_on(path, folder / "state").run_lines()
    assert len(log.new()) == 1
    assert go_on(path, folder / "state").run_lines() == shown
    (line,) = log.new()
    assert line.startswith(FROM_ONE)


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


def test_one_that_was_not_kept_up_is_not_used(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        SourceHarness(path, fake_clock=clock, keeper=keeper).poll().poll(100, every=60.0).source.close()
    clock.go_on(800)
    go_on(path, folder / "state", FakeClock(clock.wall))
    (line,) = log.new()
    assert line.startswith(FROM_ONE)
    clock.go_on(1_000)
    go_on(path, folder / "state", FakeClock(clock.wall))
    assert log.new() == [f"{NOT_USED}it was last kept up 17 min ago, and 15 are the most"]


def test_time_goes_on_while_nobody_watches(folder: Path) -> None:
    """What is over goes its time after it was seen to end, whether or not the exporter was there."""
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), status(0, "running", 1)])
    clock = FakeClock()
    with kept_in(folder / "state", clock) as keeper:
        watched = SourceHarness(path, fake_clock=clock, retention=300.0, keeper=keeper).poll()
        execute(path, "UPDATE workflow SET time_completed = '2026-01-01 00:00:00.000000'")
        assert watched.poll().runs()
        watched.source.close()
    for seconds, there in ((200, True), (98, True), (1, False)):
        clock = FakeClock(clock.wall + seconds)
        with kept_in(folder / "state", clock) as keeper:
            watched = SourceHarness(path, fake_clock=clock, retention=300.0, keeper=keeper)
            assert bool(watched.poll(every=0.5).runs()) == there, seconds
            watched.source.close()


def test_one_that_would_be_too_large_is_a_warning(
    folder: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked(folder / "a.db")
    keep(path, folder / "state")
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1_000)
    go_on(path, folder / "state")
    clock = FakeClock()
    execute(path, "UPDATE workflow SET workflow_version = '2'")
    with kept_in(folder / "state", clock) as keeper:
        watched = SourceHarness(path, fake_clock=clock, keeper=keeper).poll(3)
        assert watched.up()
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
    with kept_in(folder / "state", clock) as keeper:
        watched = SourceHarness(path, fake_clock=clock, runs=1, keeper=keeper).poll()
        insert(
            path, [workflow("second", began=9), task(0, run="second"), status(0, "pending", 9, run="second")]
        )
        before = watched.poll().run_lines()
        watched.source.close()
    with kept_in(folder / "state", clock) as keeper:
        after = SourceHarness(path, fake_clock=clock, runs=1, keeper=keeper).poll()
        assert after.run_lines() == before
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
