"""The house style can be read on a dark and on a light background, and names every state."""

from __future__ import annotations

import os

import pytest

from parsl_exporter.model.blocks import BLOCK_STATES
from parsl_exporter.model.states import STATES

if not os.environ.get("CI"):
    pytest.importorskip("grafana_foundation_sdk")

from grafana import style

DARK, LIGHT = "#181B1F", "#FFFFFF"
"""Backgrounds of panels in Grafana's two themes."""

COLORS = {
    **style.TASK_COLORS,
    **style.BLOCK_COLORS,
    "green": style.GREEN,
    "amber": style.AMBER,
    "blue": style.BLUE,
}


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", COLORS)
def test_colours_stand_out_on_both_backgrounds(name: str) -> None:
    assert contrast(COLORS[name], DARK) >= 3
    assert contrast(COLORS[name], LIGHT) >= 3


def test_every_state_that_the_exporter_knows_has_a_colour_of_its_own() -> None:
    assert style.TASK_COLORS.keys() == set(STATES)
    assert style.BLOCK_COLORS.keys() == set(BLOCK_STATES)
    assert len(set(style.TASK_COLORS.values())) == len(STATES)
    assert len(set(style.BLOCK_COLORS.values())) == len(BLOCK_STATES)
