"""One client's connection: uvicorn's HTTP/1.1 protocol with limits on how long a client may take."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import termios
from array import array
from typing import NamedTuple

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

log = logging.getLogger("parsl_exporter.web")


class Patience(NamedTuple):
    """How long a client may take, in seconds.

    request: from connecting, or from the first byte of a later request, to the request's last byte.
    idle: between two requests. Prometheus keeps its connection and scrapes every 15 to 60 s.
    progress: to take any byte of an answer that is ready to be sent.
    answer: to take a whole answer. A page is kept in memory for as long as somebody still reads it.
    """

    request: float = 10
    idle: int = 75
    progress: float = 30
    answer: float = 300


class Admission:
    """Turns clients away beyond `most` at a time, and logs once when that begins and ends."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turning_away = False

    def admits(self, connections: int) -> bool:
        """Whether one may stay where `connections` are open with it."""
        if connections > self._most:
            if not self._turning_away:
                log.warning("all %d connections are in use; more clients are turned away", self._most)
            self._turning_away = True
            return False
        if self._turning_away and connections <= self._most // 2:
            log.warning("connections are free again")
            self._turning_away = False
        return True


class Connection(H11Protocol):
    """A connection that is dropped when its client is too slow, or at once when there are too many.

    Beyond the constructor this relies on `asyncio.Protocol` alone. The application, which finds the
    connection in its scope, says when a request is complete and when it is answered.
    """

    def __init__(
        self, config: Config, state: ServerState, *, patience: Patience, admission: Admission
    ) -> None:
        super().__init__(config, state, {"connection": self})
        self._open = state.connections
        self._admission = admission
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None
        self._progress: asyncio.TimerHandle | None = None
        self._answering = False
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the clock, or refuse the connection."""
        super().connection_made(transport)
        if not self._admission.admits(len(self._open)):
            transport.abort()
            return
        # With a limit of 0 the transport reports every byte that the client has not taken yet.
        transport.set_write_buffer_limits(high=0)
        self._set_deadline(self._patience.request)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self._deadline is None:
            self._set_deadline(self._patience.request)
        super().data_received(data)

    def request_received(self) -> None:
        """The application has the whole request."""
        self._answering = True
        self._set_deadline(self._patience.answer)

    def answer_sent(self) -> None:
        """The application has sent its whole answer."""
        self._answering = False
        self._cancel_deadline()
        if self._last:
            # After the next request, if the client has sent more than one: it is about to start.
            self.loop.call_soon(self._close_unless_answering)

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self.transport.is_closing()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio.Protocol's, which uvicorn narrows
        """The client sends no more. It still gets the answer that it waits for."""
        self._last = True
        return self._answering

    def finish(self) -> None:
        """Close, after the answer that is being sent if there is one."""
        self._last = True
        self._close_unless_answering()

    def abort(self) -> None:
        """Close at once, whatever has not been sent."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """The client has not taken all that was sent."""
        super().pause_writing()
        self._expect_progress(self._unacknowledged())

    def resume_writing(self) -> None:
        """The client has taken all that was sent."""
        self._cancel_progress()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._cancel_deadline()
        self._cancel_progress()
        super().connection_lost(exc)

    def _close_unless_answering(self) -> None:
        if not self._answering:
            self.transport.close()

    def _set_deadline(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expect_progress(self, before: int) -> None:
        self._progress = self.loop.call_later(self._patience.progress, self._check_progress, before)

    def _check_progress(self, before: int) -> None:
        now = self._unacknowledged()
        if now < before:
            self._expect_progress(now)
        else:
            self.abort()

    def _unacknowledged(self) -> int:
        """Bytes that the client's machine has not confirmed, those in the kernel's buffer included.

        The transport alone would not do: the kernel takes megabytes, and no more until much of that is gone.
        """
        queued = array("i", [0])
        fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + queued[0]

    def _cancel_progress(self) -> None:
        if self._progress is not None:
            self._progress.cancel()
            self._progress = None
