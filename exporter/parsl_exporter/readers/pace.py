"""How long reads take, and how much the next one asks for."""

from __future__ import annotations


class ReadTimes:
    """Seconds of read transactions: the `longest` since that was last set to 0, and `total` of all."""

    def __init__(self) -> None:
        self.longest = self.total = 0.0

    def add(self, seconds: float) -> None:
        """Note a read that took so long."""
        self.total += seconds
        self.longest = max(self.longest, seconds)


class BatchSize:
    """How many rows or pages the next read asks for: `now`, never fewer than `least` nor more than `most`."""

    def __init__(self, least: int, most: int, now: int | None = None) -> None:
        self.least = least
        self.most = most
        self.now = most if now is None else now

    def scale(self, factor: float) -> bool:
        """Ask for so many times as much; say whether that is within the limits, at one of which it is otherwise."""
        wanted = int(self.now * factor)
        self.now = min(self.most, max(self.least, wanted))
        return self.now == wanted
