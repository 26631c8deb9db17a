"""CPU and memory of one run: what its tasks use of what its nodes have, and what single tasks need."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import buckets, panels, promql, shell, style
from grafana.promql import POOL, RUN, TASK
from grafana.style import Query
from grafana.table import Column, Link, rows

UID = "parsl-cpu-memory"
NO_SAMPLES = (
    "No resource sample: only executors with resource monitoring (HTEX, Work Queue, TaskVine) send them"
)
NO_NODES = "No node is connected: only HTEX and MPI executors tell of their nodes"
NO_TRY = "No try with resource samples has ended yet"

_CPU = f"parsl_task_cpu_seconds_total{{{TASK}}}"
_RESIDENT = f"parsl_task_memory_resident_bytes{{{TASK}}}"
_WASTED = f"parsl_task_wasted_cpu_seconds_total{{{TASK}}}"
_READ = f"parsl_task_io_read_bytes_total{{{TASK}}}"
_WRITTEN = f"parsl_task_io_written_bytes_total{{{TASK}}}"
_CPU_USAGE = f"parsl_task_cpu_usage_seconds_bucket{{{TASK}}}"
_PEAK = f"parsl_task_memory_peak_bytes_bucket{{{TASK}}}"
# Of the same tries: those that have closed.
_CPU_OF_ENDED = f"parsl_task_cpu_usage_seconds_sum{{{TASK}}}"
_RAN = f'parsl_task_state_duration_seconds_sum{{{TASK}, state="running"}}'
_MEASURED = f"parsl_task_memory_peak_bytes_count{{{TASK}}}"
# A node's series stay for a while when its managers have gone.
_CONNECTED = f"on (source, run_id, hostname) (parsl_manager_active{{{RUN}}} == 1)"
_CORES = promql.added(f"parsl_node_cpus{{{RUN}}} and {_CONNECTED}")
_NODE_MEMORY = promql.added(f"parsl_node_memory_bytes{{{RUN}}} and {_CONNECTED}")
_NODE_RESIDENT = f"parsl_node_task_memory_resident_bytes{{{RUN}}}"
_FULL = ((None, style.NEUTRAL), (0.8, style.AMBER), (0.95, style.RED))
_KEYS = "source, run_id"
_ONE = "app, executor"
_SHOWN = 10
_THERE = {"CPU": "cores of connected nodes", "memory": "memory of connected nodes"}


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / CPU and memory",
        "What one task of each app needs against what a worker has, and what all tasks of a run use of its nodes.",
        variables=shell.for_tasks(),
        annotations=shell.run_events(),
        since="now-3h",
        refresh="30s",
        rows=[
            shell.Row(
                "",
                4,
                [
                    (4, cpu_used_part()),
                    (4, memory_used_part()),
                    (4, fullest_node()),
                    (4, efficiency()),
                    (4, cpu_time()),
                    (4, wasted_part()),
                ],
            ),
            shell.Row("", 7, [(24, memory_of_a_task()), (24, cpu_of_a_task())]),
            shell.Row("", 9, [(12, cpu_against_cores()), (12, memory_against_nodes())]),
            shell.Row(
                "How tasks of an app differ",
                8,
                [
                    (24, cpu_distribution()),
                    (24, memory_distribution()),
                    (12, cpu_heat()),
                    (12, memory_heat()),
                ],
                folded=True,
            ),
            shell.Row("Waste", 8, [(12, cpu_wasted()), (12, cpu_modes())], folded=True),
            shell.Row(
                "By node and executor",
                8,
                [
                    (12, cpu_by_node()),
                    (12, memory_by_node()),
                    (12, cpu_by_executor()),
                    (12, memory_by_executor()),
                ],
                folded=True,
            ),
            shell.Row(
                "Input, output and processes",
                8,
                [
                    (8, transferred()),
                    (8, moved("Read", "read", _READ, "served from")),
                    (8, moved("Written", "write", _WRITTEN, "to")),
                    (8, context_switches()),
                    (8, processes()),
                    (8, virtual()),
                ],
                folded=True,
            ),
        ],
    )


def _of_a_worker(family: str) -> str:
    """What of its node each worker of an executor has, if the workers of all executors there share it alike.

    As it was last: it is wanted of runs that have ended, too.
    """

    def workers(selector: str) -> str:
        connected = f"parsl_manager_workers{{{selector}}} and (parsl_manager_active{{{selector}}} == 1)"
        return f"max by ({_KEYS}, executor, hostname, manager) ({connected})"

    node = f"max by ({_KEYS}, hostname) ({family}{{{RUN}}})"
    share = f"{node} / sum by ({_KEYS}, hostname) ({workers(RUN)})"
    mine = f"{workers(POOL)} * on ({_KEYS}, hostname) group_left () ({share})"
    by_executor = f"sum by ({_KEYS}, executor) ({mine}) / sum by ({_KEYS}, executor) ({workers(POOL)})"
    return f"({by_executor} or last_over_time(({by_executor})[$__range:$__interval]))"


def _of_a_worker_by_app(family: str) -> str:
    tried = f"0 * ({promql.total(_MEASURED, _ONE)})"
    return f"{tried} + on ({_KEYS}, executor) group_left () {_of_a_worker(family)}"


def cpu_used_part() -> stat.Panel:
    return panels.number(
        "CPU used",
        "CPU time that tasks used lately, as part of all physical cores of connected nodes.",
        "no node",
        Query(f"{promql.rate(_CPU)} / {_CORES}"),
        unit=style.PERCENT,
        decimals=0,
    )


def memory_used_part() -> stat.Panel:
    return panels.number(
        "Memory used",
        "Resident memory of running tasks, as part of the memory of connected nodes.",
        "no node",
        Query(f"{promql.added(_RESIDENT)} / {_NODE_MEMORY}"),
        unit=style.PERCENT,
        decimals=0,
        steps=_FULL,
    )


def cpu_time() -> stat.Panel:
    title, description = "CPU time", "CPU time of all tries, as sampled: short-lived children are missing."
    return panels.number(title, description, "no sample", Query(promql.total(_CPU)), unit=style.DURATION)


def fullest_node() -> stat.Panel:
    used = promql.added(_NODE_RESIDENT, "hostname")
    return panels.number(
        "Fullest node",
        "Resident memory of the run's tasks on the node where it is the greatest part of the memory. A node near its "
        "limit kills tasks.",
        "no node",
        Query(f"max ({used} / max by (hostname) (parsl_node_memory_bytes{{{RUN}}} and {_CONNECTED}))"),
        unit=style.PERCENT,
        decimals=0,
        steps=_FULL,
    )


def efficiency() -> stat.Panel:
    def by_executor(series: str) -> str:
        measured = f"{series} and on (app, executor) {_MEASURED}"
        return promql.total(f"({measured})", "executor")

    cores = _of_a_worker("parsl_node_cpus")
    asked = f"({by_executor(_RAN)}) * on ({_KEYS}, executor) {cores}"
    used = f"({by_executor(_CPU_OF_ENDED)}) and on ({_KEYS}, executor) {cores}"
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


def wasted_part() -> stat.Panel:
    return panels.number(
        "CPU wasted",
        "CPU time of tries that failed, as part of all CPU time.",
        "no sample",
        Query(promql.ratio(_WASTED, _CPU)),
        unit=style.PERCENT,
        decimals=1,
        steps=((None, style.NEUTRAL), (0.05, style.AMBER), (0.2, style.RED)),
    )


def _sizes(summary: str, quantile: str) -> str:
    return promql.greatest(f'{summary}{{{TASK}, quantile=~"{quantile}"}}', _ONE)


_APP = Column(
    "App",
    label="app",
    links=[
        Link("Only this app", shell.app_link(UID)),
        Link("Task states", shell.app_link("parsl-task-states")),
        Link("parsl-visualize", shell.APP_PAGE, new_tab=True),
    ],
)
_EXECUTOR = Column("Executor", label="executor", width=110)


def _tries() -> Column:
    return Column("Tries", expr=promql.total(_MEASURED, _ONE), width=75)


def memory_of_a_task() -> table.Panel:
    peak = "parsl_task_memory_peak_summary_bytes"
    has = _of_a_worker_by_app("parsl_node_memory_bytes")
    part = f"({_sizes(peak, promql.LONGEST)}) / on ({_KEYS}, executor) group_left () "
    return rows(
        "Memory of one task",
        "The greatest resident sample of a try, Parsl's monitor with it: half of the tries stayed below p50, 95 % "
        "below p95, within 1 %; the maximum is exact. A worker has its node's memory by the number of workers there: "
        "above 100 % of it a node is full if such tasks meet.",
        NO_SAMPLES,
        _APP,
        _EXECUTOR,
        _tries(),
        Column("p50", expr=_sizes(peak, "0.5"), unit=style.BYTES, width=95),
        Column("p95", expr=_sizes(peak, "0.95"), unit=style.BYTES, width=95),
        Column("Maximum", expr=_sizes(peak, promql.LONGEST), unit=style.BYTES, width=110),
        Column("A worker has", expr=has, unit=style.BYTES, width=115),
        Column(
            "Maximum of it",
            expr=part + _of_a_worker("parsl_node_memory_bytes"),
            unit=style.PERCENT,
            decimals=0,
            steps=((None, style.NEUTRAL), (0.8, style.AMBER), (1, style.RED)),
            width=120,
        ),
        Column("Resident now", expr=promql.added(_RESIDENT, f"{_KEYS}, {_ONE}"), unit=style.BYTES, width=115),
        keys=[promql.total(_CPU, _ONE)],
        sort="Maximum",
    )


def cpu_of_a_task() -> table.Panel:
    usage = "parsl_task_cpu_usage_summary_seconds"
    cores = promql.ratio(_CPU_OF_ENDED, _RAN, _ONE)
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
        Column("p50", expr=_sizes(usage, "0.5"), unit=style.SPAN, width=90),
        Column("p95", expr=_sizes(usage, "0.95"), unit=style.SPAN, width=90),
        Column("Maximum", expr=_sizes(usage, promql.LONGEST), unit=style.SPAN, width=110),
        Column("Cores", expr=cores, unit=style.PLAIN, decimals=2, width=70),
        Column("A worker has", expr=_of_a_worker_by_app("parsl_node_cpus"), unit=style.PLAIN, width=115),
        Column(
            "Efficiency",
            expr=f"({cores}) / on ({_KEYS}, executor) group_left () {has}",
            unit=style.PERCENT,
            decimals=0,
            width=95,
        ),
        Column("CPU time", expr=promql.total(_CPU, _ONE), unit=style.DURATION, width=120),
        Column(
            "Wasted",
            expr=promql.ratio(_WASTED, _CPU, _ONE),
            unit=style.PERCENT,
            decimals=1,
            steps=((None, style.NEUTRAL), (0.05, style.AMBER), (0.2, style.RED)),
            width=80,
        ),
        keys=[promql.total(_CPU, _ONE)],
        sort="CPU time",
    )


def cpu_against_cores() -> timeseries.Panel:
    return panels.lines(
        "CPU: used and there",
        "Cores that the tasks of each app keep busy (the ten apps that used most), under the physical cores of nodes "
        "with an active manager (of MPI the first node alone). Nodes may be shared with other work, a manager may "
        "use part of one.",
        NO_SAMPLES,
        Query(promql.top_rate(_SHOWN, _CPU, "app"), "{{app}}"),
        Query(_CORES, _THERE["CPU"]),
        over=_THERE["CPU"],
        stacked=True,
        axis="cores",
    )


def memory_against_nodes() -> timeseries.Panel:
    return panels.lines(
        "Memory: used and there",
        "Resident memory of the running tasks of each app (the ten apps that held most), Parsl's monitor of each task "
        "with it, under the memory of nodes with an active manager. Pages that processes share count once for each.",
        NO_SAMPLES,
        Query(promql.top_ever(_SHOWN, _RESIDENT, "app"), "{{app}}"),
        Query(_NODE_MEMORY, _THERE["memory"]),
        unit=style.BYTES,
        over=_THERE["memory"],
        stacked=True,
    )


def cpu_by_node() -> timeseries.Panel:
    used = promql.top_rate(_SHOWN, f"parsl_node_task_cpu_seconds_total{{{RUN}}}", "hostname")
    return panels.lines(
        "CPU by node",
        "The part of its cores that the run's tasks keep busy, of each of the ten nodes that worked most. All "
        "executors and apps.",
        NO_NODES,
        Query(f"({used}) / max by (hostname) (parsl_node_cpus{{{RUN}}})", "{{hostname}}"),
        unit=style.PERCENT,
    )


def memory_by_node() -> timeseries.Panel:
    used = promql.top_ever(_SHOWN, _NODE_RESIDENT, "hostname")
    return panels.lines(
        "Memory by node",
        "The part of its memory that is resident in the run's tasks, of each of the ten nodes that held most. A node "
        "near its limit kills tasks. All executors and apps.",
        NO_NODES,
        Query(f"({used}) / max by (hostname) (parsl_node_memory_bytes{{{RUN}}})", "{{hostname}}"),
        unit=style.PERCENT,
        steps=((None, style.NEUTRAL), (0.95, style.RED)),
    )


def cpu_by_executor() -> timeseries.Panel:
    return panels.lines(
        "CPU by executor",
        "Cores that the tasks of each executor keep busy.",
        NO_SAMPLES,
        Query(promql.top_rate(_SHOWN, _CPU, "executor"), "{{executor}}"),
        stacked=True,
        axis="cores",
    )


def memory_by_executor() -> timeseries.Panel:
    return panels.lines(
        "Resident memory by executor",
        "Resident memory of the running tasks of each executor.",
        NO_SAMPLES,
        Query(promql.top_ever(_SHOWN, _RESIDENT, "executor"), "{{executor}}"),
        unit=style.BYTES,
        stacked=True,
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


def cpu_wasted() -> timeseries.Panel:
    wasted = promql.added(f"last_over_time({_WASTED}[$__range] @ end())", "app")
    return panels.lines(
        "CPU wasted by app",
        "CPU time of tries when they turned out to have failed, of the ten apps that wasted most. It counts at once "
        "when a try fails, so a long try makes a high bar.",
        "No CPU time was wasted in this time range",
        Query(
            promql.top(_SHOWN, f"({promql.gained(_WASTED, 'app')} > 0)", "app", f"{wasted} > 0"), "{{app}}"
        ),
        unit=style.SPAN,
        bars=True,
        calcs=("sum",),
    )


def cpu_modes() -> timeseries.Panel:
    return panels.lines(
        "CPU: user and system",
        "A high part of system time is a sign of many small files, many short processes, or memory pressure.",
        NO_SAMPLES,
        Query(promql.rate(_CPU, "mode"), "{{mode}}"),
        colors={"user": style.BLUE, "system": style.AMBER},
        stacked=True,
        axis="cores",
    )


def transferred() -> stat.Panel:
    return panels.number(
        "Read, written",
        "Bytes that all tries so far asked to read and to write, served from caches too.",
        "no sample",
        Query(promql.total(_READ), "read"),
        Query(promql.total(_WRITTEN), "written"),
        unit=style.BYTES,
    )


def moved(name: str, verb: str, counter: str, caches: str) -> timeseries.Panel:
    return panels.lines(
        f"{name} by app",
        f"Bytes a second that tasks asked to {verb}, {caches} caches too, of the ten apps that did it most.",
        NO_SAMPLES,
        Query(promql.top_rate(_SHOWN, counter, "app"), "{{app}}"),
        unit=style.BYTES_PER_SECOND,
        stacked=True,
    )


def context_switches() -> timeseries.Panel:
    switches = f"parsl_task_context_switches_total{{{TASK}}}"
    return panels.lines(
        "Context switches",
        "Involuntary ones tell of more busy threads than cores; voluntary ones of tasks that wait. Parsl "
        "records them since 2024.03.",
        NO_SAMPLES,
        Query(promql.rate(switches, "mode"), "{{mode}}"),
        colors={"voluntary": style.BLUE, "involuntary": style.AMBER},
        axis="a second",
    )


def processes() -> timeseries.Panel:
    return panels.lines(
        "Processes of running tasks",
        "Worker processes of running tasks and their children, one of them Parsl's monitor, by app.",
        NO_SAMPLES,
        Query(promql.top_ever(_SHOWN, f"parsl_task_processes{{{TASK}}}", "app"), "{{app}}"),
        stacked=True,
        axis="processes",
    )


def virtual() -> timeseries.Panel:
    return panels.lines(
        "Virtual memory by app",
        "Address space of running tasks. It counts against memory limits that are set with ulimit.",
        NO_SAMPLES,
        Query(promql.top_ever(_SHOWN, f"parsl_task_memory_virtual_bytes{{{TASK}}}", "app"), "{{app}}"),
        unit=style.BYTES,
        stacked=True,
    )
