"""Exporters that go on from checkpoints: a keeper for as long as a process would have one, and what it left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parsl_exporter.checkpoint.folder import NAME
from parsl_exporter.checkpoint.keeper import Keeper
from support.source_harness import FakeClock, SourceHarness

NOT_USED = "warning checkpoint not used: everything is read source=s why="
FROM_ONE = "info goes on from its checkpoint"


@contextmanager
def kept_in(state_directory: Path, fake_clock: FakeClock) -> Iterator[Keeper]:
    """A keeper until the end of the block; all that it was given is written then."""
    keeper = Keeper(state_directory, steady=fake_clock.clock.steady, wall=fake_clock.clock.wall)
    try:
        yield keeper
    finally:
        keeper.stop(30)


@contextmanager
def started(
    database: Path, state_directory: Path, fake_clock: FakeClock | None = None, **settings: Any
) -> Iterator[SourceHarness]:
    """An exporter that has not polled yet; at the end of the block it is gone, as if killed unless it was closed."""
    fake_clock = fake_clock or FakeClock()
    with kept_in(state_directory, fake_clock) as keeper:
        yield SourceHarness(database, fake_clock=fake_clock, keeper=keeper, **settings)


def go_on(database: Path, state_directory: Path, fake_clock: FakeClock | None = None) -> SourceHarness:
    """Have an exporter start there, poll once and end; give what it last showed."""
    with started(database, state_directory, fake_clock) as watched:
        watched.poll().source.close()
    return watched


keep = go_on
"""The same, of one that has nothing to go on from."""


def whole_page(watched: SourceHarness) -> list[str]:
    """The page, its own series too, but for what was measured of the last poll."""
    return [line for line in watched.page().split("\n") if "longest_read_seconds" not in line]


def rows_read(watched: SourceHarness) -> int:
    """How many rows were read so far."""
    return watched.source.published.rows


def files(state_directory: Path) -> list[Path]:
    """The checkpoints there are."""
    return sorted((state_directory / NAME).glob("*.checkpoint"))
