"""Prometheus's protobuf messages, as far as they are written here.

Names and numbers are those of `io/prometheus/client/metrics.proto` of github.com/prometheus/client_model, where each
field keeps its number for ever. They are declared rather than generated, so that any protobuf of the range in
pyproject.toml takes them: generated modules are bound to the version that made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

COUNTER, GAUGE, HISTOGRAM = 0, 1, 4
"""Of `MetricType`: the kinds that are written."""

_PACKAGE = "io.prometheus.client"
_Type = descriptor_pb2.FieldDescriptorProto
_DOUBLE, _STRING, _UINT64 = _Type.TYPE_DOUBLE, _Type.TYPE_STRING, _Type.TYPE_UINT64
_TIMESTAMP = "google.protobuf.Timestamp"

_MESSAGES: Mapping[str, Mapping[str, tuple[int, int | str]]] = {
    "LabelPair": {"name": (1, _STRING), "value": (2, _STRING)},
    "Gauge": {"value": (1, _DOUBLE)},
    "Exemplar": {"label": (1, "*LabelPair"), "value": (2, _DOUBLE), "timestamp": (3, _TIMESTAMP)},
    "Counter": {"value": (1, _DOUBLE), "created_timestamp": (3, _TIMESTAMP)},
    "Bucket": {"cumulative_count": (1, _UINT64), "upper_bound": (2, _DOUBLE), "exemplar": (3, "Exemplar")},
    "BucketSpan": {"offset": (1, _Type.TYPE_SINT32), "length": (2, _Type.TYPE_UINT32)},
    "Histogram": {
        "sample_count": (1, _UINT64),
        "sample_sum": (2, _DOUBLE),
        "bucket": (3, "*Bucket"),
        "schema": (5, _Type.TYPE_SINT32),
        "zero_threshold": (6, _DOUBLE),
        "zero_count": (7, _UINT64),
        "negative_span": (9, "*BucketSpan"),
        "negative_delta": (10, "*sint64"),
        "positive_span": (12, "*BucketSpan"),
        "positive_delta": (13, "*sint64"),
        "created_timestamp": (15, _TIMESTAMP),
        "exemplars": (16, "*Exemplar"),
    },
    "Metric": {
        "label": (1, "*LabelPair"),
        "gauge": (2, "Gauge"),
        "counter": (3, "Counter"),
        "histogram": (7, "Histogram"),
    },
    "MetricFamily": {"name": (1, _STRING), "help": (2, _STRING), "type": (3, "MetricType"), "metric": (4, "*Metric")},
}  # fmt: skip
"""Of each field its number and its type; a star before a type says that it is repeated."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="parsl_exporter/metrics.proto",
        package=_PACKAGE,
        syntax="proto2",
        dependency=[timestamp_pb2.DESCRIPTOR.name],
    )
    kinds = file.enum_type.add(name="MetricType")
    for name, number in (("COUNTER", COUNTER), ("GAUGE", GAUGE), ("HISTOGRAM", HISTOGRAM)):
        kinds.value.add(name=name, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: int | str) -> None:
    field = message.field.add(name=name, number=number, label=_Type.LABEL_OPTIONAL)
    if isinstance(kind, str) and kind.startswith("*"):
        field.label, kind = _Type.LABEL_REPEATED, kind[1:]
    if kind == "sint64":
        field.type = _Type.TYPE_SINT64
    elif kind == "MetricType":
        field.type, field.type_name = _Type.TYPE_ENUM, f".{_PACKAGE}.MetricType"
    elif isinstance(kind, str):
        field.type, field.type_name = _Type.TYPE_MESSAGE, f".{kind}" if "." in kind else f".{_PACKAGE}.{kind}"
    else:
        field.type = kind  # type: ignore[assignment]  # an integer at run time


def _metric_family() -> type[Any]:
    # A pool of its own: another package of this process may have declared the same messages.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.MetricFamily"))


MetricFamily: type[Any] = _metric_family()
"""The class of messages that an exposition is a sequence of, each behind its length."""
