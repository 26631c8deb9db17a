"""Managers (HTEX worker pools) and the hosts that they and tries run on. A manager is its latest node row."""

from __future__ import annotations

from typing import NamedTuple


class NodeRow(NamedTuple):
    """A snapshot of a manager; `place` is node.id, stamps are microseconds, memory is bytes."""

    place: int
    hostname: str
    block_id: str
    cpus: float
    memory: float
    active: bool
    workers: float
    python: str
    us: int
    heartbeat_us: int


class Manager:
    """One manager (node.uid) of a run. `alive_us`: its newest stamp, each no later than when its row was taken."""

    __slots__ = ("_active_from", "_active_to", "alive_us", "gone_at", "latest")

    def __init__(self, row: NodeRow) -> None:
        self._active_from: int | None = None
        self._active_to: int | None = None
        self.latest = row
        self.alive_us = 0
        self.gone_at: float | None = None

    def take(self, row: NodeRow, alive_us: int) -> None:
        """Take one more snapshot, in any order; `alive_us` is the newest sign of life of those that it stands for."""
        if row.place > self.latest.place:
            self.latest = row
        self.alive_us = max(self.alive_us, alive_us)

    def take_active(self, first: int, last: int) -> None:
        """Note the places of the first and the last of some rows with active=1."""
        self._active_from = first if self._active_from is None else min(first, self._active_from)
        self._active_to = last if self._active_to is None else max(last, self._active_to)

    @property
    def connected(self) -> bool:
        """Say whether it can run tasks, as `staleness.mark_gone` found before this drawing."""
        return self.gone_at is None

    @property
    def worked(self) -> bool:
        """Say whether it wrote a second row with active=1.

        One comes at its start, every other at a dispatch or a result (`executors/high_throughput/interchange.py`).
        """
        return self._active_from != self._active_to


class Host:
    """What tries do on one host: CPU seconds used so far, by how many that were sampled, and what runs there now."""

    __slots__ = ("cpu", "gone_at", "resident", "running", "sampled")

    def __init__(self) -> None:
        self.cpu = 0.0
        self.sampled = 0.0
        self.running = 0
        self.resident = 0.0
        self.gone_at: float | None = None

    def plus(self, other: Host, *, over: bool) -> Host:
        """Both as one; CPU of the other counts once the run is over."""
        host = Host()
        host.cpu = self.cpu + (other.cpu if over else 0.0)
        host.running, host.resident = self.running + other.running, self.resident + other.resident
        return host
