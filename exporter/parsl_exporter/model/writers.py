"""What each writer of a run's tables has written: its newest stamp in the order of insertion.

Where clocks go back an hour comes twice, and its stamps mean two moments. Rows are append only, so a stamp far
below its writer's newest is of the second pass.
"""

from __future__ import annotations

from bisect import bisect_left

from parsl_exporter.model.timestamps import MICROSECONDS, Readings

HALF_AN_HOUR_US = 1_800 * MICROSECONDS
SUBMIT = ""
"""The writer of what is no worker's: task states that the submit process writes, blocks, managers' rows."""
_MOST_MARKS = 20_000
_AFTER_ALL = 1 << 63


class Writer:
    """The greatest stamp up to each place in the order of insertion, where it grew."""

    __slots__ = ("_newest", "_places")

    def __init__(self) -> None:
        self._places: list[int] = []
        self._newest: list[int] = []

    def before(self, place: int) -> int:
        """Microseconds of the newest stamp inserted before `place`; 0 when there is none."""
        i = bisect_left(self._places, place)
        return self._newest[i - 1] if i else 0

    def wrote(self, place: int, us: int) -> None:
        """Take a row's stamp, in any order."""
        places, newest = self._places, self._newest
        i = bisect_left(places, place)
        if (i and newest[i - 1] >= us) or (i < len(places) and places[i] == place and newest[i] >= us):
            return
        places.insert(i, place)
        newest.insert(i, us)
        i += 1
        while i < len(places) and newest[i] <= us:
            del places[i], newest[i]
        if len(places) > _MOST_MARKS:
            del places[:-1:2], newest[:-1:2]


class Writers(dict[tuple[str, str], Writer]):
    """The writers of one run, by table and executor (`SUBMIT` for what no worker writes)."""

    def __missing__(self, key: tuple[str, str]) -> Writer:
        writer = self[key] = Writer()
        return writer

    def read(self, table: str, writer: str, place: int, stamp: Readings) -> int:
        """Give the microseconds of a row's stamp: of its second reading when its writer was far beyond the first.

        Far is half an hour; where less than an hour comes twice, half of that.
        """
        own = self[table, writer]
        so_far = own.before(place or _AFTER_ALL)  # PostgreSQL gives most rows no place: as they come
        far = min(HALF_AN_HOUR_US, (stamp.again - stamp.first) // 2)
        again = stamp.again > stamp.first and so_far - stamp.first > far
        us = stamp.again if again else stamp.first
        own.wrote(place, us)
        return us
