"""Who takes a dump: node_exporter's textfile collector and a Pushgateway, which read Prometheus' text format."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from exporter_process import environment, until
from loopback import OPENER, text_of
from processes import free_port, required, started
from watched import unpacked

pytestmark = [pytest.mark.integration, pytest.mark.stack]

COUNTER = "parsl_task_transitions_total"


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run in both formats."""
    folder = tmp_path_factory.mktemp("dumps")
    database = unpacked(folder / "monitoring.db", "std-2026.10.26")
    found = {kind: folder / f"{kind}.prom" for kind in ("text", "openmetrics")}
    for kind, file in found.items():
        subprocess.run(
            [sys.executable, "-m", "parsl_exporter", "dump", database, f"--format={kind}", "--output", file],
            env=environment(),
            check=True,
        )
    return found


@contextmanager
def running(program: str, folder: Path, *flags: str) -> Iterator[str]:
    """A program of today on a port of loopback; its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    listen = f"--web.listen-address={url.removeprefix('http://')}"
    with started(required(program, today=True), listen, *flags, cwd=folder, log=folder / "log"):
        until("an answer", lambda: text_of(f"{url}/metrics"), 30)
        yield url


def types(page: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^# TYPE (parsl_\S+) (\S+)$", page))


def samples(page: str) -> int:
    return len(re.findall(r"(?m)^parsl_", page))


def collected(dump: Path, folder: Path) -> str:
    """node_exporter's page with this file in its textfile collector's folder."""
    (folder / "textfile").mkdir()
    (folder / "textfile/parsl.prom").write_bytes(dump.read_bytes())
    flags = (
        "--collector.disable-defaults",
        "--collector.textfile",
        "--collector.textfile.directory=textfile",
    )
    with running("prometheus-node-exporter", folder, *flags) as url:
        page = text_of(f"{url}/metrics")
    assert "\nnode_textfile_scrape_error 0\n" in page
    return page


def pushed(url: str, dump: Path, job: str) -> int:
    """The status that the Pushgateway answers."""
    request = urllib.request.Request(f"{url}/metrics/job/{job}", dump.read_bytes(), method="POST")
    try:
        with OPENER.open(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_textfile_collector_takes_the_text_format_whole(dumps: dict[str, Path], tmp_path: Path) -> None:
    dump = dumps["text"].read_text()
    page = collected(dumps["text"], tmp_path)
    assert types(page) == types(dump)
    assert samples(page) == samples(dump)


def test_a_pushgateway_takes_the_text_format_whole(dumps: dict[str, Path], tmp_path: Path) -> None:
    dump = dumps["text"].read_text()
    with running("prometheus-pushgateway", tmp_path, "--persistence.file=") as url:
        assert pushed(url, dumps["text"], "parsl") == 200
        page = text_of(f"{url}/metrics")
        assert types(page) == types(dump)
        assert samples(page) == samples(dump)
        assert pushed(url, dumps["openmetrics"], "other") == 400


def test_both_read_openmetrics_as_text_and_lose_types(dumps: dict[str, Path], tmp_path: Path) -> None:
    """As docs/operations.md says: that is why it says to leave the format at text."""
    with running("prometheus-pushgateway", tmp_path, "--persistence.file=") as url:
        assert pushed(url, dumps["openmetrics"], "parsl") == 200
        pages = [text_of(f"{url}/metrics"), collected(dumps["openmetrics"], tmp_path)]
    for page in pages:
        assert types(page)[COUNTER] == "untyped"
        assert types(page)[COUNTER.replace("_total", "_created")] == "untyped"
