"""Which samples can be reckoned with."""

from __future__ import annotations

import math

import pytest

from parsl_exporter.base.columns import TOO_MUCH
from parsl_exporter.model.usage import usable


@pytest.mark.parametrize("value", [None, 0, 1, -1, 2.5, TOO_MUCH / 2, -TOO_MUCH / 2])
def test_a_number_is_usable_and_so_is_none(value: float | None) -> None:
    assert usable([1.0, value, None])


@pytest.mark.parametrize("value", ["1", b"1", TOO_MUCH, -TOO_MUCH, math.inf, -math.inf, math.nan])
def test_one_value_that_is_no_number_or_too_great_spoils_the_sample(value: object) -> None:
    assert not usable([1.0, value, None])
