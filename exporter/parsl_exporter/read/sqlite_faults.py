"""What an error of SQLite means to the exporter and to the person who reads its log.

Python 3.10 gives no error codes: the texts are SQLite's own (`sqlite3ErrStr` in its `main.c`).
"""

from __future__ import annotations

import os
from pathlib import Path

from parsl_exporter.errors import ExporterError, SourceBusy, SourceFault


def fault_of(error: Exception, path: Path, *, deadline: float) -> ExporterError:
    """Give SourceBusy for a lock, else a SourceFault that says what is wrong with the file and what to do.

    `deadline`: the seconds after which a statement is interrupted. Looks at what lies beside the file, and
    never opens it: to close it again would take away the locks that this process holds on it (fcntl).
    """
    text = str(error)
    if "locked" in text or "busy" in text:
        return SourceBusy(f"{path}: locked by a writer")
    reason, what = _meaning(text, path, deadline)
    return SourceFault(reason, f"{path}: {what}")


def _meaning(text: str, path: Path, deadline: float) -> tuple[str, str]:
    if "interrupted" in text:
        return "timeout", f"a read took longer than {deadline:g} s; trying shorter ones"
    if "readonly database" in text and _beside(path, "-journal"):
        return "hot_journal", (
            "a writer was killed and left a journal that only a writer may roll back; the next Parsl run does so,"
            " or open the database once with write access (sqlite3 FILE 'SELECT count(*) FROM workflow')"
        )
    if "readonly database" in text or ("unable to open" in text and _beside(path, "-wal")):
        return "unreadable", (
            "in WAL mode, which needs its -wal and -shm files and this user may not make them; it can be read"
            " while a writer has it open, or once its owner has run sqlite3 FILE 'PRAGMA journal_mode=DELETE'"
        )
    if "not a database" in text or "encrypted" in text:
        return "not_a_database", "not an SQLite database; give the path of a monitoring.db"
    if "malformed" in text or "corrupt" in text:
        return "corrupt", f"{text}; check it with sqlite3 FILE 'PRAGMA integrity_check'"
    if "no such table" in text or "no such column" in text:
        return "schema", f"{text}; its tables changed while it was read"
    if "unable to open" in text:
        return _cannot_open()
    if "disk I/O error" in text:
        return "io", f"{text}; check the file system that it is on"
    return "io", text


def _beside(path: Path, suffix: str) -> bool:
    return os.path.lexists(f"{path}{suffix}")


def _cannot_open() -> tuple[str, str]:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return (
            "io",
            f"cannot be opened: {error.strerror}; raise the limit (ulimit -n, LimitNOFILE) or read fewer",
        )
    return "unreadable", "cannot be opened; check the permissions of the file and its folder"
