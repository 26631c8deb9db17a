"""Rows as columns: what a reader brings of one run and one table, an array a column.

Stamps are naive microseconds: the calendar time that Parsl wrote, as if it were UTC (`model/timestamps.py` makes UTC of
it). A row that does not fit, such as one with a text where a number belongs, comes as a `Row` (`model/intake.py`).
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


_SHAPE = np.frombuffer(b"0000-00-00 00:00:00.000000,", np.uint8)
STAMP_LENGTH = len(_SHAPE) - 1
"""Characters of a stamp as Parsl writes it."""
_SLACK = np.frombuffer(b"9999-19-39 29:59:59.999999,", np.uint8) ^ _SHAPE
"""By how much a character of a stamp may differ from that of `_SHAPE`: in the bits in which digits differ from 0."""
_PLACES = np.arange(len(_SHAPE))
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, *[0] * 7], np.uint8)
"""Of each month, and none of what is no month, up to 19."""
_MICROSECONDS = 1_000_000
_FEW = 64
_SPREAD = 4
"""Integers no further apart than so many times their number are told apart by a table of all from the least on."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
EARLIEST_US = 86_400 * _MICROSECONDS
LATEST_US = (date(9999, 12, 28).toordinal() - _EPOCH_DAY) * 86_400 * _MICROSECONDS
"""Naive microseconds from which on, and before which, any zone makes a time that can be reckoned with."""
TOO_MUCH = 1e300
"""Sums of numbers between it and its negative hold neither infinity nor NaN."""


class _Places(dict[object, int]):
    """Of each value its place among the different ones, in the order in which they are asked for."""

    def __missing__(self, value: object) -> int:
        place = self[value] = len(self)
        return place


class Named(NamedTuple):
    """A column of few different values: `values[codes[i]]` is that of row i, as the database has it."""

    codes: Codes
    values: Sequence[object]

    @classmethod
    def of(cls, column: Sequence[object]) -> Named:
        """Take a column value by value."""
        places = _Places()
        return cls(np.fromiter(map(places.__getitem__, column), np.int32, len(column)), list(places))

    def only(self, rows: Mask | Ints) -> Named:
        """The same of some of the rows."""
        return Named(self.codes[rows], self.values)

    @classmethod
    def joined(cls, parts: Sequence[Named]) -> Named:
        """Put columns one below the other."""
        values: list[object] = []
        codes: list[Codes] = []
        for part in parts:
            codes.append(part.codes + np.int32(len(values)))
            values += part.values
        return cls(np.concatenate(codes), values)


class TaskColumns(NamedTuple):
    """Task rows."""

    task_ids: Ints
    apps: Named

    def only(self, rows: Mask) -> TaskColumns:
        """Some of the rows."""
        return TaskColumns(self.task_ids[rows], self.apps.only(rows))


class TryColumns(NamedTuple):
    """Try rows."""

    task_ids: Ints
    try_ids: Ints
    executors: Named
    blocks: Named
    hosts: Named
    histories: Named

    def only(self, rows: Mask) -> TryColumns:
        """Some of the rows."""
        names = (column.only(rows) for column in self[2:])
        return TryColumns(self.task_ids[rows], self.try_ids[rows], *names)


class StatusColumns(NamedTuple):
    """Status rows; `at` is in naive microseconds."""

    task_ids: Ints
    try_ids: Ints
    at: Ints
    states: Named

    def only(self, rows: Mask | Ints) -> StatusColumns:
        """Some of the rows."""
        return StatusColumns(self.task_ids[rows], self.try_ids[rows], self.at[rows], self.states.only(rows))

    @classmethod
    def joined(cls, parts: Sequence[StatusColumns]) -> StatusColumns:
        """Put columns one below the other."""
        *numbers, states = zip(*parts, strict=True)
        task_ids, try_ids, at = map(np.concatenate, numbers)
        return cls(task_ids, try_ids, at, Named.joined(states))


class SampleColumns(NamedTuple):
    """Resource samples: `values` has a column for each of `tables.RESOURCE` after the stamp, NULL as NaN."""

    task_ids: Ints
    try_ids: Ints
    at: Ints
    values: Floats

    def only(self, rows: Mask | Ints) -> SampleColumns:
        """Some of the rows."""
        return SampleColumns(self.task_ids[rows], self.try_ids[rows], self.at[rows], self.values[:, rows])

    @classmethod
    def joined(cls, parts: Sequence[SampleColumns]) -> SampleColumns:
        """Put columns one below the other."""
        *numbers, values = zip(*parts, strict=True)
        task_ids, try_ids, at = map(np.concatenate, numbers)
        return cls(task_ids, try_ids, at, np.concatenate(values, axis=1))


_Integer = TypeVar("_Integer", bound=np.integer[Any])

Columns: TypeAlias = TaskColumns | TryColumns | StatusColumns | SampleColumns


def naive_stamps(text: str, count: int) -> Ints | None:
    """Give the naive microseconds of `count` stamps with a comma between them; None when any is not as Parsl writes it.

    With the commas none that is too short is made whole by the next one.
    """
    raw = np.frombuffer(f"{text},".encode("utf-8", "surrogatepass"), np.uint8)
    if len(raw) != count * len(_SHAPE) or not count:
        return None
    stamps = raw.reshape(count, -1)
    differ = stamps[:, _PLACES]  # a copy that lies column by column, which is quicker to go through
    differ ^= _SHAPE
    if any_of(differ > _SLACK) or not _in_calendar(stamps, differ):
        return None
    # NumPy is given times alone: an error of this cast may end the process (2.3 and 2.4; astropy/astropy#18254).
    return stamps[:, :STAMP_LENGTH].view(f"S{STAMP_LENGTH}")[:, 0].astype("datetime64[us]").astype(np.int64)


def _in_calendar(stamps: npt.NDArray[np.uint8], digits: npt.NDArray[np.uint8]) -> bool:
    """Say whether stamps whose digits each fit are of days and hours that there are."""
    month, day, hour = (digits[:, at] * 10 + digits[:, at + 1] for at in (5, 8, 11))
    if any_of(hour > 23):
        return False
    beyond = day - 1 >= _DAYS[month]  # 0 - 1 is 255
    if not any_of(beyond):
        return True
    days = set(stamps[:, :10][beyond].view("S10")[:, 0].tolist())
    return all(day[4:] == b"-02-29" and isleap(int(day[:4])) for day in days)


def distinct(values: npt.NDArray[_Integer]) -> npt.NDArray[_Integer]:
    """Give the different ones of integers, least first: as `numpy.unique`, but quickly of few, as most polls bring."""
    if len(values) <= 1:
        return values
    if len(values) <= _FEW:
        return np.array(sorted(set(values.tolist())), values.dtype)
    least, size = _range(values)
    if size <= _SPREAD * len(values):
        there = np.full(size, False)
        there[values - least] = True
        return (indices(there) + least).astype(values.dtype)
    ordered = np.sort(values)
    return ordered[begins_of(ordered)]


def grouped(values: npt.NDArray[_Integer]) -> tuple[Ints, Ints]:
    """Give where each different one of integers is first, in their order, and of each value which of them it is.

    As `numpy.unique` with `return_index` and `return_inverse`, but quickly of few.
    """
    if len(values) <= _FEW:
        listed = values.tolist()
        places = {value: place for place, value in enumerate(sorted(set(listed)))}
        of = [places[value] for value in listed]
        return np.array([listed.index(value) for value in places], np.int64), np.array(of, np.int64)
    least, size = _range(values)
    if size <= _SPREAD * len(values):
        at = values - least
        firsts: Ints = np.full(size, len(values), np.int64)
        np.minimum.at(firsts, at, np.arange(len(values)))
        there = indices(firsts < len(values))
        ranks: Ints = np.empty(size, np.int64)
        ranks[there] = np.arange(len(there))
        return firsts[there], ranks[at]
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first, inverse


def _range(values: npt.NDArray[_Integer]) -> tuple[int, int]:
    """Give the least of integers, and how many there are from that to the greatest."""
    least = int(values.min())
    return least, int(values.max()) - least + 1


def begins_of(values: npt.NDArray[_Integer]) -> Mask:
    """Say of integers, equal ones of which stand side by side, where each different one begins."""
    found = np.full(len(values), True)
    found[1:] = values[1:] != values[:-1]
    return found


def ends_of(values: npt.NDArray[_Integer]) -> tuple[Ints, Ints]:
    """Give where each different one of integers is first, and where last; equal ones stand side by side."""
    begins = begins_of(values)
    return indices(begins), indices(np.append(begins[1:], True)[: len(begins)])


def paired(ones: npt.NDArray[_Integer], others: npt.NDArray[_Integer]) -> Ints:
    """Give a number for each pair of integers from 0 on, no greater than need be: close ones are told apart quickly."""
    return ones.astype(np.int64) * (int(others.max(initial=0)) + 1) + others


def any_of(mask: Mask) -> bool:
    """Say whether any is true, as `mask.any()` does, which takes four times as long of few."""
    return bool(np.count_nonzero(mask))


def indices(mask: Mask) -> Ints:
    """Give where it is true, as `numpy.flatnonzero` does, which takes ten times as long of few."""
    return mask.nonzero()[0]
