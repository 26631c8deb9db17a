"""In which zone the stamps of a run's submit side are, where a source says that some runs have one of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from fnmatch import fnmatchcase

from parsl_exporter.base.tables import WORKFLOW, Row
from parsl_exporter.model.timestamps import MICROSECONDS, Stamps

_HOST = 1 + WORKFLOW.columns.index("host")


class RunZones:
    """Zones by patterns of submit hosts, of which the first that matches counts; a run's workflow row names its host.

    `default` reads the stamps of all other runs, `others` those of runs on these hosts.
    """

    def __init__(self, zone: tzinfo | None, zones: Sequence[tuple[str, tzinfo]]) -> None:
        self.default = Stamps(zone)
        self.others = [Stamps(own) for _, own in zones]
        self._patterns = [pattern for pattern, _ in zones]
        self._all = [self.default, *self.others]
        self._of: dict[str, int] = {}

    def stamps(self, run_id: object) -> Stamps:
        """Give what reads the stamps of a run's submit side."""
        return self._all[self._of.get(run_id, 0) if isinstance(run_id, str) else 0]

    def learn(self, workflows: Sequence[Row]) -> None:
        """Take workflow rows."""
        if self._patterns:
            for row in workflows:
                self._of[row[1]] = self._on(row[_HOST])

    def _on(self, host: object) -> int:
        return next((i for i, p in enumerate(self._patterns, 1) if fnmatchcase(str(host), p)), 0)

    def kept(self) -> Mapping[str, int]:
        """Which of the zones, the default first, each run has: not a copy."""
        return self._of

    def resume(self, kept: Mapping[str, int]) -> None:
        """Take what `kept` gave under the same zones."""
        self._of.update(kept)

    def unknown(self, run_ids: Iterable[str]) -> list[str]:
        """Give those of these runs whose zone is not known."""
        return sorted(set(run_ids) - self._of.keys()) if self._patterns else []

    def settle(self, run_ids: Iterable[str]) -> None:
        """Let those of these runs whose zone is not known have the default."""
        for run_id in run_ids:
            self._of.setdefault(run_id, 0)

    def in_order(self, least: str, greatest: str, wall: float, run_id: str | None = None) -> bool:
        """Say whether of stamps between these the greatest is the newest, and not later than `wall`.

        That is in the zone of their run, or in any where that is not known.
        """
        zones = [self.stamps(run_id)] if run_id in self._of else self._all
        try:
            return not any(
                stamps.readings(greatest).again > wall * MICROSECONDS
                or stamps.repeats_between(least, greatest)
                for stamps in zones
            )
        except ValueError:
            return False
