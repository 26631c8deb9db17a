"""The runs as JSON, for scripts. docs/without-prometheus.md names the keys; they are added to, but not changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from parsl_exporter.model.report import RunReport, SourceReport
from parsl_exporter.model.timestamps import MICROSECONDS
from parsl_exporter.model.verdict import Verdict, ranked


def document(reports: Iterable[SourceReport]) -> dict[str, Any]:
    """Give the sources and their runs as plain values; stamps are UTC epoch seconds, null where there is none."""
    return {"sources": [_source(report) for report in reports]}


def _source(report: SourceReport) -> dict[str, Any]:
    return {
        "source": report.name,
        "state": report.state,
        "message": report.message,
        "runs": [_run(run, judged) for run, judged in ranked(report.runs, report.as_of)],
        "other_runs": report.others,
    }


def _run(run: RunReport, judged: Verdict) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        **run.names,
        "severity": judged.severity,
        "verdict": judged.text,
        "live": judged.live,
        "start_timestamp_seconds": _seconds(run.begin_us),
        "end_timestamp_seconds": _seconds(run.end_us),
        "last_row_timestamp_seconds": _seconds(run.heard_us or None),
        "tasks": [
            {"app": app, "executor": executor, "states": states}
            for (app, executor), states in run.tasks.items()
        ],
        "waiting": [
            {
                "executor": executor,
                "cause": cause,
                "tasks": tasks.count,
                "oldest_timestamp_seconds": _seconds(tasks.oldest_us),
            }
            for (executor, cause), tasks in run.waiting.items()
        ],
        "blocks": [{"executor": executor, "states": states} for executor, states in run.blocks.items()],
        "workers": [
            {"executor": executor, "managers": managers, "slots": slots, "busy": busy}
            for executor, (managers, slots, busy) in run.workers.items()
        ],
        "failures": [{"reason": reason, "tries": tries} for reason, tries in run.failures.items()],
    }


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / MICROSECONDS
