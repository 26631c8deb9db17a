"""The folder of checkpoints: this user's own, one exporter's at a time, each file replaced whole or not at all.

Whoever could write there could make up every number that is shown, so nothing is taken from a folder or a file that
anybody else may write, or read.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from parsl_exporter.base.errors import CheckpointFault
from parsl_exporter.checkpoint import envelope
from parsl_exporter.checkpoint.codec import Part

NAME = "checkpoints"
"""The folder in the state directory."""
MOST_BYTES = 512 << 20
"""Of one checkpoint: the open tasks are what makes it large, 0.8 KiB each."""
_SLACK = 1 << 20
_SUFFIX, _NEW = ".checkpoint", ".new"
_LOCK = "lock"
_OF_PARSL = "monitoring.db"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Folder:
    """The checkpoints in a state directory, which is made when it is not there. Holds a lock until the process ends.

    Raises CheckpointFault when it is not fit for them or another exporter has it. All methods raise OSError.
    """

    def __init__(self, state_directory: Path) -> None:
        if os.path.lexists(state_directory / _OF_PARSL):
            raise CheckpointFault(
                f"{state_directory}: is a folder of Parsl's; give one that is the exporter's own"
            )
        state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = state_directory / NAME
        with suppress(FileExistsError):
            self._path.mkdir(mode=0o700)
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except NotADirectoryError:
            raise CheckpointFault(f"{self._path}: is no folder; move it away") from None
        try:
            _own(os.fstat(self._fd), self._path)
            self._lock = self._open(_LOCK, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise CheckpointFault(
                    f"{self._path}: another exporter uses it; give each its own state directory"
                ) from None
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Let others have it."""
        os.close(self._lock)
        os.close(self._fd)

    def _open(self, name: str, flags: int) -> int:
        return os.open(
            name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode=0o600, dir_fd=self._fd
        )

    def read(self, name: str) -> tuple[list[bytearray], float] | None:
        """Give the parts of a checkpoint and when it was last kept up (UTC epoch seconds); None when there is none.

        Raises CheckpointFault when it is damaged or not this user's alone.
        """
        try:
            fd = self._open(name + _SUFFIX, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise CheckpointFault("it is no regular file")
            _own(found, self._path / (name + _SUFFIX))
            if found.st_size > MOST_BYTES + _SLACK:
                raise CheckpointFault(f"it is larger than {MOST_BYTES >> 20} MiB")
            return envelope.read(file, found.st_size), found.st_mtime

    def write(self, name: str, parts: Sequence[Part], wall: float) -> None:
        """Replace a checkpoint, as of `wall`; whatever happens on the way, the one before or this one is there."""
        new = name + _NEW
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=self._fd)
        fd = self._open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(fd, "wb") as file:
                envelope.write(file, parts)
                file.flush()
                os.utime(fd, (wall, wall))
                os.fsync(fd)
            os.replace(new, name + _SUFFIX, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(new, dir_fd=self._fd)
            raise
        os.fsync(self._fd)

    def touch(self, name: str, wall: float) -> None:
        """Note that a checkpoint, if there is one, still says at `wall` what there is to say."""
        with suppress(FileNotFoundError):
            os.utime(name + _SUFFIX, (wall, wall), dir_fd=self._fd, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Have no checkpoint of that name."""
        with suppress(FileNotFoundError):
            os.unlink(name + _SUFFIX, dir_fd=self._fd)

    def prune(self, before: float) -> None:
        """Remove checkpoints that were last kept up before then, and what was left of one that was being written."""
        for name in os.listdir(self._fd):  # noqa: PTH208  # a Path is no descriptor
            with suppress(FileNotFoundError):
                at = os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mtime
                if name.endswith((_SUFFIX, _NEW)) and at < before:
                    os.unlink(name, dir_fd=self._fd)


def _own(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid():
        raise CheckpointFault(f"{path}: belongs to another user; remove it")
    if found.st_mode & _OTHERS:
        raise CheckpointFault(
            f"{path}: others may use it (mode {stat.S_IMODE(found.st_mode):o}); remove it, or chmod go= it"
        )
