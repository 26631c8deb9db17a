"""A site whose page says what it was asked for, and what a client gets of it."""

from __future__ import annotations

import base64
import gzip
import http.client
from collections.abc import Sequence
from html.parser import HTMLParser

from parsl_exporter.base.formats import Format
from parsl_exporter.web.landing import Condition, RunDetails


class TellingSite:
    """A site whose page says what it was asked for."""

    is_ready = (True, "all sources are ready")
    sources: Sequence[Condition] = ()
    details: RunDetails | None = None
    fault: Exception | None = None

    def page(self, format: Format, *, names: frozenset[str], gzipped: bool) -> bytes:
        if self.fault:
            raise self.fault
        body = f"# {format.name} names={','.join(sorted(names))}\n".encode()
        return gzip.compress(body) if gzipped else body

    def ready(self) -> tuple[bool, str]:
        return self.is_ready

    def conditions(self) -> Sequence[Condition]:
        return self.sources

    def run(self, source: str, run_id: str) -> RunDetails | None:
        return (
            self.details
            if self.details and (source, run_id) == (self.details.source, self.details.run.run_id)
            else None
        )


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode()


def login(name: str, password: str) -> str:
    """The header `Authorization` of basic authentication."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Client:
    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        self.connection.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return Reply(self.connection.getresponse())


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]
