"""The files as one site has them: its job, its addresses, its data source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from parsl_exporter.base.output import on_one_line

JOB = "parsl-exporter"
"""The job whose `up` the rules ask for, unless the site has another."""

_DASHBOARDS = "/etc/grafana/dashboards"
_PROGRAMS = ("/opt/parsl-exporter/bin/parsl-exporter", "%h/venvs/parsl-exporter/bin/parsl-exporter")
# What systemd takes for no more than it is.
_PLAIN_PATH = r"/[A-Za-z0-9/._+-]+"


class Site(NamedTuple):
    """Where things are, as the one who writes the files sees them. What is None stays as it comes."""

    folder: Path
    """Where the files will lie; absolute."""
    job: str = JOB
    """Letters, digits and `_.:/-`."""
    targets: tuple[str, ...] = ("127.0.0.1:9678",)
    """Exporters, as `host:port`."""
    alertmanager: str = "127.0.0.1:9093"
    scrape_interval: str = "15s"
    """As Prometheus writes durations."""
    prometheus_url: str = "http://localhost:9090"
    """As Grafana reaches it. URLs hold no `$`."""
    grafana_url: str = "http://localhost:3000"
    """As people reach it."""
    runbook_url: str | None = None
    """Of runbooks.md, as people reach it; None: the file itself."""
    datasource_uid: str | None = None
    datasource_name: str | None = None
    program: Path | None = None
    """What a service runs."""

    @property
    def runbooks(self) -> str:
        """The URL of the runbooks."""
        return self.runbook_url or (self.folder / "docs/runbooks.md").as_uri()


def adapted(files: Mapping[str, bytes], site: Site) -> dict[str, bytes]:
    """Give the files as `site` needs them; those that know nothing of a site are the same."""
    return {name: _adapted(name, content.decode(), site).encode() for name, content in files.items()}


def _adapted(name: str, text: str, site: Site) -> str:
    if name.startswith("config/rules/"):
        return _other_job(text, site.job)
    if name.startswith("grafana/dashboards/"):
        return _other_data_source(text, site)
    if name.startswith("config/systemd/"):
        return _other_program(text, str(site.program))
    return _replaced(name, text, _CHANGES[name](site)) if name in _CHANGES else text


def _replaced(name: str, text: str, changes: Iterable[tuple[str, str]]) -> str:
    for old, new in changes:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def _other_job(text: str, job: str) -> str:
    """Rules, and their tests with the labels and the text that they expect."""
    if job == JOB:
        return text
    text = text.replace(f'job="{JOB}"', f'job="{job}"').replace(f"(job {JOB})", f"(job {job})")
    return text.replace(f"job: {JOB}", f"job: {json.dumps(job)}")


def _other_data_source(text: str, site: Site) -> str:
    """Dashboards ask the first Prometheus that Grafana has unless they are told of one."""
    if site.datasource_uid is None:
        return text
    board = json.loads(text)
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            shown = site.datasource_name or site.datasource_uid
            variable["current"] = {"text": shown, "value": site.datasource_uid}
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _scraped(site: Site, example: str) -> list[tuple[str, str]]:
    """What is scraped, where the file has one exporter as its example."""
    return [
        (f"job_name: {JOB}", f"job_name: {site.job if site.job == JOB else json.dumps(site.job)}"),
        (json.dumps([example]), json.dumps(site.targets)),
        ("scrape_interval: 15s", f"scrape_interval: {site.scrape_interval}"),
    ]


def _prometheus(site: Site) -> list[tuple[str, str]]:
    return [
        *_scraped(site, "exporter:9678"),
        ('["alertmanager:9093"]', json.dumps([site.alertmanager])),
        ("${GRAFANA_URL}", json.dumps(site.grafana_url)),
        ("${RUNBOOK_URL}", json.dumps(site.runbooks)),
    ]


def _agent(site: Site) -> list[tuple[str, str]]:
    return _scraped(site, "127.0.0.1:9678")


def _data_source(site: Site) -> list[tuple[str, str]]:
    changes = [
        ("url: $PROMETHEUS_URL", f"url: {json.dumps(site.prometheus_url)}"),
        ("timeInterval: $SCRAPE_INTERVAL", f"timeInterval: {site.scrape_interval}"),
    ]
    if site.datasource_uid is not None:
        changes.append(("uid: parsl-prometheus", f"uid: {json.dumps(site.datasource_uid)}"))
    if site.datasource_name is not None:
        changes.append(("name: Prometheus", f"name: {_in_grafana(site.datasource_name)}"))
    return changes


def _dashboards(site: Site) -> list[tuple[str, str]]:
    folder = str(site.folder / "grafana/dashboards")
    return [
        (f"path: {_DASHBOARDS}", f"path: {_in_grafana(folder)}"),
        (f"{_DASHBOARDS}/", f"{on_one_line(folder)}/"),
    ]


def _in_grafana(text: str) -> str:
    """A YAML string in which Grafana finds no variable of its environment."""
    return json.dumps(text.replace("$", "$$"))


def _other_program(text: str, program: str) -> str:
    """Units of systemd."""
    if not re.fullmatch(_PLAIN_PATH, program):
        return text
    for one in _PROGRAMS:
        text = text.replace(one, program)
    return text


def _runbooks(site: Site) -> list[tuple[str, str]]:
    return [(f"job `{JOB}`", f"job `{site.job}`")]


_CHANGES = {
    "config/prometheus-agent.yml": _agent,
    "config/prometheus.yml": _prometheus,
    "docs/runbooks.md": _runbooks,
    "grafana/provisioning/dashboards/parsl.yml": _dashboards,
    "grafana/provisioning/datasources/parsl.yml": _data_source,
}
