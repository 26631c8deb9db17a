"""The catalogue of the run families: every one declared once, with the way it is drawn from a run.

Names and meanings are a public interface; docs/metrics.md is generated from here.
"""

from __future__ import annotations

from parsl_exporter.metrics import run_samples as samples
from parsl_exporter.metrics.family import Family, Kind, Overflow, in_any_order
from parsl_exporter.metrics.run_samples import Draw, View
from parsl_exporter.model.usage import INVOLUNTARY, READ, SYSTEM, USER, VOLUNTARY, WRITTEN

_TASK = ("app", "executor")
_MANAGER = ("manager", "hostname", "executor", "block_id")
_BLOCK = ("executor", "block_id")


def _family(
    name: str, kind: Kind, own: tuple[str, ...], draw: Draw, text: str, overflow: Overflow = "sum"
) -> Family[View]:
    return Family(name, kind, text, own, draw, overflow)


def _quantiles(histogram: str) -> str:
    return (
        f"Quantiles 0.5, 0.95 and 1 of all that {histogram} has observed, over the whole run: each within 1 % of the "
        "true one, 1 is the greatest; absent before the first."
    )


RUN_FAMILIES: tuple[Family[View], ...] = (
    _family(
        "parsl_workflow_info",
        "gauge",
        ("workflow_name", "workflow_version", "host", "user", "rundir"),
        samples.workflow_info,
        "A run (one parsl.load()) and what it is called, unknown where its workflow row never came; always 1.",
        "drop",
    ),
    _family(
        "parsl_workflow_start_timestamp_seconds",
        "gauge",
        (),
        samples.start,
        "When the run began (workflow.time_began).",
        "min",
    ),
    _family(
        "parsl_workflow_end_timestamp_seconds",
        "gauge",
        (),
        samples.end,
        "When the run ended (workflow.time_completed); absent until a clean end.",
        "drop",
    ),
    _family(
        "parsl_workflow_last_event_timestamp_seconds",
        "gauge",
        (),
        samples.last_event,
        "Newest timestamp of the run in its workflow, status, resource, block and node rows.",
        "max",
    ),
    _family(
        "parsl_workflow_last_row_timestamp_seconds",
        "gauge",
        (),
        samples.last_row,
        "When a new row of the run was last read, by the exporter's clock; of rows that were there before it started, "
        "their newest timestamp that is not in the future.",
        "max",
    ),
    _family(
        "parsl_tasks_waiting",
        "gauge",
        ("executor", "cause"),
        samples.waiting,
        "Tasks now pending or launched, by what they wait for; executor is that of the task's latest try.",
    ),
    _family(
        "parsl_tasks_waiting_oldest_timestamp_seconds",
        "gauge",
        ("executor", "cause"),
        samples.waiting_since,
        "When the longest-waiting of the tasks that wait for the same entered its state; absent where there is none.",
        "min",
    ),
    _family(
        "parsl_tasks",
        "gauge",
        (*_TASK, "state"),
        samples.by_state(lambda g: g.tasks),
        "Tasks now in each state; executor is that of the task's latest try.",
    ),
    _family(
        "parsl_task_transitions_total",
        "counter",
        (*_TASK, "state"),
        samples.by_state(lambda g: g.transitions),
        "Status rows: entries into a state.",
    ),
    _family(
        "parsl_task_failures_total",
        "counter",
        (*_TASK, "reason"),
        samples.failures,
        "Tries that failed (fail_retryable, failed or dep_fail), each once, by class of exception; of classes seen.",
    ),
    _family(
        "parsl_task_state_duration_seconds",
        "histogram",
        (*_TASK, "state"),
        samples.of_groups(samples.state_durations),
        "Time that a try spent pending, launched, running or joining.",
    ),
    _family(
        "parsl_task_duration_seconds",
        "histogram",
        _TASK,
        samples.by_group(lambda g: samples.durations(g.task_duration)),
        "Time from a task's first pending to its final state.",
    ),
    _family(
        "parsl_task_state_summary_seconds",
        "summary",
        (*_TASK, "state"),
        samples.of_groups(samples.state_summaries),
        _quantiles("parsl_task_state_duration_seconds"),
    ),
    _family(
        "parsl_task_summary_seconds",
        "summary",
        _TASK,
        samples.summaries(lambda g: g.task_duration),
        _quantiles("parsl_task_duration_seconds"),
    ),
    _family(
        "parsl_task_oldest_timestamp_seconds",
        "gauge",
        (*_TASK, "state"),
        samples.of_groups(samples.oldest),
        "When the longest-waiting task now pending, launched, running or joining entered that state.",
        "min",
    ),
    _family(
        "parsl_task_cpu_seconds_total",
        "counter",
        (*_TASK, "mode"),
        samples.modes(user=USER, system=SYSTEM),
        "CPU time of tries, that of Parsl's monitor with it: greatest minus least sample; lacks short-lived children.",
    ),
    _family(
        "parsl_task_wasted_cpu_seconds_total",
        "counter",
        _TASK,
        samples.by_group(lambda g: in_any_order(g.wasted)),
        "CPU time, user and system, of tries that ended in fail_retryable or failed.",
    ),
    _family(
        "parsl_task_cpu_usage_seconds",
        "histogram",
        _TASK,
        samples.by_group(lambda g: samples.plain(g.cpu)),
        "CPU time, user and system, of one try with two samples or more, as parsl_task_cpu_seconds_total has it.",
    ),
    _family(
        "parsl_task_cpu_usage_summary_seconds",
        "summary",
        _TASK,
        samples.summaries(lambda g: g.cpu),
        _quantiles("parsl_task_cpu_usage_seconds"),
    ),
    _family(
        "parsl_task_memory_resident_bytes",
        "gauge",
        _TASK,
        samples.by_group(lambda g: g.resident),
        "Resident memory of the running tries, by their latest samples; Parsl's monitor of each is among it.",
    ),
    _family(
        "parsl_task_memory_virtual_bytes",
        "gauge",
        _TASK,
        samples.by_group(lambda g: g.virtual),
        "Virtual memory of the running tries, by their latest samples; Parsl's monitor of each is among it.",
    ),
    _family(
        "parsl_task_memory_peak_bytes",
        "histogram",
        _TASK,
        samples.by_group(lambda g: samples.plain(g.peak)),
        "Greatest resident memory sampled of one try; Parsl's monitor of it is among it.",
    ),
    _family(
        "parsl_task_memory_peak_summary_bytes",
        "summary",
        _TASK,
        samples.summaries(lambda g: g.peak),
        _quantiles("parsl_task_memory_peak_bytes"),
    ),
    _family(
        "parsl_task_io_read_bytes_total",
        "counter",
        _TASK,
        samples.by_group(lambda g: g.used[READ]),
        "Bytes that tries read.",
    ),
    _family(
        "parsl_task_io_written_bytes_total",
        "counter",
        _TASK,
        samples.by_group(lambda g: g.used[WRITTEN]),
        "Bytes that tries wrote.",
    ),
    _family(
        "parsl_task_context_switches_total",
        "counter",
        (*_TASK, "mode"),
        samples.modes(voluntary=VOLUNTARY, involuntary=INVOLUNTARY),
        "Context switches of tries.",
    ),
    _family(
        "parsl_task_processes",
        "gauge",
        _TASK,
        samples.by_group(lambda g: g.processes),
        "Processes of the running tries: the worker's own and its children, one of them Parsl's monitor.",
    ),
    _family(
        "parsl_node_cpus",
        "gauge",
        ("hostname",),
        samples.host_size(lambda m: m.latest.cpus),
        "Physical cores of a host with an active manager; a pool of several hosts (MPI) tells of its first alone.",
        "drop",
    ),
    _family(
        "parsl_node_memory_bytes",
        "gauge",
        ("hostname",),
        samples.host_size(lambda m: m.latest.memory),
        "Memory of a host with an active manager; a pool of several hosts (MPI) tells of its first alone.",
        "drop",
    ),
    _family(
        "parsl_node_tasks_running",
        "gauge",
        ("hostname",),
        samples.by_host(lambda h: h.running),
        "Running tries on a host.",
        "drop",
    ),
    _family(
        "parsl_node_task_cpu_seconds_total",
        "counter",
        ("hostname",),
        samples.by_host(lambda h: in_any_order(h.cpu)),
        "CPU time, user and system, that tries used on a host, as parsl_task_cpu_seconds_total has it.",
        "drop",
    ),
    _family(
        "parsl_node_task_memory_resident_bytes",
        "gauge",
        ("hostname",),
        samples.by_host(lambda h: h.resident),
        "Resident memory of the running tries on a host; Parsl's monitor of each is among it.",
        "drop",
    ),
    _family(
        "parsl_manager_info",
        "gauge",
        (*_MANAGER, "python_version"),
        samples.manager_info,
        "A manager (worker pool) and what it runs; always 1.",
        "drop",
    ),
    _family(
        "parsl_manager_active",
        "gauge",
        _MANAGER,
        samples.by_manager(lambda m: float(m.connected)),
        "1 while a manager can run tasks; 0 when inactive, its block is over or the run has ended.",
        "drop",
    ),
    _family(
        "parsl_manager_workers",
        "gauge",
        _MANAGER,
        samples.by_manager(lambda m: m.latest.workers),
        "Worker slots of a manager.",
        "drop",
    ),
    _family(
        "parsl_manager_last_heartbeat_timestamp_seconds",
        "gauge",
        _MANAGER,
        samples.by_manager(lambda m: samples.seconds(m.latest.heartbeat_us)),
        "A manager's last heartbeat as its latest row has it: an idle manager writes none.",
        "drop",
    ),
    _family(
        "parsl_manager_last_row_timestamp_seconds",
        "gauge",
        _MANAGER,
        samples.by_manager(lambda m: samples.seconds(m.latest.us)),
        "When a manager's latest row was written: one that was lost had given no heartbeat for long by then.",
        "drop",
    ),
    _family("parsl_blocks", "gauge", ("executor", "state"), samples.blocks, "Blocks by their latest state."),
    _family(
        "parsl_block_info",
        "gauge",
        (*_BLOCK, "job_id"),
        samples.block_info,
        "A block and its job in the batch system; always 1.",
        "drop",
    ),
    _family(
        "parsl_block_state",
        "gauge",
        (*_BLOCK, "state"),
        samples.block_state,
        "1 for the state that a block is in.",
        "drop",
    ),
    _family(
        "parsl_block_state_timestamp_seconds",
        "gauge",
        _BLOCK,
        samples.block_entered,
        "When a block entered the state that it is in.",
        "drop",
    ),
    _family(
        "parsl_block_transitions_total",
        "counter",
        ("executor", "state"),
        samples.block_transitions,
        "Changes of a block's state, its first among them.",
    ),
    _family(
        "parsl_block_pending_seconds",
        "histogram",
        ("executor",),
        samples.block_pending,
        "Time from a block's first PENDING to its first RUNNING.",
    ),
    _family(
        "parsl_block_pending_summary_seconds",
        "summary",
        ("executor",),
        samples.block_pending_summary,
        _quantiles("parsl_block_pending_seconds"),
    ),
    _family(
        "parsl_block_worked",
        "gauge",
        _BLOCK,
        samples.block_worked,
        "1 once a task ran on a block: a try names it, or a manager of it wrote a second row with active=1.",
        "drop",
    ),
    _family(
        "parsl_block_tasks_running",
        "gauge",
        _BLOCK,
        samples.block_running,
        "Running tries on a block.",
        "drop",
    ),
    _family(
        "parsl_block_last_activity_timestamp_seconds",
        "gauge",
        _BLOCK,
        samples.block_activity,
        "Newest sign of life of a block: a try on it started, ended or was sampled, or a row of its manager; a "
        "timestamp from the future counts as the time at which it was read.",
        "drop",
    ),
)
