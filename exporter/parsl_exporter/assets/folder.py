"""Writes files into a folder: all of them or none, and over nothing that somebody else wrote."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from parsl_exporter.base.errors import AssetsFault
from parsl_exporter.base.output import on_one_line
from parsl_exporter.base.process import umask
from parsl_exporter.base.signals import held

_NAMED = 5
_STAGED = ".parsl-exporter-"


def write(files: Mapping[str, bytes], folder: Path, *, replace: bool) -> int:
    """Make `folder`, absolute, hold these files, by their names below it; give how many it did not hold so before.

    All are written beside their places first: when one cannot be, the folder stays as it was, and a reader of a file
    sees the old or the new one, whole. A signal ends the process before or after it. What else is in the folder stays.

    Raises AssetsFault when it cannot be written, and when files there differ from these, unless `replace`.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise AssetsFault(f"{_shown(folder)}: is no folder; give the name of one")
        with held():
            missing, other = _compared(files, folder)
            if other and not replace:
                named = ", ".join(other[:_NAMED]) + (", ..." if len(other) > _NAMED else "")
                raise AssetsFault(
                    f"{_shown(folder)}: {len(other)} of the files there would change: {named}; nothing was written;"
                    " give another folder, or --force to replace them"
                )
            changed = [*missing, *other]
            if changed:
                _put({name: files[name] for name in changed}, folder)
            return len(changed)
    except OSError as error:
        place = Path(os.fsdecode(error.filename or folder))
        shown = place if place.is_relative_to(folder) and _STAGED not in str(place) else folder
        raise AssetsFault(f"{_shown(shown)}: cannot be written: {error.strerror or error}") from None


def closed_to_others(folder: Path) -> Path | None:
    """Give the topmost of `folder`, which is there, and those above it that others may not enter; None if they may.

    By the permission bits of others alone: a group or an ACL may let some users in.
    """
    above = (*reversed(folder.parents), folder)
    return next((one for one in above if not one.stat().st_mode & stat.S_IXOTH), None)


def _compared(files: Mapping[str, bytes], folder: Path) -> tuple[list[str], list[str]]:
    """The names of those that are not in the folder, and of those that are other ones there."""
    missing, other = [], []
    for name, content in files.items():
        try:
            if (folder / name).read_bytes() != content:
                other.append(name)
        except FileNotFoundError:
            missing.append(name)
    return missing, other


def _put(files: Mapping[str, bytes], folder: Path) -> None:
    new = not folder.exists()
    (folder.parent if new else folder).mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=_STAGED, dir=folder.parent if new else folder))
    try:
        for name, content in files.items():
            _written(staged / name, content)
        if new:
            staged.chmod(0o777 & ~umask())
            staged.rename(folder)
        else:
            _moved(files, staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _moved(names: Iterable[str], staged: Path, folder: Path) -> None:
    places = [folder / name for name in names]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13), str(place.parent))
    for name, place in zip(names, places, strict=True):
        (staged / name).replace(place)


def _written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _shown(path: Path) -> str:
    return on_one_line(str(path))
