"""Histograms whose observations can be taken back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.histogram import Histograms

BOUNDS = (10, 20)


def of(*observed: tuple[int, int, int]) -> Histograms:
    """Observations: place, value, times."""
    histograms = Histograms(BOUNDS, np.int64)
    for place, value, times in observed:
        histograms.observe(np.array([place], np.int32), np.array([value]), times)
    return histograms


def test_a_value_at_a_bound_belongs_to_its_bucket() -> None:
    histograms = Histograms(BOUNDS, np.int64)
    histograms.observe(np.zeros(5, np.int32), np.array([0, 10, 11, 20, 21]))
    assert histograms.at(0) == (BOUNDS, [2, 2, 1], 62)


def test_one_that_was_never_observed_is_empty() -> None:
    assert of((3, 5, 1)).at(2) == of().at(7) == (BOUNDS, [0, 0, 0], 0)


def test_a_sum_of_microseconds_is_exact() -> None:
    """Of three hundred years, too, of which a float would lose single ones."""
    assert of((0, 2**53, 1), (0, 1, 1)).at(0).sum == 2**53 + 1


observations = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)))


@settings(deadline=None)
@given(observations, observations)
def test_what_is_taken_back_leaves_no_trace(stay: list[tuple[int, int]], go: list[tuple[int, int]]) -> None:
    plain = of(*((place, value, 1) for place, value in stay))
    other = of(
        *((place, value, 1) for place, value in go + stay), *((place, value, -1) for place, value in go)
    )
    assert [other.at(place) for place in range(5)] == [plain.at(place) for place in range(5)]
