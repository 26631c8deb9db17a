"""A first read of a large database against a plain fetch of the same rows, and the memory that it leaves.

    python tests/bench/first_read.py FILE [--pairs 3] [--busy 6]

With `--busy` it is read beside so many processes that compute, too, and compared with itself on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that compute and do nothing else."""
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
        for process in beside:
            process.wait()


def measured(command: list[str]) -> tuple[float, float, list[str]]:
    """Run a command: its CPU seconds, its wall seconds, and the words that it prints.

    Modules are kept compiled, as those of an installed package are: the first command of all compiles them.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, done.stdout.split()


def first_read(database: Path | str) -> tuple[float, float, list[str]]:
    """Read a file, or a server's database by its URL, in a process of its own."""
    return measured([sys.executable, str(_HERE / "once.py"), str(database)])


def plain_fetch(database: Path | str) -> tuple[float, float, list[str]]:
    """Fetch the same with nothing but a driver, in a process of its own."""
    return measured([sys.executable, str(_HERE / "plain.py"), str(database)])


def compare(path: Path, pairs: int) -> None:
    """Print the ratio to a plain fetch, pair by pair, in CPU time and in wall time."""
    cpu_ratios, wall_ratios, peaks = [], [], []
    for _ in range(pairs):
        plain_cpu, plain_wall, _out = plain_fetch(path)
        cpu, wall, out = first_read(path)
        cpu_ratios.append(cpu / plain_cpu)
        wall_ratios.append(wall / plain_wall)
        peaks.append(int(out[2]) / 1e6)
        print(
            f"first read: {int(out[0]):,} rows, {cpu:.1f} s CPU against {plain_cpu:.1f} s of a plain fetch: "
            f"{cpu / plain_cpu:.2f} times (wall {wall:.1f} s against {plain_wall:.1f} s: {wall / plain_wall:.2f}); "
            f"longest read {float(out[3]) * 1000:.0f} ms; {int(out[1]) / 1e6:.0f} MB after it, {peaks[-1]:.0f} at most",
            flush=True,
        )
    print(
        f"first read, median of {pairs}: {statistics.median(cpu_ratios):.2f} times the CPU, "
        f"{statistics.median(wall_ratios):.2f} times the wall time of a plain fetch; at most "
        f"{min(peaks):.0f} to {max(peaks):.0f} MB"
    )


def beside_others(path: Path, pairs: int, processes: int) -> None:
    """Print the ratio to itself without the others, pair by pair, in CPU time and in memory."""
    cpu_ratios, peak_ratios = [], []
    for _ in range(pairs):
        quiet_cpu, quiet_wall, quiet = first_read(path)
        with busy(processes):
            cpu, wall, out = first_read(path)
        cpu_ratios.append(cpu / quiet_cpu)
        peak_ratios.append(int(out[2]) / int(quiet[2]))
        print(
            f"first read beside {processes} busy processes: {cpu:.1f} s CPU against {quiet_cpu:.1f} s "
            f"(wall {wall:.1f} s against {quiet_wall:.1f} s); {int(out[2]) / 1e6:.0f} MB at most "
            f"against {int(quiet[2]) / 1e6:.0f}; longest read {float(out[3]) * 1000:.0f} ms",
            flush=True,
        )
    print(
        f"first read beside {processes} busy processes, median of {pairs}: "
        f"{statistics.median(cpu_ratios):.2f} times its CPU, {statistics.median(peak_ratios):.2f} times its memory"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a first read against a plain fetch.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--busy", type=int, metavar="PROCESSES")
    options = parser.parse_args()
    if options.busy:
        beside_others(options.file, options.pairs, options.busy)
    else:
        compare(options.file, options.pairs)


if __name__ == "__main__":
    main()
