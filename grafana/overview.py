"""Overview: which run needs somebody, what all of them wait for, and whether the monitoring itself works."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import alerting, panels, promql, shell, style
from grafana.promql import RUN_KEYS, SOURCE, WORKFLOW
from grafana.style import Link, Query
from grafana.table import Column, hidden, rows

UID = "parsl-overview"
NO_RUNS = "No run in this time range"
NO_RECORD = "No run in this time range, or config/rules is not loaded in Prometheus"

_OF_ROW = {"source": shell.ROW_SOURCE, "run": shell.ROW_RUN}
_ALERT_LIST = "/alerting/list?search=state:firing%20namespace:parsl"


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / Overview",
        "Which Parsl run needs somebody, and why; and the condition of the monitoring itself.",
        variables=[shell.source(), shell.workflow(), shell.visualize()],
        annotations=[],
        since="now-6h",
        refresh="30s",
        rows=[
            shell.Row(
                "",
                4,
                [
                    (5, alerts_firing()),
                    (4, runs_in_trouble()),
                    (7, tasks_waiting()),
                    (4, workers_busy()),
                    (4, sources_in_trouble()),
                ],
            ),
            shell.Row("", 8, [(24, trouble())]),
            shell.Row("", 11, [(24, runs())]),
            shell.Row("", 8, [(12, waiting_over_time()), (12, throughput())]),
            shell.Row(
                "Tasks, workers and blocks",
                9,
                [(8, tasks_by_state()), (8, workers()), (8, blocks())],
                folded=True,
            ),
            shell.Row("Every alert, and the sources", 8, [(24, alerts()), (24, sources())], folded=True),
        ],
    )


def _life_link(title: str, uid: str, time: str = shell.ROW_LIFE) -> Link:
    return Link(title, shell.link(uid, time=time, **_OF_ROW))


def alerts_firing() -> stat.Panel:
    return panels.number(
        "Alerts firing",
        "Alerts of Parsl's rules that fire, of the chosen sources and workflows. They lead to Grafana's list of "
        "alerts; below, every alert has a row.",
        "no rules",
        *(
            Query(f"count ({alerting.firing(severity)}) or vector(0)", severity)
            for severity in ("critical", "warning")
        ),
        steps_of={"critical": style.BAD_IF_ANY, "warning": style.WARN_IF_ANY},
        links=[Link("Alerts in Grafana", _ALERT_LIST)],
    )


def runs_in_trouble() -> stat.Panel:
    return panels.number(
        "In trouble",
        "Runs of which a critical or warning alert fires. The table below names them.",
        "no run",
        Query(f"count (group by ({RUN_KEYS}) ({alerting.of_runs()})) or vector(0)"),
        steps=style.WARN_IF_ANY,
    )


def tasks_waiting() -> bargauge.Panel:
    waiting = promql.added(promql.of_runs(f"parsl_tasks_waiting{{{SOURCE}}}"), "cause")
    return panels.ranking(
        "Tasks waiting, and for what",
        "Tasks of all live runs that were submitted and do not run yet, each under the one thing it waits for.",
        "No task waits",
        Query(f"topk (4, {waiting} > 0)", "{{cause}}"),
        "cause",
        colors=style.CAUSE_COLORS,
        names=style.CAUSES,
    )


def _busy() -> str:
    running = f"parsl_block_tasks_running{{{SOURCE}}}"
    # With several HTEX executors on a host, a manager's executor may be unknown: its block's number is not.
    unknown = promql.active(f'{SOURCE}, executor="unknown"')
    busy = (
        f"{running} and on ({RUN_KEYS}, executor, block_id) {promql.active(SOURCE)} "
        f"or {running} and on ({RUN_KEYS}, block_id) {unknown}"
    )
    return promql.added(promql.of_runs(f"({busy})"))


def _connected() -> str:
    return promql.added(promql.of_runs(promql.connected(SOURCE)))


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


def sources_in_trouble() -> stat.Panel:
    up = f"min by (source) (parsl_exporter_source_up{{{SOURCE}}})"
    ready = f"min by (source) (parsl_exporter_source_ready{{{SOURCE}}})"
    unread = f"sum by (source) (max by (source, table) (parsl_exporter_backlog_rows{{{SOURCE}}}))"
    return panels.number(
        "Sources",
        "Monitoring databases that could not be read at the last poll (down), or of which the first read or "
        f"{alerting.BEHIND:,} rows are still to come (behind).",
        "no exporter",
        Query(f"count ({up} == 0) or 0 * count ({up})", "down"),
        Query(
            f"count ({up} == 1 and ({ready} == 0 or {unread} > {alerting.BEHIND})) or 0 * count ({up})",
            "behind",
        ),
        steps_of={"down": style.BAD_IF_ANY, "behind": style.WARN_IF_ANY},
    )


def trouble() -> table.Panel:
    worst = (
        f"({alerting.worst_of_each_run(20)}) * on ({RUN_KEYS}) group_left (since) {promql.run_begun(SOURCE)}"
    )
    return rows(
        "Runs in trouble",
        "The worst alert of each run in trouble: critical before warning, then the longest first; twenty at most. A "
        "run leads to its task states since it began. docs/runbooks.md says of each alert what to do.",
        "No run is in trouble",
        Column("Severity", label="severity", words=style.SEVERITIES, width=85),
        Column(
            "Workflow",
            label="workflow_name",
            links=[
                _life_link("Task states", "parsl-task-states", shell.ROW_SINCE),
                _life_link("Worker pools", "parsl-worker-pools", shell.ROW_SINCE),
                _life_link("CPU and memory", "parsl-cpu-memory", shell.ROW_SINCE),
            ],
            width=150,
        ),
        Column("User", label="user", width=90),
        Column("What is wrong", label="alertname", words=style.TROUBLE_WORDS),
        Column("Where", label="where", width=180),
        Column("For", expr=f"({worst}) % {alerting.WEIGHT:.0f}", unit=style.DURATION, width=110),
        Column("Run", label="run", width=90),
        *hidden("run_id", "source", "since"),
        Column("order", expr=worst, hidden=True),
        ranked="order",
        said_in="What is wrong",
    )


def runs() -> table.Panel:
    def of(expr: str) -> str:
        return promql.of_runs_seen(f"({expr})")

    def count(outcome: str) -> str:
        return of(promql.run_outcome(SOURCE, outcome))

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
            least=135,
            filtered=True,
        ),
        Column("State", expr=of(promql.run_state(SOURCE)), words=style.RUN_STATES, width=75),
        Column("Trouble", label="alertname", words=style.TROUBLE_WORDS, least=185),
        Column("User", label="user", width=85, filtered=True),
        Column("Started", expr=of(f"1000 * {promql.run_time('start', SOURCE)}"), unit=style.DATE, width=155),
        Column("Runtime", expr=of(promql.run_duration(SOURCE)), unit=style.DURATION, width=90),
        Column("Done", expr=count("done"), width=65),
        Column("Failed", expr=count("failed"), width=65, steps=style.BAD_IF_ANY),
        Column(
            "Progress", expr=of(promql.run_progress(SOURCE)), unit=style.PERCENT, decimals=0, bar=1, width=105
        ),
        Column("Run", label="run", width=85),
        Column("Source", label="source"),
        *hidden("run_id", "since", "until"),
        keys=[
            promql.short_run(promql.run_info(WORKFLOW, "workflow_name", "user")),
            of(promql.run_window(SOURCE)),
            f"max by ({RUN_KEYS}, alertname) ({alerting.worst_of_each_run()})",
        ],
        sort="Started",
    )


def waiting_over_time() -> timeseries.Panel:
    return panels.lines(
        "Tasks waiting, by cause",
        "What the tasks that do not run yet waited for, over all runs.",
        NO_RECORD,
        Query(promql.workflows_ever(f"parsl:workflow:tasks_waiting{{{WORKFLOW}}}", "cause"), "{{cause}}"),
        colors=style.CAUSE_COLORS,
        names=style.CAUSES,
        unit=style.COUNT,
        stacked=True,
        axis="tasks",
    )


def throughput() -> timeseries.Panel:
    ends = f"parsl:workflow:tasks_finished:rate5m{{{WORKFLOW}}}"
    shown = promql.workflows_ever(ends, "state", always='state="exec_done"')
    return panels.lines(
        "Tasks finished a minute, by outcome",
        "How many tasks come to a final state in a minute, over all runs and five minutes.",
        NO_RECORD,
        Query(f"60 * ({shown})", "{{state}}"),
        colors=style.TASK_COLORS,
        stacked=True,
        axis="tasks a minute",
    )


def tasks_by_state() -> timeseries.Panel:
    return panels.lines(
        "Tasks by state, all runs",
        "Tasks of all published runs by their state now. A run's tasks leave 15 minutes after it ended.",
        NO_RECORD,
        Query(promql.workflows_ever(f"parsl:workflow:tasks{{{WORKFLOW}}}", "state"), "{{state}}"),
        colors=style.TASK_COLORS,
        unit=style.COUNT,
        stacked=True,
        axis="tasks",
    )


def workers() -> timeseries.Panel:
    return panels.lines(
        "Workers: busy and connected",
        "Workers of active managers, and how many of them run a try. The gap is paid for and idle.",
        NO_RECORD,
        Query(promql.added_workflows(f"parsl:workflow:workers{{{WORKFLOW}}}"), "connected"),
        Query(promql.added_workflows(f"parsl:workflow:workers_busy{{{WORKFLOW}}}"), "busy"),
        unit=style.COUNT,
        colors={"connected": style.GREY, "busy": style.BLUE},
        axis="workers",
    )


def blocks() -> timeseries.Panel:
    return panels.lines(
        "Blocks by state, all runs",
        "Blocks (batch jobs) by the state of their latest row. Parsl writes no row for a block whose "
        "submission raised.",
        NO_RECORD,
        Query(promql.workflows_ever(f"parsl:workflow:blocks{{{WORKFLOW}}}", "state"), "{{state}}"),
        colors=style.BLOCK_COLORS,
        unit=style.COUNT,
        stacked=True,
        axis="blocks",
    )


def alerts() -> table.Panel:
    return rows(
        "Firing alerts",
        "Every alert of Parsl's rules that fires, of the chosen sources and workflows. docs/runbooks.md says of each "
        "what to check and what to do; Alertmanager's page has the link.",
        "No alert is firing",
        Column("Severity", label="severity", width=85, words=style.SEVERITIES),
        Column("Alert", label="alertname", width=230, filtered=True),
        Column("Workflow", label="workflow_name", width=150),
        Column(
            "Where", label="where", links=[Link("Worker pools", shell.link("parsl-worker-pools", **_OF_ROW))]
        ),
        Column("For", expr=f"({alerting.ranked()}) % {alerting.WEIGHT:.0f}", unit=style.DURATION, width=110),
        Column("User", label="user", width=90),
        Column("Run", label="run", width=90),
        Column("Source", label="source", width=150),
        *hidden("run_id"),
        Column("order", expr=alerting.ranked(), hidden=True),
        ranked="order",
        said_in="Alert",
    )


def sources() -> table.Panel:
    def worst(name: str) -> str:
        return f"min by (source) (parsl_exporter_{name}{{{SOURCE}}})"

    return rows(
        "Condition of the sources",
        "The condition of each monitoring database, in the exporter that is worse off if several read it. Behind: rows "
        "that are there and not read yet.",
        "No exporter is scraped",
        Column("Source", label="source", links=[Link("Exporter", shell.link("parsl-exporter"))]),
        Column("Reads", expr=worst("source_up"), words=style.UP, width=75),
        Column("Caught up", expr=worst("source_ready"), words=style.YES, width=100),
        Column(
            "Last read",
            expr=f"time() - {worst('source_last_success_timestamp_seconds')}",
            unit=style.SPAN,
            width=100,
        ),
        Column("Behind", expr=f"sum by (source) (parsl_exporter_backlog_rows{{{SOURCE}}})", width=80),
    )
