"""What a limit leaves no room for: samples of several runs as those of one run `_other` of one app `_other`.

They are summed, or the greatest or least, as each family says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from parsl_exporter.metrics.family import Distribution, Overflow, Sample, Value, in_any_order
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.model.names import OTHER
from parsl_exporter.model.sketch import Sketch

_LABELS = frozenset({"app", "executor"})


class OtherRun:
    """Samples of several runs as those of one."""

    def __init__(self) -> None:
        self._values: list[dict[tuple[str, ...], Value]] = [{} for _ in RUN_FAMILIES]

    def copy(self) -> OtherRun:
        """Give another that holds the same, to be added to on its own."""
        other = OtherRun()
        other._values = [dict(values) for values in self._values]
        return other

    def add(self, samples: Sequence[Collection[Sample]], *, counters_only: bool = False) -> None:
        """Add what a run has of each family; `counters_only` of one that has gone."""
        for family, of_family, values in zip(RUN_FAMILIES, samples, self._values, strict=True):
            if family.overflow == "drop" or (counters_only and family.kind == "gauge"):
                continue
            for labels, value in of_family:
                key = tuple(
                    OTHER if name in _LABELS else label
                    for name, label in zip(family.own, labels, strict=True)
                )
                values[key] = value if key not in values else _merged(family.overflow, values[key], value)

    def samples(self) -> list[list[Sample]]:
        """Give the samples of each family, in the catalogue's order."""
        return [list(values.items()) for values in self._values]


def _merged(overflow: Overflow, one: Value, other: Value) -> Value:
    if isinstance(one, Distribution) and isinstance(other, Distribution):
        counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
        sketch = one.sketch.plus(other.sketch) if one.sketch and other.sketch else one.sketch or other.sketch
        exemplars = one.exemplars.plus(other.exemplars) if one.exemplars and other.exemplars else None
        return Distribution(one.bounds, counts, in_any_order(one.sum + other.sum), sketch, exemplars)
    if isinstance(one, Sketch) and isinstance(other, Sketch):
        return one.plus(other)
    assert not isinstance(one, Distribution | Sketch) and not isinstance(other, Distribution | Sketch)
    if overflow == "max":
        return max(one, other)
    return min(one, other) if overflow == "min" else in_any_order(one + other)
