"""Tasks and tries: what their rows say, in whatever order they come.

A task's state is the greatest of its rows (a join), so neither order nor duplicates can change it. State names
and their meaning: `parsl/dataflow/states.py`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from parsl_exporter.model.names import UNKNOWN
from parsl_exporter.model.usage import CUMULATIVE, Usage

PROGRESS = ("pending", "launched", "running", "running_ended", "joining", "fail_retryable")
"""The states of a try that is not final, lowest first."""
FINAL = ("memo_done", "exec_done", "dep_fail", "failed")
"""The final states, in the order that decides between two with one timestamp."""
STATES = PROGRESS + FINAL

_RANK = {state: rank for rank, state in enumerate((PROGRESS[0], None, *PROGRESS[1:])) if state is not None}
_UNKNOWN_RANK = 1
_FINAL_RANK = {state: rank for rank, state in enumerate(FINAL)}
_CLASS = re.compile(r"\s*(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)")
DEPENDENCY_ERROR = "DependencyError"
_ON_BLOCK = frozenset(("running", "running_ended", "fail_retryable", *FINAL))


def failure_class(history: str | None) -> str | None:
    """The exception class that `try.task_fail_history` begins with; None when it names none.

    Parsl writes `repr(exception)` there (`parsl/dataflow/dflow.py`, `handle_exec_update`).
    """
    found = _CLASS.match(history) if history else None
    return found.group(1) if found else None


class Span:
    """The status rows of one try in one state: how many, the earliest and the latest stamp (microseconds)."""

    __slots__ = ("counted", "first", "last", "rows")

    def __init__(self, us: int) -> None:
        self.rows = 1
        self.first = us
        self.last = us
        self.counted = 0


class Counted:
    """How much of a try's usage has gone into counters already."""

    __slots__ = ("host", "used", "wasted")

    def __init__(self) -> None:
        self.used = [0.0] * CUMULATIVE
        self.wasted = 0.0
        self.host = 0.0


class Running(NamedTuple):
    """What a running try adds to gauges now."""

    app: str
    executor: str
    host: str
    block: str | None
    resident: float
    virtual: float
    processes: float


class Try:
    """One try of a task. `executor` is None until its try row has come, `host` until the row names one."""

    __slots__ = (
        "asked",
        "block",
        "closed",
        "counted",
        "executor",
        "failure",
        "failure_counted",
        "host",
        "latest",
        "queued",
        "running",
        "seen",
        "spans",
        "usage",
    )

    def __init__(self) -> None:
        self.executor: str | None = None
        self.block: str | None = None
        self.host: str | None = None
        self.failure: str | None = None
        self.spans: dict[str, Span] = {}
        self.usage: Usage | None = None
        self.latest = 0
        self.seen = 0.0
        self.closed = False
        self.queued = False
        self.counted: Counted | None = None
        self.failure_counted = False
        self.running: Running | None = None
        self.asked = 0

    def final(self) -> Span | None:
        """Its latest final row, if it has one."""
        found = [self.spans[state] for state in FINAL if state in self.spans]
        return max(found, key=lambda span: span.last) if found else None

    def finished(self) -> bool:
        """Say whether one of its own rows ends it."""
        spans = self.spans
        return (
            "exec_done" in spans
            or "fail_retryable" in spans
            or "failed" in spans
            or "memo_done" in spans
            or "dep_fail" in spans
        )

    def wasteful(self) -> bool:
        """Say whether what it used was for nothing."""
        return "fail_retryable" in self.spans or "failed" in self.spans

    def activity(self) -> int:
        """Microseconds of its newest sign of life on a block: started, ended or sampled; 0 when none."""
        newest = self.usage.latest if self.usage is not None else 0
        for state, span in self.spans.items():
            if span.last > newest and state in _ON_BLOCK:
                newest = span.last
        return newest


class Standing(NamedTuple):
    """Where a task is: its state, and since when (microseconds; earliest row of that state in its try)."""

    state: str
    since: int


class Task:
    """One task and its tries. `app` is None until its task row has come."""

    __slots__ = ("app", "partly_closed", "shown", "timed", "tries")

    def __init__(self) -> None:
        self.app: str | None = None
        self.tries: dict[int, Try] = {}
        self.shown: tuple[str, str, Standing] | None = None
        self.timed = False
        self.partly_closed = False

    def standing(self) -> Standing | None:
        """The greatest of its status rows; None when it has none."""
        best: tuple[int, int, int, str] | None = None
        since = 0
        for try_id, one in self.tries.items():
            for state, span in one.spans.items():
                final = _FINAL_RANK.get(state)
                if final is not None:
                    key = (1, span.last, final, state)
                else:
                    key = (0, try_id, _RANK.get(state, _UNKNOWN_RANK), state)
                if best is None or key > best:
                    best = key
                    since = span.first
        return None if best is None else Standing(best[3], since)

    def last_try(self) -> int:
        """The greatest try_id that any row gave; -1 when there is none."""
        return max(self.tries, default=-1)

    def executor(self) -> str:
        """The executor of its latest try."""
        return (self.tries[self.last_try()].executor if self.tries else None) or UNKNOWN

    def first_pending(self) -> int | None:
        """Microseconds of the earliest pending row of any try."""
        stamps = [t.spans["pending"].first for t in self.tries.values() if "pending" in t.spans]
        return min(stamps) if stamps else None
