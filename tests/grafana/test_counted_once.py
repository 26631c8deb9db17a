"""What panels add up is all that is there, and each thing once: the panels' own queries in promtool's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.panel_queries import check, column, each_number_of_exporters, expression, promtool

pytestmark = pytest.mark.stack

RUN = 'source="s", run_id="r"'
INFO = f'parsl_workflow_info{{{RUN}, workflow_name="w", user="u", host="h"}}'


def managers(executor: str, block: str, *names: str, workers: int) -> dict[str, str]:
    labels = [f'{RUN}, manager="{name}", executor="{executor}", block_id="{block}"' for name in names]
    active = {f"parsl_manager_active{{{label}}}": "1x60" for label in labels}
    return active | {f"parsl_manager_workers{{{label}}}": f"{workers}x60" for label in labels}


@each_number_of_exporters
def test_workers_of_an_unknown_executor_are_busy_with_the_tasks_of_blocks_of_their_number(
    tmp_path: Path, exporters: int
) -> None:
    """As with two HTEX executors on one host; a third one, on another, is known."""
    series = {INFO: "1x60"}
    series |= managers("unknown", "0", "m1", "m2", workers=4)
    series |= managers("c", "1", "m3", workers=8)
    running = {("a", "0"): 3, ("b", "0"): 1, ("c", "1"): 2, ("threadless", "7"): 9}
    for (executor, block), tasks in running.items():
        labels = f'{RUN}, executor="{executor}", block_id="{block}"'
        series[f"parsl_block_tasks_running{{{labels}}}"] = f"{tasks}x60"
    shown: dict[tuple[str, str, str], dict[str, float]] = {
        ("parsl-worker-pools", "Workers busy", "A"): {"{}": 6 / 16},
        ("parsl-worker-pools", "Workers: busy, idle and to come", "A"): {"{}": 6},
        ("parsl-worker-pools", "Workers: busy, idle and to come", "B"): {"{}": 10},
        ("parsl-worker-pools", "Idle workers by executor", "A"): {
            '{executor="unknown"}': 4,
            '{executor="c"}': 6,
        },
        ("parsl-overview", "Workers busy", "A"): {"{}": 6 / 16},
        ("parsl-overview", "Workers: busy and connected", "A"): {"{}": 16},
        ("parsl-overview", "Workers: busy and connected", "B"): {"{}": 6},
    }
    checks = [check(expression(*panel), "10m", answer) for panel, answer in shown.items()]
    promtool(tmp_path, series, checks, exporters, rules=True)


@each_number_of_exporters
def test_a_failed_try_is_in_one_bar(tmp_path: Path, exporters: int) -> None:
    series = {
        INFO: "1x60",
        f'parsl_task_failures_total{{{RUN}, app="a", executor="x", reason="ValueError"}}': "0x9 2x50",
        f'parsl_task_failures_total{{{RUN}, app="b", executor="x", reason="ValueError"}}': "3x60",
    }
    bars = f"sum (sum_over_time(({expression('parsl-task-states', 'Failed tries over time')})[50m:1m]))"
    promtool(tmp_path, series, [check(bars, "55m", {"{}": 2})], exporters)


@pytest.mark.parametrize(("there", "bars"), [("1x60", 4), ("_x9 1x50", 0)])
@each_number_of_exporters
def test_the_first_failures_of_a_reason_are_in_a_bar_if_their_run_was_there(
    tmp_path: Path, exporters: int, there: str, bars: int
) -> None:
    """A reason is there once the run has seen it; an exporter that was away must not make a burst of what it missed."""
    series = {
        INFO: there,
        f'parsl_task_failures_total{{{RUN}, app="a", executor="x", reason="KeyError"}}': "_x9 4x50",
    }
    sum_of_bars = (
        f"sum (sum_over_time(({expression('parsl-task-states', 'Failed tries over time')})[50m:1m]))"
    )
    promtool(tmp_path, series, [check(sum_of_bars, "55m", {"{}": bars})], exporters)


@each_number_of_exporters
def test_a_try_is_in_one_column_of_a_heatmap(tmp_path: Path, exporters: int) -> None:
    running = f'{RUN}, app="a", executor="x", state="running"'
    series = {
        f'parsl_task_state_duration_seconds_bucket{{{running}, le="{le}"}}': f"5x9 {n}x50"
        for le, n in (("1", 5), ("10", 7), ("+Inf", 8))
    }
    columns = f"sum_over_time(({expression('parsl-task-states', 'Time running')})[50m:1m])"
    answer = {'{le="1"}': 0, '{le="10"}': 2, '{le="+Inf"}': 3}
    promtool(tmp_path, series, [check(columns, "55m", answer)], exporters)


@each_number_of_exporters
def test_a_pending_block_brings_as_many_workers_as_the_largest_of_its_executor(
    tmp_path: Path, exporters: int
) -> None:
    """All managers of a block count; blocks of an executor of which none has come to run bring nobody knows what."""
    series = {INFO: "1x60"}
    series |= managers("x", "0", "m1", "m2", workers=8)
    series |= managers("x", "1", "m3", workers=8)
    for executor, state, blocks in (
        ("x", "PENDING", 2),
        ("x", "HELD", 1),
        ("x", "RUNNING", 2),
        ("y", "PENDING", 4),
    ):
        series[f'parsl_blocks{{{RUN}, executor="{executor}", state="{state}"}}'] = f"{blocks}x60"
    expressions = {
        column("parsl-worker-pools", "Executors", "To come"): '{executor="x"}',
        expression("parsl-worker-pools", "Workers", "B"): "{}",
        expression("parsl-worker-pools", "Workers: busy, idle and to come", "C"): "{}",
    }
    checks = [check(expr, "30m", {labels: 48}) for expr, labels in expressions.items()]
    promtool(tmp_path, series, checks, exporters)


@each_number_of_exporters
def test_all_workers_of_a_node_share_it_whosever_they_are(tmp_path: Path, exporters: int) -> None:
    """Also those of executors that are not looked at, and no longer those of a manager that went."""
    series = {INFO: "1x60", f'parsl_node_cpus{{{RUN}, hostname="n"}}': "64x60"}
    for executor, workers, active in (("x", 4, "1x60"), ("y", 12, "1x60"), ("gone", 16, "1x9 0x50")):
        labels = f'{RUN}, manager="{executor}", hostname="n", executor="{executor}", block_id="0"'
        series[f"parsl_manager_workers{{{labels}}}"] = f"{workers}x60"
        series[f"parsl_manager_active{{{labels}}}"] = active
    series[f'parsl_task_memory_peak_bytes_count{{{RUN}, app="a", executor="x"}}'] = "1x60"
    has = column("parsl-cpu-memory", "CPU of one task", "A worker has")
    labels = f'{{{RUN}, app="a", executor="x"}}'
    checks = [check(has, at, {labels: value}) for at, value in (("9m", 2), ("10m", 4))]
    promtool(tmp_path, series, checks, exporters)


@each_number_of_exporters
def test_nodes_count_while_a_manager_on_them_is_connected(tmp_path: Path, exporters: int) -> None:
    series = {f'parsl_node_cpus{{{RUN}, hostname="{host}"}}': "64x60" for host in ("n0", "n1")}
    series |= {f'parsl_node_memory_bytes{{{RUN}, hostname="{host}"}}': "1e9x60" for host in ("n0", "n1")}
    for host, active in (("n0", "1x60"), ("n1", "1x9 0x50")):
        series[f'parsl_manager_active{{{RUN}, manager="{host}", hostname="{host}"}}'] = active
    series[f'parsl_task_memory_resident_bytes{{{RUN}, app="a", executor="x"}}'] = "5e8x60"
    shown = {
        ("CPU: used and there", "B"): (128, 64),
        ("Memory: used and there", "B"): (2e9, 1e9),
        ("Memory used", "A"): (0.25, 0.5),
    }
    checks = [
        check(expression("parsl-cpu-memory", *panel), at, {"{}": value})
        for panel, values in shown.items()
        for at, value in zip(("9m", "10m"), values, strict=True)
    ]
    promtool(tmp_path, series, checks, exporters)


@pytest.mark.parametrize(
    ("board", "title"), [("parsl-overview", "Condition of the sources"), ("parsl-exporter", "Sources")]
)
def test_a_source_is_as_its_worse_exporter_says(tmp_path: Path, board: str, title: str) -> None:
    series = {
        f'parsl_exporter_source_{what}{{job="{job}", source="s"}}': values
        for job, up in (("good", 1), ("bad", 0))
        for what, values in (
            ("up", f"{up}x60"),
            ("ready", f"{up}x60"),
            ("last_success_timestamp_seconds", f"0+{60 * up}x60"),
        )
    }
    checks = [
        check(column(board, title, name), "10m", {'{source="s"}': value})
        for name, value in {"Reads": 0, "Caught up": 0, "Last read": 600}.items()
    ]
    promtool(tmp_path, series, checks)
