"""What is known of one source, kept for the exporter's next start: bound to its database, its settings and the program.

A source that goes on from one is as if it had never stopped: model, positions, what was shown, and its clock. That the
database is still the one, and the rows at the positions too, is for the reader to see when it reads on.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Any, NamedTuple

from parsl_exporter.base.errors import CheckpointFault, ExporterError
from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.base.shard import Shard
from parsl_exporter.checkpoint.codec import packed, unpacked
from parsl_exporter.checkpoint.folder import MOST_BYTES
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.checkpoint.origin import program
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import SourceOptions

_EVERY = 45.0
"""Seconds between two: with a poll and the writing none is older than a minute."""
MODULES = frozenset(
    {
        "parsl_exporter.base.columns",
        "parsl_exporter.metrics.family",
        "parsl_exporter.metrics.overflow",
        *(
            f"parsl_exporter.model.{name}"
            for name in (
                "blocks",
                "contribution",
                "exemplars",
                "greatest",
                "histogram",
                "managers",
                "names",
                "observations",
                "offsets",
                "oldest",
                "run",
                "run_facts",
                "sketch",
                "standing",
                "sums",
                "tries",
                "writers",
            )
        ),
    }
)
"""Where the classes are that it may hold: none of them does anything but reckon."""

_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A source as it was at a moment of its own clock; the mappings are what its parts have `kept`.

    `at_end`: the exporter ended then, and has shown nothing since. `started` is since when its own counters count.
    """

    steady: float
    wall: float
    at_end: bool
    started: float
    rows_read: Mapping[str, int]
    errors: Mapping[str, int]
    ingestion: Mapping[str, Any]
    showing: Mapping[str, Any]


def read_under(reader: Reader, options: SourceOptions, shard: Shard, series: int) -> str:
    """Give all that shapes what is known of a source, as a text: its database, its options, and the local zone."""
    local = (os.environ.get("TZ"), time.tzname, time.timezone, time.altzone)
    shape = options._replace(hidden=frozenset(), created=True, classic=True)
    return repr((reader.dialect, reader.database, tuple(shape), shard, series, local))


class Checkpoint:
    """The checkpoint of one source. `settings`: what `read_under` gives for it."""

    def __init__(self, keeper: Keeper, source: str, settings: str, clock: Clock) -> None:
        self._keeper = keeper
        self._source = source
        self._name = blake2b(source.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        self._about = {
            "program": program(),
            "settings": blake2b(settings.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest(),
        }
        self._clock = clock
        self._due = float("-inf")
        self._rests = False
        self._faults = RepeatedFault(_log, clock.steady)

    def last(self, turn: AbstractContextManager[None]) -> Kept | None:
        """Give what was kept, computed within `turn`; None when nothing was.

        Raises CheckpointFault when it is not to be used, and anything where it makes no sense.
        """
        parts = self._keeper.read(self._name)
        if parts is None:
            return None
        with turn:
            about = json.loads(parts[0])
            if about["program"] != self._about["program"]:
                raise CheckpointFault(f"it is of another program: {about['program']}")
            if about["settings"] != self._about["settings"]:
                raise CheckpointFault("it was kept under other settings, or of another database")
            return Kept(*unpacked(parts[1:], MODULES))

    def refuse(self, error: Exception) -> None:
        """Say why the checkpoint is not used, and have it removed."""
        why = _why(error)
        event(_log, logging.WARNING, "checkpoint not used: everything is read", source=self._source, why=why)
        self._keeper.remove(self._name)

    def due(self, *, changed: bool) -> bool:
        """Say whether to keep the source now, which `changed` since it was kept; if it has not, that is noted."""
        self._rests = self._rests and not changed
        now = self._clock.steady()
        if now < self._due:
            return False
        if not changed:
            self._due = now + _EVERY
            self._rests = True
            self._keeper.touch(self._name)
        return changed

    def keep(self, kept: Kept) -> bool:
        """Keep this, and say whether that could be: it is copied when this returns, and written beside."""
        self._due = self._clock.steady() + _EVERY
        try:
            parts = [json.dumps(self._about).encode(), *packed(tuple(kept), MOST_BYTES)]
        except Exception as error:  # no poll fails for it
            self._faults.failed("keep", "no checkpoint can be made", source=self._source, why=_why(error))
            self._keeper.remove(self._name)
            return False
        self._faults.ended("keep", source=self._source)
        self._keeper.write(self._name, parts)
        return True

    @property
    def rests(self) -> bool:
        """Say whether the source was kept, and has then not changed for as long as there is between two."""
        return self._rests


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, ExporterError) else f"unexpected {type(error).__name__}: {error}"
