"""Reads Parsl's PostgreSQL database without harm: read-only, in short statements, each a transaction of its own.

Many runs write at once and commit in any order, so a row counts as read by its place in the table (`heap.py`).
Parsl updates task, try and workflow rows, which moves them. Task and try rows are gone through once, and what that
missed or came later is read by key; new workflow rows by the age of the transaction that wrote them. Reading one of
those twice does no harm. The other tables' rows are never updated or deleted by Parsl: where the server's statistics
tell of any that are, all is read anew, as after a restart of the server, VACUUM FULL, TRUNCATE or a restore. Parsl's
keys: `parsl/monitoring/db_manager.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sqlalchemy.engine import URL

from parsl_exporter.base.columns import Ints
from parsl_exporter.base.errors import FaultReason, SourceFault, SourceReplaced
from parsl_exporter.base.redaction import public
from parsl_exporter.base.shard import WHOLE, Shard
from parsl_exporter.base.tables import RESOURCE, STATUS, TASK, TRY, WORKFLOW, Row, Table
from parsl_exporter.readers.batch import START, Batch, InOrder, Position, RunColumns, in_order_of_texts
from parsl_exporter.readers.pace import BatchSize
from parsl_exporter.readers.postgresql import statements
from parsl_exporter.readers.postgresql.catalog import APPENDED, Catalog
from parsl_exporter.readers.postgresql.columns import Found, PostgresColumns
from parsl_exporter.readers.postgresql.heap import NO_PLACES, Heap, Place, Places, Visit
from parsl_exporter.readers.postgresql.progress import Scan, Sweep, plain, position_of
from parsl_exporter.readers.postgresql.session import Server, Session

_PAGES = 512
"""Pages of one read."""
_FEWEST_PAGES = 8
_MOST_TRIES = 1_000
_KEYS_AT_ONCE = 1_000
_Read = TypeVar("_Read")
_TASK_KEY = ("task_id",)
_TRY_KEY = ("task_id", "try_id")


class _Given(NamedTuple):
    """A batch: what was visited and found, until its position comes back and so says that it was taken."""

    position: Position
    visit: Visit | None
    places: Places


class PostgresReader:
    """One database of a server: see `readers.base.Reader`. Rows of runs outside the shard are left out by the server.

    `sweep`: the seconds in which every page that can hold new rows is looked at.
    """

    dialect = "postgresql"
    remote = True
    keyed = True

    def __init__(
        self,
        url: URL,
        *,
        shard: Shard = WHOLE,
        sweep: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.database = public(url)
        self._session = Session(url, self.database, monotonic=monotonic)
        self.read_times = self._session.read_times
        self._catalog = Catalog(self._session, self.database)
        self._ours = shard.condition("s.run_id")
        self._sweep = sweep
        self._monotonic = monotonic
        self._server: Server | None = None
        self._heaps: dict[str, Heap] = {}
        self._given: dict[str, _Given] = {}
        self._given_workflows: dict[str, tuple[bytes, str]] = {}
        self._columns = PostgresColumns(self._session, self._catalog, self._ours)
        self._pages = BatchSize(_FEWEST_PAGES, _PAGES)
        self._serial = 0
        self._snapshot = ""
        self._swept_at: dict[str, int] = {}
        self._workflow_sweeps = 0

    # --- the database ---------------------------------------------------------------------------------------

    def changed(self) -> bool:
        """Say whether a transaction has ended since the last call, or a row may still be unseen."""
        server = self._session.open()
        if server is not None:
            before, self._server = self._server, server
            if before is not None and before != server:
                self._catalog.forget()
                raise SourceReplaced(
                    f"{self.database}: the server was restarted or replaced; reading it anew"
                )
        snapshot = self._catalog.look()
        if snapshot != self._snapshot or not self._swept_at:
            # One sweep may have begun before; the next one sees all that was committed.
            self._snapshot = snapshot
            self._swept_at = {
                name: self._sweeps(name) + 2 for name in (WORKFLOW.name, *(t.name for t in APPENDED))
            }
            return True
        return any(self._sweeps(name) < enough for name, enough in self._swept_at.items())

    def _sweeps(self, name: str) -> int:
        """How often all pages of a table have been looked at that can hold new rows."""
        if name == WORKFLOW.name:
            return self._workflow_sweeps
        return self._heaps[name].sweeps if name in self._heaps else 0

    def look_again(self) -> None:
        """Have `changed` say yes the next time."""
        self._swept_at = {}

    def close(self) -> None:
        """Let the connection go; what was read stays known."""
        self._session.close()

    def absent(self, table: Table) -> frozenset[str]:
        """Give the columns that this database's schema lacks."""
        return frozenset(table.columns) - self._catalog.schema[table.name]

    def last_rowid(self, table: Table) -> int:
        """Give about how many rows there are, as the server's statistics have it."""
        return self._catalog.estimates[table.name]

    # --- going on where another one was -------------------------------------------------------------------

    def kept(self, positions: Mapping[str, Position]) -> Mapping[str, Any]:
        """Give the server, its tables as they were last, and the places that were read at these positions."""
        read = [table for table in APPENDED if positions[table.name].identity is not None]
        return {
            "server": tuple(self._server or ()),
            "catalog": self._catalog.kept(),
            "heaps": {table.name: self._heap(table, positions[table.name]).kept() for table in read},
            "workflows": self._given_workflows,
            "workflow_sweeps": self._workflow_sweeps,
            "serial": self._serial,
            "positions": {name: plain(position) for name, position in positions.items()},
        }

    def resume(self, kept: Mapping[str, Any]) -> dict[str, Position]:
        """Go on from there: what may have come meanwhile is looked for in every page at once."""
        self._server = Server(kept["server"])
        self._catalog.resume(**kept["catalog"])
        for name, places in kept["heaps"].items():
            self._heaps[name] = Heap(self._catalog.page_size, self._sweep)
            self._heaps[name].resume(**places)
        self._given_workflows, self._workflow_sweeps = kept["workflows"], kept["workflow_sweeps"]
        self._serial = kept["serial"]
        due = self._monotonic() - self._sweep
        return {name: position_of(name, position, since=due) for name, position in kept["positions"].items()}

    # --- new rows -------------------------------------------------------------------------------------------

    def places(self, table: Table, of_run: RunColumns) -> Ints:
        """Give no places: rows of PostgreSQL have no order."""
        del table
        return np.zeros(len(of_run.columns.task_ids), np.int64)

    def read(
        self,
        table: Table,
        after: Position,
        *,
        skip: Collection[str] = (),
        in_order: InOrder = in_order_of_texts,
    ) -> Batch:
        """Give rows not read before: of pages never visited, then of those with room for more.

        Each once, but a task or try row that is updated meanwhile may come twice, or not at all.
        """
        if table is WORKFLOW:
            return self._tail_workflows(after)
        if table not in APPENDED:
            return self._scan(table, after, skip, in_order)
        heap = self._heap(table, after)
        size = self._catalog.pages(table)
        if size < heap.pages:
            if heap.any_from(size):
                raise SourceReplaced(f"{self.database}: rows of {table.name} are gone; reading it anew")
            heap.shrink(size)
        visit = heap.visit(size, self._monotonic(), self._pages.now)
        found = self._find(table, visit.ranges, skip, in_order)
        position = self._position(after.rowid + len(found.places.at))
        self._given[table.name] = _Given(position, visit, found.places)
        return _batch(found, position, visit.end, size)

    def _scan(self, table: Table, after: Position, skip: Collection[str], in_order: InOrder) -> Batch:
        """Give the task or try rows that were there at the first call, page by page, and then no more."""
        scan = Scan(0, self._catalog.pages(table)) if after.identity is None else after.identity[1]
        end = min(scan.end, scan.page + self._pages.now)
        ranges = [(Place(scan.page, 1), Place(end, 0))] if end > scan.page else []
        found = self._find(table, ranges, skip, in_order)
        position = self._position(after.rowid + len(found.places.at), scan._replace(page=end))
        return _batch(found, position, end, scan.end)

    def _find(
        self, table: Table, ranges: Sequence[tuple[Place, Place]], skip: Collection[str], in_order: InOrder
    ) -> Found:
        """Read ranges of places."""
        found = self._paced(partial(self._columns.read, table, ranges, list(skip), in_order))
        self._pages.scale(9 / 8)
        return found

    def _paced(self, read: Callable[[], _Read]) -> _Read:
        """Read; where the server is too slow for so much, have the next reads ask for fewer pages and keys."""
        try:
            return read()
        except SourceFault as fault:
            if fault.reason == FaultReason.TIMEOUT:
                self._pages.scale(1 / 4)
            raise

    def _slices(self, keys: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Part keys into as many as the server can look up at once."""
        at_once = max(1, _KEYS_AT_ONCE * self._pages.now // _PAGES)
        return (keys[i : i + at_once] for i in range(0, len(keys), at_once))

    def _heap(self, table: Table, upto: Position) -> Heap:
        """What was read of a table at a position."""
        heap = self._heaps.get(table.name)
        if heap is None or upto.identity is None:
            sweeps = self._sweeps(table.name)
            heap = self._heaps[table.name] = Heap(self._catalog.page_size, self._sweep, sweeps)
            self._given.pop(table.name, None)
        given = self._given.get(table.name)
        if given is not None and given.visit is not None and given.position == upto:
            heap.take(given.visit, given.places, self._monotonic())
            self._given[table.name] = given._replace(visit=None, places=NO_PLACES)
        return heap

    def _position(self, rows: int, *state: Any) -> Position:
        self._serial += 1
        return Position(rows, (self._serial, *state))

    def _tail_workflows(self, after: Position) -> Batch:
        """Give rows written since they were last looked at: of the last pages each time, of the others in turn."""
        now, oldest_running = self._monotonic(), int(self._snapshot.partition(":")[0])
        if after.identity is None:
            self._given_workflows = {}
            sweep = Sweep(0, None, oldest_running, now)
        else:
            sweep = after.identity[1]
        size = self._catalog.pages(WORKFLOW)
        near = max(0, size - _PAGES)
        if sweep.known is None:
            end = min(size, sweep.page + _PAGES)
            ranges = [(Place(sweep.page, 1), Place(end, 0))]
            done = end >= size
        else:
            part = (now - sweep.since) / self._sweep if self._sweep else 1.0
            end = max(sweep.page, min(near, int(near * part), sweep.page + _PAGES))
            ranges = [(Place(sweep.page, 1), Place(end, 0)), (Place(near, 1), Place(size, 0))]
            done = end >= near
        condition = self._ours
        if sweep.known is not None:
            condition += f" AND age(s.xmin) <= age('{sweep.known}'::xid8::xid)"
        rows = list(self._versions(ranges, condition))
        self._workflow_sweeps += done
        sweep = Sweep(0, sweep.known_next, oldest_running, now) if done else sweep._replace(page=end)
        position = self._position(after.rowid + len(rows), sweep)
        return Batch(
            rows, position, more=sweep.known is None, size=len(rows), part=min(1.0, end / max(1, size))
        )

    def _versions(self, ranges: Sequence[tuple[Place, Place]], condition: str) -> Iterator[Row]:
        """Workflow rows, but for those that are as they were when they were last given."""
        sql = statements.of_pages(WORKFLOW, self._catalog.columns[WORKFLOW.name], condition)
        for *row, place, transaction in self._session.fetch(sql, statements.bounds(ranges)):
            version = (place, transaction)
            if self._given_workflows.get(row[1]) != version:
                self._given_workflows[row[1]] = version
                yield tuple(row)

    # --- rows that are known to be there --------------------------------------------------------------------

    def workflows(self, run_ids: Sequence[str]) -> list[Row]:
        """Give the workflow rows of these runs."""
        return self._by_key(WORKFLOW, (), [(run_id,) for run_id in run_ids])

    def tasks(self, keys: Sequence[tuple[str, int]]) -> Batch:
        """Give the task rows of these (run_id, task_id)."""
        return self._named(TASK, _TASK_KEY, keys)

    def tries(self, keys: Sequence[tuple[str, int, int]], upto: Position) -> Batch:
        """Give the try rows of these (run_id, task_id, try_id)."""
        del upto
        return self._named(TRY, _TRY_KEY, keys)

    def _named(self, table: Table, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> Batch:
        read = partial(self._columns.by_key, table, names)
        parts = [self._paced(partial(read, some)) for some in self._slices(keys)]
        rows = [row for part in parts for row in part.rows]
        columns = [of_run for part in parts for of_run in part.columns]
        return Batch(rows, START, more=False, columns=columns, size=sum(part.size for part in parts))

    def _by_key(self, table: Table, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[Row]:
        return [row[:-1] for row in self._placed_by_key(table, names, keys)]

    def _placed_by_key(
        self, table: Table, names: Sequence[str], keys: Sequence[tuple[Any, ...]]
    ) -> list[Row]:
        sql = statements.by_key(table, self._catalog.columns[table.name], names)
        rows: list[Row] = []
        for some in self._slices(keys):
            parameters = statements.key_parameters(names, some)
            rows += self._paced(partial(self._session.fetch, sql, parameters))
        return rows

    def history(
        self,
        keys: Sequence[tuple[str, int]],
        upto: Mapping[str, Position],
        known_tries: Mapping[tuple[str, int], Collection[int]],
    ) -> dict[str, list[Row]]:
        """Give the rows of these (run_id, task_id) that were read at these positions, by table."""
        found = {TASK.name: self._by_key(TASK, _TASK_KEY, keys)}
        found[STATUS.name] = self._read_before(
            STATUS, upto[STATUS.name], self._placed_by_key(STATUS, _TASK_KEY, keys)
        )
        last = {(run_id, task_id): max(known_tries[run_id, task_id], default=0) for run_id, task_id in keys}
        for row in found[STATUS.name]:
            last[row[1], row[2]] = max(last[row[1], row[2]], row[3] or 0)
        tries = [
            (run_id, task_id, try_id)
            for (run_id, task_id), greatest in last.items()
            for try_id in range(min(greatest + 1, _MOST_TRIES))
        ]
        found[TRY.name] = self._by_key(TRY, _TRY_KEY, tries)
        found[RESOURCE.name] = self._read_before(
            RESOURCE, upto[RESOURCE.name], self._placed_by_key(RESOURCE, _TRY_KEY, tries)
        )
        return found

    def _read_before(self, table: Table, upto: Position, rows: Sequence[Row]) -> list[Row]:
        heap = self._heap(table, upto)
        return [row[:-1] for row in rows if heap.holds(*_page_and_item(row[-1]))]

    def of_run(self, table: Table, run_id: str, after: int, upto: Position) -> Batch:
        """Give the rows of one run that were read before, of the pages from `after` on."""
        if table is WORKFLOW:
            return Batch(self.workflows([run_id]), Position(), more=False)
        if table not in APPENDED:
            return Batch([], Position(), more=False)
        heap = self._heap(table, upto)
        end = min(heap.pages, after + self._pages.now)
        sql = statements.of_pages(table, self._catalog.columns[table.name], "s.run_id = %(run_id)s")
        parameters = {"run_id": run_id, **statements.bounds([(Place(after, 1), Place(end, 0))])}
        found = self._paced(partial(self._session.fetch, sql, parameters))
        rows = [row[:-2] for row in found if heap.holds(*_page_and_item(row[-2]))]
        return Batch(rows, Position(end), more=end < heap.pages)

    def newest(self, table: Table, count: int) -> Iterator[Sequence[Row]]:
        """Give about the last `count` rows by their places."""
        sql = statements.of_pages(table, self._catalog.columns[table.name], self._ours)
        end = self._catalog.pages(table)
        while end > 0 and count > 0:
            begin = max(0, end - _PAGES)
            found = self._session.fetch(sql, statements.bounds([(Place(begin, 1), Place(end, 0))]))
            yield [row[:-2] for row in found]
            end, count = begin, count - len(found)

    def writers_since(self, table: Table, stamp: str) -> set[str]:
        """Give the runs that wrote rows stamped `stamp` or later, seen from the table's end backwards."""
        runs: set[str] = set()
        end = self._catalog.pages(table)
        while end > 0:
            begin = max(0, end - _PAGES)
            slice_ = {"low": str(Place(begin, 1)), "high": str(Place(end, 0)), "stamp": stamp}
            newest, found = self._session.fetch(statements.writers(table), slice_)[0]
            if newest is not None and newest < stamp:
                break
            runs.update(found or ())
            end = begin
        return runs


def _batch(found: Found, position: Position, done: int, of: int) -> Batch:
    part = done / of if of else 1.0
    return Batch(found.rows, position, done < of, found.columns, found.size, part)


def _page_and_item(place: bytes) -> tuple[int, int]:
    number = int.from_bytes(place, "big")
    return number >> 16, number & 0xFFFF


__all__ = ["PostgresReader"]
