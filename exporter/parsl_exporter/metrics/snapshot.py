"""What a source publishes: its runs and itself as they were at one moment, written once a format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from parsl_exporter.metrics.exposition import lines
from parsl_exporter.metrics.family import Distribution, Family, Sample, Value
from parsl_exporter.metrics.source_families import SOURCE_FAMILIES, SourceFacts
from parsl_exporter.model.sketch import Sketch


class Rendered:
    """The samples of one run, by family, and their text by format, written when first asked for."""

    __slots__ = ("_created", "_shared", "_texts", "samples", "series")

    def __init__(
        self, shared: tuple[str, ...], samples: Sequence[Sequence[Sample]], created: float | None
    ) -> None:
        self.samples = samples
        self.series = sum(len(f) * _series(f[0][1]) for f in samples if f)  # alike within a family
        self._shared = shared
        self._created = created
        self._texts: dict[bool, list[str]] = {}

    def texts(self, families: Sequence[Family[Any]], *, openmetrics: bool) -> list[str]:
        """The sample lines of each family, in the catalogue's order."""
        texts = self._texts.get(openmetrics)
        if texts is None:
            texts = self._texts[openmetrics] = [
                lines(family, self._shared, samples, openmetrics=openmetrics, created=self._created)
                for family, samples in zip(families, self.samples, strict=True)
            ]
        return texts


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
        samples = [list(family.draw(self._facts)) for family in SOURCE_FAMILIES]
        return Rendered((self._source,), samples, self._started)


def _series(value: Value) -> int:
    if isinstance(value, Distribution):
        return len(value.counts) + 2
    return len(value.quantiles) if isinstance(value, Sketch) else 1
