"""The rules beside a long-term store: VictoriaMetrics with what Prometheus writes on, and vmalert with the rules."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.exporter_process import serving, until
from support.loopback import api, query
from support.processes import required, started_listening, started_prometheus, started_victoria_metrics
from support.source_harness import unpacked

pytestmark = [pytest.mark.integration, pytest.mark.stack]

ROOT = Path(__file__).parents[2]
LINKS = {"grafana_url": "http://grafana.example", "runbook_url": "http://docs.example/runbooks"}
EVALUATIONS = 10
"""How often each rule is evaluated after it could read its own last value."""


def asked(store: str, expr: str) -> list[dict[str, str]]:
    """The labels of a query's answer."""
    return [one["metric"] for one in query(store, expr)]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A store, a vmalert and its log: an endless run is scraped, and both add labels to what they write."""
    prometheus, vmalert = required("prometheus", today=True), required("vmalert", today=True)
    folder = tmp_path_factory.mktemp("vmalert")
    database = unpacked(folder / "monitoring.db", "crash-2026.10.26")
    (folder / "exporter.yml").write_text(
        f"retention: 1000w\nabandon_after: 1000w\ntimezone: UTC\nsources: [{{path: {database}, name: endless}}]\n"
    )
    with (
        serving(folder, "--config.file", folder / "exporter.yml") as exporter,
        started_victoria_metrics(folder) as stored,
    ):
        target = exporter.url.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, external_labels: {cluster: here}}\n"
            f"scrape_configs: [{{job_name: parsl-exporter, static_configs: [{{targets: ['{target}']}}]}}]\n"
            f"remote_write: [{{url: '{stored}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}]\n"
        )
        with started_prometheus(prometheus, folder):
            until("the run in the store", lambda: asked(stored, "parsl_workflow_info"), 60)
            with started_listening(
                vmalert, folder,
                f"-rule={ROOT}/config/rules/*.yml", "-evaluationInterval=1s", "-rule.evalDelay=0s",
                *(f"-{name}.url={stored}" for name in ("datasource", "remoteWrite", "remoteRead")),
                "-remoteWrite.flushInterval=200ms", "-notifier.blackhole", "-external.label=cluster=here",
                *(f"-external.label={name}={value}" for name, value in LINKS.items()),
                name="vmalert", listen="-httpListenAddr",
            ) as alerting:  # fmt: skip
                yield stored, alerting, folder / "vmalert.log"


def test_every_rule_is_evaluated_without_an_error_again_and_again(watched: tuple[str, str, Path]) -> None:
    """Recording rules read their own last values, which have the labels that vmalert adds."""
    store, vmalert, log = watched
    until("values to read", lambda: asked(store, "parsl:run:submit_rows_before"), 60)
    since = time.time() + EVALUATIONS

    def rules() -> list[dict[str, Any]]:
        found = [rule for group in api(vmalert, "rules")["groups"] for rule in group["rules"]]
        ages = [datetime.fromisoformat(rule["lastEvaluation"][:19] + "+00:00").timestamp() for rule in found]
        return found if min(ages) >= since else []

    found = until("further evaluations", rules, 60)
    failed = re.findall(r'rule "([^"]+)": failed', log.read_text())
    assert [rule["name"] for rule in found if rule["lastError"]] == []
    assert sorted(set(failed)) == []


def test_what_is_recorded_of_a_run_is_one_series_a_run(watched: tuple[str, str, Path]) -> None:
    store, _, _ = watched
    names = ("names", "submit_rows", "submit_sign_timestamp_seconds", "tasks_untaken_at_submit_sign", "live")
    for name in names:
        found = until(name, lambda name=name: asked(store, f"last_over_time(parsl:run:{name}[1m])"), 60)  # type: ignore[misc]
        assert [labels["source"] for labels in found] == ["endless"], name
