"""Cuts connections whose server does not answer in time.

A server that hangs obeys no statement_timeout, and a network that is cut behind a proxy keeps TCP's keepalives
answered: only the client can give up then. One thread looks at all connections once a second.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LOOK_EVERY = 1.0


class Deadlines:
    """Shuts a socket down whose deadline has passed; who waits for it then gets an end of file."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[float, int]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, fileno: int) -> Iterator[None]:
        """Run the block, and cut the socket `fileno` when it takes longer than `seconds`."""
        me = threading.get_ident()
        with self._changed:
            self._running[me] = time.monotonic() + seconds, fileno
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._running.pop(me, None)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY)
            with self._changed:
                now = time.monotonic()
                for me, (until, fileno) in list(self._running.items()):
                    if now > until:
                        del self._running[me]
                        _cut(fileno)


def _cut(fileno: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(fileno)) as connection:
        connection.shutdown(socket.SHUT_RDWR)


DEADLINES = Deadlines()
"""The process's own."""
