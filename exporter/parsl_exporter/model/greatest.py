"""The greatest of many entries that can be taken back, in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from parsl_exporter.base.columns import Ints, Mask, indices

_KEPT = 16
"""Entries of a row that are kept while any may still be taken back."""
_AT_ONCE = 16_384
_INDEX_BITS = 32
"""Of how many entries at once an index has room beside a row."""
_LEAST = np.iinfo(np.int64).min


class _Coming(NamedTuple):
    """Entries, how often each is entered, and whether others below it were let go."""

    entries: Ints
    times: Ints
    mark: Mask


class Greatest:
    """Of each row (a number from 0) the greatest entry: some integers, the first of which weighs most.

    Of each row the greatest few are kept, each as often as it was entered, and a mark below which others were let go:
    so the greatest is known, or it is known that it is not, when all those few were taken back and none as great
    came instead. Nothing depends on the order in which entries come.
    """

    def __init__(self, width: int) -> None:
        """`width`: how many integers an entry has."""
        self._most = _KEPT
        self._entries: Ints = np.empty((0, 1 + width), np.int64)  # the row first; in order
        self._times: Ints = np.empty(0, np.int64)
        self._mark: Mask = np.empty(0, np.bool_)
        self._least: Ints = np.empty(0, np.int64)
        self._coming: list[_Coming] = []
        self._count = 0

    def __len__(self) -> int:
        """The number of entries held."""
        return len(self._entries) + sum(len(coming.entries) for coming in self._coming)

    def fix(self) -> None:
        """Nothing is taken back from now on: the greatest alone is kept."""
        if self._most:
            self._most = 0
            self._sort()

    def enter(self, rows: Ints, *integers: Ints, times: int = 1, ascending: bool = False) -> None:
        """Take entries; `times` -1 takes earlier ones back.

        `ascending`: those of a row are different, and come the least first; most of many are let go of at once then.
        """
        if not len(rows):
            return
        size = int(rows.max()) + 1
        if size > len(self._least):
            more = np.full(max(size - len(self._least), len(self._least)), _LEAST)
            self._least = np.concatenate([self._least, more])
        near = indices(integers[0] >= self._least[rows])
        mark = np.full(len(near), False)
        if ascending and times > 0:
            near, mark = self._last(rows, near)
        entries = np.stack([rows[near], *(column[near] for column in integers)], axis=1)
        if not self._most:
            self._replace(entries if ascending else _greatest_of_rows(entries))
            return
        self._coming.append(_Coming(entries, np.full(len(near), times), mark))
        self._count += len(near)
        if self._count > max(_AT_ONCE, 2 * len(self._entries)):
            self._sort()

    def _last(self, rows: Ints, near: Ints) -> tuple[Ints, Mask]:
        """Give which of these are among the last of their row, and which of those are marks for others."""
        keys = np.sort((rows[near] << _INDEX_BITS) | np.arange(len(near)))
        of, at = keys >> _INDEX_BITS, near[keys & ((1 << _INDEX_BITS) - 1)]
        last = _among_last(of, self._most + 1)
        mark = ~_among_last(of, self._most)[last] if self._most else np.full(int(last.sum()), False)
        return at[last], mark

    def _replace(self, entries: Ints) -> None:
        """Take entries, one a row, in order of their rows, where none as great is there."""
        at = np.searchsorted(self._entries[:, 0], entries[:, 0])
        there = np.append(self._entries[:, 0], -1)[at] == entries[:, 0]
        known, told = self._entries[at[there]], entries[there]
        first = (told != known).argmax(axis=1)[:, None]
        greater = (np.take_along_axis(told, first, 1) > np.take_along_axis(known, first, 1))[:, 0]
        changed = at[there][greater]
        self._entries[changed] = told[greater]
        self._mark[changed] = False
        if not there.all():
            self._entries = np.insert(self._entries, at[~there], entries[~there], axis=0)
            self._mark = np.insert(self._mark, at[~there], False)
        self._least[entries[:, 0]] = np.maximum(self._least[entries[:, 0]], entries[:, 1])

    def known(self) -> Ints:
        """Give the greatest entry of each row, but of rows of which it is not known: its row, then its integers."""
        if self._count:
            self._sort()
        last = _among_last(self._entries[:, 0], 1)
        return self._entries[last & ~self._mark]

    def _sort(self) -> None:
        coming = [_Coming(self._entries, self._times, self._mark), *self._coming]
        entries, times, mark = (np.concatenate(column) for column in zip(*coming, strict=True))
        self._coming.clear()
        self._count = 0
        if not len(entries):
            return
        order = _order(entries)
        entries = entries[order]
        begins = np.flatnonzero(np.append(True, (entries[1:] != entries[:-1]).any(axis=1)))
        entries = entries[begins]
        times = np.add.reduceat(times[order], begins)
        mark = np.logical_or.reduceat(mark[order], begins)
        there = mark | (times > 0)
        entries, times, mark = entries[there], times[there], mark[there]
        if self._most:
            mark |= ~_among_last(entries[:, 0], self._most)
        last = _among_last(entries[:, 0], self._most + 1)
        self._entries, self._times, self._mark = entries[last], times[last], mark[last]
        self._least[self._entries[self._mark, 0]] = self._entries[self._mark, 1]


def _order(entries: Ints) -> Ints:
    found: Ints = np.lexsort(entries.T[::-1])
    return found


def _greatest_of_rows(entries: Ints) -> Ints:
    entries = entries[_order(entries)]
    return entries[_among_last(entries[:, 0], 1)]


def _among_last(rows: Ints, count: int) -> Mask:
    """Say of entries in order of their rows whether they are among the last so many of theirs."""
    found = np.full(len(rows), True)
    found[:-count] = rows[:-count] != rows[count:]
    return found
