"""Why a source that is up to date shows no run: in words, for the landing page, the log and `check`."""

from __future__ import annotations

from parsl_exporter.config.duration import spelled
from parsl_exporter.model.run import Limits
from parsl_exporter.model.runs import Runs

NO_RUNS = ' (see "No runs appear?" in docs/causes.md)'


def nothing_shown(runs: Runs, limits: Limits, without_workflow: int = 0) -> str | None:
    """Say why none of the runs that were read has series; None where one has, or others were asked for.

    `without_workflow` is the number of abandoned runs that were not read, as they have no workflow row.
    """
    if runs.runs or runs.others:
        return None
    ended, abandoned = len(runs.ended), len(runs.abandoned) + without_workflow
    total = ended + abandoned
    if not total:
        return f"no run yet{NO_RUNS}"
    over = f"ended longer than `retention` ({spelled(limits.retention)}) ago"
    silent = f"without an end and without a new row for `abandon_after` ({spelled(limits.abandon_after)})"
    if ended and abandoned:
        why = f": {ended} {over}, {abandoned} {silent}"
    elif total == 1:
        why = f", which {over}" if ended else f", {silent}"
    else:
        why = f", all {over if ended else silent}"
    return f"{total} {'run' if total == 1 else 'runs'}{why}; `dump` shows {'it' if total == 1 else 'them'}"
