"""Parsl's timestamps as integers: microseconds since the epoch, UTC.

Parsl writes naive local times (`datetime.now()`); SQLAlchemy stores them in SQLite as
`YYYY-MM-DD HH:MM:SS.ffffff`. Integers keep differences and sums exact, whatever the order of rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_CACHED_SECONDS = 65_536


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
