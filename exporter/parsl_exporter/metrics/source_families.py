"""The exporter's own families: one set for each source, and a few for the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from parsl_exporter.base.errors import FaultReason
from parsl_exporter.base.tables import TABLES
from parsl_exporter.metrics.family import Family, Kind, Overflow, Sample
from parsl_exporter.model.intake import REJECTION_REASONS


class SourceFacts(NamedTuple):
    """What is published of a source itself. Times are UTC epoch seconds, durations seconds."""

    dialect: str
    database: str
    up: bool
    ready: bool
    last_success: float
    poll_duration: float
    longest_read: float
    rows_read: Mapping[str, int]
    backlog: Mapping[str, int]
    errors: Mapping[str, int]
    rejected: Mapping[tuple[str, str], int]
    late: Mapping[str, int]
    series: int
    overflowed: int


class ProcessFacts(NamedTuple):
    """What is published of the process. `reload_success_time` is UTC epoch seconds."""

    version: str
    revision: str
    pythonversion: str
    reload_successful: bool
    reload_success_time: float


def _by_table(value: Callable[[SourceFacts], Mapping[str, int]]) -> Callable[[SourceFacts], Iterable[Sample]]:
    return lambda facts: (((table.name,), value(facts).get(table.name, 0)) for table in TABLES)


def _one(value: Callable[[SourceFacts], float]) -> Callable[[SourceFacts], Iterable[Sample]]:
    return lambda facts: [((), value(facts))]


def _rejected(facts: SourceFacts) -> Iterator[Sample]:
    for table in TABLES:
        for reason in REJECTION_REASONS:
            yield (table.name, reason), facts.rejected.get((table.name, reason), 0)


def _last_success(facts: SourceFacts) -> list[Sample]:
    return [((), facts.last_success)] if facts.last_success else []


def _source(
    name: str,
    kind: Kind,
    own: tuple[str, ...],
    draw: Callable[[SourceFacts], Iterable[Sample]],
    text: str,
    overflow: Overflow = "drop",
) -> Family[SourceFacts]:
    return Family(name, kind, text, own, draw, overflow, shared=("source",))


SOURCE_FAMILIES: tuple[Family[SourceFacts], ...] = (
    _source(
        "parsl_exporter_source_info",
        "gauge",
        ("dialect", "database"),
        lambda facts: [((facts.dialect, facts.database), 1)],
        "A source and the database that it reads; always 1.",
    ),
    _source(
        "parsl_exporter_source_up",
        "gauge",
        (),
        _one(lambda f: float(f.up)),
        "1 when the last poll succeeded.",
    ),
    _source(
        "parsl_exporter_source_ready",
        "gauge",
        (),
        _one(lambda f: float(f.ready)),
        "1 when the source has caught up with its database once.",
    ),
    _source(
        "parsl_exporter_source_last_success_timestamp_seconds",
        "gauge",
        (),
        _last_success,
        "When a poll last succeeded; absent before the first.",
    ),
    _source(
        "parsl_exporter_poll_duration_seconds",
        "gauge",
        (),
        _one(lambda f: f.poll_duration),
        "How long the last poll took, all of it.",
    ),
    _source(
        "parsl_exporter_longest_read_seconds",
        "gauge",
        (),
        _one(lambda f: f.longest_read),
        "The longest read transaction of the last poll.",
    ),
    _source(
        "parsl_exporter_rows_read_total",
        "counter",
        ("table",),
        _by_table(lambda f: f.rows_read),
        "Rows read.",
    ),
    _source(
        "parsl_exporter_backlog_rows",
        "gauge",
        ("table",),
        _by_table(lambda f: f.backlog),
        "Rows not read yet, by position.",
    ),
    _source(
        "parsl_exporter_errors_total",
        "counter",
        ("reason",),
        lambda facts: (((reason,), facts.errors.get(reason, 0)) for reason in FaultReason),
        "Failed polls.",
    ),
    _source(
        "parsl_exporter_rows_rejected_total",
        "counter",
        ("table", "reason"),
        _rejected,
        "Rows that could not be used, and were skipped.",
    ),
    _source(
        "parsl_exporter_late_rows_total",
        "counter",
        ("table",),
        _by_table(lambda f: f.late),
        "Rows of tries already closed: in counters, not in histograms.",
    ),
    _source(
        "parsl_exporter_series",
        "gauge",
        (),
        _one(lambda f: f.series),
        "Series published of the source's runs.",
    ),
    _source(
        "parsl_exporter_series_folded_total",
        "counter",
        (),
        _one(lambda f: f.overflowed),
        "Values (apps, runs) that a limit folded into _other.",
    ),
)

PROCESS_FAMILIES: tuple[Family[ProcessFacts], ...] = (
    Family(
        "parsl_exporter_build_info",
        "gauge",
        "The exporter's version, source revision and Python; always 1.",
        ("version", "revision", "pythonversion"),
        lambda facts: [((facts.version, facts.revision, facts.pythonversion), 1)],
        "drop",
        shared=(),
    ),
    Family(
        "parsl_exporter_config_last_reload_successful",
        "gauge",
        "1 when the last reading of the configuration succeeded.",
        (),
        lambda facts: [((), float(facts.reload_successful))],
        "drop",
        shared=(),
    ),
    Family(
        "parsl_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration was last read with success.",
        (),
        lambda facts: [((), facts.reload_success_time)],
        "drop",
        shared=(),
    ),
)
