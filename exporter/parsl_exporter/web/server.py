"""The server: one thread with one event loop for all clients."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.web.app import HEALTHY, READY, Application, Site
from parsl_exporter.web.authentication import Authenticator
from parsl_exporter.web.configuration import WebConfiguration
from parsl_exporter.web.connection import Clients, Connection, Patience
from parsl_exporter.web.listen import listen, url_of
from parsl_exporter.web.security import Security
from parsl_exporter.web.tls import Handshake, TlsConnection

log = logging.getLogger("parsl_exporter.web")

_PATIENCE = Patience()
_NO_DEMANDS = WebConfiguration()
_MOST_CONNECTIONS = 2000
_BACKLOG = 1024
_LONGEST_HEAD = 16 * 1024
_GRACE = 0.3


class Server:
    """Serves a site over HTTP/1.1.

    Args:
        site: what to serve.
        addresses: where to listen, each `host:port`, `[IPv6]:port` or `:port`; port 0 is any free one.
        listeners: sockets that listen already, TCP or unix, instead of the addresses.
        telemetry_path: where the metrics are.
        version: of the exporter, shown on the landing page.
        config_file: who is served and how, in the format of Prometheus' exporters; see `configuration`.
        patience: how long a client may take.
        most_connections: how many clients at a time; more are turned away at once. By default 2,000, or half
            of the file descriptors that the process may have, so that its databases can be opened still.

    Raises:
        ConfigurationError: the telemetry path or the web configuration cannot be used.
    """

    def __init__(
        self,
        site: Site,
        *,
        addresses: Sequence[str],
        telemetry_path: str,
        version: str,
        listeners: Sequence[socket.socket] | None = None,
        config_file: Path | None = None,
        patience: Patience = _PATIENCE,
        most_connections: int | None = None,
    ) -> None:
        if not telemetry_path.startswith("/") or telemetry_path in ("/", HEALTHY, READY):
            raise ConfigurationError(
                [f"telemetry path {telemetry_path!r}: expected a path such as /metrics that is not in use"]
            )
        self._addresses = addresses
        self._listeners = listeners
        self._patience = patience
        self._clients = Clients(most_connections or _most_connections())
        self._security = Security(config_file) if config_file else None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="web-page")
        self._login_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="web-login")
        self._application = Application(
            site,
            telemetry_path=telemetry_path,
            version=version,
            worker=self._worker,
            configuration=self._configuration,
            authenticator=Authenticator(self._login_worker),
        )
        self._state = ServerState()
        self._faults = RepeatedFault(log)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> tuple[str, ...]:
        """Listen, and serve from a thread of its own until `stop`. To be called once.

        Returns:
            The URL of each address, with the port that was really taken.

        Raises:
            ConfigurationError: with one line for each address that cannot be listened on.
        """
        listeners = listen(self._addresses) if self._listeners is None else self._listeners
        scheme = "https" if self._configuration().tls else "http"
        urls = tuple(url_of(listener, scheme) for listener in listeners)
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(listeners, started), name="web", daemon=True)
        self._thread.start()
        started.result()
        if self._security:
            self._security.start()
        return urls

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Have the thread that answers requests make a quick call, now and so often, until `stop`. After `start`.

        While the calls come, requests are answered.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._repeat, self._loop, seconds, call)

    def stop(self) -> None:
        """Stop listening, give answers a moment to end, then drop whoever is left."""
        if self._thread is None or self._loop is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if self._security:
            self._security.stop()
        for worker in (self._worker, self._login_worker):
            worker.shutdown(wait=False, cancel_futures=True)

    def _repeat(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]) -> None:
        loop.call_later(seconds, self._repeat, loop, seconds, call)
        call()

    def _configuration(self) -> WebConfiguration:
        return self._security.current if self._security else _NO_DEMANDS

    def _run(self, listeners: Sequence[socket.socket], started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(listeners, started))
        except BaseException as fault:
            if started.done():
                raise
            started.set_exception(fault)

    async def _serve(self, listeners: Sequence[socket.socket], started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._log_fault)
        config = _uvicorn_config(self._application, self._patience)

        def connect() -> asyncio.BaseProtocol:
            demands = self._configuration()
            patience, clients, names = self._patience, self._clients, demands.client_names
            if demands.tls is None:
                return Connection(config, self._state, patience=patience, clients=clients)
            connection = TlsConnection(config, self._state, patience=patience, clients=clients, names=names)
            return Handshake(connection, demands.tls, patience)

        servers = [
            await self._loop.create_server(connect, sock=listener, backlog=_BACKLOG) for listener in listeners
        ]
        started.set_result(None)
        await self._stopping.wait()
        self._clients.close()
        for listener in listeners:
            self._loop.remove_reader(listener)
        await asyncio.sleep(0.01)  # asyncio loses a connection that it is accepting when its server is closed
        for server in servers:
            server.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        for connection in self._clients:
            connection.finish()
        end = time.monotonic() + _GRACE
        while any(self._clients) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in self._clients:
            connection.abort()
        await asyncio.sleep(0)  # for the connections to be told that they are lost

    def _log_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what asyncio cannot hand to anybody: that there are no file descriptors left, for one."""
        message = context["message"]
        fault = context.get("exception")
        self._faults.failed(message, message, error=repr(fault))
        log.debug(message, exc_info=fault)


class _Relay(logging.Handler):
    """Passes uvicorn's log on as the exporter's.

    Its warnings are about requests that make no sense. Anybody can send those: here they are for debugging.
    """

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.ERROR if record.levelno >= logging.ERROR else logging.DEBUG
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, asyncio.CancelledError):
            return  # the server is stopping
        about = {} if fault is None else {"error": repr(fault)}
        event(log, level, record.getMessage().strip(), **about)


def _uvicorn_config(application: Application, patience: Patience) -> Config:
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.setLevel(logging.WARNING)
    uvicorn_log.propagate = False
    uvicorn_log.handlers = [_Relay()]
    config = Config(
        application,
        interface="asgi3",
        http="h11",
        workers=1,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=patience.idle,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
    config.load()
    return config


def _most_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 2)
