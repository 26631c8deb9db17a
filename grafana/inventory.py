"""What the dashboards' JSON asks of Prometheus: every query, with the place it stands in, for the checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "dashboards"

Board = Mapping[str, Any]

_VALUES = re.compile(r"label_values\((.+), *(\w+)\)")
_RESULT = re.compile(r"query_result\((.+)\)")
_VARIABLE = re.compile(r"\$(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>\w+)(?:[.:\[][^}]*)?\})")


class Ask(NamedTuple):
    """One query.

    `kind` is panel, variable or annotation, `board` the dashboard's uid, `title` the panel's title or the
    variable's or annotation's name. `instant`: it is asked for one moment, not for a range. `legend`: the
    pattern that names its series. `label`: of a variable of label values, the label.
    """

    board: str
    kind: str
    title: str
    ref: str
    expr: str
    instant: bool
    legend: str = ""
    label: str = ""

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.board}: {self.kind} {self.title!r} {self.ref}".rstrip()


def boards(folder: Path = FOLDER) -> list[Board]:
    """Every dashboard, by file name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def panels(board: Board) -> list[Board]:
    """A dashboard's panels without its row titles, those in folded rows too."""
    every = [inside for panel in board["panels"] for inside in (panel, *panel.get("panels", []))]
    return [panel for panel in every if panel["type"] != "row"]


def panels_by_title() -> dict[tuple[str, str], Board]:
    """Every panel of every dashboard, by the dashboard's uid and its own title."""
    return {(board["uid"], panel["title"]): panel for board in boards() for panel in panels(board)}


def column(table: Board, name: str) -> Board:
    """The query of a table's column."""
    fields = table["transformations"][-1]["options"]["renameByName"]
    (field,) = (field for field, shown in fields.items() if shown == name)
    found: list[Board] = [
        query for query in table["targets"] if query["refId"] == field.removeprefix("Value #")
    ]
    (query,) = found
    return query


def words(panel: Board, name: str = "") -> dict[str, str]:
    """What a panel, or a table's column, writes for its values."""
    fields = panel["fieldConfig"]
    mappings = fields["defaults"].get("mappings")
    for override in fields["overrides"]:
        if name and override["matcher"]["options"] == name:
            (mappings,) = (one["value"] for one in override["properties"] if one["id"] == "mappings")
    return {value: shown["text"] for value, shown in mappings[0]["options"].items()}


def variables(board: Board) -> dict[str, Board]:
    """A dashboard's variables by name, in their order."""
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def asks(board: Board) -> Iterator[Ask]:
    """Every query of a dashboard's variables, annotations and panels."""
    uid = board["uid"]
    for name, variable in variables(board).items():
        if variable["type"] == "query":
            text = variable["query"]["query"]
            if values := _VALUES.fullmatch(text):
                yield Ask(uid, "variable", name, "", values[1], instant=False, label=values[2])
            elif result := _RESULT.fullmatch(text):
                yield Ask(uid, "variable", name, "", result[1], instant=True)
            else:
                raise ValueError(f"{uid}: variable {name} asks {text!r}, which is not understood")
    for annotation in board["annotations"]["list"]:
        title, expr = annotation["titleFormat"], annotation["target"]["expr"]
        yield Ask(uid, "annotation", annotation["name"], "", expr, instant=False, legend=title)
    for panel in panels(board):
        for query in panel["targets"]:
            yield Ask(
                uid,
                "panel",
                panel["title"],
                query["refId"],
                query["expr"],
                instant=query.get("instant", False),
                legend=query["legendFormat"],
            )


def all_asks() -> list[Ask]:
    """Every query of every dashboard."""
    return [ask for board in boards() for ask in asks(board)]


def used(text: str) -> set[str]:
    """Names of the variables in a text: `$name`, `${name}`. Grafana's own begin with `__`."""
    return {found["bare"] or found["braced"] for found in _VARIABLE.finditer(text)}


def fill(expr: str, values: Mapping[str, str]) -> str:
    """`expr` with its variables replaced by `values`; an unknown variable is a KeyError."""
    return _VARIABLE.sub(lambda found: values[found["bare"] or found["braced"]], expr)
