"""A protobuf page read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[attr-defined]  # no other way is public

from parsl_exporter.metrics.messages import COUNTER, HISTOGRAM, MetricFamily

Key = tuple[str, tuple[tuple[str, str], ...]]


class Buckets(NamedTuple):
    """The native buckets of a histogram with values of 0 and above: counts by upper bound, that of zeros by 0."""

    counts: Mapping[float, int]

    def quantile(self, q: float) -> float:
        """The upper bound of the bucket that the value of that rank lies in."""
        rank = q * sum(self.counts.values())
        for (bound, _), upto in zip(self.counts.items(), accumulate(self.counts.values()), strict=True):
            if upto >= rank:
                return bound
        raise ValueError("no value was observed")


def messages(body: bytes) -> Iterator[Any]:
    """Each family of a page, as a message."""
    at = 0
    while at < len(body):
        length, at = _DecodeVarint32(body, at)
        yield MetricFamily.FromString(body[at : at + length])
        at += length


def samples(body: bytes) -> Mapping[Key, float]:
    """The samples of a page as the text format names them, histograms by their classic buckets."""
    found: dict[Key, float] = {}
    for family in messages(body):
        for metric in family.metric:
            labels = tuple((label.name, label.value) for label in metric.label)
            if family.type == HISTOGRAM:
                for bucket in metric.histogram.bucket:
                    bound = "+Inf" if bucket.upper_bound == float("inf") else repr(bucket.upper_bound)
                    found[f"{family.name}_bucket", (*labels, ("le", bound))] = bucket.cumulative_count
                found[f"{family.name}_count", labels] = metric.histogram.sample_count
                found[f"{family.name}_sum", labels] = metric.histogram.sample_sum
            else:
                value = metric.counter if family.type == COUNTER else metric.gauge
                found[family.name, labels] = value.value
    return found


def native(body: bytes) -> Mapping[Key, Buckets]:
    """The native buckets of each histogram of a page."""
    return {
        (family.name, tuple((label.name, label.value) for label in metric.label)): _buckets(metric.histogram)
        for family in messages(body)
        if family.type == HISTOGRAM
        for metric in family.metric
    }


def _buckets(histogram: Any) -> Buckets:
    counts = {0.0: histogram.zero_count} if histogram.zero_count else {}
    deltas = iter(histogram.positive_delta)
    index, count = 0, 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            if count:
                counts[2.0 ** (index / 2**histogram.schema)] = count
            index += 1
    assert next(deltas, None) is None
    return Buckets(counts)
