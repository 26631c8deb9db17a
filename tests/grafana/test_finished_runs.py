"""A finished run keeps its numbers when its series have ended: the panels' own queries in promtool's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel_queries import column, each_number_of_exporters, expression, promtool

pytestmark = pytest.mark.stack

RUN = 'source="s", run_id="r"'

# A sample a minute: a run of 25 minutes, whose series end 15 minutes later. In the tenth minute a task's row came
# before its app was known.
SERIES = {
    f'parsl_workflow_info{{{RUN}, workflow_name="w", user="u", host="h"}}': "1x40 stale",
    f"parsl_workflow_start_timestamp_seconds{{{RUN}}}": "0x40 stale",
    f"parsl_workflow_end_timestamp_seconds{{{RUN}}}": "_x25 1500x15 stale",
    f"parsl_workflow_last_row_timestamp_seconds{{{RUN}}}": "0+60x24 1500x15 stale",
    f'parsl_tasks{{{RUN}, app="a", executor="x", state="exec_done"}}': "0x9 0+1x15 15x14 stale",
    f'parsl_tasks{{{RUN}, app="a", executor="x", state="failed"}}': "0x20 5x19 stale",
    f'parsl_tasks{{{RUN}, app="a", executor="x", state="running"}}': "2x24 0x15 stale",
    f'parsl_tasks{{{RUN}, app="unknown", executor="x", state="running"}}': "_x10 1 stale",
    f'parsl_task_cpu_seconds_total{{{RUN}, app="a", executor="x", mode="user"}}': "0+60x25 1500x14 stale",
}

MIDDLE, AFTER, LONG_AFTER = "10m", "30m", "2h"

EXPECTED = {
    ("parsl-task-states", "Done"): {MIDDLE: 0, AFTER: 15, LONG_AFTER: 15},
    ("parsl-task-states", "Failed"): {MIDDLE: 0, AFTER: 5, LONG_AFTER: 5},
    ("parsl-task-states", "In progress"): {MIDDLE: 3, AFTER: 0, LONG_AFTER: 0},
    ("parsl-task-states", "Progress"): {MIDDLE: 0, AFTER: 1, LONG_AFTER: 1},
    ("parsl-task-states", "State"): {MIDDLE: 0, AFTER: 2, LONG_AFTER: 2},
    ("parsl-task-states", "Runtime"): {MIDDLE: 600, AFTER: 1500, LONG_AFTER: 1500},
    ("parsl-cpu-memory", "CPU time"): {MIDDLE: 600, AFTER: 1500, LONG_AFTER: 1500},
}


@pytest.mark.parametrize(
    ("panel", "expected"), EXPECTED.items(), ids=[f"{board}: {title}" for board, title in EXPECTED]
)
@each_number_of_exporters
def test_a_number_is_right_while_the_run_lives_and_stays_when_it_is_gone(
    tmp_path: Path, exporters: int, panel: tuple[str, str], expected: dict[str, float]
) -> None:
    promtool(
        tmp_path,
        SERIES,
        [
            {
                "expr": expression(*panel),
                "eval_time": at,
                "exp_samples": [{"labels": f"{{{RUN}}}", "value": value}],
            }
            for at, value in expected.items()
        ],
        exporters,
    )


LISTED = {
    "Done": {MIDDLE: 0, AFTER: 15, LONG_AFTER: 15},
    "Failed": {MIDDLE: 0, AFTER: 5, LONG_AFTER: 5},
    "In progress": {MIDDLE: 3, AFTER: 0, LONG_AFTER: 0},
    "Progress": {MIDDLE: 0, AFTER: 1, LONG_AFTER: 1},
    "State": {MIDDLE: 0, AFTER: 2, LONG_AFTER: 2},
}


@each_number_of_exporters
@pytest.mark.parametrize(
    ("rules", "moments"),
    [(True, (MIDDLE, AFTER, LONG_AFTER)), (False, (MIDDLE, AFTER))],
    ids=["rules", "no rules"],
)
def test_the_list_of_runs_keeps_its_numbers_by_what_the_rules_record(
    tmp_path: Path, exporters: int, rules: bool, moments: tuple[str, ...]
) -> None:
    series = SERIES | {'parsl_exporter_source_up{source="s"}': "1x180"}
    checks = [
        {
            "expr": column("parsl-overview", "Runs", name),
            "eval_time": at,
            "exp_samples": [{"labels": f"{{{RUN}}}", "value": values[at]}],
        }
        for name, values in LISTED.items()
        for at in moments
    ]
    checks += [
        {
            "expr": expression("parsl-overview", "Tasks failed"),
            "eval_time": at,
            "exp_samples": [{"labels": "{}", "value": LISTED["Failed"][at]}],
        }
        for at in moments
    ]
    promtool(tmp_path, series, checks, exporters, rules=rules)


@each_number_of_exporters
def test_a_run_without_an_end_and_without_news_is_silent_and_ran_to_its_last_news(
    tmp_path: Path, exporters: int
) -> None:
    series = {name: "1x60" for name in SERIES if "info" in name}
    series |= {name: "0x60" for name in SERIES if "_start_" in name}
    series |= {name: "0+60x24 1440x36" for name in SERIES if "_row_" in name}
    checks: list[dict[str, object]] = [
        {
            "expr": expression("parsl-task-states", title),
            "eval_time": "50m",
            "exp_samples": [{"labels": f"{{{RUN}}}", "value": value}],
        }
        for title, value in (("State", 1), ("Runtime", 1440))
    ]
    promtool(tmp_path, series, checks, exporters)


@each_number_of_exporters
def test_a_run_is_silent_that_the_alerts_call_so_and_long_tasks_are_not(
    tmp_path: Path, exporters: int
) -> None:
    """As the rules record it: a crash shows before any time without news is over, and quiet alone is none."""
    series: dict[str, str] = {}
    for run, news in (("crashed", "0+60x60"), ("long", "0x60")):
        series |= {
            f'parsl_workflow_info{{source="s", run_id="{run}", workflow_name="w", user="u", host="h"}}': "1x60",
            f'parsl_workflow_start_timestamp_seconds{{source="s", run_id="{run}"}}': "0x60",
            f'parsl_workflow_last_row_timestamp_seconds{{source="s", run_id="{run}"}}': news,
        }
    rules = {
        'parsl:run:silent_seconds{source="s", run_id="crashed"}': "_x40 660+60x20",
        'parsl:run:live{source="s", run_id="crashed", workflow_name="w", user="u"}': "1x39 stale",
        'parsl:run:live{source="s", run_id="long", workflow_name="w", user="u"}': "1x60",
    }
    expected = {
        ("Running", "39m"): 2,
        ("Running", "41m"): 1,
        ("Silent", "39m"): 0,
        ("Silent", "41m"): 1,
    }
    checks = [
        {
            "expr": expression("parsl-overview", title),
            "eval_time": at,
            "exp_samples": [{"labels": "{}", "value": n}],
        }
        for (title, at), n in expected.items()
    ]
    promtool(tmp_path, series | rules, checks, exporters)
