"""What there is to say of one run to a person: counts that do not change any more, for a terminal or a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from parsl_exporter.model.blocks import BLOCK_STATES, counts_by_state
from parsl_exporter.model.groups import Group
from parsl_exporter.model.names import HIDDEN, UNKNOWN
from parsl_exporter.model.run import Run
from parsl_exporter.model.states import STATES
from parsl_exporter.model.waiting import TIMELESS, WaitingTasks, held_since


class Workers(NamedTuple):
    """The active managers of an executor and their worker slots. `busy`: tries that run on the executor."""

    managers: int
    slots: int
    busy: int


class RunReport(NamedTuple):
    """One run. Stamps are microseconds UTC; counts of 0 are left out.

    `names`: workflow_name, workflow_version, host, user and rundir, `unknown` without a workflow row and `hidden`
    where they are to be. `heard_us`: when a row of it was last taken, 0 if never. `tasks`: by app and executor, then by
    state, in Parsl's order; so are `blocks`, by executor. `failures`: tries by reason. `waiting`: by executor and
    cause, as is `held_us`: since when one that is no matter of course holds the executor up, see `held_since`.
    `workers`: of executors that ever had a manager. `sampled`: tasks run of which samples keep coming.
    """

    run_id: str
    names: Mapping[str, str]
    begin_us: int | None
    end_us: int | None
    first_us: int
    heard_us: int
    tasks: Mapping[tuple[str, str], Mapping[str, int]]
    failures: Mapping[str, int]
    waiting: Mapping[tuple[str, str], WaitingTasks]
    held_us: Mapping[tuple[str, str], int]
    blocks: Mapping[str, Mapping[str, int]]
    workers: Mapping[str, Workers]
    sampled: bool

    def tasks_by_state(self) -> dict[str, int]:
        """The run's tasks by state, in Parsl's order."""
        return in_order(_summed(self.tasks.values()), STATES)

    def tasks_by_app(self) -> dict[str, Counter[str]]:
        """The run's tasks by app, then by state, those of all executors together."""
        apps: dict[str, Counter[str]] = {}
        for (app, _), states in self.tasks.items():
            apps.setdefault(app, Counter()).update(states)
        return apps

    def blocks_by_state(self) -> dict[str, int]:
        """The run's blocks by state, in Parsl's order."""
        return in_order(_summed(self.blocks.values()), BLOCK_STATES)


class SourceReport(NamedTuple):
    """A source and its runs. `state` is up, reading or down, `message` says more, `rows` are those read so far.

    `as_of`: when it was last read, UTC epoch seconds. `others`: the number of runs that are not among `runs`.
    """

    name: str
    state: str
    message: str
    rows: int
    as_of: float
    runs: tuple[RunReport, ...]
    others: int


def in_order(counts: Mapping[str, int], states: Sequence[str]) -> dict[str, int]:
    """Give counts by state in that order; states that are not among these come last, by name."""
    others = sorted(counts.keys() - set(states))
    return {state: counts[state] for state in (*states, *others) if state in counts}


def report_of(
    run: Run,
    groups: Sequence[tuple[tuple[str, str], Group]],
    waiting: Mapping[tuple[str, str], WaitingTasks],
    hidden: Collection[str],
) -> RunReport:
    """Report on a run as it is now, out of its `groups_of` and `waiting_tasks`; `hidden` names are not told."""
    info = run.info
    return RunReport(
        run_id=run.run_id,
        names=names_of(run, hidden),
        begin_us=None if info is None else info.begin_us,
        end_us=None if info is None else info.end_us,
        first_us=run.first_us,
        heard_us=run.heard_us,
        tasks={pair: in_order(_there(group.tasks), STATES) for pair, group in groups},
        failures=_summed(group.failures for _, group in groups),
        waiting={key: tasks for key, tasks in waiting.items() if tasks.count},
        held_us={
            (executor, cause): held_since(run, executor, cause)
            for (executor, cause), tasks in waiting.items()
            if tasks.count and cause not in TIMELESS
        },
        blocks={
            executor: in_order(states, BLOCK_STATES)
            for executor, states in counts_by_state(run.blocks).items()
        },
        workers=_workers(run, groups),
        sampled=any(group.measured > 0 for _, group in groups),
    )


def names_of(run: Run, hidden: Collection[str]) -> dict[str, str]:
    """Give what the workflow row says of a run, `unknown` without one, and `hidden` in place of what is to be."""
    info = run.info
    names = dict.fromkeys(("workflow_name", "workflow_version", "host", "user", "rundir"), UNKNOWN)
    if info is not None:
        names = dict(zip(names, (info.name, info.version, info.host, info.user, info.rundir), strict=True))
    return names | {name: HIDDEN for name in names if name in hidden}


def _workers(run: Run, groups: Sequence[tuple[tuple[str, str], Group]]) -> dict[str, Workers]:
    found: dict[str, Workers] = {}
    for manager in run.managers.values():
        executor, connected = run.executor_of(manager), manager.connected
        managers, slots, _ = found.get(executor, Workers(0, 0, 0))
        found[executor] = Workers(managers + connected, slots + connected * round(manager.latest.workers), 0)
    busy = _summed({executor: group.running} for (_, executor), group in groups)
    return {executor: workers._replace(busy=busy.get(executor, 0)) for executor, workers in found.items()}


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return _there(total)


def _there(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
