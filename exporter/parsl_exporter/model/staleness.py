"""Since when a run's blocks, managers and hosts are gone, so that their series go the retention time later."""

from __future__ import annotations

from typing import Protocol

from parsl_exporter.model.blocks import TERMINAL
from parsl_exporter.model.names import UNKNOWN
from parsl_exporter.model.run import Run
from parsl_exporter.model.timestamps import MICROSECONDS


class _Mortal(Protocol):
    gone_at: float | None


def manager_active(run: Run, uid: str) -> bool:
    """Say whether a manager can run tasks: its latest row says so, its block lives and so does the run."""
    manager = run.managers[uid]
    if run.over or not manager.latest.active:
        return False
    block_id = manager.latest.block_id
    executor = run.executor_of(manager)
    known = {executor} if executor != UNKNOWN else None
    executors = known or run.executors_of_block.get(block_id, set())
    states = [run.blocks[e, block_id].state for e in executors if (e, block_id) in run.blocks]
    return not states or any(state not in TERMINAL for state in states)


def mark_gone(run: Run, now: float, retention: float, wall: float | None = None) -> None:
    """Note which blocks, managers and hosts have gone since the last call, or are back.

    `wall` (UTC epoch seconds) is given in a first read: ages then come from the stamps. The run counts as
    changed when something went `retention` seconds ago, and `run.forget_at` is when that is next so.
    """
    forget_at = float("inf")

    def mark(one: _Mortal, gone: bool, us: int) -> None:
        nonlocal forget_at
        if not gone:
            one.gone_at = None
        elif one.gone_at is None:
            one.gone_at = now if wall is None else now - max(0.0, wall - us / MICROSECONDS)
        if one.gone_at is not None and one.gone_at + retention >= now:
            forget_at = min(forget_at, one.gone_at + retention)

    end_us = run.info.end_us if run.info is not None and run.info.end_us is not None else 0
    for block in run.blocks.values():
        ended_us = block.ended_us()
        mark(block, (run.over or ended_us is not None) and block.running <= 0, ended_us or end_us)
    active_hosts = set()
    died: dict[str, int] = {}
    for uid, manager in run.managers.items():
        active = manager_active(run, uid)
        of_block = run.blocks.get((run.executor_of(manager), manager.latest.block_id))
        block_us = of_block.ended_us() if of_block is not None else None
        us = manager.latest.us if block_us is None else min(manager.latest.us, block_us)
        hostname = manager.latest.hostname
        if active:
            active_hosts.add(hostname)
        else:
            died[hostname] = max(died.get(hostname, 0), us)
        mark(manager, not active, us)
    for hostname, host in run.hosts.items():
        gone = host.running <= 0 and hostname not in active_hosts and (run.over or hostname in died)
        mark(host, gone, died.get(hostname) or end_us)
    run.changed = run.changed or run.forget_at <= now
    run.forget_at = forget_at
