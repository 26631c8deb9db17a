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

_RANK = {"pending": 0, "launched": 2, "running": 3, "running_ended": 4, "joining": 5, "fail_retryable": 6}
_UNKNOWN_RANK = 1
_FINAL_RANK = {state: rank for rank, state in enumerate(FINAL)}
_FINAL_STATES = frozenset(FINAL)
_OTHER_FINAL = _FINAL_STATES - {"exec_done"}
_ENDS = frozenset(("fail_retryable", *FINAL))
WORKER_STATES = frozenset(("running", "running_ended"))
"""The states that the worker writes; the submit process writes the others."""
ON_BLOCK = WORKER_STATES | _ENDS
"""The states of a try that say that its block was alive."""
_CLASS = re.compile(r"\s*(?:[^\W\d]\w*\.)*([^\W\d]\w*)")
DEPENDENCY_ERROR = "DependencyError"


def failure_class(history: str | None) -> str | None:
    """The exception class that `try.task_fail_history` begins with; None when it names none.

    Parsl writes `repr(exception)` there (`parsl/dataflow/dflow.py`, `handle_exec_update`).
    """
    found = _CLASS.match(history) if history else None
    return found.group(1) if found else None


def is_id(value: object) -> bool:
    """Say whether a value can be a task_id or a try_id."""
    return isinstance(value, int) and value >= 0


class Running(NamedTuple):
    """What a running try adds to gauges now."""

    app: str
    executor: str
    host: str
    block: str | None
    resident: float
    virtual: float
    processes: float


class Shown:
    """What of a try has gone into the sums already; tries that a first read closes at once have none."""

    __slots__ = ("failure", "host_cpu", "queued", "rows", "running", "used", "wasted")

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.failure = False
        self.used = [0.0] * CUMULATIVE
        self.wasted = 0.0
        self.host_cpu = 0.0
        self.running: Running | None = None
        self.queued = False


class Try:
    """One try of a task: its status rows as stamps (microseconds) by state, and what its other rows say.

    `first` has the earliest stamp of each state; `last` and `rows` only have the states with several rows.
    `executor` is None until the try row has come, `host` until the row names one. `alive` is None unless a clock of
    its run was ahead: then its newest sign of life, each counted no later than the moment its row was taken.
    """

    __slots__ = (
        "alive",
        "block",
        "closed",
        "executor",
        "failure",
        "first",
        "host",
        "last",
        "rows",
        "seen",
        "shown",
        "usage",
    )

    def __init__(self) -> None:
        self.executor: str | None = None
        self.block: str | None = None
        self.host: str | None = None
        self.failure: str | None = None
        self.first: dict[str, int] = {}
        self.last: dict[str, int] | None = None
        self.rows: dict[str, int] | None = None
        self.usage: Usage | None = None
        self.alive: int | None = None
        self.seen = 0.0
        self.closed = False
        self.shown: Shown | None = None

    def again(self, state: str, us: int) -> None:
        """Take a further row of a state."""
        if self.last is None or self.rows is None:
            self.last, self.rows = {}, {}
        self.rows[state] = self.rows.get(state, 1) + 1
        self.last[state] = max(self.last.get(state, self.first[state]), us)
        if us < self.first[state]:
            self.first[state] = us

    def latest(self, state: str) -> int:
        """Microseconds of the latest row of a state that it has a row of."""
        return self.first[state] if self.last is None else self.last.get(state, self.first[state])

    def newest(self) -> int:
        """Microseconds of the newest of its status rows and samples; 0 when it has none."""
        newest = max(self.first.values(), default=0)
        if self.last:
            newest = max(newest, *self.last.values())
        return newest if self.usage is None else max(newest, self.usage.latest)

    def final(self) -> int:
        """Microseconds of its latest final row; 0 when it has none."""
        if "exec_done" in self.first and self.last is None and _OTHER_FINAL.isdisjoint(self.first):
            return self.first["exec_done"]
        return max((self.latest(state) for state in FINAL if state in self.first), default=0)

    def finished(self) -> bool:
        """Say whether one of its own rows ends it."""
        return "exec_done" in self.first or not _ENDS.isdisjoint(self.first)

    def wasteful(self) -> bool:
        """Say whether what it used was for nothing."""
        return "fail_retryable" in self.first or "failed" in self.first

    def showed_life(self, us: int) -> None:
        """Take a sign of life in a run in which a clock is ahead."""
        self.alive = max(self.activity(), us)

    def activity(self) -> int:
        """Microseconds of its newest sign of life on a block: started, ended or sampled; 0 when none."""
        if self.alive is not None:
            return self.alive
        newest = self.usage.latest if self.usage is not None else 0
        for state in self.first:
            if state in ON_BLOCK:
                newest = max(newest, self.latest(state))
        return newest


class Standing(NamedTuple):
    """Where a task is: its state, and since when (microseconds; earliest row of that state in its try)."""

    state: str
    since: int


class Task:
    """One task and its tries. `app` is None until its task row has come.

    `timed`: its duration has been observed. `partly_closed`: some try of it is closed.
    """

    __slots__ = ("app", "partly_closed", "shown", "timed", "tries")

    def __init__(self) -> None:
        self.app: str | None = None
        self.tries: dict[int, Try] = {}
        self.shown: tuple[str, str, Standing] | None = None
        self.timed = False
        self.partly_closed = False

    def standing(self) -> Standing | None:
        """The greatest of its status rows; None when it has none."""
        if len(self.tries) == 1:
            for one in self.tries.values():
                final = _FINAL_STATES.intersection(one.first)
                if len(final) == 1:
                    (state,) = final
                    return Standing(state, one.first[state])
        best: tuple[int, int, int, str] | None = None
        since = 0
        for try_id, one in self.tries.items():
            for state, first in one.first.items():
                rank = _FINAL_RANK.get(state)
                if rank is None:
                    key = (0, try_id, _RANK.get(state, _UNKNOWN_RANK), state)
                else:
                    key = (1, one.latest(state), rank, state)
                if best is None or key > best:
                    best = key
                    since = first
        return None if best is None else Standing(best[3], since)

    def last_try(self) -> int:
        """The greatest try_id that any row gave; -1 when there is none."""
        return max(self.tries, default=-1)

    def executor(self) -> str:
        """The executor of its latest try."""
        return (self.tries[self.last_try()].executor if self.tries else None) or UNKNOWN

    def first_pending(self) -> int | None:
        """Microseconds of the earliest pending row of any try."""
        return min(
            (one.first["pending"] for one in self.tries.values() if "pending" in one.first), default=None
        )
