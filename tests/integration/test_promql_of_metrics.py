"""What docs/metrics.md asks of each family is answered by real Prometheuses that scraped a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_samples import Samples, holding, one_of
from dashboard_world import Prometheus
from docs.build import questions
from support.processes import INSTALLED_AND_TODAYS
from support.replay import Replay
from support.source_harness import FakeClock, SourceHarness

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.family import draw_all
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.snapshot import Rendered
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, ProcessFacts

pytestmark = [pytest.mark.integration, pytest.mark.stack]

RUN = "std-2026.10.26"
SCRAPE_INTERVAL = 5
AFTERWARDS = 60
"""Seconds for which it is scraped when nothing comes any more."""


def history(folder: Path) -> tuple[Samples, float, float]:
    """What was scraped while the run wrote its database, and from when to when."""
    replay = Replay(RUN, folder)
    clock = FakeClock(replay.commits[0].at)
    exporter = SourceHarness(replay.database, fake_clock=clock)
    process = Rendered((), draw_all(PROCESS_FAMILIES, ProcessFacts("0", "", "3", True, clock.wall)), None)
    scraped = Samples()
    began = next_scrape = clock.wall
    ends = [*(commit.at for commit in replay.commits[1:]), replay.commits[-1].at + AFTERWARDS]
    for commit, end in zip(replay.commits, ends, strict=True):
        replay.play(commit)
        exporter.poll(every=0)
        while clock.wall < end:
            if clock.wall >= next_scrape:
                exporter.poll(every=0)
                page = Page([exporter.source.published.snapshot], process).body(Format.TEXT).decode()
                for line in page.splitlines():
                    if not line.startswith("#"):
                        series, _, value = line.rpartition(" ")
                        scraped.of[series].append(f"{value} {clock.wall:.3f}")
                next_scrape += SCRAPE_INTERVAL
            clock.go_on(min(end, max(next_scrape, clock.wall)) - clock.wall or 1e-3)
    return scraped, began, clock.wall


Asked = tuple[dict[bool, Prometheus], float, float]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Prometheuses that hold what was scraped, and the time of the run."""
    folder = tmp_path_factory.mktemp("asked")
    scraped, began, ended = history(folder)
    with holding(folder, scraped) as held:
        yield held, began, ended


@pytest.mark.parametrize("today", INSTALLED_AND_TODAYS)
def test_each_question_is_answered(asked: Asked, today: bool) -> None:
    held, began, ended = asked
    prometheus = one_of(held, today=today)
    unanswered = []
    for family, question in questions().items():
        found = prometheus.get(
            "query_range", query=question["expr"], start=began, end=ended, step=SCRAPE_INTERVAL
        )["result"]
        if not any(value != "NaN" for series in found for _, value in series["values"]):
            unanswered.append(family)
    assert unanswered == []
