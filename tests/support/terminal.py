"""A program on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class OnTerminal(NamedTuple):
    """A program whose standard input, output and errors are a terminal."""

    process: subprocess.Popen[bytes]
    terminal: int
    received: list[bytes]

    @property
    def text(self) -> str:
        """All that it has written so far, with control sequences."""
        return b"".join(self.received).decode("utf-8", "replace")

    def read(self, seconds: float = 0.1) -> bool:
        """Take what it writes within so many seconds; gives False when it has closed its terminal."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            part = os.read(self.terminal, 65_536)
        except OSError:  # EIO: nobody writes there any more
            return False
        self.received.append(part)
        return bool(part)

    def shows(self, wanted: str, seconds: float = 30) -> str:
        """Wait until it has written a text; gives all of it."""
        deadline = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self.read() or wanted in self.text, self.text
        return self.text

    def ends(self, seconds: float = 30) -> int:
        """Wait for its end, and take all that it writes until then; gives its exit status."""
        deadline = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < deadline, self.text
        return self.process.wait(seconds)


@contextmanager
def on_terminal(
    *command: str | Path, cwd: Path, environment: dict[str, str], columns: int = 80, rows: int = 24
) -> Iterator[OnTerminal]:
    """Start a program on a terminal of that size; it is killed if it has not ended at the end."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        try:
            yield OnTerminal(process, ours, [])
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours)
