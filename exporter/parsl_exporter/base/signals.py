"""What is sent to the process, for one thread to wait for.

A mask and `sigwait` would not do: a library's threads that began before the mask (numpy's) can be the ones that
the kernel hands a signal to, and its default would end the process.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_NOTED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Notes SIGTERM, SIGINT and SIGHUP from now on, instead of what they do otherwise.

    For the main thread, once a process.
    """

    def __init__(self) -> None:
        self._noted, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._before = {one: signal.signal(one, lambda number, frame: None) for one in _NOTED}
        self.hangup_ignored = self._before[signal.SIGHUP] == signal.SIG_IGN
        """Whether the process was started to live on when its terminal goes, as by nohup."""

    def wait(self, seconds: float | None = None, also: Sequence[int] = ()) -> frozenset[signal.Signals]:
        """Give those that have come since the last call; when there are none wait for one, or for so long at most.

        It gives none, too, once there is something to read from the descriptors `also`.
        """
        if self._noted not in select.select([self._noted, *also], [], [], seconds)[0]:
            return frozenset()
        return frozenset(map(signal.Signals, os.read(self._noted, 65_536)))

    def release(self) -> frozenset[signal.Signals]:
        """Let them end the process, those that it was started to ignore excepted; give those that have come so far."""
        for one, handler in self._before.items():
            # Python's own for SIGINT raises, which is lost within a callback of SQLite.
            signal.signal(one, signal.SIG_DFL if handler is signal.default_int_handler else handler)
        return self.wait(0)


@contextmanager
def held() -> Iterator[None]:
    """Let signals come only after the block. For the main thread."""
    came: list[int] = []
    before = {one: signal.signal(one, lambda number, frame: came.append(number)) for one in _NOTED}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)
