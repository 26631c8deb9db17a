"""What to tell a person of a host whose stamps speak against the zone that they are read in."""

from __future__ import annotations

import json

from parsl_exporter.model.offsets import Offset


def zone_in_doubt(offset: Offset, zone: str) -> str:
    """What to say of a host whose stamps speak against their zone; `zone` is what they seem to be in."""
    hours = f"{abs(offset.us) / 3_600_000_000:g} h {'ahead of' if offset.us > 0 else 'behind'}"
    name = zone if zone == "UTC" else "ZONE"
    whose = "" if zone == "UTC" else f", where ZONE is the IANA name of that host's zone, {zone} at that time"
    return (
        f"host {offset.host}: all tries of executor {offset.executor} there begin before they were launched or end"
        f" after their final row, as its stamps are {hours} those of the submit host; write worker_timezone:"
        f" {{{json.dumps(offset.executor)}: {name}}} into the source{whose}"
    )
