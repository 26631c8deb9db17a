"""One thread at a time reads, folds or writes.

`sqlite3` gives the interpreter lock back at every row, so a fetch beside a busy Python thread holds its read lock
hundreds of times longer. Whoever is about to work takes the baton, and gives it back within milliseconds. One
that hangs in the kernel (a network file system) holds no interpreter lock: after `patience` the next in line goes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType


class Baton:
    """A lock that is handed on in order of asking, and issued anew when it does not come back in time."""

    def __init__(self, patience: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._holder: object | None = None
        self._since = 0.0
        self._own = threading.local()

    def __enter__(self) -> None:
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            while self._holder is not None or self._line[0] is not ticket:
                if self._holder is not None and self._line[0] is ticket:
                    left = self._since + self._patience - self._monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                else:
                    self._changed.wait()
            self._line.popleft()
            self._holder = ticket
            self._since = self._monotonic()
            self._changed.notify_all()
        self._own.ticket = ticket

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            if self._holder is self._own.ticket:
                self._holder = None
                self._changed.notify_all()
