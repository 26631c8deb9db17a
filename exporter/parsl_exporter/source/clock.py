"""The two clocks that everything of a source goes by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """`wall`: UTC epoch seconds, may step. `steady`: seconds that only go forward."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class OwnClock:
    """A clock of one source, which can go on where that of an exporter before has stopped."""

    def __init__(self, clock: Clock) -> None:
        self._process = clock
        self._ahead = 0.0
        self.clock = Clock(clock.wall, self._steady)

    def _steady(self) -> float:
        return self._process.steady() + self._ahead

    def go_on_from(self, steady: float, wall: float) -> None:
        """Have `steady` be what it is now if it was `steady` at `wall`, some time before."""
        self._ahead = steady + max(0.0, self._process.wall() - wall) - self._process.steady()
