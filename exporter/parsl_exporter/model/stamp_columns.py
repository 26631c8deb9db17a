"""Many of Parsl's timestamps at once: `stamps.Stamps` for a column. Needs numpy."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

from parsl_exporter.model.stamps import MICROSECONDS, Stamps

_WIDTH = 26
_SHAPE = np.frombuffer(b"0000-00-00 00:00:00.000000", np.uint8)
_DIGITS = np.flatnonzero(ord("0") == _SHAPE)
_OTHERS = np.flatnonzero(ord("0") != _SHAPE)
_QUARTER = 900
"""Seconds: an offset that holds at both ends of a quarter of an hour holds within."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def read_stamps(text: str, count: int, stamps: Stamps) -> npt.NDArray[np.int64] | None:
    """Give the microseconds of `count` stamps that stand end to end.

    None when any is not as Parsl writes it, may have come twice, or lies within minutes of a change of the zone.
    """
    raw = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    if len(raw) != count * _WIDTH or not count:
        return None
    grid = raw.reshape(count, _WIDTH)
    digits = (grid[:, _DIGITS] - ord("0")).astype(np.int64)
    if (grid[:, _OTHERS] != _SHAPE[_OTHERS]).any() or (digits > 9).any():
        return None
    day = digits[:, :8] @ np.array([10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1])
    hour, minute, second = (digits[:, i : i + 2] @ np.array([10, 1]) for i in (8, 10, 12))
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        return None
    days, of_day = np.unique(day, return_inverse=True)
    try:
        ordinals = [
            date(d // 10_000, d // 100 % 100, d % 100).toordinal() - _EPOCH_DAY for d in days.tolist()
        ]
    except ValueError:
        return None
    naive = np.array(ordinals)[of_day] * 86_400 + hour * 3_600 + minute * 60 + second
    quarters, of_quarter = np.unique(naive // _QUARTER, return_inverse=True)
    try:
        offsets, ends = (
            [stamps[_text(s)] - s * MICROSECONDS for s in (quarters * _QUARTER + more).tolist()]
            for more in (0, _QUARTER - 1)
        )
    except (ValueError, OverflowError, OSError):
        return None
    if offsets != ends:  # as also where either came twice: those are negative
        return None
    fraction = digits[:, 14:] @ np.array([100_000, 10_000, 1_000, 100, 10, 1])
    us: npt.NDArray[np.int64] = naive * MICROSECONDS + fraction + np.array(offsets)[of_quarter]
    return us


def _text(naive: int) -> str:
    day, rest = divmod(naive, 86_400)
    moment = date.fromordinal(day + _EPOCH_DAY).isoformat()
    return f"{moment} {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
