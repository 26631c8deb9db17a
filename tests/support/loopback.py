"""What programs on loopback answer, never by way of a proxy."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from typing import Any

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def text_of(url: str) -> str:
    """The text of an answer."""
    with OPENER.open(url, timeout=30) as answer:
        return str(answer.read().decode())


def api(base: str, path: str, **asked: str | float) -> Any:
    """The `data` that Prometheus's HTTP API gives, or that of one of its relatives."""
    return json.loads(text_of(f"{base}/api/v1/{path}?{urllib.parse.urlencode(asked)}"))["data"]


def query(base: str, expr: str, **at: float) -> list[dict[str, Any]]:
    """The samples that answer an instant query, now or at a `time`."""
    found: list[dict[str, Any]] = api(base, "query", query=expr, **at)["result"]
    return found
