"""What the overview and a run's dashboard show of runs of five kinds, on a real Prometheus: in words and in numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dashboard_answers import NOW, PANELS, RUNS, all_kinds, asked, by, filled, numbers, table
from dashboard_kinds import CRITICAL, IN_TROUBLE, MANY, Run
from dashboard_samples import holding, one_of
from dashboard_world import Prometheus
from grafana import inventory
from support.processes import INSTALLED_AND_TODAYS

pytestmark = [pytest.mark.integration, pytest.mark.stack]

OVERVIEW, STATES = "parsl-overview", "parsl-task-states"
BOARDS = {board["uid"]: board for board in inventory.boards()}
ASKS = [ask for uid in (OVERVIEW, STATES) for ask in inventory.asks(BOARDS[uid])]
TROUBLES = inventory.words(PANELS[OVERVIEW, "Runs in trouble"], "What is wrong")
VERDICT = PANELS[STATES, "What it does, and what holds it up"]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Prometheus]]:
    with holding(tmp_path_factory.mktemp("kinds"), all_kinds()) as found:
        yield found


@pytest.fixture(scope="module", params=INSTALLED_AND_TODAYS)
def prometheus(request: pytest.FixtureRequest, held: dict[bool, Prometheus]) -> Prometheus:
    return one_of(held, today=request.param)


def said(prometheus: Prometheus, kind: str) -> dict[str, float]:
    """The sentences on top of the run's dashboard, and what they are coloured by."""
    sentences: dict[str, float] = {}
    for query in VERDICT["targets"]:
        for labels, value in prometheus.instant(filled(query["expr"], kind), NOW).items():
            sentences[named(query["legendFormat"], dict(labels))] = value
    return sentences


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A series' name, as Grafana makes it of a legend's format."""
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), legend)


PLAIN, WARNING, CRITICALLY = 0, 1, 2

SAID = {
    "healthy": {
        "Has been running for 50 min: 897 of 1260 tasks done, 0 failed": PLAIN,
        "134 tasks have waited up to 1 min for busy workers (htex; blocks: 0 PENDING, 1 RUNNING, workers: 16)": PLAIN,
        "193 tasks have waited up to 1 min for tasks they depend on (htex)": PLAIN,
        "15 tasks have waited up to 1 min for busy workers (threads)": PLAIN,
    },
    "waiting": {
        "Has been running for 2 h 27 min: 0 of 200 tasks done, 0 failed": PLAIN,
        "200 tasks have waited up to 2 h 27 min for the batch queue "
        "(htex; blocks: 2 PENDING, 0 RUNNING, workers: 0)": WARNING,
        "warning: Block waits long in the queue": WARNING,
    },
    "failing": {
        "Has been running for 1 h 6 min: 560 of 990 tasks done, 320 failed": PLAIN,
        "92 tasks have waited up to 1 min for busy workers (htex; blocks: 0 PENDING, 1 RUNNING, workers: 16)": PLAIN,
        "critical: Blocks fail one after another": CRITICALLY,
        "warning: Many tasks of an app fail": WARNING,
        "320 tries failed: MemoryError": WARNING,
    },
    "finished": {"Ended after 17 min: 194 of 200 tasks done, 6 failed": PLAIN},
}


@pytest.mark.parametrize("kind", SAID)
def test_the_run_says_what_it_does_and_what_holds_it_up(prometheus: Prometheus, kind: str) -> None:
    assert said(prometheus, kind) == SAID[kind]


def serious(run: Run) -> dict[str, float]:
    """The serious alerts of a run, each with the age by which it is sorted, greater for critical ones."""
    weight = {"critical": 2e10, "warning": 1e10}
    return {
        alert.name: weight[alert.severity] + NOW - run.began - alert.since
        for alert in run.alerts
        if alert.severity in weight
    }


def test_the_runs_in_trouble_come_by_severity_and_then_by_age(prometheus: Prometheus) -> None:
    bad = {run.run_id: max(serious(run).values()) for run in RUNS["200 runs"] if serious(run)}
    assert len(bad) == IN_TROUBLE
    worst = dict(sorted(bad.items(), key=lambda one: -one[1])[:20])
    shown = table(prometheus, OVERVIEW, "Runs in trouble", "order", "200 runs")
    assert by("run_id", shown) == pytest.approx(worst)
    ages = by("run_id", table(prometheus, OVERVIEW, "Runs in trouble", "For", "200 runs"))
    assert ages == pytest.approx({run: rank % 1e10 for run, rank in worst.items()})
    (sort,) = (
        one["options"]["sort"][0]
        for one in PANELS[OVERVIEW, "Runs in trouble"]["transformations"]
        if one["id"] == "sortBy"
    )
    fields = PANELS[OVERVIEW, "Runs in trouble"]["transformations"][-1]["options"]["renameByName"]
    assert (fields[sort["field"]], sort["desc"]) == ("order", True)
    whose = {run.run_id: (run.name, run.user) for run in RUNS["200 runs"]}
    for labels in map(dict, shown):
        assert (labels["workflow_name"], labels["user"]) == whose[labels["run_id"]]
        assert labels["run"] == labels["run_id"][:8]
        assert int(labels["since"]) < 1000 * NOW
        assert labels["alertname"] in TROUBLES


def test_every_alert_of_the_rules_has_words() -> None:
    text = (Path(__file__).parents[2] / "config/rules/alerts.yml").read_text()
    assert set(re.findall(r"- alert: (\w+)", text)) == TROUBLES.keys()


@pytest.mark.parametrize("kind", RUNS)
def test_the_first_row_says_what_hurts(prometheus: Prometheus, kind: str) -> None:
    alerts = [alert for run in RUNS[kind] for alert in run.alerts]
    firing = [sum(alert.severity == severity for alert in alerts) for severity in ("critical", "warning")]
    assert numbers(prometheus, OVERVIEW, "Alerts firing", kind) == firing
    assert numbers(prometheus, OVERVIEW, "In trouble", kind) == [
        sum(bool(serious(run)) for run in RUNS[kind])
    ]
    assert numbers(prometheus, OVERVIEW, "Sources", kind) == [0, 0]
    (query,) = PANELS[OVERVIEW, "Tasks waiting, and for what"]["targets"]
    waiting: dict[str, int] = {}
    for run in RUNS[kind]:
        for (_, cause), tasks in run.waiting(NOW).items():
            waiting[cause] = waiting.get(cause, 0) + tasks
    shown = by("cause", prometheus.instant(filled(query["expr"], kind), NOW))
    assert shown == {cause: tasks for cause, tasks in waiting.items() if tasks}
    if kind == "200 runs":
        assert firing == [CRITICAL, IN_TROUBLE - CRITICAL]


@pytest.mark.parametrize("kind", RUNS)
def test_the_list_of_runs_has_each_with_its_numbers_and_its_trouble(
    prometheus: Prometheus, kind: str
) -> None:
    runs = {run.run_id: run for run in RUNS[kind]}
    assert len(runs) == (MANY if kind == "200 runs" else len(RUNS[kind]))
    for column, states in {"Done": ("exec_done",), "Failed": ("failed",)}.items():
        shown = by("run_id", table(prometheus, OVERVIEW, "Runs", column, kind))
        expected = {
            name: sum(counts[state] for counts in run.states(NOW).values() for state in states)
            for name, run in runs.items()
        }
        assert shown == expected
    panel = PANELS[OVERVIEW, "Runs"]
    listed = prometheus.instant(filled(panel["targets"][0]["expr"], kind), NOW)
    assert {dict(labels)["run_id"] for labels in listed} == runs.keys()
    troubles = prometheus.instant(filled(panel["targets"][2]["expr"], kind), NOW)
    worst = {
        name: max(alerts, key=alerts.__getitem__) for name, run in runs.items() if (alerts := serious(run))
    }
    assert {dict(labels)["run_id"]: dict(labels)["alertname"] for labels in troubles} == worst


@pytest.mark.parametrize("kind", SAID)
def test_the_apps_have_their_tasks_and_true_percentiles(prometheus: Prometheus, kind: str) -> None:
    states = {app.name: (app, counts) for app, counts in RUNS[kind][-1].states(NOW).items()}

    def column(name: str) -> dict[str, float]:
        return by("app", table(prometheus, STATES, "Apps", name, kind))

    assert column("Tasks") == {name: app.total for name, (app, _) in states.items()}
    assert column("Done") == {name: counts["exec_done"] for name, (_, counts) in states.items()}
    assert column("Waiting") == {
        name: counts["pending"] + counts["launched"] for name, (_, counts) in states.items()
    }
    ended = {name: app for name, (app, counts) in states.items() if counts["exec_done"] + counts["failed"]}
    for name, factor in {"Run p50": 1, "Run p95": 1.8, "Run max": 3.1}.items():
        expected = {app: factor * made.seconds for app, made in ended.items()}
        assert column(name) == pytest.approx(expected)


def test_the_time_left_goes_by_the_pace_of_a_quarter_of_an_hour(prometheus: Prometheus) -> None:
    (left,) = numbers(prometheus, STATES, "Time left", "healthy")
    states = RUNS["healthy"][-1].states(NOW)
    still = sum(app.total - counts["exec_done"] for app, counts in states.items())
    pace = sum(app.rate for app, counts in states.items() if counts["exec_done"] < app.total)
    assert left == pytest.approx(still / pace, rel=0.1)
    assert numbers(prometheus, STATES, "Time left", "finished") == [0]
    assert numbers(prometheus, STATES, "Time left", "waiting") == [], "no task ends: nobody knows"


def test_earlier_runs_of_the_workflow_stand_beside_the_run(prometheus: Prometheus) -> None:
    runs = {run.run_id: run for run in RUNS["finished"]}
    assert len(runs) > 1
    title = "Runs of this workflow"
    done = {
        name: sum(counts["exec_done"] for counts in run.states(NOW).values()) for name, run in runs.items()
    }
    assert by("run_id", table(prometheus, STATES, title, "Done", "finished")) == done
    took = {name: run.ended - run.began for name, run in runs.items() if run.ended}
    assert by("run_id", table(prometheus, STATES, title, "Took", "finished")) == took
    assert by("run_id", table(prometheus, STATES, title, "Success", "finished")) == pytest.approx(
        {name: count / 200 for name, count in done.items()}
    )


EMPTY = {
    "healthy": {
        "parsl-overview: panel 'Runs in trouble' A": "no alert fires",
        "parsl-overview: panel 'Runs' C": "no alert fires",
        "parsl-overview: panel 'Firing alerts' A": "no alert fires",
        "parsl-task-states: panel 'What it does, and what holds it up' C": "no alert fires",
        "parsl-task-states: panel 'What it does, and what holds it up' D": "no try failed: no reason was seen",
        "parsl-task-states: panel 'Failed tries": "no try failed: no reason was seen",
    },
    "waiting": {
        "parsl-overview: panel 'Workers": "no worker has come",
        "parsl-task-states: panel 'Time left'": "no task ends",
        "parsl-task-states: panel 'Success rate'": "none has ended",
        "parsl-task-states: panel 'Apps' G": "none has ended",
        "parsl-task-states: panel 'Runs of this workflow' I": "none has ended",
        "parsl-task-states: panel 'Apps' I": "nothing ran",
        "parsl-task-states: panel 'Apps' J": "nothing ran",
        "parsl-task-states: panel 'Apps' K": "nothing ran",
        "parsl-task-states: panel 'Running tasks by app'": "nothing ran",
        "parsl-task-states: panel 'Time pending, p95": "nothing left a state",
        "parsl-task-states: panel 'Time launched, p95": "nothing left a state",
        "parsl-task-states: panel 'Time running, p95": "nothing left a state",
        "parsl-task-states: panel 'Time from first pending to end, p95": "none has ended",
        "parsl-task-states: panel 'What it does, and what holds it up' D": "no try failed: no reason was seen",
        "parsl-task-states: panel 'Failed tries": "no try failed: no reason was seen",
    },
    "failing": {},
}
"""Of live runs, queries that have no answer, by the beginnings of their places, and why."""

NO_END = (
    "parsl-task-states: annotation 'Run ended'",
    "parsl-task-states: panel 'Runs of this workflow' D",
    "parsl-task-states: panel 'Run' C",
)
RECORDED_ELSEWHERE = (
    "parsl-overview: panel 'Workers: busy and connected'",
    "parsl-overview: panel 'Blocks by state, all runs'",
)
"""What the rules record of blocks and workers is held by their own tests, and not written here."""


@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.place)
def test_no_query_of_a_live_run_is_empty_that_should_be_a_number(
    prometheus: Prometheus, ask: inventory.Ask, kind: str
) -> None:
    if ask.place.startswith(RECORDED_ELSEWHERE):
        return
    reasons = [why for place, why in EMPTY[kind].items() if ask.place.startswith(place)]
    reasons += ["it has not ended"] * ask.place.startswith(NO_END)
    assert bool(asked(prometheus, ask, kind)) is not bool(reasons), reasons


MADE_FOR = {"timeseries": 10, "stat": 5, "bargauge": 10, "heatmap": 15, "table": MANY}
"""The series that a kind of panel can show: states there are ten, sentences of one query five, buckets fifteen."""


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.place)
def test_no_panel_draws_more_series_than_it_is_made_for(prometheus: Prometheus, ask: inventory.Ask) -> None:
    if ask.kind == "panel":
        most = MADE_FOR[PANELS[ask.board, ask.title]["type"]]
        for kind in RUNS:
            found = asked(prometheus, ask, kind)
            assert len(found) <= most, kind
