"""Workers whose stamps speak against the zone that they are read in.

A try cannot begin before it was launched, nor end after its final row. Where all tries of an executor on a host do,
by about the same whole quarter hours, that host writes the time of another zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import (
    Codes,
    any_of,
    grouped,
    indices,
    paired,
)
from parsl_exporter.model.contribution import final_at
from parsl_exporter.model.states import LAUNCHED, RUNNING, RUNNING_ENDED
from parsl_exporter.model.timestamps import MICROSECONDS, QUARTER_US
from parsl_exporter.model.tries import Tries

_NEAR_US = 180 * MICROSECONDS
"""By how much a try may miss a whole quarter hour: the time that it took to begin, or to be told that it ended."""
_FINE = 0


class Offset(NamedTuple):
    """A host whose clock is `us` ahead of what its stamps are read as (negative: behind), in whole quarter hours."""

    executor: str
    host: str
    us: int


class Offsets:
    """What the tries of a run say of their hosts' clocks, in whatever order they come."""

    __slots__ = ("_fine", "_quarters")

    def __init__(self) -> None:
        self._fine: set[tuple[str, str]] = set()
        self._quarters: dict[tuple[str, str], set[int]] = {}

    def note(self, tries: Tries, places: Codes, texts: Sequence[str]) -> None:
        """Take what tries say as far as their rows have come; said again it counts once."""
        told = (tries.host[places] >= 0) & (tries.executor[places] >= 0)
        told &= (tries.last[places, LAUNCHED] >= 0) & (tries.last[places, RUNNING] >= 0)
        if not any_of(told):
            return
        places = places[told]
        final = final_at(tries, places)
        begin = tries.first[places, RUNNING] - tries.first[places, LAUNCHED]
        has_end = (tries.last[places, RUNNING_ENDED] >= 0) & (final >= 0)
        end = np.where(has_end, tries.first[places, RUNNING_ENDED] - final, 0)
        fine = (begin > -QUARTER_US // 2) & (end < QUARTER_US // 2)
        odd = indices(~fine)
        # Of those that say nothing against it one a host is enough.
        whole = indices(fine & has_end)
        ones, _ = grouped(paired(tries.executor[places[whole]], tries.host[places[whole]]))
        for i in (*whole[ones].tolist(), *odd.tolist()):
            place = texts[tries.executor[places[i]]], texts[tries.host[places[i]]]
            self.add(*place, int(begin[i]), int(end[i]) if has_end[i] else None)

    def add(self, executor: str, host: str, begin_us: int, end_us: int | None) -> None:
        """Take by how much a try began after it was launched, and ended after its final row (None: not yet)."""
        place = (executor, host)
        if place in self._fine:
            return
        if begin_us > -QUARTER_US // 2 and (end_us is None or end_us < QUARTER_US // 2):
            if end_us is not None:
                self._fine.add(place)
                self._quarters.pop(place, None)
            return
        # The end tells it best: what is done is told at once, while a launched task may wait for long.
        us = begin_us if end_us is None else end_us
        quarters = round(us / QUARTER_US)
        if abs(us - quarters * QUARTER_US) <= _NEAR_US and quarters != _FINE:
            self._quarters.setdefault(place, set()).add(quarters)
        elif end_us is not None:
            self._quarters.setdefault(place, set()).add(_FINE)

    def found(self) -> list[Offset]:
        """Give the hosts all of whose tries say the same."""
        return [
            Offset(*place, quarters.copy().pop() * QUARTER_US)
            for place, quarters in self._quarters.items()
            if len(quarters) == 1 and _FINE not in quarters
        ]


def zone_name(offset_us: int) -> str:
    """What to call the zones that are so far ahead of UTC."""
    quarters = round(offset_us / QUARTER_US)
    if quarters == 0:
        return "UTC"
    sign, hours, rest = "+" if quarters > 0 else "-", abs(quarters) // 4, abs(quarters) % 4
    return f"UTC{sign}{hours:02}:{15 * rest:02}"
