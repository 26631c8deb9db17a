"""Values of families: the same whatever the order of rows, to the last digit."""

from __future__ import annotations

from itertools import permutations

import pytest
from support.model_harness import ModelHarness, Options
from support.rows import Told, as_rows, attempt, later, lifecycle, sample, task, workflow

from parsl_exporter.base.formats import Format

SECONDS = (0.1, 0.2, 0.3, 0.7, 1.1)
"""Of which sums in other orders differ in their last digits."""
RUNS = ("run-1", "run-2", "run-3")


def used(task_id: int, run: str) -> list[Told]:
    states = lifecycle(task_id, ("running", 1), ("running_ended", 2), ("failed", 3), run=run)
    return [
        task(task_id, run=run),
        attempt(task_id, host="node1", run=run),
        sample(task_id, 1, user=0.0, system=0.0, run=run),
        sample(task_id, 2, user=SECONDS[task_id], system=0.1, run=run),
        *states,
    ]


def page(order: tuple[int, ...], options: Options) -> bytes:
    watched = ModelHarness(options).poll(as_rows([workflow(run) for run in RUNS]))
    for number, task_id in enumerate(order):
        watched.poll(later(100 * number, *(row for run in RUNS for row in used(task_id, run))))
        watched.draw()
    watched.clock += 60
    return watched.poll().draw().body(Format.TEXT)


@pytest.mark.parametrize("options", [Options(close_after=10.0), Options(close_after=10.0, runs=1)])
def test_sums_of_seconds_do_not_depend_on_the_order_of_rows(options: Options) -> None:
    """Else a counter might fall by its last digit with a restart, and Prometheus take all of it for new."""
    orders = list(permutations(range(len(SECONDS))))[::7]
    assert len({sum(SECONDS[task_id] for task_id in order) for order in orders}) > 1
    assert len({page(order, options) for order in orders}) == 1
