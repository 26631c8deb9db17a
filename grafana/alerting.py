"""PromQL over alerts: which of Parsl's fire for the chosen sources and workflows, where, and for how long.

Prometheus writes ALERTS for each alert, and ALERTS_FOR_STATE with the moment since which its cause has been there.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana import promql
from grafana.promql import RUN_KEYS, SOURCE

BEHIND = 10_000
"""Unread rows from which a source is behind, as in the rules' thresholds."""

WEIGHT = 1e10
"""What a severity is worth in seconds, to sort by severity first: critical is 2 of it, warning 1."""

WEIGHTS = {"critical": 2, "warning": 1, "info": 0}
SERIOUS = ("critical", "warning")
_PLACES = ("executor", "block_id", "app", "hostname")
_ALERT = ("alertname", "severity", "source", "run_id", "workflow_name", "user", *_PLACES)
_ONE = "alertname, source, run_id, executor, block_id, app, hostname, manager, state, behind, instance, name"
_SHOWN = "alertname, severity, source, run_id, run, workflow_name, user, where"
_FIRING = ', alertstate="firing"'


def _selected(severity: str, run: str, more: str = "") -> str:
    # An alert on the exporter may have no source: it is of every choice of them.
    source = SOURCE if "!" in run else f'{SOURCE[:-1]}|"'
    return f'alertname=~"Parsl.*", severity=~"{severity}", {source}, run_id{run}""{more}'


def _series(name: str, severity: str, more: str = "") -> str:
    """The alerts `name` says of: those of the runs chosen, and those of no run."""
    of_runs = promql.of_runs(f"{name}{{{_selected(severity, '!=', more)}}}")
    return f"({of_runs} or {name}{{{_selected(severity, '=', more)}}})"


def firing(severity: str) -> str:
    """Every alert of a severity (a regular expression) that fires, on the exporter too."""
    return _series("ALERTS", severity, _FIRING)


def of_runs(severity: str = "|".join(SERIOUS)) -> str:
    """Every alert of a severity that fires for one of the runs chosen."""
    return promql.of_runs(f"ALERTS{{{_selected(severity, '!=', _FIRING)}}}")


def _age(since: str, fires: str) -> str:
    """For how many seconds the cause of each alert that fires has been there."""
    return f"time() - max by ({', '.join(_ALERT)}) ({since} and on ({_ONE}) {fires})"


def _told(expr: str) -> str:
    """With the labels `where`, all that an alert says of its place, and `run`, the start of the run's id."""
    places = ", ".join(f'"{place}"' for place in _PLACES)
    return promql.short_run(f'label_join({expr}, "where", " ", {places})')


def ranked() -> str:
    """Every alert that fires with its labels, `where` and `run`, by severity and then by how long its cause is there.

    The value is the age in seconds and WEIGHT for each step of severity.
    """
    found = _by_severity({one: (_series("ALERTS_FOR_STATE", one), firing(one)) for one in WEIGHTS})
    return f"max by ({_SHOWN}) ({_told(found)})"


def worst_of_each_run(most: int = 0) -> str:
    """The worst critical or warning alert of each run chosen, as in `ranked`; with `most`, of so many runs."""
    found = _by_severity(
        {one: (f"ALERTS_FOR_STATE{{{_selected(one, '!=')}}}", of_runs(one)) for one in SERIOUS}
    )
    worst = f"max by ({_SHOWN}) ({_told(f'topk by ({RUN_KEYS}) (1, {found})')})"
    return f"topk ({most}, {worst})" if most else worst


def _by_severity(alerts: Mapping[str, tuple[str, str]]) -> str:
    return " or ".join(
        f"{WEIGHTS[severity] * WEIGHT:.0f} + ({_age(since, fires)})"
        for severity, (since, fires) in alerts.items()
    )
