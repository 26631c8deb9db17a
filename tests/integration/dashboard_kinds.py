"""Runs of five kinds, made up, for a real Prometheus: healthy, waiting, failing, finished, and two hundred of them.

What an exporter would have published of them and what the rules would have recorded is written with its time stamps, for
`promtool tsdb create-blocks-from openmetrics`: so a minute's work holds hours, and every number is known. As a program
it makes the data folder of a Prometheus whose data end now, to look at dashboards by eye:

    python dashboard_kinds.py FOLDER [--step SECONDS] [KIND ...]
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = "campaign"
RETENTION = 900
TASK_STATES = "pending launched running running_ended joining exec_done memo_done failed dep_fail fail_retryable".split()
BLOCK_STATES = "PENDING RUNNING HELD UNKNOWN COMPLETED SCALED_IN CANCELLED TIMEOUT MISSING FAILED".split()
CAUSES = "dependencies batch_queue worker_start idle_workers busy_workers no_block untold unknown".split()
BOUNDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400)
GIB = 2**30

Counts = dict[str, int]


@dataclass(frozen=True)
class App:
    """What a run calls: `total` tasks, of which `rate` a second end from `starts` seconds after the run's begin."""

    name: str
    executor: str
    total: int
    rate: float
    seconds: float
    slots: int
    starts: float = 0
    fails: float = 0
    reasons: tuple[str, ...] = ("ValueError",)
    depends: bool = False

    def counts(self, age: float) -> Counts:
        """Its tasks by state so long after the run's begin."""
        ended = int(min(self.total, max(0, (age - self.starts) * self.rate)))
        failed = int(ended * self.fails)
        running = min(self.slots, self.total - ended) if self.rate and age > self.starts else 0
        rest = self.total - ended - running
        found = dict.fromkeys(TASK_STATES, 0)
        found |= {"exec_done": ended - failed, "failed": failed, "running": running}
        found["pending" if self.depends else "launched"] = rest
        return found


@dataclass(frozen=True)
class Block:
    """A batch job: its state from so many seconds after the run's begin on, and the workers of its manager."""

    executor: str
    number: str
    states: tuple[tuple[float, str], ...]
    workers: int = 0

    def state(self, age: float) -> tuple[float, str] | None:
        found = [one for one in self.states if one[0] <= age]
        return found[-1] if found else None


@dataclass(frozen=True)
class Alert:
    """An alert that fires since `since` seconds after the run's begin."""

    name: str
    severity: str
    since: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run that began `began` and, maybe, ended at `ended`, both in Unix seconds."""

    run_id: str
    name: str
    began: float
    apps: tuple[App, ...]
    ended: float | None = None
    user: str = "ada"
    causes: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    alerts: tuple[Alert, ...] = ()
    whole: bool = True
    """Whether all of its families are there, or those alone that lists of runs read."""

    def states(self, at: float) -> dict[App, Counts]:
        age = min(at, self.ended or at) - self.began
        return {app: app.counts(age) for app in self.apps}

    def waiting(self, at: float) -> dict[tuple[str, str], int]:
        """Its waiting tasks by executor and cause."""
        found = {(app.executor, cause): 0 for app in self.apps for cause in CAUSES}
        if self.ended is None or at < self.ended:
            for app, counts in self.states(at).items():
                found[app.executor, "dependencies"] += counts["pending"]
                found[app.executor, self.causes.get(app.executor, "busy_workers")] += counts["launched"]
        return found


def kinds(now: float) -> dict[str, list[Run]]:
    """The runs of each kind, as they are `now`."""
    simulate = App("simulate", "htex", 600, 0.15, 100.0, 16)
    analyse = App("analyse", "htex", 600, 0.14, 4.2, 4, starts=120, depends=True)
    plot = App("plot", "threads", 60, 0.015, 0.3, 1, starts=30)
    pool = Block("htex", "0", ((2, "PENDING"), (60, "RUNNING")), workers=16)
    healthy = Run(
        "4f1d2c60-51f1-4c1c-9d55-0f6c5a6e7d01",
        "healthy",
        now - 3000,
        (simulate, analyse, plot),
        blocks=(pool,),
    )
    queued = ((3, "PENDING"),)
    waiting = Run(
        "8e0b7a11-7f0e-4a0e-8f0a-52d2f2a1b802",
        "waiting",
        now - 8820,
        (App("simulate", "htex", 200, 0, 100.0, 0),),
        causes={"htex": "batch_queue"},
        blocks=tuple(Block("htex", number, queued) for number in "01"),
        alerts=tuple(
            Alert(
                "ParslBlockPendingTooLong",
                "warning",
                3720,
                {"executor": "htex", "block_id": number, "state": "PENDING"},
            )
            for number in "01"
        ),
    )
    broken = tuple(
        Block("htex", f"{i}", ((i * 300, "PENDING"), (i * 300 + 60, "FAILED"))) for i in range(1, 5)
    )
    failing = Run(
        "b7c3d9e2-0a4b-4d31-a6a0-94c0fe2d7c03",
        "failing",
        now - 4000,
        (
            App("simulate", "htex", 900, 0.2, 75.0, 16, fails=0.4, reasons=("MemoryError", "ValueError")),
            App("a_function_with_a_long_name_for_the_reports", "htex", 90, 0.02, 900.0, 2),
        ),
        blocks=(pool, *broken),
        alerts=(
            Alert("ParslAppFailureRatioHigh", "warning", 1900, {"app": "simulate"}),
            Alert("ParslBlocksFailing", "critical", 1400, {"executor": "htex"}),
        ),
    )
    over = tuple(
        Run(
            f"c{i}a5e6f7-1b2c-4d3e-8f90-a1b2c3d4e504",
            "finished",
            now - 9000 + 2200 * i,
            (App("simulate", "htex", 200, 0.2, 60.0 + 10 * i, 12, fails=0.01 * i),),
            ended=now - 9000 + 2200 * i + 1050,
            blocks=(Block("htex", "0", ((2, "PENDING"), (30, "RUNNING"), (1040, "SCALED_IN")), workers=12),),
        )
        for i in range(4)
    )
    return {
        "healthy": [healthy],
        "waiting": [waiting],
        "failing": [failing],
        "finished": list(over),
        "200 runs": [_of_many(i, now) for i in range(200)],
    }


IN_TROUBLE, CRITICAL = 31, 7
"""Of the two hundred."""


def _of_many(i: int, now: float) -> Run:
    began = now - 600 - 37 * i
    ended = None if i % 3 or i < 3 * IN_TROUBLE else min(now - 120, began + 2400)
    alerts: tuple[Alert, ...] = ()
    causes = {"htex": ("busy_workers", "batch_queue", "worker_start", "busy_workers")[i % 4]}
    if i % 6 == 0 and i // 6 < IN_TROUBLE:
        n = i // 6
        ended = None
        name, severity, labels = (
            ("ParslRunSilent", "critical", {}),
            (
                "ParslBlockPendingTooLong",
                "warning",
                {"executor": "htex", "block_id": "0", "state": "PENDING"},
            ),
            (
                "ParslManagerLost",
                "warning",
                {"executor": "htex", "block_id": "1", "hostname": "node17", "manager": "m"},
            ),
            ("ParslTaskRunningLong", "info", {"executor": "htex", "app": "simulate"}),
        )[0 if n < CRITICAL else 1 + n % 2]
        alerts = (
            Alert(name, severity, 300 + 11 * n, labels),
            Alert("ParslTaskRunningLong", "info", 200, {"app": "simulate"}),
        )
    apps = (App("simulate", "htex", 400, 0.05 + 0.001 * (i % 7), 80.0, 8, fails=0.02 * (i % 5 == 0)),)
    return Run(
        f"{i:03d}{i * 7919 % 99991:05d}-aaaa-4bbb-8ccc-{i:012d}",
        f"campaign-{i % 8}",
        began,
        apps,
        ended=ended,
        user=("ada", "grace", "edsger", "barbara")[i % 4],
        causes=causes,
        alerts=alerts,
        whole=False,
    )


class Samples:
    """Samples of series, by name and labels."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = defaultdict(list)

    def add(self, at: float, name: str, value: float, **labels: str) -> None:
        text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        self.of[f"{name}{{{text}}}"].append(f"{value:.12g} {at:.0f}")

    def text(self) -> str:
        """OpenMetrics; families without a type, each series in one piece."""
        lines = [f"{series} {sample}" for series in sorted(self.of) for sample in self.of[series]]
        return "\n".join([*lines, "# EOF", ""])


def samples(runs: Iterable[Run], now: float, step: int) -> Samples:
    """What is published and recorded of the runs until `now`, every `step` seconds."""
    made = Samples()
    runs = list(runs)
    first = min(run.began for run in runs)
    steps = int((now - first) // step)
    for at in (now - step * i for i in range(steps, -1, -1)):
        target = {"instance": "127.0.0.1:9678", "job": "parsl-exporter"}
        made.add(at, "up", 1, **target)
        for name, value in (("up", 1), ("ready", 1), ("last_success_timestamp_seconds", at - 1)):
            made.add(at, f"parsl_exporter_source_{name}", value, source=SOURCE, **target)
        for table in ("status", "try", "block"):
            made.add(at, "parsl_exporter_backlog_rows", 0, source=SOURCE, table=table, **target)
        by_workflow: dict[tuple[str, str], int] = defaultdict(int)
        finished: dict[tuple[str, str], float] = defaultdict(float)
        for run in runs:
            if run.began <= at and (run.ended is None or at <= run.ended + RETENTION):
                _published(made, run, at, target)
                _recorded(made, run, at)
                for app, counts in run.states(at).items():
                    before = app.counts(min(at - 300, run.ended or at) - run.began)
                    for state, tasks in counts.items():
                        by_workflow[run.name, state] += tasks
                        if state in ("exec_done", "failed"):
                            finished[run.name, state] += (tasks - before[state]) / 300
        for (workflow, state), tasks in by_workflow.items():
            labels = {"source": SOURCE, "workflow_name": workflow, "state": state}
            made.add(at, "parsl:workflow:tasks", tasks, **labels)
            if state in ("exec_done", "failed", "memo_done", "dep_fail"):
                made.add(at, "parsl:workflow:tasks_finished:rate5m", finished[workflow, state], **labels)
    return made


def _published(made: Samples, run: Run, at: float, target: Mapping[str, str]) -> None:
    mine = {"source": SOURCE, "run_id": run.run_id, **target}
    ended = run.ended is not None and at >= run.ended
    info = {
        "workflow_name": run.name,
        "workflow_version": "1",
        "user": run.user,
        "host": "login1",
        "rundir": "/scratch/r",
    }
    made.add(at, "parsl_workflow_info", 1, **info, **mine)
    made.add(at, "parsl_workflow_start_timestamp_seconds", run.began, **mine)
    silent = next((run.began + a.since - 600 for a in run.alerts if a.name == "ParslRunSilent"), at)
    news = min(at, silent, run.ended or at)
    made.add(at, "parsl_workflow_last_row_timestamp_seconds", news, **mine)
    made.add(at, "parsl_workflow_last_event_timestamp_seconds", news, **mine)
    if ended and run.ended is not None:
        made.add(at, "parsl_workflow_end_timestamp_seconds", run.ended, **mine)
    for app, counts in run.states(at).items():
        _of_app(made, run, app, counts, at, {**mine, "app": app.name, "executor": app.executor})
    for (executor, cause), tasks in run.waiting(at).items():
        labels = {**mine, "executor": executor, "cause": cause}
        made.add(at, "parsl_tasks_waiting", tasks, **labels)
        if tasks:
            since = run.began + 4 if cause == "batch_queue" else max(run.began, at - 90)
            made.add(at, "parsl_tasks_waiting_oldest_timestamp_seconds", since, **labels)
    _of_blocks(made, run, at, mine)


def _of_app(made: Samples, run: Run, app: App, counts: Counts, at: float, mine: Mapping[str, str]) -> None:
    finals = counts["exec_done"] + counts["failed"]
    for state, tasks in counts.items():
        made.add(at, "parsl_tasks", tasks, state=state, **mine)
        entered = app.total if state in ("pending", "launched") else finals + counts["running"]
        entered = tasks if state in ("exec_done", "memo_done", "failed", "dep_fail") else entered
        entered = counts["failed"] // 2 if state == "fail_retryable" else entered
        made.add(at, "parsl_task_transitions_total", entered, state=state, **mine)
        if tasks and state in ("pending", "launched", "running") and not (run.ended and at >= run.ended):
            long = run.causes.get(app.executor) == "batch_queue"
            since = run.began + 4 if long else max(run.began, at - 1.2 * app.seconds)
            made.add(at, "parsl_task_oldest_timestamp_seconds", since, state=state, **mine)
    for i, reason in enumerate(app.reasons):
        if counts["failed"] > 10 * i:
            made.add(at, "parsl_task_failures_total", counts["failed"] // (i + 1), reason=reason, **mine)
    if not run.whole:
        return
    used = finals * app.seconds * 0.8
    made.add(at, "parsl_task_wasted_cpu_seconds_total", counts["failed"] * app.seconds * 0.8, **mine)
    for mode, part in (("user", 0.9), ("system", 0.1)):
        made.add(at, "parsl_task_cpu_seconds_total", part * used, mode=mode, **mine)
    made.add(at, "parsl_task_memory_resident_bytes", counts["running"] * GIB, **mine)
    for families, states, most in (
        ("parsl_task_state_{}_seconds", ("pending", "launched", "running"), app.seconds),
        ("parsl_task_{}_seconds", ("",), 3 * app.seconds),
        ("parsl_task_cpu_usage_{}_seconds", ("",), 0.8 * app.seconds),
        ("parsl_task_memory_peak_{}_bytes", ("",), 1.5 * GIB),
    ):
        for state in states:
            labels = {**mine, "state": state} if state else dict(mine)
            if finals:
                for quantile, factor in (("0.5", 1.0), ("0.95", 1.8), ("1", 3.1)):
                    made.add(at, families.format("summary"), factor * most, quantile=quantile, **labels)
            if "bytes" not in families:
                plain = families.format("duration").replace("cpu_usage_duration", "cpu_usage")
                for bound in BOUNDS:
                    made.add(at, f"{plain}_bucket", finals * bound // (bound + most), le=f"{bound}", **labels)
                made.add(at, f"{plain}_bucket", finals, le="+Inf", **labels)
                made.add(at, f"{plain}_count", finals, **labels)
                made.add(at, f"{plain}_sum", finals * most, **labels)


def _of_blocks(made: Samples, run: Run, at: float, mine: Mapping[str, str]) -> None:
    age = min(at, run.ended or at) - run.began
    states = {block: found for block in run.blocks if (found := block.state(age)) is not None}
    for executor in {block.executor for block in states}:
        for state in BLOCK_STATES:
            count = sum(block.executor == executor and now[1] == state for block, now in states.items())
            made.add(at, "parsl_blocks", count, executor=executor, state=state, **mine)
            made.add(at, "parsl_block_transitions_total", count, executor=executor, state=state, **mine)
    running = sum(counts["running"] for app, counts in run.states(at).items() if app.executor == "htex")
    for block, (since, state) in states.items():
        over = state not in ("PENDING", "RUNNING", "HELD", "UNKNOWN")
        if over and age - since > RETENTION:
            continue
        labels = {**mine, "executor": block.executor, "block_id": block.number}
        made.add(at, "parsl_block_info", 1, job_id=f"job{block.number}", **labels)
        made.add(at, "parsl_block_state", 1, state=state, **labels)
        made.add(at, "parsl_block_state_timestamp_seconds", run.began + since, **labels)
        active = state == "RUNNING" and block.workers > 0
        made.add(at, "parsl_block_tasks_running", min(running, block.workers) if active else 0, **labels)
        made.add(at, "parsl_block_worked", int(block.workers > 0), **labels)
        if block.workers:
            manager = {
                **labels,
                "manager": f"{run.run_id[:4]}{block.number}",
                "hostname": f"node{block.number}",
            }
            made.add(at, "parsl_manager_active", int(active), **manager)
            made.add(at, "parsl_manager_workers", block.workers, **manager)


def _recorded(made: Samples, run: Run, at: float) -> None:
    mine = {"source": SOURCE, "run_id": run.run_id}
    named = {**mine, "workflow_name": run.name, "user": run.user}
    by_state: Counts = defaultdict(int)
    for counts in run.states(at).values():
        for state, tasks in counts.items():
            by_state[state] += tasks
    for state, tasks in by_state.items():
        made.add(at, "parsl:run:tasks", tasks, state=state, **mine)
    done, failed = by_state["exec_done"], by_state["failed"]
    outcomes = {"done": done, "failed": failed, "open": sum(by_state.values()) - done - failed}
    for outcome, tasks in outcomes.items():
        made.add(at, "parsl:run:tasks_by_outcome", tasks, outcome=outcome, **mine)
    waiting: Counts = defaultdict(int)
    for (_, cause), tasks in run.waiting(at).items():
        waiting[cause] += tasks
    for cause, tasks in waiting.items():
        made.add(at, "parsl:run:tasks_waiting", tasks, cause=cause, **mine)
    if run.ended is not None and at >= run.ended:
        return
    silent = False
    for alert in run.alerts:
        if at >= run.began + alert.since:
            labels = {"alertname": alert.name, "severity": alert.severity, **named, **alert.labels}
            made.add(at, "ALERTS", 1, alertstate="firing", **labels)
            made.add(at, "ALERTS_FOR_STATE", run.began + alert.since, **labels)
            silent |= alert.name == "ParslRunSilent"
    if silent:
        made.add(at, "parsl:run:silent_seconds", 600, host="login1", **named)
    else:
        made.add(at, "parsl:run:live", 1, **named)


def fill(folder: Path, runs: Iterable[Run], now: float, step: int, promtool: str = "promtool") -> Path:
    """Make the data folder of a Prometheus out of the runs."""
    text = folder / "samples.txt"
    text.write_text(samples(runs, now, step).text())
    data = folder / "data"
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data]
    subprocess.run(command, check=True, capture_output=True)
    text.unlink()
    return data


def main() -> None:
    """Make a data folder whose data end now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", type=int, default=30)
    parser.add_argument("kind", nargs="*")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    now = int(time.time())
    every = kinds(now)
    runs = [run for kind in given.kind or list(every)[:4] for run in every[kind]]
    print(fill(given.folder, runs, now, given.step))


if __name__ == "__main__":
    main()
