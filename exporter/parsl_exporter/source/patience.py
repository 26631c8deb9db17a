"""How long a lock is waited for, and what is said when that was in vain."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from parsl_exporter.base.errors import FaultReason, SourceBusy, SourceFault, SourceReplaced

LOCKED_PATIENCE = 10.0
"""Seconds for which a locked database is no failed poll."""
RETRY_LOCKED = 0.05
_REPLACED_AT_MOST = 5
"""How often a database is read anew because it was replaced under the reading."""

_T = TypeVar("_T")


class LockedSince:
    """Since when nothing could be read for a lock."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._rows = 0

    def seconds(self, now: float, rows: int) -> float:
        """Give the seconds for which no row could be read: at `now` it is locked, and so many were read so far."""
        if self._since is None or rows != self._rows:
            self._since, self._rows = now, rows
        return now - self._since

    def over(self) -> None:
        """It is locked no more, or fails otherwise."""
        self._since = None


def locked(busy: SourceBusy, seconds: float) -> SourceFault:
    """What to say of a lock that has lasted for longer than `LOCKED_PATIENCE`."""
    return SourceFault(
        FaultReason.LOCKED,
        f"{busy} for {seconds:.0f} s, or its file system cannot lock (NFS without a lock service)",
    )


def insist(
    attempt: Callable[[], _T],
    steady: Callable[[], float],
    *,
    rows: Callable[[], int] = lambda: 0,
    anew: Callable[[], None] = lambda: None,
) -> _T:
    """Give what `attempt` gives in the end: again after a lock, for as long as a poll would wait, or a replacement.

    `steady` is a clock, `rows` tells how many were read so far, `anew` is called before all is read anew. Raises
    SourceFault.
    """
    lock = LockedSince()
    replaced = 0
    while True:
        try:
            return attempt()
        except SourceBusy as busy:
            seconds = lock.seconds(steady(), rows())
            if seconds > LOCKED_PATIENCE:
                raise locked(busy, seconds) from None
            time.sleep(RETRY_LOCKED)
        except SourceReplaced as again:
            replaced += 1
            if replaced > _REPLACED_AT_MOST:
                raise SourceFault(FaultReason.REPLACED, str(again)) from None
            anew()
