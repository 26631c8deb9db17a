"""What tries add to the sums of their run, and to histograms when they close."""

from __future__ import annotations

import numpy as np
import pytest
from one_task import CLOSE_AFTER, at_rest
from support.model_harness import Options, told
from support.rows import EPOCH, attempt, lifecycle, task, workflow

from parsl_exporter.model.contribution import Added
from parsl_exporter.model.sums import WIDTH


def added(*places: int) -> Added:
    codes = np.array(places, np.int32)
    values, running = np.full((len(places), WIDTH), float(places[0])), np.array(places) % 2 == 0
    return Added(codes, values, codes, codes, codes, running, codes, codes, codes)


def test_what_several_add_together_is_what_each_adds_in_their_order() -> None:
    for parts in ([added(3, 4)], [added(3), added(4)], [added(1), added(2, 3), added(4)]):
        joined = Added.joined(parts)
        assert joined.places.tolist() == [place for part in parts for place in part.places.tolist()]
        assert joined.values[:, 0].tolist() == [row[0] for part in parts for row in part.values.tolist()]


def test_what_some_of_the_tries_add() -> None:
    some = added(3, 4, 5).only(np.array([True, False, True]))
    assert (some.places.tolist(), some.running.tolist(), len(some.values)) == ([3, 5], [False, False], 2)


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
