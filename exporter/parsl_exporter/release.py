"""Which exporter this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("parsl-exporter")
except PackageNotFoundError:  # a source tree that was not installed
    VERSION = "0+unknown"
