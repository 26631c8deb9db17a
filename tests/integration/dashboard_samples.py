"""What an exporter would have published of made-up runs, and rules recorded, for a real Prometheus.

It is written with its time stamps, for `promtool tsdb create-blocks-from openmetrics`: a minute's work holds hours.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from dashboard_kinds import RETENTION, App, Counts, Run
from dashboard_world import Prometheus
from support.exporter_process import until
from support.processes import required, started_prometheus, there

from parsl_exporter.model.blocks import BLOCK_STATES

BOUNDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400)
GIB = 2**30
SIZES = tuple(2**24 * 2**i for i in range(15))
CORES, NODE_MEMORY = 32, 64 * GIB
SILENCE = 120
"""Seconds after which HTEX gives up a manager that sends no heartbeat."""

TARGET = {"instance": "127.0.0.1:9678", "job": "parsl-exporter"}


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
    steps = int((now - min(run.began for run in runs)) // step)
    for at in (now - step * i for i in range(steps, -1, -1)):
        _of_exporter(made, at)
        for source in sorted({run.source for run in runs}):
            _of_source(made, source, at)
        by_workflow: dict[tuple[str, str, str, str], float] = defaultdict(float)
        for run in runs:
            if run.began <= at and (run.ended is None or at <= run.ended + RETENTION):
                _published(made, run, at)
                _recorded(made, run, at)
                _added(by_workflow, run, at)
        for (name, source, workflow, state), value in by_workflow.items():
            label = {"tasks_waiting": "cause"}.get(name, "state")
            labels = {"source": source, "workflow_name": workflow, label: state}
            made.add(at, f"parsl:workflow:{name}", value, **labels)
    return made


def _of_exporter(made: Samples, at: float) -> None:
    made.add(at, "parsl_exporter_build_info", 1, version="1", revision="r", pythonversion="3.12", **TARGET)
    for name in ("process_resident_memory_bytes", "scrape_duration_seconds", "process_start_time_seconds"):
        made.add(at, name, 1, **TARGET)
    made.add(at, "process_cpu_seconds_total", at % 100_000, **TARGET)
    for name in ("successful", "success_timestamp_seconds"):
        made.add(at, f"parsl_exporter_config_last_reload_{name}", 1, **TARGET)


def _of_source(made: Samples, source: str, at: float) -> None:
    mine = {"source": source, **TARGET}
    for name, value in (("up", 1), ("ready", 1), ("last_success_timestamp_seconds", at - 1)):
        made.add(at, f"parsl_exporter_source_{name}", value, **mine)
    for table in ("status", "try", "block"):
        made.add(at, "parsl_exporter_backlog_rows", 0, table=table, **mine)
        made.add(at, "parsl_exporter_rows_read_total", at % 100_000, table=table, **mine)
    made.add(at, "parsl_exporter_source_info", 1, dialect="sqlite", database=f"/{source}.db", **mine)
    for name in ("poll_duration_seconds", "longest_read_seconds", "series", "series_folded_total"):
        made.add(at, f"parsl_exporter_{name}", 0.01, **mine)


def _added(by_workflow: dict[tuple[str, str, str, str], float], run: Run, at: float) -> None:
    for app, counts in run.states(at).items():
        before = app.counts(min(at - 300, run.ended or at) - run.began)
        for state, tasks in counts.items():
            by_workflow["tasks", run.source, run.name, state] += tasks
            if state in ("exec_done", "failed", "memo_done", "dep_fail"):
                gained = (tasks - before[state]) / 300
                by_workflow["tasks_finished:rate5m", run.source, run.name, state] += gained
    for (_, cause), tasks in run.waiting(at).items():
        by_workflow["tasks_waiting", run.source, run.name, cause] += tasks


def _published(made: Samples, run: Run, at: float) -> None:
    mine = {"source": run.source, "run_id": run.run_id, **TARGET}
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
            plain = (
                families.format("duration")
                .replace("usage_duration", "usage")
                .replace("peak_duration", "peak")
            )
            for bound in SIZES if "bytes" in families else BOUNDS:
                made.add(at, f"{plain}_bucket", finals * bound // (bound + most), le=f"{bound}", **labels)
            made.add(at, f"{plain}_bucket", finals, le="+Inf", **labels)
            made.add(at, f"{plain}_count", finals, **labels)
            made.add(at, f"{plain}_sum", finals * most, **labels)
    for name in ("read", "written"):
        made.add(at, f"parsl_task_io_{name}_bytes_total", finals * GIB, **mine)
    for mode in ("voluntary", "involuntary"):
        made.add(at, "parsl_task_context_switches_total", finals * 100, mode=mode, **mine)
    made.add(at, "parsl_task_processes", 2 * counts["running"], **mine)
    made.add(at, "parsl_task_memory_virtual_bytes", 2 * counts["running"] * GIB, **mine)


def _of_blocks(made: Samples, run: Run, at: float, mine: Mapping[str, str]) -> None:
    age = min(at, run.ended or at) - run.began
    states = {block: found for block in run.blocks if (found := block.state(age)) is not None}
    for executor in {block.executor for block in states}:
        for state in BLOCK_STATES:
            count = sum(block.executor == executor and now[1] == state for block, now in states.items())
            made.add(at, "parsl_blocks", count, executor=executor, state=state, **mine)
            made.add(at, "parsl_block_transitions_total", count, executor=executor, state=state, **mine)
        waits = sorted(
            times["RUNNING"] - times["PENDING"]
            for times in ({state: since for since, state in block.states} for block in states)
            if "PENDING" in times and age >= times.get("RUNNING", age + 1)
        )
        if waits:
            labels = {**mine, "executor": executor}
            for quantile, wait in {
                "0.5": waits[(len(waits) - 1) // 2],
                "0.95": waits[-1],
                "1": waits[-1],
            }.items():
                made.add(at, "parsl_block_pending_summary_seconds", wait, quantile=quantile, **labels)
            made.add(at, "parsl_block_pending_seconds_count", len(waits), **labels)
            for bound in BOUNDS:
                below = sum(wait <= bound for wait in waits)
                made.add(at, "parsl_block_pending_seconds_bucket", below, le=f"{bound}", **labels)
    running = sum(counts["running"] for app, counts in run.states(at).items() if app.executor == "htex")
    for block, (since, state) in states.items():
        over = state not in ("PENDING", "RUNNING", "HELD", "UNKNOWN")
        if over and age - since > RETENTION:
            continue
        labels = {**mine, "executor": block.executor, "block_id": block.number}
        made.add(at, "parsl_block_info", 1, job_id=f"job{block.number}", **labels)
        made.add(at, "parsl_block_state", 1, state=state, **labels)
        made.add(at, "parsl_block_state_timestamp_seconds", run.began + since, **labels)
        gone = block.lost is not None and age >= block.lost + SILENCE
        active = state == "RUNNING" and block.workers > 0 and not gone and not (run.ended and at >= run.ended)
        tasks = min(running, block.workers) if active else 0
        made.add(at, "parsl_block_tasks_running", tasks, **labels)
        made.add(at, "parsl_block_worked", int(block.workers > 0), **labels)
        if block.workers and state != "PENDING":
            made.add(
                at,
                "parsl_block_last_activity_timestamp_seconds",
                at - 5 if active else run.began + since,
                **labels,
            )
            manager = {
                **labels,
                "manager": f"{run.run_id[:4]}{block.number}",
                "hostname": f"node{block.number}",
            }
            beat = at - 10 if active else run.began + since
            beat = min(beat, run.began + block.lost) if block.lost is not None else beat
            row = run.began + block.lost + SILENCE if block.lost is not None and gone else beat
            made.add(at, "parsl_manager_info", 1, python_version="3.12", **manager)
            made.add(at, "parsl_manager_active", int(active), **manager)
            made.add(at, "parsl_manager_workers", block.workers, **manager)
            made.add(at, "parsl_manager_last_heartbeat_timestamp_seconds", beat, **manager)
            made.add(at, "parsl_manager_last_row_timestamp_seconds", row, **manager)
            node = {**mine, "hostname": f"node{block.number}"}
            made.add(at, "parsl_node_cpus", CORES, **node)
            made.add(at, "parsl_node_memory_bytes", NODE_MEMORY, **node)
            made.add(at, "parsl_node_tasks_running", tasks, **node)
            made.add(at, "parsl_node_task_cpu_seconds_total", 0.5 * block.workers * age, **node)
            made.add(at, "parsl_node_task_memory_resident_bytes", tasks * GIB, **node)


def _recorded(made: Samples, run: Run, at: float) -> None:
    mine = {"source": run.source, "run_id": run.run_id}
    named = {**mine, "workflow_name": run.name, "user": run.user}
    by_state: Counts = defaultdict(int)
    for counts in run.states(at).values():
        for state, tasks in counts.items():
            by_state[state] += tasks
    for state, tasks in by_state.items():
        made.add(at, "parsl:run:tasks", tasks, state=state, **mine)
    done, failed = by_state["exec_done"], by_state["failed"]
    outcomes = {"done": done, "failed": failed, "open": sum(by_state.values()) - done - failed}
    made.add(at, "parsl:run:progress_ratio", (done + failed) / sum(by_state.values()), **mine)
    for outcome, tasks in outcomes.items():
        made.add(at, "parsl:run:tasks_by_outcome", tasks, outcome=outcome, **mine)
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


@contextmanager
def holding(folder: Path, made: Samples) -> Iterator[dict[bool, Prometheus]]:
    """The machine's own Prometheus and today's, as far as they are there, once they hold these samples."""
    programs, promtools = there("prometheus"), there("promtool")
    text = folder / "samples.txt"
    text.write_text(made.text())
    (folder / "prometheus.yml").write_text("{}")
    found = {}
    with ExitStack() as stack:
        for today in programs.keys() & promtools.keys():
            keeping, name = "--storage.tsdb.retention.time=100y", f"prometheus-{today}"
            _fill(folder / name, text, promtools[today])
            url = stack.enter_context(started_prometheus(programs[today], folder, keeping, name=name))
            found[today] = Prometheus(url)
        text.unlink()
        for one in found.values():
            until("the samples", partial(one.get, "labels"), 60)
        yield found


def one_of(held: dict[bool, Prometheus], *, today: bool) -> Prometheus:
    """One of those that hold samples, if its programs are there."""
    for name in ("prometheus", "promtool"):
        required(name, today=today)
    return held[today]


def _fill(data: Path, text: Path, promtool: str) -> None:
    """Make the data folder of a Prometheus out of a file of samples."""
    command: list[str | Path] = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data]
    subprocess.run(command, check=True, capture_output=True)
