"""Which format and content coding a client asks for (RFC 9110, 12.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from parsl_exporter.base.formats import Format

_WEIGHT = re.compile(r"[01](\.[0-9]*)?")
_MESSAGE = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}


class _Choice(NamedTuple):
    name: str
    parameters: Mapping[str, str]
    weight: float

    @property
    def format(self) -> Format | None:
        """The format that it names."""
        if self.name == "text/plain":
            return Format.TEXT
        if self.name == "application/openmetrics-text":
            return Format.OPENMETRICS if self.parameters.get("version", "1.0.0") in ("", "1.0.0") else None
        delimited = (
            self.name == "application/vnd.google.protobuf" and self.parameters.items() >= _MESSAGE.items()
        )
        return Format.PROTOBUF if delimited else None


def preferred_format(accept: str) -> Format:
    """The format that the value of an `Accept` header prefers.

    OpenMetrics and protobuf have to be named: a wildcard gets the text format, and so does a header that makes no
    sense, because an answer serves a scraper better than a refusal. Of equal weights protobuf wins, then OpenMetrics.
    """
    weights = dict.fromkeys((Format.PROTOBUF, Format.OPENMETRICS, Format.TEXT), 0.0)
    for choice in _choices(accept):
        if choice.format is not None:
            weights[choice.format] = max(weights[choice.format], choice.weight)
    best = max(weights, key=weights.__getitem__)
    return best if weights[best] else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the value of an `Accept-Encoding` header names gzip with a weight above 0."""
    return any(choice.name == "gzip" and choice.weight > 0 for choice in _choices(accept_encoding))


def _choices(header: str) -> Iterator[_Choice]:
    for item in header.split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        parameters = {key.lower(): value.strip('"') for key, _, value in (one.partition("=") for one in rest)}
        q = parameters.pop("q", "1")
        yield _Choice(name.lower(), parameters, float(q) if _WEIGHT.fullmatch(q) else 0.0)
