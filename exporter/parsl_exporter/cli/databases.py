"""The databases that a command reads once."""

from __future__ import annotations

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.config.settings import Settings
from parsl_exporter.readers.targets import Found, discover, distinct


def databases(settings: Settings) -> list[Found]:
    """Give the databases of all sources, each file once. Raises ConfigurationError when there is none."""
    found, _ = distinct(one for source in settings.sources for one in discover(source))
    if not found:
        targets = ", ".join(source.target for source in settings.sources)
        raise ConfigurationError([f"{targets}: no database is there"])
    return found
