"""Keeps a web configuration as fresh as its files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.base.logs import RepeatedFault, event
from parsl_exporter.web.configuration import WebConfiguration, read_web_configuration

log = logging.getLogger("parsl_exporter.web")

_EVERY = 1.0

Versions = tuple[tuple[int, ...] | None, ...]


class Security:
    """The contents of a web configuration file, the certificates that it names included.

    A thread looks at the files once a second, so that a file system that hangs holds nobody up. While what
    they say is faulty, the last good configuration stays.

    Raises:
        ConfigurationError: at the start, if the file or what it names cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._current = read_web_configuration(path)
        self._versions: Versions = ()
        self._faults = RepeatedFault(log)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="web-config", daemon=True)

    @property
    def current(self) -> WebConfiguration:
        """The configuration in force."""
        return self._current

    def start(self) -> None:
        """Begin to look for changes."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Does not wait for a file system that hangs."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(_EVERY):
            # Before reading: what changes meanwhile is seen the next time.
            versions = _versions(self._current.files)
            if versions != self._versions:
                self._read(versions)

    def _read(self, versions: Versions) -> None:
        old = self._current
        try:
            new = read_web_configuration(self._path)
            if (new.tls is None) != (old.tls is None):
                raise ConfigurationError([f"{self._path}: to turn TLS on or off, start the exporter again"])
        except ConfigurationError as error:
            self._faults.failed("file", "web configuration not taken; the old one stays", fault=str(error))
            return
        self._faults.ended("file")
        self._current = new
        if self._versions:
            event(log, logging.INFO, "web configuration read again", file=str(self._path))
        self._versions = versions if new.files == old.files else ()


def _versions(files: Sequence[Path]) -> Versions:
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
