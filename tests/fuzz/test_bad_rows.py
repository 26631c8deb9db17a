"""One row that cannot be used among good ones."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from good_rows import GOOD, changed, watched_in_polls
from support.rows import (
    RUN,
    SAMPLED,
    Told,
    attempt,
    block,
    insert,
    lifecycle,
    node,
    sample,
    stamp,
    status,
    task,
    workflow,
    write,
)
from support.source_harness import Log, SourceHarness, execute, in_memory

from parsl_exporter.base.tables import NODE, RESOURCE
from parsl_exporter.model.timestamps import Stamps

# --- one bad row among good ones ----------------------------------------------------------------------------

NO_KEYS = (None, "", b"run-1", 1, 1.5)
NO_IDS = (None, "", "0", -1, 0.5, b"\0")
NO_DATE = "2026-13-01 00:00:00.000000"
NO_STAMPS = (None, "", "today", 12, 1.5, b"2026", b"2026-01-05 12:00:00.000000", NO_DATE,
             "2026-01-05 12:00:00.12345x",
             "2026-01-05 12:00:00.123456+99:00", "0001-01-01 00:00:00.000000",
             "1969-12-31 23:59:59.999999")  # fmt: skip
NO_NUMBERS = ("", "1", "much", b"1", math.inf, -math.inf, 1e308, -1e308)
LATER = stamp(5)
BAD = [
    *((workflow(run=RUN), "run_id", value, "key") for value in NO_KEYS),
    *((workflow(run="other"), "time_began", value, "timestamp") for value in NO_STAMPS),
    *(
        (workflow(run="other"), "time_completed", value, "timestamp")
        for value in NO_STAMPS
        if value not in (None, "")
    ),
    *((task(1), "run_id", value, "key") for value in NO_KEYS),
    *((task(1), "task_id", value, "key") for value in NO_IDS),
    *((attempt(0, 1), column, value, "key") for column in ("task_id", "try_id") for value in NO_IDS),
    *((attempt(0, 1), "run_id", value, "key") for value in NO_KEYS),
    *((status(0, "failed", 9), "task_id", value, "key") for value in NO_IDS),
    *((status(0, "failed", 9), "try_id", value, "key") for value in NO_IDS),
    *((status(0, "failed", 9), "run_id", value, "key") for value in NO_KEYS),
    *((status(0, "failed", 9), "timestamp", value, "timestamp") for value in NO_STAMPS),
    *(
        (sample(0, 9, user=99.0), column, value, "key")
        for column in ("task_id", "try_id")
        for value in NO_IDS
    ),
    *((sample(0, 9, user=99.0), "run_id", value, "key") for value in NO_KEYS),
    *((sample(0, 9, user=99.0), "timestamp", value, "timestamp") for value in NO_STAMPS),
    *(
        (sample(0, 9, user=99.0), column, value, "number")
        for column in RESOURCE.columns
        if column.startswith("psutil")
        for value in NO_NUMBERS
    ),
    *((block("0", "FAILED", 9), "run_id", value, "key") for value in NO_KEYS),
    *((block("0", "FAILED", 9), "block_id", value, "key") for value in (None, "")),
    *((block("0", "FAILED", 9), "timestamp", value, "timestamp") for value in NO_STAMPS),
    *((node("m1", 9, active=False), "run_id", value, "key") for value in NO_KEYS),
    *((node("m1", 9, active=False), "uid", value, "key") for value in (None, "")),
    *((node("m1", 9, active=False), "timestamp", value, "timestamp") for value in NO_STAMPS),
    *(
        (node("m1", 9, active=False), "last_heartbeat", value, "timestamp")
        for value in NO_STAMPS
        if value is not None
    ),
    *(
        (node("m1", 9, active=False), column, value, "number")
        for column in ("cpu_count", "total_memory", "active", "worker_count")
        for value in NO_NUMBERS
    ),
]


@pytest.mark.parametrize("where", ["before", "after", "three of them", "in a later poll"])
def test_a_row_that_cannot_be_used_is_counted_logged_once_and_changes_nothing(
    folder: Path, log: Log, where: str
) -> None:
    good = write(folder / "good.db", GOOD)
    said = Counter((row.table.name, reason) for row, _, _, reason in BAD)
    bad = [changed(row, **{column: value}) for row, column, value, _ in BAD]
    path = folder / "a.db"
    if where == "in a later poll":
        watched = SourceHarness(write(path, GOOD)).poll()
        insert(path, bad)
    else:
        watched = SourceHarness(
            write(path, {"before": bad + GOOD, "after": GOOD + bad}.get(where, bad + GOOD + bad * 2))
        )
    assert watched.wrong(good) == []
    times = 3 if where == "three of them" else 1
    assert watched.rejected() == {f"{table} {reason}": times * n for (table, reason), n in said.items()}
    assert watched.up()
    lines = log.new()
    assert len(lines) == len(said)
    assert all(
        line.startswith("warning row skipped; more of the kind are only counted source=s table=")
        for line in lines
    )


def named(row: Told, column: str, value: Any) -> str:
    """What to call a case. Without a backslash, of which pytest makes two when it collects again, as for mutmut."""
    return f"{row.table.name}-{column}-{value!r:.20}".replace("\\", "")


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: named(*bad[:3]))
def test_each_row_that_cannot_be_used_is_counted_for_its_reason(bad: tuple[Told, str, Any, str]) -> None:
    row, column, value, reason = bad
    rows = [*GOOD, changed(row, **{column: value})]
    for polls in (1, 2):  # the first read of many rows has ways of its own
        with in_memory() as folder:
            watched = watched_in_polls(folder / "a.db", rows, polls)
            assert watched.errors() == {}
            assert watched.rejected() == {f"{row.table.name} {reason}": 1}


def test_a_workflow_row_that_cannot_be_used_is_counted_once_however_often_it_is_read(folder: Path) -> None:
    path = write(folder / "a.db", [*GOOD, changed(workflow("other"), time_began="?"), task(0, run="other")])
    watched = SourceHarness(path).poll()
    for at in range(5):
        insert(path, [status(at, "pending", 1)])
        watched.poll()
    assert watched.rejected() == {"workflow timestamp": 1}
    execute(path, "UPDATE workflow SET time_completed = 'never' WHERE run_id = 'run-1'")
    watched.poll(3)
    assert watched.rejected() == {"workflow timestamp": 2}
    execute(path, f"UPDATE workflow SET time_completed = '{stamp(99)}' WHERE run_id = 'run-1'")
    watched.poll()
    assert 'parsl_workflow_end_timestamp_seconds{source="s",run_id="run-1"}' in watched.page()


OF_NODES = [one for one in BAD if one[0].table is NODE]


@pytest.mark.parametrize("bad", OF_NODES, ids=lambda bad: f"{bad[1]}-{bad[2]!r:.20}")
def test_a_row_of_a_manager_that_cannot_be_used_hides_none_that_can(bad: tuple[Told, str, Any, str]) -> None:
    """Of many rows of a manager only the last counts: that must be the last that can be used."""
    row, column, value, reason = bad
    spoilt, good = changed(row, **{column: value}), [workflow(), node("m1", 2), node("m1", 3, workers=7)]
    orders = [[*good, spoilt], [good[0], spoilt, *good[1:]], [good[0], good[1], spoilt, good[2]]]
    if value == NO_DATE:  # looks like a time: found only where it counts
        del orders[1:]
    for rows in orders:
        with in_memory() as folder:
            watched = watched_in_polls(folder / "a.db", rows, 1)
            assert watched.rejected() == {f"node {reason}": 1}
            assert watched.wrong(write(folder / "good.db", good)) == []


def test_ids_far_beyond_the_others_cost_no_memory_for_those_between(folder: Path) -> None:
    story = [workflow()]
    for task_id in (0, 1, 70_000, 200_000, 1_000_000, 20_000_000, 60_000_000, 2**40, 2**63 - 1):
        story += [task(task_id), attempt(task_id), *lifecycle(task_id, ("pending", 0), ("exec_done", 1))]
    watched = SourceHarness(write(folder / "a.db", story))
    tracemalloc.start()
    assert watched.wrong() == []
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_a_task_far_beyond_the_others_stays_one_task_when_they_come_near(folder: Path) -> None:
    far = 70_000
    story = [
        workflow(),
        task(0),
        sample(0, 1, user=1.0),
        status(0, "pending", 0),
        status(far, "pending", 0),
        task(far),
    ]
    for task_id in range(1, 9):
        story += [
            task(task_id * 9_000),
            attempt(task_id * 9_000),
            status(task_id * 9_000, "pending", task_id),
        ]
    story += [status(i, "pending", 10) for i in range(2_000)]
    story += [
        attempt(far),
        *lifecycle(far, ("launched", 1), ("running", 2), ("running_ended", 3), ("exec_done", 4)),
    ]
    assert SourceHarness(write(folder / "a.db", story)).wrong() == []


@pytest.mark.parametrize("written", ["0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.000000"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Chicago", "UTC"])
def test_a_time_beyond_the_calendar_of_the_exporters_own_zone_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, written: str, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        stamps = Stamps(None)
        with suppress(ValueError):
            assert stamps[written[:19]] > 0
        with suppress(ValueError):
            assert stamps.read(written) > 0
    finally:
        monkeypatch.undo()
        time.tzset()


HUGE = "x" * 3_000_000
GOOD_LATER = [
    workflow(run="run-2"),
    task(1, "add"),
    attempt(1, block="1", host="node1"),
    *lifecycle(1, ("pending", 3), ("launched", 4)),
    sample(1, 4, user=1.0),
    block("1", "PENDING", 5),
    node("m2", 6),
]


@pytest.mark.parametrize(
    "row",
    [
        changed(workflow(run="other"), workflow_name=HUGE),
        changed(task(7), task_func_name=HUGE),
        changed(attempt(0, 1), task_fail_history=HUGE),
        changed(status(0, "failed", 9), task_status_name=HUGE),
        changed(status(0, "failed", 9), timestamp=HUGE.encode()),
        changed(sample(0, 9), psutil_process_time_user=HUGE),
        changed(block("0", "FAILED", 9), job_id=HUGE),
        changed(node("m1", 9), hostname=HUGE),
    ],
    ids=lambda row: row.table.name,
)
def test_a_row_that_holds_too_much_is_counted_and_costs_nothing(folder: Path, row: Told) -> None:
    expected = SourceHarness(write(folder / "good.db", [*GOOD, *GOOD_LATER])).rest().run_lines()
    at_first = SourceHarness(write(folder / "first.db", [*GOOD, row, *GOOD_LATER]))
    later = SourceHarness(write(folder / "later.db", GOOD)).poll()
    tracemalloc.start()
    insert(later.path, [row])
    later.poll()
    insert(later.path, GOOD_LATER)
    for watched in (at_first, later):
        assert watched.rest().run_lines() == expected
        assert watched.rejected() == {f"{row.table.name} size": 1}
        assert watched.own("source_up") == 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * len(HUGE)


def test_a_long_text_among_numbers_costs_no_more_than_itself(folder: Path) -> None:
    ones = dict.fromkeys(SAMPLED, 1.0)
    samples = [sample(0, i, 0, RUN, **ones) for i in range(2_000)]
    odd = changed(sample(0, 2_000, 0, RUN, **ones), psutil_process_time_user="x" * 40_000)
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), *samples, odd])
    tracemalloc.start()
    watched = SourceHarness(path).poll()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert watched.rejected() == {"resource number": 1}
    assert most < 20_000_000
