"""What `parsl-exporter dump` must publish, computed anew from all rows of a finished or abandoned database.

It shares no code with the exporter and knows nothing of reading piecemeal: every value is a plain count, sum,
minimum or maximum over all rows of a run, so that it can be checked by eye against the meaning of its family.
Not modelled: rows with values that no exporter can use, limits on the number of series, hidden labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from .blocks import block_families
from .page import Exemplar, Histogram, Labels, Series, Sheet, Summary, Value, differences, parse, parse_only
from .rows import UNKNOWN, Run, label, load
from .tasks import task_families
from .waiting import waiting_families

__all__ = [
    "Exemplar",
    "Histogram",
    "Labels",
    "Series",
    "Summary",
    "Value",
    "differences",
    "expected",
    "parse",
    "parse_only",
]

SECONDS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
BYTES = tuple(float(2**power) for power in range(24, 39))
INFO = ("workflow_name", "workflow_version", "host", "user", "rundir")


def expected(
    database: Path,
    *,
    source: str,
    timezone: str = "local",
    buckets_seconds: Sequence[float] = SECONDS,
    buckets_bytes: Sequence[float] = BYTES,
    failure_reasons: Sequence[str] = (),
    worker_timezone: Mapping[str, str] = MappingProxyType({}),
    now: float | None = None,
) -> Series:
    """Compute every run family of a SQLite monitoring database: family name -> labels -> value.

    Values are seconds, bytes and UTC epoch seconds; counters are named with `_total`. `timezone` is `local`
    or the IANA zone in which the stamps were written. Failures whose class is not among `failure_reasons`
    (the configured list) count as `_other`. `worker_timezone`: the zones of workers' stamps by patterns of executors.
    `now`: the UTC epoch second at which all rows were read; without it no clock is ahead, and when a row was last
    read is left out. Raises ValueError for a stamp that cannot be read.
    """
    series: Series = {}
    now_us = None if now is None else round(now * 1_000_000)
    for run in load(database, timezone, worker_timezone):
        sheet = Sheet(series, source=source, run_id=label(run.run_id))
        _workflow_families(run, sheet, now_us)
        task_families(run, sheet, buckets_seconds, buckets_bytes, failure_reasons)
        block_families(run, sheet, buckets_seconds, now_us)
        waiting_families(run, sheet)
    return series


def _workflow_families(run: Run, sheet: Sheet, now_us: int | None) -> None:
    told = [row["timestamp"] for rows in (run.status, run.resource, run.block, run.node) for row in rows]
    if not run.workflow:
        sheet.put("parsl_workflow_info", 1.0, **dict.fromkeys(INFO, UNKNOWN))
    for row in run.workflow:
        sheet.put("parsl_workflow_info", 1.0, **{name: label(row[name]) for name in INFO})
        sheet.put("parsl_workflow_start_timestamp_seconds", row["time_began"] / 1_000_000)
        told.append(row["time_began"])
        if row["time_completed"] is not None:
            sheet.put("parsl_workflow_end_timestamp_seconds", row["time_completed"] / 1_000_000)
            told.append(row["time_completed"])
    if told:
        sheet.put("parsl_workflow_last_event_timestamp_seconds", max(told) / 1_000_000)
    past = [us for us in told if now_us is not None and us <= now_us]
    if past:
        sheet.put("parsl_workflow_last_row_timestamp_seconds", max(past) / 1_000_000)
