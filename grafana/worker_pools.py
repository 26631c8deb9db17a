"""Worker pools of one run: its batch jobs (blocks), the managers and workers in them, and what they do."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, shell, style
from grafana.promql import POOL, RUN
from grafana.style import Query
from grafana.table import Column, rows

UID = "parsl-worker-pools"
NO_BLOCKS = "No block in this time range: only executors with a provider have blocks"
NO_MANAGERS = "No manager is connected: only HTEX and MPI executors have managers"
NO_NODES = "No node is connected"

_BROKEN = "FAILED|MISSING|TIMEOUT"
_STATES = {str(i): (state, color) for i, (state, color) in enumerate(style.BLOCK_COLORS.items())}

_ACTIVE = f"(parsl_manager_active{{{POOL}}} == 1)"
_CONNECTED = f"parsl_manager_workers{{{POOL}}} and {_ACTIVE}"
_RUNNING = f"parsl_block_tasks_running{{{POOL}}}"
# With several HTEX executors on a host, a manager's executor may be unknown: its block's number is not.
_UNKNOWN = f'{POOL}, executor="unknown"'
_BUSY_UNKNOWN = f"{_RUNNING} and on (block_id) (parsl_manager_active{{{_UNKNOWN}}} == 1)"
_BUSY = f"{_RUNNING} and on (executor, block_id) {_ACTIVE} or {_BUSY_UNKNOWN}"
_BLOCK = "executor, block_id"


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / Worker pools",
        "The blocks (batch jobs) of one run, the managers and workers in them, and how busy they are.",
        variables=[*shell.of_run(), shell.executor("parsl_blocks")],
        annotations=shell.run_events(),
        since="now-3h",
        refresh="30s",
        rows=[
            shell.Row(
                "Now",
                4,
                [
                    (4, blocks_running()),
                    (4, blocks_pending()),
                    (4, blocks_broken()),
                    (4, workers_connected()),
                    (4, workers_busy()),
                    (4, tasks_queued()),
                ],
            ),
            shell.Row("Blocks", 10, [(10, blocks_by_state()), (14, block_timeline()), (24, blocks())]),
            shell.Row("Queue", 8, [(8, queue_quantiles()), (8, queue_heat()), (8, block_failures())]),
            shell.Row(
                "Workers",
                9,
                [(12, workers()), (12, demand()), (12, idle_by_executor()), (12, tasks_by_block())],
            ),
            shell.Row(
                "Managers and nodes",
                9,
                [(24, managers()), (8, managers_connected()), (8, node_tasks()), (8, node_cpu())],
            ),
        ],
    )


def _blocks_in(states: str) -> str:
    return promql.added(f'parsl_blocks{{{POOL}, state=~"{states}"}}')


def blocks_running() -> stat.Panel:
    return panels.number(
        "Blocks running",
        "Batch jobs that run.",
        "no block",
        Query(_blocks_in("RUNNING")),
        steps=((None, style.NEUTRAL), (1, style.BLUE)),
    )


def blocks_pending() -> stat.Panel:
    return panels.number(
        "Blocks pending",
        "Batch jobs that wait in the scheduler's queue, or are held there.",
        "no block",
        Query(_blocks_in("PENDING|HELD")),
    )


def blocks_broken() -> stat.Panel:
    return panels.number(
        "Blocks broken",
        "Blocks that failed, timed out, or went missing (ended without any worker having connected), in the "
        "whole run. A block whose submission raised is not among them: Parsl records nothing of it.",
        "no block",
        Query(promql.total(f'parsl_blocks{{{POOL}, state=~"{_BROKEN}"}}')),
        steps=((None, style.GREEN), (1, style.RED)),
    )


def workers_connected() -> stat.Panel:
    return panels.number(
        "Workers connected",
        "Worker slots of active managers.",
        "no worker",
        Query(promql.added(_CONNECTED)),
    )


def workers_busy() -> stat.Panel:
    return panels.number(
        "Workers busy",
        "The part of the connected workers that runs a try.",
        "no worker",
        Query(f"{promql.added(_BUSY)} / ({promql.added(_CONNECTED)} > 0)"),
        unit=style.PERCENT,
        decimals=0,
    )


def tasks_queued() -> stat.Panel:
    return panels.number(
        "Tasks waiting for a worker",
        "Tasks that were given to an executor (launched) and do not run yet.",
        "no task",
        Query(promql.added(f'parsl_tasks{{{POOL}, state="launched"}}')),
    )


def blocks_by_state() -> timeseries.Panel:
    return panels.lines(
        "Blocks by state",
        "Blocks of the run by the state of their latest row; ended ones stay counted.",
        NO_BLOCKS,
        Query(f"{promql.added(f'parsl_blocks{{{POOL}}}', 'state')} > 0", "{{state}}"),
        colors=style.BLOCK_COLORS,
        stacked=True,
        axis="blocks",
    )


def _state_number() -> str:
    states = (
        f'{i} * max by ({_BLOCK}) (parsl_block_state{{{POOL}, state="{state}"}} == 1)'
        for i, state in enumerate(style.BLOCK_COLORS)
    )
    return " or ".join(states)


def block_timeline() -> statetimeline.Panel:
    return panels.timeline(
        "State of each block",
        "A lane for each block. Ended blocks leave after 15 minutes.",
        NO_BLOCKS,
        Query(_state_number(), "{{executor}} {{block_id}}"),
        words=_STATES,
    )


def blocks() -> table.Panel:
    def by_block(expr: str) -> str:
        return promql.added(expr, _BLOCK)

    state = f"max by ({_BLOCK}) (parsl_block_state_timestamp_seconds{{{POOL}}})"
    activity = f"max by ({_BLOCK}) (parsl_block_last_activity_timestamp_seconds{{{POOL}}})"
    return rows(
        "Blocks",
        "Blocks that are alive, or ended in the last 15 minutes. A running block with workers, no task and "
        "no sign of life while tasks wait is stalled: look at its job in the batch system.",
        NO_BLOCKS,
        Column("Executor", label="executor", width=150),
        Column("Block", label="block_id", width=80),
        Column("Job", label="job_id"),
        Column("State", expr=_state_number(), words=_STATES, width=120),
        Column("In it for", expr=f"time() - {state}", unit=style.DURATION, width=150),
        Column("Managers", expr=by_block(f"parsl_manager_active{{{POOL}}}"), width=100),
        Column("Workers", expr=by_block(_CONNECTED), width=100),
        Column("Running tasks", expr=by_block(_RUNNING), width=130),
        Column("Last sign of life", expr=f"time() - {activity}", unit=style.DURATION, width=160),
        keys=[f"max by ({_BLOCK}, job_id) (parsl_block_info{{{POOL}}})"],
        sort="In it for",
        descending=False,
    )


_WAITED = f"parsl_block_pending_seconds_bucket{{{POOL}}}"


def queue_quantiles() -> bargauge.Panel:
    return panels.ranking(
        "Queue time",
        "How long blocks waited from PENDING to RUNNING, over the whole run, by executor.",
        "No block has come to run yet",
        *(
            Query(promql.quantile_so_far(q, _WAITED, "executor"), f"{{{{executor}}}} {name}")
            for name, q in (("p50", 0.5), ("p95", 0.95))
        ),
        unit=style.SECONDS,
    )


def queue_heat() -> heatmap.Panel:
    return panels.heat(
        "Queue time, over time",
        "How long the blocks that came to run had waited.",
        "No block has come to run yet",
        Query(promql.gained(_WAITED, "le"), "{{le}}"),
        unit=style.SECONDS,
    )


def block_failures() -> timeseries.Panel:
    broken = f'parsl_block_transitions_total{{{POOL}, state=~"{_BROKEN}|CANCELLED"}}'
    return panels.lines(
        "Blocks that broke",
        "When blocks failed, timed out, were cancelled, or went missing (ended without any worker having "
        "connected).",
        "No block broke in this time range",
        Query(f"{promql.gained(broken, 'executor, state')} > 0", "{{executor}} {{state}}"),
        bars=True,
        axis="blocks",
    )


def workers() -> timeseries.Panel:
    return panels.lines(
        "Workers: busy and connected",
        "Workers of active managers, and how many of them run a try.",
        NO_MANAGERS,
        Query(promql.added(_CONNECTED), "connected"),
        Query(promql.added(_BUSY), "busy"),
        colors={"connected": style.GREY, "busy": style.BLUE},
        axis="workers",
    )


def demand() -> timeseries.Panel:
    return panels.lines(
        "Tasks waiting for a worker, by executor",
        "Tasks that were given to each executor and do not run yet. Waiting tasks beside idle workers point "
        "at a stalled block or manager.",
        "No task of these executors",
        Query(promql.added(f'parsl_tasks{{{POOL}, state="launched"}}', "executor"), "{{executor}}"),
        axis="tasks",
    )


def idle_by_executor() -> timeseries.Panel:
    known = f"{promql.added(_CONNECTED, 'executor')} - {promql.added(_BUSY, 'executor')}"
    workers = f"parsl_manager_workers{{{_UNKNOWN}}} and {_ACTIVE}"
    unknown = f"{promql.added(workers)} - {promql.added(_BUSY_UNKNOWN)}"
    unknown = f'label_replace({unknown}, "executor", "unknown", "", "")'
    return panels.lines(
        "Idle workers by executor",
        "Connected workers that run nothing. Where several HTEX executors have managers on one host, it may be "
        "unknown whose they are.",
        NO_MANAGERS,
        Query(f"{known} or {unknown}", "{{executor}}"),
        axis="workers",
    )


def tasks_by_block() -> timeseries.Panel:
    return panels.lines(
        "Running tasks by block",
        "How many tries run in each block. A block that falls to zero while others work is idle or stalled.",
        NO_BLOCKS,
        Query(promql.added(_RUNNING, _BLOCK), "{{executor}} {{block_id}}"),
        axis="tries",
    )


def managers() -> table.Panel:
    labels = "manager, hostname, executor, block_id"

    def of(name: str) -> str:
        return f"max by ({labels}) (parsl_manager_{name}{{{POOL}}})"

    return rows(
        "Managers",
        "Worker pools that are connected, or went in the last 15 minutes. Parsl writes a manager's "
        "heartbeat only when it does something: an old one alone is no fault.",
        NO_MANAGERS,
        Column("Executor", label="executor", width=150),
        Column("Block", label="block_id", width=80),
        Column("Host", label="hostname", width=200),
        Column("Active", expr=of("active"), words=style.YES, width=90),
        Column("Workers", expr=of("workers"), width=100),
        Column(
            "Heartbeat before",
            expr=f"time() - {of('last_heartbeat_timestamp_seconds')}",
            unit=style.DURATION,
            width=160,
        ),
        Column("Python", label="python_version", width=110),
        Column("Manager", label="manager"),
        keys=[f"max by ({labels}, python_version) (parsl_manager_info{{{POOL}}})"],
        sort="Executor",
        descending=False,
    )


def managers_connected() -> timeseries.Panel:
    return panels.lines(
        "Managers connected",
        "Active managers by executor.",
        NO_MANAGERS,
        Query(promql.added(f"parsl_manager_active{{{POOL}}}", "executor"), "{{executor}}"),
        axis="managers",
    )


def node_tasks() -> timeseries.Panel:
    return panels.lines(
        "Running tasks by node",
        "How many tries of the run are on each node, of all its executors.",
        NO_NODES,
        Query(promql.added(f"parsl_node_tasks_running{{{RUN}}}", "hostname"), "{{hostname}}"),
        axis="tries",
    )


def node_cpu() -> timeseries.Panel:
    used = promql.rate(f"parsl_node_task_cpu_seconds_total{{{RUN}}}", "hostname")
    return panels.lines(
        "CPU by node",
        "The part of each node's cores that the run's tasks keep busy.",
        NO_NODES,
        Query(f"{used} / max by (hostname) (parsl_node_cpus{{{RUN}}})", "{{hostname}}"),
        unit=style.PERCENT,
    )
