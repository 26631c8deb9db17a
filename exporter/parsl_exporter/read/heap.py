"""Which rows of an append-only PostgreSQL table have been read, and where others may be.

A row that was inserted and never updated stays at its place, an item of a page (ctid), until VACUUM FULL,
TRUNCATE or a restore gives the table another file. So the places that were read are all that must be known to
read each row once, whatever the order of commits: no transaction id is looked at. Most pages are full and read
without a gap and cost four bytes here. An inserted row can lie on a page at the end, or on any page with room
for it (PostgreSQL's free space map, after a rollback or a VACUUM): pages with room near the end are visited each
time, the others in turn. Sources: postgresql.org/docs, "Database Page Layout" and "Free Space Map".
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

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


class Place(NamedTuple):
    """Where a row is: the number of its page from 0, of its item there from 1."""

    page: int
    item: int

    def __str__(self) -> str:
        return f"({self.page},{self.item})"


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
        self._through = array("H")
        self._room = array("H")
        # Of a page with gaps: one bit for each item beyond the first gap that is read.
        self._beyond: dict[int, int] = {}

    @property
    def pages(self) -> int:
        """The number of pages that were gone through at least once."""
        return len(self._through)

    def holds(self, page: int, item: int) -> bool:
        """Say whether the row at this place was read."""
        if page >= len(self._through):
            return False
        return item <= self._through[page] or bool(self._beyond.get(page, 0) >> item & 1)

    def any_from(self, page: int) -> bool:
        """Say whether any row was read on this page or a later one."""
        return any(self._through[page:]) or any(p >= page for p in self._beyond)

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
        again = [p for p in range(self._swept, min(target, near)) if self._due(p)]
        again += [p for p in range(near, known) if self._has_room(p)]
        return Visit([*self._unread(again), *fresh], end, target, swept_round=target >= known)

    def _swept_by(self, now: float, known: int) -> int:
        """How far a sweep is to have come by now."""
        since = now if self._since is None else self._since
        by_now = int(known * min(1.0, (now - since) / self._sweep)) if self._sweep > 0 else known
        return max(self._swept, min(by_now, self._swept + MOST_SWEPT))

    def _has_room(self, page: int) -> bool:
        return self._room[page] >= self._smallest

    def _due(self, page: int) -> bool:
        return self._room[page] >= self._smallest or page % FULL_PAGES_EVERY == self.sweeps % FULL_PAGES_EVERY

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
        item = self._through[page] + 1
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

    def take(self, visit: Visit, rows: Iterable[tuple[int, int]], now: float) -> None:
        """A visit was made, and what it found was taken: (place, bytes) of each row; place is page << 16 | item."""
        through, room, beyond = self._through, self._room, self._beyond
        fresh = visit.end - len(through)
        if fresh > 0:
            through.extend([0] * fresh)
            room.extend([self._capacity] * fresh)
        smallest = self._smallest
        for place, size in rows:
            page, item = place >> 16, place & 0xFFFF
            taken = (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT + ITEM_POINTER
            smallest = min(smallest, taken)
            room[page] = max(0, room[page] - taken)
            if item == through[page] + 1 and page not in beyond:
                through[page] = item
            else:
                self._add_beyond(page, item)
        self._smallest = smallest
        self._swept = visit.swept
        if self._since is None:
            self._since = now
        if visit.swept_round:
            self._swept, self._since = 0, now
            self.sweeps += 1

    def _add_beyond(self, page: int, item: int) -> None:
        bits = self._beyond.get(page, 0) | 1 << item
        through = self._through[page]
        while bits >> (through + 1) & 1:
            through += 1
        self._through[page] = through
        if bits >> (through + 1):
            self._beyond[page] = bits
        else:
            self._beyond.pop(page, None)

    def shrink(self, size: int) -> None:
        """The table ends earlier now: VACUUM gave empty pages at its end back."""
        del self._through[size:]
        del self._room[size:]
