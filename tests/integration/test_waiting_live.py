"""A real run for each cause that tasks wait for, read while they wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from support.exporter_process import environment
from support.oracle import Series, differences, expected
from support.processes import eventually, parsl_required, started
from support.source_harness import SOURCE, SourceHarness

pytestmark = pytest.mark.integration

RUNS = Path(__file__).parent / "workloads/waiting_run.py"
COUNT = "parsl_tasks_waiting"
OLDEST = "parsl_tasks_waiting_oldest_timestamp_seconds"

Waiting = dict[str, dict[str, int]]
"""How many tasks wait, by executor and by cause."""

EXPECTED: dict[str, Waiting] = {
    "causes": {
        "queue": {"batch_queue": 4},
        "starting": {"worker_start": 4},
        "busy": {"busy_workers": 2, "dependencies": 1},
        "ended": {"no_block": 4},
        "blockless": {"unknown": 4},
        "threads": {"busy_workers": 3},
    },
    "idle": {"htex": {"idle_workers": 2}},
    "mpi": {"mpi": {"busy_workers": 1}},
    "untold": {"htex": {"untold": 4}},
}
"""Of each run what its tasks wait for at last."""


class Seen(NamedTuple):
    """What was waited for in one run, since when (UTC epoch seconds), and what the oracle holds against that."""

    waiting: Waiting
    since: float
    wrong: list[str]


def by_cause(series: Series) -> Waiting:
    found: Waiting = {}
    for key, count in series.get(COUNT, {}).items():
        labels = dict(key)
        of_executor = found.setdefault(labels["executor"], {})
        assert isinstance(count, float)
        if count:
            of_executor[labels["cause"]] = int(count)
    return found


def make_wait(run: subprocess.Popen[str], log: Path) -> None:
    """Wait until a run has submitted its tasks; stop the workers that it names, and have it submit more."""
    assert run.stdout is not None and run.stdin is not None
    line = run.stdout.readline()
    assert line, log.read_text()
    if workers := json.loads(line):
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        print(file=run.stdin, flush=True)


def look(database: Path, wanted: Waiting) -> Seen:
    """Read a run until its tasks wait for what they are to."""
    watched = SourceHarness(database, zone="local")
    eventually(
        "tasks to wait for what they are to",
        60,
        lambda: by_cause(watched.poll().series()) == wanted,
        lambda: by_cause(watched.series()),
    )
    series, truth = watched.series(), expected(database, source=SOURCE)
    since = [at for at in series[OLDEST].values() if isinstance(at, float)]
    return Seen(by_cause(series), min(since), differences(truth, series, families={COUNT, OLDEST}))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    """All runs at once, and what is seen of each."""
    parsl_required()
    folder = tmp_path_factory.mktemp("waiting")
    with ExitStack() as stack:
        runs = {}
        for kind in EXPECTED:
            home, log = folder / kind, folder / f"{kind}.log"
            home.mkdir()
            runs[kind] = stack.enter_context(
                started(sys.executable, RUNS, kind, cwd=home, log=log, environment=environment())
            )
        for kind, run in runs.items():
            make_wait(run, folder / f"{kind}.log")
        yield {
            kind: look(folder / kind / "runinfo/monitoring.db", wanted) for kind, wanted in EXPECTED.items()
        }


each_run = pytest.mark.parametrize("kind", EXPECTED)


@each_run
def test_tasks_wait_for_what_their_executor_lacks(seen: dict[str, Seen], kind: str) -> None:
    assert seen[kind].waiting == EXPECTED[kind]
    assert 0 < time.time() - seen[kind].since < 300


@each_run
def test_the_oracle_says_the_same(seen: dict[str, Seen], kind: str) -> None:
    assert seen[kind].wrong == []
