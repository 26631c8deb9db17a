"""How tables look, and how several instant queries become one: a column each, joined on their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import style

NARROWEST = 90
"""Pixels that a column without a width has at least."""


class Column(NamedTuple):
    """A column: a label of the rows, or, with `expr`, the value of an own query.

    `width` in pixels; without one it takes what is left, `least` at the least. `steps` colour the text; `bar` draws the
    value as a bar between 0 and that number; `words` show values as words; a `hidden` column is there for links and
    order alone; a `filtered` one can be filtered by its values, with a button that takes some of its header.
    """

    name: str
    label: str = ""
    expr: str = ""
    unit: str = ""
    width: int | None = None
    least: int | None = None
    decimals: int | None = None
    steps: style.Steps | None = None
    bar: float | None = None
    words: Mapping[str, tuple[str, str]] | None = None
    links: Sequence[style.Link] = ()
    hidden: bool = False
    filtered: bool = False


def hidden(*labels: str) -> list[Column]:
    """Columns that are there for links alone, called as their labels are."""
    return [Column(label, label=label, hidden=True) for label in labels]


def rows(
    title: str,
    description: str,
    no_data: str,
    *columns: Column,
    keys: Sequence[str] = (),
    sort: str = "",
    descending: bool = True,
    ranked: str = "",
    said_in: str = "",
) -> table.Panel:
    """A table of the `columns`, in that order.

    `keys`: queries that are there for their labels alone, when the columns' own do not have all of them.
    `sort`: the name of the column to sort by. `ranked`: that of a column, hidden maybe, by which rows come, the
    greatest first.

    Of several queries without an answer Grafana shows the headers alone. So with `keys` or `ranked` an empty table has
    one row, with `no_data` in the column `said_in`, or else in the first.
    """
    queries = [*keys]
    raw: dict[str, str] = {}
    for column in columns:
        if column.expr:
            queries.append(column.expr)
            raw[column.name] = f"Value #{style.refs(len(queries))[-1]}"
        else:
            raw[column.name] = column.label
    if len(queries) == 1:
        raw = {name: "Value" if field.startswith("Value #") else field for name, field in raw.items()}
    if keys or (ranked and len(queries) > 1):
        which = 0 if keys else style.refs(len(queries)).index(raw[ranked][-1])
        label = raw[said_in] if said_in else next(column.label for column in columns if column.label)
        queries[which] = _or_said(queries[which], label, no_data)
    shown = set(raw.values())
    dropped = {name: True for name in ("Time", "source", "run_id") if name not in shown}
    dropped |= {f"Value #{ref}": True for ref in style.refs(len(keys))}

    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(style.DATASOURCE)
        .no_value(no_data)
        .unit(style.TEXT)
        .thresholds(style.thresholds(style.PLAIN_STEPS))
        .align(cm.FieldTextAlignment.AUTO)
        .cell_options(cm.TableAutoCellOptions())
        .inspect(False)
        .filterable(False)
        .min_width(NARROWEST)
        .show_header(True)
        .cell_height(cm.TableCellHeight.SM)
        .override_by_regexp(".*", [dm.DynamicConfigValue(id_val="noValue", value="-")])
    )
    for ref, expr in zip(style.refs(len(queries)), queries, strict=True):
        query = style.Query(expr, "")
        panel.with_target(style.target(query, ref, instant=True, layout=PromQueryFormat.TABLE))
    if len(queries) > 1:
        panel.with_transformation(dm.DataTransformerConfig(id_val="merge", options={}))
    if ranked:
        order = {"fields": {}, "sort": [{"field": raw[ranked], "desc": True}]}
        panel.with_transformation(dm.DataTransformerConfig(id_val="sortBy", options=order))
    panel.with_transformation(
        dm.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dropped,
                "indexByName": {field: i for i, field in enumerate(raw.values())},
                "renameByName": {field: name for name, field in raw.items()},
            },
        )
    )
    for column in columns:
        panel.override_by_name(column.name, _properties(column))
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    return panel


def _or_said(expr: str, label: str, text: str) -> str:
    return f'({expr}) or on () label_replace(vector(0), "{label}", "{text}", "", "")'


def _properties(column: Column) -> list[dm.DynamicConfigValue]:
    # Text is text, in links too: Grafana would write a job's number as 12,345.
    made: dict[str, object] = {"unit": column.unit or (style.COUNT if column.expr else style.TEXT)}
    if column.width is not None:
        made["custom.width"] = column.width
    if column.least is not None:
        made["custom.minWidth"] = column.least
    decimals = style.DECIMALS.get(column.unit) if column.decimals is None else column.decimals
    if decimals is not None:
        made["decimals"] = decimals
    if column.filtered:
        made["custom.filterable"] = True
    if column.words:
        made["custom.align"] = cm.FieldTextAlignment.LEFT
        made["mappings"] = style.value_map(column.words)
        made["custom.cellOptions"] = cm.TableColorTextCellOptions()
    if column.steps:
        made["thresholds"] = style.thresholds(column.steps).build()
        made["custom.cellOptions"] = cm.TableColorTextCellOptions()
    if column.bar is not None:
        made["min"], made["max"] = 0, column.bar
        made["custom.cellOptions"] = cm.TableBarGaugeCellOptions(
            mode=cm.BarGaugeDisplayMode.BASIC, value_display_mode=cm.BarGaugeValueMode.TEXT
        )
    if column.links:
        made["links"] = style.link_list(column.links)
    if column.hidden:
        # The first name is Grafana's up to 12.1, the second its later one; each ignores the other.
        made["custom.hidden"] = True
        made["custom.hideFrom.viz"] = True
    return [dm.DynamicConfigValue(id_val=key, value=value) for key, value in made.items()]
