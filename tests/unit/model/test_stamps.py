"""Parsl's naive local timestamps as microseconds since the epoch."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.stamps import Stamps

CHICAGO = ZoneInfo("America/Chicago")
UTC = timezone.utc


def us(text: str) -> int:
    return round(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1_000_000)


def test_a_stamp_is_read_to_the_microsecond() -> None:
    assert Stamps(UTC).read("2026-11-22 07:58:10.203988") == 1795334290203988


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-22 07:58:10", "2026-11-22 07:58:10.000000"),
        ("2026-11-22 07:58:10.5", "2026-11-22 07:58:10.500000"),
        ("2026-11-22T07:58:10.500000", "2026-11-22 07:58:10.500000"),
        ("2026-11-22 07:58:10.500000+00:00", "2026-11-22 07:58:10.500000"),
    ],
)
def test_other_spellings_of_one_moment(text: str, same: str) -> None:
    assert Stamps(UTC).read(text) == Stamps(UTC).read(same)


def test_a_stamp_of_a_zone_is_read_in_that_zone() -> None:
    assert Stamps(CHICAGO).read("2026-07-01 12:00:00.000000") == us("2026-07-01 17:00:00")
    assert Stamps(CHICAGO).read("2026-12-01 12:00:00.000000") == us("2026-12-01 18:00:00")


def test_of_a_repeated_hour_the_first_reading_is_taken() -> None:
    assert Stamps(CHICAGO).read("2026-11-01 01:30:00.000000") == us("2026-11-01 06:30:00")


def test_a_datetime_is_read_too() -> None:
    moment = datetime(2026, 11, 22, 7, 58, 10, 203988)
    assert Stamps(UTC).read(moment) == Stamps(UTC).read(str(moment))


@pytest.mark.parametrize(
    "value",
    [None, 7, 1.5, b"2026", "", "yesterday", "2026-13-01 00:00:00.000000", "2026-11-22 07:58:10.20398x"],
)
def test_what_is_no_timestamp_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        Stamps(UTC).read(value)


@settings(deadline=None)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
    st.sampled_from([UTC, CHICAGO, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")]),
)
def test_every_moment_is_what_datetime_makes_of_it(moment: datetime, zone: timezone | ZoneInfo) -> None:
    wanted = (moment.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert Stamps(zone).read(moment.strftime("%Y-%m-%d %H:%M:%S.%f")) == wanted
