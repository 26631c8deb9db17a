"""A finished run keeps its numbers when its series have ended: the panels' own queries in promtool's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.panel_queries import check, column, each_number_of_exporters, expression, promtool

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

VERDICT = "What it does, and what holds it up"

MIDDLE, AFTER, LONG_AFTER = "10m", "30m", "2h"

EXPECTED = {
    ("parsl-task-states", "Tasks", "A"): {MIDDLE: 0, AFTER: 15, LONG_AFTER: 15},
    ("parsl-task-states", "Tasks", "B"): {MIDDLE: 0, AFTER: 5, LONG_AFTER: 5},
    ("parsl-task-states", "Tasks", "C"): {MIDDLE: 3, AFTER: 0, LONG_AFTER: 0},
    ("parsl-task-states", "Progress", "A"): {MIDDLE: 0, AFTER: 1, LONG_AFTER: 1},
    ("parsl-task-states", "Runtime", "A"): {MIDDLE: 600, AFTER: 1500, LONG_AFTER: 1500},
    ("parsl-cpu-memory", "CPU time", "A"): {MIDDLE: 600, AFTER: 1500, LONG_AFTER: 1500},
}


@pytest.mark.parametrize(
    ("panel", "expected"), EXPECTED.items(), ids=[f"{board}: {title} {ref}" for board, title, ref in EXPECTED]
)
@each_number_of_exporters
def test_a_number_is_right_while_the_run_lives_and_stays_when_it_is_gone(
    tmp_path: Path, exporters: int, panel: tuple[str, str, str], expected: dict[str, float]
) -> None:
    checks = [check(expression(*panel), at, {f"{{{RUN}}}": value}) for at, value in expected.items()]
    promtool(tmp_path, SERIES, checks, exporters)


@each_number_of_exporters
def test_what_a_run_does_stands_in_words_and_stays_when_it_is_gone(tmp_path: Path, exporters: int) -> None:
    said = {
        MIDDLE: 'state="0", words="Has been running for", time="10 min", done="0", failed="0", all="3"',
        AFTER: 'state="2", words="Ended after", time="25 min", done="15", failed="5", all="20"',
    }
    said[LONG_AFTER] = said[AFTER]
    verdict = expression("parsl-task-states", VERDICT)
    checks = [check(verdict, at, {f"{{{RUN}, {labels}}}": 0}) for at, labels in said.items()]
    promtool(tmp_path, SERIES, checks, exporters)


LISTED = {
    "Done": {MIDDLE: 0, AFTER: 15, LONG_AFTER: 15},
    "Failed": {MIDDLE: 0, AFTER: 5, LONG_AFTER: 5},
    "State": {MIDDLE: 0, AFTER: 2, LONG_AFTER: 2},
}
RECORDED = {"Progress": {MIDDLE: 0, AFTER: 1, LONG_AFTER: 1}}


@each_number_of_exporters
@pytest.mark.parametrize(
    ("rules", "listed", "moments"),
    [(True, LISTED | RECORDED, (MIDDLE, AFTER, LONG_AFTER)), (False, LISTED, (MIDDLE, AFTER))],
    ids=["rules", "no rules"],
)
@pytest.mark.parametrize(
    ("board", "title"), [("parsl-overview", "Runs"), ("parsl-task-states", "Runs of this workflow")]
)
def test_the_lists_of_runs_keep_their_numbers_by_what_the_rules_record(
    tmp_path: Path,
    exporters: int,
    rules: bool,
    listed: dict[str, dict[str, float]],
    moments: tuple[str, ...],
    board: str,
    title: str,
) -> None:
    series = SERIES | {'parsl_exporter_source_up{source="s"}': "1x180"}
    checks = [
        check(column(board, title, name), at, {f"{{{RUN}}}": values[at]})
        for name, values in listed.items()
        for at in moments
        if board == "parsl-overview" or name in ("Done", "Failed")
    ]
    promtool(tmp_path, series, checks, exporters, rules=rules)


@each_number_of_exporters
def test_a_run_without_an_end_and_without_news_is_silent_and_ran_to_its_last_news(
    tmp_path: Path, exporters: int
) -> None:
    series = {name: "1x60" for name in SERIES if "info" in name}
    series |= {name: "0x60" for name in SERIES if "_start_" in name}
    series |= {name: "0+60x24 1440x36" for name in SERIES if "_row_" in name}
    series[f'parsl_tasks{{{RUN}, app="a", executor="x", state="running"}}'] = "1x60"
    series |= {name: "0x60" for name in SERIES if "exec_done" in name or "failed" in name}
    said = 'state="1", words="Silent, probably killed, after", time="24 min", done="0", failed="0", all="1"'
    checks = [
        check(expression("parsl-task-states", "Runtime"), "50m", {f"{{{RUN}}}": 1440}),
        check(expression("parsl-task-states", VERDICT), "50m", {f"{{{RUN}, {said}}}": 1}),
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
    state = column("parsl-overview", "Runs", "State")
    expected = {"39m": {"crashed": 0, "long": 0}, "41m": {"crashed": 1, "long": 0}}
    checks = [
        check(state, at, {f'{{source="s", run_id="{run}"}}': value for run, value in states.items()})
        for at, states in expected.items()
    ]
    promtool(tmp_path, series | rules, checks, exporters)
