"""An exporter that is killed and started again beside alerts that fire: Parsl, Prometheus, Alertmanager, a webhook."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from alerting import Run, Told, site, write_alertmanager, write_prometheus, write_rules
from support.loopback import query
from support.processes import eventually, free_port, required

pytestmark = [pytest.mark.integration, pytest.mark.stack]

SITE = {"run_silent_seconds": 10, "source_down_seconds": 60}
"""A site's thresholds. The other ones are the defaults."""

AWAY = 8
"""For how many scrapes the exporter is away: four times every alert's `for`."""

FAILING = ("failing", "ParslAppFailureRatioHigh")
SILENT = ("crash", "ParslRunSilent")
OWN = {("", "ParslExporterDown")}
"""On the exporter itself, which is down now and then."""


class Stack(NamedTuple):
    told: Told
    runs: dict[str, Run]
    prometheus: str
    exporter: subprocess.Popen[str]
    start_exporter: Callable[[], subprocess.Popen[str]]

    def query(self, expr: str) -> list[dict[str, Any]]:
        return query(self.prometheus, expr)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Everything is started, and one run has begun to fail, another one was killed."""
    prometheus, alertmanager = required("prometheus"), required("prometheus-alertmanager", "alertmanager")
    exporter_port, prometheus_port, alertmanager_port = free_port(), free_port(), free_port()
    with site(tmp_path) as here:
        told = here.webhook()
        write_rules(tmp_path / "rules", SITE)
        write_prometheus(tmp_path / "prometheus.yml", exporter_port, alertmanager_port)
        write_alertmanager(tmp_path / "alertmanager.yml", told.url)

        def start_exporter() -> subprocess.Popen[str]:
            return here.start_exporter(exporter_port, tmp_path / "*/runinfo/monitoring.db")

        runs = {kind: here.start_run(kind) for kind in ("failing", "crash")}
        here.start(
            "alertmanager", alertmanager, "--config.file=alertmanager.yml", "--storage.path=alertmanager",
            f"--web.listen-address=127.0.0.1:{alertmanager_port}", "--cluster.listen-address=",
        )  # fmt: skip
        here.start(
            "prometheus", prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        )  # fmt: skip
        exporter = start_exporter()
        for run in runs.values():
            run.begun()
        runs["failing"].go_on()
        eventually("samples of a running task", 30, runs["crash"].samples_a_running_task)
        runs["crash"].process.kill()
        address = f"http://127.0.0.1:{prometheus_port}"
        runs["crash"].end_orphans(address)
        yield Stack(told, runs, address, exporter, start_exporter)


def test_a_restart_resolves_nothing_and_a_run_that_ended_meanwhile_is_resolved_at_once(stack: Stack) -> None:
    told = stack.told
    eventually("alerts", 90, lambda: told.of("firing") >= {FAILING, SILENT}, lambda: told.of("firing"))

    def restart(
        exporter: subprocess.Popen[str], meanwhile: Callable[[], object] = lambda: None
    ) -> subprocess.Popen[str]:
        exporter.kill()
        exporter.wait()
        eventually(
            "scrapes that fail", 60, lambda: stack.query(f"count_over_time((up == 0)[40s:1s]) >= {AWAY}")
        )
        assert not told.of("resolved") - OWN
        meanwhile()
        again = stack.start_exporter()
        eventually(
            "the runs to be read again", 60, lambda: len(stack.query("parsl:run:read_timestamp_seconds")) == 2
        )
        return again

    exporter = restart(stack.exporter)
    eventually("evaluations", 60, lambda: stack.query(f"count_over_time(parsl:run:live[15s]) >= {AWAY}"))
    assert not told.of("resolved") - OWN
    pending = 'count_over_time(ALERTS{alertstate="pending", run_id=~".+"}[15s])'
    assert not stack.query(pending), "they have not begun anew either"

    def end() -> None:
        stack.runs["failing"].end()
        stack.runs["failing"].process.wait(timeout=60)

    restart(exporter, end)
    eventually("the end of one", 30, lambda: FAILING in told.of("resolved"), lambda: told.of("resolved"))
    assert SILENT not in told.of("resolved")
