"""The catalogue of the run families: every one declared once, with the way it is drawn from a run.

Names and meanings are a public interface; docs/metrics.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from parsl_exporter.metrics.family import Distribution, Family, Fold, Kind, Sample
from parsl_exporter.model.blocks import BLOCK_STATES, Block
from parsl_exporter.model.groups import TIMED, Group
from parsl_exporter.model.histogram import Histogram
from parsl_exporter.model.lifetimes import manager_active
from parsl_exporter.model.managers import Host, Manager
from parsl_exporter.model.names import HIDDEN, OTHER, UNKNOWN
from parsl_exporter.model.run import Run
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.model.tasks import DEPENDENCY_ERROR, STATES
from parsl_exporter.model.usage import INVOLUNTARY, READ, SYSTEM, USER, VOLUNTARY, WRITTEN


class View(NamedTuple):
    """A run, and what of it is to be shown.

    `gone_before`: blocks, managers and hosts that went before that time (the model's clock) are left out.
    """

    run: Run
    failure_reasons: tuple[str, ...]
    hidden: frozenset[str]
    gone_before: float

    def alive(self, gone_at: float | None) -> bool:
        """Say whether something that went at `gone_at` is still shown."""
        return gone_at is None or gone_at >= self.gone_before

    def groups(self) -> Iterator[tuple[tuple[str, str], Group]]:
        """Each (app, executor) that is shown; empty ones that only stood for unknown names are not."""
        for pair, group in self.run.groups.items():
            if UNKNOWN not in pair or not group.empty():
                yield pair, group

    def blocks(self) -> Iterator[tuple[tuple[str, str], Block]]:
        """Each block that is shown."""
        return ((key, b) for key, b in self.run.blocks.items() if self.alive(b.gone_at))

    def managers(self) -> Iterator[tuple[tuple[str, str, str, str], Manager]]:
        """Each manager that is shown, with manager, hostname, executor and block_id."""
        for uid, manager in self.run.managers.items():
            if self.alive(manager.gone_at):
                latest = manager.latest
                yield (uid, latest.hostname, self.run.executor_of(manager), latest.block_id), manager

    def hosts(self) -> Iterator[tuple[str, Host]]:
        """Each host that is shown."""
        return ((key, h) for key, h in self.run.hosts.items() if self.alive(h.gone_at))


Draw = Callable[[View], Iterable[Sample]]


def _seconds(us: float) -> float:
    return us / MICROSECONDS


def _durations(histogram: Histogram) -> Distribution:
    return Distribution(
        [_seconds(b) for b in histogram.bounds], list(histogram.counts), _seconds(histogram.sum)
    )


def _plain(histogram: Histogram) -> Distribution:
    return Distribution(histogram.bounds, list(histogram.counts), histogram.sum)


def _workflow_info(view: View) -> Iterator[Sample]:
    info = view.run.info
    if info is not None:
        shown = {"host": info.host, "user": info.user, "rundir": info.rundir}
        shown.update((label, HIDDEN) for label in view.hidden if label in shown)
        yield (info.name, info.version, shown["host"], shown["user"], shown["rundir"]), 1


def _start(view: View) -> Iterator[Sample]:
    if view.run.info is not None:
        yield (), _seconds(view.run.info.begin_us)


def _end(view: View) -> Iterator[Sample]:
    if view.run.info is not None and view.run.info.end_us is not None:
        yield (), _seconds(view.run.info.end_us)


def _last_event(view: View) -> Iterator[Sample]:
    if view.run.last_us:
        yield (), _seconds(view.run.last_us)


def _by_group(value: Callable[[Group], float | Distribution]) -> Draw:
    return lambda view: ((pair, value(group)) for pair, group in view.groups())


def _tasks(view: View) -> Iterator[Sample]:
    for pair, group in view.groups():
        for state in {**dict.fromkeys(STATES), **group.tasks}:
            count = group.tasks.get(state, 0)
            if count or state in STATES:
                yield (*pair, state), count


def _transitions(view: View) -> Iterator[Sample]:
    for pair, group in view.groups():
        for state in {**dict.fromkeys(STATES), **group.transitions}:
            yield (*pair, state), group.transitions.get(state, 0)


def _failures(view: View) -> Iterator[Sample]:
    for pair, group in view.groups():
        for reason in dict.fromkeys((*view.failure_reasons, DEPENDENCY_ERROR, OTHER, UNKNOWN)):
            yield (*pair, reason), group.failures.get(reason, 0)


def _state_durations(view: View) -> Iterator[Sample]:
    for pair, group in view.groups():
        for state in TIMED:
            yield (*pair, state), _durations(group.durations[state])


def _oldest(view: View) -> Iterator[Sample]:
    for pair, group in view.groups():
        for state in TIMED:
            us = group.oldest(state)
            if us is not None:
                yield (*pair, state), _seconds(us)


def _modes(**columns: int) -> Draw:
    def draw(view: View) -> Iterator[Sample]:
        for pair, group in view.groups():
            for mode, column in columns.items():
                yield (*pair, mode), group.used[column]

    return draw


def _by_host(value: Callable[[Host], float]) -> Draw:
    return lambda view: (((hostname,), value(host)) for hostname, host in view.hosts())


def _host_size(size: Callable[[Manager], float]) -> Draw:
    def draw(view: View) -> Iterator[Sample]:
        sizes: dict[str, dict[bool, float]] = {}
        for uid, manager in view.run.managers.items():
            if view.alive(manager.gone_at):
                of_host = sizes.setdefault(manager.latest.hostname, {})
                active = manager_active(view.run, uid)
                of_host[active] = max(of_host.get(active, 0), size(manager))
        for hostname, of_host in sizes.items():
            yield (hostname,), of_host[True] if True in of_host else of_host[False]

    return draw


def _manager_info(view: View) -> Iterator[Sample]:
    for labels, manager in view.managers():
        yield (*labels, manager.latest.python), 1


def _by_manager(value: Callable[[View, str, Manager], float]) -> Draw:
    return lambda view: ((labels, value(view, labels[0], manager)) for labels, manager in view.managers())


def _blocks(view: View) -> Iterator[Sample]:
    counts: dict[str, dict[str, int]] = {}
    for (executor, _), block in view.run.blocks.items():
        if block.state is not None:
            of_executor = counts.setdefault(executor, dict.fromkeys(BLOCK_STATES, 0))
            of_executor[block.state] = of_executor.get(block.state, 0) + 1
    for executor, of_executor in counts.items():
        for state, count in of_executor.items():
            yield (executor, state), count


def _block_transitions(view: View) -> Iterator[Sample]:
    counts: dict[str, dict[str, int]] = {}
    for (executor, _), block in view.run.blocks.items():
        if block.state is not None:
            of_executor = counts.setdefault(executor, dict.fromkeys(BLOCK_STATES, 0))
            for change in block.changes():
                of_executor[change.state] = of_executor.get(change.state, 0) + 1
    for executor, of_executor in counts.items():
        for state, count in of_executor.items():
            yield (executor, state), count


def _block_pending(view: View) -> Iterator[Sample]:
    histograms: dict[str, Histogram] = {}
    for (executor, _), block in view.run.blocks.items():
        if block.state is not None:
            histogram = histograms.setdefault(executor, Histogram(view.run.buckets.durations))
            queued_us = block.queued_us()
            if queued_us is not None:
                histogram.observe(max(0, queued_us))
    for executor, histogram in histograms.items():
        yield (executor,), _durations(histogram)


def _block_info(view: View) -> Iterator[Sample]:
    return (((*key, block.job_id), 1) for key, block in view.blocks() if block.state is not None)


def _block_state(view: View) -> Iterator[Sample]:
    return (((*key, block.state), 1) for key, block in view.blocks() if block.state is not None)


def _block_entered(view: View) -> Iterator[Sample]:
    return ((key, _seconds(b.changes()[-1].us)) for key, b in view.blocks() if b.state is not None)


def _block_running(view: View) -> Iterator[Sample]:
    return ((key, block.running) for key, block in view.blocks())


def _block_activity(view: View) -> Iterator[Sample]:
    newest: dict[tuple[str, str], int] = {}
    for manager in view.run.managers.values():
        key = (view.run.executor_of(manager), manager.latest.block_id)
        newest[key] = max(newest.get(key, 0), manager.newest_us)
    for key, block in view.blocks():
        us = max(block.activity, newest.get(key, 0))
        if us:
            yield key, _seconds(us)


_TASK = ("app", "executor")
_MANAGER = ("manager", "hostname", "executor", "block_id")
_BLOCK = ("executor", "block_id")


def _family(
    name: str, kind: Kind, own: tuple[str, ...], draw: Draw, text: str, fold: Fold = "sum"
) -> Family[View]:
    return Family(name, kind, text, own, draw, fold)


RUN_FAMILIES: tuple[Family[View], ...] = (
    _family(
        "parsl_workflow_info",
        "gauge",
        ("workflow_name", "workflow_version", "host", "user", "rundir"),
        _workflow_info,
        "A run (one parsl.load()) and what it is called; always 1.",
        "drop",
    ),
    _family(
        "parsl_workflow_start_timestamp_seconds",
        "gauge",
        (),
        _start,
        "When the run began (workflow.time_began).",
        "min",
    ),
    _family(
        "parsl_workflow_end_timestamp_seconds",
        "gauge",
        (),
        _end,
        "When the run ended (workflow.time_completed); absent until a clean end.",
        "drop",
    ),
    _family(
        "parsl_workflow_last_event_timestamp_seconds",
        "gauge",
        (),
        _last_event,
        "Newest timestamp of the run in its workflow, status, resource, block and node rows.",
        "max",
    ),
    _family(
        "parsl_tasks",
        "gauge",
        (*_TASK, "state"),
        _tasks,
        "Tasks now in each state; executor is that of the task's latest try.",
    ),
    _family(
        "parsl_task_transitions_total",
        "counter",
        (*_TASK, "state"),
        _transitions,
        "Status rows: entries into a state.",
    ),
    _family(
        "parsl_task_failures_total",
        "counter",
        (*_TASK, "reason"),
        _failures,
        "Tries that failed (fail_retryable, failed or dep_fail), each once, by class of exception.",
    ),
    _family(
        "parsl_task_state_duration_seconds",
        "histogram",
        (*_TASK, "state"),
        _state_durations,
        "Time that a try spent pending, launched, running or joining.",
    ),
    _family(
        "parsl_task_duration_seconds",
        "histogram",
        _TASK,
        _by_group(lambda g: _durations(g.task_duration)),
        "Time from a task's first pending to its final state.",
    ),
    _family(
        "parsl_task_oldest_timestamp_seconds",
        "gauge",
        (*_TASK, "state"),
        _oldest,
        "When the longest-waiting task now pending, launched, running or joining entered that state.",
        "min",
    ),
    _family(
        "parsl_task_cpu_seconds_total",
        "counter",
        (*_TASK, "mode"),
        _modes(user=USER, system=SYSTEM),
        "CPU time that tries used: greatest minus least cumulative sample of each.",
    ),
    _family(
        "parsl_task_wasted_cpu_seconds_total",
        "counter",
        _TASK,
        _by_group(lambda g: g.wasted),
        "CPU time, user and system, of tries that ended in fail_retryable or failed.",
    ),
    _family(
        "parsl_task_cpu_usage_seconds",
        "histogram",
        _TASK,
        _by_group(lambda g: _plain(g.cpu)),
        "CPU time, user and system, of one try.",
    ),
    _family(
        "parsl_task_memory_resident_bytes",
        "gauge",
        _TASK,
        _by_group(lambda g: g.resident),
        "Resident memory of the running tries, by their latest samples.",
    ),
    _family(
        "parsl_task_memory_virtual_bytes",
        "gauge",
        _TASK,
        _by_group(lambda g: g.virtual),
        "Virtual memory of the running tries, by their latest samples.",
    ),
    _family(
        "parsl_task_memory_peak_bytes",
        "histogram",
        _TASK,
        _by_group(lambda g: _plain(g.peak)),
        "Greatest resident memory sampled of one try.",
    ),
    _family(
        "parsl_task_io_read_bytes_total",
        "counter",
        _TASK,
        _by_group(lambda g: g.used[READ]),
        "Bytes that tries read.",
    ),
    _family(
        "parsl_task_io_written_bytes_total",
        "counter",
        _TASK,
        _by_group(lambda g: g.used[WRITTEN]),
        "Bytes that tries wrote.",
    ),
    _family(
        "parsl_task_context_switches_total",
        "counter",
        (*_TASK, "mode"),
        _modes(voluntary=VOLUNTARY, involuntary=INVOLUNTARY),
        "Context switches of tries.",
    ),
    _family(
        "parsl_task_processes",
        "gauge",
        _TASK,
        _by_group(lambda g: g.processes),
        "Processes of the running tries: the worker's own and its children.",
    ),
    _family(
        "parsl_node_cpus",
        "gauge",
        ("hostname",),
        _host_size(lambda m: m.latest.cpus),
        "CPUs of a host with an active manager.",
        "drop",
    ),
    _family(
        "parsl_node_memory_bytes",
        "gauge",
        ("hostname",),
        _host_size(lambda m: m.latest.memory),
        "Memory of a host with an active manager.",
        "drop",
    ),
    _family(
        "parsl_node_tasks_running",
        "gauge",
        ("hostname",),
        _by_host(lambda h: h.running),
        "Running tries on a host.",
        "drop",
    ),
    _family(
        "parsl_node_task_cpu_seconds_total",
        "counter",
        ("hostname",),
        _by_host(lambda h: h.cpu),
        "CPU time, user and system, that tries used on a host.",
        "drop",
    ),
    _family(
        "parsl_node_task_memory_resident_bytes",
        "gauge",
        ("hostname",),
        _by_host(lambda h: h.resident),
        "Resident memory of the running tries on a host.",
        "drop",
    ),
    _family(
        "parsl_manager_info",
        "gauge",
        (*_MANAGER, "python_version"),
        _manager_info,
        "A manager (worker pool) and what it runs; always 1.",
        "drop",
    ),
    _family(
        "parsl_manager_active",
        "gauge",
        _MANAGER,
        _by_manager(lambda view, uid, _: float(manager_active(view.run, uid))),
        "1 while a manager can run tasks; 0 when inactive, its block is over or the run has ended.",
        "drop",
    ),
    _family(
        "parsl_manager_workers",
        "gauge",
        _MANAGER,
        _by_manager(lambda view, uid, m: m.latest.workers),
        "Worker slots of a manager.",
        "drop",
    ),
    _family(
        "parsl_manager_last_heartbeat_timestamp_seconds",
        "gauge",
        _MANAGER,
        _by_manager(lambda view, uid, m: _seconds(m.latest.heartbeat_us)),
        "A manager's last heartbeat as its latest row has it: an idle manager writes none.",
        "drop",
    ),
    _family("parsl_blocks", "gauge", ("executor", "state"), _blocks, "Blocks by their latest state."),
    _family(
        "parsl_block_info",
        "gauge",
        (*_BLOCK, "job_id"),
        _block_info,
        "A block and its job in the batch system; always 1.",
        "drop",
    ),
    _family(
        "parsl_block_state",
        "gauge",
        (*_BLOCK, "state"),
        _block_state,
        "1 for the state that a block is in.",
        "drop",
    ),
    _family(
        "parsl_block_state_timestamp_seconds",
        "gauge",
        _BLOCK,
        _block_entered,
        "When a block entered the state that it is in.",
        "drop",
    ),
    _family(
        "parsl_block_transitions_total",
        "counter",
        ("executor", "state"),
        _block_transitions,
        "Changes of a block's state, its first among them.",
    ),
    _family(
        "parsl_block_pending_seconds",
        "histogram",
        ("executor",),
        _block_pending,
        "Time from a block's first PENDING to its first RUNNING.",
    ),
    _family(
        "parsl_block_tasks_running", "gauge", _BLOCK, _block_running, "Running tries on a block.", "drop"
    ),
    _family(
        "parsl_block_last_activity_timestamp_seconds",
        "gauge",
        _BLOCK,
        _block_activity,
        "Newest sign of life of a block: a try on it started, ended or was sampled, or a row of its manager.",
        "drop",
    ),
)
