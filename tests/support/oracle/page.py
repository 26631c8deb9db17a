"""Series as values: collected by family, parsed from a page, compared."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OTHER = "_other"
LAST_ROW = "parsl_workflow_last_row_timestamp_seconds"


class Exemplar(NamedTuple):
    """A try and its value; `end` is in UTC epoch seconds."""

    end: float
    task_id: int
    try_id: int
    value: float


class Histogram(NamedTuple):
    """A histogram's series: cumulative counts by upper bound, +Inf last. `exemplars`: by bound; None: not told."""

    buckets: tuple[tuple[float, int], ...]
    sum: float
    count: int  # type: ignore[assignment]  # the exposition's own word, in place of tuple.count
    exemplars: tuple[tuple[float, Exemplar], ...] | None = None


class Summary(NamedTuple):
    """A summary's series: the value at 0.5, 0.95 and 1."""

    quantiles: tuple[tuple[float, float], ...]


QUANTILES = (0.5, 0.95, 1.0)
Value = float | Histogram | Summary
Labels = frozenset[tuple[str, str]]
Series = dict[str, dict[Labels, Value]]


class Sheet:
    """Collects series under labels that they share. A series put twice is an error."""

    def __init__(self, series: Series, **labels: str) -> None:
        self._series = series
        self._labels = labels

    def under(self, **labels: str) -> Sheet:
        """Give a sheet for the same series whose entries have these labels too."""
        return Sheet(self._series, **self._labels, **labels)

    def put(self, family: str, value: Value, **labels: str) -> None:
        """Add one series."""
        _add(self._series, family, frozenset({**self._labels, **labels}.items()), value)

    def observe(
        self,
        family: str,
        observed: Sequence[float] | Sequence[Exemplar],
        bounds: Sequence[float],
        **labels: str,
    ) -> None:
        """Add the histogram of these observations, also of none, and the summary of some."""
        tries = [one for one in observed if isinstance(one, Exemplar)]
        values = [one.value if isinstance(one, Exemplar) else one for one in observed]
        upto = (*bounds, math.inf)
        buckets = tuple((bound, sum(value <= bound for value in values)) for bound in upto)
        exemplars = tuple(
            (bound, max(within))
            for low, bound in zip((-math.inf, *bounds), upto, strict=True)
            if (within := [one for one in tries if low < one.value <= bound])
        )
        self.put(family, Histogram(buckets, math.fsum(values), len(values), exemplars), **labels)
        if values:
            self.put(summary_of(family), nearest_ranks(values), **labels)


def summary_of(histogram: str) -> str:
    """Give the name of the summary of what a histogram observes."""
    name, _, unit = histogram.rpartition("_")
    return f"{name.removesuffix('_duration')}_summary_{unit}"


def nearest_ranks(values: Sequence[float]) -> Summary:
    """Give the values at the nearest rank: the ceil(q n)-th smallest."""
    ordered = sorted(values)
    ranks = {q: math.ceil(Fraction(str(q)) * len(values)) for q in QUANTILES}
    return Summary(tuple((q, ordered[rank - 1]) for q, rank in ranks.items()))


def parse_only(page: str, family: str) -> Series:
    """What `parse` reads of a page's samples of one family: plain numbers, without their type."""
    samples = [line for line in page.split("\n") if line.startswith(f"{family}{{")]
    return parse("\n".join([*samples, ""]))


def parse(page: str) -> Series:
    """Read an exposition, text or OpenMetrics, into the shape of `expected`.

    `_created` is ignored. Raises ValueError for a page that the format's parser refuses, a series that
    stands twice, a histogram without its sum, its count or its +Inf bucket, a summary with more than quantiles, or an
    exemplar that is no try of the run.
    """
    series: Series = {}
    openmetrics = page.endswith("# EOF\n")
    for metric in (parse_openmetrics if openmetrics else parse_text)(page):
        if metric.type == "histogram":
            for key, value in _histograms(metric, openmetrics=openmetrics).items():
                _add(series, metric.name, key, value)
            continue
        if metric.type == "summary" and _is_run_family(metric.name):
            for key, quantiles in _summaries(metric).items():
                _add(series, metric.name, key, quantiles)
            continue
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                _add(series, sample.name, frozenset(sample.labels.items()), float(sample.value))
    return series


def _histograms(metric: Metric, *, openmetrics: bool) -> dict[Labels, Histogram]:
    parts: dict[Labels, dict[str, float]] = {}
    buckets: dict[Labels, dict[float, int]] = {}
    exemplars: dict[Labels, list[tuple[float, Exemplar]]] = {}
    for sample in metric.samples:
        part = sample.name.removeprefix(metric.name)
        key = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
        where = f"{metric.name}{_spell(key)}"
        if part == "_bucket":
            bound = float(sample.labels["le"])
            if bound in buckets.setdefault(key, {}):
                raise ValueError(f"{where}: the bucket {bound} stands twice")
            buckets[key][bound] = int(sample.value)
            told = sample.exemplar
            if told is not None:
                found = _exemplar(sample.labels["run_id"], told.labels, told.value, told.timestamp)
                exemplars.setdefault(key, []).append((bound, found))
        elif part != "_created":
            if part in parts.setdefault(key, {}):
                raise ValueError(f"{where}: {part} stands twice")
            parts[key][part] = sample.value
    for key in parts.keys() | buckets.keys():
        if parts.get(key, {}).keys() != {"_sum", "_count"} or math.inf not in buckets.get(key, {}):
            raise ValueError(f"{metric.name}{_spell(key)}: an incomplete histogram")
    return {
        key: Histogram(
            tuple(sorted(counts.items())),
            float(parts[key]["_sum"]),
            int(parts[key]["_count"]),
            tuple(sorted(exemplars.get(key, []))) if openmetrics else None,
        )
        for key, counts in buckets.items()
    }


def _exemplar(run_id: str, of: Mapping[str, str], value: float, at: object) -> Exemplar:
    if of.keys() != {"run_id", "task_id", "try_id"} or run_id not in (of["run_id"], OTHER):
        raise ValueError(f"{of} is no try of run {run_id}")
    return Exemplar(float(str(at)), int(of["task_id"]), int(of["try_id"]), value)


def _summaries(metric: Metric) -> dict[Labels, Summary]:
    found: dict[Labels, list[tuple[float, float]]] = {}
    for sample in metric.samples:
        key = frozenset((name, value) for name, value in sample.labels.items() if name != "quantile")
        if sample.name != metric.name or "quantile" not in sample.labels:
            raise ValueError(f"{metric.name}{_spell(key)}: {sample.name} is no quantile")
        found.setdefault(key, []).append((float(sample.labels["quantile"]), float(sample.value)))
    return {key: Summary(tuple(quantiles)) for key, quantiles in found.items()}


def _add(series: Series, family: str, key: Labels, value: Value) -> None:
    if key in series.setdefault(family, {}):
        raise ValueError(f"{family}{_spell(key)} stands twice")
    series[family][key] = value


def differences(
    expected: Mapping[str, Mapping[Labels, Value]],
    actual: Mapping[str, Mapping[Labels, Value]],
    *,
    families: Collection[str] | None = None,
) -> list[str]:
    """Name every series that is missing, surplus or of another value; an empty list when all agree.

    `families` narrows the comparison; without it every run family of either side is compared (all `parsl_*`
    but `parsl_exporter_*`; when a row was last read only where it is expected, as clocks decide it). Numbers agree
    within 1e-9 of the greater one, or 1e-9 around 0 (a max - min of floats); times since 1970 to the microsecond,
    for 1e-9 of those would be two seconds; quantiles within 1 %, but 1 is a number like any other. Exemplars are
    compared where both have told them.
    """
    if families is None:
        families = {name for name in expected.keys() | actual.keys() if _is_run_family(name)}
        if LAST_ROW not in expected:
            families.discard(LAST_ROW)
    lines = []
    for family in sorted(families):
        wanted, found = expected.get(family, {}), actual.get(family, {})
        for key in sorted(wanted.keys() | found.keys(), key=sorted):
            where = f"{family}{_spell(key)}"
            if key not in found:
                lines.append(f"missing: {where} {wanted[key]}")
            elif key not in wanted:
                lines.append(f"surplus: {where} {found[key]}")
            elif not _agree(wanted[key], found[key], is_time="_timestamp_" in family):
                lines.append(f"differs: {where} is {found[key]}, expected {wanted[key]}")
    return lines


def _is_run_family(name: str) -> bool:
    return name.startswith("parsl_") and not name.startswith("parsl_exporter_")


def _agree(one: Value, other: Value, *, is_time: bool) -> bool:
    if isinstance(one, Histogram) or isinstance(other, Histogram):
        return (
            isinstance(one, Histogram)
            and isinstance(other, Histogram)
            and (one.buckets, one.count) == (other.buckets, other.count)
            and (one.exemplars is None or other.exemplars is None or _same(one.exemplars, other.exemplars))
            and _agree(one.sum, other.sum, is_time=False)
        )
    if isinstance(one, Summary) or isinstance(other, Summary):
        return (
            isinstance(one, Summary)
            and isinstance(other, Summary)
            and [q for q, _ in one.quantiles] == [q for q, _ in other.quantiles]
            and all(
                math.isclose(a, b, rel_tol=1e-9 if q == 1 else 0.01, abs_tol=1e-9)
                for (q, a), (_, b) in zip(one.quantiles, other.quantiles, strict=True)
            )
        )
    if is_time:
        return abs(one - other) < 0.5e-6
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def _same(some: Sequence[tuple[float, Exemplar]], others: Sequence[tuple[float, Exemplar]]) -> bool:
    return len(some) == len(others) and all(
        (a, one.task_id, one.try_id) == (b, other.task_id, other.try_id)
        and _agree(one.end, other.end, is_time=True)
        and _agree(one.value, other.value, is_time=False)
        for (a, one), (b, other) in zip(some, others, strict=True)
    )


def _spell(key: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}={value!r}" for name, value in sorted(key)) + "}"
