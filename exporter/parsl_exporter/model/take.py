"""Columns of one run into its model: what rows of each table change in the columns of its tasks and tries.

Each function gives the mask of the rows that it did not take: those of finished tasks, whose history must be read
again first. Stamps are microseconds UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    Columns,
    Floats,
    Ints,
    Mask,
    Named,
    SampleColumns,
    StatusColumns,
    TaskColumns,
    TryColumns,
    any_of,
    distinct,
    indices,
)
from parsl_exporter.base.tables import RESOURCE, STATUS, Table
from parsl_exporter.model.failures import failure_class
from parsl_exporter.model.names import Names
from parsl_exporter.model.run import Run
from parsl_exporter.model.standing import OddState
from parsl_exporter.model.states import FAIL_RETRYABLE, STATES, WORKER_STATES
from parsl_exporter.model.tries import FINISHED, NONE
from parsl_exporter.model.usage import CUMULATIVE

_CODES = {state: code for code, state in enumerate(STATES)}
_ON_BLOCK = np.array([*(s in WORKER_STATES or s >= FAIL_RETRYABLE for s in range(len(STATES))), False])
"""Of each state, and at last of any other, whether it says that the try's block was alive."""
_CHILDREN, _VIRTUAL, _RESIDENT = 0, 3, 4
_CUMULATIVE = [1, 2, 5, 6, 7, 8]
"""Where the columns of `tables.RESOURCE` after its stamp have what `usage.py` names."""


class Labels(NamedTuple):
    """How values become label values: names, apps (of a run, within limits) and exception classes."""

    names: Names
    app: Callable[[Run, str], str]
    failure: Callable[[Run, str | None], str | None]


class Taken(NamedTuple):
    """`late`: how many rows were of a try already closed; `aside`: those not taken, as their task is forgotten."""

    late: int
    aside: Mask = np.zeros(0, np.bool_)


def take(run: Run, columns: Columns, labels: Labels, now: float, wall_us: int) -> Taken:
    """Take rows of one table, status rows and samples of tasks that are not forgotten; `wall_us` (UTC) is now, too."""
    if isinstance(columns, TaskColumns):
        return _take_tasks(run, columns, labels)
    if isinstance(columns, TryColumns):
        return _take_tries(run, columns, labels, now)
    if isinstance(columns, StatusColumns):
        return _take_status(run, columns, labels, now, wall_us)
    return _take_samples(run, columns, now, wall_us)


def _places(run: Run, task_ids: Ints) -> Codes:
    """The places of these tasks, made when they are new, FINISHED for one that is forgotten."""
    tasks = run.tasks
    found = tasks.find(task_ids)
    new = found == NONE
    if any_of(new):
        tasks.add(distinct(task_ids[new]))
        found = tasks.find(task_ids)
    return found


def _begin(run: Run, places: Codes) -> None:
    run.touch(places)
    _reopen(run, places[run.tasks.partly_closed[places]])


def _reopen(run: Run, tasks: Codes) -> None:
    if len(tasks) and not run.published:
        run.reopen(distinct(tasks))


def _take_tasks(run: Run, rows: TaskColumns, labels: Labels) -> Taken:
    places = _places(run, rows.task_ids)
    aside = np.asarray(places == FINISHED)
    if any_of(aside):
        rows, places = rows.only(~aside), places[~aside]
    _begin(run, places)
    codes = np.full(len(rows.apps.values), NONE)
    for i in distinct(rows.apps.codes).tolist():
        codes[i] = run.names.code(labels.app(run, labels.names[rows.apps.values[i]]))
    run.tasks.app[places] = codes[rows.apps.codes]
    return Taken(0, aside)


def _coded(run: Run, column: Named, labels: Labels) -> Codes:
    codes = np.full(len(column.values), NONE)
    for i in distinct(column.codes).tolist():
        codes[i] = run.names.code(labels.names[column.values[i]])
    return codes[column.codes]


def _known(column: Named) -> Mask:
    """Say of each row whether it gives a name at all."""
    return np.array([bool(value) for value in column.values], np.bool_)[column.codes]


def _take_tries(run: Run, rows: TryColumns, labels: Labels, now: float) -> Taken:
    tasks = _places(run, rows.task_ids)
    aside = np.asarray(tasks == FINISHED)
    if any_of(aside):
        rows, tasks = rows.only(~aside), tasks[~aside]
    run.touch(tasks)
    tries = run.tries
    places = tries.find_or_add(tasks, rows.try_ids)
    _reopen(run, tasks[tries.closed[places]])
    late = int(np.count_nonzero(tries.closed[places]))
    new = tries.seen[places] == 0.0
    tries.seen[places[new]] = now
    tries.executor[places] = _coded(run, rows.executors, labels)
    on_block = _known(rows.blocks)
    if any_of(on_block):
        run.placed.update(
            run.names.texts[code] for code in distinct(tries.executor[places[on_block]]).tolist()
        )
    for known, column, to in (
        (on_block, rows.blocks, tries.block),
        (_known(rows.hosts), rows.hosts, tries.host),
    ):
        to[places[known]] = _coded(run, column.only(known), labels)
    history = rows.histories
    reasons = np.full(len(history.values), NONE)
    for i in distinct(history.codes).tolist():
        value = history.values[i]
        reason = labels.failure(run, failure_class(value)) if isinstance(value, str) and value else None
        if reason is not None:
            reasons[i] = run.names.code(reason)
    if any_of(reasons >= 0):
        reason_of = reasons[history.codes]
        tries.failure[places[reason_of >= 0]] = reason_of[reason_of >= 0]
    return Taken(late, aside)


def _take_status(run: Run, rows: StatusColumns, labels: Labels, now: float, wall_us: int) -> Taken:
    tasks = _places(run, rows.task_ids)
    _begin(run, tasks)
    tries = run.tries
    places = tries.find_or_add(tasks, rows.try_ids)
    late = int(np.count_nonzero(tries.closed[places]))
    states = [labels.names[value] for value in rows.states.values]
    codes = np.array([_CODES.get(state, NONE) for state in states], np.int32)[rows.states.codes]
    at = rows.at
    if any_of(codes < 0):
        for i in indices(codes < 0).tolist():
            _take_odd(run, int(places[i]), states[rows.states.codes[i]], int(at[i]))
        ordinary = codes >= 0
        cells = places[ordinary].astype(np.int64) * len(STATES) + codes[ordinary]
        stamps = at[ordinary]
    else:
        cells, stamps = places.astype(np.int64) * len(STATES) + codes, at
    np.minimum.at(tries.first.reshape(-1), cells, stamps)
    np.maximum.at(tries.last.reshape(-1), cells, stamps)
    np.add.at(tries.rows.reshape(-1), cells, 1)
    alive = _ON_BLOCK[codes]
    np.maximum.at(tries.alive, places[alive], np.minimum(at[alive], wall_us))
    _note_unnamed(run, tasks, places)
    tries.seen[places] = now
    _note_newest(run, STATUS, at)
    return Taken(late)


def _take_odd(run: Run, place: int, name: str, at: int) -> None:
    states = run.odd.setdefault(place, {})
    states.setdefault(name, OddState()).rows += 1
    run.tries.odd_at[place] = max(int(run.tries.odd_at[place]), at)


def _take_samples(run: Run, rows: SampleColumns, now: float, wall_us: int) -> Taken:
    tasks = _places(run, rows.task_ids)
    _begin(run, tasks)
    tries = run.tries
    places = tries.find_or_add(tasks, rows.try_ids)
    late = int(np.count_nonzero(tries.closed[places]))
    values: Floats = rows.values
    cumulative = values[_CUMULATIVE].T
    missing = np.isnan(cumulative)
    least, most = cumulative, cumulative
    if any_of(missing):
        least, most = np.where(missing, np.inf, cumulative), np.where(missing, -np.inf, cumulative)
    cells = (places.astype(np.int64)[:, None] * CUMULATIVE + np.arange(CUMULATIVE)).reshape(-1)
    np.minimum.at(tries.low.reshape(-1), cells, least.reshape(-1))
    np.maximum.at(tries.high.reshape(-1), cells, most.reshape(-1))
    measured = ~missing[:, :2].any(axis=1)
    np.minimum.at(tries.cpu_from, places[measured], rows.at[measured])
    np.maximum.at(tries.cpu_to, places[measured], rows.at[measured])
    resident = values[_RESIDENT]
    np.maximum.at(tries.peak, places, np.where(np.isnan(resident), -np.inf, resident))
    np.maximum.at(tries.sampled_at, places, rows.at)
    newest = indices(rows.at == tries.sampled_at[places])
    np.maximum.at(tries.alive, places, np.minimum(rows.at, wall_us))
    tries.latest_sample[places[newest]] = values[[_CHILDREN, _VIRTUAL, _RESIDENT]].T[newest]
    _note_unnamed(run, tasks, places)
    tries.seen[places] = now
    _note_newest(run, RESOURCE, rows.at)
    return Taken(late)


def name_tries(run: Run, task_ids: Ints, try_ids: Ints) -> None:
    """Make tries that rows name which cannot be taken yet."""
    tasks = _places(run, task_ids)
    run.touch(tasks)
    _note_unnamed(run, tasks, run.tries.find_or_add(tasks, try_ids))


def _note_unnamed(run: Run, tasks: Codes, places: Codes) -> None:
    """Note the tries of which, or of whose tasks, the own row has not come."""
    if not run.keyed:
        return
    unnamed = (run.tasks.app[tasks] < 0) | (run.tries.executor[places] < 0)
    if any_of(unnamed):
        run.unnamed.append(distinct(places[unnamed]))


def _note_newest(run: Run, table: Table, at: Ints) -> None:
    newest = int(at.max())
    run.note_first(int(at.min()))
    run.newest_us = max(run.newest_us, newest)
    run.newest_of[table.name] = max(run.newest_of.get(table.name, 0), newest)
