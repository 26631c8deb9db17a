"""`check`: say what the exporter would find in each source, and what is wrong, before it is put to work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from parsl_exporter.base.errors import ExporterError, SourceToCome
from parsl_exporter.base.output import on_one_line
from parsl_exporter.base.tables import BLOCK, RESOURCE, STATUS, TABLES, TASK, TRY, WORKFLOW
from parsl_exporter.config.settings import Settings
from parsl_exporter.metrics.family import draw_all
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.run_samples import View
from parsl_exporter.metrics.snapshot import Rendered
from parsl_exporter.model.run import Run
from parsl_exporter.model.runs import Runs
from parsl_exporter.readers.base import Reader
from parsl_exporter.readers.batch import START
from parsl_exporter.readers.opening import open_reader
from parsl_exporter.readers.targets import Found, discover, distinct, glob_base
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.first_read import recent_writers, skip_past
from parsl_exporter.source.nothing_shown import NO_RUNS, nothing_shown
from parsl_exporter.source.options import SourceOptions, options_of
from parsl_exporter.source.patience import insist
from parsl_exporter.source.reading import model_of
from parsl_exporter.source.zone_doubt import zones_in_doubt

# Parsl tries an INSERT that fails so for ever (`DatabaseManager._insert` in `parsl/monitoring/db_manager.py`).
_OLDER = """
           a Parsl before 2024.3.11 made it, and a later one records nothing here after its first resource row: move the
           file away before the first run with a later Parsl"""
_SAMPLED_ROWS = 50_000
"""Newest rows of a table from which apps, executors, runs without a name, and their zone are taken."""
_NAMED = 5


def check(settings: Settings, write: Callable[[str], object], clock: Clock) -> int:
    """Report on every source by `write`; give the number of faults, each of which is named there."""
    faults = 0
    found = {configured: list(discover(configured)) for configured in settings.sources}
    again = {id(one.found): one.first for one in distinct(chain.from_iterable(found.values()))[1]}
    for configured, databases in found.items():
        if not databases:
            report, wrong = _nothing_matches(configured.target)
            faults += wrong
            write(report)
        for one in databases:
            if id(one) in again:
                first = again[id(one)].name
                same = f"the same file as {on_one_line(first)}" if first != one.name else "named before"
                write(f"{on_one_line(one.name)}: {same}; it is read once, as the first\n")
                continue
            try:
                report = _patiently(settings, one, clock)
            except SourceToCome as error:
                report = f"{on_one_line(one.name)}: WAITING {_said(error, one.name)}{NO_RUNS}\n"
            except ExporterError as error:
                faults += 1
                report = f"{on_one_line(one.name)}: FAULT {_said(error, one.name)}\n"
            write(report)
    write(f"{faults} {'fault' if faults == 1 else 'faults'}\n")
    return faults


def _said(error: ExporterError, name: str) -> str:
    """The error without the path that it begins with where the line has begun with that."""
    return on_one_line(str(error).removeprefix(f"{name}: "))


def _nothing_matches(glob: str) -> tuple[str, int]:
    """What to say of a glob without a match, and whether it is a fault: the folders that it looks in must be there."""
    base = glob_base(glob)
    if base is not None and not os.path.isdir(base):  # noqa: PTH112  # Path.is_dir raises when it may not look
        return (
            f"{on_one_line(glob)}: FAULT there is no folder {on_one_line(str(base))} to look in; correct the path\n",
            1,
        )
    return f"{on_one_line(glob)}: matches nothing now; databases that appear later are read\n", 0


def _patiently(settings: Settings, found: Found, clock: Clock) -> str:
    """The report on one database; a lock, or a change under the reading, has it begun anew."""
    reader = open_reader(found, settings.shard)
    try:
        return insist(partial(_report, settings, found, reader, clock), clock.steady)
    finally:
        reader.close()


def _report(settings: Settings, found: Found, reader: Reader, clock: Clock) -> str:
    reader.changed()
    options = options_of(settings, found.settings, found.name)
    runs = _known_runs(reader, options, clock)
    total = len(runs.runs)
    skip_past(reader, runs, options, clock.wall())
    without_row = _runs_without_row(reader, runs)
    published = _published(reader, runs, without_row, options, clock.wall())
    why = None if published else nothing_shown(runs, options.limits, len(without_row))
    missing = [c for c in RESOURCE.columns if c in reader.absent(RESOURCE)]
    rows = {table.name: reader.last_rowid(table) for table in TABLES}
    series = _series(reader, runs, published, clock.wall())
    zones = "".join(f"  zone     {on_one_line(text)}\n" for text in _zones_in_doubt(reader, options, clock))
    return (
        f"{on_one_line(found.name)}: ok\n"
        f"  dialect  {reader.dialect}, {on_one_line(reader.database)}\n"
        f"  schema   {'without ' + ', '.join(missing) + _OLDER if missing else 'complete'}\n"
        f"  runs     {total + len(without_row)}, {min(len(published), options.runs)} of them to be published now\n"
        f"{'' if why is None else f'           nothing to show: {why}{chr(10)}'}"
        f"{_named(without_row)}"
        f"  rows     {', '.join(f'{name} {count:,}' for name, count in rows.items())} (by position)\n"
        f"  series   about {series:,}\n"
        f"{zones}"
    )


def _runs_without_row(reader: Reader, runs: Runs) -> list[str]:
    """Runs without a workflow row, as far as their rows are among the newest."""
    named = runs.runs.keys() | runs.ended | runs.abandoned
    found = dict.fromkeys(
        row[1]
        for table in (TASK, TRY, STATUS)
        for rows in reader.newest(table, _SAMPLED_ROWS)
        for row in rows
        if isinstance(row[1], str) and row[1] and row[1] not in named
    )
    return list(found)


def _named(without_row: Sequence[str]) -> str:
    if not without_row:
        return ""
    which = ", ".join(map(on_one_line, without_row[:_NAMED])) + (", ..." if len(without_row) > _NAMED else "")
    return f"  nameless {len(without_row)} without a workflow row, as Parsl drops one that it cannot write: {which}\n"


def _published(
    reader: Reader, runs: Runs, without_row: Sequence[str], options: SourceOptions, wall: float
) -> frozenset[str]:
    """The runs that are not past their time."""
    writing = recent_writers(reader, options, wall).intersection(without_row) if without_row else ()
    return frozenset(runs.runs.keys() | writing)


def _series(reader: Reader, runs: Runs, published: frozenset[str], wall: float) -> int:
    """Series to expect of the runs to be published: what their newest tasks and tries alone would make."""
    for table in (TASK, TRY):
        for rows in reader.newest(table, _SAMPLED_ROWS):
            runs.take(table, [row for row in rows if row[1] in published], 0.0, wall)
    return sum(_drawn(run) for run_id, run in runs.runs.items() if run_id in published)


def _known_runs(reader: Reader, options: SourceOptions, clock: Clock) -> Runs:
    """All runs, by their workflow rows alone."""
    runs = model_of(options, keyed=False)
    after, more = START, True
    while more:
        batch = reader.read(WORKFLOW, after)
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
    return list(zones_in_doubt(runs.offsets()).values())


def _drawn(run: Run) -> int:
    run.settle(0.0)
    run.show_all_groups()
    view = View(run, frozenset(), 0.0)
    return Rendered(("", ""), draw_all(RUN_FAMILIES, view), None).series
