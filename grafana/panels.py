"""How each kind of panel looks.

Every factory takes title, description (what the panel answers) and no_data (what an empty panel means), so
that none can be without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.style import (
    BLUE,
    COUNT,
    DATASOURCE,
    DECIMALS,
    GREY,
    PLAIN,
    PLAIN_STEPS,
    Link,
    Query,
    Steps,
    fixed_color,
    link_list,
    refs,
    target,
    thresholds,
    value_map,
)

_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, bargauge.Panel, heatmap.Panel, statetimeline.Panel)


def _describe(
    panel: _Panel, title: str, description: str, no_data: str, *, unit: str, steps: Steps
) -> _Panel:
    if unit in DECIMALS:
        panel.decimals(DECIMALS[unit])
    return (
        panel.title(title)
        .description(description)
        .no_value(no_data)
        .unit(unit)
        .thresholds(thresholds(steps))
        .datasource(DATASOURCE)
    )


def _add(panel: _Panel, queries: Sequence[Query], *, instant: bool = False) -> _Panel:
    for ref, query in zip(refs(len(queries)), queries, strict=True):
        panel.with_target(target(query, ref, instant=instant))
    return panel


def number(
    title: str,
    description: str,
    no_data: str,
    *queries: Query,
    unit: str = COUNT,
    steps: Steps = PLAIN_STEPS,
    decimals: int | None = None,
    steps_of: Mapping[str, Steps] | None = None,
    links: Sequence[Link] = (),
) -> stat.Panel:
    """One number, or a few, as of the end of the time range.

    `steps_of` gives single ones, by name, colours of their own; all of them have the `links`.
    """
    panel = (
        _describe(stat.Panel(), title, description, no_data, unit=unit, steps=steps)
        .reduce_options(_newest())
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .text_mode(cm.BigValueTextMode.AUTO if len(queries) > 1 else cm.BigValueTextMode.VALUE)
        .justify_mode(cm.BigValueJustifyMode.AUTO)
        .orientation(cm.VizOrientation.AUTO)
        .wide_layout(True)
    )
    if decimals is not None:
        panel.decimals(decimals)
    for name, own in (steps_of or {}).items():
        value = thresholds(own).build()
        panel.override_by_name(name, [dm.DynamicConfigValue(id_val="thresholds", value=value)])
    if links:
        panel.override_by_regexp(".*", [dm.DynamicConfigValue(id_val="links", value=link_list(links))])
    return _add(panel, queries, instant=True)


def sentences(
    title: str, description: str, no_data: str, *queries: Query, steps: Steps = PLAIN_STEPS
) -> stat.Panel:
    """The names of the queries' series, one below the other, coloured by their values: for names that say all."""
    panel = (
        _describe(stat.Panel(), title, description, no_data, unit=PLAIN, steps=steps)
        .reduce_options(_newest())
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .text_mode(cm.BigValueTextMode.NAME)
        .text(common.VizTextDisplayOptions().value_size(16))
        .justify_mode(cm.BigValueJustifyMode.AUTO)
        .orientation(cm.VizOrientation.HORIZONTAL)
    )
    return _add(panel, queries, instant=True)


def lines(
    title: str,
    description: str,
    no_data: str,
    *queries: Query,
    unit: str = PLAIN,
    axis: str = "",
    steps: Steps = PLAIN_STEPS,
    colors: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    stacked: bool = False,
    bars: bool = False,
    over: str = "",
    calcs: Sequence[str] = ("lastNotNull", "max"),
) -> timeseries.Panel:
    """Values over time: lines, or areas or bars on top of each other, with a legend that has their `calcs`.

    `colors` gives series their colour by name, `names` other words for it; those that have no colour of their own get
    different ones, in their order. Thresholds beside the base are drawn as dashed lines. The series `over` is a dashed
    line of its own over those that are stacked: what there is of it.
    """
    panel = (
        _describe(timeseries.Panel(), title, description, no_data, unit=unit, steps=steps)
        .draw_style(cm.GraphDrawStyle.BARS if bars else cm.GraphDrawStyle.LINE)
        .line_width(0 if stacked else 1)  # a line of a series at 0 would take the whole stack's edge
        .fill_opacity(80 if stacked or bars else 0)
        .show_points(cm.VisibilityMode.AUTO)
        .span_nulls(False)
        .axis_label(axis)
        .axis_soft_min(0)
        .min(0)
        .stacking(_stacking(stacked or bars))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                cm.GraphThresholdsStyleMode.DASHED if len(steps) > 1 else cm.GraphThresholdsStyleMode.OFF
            )
        )
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend(calcs))
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
    )
    _tell_apart(panel, colors or {}, names or {})
    if over:
        panel.override_by_name(over, _dashed())
    return _add(panel, queries)


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def _dashed() -> list[dm.DynamicConfigValue]:
    look = {
        "custom.stacking": {"mode": "none"},
        "custom.fillOpacity": 0,
        "custom.lineWidth": 2,
        "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
    }
    return [
        fixed_color(GREY),
        *(dm.DynamicConfigValue(id_val=key, value=value) for key, value in look.items()),
    ]


def _tell_apart(
    panel: timeseries.Panel | bargauge.Panel, colors: Mapping[str, str], names: Mapping[str, str]
) -> None:
    for name in dict.fromkeys((*colors, *names)):
        properties = [fixed_color(colors[name])] if name in colors else []
        if name in names:
            properties.append(dm.DynamicConfigValue(id_val="displayName", value=names[name]))
        panel.override_by_name(name, properties)


def heat(title: str, description: str, no_data: str, query: Query, *, unit: str) -> heatmap.Panel:
    """How a histogram's observations spread over its buckets, over time, with exemplars."""
    return (
        _describe(heatmap.Panel(), title, description, no_data, unit=unit, steps=PLAIN_STEPS)
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_model.HeatmapColorMode.SCHEME)
            .scheme("Viridis")
            .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
            .fill(BLUE)
            .reverse(False)
        )
        .cell_gap(1)
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .show_value(cm.VisibilityMode.NEVER)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(cm.AxisPlacement.LEFT))
        .show_legend()
        .mode(cm.TooltipDisplayMode.SINGLE)
        .show_y_histogram()
        .exemplars_color("rgba(224, 47, 68, 0.8)")
        .with_target(target(query, layout=PromQueryFormat.HEATMAP, exemplars=True))
    )


def distribution(
    title: str, description: str, no_data: str, query: Query, *, buckets: Mapping[str, str]
) -> bargauge.Panel:
    """A histogram's buckets as bars: how many observations so far fell in each.

    `buckets` names them: a regular expression for the bucket's `le`, and what to write under its bar.
    """
    panel = (
        _describe(bargauge.Panel(), title, description, no_data, unit=COUNT, steps=((None, BLUE),))
        .reduce_options(_newest())
        .display_mode(cm.BarGaugeDisplayMode.BASIC)
        .orientation(cm.VizOrientation.VERTICAL)
        .value_mode(cm.BarGaugeValueMode.TEXT)
        .name_placement(cm.BarGaugeNamePlacement.AUTO)
        .text(common.VizTextDisplayOptions().title_size(12).value_size(15))
        .show_unfilled(False)
        .sizing(cm.BarGaugeSizing.AUTO)
        .min_viz_width(8)
        .min_viz_height(16)
        .max_viz_height(300)
        .min(0)
        .with_target(target(query, instant=True, layout=PromQueryFormat.HEATMAP))
    )
    for pattern, name in buckets.items():
        panel.override_by_regexp(pattern, [dm.DynamicConfigValue(id_val="displayName", value=name)])
    return panel


def ranking(
    title: str,
    description: str,
    no_data: str,
    query: Query,
    label: str,
    *,
    colors: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> bargauge.Panel:
    """A bar for each value of a label, as of the end of the time range; `colors` and `names` as in `lines`.

    Grafana names a bar that is alone only where the panel itself says how, whatever its query and overrides say.
    """
    panel = (
        _describe(bargauge.Panel(), title, description, no_data, unit=COUNT, steps=((None, BLUE),))
        .display_name(f"${{__field.labels.{label}}}")
        .reduce_options(_newest())
        .display_mode(cm.BarGaugeDisplayMode.BASIC)
        .orientation(cm.VizOrientation.HORIZONTAL)
        .value_mode(cm.BarGaugeValueMode.TEXT)
        .name_placement(cm.BarGaugeNamePlacement.LEFT)
        .text(common.VizTextDisplayOptions().title_size(12).value_size(15))
        .show_unfilled(True)
        .sizing(cm.BarGaugeSizing.MANUAL)
        .min_viz_width(8)
        .min_viz_height(16)
        .max_viz_height(32)
        .min(0)
    )
    _tell_apart(panel, colors or {}, names or {})
    return _add(panel, (query,), instant=True)


def timeline(
    title: str, description: str, no_data: str, *queries: Query, words: Mapping[str, tuple[str, str]]
) -> statetimeline.Panel:
    """A lane for each series, coloured by the state that its value stands for.

    Its colour mode is not `thresholds`: Grafana would merge all states between two of them, here all there are.
    """
    panel = (
        _describe(statetimeline.Panel(), title, description, no_data, unit=PLAIN, steps=PLAIN_STEPS)
        .mappings(value_map(words))
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.PALETTE_CLASSIC))
        .merge_values(True)
        .show_value(cm.VisibilityMode.AUTO)
        .align_value(cm.TimelineValueAlignment.LEFT)
        .row_height(0.85)
        .per_page(24)
        .line_width(0)
        .fill_opacity(85)
        .legend(common.VizLegendOptions().show_legend(False))
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.SINGLE))
    )
    return _add(panel, queries)


def _stacking(stacked: bool) -> common.StackingConfig:
    mode = cm.StackingMode.NORMAL if stacked else cm.StackingMode.NONE
    return common.StackingConfig().mode(mode).group("A")


_CALCS = {"lastNotNull": "Last *", "max": "Max", "sum": "Total"}
"""What Grafana calls them in a legend's head, and sorts by."""


def _legend(calcs: Sequence[str]) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(cm.LegendDisplayMode.TABLE)
        .placement(cm.LegendPlacement.BOTTOM)
        .calcs(list(calcs))
        .sort_by(_CALCS[calcs[-1]])
        .sort_desc(True)
    )
