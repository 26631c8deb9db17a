"""Overview: every run at a glance, what all of them do together, and whether the monitoring itself works."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, shell, style
from grafana.promql import DONE, FAILED, FINAL, SOURCE
from grafana.style import Query
from grafana.table import Column, Link, rows

UID = "parsl-overview"
NO_RUNS = "No run in this time range"

_SEEN = f'{SOURCE}, workflow_name=~"$workflow"'
_OF_ROW = {
    "source": "${__data.fields.source:percentencode}",
    "workflow": "$__all",
    "run": "${__data.fields.run_id:percentencode}",
}
_LIFE = "&from=${__data.fields.since}&to=${__data.fields.until}"


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / Overview",
        "Every Parsl run that the exporter sees, and the condition of the monitoring itself.",
        variables=[shell.source(), shell.workflow(), shell.visualize()],
        annotations=shell.run_events(SOURCE),
        since="now-6h",
        refresh="30s",
        rows=[
            shell.Row(
                "Now",
                4,
                [
                    (4, runs_running()),
                    (4, runs_silent()),
                    (4, tasks_live()),
                    (4, tasks_failed()),
                    (4, workers_busy()),
                    (4, sources_down()),
                ],
            ),
            shell.Row("Runs", 11, [(24, runs())]),
            shell.Row(
                "Tasks",
                9,
                [(12, tasks_by_state()), (12, throughput()), (12, throughput_by_run()), (12, failures())],
            ),
            shell.Row("Workers", 9, [(12, workers()), (12, blocks())]),
            shell.Row("Alerts and exporter", 8, [(24, alerts()), (24, sources())]),
        ],
    )


def _count_of_state(state: int) -> str:
    return f"sum ({promql.of_runs_seen(f'(({promql.run_state(SOURCE)}) == bool {state})')}) or vector(0)"


def _life_link(title: str, uid: str) -> Link:
    chosen = "".join(f"&var-{name}={value}" for name, value in _OF_ROW.items())
    return Link(title, f"/d/{uid}?${{datasource:queryparam}}{chosen}{_LIFE}")


def runs_running() -> stat.Panel:
    return panels.number(
        "Running",
        "Runs that have not ended and are not silent.",
        "no run",
        Query(_count_of_state(0)),
        steps=((None, style.NEUTRAL), (1, style.BLUE)),
    )


def runs_silent() -> stat.Panel:
    return panels.number(
        "Silent",
        "Runs without an end that write no more what they should: their submitting process was probably "
        "killed, of which Parsl records nothing. The same as in the alerts. Without their rules: nothing was "
        "written for 15 minutes.",
        "no run",
        Query(_count_of_state(1)),
        steps=((None, style.GREEN), (1, style.AMBER)),
    )


def tasks_live() -> stat.Panel:
    live = f'parsl_tasks{{{SOURCE}, state!~"{FINAL}"}}'
    return panels.number(
        "Tasks in progress",
        "Tasks that have not come to a final state, over all runs that are published now.",
        "no task",
        Query(promql.added(promql.of_runs(live))),
    )


def tasks_failed() -> stat.Panel:
    failed = promql.run_tasks(SOURCE, f'=~"{FAILED}"')
    return panels.number(
        "Tasks failed",
        "Tasks that ended in failed or dep_fail, over all runs of the time range.",
        "no task",
        Query(f"sum ({promql.of_runs_seen(f'({failed})')})"),
        steps=((None, style.GREEN), (1, style.RED)),
    )


def _busy() -> str:
    running = f"parsl_block_tasks_running{{{SOURCE}}}"
    served = f"(parsl_manager_active{{{SOURCE}}} == 1)"
    # With several HTEX executors on a host, a manager's executor may be unknown: its block's number is not.
    unknown = f'(parsl_manager_active{{{SOURCE}, executor="unknown"}} == 1)'
    busy = (
        f"{running} and on (source, run_id, executor, block_id) {served} "
        f"or {running} and on (source, run_id, block_id) {unknown}"
    )
    return promql.added(promql.of_runs(f"({busy})"))


def _connected() -> str:
    workers = f"parsl_manager_workers{{{SOURCE}}} and (parsl_manager_active{{{SOURCE}}} == 1)"
    return promql.added(promql.of_runs(workers))


def workers_busy() -> stat.Panel:
    return panels.number(
        "Workers busy",
        "Tries that run on connected workers, as part of all connected workers. Only executors with "
        "managers (HTEX, MPI) tell how many workers they have.",
        "no worker",
        Query(f"{_busy()} / ({_connected()} > 0)"),
        unit=style.PERCENT,
        decimals=0,
    )


def sources_down() -> stat.Panel:
    up = f"parsl_exporter_source_up{{{SOURCE}}}"
    return panels.number(
        "Sources down",
        "Monitoring databases that the exporter could not read at its last poll.",
        "no exporter",
        Query(f"count ({up}) - sum ({up})"),
        steps=((None, style.GREEN), (1, style.RED)),
    )


def runs() -> table.Panel:
    def of(expr: str) -> str:
        return promql.of_runs_seen(f"({expr})")

    def count(states: str) -> str:
        return of(promql.run_tasks(SOURCE, states))

    final, every = count(f'=~"{FINAL}"'), count('=~".*"')

    return rows(
        "Runs",
        "Every run of the time range, newest first. A run leads to its task states, over its own life time. "
        "Progress counts the tasks that Parsl knows: a workflow may submit more. Silent: no end, and probably "
        "killed.",
        NO_RUNS,
        Column(
            "Workflow",
            label="workflow_name",
            links=[
                _life_link("Task states", "parsl-task-states"),
                _life_link("CPU and memory", "parsl-cpu-memory"),
                _life_link("Worker pools", "parsl-worker-pools"),
                Link("parsl-visualize", "${visualize:raw}/workflow/${__data.fields.run_id}/", new_tab=True),
            ],
        ),
        Column("State", expr=of(promql.run_state(SOURCE)), words=style.RUN_STATES, width=80),
        Column("User", label="user", width=80),
        Column("Host", label="host", width=100),
        Column("Started", expr=of(f"1000 * {promql.run_time('start', SOURCE)}"), unit=style.DATE, width=150),
        Column("Runtime", expr=of(promql.run_duration(SOURCE)), unit=style.DURATION, width=90),
        Column("Done", expr=count(f'=~"{DONE}"'), width=70),
        Column(
            "Failed",
            expr=count(f'=~"{FAILED}"'),
            width=65,
            steps=((None, style.NEUTRAL), (1, style.RED)),
        ),
        Column("In progress", expr=count(f'!~"{FINAL}"'), width=90),
        Column(
            "Progress",
            expr=f"({final}) / ({every}) >= 0",
            unit=style.PERCENT,
            bar=1,
            width=100,
        ),
        Column(
            "Last news",
            expr=of(f"time() - {promql.run_time('last_row', SOURCE)}"),
            unit=style.DURATION,
            width=90,
        ),
        Column("Run", label="run_id", width=90),
        Column("Source", label="source", width=100),
        Column("since", label="since", hidden=True),
        Column("until", label="until", hidden=True),
        keys=[
            promql.run_info(_SEEN, "workflow_name", "user", "host"),
            of(promql.run_window(SOURCE)),
        ],
        sort="Started",
    )


def tasks_by_state() -> timeseries.Panel:
    tasks = promql.of_runs(f"parsl_tasks{{{SOURCE}}}")
    return panels.lines(
        "Tasks by state, all runs",
        "Tasks of all published runs by their state now. A run's tasks leave 15 minutes after it ended.",
        NO_RUNS,
        Query(f"{promql.added(tasks, 'state')} > 0", "{{state}}"),
        colors=style.TASK_COLORS,
        stacked=True,
        axis="tasks",
    )


def throughput() -> timeseries.Panel:
    ends = f'parsl_task_transitions_total{{{SOURCE}, state=~"{FINAL}"}}'
    rate = promql.of_runs(f"rate({ends}[$__rate_interval])")
    return panels.lines(
        "Tasks finished a minute, by outcome",
        "How many tasks come to a final state in a minute, over all runs.",
        NO_RUNS,
        Query(f"60 * {promql.added(rate, 'state')}", "{{state}}"),
        colors=style.TASK_COLORS,
        stacked=True,
        axis="tasks a minute",
    )


def throughput_by_run() -> timeseries.Panel:
    ends = f'parsl_task_transitions_total{{{SOURCE}, state=~"{FINAL}"}}'
    rate = promql.with_workflow(promql.rate(ends, "source, run_id", per=60))
    return panels.lines(
        "Tasks finished a minute, by run",
        "The ten runs that finish most tasks.",
        NO_RUNS,
        Query(f"topk (10, {rate})", "{{workflow_name}} {{run_id}}"),
        axis="tasks a minute",
    )


def failures() -> timeseries.Panel:
    failed = f"parsl_task_failures_total{{{SOURCE}}}"
    tries = promql.with_workflow(promql.gained_from_none(failed, "source, run_id"))
    return panels.lines(
        "Failed tries by run",
        "Tries that failed, retried ones included. The reasons are on the run's task states.",
        NO_RUNS,
        Query(f"{tries} > 0", "{{workflow_name}} {{run_id}}"),
        bars=True,
        axis="tries",
    )


def workers() -> timeseries.Panel:
    return panels.lines(
        "Workers: busy and connected",
        "Workers of active managers, and how many of them run a try. The gap is paid for and idle.",
        "No manager is connected: only HTEX and MPI executors have managers",
        Query(_connected(), "connected"),
        Query(_busy(), "busy"),
        colors={"connected": style.GREY, "busy": style.BLUE},
        axis="workers",
    )


def blocks() -> timeseries.Panel:
    counted = promql.of_runs(f"parsl_blocks{{{SOURCE}}}")
    return panels.lines(
        "Blocks by state, all runs",
        "Blocks (batch jobs) by the state of their latest row. Parsl writes no row for a block whose "
        "submission raised.",
        "No run in this time range has blocks",
        Query(f"{promql.added(counted, 'state')} > 0", "{{state}}"),
        colors=style.BLOCK_COLORS,
        stacked=True,
        axis="blocks",
    )


def alerts() -> table.Panel:
    labels = "alertname, severity, source, run_id, executor, block_id, app, hostname, manager"
    return rows(
        "Firing alerts",
        "Alerts of Parsl's rules that fire at the end of the time range. docs/runbooks.md says of each what to "
        "check and what to do; Alertmanager's page has the link.",
        "No alert is firing",
        Column("Alert", label="alertname"),
        Column(
            "Severity",
            label="severity",
            width=90,
            words=style.SEVERITIES,
        ),
        Column("Run", label="run_id", links=[Link("Worker pools", _pools_of_row())]),
        Column("Executor", label="executor", width=110),
        Column("Block", label="block_id", width=70),
        Column("App", label="app"),
        Column("Host", label="hostname", width=120),
        Column("Manager", label="manager", width=120),
        Column("Source", label="source"),
        Column(
            "Firing",
            expr=f'count by ({labels}) (ALERTS{{alertstate="firing", alertname=~"Parsl.*"}})',
            width=70,
        ),
    )


def _pools_of_row() -> str:
    return shell.link("parsl-worker-pools", **_OF_ROW)


def sources() -> table.Panel:
    def worst(name: str) -> str:
        return f"min by (source) (parsl_exporter_{name}{{{SOURCE}}})"

    return rows(
        "Sources",
        "The condition of each monitoring database, in the exporter that is worse off if several read it. Behind: rows "
        "that are there and not read yet.",
        "No exporter is scraped",
        Column("Source", label="source", links=[Link("Exporter", shell.link("parsl-exporter"))]),
        Column("Reads", expr=worst("source_up"), words=style.UP, width=65),
        Column("Caught up", expr=worst("source_ready"), words=style.YES, width=85),
        Column(
            "Last read",
            expr=f"time() - {worst('source_last_success_timestamp_seconds')}",
            unit=style.SECONDS,
            width=80,
        ),
        Column("Behind", expr=f"sum by (source) (parsl_exporter_backlog_rows{{{SOURCE}}})", width=65),
    )
