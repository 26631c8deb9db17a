"""A finished task, and rows that come after it."""

from __future__ import annotations

from support.model_harness import ModelHarness
from support.rows import (
    Told,
    attempt,
    later,
    lifecycle,
    sample,
    task,
    workflow,
)

from parsl_exporter.base.tables import Row, Table

CLOSE_AFTER = 30.0
RETENTION = 900.0

ONE_TASK = [
    workflow(),
    task(0),
    *lifecycle(0, ("pending", 1), ("launched", 2)),
    attempt(0, block="0", host="node1"),
    *lifecycle(0, ("running", 5), ("running_ended", 9), ("exec_done", 10)),
    sample(0, 6, user=1.5, system=0.5, resident=20e6, virtual=40e6, children=1, read=100, written=10),
    sample(0, 8, user=3.5, system=0.75, resident=10e6, virtual=50e6, children=2, read=300, written=10),
]


def at_rest(reading: ModelHarness) -> ModelHarness:
    """The same when everything that ended has closed."""
    reading.clock += 2 * CLOSE_AFTER
    return reading.poll()


def late(*story: Told) -> list[tuple[Table, Row]]:
    """Rows with numbers of their own, after all those of `ONE_TASK`."""
    return later(100, *story)
