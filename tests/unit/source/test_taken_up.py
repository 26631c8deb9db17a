"""What came after a checkpoint, or while nobody watched: nothing that was shown is taken back by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.checkpoints import go_on, keep, started
from support.rows import EPOCH, RUN, Told, attempt, insert, lifecycle, status, task, workflow, write
from support.source_harness import CLOSE_AFTER, FakeClock, SourceHarness, execute, unpacked

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.page import Page


def finished_task(task_id: int, at: float) -> list[Told]:
    """A task that takes two seconds."""
    states = ("pending", "launched", "running", "running_ended", "exec_done")
    rows = [status(task_id, state, at + i / 2) for i, state in enumerate(states)]
    return [task(task_id), attempt(task_id, block="0", host="node1"), *rows]


def retried_task(task_id: int, at: float) -> list[Told]:
    """A task whose second try runs: what is known of the first is kept, though it has closed."""
    first = [(state, at + i / 2) for i, state in enumerate(("pending", "running", "fail_retryable"))]
    tries = [attempt(task_id, try_id, block="0", host="node1", history="ValueError(1)") for try_id in (0, 1)]
    return [task(task_id), *tries, *lifecycle(task_id, *first), status(task_id, "running", at + 2, 1)]


@pytest.mark.parametrize("down", [1.0, 100.0])
@pytest.mark.parametrize("idle", [0, 12])
def test_no_histogram_falls_when_an_exporter_was_killed(folder: Path, down: float, idle: int) -> None:
    """Tries of which all rows came after the checkpoint had closed, and were shown so."""
    path = write(folder / "a.db", [workflow()])
    clock = FakeClock(EPOCH)
    with started(path, folder / "state", clock, close_after=5.0) as killed:
        killed.poll()
        insert(path, retried_task(0, 1))
        for second in range(2, 22):
            insert(path, finished_task(second, second))
            killed.poll()
        shown = histogram_counts(killed.poll(idle))
    assert sum(shown.values()) > 10
    clock = FakeClock(clock.wall + down)
    with started(path, folder / "state", clock, close_after=5.0) as after:
        counts = histogram_counts(after.poll())
        assert [name for name, count in shown.items() if counts.get(name, 0) < count] == []
        assert after.wrong() == []


def histogram_counts(watched: SourceHarness) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in watched.run_lines()]
    return {name: float(count) for name, _, count in lines if "_seconds_count{" in name}


def test_a_row_that_was_updated_while_nobody_watched_is_read_before_its_try_closes(folder: Path) -> None:
    path = write(folder / "a.db", [workflow(), task(0), attempt(0), *lifecycle(0, ("fail_retryable", 1))])
    clock = FakeClock()
    keep(path, folder / "state", clock)
    execute(path, "UPDATE try SET task_fail_history = 'ValueError(1)'")
    after = go_on(path, folder / "state", FakeClock(clock.wall + 2 * CLOSE_AFTER))
    assert after.series()["parsl_task_failures_total"] == {
        frozenset(
            {"source": "s", "run_id": RUN, "app": "add", "executor": "htex", "reason": "ValueError"}.items()
        ): 1
    }


def test_what_the_source_counts_of_itself_counts_since_it_began_to(folder: Path) -> None:
    """A counter that goes on and says that it began just now tells Prometheus of a burst."""
    path = unpacked(folder / "a.db")
    clock = FakeClock()
    with started(path, folder / "state", clock) as before:
        path.rename(folder / "away.db")
        before.poll()
        (folder / "away.db").rename(path)
        before.poll().source.close()
    after = go_on(path, folder / "state", FakeClock(clock.wall))
    assert before.errors() == {"missing": 1}
    assert of_itself(after) == of_itself(before)


def of_itself(watched: SourceHarness) -> list[str]:
    page = Page([watched.source.published.snapshot]).body(Format.OPENMETRICS).decode()
    return [
        line
        for line in page.split("\n")
        if line.startswith("parsl_exporter_") and ("_total{" in line or "_created{" in line)
    ]
