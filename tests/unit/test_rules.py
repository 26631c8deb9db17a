"""The rule files: every alert is whole, asks only for what is there, and leads to a section and a dashboard."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import promql_parser as ast
import pytest
import yaml
from support.promql_labels import LabelFault, Labels, labels_of, nodes, scraped
from support.stack_files import documents

from parsl_exporter.metrics.families import FAMILIES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/rules"
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()
PROMETHEUS = yaml.safe_load((ROOT / "config/prometheus.yml").read_text())

RUN = frozenset({"source", "run_id"})
LEVELS = {
    "run": RUN,
    "executor": RUN | {"executor"},
    "block": RUN | {"executor", "block_id"},
    "manager": RUN | {"executor", "block_id", "manager", "hostname"},
    "host": RUN | {"hostname"},
    "app": RUN | {"app"},
    "task": RUN | {"app", "executor"},
    "source": frozenset({"job", "instance", "source"}),
    "workflow": frozenset({"source", "workflow_name"}),
}
"""What the middle of a recorded series' name says of its labels, as recording.yml and dashboards.yml have it."""

THRESHOLD = "parsl:threshold"
THRESHOLDS = {THRESHOLD: frozenset({"name"})} | {
    f"{THRESHOLD}:{whose}": frozenset({"name"}) for whose in ("default", "site")
}
NAMES_OF_THINGS = {
    "run_id",
    "workflow_name",
    "user",
    "executor",
    "block_id",
    "app",
    "hostname",
    "manager",
    "instance",
}


class Rule(NamedTuple):
    name: str
    expr: Any
    labels: dict[str, str]
    annotations: dict[str, str]
    wait: str

    def uses(self, selector: str) -> list[Any]:
        return [one for one in selectors(self.expr) if one.name == selector]


@cache
def selectors(expr: Any) -> list[Any]:
    return [node for node in nodes(expr) if isinstance(node, ast.VectorSelector)]


def rules(file: str, kind: str) -> list[Rule]:
    groups = documents((RULES / file).read_text())[0]["groups"]
    return [
        Rule(
            r[kind],
            ast.parse(str(r["expr"])),
            r.get("labels", {}),
            r.get("annotations", {}),
            r.get("for", ""),
        )
        for group in groups
        for r in group["rules"]
        if kind in r
    ]


ALERTS = rules("alerts.yml", "alert")
RECORDED = rules("recording.yml", "record") + rules("dashboards.yml", "record")
DEFAULTS = [rule for rule in rules("thresholds.yml", "record") if rule.name == f"{THRESHOLD}:default"]
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
ABOUT = [record for record in RECORDED if any(alert.uses(record.name) for alert in ALERTS)]
"""What alerts are about: recorded, so that it can be held while a run's source cannot be read."""
each_record = pytest.mark.parametrize("record", RECORDED, ids=[record.name for record in RECORDED])
each_about = pytest.mark.parametrize("record", ABOUT, ids=[record.name for record in ABOUT])


def level(record: Rule) -> Labels:
    return LEVELS[record.name.split(":")[1]]


def series() -> dict[str, Labels]:
    """All series that a rule may ask for, with their labels."""
    known = scraped(FAMILIES) | THRESHOLDS
    known |= {record.name: level(record) for record in RECORDED}  # a rule may read its own last value
    for record in RECORDED:
        known[record.name] = labels_of(record.expr, known) or frozenset()
    return known


SERIES = series()


def labels_used(text: str) -> set[str]:
    return set(re.findall(r"\$labels\.(\w+)", text))


# --- expressions ------------------------------------------------------------------------------------------------


@each_record
def test_a_recorded_series_carries_the_labels_of_its_level(record: Rule) -> None:
    labels = SERIES[record.name]
    assert level(record) <= labels
    assert labels <= level(record) | {"workflow_name", "user", "host", "state", "cause", "outcome"}


@each_alert
def test_an_alert_asks_only_for_series_and_labels_that_exist(alert: Rule) -> None:
    labels = labels_of(alert.expr, SERIES)
    assert labels
    if "run_id" in labels:
        assert labels >= {"source", "workflow_name", "user"}, "whose run it is"
        assert not labels & {"job", "instance"}, "an exporter that moves must not make a new alert"


@each_about
def test_what_an_alert_on_a_run_is_about_is_held_while_the_run_cannot_be_read(record: Rule) -> None:
    if level(record) >= RUN:
        assert record.uses(record.name), "its own last value"
        assert record.uses("parsl:run:known")


def test_every_alert_on_a_run_is_about_something_recorded() -> None:
    """An expression of an alert's own would end with each scrape that fails."""
    for alert in ALERTS:
        if "run_id" in (labels_of(alert.expr, SERIES) or ()):
            assert isinstance(alert.expr, ast.VectorSelector), alert.name


@each_record
def test_a_rule_that_reads_its_own_last_value_gives_it_no_other_labels_than_a_new_one(record: Rule) -> None:
    """External labels are on what vmalert has written, and not on what it computes: both as one it refuses."""
    assert not [one for one in bare(record.expr) if one.name == record.name]


def bare(expr: Any) -> list[Any]:
    """The selectors of an expression that no aggregation is around."""
    if isinstance(expr, ast.VectorSelector):
        return [expr]
    if isinstance(expr, ast.MatrixSelector):
        return [expr.vector_selector]
    if isinstance(expr, ast.BinaryExpr):
        return bare(expr.lhs) + bare(expr.rhs)
    if isinstance(expr, ast.Call):
        return [one for argument in expr.args for one in bare(argument)]
    if isinstance(expr, (ast.ParenExpr, ast.UnaryExpr, ast.SubqueryExpr)):
        return bare(expr.expr)
    return []


@pytest.mark.parametrize(
    "expr",
    [
        "parsl_task",
        'parsl_tasks{stat="launched"}',
        "sum by (runid) (parsl_tasks)",
        "sum by (executor) (parsl_tasks) and on (run_id) parsl_workflow_info",
        "sum by (run_id) (parsl_tasks) / sum by (source) (parsl_tasks)",
        "sum by (run_id) (parsl_tasks) * on (run_id) group_left (owner) parsl_workflow_info",
        "histogram_quantile(1, sum by (app) (parsl_task_duration_seconds_bucket))",
    ],
)
def test_an_expression_that_could_only_be_empty_is_found(expr: str) -> None:
    with pytest.raises(LabelFault):
        labels_of(ast.parse(expr), SERIES)


def test_every_recorded_series_is_read_by_an_alert_another_rule_or_a_panel() -> None:
    panels = "".join(path.read_text() for path in (ROOT / "grafana/dashboards").glob("*.json"))
    for record in RECORDED:
        rules = [rule for rule in (*ALERTS, *RECORDED) if rule is not record and rule.uses(record.name)]
        assert rules or f"{record.name}{{" in panels, record.name


# --- thresholds -------------------------------------------------------------------------------------------------


def test_the_alerts_read_every_threshold_and_no_other() -> None:
    read = {
        matcher.value
        for rule in (*ALERTS, *RECORDED)
        for selector in rule.uses(THRESHOLD)
        for matcher in selector.matchers.matchers
    }
    assert read == {rule.labels["name"] for rule in DEFAULTS}
    assert len(DEFAULTS) == len(read), "each once"


@pytest.mark.parametrize("rule", [*ALERTS, *ABOUT], ids=[rule.name for rule in (*ALERTS, *ABOUT)])
def test_no_limit_stands_in_an_alert(rule: Rule) -> None:
    numbers = {node.val for node in nodes(rule.expr) if isinstance(node, ast.NumberLiteral)}
    assert numbers <= {0, 1}


def test_the_example_of_a_site_changes_thresholds_that_exist() -> None:
    changed = rules("site.yml.example", "record")
    assert {rule.name for rule in changed} == {f"{THRESHOLD}:site"}
    assert {rule.labels["name"] for rule in changed} <= {rule.labels["name"] for rule in DEFAULTS}


def test_the_runbooks_name_every_threshold() -> None:
    for rule in DEFAULTS:
        assert f"`{rule.labels['name']}`" in RUNBOOKS


# --- what an alert says -----------------------------------------------------------------------------------------


@each_alert
def test_an_alert_says_all_that_a_person_needs(alert: Rule) -> None:
    assert alert.labels["severity"] in {"critical", "warning", "info"}
    assert alert.wait, "a moment is not an alert"
    assert set(alert.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert all(alert.annotations.values())


@each_alert
def test_an_alert_names_what_it_is_about_with_values(alert: Rule) -> None:
    labels = labels_of(alert.expr, SERIES) or frozenset()
    for text in alert.annotations.values():
        assert labels_used(text) <= labels
    assert labels & NAMES_OF_THINGS <= labels_used(alert.annotations["description"])
    if alert.name not in {"ParslExporterDown", "ParslThresholdsBroken"}:  # their values say nothing
        assert "$value" in alert.annotations["description"]


def test_no_two_alerts_have_one_name() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


# --- links ------------------------------------------------------------------------------------------------------


def test_each_alert_has_a_section_of_the_runbooks_and_each_section_an_alert() -> None:
    sections = [line[3:] for line in RUNBOOKS.splitlines() if line.startswith("## ")]
    assert sections == ["How the alerts work", *(alert.name for alert in ALERTS)]


@each_alert
def test_the_runbook_link_leads_to_the_alerts_own_section(alert: Rule) -> None:
    assert alert.annotations["runbook_url"] == "{{ $externalLabels.runbook_url }}#" + alert.name.lower()


def test_links_within_the_runbooks_lead_to_sections() -> None:
    anchors = {
        line.lstrip("# ").lower().replace(" ", "-") for line in RUNBOOKS.splitlines() if line.startswith("#")
    }
    linked = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOKS))
    assert linked
    assert linked <= anchors


@each_alert
def test_each_section_says_what_it_means_why_what_to_check_and_what_to_do(alert: Rule) -> None:
    section = RUNBOOKS.split(f"\n## {alert.name}\n")[1].split("\n## ")[0].strip()
    assert not section.startswith("**"), "its meaning comes first"
    assert re.findall(r"^\*\*(.+?):\*\*", section, re.M) == ["Likely causes", "Check", "Do"]


@each_alert
def test_the_dashboard_link_leads_to_a_dashboard_with_its_variables_set(alert: Rule) -> None:
    base, path = "{{ $externalLabels.grafana_url }}", alert.annotations["dashboard_url"]
    assert path.startswith(f"{base}/d/")
    plain = re.sub(r"\{\{ urlquery \$labels\.(\w+) \}\}", r"\1", path.removeprefix(base))
    assert "{{" not in plain, "a label in an address is escaped"
    link = urlsplit(plain)
    board = json.loads((ROOT / f"grafana/dashboards/{link.path.removeprefix('/d/')}.json").read_text())
    assert link.path == f"/d/{board['uid']}"
    variables = {variable["name"] for variable in board["templating"]["list"]}
    given = {name.removeprefix("var-"): value for name, (value,) in parse_qs(link.query).items()}
    assert set(given) <= variables
    labels = labels_of(alert.expr, SERIES) or frozenset()
    wanted = {"source": "source", "run": "run_id", "executor": "executor", "app": "app"}
    assert given == {name: label for name, label in wanted.items() if label in labels and name in variables}


# --- around the rules -------------------------------------------------------------------------------------------


def test_prometheus_loads_the_rules_scrapes_the_job_and_knows_the_links() -> None:
    loaded = {path for pattern in PROMETHEUS["rule_files"] for path in (ROOT / "config").glob(pattern)}
    assert loaded == {RULES / f"{name}.yml" for name in ("alerts", "dashboards", "recording", "thresholds")}
    jobs = {job["job_name"] for job in PROMETHEUS["scrape_configs"]}
    asked = {m.value for alert in ALERTS for node in alert.uses("up") for m in node.matchers.matchers}
    assert asked == {"parsl-exporter"}
    assert asked <= jobs
    used = set(re.findall(r"\$externalLabels\.(\w+)", (RULES / "alerts.yml").read_text()))
    assert used == set(PROMETHEUS["global"]["external_labels"])


def test_alertmanager_silences_only_alerts_and_labels_that_exist() -> None:
    config = yaml.safe_load((ROOT / "config/alertmanager.yml").read_text())
    labels = {alert.name: labels_of(alert.expr, SERIES) or frozenset() for alert in ALERTS}
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            names = re.fullmatch(r'alertname =~? "?([\w|]+)"?', matcher)
            assert names, matcher
            for name in names[1].split("|"):
                assert labels[name] >= set(rule["equal"])
    receivers = {receiver["name"] for receiver in config["receivers"]}
    route = config["route"]
    assert {route["receiver"], *(branch["receiver"] for branch in route["routes"])} == receivers


def test_every_alert_is_seen_to_stay_quiet_to_fire_and_to_resolve() -> None:
    """What promtool then runs: each alert has a test that expects nothing, then something, then nothing."""
    seen: defaultdict[str, str] = defaultdict(str)
    for path in sorted((RULES / "tests").glob("*.yml")):
        for test in documents(path.read_text())[0]["tests"]:
            expected: defaultdict[str, str] = defaultdict(str)
            for case in test.get("alert_rule_test", []):
                expected[case["alertname"]] += "F" if case.get("exp_alerts") else "q"
            for name, phases in expected.items():
                seen[name] += phases + " "
    assert not {alert.name for alert in ALERTS if "qFq" not in seen[alert.name]}
