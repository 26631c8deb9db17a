"""What a try used, from its samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from parsl_exporter.model.usage import Usage, usable

NOTHING = (None,) * 6
Sample = tuple[int, float | None, Sequence[float | None]]


def used(*samples: Sample) -> Usage:
    """Samples: stamp, resident bytes, cumulative columns."""
    (us, resident, cumulative), *others = samples
    usage = Usage(us, 0.0, 0.0, resident, cumulative)
    for us, resident, cumulative in others:
        usage.add(us, 0.0, 0.0, resident, cumulative)
    return usage


def test_a_try_used_the_greatest_minus_the_least_of_each_column() -> None:
    usage = used((1, 5, (10, 1, 0, 0, 7, 7)), (2, 5, (13, 2, 9, 0, 7, 7)), (3, 5, (12, 4, 9, 0, 7, 8)))
    assert usage.used() == [3, 3, 9, 0, 0, 1]


def test_one_sample_used_nothing() -> None:
    assert used((1, 5, (10, 1, 5, 5, 5, 5))).used() == [0] * 6


def test_a_column_that_is_null_at_times_counts_where_it_is_not() -> None:
    usage = used(
        (1, 5, NOTHING), (2, 5, (4, 1, None, 0, 0, 0)), (3, 5, (6, 1, None, 0, 0, 0)), (4, 5, NOTHING)
    )
    assert usage.used() == [2, 0, 0, 0, 0, 0]
    assert usage.cpu_measured()


@pytest.mark.parametrize(
    "samples",
    [
        [(1, NOTHING), (2, (1, *NOTHING[1:]))],
        [(1, (4, 1, 0, 0, 0, 0))],
        [(1, (4, 1, 0, 0, 0, 0)), (2, NOTHING), (3, (None, 2, 0, 0, 0, 0))],
        [(2, (4, 1, 0, 0, 0, 0)), (2, (4, 1, 0, 0, 0, 0))],
    ],
)
def test_cpu_is_not_measured_by_less_than_two_samples_of_it(
    samples: list[tuple[int, Sequence[float | None]]],
) -> None:
    for order in (samples, samples[::-1]):
        assert not used(*((us, 5, cumulative) for us, cumulative in order)).cpu_measured()


def test_cpu_is_measured_by_two_samples_whatever_their_order_and_what_lies_between() -> None:
    samples = [(3, 5, (4, 1, 0, 0, 0, 0)), (2, 5, NOTHING), (1, 5, (4, 1, 0, 0, 0, 0))]
    assert used(*samples).cpu_measured()
    assert used(*samples[::-1]).cpu_measured()


def test_the_latest_sample_is_that_of_the_latest_stamp_and_the_peak_is_the_greatest() -> None:
    usage = used((3, 70, NOTHING), (1, 90, NOTHING), (2, None, NOTHING))
    assert (usage.latest, usage.resident, usage.peak) == (3, 70, 90)


def test_a_latest_sample_that_is_null_is_the_latest_all_the_same() -> None:
    usage = used((1, 70, NOTHING), (2, None, NOTHING))
    assert (usage.resident, usage.peak) == (None, 70)


@pytest.mark.parametrize("value", ["7", b"7", math.inf, -math.inf, math.nan])
def test_what_is_no_finite_number_is_not_usable(value: object) -> None:
    assert usable((1, 2.5, None))
    assert not usable((1, value))
