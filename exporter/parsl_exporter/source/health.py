"""How a source fares: whether it can be read, since when it is locked, which faults it had."""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple

from parsl_exporter.base.errors import FaultReason
from parsl_exporter.base.logs import RepeatedFault
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.patience import LockedSince

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How the last poll went, in words: `state` is up, reading or down."""

    state: str
    message: str


class Health:
    """What the polls of one source have come to. A fault is logged when it begins, now and then, and when it ends.

    `up`: the last poll succeeded; `tried`: one has succeeded or failed; `ready`: the source has caught up once.
    `last_success` is UTC epoch seconds, 0 before the first; `errors` counts the failed polls.
    """

    def __init__(self, source: str, clock: Clock) -> None:
        self.up = self.tried = self.ready = False
        self.last_success = 0.0
        self.errors: Counter[str] = Counter()
        self.lock = LockedSince()
        self._source = source
        self._clock = clock
        self._message = "not read yet"
        self._faults = RepeatedFault(_log, clock.steady)

    @property
    def outcome(self) -> Outcome:
        """What to tell a person."""
        state = "down" if not self.up else "up" if self.ready else "reading"
        return Outcome(state, self._message)

    def reading(self, message: str) -> None:
        """A first read goes on."""
        self.up, self._message = True, message

    def succeeded(self, message: str) -> None:
        """A poll did what it was to do."""
        self.up = self.tried = True
        self._message = message
        self.last_success = self._clock.wall()
        self.lock.over()
        for reason in FaultReason:
            self._faults.ended(reason, source=self._source)

    def failed(self, reason: FaultReason, message: str) -> None:
        """A poll failed."""
        self.up, self.tried = False, True
        self._message = message
        self.errors[reason] += 1
        if reason is not FaultReason.LOCKED:
            self.lock.over()
        self._faults.failed(reason, message, source=self._source, reason=reason)
