"""Parsl's timestamps as integers: microseconds since the epoch, UTC.

Parsl writes naive local times (`datetime.now()`); SQLAlchemy stores them in SQLite as
`YYYY-MM-DD HH:MM:SS.ffffff`. Integers keep differences and sums exact, whatever the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo

import numpy as np

from parsl_exporter.model.columns import Ints

MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_CACHED_SECONDS = 65_536
_WIDTH = 26
_SHAPE = np.frombuffer(b"0000-00-00 00:00:00.000000", np.uint8)
_DIGITS = np.flatnonzero(ord("0") == _SHAPE)
_OTHERS = np.flatnonzero(ord("0") != _SHAPE)
_QUARTER_US = 900 * MICROSECONDS
"""Zones change their offset at a quarter of an hour."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
BAD = -1
"""Stands for what is no stamp."""


class Stamps(dict[str, int]):
    """Reads stamps of one time zone. As a mapping: the text of a whole second -> its microseconds.

    `zone` None is the process's local zone. Of a repeated hour the first reading is taken.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        super().__init__()
        self._zone = zone

    def __missing__(self, second: str) -> int:
        if len(second) != 19 or not second.isascii():
            raise ValueError(f"not a timestamp: {second!r}")
        if len(self) >= _CACHED_SECONDS:
            self.clear()
        us = self[second] = self._convert(datetime.fromisoformat(second))
        return us

    def _convert(self, moment: datetime) -> int:
        try:
            if moment.tzinfo is None:
                moment = moment.astimezone() if self._zone is None else moment.replace(tzinfo=self._zone)
            us = (moment - _EPOCH) // timedelta(microseconds=1)
        except (OverflowError, OSError):
            us = -1
        if us < 0:
            raise ValueError(f"not a time since 1970: {moment}")
        return us

    def read(self, value: object) -> int:
        """Give the microseconds of a stamp as the database gave it; raise ValueError when it is none."""
        if isinstance(value, str):
            if len(value) == 26:  # as the loops of `intake` read it
                return self[value[:19]] + int(value[20:])
            second, dot, fraction = value.partition(".")
            if dot and fraction.isdigit() and len(second) == 19:
                return self[second] + int(f"{fraction:0<6.6}")
            return self._convert(datetime.fromisoformat(value))
        if isinstance(value, datetime):
            return self._convert(value)
        raise ValueError(f"not a timestamp: {value!r:.80}")

    def utc(self, naive: Ints) -> Ints:
        """Give the microseconds UTC of stamps in naive microseconds; BAD for one before 1970 or out of the calendar."""
        if not len(naive):
            return naive
        quarters = naive // _QUARTER_US
        low, high = int(quarters.min()), int(quarters.max())
        if low == high:
            at = naive + self._offset(low)
        else:
            found, of = np.unique(quarters, return_inverse=True)
            at = naive + np.array([self._offset(quarter) for quarter in found.tolist()], np.int64)[of]
        return np.where((naive >= 0) & (at >= 0), at, BAD)

    def _offset(self, quarter: int) -> int:
        """Microseconds from naive time to UTC in a quarter of an hour."""
        naive = quarter * _QUARTER_US
        try:
            return self[str(_NAIVE_EPOCH + timedelta(microseconds=naive))] - naive
        except (ValueError, OverflowError):
            return -(1 << 62)

    def read_all(self, values: Sequence[object]) -> Ints:
        """Give the microseconds of stamps as the database gave them; BAD for what is none."""
        if set(map(type, values)) == {str}:
            naive = naive_stamps("".join(values), len(values))  # type: ignore[arg-type]  # all are texts
            if naive is not None:
                return self.utc(naive)
        return np.array([self._read_or_bad(value) for value in values], np.int64)

    def _read_or_bad(self, value: object) -> int:
        try:
            return self.read(value)
        except ValueError:
            return BAD


def naive_stamps(text: str, count: int) -> Ints | None:
    """Give the naive microseconds of `count` stamps that stand end to end; None when any is not as Parsl writes it."""
    raw = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    if len(raw) != count * _WIDTH or not count:
        return None
    grid = raw.reshape(count, _WIDTH)
    digits = (grid[:, _DIGITS] - ord("0")).astype(np.int32)
    if (grid[:, _OTHERS] != _SHAPE[_OTHERS]).any() or (digits > 9).any() or (digits < 0).any():
        return None
    day = digits[:, :8] @ np.array([10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1], np.int32)
    hour, minute, second = (digits[:, i] * 10 + digits[:, i + 1] for i in (8, 10, 12))
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        return None
    try:
        if (day == day[0]).all():
            days: Ints | int = _ordinal(int(day[0]))
        else:
            found, of_day = np.unique(day, return_inverse=True)
            days = np.array([_ordinal(d) for d in found.tolist()], np.int64)[of_day]
    except ValueError:
        return None
    seconds = hour * 3_600 + minute * 60 + second
    fraction = digits[:, 14:] @ np.array([100_000, 10_000, 1_000, 100, 10, 1], np.int32)
    naive: Ints = (days * 86_400 + seconds.astype(np.int64)) * MICROSECONDS + fraction
    return naive


def _ordinal(day: int) -> int:
    return date(day // 10_000, day // 100 % 100, day % 100).toordinal() - _EPOCH_DAY
