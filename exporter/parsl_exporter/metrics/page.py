"""The page: the shares of all sources put together, immutable, written at most once a format."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from parsl_exporter.metrics.exposition import header
from parsl_exporter.metrics.families import FAMILIES
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.snapshot import Rendered, Snapshot
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, SOURCE_FAMILIES

_GZIP_LEVEL = 1
_FAMILY = re.compile(rb"(^# HELP (\S+).*\n(?:(?!# HELP ).*\n)*)", re.MULTILINE)
_EOF = b"# EOF\n"


class Page:
    """One snapshot of everything published.

    `process` is the drawn PROCESS_FAMILIES (None in a dump); `others` gives the text of families that other
    collectors hold (`process_*`, `python_*`), by format, without an end mark.
    """

    def __init__(
        self,
        shares: Sequence[Snapshot],
        process: Rendered | None = None,
        others: Callable[[bool], bytes] = lambda openmetrics: b"",
    ) -> None:
        self._shares = shares
        self._process = process
        self._others = others
        self._bodies: dict[tuple[bool, bool], bytes] = {}
        self._chunks: dict[bool, dict[str, bytes]] = {}
        self._writing = threading.Lock()

    def body(self, *, openmetrics: bool, gzipped: bool) -> bytes:
        """The whole page. The first call for a format writes it, later ones give the same bytes."""
        body = self._bodies.get((openmetrics, gzipped))
        if body is None:
            with self._writing:
                body = self._bodies.get((openmetrics, gzipped)) or self._write(openmetrics, gzipped)
        return body

    def selection(self, names: frozenset[str], *, openmetrics: bool, gzipped: bool) -> bytes:
        """The families that any of `names` (of a family or one of its samples) belongs to."""
        self.body(openmetrics=openmetrics, gzipped=False)
        chosen = [c for name, c in self._chunks[openmetrics].items() if names & _aliases(name)]
        body = b"".join([*chosen, _EOF if openmetrics else b""])
        return gzip.compress(body, _GZIP_LEVEL) if gzipped else body

    def _write(self, openmetrics: bool, gzipped: bool) -> bytes:
        plain = self._bodies.get((openmetrics, False))
        if plain is None:
            chunks = self._chunks[openmetrics] = self._families(openmetrics)
            plain = b"".join([*chunks.values(), _EOF if openmetrics else b""])
            self._bodies[openmetrics, False] = plain
        if not gzipped:
            return plain
        body = self._bodies[openmetrics, True] = gzip.compress(plain, _GZIP_LEVEL)
        return body

    def _families(self, openmetrics: bool) -> dict[str, bytes]:
        of_runs = [d.texts(RUN_FAMILIES, openmetrics=openmetrics) for s in self._shares for d in s.runs]
        of_sources = [s.itself.texts(SOURCE_FAMILIES, openmetrics=openmetrics) for s in self._shares]
        of_process = (
            [self._process.texts(PROCESS_FAMILIES, openmetrics=openmetrics)]
            if self._process is not None
            else []
        )
        texts = [
            *_columns(of_runs, len(RUN_FAMILIES)),
            *_columns(of_sources, len(SOURCE_FAMILIES)),
            *_columns(of_process, len(PROCESS_FAMILIES)),
        ]
        own = {
            family.name: (header(family, openmetrics=openmetrics) + text).encode("utf-8", "backslashreplace")
            for family, text in zip(FAMILIES, texts, strict=True)
            if text
        }
        others = _FAMILY.findall(self._others(openmetrics))
        return own | {name.decode(): chunk for chunk, name in others}


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    return ["".join(row[i] for row in rows) for i in range(width)]


def _aliases(name: str) -> set[str]:
    base: Any = name.removesuffix("_total")
    return {name, base, f"{base}_total", f"{base}_created", f"{name}_bucket", f"{name}_count", f"{name}_sum"}
