"""Families of other collectors, which prometheus_client holds: `process_*`, `python_info`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest as write_text
from prometheus_client.openmetrics.exposition import generate_latest as write_openmetrics

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.family import Family, Sample
from parsl_exporter.metrics.protobuf import family_bytes, metric_bytes

_FAMILY = re.compile(rb"(^# HELP (\S+).*\n(?:(?!# HELP ).*\n)*)", re.MULTILINE)


def collected(registry: CollectorRegistry, format: Format) -> Mapping[str, bytes]:
    """Each family of a registry that has gauges and counters only, by its name, written as it is now."""
    if format is Format.PROTOBUF:
        return dict(_message(metric) for metric in registry.collect())
    written: bytes = (
        write_openmetrics(registry)  # type: ignore[no-untyped-call]  # as it ships
        if format is Format.OPENMETRICS
        else write_text(registry)
    )
    return {name.decode(): chunk for chunk, name in _FAMILY.findall(written.removesuffix(b"# EOF\n"))}


def _message(metric: Metric) -> tuple[str, bytes]:
    counter = metric.type == "counter"
    name = f"{metric.name}_total" if counter else metric.name
    samples: list[Sample] = [(tuple(s.labels.values()), s.value) for s in metric.samples if s.name == name]
    family = Family[Any](
        name,
        "counter" if counter else "gauge",
        metric.documentation,
        tuple(metric.samples[0].labels),
        lambda _: samples,
        shared=(),
    )
    return name, family_bytes(family, [metric_bytes(family, (), samples)])
