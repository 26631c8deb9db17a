"""Quantiles of what was observed, in logarithmic buckets that add up."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parsl_exporter.model.sketch import QUANTILES, Sketch, Sketches, bucket_keys, sketch_of

numbers = (
    st.floats(-1e300, 1e300)
    | st.integers(0, 50).map(float)
    | st.floats(0.9, 1.1)
    | st.integers(-1_000, 1_000).map(lambda power: math.ldexp(1, power))
)


def of(*values: float) -> Sketch:
    sketches = Sketches()
    sketches.observe(np.zeros(len(values), np.int32), np.array(values))
    sketch = sketches.at(0)
    assert sketch is not None
    return sketch


def nearest_ranks(values: list[float]) -> list[float]:
    return [sorted(values)[math.ceil(Fraction(str(q)) * len(values)) - 1] for q in QUANTILES]


def assert_true(sketch: Sketch, values: list[float]) -> None:
    truth = nearest_ranks(values)
    assert sketch.quantiles[:-1] == pytest.approx(truth[:-1], rel=0.0055, abs=0)
    assert sketch.quantiles[-1] == truth[-1]
    assert sketch.observed == len(values)


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=60))
@example([0.0, -0.0])
@example([5e-324, 1e300])
@example([1.0] * 19 + [2.0])
def test_quantiles_are_within_one_percent_and_the_greatest_is_exact(values: list[float]) -> None:
    assert_true(of(*values), values)
    assert_true(sketch_of(np.array(values)), values)


@settings(deadline=None)
@given(st.lists(numbers, min_size=1), st.lists(numbers, min_size=1))
def test_two_sketches_add_up_to_that_of_all_values(some: list[float], others: list[float]) -> None:
    assert_true(of(*some).plus(of(*others)), some + others)


def test_a_greatest_value_of_minus_nothing_is_nothing() -> None:
    """As it is when both were observed, in whatever order."""
    assert str(of(-0.0).quantiles[-1]) == str(of(0.0, -0.0).quantiles[-1]) == "0.0"


def test_the_greatest_value_of_two_sketches_is_that_of_either() -> None:
    """Also of many values, of which it is far from the others."""
    many = of(*(float(value) for value in range(100)), 1_000.0)
    assert many.plus(of(5.0)).quantiles[-1] == of(5.0).plus(many).quantiles[-1] == 1_000.0


observations = st.lists(st.tuples(st.integers(0, 3), numbers), max_size=12)


@settings(deadline=None)
@given(st.data(), observations, observations)
def test_what_is_taken_back_leaves_no_trace(
    data: st.DataObject, stay: list[tuple[int, float]], go: list[tuple[int, float]]
) -> None:
    """Each value is taken back after it was observed, whatever comes between, and once all were drawn."""
    sketches = Sketches()
    for place, value in data.draw(st.permutations([*stay, *go])):
        sketches.observe(np.array([place], np.int32), np.array([value]))
    sketches.at(0)
    for place, value in data.draw(st.permutations(go)):
        sketches.observe(np.array([place], np.int32), np.array([value]), -1)
    for place in range(4):
        values = [value for of_place, value in stay if of_place == place]
        sketch = sketches.at(place)
        if sketch is None:
            assert not values
        else:
            assert_true(sketch, values)


def test_a_greatest_value_that_is_not_known_any_more_is_given_like_any_other() -> None:
    """When more were taken back than are kept, and all of these."""
    values = [float(value) for value in range(1, 101)]
    sketches = Sketches()
    sketches.observe(np.zeros(100, np.int32), np.array(values))
    sketches.at(0)
    sketches.observe(np.zeros(40, np.int32), np.array(values[60:]), -1)
    sketch = sketches.at(0)
    assert sketch is not None
    assert sketch.quantiles == pytest.approx(nearest_ranks(values[:60]), rel=0.0055)


def test_what_was_drawn_stays_as_it_was() -> None:
    sketches = Sketches()
    sketches.observe(np.zeros(1, np.int32), np.array([1.0]))
    drawn = sketches.at(0)
    assert drawn is not None
    sketches.observe(np.zeros(1, np.int32), np.array([1.0]))
    assert drawn.observed == 1


@pytest.mark.parametrize("power", [-1_060, -1, 0, 1, 990])
def test_a_bound_belongs_to_the_bucket_that_ends_with_it(power: int) -> None:
    """As in Prometheus: bucket i holds the values above base**(i - 1) and at or below base**i."""
    bound = math.ldexp(1, power)
    below, at, above = bucket_keys(
        np.array([math.nextafter(bound, 0), bound, math.nextafter(bound, math.inf)])
    )
    assert below == at == above - 1
    assert np.diff(bucket_keys(np.array([bound, 2 * bound]))) == 64


@settings(deadline=None)
@given(st.lists(numbers, min_size=1))
def test_a_native_histogram_counts_each_value_in_its_bucket_of_schema_3(values: list[float]) -> None:
    native = of(*values).native()
    assert native == sketch_of(np.array(values)).native()
    assert native.zero == values.count(0)
    assert sum(native.positive.values()) == sum(value > 0 for value in values)
    assert sum(native.negative.values()) == sum(value < 0 for value in values)
    for sign, counts in ((1, native.positive), (-1, native.negative)):
        assert list(counts) == sorted(counts)
        for index, count in counts.items():
            low, high = (math.ldexp(2 ** (i % 8 / 8), i // 8) for i in (index - 1, index))
            assert sum(low < sign * value <= high for value in values) == count


def test_room_for_values_grows_by_half_at_a_time() -> None:
    """A quarter of a kilobyte for each power of two in which a place has values."""
    places = np.arange(4_000, dtype=np.int32)
    tracemalloc.start()
    sketches = Sketches()
    for some in np.split(places, [3_990, *range(3_991, 4_000)]):
        sketches.observe(some, np.ones(len(some)))
    sketches.fix()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 3.5 * 256 * len(places)
