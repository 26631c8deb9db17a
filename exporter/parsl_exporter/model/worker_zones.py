"""In which zone the stamps of worker rows are, where a source says that workers have one of their own.

Worker rows (running, running_ended, resource) are written by the host that ran the try; an executor that never had
a block or a manager runs its tries in the submit process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from parsl_exporter.model.timestamps import Stamps

if TYPE_CHECKING:
    from parsl_exporter.model.run import Run


class WorkerZones:
    """Zones by patterns of executor labels, of which the first that matches counts; false when there are none.

    `near`: by run, the executors some of whose rows were read in the run's zone, as they had no block by then.
    """

    def __init__(self, zones: Sequence[tuple[str, tzinfo]]) -> None:
        self._zones = [(pattern, Stamps(zone)) for pattern, zone in zones]
        self._of: dict[str, Stamps | None] = {}
        self._far: defaultdict[str, set[str]] = defaultdict(set)
        self.near: defaultdict[str, set[str]] = defaultdict(set)

    def __bool__(self) -> bool:
        return bool(self._zones)

    def zones(self) -> list[Stamps]:
        """Give all zones that workers' stamps may be in."""
        return [stamps for _, stamps in self._zones]

    def stamps(self, run: Run, executor: str | None, own: Stamps, *, last_call: bool) -> Stamps | None:
        """Give what reads the stamps of an executor's worker rows; None when they have to wait.

        They wait for the try row that names the executor (None), and for its first block until the `last_call` of a
        poll.
        """
        if executor is None:
            return own if last_call and run.over else None
        zone = self._zone(executor)
        if zone is None or executor in self.near[run.run_id]:
            return own
        if executor in run.placed or executor in self._far[run.run_id]:
            return zone
        if not last_call:
            return None
        self.near[run.run_id].add(executor)
        return own

    def read_by(self, run: Run, executor: str, own: Stamps) -> Stamps:
        """Give what has read the stamps of an executor's workers."""
        zone = self._zone(executor)
        return own if zone is None or executor in self.near[run.run_id] else zone

    def misread(self, run: Run) -> bool:
        """Say whether an executor has got its first block after rows of it were read as the submit process's.

        Their zone is known from now on: all of the run is to be read again.
        """
        late = self.near[run.run_id] & run.placed
        self.near[run.run_id] -= late
        self._far[run.run_id] |= late
        return bool(late)

    def kept(self) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
        """What was found out of executors."""
        return self._far, self.near

    def resume(self, far: Mapping[str, set[str]], near: Mapping[str, set[str]]) -> None:
        """Take what `kept` gave."""
        self._far.update(far)
        self.near.update(near)

    def forget(self, run_id: str) -> None:
        """The run is of no interest any more."""
        self._far.pop(run_id, None)
        self.near.pop(run_id, None)

    def _zone(self, executor: str) -> Stamps | None:
        if executor not in self._of:
            self._of[executor] = next((s for p, s in self._zones if fnmatchcase(executor, p)), None)
        return self._of[executor]
