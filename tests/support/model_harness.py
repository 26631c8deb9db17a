"""The model and the page behind a reader that holds its rows in memory: polls in, exposition out."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timezone, tzinfo
from types import MappingProxyType
from typing import NamedTuple
from weakref import WeakKeyDictionary

from parsl_exporter.base.formats import Format
from parsl_exporter.base.tables import RESOURCE, STATUS, TABLES, TASK, TRY, Row, Table
from parsl_exporter.metrics.family import Distribution, Value
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.renderer import Renderer
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.run_samples import DrawnGroups, View
from parsl_exporter.metrics.snapshot import Snapshot
from parsl_exporter.metrics.source_families import SourceFacts
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs
from parsl_exporter.model.sketch import QUANTILES, Sketch
from support.oracle import BYTES, SECONDS, Exemplar, Histogram, Series, Summary, expected
from support.oracle.page import Sheet
from support.rows import EPOCH, RUN, Told, as_rows, write
from support.source_harness import in_memory

SOURCE = "s"
FOREVER = 1e15
REASONS = ("ValueError", "ManagerLost")


class Options(NamedTuple):
    """What a test sets; the rest is as wide as can be. `ahead`: by how much rows are read later than the wall shows."""

    close_after: float = FOREVER
    retention: float = FOREVER
    abandon_after: float = FOREVER
    apps: int = 1_000
    runs: int = 1_000
    series: int = 1_000_000
    hidden: frozenset[str] = frozenset()
    zone: tzinfo = timezone.utc
    run_zones: tuple[tuple[str, tzinfo], ...] = ()
    worker_zones: tuple[tuple[str, tzinfo], ...] = ()
    ahead: float = 1e8


class ModelHarness:
    """One source's model. `clock` is the model's clock; the wall shows `clock` seconds after the story's begin."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.clock = 0.0
        self.runs = Runs(
            zone=self.options.zone,
            run_zones=self.options.run_zones,
            worker_zones=self.options.worker_zones,
            buckets=Buckets.of(SECONDS, BYTES),
            limits=Limits(
                self.options.close_after,
                self.options.retention,
                self.options.abandon_after,
                self.options.apps,
            ),
            failure_reasons=REASONS,
        )
        self.renderer = Renderer(SOURCE, runs=self.options.runs)
        self._drawn: DrawnGroups = WeakKeyDictionary()
        self._taken: defaultdict[str, dict[int, Row]] = defaultdict(dict)

    @property
    def wall(self) -> float:
        return EPOCH + self.clock

    def remember(self, other: ModelHarness) -> None:
        """Have the rows in the database that another one's reader has brought."""
        for name, rows in other._taken.items():
            self._taken[name].update(rows)

    def take(self, rows: Iterable[tuple[Table, Row]]) -> None:
        """Give rows to the model, one at a time."""
        for table, row in rows:
            self._take(table, [row])

    def take_by_tables(self, rows: Iterable[tuple[Table, Row]]) -> None:
        """Give rows to the model as a first read does, many of a table at once."""
        batches: dict[Table, list[Row]] = {}
        for table, row in rows:
            batches.setdefault(table, []).append(row)
        for table, batch in batches.items():
            self._take(table, batch)

    def _take(self, table: Table, rows: list[Row]) -> None:
        """Take rows of one table, and read the history of finished tasks that they are late for."""
        self.runs.take(table, rows, self.clock, self.wall + self.options.ahead)
        late = set(self.runs.late_tasks())
        if late:
            history = {
                of.name: [past for past in self._taken[of.name].values() if (past[1], past[2]) in late]
                for of in (TASK, TRY, STATUS, RESOURCE)
            }
            self.runs.revive(history, self.clock)
        for row in rows:
            self._taken[table.name][row[0]] = row

    def poll(self, rows: Iterable[tuple[Table, Row]] = (), *, first: bool = False) -> ModelHarness:
        """Take rows as one poll does; `first` ends a first read with it."""
        self.take(rows)
        self.read_again()
        if first:
            self.runs.finish_first_read(self.clock, self.wall)
        self.runs.settle(self.clock)
        self.runs.expire(self.clock)
        return self

    def read_again(self) -> None:
        """Read whole runs again that the model asks for: the tables one by one."""
        for run_id in self.runs.misread_runs():
            with self.runs.taken_whole(run_id):
                for table in TABLES:
                    rows = [row for _, row in sorted(self._taken[table.name].items()) if row[1] == run_id]
                    self._take(table, rows)

    def views(self) -> list[View]:
        """The runs as they are to be drawn now."""
        retention = self.options.retention
        self.runs.sought(self.runs.known_runs())
        return [
            View(run, self.options.hidden, self.clock - retention, self._drawn)
            for run in self.runs.to_show(self.clock, self.wall, retention)
        ]

    def draw(self) -> Page:
        """Publish the model as it is."""
        views = self.views()
        runs = self.renderer.runs(views, self.options.series)
        self.runs.shown([view.run for view in views], self.renderer.dropped)
        return Page([Snapshot(SOURCE, runs, _FACTS, 0.0)])

    def series(self) -> Series:
        """Publish the run families as values, without the detour of a text."""
        series: Series = {}
        for view in self.views():
            view.run.published = True
            sheet = Sheet(series, source=SOURCE, run_id=view.run.run_id)
            for family in RUN_FAMILIES:
                for values, value in family.draw(view):
                    labels = dict(zip(family.own, values, strict=True))
                    sheet.put(family.name, _plain(value), **labels)
        return series

    def lines(self, *families: str, zeros: bool = False) -> list[str]:
        """The sample lines of some families without `source` and, of the story's only run, without `run_id`.

        Samples that are 0 are left out unless asked for, a histogram's buckets always.
        """
        found = []
        for family in families:
            chosen = self.draw().selection(frozenset({family}), Format.TEXT).decode()
            for line in chosen.split("\n"):
                if not line or line.startswith("#") or "_bucket{" in line:
                    continue
                text = line.replace(f'source="{SOURCE}",run_id="{RUN}",', "").replace(
                    f'source="{SOURCE}",run_id="{RUN}"', ""
                )
                text = text.replace(f'source="{SOURCE}",', "").replace("{}", "")
                if zeros or not text.endswith(" 0"):
                    found.append(text.removeprefix(family))
        return found


def told(story: Iterable[Told], options: Options | None = None) -> ModelHarness:
    """A reading of all these rows at once, at rest."""
    return ModelHarness(options).poll(as_rows(story))


def finished(story: Iterable[Told], options: Options | None = None) -> ModelHarness:
    """A first read of all these rows: what is over is closed."""
    return ModelHarness(options).poll(as_rows(story), first=True)


def oracle_of(
    story: Sequence[Told],
    *,
    zone: str = "UTC",
    worker_zones: Mapping[str, str] = MappingProxyType({}),
    now: float | None = None,
) -> Series:
    """What the oracle says of these rows."""
    with in_memory() as folder:
        return expected(
            write(folder / "monitoring.db", story),
            source=SOURCE,
            timezone=zone,
            failure_reasons=REASONS,
            worker_timezone=worker_zones,
            now=now,
        )


def _plain(value: Value) -> float | Histogram | Summary:
    if isinstance(value, Sketch):
        return Summary(tuple(zip(QUANTILES, value.quantiles, strict=True)))
    if not isinstance(value, Distribution):
        return float(value)
    bounds = (*value.bounds, math.inf)
    buckets = tuple(zip(bounds, itertools.accumulate(value.counts), strict=True))
    found = sorted(value.exemplars.by_bucket.items()) if value.exemplars is not None else []
    exemplars = tuple(
        (bounds[bucket], Exemplar(one.us / 1_000_000, one.task_id, one.try_id, one.value))
        for bucket, one in found
    )
    return Histogram(buckets, value.sum, sum(value.counts), exemplars)


_FACTS = SourceFacts(
    dialect="sqlite",
    database="/runs/monitoring.db",
    up=True,
    ready=True,
    last_success=EPOCH,
    poll_duration=0.0,
    longest_read=0.0,
    rows_read={},
    backlog={},
    errors={},
    rejected={},
    late={},
    series=0,
    overflowed=0,
)
