"""Draw docs/overview.png: panels of the dashboards, with what a real run gave.

    parsl-exporter demo --with-prometheus --duration 6m
    python -m docs.picture http://127.0.0.1:PORT docs/overview.png

The first prints the URL of its Prometheus; five minutes later the second asks that, from the checkout and with
matplotlib installed (the project's `docs` dependencies). Panels, queries, names and colours are those of
grafana/dashboards/, for the newest run from its start to now; only the drawing is not Grafana's.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from grafana import inventory
from grafana.inventory import Board
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from matplotlib.transforms import IdentityTransform

WIDTH, HEIGHT, MARGIN, GAP = 1600, 900, 16, 10
PAGE, PANEL, BORDER, TEXT, DIM, GRID = "#111217", "#181b1f", "#2b2e34", "#d8d9e0", "#9c9da6", "#2c2f35"
PALETTE = ("#3A86E8", "#2F9A44", "#B58400", "#C05CB5", "#0E9C8C", "#E0641A", "#8F7AD6", "#7389A3")
"""For series to which the dashboards give no colour."""

NUMBERS = ("State", "Runtime", "Done", "Failed", "In progress", "Progress")
STEP = 2
"""Seconds between two points: the demo's scrape interval."""

RATE_INTERVAL = 4 * STEP
"""Grafana's $__rate_interval where points are no denser than scrapes."""

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Box(NamedTuple):
    """A place on the picture, in pixels from its top left corner."""

    x: float
    y: float
    width: float
    height: float

    def split(self, *shares: float) -> list[Box]:
        """Parts beside each other, with gaps between them."""
        unit = (self.width - GAP * (len(shares) - 1)) / sum(shares)
        xs = [self.x + i * GAP + unit * sum(shares[:i]) for i in range(len(shares))]
        return [Box(x, self.y, unit * share, self.height) for x, share in zip(xs, shares, strict=True)]

    def inner(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[float, float, float, float]:
        """What is left within these margins, as matplotlib has it: in parts of the picture, from below."""
        y = HEIGHT - self.y - self.height + bottom
        width, height = self.width - left - right, self.height - top - bottom
        return (self.left(left), y / HEIGHT, width / WIDTH, height / HEIGHT)

    def left(self, x: float) -> float:
        """A distance from the left edge, in parts of the picture."""
        return (self.x + x) / WIDTH

    def top(self, y: float) -> float:
        """A distance from the upper edge, in parts of the picture."""
        return 1 - (self.y + y) / HEIGHT


class Run:
    """The newest run that a Prometheus knows, and what the dashboards show of it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._panels = {(b["uid"], p["title"]): p for b in inventory.boards() for p in inventory.panels(b)}
        self.end = time.time()
        self._values = dict.fromkeys(("source", "workflow", "executor", "app"), ".*")
        self._values |= {"__range": "1h", "__rate_interval": f"{RATE_INTERVAL}s"}
        of_run = next(
            a
            for a in inventory.all_asks()
            if (a.board, a.kind, a.title) == ("parsl-task-states", "variable", "run")
        )
        newest = self._instant(of_run.expr)
        if not newest:
            raise SystemExit(f"{url} knows no run of the last hour")
        self.name, self.id = newest[0]["metric"]["workflow_name"], newest[0]["metric"]["run_id"]
        self._values["run"] = self.id
        self.start = self.end - float(self.instant(self.panel("parsl-task-states", "Runtime"))[0]["value"][1])
        self._values["__range"] = f"{math.ceil(self.end - self.start)}s"

    def panel(self, board: str, title: str) -> Board:
        """A panel of the dashboards."""
        return self._panels[board, title]

    def instant(self, panel: Board) -> list[dict[str, Any]]:
        """What a panel of one moment shows now."""
        (query,) = panel["targets"]
        return self._instant(query["expr"])

    def series(self, panel: Board) -> dict[str, dict[float, float]]:
        """What a panel shows over time: values by time, by the series' names, in Prometheus' order."""
        found: dict[str, dict[float, float]] = {}
        for query in panel["targets"]:
            answer = self._ask("query_range", query["expr"], start=self.start, end=self.end, step=STEP)
            for one in answer:
                name = query["legendFormat"]
                for label, value in one["metric"].items():
                    name = name.replace(f"{{{{{label}}}}}", value)
                found[name] = {at: float(value) for at, value in one["values"]}
        return found

    def times(self) -> list[float]:
        """The moments of the points."""
        return [self.start + i * STEP for i in range(int((self.end - self.start) / STEP) + 1)]

    def _instant(self, expr: str) -> list[dict[str, Any]]:
        return self._ask("query", expr, time=self.end)

    def _ask(self, path: str, expr: str, **parameters: float) -> list[dict[str, Any]]:
        asked = {"query": inventory.fill(expr, self._values)} | {k: f"{v:.3f}" for k, v in parameters.items()}
        with _NO_PROXY.open(
            f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(asked)}", timeout=30
        ) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


def draw(run: Run) -> Figure:
    """Lay the panels out: numbers, tasks, workers and resources, alerts."""
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=PAGE)
    alerts = run.panel("parsl-overview", "Firing alerts")
    firing = run.instant(alerts)
    page = Box(MARGIN, 0, WIDTH - 2 * MARGIN, HEIGHT)
    _heading(figure, run, page._replace(y=10, height=34))
    numbers = page._replace(y=52, height=98)
    tall = 72 + 30 * max(1, len(firing))
    low = page._replace(y=HEIGHT - MARGIN - tall, height=tall)
    top = numbers.y + numbers.height + GAP
    height = (low.y - top - 2 * GAP) / 2
    high, middle = page._replace(y=top, height=height), page._replace(y=top + height + GAP, height=height)
    for title, box in zip(NUMBERS, numbers.split(*(1 for _ in NUMBERS)), strict=True):
        _number(figure, run, run.panel("parsl-task-states", title), box)
    over_time = {
        ("parsl-task-states", "Tasks by state"): 5,
        ("parsl-task-states", "Tasks in progress"): 5,
        ("parsl-worker-pools", "Workers: busy and connected"): 3,
        ("parsl-worker-pools", "Blocks by state"): 4,
        ("parsl-cpu-memory", "CPU: used and there"): 3,
    }
    boxes = high.split(1, 1) + middle.split(1, 1, 1)
    for (place, columns), box in zip(over_time.items(), boxes, strict=True):
        _lines(figure, run, run.panel(*place), box, columns)
    _table(figure, alerts, firing, low)
    return figure


def _heading(figure: Figure, run: Run, box: Box) -> None:
    began, ended = _utc(run.start), _utc(run.end)
    figure.text(box.left(2), box.top(17), f"Run {run.name} {run.id[:8]}", color=TEXT, size=16, va="center")
    figure.text(
        box.left(box.width - 2), box.top(17), f"{began:%Y-%m-%d %H:%M:%S} to {ended:%H:%M:%S} UTC",
        color=DIM, size=14, va="center", ha="right",
    )  # fmt: skip


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)


def _frame(figure: Figure, panel: Board, box: Box) -> None:
    x, y, width, height = box.inner(0, 0, 0, 0)
    figure.add_artist(
        FancyBboxPatch(
            (x * WIDTH, y * HEIGHT), width * WIDTH, height * HEIGHT,
            boxstyle="round,pad=0,rounding_size=4", facecolor=PANEL, edgecolor=BORDER,
            transform=IdentityTransform(), zorder=-1,
        )
    )  # fmt: skip
    figure.text(box.left(12), box.top(20), panel["title"], color=TEXT, size=15, va="center")


def _number(figure: Figure, run: Run, panel: Board, box: Box) -> None:
    _frame(figure, panel, box)
    defaults = panel["fieldConfig"]["defaults"]
    text, color = defaults["noValue"], TEXT
    if found := run.instant(panel):
        value = float(found[0]["value"][1])
        text = _shown(value, defaults["unit"])
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is None or value >= step["value"]:
                color = step["color"]
        for mapping in defaults.get("mappings", []):
            word = mapping["options"].get(f"{value:.0f}", {"text": text, "color": color})
            text, color = word["text"], word["color"]
    figure.text(
        box.left(box.width / 2), box.top(64), text,
        color=TEXT if color == "text" else color, size=29, va="center", ha="center",
    )  # fmt: skip


def _shown(value: float, unit: str) -> str:
    """A value in one of the units of Grafana that the numbers have."""
    if unit == "dtdhms":
        minutes, seconds = divmod(int(value), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return f"{100 * value:.1f}%" if unit == "percentunit" else f"{value:,.0f}"


def _lines(figure: Figure, run: Run, panel: Board, box: Box, columns: int) -> None:
    _frame(figure, panel, box)
    series = run.series(panel)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    given = _given_colors(panel)
    opacity = custom["fillOpacity"] / 100
    colors = [given.get(name, PALETTE[i % len(PALETTE)]) for i, name in enumerate(series)]
    legend = 28 * math.ceil(len(series) / columns)
    axes = figure.add_axes(box.inner(76, 44, 18, 46 + legend), facecolor=PANEL)
    moments = run.times()
    if custom["stacking"]["mode"] == "normal":
        _stack(axes, [_aligned(run, points, 0.0) for points in series.values()], moments, colors, opacity)
    else:
        for points, color in zip(series.values(), colors, strict=True):
            values = _aligned(run, points, math.nan)
            axes.plot(moments, values, color=color, linewidth=2)
            axes.fill_between(moments, values, color=color, alpha=opacity, linewidth=0)
    _scales(axes, custom["axisLabel"], moments)
    handles = [Patch(color=color, label=name) for name, color in zip(series, colors, strict=True)]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(box.left(4), box.inner(0, 0, 0, 4)[1]), ncols=columns,
        frameon=False, labelcolor=TEXT, fontsize=13.5, handlelength=0.9, handleheight=0.4, columnspacing=1.0,
        handletextpad=0.5, labelspacing=0.45, borderpad=0.3,
    )  # fmt: skip


def _stack(
    axes: Axes,
    series: Sequence[Sequence[float]],
    moments: Sequence[float],
    colors: Sequence[str],
    opacity: float,
) -> None:
    """Areas on top of each other. A count holds until the next scrape; where it is none, there is no line."""
    edges = [*moments, 2 * moments[-1] - moments[-2]]
    below = [0.0] * len(moments)
    for values, color in zip(series, colors, strict=True):
        above = [low + value for low, value in zip(below, values, strict=True)]
        axes.stairs(above, edges, baseline=below, fill=True, color=color, alpha=opacity, linewidth=0)
        seen = [high if value else math.nan for high, value in zip(above, values, strict=True)]
        axes.stairs(seen, edges, baseline=None, color=color, linewidth=1.6)
        below = above


def _given_colors(panel: Board) -> dict[str, str]:
    return {
        one["matcher"]["options"]: change["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
        for change in one["properties"]
        if change["id"] == "color"
    }


def _aligned(run: Run, points: Mapping[float, float], missing: float) -> list[float]:
    by_index = {round((at - run.start) / STEP): value for at, value in points.items()}
    return [by_index.get(i, missing) for i in range(len(run.times()))]


def _scales(axes: Axes, label: str, moments: Sequence[float]) -> None:
    axes.set_xlim(moments[0], moments[-1])
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label, color=DIM, size=14)
    axes.yaxis.set_label_coords(-54 / axes.bbox.width, 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    minutes = max(1, round((moments[-1] - moments[0]) / 300))
    axes.xaxis.set_major_locator(MultipleLocator(60 * minutes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{_utc(at):%H:%M}"))
    axes.tick_params(colors=DIM, labelsize=13.5, length=0, pad=6)
    axes.grid(color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _table(figure: Figure, panel: Board, rows: Sequence[Mapping[str, Any]], box: Box) -> None:
    """One row for each alert, with those columns of the panel that any of them fills."""
    _frame(figure, panel, box)
    if not rows:
        middle = box.left(box.width / 2), box.top(box.height / 2 + 8)
        figure.text(*middle, panel["fieldConfig"]["defaults"]["noValue"], color=DIM, size=14, ha="center")
        return
    options = panel["transformations"][0]["options"]
    order = sorted(options["indexByName"], key=options["indexByName"].get)
    columns = {
        name: [options["renameByName"][name], *(row["metric"].get(name) or "-" for row in rows)]
        for name in order
        if any(row["metric"].get(name) for row in rows)
    }
    colors = _severity_colors(panel)
    widths = [4 + max(map(len, texts)) for texts in columns.values()]
    for texts, column in zip(columns.values(), box.split(*widths), strict=True):
        head, *cells = texts
        figure.text(column.left(12), column.top(50), head, color=DIM, size=14, va="center")
        for i, text in enumerate(cells):
            color = colors.get(text, TEXT)
            figure.text(column.left(12), column.top(80 + 30 * i), text, color=color, size=15, va="center")


def _severity_colors(panel: Board) -> dict[str, str]:
    return {
        word: shown["color"]
        for one in panel["fieldConfig"]["overrides"]
        for change in one["properties"]
        if change["id"] == "mappings"
        for word, shown in change["value"][0]["options"].items()
    }


def main() -> None:
    """Draw, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prometheus", help="URL of a Prometheus that scrapes the exporter of a run")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    draw(Run(arguments.prometheus)).savefig(arguments.output, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
