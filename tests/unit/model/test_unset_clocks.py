"""Rows of hosts whose clocks were never set: the first moment of 1970 is a time like any other."""

from __future__ import annotations

from datetime import datetime

import pytest
from one_task import CLOSE_AFTER, at_rest, late
from support.model_harness import ModelHarness, Options, oracle_of, told
from support.oracle import differences
from support.rows import (
    BEGAN,
    Told,
    as_rows,
    attempt,
    block,
    lifecycle,
    node,
    sample,
    status,
    task,
    workflow,
)
from support.source_harness import NOT_HISTOGRAMS

TRIED = [task(0), attempt(0, block="0", host="node1"), block("0", "PENDING", 0), block("0", "RUNNING", 0)]
SAMPLED = [
    sample(0, 0, user=1.0, system=0.5, resident=10.0, virtual=20.0, children=1),
    sample(0, 3, user=3.0, system=0.5, resident=5.0, virtual=30.0, children=1),
]
STORIES = {
    "waits": [workflow(), *TRIED, *lifecycle(0, ("pending", 0), ("launched", 0))],
    "runs": [workflow(), *TRIED, *lifecycle(0, ("pending", 0), ("launched", 0), ("running", 0)), *SAMPLED],
    "runs and was sampled once": [workflow(), *TRIED, *lifecycle(0, ("running", 0)), *SAMPLED[:1]],
    "waits for one that runs": [
        workflow(),
        *TRIED,
        *lifecycle(0, ("running", 0)),
        *(node("m", 0, workers=1) for _ in range(2)),
        task(1),
        attempt(1),
        *lifecycle(1, ("pending", 0), ("launched", 0)),
    ],
    "was sampled": [workflow(), *TRIED, *SAMPLED[:1]],
    "ran": [
        workflow(),
        *TRIED,
        *lifecycle(0, ("pending", 0), ("launched", 0), ("running", 0), ("running_ended", 0)),
        *SAMPLED,
        node("m", 0),
        node("m", 0, active=False),
    ],
    "joins": [workflow(), *TRIED, *lifecycle(0, ("pending", 0), ("joining", 0))],
    **{
        state: [workflow(completed=0), *TRIED, *lifecycle(0, ("pending", 0), ("running", 0), (state, 0))]
        for state in ("exec_done", "memo_done", "failed", "dep_fail", "fail_retryable")
    },
    "fails again": [
        workflow(),
        *TRIED,
        attempt(0, 1, host="node2"),
        *lifecycle(0, ("running", 0), ("fail_retryable", 0)),
        *lifecycle(0, ("pending", 0), ("failed", 0), try_id=1),
    ],
    "odd": [workflow(), *TRIED, status(0, "parked", 0)],
    "odd and done": [workflow(), *TRIED, status(0, "parked", 0), *lifecycle(0, ("exec_done", 0))],
    "without names": [workflow(completed=0), status(0, "running", 0), status(0, "exec_done", 0), *SAMPLED],
}


NEWEST = {"parsl_workflow_last_event_timestamp_seconds", "parsl_block_last_activity_timestamp_seconds"}
"""Families that are not there while nothing newer than that moment has come."""


def in_1970(row: Told) -> Told:
    """The row as a clock tells it that began when it was switched on."""
    first = BEGAN.replace(tzinfo=None) - datetime(1970, 1, 1)

    def moved(column: str, value: object) -> object:
        if value is None or column not in STAMPS:
            return value
        return f"{datetime.fromisoformat(str(value)) - first:%Y-%m-%d %H:%M:%S.%f}"

    return row._replace(values={column: moved(column, value) for column, value in row.values.items()})


STAMPS = frozenset({"timestamp", "last_heartbeat", "time_began", "time_completed"})


@pytest.mark.parametrize("first", [False, True], ids=["polled", "in a first read"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_what_is_shown_equals_sql(story: list[Told], first: bool) -> None:
    story = [in_1970(row) for row in story]
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(as_rows(story), first=first)
    reading.series()
    truth = oracle_of(story)
    assert differences(truth, at_rest(reading).series(), families=truth.keys() - NEWEST) == []


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_so_does_what_a_late_row_brings(story: list[Told]) -> None:
    *story, last = (in_1970(row) for row in (*story, status(0, "launched", 0)))
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(as_rows(story))
    reading.series()
    at_rest(reading).series()
    series = reading.poll(late(last)).series()
    assert differences(oracle_of([*story, last]), series, families={*NOT_HISTOGRAMS} - NEWEST) == []


@pytest.mark.parametrize(
    ("rows", "offset"),
    [
        pytest.param(
            (("launched", 1_800), ("running", 0), ("running_ended", 0), ("exec_done", 3_600)),
            -3_600,
            id="behind",
        ),
        pytest.param(
            (("launched", 0), ("running", 0), ("running_ended", 900), ("exec_done", 0)), 900, id="ahead"
        ),
    ],
)
def test_a_host_whose_zone_is_another_is_found(rows: tuple[tuple[str, float], ...], offset: float) -> None:
    reading = told([in_1970(row) for row in [workflow(), *TRIED, *lifecycle(0, *rows)]])
    assert [(found.host, found.us / 1e6) for found, _ in reading.runs.offsets()] == [("node1", offset)]


@pytest.mark.parametrize("row", [status(0, "running", 0), sample(0, 0, user=1.0)], ids=["running", "sampled"])
def test_a_try_of_which_a_worker_told_is_read_again_until_it_has_its_host(row: Told) -> None:
    reading = told([in_1970(one) for one in (task(0), attempt(0), row)])
    assert [key[1:] for key in reading.runs.incomplete_tries()] == [(0, 0)]
