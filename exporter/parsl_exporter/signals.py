"""What is sent to the process, for one thread to wait for.

A mask and `sigwait` would not do: a library's threads that began before the mask (numpy's) can be the ones that
the kernel hands a signal to, and its default would end the process.
"""

from __future__ import annotations

import os
import signal


class Signals:
    """Notes these signals from now on, instead of what they do otherwise. For the main thread, once a process."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._noted, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for one in signals:
            signal.signal(one, lambda number, frame: None)

    def wait(self) -> frozenset[signal.Signals]:
        """Give those that have come since the last call; wait when there are none."""
        return frozenset(map(signal.Signals, os.read(self._noted, 65_536)))
