"""`dump`: read a database whole and write its exposition once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from stat import S_ISREG

from parsl_exporter.base.errors import FaultReason, NoSuchRun, SourceFault
from parsl_exporter.base.formats import Format
from parsl_exporter.base.process import umask
from parsl_exporter.base.signals import held
from parsl_exporter.metrics.page import Page
from parsl_exporter.readers.base import Reader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import SourceOptions
from parsl_exporter.source.source import read_once

_NAMED = 5
"""Runs that are named at most where others were asked for."""


def dump(reader: Reader, options: SourceOptions, format: Format, *, clock: Clock) -> bytes:
    """Give the exposition of a database: all its runs, or those of `options.only`, whole, as they are now.

    Raises SourceFault when the database cannot be read; a locked one is waited for, for 10 s. Raises NoSuchRun when
    it lacks a run that is asked for.
    """
    options = options._replace(whole=True, runs=max(options.runs, len(options.only)))
    runs, published = read_once(reader, options, clock)
    if missing := sorted(options.only - runs.runs.keys()):
        there = list(runs.others or runs.runs)
        which = "the last of its" if len(there) > _NAMED else "its"
        which += " other runs are" if runs.others and runs.runs else " runs are"
        newest = ", ".join(there[-_NAMED:][::-1]) or "none"
        raise NoSuchRun(f"{reader.database} has no run {', '.join(missing)}; {which} {newest}")
    return Page([published.snapshot]).body(format)


def writable(output: Path) -> Path:
    """Give the file that `output` is or leads to by symbolic links: the one to replace.

    Raises SourceFault for what is there and is no regular file, such as a device or a FIFO.
    """
    try:
        if not S_ISREG(output.stat().st_mode):
            raise SourceFault(
                FaultReason.NOT_REGULAR, f"{output}: is no regular file; give the name of a file to write"
            )
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unwritable(output, error) from None
    return output.resolve()


def write(page: bytes, target: Path) -> None:
    """Replace `target` by `page` atomically: a reader sees the old file or the new one, whole.

    The new file has the permissions that the process's umask gives. A signal ends the process before or after it.
    Raises SourceFault when it cannot be written.
    """
    try:
        with held():
            _replace(page, target)
    except OSError as error:
        raise _unwritable(target, error) from None


def _replace(page: bytes, target: Path) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~umask())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> SourceFault:
    return SourceFault(FaultReason.IO, f"{path}: cannot be written: {error.strerror or error}")
