"""Memory while runs come and go: a thousand runs of a thousand tasks, one after the other, under an address limit.

    python tests/bench/churn.py [--runs 1000] [--tasks 1000]

The exporter is a process of its own that polls at its default, keeps ended runs for 5 s, and may map no more than
LIMIT bytes in all. The writer is never more than two runs ahead of it.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import NamedTuple

from generate import generate

from parsl_exporter.base.tables import TABLES

LIMIT = 1 << 30
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Seen(NamedTuple):
    """What the exporter says of itself: resident bytes, runs on its page, rows read so far."""

    resident: float
    runs: int
    rows: float


def _seen(url: str) -> Seen:
    with _OPENER.open(f"{url}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    resident = re.search(r"^process_resident_memory_bytes (\S+)$", page, re.MULTILINE)
    rows = re.findall(r"^parsl_exporter_rows_read_total\S* (\S+)$", page, re.MULTILINE)
    runs = re.findall(r"^parsl_workflow_info\{", page, re.MULTILINE)
    return Seen(float(resident[1]) if resident else 0.0, len(runs), sum(map(float, rows)))


def _url(log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                return str(json.loads(line)["url"])
        time.sleep(0.1)
    raise SystemExit(f"the exporter did not start: {log.read_text()}")


def _one_run(path: Path, tasks: int) -> None:
    run_id = str(uuid.uuid4())
    generate(path, tasks, run_id=run_id)
    with sqlite3.connect(path, timeout=60) as database:
        database.execute(
            "UPDATE workflow SET time_completed = strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime'),"
            " tasks_completed_count = ? WHERE run_id = ?",
            (tasks, run_id),
        )
    database.close()


def churn(folder: Path, runs: int, tasks: int) -> None:
    """Write the runs beside an exporter; print its memory after each tenth of them."""
    path, log, settings = folder / "monitoring.db", folder / "log", folder / "exporter.yml"
    settings.write_text(f"retention: 5s\nclose_after: 1s\nsources: [{{path: {path}}}]\n")
    command = [sys.executable, "-m", "parsl_exporter", "--config.file", str(settings)]
    with log.open("wb") as stderr:
        exporter = subprocess.Popen(
            [*command, "--web.listen-address", "127.0.0.1:0", "--log.format", "json"],
            stderr=stderr,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),  # noqa: PLW1509  # no threads
        )
    try:
        url = _url(log)
        a_run = 0
        for number in range(1, runs + 1):
            _one_run(path, tasks)
            a_run = a_run or _rows(path)
            _wait_for(url, (number - 2) * a_run)
            if number % max(1, runs // 10) == 0:
                seen = _seen(url)
                print(
                    f"after {number:,} runs ({number * tasks:,} tasks): {seen.resident / 1e6:.0f} MB resident, "
                    f"{seen.runs} runs on the page, {seen.rows:,.0f} rows read"
                )
        written = _rows(path)
        deadline = time.monotonic() + 600
        while ((seen := _seen(url)).rows < written or seen.runs) and time.monotonic() < deadline:
            time.sleep(0.5)
        print(
            f"at rest: {seen.resident / 1e6:.0f} MB resident, {seen.runs} runs on the page,"
            f" {seen.rows:,.0f} of {written:,} rows read, status {exporter.poll()}"
        )
    finally:
        exporter.terminate()
        exporter.wait(timeout=30)


def _wait_for(url: str, rows: int) -> None:
    """Wait until so many rows were read: runs are written much faster than any workflow writes them."""
    deadline = time.monotonic() + 120
    while _seen(url).rows < rows and time.monotonic() < deadline:
        time.sleep(0.1)


def _rows(path: Path) -> int:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return sum(database.execute(f'SELECT count(*) FROM "{t.name}"').fetchone()[0] for t in TABLES)
    finally:
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch the exporter's memory while runs come and go.")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--tasks", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        churn(Path(folder), options.runs, options.tasks)


if __name__ == "__main__":
    main()
