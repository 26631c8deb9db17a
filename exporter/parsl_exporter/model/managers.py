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

    __slots__ = ("alive_us", "gone_at", "latest")

    def __init__(self, row: NodeRow) -> None:
        self.latest = row
        self.alive_us = 0
        self.gone_at: float | None = None

    def take(self, row: NodeRow, alive_us: int) -> None:
        """Take one more snapshot, in any order; `alive_us` is the newest sign of life of those that it stands for."""
        if row.place > self.latest.place:
            self.latest = row
        self.alive_us = max(self.alive_us, alive_us)


class Host:
    """What tries do on one host: CPU seconds used so far, and what runs there now."""

    __slots__ = ("cpu", "gone_at", "resident", "running")

    def __init__(self) -> None:
        self.cpu = 0.0
        self.running = 0
        self.resident = 0.0
        self.gone_at: float | None = None
