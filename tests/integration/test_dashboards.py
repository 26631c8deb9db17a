"""The dashboards' queries on a real Prometheus that scraped a real workflow: data, and the right numbers."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from grafana import inventory
from processes import INSTALLED_AND_TODAYS, of_group, required, there

pytestmark = [pytest.mark.integration, pytest.mark.stack]

ROOT = Path(__file__).parents[2]
WORKFLOW = Path(__file__).with_name("dashboard_workflow.py")
SOURCE = "this run"
SCRAPE_INTERVAL = 1
CLOSE_AFTER = 2

CANNOT_SHOW = {
    "parsl-overview: panel 'Firing alerts' A": "nothing fires on a healthy run; the rules have tests of their own",
    "parsl-exporter: panel 'Rejected rows' A": "every row can be used",
    "parsl-exporter: panel 'Late rows' A": "no row comes later than close_after",
}
"""What a run without a fault of the exporter cannot show, and why."""

CHOSEN = {"executor": "htex", "app": "boom"}
"""An executor and an app of the run: its tries run, use CPU, are retried and fail."""

CHOSEN_CANNOT_SHOW = {
    **{f"parsl-task-states: panel 'Time joining, quantiles' {ref}": "only join apps join" for ref in "ABC"},
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


class Prometheus(NamedTuple):
    """A Prometheus that answers on loopback."""

    url: str

    def get(self, path: str, **parameters: str | float) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def instant(self, expr: str, at: float) -> dict[frozenset[tuple[str, str]], float]:
        found = self.get("query", query=expr, time=at)["result"]
        return {frozenset(sample["metric"].items()): float(sample["value"][1]) for sample in found}

    def over_time(self, expr: str, since: float, until: float) -> list[float]:
        found = self.get("query_range", query=expr, start=since, end=until, step=SCRAPE_INTERVAL)["result"]
        return [float(value) for series in found for _, value in series["values"]]


class World(NamedTuple):
    """A workflow that ran and was scraped."""

    prometheus: Prometheus
    rows: Callable[..., list[tuple[Any, ...]]]
    run_id: str
    began: float
    ended: float

    def fill(self, expr: str, at: float, executor: str = ".*", app: str = ".*") -> str:
        values = {
            "source": ".*",
            "workflow": ".*",
            "executor": executor,
            "app": app,
            "run": self.run_id,
            "__range": f"{math.ceil(at - self.began) + 60}s",
            "__interval": f"{SCRAPE_INTERVAL}s",
            "__rate_interval": f"{4 * SCRAPE_INTERVAL}s",
        }
        return inventory.fill(expr, values)

    def moments(self) -> list[float]:
        """Times all through the run, and one after its end."""
        steps = int(self.ended - self.began)
        return [self.began + 1 + i for i in range(steps)] + [self.after]

    @property
    def after(self) -> float:
        return self.ended + CLOSE_AFTER + 3 * SCRAPE_INTERVAL


def free_port() -> int:
    with closing(socket.socket()) as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def running(
    log: Path, *command: str | Path, cwd: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, ended with all its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | environment,
        )
    try:
        yield process
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sent)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def wait_for(what: str, seconds: float, asked: Callable[[], Any]) -> Any:
    """What `asked` gives once it gives something; a connection that is refused counts as nothing."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := asked():
                return found
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, World]]:
    """Run the workflow to its end under scraping Prometheuses."""
    if not os.environ.get("CI"):
        pytest.importorskip("parsl.monitoring")
    folder = tmp_path_factory.mktemp("dashboards")
    database = folder / "runinfo" / "monitoring.db"
    page = free_port()
    (folder / "exporter.yml").write_text(
        f"close_after: {CLOSE_AFTER}s\npoll_interval: 250ms\n"
        f"web: {{listen_address: ['127.0.0.1:{page}']}}\n"
        f"sources:\n  - {{path: {json.dumps(str(database))}, name: {SOURCE}}}\n"
    )
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {SCRAPE_INTERVAL}s, evaluation_interval: {SCRAPE_INTERVAL}s}}\n"
        f"rule_files: [{json.dumps(str(ROOT / 'config/rules/*.yml'))}]\n"
        "scrape_configs:\n"
        f"  - {{job_name: parsl-exporter, static_configs: [{{targets: ['127.0.0.1:{page}']}}]}}\n"
    )

    def rows(query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    with ExitStack() as stack:
        stack.enter_context(
            running(
                folder / "exporter.log",
                *(sys.executable, "-m", "parsl_exporter", "serve", "--config.file", "exporter.yml"),
                cwd=folder,
                PYTHONPATH=str(ROOT / "exporter"),
            )
        )
        asked: dict[bool, Prometheus] = {}
        for today, program in there("prometheus").items():
            api = free_port()
            stack.enter_context(
                running(
                    folder / f"prometheus-{today}.log",
                    *(program, "--config.file=prometheus.yml", f"--storage.tsdb.path=data-{today}"),
                    f"--web.listen-address=127.0.0.1:{api}",
                    "--enable-feature=exemplar-storage",
                    cwd=folder,
                )
            )
            asked[today] = Prometheus(f"http://127.0.0.1:{api}")

        def everywhere(what: str, expr: str) -> None:
            for one in asked.values():
                wait_for(what, 60, lambda one=one: one.instant(expr, time.time()))

        everywhere("a first scrape", "up == 1")
        # HTEX starts its programs from PATH.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        workflow = stack.enter_context(
            running(folder / "workflow.log", sys.executable, WORKFLOW, cwd=folder, PATH=path)
        )
        assert workflow.wait(240) == 0, (folder / "workflow.log").read_text()
        # Parsl's database manager outlives the workflow, and may write the end once more.
        wait_for("the last row", 60, lambda: not of_group(workflow.pid))
        everywhere("the run's end", "parsl_workflow_end_timestamp_seconds")
        ((run_id, began, ended),) = rows("SELECT run_id, time_began, time_completed FROM workflow")
        found = {
            today: World(prometheus, rows, run_id, stamp(began), stamp(ended))
            for today, prometheus in asked.items()
        }
        wait_for("the last scrape", 60, lambda: all(time.time() > one.after for one in found.values()))
        yield found


@pytest.fixture(scope="module", params=INSTALLED_AND_TODAYS)
def world(request: pytest.FixtureRequest, worlds: dict[bool, World]) -> World:
    """The run as the machine's own Prometheus saw it, and as today's did."""
    required("prometheus", today=request.param)
    return worlds[request.param]


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def answers(world: World, ask: inventory.Ask, **chosen: str) -> Iterator[float]:
    """The numbers that a query gives while the run lives and after it."""
    if ask.instant:
        for at in world.moments():
            yield from world.prometheus.instant(world.fill(ask.expr, at, **chosen), at).values()
    else:
        expr = world.fill(ask.expr, world.after, **chosen)
        yield from world.prometheus.over_time(expr, world.began, world.after)


def answered(world: World, ask: inventory.Ask, **chosen: str) -> bool:
    if ask.label:
        wanted: dict[str, str | float] = {"match[]": world.fill(ask.expr, world.after, **chosen)}
        wanted |= {"start": world.began, "end": world.after}
        return bool(world.prometheus.get(f"label/{ask.label}/values", **wanted))
    return any(math.isfinite(value) for value in answers(world, ask, **chosen))


@pytest.mark.parametrize("ask", inventory.all_asks(), ids=lambda ask: ask.place)
def test_every_query_returns_data_of_a_real_run(world: World, ask: inventory.Ask) -> None:
    assert answered(world, ask) is (ask.place not in CANNOT_SHOW), CANNOT_SHOW.get(ask.place)


def of_choice() -> list[inventory.Ask]:
    return [ask for ask in inventory.all_asks() if inventory.used(ask.expr) & {"executor", "app"}]


@pytest.mark.parametrize("ask", of_choice(), ids=lambda ask: ask.place)
def test_a_query_shows_what_is_chosen_and_nothing_else(world: World, ask: inventory.Ask) -> None:
    found = answered(world, ask, **CHOSEN)
    assert found is (ask.place not in CHOSEN_CANNOT_SHOW), CHOSEN_CANNOT_SHOW.get(ask.place)
    for name in inventory.used(ask.expr) & {"executor", "app"}:
        nothing = {name: "no such thing"}
        assert not (answered(world, ask, **nothing) if ask.label else any(answers(world, ask, **nothing))), (
            name
        )


def test_what_cannot_be_shown_names_queries_that_exist() -> None:
    places = {ask.place for ask in inventory.all_asks()}
    assert CANNOT_SHOW.keys() | CHOSEN_CANNOT_SHOW.keys() <= places


def test_the_rules_record_all_that_they_should_of_a_real_run(world: World) -> None:
    groups = yaml.safe_load((ROOT / "config/rules/recording.yml").read_text())["groups"]
    names = {rule["record"] for group in groups for rule in group["rules"]}
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


@pytest.mark.xfail(strict=True, reason="the exporter writes no exemplars yet")
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


class Numbers:
    """What the database says, in the terms of the contract."""

    def __init__(self, world: World) -> None:
        self.rows = world.rows
        self.apps = dict(world.rows("SELECT task_id, task_func_name FROM task"))

    def states(self) -> dict[int, str]:
        """Each task's state: here, where clocks agree and all has ended, the newest of its last try."""
        rank = "task_status_name IN ('exec_done', 'memo_done', 'failed', 'dep_fail')"
        found = self.rows(f"SELECT task_id, task_status_name FROM status WHERE {rank}")
        assert len(found) == len(self.apps)
        return dict(found)

    def steady(self) -> float:
        """A moment at which tries have run on workers for the longest time without any change of a task."""
        found = [
            (stamp(at), state) for at, state in self.rows("SELECT timestamp, task_status_name FROM status")
        ]
        busy = self.rows(
            "SELECT min(status.timestamp), max(status.timestamp) FROM status JOIN try USING (task_id, try_id) "
            "WHERE task_executor = 'htex' AND task_status_name IN ('running', 'running_ended') "
            "GROUP BY task_id, try_id"
        )
        gaps = [
            (end - begin, end - 0.5)
            for (begin, _), (end, _) in pairwise(sorted(found))
            if any(stamp(first) <= begin and end <= stamp(last) for first, last in busy)
        ]
        # Where the submit process is slow, it writes that it launched a task after the worker began it.
        length, moment = max(gap for gap in gaps if self.running_on_blocks(gap[1]))
        assert length > 3, "the exporter and Prometheus need time to see it"
        return moment

    def tries_at(self, moment: float) -> dict[int, tuple[int, str]]:
        """Each task's try and its state then: at a steady moment the newest row, where clocks agree."""
        found = self.rows(
            "SELECT task_id, try_id, task_status_name, timestamp FROM status ORDER BY timestamp"
        )
        return {task: (tried, state) for task, tried, state, at in found if stamp(at) <= moment}

    def states_at(self, moment: float) -> dict[int, str]:
        """Each task's state then."""
        return {task: state for task, (_, state) in self.tries_at(moment).items()}

    def running_on_blocks(self, moment: float) -> dict[str, float]:
        """Tries that run then on each block of htex that has some."""
        counted: dict[str, float] = defaultdict(float)
        tries = self.tries_at(moment)
        for task, tried, block in self.rows(
            "SELECT task_id, try_id, block_id FROM try WHERE task_executor = 'htex'"
        ):
            counted[block] += tries.get(task) == (tried, "running")
        return {block: count for block, count in counted.items() if count}

    def managers_at(self, moment: float) -> dict[str, tuple[str, bool, int, float]]:
        """Block, whether it is active, workers and heartbeat of each manager, by its newest row then."""
        columns = "uid, block_id, active, worker_count, last_heartbeat, timestamp"
        found = self.rows(f"SELECT {columns} FROM node ORDER BY id")
        return {
            uid: (block, bool(active), workers, stamp(heartbeat))
            for uid, block, active, workers, heartbeat, at in found
            if stamp(at) <= moment
        }

    def by_app(self, states: str) -> dict[str, float]:
        wanted = states.split("|")
        counted = dict.fromkeys(self.apps.values(), 0.0)
        for task, state in self.states().items():
            counted[self.apps[task]] += state in wanted
        return counted

    def tries_by_app(self, state: str) -> dict[str, float]:
        counted = dict.fromkeys(self.apps.values(), 0.0)
        for (task,) in self.rows("SELECT task_id FROM status WHERE task_status_name = ?", state):
            counted[self.apps[task]] += 1
        return counted

    def spread(self, *columns: str) -> dict[tuple[int, int], float]:
        """Of each try, the sum of the columns' max - min."""
        shown = " + ".join(f"max({column}) - min({column})" for column in columns)
        found = self.rows(f"SELECT task_id, try_id, {shown} FROM resource GROUP BY task_id, try_id")
        return {(task, tried): value for task, tried, value in found}

    def cpu(self) -> dict[tuple[int, int], float]:
        return self.spread("psutil_process_time_user", "psutil_process_time_system")

    def measured_cpu(self) -> dict[tuple[int, int], float]:
        """The same where samples measure it: of one sample alone the difference says nothing."""
        found = self.rows("SELECT task_id, try_id FROM resource GROUP BY task_id, try_id HAVING count(*) > 1")
        used = self.cpu()
        return {tried: used[tried] for tried in found}

    def peak(self) -> dict[tuple[int, int], float]:
        found = self.rows(
            "SELECT task_id, try_id, max(psutil_process_memory_resident) FROM resource GROUP BY task_id, try_id"
        )
        return {(task, tried): value for task, tried, value in found}

    def failed_tries(self) -> set[tuple[int, int]]:
        return set(
            self.rows(
                "SELECT task_id, try_id FROM status WHERE task_status_name IN ('failed', 'fail_retryable')"
            )
        )

    def ran(self) -> dict[tuple[int, int], float]:
        """Seconds from each try's running row to its running_ended row."""
        found = self.rows(
            "SELECT a.task_id, a.try_id, min(a.timestamp), max(b.timestamp) FROM status a JOIN status b "
            "ON a.task_id = b.task_id AND a.try_id = b.try_id WHERE a.task_status_name = 'running' "
            "AND b.task_status_name = 'running_ended' GROUP BY a.task_id, a.try_id"
        )
        return {(task, tried): stamp(end) - stamp(start) for task, tried, start, end in found}

    def sum_by_app(self, tries: Mapping[tuple[int, int], float]) -> dict[str, float]:
        added: dict[str, float] = defaultdict(float)
        for (task, _), value in tries.items():
            added[self.apps[task]] += value
        return dict(added)


class Shown:
    """What panels show after the run's end, or at another moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.panels = {
            (board["uid"], panel["title"]): panel
            for board in inventory.boards()
            for panel in inventory.panels(board)
        }

    def ask(
        self, query: Mapping[str, Any], at: float | None = None
    ) -> dict[frozenset[tuple[str, str]], float]:
        at = self.world.after if at is None else at
        return self.world.prometheus.instant(self.world.fill(query["expr"], at), at)

    def query(self, board: str, title: str, name: str) -> Mapping[str, Any]:
        """The query of a table's column."""
        panel = self.panels[board, title]
        names = panel["transformations"][-1]["options"]["renameByName"]
        (raw,) = (raw for raw, shown in names.items() if shown == name)
        found: list[Mapping[str, Any]] = [
            query for query in panel["targets"] if query["refId"] == raw.removeprefix("Value #")
        ]
        return found[0]

    def number(self, board: str, title: str, which: int = 0, at: float | None = None) -> float:
        (value,) = self.ask(self.panels[board, title]["targets"][which], at).values()
        return value

    def column(
        self, board: str, title: str, name: str, label: str, at: float | None = None
    ) -> dict[str, float]:
        """A table's column, by the rows' `label`."""
        query = self.query(board, title, name)
        return {dict(labels)[label]: value for labels, value in self.ask(query, at).items()}

    def bars(self, board: str, title: str, label: str) -> dict[str, float]:
        return {
            dict(labels)[label]: value
            for labels, value in self.ask(self.panels[board, title]["targets"][0]).items()
        }


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
    assert shown.number(STATES, "Done") == done
    assert shown.number(STATES, "Failed") == failed
    assert shown.number(STATES, "In progress") == tasks - done - failed == 0
    assert shown.number(STATES, "Progress") == 1
    assert shown.number(STATES, "State") == 2
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
    assert of_run("In progress") == 0
    assert of_run("Progress") == 1
    assert of_run("Last news") == pytest.approx(world.after - world.ended, abs=1)
    assert shown.number(OVERVIEW, "Tasks failed") == sum(numbers.by_app(FAILED).values())
    assert shown.number(OVERVIEW, "Running") == shown.number(OVERVIEW, "Silent") == 0


def test_what_is_going_on_equals_sql(shown: Shown, numbers: Numbers) -> None:
    moment = numbers.steady()
    states = list(numbers.states_at(moment).values())
    live = sum(state not in f"{DONE}|{FAILED}".split("|") for state in states)
    blocks = numbers.running_on_blocks(moment)
    managers = {uid: one for uid, one in numbers.managers_at(moment).items() if one[0] in blocks}
    workers = sum(count for _, active, count, _ in managers.values() if active)
    busy = sum(blocks.values())
    assert live and busy and workers
    assert shown.number(OVERVIEW, "Running", at=moment) == 1
    assert shown.number(OVERVIEW, "Silent", at=moment) == 0
    assert shown.number(OVERVIEW, "Tasks in progress", at=moment) == live
    for board in (OVERVIEW, POOLS):
        assert shown.number(board, "Workers busy", at=moment) == busy / workers
    assert shown.number(POOLS, "Workers connected", at=moment) == workers
    assert shown.number(POOLS, "Tasks waiting for a worker", at=moment) == states.count("launched")

    def of_blocks(column: str) -> dict[str, float]:
        query = shown.query(POOLS, "Blocks", column)
        found = {frozenset(labels): value for labels, value in shown.ask(query, moment).items()}
        return {
            dict(labels)["block_id"]: value
            for labels, value in found.items()
            if ("executor", "htex") in labels
        }

    for block, running in blocks.items():
        mine = [manager for manager in managers.values() if manager[0] == block and manager[1]]
        assert of_blocks("Running tasks")[block] == running
        assert of_blocks("Managers")[block] == len(mine)
        assert of_blocks("Workers")[block] == sum(count for _, _, count, _ in mine)
        ((began,),) = numbers.rows(
            "SELECT min(timestamp) FROM block WHERE executor_label = 'htex' AND block_id = ? AND status = 'RUNNING'",
            block,
        )
        assert of_blocks("In it for")[block] == pytest.approx(moment - stamp(began), abs=0.01)

    for name, which in {"Active": 1, "Workers": 2, "Heartbeat before": 3}.items():
        found = shown.column(POOLS, "Managers", name, "manager", moment)
        for uid, manager in managers.items():
            expected = moment - manager[3] if which == 3 else float(manager[which])
            assert found[uid] == pytest.approx(expected, abs=0.01), (name, uid)


def test_a_run_links_to_its_own_life_time(world: World, shown: Shown) -> None:
    window = shown.panels["parsl-overview", "Runs"]["targets"][1]
    (labels,) = shown.ask(window)
    assert int(dict(labels)["since"]) == math.floor(1000 * (world.began - 60))
    assert int(dict(labels)["until"]) == math.ceil(1000 * (world.ended + 60))
    halfway = (world.began + world.ended) / 2
    (labels,) = world.prometheus.instant(world.fill(window["expr"], halfway), halfway)
    assert dict(labels)["until"] == "now"


def test_the_apps_by_state_equal_sql(shown: Shown, numbers: Numbers) -> None:
    for state in ("exec_done", "memo_done", "failed", "dep_fail", "pending", "running"):
        assert shown.column(STATES, "Apps", state, "app") == numbers.by_app(state), state
    assert shown.column(STATES, "Apps", "Tasks", "app") == numbers.by_app(f"{DONE}|{FAILED}")
    assert shown.column(STATES, "Apps", "Retries", "app") == numbers.tries_by_app("fail_retryable")
    failed, every = numbers.by_app(FAILED), numbers.by_app(f"{DONE}|{FAILED}")
    assert shown.column(STATES, "Apps", "Failed part", "app") == {
        app: failed[app] / every[app] for app in every
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
    used_by_app = numbers.sum_by_app(cpu)
    assert (
        shown.column(USAGE, "Apps", "CPU time", "app").items()
        >= {app: pytest.approx(used) for app, used in used_by_app.items()}.items()
    )
    for column, tries in {
        "Wasted": wasted,
        "Read": numbers.spread("psutil_process_disk_read"),
        "Written": numbers.spread("psutil_process_disk_write"),
    }.items():
        shown_by_app = shown.column(USAGE, "Apps", column, "app")
        assert {app: used for app, used in shown_by_app.items() if used} == {
            app: pytest.approx(used) for app, used in numbers.sum_by_app(tries).items() if used
        }
    burned = numbers.sum_by_app({tried: s for tried, s in ran.items() if numbers.apps[tried[0]] == "burn"})[
        "burn"
    ]
    per_second = shown.column(USAGE, "Apps", "CPU per running second", "app")["burn"]
    assert per_second == pytest.approx(used_by_app["burn"] / burned)


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
    mapped = shown.panels[POOLS, "State of each block"]["fieldConfig"]["defaults"]["mappings"][0]["options"]
    (query,) = shown.panels[POOLS, "State of each block"]["targets"]
    found = {
        f"{dict(labels)['executor']} {dict(labels)['block_id']}": mapped[f"{value:.0f}"]["text"]
        for labels, value in shown.ask(query).items()
    }
    assert found == latest
