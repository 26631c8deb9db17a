"""The compose file without a container engine: against its schema, and against what it points to."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.processes import required
from support.stack_files import (
    COMPOSE,
    IMAGE,
    ROOT,
    SERVICES,
    STACK,
    VARIABLE,
    environment,
    filled,
    mounts,
    published,
)

PROMETHEUS = yaml.safe_load((ROOT / "config/prometheus.yml").read_text())
each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_file_follows_the_compose_specification() -> None:
    done = subprocess.run(
        [required("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_every_variable_is_set_in_the_env_file_and_its_default_is_the_same() -> None:
    used = dict(VARIABLE.findall(COMPOSE))
    known = environment()
    assert set(used) == set(known) - {"COMPOSE_PROFILES"}
    assert {name: default for name, default in used.items() if default} == {n: known[n] for n in used}


@each_service
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    assert IMAGE.fullmatch(SERVICES[name]["image"])


@each_service
def test_a_container_cannot_write_to_its_image_nor_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@each_service
def test_a_port_is_open_to_this_machine_only(name: str) -> None:
    assert published(SERVICES[name])
    assert all(address == "127.0.0.1" for address, _, _ in published(SERVICES[name]))


def test_services_that_run_together_publish_different_ports() -> None:
    together = [service for name, service in SERVICES.items() if name != "demo"]
    ports = [port for service in together for _, port, _ in published(service)]
    assert len(set(ports)) == len(ports)


@each_service
def test_what_is_mounted_from_the_project_is_there_and_read_only(name: str) -> None:
    for source, writable in mounts(SERVICES[name]).values():
        if source.startswith("./") and source != environment()["PARSL_RUNINFO"]:
            assert (ROOT / source).exists(), source
            assert not writable, source
        elif "/" not in source:
            assert source in STACK["volumes"]


def test_every_volume_is_used() -> None:
    used = {source for service in SERVICES.values() for source, _ in mounts(service).values()}
    assert set(STACK["volumes"]) <= used


def test_the_database_folder_is_mounted_read_only_and_not_made_by_mistake() -> None:
    mount = next(m for m in SERVICES["exporter"]["volumes"] if m["target"] == "/runinfo")
    assert mount["source"] == environment()["PARSL_RUNINFO"]
    assert mount["read_only"] is True
    assert mount["bind"]["create_host_path"] is False


def test_there_is_no_password_and_no_account() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not re.search(r"(?i)password|secret|token", filled(re.sub(r"(?m)#.*$", "", COMPOSE)))


# --- files that the services read -------------------------------------------------------------------------------


def test_alertmanager_is_started_on_the_file_that_is_mounted() -> None:
    options = dict(option.split("=", 1) for option in SERVICES["alertmanager"]["command"])
    source, _ = mounts(SERVICES["alertmanager"])[options["--config.file"]]
    assert (ROOT / source).is_file()


def test_the_rule_files_lie_where_prometheus_looks() -> None:
    inside = mounts(SERVICES["prometheus"])
    (pattern,) = PROMETHEUS["rule_files"]
    folder = Path("/etc/prometheus") / Path(pattern).parent
    assert list((ROOT / inside[str(folder)][0]).glob(Path(pattern).name))


def test_prometheus_stores_exemplars_and_fills_in_the_links() -> None:
    options = dict(option.split("=", 1) for option in SERVICES["prometheus"]["command"])
    assert options["--enable-feature"] == "exemplar-storage"
    assert PROMETHEUS["storage"]["exemplars"]["max_exemplars"] > 0
    asked = {
        name
        for value in PROMETHEUS["global"]["external_labels"].values()
        for name, _ in VARIABLE.findall(value)
    }
    assert asked == set(SERVICES["prometheus"]["environment"]) - {"SCRAPE_INTERVAL"}


def test_prometheus_scrapes_and_alerts_services_on_the_ports_they_listen_on() -> None:
    inside = {name: port for name, service in SERVICES.items() for _, _, port in published(service)}
    names = [config["targets"] for job in PROMETHEUS["scrape_configs"] for config in job["static_configs"]]
    names += [c["targets"] for one in PROMETHEUS["alerting"]["alertmanagers"] for c in one["static_configs"]]
    for host, port in (target.split(":") for targets in names for target in targets):
        assert inside["prometheus" if host == "localhost" else host] == int(port)


def test_the_demo_stands_in_for_the_exporter() -> None:
    assert SERVICES["exporter"]["profiles"] == [environment()["COMPOSE_PROFILES"]]
    assert SERVICES["demo"]["profiles"] == ["demo"]
    assert SERVICES["demo"]["networks"]["default"]["aliases"] == ["exporter"]
    assert published(SERVICES["demo"]) == published(SERVICES["exporter"])


def test_grafana_opens_on_the_overview_and_finds_its_dashboards_and_prometheus() -> None:
    grafana = SERVICES["grafana"]
    inside = mounts(grafana)
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    board = json.loads((ROOT / inside[str(home.parent)][0] / home.name).read_text())
    assert board["uid"] == "parsl-overview"
    providers = [
        provider
        for file in (ROOT / inside["/etc/grafana/provisioning/dashboards"][0]).glob("*.yml")
        for provider in yaml.safe_load(file.read_text())["providers"]
    ]
    assert [provider["options"]["path"] for provider in providers] == [str(home.parent)]
    (source,) = [
        source
        for file in (ROOT / inside["/etc/grafana/provisioning/datasources"][0]).glob("*.yml")
        for source in yaml.safe_load(file.read_text())["datasources"]
    ]
    assert source["type"] == "prometheus"
    host, _, port = (
        grafana["environment"][source["url"].removeprefix("$")].removeprefix("http://").partition(":")
    )
    assert int(port) in {inside for _, _, inside in published(SERVICES[host])}


def test_grafana_is_told_how_often_prometheus_scrapes() -> None:
    told = {SERVICES[name]["environment"]["SCRAPE_INTERVAL"] for name in ("prometheus", "grafana")}
    assert told == {environment()["SCRAPE_INTERVAL"]}
    assert told == {PROMETHEUS["global"]["scrape_interval"]}


def test_links_in_alerts_lead_to_the_published_grafana() -> None:
    settings = environment()
    assert settings["GRAFANA_URL"].endswith(f":{settings['GRAFANA_PORT']}")
    assert (ROOT / settings["RUNBOOK_URL"]).is_file()
