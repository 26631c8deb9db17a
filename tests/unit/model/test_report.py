"""What a run's report says, and since when a cause holds an executor up: the metric has the whole wait."""

from __future__ import annotations

import pytest
from support.model_harness import ModelHarness, Options, finished, told
from support.rows import EPOCH, Told, as_rows, attempt, block, lifecycle, node, sample, task, workflow

from parsl_exporter.model.report import RunReport, Workers, report_of
from parsl_exporter.model.waiting import WaitingTasks


def report(reading: ModelHarness) -> RunReport:
    (view,) = reading.views()
    return report_of(view.run, view.groups, view.waiting, view.hidden)


def held(reading: ModelHarness) -> dict[str, float]:
    """Since when causes hold the executor of a run up, in seconds after the story's begin."""
    return {cause: us / 1_000_000 - EPOCH if us else 0 for (_, cause), us in report(reading).held_us.items()}


def waits(task_id: int = 0, executor: str = "htex") -> list[Told]:
    return [
        task(task_id),
        attempt(task_id, executor=executor),
        *lifecycle(task_id, ("pending", 0), ("launched", 1)),
    ]


def ran(task_id: int, *, end: float, state: str = "exec_done", executor: str = "htex") -> list[Told]:
    return [
        task(task_id),
        attempt(task_id, executor=executor, block="0", host="node1"),
        *lifecycle(task_id, ("pending", 0), ("launched", 1), ("running", end - 5), (state, end)),
    ]


WORKERS = [block("0", "PENDING", 5), block("0", "RUNNING", 60), node("m", 70), node("m", 75)]
"""A block whose workers came after a minute."""


def test_free_workers_leave_a_task_waiting_since_a_try_last_ended() -> None:
    story = [workflow(), *WORKERS, *waits(), *ran(1, end=200), *ran(2, end=300)]
    assert held(told(story)) == {"idle_workers": 300}


@pytest.mark.parametrize("state", ["fail_retryable", "failed"])
def test_however_it_ended(state: str) -> None:
    story = [workflow(), *WORKERS, *waits(), *ran(1, end=200), *ran(2, end=300, state=state)]
    assert held(told(story))["idle_workers"] == 300


def test_a_try_of_another_executor_is_nothing_to_them() -> None:
    story = [workflow(), *WORKERS, *waits(), *ran(1, end=200), *ran(2, end=300, executor="threads")]
    assert held(told(story)) == {"idle_workers": 200}


def test_nor_is_one_of_a_named_executor_to_those_of_which_no_executor_is_told() -> None:
    nameless = [row for i, end in ((1, 200), (2, 150)) for row in ran(i, end=end, executor="unknown")]
    story = [workflow(), *WORKERS, *waits(executor="unknown"), *nameless, *ran(3, end=300)]
    assert held(told(story)) == {"unknown": 200}


def test_nor_have_they_waited_beside_workers_that_were_not_there() -> None:
    more = [block("1", "RUNNING", 400), node("m1", 410, block_id="1")]
    story = [workflow(), *WORKERS, *waits(), *ran(1, end=200), *more]
    assert held(told(story)) == {"idle_workers": 400}


def test_the_queue_is_waited_for_since_a_try_last_ended_or_workers_were_lost() -> None:
    again = [block("0", "COMPLETED", 320), block("1", "PENDING", 330)]
    assert held(told([workflow(), *WORKERS, *waits(), *ran(1, end=200), *again])) == {"batch_queue": 200}
    lost = [node("m", 310, active=False), *again]
    assert held(told([workflow(), *WORKERS, *waits(), *ran(1, end=200), *lost])) == {"batch_queue": 310}


def test_it_is_not_waited_for_since_another_executor_lost_its_workers() -> None:
    others = [block("9", "RUNNING", 50, "other"), node("o", 60, block_id="9")]
    lost = [
        node("o", 400, block_id="9", active=False),
        block("0", "COMPLETED", 320),
        block("1", "PENDING", 330),
    ]
    story = [workflow(), *WORKERS, *others, *waits(), *ran(1, end=200), *lost]
    assert held(told(story)) == {"batch_queue": 200}


def test_for_other_tasks_or_a_free_worker_any_time_is_a_matter_of_course() -> None:
    busy = [
        row for i in range(4) for row in (task(10 + i), attempt(10 + i), *lifecycle(10 + i, ("running", 80)))
    ]
    story = [
        workflow(),
        *WORKERS,
        *busy,
        sample(10, 90),
        *waits(),
        task(1),
        *lifecycle(1, ("pending", 1)),
        attempt(1),
    ]
    assert held(told(story)) == {}


def test_the_first_queue_is_waited_for_since_the_tasks_wait() -> None:
    assert held(told([workflow(), *waits(), block("0", "PENDING", 30)])) == {"batch_queue": 0}


def test_workers_are_waited_for_since_the_first_of_the_blocks_that_run_does() -> None:
    blocks = [block("0", "PENDING", 5), block("0", "RUNNING", 60), block("1", "RUNNING", 90)]
    assert held(told([workflow(), *waits(), *blocks])) == {"worker_start": 60}


def test_or_since_the_last_of_their_managers_was_lost() -> None:
    story = [workflow(), *WORKERS, *waits(), *ran(1, end=200), node("m", 310, active=False)]
    assert held(told(story)) == {"worker_start": 310}


def test_a_block_is_lacking_since_the_last_one_ended() -> None:
    blocks = [
        block("0", "PENDING", 5),
        block("0", "FAILED", 60),
        block("1", "FAILED", 90),
        block("1", "FAILED", 99),
    ]
    assert held(told([workflow(), *waits(), *blocks])) == {"no_block": 90}


def test_pieces_and_a_restart_change_nothing() -> None:
    story = [workflow(), *WORKERS, *waits(), *ran(1, end=200), *ran(2, end=300)]
    rows = as_rows(story)
    in_pieces = ModelHarness().poll(rows[:4], first=True)
    for row in reversed(rows[4:]):
        in_pieces.poll([row])
    assert held(in_pieces) == held(finished(story)) == {"idle_workers": 300}


# --- the report -----------------------------------------------------------------------------------------------


def us(at: float) -> int:
    return round((EPOCH + at) * 1_000_000)


def test_a_run_is_reported_on_with_what_there_is_of_it() -> None:
    failed = ran(2, end=200, state="failed")
    failed[1] = attempt(2, block="0", host="node1", history="ValueError('x')")
    odd = [task(4), attempt(4, executor="threads"), *lifecycle(4, ("pending", 0), ("parked", 1))]
    busy = [*ran(3, end=190)[:-1], sample(3, 195, user=1.0)]
    gone = [block("1", "COMPLETED", 90), node("m1", 80, block_id="1", workers=9)]
    story = [workflow(), *WORKERS, *gone, *ran(1, end=150), *failed, *busy, *odd, *waits()]
    found = report(told(story))
    assert found._replace(tasks={}, held_us={}) == RunReport(
        run_id="run-1",
        names={
            "workflow_name": "wf",
            "workflow_version": "1",
            "host": "submit",
            "user": "me",
            "rundir": "/runs/000",
        },
        begin_us=us(0),
        end_us=None,
        first_us=us(0),
        heard_us=us(200),
        tasks={},
        failures={"ValueError": 1},
        waiting={("htex", "idle_workers"): WaitingTasks(1, us(1))},
        held_us={},
        blocks={"htex": {"RUNNING": 1, "COMPLETED": 1}},
        workers={"htex": Workers(1, 2, 1)},
        sampled=True,
    )
    assert [(pair, list(states.items())) for pair, states in found.tasks.items()] == [
        (("add", "htex"), [("launched", 1), ("running", 1), ("exec_done", 1), ("failed", 1)]),
        (("add", "threads"), [("parked", 1)]),
    ]
    assert found.held_us == {("htex", "idle_workers"): us(200)}
    assert list(found.tasks_by_state()) == ["launched", "running", "exec_done", "failed", "parked"]
    assert found.tasks_by_app()["add"] == found.tasks_by_state()
    assert list(found._replace(blocks={"a": {"odd": 1}, "b": {"RUNNING": 2}}).blocks_by_state().items()) == [
        ("RUNNING", 2),
        ("odd", 1),
    ]


def test_names_that_nobody_told_are_unknown_and_those_that_are_not_to_be_told_hidden() -> None:
    reading = told(waits(), Options(hidden=frozenset({"user"})))
    unknown = dict.fromkeys(("workflow_name", "workflow_version", "host", "rundir"), "unknown")
    assert report(reading).names == {**unknown, "user": "hidden"}
    assert (report(reading).begin_us, report(reading).first_us) == (None, us(0))
    reading.poll(as_rows([workflow(completed=9)]))
    assert report(reading).names["host"] == "submit"
    assert (report(reading).names["user"], report(reading).end_us) == ("hidden", us(9))
