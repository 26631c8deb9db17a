"""What arrives where metrics are sent on to, against what SQL says of the databases that they came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parsl_exporter.metrics.families import FAMILIES
from support.exporter_process import until
from support.loopback import text_of
from support.oracle import Series, differences, expected, parse
from support.processes import required, started_listening
from support.rows import Told, attempt, block, lifecycle, task, workflow
from support.source_harness import REASONS

STORY: Sequence[Told] = [
    workflow(workflow_name="montage.py"),
    block("0", "RUNNING", 1),
    *(
        row
        for i in range(3)
        for row in (task(i), attempt(i), *lifecycle(i, ("pending", 1), ("launched", 2), ("running", 3)))
    ),
    *lifecycle(0, ("running_ended", 5), ("exec_done", 6)),
]
"""A run with a task that is done and two that run."""
NEXT: Sequence[Told] = lifecycle(1, ("running_ended", 7), ("exec_done", 8))
"""One more is done."""

SETTINGS = "{retention: 1000w, abandon_after: 1000w, timezone: UTC, close_after: 1s}\n"
"""Under which all that is in a database is shown, and soon closed."""


@contextmanager
def running(program: str, folder: Path, *flags: str) -> Iterator[str]:
    """A program of today on a port of loopback; its URL."""
    with started_listening(required(program, today=True), folder, *flags, name=program) as url:
        until("an answer", lambda: text_of(f"{url}/metrics"), 30)
        yield url


def wrong(page: str, *databases: Path, zone: str = "UTC") -> list[str]:
    """How a page differs from what SQL says of these databases, whose names are their paths.

    A job and an instance that the far end has added are let pass, and the `_count` and `_sum` that it makes up beside
    a summary's quantiles.
    """
    page = re.sub(r'\b(instance=""|job="parsl-exporter"),?', "", page)
    page = re.sub(r"(?m)^parsl_\w+_summary_\w+_(count|sum)\{.*\n", "", page)
    truth: Series = {}
    for database in databases:
        found = expected(database, source=str(database), timezone=zone, failure_reasons=REASONS)
        for family, samples in found.items():
            truth.setdefault(family, {}).update(samples)
    return differences(truth, parse(page))


def page_of(found: Sequence[dict[str, Any]], *added: str) -> str:
    """Samples as Prometheus's API has them, as a page, without the labels that were `added` on the way."""
    parts: dict[str, list[str]] = {}
    for one in found:
        labels = {name: text for name, text in one["metric"].items() if name not in (*added, "__name__")}
        written = ",".join(f'{name}="{text}"' for name, text in labels.items())
        parts.setdefault(one["metric"]["__name__"], []).append(f"{{{written}}} {one['value'][1]}\n")
    lines = []
    for family in FAMILIES:
        lines.append(f"# TYPE {family.name} {family.kind}\n")
        own = ("_bucket", "_count", "_sum") if family.kind == "histogram" else ("",)
        for name in (f"{family.name}{part}" for part in own):
            lines += [f"{name}{line}" for line in parts.get(name, ())]
    return "".join(lines)
