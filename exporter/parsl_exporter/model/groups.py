"""The facts of one (app, executor) pair of a run, as plain numbers that do not change any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsl_exporter.base.columns import indices
from parsl_exporter.model.observations import (
    CPU_USAGE,
    MEMORY_PEAK,
    STATE_DURATION,
    TASK_DURATION,
    Summed,
)
from parsl_exporter.model.states import STATES, TIMED
from parsl_exporter.model.sums import MEASURED, PROCESSES, RESIDENT, TRANSITIONS, TRIES, USED, VIRTUAL, WASTED

if TYPE_CHECKING:
    from parsl_exporter.model.run import Run


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Group:
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
    """Give each pair that is shown, app and executor, in the order in which they were seen.

    A group of which nothing has changed is the same object as before.
    """
    sums, groups = run.sums, run.groups
    groups += [None] * (len(sums.pairs) - len(groups))
    changed = indices(sums.changed[: len(groups)]).tolist()
    if changed:
        failures, odd_transitions = _by_group(sums.failures), _by_group(sums.odd_transitions)
        odd_tasks = _by_group({key: n for key, n in sums.odd_tasks.items() if n})
        for g in changed:
            odd = odd_tasks.get(g, {})
            groups[g] = (
                _group(run, g, failures.get(g, {}), odd_transitions.get(g, {}), odd)
                if odd or sums.shown(g)
                else None
            )
        sums.changed[changed] = False
    return [(pair, group) for pair, group in zip(sums.pairs, groups, strict=True) if group is not None]


def _group(
    run: Run,
    g: int,
    failures: Mapping[str, int],
    odd_transitions: Mapping[str, int],
    odd_tasks: Mapping[str, int],
) -> Group:
    observed, row = run.sums.observations.at, run.sums.values[g].tolist()
    waiting = ((STATES[state], run.oldest(g, state)) for state in TIMED)
    return Group(
        tasks={**dict(zip(STATES, run.sums.tasks[g].tolist(), strict=True)), **odd_tasks},
        transitions={**dict(zip(STATES, map(int, row[TRANSITIONS]), strict=True)), **odd_transitions},
        failures=failures,
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
    )


def _by_group(counts: Mapping[tuple[int, str], int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for (group, name), count in counts.items():
        found.setdefault(group, {})[name] = count
    return found
