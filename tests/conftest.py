"""Fixtures of all tests."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.cases import NIGHTLY, TIMES
from support.source_harness import Log, in_memory

# A shell's background jobs ignore the one, nohup's the other, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Machines are shared: a slow example is no fault. Whoever tries a change gets the same examples every time; new ones
# come at night.
settings.register_profile("patient", deadline=None, max_examples=100 * TIMES, derandomize=not NIGHTLY)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` the tests of a file stay together, for what they share; but for those marked `apart`."""
    for item in items:
        if not item.get_closest_marker("apart"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: Python need not look for garbage in it with each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder for databases."""
    with in_memory() as made:
        yield made


@pytest.fixture
def set_tz(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of this process, and of those that it starts: an IANA name or a POSIX TZ string."""

    def give(tz: str) -> None:
        monkeypatch.setenv("TZ", tz)
        time.tzset()

    yield give
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """The exporter's own log."""
    caplog.set_level("INFO")
    return Log(lambda: caplog.get_records("call"))
