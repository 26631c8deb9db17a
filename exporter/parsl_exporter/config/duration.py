"""Durations as Prometheus writes them."""

from __future__ import annotations

import re

from parsl_exporter.base.redaction import shown

EXPECTED = "a duration such as 250ms, 30s, 1h30m, 15m, 1d or 1w"

# https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (<duration>)
_SYNTAX = re.compile(
    r"(?=.)(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_MILLISECONDS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_UNITS = ("y", "w", "d", "h", "m", "s", "ms")
_LONGEST = 2**63 // 1_000_000  # Prometheus counts nanoseconds in 64 bits: 292 years
_MOST_DIGITS = 15


def duration(text: str) -> float:
    """Seconds of a Prometheus duration: years to milliseconds, largest unit first, each once; or `0`.

    Raises ValueError with a message that says what is expected.
    """
    if text == "0":
        return 0.0
    found = _SYNTAX.fullmatch(text)
    if found is None:
        raise ValueError(f"{shown(text)} is no duration; give {EXPECTED}")
    numbers = [group or "0" for group in found.groups()]
    if any(len(number) > _MOST_DIGITS for number in numbers):
        raise ValueError(f"{shown(text)} is longer than 292 years; give {EXPECTED}")
    total = sum(int(number) * unit for number, unit in zip(numbers, _MILLISECONDS, strict=True))
    if total > _LONGEST:
        raise ValueError(f"{shown(text)} is longer than 292 years; give {EXPECTED}")
    return total / 1000


def spelled(seconds: float) -> str:
    """Seconds as `duration` takes them, in the largest units: 15m, 1h30m, 1d."""
    left = round(seconds * 1000)
    parts = []
    for size, unit in zip(_MILLISECONDS, _UNITS, strict=True):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0"
