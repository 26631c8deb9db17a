"""What a try that closes adds to histograms."""

from __future__ import annotations

import pytest
from one_task import CLOSE_AFTER, at_rest
from reading import Options, told
from telling import EPOCH, attempt, lifecycle, task, workflow


@pytest.mark.parametrize("begin", [5.0, -EPOCH], ids=["any moment", "the epoch"])
def test_a_state_that_is_left_in_the_microsecond_of_its_start_lasted_for_no_time(begin: float) -> None:
    states = ("pending", "launched", "running", "running_ended", "exec_done")
    story = [workflow(completed=9), task(0), attempt(0), *lifecycle(0, *((name, begin) for name in states))]
    assert at_rest(told(story, Options(close_after=CLOSE_AFTER))).lines(
        "parsl_task_state_duration_seconds", zeros=True
    ) == [
        line
        for state in ("pending", "launched", "running", "joining")
        for line in (
            f'_count{{app="add",executor="htex",state="{state}"}} {int(state != "joining")}',
            f'_sum{{app="add",executor="htex",state="{state}"}} 0',
        )
    ]
