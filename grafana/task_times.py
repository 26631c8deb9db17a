"""How long tasks stay in each state: how it spreads, and the slowest apps."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, timeseries

from grafana import panels, promql, style
from grafana.promql import APP_KEYS, TASK
from grafana.style import Query

NOT_YET = "No task of these apps has ended this state yet"

_WHOLE = f"parsl_task_duration_seconds_bucket{{{TASK}}}"
_WAITS = {
    "pending": "until it was launched: waiting for the tasks it depends on",
    "launched": "until it ran: waiting in its executor for a worker",
    "running": "from its start on a worker to its end",
}


def time_heat(state: str) -> heatmap.Panel:
    buckets = f'parsl_task_state_duration_seconds_bucket{{{TASK}, state="{state}"}}'
    return panels.heat(
        f"Time {state}",
        f"How long tries were {state}, {_WAITS[state]}. Dots are single tries: hover for a link to the task.",
        NOT_YET,
        Query(promql.gained(buckets, "le"), "{{le}}"),
        unit=style.SECONDS,
    )


def slowest(state: str) -> timeseries.Panel:
    return _slowest(
        f"Time {state}, p95 by app",
        f"The 95th percentile of how long tries were {state}, {_WAITS[state]}: of the run so far, within 1 %; of "
        "the ten slowest apps.",
        f'parsl_task_state_summary_seconds{{{TASK}, state="{state}"',
    )


def task_heat() -> heatmap.Panel:
    return panels.heat(
        "Time from first pending to end",
        "How long tasks took in all, waiting and retries included. Dots are single tasks: hover for a link.",
        "No task of these apps has ended yet",
        Query(promql.gained(_WHOLE, "le"), "{{le}}"),
        unit=style.SECONDS,
    )


def slowest_tasks() -> timeseries.Panel:
    return _slowest(
        "Time from first pending to end, p95 by app",
        "The 95th percentile of how long tasks took in all, waiting and retries included: of the run so far, within "
        "1 %; of the ten slowest apps.",
        f"parsl_task_summary_seconds{{{TASK}",
    )


def _slowest(title: str, description: str, summary: str) -> timeseries.Panel:
    p95 = f'{summary}, quantile="0.95"}}'
    return panels.lines(
        title,
        description,
        NOT_YET,
        Query(promql.top_greatest(10, p95, APP_KEYS), "{{app}} ({{executor}})"),
        unit=style.SPAN,
    )
