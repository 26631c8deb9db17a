"""The greatest of many entries that can be taken back, in bounded memory."""

from __future__ import annotations

import numpy as np

from parsl_exporter.base.columns import Ints, Mask

_KEPT = 16
"""Entries of a row that are kept while any may still be taken back."""
_AT_ONCE = 16_384
_LEAST = np.iinfo(np.int64).min


class Greatest:
    """Of each row (a number of its own, from 0) the greatest entry: some integers, the first of which weighs most.

    Of each row the greatest few are kept, each as often as it was entered, and a mark below which others were let go:
    so the greatest is known, or it is known that it is not, when all those few were taken back and none as great
    came instead. Nothing depends on the order in which entries come.
    """

    def __init__(self, width: int) -> None:
        """`width`: how many integers an entry has."""
        self._kept = _KEPT
        self._entries: Ints = np.empty((0, 1 + width), np.int64)  # the row first; in order
        self._times: Ints = np.empty(0, np.int64)
        self._mark: Mask = np.empty(0, np.bool_)
        self._least: Ints = np.empty(0, np.int64)
        self._coming: list[tuple[Ints, int]] = []
        self._count = 0

    def __len__(self) -> int:
        """The number of entries held."""
        return len(self._entries) + self._count

    def fix(self) -> None:
        """Nothing is taken back from now on: the greatest alone is kept."""
        if self._kept > 1:
            self._kept = 1
            self._sort()

    def enter(self, entries: Ints, times: int = 1) -> None:
        """Take entries, an array of one a line: its row, then its integers; `times` -1 takes earlier ones back."""
        if not len(entries):
            return
        rows = entries[:, 0]
        size = int(rows.max()) + 1
        if size > len(self._least):
            more = np.full(max(size - len(self._least), len(self._least)), _LEAST)
            self._least = np.concatenate([self._least, more])
        near = entries[:, 1] >= self._least[rows]
        if not near.all():
            entries = entries[near]
        self._coming.append((entries, times))
        self._count += len(entries)
        if self._count > max(_AT_ONCE, 2 * len(self._entries)):
            self._sort()

    def known(self) -> Ints:
        """Give the greatest entry of each row, but of rows of which it is not known: its row, then its integers."""
        if self._count:
            self._sort()
        last = _last_of_rows(self._entries)
        return self._entries[last & ~self._mark]

    def _sort(self) -> None:
        parts = [self._entries, *(entries for entries, _ in self._coming)]
        times = [self._times, *(np.full(len(entries), times) for entries, times in self._coming)]
        entries = np.concatenate(parts)
        self._coming.clear()
        self._count = 0
        if not len(entries):
            return
        order = np.lexsort(entries.T[::-1])
        entries = entries[order]
        mark = np.concatenate([self._mark, np.full(len(entries) - len(self._mark), False)])[order]
        begins = np.flatnonzero(np.r_[True, (entries[1:] != entries[:-1]).any(axis=1)])
        counts = np.add.reduceat(np.concatenate(times)[order], begins)
        mark = np.logical_or.reduceat(mark, begins)
        entries = entries[begins]
        there = mark | (counts > 0)
        entries, counts, mark = entries[there], counts[there], mark[there]
        keep = ~_below_a_mark(entries, mark)
        entries, counts, mark = entries[keep], counts[keep], mark[keep]
        last = np.flatnonzero(_last_of_rows(entries))
        rank = np.repeat(last, np.diff(last, prepend=-1)) - np.arange(len(entries))
        if self._kept > 1:
            mark |= rank == self._kept
            keep = rank <= self._kept
            self._least[entries[mark, 0]] = entries[mark, 1]
        else:
            keep = rank == 0
            self._least[entries[keep, 0]] = entries[keep, 1]
        self._entries, self._times, self._mark = entries[keep], counts[keep], mark[keep]


def _last_of_rows(entries: Ints) -> Mask:
    """Say of sorted entries whether they are the last, and so the greatest, of their row."""
    rows = entries[:, 0]
    return np.asarray(np.append(rows[1:] != rows[:-1], np.full(min(1, len(rows)), True)))


def _below_a_mark(entries: Ints, mark: Mask) -> Mask:
    """Say of sorted entries whether a marked one of the same row comes later."""
    count = len(entries)
    marks = np.append(np.where(mark, np.arange(count), count), count)
    following = np.minimum.accumulate(marks[::-1])[::-1][1:]
    rows = np.append(entries[:, 0], -1)
    return np.asarray(rows[following] == rows[:-1])
