"""The larger picture, for real: PostgreSQL, the exporter, Prometheus, remote write, VictoriaMetrics, the dashboards."""

from __future__ import annotations

import gzip
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from exporter_process import serving
from grafana import inventory
from pg.server import Server
from processes import eventually, free_port, required, started

pytestmark = [pytest.mark.integration, pytest.mark.stack]

DATA = Path(__file__).parents[2] / "data"
RUN = "a409e094-0cff-459f-af5c-f1c27ddb50ed"
ASKS = [ask for ask in inventory.all_asks() if not ask.label]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Asked(NamedTuple):
    """The Prometheus that scraped, the store that it wrote on to, and a time at which both have everything."""

    prometheus: str
    store: str
    at: float

    def answers(self, ask: inventory.Ask) -> tuple[dict[str, float], dict[str, float]]:
        """What both say, by the labels of the series."""
        filled = {"source": ".*", "workflow": ".*", "executor": ".*", "app": ".*", "run": RUN}
        expr = inventory.fill(
            ask.expr, {**filled, "__range": "30s", "__interval": "1s", "__rate_interval": "10s"}
        )
        return instant(self.prometheus, expr, self.at), instant(self.store, expr, self.at)


def instant(url: str, expr: str, at: float) -> dict[str, float]:
    with _OPENER.open(
        f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr, 'time': at})}", timeout=30
    ) as got:
        found: list[dict[str, Any]] = json.load(got)["data"]["result"]
    return {json.dumps(one["metric"], sort_keys=True): float(one["value"][1]) for one in found}


@pytest.fixture(scope="module")
def asked(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    prometheus, store = required("prometheus"), required("victoria-metrics", "victoria-metrics-prod")
    folder = tmp_path_factory.mktemp("stored")
    server.create("stored")
    server.restore("stored", gzip.decompress((DATA / "pg-2026.10.26.dump.sql.gz").read_bytes()).decode())
    config = folder / "exporter.yml"
    config.write_text(
        f"retention: 1000w\ntimezone: UTC\nsources: [{{url: '{server.url('stored', 'reader')}', name: stored}}]\n"
    )
    api, writing = free_port(), free_port()
    with (
        serving(folder, "--config.file", config) as exporter,
        started(
            store, f"-storageDataPath={folder / 'store'}", f"-httpListenAddr=127.0.0.1:{writing}",
            "-search.latencyOffset=0s", "-retentionPeriod=100y",
            cwd=folder, log=folder / "store.log",
        ),
    ):  # fmt: skip
        target, write = exporter.url.removeprefix("http://"), f"http://127.0.0.1:{writing}/api/v1/write"
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: parsl, static_configs: [{{targets: ['{target}']}}]}}]\n"
            f"remote_write: [{{url: '{write}', queue_config: {{batch_send_deadline: 1s}}}}]\n"
        )
        with started(
            prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{api}", cwd=folder, log=folder / "prometheus.log",
        ):  # fmt: skip
            both = (f"http://127.0.0.1:{api}", f"http://127.0.0.1:{writing}")
            began = time.time()
            for url in both:
                eventually("twenty scrapes", 90, lambda url=url: has(url, began + 20, time.time()))
            yield Asked(*both, at=began + 20)


def has(url: str, since: float, now: float) -> bool:
    """Whether the run's series are there, with samples from that moment on."""
    try:
        return any(value >= since for value in instant(url, "timestamp(parsl_tasks)", now).values())
    except OSError:
        return False


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.place)
def test_the_store_answers_each_query_of_the_dashboards_as_prometheus_does(
    asked: Asked, ask: inventory.Ask
) -> None:
    here, there = asked.answers(ask)

    assert there.keys() == here.keys()
    if "[" not in ask.expr:
        # VictoriaMetrics takes the time of a question to the millisecond.
        assert there == pytest.approx(here, nan_ok=True, abs=0.002)


def test_the_dashboards_show_the_run(asked: Asked) -> None:
    assert sum(1 for ask in ASKS if asked.answers(ask)[1]) > len(ASKS) / 3
