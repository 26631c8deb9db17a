"""What an error of SQLite means to the exporter and to the person who reads its log.

It is told by the texts, which are SQLite's own (`sqlite3ErrStr` in its `main.c`).
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress
from pathlib import Path

from parsl_exporter.base.errors import ExporterError, FaultReason, SourceBusy, SourceFault

_CLOSED_WAL = (
    "in WAL mode, which needs -wal and -shm files beside it that this user may not make; it can be read while a"
    " writer has it open, or once its owner has run sqlite3 FILE 'PRAGMA journal_mode=DELETE'"
)
LONGEST_VALUE = 1_000_000
"""Bytes of a value, or of a row, that are read: other people's files may hold anything."""
_MODE_AT, _WAL = 18, b"\x02"
_FOR_CLIENTS = 64


class TooLarge(SourceFault):
    """A row holds a value of more than `LONGEST_VALUE` bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            FaultReason.CORRUPT,
            f"{path}: a value of more than {LONGEST_VALUE:,} bytes, which nothing in Parsl writes",
        )


def fault_of(error: Exception, path: Path, *, deadline: float) -> ExporterError:
    """Give SourceBusy for a lock, else a SourceFault that says what is wrong with the file and what to do.

    `deadline`: the seconds after which a statement is interrupted.
    """
    text = str(error)
    if "too big" in text:
        return TooLarge(path)
    if "locked" in text or "busy" in text:
        return SourceBusy(f"{path}: locked by a writer")
    reason, what = _meaning(text, path, deadline)
    return SourceFault(reason, f"{path}: {what}")


def refuse_closed_wal(path: Path) -> None:
    """Raise SourceFault for a WAL database without its -wal and -shm files, for a user who does not own it.

    SQLite would make them on reading, where the folder allows that, and the owner could not write any more.
    Not for a file that this process is reading: to close it takes away the locks held on it (fcntl).
    """
    if _beside(path, "-wal") and _beside(path, "-shm"):
        return
    with suppress(OSError), path.open("rb") as file:
        file.seek(_MODE_AT)
        if file.read(1) == _WAL:
            raise SourceFault(FaultReason.UNREADABLE, f"{path}: {_CLOSED_WAL}")


def _meaning(text: str, path: Path, deadline: float) -> tuple[FaultReason, str]:
    if "interrupted" in text:
        return FaultReason.TIMEOUT, f"a read took longer than {deadline:g} s; trying shorter ones"
    if "readonly database" in text and _beside(path, "-journal"):
        return FaultReason.HOT_JOURNAL, (
            "a writer was killed or failed midway and left a journal that only a writer may roll back;"
            " the next Parsl run does so, or open the database once with write access"
            " (sqlite3 FILE 'SELECT count(*) FROM workflow')"
        )
    if "readonly database" in text or ("unable to open" in text and _beside(path, "-wal")):
        return FaultReason.UNREADABLE, _CLOSED_WAL
    if "not a database" in text or "encrypted" in text:
        return FaultReason.NOT_A_DATABASE, "not an SQLite database; give the path of a monitoring.db"
    if "malformed" in text or "corrupt" in text:
        return FaultReason.CORRUPT, f"{text}; check it with sqlite3 FILE 'PRAGMA integrity_check'"
    if "no such table" in text or "no such column" in text:
        return FaultReason.SCHEMA, f"{text}; its tables changed while it was read"
    if "unable to open" in text:
        return _cannot_open()
    if "disk I/O error" in text:
        return FaultReason.IO, f"{text}; check the file system that it is on"
    return FaultReason.IO, text


def _beside(path: Path, suffix: str) -> bool:
    return os.path.lexists(f"{path}{suffix}")


def refuse_last_descriptors(path: Path) -> None:
    """Raise SourceFault when opening the database would leave too few file descriptors to tell a client so."""
    missing = _missing_descriptors(_FOR_CLIENTS)
    if missing is not None:
        raise SourceFault(FaultReason.IO, f"{path}: {missing}")


def _cannot_open() -> tuple[FaultReason, str]:
    missing = _missing_descriptors(0)
    if missing is not None:
        return FaultReason.IO, missing
    return FaultReason.UNREADABLE, "cannot be opened; check the permissions of the file and its folder"


def _missing_descriptors(kept: int) -> str | None:
    """What to say when no file descriptor is left but for `kept`. The system gives the least one that is free."""
    try:
        free = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        text = error.strerror
    else:
        os.close(free)
        if free + kept < resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
            return None
        text = os.strerror(errno.EMFILE)
    return f"cannot be opened: {text}; raise the limit (ulimit -n, LimitNOFILE) or read fewer"
