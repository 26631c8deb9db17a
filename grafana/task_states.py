"""Task states of one run: what it is doing, what holds it up, what fails."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as dm

from grafana import panels, promql, run_tables, shell, style, task_times, verdict
from grafana.promql import APP_KEYS, DONE, FAILED, FINAL, POOL, RUN, TASK
from grafana.style import Link, Query
from grafana.table import Column, rows

UID = "parsl-task-states"
NO_TASKS = "No task of these apps in this time range"

_LIVE = {state: color for state, color in style.TASK_COLORS.items() if state not in FINAL.split("|")}
_FAILURES = f"parsl_task_failures_total{{{TASK}}}"
_PACE = 900
"""Seconds over which the pace of a run is taken."""


def build() -> dm.Dashboard:
    """Make the dashboard."""
    return shell.board(
        UID,
        "Parsl / Task states",
        "One run: what it is doing, what holds it up, which apps fail, and how earlier runs of the workflow did.",
        variables=[*shell.for_tasks(), shell.campaign()],
        annotations=shell.run_events(),
        since="now-3h",
        refresh="30s",
        rows=[
            shell.Row("", 6, [(24, what_it_does())]),
            shell.Row(
                "", 4, [(4, runtime()), (4, progress()), (4, time_left()), (4, success()), (8, tasks())]
            ),
            shell.Row("", 9, [(14, waiting()), (10, longest_waiting())]),
            shell.Row("", 9, [(12, all_states()), (12, throughput())]),
            shell.Row("", 9, [(24, apps())]),
            shell.Row("Failures", 9, [(8, reasons()), (16, failures())], folded=True),
            shell.Row("Runs of this workflow", 9, [(24, run_tables.campaign(UID))], folded=True),
            shell.Row(
                "States in detail",
                9,
                [
                    (8, live_states()),
                    (8, states_now()),
                    (8, running_by_app()),
                    (12, transitions()),
                    (12, waiting_over_time()),
                ],
                folded=True,
            ),
            shell.Row(
                "Time in a state",
                8,
                [
                    *((8, task_times.time_heat(name)) for name in ("pending", "launched", "running")),
                    *((8, task_times.slowest(name)) for name in ("pending", "launched", "running")),
                    (12, task_times.task_heat()),
                    (12, task_times.slowest_tasks()),
                ],
                folded=True,
            ),
            shell.Row("About the run", 4, [(24, run_tables.run())], folded=True),
        ],
    )


def _tasks(states: str = "", negate: bool = False) -> str:
    chosen = f', state{"!~" if negate else "=~"}"{states}"' if states else ""
    return f"parsl_tasks{{{TASK}{chosen}}}"


def _transitions(states: str = "") -> str:
    chosen = f', state=~"{states}"' if states else ""
    return f"parsl_task_transitions_total{{{TASK}{chosen}}}"


def what_it_does() -> stat.Panel:
    return panels.sentences(
        "What it does, and what holds it up",
        "The run's condition, what its tasks wait for and since when, the blocks and workers there are for them, "
        "alerts that fire, and why most tries failed. Of all apps, and of the chosen executors. What is unusual has a "
        "colour.",
        run_tables.NO_RUN,
        verdict.condition(),
        verdict.waits(),
        verdict.alerts(),
        verdict.failures(),
        steps=verdict.STEPS,
    )


def runtime() -> stat.Panel:
    return panels.number(
        "Runtime",
        "From the run's start to its end, to now, or to its last sign of life.",
        "no run",
        Query(promql.run_duration(RUN)),
        unit=style.DURATION,
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


def time_left() -> stat.Panel:
    age = f"clamp_max(time() - max ({promql.run_time('start', RUN)}), {_PACE})"
    opened = _tasks(FINAL, negate=True)
    ends = promql.added(f"rate({_transitions(FINAL)}[15m])")
    pace = f"{_PACE} * {ends} / {age}"
    return panels.number(
        "Time left",
        "Open tasks at the pace of the last 15 minutes, for the tasks that Parsl knows. Empty while no task ends.",
        "no task ends",
        Query(f"{promql.added(opened)} / ({pace} > 0) or sum ({promql.total(opened)}) == 0"),
        unit=style.DURATION,
    )


def success() -> stat.Panel:
    return panels.number(
        "Success rate",
        "Tasks that ended well, as part of all that came to a final state.",
        "none ended",
        Query(promql.ratio(_tasks(DONE), _tasks(FINAL))),
        unit=style.PERCENT,
        decimals=1,
        steps=((None, style.NEUTRAL), (0, style.RED), (0.9, style.AMBER), (0.99, style.NEUTRAL)),
    )


def tasks() -> stat.Panel:
    return panels.number(
        "Tasks",
        "Done: executed (exec_done) or taken from the memo table (memo_done). Failed: in failed, or in dep_fail, for "
        "one they depend on failed. Open: not in a final state, waiting and running ones alike.",
        "no task",
        Query(promql.total(_tasks(DONE)), "done"),
        Query(promql.total(_tasks(FAILED)), "failed"),
        Query(promql.total(_tasks(FINAL, negate=True)), "open"),
        steps_of={"failed": style.BAD_IF_ANY},
    )


def waiting() -> timeseries.Panel:
    return panels.lines(
        "Tasks waiting, by cause",
        "What the tasks that do not run yet waited for: of the chosen executors, of all apps.",
        "No task of these executors has waited in this time range",
        Query(promql.ever(f"parsl_tasks_waiting{{{POOL}}}", "cause"), "{{cause}}"),
        colors=style.CAUSE_COLORS,
        names=style.CAUSES,
        unit=style.COUNT,
        stacked=True,
        axis="tasks",
    )


def _oldest(by: str) -> str:
    return f"time() - min by ({by}) (parsl_task_oldest_timestamp_seconds{{{TASK}}})"


def longest_waiting() -> table.Panel:
    return rows(
        "Longest in a state",
        "For each app and state, how long ago its longest-waiting task entered that state.",
        "No task is in progress",
        Column("App", label="app"),
        Column("State", label="state", width=90),
        Column("For", expr=_oldest(f"{APP_KEYS}, state"), unit=style.DURATION, width=100),
        Column("Executor", label="executor", width=100),
        sort="For",
    )


def all_states() -> timeseries.Panel:
    return panels.lines(
        "Tasks by state",
        "All tasks of the run, by the state they are in.",
        NO_TASKS,
        Query(promql.ever(_tasks(), "state"), "{{state}}"),
        colors=style.TASK_COLORS,
        unit=style.COUNT,
        stacked=True,
        axis="tasks",
    )


def throughput() -> timeseries.Panel:
    return panels.lines(
        "Tasks finished a minute, by outcome",
        "How many tasks come to a final state in a minute.",
        NO_TASKS,
        Query(
            promql.top_rate(5, _transitions(FINAL), "state", per=60, always='state="exec_done"'), "{{state}}"
        ),
        colors=style.TASK_COLORS,
        stacked=True,
        axis="tasks a minute",
    )


def _span(quantile: str) -> str:
    series = f'parsl_task_state_summary_seconds{{{TASK}, state="running", quantile=~"{quantile}"}}'
    return promql.greatest(series, APP_KEYS)


def apps() -> table.Panel:
    def tasks(states: str) -> str:
        return promql.total(_tasks(states), APP_KEYS)

    return rows(
        "Apps",
        "Each app's tasks on each executor, the part of the ended that failed, its retries, and how long its tries "
        "ran: median, 95th percentile and longest of the whole run, within 1 %. Waiting: pending and launched.",
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
        Column("Tasks", expr=tasks(".*"), width=75),
        Column("Waiting", expr=tasks("pending|launched"), width=75),
        Column("Running", expr=tasks("running|running_ended|joining"), width=75),
        Column("Done", expr=tasks(DONE), width=75),
        Column("Failed", expr=tasks(FAILED), width=70, steps=style.BAD_IF_ANY),
        Column(
            "Failed part",
            expr=promql.ratio(_tasks(FAILED), _tasks(FINAL), APP_KEYS),
            unit=style.PERCENT,
            decimals=1,
            width=100,
            steps=((None, style.NEUTRAL), (0.01, style.AMBER), (0.1, style.RED)),
        ),
        Column("Retries", expr=promql.total(_transitions("fail_retryable"), APP_KEYS), width=75),
        *(
            Column(name, expr=_span(quantile), unit=style.SPAN, width=95)
            for name, quantile in (("Run p50", "0.5"), ("Run p95", "0.95"), ("Run max", promql.LONGEST))
        ),
        Column("Executor", label="executor", width=100),
        keys=[promql.total(_tasks(), APP_KEYS)],
        sort="Tasks",
    )


def reasons() -> table.Panel:
    return rows(
        "Failed tries by reason",
        "All failed tries of the run, retried ones included, by exception class. dep_fail counts as DependencyError.",
        "No try has failed",
        Column("Reason", label="reason"),
        Column("Tries", expr=f"({promql.total(_FAILURES, 'reason')}) > 0", width=90),
        sort="Tries",
    )


def failures() -> timeseries.Panel:
    tries = promql.gained_from_none(_FAILURES, "app, reason")
    most = f"topk (10, {promql.added(f'max_over_time({_FAILURES}[$__range] @ end())', 'app, reason')})"
    return panels.lines(
        "Failed tries over time",
        "When tries failed, by app and reason: the ten most frequent.",
        "No try failed in this time range",
        Query(f"({tries}) and on (app, reason) {most}", "{{app}}: {{reason}}"),
        bars=True,
        axis="tries",
        calcs=("sum",),
    )


def live_states() -> timeseries.Panel:
    return panels.lines(
        "Tasks in progress",
        "Tasks by state, without those that are through. Pending: waits for others. Launched: given to an "
        "executor, waits for a worker.",
        "No task is in progress",
        Query(promql.ever(_tasks(FINAL, negate=True), "state"), "{{state}}"),
        colors=_LIVE,
        unit=style.COUNT,
        stacked=True,
        axis="tasks",
    )


def states_now() -> bargauge.Panel:
    return panels.ranking(
        "Tasks by state, at the end",
        "How many tasks are in each state at the end of the time range, or were when the run ended.",
        NO_TASKS,
        Query(promql.total(_tasks(), "state"), "{{state}}"),
        "state",
        colors=style.TASK_COLORS,
    )


def running_by_app() -> timeseries.Panel:
    return panels.lines(
        "Running tasks by app",
        "Which apps hold the workers: the ten that held most.",
        "No task is running",
        Query(promql.top_ever(10, _tasks("running"), "app"), "{{app}}"),
        unit=style.COUNT,
        stacked=True,
        axis="tasks",
    )


def transitions() -> timeseries.Panel:
    return panels.lines(
        "Changes of state a minute",
        "How often tasks enter each state. In balance, launched, running and exec_done go together.",
        NO_TASKS,
        Query(promql.top_rate(10, _transitions(), "state", per=60, always='state="exec_done"'), "{{state}}"),
        colors=style.TASK_COLORS,
        axis="a minute",
    )


def waiting_over_time() -> timeseries.Panel:
    return panels.lines(
        "Longest in a state, over time",
        "How long the longest-waiting task of each state has been in it. A straight climb is a task that "
        "does not move.",
        "No task is in progress",
        Query(_oldest("state"), "{{state}}"),
        unit=style.DURATION,
        colors=_LIVE,
    )
