"""The house lint: what every dashboard must be, read from the committed JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from grafana import inventory
from grafana.inventory import Board

ROOT = Path(__file__).parents[2]
BOARDS = {board["uid"]: board for board in inventory.boards()}
PANELS = {
    f"{uid}: {panel['title']}": panel for uid, board in BOARDS.items() for panel in inventory.panels(board)
}

UNITS = {
    "string",
    "short",
    "locale",
    "percentunit",
    "s",
    "dtdhms",
    "clocks",
    "dateTimeAsIso",
    "bytes",
    "binBps",
}
REDUCERS = {"lastNotNull"}
TRANSFORMATIONS = {"merge", "sortBy", "organize"}
"""The house uses no others. Grafana knows these (@grafana/data 13.2.3)."""

NARROWEST = {"stat": 4, "bargauge": 6, "timeseries": 8, "heatmap": 8, "state-timeline": 12, "table": 8}
"""Columns of 24 that a kind of panel needs to be read on a screen 1280 wide."""

PADDING, LETTER, BUTTON = 14, 7.5, 20
"""Pixels of a header: around its text, for a letter of it, for a button beside it."""

USABLE, NARROW_COLUMN = 1216, 100
"""Of a screen 1280 wide, pixels that panels have; pixels for a column that takes what is left."""

WHOLE_RANGE = "$__range] @ end()"
"""What series are ranked by: the same at each step."""

PACE = "15m]"
"""What the time left is told by: a minute's pace says nothing of tasks that take ten."""

ORDER = ["datasource", "run", "source", "workflow", "executor", "app", "visualize", "campaign"]


def each_board() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def each_panel() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def properties(panel: Board, name: str) -> list[Any]:
    """Values of one property of a panel's fields: the default and the overrides."""
    config = panel["fieldConfig"]
    found = [config["defaults"][name]] if name in config["defaults"] else []
    for override in config["overrides"]:
        found += [one["value"] for one in override["properties"] if one["id"] == name]
    return found


def links(board: Board) -> Iterator[tuple[str, str]]:
    """Every link in a cell or a panel, and the panel it is in."""
    for panel in inventory.panels(board):
        for found in (*properties(panel, "links"), panel.get("links", [])):
            for one in found:
                yield panel["title"], one["url"]


def windows(ask: inventory.Ask) -> list[str]:
    """The ranges in a query; one with a colon is a subquery's."""
    return re.findall(r"\[([^\]]+)\]", ask.expr)


def test_there_are_the_five_dashboards() -> None:
    assert sorted(BOARDS) == [
        "parsl-cpu-memory",
        "parsl-exporter",
        "parsl-overview",
        "parsl-task-states",
        "parsl-worker-pools",
    ]
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@each_board()
def test_ids_are_unique_and_uids_fit_grafana(board: Board) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert re.fullmatch(r"[a-z-]{8,40}", board["uid"])
    titles = [panel["title"] for panel in inventory.panels(board)]
    assert len(set(titles)) == len(titles)
    places = [ask.place for ask in inventory.asks(board)]
    assert len(set(places)) == len(places)


@each_board()
def test_panels_fill_the_grid_without_overlap(board: Board) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    for place in places:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart, (one, other)
    covered = sum(place["w"] * place["h"] for place in places)
    assert covered == 24 * max(place["y"] + place["h"] for place in places), "a gap"


@each_panel()
def test_panels_are_wide_enough_to_be_read(panel: Board) -> None:
    assert panel["gridPos"]["w"] >= NARROWEST[panel["type"]]


@each_panel()
def test_tables_fit_a_screen_1280_wide(panel: Board) -> None:
    if panel["type"] != "table":
        return
    needed = 0
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] == "byName":
            given = {one["id"]: one["value"] for one in override["properties"]}
            least = given.get("custom.width", given.get("custom.minWidth", NARROW_COLUMN))
            needed += 0 if given.get("custom.hidden") else least
    assert needed <= USABLE * panel["gridPos"]["w"] / 24


@each_panel()
def test_headers_of_columns_fit(panel: Board) -> None:
    """Their text, the button of a filter, and the arrow of the column that rows are sorted by."""
    sorted_by = {one["displayName"] for one in panel["options"].get("sortBy", [])}
    for override in panel["fieldConfig"]["overrides"]:
        given = {one["id"]: one["value"] for one in override["properties"]}
        if "custom.width" in given and not given.get("custom.hidden"):
            name = override["matcher"]["options"]
            buttons = given.get("custom.filterable", False) + (name in sorted_by)
            needed = PADDING + LETTER * len(name) + BUTTON * buttons
            assert given["custom.width"] >= needed, (name, needed)


@each_panel()
def test_series_have_a_legend_of_last_and_most_and_no_long_ids(panel: Board) -> None:
    if panel["type"] == "timeseries":
        legend = panel["options"]["legend"]
        assert legend["displayMode"] == "table"
        assert legend["calcs"] in (["lastNotNull", "max"], ["sum"])
    assert not [query["legendFormat"] for query in panel["targets"] if "run_id" in query["legendFormat"]]


@each_panel()
def test_ranks_are_over_the_whole_range(panel: Board) -> None:
    """`topk` of a graph takes others at each step: it draws many more lines than it counts."""
    for query in panel["targets"]:
        if not query.get("instant"):
            ranks = query["expr"].count("topk")
            assert min(query["expr"].count(" on ("), query["expr"].count("@ end()")) >= ranks


@each_panel()
def test_timelines_colour_states_and_not_thresholds(panel: Board) -> None:
    """Between two thresholds Grafana merges all states into one bar, which is called -∞+ here."""
    if panel["type"] == "state-timeline":
        assert panel["fieldConfig"]["defaults"]["color"]["mode"] != "thresholds"


@each_panel()
def test_a_bar_that_is_alone_has_its_name(panel: Board) -> None:
    """Grafana writes it only where the defaults of the panel do: what tasks wait for, where all wait for one thing."""
    if panel["type"] == "bargauge" and panel["options"]["orientation"] == "horizontal":
        (query,) = panel["targets"]
        label = query["legendFormat"].strip("{}")
        assert panel["fieldConfig"]["defaults"]["displayName"] == f"${{__field.labels.{label}}}"


@each_panel()
def test_panels_say_what_they_are(panel: Board) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert re.fullmatch(r"[A-Z].*\.", panel["description"], re.DOTALL)
    assert len(panel["description"]) > 10
    assert defaults["noValue"]
    assert defaults["unit"] in UNITS
    assert defaults["thresholds"]["mode"] == "absolute"
    first, *rest = defaults["thresholds"]["steps"]
    assert first["value"] is None
    assert all(low["value"] < high["value"] for low, high in pairwise(rest))


@each_panel()
def test_panels_use_known_units_reducers_and_transformations(panel: Board) -> None:
    assert set(properties(panel, "unit")) <= UNITS
    assert set(panel["options"].get("reduceOptions", {}).get("calcs", [])) <= REDUCERS
    assert {one["id"] for one in panel.get("transformations", [])} <= TRANSFORMATIONS


@each_panel()
def test_overrides_name_columns_that_exist(panel: Board) -> None:
    if panel["type"] != "table":
        return
    (organized,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
    columns = set(organized["renameByName"].values())
    named = [
        o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"] if o["matcher"]["id"] == "byName"
    ]
    assert columns == set(named)
    assert {one["displayName"] for one in panel["options"].get("sortBy", [])} <= columns
    assert not organized["renameByName"].keys() & organized["excludeByName"].keys()
    several = len(panel["targets"]) > 1
    values = {f"Value #{query['refId']}" for query in panel["targets"]} if several else {"Value"}
    handled = organized["renameByName"].keys() | organized["excludeByName"].keys()
    assert values <= handled
    assert {field for field in handled if field.startswith("Value")} == values


@each_board()
def test_every_data_source_is_the_variable(board: Board) -> None:
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for panel in inventory.panels(board):
        assert panel["datasource"] == wanted
        assert all(query["datasource"] == wanted for query in panel["targets"])
    assert all(annotation["datasource"] == wanted for annotation in board["annotations"]["list"])
    for name, variable in inventory.variables(board).items():
        if variable["type"] == "query":
            assert variable["datasource"] == wanted, name


@each_board()
def test_variables_are_defined_and_used_and_in_the_order_of_their_chain(board: Board) -> None:
    defined = inventory.variables(board)
    assert list(defined) == [name for name in ORDER if name in defined]
    users = {name: {k: v for k, v in variable.items() if k != "name"} for name, variable in defined.items()}
    text = "\n".join(
        [
            *strings(board["panels"]),
            *strings(board["annotations"]),
            *strings([list(u.values()) for u in users.values()]),
        ]
    )
    used = {name for name in inventory.used(text) if not name.startswith("__")}
    assert used == set(defined)
    before: set[str] = set()
    for name, variable in defined.items():
        if variable["type"] == "query":
            asked = inventory.used(variable["query"]["query"]) - {"__range"}
            assert asked <= before, f"{name} asks for a variable that comes later"
        before.add(name)


@each_board()
def test_variables_have_labels_and_no_stray_keys(board: Board) -> None:
    for name, variable in inventory.variables(board).items():
        assert variable["label"]
        assert variable["description"]
        assert not variable.keys() & {"auto", "auto_count", "auto_min"}, name
        if variable["type"] == "query":
            assert variable["refresh"] == 2, "a new time range has other runs"
            several = name != "run"
            assert variable["multi"] is variable["includeAll"] is several


@each_board()
def test_rates_are_over_the_rate_interval_or_rank_over_the_whole_range(board: Board) -> None:
    for ask in inventory.asks(board):
        windows = re.findall(
            r"\b(?:i?rate|increase|delta|deriv)\([^\[\]]*\[([^\]]+\](?: @ end\(\))?)", ask.expr
        )
        assert set(windows) <= {"$__rate_interval]", WHOLE_RANGE, PACE}, ask.place
        assert "increase(" not in ask.expr, (
            "its range is longer than a step, so that bars show each event often"
        )
        assert len(windows) == len(re.findall(r"\b(?:i?rate|increase|delta|deriv)\(", ask.expr)), ask.place


def test_the_overview_asks_nothing_at_many_moments_of_a_long_time_range() -> None:
    """Over all series of all runs that would be slow; see promql.run_outcome."""
    assert not [ask.place for ask in inventory.asks(BOARDS["parsl-overview"]) if ":" in "".join(windows(ask))]


@each_board()
def test_histogram_panels_show_exemplars(board: Board) -> None:
    for panel in inventory.panels(board):
        for query in panel["targets"]:
            over_time = "_bucket" in query["expr"] and "_interval" in query["expr"]
            assert query.get("exemplar", False) is over_time, panel["title"]
            if over_time:
                assert panel["type"] in ("heatmap", "timeseries")
    single_tasks = [
        panel for panel in inventory.panels(board) if any("exemplar" in q for q in panel["targets"])
    ]
    if any("parsl_task" in query["expr"] for panel in single_tasks for query in panel["targets"]):
        assert "visualize" in inventory.variables(board), "their links need its address"


@each_board()
def test_links_lead_to_dashboards_and_variables_that_exist(board: Board) -> None:
    known = set(inventory.variables(board)) | {"__data", "__url_time_range"}
    for title, url in links(board):
        assert inventory.used(url) - {"__all"} <= known, title
        if url.startswith(("${visualize:raw}/workflow/", "/alerting/list?")):
            continue
        found = re.fullmatch(r"/d/([a-z-]+)\?(.+)", url)
        assert found is not None, url
        target = BOARDS[found[1]]
        _, *parameters = found[2].split("&")
        assert found[2].startswith("${datasource:queryparam}")
        names = set(re.findall(r"&var-(\w+)=|\$\{(\w+):queryparam\}", found[2]))
        names = {one or other for one, other in names}
        assert names <= set(inventory.variables(target)), title
        keeps_time = "${__url_time_range}" in parameters
        sets_time = {part.partition("=")[0] for part in parameters} >= {"from", "to"}
        assert keeps_time is not sets_time, title


@each_board()
def test_links_take_rows_fields_that_the_table_has(board: Board) -> None:
    for panel in inventory.panels(board):
        for one in (link for found in properties(panel, "links") for link in found):
            fields = set(re.findall(r"__data\.fields\.(\w+)", one["url"]))
            if panel["type"] != "table":
                assert not fields
                continue
            (organized,) = (t["options"] for t in panel["transformations"] if t["id"] == "organize")
            assert fields <= organized["renameByName"].keys(), panel["title"]


@each_board()
def test_every_dashboard_links_to_the_others_with_variables_and_time(board: Board) -> None:
    (link,) = board["links"]
    assert link["type"] == "dashboards"
    assert link["includeVars"] and link["keepTime"]
    assert set(link["tags"]) <= set(board["tags"])


@each_board()
def test_runs_are_marked_where_they_start_and_end(board: Board) -> None:
    marks = {"parsl-exporter": ["Exporter started"], "parsl-overview": []}
    names = [annotation["name"] for annotation in board["annotations"]["list"]]
    assert names == marks.get(board["uid"], ["Run started", "Run ended"])
    assert all(annotation["useValueForTime"] for annotation in board["annotations"]["list"])


def test_states_have_their_colours_wherever_they_are_drawn() -> None:
    drawn = 0
    for title, panel in PANELS.items():
        if panel["type"] == "timeseries" and any(q["legendFormat"] == "{{state}}" for q in panel["targets"]):
            named = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
            assert {"pending", "launched", "running"} <= named or {"PENDING", "RUNNING", "FAILED"} <= named, (
                title
            )
            drawn += 1
    assert drawn > 4


def test_the_json_is_text_that_git_can_diff() -> None:
    for path in inventory.FOLDER.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        assert path.stem == json.loads(text)["uid"]


def test_the_guide_names_every_dashboard_and_only_panels_that_exist() -> None:
    guide = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert all(f"`{uid}`" in guide for uid in BOARDS)
    titles = {panel["title"] for panel in PANELS.values()}
    named = set(re.findall(r"\*([A-Z][^*\n]+)\*", guide))
    assert len(named) > 10
    assert named <= titles
