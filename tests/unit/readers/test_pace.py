"""How much the next read asks for, and how long reads took."""

from __future__ import annotations

import pytest

from parsl_exporter.readers.pace import BatchSize, ReadTimes


@pytest.mark.parametrize(
    ("now", "factor", "wanted", "within"),
    [
        (100, 2, 200, True),
        (100, 0.25, 25, True),
        (600, 2, 1_000, False),
        (30, 0.25, 10, False),
        (10, 0, 10, False),
    ],
)
def test_a_batch_grows_and_shrinks_within_its_limits(
    now: int, factor: float, wanted: int, within: bool
) -> None:
    size = BatchSize(10, 1_000, now)
    assert size.scale(factor) is within
    assert size.now == wanted


@pytest.mark.parametrize("pages", [8, 9, 63, 64, 500])
def test_an_eighth_more_is_at_least_one_more(pages: int) -> None:
    size = BatchSize(8, 512, pages)
    size.scale(9 / 8)
    assert size.now == min(512, pages + pages // 8)


def test_the_longest_read_is_that_since_it_was_last_set_to_0() -> None:
    times = ReadTimes()
    for seconds in (0.5, 2.0, 1.0):
        times.add(seconds)
    assert (times.longest, times.total) == (2.0, 3.5)
    times.longest = 0.0
    times.add(0.25)
    assert (times.longest, times.total) == (0.25, 3.75)
