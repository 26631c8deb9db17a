"""What to say of a database file that is not there: a run is still to make it, or the path is wrong.

Costs a few `stat` calls and lists no folder: a daemon asks at every poll.
"""

from __future__ import annotations

import os
from pathlib import Path

from parsl_exporter.base.errors import FaultReason, SourceFault, SourceToCome

DATABASE = "monitoring.db"
RUN_DIR = "runinfo"
"""`Config.run_dir` unless it is set."""
_FIRST_RUN = "000"
_TO_COME = "Parsl makes it when a run with monitoring starts"


def absence(path: Path) -> SourceFault:
    """Give the error: SourceToCome where Parsl can be expected to make the file, else with what is likelier meant."""
    if path.is_symlink():
        return SourceFault(FaultReason.MISSING, f"{path}: a link that leads nowhere; {_TO_COME}")
    folder = path.parent
    if not folder.exists():
        if folder.parent.exists():  # the folder is the run's to make, as is all below it
            return SourceToCome(FaultReason.MISSING, f"{path}: no such file; {_TO_COME}")
        missing = next(one for one in (folder, *folder.parents) if one.parent.exists())
        return SourceFault(FaultReason.MISSING, f"{path}: there is no folder {missing}; correct the path")
    for other in (folder / DATABASE, folder / RUN_DIR / DATABASE):
        if other != path and os.path.lexists(other):
            return SourceFault(FaultReason.MISSING, f"{path}: no such file, but {other} is there; give that")
    if (folder / _FIRST_RUN).exists():
        return SourceToCome(
            FaultReason.MISSING,
            f"{path}: no such file, though runs have been in its folder; do they have monitoring"
            " (MonitoringHub in their Config), parsl.load below if __name__ == '__main__':, and no logging_endpoint"
            f" elsewhere? {_TO_COME}",
        )
    if path.name == DATABASE and folder.name != RUN_DIR:  # maybe the folder in which runs will be started
        return SourceToCome(
            FaultReason.MISSING, f"{path}: no such file, nor {RUN_DIR}/{DATABASE} beside it; {_TO_COME}"
        )
    return SourceToCome(FaultReason.MISSING, f"{path}: no such file; {_TO_COME}")
