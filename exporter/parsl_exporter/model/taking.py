"""What holds while rows are taken: at which moment, in whose zone, and what is still to come."""

from __future__ import annotations

from datetime import tzinfo

from parsl_exporter.model.run import Run
from parsl_exporter.model.stamps import Stamps
from parsl_exporter.tables import STATUS, Table


class Taking:
    """The rows that are taken now: read by `stamps`, at `wall_us` (microseconds UTC).

    `ready`: the first read is over. `passing`: rows that waited are being taken, and those that go on waiting hold up
    no others; `last_call`: nor do they wait for what else this poll may bring. `blocks_later`: not all block rows have
    been taken yet.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self.stamps = Stamps(zone)
        self.wall_us = 0
        self.ready = False
        self.last_call = self.passing = False
        self.blocks_later = True

    def took(self, run: Run, table: Table, us: int) -> None:
        """Note the newest stamp of rows of a table that were taken."""
        run.newest_us = max(run.newest_us, us)
        if table is STATUS:
            run.newest_status_us = max(run.newest_status_us, us)
        self.heard(run, us)

    def heard(self, run: Run, us: int) -> None:
        """Note when a row was taken: now, but in a first read the newest stamp that is not later than now."""
        if self.ready:
            if not self.last_call:  # which takes what came before
                run.heard_us = self.wall_us
        elif us <= self.wall_us:
            run.heard_us = max(run.heard_us, us)

    def plain_until(self, run: Run, us: int) -> int:
        """Give the microseconds from which a run's stamps have to be looked at closely; `us` is one of them.

        What comes before is neither ahead of the clock nor says how a stamp in an hour that came twice is read.
        """
        return 0 if run.clock_ahead else min(self.watched_from(run, us), self.wall_us + 1)

    def watched_from(self, run: Run, us: int) -> int:
        """Give from when on the writers of a run are watched; `us` is one of its stamps."""
        watched = run.watched.get(id(self.stamps))
        if watched is None:
            begin_us = min(abs(us), self.wall_us)
            watched = run.watched[id(self.stamps)] = self.stamps.watched_from(begin_us, self.wall_us)
        return watched
