"""One thread at a time reads, computes or writes.

`sqlite3` gives the interpreter lock back at every row, so a fetch beside a busy Python thread holds its read lock
hundreds of times longer. Whoever is about to work takes the baton, and gives it back within milliseconds. One
that hangs in the kernel (a network file system) uses no processor time: after `patience` the next in line goes.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections import deque
from types import TracebackType

_WITHOUT_WATCH = 10
"""Patiences after which each that waits looks at the holder itself: the watching thread may be gone."""
_IDLE = 0.01
"""The part of the time of which a holder that still works uses more."""


class _Turn:
    """One thread's asking. Its gate opens when the baton is its own."""

    __slots__ = ("cpu_clock", "gate", "used")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        self.used = 0.0


class Baton:
    """A lock that is handed on in the order of asking; one holder that hangs for `patience` seconds is passed by.

    When that one comes back it ends what it had begun beside the others, and asks again like everybody.
    Not reentrant. While any wait, one thread watches the holder: thousands that did would do nothing else.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self._patience = patience
        self._changing = threading.Lock()
        self._line: deque[_Turn] = deque()
        self._holder: _Turn | None = None
        self._due = 0.0
        self._watched = False
        self._own = threading.local()

    def __enter__(self) -> None:
        self._own.turn = turn = _Turn()
        with self._changing:
            self._line.append(turn)
            if self._holder is None:
                self._hand_on()
            elif not self._watched:
                self._watched = True
                # Unlike Thread.start it does not wait for the thread, which may never come where memory is short.
                _thread.start_new_thread(self._watch, ())
        while not turn.gate.acquire(timeout=_WITHOUT_WATCH * self._patience):
            with self._changing:
                self._pass_by()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changing:
            if self._holder is self._own.turn:
                self._hand_on()

    def _hand_on(self) -> None:
        """Let the first in line go."""
        self._holder = turn = self._line.popleft() if self._line else None
        if turn is not None:
            turn.used = time.clock_gettime(turn.cpu_clock)
            self._due = time.monotonic() + self._patience
            turn.gate.release()

    def _watch(self) -> None:
        """Pass by holders that hang, until nobody waits."""
        while True:
            with self._changing:
                if not self._line:
                    self._watched = False
                    return
                self._pass_by()
                due = self._due
            time.sleep(max(0.0, due - time.monotonic()))

    def _pass_by(self) -> None:
        """Hand on past a holder that hangs."""
        if time.monotonic() >= self._due and not self._works():
            self._hand_on()

    def _works(self) -> bool:
        """Say whether the holder, which is overdue, has worked since the last look; it has more time then."""
        holder = self._holder
        if holder is None:
            return False
        try:
            before, holder.used = holder.used, time.clock_gettime(holder.cpu_clock)
        except OSError:  # its thread has ended with the baton
            return False
        works = holder.used - before > _IDLE * self._patience
        if works:
            self._due = time.monotonic() + self._patience
        return works
