"""Texts on a run for people: durations, counts, and its facts by subject. A terminal and a page say them alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

from parsl_exporter.model.report import RunReport
from parsl_exporter.model.timestamps import MICROSECONDS


def lasting(seconds: float) -> str:
    """A duration in its two largest units: 45 s, 1 min 40 s, 2 h 27 min, 3 d 4 h. A negative one is none."""
    left = max(0, int(seconds))
    for size, unit, small, smaller in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if left >= size:
            rest = left % size // small
            return f"{left // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{left} s"


def moment(us: int) -> str:
    """A stamp of microseconds UTC to the second, the zone with it."""
    return f"{datetime.fromtimestamp(us // MICROSECONDS, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def number(count: int, one: str, several: str | None = None) -> str:
    """A count and what is counted: 1 task, 2,000 tasks."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def counted(counts: Mapping[str, int]) -> str:
    """Counts by name, in the order given: 2 RUNNING, 14 SCALED_IN."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def often(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Give names with their counts, the greatest first, equal ones by name."""
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def age(run: RunReport, now: float, *, live: bool) -> str:
    """How long a run has been going, or how long ago it ended; nothing of one that is neither."""
    if run.end_us is not None:
        return f"{lasting(now - run.end_us / MICROSECONDS)} ago"
    return f"for {lasting(now - run.first_us / MICROSECONDS)}" if live and run.first_us else ""


def facts(run: RunReport) -> Iterator[tuple[str, list[str]]]:
    """Give what there is to say of a run beside its tasks by app: subjects, each with some texts."""
    names = run.names
    yield "run", [f"{run.run_id}, {names['workflow_name']} of {names['user']} on {names['host']}"]
    times = (("began", run.begin_us), ("ended", run.end_us), ("last row", run.heard_us or None))
    yield "time", [", ".join(f"{what} {moment(us)}" for what, us in times if us is not None)]
    waiting = []
    for (executor, cause), tasks in run.waiting.items():
        since = "" if tasks.oldest_us is None else f" since {moment(tasks.oldest_us)}"
        waiting.append(f"{executor}: {tasks.count:,} {cause}{since}")
    yield "waiting", waiting
    yield "blocks", [f"{executor}: {counted(states)}" for executor, states in run.blocks.items()]
    workers = []
    for executor, (managers, slots, busy) in run.workers.items():
        if run.end_us is None:
            workers.append(f"{executor}: {busy:,} of {slots:,} busy on {number(managers, 'manager')}")
    yield "workers", workers
    yield "failures", [f"{reason} {count:,}" for reason, count in often(run.failures)]


def tasks_by_app(run: RunReport) -> tuple[list[str], dict[str, list[int]]]:
    """Give the states that tasks of a run are in, and for each app the numbers of its tasks in these."""
    states = list(run.tasks_by_state())
    return states, {app: [counts[state] for state in states] for app, counts in run.tasks_by_app().items()}
