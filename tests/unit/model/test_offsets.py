"""Hosts whose stamps speak against the zone that they are read in."""

from __future__ import annotations

import pytest
from support.model_harness import ModelHarness, Options
from support.rows import Told, as_rows, attempt, lifecycle, status, task, workflow

from parsl_exporter.model.offsets import Offset, Offsets, zone_name

HOUR = 3600.0
HOUR_US = 3_600_000_000


def tried(
    task_id: int, offset: float, *, ended: bool = True, wait: float = 27, executor: str = "htex"
) -> list[Told]:
    """A task on node1, whose clock is `offset` seconds ahead; it waits for `wait` seconds before it runs."""
    at = 10.0 * task_id
    rows = [
        task(task_id),
        attempt(task_id, executor=executor, host="node1", block="0"),
        *lifecycle(task_id, ("pending", at), ("launched", at + 1), ("running", at + wait + offset)),
    ]
    if ended:
        rows += lifecycle(task_id, ("running_ended", at + wait + 5 + offset), ("exec_done", at + wait + 5.5))
    return rows


def found(*stories: list[Told]) -> list[Offset]:
    """What rows in order, rows in reverse order, a first read, and one of many rows at once say, which is the same."""
    story = [workflow(), *(row for rows in stories for row in rows)]
    answers = []
    for rows in (as_rows(story), as_rows(story)[::-1]):
        reading = ModelHarness(Options(close_after=30.0)).poll(rows)
        answers.append([offset for offset, _ in reading.runs.offsets()])
        reading = ModelHarness(Options(close_after=-1e6))
        reading.take(rows)
        reading.runs.settle_history()
        reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
        answers.append([offset for offset, _ in reading.runs.offsets()])
        reading = ModelHarness(Options(close_after=-1e6))
        reading.take_by_tables(rows)
        reading.runs.finish_first_read(reading.clock, reading.wall, whole=True)
        answers.append([offset for offset, _ in reading.runs.offsets()])
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


@pytest.mark.parametrize("hours", [-10, -5.5, -1, -0.25, 0.25, 1, 5.75, 13])
def test_tries_that_end_after_their_final_row_or_begin_before_they_were_launched(hours: float) -> None:
    assert found(*(tried(i, hours * HOUR) for i in range(5))) == [
        Offset("htex", "node1", int(hours * HOUR_US))
    ]


def test_running_tries_tell_it_when_they_began_at_once() -> None:
    assert found(tried(0, -HOUR, ended=False), tried(1, -HOUR, ended=False)) == [
        Offset("htex", "node1", -HOUR_US)
    ]


def test_what_waited_long_in_the_queue_of_its_executor_tells_it_when_it_ends() -> None:
    assert found(tried(0, -HOUR, ended=False, wait=2_000)) == []
    assert found(tried(0, -HOUR, wait=2_000)) == [Offset("htex", "node1", -HOUR_US)]


@pytest.mark.parametrize(
    "stories",
    [
        pytest.param([tried(0, 0)], id="right"),
        pytest.param([tried(0, -2), tried(1, 3)], id="clocks differ by seconds"),
        pytest.param([tried(0, -HOUR), tried(1, 0)], id="one try is right"),
        pytest.param([tried(0, -HOUR), tried(1, -2 * HOUR)], id="they do not agree"),
        pytest.param([tried(0, -2_000)], id="a clock that is wrong by no quarter of an hour"),
        pytest.param([tried(0, -HOUR), tried(1, -2_000)], id="one is wrong by no quarter of an hour"),
        pytest.param([tried(0, HOUR, ended=False)], id="may have waited for so long"),
        pytest.param([[task(0), status(0, "running", -HOUR)]], id="of no try that is known"),
        pytest.param(
            [[task(0), attempt(0), *lifecycle(0, ("launched", 0), ("running", -HOUR))]],
            id="of no host that is known",
        ),
        pytest.param(
            [[task(0), attempt(0, host="node1"), *lifecycle(0, ("running", -HOUR), ("exec_done", 0))]],
            id="of no launch that is known",
        ),
    ],
)
def test_what_says_nothing_against_a_zone(stories: list[list[Told]]) -> None:
    assert found(*stories) == []


@pytest.mark.parametrize(
    ("begin", "found"),
    [(0, []), (-400, []), (-449, []), (-450, [Offset("htex", "node1", -HOUR_US)])],
)
def test_from_half_a_quarter_of_an_hour_before_its_launch_on_a_try_began_too_early(
    begin: int, found: list[Offset]
) -> None:
    """Only then does it tell anything that it ended long before its final row came."""
    offsets = Offsets()
    offsets.add("htex", "node1", begin * 1_000_000, -HOUR_US)
    assert offsets.found() == found


def test_executors_of_a_host_are_told_apart() -> None:
    assert found(tried(0, 0), tried(1, HOUR, executor="other")) == [Offset("other", "node1", HOUR_US)]


@pytest.mark.parametrize(
    ("hours", "name"),
    [
        (0, "UTC"),
        (1, "UTC+01:00"),
        (-5, "UTC-05:00"),
        (0.25, "UTC+00:15"),
        (5.75, "UTC+05:45"),
        (-3.5, "UTC-03:30"),
    ],
)
def test_a_zone_is_named_by_how_far_it_is_ahead(hours: float, name: str) -> None:
    assert zone_name(int(hours * HOUR_US)) == name


def test_a_host_and_an_executor_may_be_called_unknown() -> None:
    story = tried(0, -HOUR)
    story[1] = attempt(0, executor=None, host="unknown")
    assert found(story) == [Offset("unknown", "unknown", -HOUR_US)]
