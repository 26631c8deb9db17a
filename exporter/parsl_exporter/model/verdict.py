"""The verdict on a run: what it does and what holds it up, in one sentence, and how much that hurts.

The seconds from which on something hurts are those of the alerts (`config/rules/thresholds.yml`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Literal, NamedTuple, TypeAlias

from parsl_exporter.model.blocks import TERMINAL
from parsl_exporter.model.report import RunReport
from parsl_exporter.model.states import FINAL
from parsl_exporter.model.timestamps import MICROSECONDS
from parsl_exporter.model.waiting import TIMELESS, WaitingTasks
from parsl_exporter.model.wording import counted, lasting, number, often

Severity: TypeAlias = Literal["ok", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("ok", "warning", "critical")

SILENT = 600
"""Seconds without a row of a run whose tasks are sampled, after which it has probably crashed."""
QUIET = 43_200
"""Seconds without a row of any other run that has not ended: it may only wait, or its tasks be long."""
FAILING, FAILING_RATIO = 5, 0.2
"""So many tasks of an app failed, and that part of all that are over."""
_REASONS = 3
_DONE = ("exec_done", "memo_done")
_FAILED = ("failed", "dep_fail")
_RUNNING = ("running", "running_ended", "joining")


class Verdict(NamedTuple):
    """`text` is one sentence without an end mark; names in it come from the database and may be any text.

    `live`: the run has neither ended nor gone silent.
    """

    severity: Severity
    text: str
    live: bool


class _Cause(NamedTuple):
    """For what tasks wait, in words; when they have for `after` seconds, that is `severity`."""

    words: str
    after: float
    severity: Severity


_NEVER = float("inf")
_CAUSES = {
    "no_block": _Cause("for a block", 600, "critical"),
    "batch_queue": _Cause("for the batch queue", 3_600, "warning"),
    "worker_start": _Cause("for workers to start", 600, "warning"),
    "idle_workers": _Cause("beside free workers", 1_800, "warning"),
    "unknown": _Cause("for what the database does not tell", 3_600, "warning"),
    "busy_workers": _Cause("for a free worker", _NEVER, "ok"),
    "untold": _Cause("or run, which this run does not tell", _NEVER, "ok"),
    "dependencies": _Cause("for other tasks", _NEVER, "ok"),
}
"""The causes of waiting, the worst first."""
_WITHOUT_WORKERS = frozenset({"no_block", "batch_queue", "worker_start"})
"""Those of which blocks say more."""
_A_MOMENT = 60
"""Seconds of waiting that are not worth a word."""


def verdict(report: RunReport, now: float) -> Verdict:
    """Give the verdict on a run at `now`, UTC epoch seconds: when its database was last read."""
    if report.end_us is not None:
        return _finished(report)
    silent = now - report.heard_us / MICROSECONDS
    if report.heard_us and silent > (SILENT if report.sampled else QUIET):
        return _silent(report, silent)
    return _live(report, now)


def ranked(runs: Iterable[RunReport], now: float) -> list[tuple[RunReport, Verdict]]:
    """Give runs with their verdicts: those that live, the worst first, then the others; of equals the newest first."""

    def place(one: tuple[RunReport, Verdict]) -> tuple[int, int, str]:
        run, judged = one
        worst = -SEVERITIES.index(judged.severity) if judged.live else 1
        return worst, -run.first_us, run.run_id

    return sorted(((run, verdict(run, now)) for run in runs), key=place)


def _finished(report: RunReport) -> Verdict:
    states = report.tasks_by_state()
    unfinished = sum(states.values()) - _of(states, FINAL)
    parts = [f"{number(_of(states, _DONE), 'task')} done", *_failures(report, states)]
    if unfinished:
        parts.append(f"{unfinished:,} not finished")
    bad = unfinished or _of(states, _FAILED)
    return Verdict("warning" if bad else "ok", f"finished: {', '.join(parts)}", live=False)


def _silent(report: RunReport, seconds: float) -> Verdict:
    alive = _unfinished(report.tasks_by_state())
    since = datetime.fromtimestamp(report.heard_us // MICROSECONDS, timezone.utc)
    left = f"{counted(alive)} left" if alive else "no task left"
    return Verdict(
        "critical" if alive else "warning",
        f"silent since {since:%Y-%m-%d %H:%M} UTC, for {lasting(seconds)}: crashed? {left}",
        live=False,
    )


def _live(report: RunReport, now: float) -> Verdict:
    states = report.tasks_by_state()
    if not states:
        return Verdict("ok", "no task yet", live=True)
    waits = [_wait(report, cause, now) for cause in _CAUSES if _waiting_for(report, cause)]
    parts = [text for _, text in waits]
    if _of(states, _RUNNING):
        parts.insert(0, f"running: {_busy(report, states)}")
    elif not waits:
        alive = _unfinished(states)
        parts.append(
            f"waiting: {counted(alive)}" if alive else f"idle: {number(_of(states, _DONE), 'task')} done"
        )
    parts += _failures(report, states)
    text = ", ".join(parts)
    if any(_waiting_for(report, cause) for cause in _WITHOUT_WORKERS):
        text += f"; {_blocks(report)}, {_workers(report)}"
    severities: list[Severity] = [severity for severity, _ in waits]
    if _fails(report):
        severities.append("warning")
    return Verdict(max(severities, key=SEVERITIES.index, default="ok"), text, live=True)


def _waiting_for(report: RunReport, cause: str) -> dict[str, WaitingTasks]:
    """The tasks that wait for a cause, by executor."""
    return {executor: tasks for (executor, own), tasks in report.waiting.items() if own == cause}


def _wait(report: RunReport, cause: str, now: float) -> tuple[Severity, str]:
    waiting = _waiting_for(report, cause)
    count = sum(tasks.count for tasks in waiting.values())
    since = [
        max(tasks.oldest_us, report.held_us.get((executor, cause), 0))
        for executor, tasks in waiting.items()
        if tasks.oldest_us is not None
    ]
    seconds = now - min(since) / MICROSECONDS if since else 0.0
    words, after, severity = _CAUSES[cause]
    long = seconds >= _A_MOMENT and cause not in TIMELESS
    waits = (
        f"{'has' if count == 1 else 'have'} waited {lasting(seconds)}"
        if long
        else f"wait{'s' * (count == 1)}"
    )
    if cause == "idle_workers" and not long:  # as short tasks always look for a moment
        waits, words = "about", "to start"
    whose = f" ({next(iter(waiting))})" if len(waiting) == 1 and len(_executors(report)) > 1 else ""
    return severity if seconds >= after else "ok", f"{number(count, 'task')} {waits} {words}{whose}"


def _executors(report: RunReport) -> set[str]:
    return {executor for _, executor in report.tasks}


def _busy(report: RunReport, states: Mapping[str, int]) -> str:
    """What runs where."""
    parts = []
    slots, busy = (sum(getattr(w, name) for w in report.workers.values()) for name in ("slots", "busy"))
    if slots:
        parts.append(f"{busy:,} of {number(slots, 'worker')} busy")
    elif busy:
        parts.append(f"{number(busy, 'task')} whose workers are gone")
    elsewhere: Counter[str] = Counter()
    for (_, executor), of_pair in report.tasks.items():
        if executor not in report.workers:
            elsewhere[executor] += of_pair.get("running", 0)
    parts += [f"{number(count, 'task')} on {executor}" for executor, count in elsewhere.items() if count]
    parts += [f"{states[state]:,} {state}" for state in _RUNNING[1:] if state in states]
    return ", ".join(parts)


def _failures(report: RunReport, states: Mapping[str, int]) -> list[str]:
    """What has failed and why; the reasons are those of tries, of which a task may have had several."""
    failed, tries = _of(states, _FAILED), sum(report.failures.values())
    if not failed and not tries:
        return []
    reasons = [f"{reason} {count:,}" for reason, count in often(report.failures)]
    if len(reasons) > _REASONS:
        reasons[_REASONS:] = [f"{len(reasons) - _REASONS} more"]
    why = f" ({'tries: ' * (tries != failed > 0)}{', '.join(reasons)})" if reasons else ""
    return [f"{failed:,} failed{why}" if failed else f"{number(tries, 'failed try', 'failed tries')}{why}"]


def _fails(report: RunReport) -> bool:
    """Say whether tasks of an app fail too often."""
    return any(
        states["failed"] >= max(FAILING, FAILING_RATIO * (states["failed"] + _of(states, _DONE)))
        for states in report.tasks_by_app().values()
    )


def _blocks(report: RunReport) -> str:
    states = report.blocks_by_state()
    living = {state: count for state, count in states.items() if state not in TERMINAL}
    if len(living) == 1:
        ((state, count),) = living.items()
        return f"{number(count, 'block')} {state}"
    return f"blocks: {counted(living or states)}" if states else "no block"


def _workers(report: RunReport) -> str:
    slots = sum(workers.slots for workers in report.workers.values())
    return number(slots, "worker") if slots else "no worker"


def _unfinished(states: Mapping[str, int]) -> dict[str, int]:
    return {state: count for state, count in states.items() if state not in FINAL}


def _of(states: Mapping[str, int], some: Iterable[str]) -> int:
    return sum(states.get(state, 0) for state in some)
