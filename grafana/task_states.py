"""Task states of one run: how far it is, what its tasks wait for, what fails."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, shell, style
from grafana.promql import DONE, FAILED, FINAL, RUN, TASK
from grafana.style import Query
from grafana.table import Column, Link, rows

UID = "parsl-task-states"
NO_RUN = "No such run in this time range"
NO_TASKS = "No task of these apps in this time range"
NOT_YET = "No task of these apps has ended this state yet"

_LIVE = {state: color for state, color in style.TASK_COLORS.items() if state not in FINAL.split("|")}
_FAILURES = f"parsl_task_failures_total{{{TASK}}}"
_WHOLE = f"parsl_task_duration_seconds_bucket{{{TASK}}}"


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / Task states",
        "The tasks of one run: their states, how long they stay in each, and which apps fail.",
        variables=shell.for_tasks(),
        annotations=shell.run_events(RUN),
        since="now-3h",
        refresh="30s",
        rows=[
            shell.Row("Run", 4, [(24, run())]),
            shell.Row(
                "Now",
                4,
                [
                    (4, state()),
                    (4, runtime()),
                    (4, done()),
                    (4, failed()),
                    (4, live()),
                    (4, progress()),
                ],
            ),
            shell.Row("States", 10, [(10, all_states()), (8, live_states()), (6, states_now())]),
            shell.Row("Apps", 10, [(24, apps())]),
            shell.Row("Change", 9, [(12, transitions()), (12, running_by_app())]),
            shell.Row("Failures and retries", 9, [(8, reasons()), (8, failures()), (8, retries())]),
            shell.Row(
                "Time in a state",
                8,
                [
                    *((8, time_heat(name)) for name in ("pending", "launched", "running")),
                    *((8, time_quantiles(name)) for name in ("pending", "launched", "running")),
                    (8, task_heat()),
                    (8, task_quantiles()),
                    (8, time_quantiles("joining")),
                ],
            ),
            shell.Row("Waiting", 9, [(12, longest_waiting()), (12, waiting_over_time())]),
        ],
    )


def _tasks(states: str = "", negate: bool = False) -> str:
    chosen = f', state{"!~" if negate else "=~"}"{states}"' if states else ""
    return f"parsl_tasks{{{TASK}{chosen}}}"


def run() -> table.Panel:
    return rows(
        "Run",
        "Who runs what, where, since when. Ended stays empty while the run lives, and for ever when its "
        "submitting process was killed.",
        NO_RUN,
        Column(
            "Workflow",
            label="workflow_name",
            links=[Link("parsl-visualize", "${visualize:raw}/workflow/${run}/", new_tab=True)],
        ),
        Column("Version", label="workflow_version", width=90),
        Column("User", label="user", width=90),
        Column("Host", label="host", width=120),
        Column("Started", expr=f"1000 * {promql.run_time('start', RUN)}", unit=style.DATE, width=150),
        Column("Ended", expr=f"1000 * {promql.run_time('end', RUN)}", unit=style.DATE, width=150),
        Column("Run directory", label="rundir"),
        Column("Run", label="run_id", width=260),
        Column("Source", label="source"),
        keys=[promql.run_info(RUN, "workflow_name", "workflow_version", "user", "host", "rundir")],
    )


def state() -> stat.Panel:
    return panels.number(
        "State",
        "Ended: Parsl recorded an end. Silent: no end, and it writes no more what it should, as in the alerts "
        "(without their rules: nothing for 15 minutes).",
        "no run",
        Query(promql.run_state(RUN)),
        words=style.RUN_STATES,
    )


def runtime() -> stat.Panel:
    return panels.number(
        "Runtime",
        "From the run's start to its end, to now, or to its last sign of life.",
        "no run",
        Query(promql.run_duration(RUN)),
        unit=style.DURATION,
    )


def done() -> stat.Panel:
    return panels.number(
        "Done",
        "Tasks that ended well: executed (exec_done) or taken from the memo table (memo_done).",
        "no task",
        Query(promql.total(_tasks(DONE))),
        steps=((None, style.GREEN),),
    )


def failed() -> stat.Panel:
    return panels.number(
        "Failed",
        "Tasks that ended in failed, or in dep_fail because one they depend on failed.",
        "no task",
        Query(promql.total(_tasks(FAILED))),
        steps=((None, style.NEUTRAL), (1, style.RED)),
    )


def live() -> stat.Panel:
    return panels.number(
        "In progress",
        "Tasks that have not come to a final state: pending, launched, running, joining or about to be "
        "retried.",
        "no task",
        Query(promql.total(_tasks(FINAL, negate=True))),
        steps=((None, style.BLUE),),
    )


def progress() -> stat.Panel:
    return panels.number(
        "Progress",
        "Tasks in a final state, as part of the tasks that Parsl knows. A workflow that goes on submitting "
        "goes back.",
        "no task",
        Query(promql.ratio(_tasks(FINAL), _tasks())),
        unit=style.PERCENT,
        decimals=1,
    )


def all_states() -> timeseries.Panel:
    return panels.lines(
        "Tasks by state",
        "All tasks of the run, by the state they are in.",
        NO_TASKS,
        Query(f"{promql.added(_tasks(), 'state')} > 0", "{{state}}"),
        colors=style.TASK_COLORS,
        stacked=True,
        axis="tasks",
    )


def live_states() -> timeseries.Panel:
    return panels.lines(
        "Tasks in progress",
        "The same without the tasks that are through. Pending: waits for others. Launched: given to an "
        "executor, waits for a worker.",
        "No task is in progress",
        Query(f"{promql.added(_tasks(FINAL, negate=True), 'state')} > 0", "{{state}}"),
        colors=_LIVE,
        stacked=True,
        axis="tasks",
    )


def states_now() -> bargauge.Panel:
    return panels.ranking(
        "Tasks by state, at the end",
        "How many tasks are in each state at the end of the time range, or were when the run ended.",
        NO_TASKS,
        Query(promql.total(_tasks(), "state"), "{{state}}"),
        colors=style.TASK_COLORS,
    )


def apps() -> table.Panel:
    runs = f'parsl_task_state_duration_seconds_bucket{{{TASK}, state="running"}}'
    return rows(
        "Apps",
        "Each app's tasks by state, the part that failed, its retries, and how long its tries ran (median "
        "and 95th percentile over the whole run; interpolated between the buckets of a histogram). Tasks stay "
        "in fail_retryable for no time: retries are counted instead.",
        NO_TASKS,
        Column(
            "App",
            label="app",
            links=[
                Link("Only this app", shell.app_link(UID)),
                Link("CPU and memory", shell.app_link("parsl-cpu-memory")),
                Link("parsl-visualize", shell.APP_PAGE, new_tab=True),
            ],
        ),
        Column("Tasks", expr=promql.total(_tasks(), "app"), width=70),
        *(
            Column(
                name,
                expr=promql.total(_tasks(name), "app"),
                width=max(70, 20 + 7 * len(name)),
                steps=((None, style.NEUTRAL), (1, color)),
            )
            for name, color in style.TASK_COLORS.items()
            if name != "fail_retryable"
        ),
        Column(
            "Failed part",
            expr=promql.ratio(_tasks(FAILED), _tasks(FINAL), "app"),
            unit=style.PERCENT,
            decimals=1,
            width=90,
            steps=((None, style.NEUTRAL), (0.01, style.AMBER), (0.1, style.RED)),
        ),
        Column("Retries", expr=promql.total(_transitions("fail_retryable"), "app"), width=75),
        Column("Run p50", expr=promql.quantile_so_far(0.5, runs, "app"), unit=style.SECONDS, width=85),
        Column("Run p95", expr=promql.quantile_so_far(0.95, runs, "app"), unit=style.SECONDS, width=85),
        sort="Tasks",
    )


def _transitions(states: str = "") -> str:
    chosen = f', state=~"{states}"' if states else ""
    return f"parsl_task_transitions_total{{{TASK}{chosen}}}"


def transitions() -> timeseries.Panel:
    return panels.lines(
        "Changes of state a minute",
        "How often tasks enter each state. In balance, launched, running and exec_done go together.",
        NO_TASKS,
        Query(promql.rate(_transitions(), "state", per=60), "{{state}}"),
        colors=style.TASK_COLORS,
        axis="a minute",
    )


def running_by_app() -> timeseries.Panel:
    return panels.lines(
        "Running tasks by app",
        "Which apps hold the workers.",
        "No task is running",
        Query(f"{promql.added(_tasks('running'), 'app')} > 0", "{{app}}"),
        stacked=True,
        axis="tasks",
    )


def reasons() -> bargauge.Panel:
    tries = promql.total(_FAILURES, "reason")
    return panels.ranking(
        "Failed tries by reason",
        "All failed tries of the run, retried ones included, by exception class. dep_fail counts as "
        "DependencyError.",
        "No try has failed",
        Query(f"sort_desc(({tries}) > 0)", "{{reason}}"),
        steps=((None, style.RED),),
    )


def failures() -> timeseries.Panel:
    return panels.lines(
        "Failed tries over time",
        "When tries failed, by app and reason.",
        "No try failed in this time range",
        Query(f"{promql.gained_from_none(_FAILURES, 'app, reason')} > 0", "{{app}}: {{reason}}"),
        bars=True,
        axis="tries",
    )


def retries() -> timeseries.Panel:
    return panels.lines(
        "Retries over time",
        "Tries that failed and were tried again, by app.",
        "No try was retried in this time range",
        Query(f"{promql.gained(_transitions('fail_retryable'), 'app')} > 0", "{{app}}"),
        bars=True,
        axis="retries",
    )


_WAITS = {
    "pending": "until it was launched: waiting for the tasks it depends on",
    "launched": "until it ran: waiting in its executor for a worker",
    "running": "from its start on a worker to its end",
    "joining": "until the tasks it joins had ended",
}


def _time_in(state: str) -> str:
    return f'parsl_task_state_duration_seconds_bucket{{{TASK}, state="{state}"}}'


def _quantile_lines(title: str, description: str, buckets: str) -> timeseries.Panel:
    shown = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    return panels.lines(
        title,
        description,
        NOT_YET,
        *(Query(promql.quantile(q, buckets), name) for name, q in shown),
        unit=style.SECONDS,
        colors={"p50": style.BLUE, "p95": style.AMBER, "p99": style.RED},
        exemplars=True,
    )


def time_heat(state: str) -> heatmap.Panel:
    return panels.heat(
        f"Time {state}",
        f"How long tries were {state}, {_WAITS[state]}. Dots are single tries: hover for a link to the task.",
        NOT_YET,
        Query(promql.gained(_time_in(state), "le"), "{{le}}"),
        unit=style.SECONDS,
    )


def time_quantiles(state: str) -> timeseries.Panel:
    return _quantile_lines(
        f"Time {state}, quantiles",
        f"Median, 95th and 99th percentile of how long a try was {state}, {_WAITS[state]}.",
        _time_in(state),
    )


def task_heat() -> heatmap.Panel:
    return panels.heat(
        "Time from first pending to end",
        "How long tasks took in all, waiting and retries included. Dots are single tasks: hover for a link.",
        "No task of these apps has ended yet",
        Query(promql.gained(_WHOLE, "le"), "{{le}}"),
        unit=style.SECONDS,
    )


def task_quantiles() -> timeseries.Panel:
    return _quantile_lines(
        "Time from first pending to end, quantiles",
        "Median, 95th and 99th percentile of how long a task took in all, waiting and retries included.",
        _WHOLE,
    )


def _oldest(by: str) -> str:
    return f"time() - min by ({by}) (parsl_task_oldest_timestamp_seconds{{{TASK}}})"


def longest_waiting() -> table.Panel:
    return rows(
        "Longest in a state",
        "For each app and state, how long ago its longest-waiting task entered that state.",
        "No task is in progress",
        Column("App", label="app"),
        Column("Executor", label="executor", width=140),
        Column("State", label="state", width=110),
        Column("For", expr=_oldest("app, executor, state"), unit=style.DURATION, width=140),
        sort="For",
    )


def waiting_over_time() -> timeseries.Panel:
    return panels.lines(
        "Longest in a state, over time",
        "How long the longest-waiting task of each state has been in it. A straight climb is a task that "
        "does not move.",
        "No task is in progress",
        Query(_oldest("state"), "{{state}}"),
        unit=style.SECONDS,
        colors=style.TASK_COLORS,
    )
