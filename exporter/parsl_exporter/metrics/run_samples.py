"""How the samples of each run family are drawn from a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeAlias
from weakref import WeakKeyDictionary

from parsl_exporter.metrics.family import Distribution, Joined, Sample, in_any_order
from parsl_exporter.model.blocks import BLOCK_STATES, Block, counts_by_state, queue_times
from parsl_exporter.model.groups import Group, groups_of
from parsl_exporter.model.managers import Host, Manager
from parsl_exporter.model.names import UNKNOWN
from parsl_exporter.model.observations import Summed
from parsl_exporter.model.report import names_of
from parsl_exporter.model.run import Run
from parsl_exporter.model.timestamps import MICROSECONDS
from parsl_exporter.model.waiting import WaitingTasks, waiting_tasks

DrawGroup: TypeAlias = Callable[[tuple[str, str], Group], Iterable[Sample]]
"""Draws samples of one app and executor from its group alone."""
DrawnGroups: TypeAlias = MutableMapping[Group, dict[DrawGroup, list[Sample]]]


@dataclass(frozen=True)
class View:
    """A run, and what of it is to be shown.

    `gone_before`: blocks, managers and hosts that went before that time (the model's clock) are left out.
    `drawn`: the samples of groups drawn before, as those of most have not changed since.
    """

    run: Run
    hidden: frozenset[str]
    gone_before: float
    drawn: DrawnGroups = field(default_factory=WeakKeyDictionary)

    def alive(self, gone_at: float | None) -> bool:
        """Say whether something that went at `gone_at` is still shown."""
        return gone_at is None or gone_at >= self.gone_before

    @cached_property
    def groups(self) -> Sequence[tuple[tuple[str, str], Group]]:
        """Each (app, executor) that is shown; empty ones that only stood for unknown names are not."""
        return groups_of(self.run)

    @cached_property
    def drawn_groups(self) -> Sequence[dict[DrawGroup, list[Sample]]]:
        """What has been drawn of each of `groups`."""
        return [self.drawn.setdefault(group, {}) for _, group in self.groups]

    @cached_property
    def waiting(self) -> Mapping[tuple[str, str], WaitingTasks]:
        """The tasks that wait, by executor and cause."""
        return waiting_tasks(self.run, self.groups)

    @cached_property
    def queued(self) -> Sequence[tuple[str, Summed]]:
        """How long blocks were queued, in microseconds, for each executor that has blocks."""
        return list(queue_times(self.run.blocks, self.run.buckets.durations))

    def blocks(self) -> Iterator[tuple[tuple[str, str], Block]]:
        """Each block that is shown."""
        return ((key, b) for key, b in self.run.blocks.items() if self.alive(b.gone_at))

    @cached_property
    def managers(self) -> Sequence[tuple[tuple[str, str, str, str], Manager]]:
        """Each manager that is shown, with manager, hostname, executor and block_id."""
        return [
            ((uid, m.latest.hostname, self.run.executor_of(m), m.latest.block_id), m)
            for uid, m in self.run.managers.items()
            if self.alive(m.gone_at)
        ]

    def hosts(self) -> Iterator[tuple[str, Host]]:
        """Each host that is shown; `unknown` while tries run on it, or when a run is over that never named it."""
        nowhere = self.run.nowhere
        unnamed = nowhere.running > 0 or (self.run.over and nowhere.sampled > 0)
        for key, host in self.run.hosts.items():
            if unnamed and key == UNKNOWN:
                yield key, host.plus(nowhere, over=self.run.over)
            elif self.alive(host.gone_at):
                yield key, host
        if unnamed and UNKNOWN not in self.run.hosts:
            yield UNKNOWN, Host().plus(nowhere, over=self.run.over)


Draw = Callable[[View], Iterable[Sample]]


def seconds(us: float) -> float:
    """Microseconds as seconds."""
    return us / MICROSECONDS


def durations(summed: Summed) -> Distribution:
    """Microseconds as a histogram of seconds."""
    histogram = summed.histogram
    return Distribution(
        _bounds_in_seconds(histogram.bounds), histogram.counts, seconds(histogram.sum), *summed[1:]
    )


@lru_cache(maxsize=16)
def _bounds_in_seconds(bounds: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(seconds(bound) for bound in bounds)


def plain(summed: Summed) -> Distribution:
    """A histogram in the unit of its observations."""
    histogram = summed.histogram
    return Distribution(histogram.bounds, histogram.counts, in_any_order(histogram.sum), *summed[1:])


def workflow_info(view: View) -> Iterator[Sample]:
    """The run's names, unknown without a workflow row; those that are hidden say so."""
    yield tuple(names_of(view.run, view.hidden).values()), 1


def start(view: View) -> Iterator[Sample]:
    """When the run began, once its workflow row is known."""
    if view.run.info is not None:
        yield (), seconds(view.run.info.begin_us)


def end(view: View) -> Iterator[Sample]:
    """When the run ended, if it has."""
    if view.run.info is not None and view.run.info.end_us is not None:
        yield (), seconds(view.run.info.end_us)


def last_event(view: View) -> Iterator[Sample]:
    """The newest of the run's rows, if it has any."""
    if view.run.last_us:
        yield (), seconds(view.run.last_us)


def last_row(view: View) -> Iterator[Sample]:
    """When a row of the run was last taken."""
    if view.run.heard_us:
        yield (), seconds(view.run.heard_us)


def waiting(view: View) -> Iterator[Sample]:
    """Tasks that wait, for each executor and each cause."""
    return ((key, tasks.count) for key, tasks in view.waiting.items())


def waiting_since(view: View) -> Iterator[Sample]:
    """Since when the longest-waiting of them waits, for each cause that any has."""
    for key, tasks in view.waiting.items():
        if tasks.oldest_us is not None:
            yield key, seconds(tasks.oldest_us)


def of_groups(draw_group: DrawGroup) -> Draw:
    """The samples of each app and executor, drawn when its group has changed."""

    def draw(view: View) -> Iterable[Sample]:
        parts: list[list[Sample]] = []
        for (pair, group), drawn in zip(view.groups, view.drawn_groups, strict=True):
            samples = drawn.get(draw_group)
            if samples is None:
                samples = drawn[draw_group] = list(draw_group(pair, group))
            parts.append(samples)
        return Joined(parts)

    return draw


def by_group(value: Callable[[Group], float | Distribution]) -> Draw:
    """One value for each app and executor."""
    return of_groups(lambda pair, group: [(pair, value(group))])


def by_state(values: Callable[[Group], Mapping[str, float]]) -> Draw:
    """One value for each app, executor and state."""
    return of_groups(lambda pair, group: [((*pair, state), n) for state, n in values(group).items()])


def failures(view: View) -> Iterator[Sample]:
    """Failed tries by reason: the reasons that the run has seen, each for all of its apps."""
    seen = sorted({r for _, group in view.groups for r, count in group.failures.items() if count})
    for pair, group in view.groups:
        for reason in seen:
            yield (*pair, reason), group.failures.get(reason, 0)


def state_durations(pair: tuple[str, str], group: Group) -> Iterator[Sample]:
    """A histogram for each state whose length is measured."""
    return (((*pair, state), durations(summed)) for state, summed in group.durations.items())


def state_summaries(pair: tuple[str, str], group: Group) -> Iterator[Sample]:
    """The quantiles of each state whose length is measured."""
    for state, summed in group.durations.items():
        if summed.sketch is not None:
            yield (*pair, state), summed.sketch


def summaries(value: Callable[[Group], Summed]) -> Draw:
    """The quantiles of one kind of value, for each app and executor that has any."""
    return of_groups(
        lambda pair, group: [(pair, sketch)] if (sketch := value(group).sketch) is not None else ()
    )


def oldest(pair: tuple[str, str], group: Group) -> Iterator[Sample]:
    """Since when the longest-waiting task waits, for each state that any waits in."""
    return (((*pair, state), seconds(us)) for state, us in group.oldest.items())


def modes(**columns: int) -> Draw:
    """For each app and executor one value a mode: the cumulative column of that name."""
    return of_groups(
        lambda pair, group: [
            ((*pair, mode), in_any_order(group.used[column])) for mode, column in columns.items()
        ]
    )


def by_host(value: Callable[[Host], float]) -> Draw:
    """One value for each host that is shown."""
    return lambda view: (((hostname,), value(host)) for hostname, host in view.hosts())


def host_size(size: Callable[[Manager], float]) -> Draw:
    """A size of each host: the greatest that its managers name, of active ones if there are any."""

    def draw(view: View) -> Iterator[Sample]:
        sizes: dict[str, dict[bool, float]] = {}
        for manager in view.run.managers.values():
            if view.alive(manager.gone_at):
                of_host = sizes.setdefault(manager.latest.hostname, {})
                of_host[manager.connected] = max(of_host.get(manager.connected, 0), size(manager))
        for hostname, of_host in sizes.items():
            yield (hostname,), of_host[True] if True in of_host else of_host[False]

    return draw


def manager_info(view: View) -> Iterator[Sample]:
    """Each manager that is shown, and its Python."""
    for labels, manager in view.managers:
        yield (*labels, manager.latest.python), 1


def by_manager(value: Callable[[Manager], float]) -> Draw:
    """One value for each manager that is shown."""
    return lambda view: ((labels, value(manager)) for labels, manager in view.managers)


def blocks(view: View) -> Iterator[Sample]:
    """Blocks by executor and state: Parsl's ten, and the unknown ones that have any."""
    for executor, counts in counts_by_state(view.run.blocks).items():
        for state, count in {**dict.fromkeys(BLOCK_STATES, 0), **counts}.items():
            yield (executor, state), count


def block_transitions(view: View) -> Iterator[Sample]:
    """Changes of state by executor and state; the first row of a block is one."""
    counts: dict[str, dict[str, int]] = {}
    for (executor, _), block in view.run.blocks.items():
        if block.state is not None:
            of_executor = counts.setdefault(executor, dict.fromkeys(BLOCK_STATES, 0))
            for change in block.changes():
                of_executor[change.state] = of_executor.get(change.state, 0) + 1
    for executor, of_executor in counts.items():
        for state, count in of_executor.items():
            yield (executor, state), count


def block_pending(view: View) -> Iterator[Sample]:
    """A histogram for each executor of how long its blocks were queued."""
    for executor, summed in view.queued:
        yield (executor,), durations(summed)


def block_pending_summary(view: View) -> Iterator[Sample]:
    """The quantiles of how long blocks were queued, for each executor of which any was."""
    for executor, summed in view.queued:
        if summed.sketch is not None:
            yield (executor,), summed.sketch


def block_info(view: View) -> Iterator[Sample]:
    """Each block that is shown, and its job."""
    return (((*key, block.job_id), 1) for key, block in view.blocks() if block.state is not None)


def block_state(view: View) -> Iterator[Sample]:
    """The state of each block that is shown."""
    return (((*key, block.state), 1) for key, block in view.blocks() if block.state is not None)


def block_entered(view: View) -> Iterator[Sample]:
    """When each block that is shown entered its state."""
    return ((key, seconds(b.changes()[-1].us)) for key, b in view.blocks() if b.state is not None)


def block_worked(view: View) -> Iterator[Sample]:
    """Whether each block that is shown ever did any work."""
    by_manager = {
        (view.run.executor_of(manager), manager.latest.block_id)
        for manager in view.run.managers.values()
        if manager.worked
    }
    return ((key, float(block.tried or key in by_manager)) for key, block in view.blocks())


def block_running(view: View) -> Iterator[Sample]:
    """Running tries on each block that is shown, also on those that only tries name."""
    return ((key, block.running) for key, block in view.blocks())


def block_activity(view: View) -> Iterator[Sample]:
    """The newest sign of life of each block that is shown and gave any."""
    newest: dict[tuple[str, str], int] = {}
    for manager in view.run.managers.values():
        key = (view.run.executor_of(manager), manager.latest.block_id)
        newest[key] = max(newest.get(key, 0), manager.alive_us)
    for key, block in view.blocks():
        us = max(block.activity, newest.get(key, 0))
        if us:
            yield key, seconds(us)
