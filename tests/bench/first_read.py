"""A first read of a large database against a plain fetch of the same rows, and the memory that it leaves.

python tests/bench/first_read.py FILE [--pairs 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from parsl_exporter.base.process import suit_process
from parsl_exporter.config.load import Overrides, load
from parsl_exporter.daemon.supervisor import options_of
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.source import Clock, Source

_HERE = Path(__file__).parent


def source_of(path: Path) -> Source:
    """A source as `serve` makes it."""
    settings = load(None, Overrides(databases=(str(path),)))
    return Source(
        SqliteReader(path),
        options_of(settings, settings.sources[0], str(path)),
        baton=Baton(),
        clock=Clock(),
        started=time.time(),
        series_left=lambda: settings.limits.series,
    )


def read_once(path: Path) -> None:
    """Poll once, which is the whole first read; print rows, resident bytes after it, and the longest read."""
    suit_process()
    source = source_of(path)
    source.poll()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    print(source.rows, resident, source.longest_read)


def _measured(command: list[str]) -> tuple[float, float, list[str]]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, done.stdout.split()


def compare(path: Path, pairs: int) -> None:
    """Print the ratio of the two, pair by pair, in CPU time and in wall time."""
    cpu_ratios, wall_ratios = [], []
    for _ in range(pairs):
        plain_cpu, plain_wall, _out = _measured([sys.executable, str(_HERE / "plain.py"), str(path)])
        cpu, wall, out = _measured([sys.executable, __file__, "--once", str(path)])
        cpu_ratios.append(cpu / plain_cpu)
        wall_ratios.append(wall / plain_wall)
        print(
            f"first read: {int(out[0]):,} rows, {cpu:.1f} s CPU against {plain_cpu:.1f} s of a plain fetch: "
            f"{cpu / plain_cpu:.2f} times (wall {wall:.1f} s against {plain_wall:.1f} s: {wall / plain_wall:.2f}); "
            f"longest read {float(out[2]) * 1000:.0f} ms; resident after it {int(out[1]) / 1e6:.0f} MB"
        )
    print(
        f"first read, median of {pairs}: {statistics.median(cpu_ratios):.2f} times the CPU, "
        f"{statistics.median(wall_ratios):.2f} times the wall time of a plain fetch"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a first read against a plain fetch.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    if options.once:
        read_once(options.file)
    else:
        compare(options.file, options.pairs)


if __name__ == "__main__":
    main()
