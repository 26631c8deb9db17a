"""What docs/metrics.md asks of each family is answered by real Prometheuses that scraped a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dashboard_samples import Samples, fill
from docs.build import questions
from support.exporter_process import until
from support.loopback import api
from support.processes import INSTALLED_AND_TODAYS, required, started_prometheus, there
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


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, tuple[str, float, float]]]:
    """Prometheuses that hold what was scraped, each with the time of the run."""
    folder = tmp_path_factory.mktemp("asked")
    scraped, began, ended = history(folder)
    text = folder / "scraped.txt"
    text.write_text(scraped.text())
    (folder / "prometheus.yml").write_text("{}")
    promtools = there("promtool")
    with ExitStack() as stack:
        urls = {}
        for today, program in there("prometheus").items():
            keeping, name = "--storage.tsdb.retention.time=100y", f"prometheus-{today}"
            fill(folder / name, text, promtools[today])
            urls[today] = stack.enter_context(started_prometheus(program, folder, keeping, name=name))
        for url in urls.values():
            until("a Prometheus", lambda url=url: api(url, "labels"), 60)  # type: ignore[misc]  # bound at once
        yield {today: (url, began, ended) for today, url in urls.items()}


@pytest.mark.parametrize("today", INSTALLED_AND_TODAYS)
def test_each_question_is_answered(answers: dict[bool, tuple[str, float, float]], today: bool) -> None:
    required("prometheus", today=today)
    url, began, ended = answers[today]
    unanswered = []
    for family, asked in questions().items():
        found = api(url, "query_range", query=asked["expr"], start=began, end=ended, step=SCRAPE_INTERVAL)[
            "result"
        ]
        if not any(value != "NaN" for series in found for _, value in series["values"]):
            unanswered.append(family)
    assert unanswered == []
