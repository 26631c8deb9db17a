"""A real Parsl run under real Prometheuses: after it PromQL over what was scraped agrees with SQL over the database."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest
from support.exporter_process import environment, serving, until
from support.loopback import api, query, text_of
from support.oracle import Exemplar, Series, Summary, differences, expected
from support.processes import (
    INSTALLED_AND_TODAYS,
    each_programs,
    eventually,
    parsl_required,
    required,
    started,
    started_prometheus,
    there,
)
from support.source_harness import COUNTERS, HISTOGRAMS, NOT_HISTOGRAMS, SUMMARIES

pytestmark = [pytest.mark.integration, pytest.mark.stack]

RUN = Path(__file__).parent / "workloads" / "scraped_run.py"
SOURCE = "scraped"
REASONS = ["ValueError"]
CLOSE_AFTER = 2


class Scraped(NamedTuple):
    """A finished run: its database, its exporter and the Prometheus that scraped it, its begin, a time at rest,
    and what its database says then.
    """

    database: Path
    exporter: str
    prometheus: str
    began: float
    ended: float
    truth: Series

    def ask(self, expr: str, at: float | None = None) -> dict[frozenset[tuple[str, str]], float]:
        """The answer to a PromQL query, by labels."""
        found = query(self.prometheus, expr, time=self.ended if at is None else at)
        drop = {"__name__", "job", "instance"}
        return {
            frozenset((k, v) for k, v in one["metric"].items() if k not in drop): float(one["value"][1])
            for one in found
        }

    def by(self, label: str, query: str) -> dict[str, float]:
        """The answer to a query whose series have one label."""
        return {dict(key)[label]: value for key, value in self.ask(query).items()}

    def sql(self, query: str) -> dict[str, float]:
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
            return dict(connection.execute(query).fetchall())

    @property
    def window(self) -> str:
        """All of the run, as a range."""
        return f"{math.ceil(self.ended - self.began) + 5}s"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Scraped]]:
    """Let the run go to its end under Prometheuses that scrape every second."""
    parsl_required()
    folder = tmp_path_factory.mktemp("scraped")
    database = folder / "runinfo" / "monitoring.db"
    config = folder / "exporter.yml"
    config.write_text(
        f"close_after: {CLOSE_AFTER}s\npoll_interval: 250ms\nfailure_reasons: {json.dumps(REASONS)}\n"
        f"sources:\n  - {{path: {json.dumps(str(database))}, name: {SOURCE}}}\n"
    )
    with ExitStack() as stack:
        exporter = stack.enter_context(serving(folder, "--config.file", config))
        target = exporter.url.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nstorage: {exemplars: {max_exemplars: 100000}}\n"
            f"scrape_configs:\n  - {{job_name: parsl, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
        seen: dict[bool, Scraped] = {}
        for today, program in there("prometheus").items():
            storing, name = "--enable-feature=exemplar-storage", f"prometheus-{today}"
            url = stack.enter_context(started_prometheus(program, folder, storing, name=name))
            seen[today] = Scraped(database, exporter.url, url, time.time(), time.time(), {})
        for one in seen.values():
            until("a scrape", lambda one=one: one.ask("up == 1", time.time()), 60)  # type: ignore[misc]  # bound at once
        with started(
            sys.executable, RUN, cwd=folder, log=folder / "run.log", environment=environment()
        ) as run:
            # It has its own pipe: what it says is not needed, and must not fill it.
            run.communicate(timeout=240)
            assert run.returncode == 0, (folder / "run.log").read_text()
        end = "parsl_workflow_end_timestamp_seconds"
        ends = [
            value
            for one in seen.values()
            for value in until("the end", lambda one=one: tuple(one.ask(end, time.time()).values()), 60)  # type: ignore[misc]  # as above
        ]
        rest = max(*ends, time.time()) + CLOSE_AFTER + 3
        eventually("the scrapes after it", 60, lambda: time.time() > rest + 1)
        truth = expected(database, source=SOURCE, failure_reasons=REASONS)
        yield {today: one._replace(ended=rest, truth=truth) for today, one in seen.items()}


@pytest.fixture(scope="module", params=INSTALLED_AND_TODAYS)
def scraped(request: pytest.FixtureRequest, both: dict[bool, Scraped]) -> Scraped:
    required("prometheus", today=request.param)
    return both[request.param]


@pytest.mark.parametrize("family", NOT_HISTOGRAMS)
def test_the_last_scraped_values_are_those_of_the_database(scraped: Scraped, family: str) -> None:
    found = {family: dict(scraped.ask(family))}
    assert differences(scraped.truth, found, families=[family]) == []


@pytest.mark.parametrize("family", HISTOGRAMS)
def test_the_last_scraped_histograms_are_those_of_the_database(scraped: Scraped, family: str) -> None:
    truth = scraped.truth[family]
    counts = scraped.ask(f"{family}_count")
    assert counts == {key: histogram.count for key, histogram in truth.items()}  # type: ignore[union-attr]
    sums = scraped.ask(f"{family}_sum")
    assert sums == pytest.approx({key: histogram.sum for key, histogram in truth.items()})  # type: ignore[union-attr]
    buckets = {
        key | {("le", "+Inf" if bound == math.inf else f"{bound:g}")}: count
        for key, histogram in truth.items()
        for bound, count in histogram.buckets  # type: ignore[union-attr]
        if bound < 2**20 or bound == math.inf  # bounds of bytes are spelled in full
    }
    found = scraped.ask(f"{family}_bucket")
    spelled = {
        frozenset((k, _number(v)) if k == "le" else (k, v) for k, v in key): n for key, n in found.items()
    }
    assert {key: spelled[key] for key in buckets} == buckets


@pytest.mark.parametrize("family", SUMMARIES)
def test_the_last_scraped_quantiles_are_those_of_the_database(scraped: Scraped, family: str) -> None:
    found: defaultdict[frozenset[tuple[str, str]], dict[float, float]] = defaultdict(dict)
    for key, value in scraped.ask(family).items():
        (quantile,) = (float(text) for name, text in key if name == "quantile")
        found[frozenset(pair for pair in key if pair[0] != "quantile")][quantile] = value
    summaries: Series = {family: {key: Summary(tuple(sorted(of.items()))) for key, of in found.items()}}
    assert summaries[family]
    assert differences(scraped.truth, summaries, families=[family]) == []


@pytest.mark.parametrize("family", [name for name in HISTOGRAMS if name != "parsl_block_pending_seconds"])
def test_the_last_exemplar_of_each_bucket_is_the_try_that_ended_last(scraped: Scraped, family: str) -> None:
    of_buckets = {
        (key, bound): exemplar
        for key, histogram in scraped.truth[family].items()
        for bound, exemplar in histogram.exemplars or ()  # type: ignore[union-attr]  # of histograms
    }
    began, ended = scraped.began - 60, scraped.ended
    seen = {}
    for series in api(
        scraped.prometheus, "query_exemplars", query=f"{family}_bucket", start=began, end=ended
    ):
        own = {
            k: v for k, v in series["seriesLabels"].items() if k not in {"__name__", "job", "instance", "le"}
        }
        last = max(series["exemplars"], key=lambda one: one["timestamp"])
        of = {name: text for name, text in last["labels"].items() if name != "run_id"}
        assert last["labels"]["run_id"] == own["run_id"]
        task_id, try_id = int(of.pop("task_id")), int(of.pop("try_id"))
        assert not of
        found = Exemplar(last["timestamp"], task_id, try_id, float(last["value"]))
        seen[frozenset(own.items()), float(series["seriesLabels"]["le"])] = found
    assert of_buckets
    assert seen.keys() == of_buckets.keys()
    for bucket, true in of_buckets.items():
        one = seen[bucket]
        assert (one.task_id, one.try_id) == (true.task_id, true.try_id)
        assert one.value == pytest.approx(true.value)
        assert one.end == pytest.approx(true.end, abs=0.001)  # Prometheus keeps milliseconds


def _number(le: str) -> str:
    return le if le == "+Inf" else f"{float(le):g}"


@pytest.mark.parametrize("family", COUNTERS)
def test_no_counter_was_ever_reset(scraped: Scraped, family: str) -> None:
    resets = scraped.ask(f"resets({family}[{scraped.window}])")
    assert resets
    assert set(resets.values()) == {0}


def test_increases_are_the_rows_of_the_database(scraped: Scraped) -> None:
    # increase() extrapolates to the ends of its window: by 1.1 times the time between two scrapes at either end
    # (promql/functions.go, extrapolatedRate), which is more of it where a slow machine scrapes seldom. A series of one
    # scrape, as of a row whose app is not known for a moment, has no increase.
    rows = scraped.sql("SELECT task_status_name, count(*) FROM status GROUP BY task_status_name")
    query = f"sum by (state) (increase(parsl_task_transitions_total[{scraped.window}]))"
    first = f"sum by (state) (min_over_time(parsl_task_transitions_total[{scraped.window}]))"
    before = scraped.by("state", first)
    found = {state: round(n) + before[state] for state, n in scraped.by("state", query).items()}
    scrapes = min(
        scraped.by(
            "state", f"min by (state) (count_over_time(parsl_task_transitions_total[{scraped.window}]) > 1)"
        ).values()
    )
    assert {state: n for state, n in found.items() if n} == pytest.approx(
        rows, rel=2.2 / (scrapes - 1), abs=0.5
    )


def test_failures_are_those_of_the_tries(scraped: Scraped) -> None:
    found = scraped.by("reason", "sum by (reason) (parsl_task_failures_total)")
    assert {reason: n for reason, n in found.items() if n} == scraped.sql(
        """SELECT CASE WHEN task_fail_history LIKE 'ValueError(%' THEN 'ValueError' ELSE 'DependencyError' END,
                  count(*) FROM "try" WHERE task_fail_history <> '' GROUP BY 1"""
    )


def test_the_most_tasks_running_at_once_are_the_workers(scraped: Scraped) -> None:
    running = 'sum(parsl_tasks{app="hold", state="running"})'
    (most,) = scraped.ask(f"max_over_time({running}[{scraped.window}:1s])").values()
    # By their stamps, and by what the database held after each row: the end of one task may come after the begin of the
    # next, and a scrape just between.
    held = scraped.sql(
        """SELECT 'by stamps', max(n) FROM (
             SELECT (SELECT count(*) FROM status b JOIN status e USING (run_id, task_id, try_id)
                     JOIN task t USING (run_id, task_id)
                     WHERE t.task_func_name = 'hold' AND b.task_status_name = 'running'
                       AND e.task_status_name = 'running_ended'
                       AND b.timestamp <= s.timestamp AND e.timestamp > s.timestamp) AS n FROM status s)
           UNION SELECT 'by rows', max(n) FROM (
             SELECT (SELECT count(*) FROM status b JOIN task t USING (run_id, task_id)
                     WHERE t.task_func_name = 'hold' AND b.task_status_name = 'running' AND b.rowid <= s.rowid
                       AND NOT EXISTS (SELECT 1 FROM status e
                                       WHERE e.run_id = b.run_id AND e.task_id = b.task_id AND e.try_id = b.try_id
                                         AND e.task_status_name IN ('running_ended', 'exec_done')
                                         AND e.rowid <= s.rowid)) AS n FROM status s)"""
    )
    assert held["by stamps"] <= most <= held["by rows"]
    assert scraped.by("hostname", f"max_over_time(parsl_node_tasks_running[{scraped.window}])").keys() >= set(
        scraped.sql("SELECT hostname, 1 FROM \"try\" WHERE block_id IS NOT NULL AND hostname <> ''")
    )


@each_programs
def test_promtool_complains_of_nothing_but_the_word_summary(both: dict[bool, Scraped], today: bool) -> None:
    """Of the page and of a dump of the same run. A summary stands beside the histogram of the same values, and has to
    be called something else.
    """
    promtool = required("promtool", today=today)
    scraped = next(iter(both.values()))
    page = text_of(f"{scraped.exporter}/metrics").encode()
    dump = subprocess.run(
        [sys.executable, "-m", "parsl_exporter", "dump", scraped.database],
        env=environment(),
        capture_output=True,
        check=True,
    ).stdout
    for text in (page, dump):
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        words = {f"{name} metric name should not include type 'summary'" for name in SUMMARIES}
        assert checked.stdout == b""
        assert set(checked.stderr.decode().splitlines()) == words
