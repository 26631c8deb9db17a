"""The page: the snapshots of all sources put together, immutable, written at most once a format."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.exposition import family_written
from parsl_exporter.metrics.family import Family
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.snapshot import Rendered, Snapshot
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, SOURCE_FAMILIES

_GZIP_LEVEL = 1
_END = {Format.TEXT: b"", Format.OPENMETRICS: b"# EOF\n", Format.PROTOBUF: b""}


class Page:
    """One snapshot of everything published.

    `process` is the drawn PROCESS_FAMILIES (None in a dump); `others` gives the families that other
    collectors hold (`process_*`, `python_*`), by name, as they are written in a format.
    """

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        process: Rendered | None = None,
        others: Callable[[Format], Mapping[str, bytes]] = lambda format: {},
    ) -> None:
        self._snapshots = snapshots
        self._process = process
        self._others = others
        self._bodies: dict[tuple[Format, bool], bytes] = {}
        self._chunks: dict[Format, dict[str, bytes]] = {}
        self._writing = threading.Lock()

    def body(self, format: Format, *, gzipped: bool = False) -> bytes:
        """The whole page. The first call for a format writes it, later ones give the same bytes."""
        body = self._bodies.get((format, gzipped))
        if body is None:
            with self._writing:
                body = self._bodies.get((format, gzipped)) or self._write(format, gzipped)
        return body

    def selection(self, names: frozenset[str], format: Format, *, gzipped: bool = False) -> bytes:
        """The families that any of `names` (of a family or one of its samples) belongs to."""
        self.body(format)
        chosen = [c for name, c in self._chunks[format].items() if names & _aliases(name)]
        body = b"".join([*chosen, _END[format]])
        return gzip.compress(body, _GZIP_LEVEL) if gzipped else body

    def _write(self, format: Format, gzipped: bool) -> bytes:
        plain = self._bodies.get((format, False))
        if plain is None:
            chunks = self._chunks[format] = self._families(format)
            plain = self._bodies[format, False] = b"".join([*chunks.values(), _END[format]])
        if not gzipped:
            return plain
        body = self._bodies[format, True] = gzip.compress(plain, _GZIP_LEVEL)
        return body

    def _families(self, format: Format) -> dict[str, bytes]:
        process = [] if self._process is None else [self._process]
        itself = [snapshot.itself for snapshot in self._snapshots]
        runs = [run for snapshot in self._snapshots for run in snapshot.runs]
        written: dict[str, bytes] = {}
        catalogues: tuple[tuple[Sequence[Family[Any]], Sequence[Rendered]], ...] = (
            (RUN_FAMILIES, runs),
            (SOURCE_FAMILIES, itself),
            (PROCESS_FAMILIES, process),
        )
        for families, drawn in catalogues:
            parts = [one.written(families, format) for one in drawn]
            for i, family in enumerate(families):
                samples = [part[i] for part in parts]
                if any(samples):
                    written[family.name] = family_written(family, samples, format)
        return {**written, **self._others(format)}


def _aliases(name: str) -> set[str]:
    base: Any = name.removesuffix("_total")
    return {name, base, f"{base}_total", f"{base}_created", f"{name}_bucket", f"{name}_count", f"{name}_sum"}
