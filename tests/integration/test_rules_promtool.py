"""Prometheus' and Alertmanager's own tools on the configuration, and on the rules' unit tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from processes import required

pytestmark = [pytest.mark.integration, pytest.mark.stack]

CONFIG = Path(__file__).parents[2] / "config"
RULE_FILES = sorted((CONFIG / "rules").glob("*.yml"))
RULE_TESTS = sorted((CONFIG / "rules/tests").glob("*.yml"))


def run(tool: str, *arguments: str | Path) -> str:
    """What a tool says; fails the test when the tool finds a fault, and skips it where there is no such tool."""
    done = subprocess.run(
        [required(tool), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda path: path.name)
def test_promtool_finds_the_rules_right(file: Path) -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", "--lint-fatal", file)


def test_promtool_finds_the_configuration_right_and_all_rule_files_in_it() -> None:
    said = run("promtool", "check", "config", "--lint-fatal", CONFIG / "prometheus.yml")
    assert f"{len(RULE_FILES)} rule files found" in said


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda path: path.name)
def test_the_rules_pass_their_unit_tests(file: Path) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", file)


def test_amtool_finds_the_configuration_right() -> None:
    assert "SUCCESS" in run("amtool", "check-config", CONFIG / "alertmanager.yml")


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "on-call"), ("warning", "team"), ("info", "nobody")]
)
def test_an_alert_is_routed_by_its_severity(severity: str, receiver: str) -> None:
    config = f"--config.file={CONFIG / 'alertmanager.yml'}"
    assert run("amtool", "config", "routes", "test", config, f"severity={severity}").split()[-1] == receiver
