"""A checkpoint that does not fit is not used: a source says in one line why not, and reads everything."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import FROM_ONE, NOT_USED, files, go_on, keep, kept_in, rows_read, started
from support.source_harness import FakeClock, Log, SourceHarness, execute, unpacked

from parsl_exporter.checkpoint import origin
from parsl_exporter.checkpoint.codec import Part
from parsl_exporter.source import checkpoint

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
    with started(path, folder / "state") as after:
        assert after.poll().runs() == {}
        assert log.new() == [f"{NOT_USED}{path}: {why}"]
        anew = SourceHarness(path).poll()
        after.poll()
        assert after.run_lines() == anew.run_lines()
        assert rows_read(after) == rows_read(anew)
        assert after.errors() == {}
        assert after.wrong() == []


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
    with started(path, folder / "state", **settings) as after:
        after.poll()
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
    with started(path, folder / "state") as after:
        after.poll()
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
    with started(path, folder / "state") as watched:
        one = watched.source._checkpoint
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
    with kept_in(folder / "state", FakeClock()) as keeper:
        keeper.write(name, parts)
    assert go_on(path, folder / "state").run_lines() == shown
    assert log.new()[0].startswith(f"{NOT_USED}unexpected ")


def test_one_that_was_not_kept_up_is_not_used(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    clock = FakeClock()
    with started(path, folder / "state", clock) as watched:
        watched.poll().poll(100, every=60.0).source.close()
    clock.go_on(800)
    go_on(path, folder / "state", FakeClock(clock.wall))
    (line,) = log.new()
    assert line.startswith(FROM_ONE)
    clock.go_on(1_000)
    go_on(path, folder / "state", FakeClock(clock.wall))
    assert log.new() == [f"{NOT_USED}it was last kept up 17 min ago, and 15 are the most"]


def test_a_second_start_after_a_refusal_finds_a_good_one(folder: Path, log: Log) -> None:
    path = unpacked(folder / "a.db")
    keep(path, folder / "state")
    files(folder / "state")[0].write_bytes(b"")
    shown = go_on(path, folder / "state").run_lines()
    assert len(log.new()) == 1
    assert go_on(path, folder / "state").run_lines() == shown
    (line,) = log.new()
    assert line.startswith(FROM_ONE)
