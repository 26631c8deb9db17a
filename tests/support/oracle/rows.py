"""Every row of a SQLite monitoring database, grouped by run, its stamps made microseconds since 1970."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .zones import tell_times, zone_of

Row = dict[str, Any]

UNKNOWN = "unknown"


@dataclass
class Run:
    """The rows of one run, each table in the order of insertion."""

    run_id: str
    workflow: list[Row] = field(default_factory=list)
    task: list[Row] = field(default_factory=list)
    tries: list[Row] = field(default_factory=list)
    status: list[Row] = field(default_factory=list)
    resource: list[Row] = field(default_factory=list)
    block: list[Row] = field(default_factory=list)
    node: list[Row] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether Parsl recorded the run's end; a run killed is never over."""
        return any(row["time_completed"] is not None for row in self.workflow)


def load(database: Path, timezone_name: str, worker_zones: Mapping[str, str]) -> list[Run]:
    """Read the whole database; an absent table has no rows. A run is what any row of any table names."""
    runs: dict[str, Run] = {}
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        present = {
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        for table in ("workflow", "task", "try", "status", "resource", "block", "node"):
            if table not in present:
                continue
            for record in connection.execute(f'SELECT * FROM "{table}" ORDER BY rowid'):
                row: Row = dict(record)
                run = runs.setdefault(row["run_id"], Run(row["run_id"]))
                getattr(run, "tries" if table == "try" else table).append(row)
    for run in runs.values():
        tell_times(run, zone_of(timezone_name), worker_zones)
    return list(runs.values())


def label(value: object) -> str:
    """Spell a value of the database as a label value: never empty, 200 characters at most."""
    text = UNKNOWN if value is None or value == "" else str(value)
    if len(text) <= 200:
        return text
    return text[:191] + "~" + hashlib.sha256(text.encode()).hexdigest()[:8]


def only(values: Collection[str]) -> str | None:
    """Give the one value of a collection, None of an empty or an ambiguous one."""
    return next(iter(values)) if len(values) == 1 else None
