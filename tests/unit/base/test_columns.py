"""Rows as columns: names, stamps, parts of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_exporter.base.columns import Named, any_of, begins_of, distinct, grouped, indices, naive_stamps

EPOCH = datetime(1970, 1, 1)
moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 31))


@given(st.lists(moments, min_size=1))
def test_stamps_are_read_as_the_calendar_has_them(moments: list[datetime]) -> None:
    text = ",".join(moment.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0") for moment in moments)
    found = naive_stamps(text, len(moments))
    assert found is not None
    assert found.tolist() == [(moment - EPOCH) // timedelta(microseconds=1) for moment in moments]


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30 00:00:00.000000",
        "2026-13-01 00:00:00.000000",
        "2026-01-01 24:00:00.000000",
        "2026-01-01 00:60:00.000000",
        "2026-01-01 00:00:60.000000",
        "2026-01-01T00:00:00.000000",
        "2026-01-01 00:00:00,000000",
        "2026-01-01 00:00:00.00000x",
        "2026-01-01 00:00:00.00000",
        "",
    ],
)
def test_what_parsl_does_not_write_is_no_stamp(text: str, count: int) -> None:
    """One among others is enough, and NumPy, which would raise, is not asked."""
    assert naive_stamps(",".join([*["2026-01-01 00:00:00.000000"] * (count - 1), text]), count) is None


@pytest.mark.parametrize("year", [1999, 2000, 2024, 2100])
def test_days_and_hours_are_those_that_there_are(year: int) -> None:
    for month in range(20):
        for day in range(40):
            for hour in (23, 24):
                text = f"{year}-{month:02}-{day:02} {hour:02}:59:59.999999"
                try:
                    expected = [(datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)]
                except ValueError:
                    expected = None
                found = naive_stamps(text, 1)
                assert (None if found is None else found.tolist()) == expected, text


@pytest.mark.parametrize("at", range(1, 26))
def test_one_that_is_too_short_is_not_made_whole_by_the_next(at: int) -> None:
    two = "2026-01-01 00:00:00.0000002026-01-01 00:00:01.000000"
    assert naive_stamps(f"{two[:at]},{two[at:]}", 2) is None
    assert naive_stamps(f"{two[:26]},{two[26:]}", 2) is not None
    assert naive_stamps(two, 2) is None


@given(st.lists(st.none() | st.text(max_size=3)))
def test_a_column_of_names_keeps_each_rows_value(values: list[str | None]) -> None:
    column = Named.of(values)
    assert [column.values[code] for code in column.codes.tolist()] == values
    kept = np.arange(len(values)) % 2 == 0
    assert [column.values[code] for code in column.only(kept).codes.tolist()] == values[::2]


few = st.lists(st.integers(-5, 100), max_size=70)
many = st.lists(st.integers(-5, 100), min_size=65, max_size=200)
apart = st.lists(st.integers(-(1 << 62), 1 << 62), min_size=65, max_size=100).map(lambda values: values * 2)


@given(few | many | apart)
def test_different_ones_are_given_once_least_first(values: list[int]) -> None:
    assert distinct(np.array(values, np.int64)).tolist() == sorted(set(values))


@given(few | many | apart)
def test_different_ones_are_where_numpy_has_them(values: list[int]) -> None:
    _, first, of = np.unique(np.array(values, np.int64), return_index=True, return_inverse=True)
    found = grouped(np.array(values, np.int64))
    assert [column.tolist() for column in found] == [first.tolist(), of.tolist()]


@given(st.lists(st.integers(-5, 5), max_size=20).map(sorted))
def test_where_each_different_one_begins(values: list[int]) -> None:
    begins = begins_of(np.array(values, np.int64)).tolist()
    assert begins == [place == values.index(value) for place, value in enumerate(values)]


@given(st.lists(st.booleans(), max_size=10))
def test_what_is_true(values: list[bool]) -> None:
    mask = np.array(values, np.bool_)
    assert any_of(mask) is any(values)
    assert indices(mask).tolist() == [place for place, value in enumerate(values) if value]
