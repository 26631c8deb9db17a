"""The first read of a database: everything that is there, the tables advancing together.

Read one after the other, every try would stay open until the last table is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from parsl_exporter.base.logs import event
from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TABLES, WORKFLOW
from parsl_exporter.model.runs import Runs
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.nothing_shown import nothing_shown
from parsl_exporter.source.options import SourceOptions
from parsl_exporter.source.reading import Reading

_HELD_TASKS = 10_000
"""Live tasks that a first read holds before it looks for finished ones."""
_ZONES_APART = timedelta(hours=26)
_REPEATED = timedelta(hours=2)
"""As much as clocks may go back."""
_DATED = (STATUS, RESOURCE, BLOCK, NODE)
"""The tables whose rows are a run's signs of life."""

_log = logging.getLogger(__name__)


def read_first(reading: Reading, *, show: Callable[[], None]) -> bool:
    """Read everything; give whether it came to the end (False when the reading is stopping).

    `show` is called after each batch, with `reading.backlog` up to date. May raise what a reader raises, and goes on
    from there when it is called again.
    """
    begin = reading.steady()
    runs = reading.runs
    while reading.batch(WORKFLOW).more:
        pass
    skip = skip_past(reading.reader, runs, reading.options, reading.wall())
    if not _FirstRead(reading, skip).read(show):
        return False
    # On a server a run's last rows may lie on pages already passed: that it has ended meanwhile is for the next poll.
    tables = [table for table in TABLES if not (reading.reader.keyed and table is WORKFLOW)]
    while not reading.read_new(tables) and not reading.stopping():
        show()
    reading.steps.finish_first_read(reading.steady(), reading.wall(), whole=reading.options.whole)
    if not reading.options.whole:
        reading.steps.expire(reading.steady())  # of runs without a workflow row the ages are known only now
    seconds = round(reading.steady() - begin, 3)
    why = nothing_shown(runs, reading.options.limits)
    note = {} if why is None else {"note": why}
    about = {"source": reading.options.name, "runs": len(runs.runs), "seconds": seconds}
    event(_log, logging.INFO, "caught up", **about, **note)
    return True


class _FirstRead:
    """The order in which the tables are read."""

    def __init__(self, reading: Reading, skip: frozenset[str]) -> None:
        self._reading = reading
        self._skip = skip
        self._ends = {table.name: reading.reader.last_rowid(table) for table in TABLES}

    def read(self, show: Callable[[], None]) -> bool:
        """Read all tables to their ends, the one next of which the least part has been read."""
        reading, runs = self._reading, self._reading.runs
        parts = dict.fromkeys((table for table in TABLES if table is not WORKFLOW), 0.0)
        held = _HELD_TASKS
        if reading.options.worker_zones:
            for table in (BLOCK, NODE):
                while not reading.stopping() and reading.batch(table, self._skip).more:
                    show()
                del parts[table]
            runs.all_blocks_taken()
        while parts and not reading.stopping():
            table = min(parts, key=lambda table: parts[table])
            batch = reading.batch(table, self._skip)
            if batch.more:
                parts[table] = batch.part
            else:
                del parts[table]
            if runs.live_tasks() > held:
                reading.steps.settle_history(parts.keys())
                held = 2 * runs.live_tasks() + _HELD_TASKS
            reading.backlog = {n: max(0, end - reading.positions[n].rowid) for n, end in self._ends.items()}
            show()
        return not parts


def recent_writers(reader: Reader, options: SourceOptions, wall: float) -> set[str]:
    """Give the runs that have written lately enough to be no abandoned ones at `wall`, and maybe some others."""
    since = datetime.fromtimestamp(wall - options.limits.abandon_after, options.zone)
    since -= _ZONES_APART if options.run_zones or options.worker_zones else _REPEATED
    writers: set[str] = set()
    for table in _DATED:
        writers |= reader.writers_since(table, since.strftime("%Y-%m-%d %H:%M:%S.%f"))
    return writers


def skip_past(reader: Reader, runs: Runs, options: SourceOptions, wall: float) -> frozenset[str]:
    """Leave out the runs that are past their time, of those whose workflow rows were taken: give their ids.

    Their rows need not be read.
    """
    if not options.whole:
        runs.skip_ended(wall)
    elif options.newest is None or len(runs.runs) <= options.newest:
        return frozenset(runs.others)
    silent = set(runs.maybe_abandoned(wall))
    if silent:
        silent -= recent_writers(reader, options, wall)
    if options.newest is not None:
        runs.keep_newest(options.newest, silent)
    else:
        runs.skip_abandoned(silent)
    return frozenset(runs.ended | runs.abandoned | runs.others.keys())
