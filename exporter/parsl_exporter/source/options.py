"""Under which options one source is read and shown."""

from __future__ import annotations

from datetime import tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from parsl_exporter.config.settings import Settings, SourceSettings
from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits

NO_LIMIT = 1 << 62
"""More than there can be of anything."""


class SourceOptions(NamedTuple):
    """How one source is read and shown. `zone` None is the exporter's local zone; `whole` is a dump.

    `only`: the runs to read, and `beginnings` how their ids may begin; all when both are empty. `newest`: of a dump, so
    many runs at most, or all that live. `created`: whether OpenMetrics pages have `_created` samples.
    `classic`: whether protobuf pages have classic buckets beside native ones.

    `run_zones`: patterns of submit hosts and the zones that their runs' stamps have instead; `worker_zones`: patterns
    of executors and the zones of what their workers stamp.
    """

    name: str
    zone: tzinfo | None
    buckets: Buckets
    limits: Limits
    runs: int
    failure_reasons: tuple[str, ...]
    hidden: frozenset[str]
    whole: bool = False
    only: frozenset[str] = frozenset()
    beginnings: tuple[str, ...] = ()
    newest: int | None = None
    created: bool = True
    classic: bool = True
    run_zones: tuple[tuple[str, tzinfo], ...] = ()
    worker_zones: tuple[tuple[str, tzinfo], ...] = ()


def options_of(settings: Settings, source: SourceSettings, name: str) -> SourceOptions:
    """Give the options under which a source of that name is read."""
    zone = source.timezone or settings.timezone
    return SourceOptions(
        name=name,
        zone=None if zone == "local" else ZoneInfo(zone),
        buckets=_buckets(settings.buckets.seconds, settings.buckets.bytes),
        limits=Limits(
            close_after=settings.close_after,
            retention=settings.retention,
            abandon_after=settings.abandon_after,
            apps=settings.limits.apps_per_run,
        ),
        runs=settings.limits.runs_per_source,
        failure_reasons=settings.failure_reasons,
        hidden=source.hide_labels,
        created=settings.created_samples,
        classic=settings.classic_buckets,
        run_zones=tuple((pattern, ZoneInfo(own)) for pattern, own in source.run_timezones),
        worker_zones=tuple((pattern, ZoneInfo(own)) for pattern, own in source.worker_timezone),
    )


_buckets = lru_cache(maxsize=4)(Buckets.of)
"""One object for all sources of the same settings: they are asked for each source at each look for databases."""
