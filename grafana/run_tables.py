"""Tables of one run's own page: the run itself, and other runs of its workflow."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table

from grafana import promql, shell, style
from grafana.promql import RUN, RUN_KEYS, SOURCE
from grafana.style import Link
from grafana.table import Column, hidden, rows

NO_RUN = "No such run in this time range"

_EARLIER = "30d"
"""How far back other runs of the workflow are looked for: they lie outside the time range of this one."""


def campaign(uid: str) -> table.Panel:
    """Runs of the workflow, each with a link to the dashboard `uid` about it."""
    mine = f'{SOURCE}, workflow_name=~"$campaign"'
    info = promql.run_info(mine, "user", span=_EARLIER)

    def of(expr: str) -> str:
        return f"({expr}) and on ({RUN_KEYS}) {info}"

    def time(event: str) -> str:
        return promql.run_time(event, SOURCE, span=_EARLIER)

    def count(outcome: str) -> str:
        return of(promql.run_outcome(SOURCE, outcome, span=_EARLIER))

    ended = f"({count('done')}) + ({count('failed')})"
    itself = shell.link(uid, run=shell.ROW_RUN, source=shell.ROW_SOURCE, time=shell.ROW_LIFE)
    return rows(
        "Runs of this workflow",
        "All runs with this one's workflow name in the last 30 days, newest first: a workflow that was started again "
        "has a new run. Took: to its end, or to its last news.",
        NO_RUN,
        Column("Run", label="run", width=100, links=[Link("Task states", itself)]),
        Column("User", label="user"),
        Column("Started", expr=f"1000 * ({of(time('start'))})", unit=style.DATE, width=160),
        Column("Ended", expr=f"1000 * ({of(time('end'))})", unit=style.DATE, width=160),
        Column(
            "Took",
            expr=of(f"({time('end')} or {time('last_row')}) - {time('start')}"),
            unit=style.DURATION,
            width=110,
        ),
        Column("Done", expr=count("done"), width=80),
        Column("Failed", expr=count("failed"), width=80, steps=style.BAD_IF_ANY),
        Column("Open", expr=count("open"), width=80),
        Column(
            "Success",
            expr=f"({count('done')}) / (({ended}) > 0)",
            unit=style.PERCENT,
            decimals=1,
            width=90,
            steps=((None, style.RED), (0.9, style.AMBER), (0.99, style.NEUTRAL)),
        ),
        *hidden("run_id", "source", "since", "until"),
        keys=[promql.short_run(info), of(promql.run_window(SOURCE, span=_EARLIER))],
        sort="Started",
    )


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
            width=140,
        ),
        Column("Version", label="workflow_version", width=80),
        Column("User", label="user", width=80),
        Column("Run", label="run_id", width=290),
        Column("Started", expr=f"1000 * {promql.run_time('start', RUN)}", unit=style.DATE, width=160),
        Column("Ended", expr=f"1000 * {promql.run_time('end', RUN)}", unit=style.DATE, width=160),
        Column("Host", label="host", width=140),
        Column("Run directory", label="rundir"),
        keys=[promql.run_info(RUN, "workflow_name", "workflow_version", "user", "host", "rundir")],
    )
