"""The facts of one (app, executor) pair of a run, as plain numbers."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from typing import NamedTuple

from parsl_exporter.model.histogram import Histogram
from parsl_exporter.model.stamps import MICROSECONDS
from parsl_exporter.model.usage import CUMULATIVE

TIMED = ("pending", "launched", "running", "joining")
"""The states whose duration is observed, and in which a task is said to wait."""


class Buckets(NamedTuple):
    """Upper bounds: of durations in microseconds, of CPU seconds, of bytes."""

    durations: tuple[int, ...]
    seconds: tuple[float, ...]
    bytes: tuple[float, ...]

    @classmethod
    def of(cls, seconds: tuple[float, ...], size: tuple[float, ...]) -> Buckets:
        """Take both lists as configured: seconds and bytes, ascending, without +Inf."""
        return cls(tuple(round(s * MICROSECONDS) for s in seconds), seconds, size)


class Group:
    """Counts and sums of one (app, executor). Durations are in microseconds, everything else as sampled.

    `counted`: a try has gone into its counters.
    """

    __slots__ = (
        "_waiting",
        "counted",
        "cpu",
        "durations",
        "failures",
        "peak",
        "processes",
        "resident",
        "running",
        "task_duration",
        "tasks",
        "transitions",
        "used",
        "virtual",
        "wasted",
    )

    def __init__(self, buckets: Buckets) -> None:
        self.counted = False
        self.tasks: defaultdict[str, int] = defaultdict(int)
        self.transitions: defaultdict[str, int] = defaultdict(int)
        self.failures: defaultdict[str, int] = defaultdict(int)
        self.durations = {state: Histogram(buckets.durations) for state in TIMED}
        self.task_duration = Histogram(buckets.durations)
        self.used = [0.0] * CUMULATIVE
        self.wasted = 0.0
        self.cpu = Histogram(buckets.seconds)
        self.peak = Histogram(buckets.bytes)
        self.running = 0
        self.resident = 0.0
        self.virtual = 0.0
        self.processes = 0.0
        self._waiting: dict[str, _Oldest] = {}

    def empty(self) -> bool:
        """Say whether it holds nothing: a pair that was only shown until its rows were complete."""
        return not (self.counted or self.running or any(self.tasks.values()))

    def entered(self, state: str, us: int, task_id: int) -> None:
        """A task is in `state` since `us`."""
        self._waiting.setdefault(state, _Oldest()).add(us, task_id)

    def left(self, state: str, us: int, task_id: int) -> None:
        """The task is not in `state` since `us` any more."""
        self._waiting[state].remove(us, task_id)

    def oldest(self, state: str) -> int | None:
        """Microseconds at which the longest-waiting task entered `state`; None when none is in it."""
        oldest = self._waiting.get(state)
        return None if oldest is None else oldest.first()


class _Oldest:
    """The least of a changing set: a heap whose removed members are dropped when they surface."""

    __slots__ = ("_heap", "_members")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._members: set[tuple[int, int]] = set()

    def add(self, us: int, task_id: int) -> None:
        self._members.add((us, task_id))
        heappush(self._heap, (us, task_id))

    def remove(self, us: int, task_id: int) -> None:
        self._members.discard((us, task_id))
        if len(self._heap) > 64 + 4 * len(self._members):
            self._heap = sorted(self._members)

    def first(self) -> int | None:
        while self._heap and self._heap[0] not in self._members:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
