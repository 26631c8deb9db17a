"""Prometheus exporter for Parsl's monitoring database."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("parsl-exporter")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
