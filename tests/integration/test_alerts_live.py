"""Real runs that are truly broken, until somebody is told: Parsl, exporter, Prometheus, Alertmanager, a webhook."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from processes import eventually, free_port, started, there

pytestmark = [pytest.mark.integration, pytest.mark.stack]

ROOT = Path(__file__).parents[2]
RUNS = Path(__file__).parent / "workloads/broken_runs.py"

SITE = {
    "block_without_manager_seconds": 30,
    "block_stalled_seconds": 30,
    "manager_lost_seconds": 5,
    "run_silent_seconds": 10,
}
"""A site's thresholds, set as site.yml.example shows. The other ones are the defaults."""

WAIT = "2s"
"""What every alert's `for` becomes."""

EXPECTED = {
    "hang": ("ParslBlockWithoutManager", {"executor": "htex", "block_id": "0"}),
    "lost": ("ParslManagerLost", {"executor": "htex", "block_id": "0", "hostname": socket.gethostname()}),
    "stalled": ("ParslBlockStalled", {"executor": "htex", "block_id": "0"}),
    "crash": ("ParslRunSilent", {"host": socket.gethostname()}),
    "failing": ("ParslAppFailureRatioHigh", {"app": "boom"}),
}
"""The one alert of each broken run, and what it must name beside the run. The healthy run has none."""


class Told(http.server.ThreadingHTTPServer):
    """A webhook receiver. `alerts` is all that it was told, in order."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Hook)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def of(self, status: str) -> set[tuple[str, str]]:
        """Workflow name (empty for the exporter's own) and alert, of those told as `status`."""
        return {
            (one["labels"].get("workflow_name", ""), one["labels"]["alertname"])
            for one in self.alerts
            if one["status"] == status
        }


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Told)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.alerts += json.loads(body)["alerts"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Run(NamedTuple):
    process: subprocess.Popen[str]
    folder: Path

    def one(self, query: str) -> Any:
        """The first value of a query on the run's database; None without a row."""
        database = self.folder / "runinfo/monitoring.db"
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute(query).fetchone() or (None,)
        return found

    @property
    def run_id(self) -> str:
        return str(self.one("SELECT run_id FROM workflow"))

    def samples_a_running_task(self) -> bool:
        return bool(
            self.one(
                "SELECT 1 FROM resource WHERE task_id NOT IN"
                " (SELECT task_id FROM status WHERE task_status_name = 'exec_done')"
            )
        )

    def begun(self) -> dict[str, list[int]]:
        """Wait until it has begun; gives its workers' and their pools' process ids."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        found: dict[str, list[int]] = json.loads(line)
        return found

    def go_on(self) -> None:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class Stack(NamedTuple):
    told: dict[bool, Told]
    runs: dict[str, Run]
    exporter: subprocess.Popen[str]


def write_rules(folder: Path) -> None:
    """The project's rules and a site's thresholds beside them; only `for` is made shorter."""
    shutil.copytree(ROOT / "config/rules", folder, ignore=shutil.ignore_patterns("tests"))
    alerts = yaml.safe_load((folder / "alerts.yml").read_text())
    for rule in (rule for group in alerts["groups"] for rule in group["rules"]):
        rule["for"] = WAIT
    (folder / "alerts.yml").write_text(yaml.safe_dump(alerts))
    own = [
        {"record": "parsl:threshold:site", "labels": {"name": name}, "expr": value}
        for name, value in SITE.items()
    ]
    (folder / "site.yml").write_text(yaml.safe_dump({"groups": [{"name": "site", "rules": own}]}))


def write_prometheus(file: Path, exporter: int, alertmanager: int) -> None:
    """The project's configuration, quicker and with addresses of this machine."""
    config = yaml.safe_load((ROOT / "config/prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    addresses = {"exporter:9678": f"127.0.0.1:{exporter}", "alertmanager:9093": f"127.0.0.1:{alertmanager}"}
    config["scrape_configs"] = [
        job for job in config["scrape_configs"] if job["job_name"] == "parsl-exporter"
    ]
    for holder in (*config["scrape_configs"], *config["alerting"]["alertmanagers"]):
        for static in holder["static_configs"]:
            static["targets"] = [addresses[target] for target in static["targets"]]
    file.write_text(yaml.safe_dump(config))


def write_alertmanager(file: Path, hook: str) -> None:
    """The project's configuration, quicker and with this receiver in the place of everyone."""
    config = yaml.safe_load((ROOT / "config/alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"}
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": hook}]
    file.write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything is started and the runs have begun; then they are broken, and have more to do."""
    prometheus, alertmanager = there("prometheus"), there("prometheus-alertmanager", "alertmanager")
    if not os.environ.get("CI"):
        pytest.importorskip("parsl.monitoring")
    folder = tmp_path_factory.mktemp("alerts")
    exporter_port = free_port()
    with ExitStack() as stack:
        write_rules(folder / "rules")
        # HTEX starts its programs from PATH.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

        def start(
            name: str, *command: str | Path, cwd: Path = folder, **environment: str
        ) -> subprocess.Popen[str]:
            return stack.enter_context(
                started(*command, cwd=cwd, log=folder / f"{name}.log", environment=environment)
            )

        runs = {}
        for kind in ("healthy", *EXPECTED):
            (folder / kind).mkdir()
            process = start(kind, sys.executable, RUNS, kind, cwd=folder / kind, PATH=path)
            runs[kind] = Run(process, folder / kind)
        exporter = start(
            "exporter", sys.executable, "-m", "parsl_exporter", folder / "*/runinfo/monitoring.db",
            f"--web.listen-address=127.0.0.1:{exporter_port}",
            PYTHONPATH=str(ROOT / "exporter"),
        )  # fmt: skip
        told = {}
        for today in prometheus.keys() & alertmanager.keys():
            told[today] = stack.enter_context(Told())
            threading.Thread(target=told[today].serve_forever, daemon=True).start()
            stack.callback(told[today].shutdown)
            listening, asked = free_port(), free_port()
            write_prometheus(folder / f"prometheus-{today}.yml", exporter_port, listening)
            write_alertmanager(folder / f"alertmanager-{today}.yml", told[today].url)
            start(
                f"alertmanager-{today}", alertmanager[today], f"--config.file=alertmanager-{today}.yml",
                f"--storage.path=alertmanager-{today}", f"--web.listen-address=127.0.0.1:{listening}",
                "--cluster.listen-address=",
            )  # fmt: skip
            start(
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
