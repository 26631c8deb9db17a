"""How many cases a property is tried with: TIMES as many (default 100) where HYPOTHESIS_PROFILE is nightly."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
TIMES = int(os.environ.get("TIMES", "100")) if NIGHTLY else 1


def cases(number: int) -> settings:
    """That many cases, each with the test's own fixtures of the function kept as they are."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
