"""Many login nodes under one Prometheus: the list of targets that config/targets has an example of."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.exporter_process import ROOT, serving, until
from support.loopback import query
from support.pages import block_with
from support.processes import required, started_prometheus
from support.source_harness import unpacked

from parsl_exporter.metrics.families import FAMILIES

pytestmark = [pytest.mark.integration, pytest.mark.stack]

TARGETS = ROOT / "config" / "targets" / "login-nodes.yml"
PLACE = "/path/to/parsl-monitoring/config/targets"


def job(folder: Path) -> str:
    """The scrape configuration of docs/hpc.md, looking into `folder`."""
    block = block_with("file_sd_configs", "yaml", "docs/hpc.md")
    assert PLACE in block
    return "global: {scrape_interval: 250ms}\n" + block.replace(PLACE, str(folder))


def list_of(folder: Path, *urls: str) -> None:
    """Have the example's list, with these targets, in `folder`, as its comment says."""
    (example,) = yaml.safe_load(TARGETS.read_text())
    targets = [url.removeprefix("http://") for url in urls]
    (folder / "new").write_text(yaml.safe_dump([example | {"targets": targets}]))
    (folder / "new").replace(folder / TARGETS.name)


def test_prometheus_finds_the_exporters_of_the_list_and_of_the_list_when_it_changes(tmp_path: Path) -> None:
    program = required("prometheus")
    for name in ("one", "two", "targets"):
        (tmp_path / name).mkdir()
    unpacked(tmp_path / "one" / "monitoring.db")
    with serving(tmp_path / "one", "monitoring.db") as one, serving(tmp_path / "two") as two:
        list_of(tmp_path / "targets", one.url)
        (tmp_path / "prometheus.yml").write_text(job(tmp_path / "targets"))

        def up(number: int) -> bool:
            found = [sample["metric"] for sample in query(url, "up == 1")]
            assert {metric["job"] for metric in found} <= {"parsl-exporter"}
            assert {metric["cluster"] for metric in found} <= {"example"}
            return len(found) == number

        with started_prometheus(program, tmp_path) as url:
            until("the first", lambda: up(1))
            list_of(tmp_path / "targets", one.url, two.url)
            until("both", lambda: up(2))
            list_of(tmp_path / "targets", two.url)
            until("the second alone", lambda: up(1))


def test_no_label_of_the_list_hides_one_of_the_exporter() -> None:
    labels = {label for entry in yaml.safe_load(TARGETS.read_text()) for label in entry["labels"]}
    assert labels
    assert not labels & {label for family in FAMILIES for label in family.labels}
