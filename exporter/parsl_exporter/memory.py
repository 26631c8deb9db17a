"""The interpreter's garbage collection, suited to a process that makes many small objects and few cycles."""

from __future__ import annotations

import gc

_ALLOCATIONS = 100_000


def suit_collector() -> None:
    """Look for cycles seldom: rows and facts have none, and looking costs a fifth of a first read."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 50)
