"""What a row's stamp means where it cannot be taken as it stands, and what it says of when its run was heard of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsl_exporter.model.run import Run
from parsl_exporter.model.stamps import Readings
from parsl_exporter.model.tasks import Try
from parsl_exporter.tables import Row, Table

if TYPE_CHECKING:
    from parsl_exporter.model.runs import Runs


def readings_of(runs: Runs, table: Table, row: Row, value: object) -> Readings | None:
    """What a stamp may mean; None when it is none, and the row is rejected then."""
    try:
        return runs.stamps.readings(value)
    except ValueError:
        runs.reject(table, "timestamp", row)
        return None


def placed(runs: Runs, run: Run, table: Table, row: Row, us: int, writer: str | None) -> int:
    """Microseconds of a stamp that is not plain, in its writer's order of insertion; -1 when the row has to wait.

    `us` is negative where it came twice; `writer` is None until the try row has come.
    """
    came_twice = us < 0
    if not came_twice and us < runs.watched_from(run, us):
        return us
    if writer is None:
        waits = not runs.last_call or (came_twice and not run.over)
    else:
        waits = came_twice and table.name in run.waiting and not runs.passing
    if waits:
        run.waiting.setdefault(table.name, []).append(row)
        runs.heard(run, 0)
        return -1
    stamp = runs.stamps.readings(row[1 + table.columns.index("timestamp")])
    return stamp.first if writer is None else run.writers.read(table.name, writer, row[0], stamp)


def signed(runs: Runs, run: Run, table: Table, us: int, alive: Try | None) -> int:
    """Note when a row came and what it says of the life of its try; give until when stamps are plain now."""
    runs.took(run, table, us)
    run.clock_ahead = run.clock_ahead or us > runs.wall_us
    if alive is not None and run.clock_ahead:
        alive.showed_life(min(us, runs.wall_us))
    return runs.plain_until(run, us)
