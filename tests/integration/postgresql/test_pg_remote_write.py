"""The larger picture, for real: PostgreSQL, the exporter, Prometheus, remote write, VictoriaMetrics, the dashboards."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from grafana import inventory
from support.exporter_process import serving
from support.loopback import query
from support.pages import block_with
from support.pg import tables
from support.pg.server import Server
from support.processes import (
    INSTALLED_AND_TODAYS,
    eventually,
    required,
    started_prometheus,
    started_victoria_metrics,
)

pytestmark = [pytest.mark.integration, pytest.mark.stack]

ROOT = Path(__file__).parents[3]
RUN = "a409e094-0cff-459f-af5c-f1c27ddb50ed"
ASKS = [ask for ask in inventory.all_asks() if not ask.label]
EXTERNAL = {"cluster": "here", "replica": "1"}
"""Labels that Prometheus adds to what it writes on, and to nothing of its own."""


class Asked(NamedTuple):
    """The Prometheus that scraped, the store that it wrote on to, and a time at which both have everything."""

    prometheus: str
    store: str
    at: float

    def answers(self, ask: inventory.Ask) -> tuple[dict[str, float], dict[str, float]]:
        """What both say, by the labels of the series; the store's without what Prometheus added."""
        filled = {
            "source": ".*",
            "workflow": ".*",
            "executor": ".*",
            "app": ".*",
            "run": RUN,
            "campaign": ".*",
        }
        expr = inventory.fill(
            ask.expr, {**filled, "__range": "30s", "__interval": "1s", "__rate_interval": "10s"}
        )
        return instant(self.prometheus, expr, self.at), instant(self.store, expr, self.at)


def instant(url: str, expr: str, at: float) -> dict[str, float]:
    """The answer to a query, by labels without the external ones, which must not tell two series apart."""
    answer: dict[str, float] = {}
    for one in query(url, expr, time=at):
        labels = _own_labels(one["metric"])
        assert labels not in answer, f"twice in {url}: {labels}"
        answer[labels] = float(one["value"][1])
    return answer


def remote_write(url: str, *, today: bool) -> dict[str, Any]:
    """As docs/postgresql.md has it, sooner; Debian 12's Prometheus knows one format only."""
    (example,) = yaml.safe_load(block_with("remote_write", "yaml", "docs/postgresql.md"))["remote_write"]
    assert example["write_relabel_configs"].pop()["regex"] == "parsl_.*"
    example |= {"url": url, "queue_config": {"batch_send_deadline": "1s"}}
    return {key: value for key, value in example.items() if today or key != "protobuf_message"}


@pytest.fixture(scope="module", params=INSTALLED_AND_TODAYS)
def asked(
    request: pytest.FixtureRequest, exporter: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asked]:
    """Twenty scrapes and what the rules recorded of them."""
    prometheus = required("prometheus", today=request.param)
    folder = tmp_path_factory.mktemp("stored")
    with started_victoria_metrics(folder, "-retentionPeriod=100y", today=request.param) as stored:
        written = remote_write(f"{stored}/api/v1/write", today=request.param)
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {json.dumps(EXTERNAL)}}}\n"
            f"rule_files: [{json.dumps(str(ROOT / 'config/rules/*.yml'))}]\n"
            f"scrape_configs: [{{job_name: parsl-exporter, static_configs: [{{targets: ['{exporter}']}}]}}]\n"
            f"remote_write: {json.dumps([written])}\n"
        )
        with started_prometheus(prometheus, folder) as own:
            eventually("a scrape", 60, lambda: samples(own, time.time()))
            at = time.time() + 20
            eventually("what was scraped then", 60, lambda: samples(own, at + 3) - samples(own, at))
            eventually("the same in the store", 60, lambda: samples(own, at) <= samples(stored, at))
            yield Asked(own, stored, at)


@pytest.fixture(scope="module")
def exporter(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an exporter on a database with finished runs."""
    folder = tmp_path_factory.mktemp("exporter")
    server.create("stored")
    tables.restore(server, "stored")
    config = folder / "exporter.yml"
    config.write_text(
        f"retention: 1000w\ntimezone: UTC\nsources: [{{url: '{server.url('stored', 'reader')}', name: stored}}]\n"
    )
    with serving(folder, "--config.file", config) as serves:
        yield serves.url.removeprefix("http://")


def samples(url: str, at: float) -> set[tuple[str, float]]:
    """The series and times of all samples of the last seconds; nothing while there is no answer."""
    try:
        found = query(url, '{__name__=~"parsl.+|process.+|scrape.+|up"}[3s]', time=at)
    except OSError:
        return set()
    return {(_own_labels(one["metric"]), float(time)) for one in found for time, _ in one["values"]}


def _own_labels(metric: dict[str, str]) -> str:
    return json.dumps({k: v for k, v in metric.items() if k not in EXTERNAL}, sort_keys=True)


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.place)
def test_the_store_answers_each_query_of_the_dashboards_as_prometheus_does(
    asked: Asked, ask: inventory.Ask
) -> None:
    here, there = asked.answers(ask)

    if "topk" in ask.expr and len(here) >= 10:
        assert sorted(there.values()) == pytest.approx(sorted(here.values())), "of equal ones each takes some"
        return
    assert there.keys() == here.keys()
    if not re.search(r"\b(rate|increase)\(", ask.expr):
        # VictoriaMetrics takes the time of a question to the millisecond.
        assert there == pytest.approx(here, nan_ok=True, abs=0.002)


def test_the_dashboards_show_the_run(asked: Asked) -> None:
    assert sum(1 for ask in ASKS if asked.answers(ask)[1]) > len(ASKS) / 3
