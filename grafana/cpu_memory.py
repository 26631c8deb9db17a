"""CPU and memory of one run: what its tasks use of what its nodes have, and what single tasks need."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, shell, style, task_sizes
from grafana.managers import NO_NODES
from grafana.promql import RUN, RUN_KEYS, TASK
from grafana.style import Query
from grafana.task_sizes import BOARD, CPU, NO_SAMPLES, RESIDENT, WASTE_STEPS, WASTED

UID = BOARD

_READ = f"parsl_task_io_read_bytes_total{{{TASK}}}"
_WRITTEN = f"parsl_task_io_written_bytes_total{{{TASK}}}"
# A node's series stay for a while when its managers have gone.
_CONNECTED = f"on ({RUN_KEYS}, hostname) {promql.active(RUN)}"
_CORES = promql.added(f"parsl_node_cpus{{{RUN}}} and {_CONNECTED}")
_NODE_MEMORY = promql.added(f"parsl_node_memory_bytes{{{RUN}}} and {_CONNECTED}")
_NODE_RESIDENT = f"parsl_node_task_memory_resident_bytes{{{RUN}}}"
_FULL = ((None, style.NEUTRAL), (0.8, style.AMBER), (0.95, style.RED))
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
                    (4, task_sizes.efficiency()),
                    (4, cpu_time()),
                    (4, wasted_part()),
                ],
            ),
            shell.Row("", 7, [(24, task_sizes.memory_of_a_task()), (24, task_sizes.cpu_of_a_task())]),
            shell.Row("", 9, [(12, cpu_against_cores()), (12, memory_against_nodes())]),
            shell.Row(
                "How tasks of an app differ",
                8,
                [
                    (24, task_sizes.cpu_distribution()),
                    (24, task_sizes.memory_distribution()),
                    (12, task_sizes.cpu_heat()),
                    (12, task_sizes.memory_heat()),
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


def cpu_used_part() -> stat.Panel:
    return panels.number(
        "CPU used",
        "CPU time that tasks used lately, as part of all physical cores of connected nodes.",
        "no node",
        Query(f"{promql.rate(CPU)} / {_CORES}"),
        unit=style.PERCENT,
        decimals=0,
    )


def memory_used_part() -> stat.Panel:
    return panels.number(
        "Memory used",
        "Resident memory of running tasks, as part of the memory of connected nodes.",
        "no node",
        Query(f"{promql.added(RESIDENT)} / {_NODE_MEMORY}"),
        unit=style.PERCENT,
        decimals=0,
        steps=_FULL,
    )


def cpu_time() -> stat.Panel:
    title, description = "CPU time", "CPU time of all tries, as sampled: short-lived children are missing."
    return panels.number(title, description, "no sample", Query(promql.total(CPU)), unit=style.DURATION)


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


def wasted_part() -> stat.Panel:
    return panels.number(
        "CPU wasted",
        "CPU time of tries that failed, as part of all CPU time.",
        "no sample",
        Query(promql.ratio(WASTED, CPU)),
        unit=style.PERCENT,
        decimals=1,
        steps=WASTE_STEPS,
    )


def cpu_against_cores() -> timeseries.Panel:
    return panels.lines(
        "CPU: used and there",
        "Cores that the tasks of each app keep busy (the ten apps that used most), under the physical cores of nodes "
        "with an active manager (of MPI the first node alone). Nodes may be shared with other work, a manager may "
        "use part of one.",
        NO_SAMPLES,
        Query(promql.top_rate(_SHOWN, CPU, "app"), "{{app}}"),
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
        Query(promql.top_ever(_SHOWN, RESIDENT, "app"), "{{app}}"),
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
        Query(promql.top_rate(_SHOWN, CPU, "executor"), "{{executor}}"),
        stacked=True,
        axis="cores",
    )


def memory_by_executor() -> timeseries.Panel:
    return panels.lines(
        "Resident memory by executor",
        "Resident memory of the running tasks of each executor.",
        NO_SAMPLES,
        Query(promql.top_ever(_SHOWN, RESIDENT, "executor"), "{{executor}}"),
        unit=style.BYTES,
        stacked=True,
    )


def cpu_wasted() -> timeseries.Panel:
    wasted = promql.added(f"last_over_time({WASTED}[$__range] @ end())", "app")
    return panels.lines(
        "CPU wasted by app",
        "CPU time of tries when they turned out to have failed, of the ten apps that wasted most. It counts at once "
        "when a try fails, so a long try makes a high bar.",
        "No CPU time was wasted in this time range",
        Query(promql.top(_SHOWN, f"({promql.gained(WASTED, 'app')} > 0)", "app", f"{wasted} > 0"), "{{app}}"),
        unit=style.SPAN,
        bars=True,
        calcs=("sum",),
    )


def cpu_modes() -> timeseries.Panel:
    return panels.lines(
        "CPU: user and system",
        "A high part of system time is a sign of many small files, many short processes, or memory pressure.",
        NO_SAMPLES,
        Query(promql.rate(CPU, "mode"), "{{mode}}"),
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
