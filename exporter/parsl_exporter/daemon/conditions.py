"""What the web side shows of sources and runs, and a service manager of all sources: texts for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from parsl_exporter.model.report import RunReport, SourceReport
from parsl_exporter.model.timestamps import MICROSECONDS
from parsl_exporter.model.verdict import Verdict, ranked, verdict
from parsl_exporter.model.wording import age, counted, facts, moment, number, tasks_by_app
from parsl_exporter.source.health import Outcome
from parsl_exporter.web.landing import Condition, Run, RunDetails

_RUNS_OF_A_SOURCE, _RUNS = 20, 300
"""Runs on the landing page at most: of one source, and of all."""

_STATES = ("up", "reading", "down")
"""Of a source, the worst last."""


def conditions_of(reports: Sequence[SourceReport]) -> list[Condition]:
    """Give each source's condition: first its runs that live, the worst first, then the silent, then the ended."""
    left = _RUNS
    conditions = []
    for report in reports:
        room = min(left, _RUNS_OF_A_SOURCE)
        found = ranked(report.runs, report.as_of) if room else []
        runs = sorted(found, key=lambda one: one[0].end_us is not None)[:room]
        left -= len(runs)
        others = report.others + len(report.runs) - len(runs)
        conditions.append(
            Condition(
                name=report.name,
                state=report.state,
                message=report.message.removeprefix(f"{report.name}: "),
                rows=f"{report.rows:,}",
                as_of=_as_of(report),
                runs=[_run(run, judged, report.as_of, whole=False) for run, judged in runs],
                others=f"and {number(others, 'more run')}" if others else "",
            )
        )
    return conditions


def summary_of(sources: Sequence[tuple[str, Outcome]]) -> str:
    """Give in one line how many sources there are by state, and of one that is not up what is wrong with it."""
    if not sources:
        return "looking for databases"
    numbers = Counter(outcome.state for _, outcome in sources)
    text = ", ".join(f"{numbers[state]} {state}" for state in _STATES if numbers[state])
    name, worst = max(sources, key=lambda one: _STATES.index(one[1].state))
    about = "" if worst.state == "up" else f"; {name}: {worst.message.removeprefix(f'{name}: ')}"
    return f"{number(len(sources), 'source')}: {text}{about}"


def details_of(report: SourceReport, run_id: str) -> RunDetails | None:
    """Give all that there is to show of a run of a source; None when it has none of that id."""
    run = next((run for run in report.runs if run.run_id == run_id), None)
    if run is None:
        return None
    states, apps = tasks_by_app(run)
    return RunDetails(
        source=report.name,
        run=_run(run, verdict(run, report.as_of), report.as_of, whole=True),
        as_of=_as_of(report),
        states=states,
        apps=[(app, [f"{count:,}" if count else "." for count in counts]) for app, counts in apps.items()],
    )


def _run(run: RunReport, judged: Verdict, now: float, *, whole: bool) -> Run:
    tasks = ("tasks", [counted(run.tasks_by_state())] if run.tasks else [])
    own = [(subject, texts) for subject, texts in facts(run) if whole or subject not in _ON_ITS_PAGE]
    return Run(
        run_id=run.run_id,
        name=run.names["workflow_name"],
        age=age(run, now, live=judged.live),
        severity=judged.severity,
        verdict=judged.text,
        facts=own if whole else [tasks, *own],
    )


_ON_ITS_PAGE = frozenset({"run", "time", "waiting"})


def _as_of(report: SourceReport) -> str:
    return moment(round(report.as_of * MICROSECONDS))
