"""Durations and counts as people read them."""

from __future__ import annotations

import pytest

from parsl_exporter.model.wording import counted, lasting, moment, number, often


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (100, "1 min 40 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (8_820, "2 h 27 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
        (40 * 86_400, "40 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_a_moment_names_its_zone() -> None:
    assert moment(1_800_000_000_999_999) == "2027-01-15 08:00:00 UTC"


def test_one_is_one_and_others_are_many() -> None:
    assert [number(n, "task") for n in (0, 1, 2_000)] == ["0 tasks", "1 task", "2,000 tasks"]
    assert number(2, "try", "tries") == "2 tries"


def test_counts_keep_their_order_or_have_the_greatest_first() -> None:
    assert counted({"RUNNING": 2, "SCALED_IN": 14_000}) == "2 RUNNING, 14,000 SCALED_IN"
    assert often({"b": 1, "a": 1, "c": 9}) == [("c", 9), ("a", 1), ("b", 1)]
