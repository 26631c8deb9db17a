"""Places of a table: each row is found once, wherever and whenever it is inserted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.readers.postgresql import heap
from parsl_exporter.readers.postgresql.heap import (
    FULL_PAGES_EVERY,
    NEAR_THE_END,
    NO_PLACES,
    Heap,
    Place,
    Places,
    Visit,
)

PAGE, SIZE, SWEEP = 8_192, 92, 60.0
FULL = 81
"""Rows of `SIZE` bytes on a page."""


class Table:
    """Rows at places, and a reader that visits them."""

    def __init__(self) -> None:
        self.heap = Heap(PAGE, SWEEP)
        self.rows: list[Place] = []
        self.pages = 0
        self.found: list[Place] = []
        self.now = 0.0

    def insert(self, page: int, items: Iterable[int]) -> None:
        for item in items:
            place = Place(page, item)
            at = bisect_left(self.rows, place)
            if at == len(self.rows) or self.rows[at] != place:
                self.rows.insert(at, place)
        self.pages = max(self.pages, page + 1)

    def visit(self, most: int = 64) -> Visit:
        visit = self.heap.visit(self.pages, self.now, most)
        found = [
            row
            for low, high in sorted(visit.ranges)
            for row in self.rows[bisect_left(self.rows, low) : bisect_left(self.rows, high)]
        ]
        at = np.array([row.page << 16 | row.item for row in found], np.int64)
        self.heap.take(visit, Places(at, np.full(len(at), SIZE)), self.now)
        self.found += found
        return visit

    def catch_up(self) -> None:
        while self.visit().end < self.pages:
            pass
        self.visit()

    def sweep(self) -> None:
        """Two sweeps, of a visit a second: the first may have begun already."""
        for _ in range(2 * int(SWEEP) + 2):
            self.now += 1.0
            self.visit()


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3 * NEAR_THE_END), st.sets(st.integers(1, FULL - 1), max_size=8))))
def test_a_row_is_found_once_wherever_there_was_room_for_it(inserts: list[tuple[int, set[int]]]) -> None:
    table = Table()
    table.insert(3 * NEAR_THE_END, [1])
    for page, items in inserts:
        table.insert(page, items)
        table.now += 1.0
        table.visit()
    table.catch_up()
    table.sweep()

    assert sorted(table.found) == sorted(table.rows)


def test_rows_at_the_end_are_found_at_the_next_visit_and_nothing_else_is_looked_at() -> None:
    table = Table()
    for page in range(300):
        table.insert(page, range(1, FULL + 1))
    table.catch_up()
    table.insert(300, range(1, 11))

    visit = table.visit()

    assert visit.ranges == [(Place(300, 1), Place(301, 0))]
    assert len(table.found) == 300 * FULL + 10
    table.insert(300, [11])
    assert table.visit().ranges == [(Place(300, 11), Place(301, 0))]
    assert table.found[-1] == (300, 11)


def test_the_gaps_that_rollbacks_leave_are_looked_at_and_the_rows_beside_them_are_not() -> None:
    table = Table()
    table.insert(0, [1, 2, 5, 6, 9])
    table.catch_up()

    assert table.visit().ranges == [
        (Place(0, 3), Place(0, 5)),
        (Place(0, 7), Place(0, 9)),
        (Place(0, 10), Place(1, 0)),
    ]
    table.insert(0, [3, 4])
    table.visit()
    assert table.visit().ranges == [(Place(0, 7), Place(0, 9)), (Place(0, 10), Place(1, 0))]
    assert [table.heap.holds(0, item) for item in range(11)] == [True] * 7 + [False, False, True, False]


def test_a_visit_that_was_not_taken_is_made_again() -> None:
    table = Table()
    table.insert(0, [1, 2, 3])

    first = table.heap.visit(1, 0.0, 64)

    assert table.heap.visit(1, 0.0, 64) == first
    assert table.heap.pages == 0


def test_a_full_page_is_looked_at_now_and_then_in_case_a_smaller_row_has_found_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heap, "NEAR_THE_END", 16)
    table = Table()
    for page in range(16 + FULL_PAGES_EVERY):
        table.insert(page, range(1, FULL + 1))
    table.catch_up()
    table.insert(7, [FULL + 1])

    for _ in range(FULL_PAGES_EVERY + 1):
        table.now += SWEEP
        table.visit()
        table.visit()

    assert table.found.count(Place(7, FULL + 1)) == 1


def test_pages_that_vacuum_gave_back_are_read_again_when_they_come_back() -> None:
    table = Table()
    table.insert(0, [1])
    table.pages = 5
    table.catch_up()
    assert not table.heap.any_from(1)

    table.heap.shrink(1)
    table.insert(4, [1])
    table.catch_up()

    assert sorted(table.found) == [(0, 1), (4, 1)]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), max_size=40, unique=True),
        min_size=1,
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_rows_taken_at_once_in_any_order_count_as_if_taken_one_by_one(
    visits: list[list[tuple[int, int]]], chance: Random
) -> None:
    at_once, one_by_one = Heap(PAGE, SWEEP), Heap(PAGE, SWEEP)
    visit = Visit([], 6, 0, swept_round=False)
    one_by_one.take(visit, NO_PLACES, 0.0)
    taken: set[tuple[int, int]] = set()
    for rows in visits:
        new = [row for row in rows if row not in taken]
        taken |= set(new)
        sizes = [24 + chance.randrange(6_000) for _ in new]
        at = np.array([page << 16 | item for page, item in new], np.int64)
        at_once.take(visit, Places(at, np.array(sizes, np.int64)), 0.0)
        for i in chance.sample(range(len(new)), len(new)):
            one_by_one.take(visit, Places(at[i : i + 1], np.array(sizes[i : i + 1])), 0.0)

    places = [(page, item) for page in range(6) for item in range(1, 14)]
    assert [at_once.holds(*place) for place in places] == [place in taken for place in places]
    assert [one_by_one.holds(*place) for place in places] == [place in taken for place in places]
    assert at_once.visit(9, 0.0, 9) == one_by_one.visit(9, 0.0, 9)


def test_another_reader_goes_on_from_the_places_that_were_read_and_looks_at_all_with_room_at_once() -> None:
    table = Table()
    for page in range(2 * NEAR_THE_END):
        table.insert(page, range(1, FULL + 1 if page % 3 else 40))
    table.insert(5, [50])
    table.catch_up()
    table.sweep()
    kept = table.heap.kept()
    table.heap = Heap(PAGE, SWEEP)
    table.heap.resume(**kept)
    table.now = 7.0  # another machine's clock
    before = list(table.found)
    table.insert(0, [41])
    table.insert(5, [49, 51])
    table.insert(2 * NEAR_THE_END, [1])
    table.visit()
    assert sorted(table.found[len(before) :]) == [Place(0, 41), Place(2 * NEAR_THE_END, 1)]
    assert table.heap.holds(5, 50)
