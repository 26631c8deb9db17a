"""Prometheus and Alertmanager for the demo, where Debian's packages (or the projects' own programs) are installed."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from parsl_exporter.assets.origin import origin
from parsl_exporter.demo.ask import ask
from parsl_exporter.demo.programs import Programs

_ALERTS = "alerts.yml"
_SOMETHING_TO_ASK_ABOUT = 'count(parsl:threshold) and on () up{job="parsl-exporter"} == 1'
_ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")


class Prometheus:
    """Prometheus, and Alertmanager where that is installed, on free ports of this machine; alerts go nowhere.

    The alerts are loaded once there is something to ask about: else those on what is missing, which wait for minutes,
    would be seen pending in the first seconds.
    """

    def __init__(self, programs: Programs, folder: Path, program: str, exporter: str) -> None:
        self._programs = programs
        self._configuration = folder / "prometheus.yml"
        alertmanager = _start_alertmanager(programs, folder)
        self._content = _content(folder, exporter, alertmanager)
        _write(
            self._configuration, self._content | {"rule_files": _without_alerts(self._content["rule_files"])}
        )
        address = _free_address()
        programs.start(
            "prometheus",
            program,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            f"--web.listen-address={address}",
            "--enable-feature=exemplar-storage",
        )
        self._url = f"http://{address}"
        self._looked = self._loaded = False
        self.links = [("Prometheus", self._url)]
        """What to look at, names with their URLs. More are known after a while."""
        if alertmanager:
            self.links.append(("Alertmanager", f"http://{alertmanager}/api/v2/alerts"))

    def alerts(self) -> str:
        """The alerts in words, or that there is no answer yet."""
        try:
            if not self._looked:
                self.links += _pages(self._url)
                self._looked = True
            if not self._loaded:
                if not _asked(self._url, _SOMETHING_TO_ASK_ABOUT):
                    return "Prometheus is starting"
                _write(self._configuration, self._content)
                self._programs.send("prometheus", signal.SIGHUP)
                self._loaded = True
            alerts = json.loads(ask(f"{self._url}/api/v1/alerts"))["data"]["alerts"]
        except OSError:
            return "Prometheus is starting"
        counts = Counter(f"{one['labels']['alertname']} {one['state']}" for one in alerts)
        return ", ".join(sorted(counts)) or "none"


def start_prometheus(programs: Programs, folder: Path, exporter: str) -> Prometheus | None:
    """Start what is installed, with the rules that belong to the exporter; None without Prometheus.

    `exporter` is the address to scrape.
    """
    program = shutil.which("prometheus")
    return Prometheus(programs, folder, program, exporter) if program else None


def _start_alertmanager(programs: Programs, folder: Path) -> str | None:
    program = next(filter(None, map(shutil.which, _ALERTMANAGERS)), None)
    if program is None:
        return None
    address = _free_address()
    _write(folder / "alertmanager.yml", {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]})
    programs.start(
        "alertmanager",
        program,
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    return address


def _pages(url: str) -> list[tuple[str, str]]:
    """Where this Prometheus shows alerts and graphs to people. Raises OSError while it does not answer.

    Debian builds it without the React app: 2.x with the pages of Prometheus 1 below /classic, 3.x with no page at all.
    """
    ask(f"{url}/-/ready")
    for prefix in ("/classic", ""):
        with suppress(HTTPError):
            page = ask(f"{url}{prefix}/alerts")
            if prefix or b'id="root"' in page:
                return [("alerts", f"{url}{prefix}/alerts"), ("graphs", f"{url}{prefix}/graph")]
    return [
        ("alerts", f"{url}/api/v1/alerts"),
        ("to ask", f"promtool query instant {url} parsl_tasks  # Debian's has no web page"),
    ]


def _asked(url: str, query: str) -> bool:
    return bool(json.loads(ask(f"{url}/api/v1/query?{urlencode({'query': query})}"))["data"]["result"])


def _without_alerts(rule_files: list[str]) -> list[str]:
    return [one for one in rule_files if Path(one).name != _ALERTS]


def _content(folder: Path, exporter: str, alertmanager: str | None) -> dict[str, Any]:
    # Failures are rare enough in the demo that nobody would wait for the alert otherwise.
    record = {"record": "parsl:threshold:site", "labels": {"name": "app_failed_tasks"}, "expr": "2"}
    _write(folder / "demo-thresholds.yml", {"groups": [{"name": "demo", "rules": [record]}]})
    files = origin()
    return {
        "global": {
            "scrape_interval": "2s",
            "evaluation_interval": "5s",
            "external_labels": {
                "runbook_url": (files / "docs/runbooks.md").as_uri(),
                "grafana_url": "http://localhost:3000",
            },
        },
        "rule_files": [*map(str, sorted(files.glob("config/rules/*.yml"))), "demo-thresholds.yml"],
        "alerting": {
            "alert_relabel_configs": [{"regex": "grafana_url|runbook_url", "action": "labeldrop"}],
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager] if alertmanager else []}]}],
        },
        "scrape_configs": [{"job_name": "parsl-exporter", "static_configs": [{"targets": [exporter]}]}],
    }


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content))  # JSON is YAML


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as tried:
        return f"127.0.0.1:{tried.getsockname()[1]}"
