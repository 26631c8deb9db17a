"""From what a user names to the databases that are there: files, runinfo folders, globs, URLs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import URL, make_url

from parsl_exporter.redaction import public
from parsl_exporter.settings import SourceSettings

DATABASE = "monitoring.db"


class Found(NamedTuple):
    """One database, a file or on a server, and its source's name. `fixed` is False for a glob's match, which may go."""

    name: str
    database: Path | URL
    settings: SourceSettings
    fixed: bool

    @property
    def shown(self) -> str:
        """The database as people may see it."""
        return str(self.database) if isinstance(self.database, Path) else public(self.database)


def discover(settings: SourceSettings) -> Iterator[Found]:
    """Give the databases that a configured source stands for now.

    A file, a folder or a URL always stands for one, whether it is there or not; a glob for what it matches,
    but not for folders that hold no database: Parsl makes a runinfo folder without monitoring too.
    """
    is_url = "://" in settings.target
    if is_url and not settings.target.startswith("sqlite"):
        url = make_url(settings.target)
        yield Found(settings.name or public(url), url, settings, fixed=True)
        return
    target = _path_of_url(settings.target) if is_url else settings.target
    if not glob.has_magic(target) or os.path.lexists(target):
        path = _absolute(target)
        is_folder = os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises when it may not look
        if is_folder or (not is_url and _folder_to_come(target)):
            path /= DATABASE
        yield Found(settings.name or str(path), path, settings, fixed=True)
        return
    for match in sorted(glob.glob(target, recursive=True)):
        path = _absolute(match)
        if os.path.isdir(path):  # noqa: PTH112  # as above
            path /= DATABASE
            if not os.path.lexists(path):
                continue
        yield Found(f"{settings.name or ''}{path}", path, settings, fixed=False)


def _path_of_url(url: str) -> str:
    return os.path.expanduser(make_url(url).database or "")  # noqa: PTH111  # as paths are taken


def _absolute(target: str) -> Path:
    return Path(os.path.abspath(target))  # noqa: PTH100  # keeps symbolic links as the user named them


def _folder_to_come(target: str) -> bool:
    """Say whether a path that is not there is taken for a folder, so that the source's name stays when it comes."""
    return not os.path.lexists(target) and (target.endswith("/") or not Path(target).suffix)
