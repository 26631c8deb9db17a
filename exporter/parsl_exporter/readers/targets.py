"""From what a user names to the databases that are there: files, runinfo folders, globs, URLs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

from parsl_exporter.base.redaction import public
from parsl_exporter.config.settings import SourceSettings
from parsl_exporter.readers.absent import DATABASE, RUN_DIR

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class Found(NamedTuple):
    """One database, a file or on a server, and its source's name. `fixed` is False for a glob's match, which may go.

    `file` (device, inode) tells a file that is there from others, by whatever path it was found.
    """

    name: str
    database: Path | URL
    settings: SourceSettings
    fixed: bool
    file: tuple[int, int] | None = None

    @property
    def shown(self) -> str:
        """The database as people may see it."""
        return str(self.database) if isinstance(self.database, Path) else public(self.database)

    @property
    def target(self) -> str:
        """What stands for this database alone, as `SourceSettings` have it."""
        return self.settings.target if self.fixed else glob.escape(self.shown)


class Again(NamedTuple):
    """A database that was found again, and as what it is read."""

    found: Found
    first: Found


def discover(settings: SourceSettings) -> Iterator[Found]:
    """Give the databases that a configured source stands for now.

    A file, a folder or a URL always stands for one, whether it is there or not; a glob for what it matches,
    but not for folders that hold no database: Parsl makes a runinfo folder without monitoring too. Of a glob's paths
    to one file those that go through a link come last.
    """
    is_url = "://" in settings.target
    if is_url and not settings.target.startswith("sqlite"):
        url = _url(settings.target)
        yield Found(settings.name or public(url), url, settings, fixed=True)
        return
    target = _path_of_url(settings.target) if is_url else settings.target
    if not _is_glob(target):
        path = _absolute(target)
        if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises when it may not look
            path = _database_in(path)
        elif not is_url and _folder_to_come(target):
            path /= DATABASE
        yield Found(settings.name or str(path), path, settings, fixed=True, file=_file(path))
        return
    found = list(_matches(settings, target))
    times = Counter(one.file for one in found)
    base = glob_base(target)
    found.sort(key=lambda one: one.file is not None and times[one.file] > 1 and _by_link(one, base))
    yield from found


def configured(sources: Iterable[SourceSettings], found: Found) -> SourceSettings | None:
    """Give the one of `sources` that stands for a database, too, as that may have settings of its own."""
    return next((one for one in sources if any(other.shown == found.shown for other in discover(one))), None)


def glob_base(target: str) -> Path | None:
    """Give the folder in which a glob begins to match; None for what is no glob."""
    if "://" in target or not _is_glob(target):
        return None
    fixed: list[str] = []
    for part in Path(target).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return _absolute(os.path.join(*fixed) if fixed else ".")  # noqa: PTH118  # the parts may begin with /


def distinct(found: Iterable[Found]) -> tuple[list[Found], list[Again]]:
    """Part databases into each file's first and what comes after it: which one that is depends on their order alone."""
    first: dict[tuple[int, int], Found] = {}
    kept: list[Found] = []
    again: list[Again] = []
    for one in found:
        if one.file is not None and first.setdefault(one.file, one) is not one:
            again.append(Again(one, first[one.file]))
        else:
            kept.append(one)
    return kept, again


def _is_glob(target: str) -> bool:
    return glob.has_magic(target) and not os.path.lexists(target)


def _matches(settings: SourceSettings, target: str) -> Iterator[Found]:
    for match in sorted(glob.glob(target, recursive=True)):
        path = _absolute(match)
        if os.path.isdir(path):  # noqa: PTH112  # as above
            path = _database_in(path)
            if not os.path.lexists(path):
                continue
        yield Found(f"{settings.name or ''}{path}", path, settings, fixed=False, file=_file(path))


def _database_in(folder: Path) -> Path:
    """The database that a folder stands for, which may be one that lies beside or above a runinfo folder.

    The folder of a workflow stands for that of its runs, and the folder of one run too.
    """
    own, above = folder / DATABASE, folder.parent / DATABASE
    if os.path.lexists(own):
        return own
    if os.path.isdir(folder / RUN_DIR):  # noqa: PTH112  # as above
        return folder / RUN_DIR / DATABASE
    return above if folder.name.isdecimal() and os.path.lexists(above) else own


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # as fast as it can be: asked of each file at each look
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if S_ISREG(found.st_mode) else None


def _by_link(found: Found, base: Path | None) -> bool:
    """Say whether a glob's match lies behind a link that is below where the glob begins."""
    assert base is not None and isinstance(found.database, Path)
    if not found.database.is_relative_to(base):
        return False
    plain = os.path.realpath(base) / found.database.relative_to(base)
    return os.path.realpath(found.database) != str(plain)


def _path_of_url(url: str) -> str:
    return os.path.expanduser(_url(url).database or "")  # noqa: PTH111  # as paths are taken


def _absolute(target: str) -> Path:
    return Path(os.path.abspath(target))  # noqa: PTH100  # keeps symbolic links as the user named them


def _folder_to_come(target: str) -> bool:
    """Say whether a path that is not there is taken for a folder, so that the source's name stays when it comes."""
    return not os.path.lexists(target) and (target.endswith("/") or not Path(target).suffix)


def _url(text: str) -> URL:
    from sqlalchemy.engine import make_url  # noqa: PLC0415  # takes half a second, and most sources are paths

    return make_url(text)
