"""What one run keeps while its tasks come and go."""

from __future__ import annotations

from datetime import timezone

import numpy as np
import pytest
from one_task import at_rest
from support.model_harness import FOREVER, ModelHarness, Options, told
from support.oracle import BYTES, SECONDS
from support.rows import EPOCH, RUN, Told, as_rows, attempt, later, lifecycle, sample, status, task, workflow

from parsl_exporter.base.tables import RESOURCE, STATUS, TASK, TRY, WORKFLOW
from parsl_exporter.model import run
from parsl_exporter.model.groups import groups_of
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs
from parsl_exporter.model.taking import TASK_TABLES

CLOSE_AFTER = 30.0
CLOCKS_APART = 7_200.0
MANY = 5_000
"""Tasks after which those that are left are moved together."""


def done(task_id: int, at: float) -> list[Told]:
    return [task(task_id), attempt(task_id, host="h"), *lifecycle(task_id, ("pending", 0), ("exec_done", at))]


def on_a_server() -> Runs:
    """A model that asks for task and try rows by key."""
    return Runs(
        zone=timezone.utc,
        buckets=Buckets.of(SECONDS, BYTES),
        limits=Limits(CLOSE_AFTER, FOREVER, FOREVER, 10),
        failure_reasons=(),
        keyed=True,
    )


def test_what_is_to_be_asked_for_by_key_is_known_when_the_tasks_left_are_moved_together() -> None:
    runs = on_a_server()
    story = as_rows([workflow(), *(row for task_id in range(MANY) for row in done(task_id, 1))])
    for table in (WORKFLOW, TASK, TRY, STATUS, RESOURCE):
        runs.take(table, [row for of, row in story if of is table], 0.0, EPOCH)
    runs.settle(0.0)
    assert runs.missing() == ([], [])
    runs.take(STATUS, [row for _, row in as_rows([status(MANY, "pending", 40)])], 40.0, EPOCH + 40)
    runs.settle(2 * CLOSE_AFTER)
    assert (runs.live_tasks(), runs.runs[RUN].tasks.size < MANY) == (1, True)
    assert runs.missing() == ([(RUN, MANY)], [(RUN, MANY, 0)])


def test_a_try_closes_when_it_has_been_quiet_for_long_enough_and_not_when_others_have() -> None:
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(as_rows([workflow(), *done(0, 1)]))
    reading.clock = 10
    reading.poll(later(10, status(0, "running", 0.5)))
    reading.clock = 29
    reading.poll(later(20, *done(1, 29)))
    for clock, observed in ((30, 0), (39, 0), (40, 1), (58, 1), (59, 2)):
        reading.clock = clock
        reading.poll()
        counts = [
            line for line in reading.lines("parsl_task_duration_seconds", zeros=True) if "_count" in line
        ]
        assert counts == [f'_count{{app="add",executor="htex"}} {observed}'], clock


def test_a_try_that_lacked_its_row_when_its_time_came_closes_when_it_has_it() -> None:
    ended = [task(0), *lifecycle(0, ("pending", 0), ("exec_done", 1))]
    reading = at_rest(told([workflow(), *ended], Options(close_after=CLOSE_AFTER)))
    assert at_rest(reading).runs.live_tasks() == 1
    reading.poll(as_rows([attempt(0, host="h")]))
    assert at_rest(reading).runs.live_tasks() == 0


def test_tries_that_are_to_close_at_the_same_moment_all_do() -> None:
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    for first in (0, 2):
        reading.take_by_tables(later(10 * first, *(row for i in (first, first + 1) for row in done(i, 1))))
        reading.poll()
    assert reading.runs.live_tasks() == 4
    reading.clock = CLOSE_AFTER
    assert reading.poll().runs.live_tasks() == 0


def test_rows_in_states_that_are_not_parsls_may_come_between_others() -> None:
    reading = ModelHarness()
    states = ("pending", "parked", "launched", "running", "parked")
    reading.take_by_tables(as_rows([task(0), attempt(0), *lifecycle(0, *((state, 1) for state in states))]))
    assert reading.poll().lines("parsl_task_transitions_total") == [
        f'{{app="add",executor="htex",state="{state}"}} {count}'
        for state, count in (("pending", 1), ("launched", 1), ("running", 1), ("parked", 2))
    ]


@pytest.mark.parametrize(("state", "completed"), [("fail_retryable", None), ("parked", 9)])
def test_a_task_whose_tries_have_all_closed_is_kept_until_it_is_done(
    state: str, completed: float | None
) -> None:
    """One that is to be tried again, and one of an ended run in a state that is not Parsl's."""
    tried = [
        task(0),
        attempt(0, host="h", history="ValueError('x')"),
        *lifecycle(0, ("pending", 0), (state, 1)),
    ]
    reading = at_rest(told([workflow(completed=completed), *tried], Options(close_after=CLOSE_AFTER)))
    (run,) = reading.runs.runs.values()
    assert (run.tries.closed.sum(), reading.runs.live_tasks()) == (1, 1)


@pytest.mark.parametrize(
    ("history", "newest", "closed"),
    [
        ("ValueError('x')", 10 + CLOSE_AFTER, False),
        ("ValueError('x')", 10 + CLOSE_AFTER + 0.1, True),
        ("", 10 + CLOCKS_APART, False),
        ("", 10 + CLOCKS_APART + 0.1, True),
    ],
)
def test_a_first_read_closes_the_tries_whose_last_row_lies_long_enough_before_the_runs_newest(
    history: str, newest: float, closed: bool
) -> None:
    """Hours, where the try's own row lacks something: clocks may be apart."""
    failed = [
        task(0),
        attempt(0, host="h", history=history),
        status(0, "pending", 0),
        status(0, "failed", 10),
    ]
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    reading.poll(as_rows([workflow(), *failed, status(1, "pending", newest)]), first=True)
    assert reading.runs.live_tasks() == 1 + (not closed)


def test_in_a_first_read_also_a_task_that_was_tried_again_much_later_is_let_go_of() -> None:
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    first = [task(0), attempt(0, host="h", history="ValueError('x')"), status(0, "fail_retryable", 1)]
    reading.take(as_rows([*first, status(9, "pending", 1_000)]))
    reading.runs.settle_history()
    second = [attempt(0, 1, host="h"), status(0, "exec_done", 1_001, 1), status(9, "launched", 9_000)]
    reading.take(later(10, *second))
    reading.runs.settle_history()
    assert reading.runs.live_tasks() == 1


def test_a_first_read_that_has_found_no_run_yet_lets_go_of_nothing() -> None:
    reading = ModelHarness()
    reading.runs.settle_history()
    assert reading.runs.runs == {}


def test_how_far_the_stamps_of_a_run_are_ahead_of_the_clock_by_which_they_came() -> None:
    reading = ModelHarness()
    reading.clock = 10
    reading.poll(as_rows([workflow(), status(0, "pending", 25)]))
    reading.clock = 40
    assert reading.poll().runs.clocks() == {RUN: EPOCH + 15}


def lived() -> ModelHarness:
    """Ten tasks that finished, and after them some that do not until later."""
    last = range(10, 15)
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(
        as_rows(
            [
                workflow(),
                *(row for task_id in range(10) for row in done(task_id, 1)),
                *(row for task_id in last for row in (task(task_id), attempt(task_id, host="h", block="0"))),
                status(10, "odd", 2),
                *lifecycle(11, ("pending", 2), ("launched", 3), ("running", 4)),
                sample(11, 5, user=1, system=1, resident=5),
                *(status(task_id, "pending", 3) for task_id in (12, 14)),
                *lifecycle(13, ("pending", 3), ("launched", 4), ("fail_retryable", 5)),
                attempt(13, 1, host="h2", block="1"),
                status(13, "running", 6, 1),
            ]
        )
    )
    reading.series()
    reading.clock = 20
    reading.poll(later(50, status(12, "exec_done", 4)))
    reading.clock = 40
    reading.poll(later(100, status(13, "running_ended", 7, 1), status(11, "odd", 5)))
    reading.clock = 80
    late = [status(10, "odd", 8), status(10, "odder", 9), status(13, "joining", 8, 1)]
    reading.poll(later(200, *late, sample(11, 9, user=3, system=2, resident=4)))
    reading.series()
    reading.clock = 90
    reading.poll(later(300, *(status(task_id, "exec_done", 11) for task_id in (10, 11, 13))))
    reading.series()
    reading.clock = 130
    return reading.poll(later(400, status(13, "failed", 12)))


def test_tasks_that_are_moved_together_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = lived().series()
    monkeypatch.setattr(run, "_PACKED_FROM", 0)
    assert lived().series() == expected


def test_what_is_observed_in_parts_is_as_if_it_were_observed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = lived().series()
    monkeypatch.setattr(run, "_OBSERVED_AT_ONCE", 2)
    assert lived().series() == expected


def test_a_few_tasks_stay_where_they_are_when_most_have_gone() -> None:
    """Whatever points to them would have to be moved, too, at each poll."""
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    reading.poll(
        as_rows([workflow(), *(row for i in range(50) for row in done(i, 1)), status(50, "pending", 1)])
    )
    before = reading.runs.runs[RUN].tasks.find(np.array([50]))
    reading.clock = 2 * CLOSE_AFTER
    reading.poll()
    assert reading.poll().runs.live_tasks() == 1
    assert reading.runs.runs[RUN].tasks.find(np.array([50])) == before


def test_names_that_come_after_all_closed_without_them_make_no_gauge_negative() -> None:
    """Read by key, they come with the earlier rows of a task for which another row was late."""
    runs = on_a_server()
    rows = as_rows([workflow(completed=9), status(0, "pending", 1), status(0, "exec_done", 2)])
    for table, row in rows:
        runs.take(table, [row], 0.0, EPOCH)
    runs.settle(0.0)
    assert runs.missing() == ([(RUN, 0)], [(RUN, 0, 0)]) == runs.missing(again=True)
    runs.settle(2 * CLOSE_AFTER)
    assert runs.missing(again=True) == ([], [])
    runs.runs[RUN].published = True
    names = [task(0), attempt(0, host="h"), attempt(0, 1, executor="other", host="h")]
    for table, row in later(10, status(0, "failed", 3, 1)):
        runs.take(table, [row], 90.0, EPOCH + 90)
    if runs.late_tasks():
        history = {
            of.name: [row for table, row in (*rows, *as_rows(names)) if table is of] for of in TASK_TABLES
        }
        runs.revive(history, 90.0)
    runs.settle(90.0)
    assert all(n >= 0 for _, group in groups_of(runs.runs[RUN]) for n in group.tasks.values())


def test_a_task_whose_row_names_no_app_is_asked_for_once() -> None:
    runs = on_a_server()
    runs.take(STATUS, [row for _, row in as_rows([status(7, "pending", 1)])], 0.0, EPOCH)
    assert runs.missing() == ([(RUN, 7)], [(RUN, 7, 0)])
    for table, row in as_rows([task(7, None), attempt(7, executor=None)]):
        assert runs.missing(again=True) == ([(RUN, 7)] if table is TASK else [], [(RUN, 7, 0)])
        runs.take(table, [row], 1.0, EPOCH + 1)
    assert runs.missing(again=True) == ([], [])


def test_what_was_taken_or_has_its_time_is_to_be_settled() -> None:
    """Else a source that finds nothing new would never close the last tries of a run."""
    reading = ModelHarness(Options(close_after=CLOSE_AFTER)).poll(as_rows([workflow()]))
    assert not reading.runs.unsettled(0)
    reading.take(later(10, *done(0, 1)))
    assert reading.runs.unsettled(0)
    reading.poll()
    assert [reading.runs.unsettled(at) for at in (0, CLOSE_AFTER - 1, CLOSE_AFTER)] == [False, False, True]
    reading.clock = CLOSE_AFTER
    reading.poll()
    assert not reading.runs.unsettled(1e9)
    reading.take(as_rows([workflow(completed=5)]))
    assert reading.runs.unsettled(CLOSE_AFTER)
    reading.poll()
    assert not reading.runs.unsettled(CLOSE_AFTER)


def test_every_app_and_executor_that_tries_name_can_be_shown_before_a_row_counts() -> None:
    """As `check` does, to tell how many series there would be."""
    story = [
        workflow(),
        task(0),
        attempt(0),
        task(1, "mul"),
        attempt(1, executor="other"),
        task(2),
        attempt(3),
    ]
    reading = ModelHarness().poll(as_rows(story))
    run = reading.runs.runs[RUN]
    run.show_all_groups()
    assert {pair for pair, _ in groups_of(run)} >= {("add", "htex"), ("mul", "other")}
    assert len(groups_of(run)) == 2


def test_only_the_row_that_has_not_come_is_asked_for() -> None:
    runs = on_a_server()
    named = [task(1), task(3, None), attempt(2), attempt(4, executor=None)]
    for table, row in as_rows([*named, *(status(task_id, "pending", 1) for task_id in (1, 2, 3, 4))]):
        runs.take(table, [row], 0.0, EPOCH)
    assert runs.missing() == ([(RUN, 2), (RUN, 4)], [(RUN, 1, 0), (RUN, 3, 0)])


def test_what_has_not_come_of_all_runs_is_asked_for() -> None:
    runs = on_a_server()
    rows = as_rows([status(1, "pending", 1), status(2, "pending", 1, 3, "other"), status(4, "pending", 1)])
    runs.take(STATUS, [row for _, row in rows], 0.0, EPOCH)
    wanted = [(RUN, 1), (RUN, 4), ("other", 2)], [(RUN, 1, 0), (RUN, 4, 0), ("other", 2, 3)]
    assert runs.missing() == runs.missing(again=True) == wanted


def test_a_try_whose_row_is_read_again_closes_no_later() -> None:
    """As those of tries that lack something are, at each poll."""
    reading = ModelHarness(Options(close_after=CLOSE_AFTER))
    reading.clock = 100
    reading.poll(as_rows([workflow(), *done(0, 1)]))
    for clock in (110, 120, 130):
        assert reading.runs.live_tasks() == 1
        reading.clock = clock
        reading.poll(as_rows([attempt(0, host="h")]))
    assert reading.runs.live_tasks() == 0


def test_rows_that_use_nothing_leave_a_counter_to_the_last_digit() -> None:
    """Taken out and put in, a tenth of a second would be another sum, and less than before."""
    used = [row for i in range(1, 4) for row in (*done(i, 1)[:2], sample(i, 0, user=0, system=0))]
    used += [sample(i, 1, user=i / 10, system=i / 10) for i in range(1, 4)]
    reading = ModelHarness().poll(as_rows([workflow(), *used]))
    families = "parsl_task_cpu_seconds_total", "parsl_node_task_cpu_seconds_total"
    before = reading.lines(*families)
    assert len(before) == 3
    for i in range(1, 4):
        reading.poll(later(100 * i, status(i, "running", 1)))
        assert reading.lines(*families) == before
