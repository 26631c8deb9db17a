"""Batches into the model, also where a lock comes between."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from support.rows import EPOCH, Told, attempt, insert, status, task, workflow, write
from support.source_harness import CLOSE_AFTER, SourceHarness, execute

from parsl_exporter.base.errors import SourceBusy
from parsl_exporter.base.tables import WORKFLOW, Row, Table
from parsl_exporter.readers.batch import Batch, InOrder, Position, in_order_of_texts
from parsl_exporter.readers.sqlite.reader import SqliteReader


class Overtaken(SqliteReader):
    """After the runs have been read somebody inserts `story`, and holds a lock when its workflow row is asked for."""

    story: Sequence[Told] = ()
    locked = False

    def read(
        self,
        table: Table,
        after: Position,
        *,
        skip: Collection[str] = (),
        in_order: InOrder = in_order_of_texts,
    ) -> Batch:
        batch = super().read(table, after, skip=skip, in_order=in_order)
        if table is WORKFLOW and self.story:
            insert(self.path, self.story)
            self.story, self.locked = (), True
        return batch

    def workflows(self, run_ids: Sequence[str]) -> list[Row]:
        if self.locked and run_ids:
            self.locked = False
            raise SourceBusy("locked")
        return super().workflows(run_ids)


def test_a_run_whose_zone_could_not_be_read_for_a_lock_is_read_in_it_when_the_lock_is_gone(
    folder: Path,
) -> None:
    path = write(folder / "a.db", [workflow("before")])
    reader = Overtaken(path)
    watched = SourceHarness(path, reader=reader, run_zones={"submit": "Etc/GMT+2"}).poll()
    reader.story = [workflow(host="submit"), task(0), attempt(0), status(0, "pending", 7)]
    insert(path, [task(1, run="before")])
    watched.poll()
    assert not reader.locked
    assert watched.poll().up()
    series = watched.runs()
    assert list(series["parsl_task_oldest_timestamp_seconds"].values()) == [EPOCH + 7 + 2 * 3600]
    transitions = series["parsl_task_transitions_total"].items()
    assert [value for key, value in transitions if ("state", "pending") in key] == [1]


def test_a_row_that_was_updated_in_an_outage_is_read_before_its_try_closes(folder: Path) -> None:
    path = write(
        folder / "a.db",
        [workflow(), task(0), attempt(0), status(0, "running", 1), status(0, "fail_retryable", 2)],
    )
    watched = SourceHarness(path).poll()
    path.rename(folder / "away.db")
    watched.poll(3, every=CLOSE_AFTER)
    execute(folder / "away.db", "UPDATE try SET task_fail_history = 'ValueError(1)', hostname = 'node1'")
    (folder / "away.db").rename(path)
    watched.poll()
    assert [dict(key)["reason"] for key in watched.series()["parsl_task_failures_total"]] == ["ValueError"]
    assert watched.wrong() == []
