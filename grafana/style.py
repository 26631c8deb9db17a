"""The house style: colours, units, thresholds and queries, the same on every dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = dm.DataSourceRef(type_val="prometheus", uid="${datasource}")

# Each has a contrast of 3:1 or better on Grafana's dark and on its light background.
TASK_COLORS = {
    "pending": "#7389A3",
    "launched": "#8F7AD6",
    "running": "#3A86E8",
    "running_ended": "#1C8AAE",
    "joining": "#C05CB5",
    "exec_done": "#2F9A44",
    "memo_done": "#0E9C8C",
    "failed": "#E02F44",
    "dep_fail": "#E0641A",
    "fail_retryable": "#B58400",
}
BLOCK_COLORS = {
    "PENDING": "#7389A3",
    "RUNNING": "#3A86E8",
    "HELD": "#B58400",
    "UNKNOWN": "#8A8A8A",
    "COMPLETED": "#2F9A44",
    "SCALED_IN": "#0E9C8C",
    "CANCELLED": "#8F7AD6",
    "TIMEOUT": "#C05CB5",
    "MISSING": "#E0641A",
    "FAILED": "#E02F44",
}
GREEN, AMBER, RED, BLUE, GREY = "#2F9A44", "#B58400", "#E02F44", "#3A86E8", "#8A8A8A"
NEUTRAL = "text"

CAUSE_COLORS = {
    "dependencies": "#7389A3",
    "batch_queue": "#B58400",
    "worker_start": "#8F7AD6",
    "idle_workers": "#E0641A",
    "busy_workers": "#3A86E8",
    "no_block": "#E02F44",
    "untold": "#C05CB5",
    "unknown": "#8A8A8A",
}
CAUSES = {
    "dependencies": "other tasks",
    "batch_queue": "batch queue",
    "worker_start": "worker start",
    "idle_workers": "idle workers",
    "busy_workers": "busy workers",
    "no_block": "no block",
    "untold": "starts not told",
    "unknown": "unknown",
}
"""What tasks wait for: short words for each cause of parsl_tasks_waiting."""

TROUBLES = {
    "ParslBlockPendingTooLong": "Block waits long in the queue",
    "ParslBlockWithoutManager": "Block has no worker pool",
    "ParslBlockStalled": "Block has stalled",
    "ParslBlocksFailing": "Blocks fail one after another",
    "ParslBlocksEndUnused": "Blocks end before they work",
    "ParslTasksWithoutBlock": "Tasks wait, there is no block",
    "ParslTasksNeverStarted": "No task was seen to start",
    "ParslManagerLost": "Worker pool was lost",
    "ParslTasksStuckLaunched": "Tasks stuck, workers are free",
    "ParslAppFailureRatioHigh": "Many tasks of an app fail",
    "ParslNodeMemoryNearLimit": "Node memory nearly full",
    "ParslTaskRunningLong": "Task runs unusually long",
    "ParslRunSilent": "Silent, has probably crashed",
    "ParslRunQuiet": "Quiet for a long time",
    "ParslExporterDown": "Exporter cannot be scraped",
    "ParslExporterSourceDown": "Database cannot be read",
    "ParslExporterSourceNotReady": "First read takes long",
    "ParslExporterFallingBehind": "Exporter falls behind",
    "ParslThresholdsBroken": "Alert thresholds are broken",
}
"""What each alert says, in words that need no labels and fit a column."""

COUNT, PLAIN, PERCENT, TEXT = "locale", "short", "percentunit", "string"
DURATION, SPAN, DATE = "dtdhms", "clocks", "dateTimeAsIso"
"""02:27:00 for what takes hours; 300ms, 01m:40s for what may take less than a second; 2026-02-03 04:05:06."""
SECONDS = "s"
DECIMALS = {SPAN: 1}
"""Digits of units that need a number of them: for SPAN the parts after the first."""
BYTES, BYTES_PER_SECOND = "bytes", "binBps"

Steps = Sequence[tuple[float | None, str]]
"""Thresholds: from this value on (None: from the lowest), this colour."""

PLAIN_STEPS: Steps = ((None, NEUTRAL),)
BAD_IF_ANY: Steps = ((None, NEUTRAL), (1, RED))
WARN_IF_ANY: Steps = ((None, NEUTRAL), (1, AMBER))
"""Of counts that should be 0."""

RUN_STATES = {"0": ("running", BLUE), "1": ("silent", AMBER), "2": ("ended", GREEN)}
UP = {"0": ("down", RED), "1": ("up", GREEN)}
SEVERITIES = {"critical": ("critical", RED), "warning": ("warning", AMBER), "info": ("info", BLUE)}
CAUSE_WORDS = {cause: (words, CAUSE_COLORS[cause]) for cause, words in CAUSES.items()}
TROUBLE_WORDS = {name: (words, NEUTRAL) for name, words in TROUBLES.items()}
YES = {"0": ("no", AMBER), "1": ("yes", GREEN)}


class Query(NamedTuple):
    """An expression and the name its series get; `{{label}}` in it stands for the label's value."""

    expr: str
    legend: str = "__auto"


class Link(NamedTuple):
    """A link of a panel or a cell."""

    title: str
    url: str
    new_tab: bool = False


def target(
    query: Query,
    ref: str = "A",
    *,
    instant: bool = False,
    layout: PromQueryFormat = PromQueryFormat.TIME_SERIES,
    exemplars: bool = False,
) -> prometheus.Dataquery:
    """One query of a panel, of the dashboard's data source."""
    built = (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(ref)
        .format(layout)
        .datasource(DATASOURCE)
    )
    if exemplars:
        built.exemplar(True)
    return built.instant() if instant else built.range()


def refs(count: int) -> list[str]:
    """Grafana's names for a panel's queries: A, B, C..."""
    return [chr(ord("A") + i) for i in range(count)]


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Absolute thresholds."""
    return (
        dashboard.ThresholdsConfig()
        .mode(dm.ThresholdsMode.ABSOLUTE)
        .steps([dm.Threshold(value=value, color=color) for value, color in steps])
    )


def value_map(names: Mapping[str, tuple[str, str]]) -> list[dm.ValueMapping]:
    """Show each value as a word in a colour."""
    options = {
        value: dm.ValueMappingResult(text=text, color=color, index=i)
        for i, (value, (text, color)) in enumerate(names.items())
    }
    return [dm.ValueMap(options=options)]


def link_list(links: Sequence[Link]) -> list[dict[str, object]]:
    """The links as Grafana has them."""
    return [{"title": link.title, "url": link.url, "targetBlank": link.new_tab} for link in links]


def fixed_color(color: str) -> dm.DynamicConfigValue:
    """Property of an override: always this colour."""
    return dm.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
