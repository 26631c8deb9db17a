"""What rows of each table become, and which cannot be used."""

from __future__ import annotations

from support.model_harness import ModelHarness, told
from support.rows import Told, as_rows, block, node, workflow


def of_manager(executor: str, value: int) -> str:
    return f'{{manager="m",hostname="node1",executor="{executor}",block_id="0"}} {value}'


def changed(row: Told, **values: object) -> Told:
    return row._replace(values={**row.values, **values})


def test_a_run_whose_end_is_empty_has_not_ended() -> None:
    reading = told([changed(workflow(), time_completed="")])
    assert len(reading.lines("parsl_workflow_start_timestamp_seconds")) == 1
    assert reading.lines("parsl_workflow_end_timestamp_seconds") == []
    assert reading.runs.rejected == {}


def test_numbers_that_a_manager_does_not_give_are_0() -> None:
    nothing = dict.fromkeys(("cpu_count", "total_memory", "worker_count"))
    reading = told([workflow(), changed(node("m", 2), **nothing)])
    assert reading.lines(
        "parsl_manager_workers", "parsl_node_cpus", "parsl_node_memory_bytes", zeros=True
    ) == [of_manager("unknown", 0), '{hostname="node1"} 0', '{hostname="node1"} 0']


def test_of_many_rows_those_behind_one_that_cannot_be_used_count_and_the_first_of_these_is_kept() -> None:
    bad = [changed(row, timestamp="?") for row in (block("0", "PENDING", 1), node("m", 1))]
    reading = ModelHarness()
    reading.take_by_tables(as_rows([*bad, block("0", "RUNNING", 2), node("m", 2, workers=7), *bad]))
    assert reading.poll().lines("parsl_blocks") == ['{executor="htex",state="RUNNING"} 1']
    assert reading.lines("parsl_manager_workers") == [of_manager("htex", 7)]
    assert reading.runs.rejected == {("block", "timestamp"): 2, ("node", "timestamp"): 2}
    first = {key: row[0] for key, row in reading.runs.first_rejected.items()}
    assert first == {("block", "timestamp"): 1, ("node", "timestamp"): 1}
