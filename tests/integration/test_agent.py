"""Prometheus as an agent, as config/prometheus-agent.yml has it: what arrives at the server equals SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.exporter_process import ROOT, serving, until
from support.far_end import NEXT, SETTINGS, STORY, page_of, wrong
from support.loopback import OPENER, query
from support.processes import (
    required,
    said_by,
    started_listening,
    started_prometheus,
    started_victoria_metrics,
)
from support.rows import insert
from support.rows import write as write_database

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.apart]

EXAMPLE = ROOT / "config" / "prometheus-agent.yml"


@contextmanager
def receiving_prometheus(folder: Path) -> Iterator[str]:
    (folder / "server.yml").write_text("{}\n")
    program = required("prometheus", today=True)
    flags = ("--web.enable-remote-write-receiver",)
    with started_prometheus(program, folder, *flags, name="server", config="server.yml") as url:
        until("a server", lambda: OPENER.open(f"{url}/-/ready").status)
        yield url


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[str]:
    with started_victoria_metrics(folder) as url:
        until("a store", lambda: OPENER.open(f"{url}/health").status)
        yield url


def filled_in(exporter: str, server: str) -> dict[str, Any]:
    """The example for these, quicker; what is commented out is for other places."""
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [exporter.removeprefix("http://")]
    config["remote_write"][0] |= {
        "url": f"{server}/api/v1/write",
        "queue_config": {"batch_send_deadline": "1s"},
    }
    return config


@pytest.mark.parametrize("server", [receiving_prometheus, victoria_metrics])
def test_the_numbers_at_the_server_are_those_of_sql(server: Any, tmp_path: Path) -> None:
    database = write_database(tmp_path / "monitoring.db", STORY)
    (tmp_path / "exporter.yml").write_text(SETTINGS)
    agent = required("prometheus", today=True)
    with (
        serving(tmp_path, "--config.file", "exporter.yml", database) as exporter,
        server(tmp_path) as url,
    ):
        (tmp_path / "agent.yml").write_text(yaml.safe_dump(filled_in(exporter.url, url)))
        flags = ("--agent", "--storage.agent.path=agent", "--config.file=agent.yml")
        with started_listening(agent, tmp_path, *flags, name="agent"):

            def told() -> str:
                return page_of(query(url, '{__name__=~"parsl_.+"}'), "instance", "job", "cluster")

            until("the truth", lambda: not wrong(told(), database))
            insert(database, NEXT)
            assert wrong(told(), database)
            until("the new rows", lambda: not wrong(told(), database))
            (up,) = query(url, "up")
            assert (up["metric"]["job"], up["metric"]["cluster"]) == ("parsl-exporter", "login1")


def test_what_is_commented_out_is_right_too(tmp_path: Path) -> None:
    text, shown = re.subn(r"(?m)^(    )# (\w+: .*)$", r"\1\2", EXAMPLE.read_text())
    assert shown == 7
    text = re.sub(r"(?m)^    authorization:.*\n", "", text)  # or basic_auth
    (tmp_path / "agent.yml").write_text(text)
    for name in re.findall(r"\w+_file: ([^,}]+)", text):
        (tmp_path / name).write_text("")
    said_by("promtool", "check", "config", "--agent", "--syntax-only", tmp_path / "agent.yml", today=True)
