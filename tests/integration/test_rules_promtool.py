"""Prometheus' and Alertmanager's own tools on the configuration, and on the rules' unit tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import each_programs, said_by

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.apart]

CONFIG = Path(__file__).parents[2] / "config"
RULE_FILES = sorted((CONFIG / "rules").glob("*.yml"))
RULE_TESTS = sorted((CONFIG / "rules/tests").glob("*.yml"))


@each_programs
@pytest.mark.parametrize("file", RULE_FILES, ids=lambda path: path.name)
def test_promtool_finds_the_rules_right(today: bool, file: Path) -> None:
    assert "SUCCESS" in said_by("promtool", "check", "rules", "--lint-fatal", file, today=today)


@each_programs
def test_promtool_finds_the_configuration_right_and_all_rule_files_in_it(today: bool) -> None:
    said = said_by("promtool", "check", "config", "--lint-fatal", CONFIG / "prometheus.yml", today=today)
    assert f"{len(RULE_FILES)} rule files found" in said


@each_programs
@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda path: path.name)
def test_the_rules_pass_their_unit_tests(today: bool, file: Path) -> None:
    assert "SUCCESS" in said_by("promtool", "test", "rules", file, today=today)


def minutes(time: str) -> int:
    return int(time[:-1]) * {"m": 1, "h": 60}[time[-1]]


def given_until(test: dict[str, Any]) -> int:
    """The last minute at which a test expects something to be there; 0 of a test of quiet."""
    times = [check["eval_time"] for check in test.get("promql_expr_test", []) if check.get("exp_samples")]
    times += [check["eval_time"] for check in test.get("alert_rule_test", []) if check.get("exp_alerts")]
    return max(map(minutes, times), default=0)


def test_the_unit_tests_see_every_rule_give_something(tmp_path: Path) -> None:
    """An expression that is always empty stays quiet in all tests of quiet. An alert that pends has given something.

    Each minute costs: after the short tests those that await an alert which these have not seen are asked, and the rest
    only when a rule is missing still.
    """
    (tmp_path / "tests").mkdir()
    for file in (CONFIG / "rules").glob("*.yml*"):
        (tmp_path / file.name).write_text(file.read_text())
    asked = 'group by (__name__, alertname) (last_over_time({__name__=~"ALERTS|parsl:.+:.+"}[10000m]))'
    files = [
        yaml.safe_load((CONFIG / f"rules/{name}.yml").read_text())
        for name in ("recording", "dashboards", "alerts")
    ]
    unseen = {
        rule.get("record") or rule["alert"]
        for file in files
        for group in file["groups"]
        for rule in group["rules"]
    }
    steps: list[Callable[[dict[str, Any]], object]] = [
        lambda test: given_until(test) <= 36,
        lambda test: unseen & {check["alertname"] for check in test.get("alert_rule_test", [])},
        lambda test: unseen,
    ]
    for step in steps:
        for file in RULE_TESTS:
            content = yaml.load(file.read_text(), yaml.BaseLoader)  # whose 0x200 is no number
            content["tests"] = [test for test in content["tests"] if given_until(test) and step(test)]
            if not content["tests"]:
                continue
            for test in content["tests"]:
                last = f"{given_until(test)}m"
                test |= {"promql_expr_test": [{"expr": asked, "eval_time": last}], "alert_rule_test": []}
            copy = tmp_path / "tests" / file.name
            copy.write_text(yaml.safe_dump(content))
            for got in re.findall(r"got: (.*)", said_by("promtool", "test", "rules", copy, fault=True)):
                unseen -= set(re.findall(r'(?:__name__|alertname)="([^"]+)"', got))
    assert unseen == set()


@each_programs
def test_amtool_finds_the_configuration_right(today: bool) -> None:
    assert "SUCCESS" in said_by("amtool", "check-config", CONFIG / "alertmanager.yml", today=today)


@each_programs
@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "on-call"), ("warning", "team"), ("info", "nobody")]
)
def test_an_alert_is_routed_by_its_severity(today: bool, severity: str, receiver: str) -> None:
    config = f"--config.file={CONFIG / 'alertmanager.yml'}"
    assert (
        said_by("amtool", "config", "routes", "test", config, f"severity={severity}", today=today).split()[-1]
        == receiver
    )
