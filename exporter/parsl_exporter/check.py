"""`check`: say what the exporter would find in each source, and what is wrong, before it is put to work."""

from __future__ import annotations

import time
from collections.abc import Callable

from parsl_exporter.daemon import options_of
from parsl_exporter.errors import ExporterError, SourceBusy, SourceReplaced
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.run_samples import View
from parsl_exporter.metrics.share import Drawn
from parsl_exporter.model.run import Run
from parsl_exporter.model.runs import Runs
from parsl_exporter.read.discover import Found, discover
from parsl_exporter.read.opening import open_reader
from parsl_exporter.read.position import START
from parsl_exporter.read.reader import Reader
from parsl_exporter.reading import SourceOptions
from parsl_exporter.settings import Settings
from parsl_exporter.source import LOCKED_PATIENCE, Clock, locked
from parsl_exporter.tables import BLOCK, RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW
from parsl_exporter.zone_doubt import zone_in_doubt

_RETRY = 0.05
_SAMPLED_ROWS = 50_000
"""Newest task and try rows from which the number of apps and executors is taken; status rows, for the zone."""


def check(settings: Settings, write: Callable[[str], object], clock: Clock) -> int:
    """Report on every source by `write`; give the number of faults, each of which is named there."""
    faults = 0
    for configured in settings.sources:
        found = list(discover(configured))
        if not found:
            write(f"{_plain(configured.target)}: matches nothing now; databases that appear later are read\n")
        for one in found:
            try:
                report = _patiently(settings, one, clock)
            except ExporterError as error:
                faults += 1
                report = f"{_plain(one.name)}: FAULT {_plain(str(error))}\n"
            write(report)
    write(f"{faults} {'fault' if faults == 1 else 'faults'}\n")
    return faults


def _patiently(settings: Settings, found: Found, clock: Clock) -> str:
    """The report on one database; a lock, or a change under the reading, has it begun anew for as long as a poll."""
    begin = clock.steady()
    while True:
        reader = open_reader(found, settings.shard)
        try:
            return _report(settings, found, reader, clock)
        except SourceBusy as busy:
            if clock.steady() - begin > LOCKED_PATIENCE:
                raise locked(busy, LOCKED_PATIENCE) from None
            time.sleep(_RETRY)
        except SourceReplaced:
            if clock.steady() - begin > LOCKED_PATIENCE:
                raise
        finally:
            reader.close()


def _report(settings: Settings, found: Found, reader: Reader, clock: Clock) -> str:
    reader.changed()
    options = options_of(settings, found.settings, found.name)
    runs = _known_runs(reader, options, clock)
    total = len(runs.runs)
    runs.skip_ended(clock.wall())
    missing = [c for c in RESOURCE.columns if c in reader.absent(RESOURCE)]
    rows = {table.name: reader.last_rowid(table) for table in TABLES}
    series = _series(reader, runs, options.failure_reasons, clock.wall())
    zones = "".join(f"  zone     {_plain(text)}\n" for text in _zones_in_doubt(reader, options, clock))
    return (
        f"{_plain(found.name)}: ok\n"
        f"  dialect  {reader.dialect}, {_plain(reader.database)}\n"
        f"  schema   {'without ' + ', '.join(missing) if missing else 'complete'}\n"
        f"  runs     {total}, {len(runs.runs)} of them to be published now\n"
        f"  rows     {', '.join(f'{name} {count:,}' for name, count in rows.items())} (by position)\n"
        f"  series   about {series:,}\n"
        f"{zones}"
    )


def _plain(text: str) -> str:
    """A path's text on one line that any terminal can show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _known_runs(reader: Reader, options: SourceOptions, clock: Clock) -> Runs:
    """All runs, by their workflow rows alone."""
    runs = Runs(
        zone=options.zone,
        buckets=options.buckets,
        limits=options.limits,
        failure_reasons=options.failure_reasons,
        run_zones=options.run_zones,
        worker_zones=options.worker_zones,
    )
    after, more = START, True
    while more:
        batch = reader.tail(WORKFLOW, after)
        runs.take(WORKFLOW, batch.rows, 0.0, clock.wall())
        after, more = batch.position, batch.more
    return runs


def _zones_in_doubt(reader: Reader, options: SourceOptions, clock: Clock) -> list[str]:
    """What the newest tries of all runs say against the zone in which their workers' stamps are read."""
    runs = _known_runs(reader, options, clock)
    for table in (TRY, BLOCK, STATUS):
        for rows in reader.newest(table, _SAMPLED_ROWS):
            runs.take(table, rows, 0.0, clock.wall())
    runs.settle(0.0)
    return list(dict.fromkeys(zone_in_doubt(offset, zone) for offset, zone in runs.offsets()))


def _series(reader: Reader, runs: Runs, reasons: tuple[str, ...], wall: float) -> int:
    """Series to expect of the runs to be published: what their newest tasks and tries alone would make."""
    for table in (TASK, TRY):
        for rows in reader.newest(table, _SAMPLED_ROWS):
            runs.take(table, [row for row in rows if row[1] in runs.runs], 0.0, wall)
    return sum(_drawn(run, reasons) for run in runs.runs.values())


def _drawn(run: Run, reasons: tuple[str, ...]) -> int:
    for task in run.tasks.values():
        for one in task.tries.values():
            if task.app is not None and one.executor is not None:
                run.group(task.app, one.executor)
    view = View(run, reasons, frozenset(), 0.0)
    return Drawn(("", ""), [list(family.draw(view)) for family in RUN_FAMILIES], None).series
