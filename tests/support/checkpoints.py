"""Exporters that go on from checkpoints: a keeper for as long as a process would have one, and what it left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parsl_exporter.checkpoint.folder import NAME
from parsl_exporter.checkpoint.keeper import Keeper
from support.source_harness import FakeClock, SourceHarness

STATE = "state"


@contextmanager
def kept_in(state_directory: Path, fake_clock: FakeClock) -> Iterator[Keeper]:
    """A keeper until the end of the block; all that it was given is written then."""
    keeper = Keeper(state_directory, steady=fake_clock.clock.steady, wall=fake_clock.clock.wall)
    try:
        yield keeper
    finally:
        keeper.stop(30)


def whole_page(watched: SourceHarness) -> list[str]:
    """The page, its own series too, but for what was measured of the last poll."""
    return [line for line in watched.page().split("\n") if "longest_read_seconds" not in line]


def files(state_directory: Path) -> list[Path]:
    """The checkpoints there are."""
    return sorted((state_directory / NAME).glob("*.checkpoint"))


def keep(database: Path, state_directory: Path, fake_clock: FakeClock | None = None) -> SourceHarness:
    """Have an exporter read a database, and end; give what it last showed."""
    fake_clock = fake_clock or FakeClock()
    with kept_in(state_directory, fake_clock) as keeper:
        watched = SourceHarness(database, fake_clock=fake_clock, keeper=keeper).poll()
        watched.source.close()
    return watched


def go_on(database: Path, state_directory: Path, fake_clock: FakeClock | None = None) -> SourceHarness:
    """Have another one start there a second later and poll once."""
    fake_clock = fake_clock or FakeClock()
    with kept_in(state_directory, fake_clock) as keeper:
        watched = SourceHarness(database, fake_clock=fake_clock, keeper=keeper).poll()
        watched.source.close()
    return watched
