"""When a run was last heard of: by the exporter's own clock, and what a host's clock says no later than that."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from support.model_harness import ModelHarness, Options
from support.oracle import Series, differences
from support.oracle.page import LAST_ROW
from support.replay import CLOCKS
from support.rows import (
    EPOCH,
    Told,
    as_rows,
    attempt,
    block,
    insert,
    later,
    node,
    sample,
    status,
    task,
    workflow,
    write,
)
from support.source_harness import SOURCE, FakeClock, Log, SourceHarness, execute, truth, unpacked

from parsl_exporter.cli.main import main

LAST_EVENT = "parsl_workflow_last_event_timestamp_seconds"
OLDEST = "parsl_task_oldest_timestamp_seconds"
ACTIVITY = "parsl_block_last_activity_timestamp_seconds"
HOUR = 3600.0

TRIED = [workflow(), task(0), attempt(0, block="0", host="node1"), block("0", "RUNNING", 1)]
RUNS = [*TRIED, status(0, "pending", 1), status(0, "launched", 2), status(0, "running", 3)]


def utc(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def heard(reading: ModelHarness) -> float:
    (line,) = reading.lines(LAST_ROW)
    return float(line) - EPOCH


def watching(story: list[Told], wall: float) -> ModelHarness:
    """A first read of a story at `wall` seconds after its beginning; the clock goes on from there."""
    reading = ModelHarness(Options(ahead=0.0))
    reading.clock = wall
    return reading.poll(as_rows(story), first=True)


# --- the last row -------------------------------------------------------------------------------------------


def test_in_a_first_read_it_is_the_newest_stamp_that_is_not_later_than_now() -> None:
    assert heard(watching([*RUNS, sample(0, 50), sample(0, 90)], wall=60)) == 50
    assert heard(watching([*RUNS, sample(0, 50), sample(0, 90)], wall=90)) == 90


def test_a_first_read_of_many_rows_at_once_says_the_same() -> None:
    story = [*RUNS, sample(0, 50), sample(0, 90), node("m", 55), node("m", 2 * HOUR)]
    reading = ModelHarness(Options(ahead=0.0))
    reading.clock = 60
    reading.take_by_tables(as_rows(story))
    reading.runs.finish_first_read(reading.clock, reading.wall)
    assert heard(reading) == 55


@pytest.mark.parametrize(
    "row",
    [
        status(0, "running_ended", 9),
        status(0, "running_ended", 5 * HOUR),
        sample(0, -5 * HOUR),
        block("0", "HELD", 3),
        node("m", 4),
        workflow(completed=9),
    ],
    ids=lambda told: f"{told.table.name} {told.values.get('timestamp', '')}",
)
def test_afterwards_it_is_when_a_row_came_whatever_its_stamp(row: Told) -> None:
    reading = watching(RUNS, wall=60)
    reading.clock = 1000
    assert heard(reading.poll()) == 3
    assert heard(reading.poll(later(100, row))) == 1000
    reading.clock = 2000
    assert heard(reading.poll()) == 1000


def test_what_is_read_again_by_key_is_no_new_row() -> None:
    reading = watching(RUNS, wall=60)
    reading.clock = 1000
    reading.poll(as_rows([workflow(), task(0), attempt(0, block="0", host="node2")]))
    assert heard(reading) == 3


def test_nor_does_it_keep_a_dead_run_from_being_abandoned() -> None:
    """A run that writes into the same database has all workflow rows read again at each poll."""
    reading = ModelHarness(Options(abandon_after=100.0))
    reading.poll(as_rows(RUNS))
    for _ in range(11):
        reading.clock += 10
        reading.poll(as_rows([workflow(), attempt(0, block="0", host="node1")]))
    assert reading.lines("parsl_workflow_info") == []


def test_a_run_awakened_is_heard_of_now(folder: Path) -> None:
    database = write(folder / "monitoring.db", RUNS)
    fake_clock = FakeClock(EPOCH + 60)
    watched = SourceHarness(database, fake_clock=fake_clock, abandon_after=100.0).poll()
    watched.poll(every=200.0)
    assert LAST_EVENT not in watched.series()
    insert(database, [sample(0, 10)])
    assert of_run(watched.poll().series(), LAST_ROW) == fake_clock.wall


def test_a_reading_begun_anew_begins_with_the_stamps_again(folder: Path) -> None:
    database = write(folder / "monitoring.db", RUNS)
    fake_clock = FakeClock(EPOCH + 60)
    watched = SourceHarness(database, fake_clock=fake_clock).poll()
    insert(database, [sample(0, 10)])
    assert of_run(watched.poll().series(), LAST_ROW) == fake_clock.wall
    execute(database, "DELETE FROM resource")
    assert of_run(watched.poll(3).series(), LAST_ROW) == EPOCH + 3


# --- a clock that is ahead ----------------------------------------------------------------------------------


def activity(reading: ModelHarness) -> float:
    (line,) = reading.lines(ACTIVITY)
    return float(line.partition(" ")[2]) - EPOCH


@pytest.mark.parametrize("by_tables", [False, True])
def test_in_a_first_read_no_block_shows_life_later_than_now(by_tables: bool) -> None:
    reading = ModelHarness(Options(ahead=0.0))
    reading.clock = 60
    rows = as_rows([*RUNS, sample(0, 2 * HOUR), sample(0, 50)])
    (reading.take_by_tables if by_tables else reading.take)(rows)
    reading.runs.finish_first_read(reading.clock, reading.wall)
    assert activity(reading.poll()) == 60


def test_a_stamp_ahead_of_the_clock_counts_as_the_moment_its_row_was_taken() -> None:
    reading = watching(RUNS, wall=60)
    reading.clock = 100
    reading.poll(later(100, sample(0, HOUR)))
    assert activity(reading) == 100
    reading.clock = 200
    reading.poll(as_rows([attempt(0, block="0", host="node1")]))
    assert activity(reading.poll()) == 100
    reading.poll(later(200, sample(0, HOUR + 100)))
    assert activity(reading) == 200


def test_once_such_a_clock_is_set_right_its_rows_count_as_they_are_stamped() -> None:
    reading = watching(RUNS, wall=60)
    reading.clock = 100
    reading.poll(later(100, sample(0, HOUR)))
    reading.clock = 300
    reading.poll(later(200, sample(0, 290)))
    assert activity(reading) == 290


def test_a_managers_row_ahead_of_the_clock_counts_as_when_it_came() -> None:
    reading = watching(RUNS, wall=60)
    reading.clock = 100
    reading.poll(as_rows([node("m", HOUR)]))
    assert activity(reading) == 100
    reading.clock = 200
    assert activity(reading.poll()) == 100


def test_a_late_row_of_a_finished_task_shows_no_life_that_its_earlier_rows_showed() -> None:
    reading = ModelHarness(Options(ahead=0.0, close_after=30.0))
    reading.poll(as_rows([*RUNS, sample(0, HOUR), status(0, "exec_done", 0)]))
    reading.clock = 100
    reading.poll()
    assert reading.runs.live_tasks() == 0
    reading.poll(later(100, sample(0, 5)))
    assert activity(reading) == 5


# --- real runs, on clocks set otherwise ---------------------------------------------------------------------


def of_run(series: Series, family: str, **labels: str) -> float:
    (value,) = (v for key, v in series[family].items() if labels.items() <= dict(key).items())
    assert isinstance(value, float)
    return value


@pytest.fixture
def workers_in_utc(folder: Path) -> Path:
    return unpacked(folder / "monitoring.db", "clocks/workers-in-utc-2026.10.26")


def test_workers_in_utc_are_read_in_utc(workers_in_utc: Path) -> None:
    fake_clock = FakeClock(utc("2026-11-27 21:41:00"))
    watched = SourceHarness(
        workers_in_utc, zone="Europe/Paris", worker_zones={"*": "UTC"}, fake_clock=fake_clock
    )
    series = watched.poll().series()
    assert of_run(series, LAST_EVENT) == utc("2026-11-27 21:40:47.303610")
    assert of_run(series, LAST_ROW) == utc("2026-11-27 21:40:47.303610")
    assert of_run(series, OLDEST, state="running") == utc("2026-11-27 21:36:15.745272")
    assert of_run(series, ACTIVITY) == utc("2026-11-27 21:40:47.303610")


def test_without_a_zone_of_their_own_each_new_row_is_a_sign_of_life(workers_in_utc: Path) -> None:
    fake_clock = FakeClock(utc("2026-11-27 21:41:00"))
    watched = SourceHarness(workers_in_utc, zone="Europe/Paris", fake_clock=fake_clock).poll()
    assert of_run(watched.series(), LAST_EVENT) == utc("2026-11-27 21:36:08.589009")
    columns = "run_id, task_id, try_id, psutil_process_time_user"
    execute(
        workers_in_utc,
        f"INSERT INTO resource ({columns}, resource_monitoring_interval, timestamp)"
        f" SELECT {columns}, 5, '2026-11-27 21:40:52.000000' FROM resource WHERE rowid = 1",
    )
    assert of_run(watched.poll().series(), LAST_ROW) == fake_clock.wall


def test_the_log_says_once_what_to_write_when_stamps_speak_against_the_zone(
    workers_in_utc: Path, log: Log
) -> None:
    watched = SourceHarness(workers_in_utc, zone="Europe/Paris").poll()
    wanted = (
        "warning host vm: all tries of executor htex there begin before they were launched or end after their final"
        ' row, as its stamps are 1 h behind those of the submit host; write worker_timezone: {"htex": UTC} into the'
        f" source's entry in the configuration file source={SOURCE}"
    )
    assert log.new() == [wanted]
    execute(workers_in_utc, "UPDATE workflow SET tasks_completed_count = 1")
    watched.poll(2)
    assert log.new() == []
    SourceHarness(workers_in_utc, zone="Europe/Paris", worker_zones={"h*": "UTC"}).poll()
    assert log.new() == []


def test_it_is_said_of_each_executor_on_a_host_and_once_for_all_hosts_of_an_executor(
    workers_in_utc: Path, log: Log, set_tz: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    set_tz("Europe/Paris")
    execute(workers_in_utc, "UPDATE try SET task_executor = 'container' WHERE task_id = 1")
    names = (
        "run_id, try_id, task_executor, task_try_time_launched, task_try_time_running, task_try_time_returned"
    )
    execute(
        workers_in_utc,
        f"INSERT INTO try (task_id, hostname, {names}) SELECT 2, 'other', {names} FROM try WHERE task_id = 0",
    )
    rows = "run_id, try_id, task_status_name, timestamp"
    execute(
        workers_in_utc, f"INSERT INTO status (task_id, {rows}) SELECT 2, {rows} FROM status WHERE task_id = 0"
    )
    SourceHarness(workers_in_utc, zone="Europe/Paris").poll()
    told = [line for line in log.new() if "worker_timezone" in line]
    assert sorted(line.split("write ")[1].split(" into")[0] for line in told) == [
        'worker_timezone: {"container": UTC}',
        'worker_timezone: {"htex": UTC}',
    ]
    main(["check", str(workers_in_utc)])
    assert capsys.readouterr().out.count("  zone     ") == 2


def test_check_says_so_too(workers_in_utc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yml"
    for zones, said in (("", True), ("worker_timezone: UTC", False)):
        config.write_text(
            f"timezone: Europe/Paris\nsources:\n- path: {json.dumps(str(workers_in_utc))}\n  {zones}\n"
        )
        assert main(["check", "--config.file", str(config)]) == 0
        printed = capsys.readouterr().out
        assert (
            'write worker_timezone: {"htex": UTC} into the source\'s entry in the configuration file'
            in printed
        ) is said
        assert ("host vm" in printed) is said


def test_the_hour_that_comes_twice_is_read_by_insertion(folder: Path, set_tz: Callable[[str], None]) -> None:
    name = "clocks/repeated-hour-2026.10.26"
    set_tz(CLOCKS[name].tz)
    database = unpacked(folder / "monitoring.db", name)
    series = (
        SourceHarness(database, zone="local", fake_clock=FakeClock(utc("2026-11-27 21:32:00")))
        .poll()
        .series()
    )
    newest = utc("2026-11-27 21:31:52.827459")
    assert of_run(series, LAST_EVENT) == of_run(series, LAST_ROW) == of_run(series, ACTIVITY) == newest
    assert of_run(series, "parsl_workflow_start_timestamp_seconds") == utc("2026-11-27 21:13:08.539267")
    assert of_run(series, OLDEST, state="running") == utc("2026-11-27 21:14:29.975524")


@pytest.mark.parametrize("name", CLOCKS)
def test_a_dump_of_them_says_what_sql_says(name: str, folder: Path, set_tz: Callable[[str], None]) -> None:
    clocks = CLOCKS[name]
    set_tz(clocks.tz)
    database = unpacked(folder / "monitoring.db", name)
    watched = SourceHarness(database, zone=clocks.zone, worker_zones=clocks.worker_zones)
    assert watched.wrong() == []
    wanted = truth(database, zone=clocks.zone, worker_zones=clocks.worker_zones, now=watched.fake_clock.wall)
    assert differences(wanted, watched.series()) == []
