"""The steady state: a poll's cost by rows of history, memory a finished task, and a scrape.

python tests/bench/steady.py LARGE --tasks 1000000 [--small 20000]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from first_read import first_read
from generate import generate
from once import source_of
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.page import Page
from parsl_exporter.source.source import Source

_NEW_TASKS, _POLLS = 91, 21
"""91 tasks are 1,001 rows."""


def poll_cost(path: Path, tasks: int, new: int = _NEW_TASKS) -> float:
    """Seconds of CPU that a poll of `new` tasks takes after `tasks` tasks of history; the median of many."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "monitoring.db"
        shutil.copyfile(path, copy)
        source = source_of(copy)
        source.poll()
        costs = []
        for i in range(_POLLS):
            generate(copy, new, first_task=tasks + i * new)
            begin = time.thread_time()
            source.poll()
            costs.append(time.thread_time() - begin)
        source.close()
    return statistics.median(costs)


def scrape(source: Source) -> None:
    """Print what a scrape costs beside prometheus_client's generate_latest on the same series."""
    page = Page([source.published.snapshot])
    text = page.body(Format.TEXT).decode()
    families = list(text_string_to_metric_families(text))
    registry = CollectorRegistry()
    registry.register(_Given(families))
    copies, written = [], []
    for _ in range(11):
        begin = time.perf_counter()
        bytes(bytearray(page.body(Format.TEXT)))
        copies.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        generate_latest(registry)
        written.append(time.perf_counter() - begin)
    series = sum(len(family.samples) for family in families)
    copy, client = statistics.median(copies), statistics.median(written)
    print(
        f"scrape: {series:,} series, {copy * 1000:.2f} ms against {client * 1000:.0f} ms of generate_latest: "
        f"{copy / client:.4f} times"
    )


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _resident(path: Path) -> int:
    _cpu, _wall, out = first_read(path)
    return int(out[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure polls, memory and scrapes.")
    parser.add_argument("large", type=Path)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.db"
        generate(small, options.small)
        bytes_a_task = (_resident(options.large) - _resident(small)) / (options.tasks - options.small)
        print(
            f"memory: {bytes_a_task:.0f} bytes a finished task ({options.tasks:,} against {options.small:,} tasks)"
        )
        few, many = poll_cost(small, options.small), poll_cost(options.large, options.tasks)
        print(
            f"poll of {11 * _NEW_TASKS:,} new rows: {many * 1000:.1f} ms CPU with {options.tasks:,} tasks of history, "
            f"{few * 1000:.1f} ms with {options.small:,}: {many / few:.2f} times"
        )
        for run_id in ("second", "third"):
            generate(small, 1_000, run_id=run_id)
        source = source_of(small)
        source.poll()
        scrape(source)


if __name__ == "__main__":
    main()
