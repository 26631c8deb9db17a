"""Parsl's timestamps as integers: microseconds since the epoch, UTC.

Parsl writes naive local times (`datetime.now()`); SQLAlchemy stores them in SQLite as
`YYYY-MM-DD HH:MM:SS.ffffff`. Integers keep differences and sums exact, whatever the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo

import numpy as np

from parsl_exporter.columns import Ints, naive_stamps

MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_CACHED_SECONDS = 65_536
_QUARTER_US = 900 * MICROSECONDS
"""Zones change their offset at a quarter of an hour."""
_FEW_QUARTERS = 400
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
        elif high - low < _FEW_QUARTERS:
            offsets = np.array([self._offset(quarter) for quarter in range(low, high + 1)], np.int64)
            at = naive + offsets[quarters - low]
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
