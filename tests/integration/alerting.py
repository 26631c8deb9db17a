"""What the live tests of alerts share: real runs that break, the project's configuration made quicker, a webhook."""

from __future__ import annotations

import http.server
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from support.exporter_process import COMMAND, environment
from support.loopback import query
from support.processes import eventually, parsl_required, started

ROOT = Path(__file__).parents[2]
RUNS = Path(__file__).parent / "workloads/broken_runs.py"

WAIT = "2s"
"""What every alert's `for` becomes."""


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
        """Of one that ends when it is told: others may have ended, and not have been told of."""
        return bool(
            self.one(
                "SELECT 1 FROM resource JOIN task USING (run_id, task_id) WHERE task_func_name = 'work_until'"
            )
        )

    def begun(self) -> dict[str, list[int]]:
        """Wait until it has begun; gives its workers' and their pools' process ids."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder.parent / f"{self.folder.name}-run.log").read_text()
        found: dict[str, list[int]] = json.loads(line)
        return found

    def go_on(self) -> None:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)

    def end_orphans(self, *prometheus: str) -> None:
        """After its submit process was killed, end its tasks: once each Prometheus has had the last word of the killed
        for some evaluations, so that what workers end comes after it."""
        of_run = f'run_id="{self.run_id}"'
        heard = (
            f'count_over_time((sum by (run_id) (parsl_tasks{{{of_run}, state="running"}}) > 0)[12s:1s]) >= 8'
            f" and on (run_id) time() - parsl:run:submit_sign_timestamp_seconds{{{of_run}}} > 4"
        )
        for one in prometheus:
            eventually("the last word of the killed", 90, lambda one=one: query(one, heard))  # type: ignore[misc]
        (self.folder / "end_tasks").touch()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class Site(NamedTuple):
    """What is started on a folder, and ended at the end of `site`; each program's errors are in NAME.log there."""

    folder: Path
    stack: ExitStack

    def start(
        self, name: str, *command: str | Path, cwd: Path | None = None, **changes: str
    ) -> subprocess.Popen[str]:
        """Start a program with these changes of the environment."""
        return self.stack.enter_context(
            started(
                *command,
                cwd=cwd or self.folder,
                log=self.folder / f"{name}.log",
                environment=environment(**changes),
            )
        )

    def start_run(self, kind: str, name: str | None = None, **changes: str) -> Run:
        """Start a run of that kind in a folder of its name."""
        home = self.folder / (name or kind)
        home.mkdir()
        return Run(self.start(f"{home.name}-run", sys.executable, RUNS, kind, cwd=home, **changes), home)

    def start_exporter(
        self, port: int, *sources: str | Path, name: str = "exporter", **changes: str
    ) -> subprocess.Popen[str]:
        """Start an exporter of `sources`."""
        listen = f"--web.listen-address=127.0.0.1:{port}"
        return self.start(name, *COMMAND, *sources, listen, cwd=None, **changes)

    def webhook(self) -> Told:
        """Start to listen for what Alertmanager tells."""
        told = self.stack.enter_context(Told())
        threading.Thread(target=told.serve_forever, daemon=True).start()
        self.stack.callback(told.shutdown)
        return told


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A site on that folder; all that was started there ends with it."""
    parsl_required()
    with ExitStack() as stack:
        yield Site(folder, stack)


def write_rules(folder: Path, site: Mapping[str, float]) -> None:
    """The project's rules and a site's thresholds beside them; only `for` is made shorter."""
    shutil.copytree(ROOT / "config/rules", folder, ignore=shutil.ignore_patterns("tests"))
    alerts = yaml.safe_load((folder / "alerts.yml").read_text())
    for rule in (rule for group in alerts["groups"] for rule in group["rules"]):
        rule["for"] = WAIT
    (folder / "alerts.yml").write_text(yaml.safe_dump(alerts))
    own = [
        {"record": "parsl:threshold:site", "labels": {"name": name}, "expr": value}
        for name, value in site.items()
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
