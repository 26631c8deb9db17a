"""The runs as lines and tables: on a terminal coloured and in place, in a pipe as plain text, a run a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from io import StringIO, TextIOWrapper
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from parsl_exporter.base.errors import ReaderGone
from parsl_exporter.base.output import on_one_line
from parsl_exporter.model.report import RunReport, SourceReport
from parsl_exporter.model.verdict import Severity, Verdict, ranked
from parsl_exporter.model.wording import age, counted, facts, number, tasks_by_app

NEWEST = 10
"""Runs of a source that are read and listed; more where more of them live."""

_STYLES: Mapping[Severity, str] = {"ok": "green", "warning": "yellow", "critical": "bold red"}
_MARKS: Mapping[Severity, str] = {"ok": "", "warning": "!", "critical": "!!"}
_STATE_STYLES = {"down": "bold red", "reading": "yellow", "up": "green"}
_QUIET = "dim"
_GAP = 2
_SHORT = 8
"""Characters of a run's id that tell it from others, as a rule."""
_LONGEST_NAME, _LONGEST_APP = 24, 40
_LEAST_VERDICT = 50
"""Columns."""
UNBOUNDED = 100_000
"""Columns where nothing is to be broken."""


class Screen:
    """Standard output. `live`: it is a terminal that can be redrawn in place."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self.live = self._console.is_terminal and not self._console.is_dumb_terminal

    def text(self, shown: RenderableType) -> str:
        """Give what is to be written to show it: as wide as the terminal, in a pipe as wide as it comes and plain."""
        console = self._console
        if not console.is_terminal:
            console = Console(file=StringIO(), width=UNBOUNDED, color_system=None, highlight=False)
        with console.capture() as captured:
            console.print(shown)
        return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())

    @contextmanager
    def shown(self, what: Callable[[], RenderableType]) -> Iterator[Callable[[], object]]:
        """Show what that gives, in place: now, at each call of what is given, and a last time at the end.

        Raises ReaderGone when the terminal has gone.
        """
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with Live(get_renderable=what, console=self._console, auto_refresh=False) as live:
                yield live.refresh
        except OSError:
            raise ReaderGone("standard output: its terminal has gone") from None


def board(reports: Iterable[SourceReport], *, details: bool) -> RenderableType:
    """All sources, one after the other."""
    return Group(*(source(report, details=details) for report in reports))


def source(report: SourceReport, *, details: bool) -> RenderableType:
    """A source: its runs, a line each, then more of those that live, or else of the first; of all with `details`."""
    runs = ranked(report.runs, report.as_of)
    living = sum(judged.live for _, judged in runs)
    listed = runs if details else runs[: max(living, NEWEST)]
    parts: list[RenderableType] = [_head(report)]
    if listed:
        parts += [Text(""), Padding(_Runs(listed, report.as_of), (0, 0, 0, _GAP))]
    if left := report.others + len(runs) - len(listed):
        parts += [Text(f"  and {number(left, 'older run')} (--run ID)", _QUIET)]
    for run, _ in listed if details else listed[: max(living, 1)]:
        parts += [Text(""), Padding(_details(run), (0, 0, 0, _GAP))]
    return Group(*parts, Text(""))


class News(NamedTuple):
    """A line, and what it tells but for times that go by: while that is equal, there are no news."""

    told: object
    line: str


def news(reports: Iterable[SourceReport]) -> dict[str, News]:
    """A line for each run, and for each source that cannot be read, by what it is about."""
    found = {}
    for report in reports:
        time = f"{datetime.fromtimestamp(report.as_of, timezone.utc):%H:%M:%S}"
        if report.state != "up":
            line = "".join(titled(report))
            found[report.name] = News(line, f"{time}  {line}")
        for run, judged in ranked(report.runs, report.as_of):
            text = f"{_short(run)}  {run.names['workflow_name']}  {judged.text}"
            text += f"; tasks: {counted(run.tasks_by_state()) or 'none yet'}"
            text += f"; blocks: {counted(run.blocks_by_state()) or 'none yet'}"
            told = (run._replace(heard_us=0), judged.severity, judged.live)
            found[f"{report.name} {run.run_id}"] = News(told, f"{time}  {on_one_line(text)}")
    return found


def titled(report: SourceReport) -> tuple[str, str]:
    """Give a source's name, as the begin of a line, and what there is to say of it; most faults begin with the name."""
    message = on_one_line(report.message.removeprefix(f"{report.name}: "))
    return f"{on_one_line(report.name)}: ", message


def _head(report: SourceReport) -> Text:
    name, message = titled(report)
    return Text(name).append(message, _STATE_STYLES.get(report.state, ""))


class _Runs:
    """Runs, each with its verdict beside it or, where that would be too narrow to read, below it."""

    def __init__(self, runs: Sequence[tuple[RunReport, Verdict]], now: float) -> None:
        self._rows = [
            (
                Text(_MARKS[severity], _STYLES[severity]),
                Text(_short(run)),
                Text(_cut(run.names["workflow_name"], _LONGEST_NAME)),
                Text(age(run, now, live=live), _QUIET),
                Text(on_one_line(text), _STYLES[severity] if severity != "ok" or live else ""),
            )
            for run, (severity, text, live) in runs
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay them out as wide as there is room."""
        taken = sum(
            max(cell.cell_len for cell in column) + _GAP for column in list(zip(*self._rows, strict=True))[:4]
        )
        beside = options.max_width - taken >= _LEAST_VERDICT
        table = Table.grid(padding=(0, _GAP, 0, 0))
        for _ in range(4 if beside else 1):
            table.add_column(no_wrap=True)
        table.add_column()
        for *cells, text in self._rows:
            if beside:
                table.add_row(*cells, text)
            else:
                table.add_row(cells[0], Text(" " * _GAP).join(cells[1:]))
                table.add_row("", text)
        yield table


def _details(run: RunReport) -> RenderableType:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True, style=_QUIET)
    grid.add_column()
    for subject, texts in facts(run):
        for i, text in enumerate(texts):
            grid.add_row(Text("" if i else subject), Text(on_one_line(text)))
    return Group(grid, Text(""), _Tasks(run)) if run.tasks else grid


class _Tasks:
    """A run's tasks: a row an app, a column a state; where that is too wide the names of states are broken at `_`."""

    def __init__(self, run: RunReport) -> None:
        states, apps = tasks_by_app(run)
        self._heads = [on_one_line(state) for state in states]
        self._rows = [(_cut(app, _LONGEST_APP), counts) for app, counts in apps.items()]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out as wide as there is room."""
        heads = self._heads
        width = max(cell_len(app) for app, _ in self._rows) + sum(_GAP + max(cell_len(h), 5) for h in heads)
        if width > options.max_width:
            heads = [head.replace("_", "_\n") for head in heads]
        table = Table.grid(padding=(0, _GAP, 0, 0))
        table.add_column(overflow="ellipsis")
        for _ in heads:
            table.add_column(justify="right", no_wrap=True)
        table.add_row(Text("tasks"), *map(Text, heads), style=_QUIET)
        for app, counts in self._rows:
            table.add_row(Text(app), *(Text(f"{count:,}" if count else ".") for count in counts))
        yield table


def _cut(text: str, longest: int) -> str:
    text = on_one_line(text)
    return text if cell_len(text) <= longest else f"{set_cell_size(text, longest - 3)}..."


def _short(run: RunReport) -> str:
    """So much of a run's id as tells it from others."""
    return on_one_line(run.run_id[:_SHORT])
