"""Parsl's naive local timestamps as microseconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.timestamps import NO_STAMP, Stamps

CHICAGO = ZoneInfo("America/Chicago")
UTC = timezone.utc
HOUR_US = 3_600_000_000


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


def test_a_stamp_of_a_repeated_hour_has_two_readings_and_is_marked() -> None:
    stamp, first, again = "2026-11-01 01:30:00.250000", us("2026-11-01 06:30:00"), us("2026-11-01 07:30:00")
    stamps = Stamps(CHICAGO)
    assert stamps.readings(stamp) == (first + 250_000, again + 250_000)
    assert stamps.readings(datetime.fromisoformat(stamp)) == (first + 250_000, again + 250_000)
    assert stamps.read(stamp) == first + 250_000
    assert stamps.marked(stamp) == -first - 250_000
    assert stamps[stamp[:19]] == -first


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-01 00:59:59.999999",
        "2026-11-01 02:00:00.000000",
        "2026-03-08 02:30:00.000000",  # skipped
        "2026-11-01 01:30:00.000000-06:00",  # says it itself
    ],
)
def test_any_other_stamp_has_one(stamp: str) -> None:
    first, again = Stamps(CHICAGO).readings(stamp)
    assert first == again == Stamps(CHICAGO).marked(stamp)


POSIX = "XST3XDT2,M3.2.0,J331/19:17:00"


@pytest.mark.parametrize(
    ("zone", "second_pass_ends"),
    [
        (CHICAGO, "2026-11-01 08:00:00"),
        (ZoneInfo("Europe/Paris"), "2026-10-25 02:00:00"),
        (ZoneInfo("Australia/Lord_Howe"), "2026-04-04 15:30:00"),
        (ZoneInfo("America/Santiago"), "2026-04-05 04:00:00"),
        (None, "2026-11-27 22:17:00"),
    ],
)
def test_writers_are_watched_from_the_end_of_the_first_repeated_hour_of_a_run(
    zone: ZoneInfo | None, second_pass_ends: str, set_tz: Callable[[str], None]
) -> None:
    set_tz(POSIX)
    end, now = us(second_pass_ends), us("2027-01-01 00:00:00")
    stamps = Stamps(zone)
    for begin in (end - 4 * HOUR_US, end + 23 * HOUR_US):
        assert stamps.watched_from(begin, now) == end
    assert stamps.watched_from(end + 25 * HOUR_US, now) > end


def test_without_such_an_hour_nothing_is_watched() -> None:
    assert Stamps(UTC).watched_from(us("2026-04-01 00:00:00"), us("2027-01-01 00:00:00")) == 1 << 62


def test_what_lies_between_two_stamps_may_have_come_twice() -> None:
    stamps = Stamps(CHICAGO)
    assert stamps.repeats_between("2026-10-31 23:00:00", "2026-11-01 04:00:00")
    assert stamps.repeats_between("2026-11-01 01:10:00", "2026-11-01 01:20:00")
    assert not stamps.repeats_between("2026-11-02 01:10:00", "2026-11-20 01:20:00")
    assert not stamps.repeats_between("2026-06-01 00:00:00", "2026-10-30 00:00:00")


def test_it_may_from_four_hours_before_the_end_of_the_second_pass_up_to_that() -> None:
    """In Chicago it ends at 08:00 UTC, two o'clock there."""
    stamps = Stamps(CHICAGO)
    assert not stamps.repeats_between("2026-10-31 12:00:00", "2026-10-31 22:59:59.999999")
    assert stamps.repeats_between("2026-10-31 12:00:00", "2026-10-31 23:00:00")
    assert stamps.repeats_between("2026-11-01 01:59:59.999999", "2026-11-03 00:00:00")
    assert not stamps.repeats_between("2026-11-01 02:00:00", "2026-11-03 00:00:00")


def test_many_stamps_at_once_say_what_each_alone_does(set_tz: Callable[[str], None]) -> None:
    """Also those that came twice, and those of a quarter of an hour within which the zone changes."""
    set_tz(POSIX)
    stamps = Stamps(None)
    texts = [
        "2026-11-27 17:59:00.000001",
        "2026-11-27 19:30:00.500000",
        "2026-06-01 00:00:00.000000",
        "2026-11-27 18:30:00.000000",
        "2026-11-27 19:16:59.999999",
        "2026-11-27 19:17:00.000000",
        "2026-11-27 19:17:00.250000",
    ]
    marked = [stamps.marked(text) for text in texts]
    assert sum(us < 0 for us in marked) == 2
    assert stamps.marked_all(stamps.naive(texts)).tolist() == marked


def test_any_spelling_among_many_is_naive_as_its_clock_showed_it() -> None:
    texts = ["2026-07-01 12:00", "2026-12-01T12:00:00.5"]
    assert Stamps(CHICAGO).naive(texts).tolist() == [us("2026-07-01 12:00:00"), us("2026-12-01 12:00:00.5")]


def test_the_text_of_a_whole_second_has_no_other_length() -> None:
    with pytest.raises(ValueError, match="not a timestamp"):
        Stamps(UTC)["2026-07-01"]


def test_no_more_seconds_are_remembered_than_so_many() -> None:
    stamps = Stamps(UTC)
    for second in range(65_537):
        stamps[(datetime(2026, 1, 1) + timedelta(seconds=second)).isoformat(" ")]
    assert len(stamps) <= 65_536


def test_what_is_no_stamp_among_many_is_told() -> None:
    stamps = Stamps(CHICAGO)
    found = stamps.marked_all(stamps.naive(["2026-06-01 00:00:00.000000", "never", None, 5]))
    assert (found == NO_STAMP).tolist() == [False, True, True, True]


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


class Asked(tzinfo):
    """A zone that counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def utcoffset(self, moment: datetime | None) -> timedelta:
        self.times += 1
        return timedelta(hours=1)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, moment: datetime | None) -> str:
        return "counted"


def test_a_zone_is_not_asked_for_each_of_many_stamps() -> None:
    """Within an hour it is asked for quarters of one."""
    zone = Asked()
    naive = np.arange(10_000) * 360_000 + 1_800_000_000_000_000
    assert (Stamps(zone).marked_all(naive) == naive - 3_600_000_000).all()
    assert zone.times < 100
