"""What the limits fold into `_other`, and which runs give way."""

from __future__ import annotations

import pytest
from one_task import RETENTION, late
from support.model_harness import ModelHarness, Options, finished, told
from support.rows import (
    EPOCH,
    Told,
    as_rows,
    attempt,
    lifecycle,
    sample,
    status,
    task,
    workflow,
)

from parsl_exporter.base.formats import Format

# --- limits ---------------------------------------------------------------------------------------------------


def apps(*names: str) -> list[Told]:
    return [row for i, app in enumerate(names) for row in (task(i, app), attempt(i), status(i, "pending", i))]


def test_apps_beyond_the_limit_are_folded_in_the_order_of_their_tasks() -> None:
    reading = told(apps("a", "b", "c", "a", "d", "c"), Options(apps=2))
    assert reading.lines("parsl_tasks") == [
        '{app="a",executor="htex",state="pending"} 2',
        '{app="b",executor="htex",state="pending"} 1',
        '{app="_other",executor="htex",state="pending"} 3',
    ]
    assert reading.runs.overflowed == 2


def runs(*names: str) -> list[Told]:
    return [
        row
        for i, run in enumerate(names)
        for row in (
            workflow(run, began=i),
            task(0, "add", run),
            attempt(0, run=run),
            *lifecycle(0, ("pending", i), ("running", i + 1), run=run),
            sample(0, i + 1, run=run, resident=100.0),
        )
    ]


def of_runs(reading: ModelHarness, family: str) -> list[str]:
    """Lines of a family that are not 0, with the run in place of the labels that are all the same."""
    strip = (',app="add"', ',app="_other"', ',executor="htex"', ',executor="_other"')
    lines = reading.lines(family)
    for text in strip:
        lines = [line.replace(text, "") for line in lines]
    return lines


def test_runs_beyond_the_limit_are_folded_and_say_so() -> None:
    reading = told(runs("r1", "r2", "r3"), Options(runs=1))
    assert of_runs(reading, "parsl_tasks") == [
        '{run_id="r3",state="running"} 1',
        '{run_id="_other",state="running"} 2',
    ]
    assert of_runs(reading, "parsl_task_memory_resident_bytes") == [
        '{run_id="r3"} 100',
        '{run_id="_other"} 200',
    ]
    assert of_runs(reading, "parsl_workflow_start_timestamp_seconds") == [
        f'{{run_id="r3"}} {EPOCH + 2:.0f}',
        f'{{run_id="_other"}} {EPOCH:.0f}',
    ]
    assert of_runs(reading, "parsl_workflow_last_event_timestamp_seconds") == [
        f'{{run_id="r3"}} {EPOCH + 3:.0f}',
        f'{{run_id="_other"}} {EPOCH + 2:.0f}',
    ]
    assert not any("_other" in line for line in reading.lines("parsl_workflow_info", "parsl_block_info"))
    assert reading.renderer.overflowed == 2


def test_counters_of_folded_runs_do_not_fall_when_one_of_them_goes() -> None:
    options = Options(runs=1, retention=RETENTION)
    reading = told(runs("r1", "r2", "r3"), options)
    before = of_runs(reading, "parsl_task_transitions_total")
    assert before[-2:] == ['{run_id="_other",state="pending"} 2', '{run_id="_other",state="running"} 2']
    reading.poll(late(workflow("r2", began=1, completed=5)))
    reading.lines("parsl_tasks")
    reading.clock = RETENTION + 1
    reading.poll()
    assert of_runs(reading, "parsl_tasks")[-1] == '{run_id="_other",state="running"} 1'
    assert of_runs(reading, "parsl_task_transitions_total") == before


def took(*seconds: float) -> list[Told]:
    """A run for each of these, of one task that took so long."""
    return [
        row
        for i, took in enumerate(seconds)
        for row in (
            workflow(f"r{i}", began=i, completed=None),
            task(0, f"app {i}", f"r{i}"),
            attempt(0, run=f"r{i}"),
            *lifecycle(0, ("pending", i), ("exec_done", i + took), run=f"r{i}"),
        )
    ]


def of_other(reading: ModelHarness) -> list[tuple[str, float]]:
    """What is told of how long the tasks of `_other` took: quantiles and their values."""
    lines = [line for line in reading.lines("parsl_task_summary_seconds") if "_other" in line]
    return [(line.split('quantile="')[1].split('"')[0], float(line.split()[-1])) for line in lines]


def test_folded_runs_have_the_quantiles_of_all_their_values_also_when_one_of_them_has_gone() -> None:
    options = Options(runs=1, close_after=1, retention=RETENTION)
    reading = told(took(1, 2, 4, 8, 100), options)
    reading.clock = 200
    reading.poll()
    of_1_2_4_and_8 = {"0.5": 2, "0.95": 8, "1.0": 8}
    true = pytest.approx(of_1_2_4_and_8, rel=0.01)
    assert dict(of_other(reading)) == true
    reading.poll(late(workflow("r3", began=3, completed=200)))
    assert dict(of_other(reading)) == true
    reading.clock += RETENTION + 1
    reading.poll()
    assert len(reading.runs.runs) == 4
    page = reading.draw().body(Format.OPENMETRICS).decode().splitlines()
    exemplars = [
        line.partition(" # ")[2]
        for line in page
        if line.startswith("parsl_task_duration_seconds_bucket") and 'run_id="_other"' in line
    ]
    assert [text.split('"')[1] for text in exemplars if text] == ["r0", "r2", "r3"]
    assert dict(of_other(reading)) == true


def test_apps_beyond_the_limit_have_the_quantiles_of_all_their_values() -> None:
    story = [
        row
        for i in range(4)
        for row in (
            task(i, f"app {i}"),
            attempt(i),
            *lifecycle(i, ("pending", 0), ("exec_done", 2**i)),
        )
    ]
    reading = finished([workflow(completed=100), *story], Options(apps=1))
    assert of_other(reading) == [("0.5", pytest.approx(4, rel=0.01)), ("0.95", 8), ("1.0", 8)]


def test_a_run_once_folded_stays_folded() -> None:
    reading = told(runs("r1", "r2"), Options(runs=1, retention=RETENTION))
    reading.lines("parsl_tasks")
    reading.poll(late(workflow("r2", began=1, completed=5)))
    reading.lines("parsl_tasks")
    reading.clock = RETENTION + 1
    assert of_runs(reading.poll(), "parsl_tasks") == ['{run_id="_other",state="running"} 1']


def test_a_run_that_would_go_beyond_the_limit_of_series_is_folded() -> None:
    one_run = told(runs("r1")).renderer.runs(told(runs("r1")).views(), 1_000_000)[0].series
    reading = told(runs("r1", "r2", "r3"), Options(series=2 * one_run))
    assert of_runs(reading, "parsl_tasks") == [
        '{run_id="r2",state="running"} 1',
        '{run_id="r3",state="running"} 1',
        '{run_id="_other",state="running"} 1',
    ]


def over(*names: str) -> list[Told]:
    return [workflow(run, began=int(run[1:]), completed=100) for run in names]


def kept(reading: ModelHarness) -> list[str]:
    """The runs that have an info, and those dropped with a minus before them."""
    shown = [line.split('"')[1] for line in reading.lines("parsl_workflow_info")]
    return [*shown, *(f"-{run}" for run in sorted(reading.runs.ended))]


def test_live_runs_are_kept_and_then_the_newest_and_one_that_is_over_is_dropped() -> None:
    reading = told([*runs("r0"), *over("r1", "r2", "r3", "r4")], Options(runs=3))
    assert kept(reading) == ["r0", "r3", "r4", "-r1", "-r2"]
    assert reading.renderer.overflowed == 0
    assert not any("_other" in line for line in reading.lines("parsl_tasks", zeros=True))
    reading.poll(late(workflow("r5", began=5)))
    assert kept(reading) == ["r0", "r4", "r5", "-r1", "-r2", "-r3"]


def test_the_newest_by_their_first_row_is_not_the_last_inserted() -> None:
    reading = told(over("r4", "r2", "r3", "r1"), Options(runs=2))
    assert kept(reading) == ["r4", "r3", "-r1", "-r2"]


def test_a_run_without_a_workflow_row_is_as_old_as_its_first_row() -> None:
    named = runs("r1", "r2", "r3")
    orphan = [task(0, run="r"), attempt(0, run="r"), status(0, "running", 9, run="r")]
    orphan += [status(0, "pending", 1.5, run="r"), sample(0, 9, run="r")]
    for story in ([*named, *orphan], [*orphan, *named]):
        reading = told(story, Options(runs=3))
        assert {*kept(reading)} == {"r2", "r3", "r"}
        reading = told(story, Options(runs=2))
        assert {*kept(reading)} == {"r", "r3"}
    by_tables = ModelHarness(Options(runs=2))
    by_tables.take_by_tables(as_rows([*orphan, *named]))
    assert by_tables.runs.runs["r"].first_us == (EPOCH + 1.5) * 1e6


def test_a_live_run_once_kept_stays_when_newer_ones_come() -> None:
    reading = told(runs("r1", "r2"), Options(runs=2))
    assert kept(reading) == ["r1", "r2"]
    reading.poll(late(workflow("r3", began=3), task(0, "add", "r3"), attempt(0, run="r3")))
    assert kept(reading) == ["r1", "r2"]
    assert reading.renderer.overflowed == 1


def test_a_kept_run_that_ends_stays_until_a_live_one_needs_its_place() -> None:
    reading = told(runs("r1", "r2"), Options(runs=2))
    assert kept(reading) == ["r1", "r2"]
    reading.poll(late(workflow("r1", began=0, completed=5)))
    assert kept(reading) == ["r1", "r2"]
    reading.poll(late(workflow("r3", began=3)))
    assert kept(reading) == ["r2", "r3", "-r1"]
    assert reading.renderer.overflowed == 0
    reading.poll(late(status(1, "pending", 200, run="r1")))
    assert kept(reading) == ["r2", "r3", "-r1"]


def test_hidden_labels_say_so() -> None:
    hidden = frozenset({"user", "host", "rundir"})
    assert finished([workflow()], Options(hidden=hidden)).lines("parsl_workflow_info") == [
        '{workflow_name="wf",workflow_version="1",host="hidden",user="hidden",rundir="hidden"} 1'
    ]
