"""Histograms whose observations can be taken back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.histogram import Histogram

BOUNDS = (10, 20)


def test_a_value_at_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram(BOUNDS)
    for value in (0, 10, 11, 20, 21):
        histogram.observe(value)
    assert (histogram.counts, histogram.sum) == ([2, 2, 1], 62)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_what_is_taken_back_leaves_no_trace(stay: list[int], go: list[int]) -> None:
    plain, histogram = Histogram(BOUNDS), Histogram(BOUNDS)
    for value in stay:
        plain.observe(value)
    for value in go + stay:
        histogram.observe(value)
    for value in go:
        histogram.observe(value, -1)
    assert (histogram.counts, histogram.sum) == (plain.counts, plain.sum)
