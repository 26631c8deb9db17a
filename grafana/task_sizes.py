"""What one task of each app of a run needs, and what the worker has that runs it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, table

from grafana import buckets, panels, promql, shell, style
from grafana.promql import APP_KEYS, POOL, RUN, RUN_KEYS, TASK
from grafana.style import Link, Query
from grafana.table import Column, rows

BOARD = "parsl-cpu-memory"
NO_SAMPLES = (
    "No resource sample: only executors with resource monitoring (HTEX, Work Queue, TaskVine) send them"
)
NO_TRY = "No try with resource samples has ended yet"

CPU = f"parsl_task_cpu_seconds_total{{{TASK}}}"
RESIDENT = f"parsl_task_memory_resident_bytes{{{TASK}}}"
WASTED = f"parsl_task_wasted_cpu_seconds_total{{{TASK}}}"

_CPU_USAGE = f"parsl_task_cpu_usage_seconds_bucket{{{TASK}}}"
_PEAK = f"parsl_task_memory_peak_bytes_bucket{{{TASK}}}"
# Of the same tries: those that have closed.
_CPU_OF_ENDED = f"parsl_task_cpu_usage_seconds_sum{{{TASK}}}"
_RAN = f'parsl_task_state_duration_seconds_sum{{{TASK}, state="running"}}'
_MEASURED = f"parsl_task_memory_peak_bytes_count{{{TASK}}}"

WASTE_STEPS = ((None, style.NEUTRAL), (0.05, style.AMBER), (0.2, style.RED))
"""For the part of CPU time that is wasted."""


def _of_a_worker(family: str) -> str:
    """What of its node each worker of an executor has, if the workers of all executors there share it alike.

    As it was last: it is wanted of runs that have ended, too.
    """

    def workers(selector: str) -> str:
        return f"max by ({RUN_KEYS}, executor, hostname, manager) ({promql.connected(selector)})"

    node = f"max by ({RUN_KEYS}, hostname) ({family}{{{RUN}}})"
    share = f"{node} / sum by ({RUN_KEYS}, hostname) ({workers(RUN)})"
    mine = f"{workers(POOL)} * on ({RUN_KEYS}, hostname) group_left () ({share})"
    by_executor = f"sum by ({RUN_KEYS}, executor) ({mine}) / sum by ({RUN_KEYS}, executor) ({workers(POOL)})"
    return f"({by_executor} or last_over_time(({by_executor})[$__range:$__interval]))"


def _of_a_worker_by_app(family: str) -> str:
    tried = f"0 * ({promql.total(_MEASURED, APP_KEYS)})"
    return f"{tried} + on ({RUN_KEYS}, executor) group_left () {_of_a_worker(family)}"


def efficiency() -> stat.Panel:
    def by_executor(series: str) -> str:
        measured = f"{series} and on ({APP_KEYS}) {_MEASURED}"
        return promql.total(f"({measured})", "executor")

    cores = _of_a_worker("parsl_node_cpus")
    asked = f"({by_executor(_RAN)}) * on ({RUN_KEYS}, executor) {cores}"
    used = f"({by_executor(_CPU_OF_ENDED)}) and on ({RUN_KEYS}, executor) {cores}"
    return panels.number(
        "Efficiency",
        "CPU time of ended tries, as part of what the cores of their workers could give while they ran: a worker "
        "has its node's cores by the number of workers there. Far less than 100 %: more workers would fit on a node, "
        "if their memory does.",
        "no ended try",
        Query(f"sum ({used}) / sum ({asked})"),
        unit=style.PERCENT,
        decimals=0,
    )


def _sizes(summary: str, quantile: str) -> str:
    return promql.greatest(f'{summary}{{{TASK}, quantile=~"{quantile}"}}', APP_KEYS)


def _spread(summary: str, unit: str, width: int) -> list[Column]:
    return [
        Column("p50", expr=_sizes(summary, "0.5"), unit=unit, width=width),
        Column("p95", expr=_sizes(summary, "0.95"), unit=unit, width=width),
        Column("Maximum", expr=_sizes(summary, promql.LONGEST), unit=unit, width=110),
    ]


_APP = Column(
    "App",
    label="app",
    links=[
        Link("Only this app", shell.app_link(BOARD)),
        Link("Task states", shell.app_link("parsl-task-states")),
        Link("parsl-visualize", shell.APP_PAGE, new_tab=True),
    ],
)
_EXECUTOR = Column("Executor", label="executor", width=110)


def _tries() -> Column:
    return Column("Tries", expr=promql.total(_MEASURED, APP_KEYS), width=75)


def memory_of_a_task() -> table.Panel:
    peak = "parsl_task_memory_peak_summary_bytes"
    has = _of_a_worker_by_app("parsl_node_memory_bytes")
    part = f"({_sizes(peak, promql.LONGEST)}) / on ({RUN_KEYS}, executor) group_left () "
    return rows(
        "Memory of one task",
        "The greatest resident sample of a try, Parsl's monitor with it: half of the tries stayed below p50, 95 % "
        "below p95, within 1 %; the maximum is exact. A worker has its node's memory by the number of workers there: "
        "above 100 % of it a node is full if such tasks meet.",
        NO_SAMPLES,
        _APP,
        _EXECUTOR,
        _tries(),
        *_spread(peak, style.BYTES, 95),
        Column("A worker has", expr=has, unit=style.BYTES, width=115),
        Column(
            "Maximum of it",
            expr=part + _of_a_worker("parsl_node_memory_bytes"),
            unit=style.PERCENT,
            decimals=0,
            steps=((None, style.NEUTRAL), (0.8, style.AMBER), (1, style.RED)),
            width=120,
        ),
        Column(
            "Resident now",
            expr=promql.added(RESIDENT, f"{RUN_KEYS}, {APP_KEYS}"),
            unit=style.BYTES,
            width=115,
        ),
        keys=[promql.total(CPU, APP_KEYS)],
        sort="Maximum",
    )


def cpu_of_a_task() -> table.Panel:
    cores = promql.ratio(_CPU_OF_ENDED, _RAN, APP_KEYS)
    has = _of_a_worker("parsl_node_cpus")
    return rows(
        "CPU of one task",
        "CPU time (user and system) of a try, as in the table above. Cores: its CPU time by the time it ran; far "
        "less than 1 means it waits for disks, networks or licences, more that it has several threads or processes. "
        "A worker has its node's cores by the number of workers there; efficiency is the part of them that is used.",
        NO_SAMPLES,
        _APP,
        _EXECUTOR,
        _tries(),
        *_spread("parsl_task_cpu_usage_summary_seconds", style.SPAN, 90),
        Column("Cores", expr=cores, unit=style.PLAIN, decimals=2, width=70),
        Column("A worker has", expr=_of_a_worker_by_app("parsl_node_cpus"), unit=style.PLAIN, width=115),
        Column(
            "Efficiency",
            expr=f"({cores}) / on ({RUN_KEYS}, executor) group_left () {has}",
            unit=style.PERCENT,
            decimals=0,
            width=95,
        ),
        Column("CPU time", expr=promql.total(CPU, APP_KEYS), unit=style.DURATION, width=120),
        Column(
            "Wasted",
            expr=promql.ratio(WASTED, CPU, APP_KEYS),
            unit=style.PERCENT,
            decimals=1,
            steps=WASTE_STEPS,
            width=80,
        ),
        keys=[promql.total(CPU, APP_KEYS)],
        sort="CPU time",
    )


def _so_far(series: str) -> Query:
    return Query(promql.total(series, "le"), "{{le}}")


def cpu_distribution() -> bargauge.Panel:
    return panels.distribution(
        "CPU time of a try",
        "How many tries with two samples or more used how much CPU time, up to the bar's value.",
        NO_TRY,
        _so_far(_CPU_USAGE),
        buckets=buckets.SECONDS,
    )


def memory_distribution() -> bargauge.Panel:
    return panels.distribution(
        "Peak memory of a try",
        "How many tries so far had their greatest resident sample, Parsl's monitor with it, up to the bar's "
        "value. Choose memory requests by it.",
        NO_TRY,
        _so_far(_PEAK),
        buckets=buckets.BYTES,
    )


def cpu_heat() -> heatmap.Panel:
    return panels.heat(
        "CPU time of a try, over time",
        "CPU time (user and system) of the tries that ended, with two samples or more. Dots are single "
        "tries: hover for a link to the task.",
        NO_TRY,
        Query(promql.gained(_CPU_USAGE, "le"), "{{le}}"),
        unit=style.SECONDS,
    )


def memory_heat() -> heatmap.Panel:
    return panels.heat(
        "Peak memory of a try, over time",
        "Greatest resident sample of the tries that ended. Dots are single tries: hover for a link to the "
        "task.",
        NO_TRY,
        Query(promql.gained(_PEAK, "le"), "{{le}}"),
        unit=style.BYTES,
    )
