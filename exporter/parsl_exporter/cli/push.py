"""`push`: the metrics of databases to a Pushgateway, for Prometheus to scrape them there."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import CollectorRegistry, delete_from_gateway, push_to_gateway
from prometheus_client.exposition import basic_auth_handler

from parsl_exporter.base.errors import PushFault, SourceFault
from parsl_exporter.base.formats import Format
from parsl_exporter.base.output import on_one_line
from parsl_exporter.cli.databases import databases
from parsl_exporter.cli.dump import dump
from parsl_exporter.config.settings import Settings
from parsl_exporter.readers.opening import open_reader
from parsl_exporter.source.clock import Clock
from parsl_exporter.source.options import options_of

PASSWORD = "PARSL_EXPORTER_PUSH_PASSWORD"
"""The environment variable of a password that is not in the URL, where others could see it."""
_PATIENCE = 5.0
"""Seconds of silence after which a Pushgateway is taken for unreachable."""
_LONGEST_ASKED = 15.0
"""Seconds that one request may take in all: one that answers a byte at a time is never silent."""
_LONGEST_ANSWER = 300


class Gateway:
    """A Pushgateway. What a source publishes is a group of its own there: `job` and `source`.

    `url` may have a user and a password, which are in no message.
    """

    def __init__(self, url: str, job: str) -> None:
        parts = urlsplit(url)
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._job = job
        self._user = None if parts.username is None else unquote(parts.username)
        secret = os.environ.get(PASSWORD, "") if parts.password is None else unquote(parts.password)
        self._secret = None if self._user is None else secret
        self._pushed: dict[str, None] = {}
        self._asking: Thread | None = None

    def put(self, bodies: Mapping[str, bytes]) -> None:
        """Push what sources publish, and delete what was pushed of others before.

        Raises PushFault for the first that could not be pushed; all are tried, unless there is no answer.
        """
        faults = []
        for source in [*bodies, *(source for source in self._pushed if source not in bodies)]:
            try:
                if source in bodies:
                    self._push(source, bodies[source])
                else:
                    self._delete(source)
            except PushFault as fault:
                if not fault.answered:
                    raise
                faults.append(fault)
        if faults:
            raise faults[0]

    def delete(self) -> None:
        """Delete all that was pushed. Raises PushFault."""
        for source in list(self._pushed):
            self._delete(source)

    def _push(self, source: str, body: bytes) -> None:
        self._pushed[source] = None  # a gateway that does not answer in time may have it all the same

        def handler(
            url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
        ) -> object:
            # The library would write a registry's samples; ours are written.
            return basic_auth_handler(url, method, timeout, headers, body, self._user, self._secret)

        self._ask(partial(push_to_gateway, registry=CollectorRegistry(), handler=handler), source)

    def _delete(self, source: str) -> None:
        handler = partial(basic_auth_handler, username=self._user, password=self._secret)
        self._ask(partial(delete_from_gateway, handler=handler), source)
        del self._pushed[source]

    def _ask(self, ask: partial[None], source: str) -> None:
        """Send a request, and wait no longer than is to be borne: a signal is heeded only then. Raises PushFault."""
        if self._asking is None or not self._asking.is_alive():
            answer: Future[None] = Future()
            self._asking = Thread(target=self._answered, args=(answer, ask, source), daemon=True)
            self._asking.start()
            with suppress(TimeoutError):
                return answer.result(_LONGEST_ASKED)
        raise PushFault(
            f"{self.url} cannot be reached: no whole answer within {_LONGEST_ASKED:.0f} s", answered=False
        )

    def _answered(self, answer: Future[None], ask: partial[None], source: str) -> None:
        try:
            self._request(ask, source)
            answer.set_result(None)
        except BaseException as error:
            answer.set_exception(error)

    def _request(self, ask: partial[None], source: str) -> None:
        # In base64 whatever it holds: a path is full of slashes.
        key = base64.urlsafe_b64encode(source.encode("utf-8", "backslashreplace")).decode()
        try:
            ask(self.url, job=self._job, grouping_key={"source@base64": key}, timeout=_PATIENCE)
        except HTTPError as error:
            raise PushFault(
                f"{self.url} refuses {source}: {error.code} {_answer(error)}", answered=True
            ) from None
        except (OSError, HTTPException, UnicodeError) as error:  # the last for what can be no host or no path
            reason = getattr(error, "reason", None) or error
            said = on_one_line(str(reason).strip()) or type(error).__name__
            raise PushFault(f"{self.url} cannot be reached: {said}", answered=False) from None


def _answer(error: HTTPError) -> str:
    """What a Pushgateway says about a push that it refuses; nothing where that does not come."""
    try:
        with error:
            return on_one_line(error.read(_LONGEST_ANSWER).decode(errors="replace").strip())
    except (OSError, HTTPException):
        return ""


def push_once(settings: Settings, gateway: Gateway, fault: Callable[[str], object]) -> bool:
    """Push all runs of the databases whole, as `dump` gives them; say whether one could not be read.

    That is told to `fault`, and the others are pushed. Raises PushFault, and ConfigurationError where no database is.
    """
    found = databases(settings)
    bodies = {}
    for one in found:
        try:
            bodies[one.name] = dump(
                open_reader(one), options_of(settings, one.settings, one.name), Format.TEXT, clock=Clock()
            )
        except SourceFault as error:
            fault(f"{one.name}: {str(error).removeprefix(f'{one.name}: ')}")
    gateway.put(bodies)
    return len(bodies) < len(found)
