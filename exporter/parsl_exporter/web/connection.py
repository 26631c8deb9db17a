"""One client's connection: uvicorn's HTTP/1.1 protocol with limits on how long a client may take."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import termios
import time
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from parsl_exporter.base.logs import event

log = logging.getLogger("parsl_exporter.web")

_LOG_EVERY = 60.0


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


class Clients:
    """The connections there are, `most` at a time. Logs when it begins and ends to turn clients away, once a minute.

    `clock` gives seconds that never go back.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._logged = -_LOG_EVERY
        self._inside: set[Connection] = set()
        self._turning_away = False
        self._closed = False

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._inside))

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def enter(self, connection: Connection) -> bool:
        """Whether the connection may stay."""
        if self._closed:
            return False
        if len(self._inside) >= self._most:
            now = self._clock()
            if not self._turning_away and now - self._logged >= _LOG_EVERY:
                self._turning_away, self._logged = True, now
                event(log, logging.WARNING, "turning clients away", connections=self._most)
            return False
        self._inside.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """The connection, if it was let in, is no more."""
        self._inside.discard(connection)
        if self._turning_away and len(self._inside) <= self._most // 2:
            event(log, logging.INFO, "turning no more clients away", connections=len(self._inside))
            self._turning_away = False


class Connection(H11Protocol):
    """A connection that is dropped when its client is too slow, or at once when there are too many.

    Beyond the constructor this relies on `asyncio.Protocol` alone. The application, which finds the
    connection in its scope, says when a request is complete and when it is answered.
    """

    def __init__(self, config: Config, state: ServerState, *, patience: Patience, clients: Clients) -> None:
        super().__init__(config, state, {"connection": self})
        self._clients = clients
        self._carrier: asyncio.Transport | None = None
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None
        self._progress: asyncio.TimerHandle | None = None
        self._answering = False
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the clock, unless there are too many clients."""
        super().connection_made(transport)
        if self._carrier is not None or self.carried_by(transport):
            self._set_deadline(self._patience.request)

    def carried_by(self, carrier: asyncio.Transport) -> bool:
        """There is a client, at the other end of `carrier`. It is dropped if there are too many."""
        self._carrier = carrier
        if not self._clients.enter(self):
            carrier.abort()
            return False
        # With a limit of 0 the transport reports every byte that the client has not taken yet.
        carrier.set_write_buffer_limits(high=0)
        return True

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
        for transport in self._transports():
            transport.abort()

    def leave(self) -> None:
        """The client has gone."""
        self._clients.leave(self)
        self._cancel_deadline()
        self.client_has_caught_up()

    def pause_writing(self) -> None:
        """The application has to wait."""
        super().pause_writing()
        if self.transport is self._carrier:
            self.client_is_behind()

    def resume_writing(self) -> None:
        """The application can go on."""
        if self.transport is self._carrier:
            self.client_has_caught_up()
        super().resume_writing()

    def client_is_behind(self) -> None:
        """The carrier holds what the client has not taken."""
        self._expect_progress(self._unacknowledged())

    def client_has_caught_up(self) -> None:
        """The carrier holds nothing any more."""
        if self._progress is not None:
            self._progress.cancel()
            self._progress = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self.leave()
        super().connection_lost(exc)

    def _close_unless_answering(self) -> None:
        if not self._answering:
            for transport in self._transports()[:1]:
                transport.close()

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
        if self._carrier is None:
            return 0
        queued = array("i", [0])
        fcntl.ioctl(self._carrier.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return queued[0] + sum(transport.get_write_buffer_size() for transport in self._transports())

    def _transports(self) -> list[asyncio.Transport]:
        """The outermost first. In a TLS handshake there is the carrier alone, and without TLS it is the only one."""
        return [each for each in dict.fromkeys((self.transport, self._carrier)) if each is not None]
