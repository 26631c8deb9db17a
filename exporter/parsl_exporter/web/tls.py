"""Connections over TLS."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterable
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from parsl_exporter.web.connection import Clients, Connection, Patience


class TlsConnection(Connection):
    """A connection whose client, if `names` are given, must bear one of them in its certificate."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        patience: Patience,
        clients: Clients,
        names: frozenset[str],
    ) -> None:
        super().__init__(config, state, patience=patience, clients=clients)
        self._names = names

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """The handshake is done."""
        super().connection_made(transport)
        # Little waits here on top of what the carrier holds. 0 would mean "always too much" to this transport.
        transport.set_write_buffer_limits(high=1)
        if self._names and self._names.isdisjoint(_names_in(transport.get_extra_info("peercert"))):
            self.abort()

    def eof_received(self) -> bool:  # type: ignore[override] # as Connection has it
        """TLS ends both directions at once."""
        return False


class Handshake(SSLProtocol):
    """Carries a connection. It counts as a client from the start, and not only when the handshake is done.

    It is what asyncio makes of a server's `ssl` argument. That one is fixed for a server's life, though, while
    each connection takes the certificate of its time, and leaves connections in their handshake uncounted.
    """

    def __init__(self, connection: TlsConnection, context: ssl.SSLContext, patience: Patience) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            connection,
            context,
            None,  # type: ignore[arg-type] # a waiter, which no server needs
            server_side=True,
            ssl_handshake_timeout=patience.request,  # type: ignore[arg-type] # any number will do
        )
        self._connection = connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # asyncio gives it
        """Begin the handshake, unless there are too many clients."""
        if self._connection.carried_by(transport):
            super().connection_made(transport)

    def pause_writing(self) -> None:
        """The client has not taken all that was sent. To the application this is told later, or never."""
        super().pause_writing()
        self._connection.client_is_behind()

    def resume_writing(self) -> None:
        """The client has taken all that was sent."""
        self._connection.client_has_caught_up()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone, perhaps without a handshake."""
        self._connection.leave()
        super().connection_lost(exc)


def _names_in(certificate: dict[str, Any] | None) -> Iterable[str]:
    return [value for _, value in (certificate or {}).get("subjectAltName", ())]
