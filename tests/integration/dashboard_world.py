"""A workflow that ran to its end under real Prometheuses, and what they hold of it."""

from __future__ import annotations

import json
import math
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from grafana import inventory
from support.exporter_process import environment, serving, until
from support.loopback import api
from support.processes import eventually, of_group, parsl_required, started, started_prometheus, there

ROOT = Path(__file__).parents[2]
WORKFLOW = Path(__file__).with_name("dashboard_workflow.py")
SOURCE = "this run"
SCRAPE_INTERVAL = 1
CLOSE_AFTER = 2


class Prometheus(NamedTuple):
    """A Prometheus that answers on loopback."""

    url: str

    def get(self, path: str, **parameters: str | float) -> Any:
        return api(self.url, path, **parameters)

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
            "campaign": "dashboards",
            "__range": f"{math.ceil(at - self.began) + 60}s",
            "__interval": f"{SCRAPE_INTERVAL}s",
            "__rate_interval": f"{4 * SCRAPE_INTERVAL}s",
        }
        return inventory.fill(expr, values)

    def moments(self) -> list[float]:
        """Times all through the run, and one after its end."""
        steps = int(self.ended - self.began)
        return [self.began + 1 + i for i in range(steps)] + [self.after]

    def answers(self, ask: inventory.Ask, **chosen: str) -> Iterator[float]:
        """The numbers that a query gives while the run lives and after it."""
        if ask.instant:
            for at in self.moments():
                yield from self.prometheus.instant(self.fill(ask.expr, at, **chosen), at).values()
        else:
            expr = self.fill(ask.expr, self.after, **chosen)
            yield from self.prometheus.over_time(expr, self.began, self.after)

    def answered(self, ask: inventory.Ask, **chosen: str) -> bool:
        """Whether a query gives a number, or a variable's a value."""
        if ask.label:
            wanted: dict[str, str | float] = {"match[]": self.fill(ask.expr, self.after, **chosen)}
            wanted |= {"start": self.began, "end": self.after}
            return bool(self.prometheus.get(f"label/{ask.label}/values", **wanted))
        return any(math.isfinite(value) for value in self.answers(ask, **chosen))

    @property
    def after(self) -> float:
        return self.ended + CLOSE_AFTER + 3 * SCRAPE_INTERVAL


@contextmanager
def scraped(folder: Path) -> Iterator[dict[bool, World]]:
    """Run the workflow to its end under a Prometheus for each of `processes.INSTALLED_AND_TODAYS`."""
    parsl_required()
    database = folder / "runinfo" / "monitoring.db"
    (folder / "exporter.yml").write_text(
        f"close_after: {CLOSE_AFTER}s\npoll_interval: 250ms\n"
        f"sources:\n  - {{path: {json.dumps(str(database))}, name: {SOURCE}}}\n"
    )

    def rows(query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    with ExitStack() as stack:
        exporter = stack.enter_context(serving(folder, "--config.file", "exporter.yml"))
        target = exporter.url.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE_INTERVAL}s, evaluation_interval: {SCRAPE_INTERVAL}s}}\n"
            f"rule_files: [{json.dumps(str(ROOT / 'config/rules/*.yml'))}]\n"
            "scrape_configs:\n"
            f"  - {{job_name: parsl-exporter, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
        asked: dict[bool, Prometheus] = {}
        for today, program in there("prometheus").items():
            storing, name = "--enable-feature=exemplar-storage", f"prometheus-{today}"
            url = stack.enter_context(started_prometheus(program, folder, storing, name=name))
            asked[today] = Prometheus(url)

        def everywhere(what: str, expr: str) -> None:
            for one in asked.values():
                until(what, lambda one=one: one.instant(expr, time.time()), 60)  # type: ignore[misc]  # bound at once

        everywhere("a first scrape", "up == 1")
        log = folder / "workflow.log"
        workflow = stack.enter_context(
            started(sys.executable, WORKFLOW, cwd=folder, log=log, environment=environment())
        )
        workflow.communicate(timeout=240)
        assert workflow.returncode == 0, log.read_text()
        # Parsl's database manager outlives the workflow, and may write the end once more.
        eventually("the last row", 60, lambda: not of_group(workflow.pid))
        everywhere("the run's end", "parsl_workflow_end_timestamp_seconds")
        ((run_id, began, ended),) = rows("SELECT run_id, time_began, time_completed FROM workflow")
        found = {
            today: World(prometheus, rows, run_id, stamp(began), stamp(ended))
            for today, prometheus in asked.items()
        }
        eventually("the last scrape", 60, lambda: all(time.time() > one.after for one in found.values()))
        yield found


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
