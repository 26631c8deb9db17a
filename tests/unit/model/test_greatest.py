"""The greatest of entries that are taken back."""

from __future__ import annotations

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from parsl_exporter.model.greatest import Greatest

Entry = tuple[int, int, int]


def enter(greatest: Greatest, *entries: Entry, times: int = 1, ascending: bool = False) -> None:
    greatest.enter(*np.array(entries, np.int64).reshape(-1, 3).T, times=times, ascending=ascending)


def known(greatest: Greatest) -> list[list[int]]:
    found: list[list[int]] = greatest.known().tolist()
    return found


entries = st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 4))


@settings(deadline=None)
@given(st.data(), st.lists(entries), st.lists(entries, max_size=15))
def test_it_is_the_greatest_of_those_that_were_not_taken_back(
    data: st.DataObject, stay: list[Entry], go: list[Entry]
) -> None:
    greatest = Greatest(2)
    for entry in data.draw(st.permutations([*stay, *go])):
        enter(greatest, entry)
        if data.draw(st.booleans()):
            known(greatest)
    for entry in data.draw(st.permutations(go)):
        enter(greatest, entry, times=-1)
    for fixed in (False, True):
        if fixed:
            greatest.fix()
        assert known(greatest) == [
            list(max(entry for entry in stay if entry[0] == row)) for row in sorted({row for row, *_ in stay})
        ]


many = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 30)), min_size=20, max_size=120
)


@settings(deadline=None)
@given(st.data(), many)
def test_of_many_entries_it_gives_the_greatest_or_none(data: st.DataObject, told: list[Entry]) -> None:
    """Entered in batches, some in order, and taken back in any."""
    greatest, there = Greatest(2), list[Entry]()
    while told:
        count = data.draw(st.integers(1, len(told)))
        batch, told = told[:count], told[count:]
        ascending = data.draw(st.booleans())
        enter(greatest, *(sorted(batch) if ascending else batch), ascending=ascending)
        there += batch
        gone = data.draw(st.lists(st.sampled_from(there), unique=True))
        enter(greatest, *gone, times=-1)
        for entry in gone:
            there.remove(entry)
        if data.draw(st.booleans()):
            true = [
                list(max(entry for entry in there if entry[0] == row)) for row in {row for row, *_ in there}
            ]
            found = known(greatest)
            assert all(entry in true for entry in found)
            event("all known" if len(found) == len(true) else "not all known")


def test_of_many_entries_a_few_are_kept() -> None:
    greatest = Greatest(2)
    for value in range(0, 1_000_000, 50_000):
        zeros = np.zeros(50_000, np.int64)
        greatest.enter(zeros, np.arange(value, value + 50_000), zeros)
    assert len(greatest) < 100_000
    assert known(greatest) == [[0, 999_999, 0]]
    assert len(greatest) < 20


def test_it_says_when_it_does_not_know_any_more() -> None:
    greatest = Greatest(2)
    enter(greatest, *((0, value, 0) for value in range(100)), (1, 5, 5))
    known(greatest)
    enter(greatest, *((0, value, 0) for value in range(80, 100)), times=-1)
    assert known(greatest) == [[1, 5, 5]]
    enter(greatest, (0, 83, -1))  # there is one that was let go of
    assert known(greatest) == [[1, 5, 5]]
    enter(greatest, (0, 90, 0))
    assert known(greatest) == [[0, 90, 0], [1, 5, 5]]


def test_once_nothing_is_taken_back_one_entry_is_kept() -> None:
    greatest = Greatest(2)
    enter(greatest, *((0, value, 0) for value in range(10)))
    greatest.fix()
    enter(greatest, (0, 4, 0), (0, 12, 0), (0, 11, 0))
    assert known(greatest) == [[0, 12, 0]]
    assert len(greatest) == 1
    enter(greatest, (1, 3, 0), (1, 4, 0), (1, 5, 0), ascending=True)
    enter(greatest, (2, 4, 0), (2, 3, 0))
    assert known(greatest) == [[0, 12, 0], [1, 5, 0], [2, 4, 0]]
    assert len(greatest) == 3


@settings(deadline=None)
@given(st.data(), st.lists(entries, min_size=1))
def test_once_nothing_is_taken_back_the_greatest_is_known_whatever_the_order(
    data: st.DataObject, told: list[Entry]
) -> None:
    greatest = Greatest(2)
    fixed_from = data.draw(st.integers(0, len(told) - 1))
    left = data.draw(st.permutations(told))
    while left:
        if len(left) <= len(told) - fixed_from:
            greatest.fix()
        count = data.draw(st.integers(1, len(left)))
        batch, left = left[:count], left[count:]
        ascending = data.draw(st.booleans())
        enter(greatest, *(sorted(set(batch)) if ascending else batch), ascending=ascending)
    assert known(greatest) == [
        list(max(entry for entry in told if entry[0] == row)) for row in sorted({row for row, *_ in told})
    ]


def test_of_entries_that_are_alike_in_the_first_integer_the_others_tell_the_greatest() -> None:
    """As tries that ended at the same moment: more than are kept."""
    greatest = Greatest(2)
    for value in range(100):
        enter(greatest, (0, 7, value))
        assert known(greatest) == [[0, 7, value]]
    greatest.fix()
    enter(greatest, (0, 7, 100))
    assert known(greatest) == [[0, 7, 100]]


def test_of_many_entries_that_come_in_small_parts_a_few_are_kept() -> None:
    greatest = Greatest(2)
    most = 0
    for value in range(0, 200_000, 1_000):
        enter(greatest, *((0, value + i, 0) for i in range(1_000)))
        most = max(most, len(greatest))
    assert most < 20_000
    assert known(greatest) == [[0, 199_999, 0]]
