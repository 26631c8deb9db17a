"""Who takes a dump: node_exporter's textfile collector and a Pushgateway, which read Prometheus' text format."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.exporter_process import environment
from support.far_end import running
from support.loopback import OPENER, text_of
from support.source_harness import unpacked

pytestmark = [pytest.mark.integration, pytest.mark.stack]


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


def types(page: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^# TYPE (parsl_\S+) (\S+)$", page))


def samples(page: str) -> set[str]:
    return set(re.findall(r"(?m)^parsl_.*", page))


def made_up(dump: str) -> set[str]:
    """What both make of summaries that have quantiles alone, as docs/without-prometheus.md says."""
    summaries = re.findall(r'(?m)^(parsl_\w*_summary_\w+){(.*),quantile="1\.0"} ', dump)
    return {f"{name}_{what}{{{labels}}} 0" for name, labels in summaries for what in ("count", "sum")}


def named(samples: set[str]) -> set[tuple[str, frozenset[str], float]]:
    """Samples whatever the order of labels and the spelling of values and bounds."""
    found = set()
    for sample in samples:
        name, labels, value = re.fullmatch(r"(\w+)(?:{(.*)})? (\S+)", sample).groups()  # type: ignore[union-attr]
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
        spelled = (f"{k}={float(v)}" if k in ("le", "quantile") else f"{k}={v}" for k, v in pairs)
        found.add((name, frozenset(spelled), float(value)))
    return found


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
    assert "\nnode_textfile_scrape_error 0\n" in page
    assert types(page) == types(dump)
    assert named(samples(page)) == named(samples(dump) | made_up(dump))


def test_a_pushgateway_takes_the_text_format_whole(dumps: dict[str, Path], tmp_path: Path) -> None:
    dump = dumps["text"].read_text()
    with running("prometheus-pushgateway", tmp_path, "--persistence.file=") as url:
        assert pushed(url, dumps["text"], "parsl") == 200
        page = text_of(f"{url}/metrics")
    own = {re.sub(r'(instance=""|job="parsl"),?', "", sample) for sample in samples(page)}
    assert types(page) == types(dump)
    assert named(own) == named(samples(dump) | made_up(dump))


def test_both_refuse_openmetrics_for_its_exemplars(dumps: dict[str, Path], tmp_path: Path) -> None:
    """As docs/without-prometheus.md says: that is why it says to leave the format at text."""
    with running("prometheus-pushgateway", tmp_path, "--persistence.file=") as url:
        assert pushed(url, dumps["openmetrics"], "parsl") == 400
    page = collected(dumps["openmetrics"], tmp_path)
    assert "\nnode_textfile_scrape_error 1\n" in page and not samples(page)
