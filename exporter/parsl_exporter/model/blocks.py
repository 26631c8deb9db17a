"""Blocks: batch jobs that an executor asked for. A block is its latest row; state names: `parsl/jobs/states.py`."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from parsl_exporter.model.histogram import Histograms
from parsl_exporter.model.names import UNKNOWN
from parsl_exporter.model.observations import Summed, shown
from parsl_exporter.model.sketch import sketch_of

BLOCK_STATES = (
    "UNKNOWN",
    "PENDING",
    "RUNNING",
    "CANCELLED",
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "HELD",
    "MISSING",
    "SCALED_IN",
)
TERMINAL = frozenset({"CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "MISSING", "SCALED_IN"})


class Entry(NamedTuple):
    """One row: its place in the order of insertion, and what it says."""

    place: int
    us: int
    state: str
    job_id: str


class Block:
    """One (executor, block_id). Keeps of each unbroken run of equal states the first and the last row.

    `tried`: a try names it.
    """

    __slots__ = ("activity", "entries", "gone_at", "running", "tried")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.running = 0
        self.activity = 0
        self.tried = False
        self.gone_at: float | None = None

    def take(self, entry: Entry) -> None:
        """Take a row; rows normally come in order of insertion."""
        entries = self.entries
        if entries and entry.place < entries[-1].place:
            insort(entries, entry)
            return
        if entries and entry.place == entries[-1].place:
            return
        if len(entries) > 1 and entries[-2].state == entries[-1].state == entry.state:
            entries.pop()
        entries.append(entry)

    def changes(self) -> list[Entry]:
        """The first row of each unbroken run of equal states, in order."""
        return [e for i, e in enumerate(self.entries) if i == 0 or e.state != self.entries[i - 1].state]

    @property
    def state(self) -> str | None:
        """The latest row's state; None for a block that only tries name."""
        return self.entries[-1].state if self.entries else None

    @property
    def job_id(self) -> str:
        """The latest row's job."""
        return self.entries[-1].job_id if self.entries else UNKNOWN

    def queued_us(self) -> int | None:
        """Microseconds from the first PENDING row to the first RUNNING one; None without both."""
        first: dict[str, int] = {}
        for entry in self.entries:
            first.setdefault(entry.state, entry.us)
        if "PENDING" in first and "RUNNING" in first:
            return first["RUNNING"] - first["PENDING"]
        return None

    def ended_us(self) -> int | None:
        """Microseconds at which it entered a terminal state; None while it is in none."""
        if not self.entries or self.entries[-1].state not in TERMINAL:
            return None
        return self.changes()[-1].us


def counts_by_state(blocks: Mapping[tuple[str, str], Block]) -> dict[str, dict[str, int]]:
    """Give for each executor that has blocks how many there are in each state that any is in."""
    counts: dict[str, dict[str, int]] = {}
    for (executor, _), block in blocks.items():
        if block.state is not None:
            of_executor = counts.setdefault(executor, {})
            of_executor[block.state] = of_executor.get(block.state, 0) + 1
    return counts


def queue_times(
    blocks: Mapping[tuple[str, str], Block], bounds: tuple[float, ...]
) -> Iterator[tuple[str, Summed]]:
    """Give for each executor that has blocks the microseconds for which they were queued."""
    queued: dict[str, list[int]] = {}
    for (executor, _), block in blocks.items():
        if block.state is not None:
            of_executor = queued.setdefault(executor, [])
            us = block.queued_us()
            if us is not None:
                of_executor.append(max(0, us))
    for executor, times in queued.items():
        yield executor, _summed(tuple(times), bounds)


@lru_cache(maxsize=256)  # few blocks begin between two drawings
def _summed(times: tuple[int, ...], bounds: tuple[float, ...]) -> Summed:
    values = np.array(times, np.int64)
    histograms = Histograms(bounds, np.int64)
    histograms.observe(np.zeros(len(values), np.int32), values)
    return Summed(histograms.at(0), sketch_of(shown(values)) if times else None)
