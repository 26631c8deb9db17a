"""The exporter itself: does it reach its databases, does it keep up, what does it cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, shell, style
from grafana.promql import SOURCE
from grafana.style import Query
from grafana.table import Column, rows

UID = "parsl-exporter"
NO_EXPORTER = "No exporter is scraped: check Prometheus's targets"

_PROCESS = "parsl_exporter_build_info"
_TAKEN = {"0": ("refused", style.RED), "1": ("in use", style.GREEN)}


def build() -> dm.Dashboard:
    """Make the dashboard."""
    sources = shell.choice(
        "source", "Source", "The monitoring database", "parsl_exporter_source_info", "source"
    )
    started = _process("1000 * process_start_time_seconds")
    return shell.board(
        UID,
        "Parsl / Exporter",
        "The condition of parsl-exporter: whether it reaches its databases, keeps up with them, and what it "
        "costs.",
        variables=[sources],
        annotations=[shell.event("Exporter started", "{{instance}} started", style.BLUE, started)],
        since="now-1h",
        refresh="30s",
        rows=[
            shell.Row(
                "",
                4,
                [
                    (4, down()),
                    (4, not_ready()),
                    (4, oldest_read()),
                    (4, backlog_now()),
                    (4, bad_rows()),
                    (4, series_now()),
                ],
            ),
            shell.Row("", 8, [(24, sources_table())]),
            shell.Row("", 6, [(24, condition())]),
            shell.Row("", 8, [(12, polls()), (12, longest_read()), (12, rows_read()), (12, backlog())]),
            shell.Row("Faults", 8, [(8, errors()), (8, rejected()), (8, late())], folded=True),
            shell.Row(
                "Cost",
                8,
                [(24, builds()), (12, series()), (12, memory()), (12, cpu()), (12, scrapes())],
                folded=True,
            ),
        ],
    )


def _own(name: str) -> str:
    return f"parsl_exporter_{name}{{{SOURCE}}}"


def _gained(name: str, by: str) -> str:
    """As `promql.gained`, but of several exporters each has faults of its own."""
    return f"sum by ({by}) ({_own(name)}) - sum by ({by}) ({_own(name)} offset $__interval)"


def down() -> stat.Panel:
    return panels.number(
        "Databases",
        "Databases that the exporter could not read at its last poll, and how many there are.",
        "no exporter",
        Query(f"count ({_own('source_up')}) - sum ({_own('source_up')})", "down"),
        Query(f"count ({_own('source_up')})", "all"),
        steps_of={"down": style.BAD_IF_ANY},
    )


def not_ready() -> stat.Panel:
    return panels.number(
        "Not caught up",
        "Databases of which the exporter has not read everything once. Their runs are not published yet.",
        "no exporter",
        Query(f"count ({_own('source_ready')}) - sum ({_own('source_ready')})"),
        steps=style.WARN_IF_ANY,
    )


def oldest_read() -> stat.Panel:
    return panels.number(
        "Oldest news",
        "How long ago the database that waits longest was last read with success.",
        "never read",
        Query(f"time() - min ({_own('source_last_success_timestamp_seconds')})"),
        unit=style.DURATION,
        steps=((None, style.NEUTRAL), (60, style.AMBER), (300, style.RED)),
    )


def backlog_now() -> stat.Panel:
    return panels.number(
        "Rows behind",
        "Rows that are in the databases and not read yet.",
        "no exporter",
        Query(f"sum ({_own('backlog_rows')})"),
        steps=((None, style.NEUTRAL), (10_000, style.AMBER)),
    )


def bad_rows() -> stat.Panel:
    return panels.number(
        "Rows rejected",
        "Rows that could not be used, since the exporter started. Its log names the reason of each kind "
        "once.",
        "none",
        Query(f"sum ({_own('rows_rejected_total')}) or 0 * count ({_own('source_up')})"),
        steps=style.WARN_IF_ANY,
    )


def series_now() -> stat.Panel:
    return panels.number(
        "Series",
        "Series that the exporter publishes for these sources.",
        "no exporter",
        Query(f"sum ({_own('series')})"),
        steps=((None, style.NEUTRAL), (160_000, style.AMBER), (200_000, style.RED)),
    )


def sources_table() -> table.Panel:
    def most(name: str) -> str:
        return f"max by (source) ({_own(name)})"

    def least(name: str) -> str:
        return f"min by (source) ({_own(name)})"

    def added(name: str) -> str:
        """0 for what is not there before it counts."""
        return f"sum by (source) ({_own(name)}) or 0 * {most('source_up')}"

    return rows(
        "Sources",
        "One row for each database, in the worse condition if several exporters read it; those that cannot be read "
        "first. Read lock: how long the longest read of the last poll held it; Parsl's writer waits up to 5 seconds "
        "for that.",
        NO_EXPORTER,
        Column("Source", label="source"),
        Column("Reads", expr=least("source_up"), words=style.UP, width=85),
        Column("Caught up", expr=least("source_ready"), words=style.YES, width=85),
        Column(
            "Last read",
            expr=f"time() - {least('source_last_success_timestamp_seconds')}",
            unit=style.DURATION,
            width=85,
        ),
        Column("Poll", expr=most("poll_duration_seconds"), unit=style.SECONDS, width=75),
        Column("Read lock", expr=most("longest_read_seconds"), unit=style.SECONDS, width=85),
        Column("Behind", expr=added("backlog_rows"), width=70),
        Column("Failed polls", expr=added("errors_total"), width=105, steps=style.BAD_IF_ANY),
        Column("Rejected", expr=added("rows_rejected_total"), width=85, steps=style.WARN_IF_ANY),
        Column("Late", expr=added("late_rows_total"), width=60),
        Column("Series", expr=most("series"), width=75),
        Column("Folded", expr=added("series_folded_total"), width=70, steps=style.WARN_IF_ANY),
        Column("Kind", label="dialect", width=85),
        Column("Database", label="database"),
        keys=[f"max by (source, dialect, database) ({_own('source_info')})"],
        sort="Reads",
        descending=False,
    )


def condition() -> statetimeline.Panel:
    up = f"min by (source) ({_own('source_up')})"
    was_down = f"min by (source) (min_over_time({_own('source_up')}[$__range] @ end())) == 0"
    none = "Every database could be read at every poll that Prometheus saw"
    lanes = promql.or_nothing(f"1 + {up} and on (source) ({was_down})", "source", was_down)
    return panels.timeline(
        "Sources that were down",
        "When these databases could be read, by all exporters that should. Those that always could are left out.",
        none,
        Query(lanes, "{{source}}"),
        words={"0": (none, "transparent"), "1": style.UP["0"], "2": style.UP["1"]},
    )


def polls() -> timeseries.Panel:
    return panels.lines(
        "Poll time",
        "How long the last poll took, of the ten databases that took longest. Nothing new should cost next to nothing.",
        NO_EXPORTER,
        Query(promql.top_greatest(10, _own("poll_duration_seconds"), "source"), "{{source}}"),
        unit=style.SECONDS,
    )


def longest_read() -> timeseries.Panel:
    return panels.lines(
        "Longest read",
        "How long the longest read of the last poll held its read lock, of the ten databases where it was longest. On "
        "SQLite, Parsl's writer waits for it.",
        NO_EXPORTER,
        Query(promql.top_greatest(10, _own("longest_read_seconds"), "source"), "{{source}}"),
        unit=style.SECONDS,
        steps=((None, style.NEUTRAL), (1, style.RED)),
    )


def rows_read() -> timeseries.Panel:
    return panels.lines(
        "Rows read a second",
        "How many rows of each table come in.",
        "No row came in this time",
        Query(promql.top_rate(10, _own("rows_read_total"), "table"), "{{table}}"),
        stacked=True,
        axis="rows a second",
    )


def backlog() -> timeseries.Panel:
    behind = f"sum by (source) ({_own('backlog_rows')})"
    rank = f"sum by (source) (max_over_time({_own('backlog_rows')}[$__range] @ end()))"
    return panels.lines(
        "Rows behind by source",
        "Rows that are there and not read yet, of the ten databases that had most. It should fall back to zero.",
        NO_EXPORTER,
        Query(promql.top(10, behind, "source", rank), "{{source}}"),
        axis="rows",
    )


def errors() -> timeseries.Panel:
    return panels.lines(
        "Failed polls",
        "Polls that failed, by database and reason.",
        "No poll has failed",
        Query(f"{_gained('errors_total', 'source, reason')} > 0", "{{source}}: {{reason}}"),
        bars=True,
        calcs=("sum",),
        axis="polls",
    )


def rejected() -> timeseries.Panel:
    return panels.lines(
        "Rejected rows",
        "Rows that could not be used, by table and reason.",
        "No row was rejected",
        Query(f"{_gained('rows_rejected_total', 'table, reason')} > 0", "{{table}}: {{reason}}"),
        bars=True,
        calcs=("sum",),
        axis="rows",
    )


def late() -> timeseries.Panel:
    return panels.lines(
        "Late rows",
        "Rows of tries that were closed already: counters take them, histograms do not. Many of them: raise "
        "close_after.",
        "No row came late",
        Query(f"{_gained('late_rows_total', 'table')} > 0", "{{table}}"),
        bars=True,
        calcs=("sum",),
        axis="rows",
    )


def series() -> timeseries.Panel:
    return panels.lines(
        "Series and folded values",
        "Published series, and values that a limit has folded to _other since the exporter started.",
        NO_EXPORTER,
        Query(f"sum ({_own('series')})", "series"),
        Query(f"sum ({_own('series_folded_total')})", "folded"),
        colors={"series": style.BLUE, "folded": style.RED},
    )


def _process(name: str) -> str:
    return f"{name} and on (job, instance) {_PROCESS}"


def memory() -> timeseries.Panel:
    return panels.lines(
        "Memory",
        "Resident memory of the exporter's process.",
        NO_EXPORTER,
        Query(_process("process_resident_memory_bytes"), "{{instance}}"),
        unit=style.BYTES,
    )


def cpu() -> timeseries.Panel:
    return panels.lines(
        "CPU",
        "Cores that the exporter's process keeps busy.",
        NO_EXPORTER,
        Query(_process("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}"),
        axis="cores",
    )


def scrapes() -> timeseries.Panel:
    return panels.lines(
        "Scrape time",
        "How long Prometheus takes to fetch the exporter's page.",
        NO_EXPORTER,
        Query(_process("scrape_duration_seconds"), "{{instance}}"),
        unit=style.SECONDS,
    )


def builds() -> table.Panel:
    reload = "parsl_exporter_config_last_reload"
    return rows(
        "Exporters",
        "What runs, and whether it took its configuration when that was last read.",
        NO_EXPORTER,
        Column("Instance", label="instance"),
        Column("Version", label="version", width=110),
        Column("Revision", label="revision", width=120),
        Column("Python", label="pythonversion", width=100),
        Column("Configuration", expr=f"max by (instance) ({reload}_successful)", words=_TAKEN, width=120),
        Column(
            "Read",
            expr=f"1000 * max by (instance) ({reload}_success_timestamp_seconds)",
            unit=style.DATE,
            width=180,
        ),
        keys=[f"max by (instance, version, revision, pythonversion) ({_PROCESS})"],
    )
