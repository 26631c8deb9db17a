"""What the demo shows in a terminal: counts out of the exporter's own page."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from prometheus_client.parser import text_string_to_metric_families


class Counts(NamedTuple):
    """Numbers of a page: tasks by app and state, blocks by state, what running tasks hold; all runs together."""

    tasks: dict[str, Counter[str]]
    states: tuple[str, ...]
    blocks: Counter[str]
    memory: float
    cpu: float


def counts_of(page: str) -> Counts:
    """Take the numbers from a page in the text format."""
    tasks: dict[str, Counter[str]] = {}
    states: dict[str, None] = {}
    blocks: Counter[str] = Counter()
    memory = cpu = 0.0
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "parsl_tasks":
                states[sample.labels["state"]] = None
                tasks.setdefault(sample.labels["app"], Counter())[sample.labels["state"]] += int(sample.value)
            elif sample.name == "parsl_blocks":
                blocks[sample.labels["state"]] += int(sample.value)
            elif sample.name == "parsl_task_memory_resident_bytes":
                memory += sample.value
            elif sample.name == "parsl_task_cpu_seconds_total":
                cpu += sample.value
    return Counts(tasks, tuple(states), blocks, memory, cpu)


def line(counts: Counts) -> str:
    """The numbers in a line."""
    total: Counter[str] = sum(counts.tasks.values(), Counter())
    parts = [
        f"tasks: {_listed(total, counts.states) or 'none yet'}",
        f"blocks: {_listed(counts.blocks) or 'none yet'}",
    ]
    return "; ".join(parts)


def table(counts: Counts) -> list[str]:
    """The numbers in lines: a row a state, a column an app."""
    if not counts.tasks:
        return ["no run yet: Parsl is starting"]
    apps = list(counts.tasks)
    width = max(map(len, counts.states))
    widths = [max(len(app), 5) for app in apps]

    def row(first: str, cells: Sequence[object]) -> str:
        return "  ".join([first.ljust(width), *(str(c).rjust(w) for c, w in zip(cells, widths, strict=True))])

    rows = [row("tasks", apps)]
    rows += [row(s, [counts.tasks[app][s] or "." for app in apps]) for s in counts.states]
    rows += [
        "",
        f"blocks of workers   {_listed(counts.blocks) or 'none yet'}",
        f"resources of tasks  {counts.cpu:.1f} s of CPU, {counts.memory / 2**20:.0f} MiB held now",
    ]
    return rows


def _listed(counter: Counter[str], order: Sequence[str] = ()) -> str:
    names = sorted(counter, key=order.index) if order else list(counter)
    return ", ".join(f"{counter[name]} {name}" for name in names if counter[name])


class Screen:
    """Shows lines in place on a terminal that can; elsewhere `live` is False and lines follow each other."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        self.live = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def show(self, lines: Sequence[str]) -> None:
        """Replace what was shown last by `lines`; on a small terminal by as much of them as fits."""
        size = shutil.get_terminal_size()
        shown = [text[: size.columns - 1] for text in lines[: size.lines - 1]]
        # ECMA-48: cursor up (CUU), erase to the end of the page (ED).
        back = f"\x1b[{self._height}A\x1b[J" if self._height else ""
        self._out.write(back + "".join(f"{text}\n" for text in shown))
        self._out.flush()
        self._height = len(shown)

    def say(self, text: str) -> None:
        """Add a line that stays."""
        self._out.write(f"{text}\n")
        self._out.flush()
        self._height = 0
