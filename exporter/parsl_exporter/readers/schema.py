"""What is wrong with a database's tables, who made them so, and what to do about it.

Sources: `parsl/monitoring/db_manager.py` and `parsl/monitoring/visualization/models.py` of Parsl 0.7.2 to
2026.10.26. Both programs only add tables that are not there and never change one.
"""

from __future__ import annotations

from collections.abc import Mapping

from parsl_exporter.base.errors import FaultReason, SourceFault, SourceToCome
from parsl_exporter.base.tables import TABLES, TASK

_BEFORE_1_1 = {
    "status": {"try_id"},
    "resource": {"try_id"},
    "node": {"uid", "block_id", "timestamp", "last_heartbeat"},
}
"""What Parsl before 1.1 has not, and parsl-visualize of any release: it still makes tables of that shape."""
_OF_PARSL_ALONE = {"task_fail_count", "hostname"}
"""Columns of `task` of which each Parsl from 0.8 to 1.0 has one at least, and parsl-visualize none."""
_SINCE_0_8 = "task_stderr"


def check_schema(schema: Mapping[str, frozenset[str]], shown: str, *, put_away: str) -> None:
    """Raise SourceFault, with what to do, where `schema` (Parsl's table -> its columns) cannot be read.

    Raises SourceToCome where nothing is wrong with the tables that are there. `shown` names the database; `put_away`
    says how a person makes room for new tables.
    """
    missing = {
        table.name: [c for c in table.columns if c not in schema[table.name] and c not in table.optional]
        for table in TABLES
        if table.name in schema
    }
    faults = "; ".join(
        f"table {name} has no {', '.join(columns)}" for name, columns in missing.items() if columns
    )
    if any(set(columns) - _BEFORE_1_1.get(name, set()) for name, columns in missing.items()):
        raise SourceFault(
            FaultReason.SCHEMA,
            f"{shown}: {faults}: no table that Parsl made; give the database that a run's monitoring writes",
        )
    if faults:
        raise SourceFault(FaultReason.SCHEMA, f"{shown}: {_maker(schema)} ({faults}): {put_away}")
    if not schema:
        raise SourceToCome(
            FaultReason.SCHEMA, f"{shown}: has none of Parsl's tables yet; Parsl makes them when a run starts"
        )
    if len(schema) < len(TABLES):
        raise SourceToCome(
            FaultReason.SCHEMA,
            f"{shown}: has {len(schema)} of Parsl's {len(TABLES)} tables yet ({', '.join(sorted(schema))});"
            " Parsl makes the others in a moment, or when the next run starts",
        )


def _maker(schema: Mapping[str, frozenset[str]]) -> str:
    """Who made tables that lack what Parsl has had since 1.1, and what that means."""
    visualize = (
        "its tables were made by parsl-visualize before the first run, and Parsl records no run in them"
    )
    old = "its tables were made by Parsl before 1.1, which cannot be read, and a later Parsl records no run in them"
    task = schema.get(TASK.name)
    if task is None:
        return f"{visualize}; or {old}"
    return old if task & _OF_PARSL_ALONE or _SINCE_0_8 not in task else visualize
