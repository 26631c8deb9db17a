"""What one exporter takes for a run, a campaign and a centre, and what Prometheus keeps of a run on disk.

    PYTHONPATH=.:tests python tests/bench/sizing.py

The figures of docs/sizing.md. Each site is served by a process of its own at its defaults, but for the limit of series;
the runs are those of generate.py, made up, none of which has ended.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import generate
from another_process import cpu_of
from support.processes import required

from parsl_exporter.base.formats import Format
from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.metrics.page import Page
from parsl_exporter.readers.sqlite.reader import SqliteReader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.locks import Baton
from parsl_exporter.source.options import options_of
from parsl_exporter.source.source import Source


class Site(NamedTuple):
    """So many databases of so many runs, each of so many tasks of `APPS` apps."""

    name: str
    databases: int
    runs: int
    tasks: int


SITES = (
    Site("one run", 1, 1, 10_000),
    Site("campaign", 1, 20, 10_000),
    Site("centre", 100, 1, 2_000),
)
APPS = 10
WATCHED = 20
"""Seconds of which the CPU is taken."""
NEW_TASKS = 9
"""Tasks that one of the databases gets a second: 99 rows."""
SCRAPES, EVERY = 240, 15
"""An hour of a run under Prometheus."""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def measure(site: Site, folder: Path) -> None:
    """Print what the exporter takes for a site."""
    for i in range(site.databases):
        for j in range(site.runs):
            generate.generate(folder / f"{i:03d}.db", site.tasks, run_id=f"{i:08x}-{j:04d}")
    with _serving(folder) as (process, url):
        page = _get(f"{url}/metrics")
        series = len(re.findall(rb"^[^#]", page, re.MULTILINE))
        resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        idle = _cpu_of(process, url)
        writer = subprocess.Popen([sys.executable, __file__, "write", folder / "000.db", str(site.tasks)])
        try:
            time.sleep(2)
            busy = _cpu_of(process, url)
        finally:
            writer.kill()
            writer.wait()
    print(
        f"{site.name}: {site.databases} databases, {site.databases * site.runs} runs, "
        f"{site.databases * site.runs * site.tasks:,} tasks: {series:,} series, "
        f"{resident / 2**20:.0f} MiB resident, a page of {len(page) / 2**20:.1f} MiB, "
        f"{len(gzip.compress(page, 1)) / 2**10:.0f} KiB gzipped, {idle:.1%} of a core without news, "
        f"{busy:.1%} with {11 * NEW_TASKS} rows a second",
        flush=True,
    )


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    config = folder / "exporter.yml"
    config.write_text(f"limits: {{series: 10000000}}\nsources: [{json.dumps(str(folder / '*.db'))}]\n")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "parsl_exporter",
        "--config.file",
        config,
        "--log.format=json",
    ]
    process = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        url = next(
            said["url"] for line in process.stderr if (said := json.loads(line)).get("msg") == "listening"
        )
        os.set_blocking(process.stderr.fileno(), False)
        while True:
            process.stderr.read()
            try:
                _get(f"{url}/-/ready")
                break
            except OSError:
                time.sleep(0.2)
        yield process, url
    finally:
        process.terminate()
        process.wait()


def _cpu_of(process: subprocess.Popen[bytes], url: str) -> float:
    """The part of a core that it uses, scraped every five seconds."""
    begin, before = time.monotonic(), cpu_of(process.pid)
    while time.monotonic() < begin + WATCHED:
        time.sleep(5)
        _get(f"{url}/metrics")
    return (cpu_of(process.pid) - before) / (time.monotonic() - begin)


def _get(url: str) -> bytes:
    with _OPENER.open(urllib.request.Request(url, headers=_OPENMETRICS), timeout=30) as answer:
        found: bytes = answer.read()
    return found


def write(database: Path, first_task: int) -> None:
    """Let a run go on until somebody ends this."""
    while True:
        generate.generate(database, NEW_TASKS, run_id=f"{0:08x}-{0:04d}", first_task=first_task)
        first_task += NEW_TASKS
        time.sleep(1)


def stored(folder: Path) -> None:
    """Print what Prometheus keeps of a run each of whose apps ends tasks between any two scrapes."""
    database = folder / "monitoring.db"
    now = 1_800_000_000.0
    generate.generate(database, 1_000, end=now)
    settings = Settings(timezone="UTC")
    source = Source(
        SqliteReader(database),
        options_of(settings, SourceSettings(str(database)), "runinfo/monitoring.db"),
        baton=Baton(),
        clock=Clock(wall=lambda: now, steady=lambda: now),
        started=now,
        series_left=lambda: settings.limits.series,
    )
    samples: dict[str, list[str]] = defaultdict(list)
    for i in range(SCRAPES):
        now += EVERY
        generate.generate(database, 2 * APPS, first_task=1_000 + i * 2 * APPS, end=now)
        while source.poll():
            pass
        for line in Page([source.published.snapshot]).body(Format.OPENMETRICS).decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.partition(" # ")[0].rpartition(" ")
                samples[name].append(f"{name} {value} {now:.0f}\n")
    text = folder / "samples.txt"
    with text.open("w") as file:
        for name in sorted(samples):
            file.writelines(samples[name])
        file.write("# EOF\n")
    command: list[str | Path] = [required("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    subprocess.run([*command, text, folder / "tsdb"], check=True, capture_output=True)
    size = sum(path.stat().st_size for path in (folder / "tsdb").rglob("*") if path.is_file())
    count = sum(map(len, samples.values()))
    print(f"stored: {len(samples):,} series, {count:,} samples, {size / count:.2f} bytes a sample")


def main() -> None:
    generate.APPS = APPS
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    for site in SITES:
        with tempfile.TemporaryDirectory() as folder:
            measure(site, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        stored(Path(folder))


if __name__ == "__main__":
    main()
