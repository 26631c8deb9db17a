"""What a source publishes: its runs and itself as they were at one moment, written once a format."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.exposition import samples_written
from parsl_exporter.metrics.family import Distribution, Family, Sample, Value, draw_all
from parsl_exporter.metrics.source_families import SOURCE_FAMILIES, SourceFacts
from parsl_exporter.model.report import RunReport
from parsl_exporter.model.sketch import Sketch


class Rendered:
    """The samples of one run, by family, and how they are written by format, when first asked for.

    `report` is what there is to say of it to a person; None of what is no run, or several.
    """

    __slots__ = ("_classic", "_created", "_shared", "_written", "report", "samples", "series")

    def __init__(
        self,
        shared: tuple[str, ...],
        samples: Sequence[Collection[Sample]],
        created: float | None,
        *,
        classic: bool = True,
        report: RunReport | None = None,
    ) -> None:
        self.report = report
        self.samples = samples
        self.series = sum(len(f) * _series(next(iter(f))[1]) for f in samples if f)  # alike within a family
        self._shared = shared
        self._created = created
        self._classic = classic
        self._written: dict[Format, list[bytes]] = {}

    def written(self, families: Sequence[Family[Any]], format: Format) -> list[bytes]:
        """The samples of each family, in the catalogue's order."""
        written = self._written.get(format)
        if written is None:
            written = self._written[format] = [
                samples_written(
                    family, self._shared, samples, format, created=self._created, classic=self._classic
                )
                for family, samples in zip(families, self.samples, strict=True)
            ]
        return written


class Snapshot:
    """What one source publishes: its runs, and itself as `facts` have it. Both are written when first asked for.

    `started` (UTC epoch seconds) is since when the source's own counters count; None: they are not to say so.
    """

    def __init__(
        self, source: str, runs: tuple[Rendered, ...], facts: SourceFacts, started: float | None
    ) -> None:
        self.runs = runs
        self._source = source
        self._facts = facts
        self._started = started

    @cached_property
    def itself(self) -> Rendered:
        """The source's own families."""
        return Rendered((self._source,), draw_all(SOURCE_FAMILIES, self._facts), self._started)


def _series(value: Value) -> int:
    if isinstance(value, Distribution):
        return len(value.counts) + 2
    return len(value.quantiles) if isinstance(value, Sketch) else 1
