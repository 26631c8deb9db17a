"""A source: what it publishes of runs that lack something, and what it says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.oracle import expected
from support.rows import EPOCH, RUN, Told, attempt, block, insert, node, sample, status, task, workflow, write
from support.source_harness import FakeClock, Log, SourceHarness, unpacked

from parsl_exporter.base.errors import SourceBusy
from parsl_exporter.base.formats import Format
from parsl_exporter.base.tables import Row
from parsl_exporter.metrics.page import Page
from parsl_exporter.readers.sqlite.reader import SqliteReader

DAY = 86_400.0
ORPHAN = [task(0), attempt(0), status(0, "pending", 1)]
NAMELESS = (
    "warning a run has no workflow row (Parsl drops one that it cannot write): its names and its end stay unknown"
    f" source=s run_id={RUN}"
)


def test_a_run_whose_workflow_row_never_came_is_published_and_said_once(folder: Path, log: Log) -> None:
    path = write(folder / "a.db", ORPHAN)
    watched = SourceHarness(path).poll(3)
    info = watched.runs()["parsl_workflow_info"]
    names = dict.fromkeys(("workflow_name", "workflow_version", "host", "user", "rundir"), "unknown")
    assert [dict(key) for key in info] == [{"source": "s", "run_id": RUN, **names}]
    assert "parsl_workflow_start_timestamp_seconds" not in watched.runs()
    insert(path, [status(0, "launched", 2)])
    assert watched.poll().wrong() == []
    assert log.new() == [NAMELESS]


def test_a_real_run_without_a_workflow_row(folder: Path) -> None:
    path = unpacked(folder / "a.db", "nameless-2026.10.26")
    watched = SourceHarness(path).poll()
    assert watched.wrong() == []
    assert len(expected(path, source="s")["parsl_workflow_info"]) == 1
    page = Page([watched.source.published.snapshot]).body(Format.OPENMETRICS).decode()
    assert [
        line for line in page.splitlines() if "_created{" in line and not line.startswith("parsl_exporter")
    ] == []


def test_a_workflow_row_that_comes_late_gives_the_names(folder: Path) -> None:
    path = write(folder / "a.db", ORPHAN)
    watched = SourceHarness(path).poll()
    insert(path, [workflow(completed=5)])
    watched.poll()
    assert {dict(key)["workflow_name"] for key in watched.runs()["parsl_workflow_info"]} == {"wf"}
    assert watched.wrong() == []


def test_no_run_is_called_nameless_whose_workflow_row_is_there(folder: Path, log: Log) -> None:
    path = write(folder / "a.db", [workflow("run-0")])
    watched = SourceHarness(path).poll()
    insert(path, [workflow(), *ORPHAN])
    watched.poll()
    assert log.new() == []


def test_a_nameless_run_goes_when_it_has_not_written_for_long_and_comes_back_when_it_does(
    folder: Path, log: Log
) -> None:
    path = write(folder / "a.db", ORPHAN)
    watched = SourceHarness(path, fake_clock=FakeClock(EPOCH + 2 * DAY), abandon_after=DAY).poll()
    assert (watched.runs(), log.new()) == ({}, [])
    insert(path, [status(0, "launched", 2 * DAY)])
    watched.poll()
    assert watched.wrong() == []
    watched.poll(every=DAY + 1)
    assert watched.runs() == {}


def test_the_classes_counted_as_other_are_said_once_a_run(folder: Path, log: Log) -> None:
    def failed(task_id: int, history: str) -> list[Told]:
        return [task(task_id), attempt(task_id, host="n", history=history), status(task_id, "failed", 2)]

    path = write(folder / "a.db", [workflow(), *failed(0, "Odd()"), *failed(1, "Strange(1)")])
    watched = SourceHarness(path).poll(2)
    insert(path, failed(2, "Odd('again')"))
    watched.poll()
    assert log.new() == [
        "info failures are counted as _other; the setting failure_reasons, which replaces the default list, can name"
        " their classes"
        f" source=s run_id={RUN} classes=Odd, Strange"
    ]


class LockedOnce(SqliteReader):
    """Finds the database locked when it is first asked for workflow rows by key."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[Sequence[str]] = []

    def workflows(self, run_ids: Sequence[str]) -> list[Row]:
        self.asked.append(run_ids)
        if RUN in run_ids and len(self.asked) == 2:
            raise SourceBusy("locked")
        return super().workflows(run_ids)


def test_a_run_whose_workflow_row_could_not_be_asked_for_yet_has_no_name_instead(
    folder: Path, log: Log
) -> None:
    path = write(folder / "a.db", [workflow("run-0")])
    watched = SourceHarness(path, reader=LockedOnce(path)).poll()
    insert(path, ORPHAN)
    assert "run-1" not in watched.poll().page()
    insert(path, [workflow()])
    watched.poll()
    assert {dict(key)["workflow_name"] for key in watched.runs()["parsl_workflow_info"]} == {"wf"}
    assert log.new() == []


@pytest.mark.parametrize("zone", ["local", "UTC", "America/Chicago", "Asia/Tokyo"])
@pytest.mark.parametrize("written", ["9999-12-31 23:59:59.999999", "9999-12-31 23:59:59"])
def test_a_stamp_at_the_end_of_the_calendar_is_refused_and_all_else_is_read(
    folder: Path, zone: str, written: str
) -> None:
    odd = [status(0, "launched", 2), sample(0, 3), node("m", 4), block("0", "RUNNING", 5)]
    path = write(folder / "a.db", [workflow(), *ORPHAN, *(_stamped(one, written) for one in odd)])
    watched = SourceHarness(path, zone=zone).poll()
    assert watched.condition == ("up", "up to date")
    assert watched.rejected() == {
        f"{table} timestamp": 1 for table in ("status", "resource", "node", "block")
    }


@pytest.mark.parametrize("written", ["1970-01-01 05:00:00.000000", "1970-01-01 05:00:00"])
def test_a_stamp_that_is_none_since_1970_in_a_zone_of_the_source_is_refused(
    folder: Path, written: str
) -> None:
    """What a host's clock tells that was never set."""
    odd = [_stamped(status(0, "running", 2), written), _stamped(sample(0, 3), written)]
    path = write(folder / "a.db", [workflow(), *ORPHAN, block("0", "RUNNING", 0), *odd])
    watched = SourceHarness(path, worker_zones={"*": "Asia/Tokyo"}).poll()
    assert watched.condition == ("up", "up to date")
    assert watched.rejected() == {"status timestamp": 1, "resource timestamp": 1}


def _stamped(one: Told, written: str) -> Told:
    return one._replace(values={**one.values, "timestamp": written})
