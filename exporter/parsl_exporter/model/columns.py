"""Rows as columns: what a reader brings of one run and one table, an array a column.

Stamps are naive microseconds: the calendar time that Parsl wrote, as if it were UTC (`model/stamps.py` makes UTC of
it). A row that does not fit, such as one with a text where a number belongs, comes as a `Row` (`model/intake.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Named(NamedTuple):
    """A column of few different values: `values[codes[i]]` is that of row i, as the database has it."""

    codes: Codes
    values: Sequence[object]

    @classmethod
    def of(cls, column: Sequence[object]) -> Named:
        """Take a column value by value."""
        places = {value: place for place, value in enumerate(dict.fromkeys(column))}
        return cls(np.fromiter(map(places.__getitem__, column), np.int32, len(column)), list(places))

    def only(self, rows: Mask) -> Named:
        """The same of some of the rows."""
        return Named(self.codes[rows], self.values)


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

    def only(self, rows: Mask) -> StatusColumns:
        """Some of the rows."""
        return StatusColumns(self.task_ids[rows], self.try_ids[rows], self.at[rows], self.states.only(rows))


class SampleColumns(NamedTuple):
    """Resource samples: `values` has a column for each of `tables.RESOURCE` after the stamp, NULL as NaN."""

    task_ids: Ints
    try_ids: Ints
    at: Ints
    values: Floats

    def only(self, rows: Mask) -> SampleColumns:
        """Some of the rows."""
        return SampleColumns(self.task_ids[rows], self.try_ids[rows], self.at[rows], self.values[:, rows])


Columns: TypeAlias = TaskColumns | TryColumns | StatusColumns | SampleColumns
