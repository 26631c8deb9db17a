"""Every query parses, and asks only for families and labels that the exporter has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as ast
import pytest
from grafana import inventory
from grafana.inventory import Ask
from support.processes import each_programs, said_by
from support.promql_labels import TARGET, LabelFault, Labels, instead, labels_of, nodes, scraped, split_by

from parsl_exporter.metrics.families import FAMILIES

ASKS = inventory.all_asks()
each_ask = pytest.mark.parametrize("ask", ASKS, ids=[ask.place for ask in ASKS])

VALUES = {
    "source": "(a|b)",
    "workflow": ".*",
    "run": "5685a0be-898e-4e60-883d-34b8c964b4a2",
    "executor": "htex",
    "app": "add",
    "campaign": "a campaign",
    "__range": "6h",
    "__interval": "15s",
    "__rate_interval": "1m",
}

ALERT = Labels(
    {
        "alertname",
        "alertstate",
        "severity",
        "source",
        "run_id",
        "executor",
        "block_id",
        "app",
        "hostname",
        "manager",
        "state",
        "behind",
        "instance",
        "name",
        "workflow_name",
        "user",
    }
)

RUN = Labels({"source", "run_id"})
WORKFLOW = Labels({"source", "workflow_name"})

SERIES = scraped(FAMILIES) | {
    "ALERTS": ALERT,
    "ALERTS_FOR_STATE": ALERT - {"alertstate"},
    "parsl:run:live": RUN | {"workflow_name", "user"},
    "parsl:run:silent_seconds": RUN,
    "parsl:run:tasks_by_outcome": RUN | {"outcome"},
    "parsl:run:progress_ratio": RUN,
    "parsl:workflow:tasks": WORKFLOW | {"state"},
    "parsl:workflow:tasks_waiting": WORKFLOW | {"cause"},
    "parsl:workflow:tasks_finished:rate5m": WORKFLOW | {"state"},
    "parsl:workflow:blocks": WORKFLOW | {"state"},
    "parsl:workflow:workers": WORKFLOW,
    "parsl:workflow:workers_busy": WORKFLOW,
    "process_resident_memory_bytes": TARGET,
    "process_cpu_seconds_total": TARGET,
    "process_start_time_seconds": TARGET,
    "scrape_duration_seconds": TARGET,
}
"""What may be asked for: the exporter's families, what the rules record, those of every Python process, and
Prometheus' own."""

ACCUMULATING = re.compile(r"_(total|bucket|sum|count)$")


def parsed(ask: Ask) -> Any:
    return ast.parse(inventory.fill(ask.expr, VALUES))


def table_columns() -> Iterator[Any]:
    """Each label that a table shows, with what the table is called and the labels its queries give."""
    for board in inventory.boards():
        asks = [ask for ask in inventory.asks(board) if ask.kind == "panel"]
        for panel in inventory.panels(board):
            if panel["type"] == "table":
                mine = [parsed(ask) for ask in asks if ask.title == panel["title"]]
                given = Labels().union(*(labels_of(expr, SERIES) or () for expr in mine))
                renamed = panel["transformations"][-1]["options"]["renameByName"]
                for field in renamed:
                    if not field.startswith("Value"):
                        place = f"{board['uid']}: {panel['title']}"
                        yield pytest.param(place, field, given, id=f"{place}: {field}")


@each_ask
def test_queries_use_families_and_labels_of_the_catalogue(ask: Ask) -> None:
    labels = labels_of(parsed(ask), SERIES)
    assert labels is not None
    if ask.label:
        assert ask.label in labels


@pytest.mark.parametrize(
    "wrong",
    [
        "parsl_task",
        'parsl_tasks{status="running"}',
        "sum by (status) (parsl_tasks)",
        "parsl_tasks * on (block_id) parsl_block_state",
        "histogram_quantile(0.5, sum by (app) (rate(parsl_task_duration_seconds_bucket[1m])))",
        'label_join(parsl_tasks, "shown", " ", "workflow_name")',
    ],
)
def test_a_query_of_something_that_does_not_exist_is_refused(wrong: str) -> None:
    with pytest.raises(LabelFault):
        labels_of(ast.parse(wrong), SERIES)


@each_ask
def test_legends_name_labels_that_the_query_gives(ask: Ask) -> None:
    labels = labels_of(parsed(ask), SERIES) or Labels()
    assert set(re.findall(r"\{\{(\w+)\}\}", ask.legend)) <= labels


@pytest.mark.parametrize(("table", "label", "given"), list(table_columns()))
def test_tables_show_labels_that_their_queries_give(table: str, label: str, given: Labels) -> None:
    assert label in given, table


@each_ask
def test_only_what_accumulates_is_rated(ask: Ask) -> None:
    for node in nodes(parsed(ask)):
        if isinstance(node, ast.Call) and node.func.name in ("rate", "increase"):
            assert ACCUMULATING.search(node.args[0].vector_selector.name)


@each_ask
def test_joins_over_runs_match_on_the_run(ask: Ask) -> None:
    """Joins match on the run, for other sources may have runs with the same executors and blocks.

    Totals over all runs have no run: what has only the labels that are matched is one.
    """
    if "$run" not in ask.expr:
        for node in nodes(parsed(ask)):
            if isinstance(node, ast.BinaryExpr) and node.modifier and node.modifier.matching:
                on = frozenset(node.modifier.matching.labels)
                totals = labels_of(node.lhs, SERIES) == labels_of(node.rhs, SERIES) == on
                assert on >= {"source", "run_id"} or on == {"job", "instance"} or totals or instead(node)


@pytest.mark.parametrize("carry", ["all series", "what rules record"])
@each_ask
def test_external_labels_of_a_long_term_store_count_nothing_twice(ask: Ask, carry: str) -> None:
    """Prometheus adds them to what it writes on, vmalert to what it records."""
    series = {
        name: labels | {"cluster"} if carry == "all series" or ":" in name else labels
        for name, labels in SERIES.items()
    }
    assert split_by("cluster", parsed(ask), series) == []


@pytest.mark.stack
@each_programs
def test_every_query_parses(tmp_path: Path, today: bool) -> None:
    rules = [
        {
            "record": f"check:{number}",
            "expr": inventory.fill(ask.expr, VALUES),
            "labels": {"place": ask.place},
        }
        for number, ask in enumerate(ASKS)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    assert f"{len(ASKS)} rules found" in said_by("promtool", "check", "rules", file, today=today)
