"""Holds the oracle to facts of the corpus that were worked out by hand or by SQL of another form."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest
from support.oracle import Histogram, Series, Value, differences, expected
from support.source_harness import in_memory, unpacked

OLD_RUN = "5685a0be-898e-4e60-883d-34b8c964b4a2"  # of std-1.2.0
Corpus = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Unpack a database of the corpus and apply changes to it."""

    def unpack(name: str, *changes: str) -> Path:
        database = unpacked(tmp_path / f"{name}.db", name)
        with closing(sqlite3.connect(database)) as connection, connection:
            for change in changes:
                connection.execute(change)
        return database

    return unpack


def compute(database: Path, timezone: str = "UTC") -> Series:
    return of_content(database.read_bytes(), timezone)


@cache
def of_content(content: bytes, timezone: str) -> Series:
    """The same bytes are asked about by many tests."""
    with in_memory() as folder:
        (folder / "monitoring.db").write_bytes(content)
        return expected(folder / "monitoring.db", source="s", timezone=timezone)


def pick(series: Series, family: str, **labels: str) -> dict[str, Value]:
    """Give a family's series that have these labels, by their other labels but source and run_id."""
    found: dict[str, Value] = {}
    for key, value in series.get(family, {}).items():
        if labels.items() <= dict(key).items():
            rest = ",".join(v for k, v in sorted(key) if k not in {"source", "run_id", *labels})
            assert rest not in found, "name the run"
            found[rest] = value
    return found


def some(series: Series, family: str, **labels: str) -> dict[str, Value]:
    return {key: value for key, value in pick(series, family, **labels).items() if value}


def one(series: Series, family: str, **labels: str) -> Value:
    found = pick(series, family, **labels)
    assert len(found) == 1, found
    return next(iter(found.values()))


def histogram(series: Series, family: str, **labels: str) -> Histogram:
    value = one(series, family, **labels)
    assert isinstance(value, Histogram)
    return value


def number(series: Series, family: str, **labels: str) -> float:
    value = one(series, family, **labels)
    assert isinstance(value, float)
    return value


def query(database: Path, sql: str) -> dict[str, int]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute(sql).fetchall())


def epoch(stamp: str) -> float:
    return datetime.fromisoformat(f"{stamp}+00:00").timestamp()


def states(series: Series) -> dict[str, float]:
    """Count tasks by state, over all apps, executors and runs."""
    counts: dict[str, float] = {}
    for key, value in series["parsl_tasks"].items():
        assert isinstance(value, float)
        counts[dict(key)["state"]] = counts.get(dict(key)["state"], 0) + value
    return {state: count for state, count in counts.items() if count}


LAST_BY = """SELECT task_status_name, count(*) FROM
    (SELECT task_status_name, max({}) FROM status GROUP BY run_id, task_id) GROUP BY task_status_name"""


@pytest.mark.parametrize("name", ["std-1.2.0", "std-2024.3.4", "std-2026.10.26", "managerlost-2026.10.26"])
def test_the_last_row_inserted_is_not_a_tasks_state(corpus: Corpus, name: str) -> None:
    database = corpus(name)
    # Finished runs on one host, one clock: there the newest stamp tells the state.
    assert states(compute(database)) == query(database, LAST_BY.format("timestamp"))
    assert states(compute(database)) != query(database, LAST_BY.format("rowid"))


@pytest.mark.parametrize("name", ["std-2026.10.26", "crash-2026.10.26"])
@pytest.mark.parametrize("table", ["status", "resource", '"try"', "task"])
def test_the_order_of_rows_changes_nothing_of_tasks(corpus: Corpus, name: str, table: str) -> None:
    straight = compute(corpus(name))
    reverse = [
        f"CREATE TABLE copy AS SELECT * FROM {table} ORDER BY rowid DESC",
        f"DELETE FROM {table}",
        f"INSERT INTO {table} SELECT * FROM copy ORDER BY rowid",
    ]
    assert differences(straight, compute(corpus(name, *reverse))) == []


def test_a_killed_run_keeps_what_was_under_way(corpus: Corpus) -> None:
    series = compute(corpus("crash-2026.10.26"))
    assert some(series, "parsl_tasks") == {
        "quick,htex,exec_done": 20,
        "quick,htex,pending": 6,
        "slow,htex,running": 4,
        "slow,htex,launched": 2,
    }
    assert len(series["parsl_tasks"]) == 2 * 10
    assert pick(series, "parsl_task_oldest_timestamp_seconds", app="slow") == {
        "htex,launched": epoch("2026-11-22 07:56:35.498092"),
        "htex,running": epoch("2026-11-22 07:56:35.474838"),
    }
    assert pick(series, "parsl_node_tasks_running") == {"vm": 4}
    assert pick(series, "parsl_block_tasks_running") == {"0,htex": 2, "1,htex": 2}
    # The four latest samples, and each worker's one child.
    resident = 121339904 + 120426496 + 120561664 + 120422400
    assert pick(series, "parsl_task_memory_resident_bytes") == {"quick,htex": 0, "slow,htex": resident}
    assert pick(series, "parsl_node_task_memory_resident_bytes") == {"vm": resident}
    assert pick(series, "parsl_task_processes") == {"quick,htex": 0, "slow,htex": 8}
    user = one(series, "parsl_task_cpu_seconds_total", app="slow", executor="htex", mode="user")
    assert user == pytest.approx(0.14 + 0.13 + 0.16 + 0.16)
    # Open tries are in no histogram; closed ones are.
    for family in ("parsl_task_memory_peak_bytes", "parsl_task_duration_seconds"):
        assert histogram(series, family, app="slow").count == 0
        assert histogram(series, family, app="quick").count == 20
    family = "parsl_task_state_duration_seconds"
    assert histogram(series, family, app="slow", state="launched").count == 0
    running = histogram(series, family, app="quick", state="running")
    assert (running.count, round(running.sum, 9)) == (20, 6.636068)  # to running_ended, not to exec_done
    assert "parsl_workflow_end_timestamp_seconds" not in series
    assert set(pick(series, "parsl_manager_active").values()) == {1}


def test_times_of_a_task_tried_three_times(corpus: Corpus) -> None:
    series = compute(corpus("managerlost-2026.10.26"))
    family = "parsl_task_state_duration_seconds"
    for state, seconds in {"pending": 0.017431, "launched": 5.895253, "running": 1.617886}.items():
        spent = histogram(series, family, app="suicide", state=state)
        assert (spent.count, round(spent.sum, 9)) == (3, seconds)
    assert histogram(series, family, app="suicide", state="joining").count == 0
    launched = histogram(series, family, app="suicide", state="launched")
    assert launched.buckets[:4] == ((0.1, 0), (0.5, 0), (1.0, 1), (5.0, 3))
    whole = histogram(series, "parsl_task_duration_seconds", app="suicide")
    assert (whole.count, round(whole.sum, 9)) == (1, 7.531707)


def test_a_running_time_without_its_end_row_ends_with_the_try(corpus: Corpus) -> None:
    series = compute(corpus("std-1.2.0"))  # this release wrote no running_ended
    running = histogram(
        series, "parsl_task_state_duration_seconds", run_id=OLD_RUN, app="burn", state="running"
    )
    assert (running.count, round(running.sum, 9)) == (4, 12.118828)


def test_a_negative_time_counts_as_0(corpus: Corpus) -> None:
    series = compute(corpus("std-1.2.0"))  # its join apps run before their launched row is stamped
    launched = histogram(
        series, "parsl_task_state_duration_seconds", run_id=OLD_RUN, app="joiner", state="launched"
    )
    assert (launched.buckets[0], launched.sum, launched.count) == ((0.1, 2), 0.0, 2)


def test_failures_are_counted_by_class_once_a_try(corpus: Corpus) -> None:
    database = corpus("managerlost-2026.10.26")
    named = expected(
        database, source="s", failure_reasons=["ManagerLost", "WorkerLost", "TooManyJobFailuresError"]
    )
    assert some(named, "parsl_task_failures_total") == {
        "work,htex,ManagerLost": 1,
        "suicide,htex,WorkerLost": 3,
        "work,htex,TooManyJobFailuresError": 6,
        "work,htex,_other": 3,
    }
    old = expected(corpus("std-1.2.0"), source="s", failure_reasons=["ValueError"])
    assert some(old, "parsl_task_failures_total", run_id=OLD_RUN) == {
        "add,htex,DependencyError": 2,  # of two dep_fail rows each
        "local_add,threads,DependencyError": 1,
        "boom,htex,ValueError": 4,
        "bashfail,threads,_other": 2,
        "bad_joiner,_parsl_internal,ValueError": 1,
        "joiner,_parsl_internal,unknown": 1,
    }


def test_what_has_no_row_is_unknown_at_once_in_gauges_and_in_counters_when_the_run_is_over(
    corpus: Corpus,
) -> None:
    changes = ["DELETE FROM task WHERE task_id = 20", 'DELETE FROM "try" WHERE task_id = 21']
    open_run = compute(corpus("crash-2026.10.26", *changes))
    assert some(open_run, "parsl_tasks", state="running") == {
        "slow,htex": 2,
        "unknown,htex": 1,
        "slow,unknown": 1,
    }
    assert pick(open_run, "parsl_node_tasks_running") == {"vm": 3, "unknown": 1}
    held = {"slow,htex": 2, "unknown,htex": 0, "slow,unknown": 0}
    family = "parsl_task_transitions_total"
    assert {k: v for k, v in pick(open_run, family, state="running").items() if k in held} == held

    ended = [*changes, "UPDATE workflow SET time_completed = '2026-11-22 08:00:00.000000'"]
    over = compute(corpus("crash-2026.10.26", *ended))
    assert {k: v for k, v in pick(over, family, state="running").items() if k in held} == {
        "slow,htex": 2,
        "unknown,htex": 1,
        "slow,unknown": 1,
    }
    assert set(pick(over, "parsl_node_tasks_running").values()) == {0}
    family = "parsl_node_task_cpu_seconds_total"
    assert number(open_run, family, hostname="unknown") == 0 < number(over, family, hostname="unknown")


@pytest.mark.parametrize(
    ("added", "state"),
    [
        ([("failed", "10:00:00", 0), ("pending", "11:00:00", 1)], "failed"),  # a final state beats all
        ([("exec_done", "10:00:00", 0), ("memo_done", "10:00:01", 0)], "memo_done"),  # the later final state
        ([("memo_done", "10:00:00", 0), ("exec_done", "10:00:00", 0)], "exec_done"),  # of one time
        ([("exec_done", "10:00:00", 0), ("dep_fail", "10:00:00", 0)], "dep_fail"),
        ([("dep_fail", "10:00:00", 0), ("failed", "10:00:00", 0)], "failed"),
        ([("fail_retryable", "11:00:00", 0), ("pending", "10:00:00", 1)], "pending"),  # the higher try
        ([("runnable", "11:00:00", 0)], "running"),  # an unknown name ranks below launched
        ([("unsched", "10:00:00", 1), ("runnable", "11:00:00", 1), ("pending", "12:00:00", 1)], "unsched"),
    ],
)
def test_a_state_is_the_greatest_row(corpus: Corpus, added: list[tuple[str, str, int]], state: str) -> None:
    run = "9ee19617-e375-4aae-b2ab-0975271039aa"
    rows = [
        f"INSERT INTO status VALUES (20, '{name}', '2026-11-23 {time}.000000', '{run}', {try_id})"
        for name, time, try_id in added
    ]
    before = some(compute(corpus("crash-2026.10.26")), "parsl_tasks", app="slow")
    after = some(compute(corpus("crash-2026.10.26", *rows)), "parsl_tasks", app="slow")
    executor = "unknown" if any(try_id for _, _, try_id in added) else "htex"
    moved = {"htex,running": 3, "htex,launched": 2, f"{executor},{state}": 1}
    assert before == {"htex,running": 4, "htex,launched": 2}
    assert after == (before if state == "running" else moved)


def test_blocks_wait_from_pending_to_running(corpus: Corpus) -> None:
    series = compute(corpus("scaling_simple-2026.10.26"))
    waited = histogram(series, "parsl_block_pending_seconds")
    assert waited.buckets[2:5] == ((1.0, 0), (5.0, 6), (10.0, 10))
    assert round(waited.sum, 9) == 38.228586
    assert some(series, "parsl_blocks") == {"htex,SCALED_IN": 10}
    assert some(series, "parsl_block_transitions_total", executor="htex") == {
        "PENDING": 10,
        "RUNNING": 10,
        "SCALED_IN": 10,
    }


def test_a_repeated_block_row_is_no_change(corpus: Corpus) -> None:
    series = compute(corpus("std-1.2.0"))  # this release wrote a row at every poll
    run = "52648b55-131f-4c3d-81ec-f0324e1103ac"
    assert some(series, "parsl_block_transitions_total", run_id=run) == {
        "htex,PENDING": 2,
        "htex,RUNNING": 2,
        "htex,CANCELLED": 1,
    }
    entered = one(series, "parsl_block_state_timestamp_seconds", run_id=run, block_id="0")
    assert entered == epoch("2026-11-22 07:53:41.148936")


def test_a_block_is_as_alive_as_its_newest_sign(corpus: Corpus) -> None:
    database = corpus("crash-2026.10.26", "DELETE FROM resource WHERE task_id IN (20, 21)")
    assert pick(compute(database), "parsl_block_last_activity_timestamp_seconds") == {
        "0,htex": epoch("2026-11-22 07:56:55.550666"),  # a sample
        "1,htex": epoch("2026-11-22 07:56:35.477736"),  # a running row, newer than the block's node rows
    }


def test_a_block_worked_by_a_try_on_it_or_by_a_second_active_row_of_its_manager(corpus: Corpus) -> None:
    untold = 'UPDATE "try" SET block_id = NULL, hostname = NULL'

    def worked(name: str, *changes: str, **labels: str) -> dict[str, Value]:
        return pick(compute(corpus(name, *changes)), "parsl_block_worked", executor="htex", **labels)

    old = {"run_id": "52648b55-131f-4c3d-81ec-f0324e1103ac"}
    assert worked("std-1.2.0", **old) == {"0": 0, "1": 1}
    assert worked("std-1.2.0", untold, **old) == {"0": 0, "1": 0}  # one active row of a manager
    every = {str(block_id): 1 for block_id in range(10)}
    assert worked("scaling_simple-2026.10.26", untold) == every
    started = "DELETE FROM node WHERE active AND id NOT IN (SELECT min(id) FROM node GROUP BY uid)"
    assert worked("scaling_simple-2026.10.26", untold, started) == dict.fromkeys(every, 0)


def test_a_managers_last_row_tells_how_it_ended(corpus: Corpus) -> None:
    series = compute(corpus("managerlost-2026.10.26"))
    row, beat = (
        {key.split(",")[0]: value for key, value in pick(series, f"parsl_manager_{family}").items()}
        for family in ("last_row_timestamp_seconds", "last_heartbeat_timestamp_seconds")
    )
    assert row["0"] == epoch("2026-11-22 07:58:22.116014")
    assert beat["0"] == epoch("2026-11-22 07:58:18.114807")


def test_a_manager_is_inactive_by_its_row_its_block_or_its_run(corpus: Corpus) -> None:
    def active(*changes: str) -> dict[str, Value]:
        series = compute(corpus("managerlost-2026.10.26", *changes))
        return {key.split(",")[0]: value for key, value in pick(series, "parsl_manager_active").items()}

    no_end = "UPDATE workflow SET time_completed = NULL"
    alive = "DELETE FROM block WHERE status = 'FAILED'"
    assert active(alive) == {"0": 0, "1": 0, "2": 0, "3": 0}
    assert active(no_end) == {"0": 0, "1": 0, "2": 0, "3": 0}
    assert active(no_end, alive) == {"0": 0, "1": 1, "2": 1, "3": 1}
    assert active(no_end, f"{alive} AND block_id = '2'") == {"0": 0, "1": 0, "2": 1, "3": 0}


def test_a_block_id_of_two_executors_is_resolved_by_tries(corpus: Corpus) -> None:
    columns = "block_id, job_id, timestamp, status"
    second = f"INSERT INTO block SELECT run_id, 'other', {columns} FROM block WHERE block_id = '1'"

    def executors(*changes: str) -> dict[str, Value]:
        return pick(compute(corpus("crash-2026.10.26", second, *changes)), "parsl_manager_workers")

    assert executors() == {"0,htex,vm,e1398aa43116": 2, "1,htex,vm,e78f3e2e00e1": 2}
    assert executors("DELETE FROM \"try\" WHERE block_id = '1'") == {
        "0,htex,vm,e1398aa43116": 2,
        "1,unknown,vm,e78f3e2e00e1": 2,
    }


def test_a_manager_of_several_candidate_blocks_is_dead_when_all_are(corpus: Corpus) -> None:
    def active(*ended: str) -> float:
        columns = "block_id, job_id, '2026-11-22 08:00:00.000000'"
        second = "SELECT DISTINCT run_id, 'other', block_id, job_id, timestamp, 'RUNNING' FROM block"
        ends = [
            f"INSERT INTO block SELECT DISTINCT run_id, '{executor}', {columns}, 'TIMEOUT' FROM block"
            for executor in ended
        ]
        changes = [f"INSERT INTO block {second} WHERE status = 'RUNNING'", *ends]
        series = compute(corpus("crash-2026.10.26", *changes, 'UPDATE "try" SET block_id = NULL'))
        return number(series, "parsl_manager_active", executor="unknown", block_id="1")

    assert (active(), active("htex"), active("htex", "other")) == (1, 1, 0)


def test_label_values_are_never_empty_nor_long(corpus: Corpus) -> None:
    series = compute(corpus("unicode-2026.10.26"))
    apps = {dict(key)["app"] for key in series["parsl_tasks"]}
    assert {"unknown", "nul\0nul", "cr\rreturn", "trailing\\", "\U0001f680", " lead/trail "} <= apps
    assert "x" * 191 + "~0d4e2ca9" in apps  # sha256 of 300 times x
    assert max(map(len, apps)) == 200
    raw = compute(corpus("crash-2026.10.26", "UPDATE workflow SET user = CAST(x'61ff62' AS TEXT)"))
    assert dict(next(iter(raw["parsl_workflow_info"])))["user"] == "a\\xffb"


def test_of_a_repeated_hour_the_first_reading_is_taken(corpus: Corpus) -> None:
    database = corpus("crash-2026.10.26", "UPDATE workflow SET time_began = '2026-11-01 01:30:00.000001'")
    began = one(compute(database, timezone="America/Chicago"), "parsl_workflow_start_timestamp_seconds")
    assert began == epoch("2026-11-01 06:30:00.000001")
