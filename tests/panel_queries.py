"""The panels' own queries on made-up series, in promtool's unit tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from grafana import inventory

VALUES = {
    "source": ".*",
    "workflow": ".*",
    "run": "r",
    "executor": ".*",
    "app": ".*",
    "__range": "3h",
    "__interval": "1m",
    "__rate_interval": "4m",
}


def expression(board: str, title: str, ref: str = "A") -> str:
    """A panel's query, for the run `r` and everything in it."""
    (ask,) = (
        ask
        for ask in inventory.all_asks()
        if (ask.board, ask.kind, ask.title, ask.ref) == (board, "panel", title, ref)
    )
    return inventory.fill(ask.expr, VALUES)


each_number_of_exporters = pytest.mark.parametrize("exporters", [1, 2])
"""That publish a run. What panels show of it is the same."""


def promtool(
    tmp_path: Path, samples: Mapping[str, str], checks: Sequence[Mapping[str, object]], exporters: int = 1
) -> None:
    """Hold queries to what they must answer of these series, which have a sample a minute in each exporter."""
    program = shutil.which("promtool")
    if program is None:
        assert not os.environ.get("CI"), "promtool is not installed"
        pytest.skip("promtool is not installed")
    series = [
        {"series": name.replace("{", f'{{instance="e{i}", ', 1), "values": values}
        for name, values in samples.items()
        for i in range(exporters)
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([program, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
