"""Write the dashboards' JSON, or check that it is up to date.

    python -m grafana.build [--check]

Needs grafana-foundation-sdk (see the project's `dashboards` dependencies) and Python 3.11 or later.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import cpu_memory, exporter, inventory, overview, task_states, worker_pools

OUTPUT = Path(__file__).parent / "dashboards"
MODULES = (overview, task_states, cpu_memory, worker_pools, exporter)

_STRAY = ("auto", "auto_count", "auto_min")
"""Keys that the SDK gives every variable, and that only interval variables have."""

_GONE = ("footer",)
"""Options that the SDK gives tables, and that Grafana has dropped since."""


def render() -> dict[str, str]:
    """The dashboards as JSON text, by file name; the same at every call."""
    return {
        f"{module.UID}.json": _text(json.loads(json.dumps(module.build(), cls=JSONEncoder)))
        for module in MODULES
    }


def stale(folder: Path = OUTPUT) -> list[str]:
    """Names of files in `folder` that are missing, differ from `render`, or do not belong there."""
    wanted = render()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write(folder: Path = OUTPUT) -> None:
    """Make `folder` hold exactly the dashboards."""
    wanted = render()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(board: dict[str, Any]) -> str:
    for variable in board["templating"]["list"]:
        for key in _STRAY:
            variable.pop(key, None)
    for panel in inventory.panels(board):
        for key in _GONE:
            panel["options"].pop(key, None)
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 when `--check` finds stale files."""
    parser = argparse.ArgumentParser(
        prog="python -m grafana.build", description="Write Parsl's Grafana dashboards."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file is not up to date"
    )
    if not parser.parse_args(arguments).check:
        write()
        return 0
    found = stale()
    for name in found:
        print(f"{OUTPUT.name}/{name} is stale: run python -m grafana.build", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
