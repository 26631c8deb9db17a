"""Clocks of other hosts and other zones: what a stamp means is told by who wrote it, and after what.

The stories here are lived by writers whose moments are known; their clocks show local time, as Parsl stores it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from any_stories import Numbered, quick, without_end
from hypothesis import given
from hypothesis import strategies as st
from support.model_harness import ModelHarness, Options, oracle_of
from support.oracle import Series, differences
from support.oracle.page import LAST_ROW
from support.rows import BEGAN, Told, as_rows, attempt, block, node, sample, status, task, workflow, write
from support.source_harness import NOT_HISTOGRAMS, SourceHarness, in_memory

from parsl_exporter.base.tables import RESOURCE, STATUS, TABLES, TRY

PARIS, UTC = ZoneInfo("Europe/Paris"), timezone.utc
BACK = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
"""When clocks in Paris go back from 3 to 2 o'clock."""
WINTER = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
MINUTE, HOUR = 60.0, 3600.0
LAST_EVENT = "parsl_workflow_last_event_timestamp_seconds"
ACTIVITY = "parsl_block_last_activity_timestamp_seconds"
RESIDENT = "parsl_task_memory_resident_bytes"
STAMPS = ("time_began", "time_completed", "timestamp", "last_heartbeat")


def lived(told: Told, zone: ZoneInfo | timezone, began: datetime = BACK) -> Told:
    """The row as a clock of that zone stamps it; its times are seconds after `began`."""
    values = dict(told.values)
    for column in STAMPS:
        if values.get(column) is not None:
            after = datetime.fromisoformat(values[column]).replace(tzinfo=UTC) - BEGAN
            values[column] = (began + after).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S.%f")
    return Told(told.table, values)


@st.composite
def stories(draw: st.DrawFn, *, workers: ZoneInfo | timezone = PARIS, until: int = 180) -> list[Told]:
    """A run across the change, row by row as it was inserted, each within minutes of its stamp.

    It begins before the clocks go back. Executor `threads` runs in the submit process.
    """
    minutes = st.integers(-until, until).map(lambda m: m * MINUTE + 0.25)
    rows: list[tuple[float, Told]] = []
    for task_id in range(draw(st.integers(1, 5))):
        executor = draw(st.sampled_from(["htex", "htex", "other", "threads"]))
        own = PARIS if executor == "threads" else workers
        host, home = ("submit", None) if executor == "threads" else (f"node-{executor}", "0")
        begin, end = sorted((draw(minutes), draw(minutes)))
        at = begin - 1
        rows.append((at, task(task_id)))
        if draw(st.integers(0, 7)):
            rows.append((at, attempt(task_id, executor=executor, block=home, host=host)))
        for i, state in enumerate(("pending", "launched")):
            rows.append((begin + i, lived(status(task_id, state, begin + i), PARIS)))
        rows.append((begin + 2, lived(status(task_id, "running", begin + 2), own)))
        steps = draw(st.integers(0, 6))
        for step in range(steps):
            when = begin + 3 + (end - begin) * step / steps
            rows.append((when, lived(sample(task_id, when, resident=1000.0 + step, user=float(step)), own)))
        if draw(st.booleans()):
            rows.append((end + 4, lived(status(task_id, "running_ended", end + 4), own)))
            rows.append((end + 5, lived(status(task_id, "exec_done", end + 5), PARIS)))
    for executor in draw(st.sets(st.sampled_from(["htex", "other"]))):
        for state in ("PENDING", "RUNNING"):
            when = draw(minutes)
            rows.append((when, lived(block("0", state, when, executor), PARIS)))
    for _ in range(draw(st.integers(0, 4))):
        when = draw(minutes)
        told = lived(node("m1", when, host="node-htex"), PARIS)
        beat = lived(node("m1", when - draw(st.integers(0, 1800)), host="node-htex"), PARIS)
        told.values["last_heartbeat"] = beat.values["timestamp"]
        rows.append((when, told))
    rows.sort(key=lambda row: row[0])
    # What was inserted may have been written a few minutes before what was inserted earlier.
    late = [(at + draw(st.integers(0, 10)) * MINUTE, told) for at, told in rows]
    late.sort(key=lambda row: row[0])
    story = [told for _, told in late]
    completed = late[-1][0] + draw(st.integers(-20, 20)) * MINUTE if draw(st.booleans()) else None
    return [lived(workflow(began=-until * MINUTE, completed=completed), PARIS), *story]


@st.composite
def polls_of(draw: st.DrawFn, story: Sequence[Told]) -> list[list[Numbered]]:
    """The rows in polls, the tables of each poll in any order, each table in its order of insertion.

    A try row comes with the poll of its rows at the latest, as Parsl commits it before its workers' rows.
    """
    numbered = as_rows(story)
    cuts = sorted(draw(st.sets(st.integers(0, len(numbered)), max_size=4)))
    polls = [numbered[a:b] for a, b in zip([0, *cuts], [*cuts, len(numbered)], strict=True)]
    moved = []
    for rows in polls:
        order = draw(st.permutations(TABLES))
        moved.append(sorted(rows, key=lambda row: order.index(row[0])))
    return _tries_in_time(moved)


def _tries_in_time(polls: list[list[Numbered]]) -> list[list[Numbered]]:
    """Each try row in the first poll that has a row of its try."""
    seen: dict[tuple[object, ...], int] = {}
    for i, rows in enumerate(polls):
        for table, row in rows:
            if table in (STATUS, RESOURCE):
                seen.setdefault(row[1:4], i)
    moved: list[list[Numbered]] = [[] for _ in polls]
    for i, rows in enumerate(polls):
        for table, row in rows:
            moved[min(i, seen.get(row[1:4], i)) if table is TRY else i].append((table, row))
    return moved


oracle = partial(oracle_of, zone="Europe/Paris")


@st.composite
def told_stories(
    draw: st.DrawFn, workers: ZoneInfo | timezone = PARIS, endless: bool = False
) -> tuple[list[Told], list[list[Numbered]]]:
    story = draw(stories(workers=workers))
    if endless:
        story = without_end(story)
    return story, draw(polls_of(story))


def options(workers: ZoneInfo | timezone | None = None, **more: float) -> Options:
    zones = () if workers is None else (("*", workers),)
    return Options(zone=PARIS, worker_zones=zones, close_after=30.0, **more)  # type: ignore[arg-type]


def polled(polls: Sequence[Sequence[Numbered]], with_options: Options) -> Series:
    reading = ModelHarness(with_options)
    for rows in polls:
        reading.poll(rows).series()
    reading.clock += 2 * 30.0
    return reading.poll().series()


@quick
@given(told_stories())
def test_across_the_hour_that_comes_twice_polls_change_nothing(
    told: tuple[list[Told], list[list[Numbered]]],
) -> None:
    story, polls = told
    assert differences(oracle(story), polled(polls, options())) == []


@quick
@given(told_stories(), st.booleans())
def test_across_it_a_first_read_says_the_same(
    told: tuple[list[Told], list[list[Numbered]]], settle: bool
) -> None:
    story, polls = told
    for by_tables in (False, True):
        reading = ModelHarness(options())
        for rows in polls:
            (reading.take_by_tables if by_tables else reading.take)(rows)
            if settle:
                reading.runs.settle_history()
        reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
        assert differences(oracle(story, now=reading.wall + 1e8), reading.poll().series()) == []


@quick
@given(told_stories(endless=True), st.integers(0, 4))
def test_across_it_a_restart_shows_what_would_have_been_shown(
    told: tuple[list[Told], list[list[Numbered]]], number: int
) -> None:
    _, polls = told
    reading = ModelHarness(options())
    reading.poll([row for rows in polls[:number] for row in rows], first=True).series()
    for rows in polls[number:]:
        reading.poll(rows).series()
    reading.clock += 2 * 30.0
    assert differences(polled(polls, options()), reading.poll().series(), families=NOT_HISTOGRAMS) == []


@quick
@given(told_stories(workers=UTC))
def test_workers_in_a_zone_of_their_own_are_read_in_it(
    told: tuple[list[Told], list[list[Numbered]]],
) -> None:
    """Executors without blocks keep the run's zone, also where that is told late."""
    story, polls = told
    assert differences(oracle(story, worker_zones={"*": "UTC"}), polled(polls, options(UTC))) == []


@quick
@given(stories(workers=UTC), st.sampled_from(["", "UTC"]))
def test_through_sqlite_and_all_of_a_source_too(story: list[Told], workers: str) -> None:
    with in_memory() as folder:
        watched = SourceHarness(
            write(folder / "monitoring.db", story),
            zone="Europe/Paris",
            worker_zones={"h*": workers} if workers else {},
        )
        assert watched.wrong() == []


@pytest.mark.parametrize(
    ("zone", "back"),
    [
        (PARIS, BACK),
        (ZoneInfo("America/Chicago"), datetime(2026, 11, 1, 7, 0, tzinfo=UTC)),
        (ZoneInfo("America/St_Johns"), datetime(2026, 11, 1, 4, 30, tzinfo=UTC)),
        (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 4, 4, 15, 0, tzinfo=UTC)),
        (ZoneInfo("Antarctica/Troll"), datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
    ],
    ids=str,
)
def test_a_writer_that_writes_on_is_read_at_the_moments_at_which_it_wrote(
    zone: ZoneInfo, back: datetime
) -> None:
    """Poll by poll, and by an exporter that begins at any of them."""
    moments = [minutes * MINUTE for minutes in range(-200, 200, 5)]
    story = [
        lived(workflow(began=moments[0]), zone, back),
        task(0),
        attempt(0, block="0", host="node1"),
        lived(status(0, "running", moments[0]), zone, back),
    ]
    samples = [lived(sample(0, at, resident=at + 1e6), zone, back) for at in moments]
    following = ModelHarness(Options(zone=zone))
    following.poll(as_rows(story))
    for i, at in enumerate(moments):
        following.poll(as_rows(samples)[i : i + 1])
        begun = ModelHarness(Options(zone=zone)).poll(as_rows([*story, *samples[: i + 1]]), first=True)
        for reading in (following, begun):
            for family in (LAST_EVENT, ACTIVITY):
                (line,) = reading.lines(family)
                assert float(line.rpartition(" ")[2]) == back.timestamp() + at
            assert reading.lines(RESIDENT) == [f'{{app="add",executor="htex"}} {at + 1e6:.0f}']


def test_a_run_ends_after_its_last_status_row_and_a_manager_beats_before_its_row() -> None:
    story = [
        lived(workflow(began=-2 * HOUR, completed=30 * MINUTE), PARIS),
        *(lived(status(0, "odd", at * MINUTE), PARIS) for at in (-100, -1, 10, 29)),
        *(lived(node("m1", at * MINUTE), PARIS) for at in (-100, -1, 10)),
    ]
    for rows in (as_rows(story), as_rows(story)[::-1][:4][::-1] + as_rows(story)[:4]):
        reading = ModelHarness(options()).poll(rows, first=True)
        for family in ("parsl_workflow_end_timestamp_seconds", LAST_EVENT, LAST_ROW):
            assert reading.lines(family) == [f" {BACK.timestamp() + 30 * MINUTE:.0f}"]
    (line,) = reading.lines("parsl_manager_last_heartbeat_timestamp_seconds")
    assert float(line.rpartition(" ")[2]) == BACK.timestamp() + 10 * MINUTE


def test_an_executor_whose_block_comes_late_has_its_run_read_again() -> None:
    launched = [
        lived(workflow(), PARIS, WINTER),
        task(0),
        attempt(0, host="node1"),
        lived(status(0, "running", 0), UTC, WINTER),
    ]
    reading = ModelHarness(options(UTC)).poll(as_rows(launched))
    (early,) = reading.lines("parsl_task_oldest_timestamp_seconds")
    assert float(early.rpartition(" ")[2]) == WINTER.timestamp() - HOUR
    reading.poll(as_rows([lived(block("0", "RUNNING", -MINUTE), PARIS, WINTER)]))
    (right,) = reading.lines("parsl_task_oldest_timestamp_seconds")
    assert float(right.rpartition(" ")[2]) == WINTER.timestamp()


def test_a_worker_row_waits_for_its_try_row_and_is_no_event_meanwhile() -> None:
    story = [
        lived(workflow(began=-HOUR), PARIS, WINTER),
        lived(block("0", "RUNNING", 0), PARIS, WINTER),
        task(0),
        lived(status(0, "launched", 1), PARIS, WINTER),
        lived(status(0, "running", 600), UTC, WINTER),
        lived(sample(0, 700), UTC, WINTER),
    ]
    reading = ModelHarness(options(UTC)).poll(as_rows(story))
    for _ in range(2):
        assert reading.poll().lines(LAST_EVENT) == [f" {WINTER.timestamp() + 1:.0f}"]
        assert reading.lines("parsl_tasks") == ['{app="add",executor="unknown",state="launched"} 1']
    reading.poll(as_rows([attempt(0, host="node1")]))
    assert reading.lines(LAST_EVENT) == [f" {WINTER.timestamp() + 700:.0f}"]
    assert reading.lines("parsl_tasks") == ['{app="add",executor="htex",state="running"} 1']


def test_a_run_whose_worker_rows_wait_for_ever_is_abandoned_all_the_same() -> None:
    story = [lived(workflow(), PARIS, WINTER), task(0), lived(status(0, "running", 600), UTC, WINTER)]
    reading = ModelHarness(options(UTC)._replace(abandon_after=100.0)).poll(as_rows(story))
    for _ in range(11):
        reading.clock += 10
        reading.poll()
    assert reading.lines("parsl_workflow_info") == []


def test_what_waits_when_its_run_is_over_counts_as_unknown() -> None:
    story = [
        lived(workflow(began=-HOUR, completed=HOUR), PARIS, WINTER),
        task(0),
        lived(status(0, "running", 600), UTC, WINTER),
    ]
    reading = ModelHarness(options(UTC)).poll(as_rows(story), first=True)
    assert reading.lines("parsl_tasks") == ['{app="add",executor="unknown",state="running"} 1']
    reading.clock += 60
    assert reading.poll().lines("parsl_task_transitions_total") == [
        '{app="add",executor="unknown",state="running"} 1'
    ]


def test_of_managers_rows_across_the_change_a_first_read_looks_at_each() -> None:
    """Else it reads of each manager the last row and the greatest stamp alone."""
    story = [lived(workflow(began=-HOUR), PARIS)]
    story += [lived(node("m1", at * MINUTE), PARIS) for at in (-1, 10, 30, 50)]
    with in_memory() as folder:
        series = SourceHarness(write(folder / "monitoring.db", story), zone="Europe/Paris").poll().series()
    for family in (LAST_EVENT, "parsl_manager_last_heartbeat_timestamp_seconds"):
        assert [*series[family].values()] == [BACK.timestamp() + 50 * MINUTE]
