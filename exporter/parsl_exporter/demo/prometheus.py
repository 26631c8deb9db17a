"""Prometheus and Alertmanager for the demo, where Debian's packages (or the projects' own programs) are installed."""

from __future__ import annotations

import json
import shutil
import socket
from collections import Counter
from pathlib import Path

from parsl_exporter.demo.ask import ask
from parsl_exporter.demo.programs import Programs

_RULES = Path("config/rules")
_CHECKOUT = Path(__file__).parents[3]
_ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")


def start_prometheus(programs: Programs, folder: Path, exporter: str) -> list[tuple[str, str]]:
    """Start what is installed, on free ports of this machine, with the project's rules where these are found.

    `exporter` is the address to scrape. Returns what to look at: names with their URLs, Prometheus' own first;
    nothing without Prometheus. Alerts go nowhere, whatever the project's configuration says.
    """
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        return []
    links: list[tuple[str, str]] = []
    alertmanager = next(filter(None, map(shutil.which, _ALERTMANAGERS)), None)
    targets: list[str] = []
    if alertmanager is not None:
        targets.append(_free_address())
        _write(
            folder / "alertmanager.yml", {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
        )
        programs.start(
            "alertmanager",
            alertmanager,
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            f"--web.listen-address={targets[0]}",
            "--cluster.listen-address=",
        )
        links.append(("Alertmanager", f"http://{targets[0]}/api/v2/alerts"))
    _write(folder / "prometheus.yml", _configuration(folder, exporter, targets))
    address = _free_address()
    programs.start(
        "prometheus",
        prometheus,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    )
    return [("Prometheus", f"http://{address}"), ("alerts", f"http://{address}/alerts"), *links]


def alerts_line(prometheus: str) -> str:
    """The alerts that a Prometheus shows, in words. Raises OSError while it does not answer."""
    alerts = json.loads(ask(f"{prometheus}/api/v1/alerts"))["data"]["alerts"]
    counts = Counter(f"{one['labels']['alertname']} {one['state']}" for one in alerts)
    return ", ".join(sorted(counts)) or "none"


def _configuration(folder: Path, exporter: str, alertmanagers: list[str]) -> dict[str, object]:
    # Failures are rare enough in the demo that nobody would wait for the alert otherwise.
    record = {"record": "parsl:threshold:site", "labels": {"name": "app_failed_tasks"}, "expr": "2"}
    _write(folder / "demo-thresholds.yml", {"groups": [{"name": "demo", "rules": [record]}]})
    rules = next((one for one in (Path.cwd() / _RULES, _CHECKOUT / _RULES) if one.is_dir()), None)
    runbooks = _CHECKOUT / "docs" / "runbooks.md"
    return {
        "global": {
            "scrape_interval": "2s",
            "evaluation_interval": "5s",
            "external_labels": {"runbook_url": runbooks.as_uri(), "grafana_url": "http://localhost:3000"},
        },
        "rule_files": [f"{rules}/*.yml", "demo-thresholds.yml"] if rules else [],
        "alerting": {
            "alert_relabel_configs": [{"regex": "grafana_url|runbook_url", "action": "labeldrop"}],
            "alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}],
        },
        "scrape_configs": [{"job_name": "parsl-exporter", "static_configs": [{"targets": [exporter]}]}],
    }


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content))  # JSON is YAML


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as tried:
        return f"127.0.0.1:{tried.getsockname()[1]}"
