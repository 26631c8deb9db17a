"""What to do with the files once they are written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from parsl_exporter.assets.adaptation import Site
from parsl_exporter.base.output import on_one_line


def next_steps(site: Site, closed: Path | None) -> str:
    """Give the text for a person, with the paths as they were written and commands as a shell takes them.

    `closed` is a folder on the way to the files that other users may not enter.
    """

    def path(name: str) -> str:
        return on_one_line(str(site.folder / name))

    def word(name: str) -> str:
        return shlex.quote(path(name))

    return f"""\
Prometheus: add to its configuration, and reload it (SIGHUP); {path("config/prometheus.yml")} is a whole one

  global:
    external_labels:
      grafana_url: {json.dumps(site.grafana_url)}
      runbook_url: {json.dumps(site.runbooks)}
  rule_files:
    - {json.dumps(path("config/rules/*.yml"))}
  scrape_configs:
    - job_name: {json.dumps(site.job)}
      scrape_interval: {site.scrape_interval}
      static_configs:
        - targets: {json.dumps(site.targets)}

{"" if closed is None else _closed(closed)}\
Your own thresholds for alerts: {path("config/rules/site.yml.example")} says how.

Grafana: has to be able to read {path("grafana/dashboards")}. Give it the data source and the dashboards, and restart it

  sudo cp {word("grafana/provisioning/datasources/parsl.yml")} /etc/grafana/provisioning/datasources/
  sudo cp {word("grafana/provisioning/dashboards/parsl.yml")} /etc/grafana/provisioning/dashboards/

With a data source that is there already leave out the first, and set its scrape interval to {site.scrape_interval}.
Or import the dashboards by hand. A Grafana that you unpacked and start yourself takes both where they are, by
GF_PATHS_PROVISIONING={word("grafana/provisioning")} in its environment.

Exporter: begin with {path("config/exporter.yml")}; as a service:
{path("config/systemd/parsl-exporter.service")}.
Alertmanager: begin with {path("config/alertmanager.yml")}. Runbooks of the alerts: {path("docs/runbooks.md")}.
Manual page: man {word("docs/parsl-exporter.1")}. Completion: source <(parsl-exporter completion bash);
the same for zsh; in fish: parsl-exporter completion fish | source.
"""


def _closed(folder: Path) -> str:
    return f"""\
Other users may not enter {on_one_line(str(folder))}, unless a group or an ACL lets them.
A Prometheus that runs as one finds no rules here, and does not say so: write them into a folder that it may enter, or
start it as yourself.

"""
