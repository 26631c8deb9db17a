"""One source under watch: real files, a clock that the test moves, the page and the log as a person sees them."""

from __future__ import annotations

import gzip
import logging
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from parsl_exporter.base.formats import Format
from parsl_exporter.base.shard import WHOLE
from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.config.settings import Settings
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.checkpoint import Checkpoint, read_under
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.health import Outcome
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import SourceOptions
from parsl_exporter.source.source import Source
from support.oracle import BYTES, SECONDS, Labels, Series, Value, differences, expected, parse, parse_only
from support.oracle.page import LAST_ROW

DATA = Path(__file__).parents[1] / "data"
CORPUS = sorted(path.name.removesuffix(".db.gz") for path in DATA.glob("*.db.gz"))
"""Names of databases that real runs wrote, for `unpacked`."""
NOBODY = 65534
FOREVER = 1e15
CLOSE_AFTER = 30.0
SOURCE = "s"
REASONS = Settings().failure_reasons
COUNTERS = [family.name for family in RUN_FAMILIES if family.kind == "counter"]
HISTOGRAMS = [family.name for family in RUN_FAMILIES if family.kind == "histogram"]
SUMMARIES = [family.name for family in RUN_FAMILIES if family.kind == "summary"]
NOT_HISTOGRAMS = [
    family.name
    for family in RUN_FAMILIES
    if family.kind not in ("histogram", "summary") and family.name != LAST_ROW
]
"""What rows tell whatever their order; when they came is for the exporter's own clock (`LAST_ROW`)."""
PARSL_TABLES = ("workflow", "task", "try", "status", "resource", "block", "node")


@contextmanager
def in_memory() -> Iterator[Path]:
    """A new folder, in memory where there is one, for fsync is slow; every user may enter it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        made = Path(name)
        made.chmod(0o755)
        yield made


def unpacked(database: Path, name: str = "managerlost-2026.10.26") -> Path:
    """Write a database of the corpus to `database`, in place if that is there, and give its path."""
    database.write_bytes(gzip.decompress((DATA / f"{name}.db.gz").read_bytes()))
    return database


def truth(
    database: Path,
    *,
    zone: str = "UTC",
    worker_zones: Mapping[str, str] = MappingProxyType({}),
    now: float | None = None,
) -> Series:
    """What the oracle says of a database."""
    return expected(
        database,
        source=SOURCE,
        timezone=zone,
        failure_reasons=REASONS,
        worker_timezone=worker_zones,
        now=now,
    )


def with_runinfo(folder: Path) -> Path:
    """Make it a working folder with a runinfo folder."""
    (folder / "runinfo").mkdir()
    unpacked(folder / "runinfo" / "monitoring.db")
    return folder


def emptied(database: Path, name: str = "managerlost-2026.10.26") -> Path:
    """The tables that Parsl makes, without rows."""
    unpacked(database, name)
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in PARSL_TABLES:
            connection.execute(f'DELETE FROM "{table}"')
    return database


def execute(database: Path, *statements: str) -> None:
    """Run statements as a writer would, in one transaction."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Within, the process may do what an ordinary user may who owns nothing (root starts the tests in places)."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def as_root() -> Iterator[None]:
    """Within, a process that root started may do everything again."""
    os.seteuid(0)
    os.setegid(0)
    try:
        yield
    finally:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)


def within(seconds: float, call: Callable[[], object]) -> object:
    """What `call` gives or raises; AssertionError when it hangs. No signal would do: SQLite goes on after one."""
    ended: list[tuple[object, BaseException | None]] = []

    def run() -> None:
        try:
            ended.append((call(), None))
        except BaseException as error:
            ended.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert ended, f"still not done after {seconds:g} s"
    given, error = ended[0]
    if error is not None:
        raise error
    return given


class FakeClock:
    """A clock that stands still until it is moved; `step` moves the wall clock alone."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.steady = 1_000.0
        self.wall = wall
        self.clock = Clock(wall=lambda: self.wall, steady=lambda: self.steady)

    def go_on(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds

    def step(self, seconds: float) -> None:
        self.wall += seconds


class SourceHarness:
    """A source on `path`, polled by the test. Stamps are UTC unless a zone is named.

    With a `keeper` it goes on from its checkpoint, and is kept.
    """

    def __init__(
        self,
        path: Path,
        *,
        zone: str = "UTC",
        run_zones: Mapping[str, str] = MappingProxyType({}),
        worker_zones: Mapping[str, str] = MappingProxyType({}),
        fake_clock: FakeClock | None = None,
        reader: SqliteReader | None = None,
        baton: Baton | None = None,
        retention: float = FOREVER,
        abandon_after: float = FOREVER,
        close_after: float = CLOSE_AFTER,
        runs: int = 1_000,
        stopping: Callable[[], bool] = lambda: False,
        keeper: Keeper | None = None,
    ) -> None:
        self.path = path
        self.zone = zone
        self.worker_zones = worker_zones
        self.again = 0.0
        self.fake_clock = fake_clock or FakeClock()
        options = SourceOptions(
            name=SOURCE,
            zone=None if zone == "local" else ZoneInfo(zone),
            run_zones=tuple((pattern, ZoneInfo(own)) for pattern, own in run_zones.items()),
            worker_zones=tuple((pattern, ZoneInfo(own)) for pattern, own in worker_zones.items()),
            buckets=Buckets.of(SECONDS, BYTES),
            limits=Limits(close_after, retention, abandon_after, apps=1_000),
            runs=runs,
            failure_reasons=REASONS,
            hidden=frozenset(),
        )
        reader = reader or SqliteReader(path)
        checkpoint = None
        if keeper is not None:
            settings = read_under(reader, options, WHOLE, 1_000_000)
            checkpoint = Checkpoint(keeper, SOURCE, settings, self.fake_clock.clock)
        self.source = Source(
            reader,
            options,
            baton=baton or Baton(),
            clock=self.fake_clock.clock,
            started=self.fake_clock.wall,
            series_left=lambda: 1_000_000,
            stopping=stopping,
            checkpoint=checkpoint,
        )

    def poll(self, times: int = 1, *, every: float = 1.0) -> SourceHarness:
        """Let `every` seconds pass and poll, `times` times; `again` is then what the last poll gave."""
        for _ in range(times):
            self.fake_clock.go_on(every)
            self.again = self.source.poll()
        return self

    def rest(self) -> SourceHarness:
        """Poll until everything that ended has closed."""
        return self.poll().poll(2, every=2 * CLOSE_AFTER)

    @property
    def condition(self) -> Outcome:
        return self.source.published.outcome

    def page(self) -> str:
        page = Page([self.source.published.snapshot]).body(Format.TEXT).decode()
        assert not re.search(r" (NaN|[-+]Inf)$", page, re.MULTILINE), "a value that is no number"
        return page

    def series(self) -> Series:
        return parse(self.page())

    def runs(self) -> Series:
        """The run families alone."""
        return {name: v for name, v in self.series().items() if not name.startswith("parsl_exporter_")}

    def run_lines(self) -> list[str]:
        """The lines of the run families but when a row was last read, as the clock decides it."""
        own = ("#", "parsl_exporter_", LAST_ROW)
        return sorted(line for line in self.page().split("\n") if not line.startswith(own))

    def own(self, family: str, **labels: str) -> float:
        """The value of one of the source's own series; `family` without its beginning `parsl_exporter_`."""
        wanted = {"source": SOURCE, **labels}
        value = self._own_family(family)[frozenset(wanted.items())]
        assert isinstance(value, float)
        return value

    def up(self) -> bool:
        return self.own("source_up") == 1

    def errors(self) -> dict[str, float]:
        """Failed polls by reason, those that happened."""
        return self._counts("errors_total", "reason")

    def rejected(self) -> dict[str, float]:
        """Rows rejected, by table and reason."""
        return self._counts("rows_rejected_total", "table", "reason")

    def _counts(self, family: str, *labels: str) -> dict[str, float]:
        found = self._own_family(family).items()
        return {
            " ".join(dict(key)[label] for label in labels): value
            for key, value in found
            if isinstance(value, float) and value
        }

    def _own_family(self, family: str) -> dict[Labels, Value]:
        name = f"parsl_exporter_{family}"
        return parse_only(self.page(), name)[name]

    def wrong(self, database: Path | None = None, *, but: Collection[str] = ()) -> list[str]:
        """How the page differs from what all rows of a database (default: its own) say, once everything has closed.

        `but`: families to leave out. When a row was last read is left out, as the clock decides it.
        """
        wanted = truth(database or self.path, zone=self.zone, worker_zones=self.worker_zones)
        found = self.rest().runs()
        return differences(wanted, found, families=(wanted.keys() | found.keys()) - {LAST_ROW, *but})


class Log:
    """The exporter's log lines since the last look."""

    def __init__(self, records: Callable[[], list[logging.LogRecord]]) -> None:
        self._records = records
        self._seen = 0

    def new(self) -> list[str]:
        """Messages with their fields, `caught up` left out."""
        records = self._records()[self._seen :]
        self._seen += len(records)
        lines = []
        for record in records:
            fields = getattr(record, "fields", {})
            text = " ".join([record.getMessage(), *(f"{key}={value}" for key, value in fields.items())])
            if record.name.startswith("parsl_exporter") and not text.startswith("caught up"):
                lines.append(f"{record.levelname.lower()} {text}")
        return lines
