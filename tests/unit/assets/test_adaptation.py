"""The files as a site has them: what it names stands where it belongs, and the rest is as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from parsl_exporter.assets.adaptation import Site, adapted
from parsl_exporter.assets.origin import originals

ORIGINALS = originals()
HOME = Path("/srv/it's 50 % $HOME: ok #1")
"""A folder whose name means something to YAML, to Grafana and to a URL."""


def files(**site: Any) -> dict[str, str]:
    return {name: content.decode() for name, content in adapted(ORIGINALS, Site(folder=HOME, **site)).items()}


def document(name: str, **site: Any) -> Any:
    return yaml.safe_load(files(**site)[name])


def datasource_of(board: str) -> dict[str, Any]:
    (found,) = (v for v in json.loads(board)["templating"]["list"] if v["type"] == "datasource")
    assert isinstance(found, dict)
    return found


def test_nothing_is_left_out_and_what_knows_no_site_is_the_same() -> None:
    changed = {name for name, text in files().items() if text.encode() != ORIGINALS[name]}
    assert changed == {
        "config/prometheus.yml",
        "grafana/provisioning/dashboards/parsl.yml",
        "grafana/provisioning/datasources/parsl.yml",
    }


def test_no_address_of_the_stack_and_no_variable_is_left() -> None:
    for name in ("config/prometheus.yml", "grafana/provisioning/datasources/parsl.yml"):
        text = json.dumps(document(name))
        for foreign in ("exporter:9678", "alertmanager:9093", "_URL", "SCRAPE_INTERVAL"):
            assert foreign not in text, name


def test_prometheus_scrapes_what_is_named() -> None:
    config = document(
        "config/prometheus.yml",
        job="null",
        targets=("login1:9678", "[::1]:9679"),
        alertmanager="alerts:9093",
        scrape_interval="1m",
    )
    assert config["global"]["scrape_interval"] == "1m"
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert (jobs["null"], jobs["alertmanager"]) == (["login1:9678", "[::1]:9679"], ["alerts:9093"])
    assert config["alerting"]["alertmanagers"][0]["static_configs"] == [{"targets": ["alerts:9093"]}]


def test_alerts_lead_to_the_grafana_and_the_runbooks_that_are_named() -> None:
    named = {"grafana_url": "https://g.example/x", "runbook_url": "https://wiki.example/?page=parsl"}
    assert document("config/prometheus.yml", **named)["global"]["external_labels"] == named


def test_without_an_address_of_runbooks_alerts_lead_to_the_file() -> None:
    url = document("config/prometheus.yml")["global"]["external_labels"]["runbook_url"]
    assert url == "file:///srv/it%27s%2050%20%25%20%24HOME%3A%20ok%20%231/docs/runbooks.md"


def test_rules_and_their_tests_ask_for_the_job() -> None:
    for name, text in files(job="parsl/a:b").items():
        if name.startswith("config/rules/"):
            assert 'job="parsl-exporter"' not in text, name
            assert "job: parsl-exporter" not in text, name
            assert "(job parsl-exporter)" not in text, name
    rules = document("config/rules/alerts.yml", job="parsl/a:b")["groups"]
    (down,) = (rule for group in rules for rule in group["rules"] if rule["alert"] == "ParslExporterDown")
    assert down["expr"] == 'up{job="parsl/a:b"} == 0 or absent(up{job="parsl/a:b"})'
    assert "job `parsl/a:b`" in files(job="parsl/a:b")["docs/runbooks.md"]


def test_links_to_dashboards_are_not_taken_for_the_job() -> None:
    assert "/d/parsl-exporter?" in files(job="other")["config/rules/alerts.yml"]


def test_dashboards_open_with_the_data_source_that_is_named() -> None:
    board = files(datasource_uid="abc", datasource_name="Mine")["grafana/dashboards/parsl-overview.json"]
    assert datasource_of(board)["current"] == {"text": "Mine", "value": "abc"}
    before = datasource_of(ORIGINALS["grafana/dashboards/parsl-overview.json"].decode())
    assert before == {name: one for name, one in datasource_of(board).items() if name != "current"}


def test_grafana_is_given_the_data_source() -> None:
    (source,) = document(
        "grafana/provisioning/datasources/parsl.yml",
        prometheus_url="https://p.example/x",
        scrape_interval="1m",
        datasource_uid="123",
        datasource_name="Mine: $HOME",
    )["datasources"]
    assert (source["uid"], source["name"]) == ("123", "Mine: $$HOME")
    assert (source["url"], source["jsonData"]["timeInterval"]) == ("https://p.example/x", "1m")


def test_grafana_reads_the_dashboards_where_they_are() -> None:
    (provider,) = document("grafana/provisioning/dashboards/parsl.yml")["providers"]
    assert provider["options"]["path"] == str(HOME / "grafana/dashboards").replace("$", "$$")


@pytest.mark.parametrize(
    "unit", ["parsl-exporter.service", "user/parsl-exporter.service", "user/parsl-exporter@.service"]
)
def test_a_service_runs_the_program(unit: str) -> None:
    text = files(program=Path("/srv/venv/bin/parsl-exporter"))[f"config/systemd/{unit}"]
    assert "ExecStart=/srv/venv/bin/parsl-exporter serve " in text


def test_a_program_whose_path_systemd_would_read_otherwise_is_left_to_be_named() -> None:
    name = "config/systemd/parsl-exporter.service"
    assert files(program=Path("/srv/100%/my venv/bin/parsl-exporter"))[name].encode() == ORIGINALS[name]
