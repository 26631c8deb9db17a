"""What is around the panels: variables, annotations, links between the dashboards, and the grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import dashboard as dm

from grafana import promql, style
from grafana.promql import RUN_KEYS

TAG = "parsl"
FULL_WIDTH = 24
EVERYTHING = ".*"
ROW_APP = "${__data.fields.app:percentencode}"
ROW_RUN = "${__data.fields.run_id:percentencode}"
ROW_SOURCE = "${__data.fields.source:percentencode}"
ROW_LIFE = "from=${__data.fields.since}&to=${__data.fields.until}"
ROW_SINCE = "from=${__data.fields.since}&to=now"
"""Of a table's row, for links: its app, its run and the source of that; the life of the run, and since it began."""

APP_PAGE = "${visualize:raw}/workflow/${run}/app/" + ROW_APP

Placed = tuple[int, builder.Builder[dm.Panel]]
"""A panel and its width on Grafana's grid of 24 columns."""


class Row(NamedTuple):
    """A row of panels of one height, under its title if it has one. What does not fit beside each other goes below.

    A `folded` one shows its title alone, until it is opened: only then are its queries asked.
    """

    title: str
    height: int
    panels: Sequence[Placed]
    folded: bool = False


def board(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Sequence[builder.Builder[dm.VariableModel]],
    annotations: Sequence[dm.AnnotationQuery],
    since: str,
    refresh: str,
    rows: Sequence[Row],
) -> dm.Dashboard:
    """A dashboard of these rows, which opens on the time since `since`."""
    # One row of controls has no place for all: which Prometheus a run's dashboard asks comes with the link to it.
    of_one_run = any(variable.build().name == "run" for variable in variables)
    hidden = dm.VariableHide.HIDE_VARIABLE if of_one_run else dm.VariableHide.HIDE_LABEL
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .editable()
        .timezone("browser")
        .time(since, "now")
        .refresh(refresh)
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .variables([_data_source().hide(hidden), *variables])
        .links([_other_boards()])
        .build()
    )
    made.annotations = dm.AnnotationContainer(list_val=list(annotations))
    made.panels = _grid(rows)
    return made


def _grid(rows: Sequence[Row]) -> list[dm.Panel | dm.RowPanel]:
    placed: list[dm.Panel | dm.RowPanel] = []
    ids = count(1)
    y = 0
    for row in rows:
        inside: list[dm.Panel] = []
        if row.title:
            place = dm.GridPos(1, FULL_WIDTH, 0, y)
            title = dm.RowPanel(title=row.title, collapsed=row.folded, id_val=next(ids), grid_pos=place)
            placed.append(title)
            y += 1
            if row.folded:
                title.panels = inside
        x, below = 0, y
        for width, made in row.panels:
            if x + width > FULL_WIDTH:
                x, below = 0, below + row.height
            panel = made.build()
            panel.id_val = next(ids)
            panel.grid_pos = dm.GridPos(row.height, width, x, below)
            inside.append(panel)
            x += width
        if not row.folded:
            placed += inside
            y = below + row.height
    return placed


def _data_source() -> dashboard.DatasourceVariable:
    return (
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes parsl-exporter")
        .type("prometheus")
    )


def choice(name: str, label: str, description: str, series: str, of_label: str) -> dashboard.QueryVariable:
    """A variable of the values that a label has on `series`, several or all of them at once."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(style.DATASOURCE)
        .query(
            {
                "qryType": 1,
                "query": f"label_values({series}, {of_label})",
                "refId": "PrometheusVariableQueryEditor-VariableQuery",
            }
        )
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dm.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(EVERYTHING)
        .current(dm.VariableOption(text="All", value="$__all"))
    )


def source() -> dashboard.QueryVariable:
    """Monitoring databases that published runs."""
    return choice("source", "Source", "The monitoring database", "parsl_workflow_info", "source")


def workflow() -> dashboard.QueryVariable:
    """Workflow names of the chosen sources."""
    series = f"parsl_workflow_info{{{promql.SOURCE}}}"
    return choice("workflow", "Workflow", "The name given to the workflow", series, "workflow_name")


def run() -> dashboard.QueryVariable:
    """A run, the newest first, shown as its workflow's name and the start of its id."""
    began = promql.seen("parsl_workflow_start_timestamp_seconds")
    named = f"max by ({RUN_KEYS}, workflow_name) ({promql.seen('parsl_workflow_info')})"
    newest = f"sort_desc({named} * on ({RUN_KEYS}) group_left () max by ({RUN_KEYS}) ({began}))"
    short = promql.short_run(newest, "short")
    shown = f'label_join({short}, "shown", " ", "workflow_name", "short")'
    return (
        dashboard.QueryVariable("run")
        .label("Run")
        .description("One run, the newest first")
        .datasource(style.DATASOURCE)
        .query(
            {
                "qryType": 3,
                "query": f"query_result({shown})",
                "refId": "PrometheusVariableQueryEditor-VariableQuery",
            }
        )
        .regex('/run_id="(?<value>[^"]+)",short="[^"]*",shown="(?<text>[\\s\\S]*?)",source="/')
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dm.VariableSort.DISABLED)
    )


def source_of_run() -> dashboard.QueryVariable:
    """The run's database. A link may say which, where two have the run; to choose among runs the overview is there."""
    series = 'parsl_workflow_info{run_id="$run"}'
    of_run = choice("source", "Source", "The monitoring database of the run", series, "source")
    return of_run.hide(dm.VariableHide.HIDE_VARIABLE)


def of_run() -> list[builder.Builder[dm.VariableModel]]:
    """The variables that choose one run. One row of controls has no place for more."""
    return [run(), source_of_run()]


def executor(family: str) -> dashboard.QueryVariable:
    """Executors of the run that `family` knows."""
    return choice("executor", "Executor", "Executors of the run", f"{family}{{{promql.RUN}}}", "executor")


def app() -> dashboard.QueryVariable:
    """Apps of the chosen executors."""
    return choice("app", "App", "Apps of the chosen executors", f"parsl_tasks{{{promql.POOL}}}", "app")


def visualize() -> dashboard.TextBoxVariable:
    """Where parsl-visualize answers, for links to its pages of runs and tasks."""
    return (
        dashboard.TextBoxVariable("visualize")
        .label("parsl-visualize")
        .description("Base URL of parsl-visualize, for links to its pages of runs, apps and tasks")
        .hide(dm.VariableHide.HIDE_VARIABLE)
        .default_value("http://localhost:8080")
    )


def campaign() -> dashboard.QueryVariable:
    """The workflow name of the chosen run, for a look at other runs of it."""
    of_run = choice(
        "campaign",
        "Workflow of the run",
        "Its other runs",
        f"parsl_workflow_info{{{promql.RUN}}}",
        "workflow_name",
    )
    return of_run.hide(dm.VariableHide.HIDE_VARIABLE)


def for_tasks() -> list[builder.Builder[dm.VariableModel]]:
    """The variables of a dashboard about the tasks of one run."""
    return [*of_run(), executor("parsl_tasks"), app(), visualize()]


def event(name: str, title: str, color: str, expr: str) -> dm.AnnotationQuery:
    """Marks where `expr` says, in milliseconds, that something happened."""
    return _PrometheusAnnotation(name, title, color, expr)


def run_events() -> list[dm.AnnotationQuery]:
    """Marks for the start and the end of the run."""
    return [
        event(
            f"Run {what}",
            f"Run {what}",
            color,
            f"1000 * max by ({RUN_KEYS}) (parsl_workflow_{name}_timestamp_seconds{{{promql.RUN}}})",
        )
        for name, what, color in (("start", "started", style.BLUE), ("end", "ended", style.GREEN))
    ]


class _PrometheusAnnotation(dm.AnnotationQuery):
    """An annotation with the keys of Grafana's Prometheus data source, which the schema does not know."""

    def __init__(self, name: str, title: str, color: str, expr: str) -> None:
        super().__init__(
            name=name, datasource=style.DATASOURCE, icon_color=color, enable=True, hide=True, built_in=0
        )
        self._title = title
        self._expr = expr

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "target": {"expr": self._expr, "refId": "Anno", "interval": ""},
            "titleFormat": self._title,
            "textFormat": "{{run_id}}",
            "useValueForTime": True,
        }


def _other_boards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Dashboards")
        .type(dm.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
        .as_dropdown(True)
        .target_blank(False)
        .icon("external link")
        .tooltip("")
        .url("")
    )


def link(uid: str, *kept: str, time: str = "${__url_time_range}", **values: str) -> str:
    """A link to another dashboard: keeps data source and the variables `kept`, sets others to `values`.

    It keeps the time range, too, or has another `time`.
    """
    chosen = [f"${{{name}:queryparam}}" for name in ("datasource", *kept)]
    chosen += [f"var-{name}={value}" for name, value in values.items()]
    return f"/d/{uid}?{'&'.join([*chosen, time])}"


def app_link(uid: str) -> str:
    """A link from a table's row to a dashboard about the tasks of the row's app."""
    return link(uid, "run", "source", "executor", app=ROW_APP)
