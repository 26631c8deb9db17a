"""kill -9 at any moment: what the next exporter shows is what the first would have shown."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.exporter_process import Serving, serving, until
from support.oracle import Series, differences, parse
from support.replay import CLOCKS, Clocks, Replay, wrong
from support.source_harness import SOURCE, SourceHarness, truth, unpacked

from parsl_exporter.base.tables import Row
from parsl_exporter.readers.sqlite.reader import SqliteReader

KILLS = 5
READY = f'parsl_exporter_source_ready{{source="{SOURCE}"}}'

pytestmark = pytest.mark.integration


def configured(replay: Replay) -> Path:
    """A configuration under which a recorded run of any age is shown, and stays."""
    file = replay.database.with_name("exporter.yml")
    zones = json.dumps(dict(replay.clocks.worker_zones))
    file.write_text(
        "poll_interval: 50ms\nretention: 36500d\nabandon_after: 36500d\n"
        f"timezone: {replay.clocks.zone}\nsources:\n"
        f"  - {{path: {json.dumps(str(replay.database))}, name: {SOURCE}, worker_timezone: {zones}}}\n"
    )
    return file


def shown(exporter: Serving) -> Series:
    status, page = exporter.get("/metrics")
    assert status == 200
    return parse(page)


def of_runs(series: Series) -> list[str]:
    """The families of which a series with a run_id is there."""
    return [name for name, found in series.items() if any("run_id" in dict(key) for key in found)]


def comes_true(exporter: Serving, replay: Replay) -> None:
    """Wait until the page is the truth; the database is at rest."""
    differing: list[str] = []

    def is_true() -> bool:
        differing[:] = wrong(replay.database, shown(exporter), clocks=replay.clocks)
        return not differing

    try:
        until("the page is the truth", is_true, seconds=20)
    except AssertionError:
        assert differing == []
        raise


@pytest.mark.parametrize("name", ["crash-2026.10.26", "managerlost-2026.10.26", "std-2026.10.26", *CLOCKS])
def test_a_killed_exporter_comes_back_with_the_truth(
    name: str, folder: Path, set_tz: Callable[[str], None]
) -> None:
    set_tz(CLOCKS.get(name, Clocks()).tz)
    replay = Replay(name, folder)
    chance = random.Random(name)
    config = configured(replay)
    kills = sorted(chance.sample(range(1, len(replay.commits)), KILLS))
    done = 0
    for kill in [*kills, len(replay.commits)]:
        locked = sqlite3.connect(replay.database, isolation_level=None)
        locked.execute("BEGIN EXCLUSIVE")
        with closing(locked), serving(folder, "--config.file", config) as exporter:
            # The writer's lock holds the first read up: whatever is scraped now is from before it has caught up.
            until("a scrape", lambda: exporter.value(READY) == 0)
            assert exporter.get("/-/ready")[0] == 503
            assert of_runs(shown(exporter)) == []
            locked.execute("ROLLBACK")
            until("readiness", lambda: exporter.get("/-/ready")[0] == 200)
            until("a page from after it", lambda: exporter.value(READY) == 1)
            comes_true(exporter, replay)
            for commit in replay.commits[done:kill]:
                replay.play(commit)
            done = kill
            if chance.random() < 0.5 or kill == len(replay.commits):
                comes_true(exporter, replay)


class Halted(SqliteReader):
    """A writer locks the database before the statement number `at`, until it is told to go on."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self.left = at
        self.writer = sqlite3.connect(path, isolation_level=None)

    def fetch(self, sql: str, parameters: Sequence[Any] = (), cut_off: float = math.inf) -> list[Row]:
        self.left -= 1
        if self.left == 0:
            self.writer.execute("BEGIN EXCLUSIVE")
        return super().fetch(sql, parameters, cut_off)


def test_a_database_read_half_is_not_published(folder: Path) -> None:
    database = unpacked(folder / "monitoring.db", "managerlost-2026.10.26")
    everything = SourceHarness(database).poll().source.published.rows
    half_read = 0
    for at in range(1, 100):
        reader = Halted(database, at)
        with closing(reader.writer):
            watched = SourceHarness(database, reader=reader).poll()
            if reader.left > 0:
                break
            ready = watched.own("source_ready") == 1
            assert bool(of_runs(watched.series())) == ready
            assert not ready or watched.source.published.rows == everything
            half_read += 0 < watched.source.published.rows < everything
            reader.writer.execute("ROLLBACK")
            watched.poll()
            assert (watched.own("source_ready"), watched.source.published.rows) == (1, everything)
    assert half_read > 5


@pytest.mark.parametrize("name", ["managerlost-2026.10.26", "std-2026.10.26"])
def test_histograms_of_a_run_that_is_over_come_back_too(name: str, folder: Path) -> None:
    replay = Replay(name, folder)
    for commit in replay.commits:
        replay.play(commit)
    with serving(folder, "--config.file", configured(replay)) as exporter:
        until("a page of runs", lambda: of_runs(shown(exporter)) or None)
        assert differences(truth(replay.database), shown(exporter)) == []
