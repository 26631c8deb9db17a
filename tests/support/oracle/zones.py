"""The moments that naive stamps mean: whose clock wrote them, and which pass of an hour that came twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from .rows import Run

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FAR = timedelta(minutes=30)
BY_WORKERS = ("running", "running_ended")


def zone_of(name: str) -> tzinfo | None:
    """Give a zone by its IANA name; None is the process's own (`local`)."""
    return None if name == "local" else ZoneInfo(name)


def meanings(stamp: str, zone: tzinfo | None) -> list[int]:
    """Give the microseconds that a stamp can mean, the earlier one first: two in an hour that comes twice."""
    naive = datetime.fromisoformat(stamp)
    found = []
    for fold in (0, 1):
        local = naive.replace(fold=fold)
        moment = (local.astimezone() if zone is None else local.replace(tzinfo=zone)).astimezone(timezone.utc)
        back = moment.astimezone(zone).replace(tzinfo=None)
        if back == naive or fold == 0:
            found.append((moment - EPOCH) // timedelta(microseconds=1))
    return sorted(set(found))


def tell_times(run: Run, zone: tzinfo | None, worker_zones: Mapping[str, str]) -> None:
    """Replace all stamps of a run by microseconds since 1970; drop the rows whose stamp cannot be known yet."""
    executors = {(row["task_id"], row["try_id"]): row["task_executor"] for row in run.tries}
    elsewhere = {row["executor_label"] for row in run.block}
    elsewhere |= {row["task_executor"] for row in run.tries if row["block_id"]}
    zones = {pattern: zone_of(name) for pattern, name in worker_zones.items()}

    def worker_zone(executor: str) -> tzinfo | None:
        matching = [own for pattern, own in zones.items() if fnmatchcase(str(executor), pattern)]
        return matching[0] if matching and executor in elsewhere else zone

    for name in ("status", "resource", "block", "node"):
        newest: dict[Any, int] = {}
        kept = []
        for row in getattr(run, name):
            by_worker = name == "resource" or row.get("task_status_name") in BY_WORKERS
            one = (row.get("task_id"), row.get("try_id"))
            orphan = by_worker and one not in executors
            writer = executors.get(one) if by_worker else "the submit process"
            own = zone if orphan or not by_worker else worker_zone(executors[one])
            moments = meanings(row["timestamp"], own)
            if orphan and (zones or len(moments) > 1) and not run.over:
                continue
            before = newest.get((by_worker, writer), 0)
            far = min(FAR // timedelta(microseconds=1), (moments[-1] - moments[0]) // 2)
            second = not orphan and before - moments[0] > far
            row["timestamp"] = moments[-1] if second else moments[0]
            if not orphan:
                newest[by_worker, writer] = max(before, row["timestamp"])
            if row.get("last_heartbeat") is not None:
                beats = meanings(row["last_heartbeat"], zone)
                row["last_heartbeat"] = max([b for b in beats if b <= row["timestamp"]] or beats[:1])
            kept.append(row)
        setattr(run, name, kept)
    for row in run.workflow:
        row["time_began"] = meanings(row["time_began"], zone)[0]
        if row["time_completed"] is not None:
            ends = meanings(row["time_completed"], zone)
            last = max((status["timestamp"] for status in run.status), default=0)
            row["time_completed"] = ends[0] if ends[0] >= last else ends[-1]
