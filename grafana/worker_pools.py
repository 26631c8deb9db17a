"""Worker pools of one run: what its tasks wait for there, the batch jobs (blocks), and the managers in them."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import blocks, managers, panels, promql, shell, style
from grafana.blocks import BLOCK, NO_BLOCKS, RUNNING, in_state
from grafana.managers import ACTIVE, CONNECTED, MANAGER, NO_MANAGERS, NO_NODES
from grafana.promql import POOL, RUN
from grafana.style import Query
from grafana.table import Column, rows

UID = "parsl-worker-pools"

# With several HTEX executors on a host, a manager's executor may be unknown: its block's number is not.
_UNKNOWN = f'{POOL}, executor="unknown"'
_BUSY_UNKNOWN = f"{RUNNING} and on (block_id) {promql.active(_UNKNOWN)}"
_BUSY = f"{RUNNING} and on (executor, block_id) {ACTIVE} or {_BUSY_UNKNOWN}"
# Tasks that wait for others are no concern of a worker pool.
_WAITING = f'{POOL}, cause!="dependencies"'


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / Worker pools",
        "What the tasks of one run wait for in its worker pools, what capacity is there and will come, and what "
        "became of its blocks (batch jobs) and managers.",
        variables=[*shell.of_run(), shell.executor("parsl_blocks")],
        annotations=shell.run_events(),
        since="now-3h",
        refresh="30s",
        rows=[
            shell.Row(
                "",
                4,
                [
                    (4, waiting_now()),
                    (4, workers_busy()),
                    (4, workers_now()),
                    (4, blocks_now()),
                    (4, blocks_broken()),
                    (4, managers.managers_lost()),
                ],
            ),
            shell.Row("", 6, [(24, executors())]),
            shell.Row("", 9, [(12, waiting_by_cause()), (12, capacity())]),
            shell.Row("Blocks", 8, [(24, blocks.living_timeline()), (24, blocks.living())]),
            shell.Row("Managers", 8, [(16, managers.managers()), (8, managers.managers_over_time())]),
            shell.Row(
                "Ended blocks",
                9,
                [
                    (24, blocks.ended_timeline()),
                    (24, blocks.ended()),
                    (12, blocks.blocks_by_state()),
                    (12, blocks.block_failures()),
                ],
                folded=True,
            ),
            shell.Row("Batch queue", 8, [(12, blocks.queue_time()), (12, blocks.queue_heat())], folded=True),
            shell.Row(
                "By executor, block and node",
                9,
                [(8, idle_by_executor()), (8, tasks_by_block()), (8, node_tasks())],
                folded=True,
            ),
        ],
    )


def _workers(by: str = "") -> str:
    """Worker slots of active managers; 0 where there are blocks and no manager."""
    return f"{promql.added(CONNECTED, by)} or 0 * max {promql.by_labels(by)}(parsl_blocks{{{POOL}}})"


def _to_come(by: str = "") -> str:
    """Worker slots that the blocks in the queue will bring, if they are like the largest block seen so far."""
    of_each = f"max by ({MANAGER}) (max_over_time(parsl_manager_workers{{{POOL}}}[$__range] @ end()))"
    size = f"max by (executor) (sum by ({BLOCK}) ({of_each}))"
    return f"sum {promql.by_labels(by)}({in_state('PENDING|HELD', 'executor')} * on (executor) {size})"


def waiting_now() -> stat.Panel:
    return panels.number(
        "Tasks waiting",
        "Tasks that were given to an executor (launched) and do not run yet.",
        "no task",
        Query(promql.added(f"parsl_tasks_waiting{{{_WAITING}}}")),
    )


def workers_busy() -> stat.Panel:
    return panels.number(
        "Workers busy",
        "The part of the connected workers that runs a try.",
        "no worker",
        Query(f"{promql.added(_BUSY)} / ({promql.added(CONNECTED)} > 0)"),
        unit=style.PERCENT,
        decimals=0,
    )


def workers_now() -> stat.Panel:
    return panels.number(
        "Workers",
        "Worker slots of active managers, and those that blocks in the batch queue will bring.",
        "no block",
        Query(_workers(), "connected"),
        Query(f"{_to_come()} or 0 * ({in_state('PENDING|HELD')} == 0)", "to come"),
    )


def blocks_now() -> stat.Panel:
    return panels.number(
        "Blocks",
        "Batch jobs that run, and those that wait in the scheduler's queue or are held there.",
        "no block",
        Query(in_state("RUNNING"), "running"),
        Query(in_state("PENDING|HELD"), "pending"),
    )


def blocks_broken() -> stat.Panel:
    return panels.number(
        "Blocks broken",
        "Blocks that failed, timed out, or went missing (ended without any worker having connected), in the "
        "whole run. A block whose submission raised is not among them: Parsl records nothing of it.",
        "no block",
        Query(promql.total(f'parsl_blocks{{{POOL}, state=~"{blocks.BROKEN}"}}')),
        steps=style.BAD_IF_ANY,
    )


def executors() -> table.Panel:
    def of(expr: str) -> str:
        return promql.added(expr, "executor")

    cause = f"max by (executor, cause) (parsl_tasks_waiting{{{_WAITING}}}) > 0"
    oldest = f"min by (executor) (parsl_tasks_waiting_oldest_timestamp_seconds{{{_WAITING}}})"
    return rows(
        "Executors",
        "What most of the tasks that were given to an executor wait for, how long the first of them has waited, and "
        "what the executor has: connected workers, blocks, and the workers that its pending blocks will bring if "
        "they are like its largest block.",
        "No executor of these has a task or a block",
        Column("Executor", label="executor"),
        Column("Waits for", label="cause", words=style.CAUSE_WORDS, width=140),
        Column("Waiting", expr=of(f"parsl_tasks_waiting{{{_WAITING}}}"), width=100),
        Column("Longest", expr=f"time() - {oldest}", unit=style.DURATION, width=95),
        Column("Tasks", expr=of(f'parsl_tasks{{{POOL}, state="running"}}'), width=80),
        Column("Workers", expr=_workers("executor"), width=85),
        Column("Busy", expr=f"{of(_BUSY)} or 0 * ({_workers('executor')})", width=65),
        Column("To come", expr=_to_come("executor"), width=85),
        Column("Running", expr=in_state("RUNNING", "executor"), width=85),
        Column("Pending", expr=in_state("PENDING|HELD", "executor"), width=85),
        Column(
            "Broken",
            expr=in_state(blocks.BROKEN, "executor"),
            steps=style.BAD_IF_ANY,
            width=80,
        ),
        keys=[f"max by (executor) (parsl_tasks{{{POOL}}})", f"topk by (executor) (1, {cause})"],
        sort="Waiting",
    )


def waiting_by_cause() -> timeseries.Panel:
    return panels.lines(
        "Tasks waiting for a worker, by cause",
        "Tasks that were given to these executors and do not run yet, by what they wait for. Tasks that wait beside "
        "free workers for long point at a stalled block or manager.",
        "No task of these executors waits",
        Query(promql.ever(f"parsl_tasks_waiting{{{_WAITING}}}", "cause"), "{{cause}}"),
        colors=style.CAUSE_COLORS,
        names=style.CAUSES,
        stacked=True,
        axis="tasks",
    )


def capacity() -> timeseries.Panel:
    busy = f"{promql.added(_BUSY)} or 0 * max (parsl_blocks{{{POOL}}})"
    return panels.lines(
        "Workers: busy, idle and to come",
        "Workers of active managers, and how many of them run a try. On top of them the workers that blocks in the "
        "batch queue will bring, if they are like the largest block so far; nothing where none has run yet.",
        NO_BLOCKS,
        Query(busy, "busy"),
        Query(f"clamp_min(({_workers()}) - ({busy}), 0)", "idle"),
        Query(_to_come(), "to come"),
        colors={"busy": style.BLUE, "idle": style.GREY, "to come": style.AMBER},
        stacked=True,
        axis="workers",
    )


def idle_by_executor() -> timeseries.Panel:
    known = f"{promql.added(CONNECTED, 'executor')} - {promql.added(_BUSY, 'executor')}"
    workers = f"parsl_manager_workers{{{_UNKNOWN}}} and {ACTIVE}"
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
        "How many tries run in each of the ten blocks that had most. A block that falls to zero while others work is "
        "idle or stalled.",
        NO_BLOCKS,
        Query(promql.top_ever(10, RUNNING, BLOCK), "{{executor}} {{block_id}}"),
        axis="tries",
    )


def node_tasks() -> timeseries.Panel:
    return panels.lines(
        "Running tasks by node",
        "How many tries of the run are on each of the ten nodes that had most, of all its executors.",
        NO_NODES,
        Query(promql.top_ever(10, f"parsl_node_tasks_running{{{RUN}}}", "hostname"), "{{hostname}}"),
        axis="tries",
    )
