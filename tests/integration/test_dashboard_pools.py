"""What the dashboards of pools, sizes and the exporter show of made-up runs, on a real Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dashboard_answers import NOW, PANELS, RUNS, all_kinds, asked, by, filled, numbers, table
from dashboard_samples import CORES, GIB, NODE_MEMORY, SILENCE, holding, one_of
from dashboard_world import Prometheus
from grafana import inventory
from support.processes import INSTALLED_AND_TODAYS

pytestmark = [pytest.mark.integration, pytest.mark.stack]

POOLS, SIZES, EXPORTER = "parsl-worker-pools", "parsl-cpu-memory", "parsl-exporter"
BOARDS = {board["uid"]: board for board in inventory.boards()}
ASKS = [ask for uid in (POOLS, SIZES, EXPORTER) for ask in inventory.asks(BOARDS[uid])]
LIVING, ENDED = "Living blocks over time", "Ended blocks over time"


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Prometheus]]:
    with holding(tmp_path_factory.mktemp("kinds"), all_kinds()) as found:
        yield found


@pytest.fixture(scope="module", params=INSTALLED_AND_TODAYS)
def prometheus(request: pytest.FixtureRequest, held: dict[bool, Prometheus]) -> Prometheus:
    return one_of(held, today=request.param)


@pytest.mark.parametrize(
    ("kind", "expected"),
    {
        "waiting": {
            "Waiting": 200,
            "Longest": 8826,
            "Tasks": 0,
            "Workers": 0,
            "Busy": 0,
            "Running": 0,
            "Pending": 2,
        },
        "failing": {
            "Waiting": 92,
            "Longest": 90,
            "Tasks": 18,
            "Workers": 16,
            "Busy": 16,
            "Running": 1,
            "Broken": 5,
        },
        "healthy": {
            "Longest": 90,
            "Tasks": 20,
            "Workers": 16,
            "Busy": 16,
            "To come": 0,
            "Pending": 0,
            "Broken": 0,
        },
    }.items(),
)
def test_an_executor_has_what_waits_for_it_and_what_it_has_in_one_row(
    prometheus: Prometheus, kind: str, expected: dict[str, float]
) -> None:
    shown = {name: by("executor", table(prometheus, POOLS, "Executors", name, kind)) for name in expected}
    assert {name: of["htex"] for name, of in shown.items()} == expected
    causes = prometheus.instant(filled(PANELS[POOLS, "Executors"]["targets"][1]["expr"], kind), NOW)
    (cause,) = (dict(labels)["cause"] for labels in causes if ("executor", "htex") in labels)
    assert cause == ("batch_queue" if kind == "waiting" else "busy_workers")


def test_nobody_knows_how_many_workers_come_before_any_came(prometheus: Prometheus) -> None:
    assert table(prometheus, POOLS, "Executors", "To come", "waiting") == {}
    assert numbers(prometheus, POOLS, "Workers", "waiting") == [0]
    assert numbers(prometheus, POOLS, "Workers", "healthy") == [16, 0]


def lanes(prometheus: Prometheus, title: str, kind: str) -> list[tuple[str, list[str]]]:
    """The lanes of a timeline as Grafana draws them: in Prometheus' order, each with its words."""
    words = inventory.words(PANELS[POOLS, title])
    (query,) = PANELS[POOLS, title]["targets"]
    begun = RUNS[kind][-1].began
    answer = prometheus.get("query_range", query=filled(query["expr"], kind), start=begun, end=NOW, step=60)
    return [
        (
            series["metric"].get("block_id", ""),
            list(dict.fromkeys(words[value] for _, value in series["values"])),
        )
        for series in answer["result"]
    ]


def test_blocks_come_newest_first_and_the_living_apart_from_the_ended(prometheus: Prometheus) -> None:
    assert lanes(prometheus, LIVING, "failing") == [("0", ["PENDING", "RUNNING"])]
    ended = lanes(prometheus, ENDED, "failing")
    assert [block for block, _ in ended[2:]] == ["4", "3", "2", "1"]
    assert dict(ended)["5"] == ["PENDING", "RUNNING", "FAILED"]
    assert dict(ended)["6"] == ["PENDING", "RUNNING", "SCALED_IN"]
    queued = lanes(prometheus, LIVING, "waiting")
    assert dict(queued) == {"0": ["PENDING"], "1": ["PENDING"]}


def test_a_timeline_without_a_lane_says_why(prometheus: Prometheus) -> None:
    ((_, words),) = lanes(prometheus, LIVING, "finished")
    assert words == ["No block is alive. Those that ended are in the row Ended blocks"]
    ((_, words),) = lanes(prometheus, ENDED, "healthy")
    assert words == ["No block has ended in this time range"]


def test_lost_managers_are_told_from_those_that_said_goodbye(prometheus: Prometheus) -> None:
    words = inventory.words(PANELS[POOLS, "Managers"], "State")
    states = by("block_id", table(prometheus, POOLS, "Managers", "State", "failing"))
    assert {block: words[f"{state:.0f}"] for block, state in states.items()} == {
        "0": "connected",
        "5": "lost",
        "6": "drained, ended",
    }
    assert numbers(prometheus, POOLS, "Managers lost", "failing") == [1]
    assert numbers(prometheus, POOLS, "Managers lost", "healthy") == [0]
    beats = by("block_id", table(prometheus, POOLS, "Managers", "Heartbeat", "failing"))
    lost = next(block.lost for block in RUNS["failing"][0].blocks if block.lost is not None)
    assert beats["5"] == NOW - RUNS["failing"][0].began - lost > SILENCE


def test_what_a_task_needs_stands_beside_what_a_worker_has(prometheus: Prometheus) -> None:
    seconds = {"simulate": 100.0, "analyse": 4.2}

    def column(title: str, name: str) -> dict[str, float]:
        found = by("app", table(prometheus, SIZES, title, name, "healthy"))
        return {app: found[app] for app in seconds}

    memory, cpu = "Memory of one task", "CPU of one task"
    for name, factor in {"p50": 1, "p95": 1.8, "Maximum": 3.1}.items():
        assert column(memory, name) == dict.fromkeys(seconds, pytest.approx(factor * 1.5 * GIB))
        assert column(cpu, name) == {app: pytest.approx(factor * 0.8 * one) for app, one in seconds.items()}
    has = NODE_MEMORY / 16
    assert column(memory, "A worker has") == dict.fromkeys(seconds, has)
    assert column(memory, "Maximum of it") == dict.fromkeys(seconds, pytest.approx(3.1 * 1.5 * GIB / has))
    assert column(cpu, "A worker has") == dict.fromkeys(seconds, CORES / 16)
    assert column(cpu, "Cores") == dict.fromkeys(seconds, pytest.approx(0.8))
    assert column(cpu, "Efficiency") == dict.fromkeys(seconds, pytest.approx(0.8 / (CORES / 16)))
    assert numbers(prometheus, SIZES, "Efficiency", "healthy") == [pytest.approx(0.4)]


def test_sizes_stay_when_the_run_is_gone(prometheus: Prometheus) -> None:
    for name in ("p95", "A worker has", "Maximum of it"):
        assert table(prometheus, SIZES, "Memory of one task", name, "finished"), name
    assert numbers(prometheus, SIZES, "Efficiency", "finished")


def test_the_exporter_says_that_every_database_can_be_read(prometheus: Prometheus) -> None:
    assert numbers(prometheus, EXPORTER, "Databases", "healthy") == [0, 1]
    (query,) = PANELS[EXPORTER, "Sources that were down"]["targets"]
    assert list(prometheus.instant(filled(query["expr"], "healthy"), NOW).values()) == [0]


def of(board: str, why: str, *panels: str) -> dict[str, str]:
    return {f"{board}: panel {panel}": why for panel in panels}


NO_ROW_OF_ENDED = of(POOLS, "no block has ended", *(f"'Ended blocks' {ref}" for ref in "BCD"))
EVERYWHERE = {
    **dict.fromkeys((f"{board}: annotation 'Run ended'" for board in (POOLS, SIZES)), "it has not ended"),
    **of(EXPORTER, "the exporter has no fault", "'Failed polls'", "'Rejected rows'", "'Late rows'"),
}
EMPTY = {
    "healthy": {
        **NO_ROW_OF_ENDED,
        **of(POOLS, "no block broke", "'Blocks that broke'"),
        **of(SIZES, "no try failed", "'CPU wasted by app'"),
    },
    "waiting": {
        **NO_ROW_OF_ENDED,
        **of(POOLS, "no block broke", "'Blocks that broke'"),
        **of(POOLS, "no worker has come, nobody knows how many will", "'Executors' H", "'Workers' B"),
        **of(POOLS, "no worker has come, nobody knows how many will", "'Workers: busy, idle and to come' C"),
        **of(
            POOLS,
            "no worker has come",
            "'Workers busy'",
            "'Idle workers",
            *(f"'Managers' {ref}" for ref in "BCD"),
        ),
        **of(POOLS, "no block runs", *(f"'Living blocks' {ref}" for ref in "DEG")),
        **of(POOLS, "no block has run", *(f"'Queue time' {ref}" for ref in "BCDE")),
        **of(POOLS, "no block has run", "'Queue time, over time'", "'Running tasks by"),
        **of(SIZES, "no node has come", "'CPU used'", "'Memory used'", "'Fullest node'", "'Efficiency'"),
        **of(SIZES, "no node has come", "'CPU: used and there'", "'Memory: used and there'"),
        **of(
            SIZES,
            "no task has run",
            "'CPU wasted",
            "'CPU by",
            "'Memory by",
            "'Resident memory by",
            "'Read by",
        ),
        **of(SIZES, "no task has run", "'Written by", "'Processes of", "'Virtual memory by"),
        **of(SIZES, "no task has run", *(f"'Memory of one task' {ref}" for ref in "CDEFG")),
        **of(SIZES, "no task has run", *(f"'CPU of one task' {ref}" for ref in "CDEFGHJ")),
    },
    "failing": {},
}
"""Of live runs, queries that have no answer, by the beginnings of their places, and why."""


@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.place)
def test_no_query_of_a_live_run_is_empty_that_should_be_a_number(
    prometheus: Prometheus, ask: inventory.Ask, kind: str
) -> None:
    reasons = [why for place, why in (EVERYWHERE | EMPTY[kind]).items() if ask.place.startswith(place)]
    assert bool(asked(prometheus, ask, kind)) is not bool(reasons), reasons


MADE_FOR = {"timeseries": 10, "stat": 1, "bargauge": 16, "heatmap": 16, "state-timeline": 48, "table": 200}
"""The series that a kind of panel can show."""


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.place)
def test_no_panel_draws_more_series_than_it_is_made_for(prometheus: Prometheus, ask: inventory.Ask) -> None:
    if ask.kind == "panel":
        most = MADE_FOR[PANELS[ask.board, ask.title]["type"]]
        for kind in RUNS:
            assert len(asked(prometheus, ask, kind)) <= most, kind
