"""The endpoints, as an ASGI application."""

from __future__ import annotations

import logging
import re
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from parsl_exporter.base.formats import Format
from parsl_exporter.base.logs import RepeatedFault
from parsl_exporter.web.authentication import Authenticator
from parsl_exporter.web.configuration import WebConfiguration
from parsl_exporter.web.connection import Connection
from parsl_exporter.web.landing import POLICY, Condition, RunDetails, landing_page, run_page
from parsl_exporter.web.negotiation import accepts_gzip, preferred_format

log = logging.getLogger("parsl_exporter.web")

Scope = Mapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEALTHY = "/-/healthy"
READY = "/-/ready"

_METHODS = ("GET", "HEAD")
_PLAIN = "text/plain; charset=utf-8"
_CHUNK = 64 * 1024
# A request may give its whole URL, as those to a proxy do (RFC 9112, 3.2.2).
_ORIGIN = re.compile(r"^https?://[^/]+", re.IGNORECASE)


class Site(Protocol):
    """What is served. Each call is quick, may come from any thread and raises nothing on purpose."""

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        """The exposition, of the samples with these names or of all if `names` is empty."""

    def ready(self) -> tuple[bool, str]:
        """Whether every source had its first attempt, and why or why not, in one line."""

    def conditions(self) -> Sequence[Condition]:
        """How each source and its runs fare, in the order to show them in."""

    def run(self, source: str, run_id: str) -> RunDetails | None:
        """What there is to show of a run of a source; None when it is not known."""


class _Answer(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Application:
    """Answers each request once all of it is there.

    Args:
        site: what to serve.
        telemetry_path: where the metrics are.
        version: shown on the landing page.
        worker: where a page is made that is more than a copy (compressed or restricted to some names),
            so that the event loop does not wait for it.
        configuration: gives the one in force: who is served, and what headers each answer has.
        authenticator: verifies its users' passwords.
    """

    def __init__(
        self,
        site: Site,
        *,
        telemetry_path: str,
        version: str,
        worker: Executor,
        configuration: Callable[[], WebConfiguration],
        authenticator: Authenticator,
    ) -> None:
        self._site = site
        self._telemetry_path = telemetry_path
        self._version = version
        self._worker = worker
        self._configuration = configuration
        self._authenticator = authenticator
        self._faults = RepeatedFault(log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. `scope["state"]["connection"]` is the `Connection` it came by."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
        connection: Connection = scope["state"]["connection"]
        connection.request_received()
        try:
            answer = await self._guarded_answer(scope)
            for part in _messages(answer, head=scope["method"] == "HEAD"):
                if connection.closing:
                    await receive()  # until uvicorn knows that the client has gone
                    return
                await send(part)
        finally:
            connection.answer_sent()

    async def _guarded_answer(self, scope: Scope) -> _Answer:
        configuration = self._configuration()
        path = _ORIGIN.sub("", scope["path"]) or "/"
        try:
            answer = await self._refusal(configuration, scope) or await self._answer(scope, path)
            self._faults.ended(path, path=path)
            return answer._replace(headers=answer.headers + configuration.headers)
        except Exception as fault:
            self._faults.failed(path, "request failed", path=path, error=repr(fault))
            log.debug("request failed", exc_info=True)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the exporter's log says more")

    async def _refusal(self, configuration: WebConfiguration, scope: Scope) -> _Answer | None:
        if not configuration.users:
            return None
        client = scope["client"][0] if scope["client"] else ""
        status = await self._authenticator.refusal(
            configuration.users, _header(scope, b"authorization"), client
        )
        if status is HTTPStatus.UNAUTHORIZED:
            challenge = ("www-authenticate", 'Basic realm="Parsl exporter", charset="UTF-8"')
            return _plain(status, "unauthorized")._replace(headers=(challenge,))
        return _plain(status, "too many log-ins at a time; try again") if status else None

    async def _answer(self, scope: Scope, path: str) -> _Answer:
        if path not in (self._telemetry_path, "/", HEALTHY, READY):
            return _plain(HTTPStatus.NOT_FOUND, "not found")
        if scope["method"] not in _METHODS:
            allow = ("allow", ", ".join(_METHODS))
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed")._replace(headers=(allow,))
        if path == self._telemetry_path:
            return await self._metrics(scope)
        if path == HEALTHY:
            return _plain(HTTPStatus.OK, "healthy")
        if path == READY:
            ready, reason = self._site.ready()
            return _plain(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, reason)
        html = await get_running_loop().run_in_executor(self._worker, self._html, scope["query_string"])
        if html is None:
            return _plain(HTTPStatus.NOT_FOUND, "not found")
        policy = ("content-security-policy", POLICY)
        return _Answer(HTTPStatus.OK, "text/html; charset=utf-8", html.encode(), (policy,))

    def _html(self, query_string: bytes) -> str | None:
        """The landing page or, where the query names a run, its page; None when there is no such run."""
        try:
            # A source's name may hold lone surrogates, as of a path that is not UTF-8.
            query = parse_qs(query_string.decode("ascii"), keep_blank_values=True, errors="surrogatepass")
        except UnicodeDecodeError:
            return None
        if "run" in query:
            details = self._site.run(query.get("source", [""])[-1], query["run"][-1])
            return None if details is None else run_page(details)
        return landing_page(
            self._site.conditions(), telemetry_path=self._telemetry_path, version=self._version
        )

    async def _metrics(self, scope: Scope) -> _Answer:
        format = preferred_format(_header(scope, b"accept"))
        gzipped = accepts_gzip(_header(scope, b"accept-encoding"))
        names = frozenset(parse_qs(scope["query_string"].decode("ascii")).get("name[]", ()))
        page = partial(self._site.page, format, names=names, gzipped=gzipped)
        body = await get_running_loop().run_in_executor(self._worker, page) if gzipped or names else page()
        headers: tuple[tuple[str, str], ...] = (("vary", "accept, accept-encoding"),)
        if gzipped:
            headers += (("content-encoding", "gzip"),)
        return _Answer(HTTPStatus.OK, format.value, body, headers)


def _plain(status: HTTPStatus, text: str) -> _Answer:
    return _Answer(status, _PLAIN, f"{text}\n".encode("utf-8", "backslashreplace"))


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _messages(answer: _Answer, *, head: bool) -> Iterator[Message]:
    """The answer in pieces; uvicorn takes one when the last has left, so a slow client holds no more."""
    headers = {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body)),
        "x-content-type-options": "nosniff",
        **dict(answer.headers),
    }
    encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    yield {"type": "http.response.start", "status": int(answer.status), "headers": encoded}
    body = b"" if head else answer.body
    for start in range(0, max(len(body), 1), _CHUNK):
        end = start + _CHUNK
        yield {"type": "http.response.body", "body": body[start:end], "more_body": end < len(body)}
