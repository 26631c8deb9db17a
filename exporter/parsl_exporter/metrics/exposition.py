"""Samples written down: the Prometheus text format 0.0.4 and OpenMetrics 1.0; `protobuf.py` has the third format.

Sources: prometheus.io/docs/instrumenting/exposition_formats and the OpenMetrics 1.0 specification, "Text format".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from prometheus_client import utils as prometheus

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.exemplar import exemplar_labels
from parsl_exporter.metrics.family import Distribution, Family, Sample
from parsl_exporter.metrics.protobuf import family_bytes, metric_bytes
from parsl_exporter.model.exemplars import Exemplar
from parsl_exporter.model.sketch import QUANTILES, Sketch
from parsl_exporter.model.timestamps import MICROSECONDS

_COUNTING = frozenset({"counter", "histogram"})
"""Kinds that have counted since a moment; a summary of quantiles alone counts nothing."""
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def family_written(family: Family[Any], parts: Iterable[bytes], format: Format) -> bytes:
    """A family whole, out of what `samples_written` gave for each of its runs or sources."""
    if format is Format.PROTOBUF:
        return family_bytes(family, parts)
    head = header(family, openmetrics=format is Format.OPENMETRICS)
    return b"".join([head.encode(), *parts])


def samples_written(
    family: Family[Any],
    shared: Sequence[str],
    samples: Iterable[Sample],
    format: Format,
    *,
    created: float | None,
    classic: bool,
) -> bytes:
    """The samples of one family for the given values of its shared labels, as a part of what is written of it.

    `created` (UTC epoch seconds) is since when counters and histograms count; the text format has no place for that.
    `classic`: protobuf has classic buckets beside native ones.
    """
    if format is Format.PROTOBUF:
        return metric_bytes(family, shared, samples, created=created, classic=classic)
    text = lines(family, shared, samples, openmetrics=format is Format.OPENMETRICS, created=created)
    return text.encode("utf-8", "backslashreplace")


def header(family: Family[Any], *, openmetrics: bool) -> str:
    """The HELP and TYPE lines. OpenMetrics names a counter without its `_total`."""
    name = family.name.removesuffix("_total") if openmetrics and family.kind == "counter" else family.name
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"


def lines(
    family: Family[Any],
    shared: Sequence[str],
    samples: Iterable[Sample],
    *,
    openmetrics: bool,
    created: float | None = None,
) -> str:
    """The sample lines of one family for the given values of its shared labels.

    `created` (UTC epoch seconds) gives counters and histograms a `_created` line; OpenMetrics alone has those.
    """
    begin = _labels(family.shared, shared)
    out: list[str] = []
    with_created = openmetrics and created is not None and family.kind in _COUNTING
    base = family.name.removesuffix("_total")
    for values, value in samples:
        own = _labels(family.own, values)
        labels = f"{begin},{own}" if begin and own else begin or own
        braced = f"{{{labels}}}" if labels else ""
        if isinstance(value, (float, int)):
            out.append(f"{family.name}{braced} {number(value)}\n")
        elif isinstance(value, Distribution):
            out.append(_distribution(family.name, labels, value, with_exemplars=openmetrics))
        else:
            out.append(_summary(family.name, labels, value))
        if with_created:
            assert created is not None
            out.append(f"{base}_created{braced} {number(created)}\n")
    return "".join(out)


def number(value: float) -> str:
    """A value as both formats read it."""
    if value.__class__ is int:
        return str(value)
    if value - value == 0:
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
    return _go(value)


@lru_cache(maxsize=1_024)
def _go(value: float) -> str:
    """The canonical text of a float, which OpenMetrics demands of `le`."""
    return str(prometheus.floatToGoString(value))  # type: ignore[no-untyped-call]  # as the library ships it


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    if not value.isascii():  # a lone surrogate, as of a path that is not UTF-8, has no UTF-8
        value = value.encode("utf-8", "backslashreplace").decode()
    return value.translate(_ESCAPES)


def _distribution(name: str, labels: str, value: Distribution, *, with_exemplars: bool) -> str:
    bounds = [*value.bounds, float("inf")]
    comma = "," if labels else ""
    out = [
        f'{name}_bucket{{{labels}{comma}le="{_go(bound)}"}} {count}'
        for bound, count in zip(bounds, accumulate(value.counts), strict=True)
    ]
    if with_exemplars and value.exemplars is not None:
        for bucket, exemplar in value.exemplars.by_bucket.items():
            out[bucket] += _exemplar(exemplar)
    braced = f"{{{labels}}}" if labels else ""
    out.append(f"{name}_count{braced} {sum(value.counts)}\n{name}_sum{braced} {number(value.sum)}\n")
    return "\n".join(out)


def _exemplar(exemplar: Exemplar) -> str:
    """What stands behind a bucket's count."""
    labels = _labels(*zip(*exemplar_labels(exemplar), strict=True))
    return f" # {{{labels}}} {number(exemplar.value)} {number(exemplar.us / MICROSECONDS)}"


def _summary(name: str, labels: str, value: Sketch) -> str:
    comma = "," if labels else ""
    return "".join(
        f'{name}{{{labels}{comma}quantile="{_go(q)}"}} {number(at)}\n'
        for q, at in zip(QUANTILES, value.quantiles, strict=True)
    )
