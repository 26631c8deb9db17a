"""The formats in which the page can be had."""

from __future__ import annotations

from enum import Enum


class Format(Enum):
    """A format, and the media type of answers in it (prometheus.io/docs, "Exposition formats")."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
