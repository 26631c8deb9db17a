"""What a try used, from its resource samples.

The cumulative columns belong to the worker process, which runs many tries one after another: a try used
max - min over its own samples. That, the peak and the latest sample do not depend on the samples' order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parsl_exporter.base.columns import TOO_MUCH

USER, SYSTEM, READ, WRITTEN, VOLUNTARY, INVOLUNTARY = range(6)
CUMULATIVE = 6
"""The cumulative columns: CPU seconds (user, system), bytes (read, written), context switches (two kinds)."""


def usable(sample: Sequence[Any]) -> bool:
    """Say whether every value of a sample is NULL or a number that is less than `TOO_MUCH` either way."""
    return all(v is None or (isinstance(v, (int, float)) and -TOO_MUCH < v < TOO_MUCH) for v in sample)
