"""Rows that nobody should have written: the usable ones are shown, each other one is counted, none ends a poll."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cases import cases
from hypothesis import given
from hypothesis import strategies as st
from telling import (
    RUN,
    SAMPLED,
    Told,
    attempt,
    block,
    create,
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
from watched import Log, Watched, execute, in_memory

from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW
from parsl_exporter.model.timestamps import Stamps

GOOD = [
    workflow(),
    task(0, "add"),
    attempt(0, block="0", host="node1"),
    *lifecycle(0, ("pending", 0), ("launched", 1), ("running", 2), ("running_ended", 8), ("exec_done", 9)),
    sample(0, 3, user=1.0, system=0.5, resident=1000.0, virtual=2000.0, children=0, read=1, written=2),
    sample(0, 7, user=2.5, system=0.5, resident=3000.0, virtual=4000.0, children=1, read=5, written=9),
    block("0", "PENDING", 0),
    block("0", "RUNNING", 1),
    node("m1", 2),
]


def changed(row: Told, **values: Any) -> Told:
    return row._replace(values={**row.values, **values})


def text_of_bytes(database: Path, table: str, column: str, raw: bytes) -> None:
    """Write bytes as text that is no UTF-8."""
    execute(database, f"UPDATE \"{table}\" SET {column} = CAST(x'{raw.hex()}' AS TEXT)")


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
        watched = Watched(write(path, GOOD)).poll()
        insert(path, bad)
    else:
        watched = Watched(
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


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad[0].table.name}-{bad[1]}-{bad[2]!r:.20}")
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
    watched = Watched(path).poll()
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
    watched = Watched(write(folder / "a.db", story))
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
    assert Watched(write(folder / "a.db", story)).wrong() == []


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
    expected = Watched(write(folder / "good.db", [*GOOD, *GOOD_LATER])).rest().run_lines()
    at_first = Watched(write(folder / "first.db", [*GOOD, row, *GOOD_LATER]))
    later = Watched(write(folder / "later.db", GOOD)).poll()
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
    samples = [sample(0, i, **ones) for i in range(2_000)]
    odd = changed(sample(0, 2_000, **ones), psutil_process_time_user="x" * 40_000)
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), *samples, odd])
    tracemalloc.start()
    watched = Watched(path).poll()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert watched.rejected() == {"resource number": 1}
    assert most < 20_000_000


# --- odd, and usable ----------------------------------------------------------------------------------------


def test_null_where_a_number_belongs_is_a_sample_that_was_not_taken(folder: Path) -> None:
    nothing = dict.fromkeys(
        (c for c in NODE.columns if c in ("cpu_count", "total_memory", "worker_count")), None
    )
    watched = Watched(write(folder / "a.db", [*GOOD, sample(0, 6), changed(node("m2", 2), **nothing)]))
    assert watched.poll().rejected() == {}
    assert 'parsl_manager_workers{source="s",run_id="run-1",manager="m2"' in watched.page()


def test_unknown_states_are_shown_as_they_are_spelt(folder: Path) -> None:
    story = [
        *GOOD,
        task(1),
        attempt(1),
        status(1, "pending", 0),
        status(1, "retry", 1),
        block("1", "ZOMBIE", 1),
    ]
    watched = Watched(write(folder / "a.db", [*story, task(2), attempt(2), status(2, "Pending", 0)]))
    assert watched.wrong() == []
    assert 'app="add",executor="htex",state="retry"} 1' in watched.page()
    assert 'state="ZOMBIE"} 1' in watched.page()
    assert watched.rejected() == {}


def test_orphans_are_unknown(folder: Path) -> None:
    story = [workflow(completed=20), status(5, "exec_done", 3), sample(6, 3, user=1.0), sample(6, 4, user=2.0),
             attempt(7, host="h"), task(8, "alone"), status(7, "running", 2, run="nobody's")]  # fmt: skip
    watched = Watched(write(folder / "a.db", story))
    assert watched.wrong() == []
    assert watched.rejected() == {}


NAMES = ["line\nbreak", 'quo"te', "back\\slash", "nul\0nul", "x" * 10_000, "x" * 9_999 + "y", "\r\u2028\x85\x1b[31m",
         "\N{SNOWMAN}", "{le=\"1\"}", " ", "\ufffe", "e\u0301", "=cmd", "<script>", 7]  # fmt: skip


def test_any_name_is_a_label_value_of_its_own(folder: Path) -> None:
    story = [workflow(workflow_name=NAMES[0], host=NAMES[1], user=NAMES[2], rundir=NAMES[4])]
    for i, name in enumerate(NAMES):
        text: Any = name
        story += [
            task(i, text),
            attempt(i, executor=text, block=text, host=text, history=text),
            *lifecycle(i, ("pending", 0), ("running", 1), (text, 2)),
            block(text, "RUNNING", 1, executor=text, job=text),
            changed(node(text, 2, host=text, block_id=text), python_v=text),
        ]
    watched = Watched(write(folder / "a.db", story))
    assert watched.wrong() == []
    assert watched.rejected() == {}
    assert "x" * 201 not in watched.page()


@pytest.mark.parametrize("raw", [b"\xff", b"a\xed\xa0\x80b", b"\xc3", b"ok\x00\xfe"])
def test_names_that_are_no_utf_8_are_shown_escaped(folder: Path, raw: bytes) -> None:
    path = write(folder / "a.db", GOOD)
    for table, column in (
        ("task", "task_func_name"),
        ("try", "hostname"),
        ("block", "executor_label"),
        ("node", "uid"),
    ):
        text_of_bytes(path, table, column, raw)
    watched = Watched(path)
    assert watched.wrong() == []
    assert f'app="{raw.decode("utf-8", "backslashreplace")}"'.replace("\\", "\\\\") in watched.page()
    assert watched.rejected() == {}


def test_a_run_whose_id_is_no_utf8_stands_beside_another(folder: Path) -> None:
    """SQLite does not find a text by what it is shown as."""
    path = write(folder / "a.db", GOOD)
    for table in TABLES:
        text_of_bytes(path, table.name, "run_id", b"r\xf6n")
    insert(path, GOOD)
    watched = Watched(path)
    assert watched.wrong() == []
    assert 'run_id="r\\\\xf6n"' in watched.page()
    assert f'run_id="{RUN}"' in watched.page()
    assert watched.rejected() == {}


@pytest.mark.parametrize(
    "written", ["2026-11-01 01:30:00", "2026-03-08 02:30:00", "2026-11-01 01:59:59.999999"]
)
def test_stamps_of_an_hour_that_comes_twice_or_never_are_read_as_the_first(
    folder: Path, written: str
) -> None:
    before, after = "2026-03-07 12:00:00.000000", "2026-11-02 12:00:00.000000"
    story = [
        changed(workflow(), time_began=before),
        task(0),
        attempt(0),
        changed(status(0, "pending", 0), timestamp=before),
        changed(status(0, "running", 0), timestamp=written),
        changed(status(0, "exec_done", 0), timestamp=after),
    ]
    watched = Watched(write(folder / "a.db", story), zone="America/Chicago")
    assert watched.wrong() == []
    assert watched.rejected() == {}


def test_any_amount_of_memory_that_is_finite_adds_up_to_a_number(folder: Path) -> None:
    story = [workflow(completed=20)]
    for i in range(20):
        story += [
            task(i),
            attempt(i, host="h"),
            sample(i, 1, user=-9e299, resident=9e299),
            sample(i, 2, user=9e299),
        ]
        story += lifecycle(i, ("pending", 0), ("running", 1), ("exec_done", 2))
    Watched(write(folder / "a.db", story)).rest().page()  # which refuses NaN and infinity


# --- any row ------------------------------------------------------------------------------------------------

POOL = [
    *GOOD,
    *(changed(row, run_id="run-2") for row in GOOD),
    *(
        status(1, state, 5, try_id)
        for state in ("pending", "running", "fail_retryable", "joining")
        for try_id in (0, 1)
    ),
    *(attempt(1, try_id, history="ValueError('x')") for try_id in (0, 1)),
    workflow(completed=60),
    task(1, "other"),
    sample(1, 6, 1),
    sample(1, 6, 1, user=5.0, system=1),
    block("0", "FAILED", 9),
    node("m1", 9, active=False),
]
ODD = st.sampled_from(
    [None, "", 0, 1, -1, 2**63 - 1, -(2**63), 0.5, 1e308, math.inf, stamp(3), "running", b"", "run-1"]
)
ANY = st.one_of(
    ODD,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False).filter(
        lambda number: number % 1 != 0
    ),  # SQLite keeps 1.0 in Parsl's columns as 1
    st.text(max_size=20),
    st.binary(max_size=20),
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)).map(str),
)


def spoilt(row: Told, changes: list[tuple[int, Any]]) -> Told:
    columns = row.table.columns
    return changed(row, **{columns[place % len(columns)]: value for place, value in changes})


ROWS = st.lists(
    st.builds(spoilt, st.sampled_from(POOL), st.lists(st.tuples(st.integers(0, 12), ANY), max_size=2)),
    min_size=1,
    max_size=12,
)


def is_stamp(value: Any) -> bool:
    """Say whether a value is an ISO time after 1970: the zone of these tests is UTC."""
    if not isinstance(value, str):
        return False
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp() >= 0
    except (ValueError, OverflowError):
        return False


def is_id(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and abs(value) < 1e300)


NUMBERS = {
    RESOURCE: [column for column in RESOURCE.columns if column.startswith("psutil")],
    NODE: ["cpu_count", "total_memory", "active", "worker_count"],
}


def usable(row: Told) -> bool:
    """What a row needs to be of use."""
    table, get = row.table, row.values.get
    keyed = isinstance(get("run_id"), str) and get("run_id") != ""
    if table in (TASK, TRY, STATUS, RESOURCE):
        keyed = keyed and is_id(get("task_id")) and (table is TASK or is_id(get("try_id")))
    if table is BLOCK:
        keyed = keyed and get("block_id") not in (None, "")
    if table is NODE:
        keyed = keyed and get("uid") not in (None, "")
    timed = table in (TASK, TRY) or is_stamp(get("time_began" if table is WORKFLOW else "timestamp"))
    ended = get("time_completed") in (None, "") or is_stamp(get("time_completed"))
    beating = get("last_heartbeat") is None or is_stamp(get("last_heartbeat"))
    return keyed and timed and ended and beating and all(is_number(get(c)) for c in NUMBERS.get(table, ()))


def emptied() -> bytes:
    with in_memory() as folder:
        create(folder / "a.db")
        return (folder / "a.db").read_bytes()


NO_ROWS = emptied()


def watched_in_polls(path: Path, rows: list[Told], polls: int) -> Watched:
    """Watch rows that come in so many parts."""
    path.write_bytes(NO_ROWS)
    watched = Watched(path)
    for i in range(polls):
        insert(path, rows[len(rows) * i // polls : len(rows) * (i + 1) // polls])
        watched.poll()
    return watched


@cases(1_000)
@given(ROWS, st.integers(1, 2))
def test_whatever_the_rows_hold_the_usable_are_shown_and_the_others_counted(
    rows: list[Told], polls: int
) -> None:
    with in_memory() as folder:
        page = watched_in_polls(folder / "a.db", rows, polls).page()
    assert 'parsl_exporter_source_up{source="s"} 1\n' in page
    for table in TABLES:
        of_table = [row for row in rows if row.table is table]
        assert summed(page, f'parsl_exporter_rows_read_total{{source="s",table="{table.name}"}}') == len(
            of_table
        )
        rejected = summed(page, f'parsl_exporter_rows_rejected_total{{source="s",table="{table.name}",')
        assert rejected == sum(not usable(row) for row in of_table), table.name
    told = [row for row in rows if row.table is STATUS and usable(row)]
    assert summed(page, "parsl_tasks{") == len(
        {(row.values["run_id"], row.values["task_id"]) for row in told}
    )


def summed(page: str, prefix: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in page.split("\n") if line.startswith(prefix))


PLAIN = st.one_of(
    st.none(), st.just(-7), st.text(max_size=9), st.sampled_from([stamp(3), stamp(1e9), "running"])
)
PLAIN_ROWS = st.lists(
    st.builds(spoilt, st.sampled_from(POOL), st.lists(st.tuples(st.integers(0, 12), PLAIN), max_size=1)),
    min_size=1,
    max_size=30,
)


def distinct(rows: list[Told]) -> list[Told]:
    """The rows without those that Parsl's primary keys would have refused."""
    kept: dict[Any, Told] = {}
    for place, row in enumerate(rows):
        key = (
            (place,)
            if row.table is NODE
            else tuple(row.values.get(c) for c in row.table.columns[: row.table.identity])
        )
        kept.setdefault((row.table.name, key), row)
    return list(kept.values())


def modelled(row: Told) -> bool:
    """Say whether the oracle knows what to make of what is NULL, empty or no text in it, where it is usable."""
    if row.table in (BLOCK, NODE):
        return not {None, -7} & set(row.values.values())
    if row.table is TRY:
        return row.values["task_executor"] not in (None, "")
    if row.table is STATUS:
        return isinstance(row.values["task_status_name"], str) and row.values["task_status_name"] != ""
    return row.values.get("time_completed") != ""


@cases(100)
@given(PLAIN_ROWS)
def test_the_page_of_any_rows_is_that_of_the_usable_ones(rows: list[Told]) -> None:
    rows = [row for row in distinct(rows) if modelled(row)]
    with in_memory() as folder:
        good = write(folder / "good.db", [row for row in rows if usable(row)])
        path = write(folder / "a.db", rows)
        assert Watched(path).wrong(good) == []
