"""Newest stamps in the order of insertion, and what they make of a stamp that came twice."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from parsl_exporter.model.timestamps import Readings
from parsl_exporter.model.writers import SUBMIT, Writer, Writers

MINUTE = 60_000_000
HOUR = 60 * MINUTE
BEGIN = 1_000 * HOUR


@given(st.data(), st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), unique_by=lambda row: row[0]))
def test_before_a_place_the_newest_is_the_greatest_stamp_inserted_before_it(
    data: st.DataObject, rows: list[tuple[int, int]]
) -> None:
    writer = Writer()
    for place, us in data.draw(st.permutations(rows)):
        writer.wrote(place, us)
    for place in range(52):
        assert writer.before(place) == max((us for at, us in rows if at < place), default=0)


def test_a_row_taken_twice_changes_nothing() -> None:
    writer = Writer()
    for place, us in [(1, 5), (2, 9), (1, 5), (2, 9)]:
        writer.wrote(place, us)
    assert [writer.before(place) for place in (1, 2, 3)] == [0, 5, 9]


def second_pass(newest: int, first: int, repeated: int = HOUR) -> bool:
    writers = Writers()
    writers["status", SUBMIT].wrote(1, newest)
    read = writers.read("status", SUBMIT, 2, Readings(first, first + repeated))
    return read == first + repeated


def test_a_stamp_more_than_half_an_hour_below_its_writers_newest_is_of_the_second_pass() -> None:
    assert not second_pass(BEGIN + 30 * MINUTE, BEGIN)
    assert second_pass(BEGIN + 30 * MINUTE + 1, BEGIN)


def test_where_two_hours_come_twice_half_an_hour_it_is_too() -> None:
    assert not second_pass(BEGIN + 30 * MINUTE, BEGIN, 2 * HOUR)
    assert second_pass(BEGIN + 30 * MINUTE + 1, BEGIN, 2 * HOUR)


def test_where_half_an_hour_comes_twice_half_of_that_is_far_enough() -> None:
    """On Lord Howe Island no stamp of the second pass lies more than half an hour below the newest."""
    assert not second_pass(BEGIN + 15 * MINUTE, BEGIN, 30 * MINUTE)
    assert second_pass(BEGIN + 15 * MINUTE + 1, BEGIN, 30 * MINUTE)


def test_each_writer_of_each_table_has_a_newest_of_its_own() -> None:
    writers = Writers()
    writers.read("status", SUBMIT, 1, Readings(BEGIN + HOUR, BEGIN + HOUR))
    stamp = Readings(BEGIN, BEGIN + HOUR)
    assert writers.read("status", "htex", 2, stamp) == BEGIN
    assert writers.read("resource", SUBMIT, 2, stamp) == BEGIN
    assert writers.read("status", SUBMIT, 2, stamp) == BEGIN + HOUR


def test_a_row_without_a_place_is_taken_to_come_after_all_others() -> None:
    """As PostgreSQL gives none: it is read as it comes."""
    writers = Writers()
    writers.read("status", SUBMIT, 0, Readings(BEGIN + HOUR, BEGIN + HOUR))
    assert writers.read("status", SUBMIT, 0, Readings(BEGIN, BEGIN + HOUR)) == BEGIN + HOUR


def test_an_hour_of_many_rows_keeps_no_more_than_it_needs() -> None:
    writer = Writer()
    for place in range(100_000):
        writer.wrote(place, place)
    assert len(writer._places) <= 20_000
    assert writer.before(100_000) == 99_999
    assert 49_990 <= writer.before(50_000) < 50_000


def test_writers_that_were_kept_know_what_they_wrote() -> None:
    writers = Writers()
    writers["status", SUBMIT].wrote(3, 7)
    back = pickle.loads(pickle.dumps(writers))
    assert (type(back), list(back), back["status", SUBMIT].before(4)) == (
        Writers,
        [("status", SUBMIT)],
        7,
    )
    assert back["node", "new"].before(1) == 0
