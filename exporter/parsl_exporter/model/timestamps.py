"""Parsl's timestamps as integers: microseconds since the epoch, UTC.

Parsl writes naive local times (`datetime.now()`); SQLAlchemy stores them in SQLite as
`YYYY-MM-DD HH:MM:SS.ffffff`. Integers keep differences and sums exact, whatever the order of rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import LATEST_US, Ints, indices, naive_stamps

MICROSECONDS = 1_000_000
NO_STAMP = -(1 << 62)
"""Stands, in a column, for what is no stamp or none that can be reckoned with."""
QUARTER_US = 900 * MICROSECONDS
"""Zones differ by whole quarter hours."""
_FEW_QUARTERS = 400
_DAY_US = 86_400 * MICROSECONDS
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_LATEST_US = LATEST_US + 2 * _DAY_US  # of which any zone still makes a local time
_CACHED_SECONDS = 65_536


class Readings(NamedTuple):
    """What a stamp may mean. The two differ where clocks went back and the stamp came twice: see `writers`."""

    first: int
    again: int


class Stamps(dict[str, int]):
    """Reads stamps of one time zone. As a mapping: the text of a whole second -> its microseconds.

    A second that comes twice has its first reading there times -1, so that one comparison tells it.
    `zone` None is the process's local zone; `name` tells zones apart.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        super().__init__()
        self.name = str(zone)
        self._zone = zone
        self._repeats_of = cache(self._find_repeats)
        self._offset_in = cache(self._find_offset)

    def __missing__(self, second: str) -> int:
        if len(second) != 19 or not second.isascii():
            raise ValueError(f"not a timestamp: {second!r}")
        if len(self) >= _CACHED_SECONDS:
            self.clear()
        us = self[second] = _marked(self._both(datetime.fromisoformat(second)))
        return us

    def _both(self, moment: datetime) -> Readings:
        first = self._convert(moment)
        if moment.tzinfo is not None:
            return Readings(first, first)
        # In an hour that a change skips the second reading is the earlier one: such a stamp has one meaning.
        return Readings(first, max(first, self._convert(moment.replace(fold=1))))

    def _convert(self, moment: datetime) -> int:
        try:
            if moment.tzinfo is None:
                moment = moment.astimezone() if self._zone is None else moment.replace(tzinfo=self._zone)
            us = (moment - _EPOCH) // timedelta(microseconds=1)
        except (OverflowError, OSError):
            us = -1
        if not 0 <= us < _LATEST_US:
            raise ValueError(f"not a time from 1970 to 9999: {moment}")
        return us

    def readings(self, value: object) -> Readings:
        """Give the microseconds of a stamp as the database gave it; raise ValueError when it is none."""
        if isinstance(value, str):
            second, dot, fraction = value.partition(".")
            if dot and fraction.isdigit() and fraction.isascii() and len(second) == 19:
                both = self._both(datetime.fromisoformat(second))
                us = int(f"{fraction:0<6.6}")
                return Readings(both.first + us, both.again + us)
            return self._both(datetime.fromisoformat(value))
        if isinstance(value, datetime):
            return self._both(value.replace(fold=0))
        raise ValueError(f"not a timestamp: {value!r:.80}")

    def read(self, value: object) -> int:
        """Give the first reading of a stamp; raise ValueError when it is none."""
        return self.readings(value).first

    def marked(self, value: object) -> int:
        """Give a stamp's microseconds, times -1 where it came twice; raise ValueError when it is none."""
        return _marked(self.readings(value))

    # --- columns --------------------------------------------------------------------------------------------

    def naive(self, values: Sequence[object]) -> Ints:
        """Give stamps as the database gave them in naive microseconds; NO_STAMP for what is none."""
        if set(map(type, values)) == {str}:
            naive = naive_stamps(",".join(values), len(values))  # type: ignore[arg-type]  # all are texts
            if naive is not None:
                return naive
        return np.array([self._naive(value) for value in values], np.int64)

    def _naive(self, value: object) -> int:
        try:
            us = self.readings(value).first
        except ValueError:
            return NO_STAMP
        return us + self.offset_us(us)

    def marked_all(self, naive: Ints) -> Ints:
        """Give the microseconds of stamps in naive ones, as `marked` does; NO_STAMP where there is none."""
        if not len(naive):
            return naive
        low, high = int(naive.min()) // QUARTER_US, int(naive.max()) // QUARTER_US
        if low == high and (offset := self._offset_in(low)) != NO_STAMP:
            return naive + offset
        quarters = naive // QUARTER_US
        if high - low < _FEW_QUARTERS:
            found, of = np.arange(low, high + 1), quarters - low
        else:
            found, of = np.unique(quarters, return_inverse=True)
        offsets = np.array([self._offset_in(quarter) for quarter in found.tolist()], np.int64)[of]
        us = naive + offsets
        for i in indices(offsets == NO_STAMP).tolist():
            us[i] = self._marked_naive(int(naive[i]))
        return us

    def _find_offset(self, quarter: int) -> int:
        """Microseconds from naive time to UTC in a quarter of an hour; NO_STAMP where it is not one throughout."""
        begin = quarter * QUARTER_US
        ends = [self._marked_naive(naive) for naive in (begin, begin + QUARTER_US - MICROSECONDS)]
        offset = ends[0] - begin
        return offset if min(ends) >= 0 and ends[1] - ends[0] == QUARTER_US - MICROSECONDS else NO_STAMP

    def _marked_naive(self, naive: int) -> int:
        second, fraction = divmod(naive, MICROSECONDS)
        try:
            both = self._both(_NAIVE_EPOCH + timedelta(seconds=second))
        except (ValueError, OverflowError):
            return NO_STAMP
        return _marked(Readings(both.first + fraction, both.again + fraction))

    def again(self, naive: int) -> int:
        """Give the second reading of a stamp in naive microseconds."""
        second, fraction = divmod(naive, MICROSECONDS)
        return self._both(_NAIVE_EPOCH + timedelta(seconds=second)).again + fraction

    # --- hours that come twice ------------------------------------------------------------------------------

    def watched_from(self, begin_us: int, now_us: int) -> int:
        """Give the end of the first repeated hour that a run which begins at `begin_us` can have lived through.

        From there on its writers' newest stamps tell how a straggler's is to be read. A stamp may lie a day before
        the one that a reader sees first. Far in the future when there is none until `now_us`.
        """
        years = range(_year(begin_us - _DAY_US), _year(max(begin_us, now_us)) + 2)
        ends = [end for year in years for end in self._repeats_of(year)]
        place = bisect_right(ends, begin_us - _DAY_US)
        return ends[place] if place < len(ends) else 1 << 62

    def repeats_between(self, first: object, last: object) -> bool:
        """Say whether a stamp from `first` to `last`, both as the database has them, may have come twice."""
        low, high = self.readings(first).first, self.readings(last).again
        years = range(_year(low), _year(high) + 1)
        # Of a repeated hour both passes: as long again before its end as the change is.
        return any(
            low < end and high >= end - 4 * 3_600 * MICROSECONDS for y in years for end in self._repeats_of(y)
        )

    def offset_us(self, us: int) -> int:
        """Give by how much local time is ahead of UTC at a moment."""
        offset = (_EPOCH + timedelta(microseconds=us)).astimezone(self._zone).utcoffset() or timedelta()
        return offset // timedelta(microseconds=1)

    def _find_repeats(self, year: int) -> tuple[int, ...]:
        """The ends of the second passes of the hours that a year repeats."""
        if self._zone is not None and self._zone.utcoffset(None) is not None:  # a fixed one
            return ()
        ends = []
        begin = _since_epoch(datetime(year, 1, 1, tzinfo=timezone.utc))
        end = _since_epoch(datetime(year + 1, 1, 1, tzinfo=timezone.utc))
        before = self.offset_us(begin)
        for day in range(begin, end, _DAY_US):
            after = self.offset_us(day + _DAY_US)
            if after < before:
                low, high = day, day + _DAY_US
                while high - low > MICROSECONDS:
                    middle = (low + high) // 2 // MICROSECONDS * MICROSECONDS
                    low, high = (low, middle) if self.offset_us(middle) == after else (middle, high)
                ends.append(high + before - after)
            before = after
        return tuple(ends)


def _marked(both: Readings) -> int:
    return both.first if both.first == both.again else -both.first


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _year(us: int) -> int:
    return min(max(1970, (_EPOCH + timedelta(microseconds=max(0, us))).year), 9_997)
