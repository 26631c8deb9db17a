"""Recorded runs written once more beside a source that polls: at rest after every commit the page is the truth."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest
from support.oracle import Series, differences
from support.replay import CLOCKS, NAMES, Clocks, Replay, wrong
from support.source_harness import NOT_HISTOGRAMS, SourceHarness, truth

LOOKS = 30


class Reading(Protocol):
    """What follows a replay."""

    def poll(self, seconds: float) -> None: ...

    def runs(self) -> Series: ...


class Exporter:
    """The source under test."""

    def __init__(self, replay: Replay) -> None:
        clocks = replay.clocks
        self.watched = SourceHarness(replay.database, zone=clocks.zone, worker_zones=clocks.worker_zones)

    def poll(self, seconds: float) -> None:
        self.watched.poll(every=seconds)

    def runs(self) -> Series:
        return self.watched.runs()


class LastRowWins:
    """The naive reading: a task's state is its last row, whatever came before."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def poll(self, seconds: float) -> None:
        pass

    def runs(self) -> Series:
        copy = self._database.with_name("naive.db")
        with closing(sqlite3.connect(self._database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            with target:
                target.execute(
                    "DELETE FROM status WHERE rowid NOT IN"
                    " (SELECT max(rowid) FROM status GROUP BY run_id, task_id)"
                )
        return truth(copy)


def follow(
    replay: Replay,
    reading: Reading,
    *,
    polls: Callable[[int], bool] = lambda i: True,
    families: Collection[str] = NOT_HISTOGRAMS,
) -> None:
    """Make all commits, poll after those that `polls` says, and hold the page against the truth at some of them.

    The clock goes as it did when Parsl wrote. Raises AssertionError at the first commit after which they differ.
    """
    count = len(replay.commits)
    looks = {*random.Random(1).sample(range(count), min(LOOKS, count)), count - 1}
    clock = replay.commits[0].at
    reading.poll(0.0)
    for i, commit in enumerate(replay.commits):
        replay.play(commit)
        if polls(i) or i in looks:
            reading.poll(commit.at - clock)
            clock = commit.at
        if i in looks:
            faults = wrong(replay.database, reading.runs(), families, replay.clocks)
            assert faults == [], f"after commit {i} of {count} ({commit.what})"


@pytest.fixture(autouse=True)
def own_zone(request: pytest.FixtureRequest, set_tz: Callable[[str], None]) -> None:
    """The process's own zone is that of the recorded run."""
    set_tz(CLOCKS.get(request.getfixturevalue("name"), Clocks()).tz)


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_ends_in_the_recorded_database(name: str, folder: Path) -> None:
    replay = Replay(name, folder)
    for commit in replay.commits:
        replay.play(commit)
    clocks = replay.clocks
    recorded, written = (
        truth(path, zone=clocks.zone, worker_zones=clocks.worker_zones)
        for path in (folder / "recorded.db", replay.database)
    )
    assert differences(recorded, written) == []


@pytest.mark.parametrize("name", NAMES)
def test_after_every_commit_the_page_is_the_truth(name: str, folder: Path) -> None:
    replay = Replay(name, folder)
    exporter = Exporter(replay)
    follow(replay, exporter)
    assert exporter.watched.wrong() == []
    assert exporter.watched.own("late_rows_total", table="status") == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_matter_between_which_commits_a_poll_falls(name: str, folder: Path) -> None:
    replay = Replay(name, folder)
    exporter = Exporter(replay)
    seldom = random.Random(2)
    follow(replay, exporter, polls=lambda i: seldom.random() < 0.2)
    assert exporter.watched.wrong() == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CLOCKS])
def test_the_last_row_is_not_the_truth(name: str, folder: Path) -> None:
    """Of the test itself: it tells a naive reading from a true one."""
    replay = Replay(name, folder)
    with pytest.raises(AssertionError, match="after commit"):
        follow(replay, LastRowWins(replay.database), families=["parsl_tasks"])
