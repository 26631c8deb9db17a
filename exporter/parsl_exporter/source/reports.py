"""What one source says in the log of its rows and runs, once each."""

from __future__ import annotations

import logging

from parsl_exporter.base.logs import event
from parsl_exporter.model.runs import Runs
from parsl_exporter.source.zone_doubt import zones_in_doubt

_log = logging.getLogger(__name__)


class Reports:
    """Remembers what has been said of the source of that name."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._rejected: set[tuple[str, str]] = set()
        self._without_row: set[str] = set()
        self._zones_told: set[tuple[str, int]] = set()
        self._overflow_told = False
        self._dropping_told = False

    def begin_anew(self) -> None:
        """The source is read anew: rows that cannot be used are to be said again."""
        self._rejected.clear()

    def _say(self, message: str, level: int = logging.WARNING, **fields: object) -> None:
        event(_log, level, message, source=self._source, **fields)

    def overflowed(self, count: int) -> None:
        """So many apps and runs have no room but in `_other`."""
        if count and not self._overflow_told:
            self._overflow_told = True
            self._say("more than the limits allow: the rest is shown as _other; raise limits", folded=count)

    def dropped(self, count: int, *, whole: bool) -> None:
        """So many runs that are over have given way just now; `whole` is a dump."""
        if count and not self._dropping_told:
            self._dropping_told = True
            choice = " or choose runs with --run" if whole else ""
            self._say(
                f"more runs than the limits allow: the oldest that have ended are left out, {count} now;"
                f" raise limits{choice}"
            )

    def zones(self, runs: Runs) -> None:
        """Say which hosts' stamps speak against the zone that they are read in."""
        for whose, text in zones_in_doubt(runs.offsets()).items():
            if whose not in self._zones_told:
                self._zones_told.add(whose)
                self._say(text)

    def runs(self, runs: Runs) -> None:
        """Say which of these runs have no workflow row, and which exception classes they count as `_other`."""
        without_row = {run_id for run_id, run in runs.runs.items() if run.info is None and run.sought}
        for run_id in sorted(without_row - self._without_row):
            self._say(
                "a run has no workflow row (Parsl drops one that it cannot write): its names and its end stay unknown",
                run_id=run_id,
            )
        self._without_row = without_row
        for run_id, run in runs.runs.items():
            if classes := run.untold_classes():
                self._say(
                    "failures are counted as _other; the setting failure_reasons, which replaces the default list,"
                    " can name their classes",
                    logging.INFO,
                    run_id=run_id,
                    classes=", ".join(classes),
                )

    def rejected(self, runs: Runs) -> None:
        """Say of each kind of row that could not be used the first."""
        for key, row in runs.first_rejected.items():
            if key not in self._rejected:
                self._rejected.add(key)
                table, reason = key
                about = {"table": table, "reason": reason, "rowid": row[0], "row": repr(row[1:])[:300]}
                self._say("row skipped; more of the kind are only counted", **about)
