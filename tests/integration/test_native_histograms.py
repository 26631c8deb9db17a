"""Native histograms in a Prometheus that asks for them: one series each, and true quantiles."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from support.exporter_process import serving, until
from support.loopback import api, query
from support.processes import required, started_prometheus
from support.rows import EPOCH, RUN, Told, attempt, lifecycle, task, workflow, write

pytestmark = [pytest.mark.integration, pytest.mark.stack]

TASKS = 400
LENGTHS = [0.02 * 1.03**i for i in range(TASKS)]
"""Seconds, from a fiftieth of a second to 45 minutes."""
DURATIONS = "parsl_task_state_duration_seconds"
RUNNING = f'{DURATIONS}{{state="running"}}'


def story() -> list[Told]:
    rows = [workflow(completed=4_000)]
    for i, length in enumerate(LENGTHS):
        states = (("pending", 1.0), ("launched", 1.0), ("running", 1.0), ("exec_done", 1 + length))
        rows += [task(i), attempt(i), *lifecycle(i, *states)]
    return rows


class Site(NamedTuple):
    """Prometheuses that scrape an exporter: without classic buckets (False) and with them (True)."""

    prometheus: dict[bool, str]

    def ask(self, expr: str, *, classic: bool = False) -> float:
        (found,) = query(self.prometheus[classic], expr)
        return float(found["value"][1])

    def count(self, selector: str, *, classic: bool = False) -> int:
        return len(query(self.prometheus[classic], selector))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    program = required("prometheus", today=True)
    folder = tmp_path_factory.mktemp("native")
    database = write(folder / "monitoring.db", story())
    config = folder / "exporter.yml"
    config.write_text(
        f"retention: 3650d\nabandon_after: 3650d\ntimezone: UTC\nsources: [{{path: {json.dumps(str(database))}}}]\n"
    )
    with ExitStack() as stack:
        exporter = stack.enter_context(serving(folder, "--config.file", config))
        target = exporter.url.removeprefix("http://")
        urls = {}
        for classic in (False, True):
            name = f"prometheus-{classic}"
            (folder / f"{name}.yml").write_text(
                "global: {scrape_interval: 1s}\nscrape_configs:\n"
                f"  - {{job_name: parsl, always_scrape_classic_histograms: {str(classic).lower()},"
                f" static_configs: [{{targets: ['{target}']}}]}}\n"
            )
            features = "--enable-feature=native-histograms,exemplar-storage"
            urls[classic] = stack.enter_context(
                started_prometheus(program, folder, features, name=name, config=f"{name}.yml")
            )
        for url in urls.values():
            until("a scrape", lambda url=url: query(url, "parsl_tasks"), 60)  # type: ignore[misc]  # bound at once
        yield Site(urls)


@pytest.mark.parametrize("q", [0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
def test_a_quantile_is_within_a_tenth_of_the_true_one(site: Site, q: float) -> None:
    true = sorted(LENGTHS)[math.ceil(q * TASKS) - 1]
    assert site.ask(f"histogram_quantile({q}, {RUNNING})") == pytest.approx(true, rel=0.1)


def test_a_histogram_is_one_series(site: Site) -> None:
    assert site.count(RUNNING) == 1
    assert site.count(f"{DURATIONS}_bucket") == site.count(f"{DURATIONS}_count") == 0


def test_it_holds_what_was_observed(site: Site) -> None:
    assert site.ask(f"histogram_count({RUNNING})") == TASKS
    assert site.ask(f"histogram_sum({RUNNING})") == pytest.approx(sum(LENGTHS), rel=1e-6)


def test_one_that_observed_nothing_is_native_too(site: Site) -> None:
    assert site.ask(f'histogram_count({DURATIONS}{{state="joining"}})') == 0


def test_classic_buckets_come_beside_them_when_asked_for(site: Site) -> None:
    assert site.count(RUNNING, classic=True) == 1
    assert site.ask(f'{DURATIONS}_bucket{{state="running",le="+Inf"}}', classic=True) == TASKS
    assert site.count(f'{DURATIONS}_bucket{{state="running"}}', classic=True) == 15


def test_summaries_count_nothing_falsely(site: Site) -> None:
    summary = "parsl_task_state_summary_seconds"
    assert site.ask(f'{summary}{{state="running",quantile="1.0"}}') == pytest.approx(max(LENGTHS), abs=1e-5)
    assert site.count(f"{summary}_count") == site.count(f"{summary}_sum") == 0


def test_the_other_families_are_there_as_in_text(site: Site) -> None:
    assert site.ask('parsl_tasks{state="exec_done"}') == TASKS
    assert site.ask('parsl_task_transitions_total{state="pending"}') == TASKS
    assert site.count("process_cpu_seconds_total") == site.count("python_info") == 1
    assert site.count("parsl_exporter_build_info") == 1


def test_the_dot_of_a_native_histogram_leads_to_a_task(site: Site) -> None:
    began, ended = EPOCH, EPOCH + 4_000
    found = api(site.prometheus[False], "query_exemplars", query=RUNNING, start=began, end=ended)
    exemplars = [one for series in found for one in series["exemplars"]]
    longest = max(exemplars, key=lambda one: float(one["value"]))
    assert longest["labels"] == {"run_id": RUN, "task_id": str(TASKS - 1), "try_id": "0"}
    assert float(longest["value"]) == pytest.approx(LENGTHS[-1], abs=1e-5)
    assert longest["timestamp"] == pytest.approx(EPOCH + 1 + LENGTHS[-1], abs=1e-2)
