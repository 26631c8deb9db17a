"""Real runs that are truly broken, until somebody is told: Parsl, exporter, Prometheus, Alertmanager, a webhook."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from alerting import Run, Told, site, write_alertmanager, write_prometheus, write_rules
from support.processes import eventually, free_port, there

pytestmark = [pytest.mark.integration, pytest.mark.stack]

SITE = {
    "block_without_manager_seconds": 30,
    "block_stalled_seconds": 30,
    "manager_lost_seconds": 3,
    "run_silent_seconds": 10,
}
"""A site's thresholds, set as site.yml.example shows. The other ones are the defaults."""

EXPECTED = {
    "hang": ("ParslBlockWithoutManager", {"executor": "htex", "block_id": "0"}),
    "lost": ("ParslManagerLost", {"executor": "htex", "block_id": "0", "hostname": socket.gethostname()}),
    "stalled": ("ParslBlockStalled", {"executor": "htex", "block_id": "0"}),
    "crash": ("ParslRunSilent", {"host": socket.gethostname()}),
    "failing": ("ParslAppFailureRatioHigh", {"app": "boom"}),
}
"""The one alert of each broken run, and what it must name beside the run. The healthy run has none."""


class Stack(NamedTuple):
    told: dict[bool, Told]
    runs: dict[str, Run]
    exporter: subprocess.Popen[str]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything is started and the runs have begun; then they are broken, and have more to do."""
    prometheus, alertmanager = there("prometheus"), there("prometheus-alertmanager", "alertmanager")
    folder = tmp_path_factory.mktemp("alerts")
    exporter_port = free_port()
    with site(folder) as here:
        write_rules(folder / "rules", SITE)
        runs = {kind: here.start_run(kind) for kind in ("healthy", *EXPECTED)}
        exporter = here.start_exporter(exporter_port, folder / "*/runinfo/monitoring.db")
        told, addresses = {}, []
        for today in prometheus.keys() & alertmanager.keys():
            told[today] = here.webhook()
            listening, asked = free_port(), free_port()
            write_prometheus(folder / f"prometheus-{today}.yml", exporter_port, listening)
            write_alertmanager(folder / f"alertmanager-{today}.yml", told[today].url)
            here.start(
                f"alertmanager-{today}", alertmanager[today], f"--config.file=alertmanager-{today}.yml",
                f"--storage.path=alertmanager-{today}", f"--web.listen-address=127.0.0.1:{listening}",
                "--cluster.listen-address=",
            )  # fmt: skip
            addresses.append(f"http://127.0.0.1:{asked}")
            here.start(
                f"prometheus-{today}", prometheus[today], f"--config.file=prometheus-{today}.yml",
                f"--storage.tsdb.path=prometheus-{today}", f"--web.listen-address=127.0.0.1:{asked}",
                "--enable-feature=exemplar-storage,expand-external-labels",
                GRAFANA_URL="http://grafana.example", RUNBOOK_URL="http://docs.example/runbooks",
            )  # fmt: skip
        processes = {kind: run.begun() for kind, run in runs.items()}
        (pool,) = processes["lost"]["pools"]
        os.kill(pool, signal.SIGKILL)
        for worker in processes["stalled"]["workers"]:
            os.kill(worker, signal.SIGSTOP)
        eventually("samples of a running task", 30, runs["crash"].samples_a_running_task)
        runs["crash"].process.kill()
        for kind, run in runs.items():
            if kind != "crash":
                run.go_on()
        runs["crash"].end_orphans(*addresses)
        yield Stack(told, runs, exporter)


def test_each_broken_run_has_its_alert_until_it_ends_and_the_healthy_one_has_none(stack: Stack) -> None:
    """Told by the machine's own Prometheus and Alertmanager, and by today's."""
    runs = stack.runs
    expected = {(kind, alert) for kind, (alert, _) in EXPECTED.items()}

    def everybody_told(what: str, seconds: float, status: str, alerts: set[tuple[str, str]]) -> None:
        eventually(
            what,
            seconds,
            lambda: all(told.of(status) >= alerts for told in stack.told.values()),
            lambda: {today: told.of(status) for today, told in stack.told.items()},
        )

    everybody_told("alerts on the broken runs", 120, "firing", expected)
    for told in stack.told.values():
        for kind, (alert, names) in EXPECTED.items():
            one = next(a for a in told.alerts if a["labels"]["alertname"] == alert)
            assert one["labels"].items() >= names.items() | {"run_id": runs[kind].run_id}.items()
            assert all(
                value in one["annotations"]["description"] for value in (runs[kind].run_id, *names.values())
            )
            assert one["annotations"]["runbook_url"] == f"http://docs.example/runbooks#{alert.lower()}"
            assert one["annotations"]["dashboard_url"].startswith("http://grafana.example/d/parsl-")

    for kind, run in runs.items():
        if kind != "crash":
            run.end()
    everybody_told("the alerts' ends", 60, "resolved", expected - {("crash", "ParslRunSilent")})

    stack.exporter.terminate()
    gone = ("", "ParslExporterDown")
    everybody_told("an alert on the exporter", 30, "firing", {gone})
    assert [told.of("firing") for told in stack.told.values()] == [expected | {gone}] * len(stack.told)
