"""Worker pools of one run: what its tasks wait for there, the batch jobs (blocks), and the managers in them."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, shell, style
from grafana.promql import POOL, RUN
from grafana.style import Query
from grafana.table import Column, rows

UID = "parsl-worker-pools"
NO_BLOCKS = "No block in this time range: only executors with a provider have blocks"
NO_MANAGERS = "No manager in this time range: only HTEX and MPI executors have managers"
NO_NODES = "No node is connected: only HTEX and MPI executors tell of their nodes"
NO_QUEUE = "No block has come to run yet"

_LIVING = "PENDING|HELD|RUNNING|UNKNOWN"
_BROKEN = "FAILED|MISSING|TIMEOUT"
_STATES = {str(i): (state, color) for i, (state, color) in enumerate(style.BLOCK_COLORS.items(), 1)}
_LANES = 48

_LOST_AFTER = 60
"""Seconds from a manager's last heartbeat to its last row that tell of a loss: HTEX ends one without a heartbeat after
its heartbeat_threshold (120 s), and one that says goodbye within its heartbeat_period (30 s)."""

_MANAGER_STATES = {
    "1": ("connected", style.GREEN),
    "2": ("drained, ended", style.GREY),
    "3": ("lost", style.RED),
}

_ACTIVE = f"(parsl_manager_active{{{POOL}}} == 1)"
_CONNECTED = f"parsl_manager_workers{{{POOL}}} and {_ACTIVE}"
_RUNNING = f"parsl_block_tasks_running{{{POOL}}}"
# With several HTEX executors on a host, a manager's executor may be unknown: its block's number is not.
_UNKNOWN = f'{POOL}, executor="unknown"'
_BUSY_UNKNOWN = f"{_RUNNING} and on (block_id) (parsl_manager_active{{{_UNKNOWN}}} == 1)"
_BUSY = f"{_RUNNING} and on (executor, block_id) {_ACTIVE} or {_BUSY_UNKNOWN}"
_BLOCK = "executor, block_id"
_MANAGER = "manager, hostname, executor, block_id"
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
                    (4, managers_lost()),
                ],
            ),
            shell.Row("", 6, [(24, executors())]),
            shell.Row("", 9, [(12, waiting_by_cause()), (12, capacity())]),
            shell.Row("Blocks", 8, [(24, living_timeline()), (24, living())]),
            shell.Row("Managers", 8, [(16, managers()), (8, managers_over_time())]),
            shell.Row(
                "Ended blocks",
                9,
                [(24, ended_timeline()), (24, ended()), (12, blocks_by_state()), (12, block_failures())],
                folded=True,
            ),
            shell.Row("Batch queue", 8, [(12, queue_time()), (12, queue_heat())], folded=True),
            shell.Row(
                "By executor, block and node",
                9,
                [(12, idle_by_executor()), (12, tasks_by_block()), (12, node_tasks()), (12, node_cpu())],
                folded=True,
            ),
        ],
    )


def _blocks_in(states: str, by: str = "") -> str:
    return promql.added(f'parsl_blocks{{{POOL}, state=~"{states}"}}', by)


def _workers(by: str = "") -> str:
    """Worker slots of active managers; 0 where there are blocks and no manager."""
    group = f"by ({by}) " if by else ""
    return f"{promql.added(_CONNECTED, by)} or 0 * max {group}(parsl_blocks{{{POOL}}})"


def _to_come(by: str = "") -> str:
    """Worker slots that the blocks in the queue will bring, if they are like the largest block seen so far."""
    managers = f"max by ({_MANAGER}) (max_over_time(parsl_manager_workers{{{POOL}}}[$__range] @ end()))"
    size = f"max by (executor) (sum by ({_BLOCK}) ({managers}))"
    group = f"by ({by}) " if by else ""
    return f"sum {group}({_blocks_in('PENDING|HELD', 'executor')} * on (executor) {size})"


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
        Query(f"{promql.added(_BUSY)} / ({promql.added(_CONNECTED)} > 0)"),
        unit=style.PERCENT,
        decimals=0,
    )


def workers_now() -> stat.Panel:
    return panels.number(
        "Workers",
        "Worker slots of active managers, and those that blocks in the batch queue will bring.",
        "no block",
        Query(_workers(), "connected"),
        Query(f"{_to_come()} or 0 * ({_blocks_in('PENDING|HELD')} == 0)", "to come"),
    )


def blocks_now() -> stat.Panel:
    return panels.number(
        "Blocks",
        "Batch jobs that run, and those that wait in the scheduler's queue or are held there.",
        "no block",
        Query(_blocks_in("RUNNING"), "running"),
        Query(_blocks_in("PENDING|HELD"), "pending"),
    )


def blocks_broken() -> stat.Panel:
    return panels.number(
        "Blocks broken",
        "Blocks that failed, timed out, or went missing (ended without any worker having connected), in the "
        "whole run. A block whose submission raised is not among them: Parsl records nothing of it.",
        "no block",
        Query(promql.total(f'parsl_blocks{{{POOL}, state=~"{_BROKEN}"}}')),
        steps=((None, style.NEUTRAL), (1, style.RED)),
    )


def _manager(name: str) -> str:
    return f"max by ({_MANAGER}) (parsl_manager_{name}{{{POOL}}})"


def _manager_state() -> str:
    """1 connected, 2 drained, held or ended, 3 lost."""
    silence = f"{_manager('last_row_timestamp_seconds')} - {_manager('last_heartbeat_timestamp_seconds')}"
    return f"{_manager('active')} == 1 or 2 + ({silence} > bool {_LOST_AFTER})"


def managers_lost() -> stat.Panel:
    return panels.number(
        "Managers lost",
        "Managers that were lost in the last 15 minutes: they went without a word, their last heartbeat lies more "
        f"than {_LOST_AFTER} seconds before their last row.",
        "no manager",
        Query(promql.or_none(f"count (({_manager_state()}) == 3)")),
        steps=((None, style.NEUTRAL), (1, style.RED)),
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
        Column("Running", expr=_blocks_in("RUNNING", "executor"), width=85),
        Column("Pending", expr=_blocks_in("PENDING|HELD", "executor"), width=85),
        Column(
            "Broken",
            expr=_blocks_in(_BROKEN, "executor"),
            steps=((None, style.NEUTRAL), (1, style.RED)),
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


def _state_number() -> str:
    states = (
        f'{i} * max by ({_BLOCK}) (parsl_block_state{{{POOL}, state="{state}"}} == 1)'
        for i, state in enumerate(style.BLOCK_COLORS, 1)
    )
    return " or ".join(states)


def _alive(at: str = "") -> str:
    return f'max by ({_BLOCK}) (parsl_block_state{{{POOL}, state=~"{_LIVING}"}}{at}) == 1'


def _lanes(title: str, description: str, chosen: str, none: str) -> statetimeline.Panel:
    """The states of blocks that are alive at the range's end (`and`) or not (`unless`), the newest first.

    Prometheus sorts series by their labels, so each gets one that falls with the time of its first row. Grafana has no
    words of ours for a timeline without lanes, so that `none` stands in one.
    """
    seen = f"min_over_time(parsl_block_state_timestamp_seconds{{{POOL}}}[$__range] @ end())"
    mine = f"min by ({_BLOCK}) ({seen}) {chosen} on ({_BLOCK}) ({_alive(' @ end()')})"
    order = f'count_values by ({_BLOCK}) ("age", 9999999999 - round(topk ({_LANES}, {mine})))'
    states = f"({_state_number()}) * on ({_BLOCK}) group_left (age) {order}"
    return panels.timeline(
        title,
        description,
        none,
        Query(promql.or_nothing(states, "executor", mine), "{{executor}} {{block_id}}"),
        words=_STATES | {"0": (none, "transparent")},
    )


def living_timeline() -> statetimeline.Panel:
    return _lanes(
        "Living blocks over time",
        f"A lane for each block that is alive at the end of the time range, the newest on top; {_LANES} at most.",
        "and",
        "No block is alive. Those that ended are in the row Ended blocks",
    )


def ended_timeline() -> statetimeline.Panel:
    return _lanes(
        "Ended blocks over time",
        "A lane for each block that is over, the one that began last on top; "
        f"{_LANES} at most. A lane ends 15 minutes after its block.",
        "unless",
        "No block has ended in this time range",
    )


def _entered() -> str:
    return f"time() - max by ({_BLOCK}) (parsl_block_state_timestamp_seconds{{{POOL}}})"


def living() -> table.Panel:
    activity = f"max by ({_BLOCK}) (parsl_block_last_activity_timestamp_seconds{{{POOL}}})"

    def alive(expr: str) -> str:
        return f"({expr}) and on ({_BLOCK}) ({_alive()})"

    def of_running(expr: str) -> str:
        nothing = f'0 * max by ({_BLOCK}) (parsl_block_state{{{POOL}, state="RUNNING"}})'
        return alive(f"{promql.added(expr, _BLOCK)} or {nothing}")

    known = alive(f"max by ({_BLOCK}, job_id) (parsl_block_info{{{POOL}}})")
    none = ((None, style.NEUTRAL), (0, style.AMBER), (1, style.NEUTRAL))

    return rows(
        "Living blocks",
        "Blocks that wait or run, the newest on top. A running block with workers, no task and no sign of life "
        "while tasks wait is stalled: look at its job in the batch system.",
        "No block is alive",
        Column("Executor", label="executor"),
        Column("Block", label="block_id", width=75),
        Column("Job", label="job_id", width=150),
        Column("State", expr=alive(_state_number()), words=_STATES, width=110),
        Column("For", expr=alive(_entered()), unit=style.DURATION, width=110),
        Column("Managers", expr=of_running(f"parsl_manager_active{{{POOL}}}"), steps=none, width=95),
        Column("Workers", expr=of_running(_CONNECTED), steps=none, width=85),
        Column("Tasks", expr=of_running(_RUNNING), width=75),
        Column("Sign of life", expr=alive(f"time() - {activity}"), unit=style.DURATION, width=115),
        keys=[known],
        sort="For",
        descending=False,
    )


def ended() -> table.Panel:
    def over(expr: str) -> str:
        return f"({expr}) unless on ({_BLOCK}) ({_alive()})"

    known = over(f"max by ({_BLOCK}, job_id) (parsl_block_info{{{POOL}}})")

    return rows(
        "Ended blocks",
        "Blocks that ended in the last 15 minutes, and whether a try or a manager ever came of them.",
        "No block has ended in the last 15 minutes",
        Column("Executor", label="executor"),
        Column("Block", label="block_id", width=75),
        Column("Job", label="job_id", width=150),
        Column("State", expr=over(_state_number()), words=_STATES, width=110),
        Column("For", expr=over(_entered()), unit=style.DURATION, width=110),
        Column(
            "Worked",
            expr=over(f"max by ({_BLOCK}) (parsl_block_worked{{{POOL}}})"),
            words=style.YES,
            width=90,
        ),
        keys=[known],
        sort="For",
        descending=False,
    )


def managers() -> table.Panel:
    beat = _manager("last_heartbeat_timestamp_seconds")
    return rows(
        "Managers",
        "Worker pools that are connected, or went in the last 15 minutes: lost ones first. Parsl writes a "
        "manager's heartbeat only when it does something: an old one alone is no fault.",
        "No manager has come",
        Column("Executor", label="executor", width=105),
        Column("Block", label="block_id", width=70),
        Column("Host", label="hostname"),
        Column("State", expr=_manager_state(), words=_MANAGER_STATES, width=120),
        Column("Workers", expr=_manager("workers"), width=85),
        Column("Heartbeat", expr=f"time() - {beat}", unit=style.DURATION, width=100),
        Column("Manager", label="manager"),
        Column("Python", label="python_version", width=80),
        keys=[f"max by ({_MANAGER}, python_version) (parsl_manager_info{{{POOL}}})"],
        said_in="Host",
        sort="State",
    )


def managers_over_time() -> timeseries.Panel:
    return panels.lines(
        "Managers connected and lost",
        "Active managers, and managers that were lost within the last 15 minutes.",
        NO_MANAGERS,
        Query(promql.or_none(promql.added(f"parsl_manager_active{{{POOL}}}")), "connected"),
        Query(promql.or_none(f"count (({_manager_state()}) == 3)"), "lost"),
        colors={"connected": style.BLUE, "lost": style.RED},
        axis="managers",
    )


def blocks_by_state() -> timeseries.Panel:
    return panels.lines(
        "Blocks by state",
        "Blocks of the run by the state of their latest row; ended ones stay counted.",
        NO_BLOCKS,
        Query(promql.ever(f"parsl_blocks{{{POOL}}}", "state"), "{{state}}"),
        colors=style.BLOCK_COLORS,
        stacked=True,
        axis="blocks",
    )


def block_failures() -> timeseries.Panel:
    broken = f'parsl_block_transitions_total{{{POOL}, state=~"{_BROKEN}|CANCELLED"}}'
    return panels.lines(
        "Blocks that broke",
        "When blocks failed, timed out, were cancelled, or went missing (ended without any worker having "
        "connected).",
        "No block broke in this time range",
        Query(f"{promql.gained(broken, 'state')} > 0", "{{state}}"),
        colors=style.BLOCK_COLORS,
        bars=True,
        axis="blocks",
        calcs=("sum",),
    )


def queue_time() -> table.Panel:
    def waited(q: str) -> str:
        summary = f'parsl_block_pending_summary_seconds{{{POOL}, quantile=~"{q}"}}'
        return promql.greatest(summary, "executor")

    return rows(
        "Queue time",
        "How long the blocks of each executor waited from PENDING to RUNNING, over the whole run: half of them no "
        "longer than p50, 95 % no longer than p95, within 1 %.",
        NO_QUEUE,
        Column("Executor", label="executor"),
        Column(
            "Blocks", expr=promql.total(f"parsl_block_pending_seconds_count{{{POOL}}}", "executor"), width=80
        ),
        Column("p50", expr=waited("0.5"), unit=style.DURATION, width=95),
        Column("p95", expr=waited("0.95"), unit=style.DURATION, width=95),
        Column("Longest", expr=waited(promql.LONGEST), unit=style.DURATION, width=95),
        keys=[f"max by (executor) (parsl_block_pending_seconds_count{{{POOL}}})"],
        sort="Longest",
    )


def queue_heat() -> heatmap.Panel:
    return panels.heat(
        "Queue time, over time",
        "How long the blocks that came to run had waited.",
        NO_QUEUE,
        Query(promql.gained(f"parsl_block_pending_seconds_bucket{{{POOL}}}", "le"), "{{le}}"),
        unit=style.SECONDS,
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
        "How many tries run in each of the ten blocks that had most. A block that falls to zero while others work is "
        "idle or stalled.",
        NO_BLOCKS,
        Query(promql.top_ever(10, _RUNNING, _BLOCK), "{{executor}} {{block_id}}"),
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


def node_cpu() -> timeseries.Panel:
    used = promql.top_rate(10, f"parsl_node_task_cpu_seconds_total{{{RUN}}}", "hostname")
    return panels.lines(
        "CPU by node",
        "The part of its cores that the run's tasks keep busy on each of the ten nodes that worked most.",
        NO_NODES,
        Query(f"({used}) / max by (hostname) (parsl_node_cpus{{{RUN}}})", "{{hostname}}"),
        unit=style.PERCENT,
    )
