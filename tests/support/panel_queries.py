"""The panels' own queries on made-up series, in promtool's unit tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from grafana import inventory

from support.processes import said_by

RULES = Path(__file__).parents[2] / "config/rules"
PANELS = inventory.panels_by_title()

VALUES = {
    "source": ".*",
    "workflow": ".*",
    "run": "r",
    "executor": ".*",
    "app": ".*",
    "campaign": "w",
    "__range": "3h",
    "__interval": "1m",
    "__rate_interval": "4m",
}


def column(board: str, title: str, name: str) -> str:
    """The query of a table's column."""
    return inventory.fill(inventory.column(PANELS[board, title], name)["expr"], VALUES)


def expression(board: str, title: str, ref: str = "A") -> str:
    """A panel's query, for the run `r` and everything in it."""
    (query,) = (query for query in PANELS[board, title]["targets"] if query["refId"] == ref)
    return inventory.fill(query["expr"], VALUES)


def check(expr: str, at: str, answers: Mapping[str, float]) -> dict[str, object]:
    """That at this time a query answers these values, by their labels."""
    samples = [{"labels": labels, "value": value} for labels, value in answers.items()]
    return {"expr": expr, "eval_time": at, "exp_samples": samples}


each_number_of_exporters = pytest.mark.parametrize("exporters", [1, 2])
"""That publish a run. What panels show of it is the same."""


def promtool(
    tmp_path: Path,
    samples: Mapping[str, str],
    checks: Sequence[Mapping[str, object]],
    exporters: int = 1,
    *,
    rules: bool = False,
) -> None:
    """Hold queries to what they must answer of these series, which have a sample a minute in each exporter.

    With `rules`, what these record is there too. Asked of the machine's own promtool and of today's.
    """
    series = [
        {"series": name.replace("{", f'{{instance="e{i}", ', 1), "values": values}
        for name, values in samples.items()
        for i in range(exporters)
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    file = tmp_path / "test.yml"
    files = (
        [str(RULES / name) for name in ("thresholds.yml", "recording.yml", "dashboards.yml")] if rules else []
    )
    file.write_text(
        json.dumps(
            {
                "rule_files": files,
                "evaluation_interval": "1m",
                "group_eval_order": ["parsl-thresholds", "parsl-recording", "parsl-dashboards"]
                if rules
                else [],
                "tests": [test],
            }
        )
    )
    for today in (False, True):
        said_by("promtool", "test", "rules", file, today=today)
