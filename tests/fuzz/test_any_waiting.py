"""What tasks wait for, in runs of any kind: each task under one cause, in any order, and after a restart."""

from __future__ import annotations

from collections.abc import Iterable

from any_stories import with_blocks_in_order
from hypothesis import given
from hypothesis import strategies as st
from support.cases import cases
from support.model_harness import ModelHarness, Options, oracle_of
from support.oracle import Series, differences
from support.rows import Told, as_rows, attempt, block, lifecycle, node, sample, status, task, workflow

COUNT = "parsl_tasks_waiting"
OLDEST = "parsl_tasks_waiting_oldest_timestamp_seconds"
EXECUTORS = ("htex", "other", "threads")
RAN = [
    task(90),
    attempt(90, 0, executor="htex"),
    *lifecycle(
        90, *((state, at) for at, state in enumerate(("pending", "launched", "running", "exec_done")))
    ),
]
"""A task that is done, and told of its start."""


@st.composite
def tasks(draw: st.DrawFn, task_id: int) -> list[Told]:
    """A task that waits more often than not."""
    executor = draw(st.sampled_from(["htex", *EXECUTORS, None]))
    on = draw(st.sampled_from([{}, {"block": "0", "host": "node1"}]))
    states = ("pending", "launched", "running", "running_ended", "exec_done")
    reached = draw(st.sampled_from([1, 2, 2, 2, 3, 5]))
    story = [task(task_id, draw(st.sampled_from(["add", "mul"])))] if draw(st.integers(0, 9)) else []
    if draw(st.integers(0, 9)):
        story.append(attempt(task_id, 0, executor=executor, **on))
    told_starts = draw(st.integers(0, 3))
    for state in states[:reached]:
        if told_starts or not state.startswith("running"):
            story.append(status(task_id, state, draw(st.integers(0, 5))))
    if reached == 3 and draw(st.booleans()):
        story.append(sample(task_id, 3, user=1.0))
    return story


@st.composite
def runs(draw: st.DrawFn) -> list[Told]:
    """One run that is not over, every other one with a worker pool that works."""
    story = [workflow()]
    for task_id in range(draw(st.integers(1, 8))):
        story += draw(tasks(task_id))
    if draw(st.booleans()):
        story += [*RAN, block("0", "RUNNING", 0), node("m0", 1, workers=draw(st.integers(1, 3)))]
    states = st.sampled_from(["PENDING", "RUNNING", "RUNNING", "COMPLETED", "HELD"])
    for executor in draw(st.lists(st.sampled_from(EXECUTORS), max_size=3)):
        story.append(block(draw(st.sampled_from("01")), draw(states), 0, executor))
    for uid in draw(st.lists(st.sampled_from(["m1", "m2"]), max_size=3)):
        block_id = {"m1": "0", "m2": "1"}[uid]
        story.append(
            node(uid, 1, block_id=block_id, active=draw(st.booleans()), workers=draw(st.integers(0, 3)))
        )
    return story


def per_executor(series: Series, family: str, states: Iterable[str] | None = None) -> dict[str, float]:
    """Sums of a family by executor, over some states where these are given."""
    sums: dict[str, float] = {}
    for key, value in series.get(family, {}).items():
        labels = dict(key)
        assert isinstance(value, float)
        if states is None or labels["state"] in states:
            sums[labels["executor"]] = sums.get(labels["executor"], 0.0) + value
    return sums


@cases(200)
@given(runs(), st.data())
def test_each_task_is_under_one_cause_in_any_order_of_rows_and_after_a_restart(
    story: list[Told], data: st.DataObject
) -> None:
    numbered = as_rows(story)
    rows = with_blocks_in_order(data.draw(st.permutations(numbered)), numbered)
    cut = data.draw(st.integers(0, len(rows)))
    reading = ModelHarness(Options(close_after=30.0))
    for part in (rows[:cut], rows[cut:]):
        series = reading.poll(part).series()
        assert per_executor(series, COUNT) == per_executor(series, "parsl_tasks", ("pending", "launched"))
    truth = oracle_of(story)
    restarted = ModelHarness(Options(close_after=30.0)).poll(numbered, first=True).series()
    for found in (series, restarted):
        assert differences(truth, found, families={COUNT, OLDEST}) == []
