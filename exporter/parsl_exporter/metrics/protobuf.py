"""Samples written down as Prometheus's protobuf exposition, with native histograms.

A family is one `MetricFamily` behind its length. Messages of one type put behind each other are one message with the
repeated fields of all (protobuf.dev, "Encoding"), so what a run has of a family is written once, and stays as it is
until the run changes.

A summary is written as gauges with a `quantile` label: of a summary message Prometheus would make `_count` and `_sum`
series, at 0 where it has none. The label is spelled as in the other formats, as Prometheus 3 would spell it itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from parsl_exporter.metrics.exemplar import exemplar_labels
from parsl_exporter.metrics.family import Distribution, Family, Sample
from parsl_exporter.metrics.messages import COUNTER, GAUGE, HISTOGRAM, MetricFamily
from parsl_exporter.model.exemplars import Exemplar
from parsl_exporter.model.sketch import QUANTILES, Sketch
from parsl_exporter.model.timestamps import MICROSECONDS

_SCHEMA = 3
"""Of native histograms: a bucket's upper bound is 2**(1/8) times its lower one."""
_ZERO_THRESHOLD = 2.0**-128
"""The smallest that there is: only zeros are counted there (prometheus/client_golang has it as its default)."""
_WIDEST_GAP = 2
"""Empty buckets that cost less when written than as the gap between two spans."""
_KINDS = {"counter": COUNTER, "gauge": GAUGE, "histogram": HISTOGRAM, "summary": GAUGE}


def family_bytes(family: Family[Any], metrics: Iterable[bytes]) -> bytes:
    """Write a family out of what `metric_bytes` gave for each of its runs or sources, behind its length."""
    head = MetricFamily(name=family.name, help=family.help, type=_KINDS[family.kind]).SerializeToString()
    return delimited(b"".join([head, *metrics]))


def delimited(message: bytes) -> bytes:
    """Put its length, as a varint, before a message (protobuf.dev, "Streaming Multiple Messages")."""
    length, left = bytearray(), len(message)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*length, left]) + message


def metric_bytes(
    family: Family[Any],
    shared: Sequence[str],
    samples: Iterable[Sample],
    *,
    created: float | None = None,
    classic: bool = True,
) -> bytes:
    """Write the samples of one family for the given values of its shared labels, as a part of its message.

    `created` (UTC epoch seconds) is since when counters and histograms count. `classic`: histograms have classic
    buckets beside the native ones.
    """
    message = MetricFamily()
    for own, value in samples:
        labels = [*zip(family.labels, map(_utf8, (*shared, *own)), strict=True)]
        if isinstance(value, Sketch):
            for q, at in zip(QUANTILES, value.quantiles, strict=True):
                _add(message, [*labels, ("quantile", repr(q))]).gauge.value = at
            continue
        metric = _add(message, labels)
        if isinstance(value, Distribution):
            _fill(metric.histogram, value, classic=classic)
            counting = metric.histogram
        elif family.kind == "counter":
            metric.counter.value = value
            counting = metric.counter
        else:
            metric.gauge.value = value
            continue
        if created is not None:
            _set_time(counting.created_timestamp, round(created * MICROSECONDS))
    written: bytes = message.SerializeToString()
    return written


def _add(message: Any, labels: Iterable[tuple[str, str]]) -> Any:
    metric = message.metric.add()
    for name, value in labels:
        metric.label.add(name=name, value=value)
    return metric


def _utf8(value: str) -> str:
    # A lone surrogate, as of a path that is not UTF-8, has no UTF-8.
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _set_time(timestamp: Any, us: int) -> None:
    timestamp.seconds, timestamp.nanos = us // MICROSECONDS, us % MICROSECONDS * 1_000


def _fill(histogram: Any, value: Distribution, *, classic: bool) -> None:
    histogram.sample_count = sum(value.counts)
    histogram.sample_sum = value.sum
    exemplars = {} if value.exemplars is None else value.exemplars.by_bucket
    if classic:
        bounds = [*value.bounds, float("inf")]
        for i, (bound, count) in enumerate(zip(bounds, accumulate(value.counts), strict=True)):
            bucket = histogram.bucket.add(upper_bound=bound, cumulative_count=count)
            if i in exemplars:
                _set_exemplar(bucket.exemplar, exemplars[i])
    histogram.schema = _SCHEMA
    histogram.zero_threshold = _ZERO_THRESHOLD
    if value.sketch is not None:
        found = value.sketch.native()
        histogram.zero_count = found.zero
        _set_buckets(histogram.positive_span, histogram.positive_delta, found.positive)
        _set_buckets(histogram.negative_span, histogram.negative_delta, found.negative)
    for exemplar in exemplars.values():
        _set_exemplar(histogram.exemplars.add(), exemplar)


def _set_exemplar(message: Any, exemplar: Exemplar) -> None:
    for name, value in exemplar_labels(exemplar):
        message.label.add(name=name, value=value)
    message.value = exemplar.value
    _set_time(message.timestamp, exemplar.us)


def _set_buckets(spans: Any, deltas: Any, counts: Mapping[int, int]) -> None:
    """Write counts by index (ascending) as runs of neighbours, each count as the difference to the one before it."""
    next_index, before = 0, 0
    span = None
    for index, count in counts.items():
        gap = index - next_index
        if span is not None and gap <= _WIDEST_GAP:
            deltas.extend([-before, *[0] * (gap - 1)] if gap else [])
            before = 0 if gap else before
            span.length += gap + 1
        else:
            span = spans.add(offset=gap, length=1)
        deltas.append(count - before)
        before, next_index = count, index + 1
