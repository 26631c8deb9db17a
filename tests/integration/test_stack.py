"""The stack's Prometheus and Alertmanager as docker-compose.yml starts them, without its containers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.exporter_process import until
from support.loopback import text_of
from support.processes import INSTALLED_AND_TODAYS, free_port, required, started
from support.stack_files import ROOT, SERVICES, environment, mounts

pytestmark = [pytest.mark.integration, pytest.mark.stack]


@contextmanager
def as_in_its_container(
    name: str, program: str, folder: Path, *flags: str, **changes: str
) -> Iterator[tuple[str, Path]]:
    """A service's program with its absolute paths moved below a folder, and what is mounted there; its URL and log."""
    service = SERVICES[name]

    def moved(text: str) -> str:
        below = re.sub(rf"(?<![\w./-])/(?=(etc|tmp|{name})\b)", f"{folder}/", text.replace("$$", "$"))
        return below.replace(f"/bin/{name}", program)

    (folder / "tmp").mkdir()
    for target, (source, _) in mounts(service).items():
        if source.startswith("./"):
            inside = Path(moved(target))
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.symlink_to(ROOT / source)
    url, log = f"http://127.0.0.1:{free_port()}", folder / "log"
    words = [*service.get("entrypoint", [f"/bin/{name}"]), *service["command"]]
    with started(
        *(moved(word) for word in words),
        f"--web.listen-address={url.removeprefix('http://')}",
        *flags,
        cwd=folder,
        log=log,
        environment=service.get("environment", {}) | changes,
    ):
        until("an answer", lambda: text_of(f"{url}/-/ready"), 30)
        yield url, log


@pytest.mark.parametrize(
    ("today", "flags"),
    [
        pytest.param(True, (), id="today's"),
        # It fills in external labels only when told to.
        pytest.param(False, ("--enable-feature=expand-external-labels",), id="installed"),
    ],
)
def test_prometheus_scrapes_as_often_as_told_and_loads_the_rules_and_links(
    tmp_path: Path, today: bool, flags: tuple[str, ...]
) -> None:
    program = required("prometheus", today=today)
    with as_in_its_container("prometheus", program, tmp_path, *flags, SCRAPE_INTERVAL="7s") as (url, log):
        config: dict[str, Any] = yaml.safe_load(
            json.loads(text_of(f"{url}/api/v1/status/config"))["data"]["yaml"]
        )
        groups = json.loads(text_of(f"{url}/api/v1/rules"))["data"]["groups"]
    assert config["global"]["scrape_interval"] == "7s"
    assert {job["scrape_interval"] for job in config["scrape_configs"]} == {"7s"}
    assert {Path(group["file"]).name for group in groups} == {
        path.name for path in (ROOT / "config/rules").glob("*.yml")
    }
    links = {
        name.lower(): value for name, value in environment().items() if name in ("GRAFANA_URL", "RUNBOOK_URL")
    }
    assert config["global"]["external_labels"] == links
    assert not re.findall(r"(?m)^.*(?:level=(?:WARN|ERROR)|level=(?:warn|error)).*$", log.read_text())


@pytest.mark.parametrize("today", INSTALLED_AND_TODAYS)
def test_alertmanager_takes_the_configuration(tmp_path: Path, today: bool) -> None:
    program = required("prometheus-alertmanager", "alertmanager", today=today)
    with as_in_its_container("alertmanager", program, tmp_path) as (url, log):
        given = yaml.safe_load(json.loads(text_of(f"{url}/api/v2/status"))["config"]["original"])
    wanted = yaml.safe_load((ROOT / "config/alertmanager.yml").read_text())
    assert [one["name"] for one in given["receivers"]] == [one["name"] for one in wanted["receivers"]]
    assert not re.findall(r"(?m)^.*(?:level=(?:WARN|ERROR)|level=(?:warn|error)).*$", log.read_text())
