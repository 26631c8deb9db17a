"""What panels answer of made-up runs of several kinds, on a real Prometheus."""

from __future__ import annotations

import math

from dashboard_kinds import kinds
from dashboard_samples import Samples, samples
from dashboard_world import Prometheus
from grafana import inventory

NOW = 1_790_000_000.0
STEP = 60
RUNS = kinds(NOW)
PANELS = inventory.panels_by_title()

Found = dict[frozenset[tuple[str, str]], float]


def all_kinds() -> Samples:
    """Samples of all kinds of runs, each as a source of its own."""
    return samples((run for runs in RUNS.values() for run in runs), NOW, STEP)


def filled(expr: str, kind: str) -> str:
    """A panel's query about the newest run of a kind, over the time from its begin to now."""
    run = RUNS[kind][-1]
    values = {
        "source": kind,
        "workflow": ".*",
        "run": run.run_id,
        "executor": ".*",
        "app": ".*",
        "campaign": run.name,
        "__range": f"{math.ceil(NOW - min(one.began for one in RUNS[kind]) + STEP)}s",
        "__interval": f"{STEP}s",
        "__rate_interval": f"{4 * STEP}s",
    }
    return inventory.fill(expr, values)


def asked(prometheus: Prometheus, ask: inventory.Ask, kind: str) -> list[list[float]]:
    """The series that a query gives, each with its values."""
    expr = filled(ask.expr, kind)
    if ask.label:
        wanted: dict[str, str | float] = {"match[]": expr, "start": NOW - 9000, "end": NOW}
        return [[1.0] for _ in prometheus.get("series", **wanted)]
    if ask.instant:
        return [[value] for value in prometheus.instant(expr, NOW).values()]
    begun = min(run.began for run in RUNS[kind])
    found = prometheus.get("query_range", query=expr, start=begun, end=NOW, step=STEP)["result"]
    return [[float(value) for _, value in series["values"]] for series in found]


def table(prometheus: Prometheus, board: str, title: str, name: str, kind: str) -> Found:
    """A table's column, by the labels of its rows."""
    query = inventory.column(PANELS[board, title], name)
    return prometheus.instant(filled(query["expr"], kind), NOW)


def by(label: str, found: Found) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in found.items()}


def numbers(prometheus: Prometheus, board: str, title: str, kind: str) -> list[float]:
    """What the queries of a panel of single numbers give."""
    found = [
        prometheus.instant(filled(query["expr"], kind), NOW) for query in PANELS[board, title]["targets"]
    ]
    return [value for one in found for value in one.values()]
