"""Families of tasks, tries and the hosts that tries ran on."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from .page import Exemplar, Sheet
from .rows import UNKNOWN, Row, Run, label

FINAL = ("memo_done", "exec_done", "dep_fail", "failed")  # at one timestamp the later one wins
ORDER = {"pending": 0, "launched": 2, "running": 3, "running_ended": 4, "joining": 5, "fail_retryable": 6}
UNKNOWN_STATE_ORDER = 1
STATES = (*ORDER, *FINAL)
ENDS = (*FINAL, "fail_retryable")
WAITING = ("pending", "launched", "running", "joining")
DEPENDENCY_ERROR = "DependencyError"
OTHER = "_other"

CPU = {"user": "psutil_process_time_user", "system": "psutil_process_time_system"}
SWITCHES = {
    "voluntary": "psutil_process_num_ctx_switches_voluntary",
    "involuntary": "psutil_process_num_ctx_switches_involuntary",
}
RESIDENT = "psutil_process_memory_resident"
MEASURED_NOW = {
    "parsl_task_memory_resident_bytes": RESIDENT,
    "parsl_task_memory_virtual_bytes": "psutil_process_memory_virtual",
}
IO = {
    "parsl_task_io_read_bytes_total": "psutil_process_disk_read",
    "parsl_task_io_written_bytes_total": "psutil_process_disk_write",
}


class Try(NamedTuple):
    """A try's identity within its run."""

    task_id: int
    try_id: int


class Pair(NamedTuple):
    """The labels that nearly all task families share."""

    app: str
    executor: str


def identity(row: Row) -> Try:
    """Give the try that a try, status or resource row is about."""
    return Try(row["task_id"], row["try_id"])


def leading_class(fail_history: str | None) -> str:
    """Give the exception's class name, without its module, out of `task_fail_history`; else `unknown`."""
    text = (fail_history or "").removeprefix("<").removeprefix("class '")
    word = re.split(r"[\s('>:,]", text)[0]
    return word.split(".")[-1] if word.replace(".", "").isidentifier() else UNKNOWN


class Tries:
    """What the rows of a run say about its tries."""

    def __init__(self, run: Run) -> None:
        self.over = run.over
        self.apps = {row["task_id"]: label(row["task_func_name"]) for row in run.task}
        self.rows = {identity(row): row for row in run.tries}
        self.stamps: dict[Try, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row in run.status:
            self.stamps[identity(row)][row["task_status_name"]].append(row["timestamp"])
        self.samples: dict[Try, list[Row]] = defaultdict(list)
        for row in sorted(run.resource, key=lambda row: row["timestamp"]):
            self.samples[identity(row)].append(row)
        self.all = sorted({*self.rows, *self.stamps, *self.samples})
        self.by_task: dict[int, list[Try]] = defaultdict(list)
        for one in self.all:
            self.by_task[one.task_id].append(one)
        self.latest = {task_id: siblings[-1] for task_id, siblings in self.by_task.items()}
        self.running = [one for one in self.all if self._is_running(one)]

    def stamps_of(self, one: Try, states: Iterable[str]) -> list[int]:
        """Give the stamps of a try's rows in any of these states."""
        return [stamp for state in states for stamp in self.stamps.get(one, {}).get(state, [])]

    def ended(self, one: Try) -> bool:
        """Whether the try is over, by a row of its own, a later try, or the end of its run."""
        return bool(self.stamps_of(one, ENDS)) or one != self.latest[one.task_id] or self.over

    def _is_running(self, one: Try) -> bool:
        return (
            bool(self.stamps_of(one, ["running"]))
            and not self.stamps_of(one, ["running_ended"])
            and not self.ended(one)
        )

    def pair(self, one: Try) -> Pair:
        """Give a try's labels; `unknown` stands for what has no row."""
        executor = label(self.rows[one]["task_executor"]) if one in self.rows else UNKNOWN
        return Pair(self.apps.get(one.task_id, UNKNOWN), executor)

    def counted(self, one: Try) -> bool:
        """Whether counters and histograms take this try already: its rows are there, or will not come."""
        return (one.task_id in self.apps and one in self.rows) or self.over

    def hostname(self, one: Try) -> str:
        """Give the host a try ran on."""
        return label(self.rows[one]["hostname"]) if one in self.rows else UNKNOWN

    def values(self, one: Try, column: str) -> list[float]:
        """Give a column of a try's samples in order of time, without NULLs."""
        return [row[column] for row in self.samples.get(one, []) if row.get(column) is not None]

    def used(self, one: Try, column: str) -> float:
        """Give max - min of a cumulative column; 0 without samples."""
        values = self.values(one, column)
        return float(max(values) - min(values)) if values else 0.0

    def cpu(self, one: Try) -> float:
        """Give the CPU seconds a try used, user and system."""
        return sum(self.used(one, column) for column in CPU.values())

    def now(self, one: Try, column: str) -> float:
        """Give a column of the try's latest sample; 0 for NULL and without samples."""
        samples = self.samples.get(one)
        return float(samples[-1].get(column) or 0) if samples else 0.0

    def exemplar(self, one: Try, value: float) -> Exemplar:
        """Give what was observed of a try, with its end: the latest row that ends it, or of its rows the newest."""
        ends = self.stamps_of(one, ENDS)
        samples = [row["timestamp"] for row in self.samples.get(one, [])]
        newest = ends or [*self.stamps_of(one, self.stamps.get(one, {})), *samples]
        return Exemplar(max(newest) / 1_000_000, one.task_id, one.try_id, value)

    def processes(self, one: Try) -> float:
        """Give the processes in the try's latest sample; 0 without samples."""
        return 1 + self.now(one, "psutil_process_children_count") if self.samples.get(one) else 0.0


def rank(row: Row) -> tuple[int, int, int, str, int]:
    """Give a status row's rank: the greatest row of a task is its state, whatever the order of arrival."""
    state = row["task_status_name"]
    if state in FINAL:
        return (1, row["timestamp"], FINAL.index(state), "", row["try_id"])
    return (0, row["try_id"], ORDER.get(state, UNKNOWN_STATE_ORDER), state or "", 0)


def deciding_rows(run: Run) -> dict[int, Row]:
    """Give of each task the status row that tells its state."""
    deciding: dict[int, Row] = {}
    for row in run.status:
        best = deciding.get(row["task_id"])
        if best is None or rank(row) > rank(best):
            deciding[row["task_id"]] = row
    return deciding


def task_families(
    run: Run,
    sheet: Sheet,
    bounds_seconds: Sequence[float],
    bounds_bytes: Sequence[float],
    reasons: Sequence[str],
) -> None:
    """Add every family of tasks, and the families of hosts that tries make."""
    tries = Tries(run)
    deciding = deciding_rows(run)
    by_pair: dict[Pair, list[Try]] = defaultdict(list)
    for one in tries.all:
        if tries.counted(one):
            by_pair[tries.pair(one)].append(one)
    pairs = set(by_pair) | {tries.pair(tries.latest[task_id]) for task_id in deciding}
    failed = {pair: _failures(tries, by_pair[pair], reasons) for pair in pairs}
    seen = {reason for counts in failed.values() for reason in counts}
    for pair in sorted(pairs):
        own = sheet.under(**pair._asdict())
        counted = by_pair[pair]
        _states(own, tries, pair, deciding)
        _transitions(own, tries, counted)
        for reason in seen:
            own.put("parsl_task_failures_total", float(failed[pair][reason]), reason=reason)
        _durations(own, tries, counted, bounds_seconds)
        _task_durations(own, tries, counted, bounds_seconds)
        _usage(own, tries, counted, bounds_seconds, bounds_bytes)
        running = [one for one in tries.running if tries.pair(one) == pair]
        for family, column in MEASURED_NOW.items():
            own.put(family, math.fsum(tries.now(one, column) for one in running))
        own.put("parsl_task_processes", math.fsum(map(tries.processes, running)))
    _hosts(sheet, run, tries)


def _states(sheet: Sheet, tries: Tries, pair: Pair, deciding: Mapping[int, Row]) -> None:
    here = [row for task_id, row in deciding.items() if tries.pair(tries.latest[task_id]) == pair]
    counts = Counter(label(row["task_status_name"]) for row in here)
    for state in {*STATES, *counts}:
        sheet.put("parsl_tasks", float(counts[state]), state=state)
    for state in WAITING:
        entered = [
            min(tries.stamps_of(identity(row), [state])) for row in here if row["task_status_name"] == state
        ]
        if entered:
            sheet.put("parsl_task_oldest_timestamp_seconds", min(entered) / 1_000_000, state=state)


def _transitions(sheet: Sheet, tries: Tries, counted: Collection[Try]) -> None:
    counts: Counter[str] = Counter()
    for one in counted:
        for state, stamps in tries.stamps.get(one, {}).items():
            counts[label(state)] += len(stamps)
    for state in {*STATES, *counts}:
        sheet.put("parsl_task_transitions_total", float(counts[state]), state=state)


def _failures(tries: Tries, counted: Collection[Try], reasons: Sequence[str]) -> Counter[str]:
    """Give how many of these tries failed by each reason."""
    named = {DEPENDENCY_ERROR, UNKNOWN, *reasons}
    counts: Counter[str] = Counter()
    for one in counted:
        if tries.stamps_of(one, ["fail_retryable", "failed"]):
            row = tries.rows.get(one)
            reason = leading_class(row["task_fail_history"]) if row else UNKNOWN
            counts[reason if reason in named else OTHER] += 1
        elif tries.stamps_of(one, ["dep_fail"]):
            counts[DEPENDENCY_ERROR] += 1
    return counts


def _durations(
    sheet: Sheet,
    tries: Tries,
    counted: Collection[Try],
    bounds: Sequence[float],
) -> None:
    until: dict[str, list[tuple[str, ...]]] = {  # of several, the first that the try has ends the state
        "pending": [("launched",)],
        "launched": [("running",)],
        "running": [("running_ended",), ENDS],
        "joining": [FINAL],
    }
    for state, ends in until.items():
        spent = []
        for one in filter(tries.ended, counted):
            starts = tries.stamps_of(one, [state])
            stops = next(filter(None, (tries.stamps_of(one, end) for end in ends)), [])
            if starts and stops:
                spent.append(tries.exemplar(one, max(0, max(stops) - min(starts)) / 1_000_000))
        sheet.observe("parsl_task_state_duration_seconds", spent, bounds, state=state)


def _task_durations(
    sheet: Sheet,
    tries: Tries,
    counted: Collection[Try],
    bounds: Sequence[float],
) -> None:
    spent = []
    for one in counted:
        siblings = tries.by_task[one.task_id]
        final_tries = [other for other in siblings if tries.stamps_of(other, FINAL)]
        if not final_tries or one != max(final_tries, key=lambda t: (max(tries.stamps_of(t, FINAL)), t)):
            continue
        starts = [stamp for other in siblings for stamp in tries.stamps_of(other, ["pending"])]
        stops = [stamp for other in final_tries for stamp in tries.stamps_of(other, FINAL)]
        if starts:
            spent.append(tries.exemplar(one, max(0, max(stops) - min(starts)) / 1_000_000))
    sheet.observe("parsl_task_duration_seconds", spent, bounds)


def _usage(
    sheet: Sheet,
    tries: Tries,
    counted: Collection[Try],
    bounds_seconds: Sequence[float],
    bounds_bytes: Sequence[float],
) -> None:
    def total(column: str) -> float:
        return math.fsum(tries.used(one, column) for one in counted)

    for mode, column in CPU.items():
        sheet.put("parsl_task_cpu_seconds_total", total(column), mode=mode)
    for mode, column in SWITCHES.items():
        sheet.put("parsl_task_context_switches_total", total(column), mode=mode)
    for family, column in IO.items():
        sheet.put(family, total(column))

    wasted = [tries.cpu(one) for one in counted if tries.stamps_of(one, ["fail_retryable", "failed"])]
    sheet.put("parsl_task_wasted_cpu_seconds_total", math.fsum(wasted))
    closed = [one for one in counted if tries.ended(one)]
    measured = [
        one
        for one in closed
        if len({row["timestamp"] for row in filter(_has_cpu, tries.samples.get(one, []))}) > 1
    ]
    used = [tries.exemplar(one, tries.cpu(one)) for one in measured]
    sheet.observe("parsl_task_cpu_usage_seconds", used, bounds_seconds)
    residents = [(one, tries.values(one, RESIDENT)) for one in closed]
    peaks = [tries.exemplar(one, float(max(values))) for one, values in residents if values]
    sheet.observe("parsl_task_memory_peak_bytes", peaks, bounds_bytes)


def _has_cpu(row: Row) -> bool:
    return all(row.get(column) is not None for column in CPU.values())


def _hosts(sheet: Sheet, run: Run, tries: Tries) -> None:
    named = {one for one, row in tries.rows.items() if row["hostname"]}
    measured = [one for one in tries.samples if one in named or tries.over]
    hosts = {tries.hostname(one) for one in {*named, *tries.running, *measured}}
    for host in hosts | {label(row["hostname"]) for row in run.node}:
        own = sheet.under(hostname=host)
        running = [one for one in tries.running if tries.hostname(one) == host]
        resident = math.fsum(tries.now(one, RESIDENT) for one in running)
        used = math.fsum(tries.cpu(one) for one in measured if tries.hostname(one) == host)
        own.put("parsl_node_tasks_running", float(len(running)))
        own.put("parsl_node_task_memory_resident_bytes", resident)
        own.put("parsl_node_task_cpu_seconds_total", used)
