"""A restart with a checkpoint against one without: until it is ready, and what keeping one costs meanwhile.

    python tests/bench/restart.py FILE [--pairs 3] [--open 0]

With `--open` so many tasks that have not ended are added to a copy of the file first: they are what makes a checkpoint
large. The file is written to while the exporter runs, as by a run that goes on.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from another_process import cpu_of, get
from generate import RUN_ID, generate
from once import source_of

from parsl_exporter.checkpoint.keeper import Keeper
from parsl_exporter.source.checkpoint import Checkpoint
from parsl_exporter.source.clock import Clock

_PACE = 0.01
"""Seconds between two looks."""
_FIRST_OPEN = 50_000_000
_NEW = itertools.count(100_000_000, 5)
"""Tasks that are added while an exporter is at work."""


class Ready(NamedTuple):
    """Seconds until it was ready: on the wall, and of CPU; the most memory that it has used, in bytes."""

    wall: float
    cpu: float
    peak: int


def add_open(path: Path, tasks: int) -> None:
    """Add tasks that are launched and do not run."""
    database = sqlite3.connect(path)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.000000")
    ids = range(_FIRST_OPEN, _FIRST_OPEN + tasks)
    database.executemany(
        "INSERT INTO task (run_id, task_id, task_func_name, task_memoize, task_fail_count, task_fail_cost,"
        " task_time_invoked) VALUES (?, ?, ?, '0', 0, 0, ?)",
        ((RUN_ID, i, f"app_{i % 20}", stamp) for i in ids),
    )
    database.executemany(
        'INSERT INTO "try" (run_id, task_id, try_id, task_executor, task_try_time_launched) VALUES (?, ?, 0, ?, ?)',
        ((RUN_ID, i, "htex", stamp) for i in ids),
    )
    database.executemany(
        "INSERT INTO status (run_id, task_id, try_id, task_status_name, timestamp) VALUES (?, ?, 0, ?, ?)",
        ((RUN_ID, i, state, stamp) for i in ids for state in ("pending", "launched")),
    )
    database.commit()
    database.close()


def peak_of(process: subprocess.Popen[bytes]) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def exporter(path: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[bytes], str, Ready]]:
    """An exporter that is ready, and how it became so; ended cleanly."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    begin = time.perf_counter()
    command = [sys.executable, "-m", "parsl_exporter", str(path), "--web.listen-address", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.DEVNULL)
    try:
        while get(f"{url}/-/ready")[0] != 200:
            time.sleep(_PACE)
        yield process, url, Ready(time.perf_counter() - begin, cpu_of(process.pid), peak_of(process))
    finally:
        process.terminate()
        process.wait(timeout=30)


def kept(state: Path) -> list[Path]:
    return list((state / "checkpoints").glob("*.checkpoint"))


def at_work(path: Path, seconds: float, *flags: str) -> tuple[float, float, float, int]:
    """Write to the file while an exporter runs: CPU seconds a minute, slowest scrape, longest poll, most memory."""
    with exporter(path, "--poll.interval", "100ms", *flags) as (process, url, _):
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.2):
                generate(path, 5, first_task=next(_NEW))

        writer = threading.Thread(target=work, daemon=True)
        writer.start()
        time.sleep(2)  # so that the last poll is none of the first read
        cpu, begin = cpu_of(process.pid), time.perf_counter()
        scrapes, polls = [], []
        while time.perf_counter() - begin < seconds:
            at = time.perf_counter()
            page = get(f"{url}/metrics")[1]
            scrapes.append(time.perf_counter() - at)
            polls += [
                float(v) for v in re.findall(r"^parsl_exporter_poll_duration_seconds.*? (\S+)$", page, re.M)
            ]
            time.sleep(0.05)
        used = (cpu_of(process.pid) - cpu) * 60 / (time.perf_counter() - begin)
        stop.set()
        writer.join()
        return used, max(scrapes), max(polls), peak_of(process)


def at_rest(path: Path, seconds: float, *flags: str) -> float:
    """The part of a CPU that an exporter uses which has nothing to do."""
    with exporter(path, *flags) as (process, _, _):
        time.sleep(5)
        cpu, begin = cpu_of(process.pid), time.perf_counter()
        time.sleep(seconds)
        return (cpu_of(process.pid) - cpu) / (time.perf_counter() - begin)


def told(ready: Ready) -> str:
    return f"after {ready.wall:.2f} s (CPU {ready.cpu:.2f} s, {ready.peak / 1e6:.0f} MB at most)"


def keeping(path: Path, state: Path) -> str:
    """What one checkpoint costs the source's thread, alone in a process: all else waits for its turn so long."""
    keeper = Keeper(state, steady=time.monotonic, wall=time.time)
    source = source_of(path)
    source.poll()
    one = Checkpoint(keeper, "bench", "bench", Clock())
    source._checkpoint = one
    taken, written = [], []
    for _ in range(5):
        begin = time.perf_counter()
        source._keep()
        taken.append(time.perf_counter() - begin)
        keeper.read(one._name)  # after it was written
        written.append(time.perf_counter() - begin)
    keeper.stop(60)
    return (
        f"a checkpoint: polls and drawings wait {statistics.median(taken) * 1000:.0f} ms, {max(taken) * 1000:.0f} at"
        f" most; written, and read once, after {statistics.median(written) * 1000:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time restarts with and without a checkpoint.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--open", type=int, default=0, metavar="TASKS")
    parser.add_argument(
        "--seconds", type=float, default=120, help="how long the exporters are watched at work"
    )
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.file.parent) as name:
        path, state = options.file, Path(name) / "state"
        if options.open:
            path = Path(name) / "monitoring.db"
            shutil.copyfile(options.file, path)
            add_open(path, options.open)
        flag = f"--state.directory={state}"
        with exporter(path, flag) as (_, _, first):
            while not kept(state):
                time.sleep(_PACE)
        size = kept(state)[0].stat().st_size
        print(f"load {load:.1f}, {os.cpu_count()} processors; the first start took {first.wall:.1f} s")
        pairs = []
        for _ in range(options.pairs):
            with exporter(path, flag) as (_, _, restart):
                pass
            with exporter(path) as (_, _, anew):
                pass
            pairs.append((restart, anew))
            print(
                f"ready {told(restart)} from a checkpoint of {size / 1e6:.1f} MB; {told(anew)} without",
                flush=True,
            )
        wall, cpu = (statistics.median(restart[i] for restart, _ in pairs) for i in (0, 1))
        ratio = statistics.median(restart.cpu / anew.cpu for restart, anew in pairs)
        print(
            f"restart, median of {options.pairs}: {wall:.2f} s, CPU {cpu:.2f} s, {ratio:.3f} times that of a first read"
        )
        print(keeping(path, Path(name) / "other"), flush=True)
        if options.seconds:
            for what, *flags in (("with checkpoints", flag), ("without",)):
                cpu, scrape, poll, peak = at_work(path, options.seconds, *flags)
                print(
                    f"at work {what}: CPU {cpu:.2f} s a minute; slowest scrape {scrape * 1000:.0f} ms, longest poll"
                    f" {poll * 1000:.0f} ms; {peak / 1e6:.0f} MB at most",
                    flush=True,
                )
            for what, *flags in (("with checkpoints", flag), ("without",)):
                print(
                    f"at rest {what}: {at_rest(path, options.seconds / 2, *flags):.4f} of a CPU", flush=True
                )


if __name__ == "__main__":
    main()
