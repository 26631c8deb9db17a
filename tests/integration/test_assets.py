"""`assets` as a person runs it: Prometheus' and Alertmanager's own tools take what it writes, whatever the job."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.exporter_process import run
from support.processes import each_programs, said_by

from parsl_exporter.assets.origin import originals

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.apart]

OTHER = (
    "--job",
    "parsl/site-1",
    "--target",
    "login1:9678",
    "--target",
    "login2:9678",
    "--scrape.interval",
    "1m",
)


def written(folder: Path, *flags: str) -> str:
    """Write the files into `folder`; what is said then."""
    done = run("assets", "--output", folder, *flags, cwd=folder.parent)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@each_programs
@pytest.mark.parametrize("flags", [(), OTHER], ids=["as it comes", "another job"])
def test_promtool_takes_the_configuration_with_all_rules(
    today: bool, flags: tuple[str, ...], tmp_path: Path
) -> None:
    written(tmp_path / "dir", *flags)
    config = tmp_path / "dir/config/prometheus.yml"
    assert "4 rule files found" in said_by("promtool", "check", "config", "--lint-fatal", config, today=today)
    assert "SUCCESS" in said_by(
        "amtool", "check-config", tmp_path / "dir/config/alertmanager.yml", today=today
    )


LONG = ("blocks", "clocks", "runs", "tasks")
"""Tests of rules that take their half minute each."""


@pytest.mark.parametrize(
    "chosen", [pytest.param(False, id="short"), pytest.param(True, id="long", marks=pytest.mark.nightly)]
)
def test_the_rules_pass_their_tests_with_another_job(chosen: bool, tmp_path: Path) -> None:
    written(tmp_path / "dir", *OTHER)
    every = sorted((tmp_path / "dir/config/rules/tests").glob("*.yml"))
    assert {'job="parsl-exporter"' in path.read_text() for path in every} == {False}
    tests = [path for path in every if (path.stem in LONG) is chosen]
    assert said_by("promtool", "test", "rules", *tests).count("SUCCESS") == len(tests) > 0


def test_what_it_says_to_add_to_a_configuration_is_one(tmp_path: Path) -> None:
    """In a folder whose name has to be quoted."""
    folder = tmp_path / "it's # mine"
    said = written(folder, *OTHER)
    added = "\n".join(re.findall(r"(?m)^  (.*)$", said.partition("Your own thresholds")[0]))
    config = tmp_path / "prometheus.yml"
    config.write_text(added)
    assert "4 rule files found" in said_by("promtool", "check", "config", config)
    given, whole = yaml.safe_load(added), yaml.safe_load((folder / "config/prometheus.yml").read_text())
    assert given["global"]["external_labels"] == whole["global"]["external_labels"]
    (job,) = given["scrape_configs"]
    assert job.pop("scrape_interval") == whole["global"]["scrape_interval"] == "1m"
    assert job in whole["scrape_configs"]


def test_the_commands_that_it_says_are_right_and_each_path_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "it's # mine"
    said = written(folder)
    provisioning = tmp_path / "etc/grafana/provisioning"
    for name in ("datasources", "dashboards"):
        (provisioning / name).mkdir(parents=True)
    commands = "\n".join(re.findall(r"(?m)^  sudo (.*)$", said)).replace("/etc/", f"'{tmp_path}/etc/'")
    subprocess.run(["bash", "-e", "-c", commands], check=True)
    assert len(list(provisioning.glob("*/parsl.yml"))) == 2
    for path in re.findall(re.escape(str(folder)) + r"/[\w./-]*\w", said):
        assert Path(path).exists(), path


def test_a_prometheus_of_another_user_is_told_that_it_would_find_no_rules(tmp_path: Path) -> None:
    """And so it is: promtool says of a glob that leads where it may not look what it says of one without a match."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    said = written(closed / "dir")
    assert "A Prometheus that runs as one finds no rules here, and does not say so" in said
    config = tmp_path / "prometheus.yml"
    config.write_text(f"rule_files: ['{tmp_path}/nothing/*.yml']\n")
    checked = said_by("promtool", "check", "config", config)
    assert "SUCCESS" in checked
    assert "rule files found" not in checked


def test_the_same_again_changes_nothing_and_another_site_nothing_without_force(tmp_path: Path) -> None:
    folder = tmp_path / "dir"
    assert written(folder).startswith(
        f"{folder}: {len(originals())} files written, {len(originals())} in all\n"
    )
    assert written(folder).startswith(f"{folder}: up to date, {len(originals())} files\n")
    refused = run("assets", "--output", folder, *OTHER, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--force" in refused.stderr
    assert written(folder).startswith(f"{folder}: up to date, {len(originals())} files\n")
    written(folder, "--force", *OTHER)
    assert "parsl/site-1" in (folder / "config/rules/alerts.yml").read_text()


def test_a_folder_that_may_not_be_written_is_a_fault(tmp_path: Path) -> None:
    """Root may write everywhere but where the kernel says no."""
    folder = Path("/proc/dir")
    if os.geteuid():
        tmp_path.chmod(0o555)
        folder = tmp_path / "dir"
    done = run("assets", "--output", folder, cwd=tmp_path)
    tmp_path.chmod(0o755)
    assert done.returncode == 1
    assert re.fullmatch(rf"parsl-exporter: {folder}: cannot be written: .+\n", done.stderr)
