"""Managers, the hosts of managers and tries, and since when they are gone."""

from __future__ import annotations

import pytest
from support.model_harness import told
from support.rows import RUN, attempt, block, lifecycle, node, task, workflow

from parsl_exporter.model.managers import Host
from parsl_exporter.model.staleness import manager_active


def host(cpu: float, running: int, resident: float) -> Host:
    found = Host()
    found.cpu, found.running, found.resident = cpu, running, resident
    return found


@pytest.mark.parametrize(("over", "cpu"), [(False, 1.5), (True, 4.0)])
def test_what_ran_on_no_host_that_is_known_joins_the_host_of_that_name_but_its_cpu_only_once_the_run_is_over(
    over: bool, cpu: float
) -> None:
    both = host(1.5, 2, 100.0).plus(host(2.5, 3, 30.0), over=over)
    assert (both.cpu, both.running, both.resident, both.gone_at) == (cpu, 5, 130.0, None)


BLOCKS = [
    workflow(),
    *(block("0", "RUNNING", 1, executor) for executor in ("htex", "other")),
    block("0", "COMPLETED", 5, "htex"),
    node("m", 3),
]
"""Of two executors' blocks with one id that of `htex` has ended; a manager has a block of that id."""


def test_a_manager_whose_executor_a_try_names_can_run_tasks_while_that_ones_block_lives() -> None:
    tried = [task(0), attempt(0, executor="htex", block="0", host="node1"), *lifecycle(0, ("running", 2))]
    assert not manager_active(told([*BLOCKS, *tried]).runs.runs[RUN], "m")
    tried[1] = attempt(0, executor="other", block="0", host="node1")
    assert manager_active(told([*BLOCKS, *tried]).runs.runs[RUN], "m")


def test_a_manager_of_which_no_try_tells_can_run_tasks_while_any_block_of_that_id_lives() -> None:
    assert manager_active(told(BLOCKS).runs.runs[RUN], "m")
    assert not manager_active(told([*BLOCKS, block("0", "FAILED", 6, "other")]).runs.runs[RUN], "m")


def test_a_manager_whose_block_has_no_row_yet_is_what_it_says() -> None:
    assert manager_active(told([workflow(), node("m", 3)]).runs.runs[RUN], "m")
    assert not manager_active(told([workflow(), node("m", 3, active=False)]).runs.runs[RUN], "m")
    assert not manager_active(told([workflow(completed=9), node("m", 3)]).runs.runs[RUN], "m")
