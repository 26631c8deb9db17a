"""Names of the histograms' default buckets, for panels that draw one bar a bucket.

Prometheus keeps a bound as the exporter or itself spelled it (`60`, `60.0`, `1.6777216e+07`), so each name
goes with a regular expression for all spellings. A bucket of an own configuration shows its bound.
"""

from __future__ import annotations

import re


def _spellings(bound: int | float) -> str:
    found = {f"{bound:g}", repr(bound), repr(float(bound))}
    digits, exponent = f"{bound:.16e}".split("e")
    if bound >= 10:
        found.add(f"{float(digits)!r}e{exponent}")
    return f"^(?:{'|'.join(map(re.escape, sorted(found)))})$"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _size(mebibytes: int) -> str:
    return f"{mebibytes} MiB" if mebibytes < 1024 else f"{mebibytes // 1024} GiB"


_REST = {r"^\+Inf$": "more"}

SECONDS = {
    _spellings(bound): _duration(bound)
    for bound in (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400)
} | _REST
"""For `parsl_*_seconds`."""

BYTES = {_spellings(2**20 * 2**power): _size(2**power) for power in range(4, 19)} | _REST
"""For `parsl_task_memory_peak_bytes`."""
