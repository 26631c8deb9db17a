"""What to tell a person of hosts whose stamps speak against the zone that they are read in."""

from __future__ import annotations

import json
from collections.abc import Iterable

from parsl_exporter.model.offsets import Offset


def zones_in_doubt(offsets: Iterable[tuple[Offset, str]]) -> dict[tuple[str, int], str]:
    """What to say of hosts, each with the zone that its stamps seem to be in.

    Once for all hosts of an executor that are off by as much, under the executor and the microseconds: a setting is
    per executor, and a cluster may have thousands of hosts.
    """
    said: dict[tuple[str, int], str] = {}
    for offset, zone in offsets:
        said.setdefault((offset.executor, offset.us), _zone_in_doubt(offset, zone))
    return said


def _zone_in_doubt(offset: Offset, zone: str) -> str:
    hours = f"{abs(offset.us) / 3_600_000_000:g} h {'ahead of' if offset.us > 0 else 'behind'}"
    name = zone if zone == "UTC" else "ZONE"
    whose = "" if zone == "UTC" else f", where ZONE is the IANA name of that host's zone, {zone} at that time"
    return (
        f"host {offset.host}: all tries of executor {offset.executor} there begin before they were launched or end"
        f" after their final row, as its stamps are {hours} those of the submit host; write worker_timezone:"
        f" {{{json.dumps(offset.executor)}: {name}}} into the source's entry in the configuration file{whose}"
    )
