"""The facts of one (app, executor) pair of a run, as plain numbers that do not change any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from parsl_exporter.model.observations import (
    CPU_USAGE,
    MEMORY_PEAK,
    STATE_DURATION,
    TASK_DURATION,
    Summed,
)
from parsl_exporter.model.run import Run
from parsl_exporter.model.states import STATES, TIMED
from parsl_exporter.model.sums import MEASURED, PROCESSES, RESIDENT, TRANSITIONS, TRIES, USED, VIRTUAL, WASTED


class Group(NamedTuple):
    """One (app, executor). Durations and stamps are in microseconds, everything else as sampled.

    `running` tries, `measured` ones among them that were sampled.
    """

    tasks: Mapping[str, int]
    transitions: Mapping[str, int]
    failures: Mapping[str, int]
    durations: Mapping[str, Summed]
    task_duration: Summed
    cpu: Summed
    peak: Summed
    oldest: Mapping[str, int]
    used: Sequence[float]
    wasted: float
    running: int
    measured: int
    resident: float
    virtual: float
    processes: float


def groups_of(run: Run) -> list[tuple[tuple[str, str], Group]]:
    """Give each pair that is shown, app and executor, in the order in which they were seen."""
    sums, observed = run.sums, run.sums.observations.at
    values, tasks = sums.values.tolist(), sums.tasks.tolist()
    failures, odd_transitions = _by_group(sums.failures), _by_group(sums.odd_transitions)
    odd_tasks = _by_group({key: n for key, n in sums.odd_tasks.items() if n})
    groups = []
    for g, pair in enumerate(sums.pairs):
        if not (g in odd_tasks or sums.shown(g)):
            continue
        row = values[g]
        counts = dict(zip(STATES, tasks[g], strict=True)) | odd_tasks.get(g, {})
        transitions = dict(zip(STATES, map(int, row[TRANSITIONS]), strict=True)) | odd_transitions.get(g, {})
        waiting = ((STATES[state], run.oldest(g, state)) for state in TIMED)
        groups.append(
            (
                pair,
                Group(
                    tasks=counts,
                    transitions=transitions,
                    failures=failures.get(g, {}),
                    durations={STATES[state]: observed(kind, g) for state, kind in STATE_DURATION.items()},
                    task_duration=observed(TASK_DURATION, g),
                    cpu=observed(CPU_USAGE, g),
                    peak=observed(MEMORY_PEAK, g),
                    oldest={state: us for state, us in waiting if us is not None},
                    used=row[USED],
                    wasted=row[WASTED],
                    running=int(row[TRIES]),
                    measured=int(row[MEASURED]),
                    resident=row[RESIDENT],
                    virtual=row[VIRTUAL],
                    processes=row[PROCESSES],
                ),
            )
        )
    return groups


def _by_group(counts: Mapping[tuple[int, str], int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for (group, name), count in counts.items():
        found.setdefault(group, {})[name] = count
    return found
