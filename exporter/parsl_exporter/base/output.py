"""Texts for a terminal, and standard output, which may be closed, full, or a pipe that nobody reads any more."""

from __future__ import annotations

import os
import sys

from parsl_exporter.base.errors import ExporterError, ReaderGone


def on_one_line(text: str) -> str:
    """A text as any terminal can show it on one line: what is not printable as Python would write it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_out(content: bytes | str) -> None:
    """Write to standard output, all that was written before too, so that nothing is left for the process's end.

    Raises ReaderGone when a pipe's reader has gone, ExporterError when it cannot be written otherwise.
    """
    if sys.stdout is None:  # closed before the process began
        raise ExporterError("standard output: is closed; send it to a file or to another program")
    try:
        sys.stdout.flush()
        if isinstance(content, str):
            content = content.encode(sys.stdout.encoding, "backslashreplace")
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except OSError as error:
        # What is buffered still would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderGone("standard output: its reader has gone") from None
        raise ExporterError(f"standard output: cannot be written: {error.strerror or error}") from None
