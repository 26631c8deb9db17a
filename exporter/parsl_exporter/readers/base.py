"""What a source asks of a reader, whatever the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from parsl_exporter.base.columns import Ints
from parsl_exporter.base.tables import Row, Table
from parsl_exporter.readers.batch import Batch, InOrder, Position, RunColumns, in_order_of_texts
from parsl_exporter.readers.pace import ReadTimes


class Reader(Protocol):
    """One database. Not for two threads at once. Each method is one short read at most.

    `dialect` is SQLAlchemy's word.
    `remote`: it waits for a server, and so must not hold up others; else it works in this process.
    `keyed`: `read` gives the task and try rows that were there when it was first asked for them, about; those that are
    missing then, or come later, come from `tasks` and `tries` alone.
    All methods raise SourceBusy, SourceReplaced and SourceFault.
    """

    dialect: str
    remote: bool
    keyed: bool
    read_times: ReadTimes

    @property
    def database(self) -> str:
        """The database as people may see it: a path, or a URL without user, password and query."""

    def changed(self) -> bool:
        """Say whether there may be something new since the last call that said so; connect when needed."""

    def look_again(self) -> None:
        """Have `changed` say yes the next time: what it announced could not be read."""

    def close(self) -> None:
        """Let the database go; the next call of `changed` takes it up again."""

    def kept(self, positions: Mapping[str, Position]) -> Mapping[str, Any]:
        """Give what was read at these positions, and what tells this database from others: plain values and arrays."""

    def resume(self, kept: Mapping[str, Any]) -> dict[str, Position]:
        """Go on, before the first call of `changed`, from what another one has `kept`; give the positions.

        `changed` raises SourceReplaced when the database turns out to be another one.
        """

    def absent(self, table: Table) -> frozenset[str]:
        """Give the columns that this database's schema lacks, and that are read as NULL."""

    def last_rowid(self, table: Table) -> int:
        """Give the position of the table's newest row, or about how many rows there are; 0 when none."""

    def read(
        self,
        table: Table,
        after: Position,
        *,
        skip: Collection[str] = (),
        in_order: InOrder = in_order_of_texts,
    ) -> Batch:
        """Give rows that were not read at the position `after`, each once. Rows of runs in `skip` are left out.

        They come in columns as far as they fit; of a manager's rows those that tell what all do, unless `in_order`
        denies of the least and the greatest stamp of their runs that the latter is the newest. The batch counts as read
        when its position is given to any method.
        """

    def places(self, table: Table, of_run: RunColumns) -> Ints:
        """Give the places in the order of insertion of rows that came in columns; 0 where a database has none."""

    def of_run(self, table: Table, run_id: str, after: int, upto: Position) -> Batch:
        """Give the rows of one run that were read at `upto`, in bounded slices: the next begins after `after`."""

    def newest(self, table: Table, count: int) -> Iterator[Sequence[Row]]:
        """Give about the last `count` rows."""

    def workflows(self, run_ids: Sequence[str]) -> list[Row]:
        """Give the workflow rows of these runs as they are now."""

    def tasks(self, keys: Sequence[tuple[str, int]]) -> Batch:
        """Give the task rows of these (run_id, task_id), in a batch of no position."""

    def tries(self, keys: Sequence[tuple[str, int, int]], upto: Position) -> Batch:
        """Give the try rows of these (run_id, task_id, try_id) as they are now; not those that `read` will give."""

    def history(
        self,
        keys: Sequence[tuple[str, int]],
        upto: Mapping[str, Position],
        known_tries: Mapping[tuple[str, int], Collection[int]],
    ) -> dict[str, list[Row]]:
        """Give the rows of these (run_id, task_id) that were read at these positions, by table.

        `known_tries`: try_ids that later rows of each gave; keys of try and resource begin with try_id.
        """

    def writers_since(self, table: Table, stamp: str) -> set[str]:
        """Give the runs that wrote rows stamped `stamp` (as text) or later, seen from the table's end backwards.

        Stops at the first slice whose rows are all older, as rows are inserted about in the order of time.
        """
