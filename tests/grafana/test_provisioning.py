"""What Grafana is given at its start fits the dashboards and the Prometheus beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from grafana import inventory

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "grafana" / "provisioning"


def provisioned(kind: str) -> list[dict[str, Any]]:
    key = {"datasources": "datasources", "dashboards": "providers"}[kind]
    files = sorted((PROVISIONING / kind).glob("*.yml"))
    return [one for file in files for one in yaml.safe_load(file.read_text(encoding="utf-8"))[key]]


def test_the_data_source_is_the_one_that_dashboards_take_by_default() -> None:
    (source,) = provisioned("datasources")
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True
    assert source["url"] == "$PROMETHEUS_URL"


def test_rates_go_by_the_interval_at_which_prometheus_scrapes() -> None:
    """Which a test of the compose file holds to be the same in Grafana's environment and in Prometheus'."""
    (source,) = provisioned("datasources")
    assert source["jsonData"]["timeInterval"] == "$SCRAPE_INTERVAL"


def test_an_exemplar_leads_to_its_task_in_parsl_visualize() -> None:
    (source,) = provisioned("datasources")
    (destination,) = source["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "task_id"
    assert not re.search(r"(?<!\$)\$(?!\$)", destination["url"]), (
        "Grafana would take this for its environment"
    )
    url = destination["url"].replace("$$", "$")
    assert url == "${visualize:raw}/workflow/${__data.fields.run_id}/task/${__value.raw}"
    for board in inventory.boards():
        if any(query.get("exemplar") for panel in inventory.panels(board) for query in panel["targets"]):
            shown = inventory.variables(board)
            tasks = [a for a in inventory.asks(board) if "parsl_task" in a.expr and "_bucket" in a.expr]
            assert not tasks or shown["visualize"]["query"].startswith("http"), board["uid"]


def test_the_dashboards_are_loaded_from_a_folder() -> None:
    (provider,) = provisioned("dashboards")
    assert provider["type"] == "file"
    assert provider["options"]["path"].startswith("/")
    assert provider["allowUiUpdates"] is False
