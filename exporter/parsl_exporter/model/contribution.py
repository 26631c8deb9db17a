"""What tries add to the sums of their run: the one place that says so.

A try adds a row of numbers (`sums.py` has the columns) to its group and its host, and to its block while it runs.
What it adds when its rows change is the difference to what it had added before. What closing it adds to histograms is
the other half: it is observed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    Floats,
    Ints,
    Mask,
    any_of,
    indices,
)
from parsl_exporter.model.states import (
    DEP_FAIL,
    FAIL_RETRYABLE,
    FAILED,
    FIRST_FINAL,
    JOINING,
    LAUNCHED,
    PENDING,
    RUNNING,
    RUNNING_ENDED,
)
from parsl_exporter.model.sums import (
    CPU,
    MEASURED,
    ON_HOST,
    PROCESSES,
    RESIDENT,
    SAMPLED,
    TRANSITIONS,
    TRIES,
    USED,
    VIRTUAL,
    WASTED,
    WIDTH,
)
from parsl_exporter.model.tries import NONE, Tasks, Tries
from parsl_exporter.model.usage import SYSTEM, USER


class Added(NamedTuple):
    """What tries add, a row each: `values` to `group` (NONE: they are held) and `cpu_host` (NONE: they are 0).

    `running`: its gauges count, in `running_group`, on `host` (NONE: not known) and on the block of its try row.
    """

    places: Codes
    values: Floats
    group: Codes
    cpu_host: Codes
    host: Codes
    running: Mask
    running_group: Codes
    executor: Codes
    block: Codes

    @classmethod
    def joined(cls, parts: Sequence[Added]) -> Added:
        """Put what several add together."""
        if len(parts) == 1:
            return parts[0]
        columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls(*columns)

    def only(self, rows: Mask) -> Added:
        """What some of the tries add."""
        columns: list[Any] = [column[rows] for column in self]
        return Added(*columns)


def finished(tries: Tries, places: Codes) -> Mask:
    """Say of each try whether one of its own rows ends it."""
    return latest_end(tries, places) >= 0


def wasteful(tries: Tries, places: Codes) -> Mask:
    """Say of each try whether what it used was for nothing."""
    found: Mask = (tries.last[places, FAIL_RETRYABLE] >= 0) | (tries.last[places, FAILED] >= 0)
    return found


def failed_dependency(tries: Tries, places: Codes) -> Mask:
    """Say of each try whether it never ran, for what it depends on failed."""
    found: Mask = tries.last[places, DEP_FAIL] >= 0
    return found


def ended(tasks: Tasks, tries: Tries, places: Codes, *, over: bool) -> Mask:
    """Say of each try whether it is over: by its rows, by a later try, or as its run is."""
    if over:
        return np.full(len(places), True)
    found: Mask = finished(tries, places) | (tasks.latest[tries.task[places]] != places)
    return found


def used(tries: Tries, places: Codes) -> Floats:
    """Greatest minus least sample of the cumulative columns, 0 where there is none."""
    return np.maximum(tries.high.take(places, 0) - tries.low.take(places, 0), 0.0)


def added(tasks: Tasks, tries: Tries, places: Codes, running_group: Codes, *, over: bool) -> Added:
    """Give what each of these tries adds; `running_group` is the group of its names as far as they are known."""
    group, cpu_host = tries.group[places], tries.cpu_host[places]
    values = np.zeros((len(places), WIDTH))
    values[:, TRANSITIONS] = tries.rows.take(places, 0)
    sampled = tries.sampled_at[places] >= 0
    if any_of(sampled):
        values[:, USED] = used(tries, places)
        values[:, CPU] = values[:, USED.start + USER] + values[:, USED.start + SYSTEM]
        values[:, SAMPLED] = sampled
        values[:, WASTED] = np.where(wasteful(tries, places), values[:, CPU], 0.0)
    values[cpu_host == NONE, ON_HOST] = 0.0
    running = (tries.last[places, RUNNING] >= 0) & (tries.last[places, RUNNING_ENDED] < 0)
    running &= ~ended(tasks, tries, places, over=over)
    if any_of(running):
        children, virtual, resident = np.nan_to_num(tries.latest_sample[places[running]]).T
        values[running, TRIES] = 1.0
        values[running, MEASURED] = sampled[running]
        values[running, RESIDENT] = resident
        values[running, VIRTUAL] = virtual
        values[running, PROCESSES] = np.where(sampled[running], 1.0 + children, 0.0)
    return Added(
        places,
        values,
        group,
        cpu_host,
        tries.host[places],
        running,
        running_group,
        tries.executor[places],
        tries.block[places],
    )


class Observed(NamedTuple):
    """Values that a histogram observes, and of which of the tries (by index) they are."""

    of: Ints
    values: Ints | Floats


def final_at(tries: Tries, places: Codes) -> Ints:
    """Microseconds of each try's latest final row, NONE where it has none."""
    latest: Ints = tries.last_by_state(places)[FIRST_FINAL:].max(axis=0)
    return latest


def latest_end(tries: Tries, places: Codes) -> Ints:
    """Microseconds of each try's latest row that ends it, NONE where none does."""
    latest: Ints = tries.last_by_state(places)[FAIL_RETRYABLE:].max(axis=0)
    return latest


def durations(tries: Tries, places: Codes) -> dict[int, Observed]:
    """What tries that close spent in each state of `TIMED`: from its earliest start to its latest end."""
    last = tries.last_by_state(places)
    final, own_end = last[FIRST_FINAL:].max(axis=0), last[RUNNING_ENDED]
    end = np.where(own_end >= 0, own_end, np.maximum(last[FAIL_RETRYABLE], final))

    def span(state: int, end: Ints) -> Observed:
        of = indices((last[state] >= 0) & (end >= 0))
        return Observed(of, np.maximum(0, end[of] - tries.first[places[of], state]))

    return {
        PENDING: span(PENDING, last[LAUNCHED]),
        LAUNCHED: span(LAUNCHED, last[RUNNING]),
        RUNNING: span(RUNNING, end),
        JOINING: span(JOINING, final),
    }


def cpu(tries: Tries, places: Codes) -> Observed:
    """User and system CPU seconds of the tries of which both were sampled at two moments: one measures nothing."""
    of = indices(tries.cpu_from[places] < tries.cpu_to[places])
    difference = used(tries, places[of])
    return Observed(of, difference[:, USER] + difference[:, SYSTEM])


def peak(tries: Tries, places: Codes) -> Observed:
    """The greatest resident sample, where there is one."""
    values = tries.peak[places]
    of = indices(np.isfinite(values))
    return Observed(of, values[of])


def ended_at(tries: Tries, places: Codes) -> Ints:
    """Microseconds at which each try ended: its latest row that ends it, or its newest where none does."""
    end = latest_end(tries, places)
    return np.where(end >= 0, end, newest(tries, places))


def newest(tries: Tries, places: Codes) -> Ints:
    """Microseconds of each try's newest status row or sample; NONE when it has none."""
    rows = np.maximum(tries.last_by_state(places).max(axis=0), tries.odd_at[places])
    found: Ints = np.maximum(rows, tries.sampled_at[places])
    return found
