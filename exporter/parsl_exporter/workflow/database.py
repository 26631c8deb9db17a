"""From what a workflow has at hand to the database of its runs."""

from __future__ import annotations

import glob
import os
from typing import Protocol, TypeAlias

from parsl_exporter.base.errors import ConfigurationError


class Monitoring(Protocol):
    """What is asked of a `parsl.monitoring.MonitoringHub`."""

    @property
    def logging_endpoint(self) -> str | None:
        """The database's URL; None before a run: a file in `run_dir`."""


class Config(Protocol):
    """What is asked of a `parsl.config.Config`."""

    @property
    def run_dir(self) -> str:
        """The folder of runs, relative to the working folder."""

    @property
    def monitoring(self) -> Monitoring | None:
        """None: no database is written."""


Database: TypeAlias = Config | str | os.PathLike[str]
"""A Parsl Config, or a database file, a runinfo folder, a glob or a SQLAlchemy URL."""


def target_of(given: Database) -> str:
    """Give the database as the command line takes it; that of a Config does not depend on the working folder.

    Raises ConfigurationError for a Config that has none.
    """
    if isinstance(given, str | os.PathLike):
        return os.fspath(given)
    if given.monitoring is None:
        raise ConfigurationError(["this Config has no monitoring; give it monitoring=MonitoringHub(...)"])
    url = given.monitoring.logging_endpoint
    if url is None:
        # `MonitoringHub.start` in parsl/monitoring/monitoring.py
        url = f"sqlite:///{os.fspath(given.run_dir)}/monitoring.db"
    if not url.startswith("sqlite"):
        return url
    from sqlalchemy.engine import make_url  # noqa: PLC0415  # which Parsl has by then, but who gives a path does not need

    path = make_url(url).database
    if not path or path == ":memory:":
        raise ConfigurationError(
            ["this Config's monitoring is in memory, where no other process can read it"]
        )
    # SQLAlchemy takes the path as it stands, while a DATABASE may be a glob; one without a suffix that is still to come
    # would be taken for a folder, unless it is a URL, where not every character may stand.
    path = glob.escape(os.path.abspath(path))  # noqa: PTH100  # keeps symbolic links
    return path if os.path.splitext(path)[1] else f"sqlite:///{path}"  # noqa: PTH122
