"""The dashboards' queries on a real Prometheus that scraped a real workflow: data, and the right numbers."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import pytest
import yaml
from dashboard_numbers import Numbers, Shown, nearest_rank
from dashboard_world import ROOT, World, scraped, stamp
from grafana import inventory
from support.processes import INSTALLED_AND_TODAYS, required

pytestmark = [pytest.mark.integration, pytest.mark.stack]


CANNOT_SHOW = {
    **dict.fromkeys(
        (
            "parsl-overview: panel 'Firing alerts' A",
            "parsl-overview: panel 'Runs' C",
            "parsl-overview: panel 'Runs in trouble' A",
            "parsl-task-states: panel 'What it does, and what holds it up' C",
        ),
        "nothing fires on a healthy run; the rules have tests of their own",
    ),
    "parsl-exporter: panel 'Rejected rows' A": "every row can be used",
    "parsl-exporter: panel 'Late rows' A": "no row comes later than close_after",
}
"""What a run without a fault of the exporter cannot show, and why."""

CHOSEN = {"executor": "htex", "app": "boom"}
"""An executor and an app of the run: its tries run, use CPU, are retried and fail."""

CHOSEN_CANNOT_SHOW = {
    "parsl-worker-pools: panel 'Blocks that broke' A": "it is the other executor's block that breaks",
}
"""What these cannot show, and why."""

NEVER_RECORDED = {
    **dict.fromkeys(
        (
            rule["expr"]
            for group in yaml.safe_load((ROOT / "config/rules/alerts.yml").read_text())["groups"]
            for rule in group["rules"]
            if re.fullmatch(r"parsl:\w+:\w+", rule["expr"])
        ),
        "what an alert is about: the run gives no cause",
    ),
    "parsl:block:ended_unused_timestamp_seconds": "the block that no worker came to fails, and all others work",
    "parsl:source:first_read_start_timestamp_seconds": "the database is new, and read at once",
}
"""What the rules do not record of a healthy run, and why. promtool's tests have these."""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, World]]:
    with scraped(tmp_path_factory.mktemp("dashboards")) as found:
        yield found


@pytest.fixture(scope="module", params=INSTALLED_AND_TODAYS)
def world(request: pytest.FixtureRequest, worlds: dict[bool, World]) -> World:
    """The run as the machine's own Prometheus saw it, and as today's did."""
    required("prometheus", today=request.param)
    return worlds[request.param]


@pytest.mark.parametrize("ask", inventory.all_asks(), ids=lambda ask: ask.place)
def test_every_query_returns_data_of_a_real_run(world: World, ask: inventory.Ask) -> None:
    assert world.answered(ask) is (ask.place not in CANNOT_SHOW), CANNOT_SHOW.get(ask.place)


def of_choice() -> list[inventory.Ask]:
    return [ask for ask in inventory.all_asks() if inventory.used(ask.expr) & {"executor", "app"}]


@pytest.mark.parametrize("ask", of_choice(), ids=lambda ask: ask.place)
def test_a_query_shows_what_is_chosen_and_nothing_else(world: World, ask: inventory.Ask) -> None:
    found = world.answered(ask, **CHOSEN)
    assert found is (ask.place not in CHOSEN_CANNOT_SHOW), CHOSEN_CANNOT_SHOW.get(ask.place)
    for name in inventory.used(ask.expr) & {"executor", "app"}:
        nothing = {name: "no such thing"}
        assert not (world.answered(ask, **nothing) if ask.label else any(world.answers(ask, **nothing))), name


def test_what_cannot_be_shown_names_queries_that_exist() -> None:
    places = {ask.place for ask in inventory.all_asks()}
    assert CANNOT_SHOW.keys() | CHOSEN_CANNOT_SHOW.keys() <= places


def test_the_rules_record_all_that_they_should_of_a_real_run(world: World) -> None:
    names = {
        rule["record"]
        for name in ("recording", "dashboards")
        for group in yaml.safe_load((ROOT / f"config/rules/{name}.yml").read_text())["groups"]
        for rule in group["rules"]
    }
    asked = world.fill(
        'group by (__name__) (last_over_time({__name__=~"parsl:.+:.+"}[$__range]))', world.after
    )
    found = {dict(labels)["__name__"] for labels in world.prometheus.instant(asked, world.after)}
    momentary = {
        "parsl:run:untaken_since_timestamp_seconds"
    }  # of an end that a scrape met before it was taken
    assert names - found - momentary == NEVER_RECORDED.keys()


def test_the_run_variable_offers_the_run_by_name_and_id(world: World) -> None:
    board = {found["uid"]: found for found in inventory.boards()}["parsl-task-states"]
    (ask,) = (a for a in inventory.asks(board) if (a.kind, a.title) == ("variable", "run"))
    (sample,) = world.prometheus.get("query", query=world.fill(ask.expr, world.after), time=world.after)[
        "result"
    ]
    # As Grafana's Prometheus data source turns a sample into text, and JavaScript's groups into Python's.
    text = "{" + ",".join(f'{name}="{value}"' for name, value in sample["metric"].items()) + "}"
    pattern = inventory.variables(board)["run"]["regex"].strip("/").replace("(?<", "(?P<")
    found = re.search(pattern, text)
    assert found is not None
    assert found["value"] == world.run_id
    assert found["text"] == f"dashboards {world.run_id[:8]}"


def test_histogram_panels_get_exemplars_that_name_a_task(world: World) -> None:
    seen = {}
    for board in inventory.boards():
        for panel in inventory.panels(board):
            for query in panel["targets"]:
                if query.get("exemplar") and "parsl_task" in query["expr"]:
                    expr = world.fill(query["expr"], world.after)
                    found = world.prometheus.get(
                        "query_exemplars", query=expr, start=world.began, end=world.after
                    )
                    seen[panel["title"]] = [one["labels"] for series in found for one in series["exemplars"]]
    for title, exemplars in seen.items():
        assert exemplars, title
        assert all(one.keys() == {"run_id", "task_id", "try_id"} for one in exemplars), title
        assert {one["run_id"] for one in exemplars} == {world.run_id}


def test_every_bar_of_a_distribution_has_a_name(world: World) -> None:
    bars = 0
    for board in inventory.boards():
        for panel in inventory.panels(board):
            if panel["type"] != "bargauge" or panel["targets"][0]["format"] != "heatmap":
                continue
            patterns = [o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]]
            found = world.prometheus.instant(
                world.fill(panel["targets"][0]["expr"], world.after), world.after
            )
            for labels in found:
                bound = dict(labels)["le"]
                assert sum(bool(re.search(pattern, bound)) for pattern in patterns) == 1, bound
                bars += 1
    assert bars


@pytest.fixture(scope="module")
def shown(world: World) -> Shown:
    return Shown(world)


@pytest.fixture(scope="module")
def numbers(world: World) -> Numbers:
    return Numbers(world)


DONE, FAILED = "exec_done|memo_done", "failed|dep_fail"
OVERVIEW = "parsl-overview"
STATES = "parsl-task-states"
USAGE = "parsl-cpu-memory"
POOLS = "parsl-worker-pools"


def test_the_numbers_of_the_run_equal_sql(world: World, shown: Shown, numbers: Numbers) -> None:
    done, failed = (sum(numbers.by_app(states).values()) for states in (DONE, FAILED))
    tasks = len(numbers.apps)
    assert done and failed
    assert [shown.number(STATES, "Tasks", which) for which in range(3)] == [done, failed, 0]
    assert done + failed == tasks
    assert shown.number(STATES, "Progress") == 1
    assert shown.number(STATES, "Success rate") == done / tasks
    assert shown.number(STATES, "Time left") == 0
    (words,) = map(dict, shown.ask(shown.panels[STATES, "What it does, and what holds it up"]["targets"][0]))
    assert words["words"] == "Ended after"
    assert (words["done"], words["failed"], words["all"]) == (f"{done:.0f}", f"{failed:.0f}", f"{tasks}")
    assert shown.number(STATES, "Runtime") == pytest.approx(world.ended - world.began)
    assert shown.column(STATES, "Run", "Started", "run_id") == {
        world.run_id: pytest.approx(1000 * world.began)
    }
    assert shown.column(STATES, "Run", "Ended", "run_id") == {world.run_id: pytest.approx(1000 * world.ended)}


def test_the_list_of_runs_equals_sql(world: World, shown: Shown, numbers: Numbers) -> None:
    def of_run(column: str) -> float:
        return shown.column("parsl-overview", "Runs", column, "run_id")[world.run_id]

    assert of_run("State") == 2
    assert of_run("Started") == pytest.approx(1000 * world.began)
    assert of_run("Runtime") == pytest.approx(world.ended - world.began)
    assert of_run("Done") == sum(numbers.by_app(DONE).values())
    assert of_run("Failed") == sum(numbers.by_app(FAILED).values())
    assert of_run("Progress") == 1
    of_workflow = shown.column(STATES, "Runs of this workflow", "Done", "run_id")
    assert of_workflow == {world.run_id: of_run("Done")}
    assert shown.number(OVERVIEW, "In trouble") == 0
    assert shown.number(OVERVIEW, "Alerts firing") == shown.number(OVERVIEW, "Alerts firing", 1) == 0


def test_what_is_going_on_equals_sql(shown: Shown, numbers: Numbers) -> None:
    moment = numbers.steady()
    states = list(numbers.states_at(moment).values())
    live = sum(state not in f"{DONE}|{FAILED}".split("|") for state in states)
    waiting = sum(state in ("pending", "launched") for state in states)
    blocks = numbers.running_on_blocks(moment)
    managers = {uid: one for uid, one in numbers.managers_at(moment).items() if one[0] in blocks}
    workers = sum(count for _, active, count, _ in managers.values() if active)
    busy = sum(blocks.values())
    assert live and busy and workers
    assert shown.number(STATES, "Tasks", 2, at=moment) == live
    (asked,) = shown.panels[OVERVIEW, "Tasks waiting, and for what"]["targets"]
    assert sum(shown.ask(asked, moment).values()) == waiting > 0
    for board in (OVERVIEW, POOLS):
        assert shown.number(board, "Workers busy", at=moment) == busy / workers
    assert shown.number(POOLS, "Workers", at=moment) == workers
    assert shown.number(POOLS, "Tasks waiting", at=moment) == states.count("launched")

    def of_blocks(column: str) -> dict[str, float]:
        query = shown.query(POOLS, "Living blocks", column)
        found = {frozenset(labels): value for labels, value in shown.ask(query, moment).items()}
        return {
            dict(labels)["block_id"]: value
            for labels, value in found.items()
            if ("executor", "htex") in labels
        }

    for block, running in blocks.items():
        mine = [manager for manager in managers.values() if manager[0] == block and manager[1]]
        assert of_blocks("Tasks")[block] == running
        assert of_blocks("Managers")[block] == len(mine)
        assert of_blocks("Workers")[block] == sum(count for _, _, count, _ in mine)
        ((began,),) = numbers.rows(
            "SELECT min(timestamp) FROM block WHERE executor_label = 'htex' AND block_id = ? AND status = 'RUNNING'",
            block,
        )
        assert of_blocks("For")[block] == pytest.approx(moment - stamp(began), abs=0.01)

    state = shown.column(POOLS, "Managers", "State", "manager", moment)
    slots = shown.column(POOLS, "Managers", "Workers", "manager", moment)
    silence = shown.column(POOLS, "Managers", "Heartbeat", "manager", moment)
    for uid, (_, active, count, heartbeat) in managers.items():
        assert (state[uid] == 1) is active
        assert slots[uid] == count
        assert silence[uid] == pytest.approx(moment - heartbeat, abs=0.01)

    ((cores, memory),) = numbers.rows("SELECT max(cpu_count), max(total_memory) FROM node")
    everywhere = sum(count for _, active, count, _ in numbers.managers_at(moment).values() if active)
    for title, has in {"CPU of one task": cores, "Memory of one task": memory}.items():
        assert set(shown.column(USAGE, title, "A worker has", "executor").values()) == {has / everywhere}


def test_a_run_links_to_its_own_life_time(world: World, shown: Shown) -> None:
    window = shown.panels["parsl-overview", "Runs"]["targets"][1]
    (labels,) = shown.ask(window)
    assert int(dict(labels)["since"]) == math.floor(1000 * (world.began - 60))
    assert int(dict(labels)["until"]) == math.ceil(1000 * (world.ended + 60))
    halfway = (world.began + world.ended) / 2
    (labels,) = world.prometheus.instant(world.fill(window["expr"], halfway), halfway)
    assert dict(labels)["until"] == "now"


def test_the_apps_by_state_equal_sql(shown: Shown, numbers: Numbers) -> None:
    for name, states in {
        "Done": DONE,
        "Failed": FAILED,
        "Waiting": "pending|launched",
        "Running": "running|running_ended|joining",
    }.items():
        assert shown.column(STATES, "Apps", name, "app") == numbers.by_app(states), name
    assert shown.column(STATES, "Apps", "Tasks", "app") == numbers.by_app(f"{DONE}|{FAILED}")
    assert shown.column(STATES, "Apps", "Retries", "app") == numbers.tries_by_app("fail_retryable")
    failed, every = numbers.by_app(FAILED), numbers.by_app(f"{DONE}|{FAILED}")
    assert shown.column(STATES, "Apps", "Failed part", "app") == {
        app: failed[app] / every[app] for app in every
    }


def test_the_run_times_of_apps_equal_sql(shown: Shown, numbers: Numbers) -> None:
    """Within 1 % of the nearest rank, and the longest exactly: no bound of a bucket."""
    ran = numbers.tries_of_apps(numbers.ran())
    assert len(ran["add"]) > 20
    for name, part in {"Run p50": 0.5, "Run p95": 0.95}.items():
        column = shown.column(STATES, "Apps", name, "app")
        for app in ("add", "burn", "boom"):
            assert column[app] == pytest.approx(nearest_rank(ran[app], part), rel=0.01), (name, app)
    longest = shown.column(STATES, "Apps", "Run max", "app")
    assert {app: longest[app] for app in ("add", "burn", "boom")} == {
        app: pytest.approx(max(ran[app])) for app in ("add", "burn", "boom")
    }


def test_the_failed_tries_by_reason_equal_sql(shown: Shown, numbers: Numbers) -> None:
    tries = {
        reason: sum(sum(numbers.tries_by_app(state).values()) for state in states)
        for reason, states in {
            "ValueError": ("failed", "fail_retryable"),
            "DependencyError": ("dep_fail",),
        }.items()
    }
    assert shown.bars(STATES, "Failed tries by reason", "reason") == tries


def test_the_tasks_by_state_equal_sql(shown: Shown, numbers: Numbers) -> None:
    found = {
        state: count
        for state, count in shown.bars(STATES, "Tasks by state, at the end", "state").items()
        if count
    }
    expected: dict[str, float] = defaultdict(float)
    for state in numbers.states().values():
        expected[state] += 1
    assert found == expected


def test_the_cpu_and_memory_numbers_equal_sql(shown: Shown, numbers: Numbers) -> None:
    cpu, ran = numbers.cpu(), numbers.ran()
    wasted = {tried: used for tried, used in cpu.items() if tried in numbers.failed_tries()}
    assert sum(wasted.values()) > 1
    assert shown.number(USAGE, "CPU time") == pytest.approx(sum(cpu.values()))
    assert shown.number(USAGE, "CPU wasted") == pytest.approx(sum(wasted.values()) / sum(cpu.values()))
    for which, column in enumerate(("psutil_process_disk_read", "psutil_process_disk_write")):
        moved = sum(numbers.spread(column).values())
        assert shown.number(USAGE, "Read, written", which) == pytest.approx(moved)
    used, lost, seconds = (
        {app: sum(values) for app, values in numbers.tries_of_apps(tries).items()}
        for tries in (cpu, wasted, ran)
    )
    table = "CPU of one task"
    shown_by_app = shown.column(USAGE, table, "CPU time", "app")
    assert shown_by_app.items() >= {app: pytest.approx(time) for app, time in used.items()}.items()
    for app, part in shown.column(USAGE, table, "Wasted", "app").items():
        assert part == pytest.approx(lost.get(app, 0) / used[app]), app
    assert shown.column(USAGE, table, "Cores", "app")["burn"] == pytest.approx(used["burn"] / seconds["burn"])


@pytest.mark.parametrize(
    ("title", "of"), [("CPU of one task", Numbers.measured_cpu), ("Memory of one task", Numbers.peak)]
)
def test_what_a_task_needs_equals_sql(
    shown: Shown, numbers: Numbers, title: str, of: Callable[[Numbers], Mapping[tuple[int, int], float]]
) -> None:
    """Within 1 % of the nearest rank, and the greatest exactly: no bound of a bucket."""
    tries = numbers.tries_of_apps(of(numbers))
    assert len(tries) > 2
    for name, part in {"p50": 0.5, "p95": 0.95}.items():
        ranks = {app: nearest_rank(values, part) for app, values in tries.items()}
        assert shown.column(USAGE, title, name, "app") == pytest.approx(ranks, rel=0.01)
    greatest = {app: max(values) for app, values in tries.items()}
    assert shown.column(USAGE, title, "Maximum", "app") == pytest.approx(greatest)


@pytest.mark.parametrize(
    ("title", "of"), [("CPU time of a try", Numbers.measured_cpu), ("Peak memory of a try", Numbers.peak)]
)
def test_the_distributions_equal_sql(
    shown: Shown, numbers: Numbers, title: str, of: Callable[[Numbers], Mapping[tuple[int, int], float]]
) -> None:
    values = list(of(numbers).values())
    assert values
    for bound, count in shown.bars(USAGE, title, "le").items():
        assert count == sum(value <= float(bound) for value in values), bound


def test_the_blocks_equal_sql(shown: Shown, numbers: Numbers) -> None:
    latest = dict(numbers.rows("SELECT executor_label || ' ' || block_id, status FROM block ORDER BY rowid"))
    broken = sum(state in ("FAILED", "MISSING", "TIMEOUT") for state in latest.values())
    assert broken
    assert shown.number(POOLS, "Blocks broken") == broken
    panel = shown.panels[POOLS, "Ended blocks over time"]
    words = inventory.words(panel)
    (query,) = panel["targets"]
    found = {
        f"{dict(labels)['executor']} {dict(labels)['block_id']}": words[f"{value:.0f}"]
        for labels, value in shown.ask(query).items()
    }
    assert found == latest
