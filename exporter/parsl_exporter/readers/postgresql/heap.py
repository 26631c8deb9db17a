"""Which rows of an append-only PostgreSQL table have been read, and where others may be.

A row that was inserted and never updated stays at its place, an item of a page (ctid), until VACUUM FULL,
TRUNCATE or a restore gives the table another file. So the places that were read are all that must be known to
read each row once, whatever the order of commits: no transaction id is looked at. Most pages are full and read
without a gap and cost four bytes here. An inserted row can lie on a page at the end, or on any page with room
for it (PostgreSQL's free space map, after a rollback or a VACUUM): pages with room near the end are visited each
time, the others in turn. Sources: postgresql.org/docs, "Database Page Layout" and "Free Space Map".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from parsl_exporter.base.columns import Ints, begins_of, indices

PAGE_HEADER = 24
ITEM_POINTER = 4
ALIGNMENT = 8
NEAR_THE_END = 256
"""Pages before the end that are visited each time, if they have room."""
MOST_SWEPT = 8_192
"""Pages that one visit goes through in turn at most."""
FULL_PAGES_EVERY = 64
"""Full pages are visited too, in one of so many sweeps: a row smaller than all before may have found room."""
_FIRST_GUESS = 1_024
_GROWTH = 1.2
_Counts: TypeAlias = npt.NDArray[np.uint16]


class Place(NamedTuple):
    """Where a row is: the number of its page from 0, of its item there from 1."""

    page: int
    item: int

    def __str__(self) -> str:
        return f"({self.page},{self.item})"


class Places(NamedTuple):
    """Where rows were found: `at` is page << 16 | item, `sizes` their bytes."""

    at: Ints
    sizes: Ints


NO_PLACES = Places(np.empty(0, np.int64), np.empty(0, np.int64))


class Visit(NamedTuple):
    """Where to look: half-open `ranges` that hold no row read before; how far the table is read through then."""

    ranges: list[tuple[Place, Place]]
    end: int
    swept: int
    swept_round: bool


class Heap:
    """The places of one table that have been read. `sweep` is the seconds in which each page gets its turn.

    `sweeps` is how often all have had it, counted on where another reading of the table left off.
    """

    def __init__(self, page_size: int, sweep: float, sweeps: int = 0) -> None:
        self.sweeps = sweeps
        self._capacity = page_size - PAGE_HEADER
        self._sweep = sweep
        self._swept = 0
        self._since: float | None = None
        self._smallest = _FIRST_GUESS
        # Of each page: the items 1..n that are read without a gap, and the bytes that the rows read leave free.
        self._pages = 0
        self._through: _Counts = np.empty(0, np.uint16)
        self._room: _Counts = np.empty(0, np.uint16)
        # Of a page with gaps: one bit for each item beyond the first gap that is read.
        self._beyond: dict[int, int] = {}

    def kept(self) -> dict[str, Any]:
        """Give all that is known of the places that were read."""
        return {
            "sweeps": self.sweeps,
            "smallest": self._smallest,
            "through": self._through[: self._pages],
            "room": self._room[: self._pages],
            "beyond": self._beyond,
        }

    def resume(
        self, sweeps: int, smallest: int, through: _Counts, room: _Counts, beyond: dict[int, int]
    ) -> None:
        """Take what another one has `kept`; each page has its turn as soon as can be."""
        self.sweeps, self._smallest, self._since = sweeps, smallest, -math.inf
        self._pages, self._through, self._room, self._beyond = len(through), through, room, beyond

    @property
    def pages(self) -> int:
        """The number of pages that were gone through at least once."""
        return self._pages

    def holds(self, page: int, item: int) -> bool:
        """Say whether the row at this place was read."""
        if page >= self._pages:
            return False
        return item <= int(self._through[page]) or bool(self._beyond.get(page, 0) >> item & 1)

    def any_from(self, page: int) -> bool:
        """Say whether any row was read on this page or a later one."""
        return bool(self._through[page : self._pages].any()) or any(p >= page for p in self._beyond)

    # --- what to visit --------------------------------------------------------------------------------------

    def visit(self, size: int, now: float, most: int) -> Visit:
        """Plan the next visit of a table of `size` pages, of at most `most` pages that were never visited.

        While there are more of those than that, only they are visited. `now`: seconds of a steady clock.
        """
        known = min(self.pages, size)
        end = min(size, known + most)
        fresh = [(Place(known, 1), Place(end, 0))] if end > known else []
        if end < size:
            return Visit(fresh, end, self._swept, swept_round=False)
        near = max(0, known - NEAR_THE_END)
        target = self._swept_by(now, known)
        again = [*self._due(self._swept, min(target, near)), *self._with_room(near, known)]
        return Visit([*self._unread(again), *fresh], end, target, swept_round=target >= known)

    def _swept_by(self, now: float, known: int) -> int:
        """How far a sweep is to have come by now."""
        since = now if self._since is None else self._since
        by_now = int(known * min(1.0, (now - since) / self._sweep)) if self._sweep > 0 else known
        return max(self._swept, min(by_now, self._swept + MOST_SWEPT))

    def _with_room(self, low: int, high: int) -> list[int]:
        found: list[int] = (low + np.flatnonzero(self._room[low:high] >= self._smallest)).tolist()
        return found

    def _due(self, low: int, high: int) -> list[int]:
        due = self._room[low:high] >= self._smallest
        due[(self.sweeps - low) % FULL_PAGES_EVERY :: FULL_PAGES_EVERY] = True
        found: list[int] = (low + np.flatnonzero(due)).tolist()
        return found

    def _unread(self, pages: Iterable[int]) -> Iterator[tuple[Place, Place]]:
        """The parts of these pages that hold no row read before; parts of pages side by side are one."""
        low = high = Place(0, 0)
        for page in pages:
            for first, last in self._gaps(page):
                if high == Place(page, 0) and first == 1:
                    high = Place(page + 1, 0) if last is None else Place(page, last + 1)
                    continue
                if high > low:
                    yield low, high
                low = Place(page, first)
                high = Place(page + 1, 0) if last is None else Place(page, last + 1)
        if high > low:
            yield low, high

    def _gaps(self, page: int) -> Iterator[tuple[int, int | None]]:
        """The first and the last item of each gap; the last gap of a page has no end."""
        item = int(self._through[page]) + 1
        bits = self._beyond.get(page, 0) >> item
        while bits:
            unread = (bits & -bits).bit_length() - 1
            if unread:
                yield item, item + unread - 1
            bits >>= unread
            read = (~bits & (bits + 1)).bit_length() - 1
            item += unread + read
            bits >>= read
        yield item, None

    # --- what was read --------------------------------------------------------------------------------------

    def take(self, visit: Visit, places: Places, now: float) -> None:
        """A visit was made, and the rows that it found at these places were taken."""
        if visit.end > self._pages:
            self._reach(visit.end)
        if len(places.at):
            self._take(places)
        self._swept = visit.swept
        if self._since is None:
            self._since = now
        if visit.swept_round:
            self._swept, self._since = 0, now
            self.sweeps += 1

    def _reach(self, pages: int) -> None:
        """Know so many pages; the new ones hold no row that was read."""
        if pages > len(self._through):
            more = int(pages * _GROWTH) - self._pages
            self._through = np.concatenate([self._through[: self._pages], np.zeros(more, np.uint16)])
            self._room = np.concatenate([self._room[: self._pages], np.zeros(more, np.uint16)])
        self._through[self._pages : pages] = 0
        self._room[self._pages : pages] = self._capacity
        self._pages = pages

    def _take(self, places: Places) -> None:
        at, sizes = places
        if (at[1:] < at[:-1]).any():
            order = np.argsort(at)
            at, sizes = at[order], sizes[order]
        taken = (sizes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT + ITEM_POINTER
        self._smallest = min(self._smallest, int(taken.min()))
        page = at >> 16
        first = indices(begins_of(page))
        last = np.append(first[1:], len(at)) - 1
        pages = page[first]
        self._room[pages] = np.maximum(0, self._room[pages] - np.add.reduceat(taken, first))
        # Where the items of a page follow each other and those read before, the last one tells it all.
        plain = (at[first] & 0xFFFF == self._through[pages] + 1) & (at[last] - at[first] == last - first)
        if self._beyond:
            plain &= ~np.isin(pages, list(self._beyond))
        self._through[pages[plain]] = at[last[plain]] & 0xFFFF
        for i in np.flatnonzero(~plain).tolist():
            for place in at[first[i] : last[i] + 1].tolist():
                self._add_beyond(place >> 16, place & 0xFFFF)

    def _add_beyond(self, page: int, item: int) -> None:
        bits = self._beyond.get(page, 0) | 1 << item
        through = int(self._through[page])
        while bits >> (through + 1) & 1:
            through += 1
        self._through[page] = through
        if bits >> (through + 1):
            self._beyond[page] = bits
        else:
            self._beyond.pop(page, None)

    def shrink(self, size: int) -> None:
        """The table ends earlier now: VACUUM gave empty pages at its end back."""
        self._pages = min(self._pages, size)
