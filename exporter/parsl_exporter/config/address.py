"""Addresses to listen on, spelled `host:port` as Prometheus exporters do."""

from __future__ import annotations

import ipaddress
import re

from parsl_exporter.base.redaction import shown

EXPECTED = "host:port, [IPv6 address]:port or :port, such as 127.0.0.1:9678"


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[ipv6]:port` or `:port`.

    An empty host is all interfaces, port 0 any free one. Raises ValueError with a message for the user.
    """
    if "://" in text:
        raise ValueError(f"is a URL; give {EXPECTED}")
    host, colon, port = text.rpartition(":")
    if not colon or re.fullmatch(r"[0-9]{1,5}", port) is None or int(port) > 65535:
        raise ValueError(f"{shown(text)} has no port from 0 to 65535; give {EXPECTED}")
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            raise ValueError(f"{shown(text)} has no IPv6 address in its brackets; give {EXPECTED}") from None
    if ":" in host:
        raise ValueError(f"{shown(text)} needs brackets around its IPv6 address; give {EXPECTED}")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host)), int(port)
        except ValueError:
            raise ValueError(f"{shown(text)} has no IPv4 address before its port; give {EXPECTED}") from None
    if re.fullmatch(r"[A-Za-z0-9._-]*", host) is None:
        raise ValueError(f"{shown(text)} is no address; give {EXPECTED}")
    return host, int(port)
