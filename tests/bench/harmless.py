"""What an exporter costs Parsl: a real run of short tasks without it and beside it, in turn.

    python tests/bench/harmless.py [--tasks 5000] [--pairs 1]

Measures the time of each commit of Parsl's database manager, from inside it, and how long the exporter holds
read locks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from once import source_of

_WORKFLOW = """
import sys, time
import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider

@parsl.python_app
def short(x):
    return x

if __name__ == "__main__":
    executor = HighThroughputExecutor(
        label="htex", max_workers_per_node=2, cores_per_worker=0.5, encrypted=False, address="127.0.0.1",
        provider=LocalProvider(init_blocks=1, min_blocks=0, max_blocks=1),
    )
    hub = MonitoringHub(hub_address="127.0.0.1", resource_monitoring_interval=1, workflow_name="short tasks")
    begin = time.time()
    with parsl.load(Config(executors=[executor], monitoring=hub, run_dir="runinfo", strategy="none")):
        for future in [short(i) for i in range(int(sys.argv[1]))]:
            future.result()
    print(time.time() - begin)
"""

# Loaded by every interpreter of the run: the database manager is a process of Parsl's own making.
_TIMED_COMMITS = """
import os, time
def _patch():
    from sqlalchemy.orm import Session
    plain = Session.commit
    def commit(self):
        begin = time.perf_counter()
        try:
            return plain(self)
        finally:
            with open(os.environ["COMMIT_TIMES"], "a") as file:
                file.write(f"{time.perf_counter() - begin}\\n")
    Session.commit = commit
try:
    _patch()
except ImportError:
    pass
"""


class Run(NamedTuple):
    """Seconds: of the run, of each commit, of read locks held; and OperationalErrors logged by Parsl."""

    wall: float
    commits: list[float]
    read: float
    errors: int


def run(tasks: int, *, exporter: bool) -> Run:
    """Run the workflow once in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "workflow.py").write_text(_WORKFLOW)
        (folder / "sitecustomize.py").write_text(_TIMED_COMMITS)
        times = folder / "commits"
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
            "COMMIT_TIMES": str(times),
        }
        source = source_of(folder / "runinfo" / "monitoring.db")
        stop = threading.Event()

        def poll() -> None:
            while not stop.wait(1.0):
                source.poll()

        poller = threading.Thread(target=poll)
        if exporter:
            poller.start()
        command = [sys.executable, "workflow.py", str(tasks)]
        done = subprocess.run(
            command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=900
        )
        stop.set()
        if exporter:
            poller.join()
        if done.returncode:
            raise SystemExit(done.stderr)
        logs = folder.glob("runinfo/*/database_manager.log")
        errors = sum(log.read_text().count("OperationalError") for log in logs)
        commits = [float(line) for line in times.read_text().split()]
        return Run(float(done.stdout.split()[-1]), commits, source.read_times.total, errors)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what an exporter costs a real Parsl run.")
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--pairs", type=int, default=1)
    options = parser.parse_args()
    for _ in range(options.pairs):
        begin = time.perf_counter()
        without, beside = run(options.tasks, exporter=False), run(options.tasks, exporter=True)
        mean, plain = statistics.fmean(beside.commits), statistics.fmean(without.commits)
        print(
            f"harm: {options.tasks:,} tasks, {beside.errors} OperationalErrors; read locks {beside.read:.2f} s of "
            f"{beside.wall:.0f} s ({beside.read / beside.wall:.2%}); {len(beside.commits)} commits, mean "
            f"{mean * 1000:.1f} ms against {plain * 1000:.1f} ms without: {mean / plain:.2f} times; longest "
            f"{max(beside.commits) * 1000:.0f} ms against {max(without.commits) * 1000:.0f} ms; run "
            f"{beside.wall / without.wall:.2f} times as long [{time.perf_counter() - begin:.0f} s]"
        )


if __name__ == "__main__":
    main()
