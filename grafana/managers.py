"""Managers of one run: the worker pools of HTEX and MPI executors, connected, lost, or gone with a word."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, table, timeseries

from grafana import panels, promql, style
from grafana.promql import POOL
from grafana.style import Query
from grafana.table import Column, rows

NO_MANAGERS = "No manager in this time range: only HTEX and MPI executors have managers"
NO_NODES = "No node is connected: only HTEX and MPI executors tell of their nodes"

ACTIVE = promql.active(POOL)
CONNECTED = promql.connected(POOL)
MANAGER = "manager, hostname, executor, block_id"

_LOST_AFTER = 60
"""Seconds from a manager's last heartbeat to its last row that tell of a loss: HTEX ends one without a heartbeat after
its heartbeat_threshold (120 s), and one that says goodbye within its heartbeat_period (30 s)."""

_STATES = {
    "1": ("connected", style.GREEN),
    "2": ("drained, ended", style.GREY),
    "3": ("lost", style.RED),
}


def _manager(name: str) -> str:
    return f"max by ({MANAGER}) (parsl_manager_{name}{{{POOL}}})"


def _manager_state() -> str:
    """1 connected, 2 drained, held or ended, 3 lost."""
    silence = f"{_manager('last_row_timestamp_seconds')} - {_manager('last_heartbeat_timestamp_seconds')}"
    return f"{_manager('active')} == 1 or 2 + ({silence} > bool {_LOST_AFTER})"


def _lost() -> str:
    return promql.or_none(f"count (({_manager_state()}) == 3)")


def managers_lost() -> stat.Panel:
    return panels.number(
        "Managers lost",
        "Managers that were lost in the last 15 minutes: they went without a word, their last heartbeat lies more "
        f"than {_LOST_AFTER} seconds before their last row.",
        "no manager",
        Query(_lost()),
        steps=style.BAD_IF_ANY,
    )


def managers() -> table.Panel:
    beat = _manager("last_heartbeat_timestamp_seconds")
    return rows(
        "Managers",
        "Worker pools that are connected, or went in the last 15 minutes: lost ones first. Parsl writes a "
        "manager's heartbeat only when it does something: an old one alone is no fault.",
        "No manager has come",
        Column("Executor", label="executor", width=105),
        Column("Block", label="block_id", width=70),
        Column("Host", label="hostname"),
        Column("State", expr=_manager_state(), words=_STATES, width=120),
        Column("Workers", expr=_manager("workers"), width=85),
        Column("Heartbeat", expr=f"time() - {beat}", unit=style.DURATION, width=100),
        Column("Manager", label="manager"),
        Column("Python", label="python_version", width=80),
        keys=[f"max by ({MANAGER}, python_version) (parsl_manager_info{{{POOL}}})"],
        said_in="Host",
        sort="State",
    )


def managers_over_time() -> timeseries.Panel:
    return panels.lines(
        "Managers connected and lost",
        "Active managers, and managers that were lost within the last 15 minutes.",
        NO_MANAGERS,
        Query(promql.or_none(promql.added(f"parsl_manager_active{{{POOL}}}")), "connected"),
        Query(_lost(), "lost"),
        colors={"connected": style.BLUE, "lost": style.RED},
        axis="managers",
    )
