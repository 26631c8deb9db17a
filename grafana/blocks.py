"""Blocks (batch jobs) of one run: those that are alive, what became of the others, and how long they were queued."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.builders import heatmap, statetimeline, table, timeseries

from grafana import panels, promql, style
from grafana.managers import CONNECTED
from grafana.promql import POOL
from grafana.style import Query
from grafana.table import Column, rows

NO_BLOCKS = "No block in this time range: only executors with a provider have blocks"
NO_QUEUE = "No block has come to run yet"

BROKEN = "FAILED|MISSING|TIMEOUT"
BLOCK = "executor, block_id"
RUNNING = f"parsl_block_tasks_running{{{POOL}}}"

_LIVING = "PENDING|HELD|RUNNING|UNKNOWN"
_STATES = {str(i): (state, color) for i, (state, color) in enumerate(style.BLOCK_COLORS.items(), 1)}
_LANES = 48


def in_state(states: str, by: str = "") -> str:
    """How many blocks are in some states (a matcher), by the labels in `by`."""
    return promql.added(f'parsl_blocks{{{POOL}, state=~"{states}"}}', by)


def _state_number() -> str:
    states = (
        f'{i} * max by ({BLOCK}) (parsl_block_state{{{POOL}, state="{state}"}} == 1)'
        for i, state in enumerate(style.BLOCK_COLORS, 1)
    )
    return " or ".join(states)


def _alive(at: str = "") -> str:
    return f'max by ({BLOCK}) (parsl_block_state{{{POOL}, state=~"{_LIVING}"}}{at}) == 1'


def _lanes(title: str, description: str, chosen: str, none: str) -> statetimeline.Panel:
    """The states of blocks that are alive at the range's end (`and`) or not (`unless`), the newest first.

    Prometheus sorts series by their labels, so each gets one that falls with the time of its first row. Grafana has no
    words of ours for a timeline without lanes, so that `none` stands in one.
    """
    seen = f"min_over_time(parsl_block_state_timestamp_seconds{{{POOL}}}[$__range] @ end())"
    mine = f"min by ({BLOCK}) ({seen}) {chosen} on ({BLOCK}) ({_alive(' @ end()')})"
    order = f'count_values by ({BLOCK}) ("age", 9999999999 - round(topk ({_LANES}, {mine})))'
    states = f"({_state_number()}) * on ({BLOCK}) group_left (age) {order}"
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
    return f"time() - max by ({BLOCK}) (parsl_block_state_timestamp_seconds{{{POOL}}})"


def _told(of: Callable[[str], str]) -> list[Column]:
    """What tables of blocks begin with; `of` leaves of an expression those blocks that are in the table."""
    return [
        Column("Executor", label="executor"),
        Column("Block", label="block_id", width=75),
        Column("Job", label="job_id", width=150),
        Column("State", expr=of(_state_number()), words=_STATES, width=110),
        Column("For", expr=of(_entered()), unit=style.DURATION, width=110),
    ]


def _known(of: Callable[[str], str]) -> str:
    return of(f"max by ({BLOCK}, job_id) (parsl_block_info{{{POOL}}})")


def living() -> table.Panel:
    activity = f"max by ({BLOCK}) (parsl_block_last_activity_timestamp_seconds{{{POOL}}})"

    def alive(expr: str) -> str:
        return f"({expr}) and on ({BLOCK}) ({_alive()})"

    def of_running(expr: str) -> str:
        nothing = f'0 * max by ({BLOCK}) (parsl_block_state{{{POOL}, state="RUNNING"}})'
        return alive(f"{promql.added(expr, BLOCK)} or {nothing}")

    none = ((None, style.NEUTRAL), (0, style.AMBER), (1, style.NEUTRAL))

    return rows(
        "Living blocks",
        "Blocks that wait or run, the newest on top. A running block with workers, no task and no sign of life "
        "while tasks wait is stalled: look at its job in the batch system.",
        "No block is alive",
        *_told(alive),
        Column("Managers", expr=of_running(f"parsl_manager_active{{{POOL}}}"), steps=none, width=95),
        Column("Workers", expr=of_running(CONNECTED), steps=none, width=85),
        Column("Tasks", expr=of_running(RUNNING), width=75),
        Column("Sign of life", expr=alive(f"time() - {activity}"), unit=style.DURATION, width=115),
        keys=[_known(alive)],
        sort="For",
        descending=False,
    )


def ended() -> table.Panel:
    def over(expr: str) -> str:
        return f"({expr}) unless on ({BLOCK}) ({_alive()})"

    return rows(
        "Ended blocks",
        "Blocks that ended in the last 15 minutes, and whether a try or a manager ever came of them.",
        "No block has ended in the last 15 minutes",
        *_told(over),
        Column(
            "Worked",
            expr=over(f"max by ({BLOCK}) (parsl_block_worked{{{POOL}}})"),
            words=style.YES,
            width=90,
        ),
        keys=[_known(over)],
        sort="For",
        descending=False,
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
    broken = f'parsl_block_transitions_total{{{POOL}, state=~"{BROKEN}|CANCELLED"}}'
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
