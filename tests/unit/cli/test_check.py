"""What `check` says of runs: how many there are, how many will be published, which have no name."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.rows import EPOCH, Told, attempt, node, status, task, workflow, write
from support.source_harness import FakeClock, unpacked

from parsl_exporter.cli.check import check
from parsl_exporter.config.settings import LimitSettings, Settings, SourceSettings

DAY = 86_400.0


def report(path: Path, *, wall: float = EPOCH, runs: int = 200) -> list[str]:
    """The lines on runs."""
    said: list[str] = []
    settings = Settings(
        timezone="UTC", limits=LimitSettings(runs_per_source=runs), sources=(SourceSettings(str(path)),)
    )
    assert check(settings, said.append, FakeClock(wall).clock) == 0
    return [line for line in "".join(said).splitlines() if line.startswith(("  runs", "  nameless"))]


def a_run(run: str, at: float, *, named: bool = True, completed: float | None = None) -> list[Told]:
    rows = [task(0, run=run), attempt(0, run=run), status(0, "pending", at, run=run)]
    return [workflow(run, began=at, completed=completed), *rows] if named else rows


def test_a_run_without_a_workflow_row_counts_and_is_named(folder: Path) -> None:
    path = write(folder / "a.db", [*a_run("r1", 0), *a_run("r2", 0, named=False)])
    assert report(path) == [
        "  runs     2, 2 of them to be published now",
        "  nameless 1 without a workflow row, as Parsl drops one that it cannot write: r2",
    ]


def test_a_real_run_whose_workflow_row_parsl_could_not_write(folder: Path) -> None:
    path = unpacked(folder / "a.db", "nameless-2026.10.26")
    named = (
        "  nameless 1 without a workflow row, as Parsl drops one that it cannot write:"
        " 184af427-01e6-45fb-98f0-ee28943979b0"
    )
    assert report(path, wall=1_795_814_300) == ["  runs     1, 1 of them to be published now", named]
    later = 1_795_814_300 + 2 * DAY
    assert report(path, wall=later) == ["  runs     1, 0 of them to be published now", named]


@pytest.mark.parametrize(
    ("story", "published"),
    [
        (a_run("ended long ago", 0, completed=1), 0),
        (a_run("ended a moment ago", 0, completed=2 * DAY - 60), 1),
        (a_run("abandoned", 0), 0),
        (a_run("abandoned, and without a name", 0, named=False), 0),
        ([*a_run("r", 0), status(0, "launched", 2 * DAY - 60, run="r")], 1),
        ([*a_run("r", 0), node("m", 2 * DAY - 60, run="r")], 1),
        ([*a_run("r", 0, named=False), node("m", 2 * DAY - 60, run="r")], 1),
    ],
)
def test_runs_past_their_time_are_not_counted_as_published(
    folder: Path, story: list[Told], published: int
) -> None:
    path = write(folder / "a.db", story)
    assert report(path, wall=EPOCH + 2 * DAY)[0] == f"  runs     1, {published} of them to be published now"


def test_no_more_runs_are_published_than_the_limit_allows(folder: Path) -> None:
    path = write(folder / "a.db", [row for i in range(3) for row in a_run(f"r{i}", 0)])
    assert report(path, runs=2) == ["  runs     3, 2 of them to be published now"]
