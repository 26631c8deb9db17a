"""Which format and content coding a client asks for (RFC 9110, 12.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_WEIGHT = re.compile(r"[01](\.[0-9]*)?")


class _Choice(NamedTuple):
    name: str
    version: str
    weight: float


def wants_openmetrics(accept: str) -> bool:
    """Whether the value of an `Accept` header prefers OpenMetrics 1.0.0 to the text format.

    OpenMetrics has to be named: a wildcard gets the text format, and so does a header that makes no sense,
    because an answer serves a scraper better than a refusal. Named at equal weight, OpenMetrics wins.
    """
    openmetrics = 0.0
    text = 0.0
    for choice in _choices(accept):
        if choice.name == "application/openmetrics-text" and choice.version in ("", "1.0.0"):
            openmetrics = max(openmetrics, choice.weight)
        elif choice.name == "text/plain":
            text = max(text, choice.weight)
    return openmetrics > 0 and openmetrics >= text


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the value of an `Accept-Encoding` header names gzip with a weight above 0."""
    return any(choice.name == "gzip" and choice.weight > 0 for choice in _choices(accept_encoding))


def _choices(header: str) -> Iterator[_Choice]:
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        version, weight = "", 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.lower() == "q":
                weight = float(value) if _WEIGHT.fullmatch(value) else 0.0
            elif key.lower() == "version":
                version = value.strip('"')
        yield _Choice(name.lower(), version, weight)
