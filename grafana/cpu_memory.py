"""CPU and memory of one run: what its tasks use of what its nodes have, and what single tasks need."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import buckets, panels, promql, shell, style
from grafana.promql import RUN, TASK
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
_RAN = f'parsl_task_state_duration_seconds_sum{{{TASK}, state="running"}}'
_WASTED = f"parsl_task_wasted_cpu_seconds_total{{{TASK}}}"
_READ = f"parsl_task_io_read_bytes_total{{{TASK}}}"
_WRITTEN = f"parsl_task_io_written_bytes_total{{{TASK}}}"
_CPU_USAGE = f"parsl_task_cpu_usage_seconds_bucket{{{TASK}}}"
_PEAK = f"parsl_task_memory_peak_bytes_bucket{{{TASK}}}"
# A node's series stay for a while when its managers have gone.
_CONNECTED = f"on (source, run_id, hostname) (parsl_manager_active{{{RUN}}} == 1)"
_CORES = promql.added(f"parsl_node_cpus{{{RUN}}} and {_CONNECTED}")
_NODE_MEMORY = promql.added(f"parsl_node_memory_bytes{{{RUN}}} and {_CONNECTED}")
_FULL = ((None, style.BLUE), (0.8, style.AMBER), (0.95, style.RED))


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / CPU and memory",
        "What the tasks of one run use of their nodes' CPU and memory, and what a single task needs.",
        variables=shell.for_tasks(),
        annotations=shell.run_events(),
        since="now-3h",
        refresh="30s",
        rows=[
            shell.Row(
                "Now and in all",
                4,
                [
                    (4, cpu_used_part()),
                    (4, memory_used_part()),
                    (4, cpu_time()),
                    (4, cpu_per_running_second()),
                    (4, wasted_part()),
                    (4, transferred()),
                ],
            ),
            shell.Row(
                "CPU",
                9,
                [
                    (12, cpu_against_cores()),
                    (12, cpu_by("app")),
                    (12, cpu_by("executor")),
                    (12, cpu_by_node()),
                ],
            ),
            shell.Row(
                "Memory",
                9,
                [
                    (12, memory_against_nodes()),
                    (12, memory_by("app")),
                    (12, memory_by("executor")),
                    (12, memory_by_node()),
                ],
            ),
            shell.Row(
                "What a task needs",
                9,
                [
                    (12, cpu_distribution()),
                    (12, memory_distribution()),
                    (12, cpu_heat()),
                    (12, memory_heat()),
                    (24, apps()),
                ],
            ),
            shell.Row("Waste", 8, [(12, cpu_wasted()), (12, cpu_modes())]),
            shell.Row(
                "Input, output and processes",
                8,
                [
                    (12, moved("Read", "read", _READ, "served from")),
                    (12, moved("Written", "write", _WRITTEN, "to")),
                    (8, context_switches()),
                    (8, processes()),
                    (8, virtual()),
                ],
            ),
        ],
    )


def cpu_used_part() -> stat.Panel:
    return panels.number(
        "CPU in use",
        "CPU time that tasks used lately, as part of all physical cores of connected nodes.",
        "no node",
        Query(f"{promql.rate(_CPU)} / {_CORES}"),
        unit=style.PERCENT,
        decimals=0,
        steps=((None, style.BLUE),),
    )


def memory_used_part() -> stat.Panel:
    return panels.number(
        "Memory in use",
        "Resident memory of running tasks, as part of the memory of connected nodes.",
        "no node",
        Query(f"{promql.added(_RESIDENT)} / {_NODE_MEMORY}"),
        unit=style.PERCENT,
        decimals=0,
        steps=_FULL,
    )


def cpu_time() -> stat.Panel:
    title, description = "CPU time", "CPU time of all tries, as sampled: short-lived children are missing."
    return panels.number(title, description, "no sample", Query(promql.total(_CPU)), unit=style.SECONDS)


def cpu_per_running_second() -> stat.Panel:
    return panels.number(
        "CPU per running second",
        "CPU time of all tries, by the time that ended tries ran. 1 is one busy core for each task; far "
        "less means tasks wait for disks, networks or licences; more means several threads or processes.",
        "no ended try",
        Query(promql.ratio(_CPU, _RAN)),
        unit=style.PLAIN,
        decimals=2,
    )


def wasted_part() -> stat.Panel:
    return panels.number(
        "CPU wasted",
        "CPU time of tries that failed, as part of all CPU time.",
        "no sample",
        Query(promql.ratio(_WASTED, _CPU)),
        unit=style.PERCENT,
        decimals=1,
        steps=((None, style.GREEN), (0.05, style.AMBER), (0.2, style.RED)),
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


def cpu_against_cores() -> timeseries.Panel:
    return panels.lines(
        "CPU: used and there",
        "Cores that tasks keep busy, against the physical cores of nodes with an active manager (of MPI the "
        "first node alone). Nodes may be shared with other work, a manager may use part of one.",
        NO_SAMPLES,
        Query(_CORES, "cores of connected nodes"),
        Query(promql.rate(_CPU), "used by tasks"),
        colors={"cores of connected nodes": style.GREY, "used by tasks": style.BLUE},
        axis="cores",
    )


def cpu_by(label: str) -> timeseries.Panel:
    return panels.lines(
        f"CPU by {label}",
        f"Cores that the tasks of each {label} keep busy.",
        NO_SAMPLES,
        Query(promql.rate(_CPU, label), f"{{{{{label}}}}}"),
        stacked=True,
        axis="cores",
    )


def cpu_by_node() -> timeseries.Panel:
    used = promql.rate(f"parsl_node_task_cpu_seconds_total{{{RUN}}}", "hostname")
    return panels.lines(
        "CPU by node",
        "The part of each node's cores that the run's tasks keep busy. All executors and apps.",
        NO_NODES,
        Query(f"{used} / max by (hostname) (parsl_node_cpus{{{RUN}}})", "{{hostname}}"),
        unit=style.PERCENT,
    )


def memory_against_nodes() -> timeseries.Panel:
    return panels.lines(
        "Memory: used and there",
        "Resident memory of running tasks, Parsl's monitor of each with it, against the memory of nodes with "
        "an active manager. Pages that processes share count once for each.",
        NO_SAMPLES,
        Query(_NODE_MEMORY, "memory of connected nodes"),
        Query(promql.added(_RESIDENT), "resident in tasks"),
        unit=style.BYTES,
        colors={"memory of connected nodes": style.GREY, "resident in tasks": style.BLUE},
    )


def memory_by(label: str) -> timeseries.Panel:
    return panels.lines(
        f"Resident memory by {label}",
        f"Resident memory of the running tasks of each {label}.",
        NO_SAMPLES,
        Query(promql.added(_RESIDENT, label), f"{{{{{label}}}}}"),
        unit=style.BYTES,
        stacked=True,
    )


def memory_by_node() -> timeseries.Panel:
    used = promql.added(f"parsl_node_task_memory_resident_bytes{{{RUN}}}", "hostname")
    return panels.lines(
        "Memory by node",
        "The part of each node's memory that is resident in the run's tasks. A node near its limit kills "
        "tasks. All executors and apps.",
        NO_NODES,
        Query(f"{used} / max by (hostname) (parsl_node_memory_bytes{{{RUN}}})", "{{hostname}}"),
        unit=style.PERCENT,
        steps=((None, style.NEUTRAL), (0.95, style.RED)),
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


def apps() -> table.Panel:
    def of(series: str) -> str:
        return promql.total(series, "app")

    return rows(
        "Apps",
        "What each app used, and what one of its tries needs (over the whole run; interpolated between the "
        "buckets of a histogram).",
        NO_SAMPLES,
        Column(
            "App",
            label="app",
            links=[
                Link("Only this app", shell.app_link(UID)),
                Link("Task states", shell.app_link("parsl-task-states")),
                Link("parsl-visualize", shell.APP_PAGE, new_tab=True),
            ],
        ),
        Column("CPU time", expr=of(_CPU), unit=style.SECONDS, width=100),
        Column(
            "Wasted",
            expr=of(_WASTED),
            unit=style.SECONDS,
            width=100,
            steps=((None, style.NEUTRAL), (0.01, style.RED)),
        ),
        Column(
            "CPU per running second",
            expr=promql.ratio(_CPU, _RAN, "app"),
            unit=style.PLAIN,
            decimals=2,
            width=190,
        ),
        Column("CPU p50", expr=promql.quantile_so_far(0.5, _CPU_USAGE, "app"), unit=style.SECONDS, width=100),
        Column(
            "CPU p95", expr=promql.quantile_so_far(0.95, _CPU_USAGE, "app"), unit=style.SECONDS, width=100
        ),
        Column("Memory p50", expr=promql.quantile_so_far(0.5, _PEAK, "app"), unit=style.BYTES, width=120),
        Column("Memory p95", expr=promql.quantile_so_far(0.95, _PEAK, "app"), unit=style.BYTES, width=120),
        Column("Read", expr=of(_READ), unit=style.BYTES, width=110),
        Column("Written", expr=of(_WRITTEN), unit=style.BYTES, width=110),
        sort="CPU time",
    )


def cpu_wasted() -> timeseries.Panel:
    return panels.lines(
        "CPU wasted by app",
        "CPU time of tries when they turned out to have failed. It counts at once when a try fails, so a "
        "long try makes a high bar.",
        "No CPU time was wasted in this time range",
        Query(f"{promql.gained(_WASTED, 'app')} > 0", "{{app}}"),
        unit=style.SECONDS,
        bars=True,
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


def moved(name: str, verb: str, counter: str, caches: str) -> timeseries.Panel:
    return panels.lines(
        f"{name} by app",
        f"Bytes a second that tasks asked to {verb}, {caches} caches too.",
        NO_SAMPLES,
        Query(promql.rate(counter, "app"), "{{app}}"),
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
        Query(promql.added(f"parsl_task_processes{{{TASK}}}", "app"), "{{app}}"),
        stacked=True,
        axis="processes",
    )


def virtual() -> timeseries.Panel:
    return panels.lines(
        "Virtual memory by app",
        "Address space of running tasks. It counts against memory limits that are set with ulimit.",
        NO_SAMPLES,
        Query(promql.added(f"parsl_task_memory_virtual_bytes{{{TASK}}}", "app"), "{{app}}"),
        unit=style.BYTES,
        stacked=True,
    )
