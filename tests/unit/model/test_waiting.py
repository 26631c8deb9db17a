"""What tasks wait for: one test for each sentence of what the causes mean."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from support.model_harness import ModelHarness, Options, oracle_of, told
from support.oracle import Series, differences
from support.rows import (
    EPOCH,
    RUN,
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

from parsl_exporter.model.waiting import CAUSES

COUNT = "parsl_tasks_waiting"
OLDEST = "parsl_tasks_waiting_oldest_timestamp_seconds"


class Wait(NamedTuple):
    """How many tasks wait, and since when the longest-waiting does, in seconds after the story's begin."""

    count: int  # type: ignore[assignment]  # a tuple's own, which nobody asks for
    since: float


def by_cause(series: Series) -> dict[str, dict[str, Wait]]:
    """What is waited for, by executor and cause; a cause that no task has is left out."""
    found: dict[str, dict[str, Wait]] = {}
    for key, count in series.get(COUNT, {}).items():
        labels = dict(key)
        of_executor = found.setdefault(labels["executor"], {})
        since = series.get(OLDEST, {}).get(key)
        assert isinstance(count, float) and not isinstance(since, tuple)
        assert (since is None) == (count == 0)
        if since is not None:
            of_executor[labels["cause"]] = Wait(int(count), since - EPOCH)
    return found


def waiting(*story: Told) -> dict[str, dict[str, Wait]]:
    """What is waited for in a run of these rows, which the oracle says as well."""
    series = told([workflow(), *story]).series()
    truth = oracle_of([workflow(), *story])
    assert differences(truth, series, families={COUNT, OLDEST}) == []
    return by_cause(series)


def launched(*at: float, executor: str | None = "htex", first: int = 0, app: str = "add") -> list[Told]:
    """Tasks that were launched at these times, numbered from `first`."""
    return [
        row
        for task_id, seconds in enumerate(at, start=first)
        for row in (
            task(task_id, app),
            attempt(task_id, executor=executor),
            *lifecycle(task_id, ("pending", 0), ("launched", seconds)),
        )
    ]


def ran(task_id: int = 90, executor: str = "htex", **labels: str) -> list[Told]:
    """A task that is done, and told of its start."""
    return [
        task(task_id),
        attempt(task_id, 0, executor=executor, **labels),
        *lifecycle(
            task_id, ("pending", 0), ("launched", 1), ("running", 2), ("running_ended", 3), ("exec_done", 4)
        ),
    ]


def running(*task_ids: int, executor: str = "htex", sampled: bool = True) -> list[Told]:
    """Tasks that run."""
    return [
        row
        for task_id in task_ids
        for row in (
            task(task_id),
            attempt(task_id, executor=executor),
            *lifecycle(task_id, ("pending", 0), ("launched", 1), ("running", 2)),
            *([sample(task_id, 3, user=1.0, system=1.0)] if sampled else []),
        )
    ]


# --- which tasks wait -----------------------------------------------------------------------------------------


def test_a_pending_task_waits_for_dependencies_since_it_entered_its_state() -> None:
    story = [task(0), attempt(0), status(0, "pending", 7), task(1), attempt(1), status(1, "pending", 5)]
    assert waiting(*story) == {"htex": {"dependencies": Wait(2, 5)}}


def test_every_cause_is_there_at_0_for_each_executor_seen() -> None:
    lines = told([workflow(), *ran(0), *ran(1, "threads")]).lines(COUNT, zeros=True)
    assert lines == [
        f'{{executor="{executor}",cause="{cause}"}} 0' for executor in ("htex", "threads") for cause in CAUSES
    ]


def test_tasks_that_run_or_are_done_do_not_wait() -> None:
    states = ["running", "running_ended", "joining", "exec_done", "failed", "dep_fail", "memo_done", "odd"]
    story = [
        row
        for task_id, state in enumerate(states)
        for row in (task(task_id), attempt(task_id), status(task_id, state, 1))
    ]
    assert waiting(*story) == {"htex": {}}


def test_the_executor_is_that_of_the_latest_try() -> None:
    again = [
        attempt(0),
        status(0, "fail_retryable", 2),
        attempt(0, 1, executor="other"),
        status(0, "launched", 3, 1),
    ]
    assert waiting(task(0), *again) == {"htex": {}, "other": {"unknown": Wait(1, 3)}}


def test_in_a_run_that_is_over_nothing_waits() -> None:
    story = [*launched(1), task(1), attempt(1), status(1, "pending", 1)]
    assert by_cause(told([workflow(completed=9), *story]).series()) == {"htex": {}}


def test_apps_of_one_executor_are_counted_together() -> None:
    story = [*launched(4, 6), *launched(3, first=2, app="mul"), block("0", "PENDING", 0)]
    assert waiting(*story) == {"htex": {"batch_queue": Wait(3, 3)}}
    folded = told([workflow(), *story], Options(apps=1)).series()
    assert by_cause(folded) == {"htex": {"batch_queue": Wait(3, 3)}}


def test_runs_that_a_limit_folds_are_counted_together_since_the_longest_waiting_of_them() -> None:
    story = [
        row
        for at, run in enumerate(("r1", "r2", "r3"))
        for row in (
            workflow(run, began=at),
            task(0, run=run),
            attempt(0, run=run),
            status(0, "pending", 10 + at, run=run),
        )
    ]
    reading = told(story, Options(runs=1))
    assert reading.lines(COUNT) == [
        '{run_id="r3",executor="htex",cause="dependencies"} 1',
        '{run_id="_other",executor="_other",cause="dependencies"} 2',
    ]
    assert reading.lines(OLDEST)[1].endswith(f" {EPOCH + 10:.0f}")


def test_executors_are_told_apart() -> None:
    story = [*launched(1, 2), *launched(3, executor="other", first=2)]
    states = [block("0", "PENDING", 0), block("0", "RUNNING", 0, "other")]
    assert waiting(*story, *states) == {
        "htex": {"batch_queue": Wait(2, 1)},
        "other": {"worker_start": Wait(1, 3)},
    }


# --- (a) a run without any running row ------------------------------------------------------------------------


def test_starts_are_not_told_when_a_task_is_done_that_has_no_running_row() -> None:
    done = [task(9), attempt(9), *lifecycle(9, ("pending", 0), ("launched", 1), ("exec_done", 2))]
    managers = [block("0", "RUNNING", 0), node("m", 1)]
    assert waiting(*launched(5), *done, *managers) == {"htex": {"untold": Wait(1, 5)}}


def test_starts_are_not_told_when_a_manager_was_given_a_task_and_none_has_a_running_row() -> None:
    managers = [block("0", "RUNNING", 0), node("m", 1), node("m", 6)]
    assert waiting(*launched(5), *managers) == {"htex": {"untold": Wait(1, 5)}}


@pytest.mark.parametrize("second", [node("m2", 6), node("m", 6, active=False)])
def test_no_other_second_row_says_so(second: Told) -> None:
    story = [*launched(5), block("0", "RUNNING", 0), node("m", 1), second]
    assert "untold" not in waiting(*story)["htex"]


def test_one_running_row_in_the_run_is_enough_for_starts_to_be_told() -> None:
    managers = [block("0", "RUNNING", 0, "other"), node("m", 1), node("m", 6)]
    story = [*launched(5, executor="other"), *ran(8, "htex"), *managers]
    assert waiting(*story) == {"htex": {}, "other": {"idle_workers": Wait(1, 5)}}


def test_starts_that_are_not_told_are_so_on_every_executor_and_for_no_pending_task() -> None:
    managers = [block("0", "RUNNING", 0), node("m", 1), node("m", 6), block("0", "PENDING", 0, "other")]
    pending = [task(9), attempt(9), status(9, "pending", 4)]
    assert waiting(*launched(5), *launched(6, executor="other", first=1), *pending, *managers) == {
        "htex": {"untold": Wait(1, 5), "dependencies": Wait(1, 4)},
        "other": {"untold": Wait(1, 6)},
    }


def test_a_young_run_with_connected_managers_does_not_say_yet_whether_they_are_idle() -> None:
    assert waiting(*launched(5), block("0", "RUNNING", 0), node("m", 1)) == {"htex": {"unknown": Wait(1, 5)}}


def test_a_young_run_without_managers_says_what_its_blocks_say() -> None:
    assert waiting(*launched(5), block("0", "PENDING", 0)) == {"htex": {"batch_queue": Wait(1, 5)}}


def test_the_only_task_that_ran_may_have_been_forgotten_long_ago() -> None:
    done = ran(8, "threads")
    story = [workflow(), *done, *launched(5, executor="threads")]
    reading = ModelHarness(Options(close_after=30)).poll(as_rows(story))
    reading.clock = 100
    assert reading.poll().runs.runs[RUN].tasks.finished == 1
    assert by_cause(reading.series()) == {"threads": {"busy_workers": Wait(1, 5)}}


# --- (b) executors without managers ---------------------------------------------------------------------------


def test_an_executor_without_managers_on_which_a_try_has_run_is_busy() -> None:
    assert waiting(*launched(5, executor="threads"), *ran(8, "threads")) == {
        "threads": {"busy_workers": Wait(1, 5)}
    }


def test_also_one_whose_blocks_queue() -> None:
    story = [*launched(5, executor="wq"), *ran(8, "wq"), block("0", "PENDING", 0, "wq")]
    assert waiting(*story) == {"wq": {"busy_workers": Wait(1, 5)}}


def test_not_when_a_try_of_another_executor_has_run() -> None:
    story = [*launched(5, executor="threads"), *ran(8, "htex"), block("0", "RUNNING", 0), node("m", 1)]
    assert waiting(*story)["threads"] == {"unknown": Wait(1, 5)}


# --- (c) connected managers -----------------------------------------------------------------------------------

POOL = [block("0", "RUNNING", 0), node("m", 1, workers=2)]


def test_the_longest_waiting_wait_for_nothing_while_slots_are_free_and_the_others_for_busy_workers() -> None:
    managers = [*POOL, node("m2", 1, workers=1)]
    story = [*launched(9, 5, 7, 6), *running(20), *managers]
    assert waiting(*story) == {"htex": {"idle_workers": Wait(2, 5), "busy_workers": Wait(2, 7)}}


def test_all_wait_for_busy_workers_when_no_slot_is_free() -> None:
    assert waiting(*launched(9, 5), *running(20, 21), *POOL) == {"htex": {"busy_workers": Wait(2, 5)}}


def test_none_waits_for_busy_workers_when_there_are_slots_for_all() -> None:
    assert waiting(*launched(9, 5), *ran(), *POOL) == {"htex": {"idle_workers": Wait(2, 5)}}


def test_of_tasks_that_wait_since_the_same_moment_as_many_wait_for_nothing_as_slots_are_free() -> None:
    assert waiting(*launched(5, 5, 5), *running(20), *POOL) == {
        "htex": {"idle_workers": Wait(1, 5), "busy_workers": Wait(2, 5)}
    }


def test_more_running_tries_than_slots_leave_none_free() -> None:
    assert waiting(*launched(5), *running(20, 21, 22), *POOL) == {"htex": {"busy_workers": Wait(1, 5)}}


def test_tries_of_other_executors_take_no_slots() -> None:
    story = [*launched(5, 6), *running(20, 21, executor="threads"), *running(22), *POOL]
    assert waiting(*story)["htex"] == {"idle_workers": Wait(1, 5), "busy_workers": Wait(1, 6)}


def test_nor_do_their_tasks_wait_for_these() -> None:
    story = [*launched(5, 6), *launched(1, 9, executor="threads", first=10), *running(20), *POOL]
    assert waiting(*story)["htex"] == {"idle_workers": Wait(1, 5), "busy_workers": Wait(1, 6)}


def test_slots_of_managers_that_are_not_connected_are_not_free() -> None:
    drained = node("m2", 8, workers=64, active=False)
    ended = [block("1", "RUNNING", 0), node("m3", 1, block_id="1", workers=64), block("1", "TIMEOUT", 9)]
    story = [*launched(5), *running(20, 21), *POOL, drained, *ended]
    assert waiting(*story) == {"htex": {"busy_workers": Wait(1, 5)}}


def test_tries_that_run_and_were_never_sampled_may_take_any_number_of_slots() -> None:
    mpi = [block("0", "RUNNING", 0), node("m", 1, workers=64)]
    assert waiting(*launched(5), *running(20, sampled=False), *mpi) == {"htex": {"busy_workers": Wait(1, 5)}}
    assert waiting(*launched(5), *running(20, sampled=False), *running(21), *mpi) == {
        "htex": {"idle_workers": Wait(1, 5)}
    }
    assert waiting(*launched(5), *ran(), *mpi) == {"htex": {"idle_workers": Wait(1, 5)}}


# --- (d) managers whose executor is not known -----------------------------------------------------------------

BOTH = [block("0", "RUNNING", 0), block("0", "RUNNING", 0, "other"), node("m", 1)]


def test_managers_that_may_be_its_own_leave_the_cause_unknown() -> None:
    assert waiting(*launched(5), *ran(8, "third"), *BOTH)["htex"] == {"unknown": Wait(1, 5)}


def test_tries_that_ran_there_do_not_make_it_an_executor_without_managers() -> None:
    tried = [*ran(8, "htex", block="0", host="node1"), *ran(9, "other", block="0", host="node1")]
    assert waiting(*launched(5), *tried, *BOTH) == {"htex": {"unknown": Wait(1, 5)}, "other": {}}


def test_such_managers_that_are_gone_do_not() -> None:
    story = [*launched(5), *ran(8, "third"), *BOTH, node("m", 9, active=False)]
    assert waiting(*story)["htex"] == {"worker_start": Wait(1, 5)}


def test_nor_do_those_of_other_block_ids() -> None:
    story = [*launched(5, executor="third"), *ran(8, "htex"), *BOTH, block("1", "PENDING", 0, "third")]
    assert waiting(*story)["third"] == {"batch_queue": Wait(1, 5)}


# --- (e) to (h) no manager ------------------------------------------------------------------------------------


def test_a_running_block_without_a_manager_is_waited_for_to_start_workers() -> None:
    story = [*launched(5), block("0", "PENDING", 0), block("0", "RUNNING", 1), block("1", "PENDING", 0)]
    assert waiting(*story) == {"htex": {"worker_start": Wait(1, 5)}}


def test_so_is_one_whose_manager_was_drained() -> None:
    assert waiting(*launched(5), *ran(), *POOL, node("m", 9, active=False)) == {
        "htex": {"worker_start": Wait(1, 5)}
    }


@pytest.mark.parametrize("state", ["PENDING", "HELD", "UNKNOWN"])
def test_a_block_in_the_queue_is_waited_for(state: str) -> None:
    assert waiting(*launched(5), block("0", state, 0)) == {"htex": {"batch_queue": Wait(1, 5)}}


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "MISSING", "SCALED_IN"])
def test_no_block_is_left_when_all_have_ended(state: str) -> None:
    for managers in ([], [node("m", 1)]):
        story = [*launched(5), block("0", "RUNNING", 0), *managers, block("0", state, 9)]
        assert waiting(*story) == {"htex": {"no_block": Wait(1, 5)}}


def test_nor_when_only_tries_ever_named_a_block_of_it() -> None:
    tried = ran(8, block="0", host="node1")
    assert waiting(*launched(5), *tried, node("m", 1, active=False)) == {"htex": {"no_block": Wait(1, 5)}}


def test_of_an_executor_of_which_nothing_is_known_the_cause_is_unknown() -> None:
    assert waiting(*launched(5)) == {"htex": {"unknown": Wait(1, 5)}}


@pytest.mark.parametrize("row", [[], [attempt(9, executor=None)]])
def test_of_a_task_whose_executor_is_not_known_it_is_unknown(row: list[Told]) -> None:
    story = [task(9), *row, status(9, "launched", 5), *ran(8), *POOL, block("7", "PENDING", 0, executor="")]
    assert waiting(*story)["unknown"] == {"unknown": Wait(1, 5)}
